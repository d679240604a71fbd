"""What is left when the power goes: thousands of disks that a loss could have left behind.

    python -m tests.chaos.power_loss --images 1000 --seed 1

A scripted trading day is journaled, and snapshots of it are written, on a disk that records each request
(`tests.chaos.vfs`). For a random moment of the record, an image is made: what was synced by then is there;
of what was not, anything may be there, in any order, in part, or as garbage. Recovery then opens the image.
It must find every acknowledged entry, at most the one batch that was under way beyond them, all or none of
it, the hash chain intact, and be able to write on.

The same is done with synchronous NORMAL and OFF, and with snapshots that are not synced before they are
renamed: there the harness must find losses, or it would find none anywhere. The last line printed is JSON;
the exit code is 1 if an invariant broke, or if the harness was blind. `--mode` runs one mode of the journal
and exits 1 if an invariant broke in it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw

from maxlib.core.errors import DataError, InvariantError
from maxlib.journal.chain import Entry, Journal
from maxlib.journal.snapshots import SnapshotStore
from maxlib.journal.store import JournalFile
from tests.chaos.vfs import Disk, DiskVFS, Event, watched

FIGURES = ("safe", "lost", "events_lost", "torn", "corrupt", "stuck")
MODES = ("FULL", "NORMAL", "OFF")
SECTOR = 512
IMAGES_A_DAY = 100
OPEN_NS = 1_735_828_200_000_000_000  # 2025-01-02 09:30 in New York
MINUTE_NS = 60_000_000_000
MEMORY = Path("/dev/shm")  # what is judged is the record, so the real disk may be none

Told = tuple[int, str, dict[str, Any]]
Judge = Callable[[Path, int], "Verdict"]
Recorder = Callable[[Path, Random], tuple[list[Event], Judge]]


# --- the day


def trading_day(draw: Random) -> list[list[Told]]:
    """Batches of (ts, kind, data), each acknowledged as one, as a trader journals them."""
    batches: list[list[Told]] = [[(OPEN_NS, "started", {"run": draw.randbytes(8).hex()})]]
    for trade in range(1, 16):
        ts = OPEN_NS + trade * draw.randint(1, 12) * MINUTE_NS
        seen = {"trade": trade, "spot": 500 + draw.gauss(0, 3), "why": "x" * draw.randrange(3000)}
        batches.append([(ts, "signal", seen)])
        if draw.random() < 0.3:
            batches[-1].append((ts, "denied", {"trade": trade, "code": "MAX_POSITIONS"}))
            continue
        batches[-1].append((ts, "order", {"order": f"o{trade}", "trade": trade, "quantity": 4}))
        # Partial fills arrive one by one, or several in one message of the broker.
        fills = [(ts + n, "fill", {"order": f"o{trade}", "id": f"{trade}.{n}"}) for n in range(4)]
        cut = draw.randrange(5)
        batches += [part for part in (fills[:cut], fills[cut:]) if part]
        batches.append([(ts + 9, "closed", {"trade": trade, "pnl_cents": draw.randint(-9000, 9000)})])
    return batches


class RecordedJournal(JournalFile):
    """The journal over a recording disk, with checkpoints often enough to meet them."""

    _checkpoint_pages = 16

    def __init__(self, path: Path, vfs: DiskVFS, mode: str) -> None:
        self._vfs, self._synchronous = vfs.name, mode
        super().__init__(path)

    def _connect(self) -> apsw.Connection:
        return apsw.Connection(str(self.path), vfs=self._vfs)


def journal_day(folder: Path, day: Sequence[Sequence[Told]], mode: str) -> list[Event]:
    """The record of a day being journaled, with a restart at noon."""
    disk = Disk(folder)
    path = folder / "journal.db"
    done = 0
    with DiskVFS(disk) as vfs, watched(disk):
        for part in (day[: len(day) // 2], day[len(day) // 2 :]):
            with RecordedJournal(path, vfs, mode) as journal:
                for batch in part:
                    if len(batch) == 1:
                        journal.append(*batch[0])
                    else:
                        journal.append_all(batch)
                    done += len(batch)
                    disk.add("ack", at=done)
    return disk.log


def snapshot_day(folder: Path, entries: Sequence[Entry], *, lying: bool) -> list[Event]:
    """The record of a snapshot being written after each tenth entry."""
    disk = Disk(folder)
    store = SnapshotStore(folder)
    with watched(disk, lying=lying):
        for entry in entries[9::10]:
            store.write(state_at(entries, entry.seq), entry.seq, entry.hash)
            disk.add("ack", at=entry.seq)
    return disk.log


def state_at(entries: Sequence[Entry], seq: int) -> dict[str, Any]:
    """A state that is a projection of the journal, large enough to be torn."""
    return {"seq": seq, "last": [entry.body for entry in entries[max(0, seq - 20) : seq]]}


# --- the loss


def crash(log: Iterable[Event], draw: Random) -> dict[str, bytes]:
    """Files that a power loss after the last event may leave: name to content."""
    durable: dict[int, bytearray] = {}
    unsynced: dict[int, list[Event]] = {}
    names: dict[str, int] = {}
    moves: list[Event] = []
    for event in log:
        if event.what in ("make", "unlink", "rename"):
            moves.append(event)
        elif event.what == "sync_folder":
            _move(names, moves)
            moves = []
        elif event.what == "sync":
            _apply(durable.setdefault(event.file, bytearray()), unsynced.pop(event.file, []))
        elif event.what in ("write", "truncate"):
            unsynced.setdefault(event.file, []).append(event)
    for file, events in unsynced.items():
        content = durable.setdefault(file, bytearray())
        _apply(content, _some(events, draw, len(content)))
    _move(names, _some(moves, draw, 0))
    return {name: bytes(durable.get(file, b"")) for name, file in names.items()}


def _some(events: list[Event], draw: Random, size: int) -> list[Event]:
    """What survives of requests that no sync has followed; `size`: the file's when it was synced."""
    fate = draw.choice(("lost", "kept", "torn", "reordered", "shredded"))
    if fate == "lost":
        return []
    if fate == "torn":
        events = events[: draw.randrange(len(events) + 1)]
        last = events[-1:]
        if last and last[0].what == "write":
            whole = draw.randrange(len(last[0].data) // SECTOR + 1) * SECTOR
            return [*events[:-1], last[0]._replace(data=last[0].data[:whole])]
    if fate == "reordered":
        return [event for event in events if draw.random() < 0.5]
    if fate == "shredded":
        return [piece for event in events for piece in _shred(event, draw, size)]
    return events


def _shred(event: Event, draw: Random, size: int) -> Iterator[Event]:
    """The sectors of a write that survive; one that was never on the disk may be garbage instead."""
    if event.what != "write":
        if draw.random() < 0.5:
            yield event
        return
    for start in range(0, len(event.data), SECTOR):
        data = event.data[start : start + SECTOR]
        if draw.random() < 0.5:
            yield event._replace(at=event.at + start, data=data)
        elif event.at + start >= size and draw.random() < 0.5:
            yield event._replace(at=event.at + start, data=draw.randbytes(len(data)))


def _apply(content: bytearray, events: Iterable[Event]) -> None:
    for event in events:
        if event.what == "truncate":
            del content[event.at :]
        elif event.data:
            content.extend(bytes(max(0, event.at - len(content))))
            content[event.at : event.at + len(event.data)] = event.data


def _move(names: dict[str, int], moves: Iterable[Event]) -> None:
    for event in moves:
        if event.what == "make":
            names[event.name] = event.file
        else:
            names.pop(event.name, None)
            if event.what == "rename":
                names[event.to] = event.file


# --- the verdict


class Verdict(NamedTuple):
    """`safe`, or the invariant that broke; and how many acknowledged entries are lost, if it can be told."""

    what: str
    lost: int = 0


def judge_journal(folder: Path, acked: int, day: Sequence[Sequence[Told]], truth: Sequence[Entry]) -> Verdict:
    """How recovery fares with an image."""
    pending = acked
    ends = [0]
    for batch in day:
        ends.append(ends[-1] + len(batch))
        if ends[-2] == acked:
            pending = ends[-1]
    try:
        with JournalFile(folder / "journal.db", wait_seconds=0) as journal:
            seq, head = journal.seq, journal.verify()
            if seq < acked:
                return Verdict("lost", acked - seq)
            if seq not in (acked, pending) or (seq and head != truth[seq - 1].hash):
                return Verdict("torn")
            last = journal.append(OPEN_NS, "recovered", {"seq": seq})
        with JournalFile(folder / "journal.db", wait_seconds=0) as journal:
            return Verdict("safe" if journal.verify() == last.hash else "stuck")
    except (DataError, InvariantError):
        return Verdict("corrupt")


def judge_snapshots(folder: Path, acked: int, truth: Sequence[Entry]) -> Verdict:
    """How a start fares with an image; lost are the entries that the snapshot had covered."""
    found = SnapshotStore(folder).load(len(truth), lambda seq: truth[seq - 1].hash)
    if found.state is not None and found.state != state_at(truth, found.seq):
        return Verdict("torn")
    return Verdict("safe") if found.seq >= acked else Verdict("lost", acked - found.seq)


def journal_images(images: int, seed: int, mode: str) -> dict[str, int]:
    """Figures over `images` losses during days journaled with `PRAGMA synchronous=mode`."""

    def record(folder: Path, draw: Random) -> tuple[list[Event], Judge]:
        day = trading_day(draw)
        truth = Journal()
        for ts, kind, data in (told for batch in day for told in batch):
            truth.append(ts, kind, data)
        log = journal_day(folder, day, mode)
        return log, lambda image, acked: judge_journal(image, acked, day, truth.entries)

    return _images(images, seed, record)


def snapshot_images(images: int, seed: int, *, lying: bool = False) -> dict[str, int]:
    """The same figures for snapshots; `lying`: they are renamed without having been synced."""

    def record(folder: Path, draw: Random) -> tuple[list[Event], Judge]:
        truth = Journal()
        for ts, kind, data in (told for batch in trading_day(draw) for told in batch):
            truth.append(ts, kind, data)
        log = snapshot_day(folder, truth.entries, lying=lying)
        return log, lambda image, acked: judge_snapshots(image, acked, truth.entries)

    return _images(images, seed, record)


def _images(images: int, seed: int, record: Recorder) -> dict[str, int]:
    draw = Random(seed)
    found: Counter[str] = Counter()
    log: list[Event] = []
    judge: Judge
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        for number in range(images):
            if number % IMAGES_A_DAY == 0:
                folder = Path(place) / f"day-{number}"
                folder.mkdir()
                log, judge = record(folder, draw)
            upto = draw.randrange(len(log) + 1)
            acked = max((event.at for event in log[:upto] if event.what == "ack"), default=0)
            image = Path(place) / f"image-{number}"
            image.mkdir()
            for name, content in crash(log[:upto], draw).items():
                (image / name).write_bytes(content)
            # Never synced, so anything may be in it.
            (image / "journal.db-shm").write_bytes(draw.randbytes(32768))
            verdict = judge(image, acked)
            found[verdict.what] += 1
            found["events_lost"] += verdict.lost
            for path in image.iterdir():
                path.unlink()
    return {"images": images, **{key: found[key] for key in FIGURES}}


def broken(figures: dict[str, int]) -> int:
    """Images in which an invariant broke."""
    return figures["images"] - figures["safe"]


def main(arguments: Sequence[str]) -> int:
    """Run, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.power_loss")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, help="only this mode of the journal")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if given.mode:
        figures = {given.mode: journal_images(given.images, given.seed, given.mode)}
        failed = broken(figures[given.mode]) > 0
    else:
        figures = {mode: journal_images(given.images, given.seed, mode) for mode in MODES}
        figures["snapshots"] = snapshot_images(given.images, given.seed)
        figures["snapshots unsynced"] = snapshot_images(given.images, given.seed, lying=True)
        sound = [figures.pop(key) for key in ("FULL", "snapshots")]
        failed = any(map(broken, sound)) or not all(map(broken, figures.values()))
        figures = {"FULL": sound[0], "snapshots": sound[1], **figures}
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"seed": given.seed, **figures, "failed": failed, "seconds": seconds}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
