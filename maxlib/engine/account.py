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
from maxlib.journal.chain import Entry
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


def ended(folder: Path, day: str, label: str, broker: str = "simulated") -> Carried:
    """The account that a trader of `folder` left.

    Parameters
    ----------
    day, label, broker : of the day that is to go on with it

    Raises
    ------
    DataError
        If there is no journal, its day is not an earlier one or has not ended, something is still held,
        or its money is of another label or broker: simulated money is not paper money.
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
    if first["day"] >= day:
        raise DataError(
            f"--after {folder}: its day {first['day']} should be before {day}, which goes on with it"
        )
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
    halted, killed = _asked(entries[found.seq :], halted=machine["halted"], killed=machine["killed"])
    return Carried(
        first["day"], first["label"], entries[-1].hash, machine["cash_cents"], machine["guard"],
        halted or bool(account and account["books"]["blocks"]), _why(folder, killed=killed),
    )  # fmt: skip


def _why(folder: Path, *, killed: bool) -> str:
    """Why the kill switch is thrown, by its file or by the journal."""
    thrown = KillSwitch(folder / KILL_SWITCH).why()
    if thrown is not None:
        return f"{thrown.reason} ({thrown.by})"
    return "so its journal says" if killed else ""


def _asked(entries: list[Entry], *, halted: bool, killed: bool) -> tuple[bool, bool]:
    """Halted and killed, after the commands among entries."""
    for entry in entries:
        if entry.kind == "command":
            name = json.loads(entry.body)["name"]
            halted = halted if name not in ("halt", "resume", "kill") else name != "resume"
            killed = killed if name not in ("kill", "reset") else name == "kill"
    return halted, killed


def _idle(folder: Path, entries: list[Entry]) -> tuple[bool, str]:
    """Halted, and why killed, at the end of a day without a bar."""
    carried = bool((json.loads(entries[0].body)["carried"] or {}).get("halted"))
    halted, killed = _asked(entries, halted=carried, killed=False)
    return halted, _why(folder, killed=killed)


def newest(folder: Path, day: str, label: str, broker: str = "simulated") -> Carried | None:
    """The account of the newest day before `day` beside `folder`, whose name must differ by the day only.

    None = there is no earlier day: the account begins with this one. A day without a bar left the money
    as it was; a halt or a kill of such a day counts, and so does its end if that day went on with an account.

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
    halted, killed, told = False, "", False
    for _, other in sorted(found, reverse=True):
        entries = read(other / JOURNAL)
        if any(entry.kind == "bar" for entry in entries):
            account = ended(other, day, label, broker)
            if told:
                return account._replace(halted=halted, killed=killed)
            return account._replace(halted=account.halted or halted, killed=killed or account.killed)
        if entries and not told:
            on, why = _idle(other, entries)
            halted, killed = halted or on, killed or why
            told = json.loads(entries[0].body)["carried"] is not None
    return None
