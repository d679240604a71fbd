"""No acknowledged entry is lost to a power loss; and the harness that says so is not blind."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.chaos.power_loss import (
    broken,
    crash,
    journal_day,
    journal_images,
    main,
    snapshot_images,
    trading_day,
)
from tests.chaos.vfs import Event

SECTOR = 512


def test_row_3_power_loss_loses_no_acknowledged_entry() -> None:
    figures = journal_images(1000, seed=3, mode="FULL")
    assert figures["safe"] == figures["images"] == 1000, figures


@pytest.mark.slow
def test_row_3_power_loss_loses_no_acknowledged_entry_in_20_000_images() -> None:
    figures = journal_images(20_000, seed=33, mode="FULL")
    assert figures["safe"] == figures["images"] == 20_000, figures


def test_row_3_power_loss_leaves_the_acknowledged_snapshot_or_the_next() -> None:
    figures = snapshot_images(1000, seed=3)
    assert figures["safe"] == figures["images"] == 1000, figures


def test_the_harness_sees_what_synchronous_normal_loses() -> None:
    figures = journal_images(100, seed=3, mode="NORMAL")
    assert figures["lost"] > 0
    assert figures["events_lost"] >= figures["lost"]
    assert figures["corrupt"] == 0  # the log is synced before it is moved into the file


def test_the_harness_sees_what_synchronous_off_loses_and_corrupts() -> None:
    figures = journal_images(100, seed=3, mode="OFF")
    assert figures["lost"] > 0
    assert figures["corrupt"] > 0


def test_the_harness_sees_snapshots_that_are_not_synced() -> None:
    assert snapshot_images(100, seed=3, lying=True)["lost"] > 0


def test_the_harness_sees_a_folder_that_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlib.journal.snapshots.sync_folder", lambda folder: None)
    assert snapshot_images(100, seed=3)["lost"] > 0


@pytest.mark.parametrize(("mode", "code"), [("FULL", 0), ("NORMAL", 1), ("OFF", 1)])
def test_the_script_exits_1_if_an_invariant_broke(
    mode: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--images", "60", "--seed", "5", "--mode", mode]) == code
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["failed"] is bool(code)
    assert (broken(figures[mode]) > 0) is bool(code)


def test_the_script_runs_every_mode_and_says_so_in_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", "60", "--seed", "5"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"FULL", "NORMAL", "OFF", "snapshots", "snapshots unsynced"} < figures.keys()
    assert figures["FULL"]["events_lost"] == 0


def test_a_harness_that_finds_nothing_anywhere_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.chaos.power_loss._some", lambda events, draw, size: events)
    assert main(["--images", "60"]) == 1


def test_the_same_seed_makes_the_same_images() -> None:
    assert journal_images(60, seed=8, mode="OFF") == journal_images(60, seed=8, mode="OFF")


def test_the_scripted_day_meets_batches_checkpoints_and_restarts(tmp_path: Path) -> None:
    day = trading_day(Random(1))
    log = journal_day(tmp_path, day, "FULL")
    acks = [event.at for event in log if event.what == "ack"]
    assert acks[-1] == sum(map(len, day))
    assert max(map(len, day)) > 1
    logs = [event.file for event in log if event.what == "make" and event.name == "journal.db-wal"]
    assert len(logs) == 2  # the second is that of the restart
    (main_file,) = [event.file for event in log if event.what == "make" and event.name == "journal.db"]
    first, last = log.index(Event("ack", at=acks[0])), log.index(Event("ack", at=acks[-1]))
    moved = [event for event in log[first:last] if event.what == "write" and event.file == main_file]
    assert len(moved) > 20  # pages that checkpoints moved, most of them while the day went on


# --- the model of a disk, by hand


def crashes(log: list[Event], count: int = 300) -> list[dict[str, bytes]]:
    draw = Random(4)
    return [crash(log, draw) for _ in range(count)]


MADE = [Event("make", 0, "a"), Event("write", 0, data=b"x" * 1024)]


def test_a_synced_file_in_a_synced_folder_is_all_there() -> None:
    log = [*MADE, Event("sync", 0), Event("sync_folder")]
    assert all(image == {"a": b"x" * 1024} for image in crashes(log))


def test_a_synced_file_may_lack_its_name() -> None:
    images = crashes([*MADE, Event("sync", 0)])
    assert {} in images
    assert {"a": b"x" * 1024} in images
    assert all(image in ({}, {"a": b"x" * 1024}) for image in images)


def test_an_unsynced_write_may_be_lost_torn_at_a_sector_or_garbage() -> None:
    contents = [image["a"] for image in crashes([*MADE, Event("sync_folder")])]
    assert b"" in contents
    assert b"x" * 512 in contents
    assert bytes(512) + b"x" * 512 in contents  # the second sector came first
    assert b"x" * 1024 in contents
    assert any(set(content[:512]) - set(b"x\0") for content in contents)


def test_unsynced_writes_over_synced_ones_leave_old_or_new_sectors_and_no_others() -> None:
    log = [*MADE, Event("sync", 0), Event("sync_folder"), Event("write", 0, data=b"y" * 1024)]
    contents = [image["a"] for image in crashes(log)]
    sectors = {content[i : i + 512] for content in contents for i in (0, 512)}
    assert sectors == {b"x" * 512, b"y" * 512}
    assert b"x" * 512 + b"y" * 512 in contents


def test_an_unsynced_rename_happened_or_not() -> None:
    log = [*MADE, Event("sync", 0), Event("sync_folder"), Event("rename", 0, "a", to="b")]
    assert {tuple(image) for image in crashes(log)} == {("a",), ("b",)}
