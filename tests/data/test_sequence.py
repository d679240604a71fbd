"""The order of minutes: holes are asked for once, filled or marked, and nothing comes twice."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.data.live import FeedGap, LiveBar
from maxlib.data.sequence import Sequencer, Span, regular_minutes
from maxlib.market import calendar
from tests.data.massive.helpers import BARS, DAY, MINUTE, OPEN, session, tape

END = BARS["ts"].tolist()


def live(i: int) -> LiveBar:
    return LiveBar("QQQ", BARS[i : i + 1], "live", END[i], False)


def fetched(*which: int) -> list[LiveBar]:
    return [live(i)._replace(origin="backfill") for i in which]


def shown(out: tuple[LiveBar | FeedGap, ...]) -> list[object]:
    return [
        (each.start, each.minutes) if isinstance(each, FeedGap) else END.index(int(each.row["ts"][0]))
        for each in out
    ]


def test_row_28_hole_is_asked_for_held_filled_and_given_out_in_order() -> None:
    line = Sequencer("QQQ")
    assert shown(line.live(live(0)).out) == [0]
    step = line.live(live(4))
    assert (step.out, step.ask) == ((), Span(END[0], END[3]))
    assert line.live(live(5)) == ((), None)
    assert line.filling
    step = line.filled(fetched(3, 1, 2))
    assert (shown(step.out), step.ask, line.filling) == ([1, 2, 3, 4, 5], None, False)
    assert {e.origin for e in step.out[:3] if isinstance(e, LiveBar)} == {"backfill"}


def test_row_28_what_the_fetch_does_not_bring_is_marked() -> None:
    line = Sequencer("QQQ")
    line.live(live(0))
    line.live(live(6))
    step = line.filled(fetched(3))
    assert shown(step.out) == [(END[0], 2), 3, (END[3], 2), 6]
    line.live(live(9))
    assert shown(line.filled(()).out) == [(END[6], 2), 9]


def test_hole_among_the_held_bars_is_asked_for_anew() -> None:
    line = Sequencer("QQQ")
    line.live(live(0))
    line.live(live(2))
    line.live(live(5))
    step = line.filled(fetched(1))
    assert (shown(step.out), step.ask) == ([1, 2], Span(END[2], END[4]))
    assert shown(line.filled(fetched(3, 4)).out) == [3, 4, 5]


def test_row_46_after_a_reconnect_every_minute_since_the_last_bar_is_asked_for() -> None:
    line = Sequencer("QQQ", last_end=END[2])
    assert line.reconnected(END[2] + 59_000_000_000) == ((), None)
    step = line.reconnected(END[5] + 1_000_000_000)
    assert step.ask == Span(END[2], END[5])
    assert shown(line.filled(fetched(3, 4)).out) == [3, 4]  # the source does not have the newest yet
    assert line.live(live(6)).ask == Span(END[4], END[5])
    assert shown(line.filled(fetched(5)).out) == [5, 6]


def test_row_46_bars_beyond_the_span_and_before_the_last_are_not_taken() -> None:
    line = Sequencer("QQQ", last_end=END[2])
    line.reconnected(END[4])
    assert shown(line.filled(fetched(0, 2, 3, 4, 5)).out) == [3, 4]


def test_thin_minutes_outside_regular_hours_are_no_holes() -> None:
    starts = [calendar.to_ns(DAY, 8 * 60), calendar.to_ns(DAY, 9 * 60 + 29), *session(DAY, count=2)]
    rows = tape(starts)
    line = Sequencer("QQQ")
    for i in range(4):
        step = line.live(LiveBar("QQQ", rows[i : i + 1], "live", 0, False))
        assert (len(step.out), step.ask) == (1, None)


def test_nights_weekends_holidays_and_half_days_are_no_holes() -> None:
    friday = calendar.to_ns(dt.date(2025, 11, 28), 13 * 60)  # closes at 13:00 after Thanksgiving
    monday = calendar.to_ns(dt.date(2025, 12, 1), 9 * 60 + 30)
    assert len(regular_minutes(friday, monday)) == 0
    assert len(regular_minutes(friday - MINUTE, monday + MINUTE)) == 2
    wednesday, friday_open = (calendar.to_ns(dt.date(2025, 11, d), m) for d, m in ((26, 960), (28, 570)))
    assert len(regular_minutes(wednesday, friday_open)) == 0


def test_repeats_and_latecomers_pass_on_to_the_gate_and_do_not_move_the_line() -> None:
    line = Sequencer("QQQ")
    for i in (0, 1, 2):
        line.live(live(i))
    assert shown(line.live(live(1)).out) == [1]
    assert line.last_end == END[2]
    assert shown(line.live(live(3)).out) == [3]


def test_fetch_that_never_ends_holds_a_day_at_most() -> None:
    starts = [t for d in (2, 3, 6, 7) for t in session(dt.date(2025, 1, d))]
    rows = tape(starts)
    line, out = Sequencer("QQQ"), 0
    for i in (0, *range(5, len(rows))):
        out += len(line.live(LiveBar("QQQ", rows[i : i + 1], "live", 0, False)).out)
    assert out > 900


@settings(max_examples=200)
@given(data=st.data())
def test_rows_28_29_30_46_any_loss_repeat_and_delay_gives_each_minute_once_or_marks_it(
    data: st.DataObject,
) -> None:
    """Bars are lost, doubled and shuffled nearby; fetches bring some. The tape stays a tape."""
    count = 30
    kept = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=40))
    kept.sort(key=lambda i: i + data.draw(st.integers(0, 2)))
    line, out, ask = Sequencer("QQQ", last_end=OPEN), [], None
    for i in kept:
        step = line.live(live(i))
        out += shown(step.out)
        ask = step.ask or ask
        if ask is not None and data.draw(st.booleans()):
            found = data.draw(st.sets(st.integers(0, count - 1)))
            step = line.filled(fetched(*found))
            out += shown(step.out)
            ask = step.ask
    while ask is not None:
        step = line.filled(())
        out += shown(step.out)
        ask = step.ask
    forward, newest = [], -1
    for each in out:  # what the gate would do with repeats and latecomers
        if isinstance(each, tuple):
            forward += [
                ("gap", k) for k in range((each[0] - OPEN) // MINUTE, (each[0] - OPEN) // MINUTE + each[1])
            ]
        elif each > newest:
            newest = each
            forward.append(("bar", each))
    assert [k for _, k in forward] == list(range(newest + 1))
    assert newest == max(kept)
