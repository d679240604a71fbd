"""What the gate counts, shows and repairs on bars that it lets through."""

import datetime as dt
import json

import numpy as np
import pytest

from maxlib.core.errors import QualityError
from maxlib.data.quality import gate
from maxlib.data.report import MEANING, Gap, Repair
from tests.data.helpers import new_york, raw_of, session_rows

MINUTE = 60_000_000_000


def test_a_sound_session_passes_untouched() -> None:
    bars, report = gate(raw_of(session_rows()))
    assert len(bars) == report.bars == report.rows == 390
    assert bars["ts"][0] == int(dt.datetime(2025, 1, 2, 14, 31, tzinfo=dt.UTC).timestamp()) * 10**9
    assert (np.diff(bars["ts"]) == MINUTE).all()
    assert bars["volume"][0] == 900_000
    assert (report.first, report.last) == ("2025-01-02 09:30", "2025-01-02 15:59")
    assert report.repairs == ()
    assert report.gaps == ()
    assert {check.name for check in report.checks if check.count} == {"no_premarket", "no_evening"}


def test_exact_duplicates_are_dropped_by_a_named_rule() -> None:
    rows = session_rows()
    bars, report = gate(raw_of([*rows, *rows[100:110]]))
    assert len(bars) == 390
    assert report.repairs == (
        Repair("drop_exact_duplicates", 10),
        Repair("sort_by_time", report.repairs[1].rows),
    )
    assert report.count("exact_duplicates") == 10
    assert report.check("exact_duplicates").examples == (
        "2025-01-02 11:10",
        "2025-01-02 11:11",
        "2025-01-02 11:12",
    )
    assert report.check("exact_duplicates").more == 7


def test_backward_time_is_sorted_by_a_named_rule_and_its_places_are_shown() -> None:
    rows = session_rows()
    bars, report = gate(raw_of([*rows[200:], *rows[:200]]))
    assert bars.tobytes() == gate(raw_of(rows))[0].tobytes()
    assert report.repairs == (Repair("sort_by_time", 390),)
    assert report.check("backward_steps").examples == ("row 191 at 2025-01-02 09:30",)


def test_missing_regular_minutes_are_listed_as_gaps() -> None:
    rows = session_rows()
    del rows[100:103], rows[50]  # 11:10-11:12 and 10:20
    _, report = gate(raw_of(rows))
    assert report.gaps == (Gap("2025-01-02", "10:20", 1), Gap("2025-01-02", "11:10", 3))
    assert report.count("missing_minutes") == 4
    assert report.missing == {"2025-01-02": 4}


def test_gap_that_outlasts_a_halt_is_parted_at_the_halt() -> None:
    # 2020-03-09, New York is UTC-4; the halt took 09:35-09:48, minutes 5 to 18 of the session.
    rows = session_rows(dt.datetime(2020, 3, 9, 13, 30, tzinfo=dt.UTC))
    del rows[3:20]
    _, report = gate(raw_of(rows))
    halt = "market-wide circuit breaker, level 1, 2020-03-09 09:34:13-09:49:13"
    assert report.gaps == (
        Gap("2020-03-09", "09:33", 2),
        Gap("2020-03-09", "09:35", 14, halt),
        Gap("2020-03-09", "09:49", 1),
    )
    assert (report.count("missing_minutes"), report.count("halt_minutes")) == (3, 14)
    assert report.halts == (report.gaps[1],)
    assert f"{halt}: 14 minutes without trade." in report.lines()


def test_half_day_is_named_and_has_no_gap_after_its_close() -> None:
    _, report = gate(raw_of(new_york("2024-12-24", "09:30", 210)))
    assert report.check("half_days").examples == ("2024-12-24",)
    assert report.gaps == ()


def test_sessions_without_a_bar_are_counted_not_refused() -> None:
    # Between Thursday the 2nd and Wednesday the 8th: Friday, Monday and Tuesday.
    _, report = gate(raw_of([*session_rows(), *new_york("2025-01-08", "09:30", 390)]))
    assert report.check("missing_sessions").examples == ("2025-01-03", "2025-01-06", "2025-01-07")
    assert report.count("missing_minutes") == 0
    assert report.sessions == 2


def test_allowed_incomplete_session_is_counted_and_shown() -> None:
    rows = session_rows(count=300)
    with pytest.raises(QualityError, match="90 minutes short"):
        gate(raw_of(rows))
    bars, report = gate(raw_of(rows), allow_incomplete=True)
    assert len(bars) == 300
    (shown,) = report.check("incomplete_sessions").examples
    assert "2025-01-02 is incomplete: its last regular bar is 14:29" in shown
    assert report.gaps == (Gap("2025-01-02", "14:30", 90),)


