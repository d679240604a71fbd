"""Whatever a file holds: the same bars or a DataError, never another exception."""

import gzip
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxlib.core.errors import DataError
from maxlib.data import DataConfig, load
from maxlib.data.quality import gate
from maxlib.data.report import Repair
from tests.data.helpers import HEADER, csv_text, new_york, raw_of, session_rows, write

ROWS = [*session_rows(), *new_york("2025-01-03", "04:00", 900)]
EXPECTED, _ = gate(raw_of(ROWS))

# No example database: it would leave a folder in the tree.
quick = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(st.randoms(use_true_random=False), st.integers(0, 600))
def test_shuffled_and_repeated_rows_give_the_same_bars(random: Random, repeats: int) -> None:
    rows = [*ROWS, *random.choices(ROWS, k=repeats)]
    random.shuffle(rows)
    bars, report = gate(raw_of(rows))
    assert bars.tobytes() == EXPECTED.tobytes()
    assert report.count("exact_duplicates") == repeats
    assert (Repair("drop_exact_duplicates", repeats) in report.repairs) == (repeats > 0)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_and_repeated_file_gives_the_same_tape(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    rows = [*ROWS, *random.choices(ROWS, k=200)]
    random.shuffle(rows)
    tape = load(DataConfig(source="file", path=str(write(tmp_path, rows))))
    assert tape.bars.tobytes() == EXPECTED.tobytes()


def answer(folder: Path, data: bytes, name: str = "fuzz.csv") -> None:
    """Load the bytes; a DataError of one line is an answer, anything else is a fault."""
    (folder / name).write_bytes(data)
    try:
        tape = load(DataConfig(source="file", path=str(folder / name)))
        fault = not np.isfinite(tape.bars["close"]).all()
    except DataError as error:
        fault = "\n" in str(error)
    assert not fault


@quick
@given(st.binary(max_size=300), st.sampled_from(["fuzz.csv", "fuzz.parquet", "fuzz.csv.gz"]))
def test_random_bytes(tmp_path: Path, data: bytes, name: str) -> None:
    answer(tmp_path, data, name)


@quick
@given(st.binary(max_size=200))
def test_random_bytes_below_a_good_header(tmp_path: Path, data: bytes) -> None:
    answer(tmp_path, HEADER.encode() + b"\n" + data)


cells = st.one_of(
    st.sampled_from(
        ["2025-01-02 09:30:00", "2025-01-02T14:30:00Z", "1735828200", "500", "-1", "nan", "inf", "", '"']
    ),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)


@quick
@given(st.lists(st.lists(cells, min_size=6, max_size=6), min_size=1, max_size=6))
def test_random_cells(tmp_path: Path, rows: list[list[str]]) -> None:
    answer(tmp_path, "\n".join([HEADER, *(",".join(row) for row in rows)]).encode())


@quick
@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=4))
def test_good_file_with_some_bytes_overwritten(tmp_path: Path, place: int, data: bytes) -> None:
    text = csv_text(session_rows()).encode()
    place %= len(text)
    answer(tmp_path, text[:place] + data + text[place + len(data) :])


@quick
@given(st.integers(0, 10_000))
def test_good_file_cut_anywhere(tmp_path: Path, place: int) -> None:
    data = gzip.compress(csv_text(session_rows()).encode(), mtime=0)
    answer(tmp_path, data[: place % len(data)], "fuzz.csv.gz")


@quick
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_good_parquet_with_some_bytes_overwritten(tmp_path: Path, place: int, data: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = session_rows()
    columns = {"ts": pa.array([row[0] for row in rows], pa.timestamp("us", "UTC"))}
    columns |= {
        name: pa.array([row[i] for row in rows]) for i, name in enumerate(HEADER.split(",")[1:], start=1)
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    good = sink.getvalue().to_pybytes()
    place %= len(good)
    answer(tmp_path, good[:place] + data + good[place + len(data) :], "fuzz.parquet")
