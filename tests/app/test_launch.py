"""`maxtrader dashboard SCENARIO --folder`: a trader is started if none runs, and outlives the command."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from maxlib.app.launch import Launch, itself
from maxlib.views.remote import Remote
from tests.app.test_paper import address, busiest, wait_for

DAYS = "data.simulator.days=12"


@pytest.fixture(scope="module")
def day() -> str:
    return busiest("demo_normal", {"data.simulator.days": 12})[1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A trader's folder; whatever runs on it is ended, the supervisor first."""
    yield tmp_path
    for name in ("supervise", "paper"):
        for process in running(tmp_path, name):
            process.kill()
            process.wait(20)


def running(folder: Path, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if name in words and str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def dashboard(day: str, folder: Path) -> list[str]:
    """What the command says until its page is served; then it is ended as by Ctrl-C."""
    told = ["dashboard", "demo_normal", "--folder", str(folder), "--day", day, "-p", DAYS]
    command = itself(*told)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    return lines


def test_the_command_starts_a_trader_once_and_ends_without_it(day: str, folder: Path) -> None:
    first = dashboard(day, folder)
    assert first[0] == f"A trader of demo_normal starts in {folder} and outlives this command.\n"
    assert first[1].startswith("Paper trader: http://127.0.0.1:")
    told = wait_for(lambda: address(folder))
    wait_for(lambda: Remote(folder).look().away is None)
    assert dashboard(day, folder)[0] == f"The trader in {folder} runs, process {told['pid']}.\n"
    assert [p.pid for p in running(folder, "paper")] == [told["pid"]]
    assert len(running(folder, "supervise")) == 1


def test_what_was_started_says_why_it_ended(folder: Path) -> None:
    one = Launch("demo_normal", folder, ["--day", "tomorrow", "-p", DAYS])
    assert (one.running, one.failure) == (False, "")
    one.start()
    assert one.running
    log = folder / "supervise.log"
    assert log.stat().st_mode & 0o077 == 0, "nobody else reads it"
    wait_for(lambda: "has no session then" in log.read_text())
    for process in running(folder, "supervise"):
        os.kill(process.pid, signal.SIGTERM)
    wait_for(lambda: not one.running)


def test_a_second_supervisor_is_refused_in_a_sentence(day: str, folder: Path) -> None:
    one, two = (Launch("demo_normal", folder, ["--day", day, "-p", DAYS]) for _ in range(2))
    one.start()
    wait_for(lambda: address(folder))
    two.start()
    wait_for(lambda: not two.running)
    assert two.failure == f"another supervisor watches {folder}"
    assert one.running
    assert one.failure == ""
    (process,) = running(folder, "supervise")
    process.terminate()
    wait_for(lambda: not one.running)
    assert running(folder, "paper") == []
