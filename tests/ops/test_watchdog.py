"""The timer inside the trader: fires on a loop that stands still, leaves a traceback."""

import faulthandler
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from maxlib.ops.watchdog import Watchdog, hangs

STUCK = """
import itertools, sys
from pathlib import Path
from maxlib.ops.watchdog import Watchdog
def loop_of_the_trader():
    secret = "hunter22"
    max(itertools.repeat(0))  # holds the interpreter lock for ever
with Watchdog(Path(sys.argv[1]), 0.2):
    loop_of_the_trader()
"""


class Arms:
    """Stands in for faulthandler's timer, of which a process has but one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.armed: list[float] = []
        self.cancelled = 0
        patch.setattr(faulthandler, "dump_traceback_later", self._arm)
        patch.setattr(faulthandler, "cancel_dump_traceback_later", self._cancel)
        patch.setattr(time, "monotonic", lambda: self.now)

    def _arm(self, timeout: float, **more: Any) -> None:
        assert timeout == 30.0
        assert more["exit"] is True
        self.armed.append(self.now)

    def _cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def arms(monkeypatch: pytest.MonkeyPatch) -> Arms:
    return Arms(monkeypatch)


def test_a_c_loop_that_holds_the_interpreter_lock_ends_with_a_traceback(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK, tmp_path], capture_output=True, timeout=60)
    assert ended.returncode == 1
    (trace,) = hangs(tmp_path)
    text = trace.read_text()
    assert "loop_of_the_trader" in text
    assert "hunter22" not in text


def test_feeding_re_arms_once_per_tenth_of_the_time(tmp_path: Path, arms: Arms) -> None:
    with Watchdog(tmp_path, 30.0) as dog:
        for _ in range(70):
            arms.now += 0.1
            dog.feed()
    # At 100, then each time more than 3 s went by: never later than 90 % of the time to live is left.
    assert arms.armed == pytest.approx([100.0, 103.1, 106.2])
    assert arms.cancelled == 1


def test_stopped_in_order_it_leaves_no_file_and_can_be_armed_again_by_a_new_one(
    tmp_path: Path, arms: Arms
) -> None:
    with Watchdog(tmp_path) as dog:
        assert dog.path.exists()
    assert list(tmp_path.iterdir()) == []
    with Watchdog(tmp_path):
        pass
    assert len(arms.armed) == 2


def test_the_ten_newest_tracebacks_are_kept_and_no_empty_file_of_a_dead_process(
    tmp_path: Path, arms: Arms
) -> None:
    for i in range(13):
        (tmp_path / f"hang-{i:020d}-4194305.txt").write_text("Timeout")  # no process has this number
    (tmp_path / f"hang-{20:020d}-4194305.txt").touch()
    mine = tmp_path / f"hang-{21:020d}-{os.getpid()}.txt"
    mine.touch()  # another trader's, which runs: it needs the file when its time is up
    Watchdog(tmp_path).stop()
    assert [int(path.name[5:25]) for path in hangs(tmp_path)] == list(range(3, 13))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(p.name for p in hangs(tmp_path)), mine.name]
    )
