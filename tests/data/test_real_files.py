"""The real files, against what their README and the exchange's calendar say of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from maxlib.core.errors import DataError, QualityError
from maxlib.data import DataConfig, Tape, load

TapeOf = Callable[..., Tape]


@pytest.fixture
def tape_of(shared: Path, monkeypatch: pytest.MonkeyPatch) -> TapeOf:
    def read(path: str, symbol: str = "QQQ", **options: bool) -> Tape:
        monkeypatch.setenv("MAXTRADER_SHARED", str(shared))
        path = f"data/real/{path}"
        if not (shared / path).exists():
            pytest.skip(f"{path} is not in {shared}")
        return load(DataConfig(source="file", path=path, symbol=symbol, **options))

    return read


def test_covid_crash_is_doubled_and_halted_four_times(tape_of: TapeOf) -> None:
    tape = tape_of("unclear/bars/qqq_1m_20200219_20200520.parquet")
    report = tape.quality
    assert (report.rows, report.bars, report.sessions) == (53_616, 27_227, 65)
    assert report.count("exact_duplicates") == 26_389
    assert report.repairs[0].rule == "drop_exact_duplicates"
    assert report.repairs[1].rule == "sort_by_time"
    assert [(gap.date, gap.time, gap.minutes) for gap in report.gaps] == [
        ("2020-03-09", "09:35", 14),
        ("2020-03-12", "09:36", 14),
        ("2020-03-16", "09:31", 14),
        ("2020-03-18", "12:57", 14),
    ]
    assert len(report.halts) == 4
    assert report.count("missing_minutes") == 0
    assert "2020-03-09 09:34:13-09:49:13" in str(report.gaps[0].cause)


def test_winter_of_2024_is_doubled(tape_of: TapeOf) -> None:
    report = tape_of("unclear/bars/qqq_1m_20241202_20250228.parquet").quality
    assert (report.rows, report.bars) == (50_026, 25_013)
    assert report.count("exact_duplicates") == 25_013
    assert report.check("half_days").examples == ("2024-12-24",)
    assert report.gaps == ()


def test_spy_file_cut_at_fifty_thousand_rows_is_refused(tape_of: TapeOf) -> None:
    path = "unclear/bars/spy_1m_20250818_20251111.parquet"
    with pytest.raises(QualityError) as caught:
        tape_of(path, "SPY")
    sentence = str(caught.value)
    assert "session 2025-11-11 is incomplete" in sentence
    assert "its last bar is 05:15" in sentence
    assert "09:30-16:00" in sentence
    assert "data.allow_incomplete=true" in sentence
    report = tape_of(path, "SPY", allow_incomplete=True).quality
    assert (report.bars, report.sessions) == (50_000, 60)
    assert report.count("incomplete_sessions") == 1


def test_fourteen_months_have_every_regular_minute(tape_of: TapeOf) -> None:
    tape = tape_of("unclear/bars/qqq_1m_20240102_20250228.parquet")
    report = tape.quality
    assert report.bars == report.rows == 235_728
    # 252 sessions in 2024; January 2025: 23 weekdays less the 1st, 9th and 20th; February: 20 less the 17th.
    assert report.sessions == 252 + 20 + 19
    assert report.gaps == ()
    assert report.repairs == ()
    assert report.count("missing_sessions") == report.count("incomplete_sessions") == 0
    assert report.check("half_days").examples == ("2024-07-03", "2024-11-29", "2024-12-24")
    assert report.count("half_days") == 3
    # June 2024 has regular hours only: 20 weekdays less Juneteenth.
    assert report.count("no_premarket") == 19
    regular = tape.bars[tape.bars["session"] == 3]
    assert (regular["minute"] < regular["close_minute"]).sum() == (291 - 3) * 390 + 3 * 210


def test_week_of_2019_misses_two_minutes(tape_of: TapeOf) -> None:
    report = tape_of("open/bars/qqq_1m_20190211_20190215.parquet").quality
    assert report.bars == 1_948
    assert report.count("missing_minutes") == 2
    assert report.count("no_premarket") == report.sessions == 5


@pytest.mark.parametrize("symbol", ["QQQ", "SPY"])
def test_raw_file_newest_first_end_stamped_eastern_gives_the_bars_of_the_tidy_one(
    tape_of: TapeOf,
    symbol: str,
) -> None:
    name = symbol.lower()
    raw = tape_of(f"open/bars/raw/{name}_1min_201902.csv.gz", symbol)
    tidy = tape_of(f"open/bars/{name}_1m_20190211_20190215.parquet", symbol)
    assert raw.bars.tobytes() == tidy.bars.tobytes()
    assert raw.sha256 == tidy.sha256
    zone, edge = raw.quality.notes
    assert "America/New_York" in zone
    assert "END, as 5 of 5 days" in edge


def test_autumn_of_2025_goes_through_the_clock_change_whole(tape_of: TapeOf) -> None:
    report = tape_of("unclear/bars/qqq_1m_20250818_20251114.parquet").quality
    assert (report.bars, report.sessions) == (48_665, 64)
    assert report.gaps == ()
    assert report.repairs == ()


def test_christmas_eve_of_2015_is_a_half_day(tape_of: TapeOf) -> None:
    report = tape_of("open/bars/goog_1m_trade_20151224.parquet", "GOOG").quality
    assert report.check("half_days").examples == ("2015-12-24",)
    assert report.gaps == ()


@pytest.mark.parametrize(
    ("path", "symbol", "sentence"),
    [
        ("open/bars/qqq_daily_1998_2021.parquet", "QQQ", "bars are mostly 1 day apart"),
        ("open/bars/spy_1m_quote_20230803.parquet", "SPY", "missing columns open, high, low, close, volume"),
        ("open/bars/spy_1m_trade_20230803.parquet", "QQQ", "holds SPY, but data.symbol is QQQ"),
        ("open/futures/es_1m_trade_20131006_20131008.parquet", "QQQ", "but data.symbol is QQQ"),
        (
            "unclear/bars/nq_1m_20231119_20231204.parquet",
            "NQ",
            "2023-11-23 09:30 New York time, when the exchange",
        ),
    ],
)
def test_files_of_another_kind_are_refused(tape_of: TapeOf, path: str, symbol: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        tape_of(path, symbol)
