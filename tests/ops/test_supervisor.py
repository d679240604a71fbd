"""The supervisor with real processes: crash loops, takeovers, ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from maxlib.ops.events import Event
from maxlib.ops.process import started
from maxlib.ops.supervision import Policy, State
from maxlib.ops.supervisor import HEARTBEAT, REFUSAL, STATE, Outcome, recall, supervise

FAST = Policy(poll_s=0.5, backoff_s=0.01, pause_s=0.02, stop_s=20.0)
ROOT = Path(__file__).resolve().parents[2]
# Beats as a trader does; ends in order when asked.
TRADER = """
import signal, sys, time
from pathlib import Path
from maxlib.ops.heartbeat import Heart
folder = Path(sys.argv[1])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
heart = Heart(folder / "heartbeat.json", 0.1)
while not asked:
    heart.beat("running")
    time.sleep(0.01)
heart.stop()
"""
SUPERVISOR = """
import sys
from pathlib import Path
from maxlib.ops.supervision import Policy
from maxlib.ops.supervisor import supervise
outcome = supervise(sys.argv[2:], Path(sys.argv[1]), lambda *_: None, Policy(poll_s=0.5, stop_s=20.0))
print(outcome.sentence)
sys.exit(outcome.code)
"""


class Told:
    """Keeps what the supervisor tells."""

    def __init__(self) -> None:
        self.all: list[tuple[Event, str]] = []

    def __call__(self, event: Event, text: str) -> None:
        self.all.append((event, text))
        raise ConnectionError("a notifier that fails")  # and must not end the watch

    @property
    def events(self) -> list[Event]:
        return [event for event, _ in self.all]


def until(true: Callable[[], Any]) -> Any:
    """Wait for an event of another process."""
    deadline = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def beat(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / HEARTBEAT).read_text())
    except OSError:
        return {}
    return found


@contextmanager
def supervisor(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SUPERVISOR, str(folder), sys.executable, "-c", TRADER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    pid = beat(tmp_path).get("who", {}).get("pid")
    if pid and started(pid) is not None:  # a trader that outlived its test
        os.kill(pid, signal.SIGKILL)


def test_a_crash_loop_backs_off_alerts_and_stays_down_until_cleared(folder: Path) -> None:
    starts = folder / "starts"
    command = ["/bin/sh", "-c", f"echo x >> {starts}; exit 7"]
    told = Told()
    outcome = supervise(command, folder, told, FAST)
    assert outcome.code == 3
    assert "stays down (exit code 7)" in outcome.sentence
    assert len(starts.read_text().split()) == 9
    assert told.events == [
        Event.SUPERVISOR_ONLINE,
        *[Event.RESTART, Event.RESTART, Event.SUPERVISOR_CRITICAL] * 3,
    ]
    assert "exit code 7" in told.all[1][1]
    # The next one, started by systemd say, does not try again, nor alert again.
    assert supervise(command, folder, Told(), FAST).code == 3
    assert len(starts.read_text().split()) == 9
    assert supervise(["/bin/true"], folder, Told(), FAST, clear=True) == Outcome(
        0, "the trader ended in order"
    )


def test_a_command_that_does_not_exist_counts_as_a_failure_at_once(folder: Path) -> None:
    told = Told()
    outcome = supervise([str(folder / "no-such-trader")], folder, told, FAST)
    assert outcome.code == 3
    assert "exit code 127" in outcome.sentence


def test_an_exit_of_0_ends_the_supervision(folder: Path) -> None:
    assert supervise(["/bin/true"], folder, Told(), FAST).code == 0


def test_a_stopped_child_is_killed_with_all_that_it_started(folder: Path) -> None:
    pids = folder / "pids"
    # Never beats, and its own child ignores polite signals.
    script = f"trap '' TERM; sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; kill -STOP $$"
    policy = Policy(poll_s=0.5, start_s=0.3, backoff_s=0.01, failures_to_pause=1, series_to_give_up=1)
    told = Told()
    assert supervise(["/bin/sh", "-c", script], folder, told, policy).code == 3
    assert told.events == [Event.SUPERVISOR_ONLINE, Event.WATCHDOG, Event.SUPERVISOR_CRITICAL]
    until(lambda: [started(int(pid)) for pid in pids.read_text().split()] == [None, None])


def test_a_second_supervisor_of_a_folder_is_refused(folder: Path) -> None:
    with supervisor(folder) as first:
        pid = until(lambda: beat(folder))["who"]["pid"]
        outcome = supervise(["/bin/true"], folder, Told(), FAST)
        assert outcome == Outcome(2, f"another supervisor watches {folder}")
        assert started(pid) is not None
        first.terminate()
        assert first.wait(60) == 0


def test_sigterm_ends_the_trader_in_order(folder: Path) -> None:
    with supervisor(folder) as process:
        pid = until(lambda: beat(folder))["who"]["pid"]
        process.terminate()
        assert process.wait(60) == 0
        assert beat(folder)["phase"] == "stopped"
        assert started(pid) is None


def test_a_killed_supervisor_leaves_the_trader_to_the_next_one(folder: Path) -> None:
    with supervisor(folder) as first:
        pid = until(lambda: beat(folder))["who"]["pid"]
        first.kill()
        first.wait()
    assert started(pid) is not None
    with supervisor(folder) as second:
        until(lambda: State.model_validate_json((folder / STATE).read_bytes()).phase == "up")
        assert beat(folder)["who"]["pid"] == pid
        # It is not the second one's child; its death is seen all the same, and it is replaced.
        os.kill(pid, signal.SIGKILL)
        until(lambda: beat(folder)["who"]["pid"] != pid)
        second.terminate()
        assert second.wait(60) == 0
        assert beat(folder)["phase"] == "stopped"


def test_a_folder_that_cannot_be_written_is_a_refusal_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = supervise(["/bin/true"], tmp_path / "file" / "var", Told(), FAST)
    assert outcome == Outcome(2, f"{tmp_path / 'file' / 'var'} cannot be written: Not a directory")


def test_outside_the_main_thread_it_works_without_signals(folder: Path) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(supervise(["/bin/true"], folder, Told(), FAST)))
    thread.start()
    thread.join(60)
    assert [outcome.code for outcome in outcomes] == [0]


def test_failures_and_a_pause_outlive_the_supervisor_but_not_the_machine(tmp_path: Path) -> None:
    path = tmp_path / STATE
    assert recall(path, "a") == State(boot_id="a")
    paused = State(
        boot_id="a", phase="waiting", until_ns=9, failures=0, series=2, stopping=True, planned_ns=4
    )
    path.write_text(paused.model_dump_json())
    assert recall(path, "a") == paused.model_copy(update={"stopping": False, "planned_ns": 0})
    assert recall(path, "b") == State(boot_id="b")
    path.write_text(paused.model_copy(update={"phase": "killing", "failures": 1}).model_dump_json())
    again = recall(path, "a")
    assert (again.phase, again.failures, again.series) == ("new", 1, 2)
    path.write_text(paused.model_copy(update={"phase": "down"}).model_dump_json())
    assert recall(path, "b").phase == "down"
    assert recall(path, "b", clear=True) == State(boot_id="b")
    path.write_text('{"boot')
    assert recall(path, "a") == State(boot_id="a")


def test_a_refusal_is_told_with_its_sentence_and_never_tried_again(folder: Path) -> None:
    starts = folder / "starts"
    says = f"echo 'the port is taken' > {folder / REFUSAL}; exit 2"
    told = Told()
    sentence = "the trader refused to start: the port is taken"
    outcome = supervise(["/bin/sh", "-c", f"echo x >> {starts}; {says}"], folder, told, FAST)
    assert outcome == Outcome(2, sentence)
    assert told.all[1:] == [(Event.SUPERVISOR_CRITICAL, f"{sentence}; it is not tried again")]
    assert starts.read_text().split() == ["x"]
    # Somebody has changed what was wrong: the next one starts it without having to be cleared.
    assert supervise(["/bin/true"], folder, Told(), FAST) == Outcome(0, "the trader ended in order")
    assert not (folder / REFUSAL).exists()
