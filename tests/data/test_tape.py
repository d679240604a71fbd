import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from maxlib.core.errors import DataError
from maxlib.data import DataConfig, SimulatorConfig, load
from tests.data.helpers import new_york, session_rows, write


def test_tape_of_a_file_carries_its_provenance_but_no_path(tmp_path: Path) -> None:
    tape = load(DataConfig(source="file", path=str(write(tmp_path, session_rows()))))
    assert (tape.source, tape.simulated, tape.name, tape.symbol) == ("file", False, "made.csv", "QQQ")
    assert tape.vix is None
    assert tape.truth is None
    assert str(tmp_path) not in repr(tape) + str(tape.quality.as_dict())


def test_hash_depends_on_the_bars_only(tmp_path: Path) -> None:
    plain = load(DataConfig(source="file", path=str(write(tmp_path, session_rows()))))
    turned = load(DataConfig(source="file", path=str(write(tmp_path, session_rows()[::-1], "turned.csv"))))
    other = session_rows()
    other[5][5] += 1
    changed = load(DataConfig(source="file", path=str(write(tmp_path, other, "other.csv"))))
    assert plain.sha256 == turned.sha256 != changed.sha256
    assert plain.file_sha256 != turned.file_sha256


def test_dates_trim_the_tape_and_with_it_the_session_that_was_cut(tmp_path: Path) -> None:
    rows = [*session_rows(), *new_york("2025-01-03", "09:30", 390), *new_york("2025-01-06", "04:00", 30)]
    path = str(write(tmp_path, rows))
    with pytest.raises(DataError, match="2025-01-06 is incomplete"):
        load(DataConfig(source="file", path=path))
    tape = load(DataConfig(source="file", path=path, start=dt.date(2025, 1, 3), end=dt.date(2025, 1, 3)))
    assert len(tape.bars) == 390
    assert tape.quality.first == "2025-01-03 09:30"


def test_simulated_tape_passes_the_same_gate_and_says_so() -> None:
    config = DataConfig(source="simulator", simulator=SimulatorConfig(market="crash", seed=3, days=3))
    tape = load(config)
    assert (tape.source, tape.simulated) == ("simulator", True)
    assert tape.name == "simulated crash market, seed 3"
    assert tape.file_sha256 is None
    assert tape.vix is not None
    assert len(tape.vix) == 3
    assert tape.quality.sessions == 3
    assert tape.quality.repairs == ()
    assert tape.quality.gaps == ()
    assert load(config).sha256 == tape.sha256


def test_simulated_market_need_not_be_described() -> None:
    tape = load(DataConfig(source="simulator", end=dt.date(2025, 1, 3)))
    assert tape.simulated
    assert tape.quality.last.startswith("2025-01-03")


def test_importing_the_room_brings_in_no_heavy_library() -> None:
    code = (
        "import sys, maxlib.data; "
        "print([m for m in ('pandas', 'pyarrow', 'exchange_calendars', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_a_file_does_not_bring_in_pandas(tmp_path: Path) -> None:
    path = write(tmp_path, session_rows())
    code = (
        "import sys; from maxlib.data import DataConfig, load; "
        f"load(DataConfig(source='file', path={str(path)!r})); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
