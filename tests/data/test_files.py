"""Readable files: every way of writing the same session gives the same bars."""

import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlib.core.errors import DataError
from maxlib.data import files
from maxlib.data.raw import VALUES, Raw
from tests.data.helpers import OPEN_UTC, csv_text, minutes, session_rows, wall, write

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = dt.timedelta(minutes=1)


def shifted(zone: str, by: dt.timedelta = dt.timedelta(0)) -> list[list[Any]]:
    return [[(row[0] + by).astimezone(ZoneInfo(zone)), *row[1:]] for row in session_rows()]


def epoch(per_second: int) -> list[list[Any]]:
    return [[int(row[0].timestamp()) * per_second, *row[1:]] for row in session_rows()]


WAYS: dict[str, Callable[[Path], Path]] = {
    "offset": lambda at: write(at, shifted("America/New_York"), form="%Y-%m-%d %H:%M:%S-05:00"),
    "offset without colon": lambda at: write(at, shifted("UTC"), form="%Y-%m-%dT%H:%M:%S+0000"),
    "Z": lambda at: write(at, shifted("UTC"), form="%Y-%m-%dT%H:%M:%SZ"),
    "naive New York": lambda at: write(at, shifted("America/New_York"), form="%Y-%m-%d %H:%M:%S"),
    "naive New York, no seconds": lambda at: write(at, shifted("America/New_York"), form="%Y-%m-%d %H:%M"),
    "naive UTC": lambda at: write(at, shifted("UTC"), form="%Y-%m-%d %H:%M:%S"),
    "naive New York, stamped at the end": lambda at: write(
        at, shifted("America/New_York", MINUTE), form="%Y-%m-%d %H:%M:%S"
    ),
    "UTC, stamped at the end": lambda at: write(at, shifted("UTC", MINUTE)),
    "epoch s": lambda at: write(at, epoch(1)),
    "epoch ms, short names": lambda at: write(at, epoch(1000), header="t,o,h,l,c,v"),
    "epoch us": lambda at: write(at, epoch(10**6)),
    "epoch ns": lambda at: write(at, epoch(10**9), header="window_start,open,high,low,close,volume"),
    "capitals and brackets": lambda at: write(
        at, shifted("UTC"), header="<DateTime>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"
    ),
    "newest first": lambda at: write(at, session_rows()[::-1]),
}


def ordered(raw: Raw) -> list[bytes]:
    order = np.argsort(raw.start)
    return [raw.start[order].tobytes(), *(getattr(raw, name)[order].tobytes() for name in VALUES)]


@pytest.fixture
def expected(tmp_path: Path) -> list[bytes]:
    rows = session_rows()
    start = np.array([int(row[0].timestamp()) * 1_000_000_000 for row in rows])
    columns = [np.array([row[i] for row in rows], float) for i in range(1, 6)]
    return [start.tobytes(), *(column.tobytes() for column in columns)]


@pytest.mark.parametrize("way", WAYS)
def test_same_session_written_another_way_gives_the_same_columns(
    way: str, tmp_path: Path, expected: list[bytes]
) -> None:
    assert ordered(files.read(WAYS[way](tmp_path))) == expected


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.int64(), pa.string()])
def test_parquet_with_any_kind_of_stamp(kind: pa.DataType, tmp_path: Path, expected: list[bytes]) -> None:
    rows = session_rows()
    if kind == pa.int64():
        stamps: list[Any] = [int(row[0].timestamp() * 1000) for row in rows]
    elif kind == pa.string():
        stamps = [row[0].isoformat() for row in rows]
    else:
        stamps = [row[0].replace(tzinfo=None) for row in rows]
    table = {"ts": pa.array(stamps, kind)}
    table |= {name: pa.array([row[i] for row in rows]) for i, name in enumerate(VALUES, start=1)}
    pq.write_table(pa.table(table), tmp_path / "made.parquet")
    assert ordered(files.read(tmp_path / "made.parquet")) == expected


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_delimiters_and_a_byte_order_mark(mark: str, tmp_path: Path, expected: list[bytes]) -> None:
    text = "\ufeff" + csv_text(session_rows()).replace(",", mark)
    (tmp_path / "made.csv").write_text(text, encoding="utf-8")
    assert ordered(files.read(tmp_path / "made.csv")) == expected