@pytest.mark.parametrize(("missing", "refused"), [(15, False), (16, True)])
def test_more_than_fifteen_minutes_short_of_the_close_is_incomplete(missing: int, refused: bool) -> None:
    rows = [*session_rows(count=390 - missing), *new_york("2025-01-03", "09:30", 390)]
    if refused:
        with pytest.raises(QualityError, match="16 minutes short of the close"):
            gate(raw_of(rows))
    else:
        assert gate(raw_of(rows))[1].count("missing_minutes") == 15


def test_last_session_short_of_its_close_is_a_gap_when_later_bars_prove_the_file_goes_on() -> None:
    rows = [*session_rows(count=385), *new_york("2025-01-02", "16:05", 1)]
    assert gate(raw_of(rows))[1].gaps == (Gap("2025-01-02", "15:55", 5),)


def test_file_may_begin_with_the_evening_of_the_day_before() -> None:
    rows = [*new_york("2025-01-02", "19:00", 60), *new_york("2025-01-03", "09:30", 390)]
    _, report = gate(raw_of(rows))
    assert report.count("incomplete_sessions") == 0
    assert report.count("no_evening") == 0
    assert report.sessions == 1


def test_premarket_bars_alone_in_the_middle_are_incomplete() -> None:
    rows = [*session_rows(), *new_york("2025-01-03", "08:00", 30), *new_york("2025-01-06", "09:30", 390)]
    with pytest.raises(QualityError, match="2025-01-03 is incomplete: no bar in regular hours"):
        gate(raw_of(rows))


def test_extended_bars_on_a_closed_day_are_counted() -> None:
    rows = [*session_rows(), *new_york("2025-01-05", "20:00", 5), *new_york("2025-01-06", "09:30", 390)]
    _, report = gate(raw_of(rows))  # Sunday evening belongs to Monday
    assert report.count("closed_day_bars") == 5
    assert report.count("missing_sessions") == 1


def test_jump_of_more_than_a_fifth_is_refused_unless_allowed_and_then_shown() -> None:
    rows = session_rows()
    rows[7][2] = 600.05  # the close before is 500.01, a fifth above is 600.012
    rows[9][3] = 400.03  # the close before is 500.03, a fifth below is 400.024: no jump
    with pytest.raises(
        QualityError, match=r"price jump at 2025-01-02 09:37 from 500.01 to 600.05, beyond 20 %"
    ):
        gate(raw_of(rows))
    _, report = gate(raw_of(rows), allow_jumps=True)
    assert report.check("price_jumps").examples == ("2025-01-02 09:37 from 500.01 to 600.05",)


def test_idle_bars_are_counted() -> None:
    rows = session_rows()
    rows[5][5] = rows[6][5] = 0
    _, report = gate(raw_of(rows))
    assert report.check("zero_volume").examples == ("2025-01-02 09:35", "2025-01-02 09:36")


def test_sessions_without_premarket_are_counted_because_levels_will_be_missing() -> None:
    rows = [*session_rows(), *new_york("2025-01-03", "09:00", 420)]
    _, report = gate(raw_of(rows))
    assert report.check("no_premarket").examples == ("2025-01-02",)
    assert any("no London levels" in line for line in report.lines())


def test_report_is_json_and_says_only_what_occurred() -> None:
    rows = session_rows()
    rows[5][5] = 0
    _, report = gate(raw_of([*rows, rows[0]]))
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["repairs"][0] == {"rule": "drop_exact_duplicates", "rows": 1}
    assert [check["name"] for check in plain["checks"]] == list(MEANING)
    lines = report.lines()
    assert lines[0] == "made: 390 bars of 391 rows, 1 sessions."
    assert "Bars without volume: 1 (2025-01-02 09:35)." in lines
    assert not any("halt" in line for line in lines)
    with pytest.raises(KeyError):
        report.count("nothing")


def test_no_bars_are_refused() -> None:
    with pytest.raises(QualityError, match="made: holds no bars"):
        gate(raw_of(session_rows()).take(slice(0, 0)))


def test_dates_outside_the_calendar_are_refused_under_the_sources_name() -> None:
    with pytest.raises(QualityError, match="made: date 2030-01-02 is outside the session calendar"):
        gate(raw_of([[dt.datetime(2030, 1, 2, 15, 0, tzinfo=dt.UTC), 1, 1, 1, 1, 1]]))


def test_input_is_left_as_it_was() -> None:
    raw = raw_of(session_rows()[::-1])
    before = raw.start.tobytes() + raw.close.tobytes()
    gate(raw)
    assert raw.start.tobytes() + raw.close.tobytes() == before
