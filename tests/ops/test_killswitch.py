"""The kill switch: thrown by anybody, reset by the one who knows the code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maxlib.core.errors import DataError
from maxlib.ops import killswitch as module
from maxlib.ops.killswitch import CODE_VARIABLE, KillSwitch, Thrown
from tests.ops.fakes import FakeClock

CODE = "correct-horse-battery"


def switch(folder: Path, clock: FakeClock | None = None, code: str | None = CODE) -> KillSwitch:
    environment = {} if code is None else {CODE_VARIABLE: code}
    return KillSwitch(folder / "kill.json", environment=environment, clock=clock or FakeClock())


def test_it_is_open_at_first_and_thrown_for_every_process_once_thrown(tmp_path: Path) -> None:
    mine, other = switch(tmp_path), switch(tmp_path)
    assert not mine.thrown
    assert mine.why() is None
    clock = FakeClock()
    assert mine.throw("five losses", "breaker") == Thrown(
        reason="five losses", by="breaker", wall_ns=clock.wall
    )
    assert mine.thrown
    assert other.thrown
    assert switch(tmp_path).thrown  # after a restart
    assert switch(tmp_path).why() == Thrown(reason="five losses", by="breaker", wall_ns=clock.wall)


def test_another_process_can_throw_it(tmp_path: Path) -> None:
    mine = switch(tmp_path)
    code = (
        "import sys; from pathlib import Path; from maxlib.ops.killswitch import KillSwitch\n"
        "KillSwitch(Path(sys.argv[1])).throw('the loop hangs', 'command line')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "kill.json"], check=True)
    assert mine.thrown
    why = mine.why()
    assert why is not None
    assert why.reason == "the loop hangs"


def test_the_first_reason_stays(tmp_path: Path) -> None:
    switch(tmp_path).throw("first", "a")
    assert switch(tmp_path).throw("second", "b").reason == "first"
    assert switch(tmp_path).throw("third", "c").reason == "first"


def test_the_right_code_resets_it_for_all_and_it_can_be_thrown_again(tmp_path: Path) -> None:
    mine, other = switch(tmp_path), switch(tmp_path)
    mine.throw("why not", "a")
    assert other.reset(CODE) is None
    assert not mine.thrown
    assert not other.thrown
    other.throw("again", "b")
    assert mine.thrown


@pytest.mark.parametrize("code", ["", "x", CODE[:-1], CODE + "x", CODE.upper(), "ü" * 21, "\ud800"])
def test_a_wrong_code_resets_nothing_and_learns_nothing(tmp_path: Path, code: str) -> None:
    mine = switch(tmp_path)
    mine.throw("why not", "a")
    denied = mine.reset(code)
    assert denied is not None
    assert denied.sentence == "kill switch: the code is wrong; entries stay blocked"
    assert mine.thrown


@pytest.mark.parametrize("secret", [None, "", "short", "elevenchars"])
def test_without_a_proper_secret_nobody_resets_it(tmp_path: Path, secret: str | None) -> None:
    mine = switch(tmp_path, code=secret)
    mine.throw("why not", "a")
    denied = mine.reset(secret or "")
    assert denied is not None
    assert denied.sentence == (
        "kill switch: MAXTRADER_KILL_RESET_CODE must hold a code of 12 characters or more "
        "before it can be reset"
    )
    assert mine.thrown
    assert mine.no_reset == "MAXTRADER_KILL_RESET_CODE holds no code of 12 characters or more"
    assert switch(tmp_path, code=CODE).no_reset == ""


def test_five_wrong_codes_lock_out_the_right_one_for_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    mine = switch(tmp_path, clock)
    mine.throw("why not", "a")
    for _ in range(5):
        mine.reset("guess")
    clock.advance(59)
    denied = mine.reset(CODE)
    assert denied is not None
    assert denied.sentence == "kill switch: 5 wrong codes; wait 1 s"
    clock.advance(1)
    assert mine.reset(CODE) is None
    assert not mine.thrown


def test_codes_are_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    mine = switch(tmp_path)
    mine.throw("why not", "a")
    mine.reset("x")
    assert mine.reset(CODE) is None
    assert len(compared) == 2
    assert {len(part) for pair in compared for part in pair} == {32}  # digests: no length to be learned


@pytest.mark.parametrize("content", [b"", b"{", b'{"reason": 1}', b"\xff"])
def test_a_file_that_cannot_be_read_counts_as_thrown(tmp_path: Path, content: bytes) -> None:
    mine = switch(tmp_path)
    (tmp_path / "kill.json").write_bytes(content)
    assert mine.thrown
    why = mine.why()
    assert why is not None
    assert "cannot be read" in why.reason


def test_a_dangling_link_and_a_folder_that_is_gone_count_as_thrown(tmp_path: Path) -> None:
    mine = switch(tmp_path / "a")
    (tmp_path / "a" / "kill.json").symlink_to(tmp_path / "nowhere")
    assert mine.thrown
    (tmp_path / "a" / "kill.json").unlink()
    assert not mine.thrown
    (tmp_path / "a").rmdir()
    assert mine.thrown


def test_on_a_disk_with_room_for_a_name_only_it_is_thrown_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise DataError("no space left")

    monkeypatch.setattr(module, "write_atomic", full)
    switch(tmp_path).throw("full", "a")
    assert (tmp_path / "kill.json").stat().st_size == 0
    assert switch(tmp_path).thrown


def test_where_nothing_can_be_written_this_process_is_blocked_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    mine = switch(folder)
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with pytest.raises(DataError, match=r"kill\.json cannot be written"):
        mine.throw("gone", "a")
    folder.unlink()
    folder.mkdir()  # nothing on disk says so, but it was thrown
    assert mine.thrown
    assert mine.reset("wrong") is not None
    assert mine.thrown
    assert mine.reset(CODE) is None
    assert not mine.thrown


def test_the_flag_is_synced_before_throw_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    switch(tmp_path).throw("why not", "a")
    assert len(synced) == 2
    assert synced[1] == str(tmp_path)  # the file, then the folder that holds its name