def test_gzip_is_told_by_its_content_not_its_name(tmp_path: Path, expected: list[bytes]) -> None:
    path = tmp_path / "made.csv"
    path.write_bytes(gzip.compress(csv_text(session_rows()).encode()))
    assert ordered(files.read(path)) == expected


def test_notes_say_what_was_found_out(tmp_path: Path) -> None:
    path = write(tmp_path, shifted("America/New_York", MINUTE), form="%Y-%m-%d %H:%M:%S")
    zone, edge = files.read(path).notes
    assert "read as America/New_York because" in zone
    assert edge == "bars are stamped at their END, as 1 of 1 days show"


def test_configured_zone_and_edge_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, session_rows()[:5], form="%Y-%m-%d %H:%M:%S")
    raw = files.read(path, zone="America/Chicago", stamped="end")
    # 14:30 in Chicago is 20:30 UTC; the bar that ends then began at 20:29.
    assert raw.start[0] == int(dt.datetime(2025, 1, 2, 20, 29, tzinfo=dt.UTC).timestamp()) * 10**9


def test_an_offset_wins_over_a_configured_zone_and_says_so(tmp_path: Path, expected: list[bytes]) -> None:
    raw = files.read(write(tmp_path, session_rows()), zone="Asia/Tokyo")
    assert ordered(raw) == expected
    assert "data.zone Asia/Tokyo was not needed" in raw.notes[0]


def test_summer_and_winter_of_a_naive_file_get_their_own_offsets(tmp_path: Path) -> None:
    rows = [*session_rows(wall("2020-03-06 09:30")), *session_rows(wall("2020-03-09 09:30"))]
    raw = files.read(write(tmp_path, rows, form="%Y-%m-%d %H:%M:%S"))
    first = dt.datetime(2020, 3, 6, 14, 30, tzinfo=dt.UTC)
    second = dt.datetime(2020, 3, 9, 13, 30, tzinfo=dt.UTC)
    assert raw.start[[0, 390]].tolist() == [int(t.timestamp()) * 10**9 for t in (first, second)]


def test_edge_that_no_day_shows_is_taken_as_start_and_said(tmp_path: Path) -> None:
    raw = files.read(write(tmp_path, session_rows(OPEN_UTC + dt.timedelta(hours=1), 60)))
    assert "taken as START" in raw.notes[1]


def test_rows_of_the_wanted_symbol_keep_their_row_numbers(tmp_path: Path) -> None:
    rows = []
    for row in session_rows(count=20):
        rows += [[*row, "SPY"], [*row, "QQQ"]]
    path = write(tmp_path, rows, header="ts,open,high,low,close,volume,symbol")
    raw = files.read(path, symbol="QQQ")
    assert raw.row.tolist() == list(range(2, 41, 2))


def test_empty_numbers_become_nan_for_the_gate_to_name(tmp_path: Path) -> None:
    rows = session_rows(count=20)
    rows[3][1] = ""
    raw = files.read(write(tmp_path, rows))
    assert np.flatnonzero(np.isnan(raw.open)).tolist() == [3]


def test_parquet_nulls_become_nan(tmp_path: Path) -> None:
    table = {"ts": pa.array(minutes(OPEN_UTC, 3), pa.timestamp("us", "UTC"))}
    table |= {name: pa.array([1.0, None, 3.0]) for name in VALUES}
    pq.write_table(pa.table(table), tmp_path / "made.parquet")
    raw = files.read(tmp_path / "made.parquet")
    assert np.isnan(raw.open).tolist() == [False, True, False]
    assert raw.close[2] == 3.0


def test_relative_paths_are_looked_up_here_then_in_the_shared_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there / "deep"):
        place.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("MAXTRADER_SHARED", str(there))
    (there / "deep" / "a.csv").write_text("x")
    assert files.find("deep/a.csv") == there / "deep" / "a.csv"
    (here / "deep").mkdir()
    (here / "deep" / "a.csv").write_text("x")
    assert files.find("deep/a.csv") == Path("deep/a.csv")
    assert files.find("b.csv") is None


def test_a_folder_beside_the_current_one_is_the_default_for_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MAXTRADER_SHARED", raising=False)
    assert files.shared_folders()[0] == tmp_path / "shared"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        files.read(tmp_path)
