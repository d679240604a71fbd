"""The heartbeat file: written by the loop, judged on the boot clock."""

import json
import os
from pathlib import Path

import pytest

from maxlib.ops.heartbeat import STOPPED, Beat, Gap, Heart, read_beat
from tests.ops.fakes import NS, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def newest(path: Path) -> Beat:
    beat = read_beat(path)
    assert beat is not None
    return beat


def test_a_beat_tells_who_wrote_it_when_and_how_far_the_loop_came(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "beat.json"
    heart = Heart(path, clock=clock)
    heart.beat("recovering")
    clock.advance(1)
    heart.beat("running", "open")
    beat = newest(path)
    assert (beat.boot_ns, beat.progress, beat.phase, beat.session) == (1001 * NS, 2, "running", "open")
    assert (beat.who.pid, beat.who.boot_id) == (os.getpid(), "boot-1")
    clock.advance(7)
    assert beat.age_s(clock) == 7


def test_turns_of_one_phase_are_counted_but_written_every_five_seconds(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "beat.json"
    heart = Heart(path, clock=clock)
    seen = []
    for _ in range(11):
        heart.beat("running")
        seen.append(newest(path).progress)
        clock.advance(1)
    assert seen == [1, 1, 1, 1, 1, 6, 6, 6, 6, 6, 11]


@pytest.mark.parametrize("jump", [-3600, 3600, -10 * 365 * 86400])
def test_setting_the_wall_clock_changes_no_age(tmp_path: Path, clock: FakeClock, jump: int) -> None:
    path = tmp_path / "beat.json"
    Heart(path, clock=clock).beat("running")
    clock.advance(3)
    clock.wall += jump * NS
    assert newest(path).age_s(clock) == 3


def test_a_beat_from_before_the_machine_started_is_infinitely_old(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "beat.json"
    Heart(path, clock=clock).beat("running")
    clock.boot -= 500 * NS  # a new boot whose name is not known
    assert newest(path).age_s(clock) == float("inf")
    clock.boot += 1000 * NS
    assert newest(path).age_s(clock) == 500
    clock.id = "boot-2"
    assert newest(path).age_s(clock) == float("inf")


def test_a_suspend_is_told_to_the_loop_that_woke_up(tmp_path: Path, clock: FakeClock) -> None:
    heart = Heart(tmp_path / "beat.json", clock=clock)
    heart.beat("running")
    clock.advance(2)
    assert heart.beat("running") == Gap(late_s=2, suspended_s=0)
    clock.advance(2)
    clock.suspend(598)
    assert heart.beat("running") == Gap(late_s=600, suspended_s=598)
    assert heart.beat("running") == Gap(late_s=0, suspended_s=0)


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_wall_clock_that_was_set_is_told_to_the_loop(tmp_path: Path, clock: FakeClock, jump: int) -> None:
    heart = Heart(tmp_path / "beat.json", clock=clock)
    heart.beat("running")
    clock.advance(2)
    clock.wall += jump * NS
    assert heart.beat("running") == Gap(late_s=2, suspended_s=0, set_s=jump)
    clock.advance(2)
    clock.suspend(598)
    assert heart.beat("running") == Gap(late_s=600, suspended_s=598, set_s=0)


def test_no_prefix_of_the_file_and_no_foreign_text_is_taken_for_a_beat(tmp_path: Path) -> None:
    path = tmp_path / "beat.json"
    assert read_beat(path) is None
    Heart(path).beat("running")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read_beat(path) is None
    for other in (b"[]", b"null", b"\xff\x00", json.dumps({**json.loads(whole), "x": 1}).encode()):
        path.write_bytes(other)
        assert read_beat(path) is None


def test_a_draft_left_by_a_kill_is_ignored_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "beat.json"
    heart = Heart(path)
    heart.beat("running")
    (tmp_path / f".beat.json.{os.getpid()}.tmp").write_text('{"half')
    assert newest(path).phase == "running"
    heart.beat("closing")
    assert newest(path).phase == "closing"


def test_a_folder_that_is_gone_stops_no_loop_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    heart = Heart(folder / "beat.json", every_s=0)
    heart.beat("running")
    assert heart.trouble is None
    (folder / "beat.json").unlink()
    folder.rmdir()
    heart.beat("running")
    assert heart.trouble == f"{folder / 'beat.json'} cannot be written: No such file or directory"
    folder.mkdir()
    heart.beat("running")
    assert heart.trouble is None
    assert newest(folder / "beat.json").progress == 3


def test_an_orderly_end_is_the_last_beat(tmp_path: Path) -> None:
    heart = Heart(tmp_path / "beat.json")
    heart.beat("running")
    heart.stop()
    assert newest(tmp_path / "beat.json").phase == STOPPED
