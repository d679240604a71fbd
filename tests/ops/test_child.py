"""The supervised process, also one that somebody else started."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlib.ops.child import Child
from maxlib.ops.process import identity, me, started


@pytest.fixture
def foreign() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process in a session of its own that this test did not start as a Child, and its own child."""
    script = "sleep 1000 & echo $!; wait"
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        if process.returncode is None:  # until it is reaped, the group's number is its own
            os.killpg(process.pid, signal.SIGKILL)


def test_an_adopted_process_dies_with_what_it_started(foreign: tuple[subprocess.Popen[str], int]) -> None:
    process, grandchild = foreign
    who = identity(process.pid)
    assert who is not None
    child = Child.adopt(who)
    assert child is not None
    assert child.alive()
    child.kill()
    assert process.wait(60) == -9
    assert not child.alive()
    assert child.reap() is None  # its exit code is its parent's to know
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0]
    assert process.stdout.read() == ""  # the pipe ends when the grandchild, too, is gone
    assert started(grandchild) is None


def test_neither_a_later_bearer_of_the_number_nor_this_process_is_adopted(
    foreign: tuple[subprocess.Popen[str], int],
) -> None:
    process, _ = foreign
    who = identity(process.pid)
    assert who is not None
    assert Child.adopt(who.model_copy(update={"started": who.started - 1})) is None
    assert Child.adopt(who.model_copy(update={"pid": 4_194_305})) is None
    assert Child.adopt(me()) is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    assert Child.adopt(who) is None


def test_a_child_leaves_nobody_behind_and_tells_its_exit_code(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; exit 7"
    child = Child.start(["/bin/sh", "-c", script])
    assert isinstance(child, Child)
    assert select.select([child.descriptor], [], [], 60)[0]
    left = identity(int((tmp_path / "pid").read_text()))
    assert left is not None
    assert child.reap() == 7
    watched = Child.adopt(left)  # None if it is gone already, else about to go
    assert watched is None or select.select([watched.descriptor], [], [], 60)[0]


def test_what_cannot_be_started_is_an_error_value() -> None:
    failed = Child.start(["/nonexistent/trader"])
    assert isinstance(failed, OSError)
    assert failed.strerror == "No such file or directory"
