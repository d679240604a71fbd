"""Broken files: one sentence each, naming the file, the place, the value and the bound; nothing written."""

import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlib.core.errors import DataError, QualityError
from maxlib.data import DataConfig, import_bars, load
from maxlib.data.raw import VALUES
from tests.data.helpers import OPEN_UTC, csv_text, minutes, new_york, session_rows, wall, write

Rows = list[list[Any]]


def text(content: str | bytes, name: str = "made.csv") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return folder / name

    return make


def changed(row: int, column: int, value: Any, **options: Any) -> Callable[[Path], Path]:
    """A sound session in which one cell (row and column from 0) holds something else."""

    def make(folder: Path) -> Path:
        rows = session_rows()
        rows[row][column] = value
        return write(folder, rows, **options)

    return make


def epoch_with(value: str) -> Callable[[Path], Path]:
    """A session stamped in epoch seconds, but for the fourth row."""

    def make(folder: Path) -> Path:
        stamped = [[int(row[0].timestamp()), *row[1:]] for row in session_rows()]
        stamped[3][0] = value
        return write(folder, stamped)

    return make


def rows(content: Callable[[], Rows], **options: Any) -> Callable[[Path], Path]:
    return lambda folder: write(folder, content(), **options)


def parquet(columns: dict[str, Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "made.parquet")
        return folder / "made.parquet"

    return make


PARQUET_STAMPS = pa.array(minutes(OPEN_UTC, 2), pa.timestamp("us", "UTC"))
NUMBERS = {name: [1.0, 1.0] for name in VALUES}
HALF = session_rows(count=200)
NAIVE = "%Y-%m-%d %H:%M:%S"


def every(minutes_apart: int) -> Rows:
    return [[OPEN_UTC + dt.timedelta(minutes=minutes_apart * i), 500, 501, 499, 500, 1000] for i in range(50)]


def with_row_twice(close: float) -> Rows:
    twice = session_rows()
    return [*twice, [*twice[5][:4], close, twice[5][5]]]


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (text(""), "made.csv: the file is empty (0 bytes)"),
    "white space": (text("\n \n"), "made.csv: the file is empty (3 bytes)"),
    "header only": (text("ts,open,high,low,close,volume\n"), "made.csv: the file has a header but no bars"),
    "no volume": (
        rows(lambda: [row[:5] for row in session_rows()], header="ts,open,high,low,close"),
        "made.csv: missing column volume; found 'ts', 'open', 'high', 'low', 'close'",
    ),
    "no stamp and no close": (
        text("when,open,high,low,volume\n1,2,3,4,5\n"),
        "made.csv: missing columns ts (or timestamp, time, date), close; found 'when', 'open'",
    ),
    "column twice": (
        text("ts,open,Open,high,low,close,volume\n1,2,3,4,5,6,7\n"),
        "made.csv: the column 'open' is there 2 times",
    ),
    "not text": (text(b"\xff\xfe\x00\x01,\n1,2\n"), "made.csv: line 1 is not text"),
    "not text further down": (
        text(csv_text(session_rows()).encode().replace(b"500.02", b"500\xff2", 1)),
        "made.csv: line 4 is not text (UTF-8)",
    ),
    "cut gzip": (
        text(gzip.compress(csv_text(session_rows()).encode())[:500], "made.csv.gz"),
        "made.csv.gz: the gzip data is damaged or cut short",
    ),
    "not parquet": (text("hello", "made.parquet"), "made.parquet: not a readable Parquet file"),
    "parquet text price": (
        parquet({"ts": PARQUET_STAMPS, **NUMBERS, "high": ["a", "b"]}),
        "made.parquet: column 'high' holds string, numbers were expected",
    ),
    "parquet stamps of another kind": (
        parquet({"ts": [True, False], **NUMBERS}),
        "made.parquet: column 'ts': holds bool, times were expected",
    ),
    "parquet stamp missing": (
        parquet({"ts": pa.array([None, OPEN_UTC], pa.timestamp("us", "UTC")), **NUMBERS}),
        "made.parquet: column 'ts', row 1: there is no time stamp",
    ),
    "torn line": (
        text(csv_text(session_rows()).replace("500.5,499.5,500.02", "500.5", 1)),
        "made.csv: row 3 has 4 fields, 6 were expected",
    ),
    "word for a price": (
        changed(7, 2, "abc"),
        "made.csv: row 8, column 'high': 'abc' is not a number",
    ),
    "unreadable stamp": (
        changed(9, 0, "2025-13-02T14:39:00+00:00"),
        "made.csv: column 'timestamp', row 10: '2025-13-02T14:39:00+00:00' is not a time",
    ),
    "American dates": (
        rows(session_rows, form="%m/%d/%Y %H:%M"),
        "made.csv: column 'timestamp', row 1: '01/02/2025 14:30' is not a time",
    ),
    "one stamp without offset": (
        changed(4, 0, "2025-01-02T14:34:00"),
        "mixed zones, row 5 ('2025-01-02T14:34:00') has no offset and row 1",
    ),
    "one stamp with offset": (
        changed(4, 0, "2025-01-02 14:34:00+00:00", form=NAIVE),
        "mixed zones, row 5 ('2025-01-02 14:34:00+00:00') has an offset and row 1",
    ),
    "epoch of no unit": (
        text("ts,open,high,low,close,volume\n12345678,1,1,1,1,1\n"),
        "made.csv: column 'ts': 12345678 is not an epoch time in s, ms, us or ns between 1990 and 2100",
    ),
    "epoch units mixed": (
        epoch_with("1735828380000"),
        "row 4: 1735828380000 is not an epoch time in seconds between 1990 and 2100",
    ),
    "epoch and text": (
        epoch_with("2025-01-02"),
        "made.csv: column 'timestamp', row 4: '2025-01-02' is not an epoch number",
    ),
    "daily bars": (
        rows(lambda: every(1440)),
        "made.csv: bars are mostly 1 day apart; one-minute bars are needed",
    ),
    "five minutes": (rows(lambda: every(5)), "made.csv: bars are mostly 5 minutes apart"),
    "before the calendar": (
        rows(lambda: [[row[0].replace(year=1990), *row[1:]] for row in session_rows()]),
        "made.csv: row 1 is of 1990-01-02; the session calendar covers 1999-01-01 to 2028-12-31",
    ),
    "zone open to doubt": (
        # 14:35-14:54 lies in regular hours both as New York time and as UTC.
        rows(lambda: session_rows(OPEN_UTC + dt.timedelta(minutes=5), 20), form=NAIVE),
        (
            "stamps carry no zone and 100% of the trading falls into regular hours as New York time, "
            "100% as UTC; set data.zone"
        ),
    ),
    "Chicago time without saying so": (
        # Pre-market from 07:00 Chicago, and the open at 08:30.
        rows(
            lambda: [
                *([*row[:5], 1] for row in session_rows(wall("2025-01-02 07:00"), 90)),
                *session_rows(wall("2025-01-02 08:30"), 390),
            ],
            form=NAIVE,
        ),
        "trading picks up at 09:30 as America/New_York time on only 0 of 1 days; set data.zone",
    ),
    "eastern time without its summer clock": (
        # The open stands at 09:30 in winter and at 08:30 in summer.
        rows(
            lambda: [
                row
                for first in ("2025-03-06 09:30", "2025-03-07 09:30", "2025-03-10 08:30", "2025-03-11 08:30")
                for row in (
                    *([*row[:5], 1] for row in session_rows(wall(first) - dt.timedelta(minutes=90), 90)),
                    *session_rows(wall(first), 480),
                )
            ],
            form=NAIVE,
        ),
        "trading picks up at 09:30 as America/New_York time on only 2 of 4 days; set data.zone",
    ),
    "hour that happens twice": (
        rows(
            lambda: [
                *session_rows(wall("2025-10-31 09:30")),
                [wall("2025-11-02 01:30"), 500, 501, 499, 500, 1],
            ],
            form=NAIVE,
        ),
        "made.csv: row 391, 2025-11-02 01h falls into a clock change of America/New_York",
    ),
    "both edges": (
        rows(lambda: [*new_york("2025-01-02", "09:30", 390), *new_york("2025-01-03", "09:31", 390)]),
        "made.csv: on 1 days bars seem stamped at their start and on 1 at their end; set data.stamped",
    ),
    "two symbols, neither wanted": (
        rows(
            lambda: [[*row, "SPY" if i % 2 else "DIA"] for i, row in enumerate(session_rows())],
            header="ts,open,high,low,close,volume,symbol",
        ),
        "made.csv: column 'symbol' holds DIA, SPY, but data.symbol is QQQ",
    ),
    "NaN": (
        changed(2, 4, "nan"),
        "made.csv: row 3 (2025-01-02 09:32 New York time), close nan is not a price above 0",
    ),
    "infinity": (
        changed(2, 2, "inf"),
        "row 3 (2025-01-02 09:32 New York time), high inf is not a price above 0",
    ),
    "price of nothing": (
        changed(2, 3, 0),
        "made.csv: row 3 (2025-01-02 09:32 New York time), low 0 is not a price",
    ),
    "negative volume": (
        changed(2, 5, -5),
        "row 3 (2025-01-02 09:32 New York time), volume -5 is not a number of shares, 0 or more",
    ),
    "no volume at all": (changed(2, 5, ""), "volume nan is not a number of shares"),
    "high below the body": (
        changed(10, 2, 499.9),
        "row 11 (2025-01-02 09:40 New York time), high 499.9 is not at least max(open, close) = 500.03",
    ),
    "low above the body": (
        changed(10, 3, 500.2),
        "row 11 (2025-01-02 09:40 New York time), low 500.2 is not at most min(open, close) = 500",
    ),
    "off the minute": (
        changed(10, 0, "2025-01-02T14:40:30+00:00"),
        "made.csv: row 11, 2025-01-02 09:40:30.000000 New York time is not on a whole minute",
    ),
    "two truths": (
        rows(lambda: with_row_twice(500.4)),
        "rows 6 and 391 both stand for 2025-01-02 09:35 New York time but differ: close 500 and 500.4",
    ),
    "a closed day": (
        rows(lambda: [*session_rows(), *new_york("2025-01-09", "10:00", 3)]),
        "row 391 is a bar of 2025-01-09 10:00 New York time, when the exchange is closed all day; 2 more",
    ),
    "cut at a row limit": (
        rows(lambda: [*session_rows(), *new_york("2025-01-03", "04:00", 76)]),
        "2025-01-03 is incomplete: no bar in regular hours (09:30-16:00), its last bar is 05:15; to use it",
    ),
    "cut in the afternoon": (
        rows(lambda: HALF),
        (
            "is incomplete: its last regular bar is 12:49, 190 minutes short of the close at 16:00; "
            "to use it nevertheless set data.allow_incomplete=true"
        ),
    ),
    "cut five minutes early": (
        rows(lambda: session_rows(count=385)),
        "2025-01-02 is incomplete: its last regular bar is 15:54, 5 minutes short of the close at 16:00",
    ),
    "late start": (
        rows(lambda: new_york("2025-01-02", "10:00", 360)),
        "2025-01-02 is incomplete: its first regular bar is 10:00, 30 minutes after the open at 09:30",
    ),
    "early stop in the middle": (
        rows(lambda: [*new_york("2025-01-02", "09:30", 300), *new_york("2025-01-03", "09:30", 390)]),
        "session 2025-01-02 is incomplete: its last regular bar is 14:29, 90 minutes short",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_file_is_refused_in_one_sentence_and_nothing_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sentence = CASES[case]
    path = make(tmp_path)
    monkeypatch.setenv("MAXTRADER_CATALOG", str(tmp_path / "catalog"))
    with pytest.raises(DataError) as caught:
        load(DataConfig(source="file", path=str(path)))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    with pytest.raises(DataError):
        import_bars(path, "QQQ")
    assert sorted(tmp_path.iterdir()) == [path]


def test_missing_file_says_where_it_was_looked_for_and_how_to_get_the_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAXTRADER_SHARED", "/nowhere/shared")
    with pytest.raises(DataError) as caught:
        load(DataConfig(source="file", path="no/such.csv"))
    sentence = str(caught.value)
    assert (
        "'no/such.csv' was not found in the current directory, in /nowhere/shared, or in the catalog"
        in sentence
    )
    assert "set MAXTRADER_SHARED" in sentence
    assert "`maxtrader data import FILE`" in sentence
    assert list(tmp_path.iterdir()) == []


def test_dates_without_bars_are_refused_with_the_dates_that_have_some(tmp_path: Path) -> None:
    path = write(tmp_path, session_rows())
    with pytest.raises(
        DataError, match="no bars from 2025-02-01 to its end; the bars run from 2025-01-02 09:30"
    ):
        load(DataConfig(source="file", path=str(path), start=dt.date(2025, 2, 1)))


def test_refusals_of_the_gate_are_quality_errors(tmp_path: Path) -> None:
    with pytest.raises(QualityError):
        load(DataConfig(source="file", path=str(write(tmp_path, HALF))))
