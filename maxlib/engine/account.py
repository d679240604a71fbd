"""The account at the end of a day, so that the next day's trader goes on with it.

A journal is one day of one account. What outlives the day is the cash and what the guard counts
over weeks: losses, the peak, breakers. They stand in the next journal's first entry.
"""

from __future__ import annotations

import glob
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from maxlib.core.errors import ConfigError, DataError
from maxlib.journal.snapshots import SnapshotStore
from maxlib.journal.store import read
from maxlib.ops.killswitch import KillSwitch

JOURNAL: Final = "journal.sqlite"
KILL_SWITCH: Final = "kill.json"
MOVES: Final = frozenset({"bar", "fill", "stray", "expired"})
"""Entries that change an account; after a day's end there are none."""


class Carried(NamedTuple):
    """An account between two days.

    day, label : of the journal it was left by
    head : hash of that journal's last entry
    cash_cents : nothing else was held
    guard : its state, as `Guard.snapshot` gives it; None = there never was a guard
    halted : the trader was halted, or its broker differed and nobody had looked
    killed : why the kill switch was thrown, or ""
    """

    day: str
    label: str
    head: str
    cash_cents: int
    guard: dict[str, Any] | None
    halted: bool = False
    killed: str = ""


def ended(folder: Path, label: str, broker: str = "simulated") -> Carried:
    """The account that a trader of `folder` left.

    Parameters
    ----------
    label, broker : of the day that is to go on with it

    Raises
    ------
    DataError
        If there is no journal, its day has not ended, something is still held, or its money is of
        another label or broker: simulated money is not paper money.
    """
    if not (folder / JOURNAL).is_file():
        raise DataError(f"--after {folder}: there is no journal")
    entries = read(folder / JOURNAL)
    if not entries:
        raise DataError(f"--after {folder}: no day was traded there, so there is no account to go on with")
    first = json.loads(entries[0].body)
    for name, mine in (("label", label), ("broker", broker)):
        if first.get(name, mine) != mine:
            raise DataError(f"--after {folder}: its account is of {name} {first[name]}, this day's of {mine}")
    found = SnapshotStore(folder / "snapshots").load(len(entries), lambda seq: entries[seq - 1].hash)
    moved = any(entry.kind in MOVES for entry in entries[found.seq :])
    if found.state is None or not found.state["finished"] or moved:
        raise DataError(f"--after {folder}: the day {first['day']} has not ended; run maxtrader end {folder}")
    machine, account = found.state["machine"], found.state["broker"]
    if machine["held"] or machine["positions"]:
        raise DataError(
            f"--after {folder}: {len(machine['held'])} contracts are still held at the end of "
            f"{first['day']}, and a new day goes on with cash only"
        )
    return Carried(
        first["day"], first["label"], entries[-1].hash, machine["cash_cents"], machine["guard"],
        machine["halted"] or bool(account and account["books"]["blocks"]), _killed(folder),
    )  # fmt: skip


def _killed(folder: Path) -> str:
    thrown = KillSwitch(folder / KILL_SWITCH).why()
    return "" if thrown is None else f"{thrown.reason} ({thrown.by})"


def newest(folder: Path, day: str, label: str, broker: str = "simulated") -> Carried | None:
    """The account of the newest day before `day` beside `folder`, whose name must differ by the day only.

    None = there is no earlier day: the account begins with this one. A day without a bar left it as it was.

    Raises
    ------
    ConfigError
        If the name of `folder` does not hold the day.
    DataError
        As `ended`.
    """
    before, named, after = folder.name.partition(day)
    if not named:
        raise ConfigError(f"--after last: the folder {folder.name} should have the day {day} in its name")
    found = []
    for other in folder.absolute().parent.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        middle = other.name.removeprefix(before).removesuffix(after)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", middle) and middle < day and (other / JOURNAL).is_file():
            found.append((middle, other))
    for _, other in sorted(found, reverse=True):
        if any(entry.kind == "bar" for entry in read(other / JOURNAL)):
            return ended(other, label, broker)
    return None
