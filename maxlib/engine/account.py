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

JOURNAL: Final = "journal.sqlite"


class Carried(NamedTuple):
    """An account between two days.

    day, label : of the journal it was left by
    head : hash of that journal's last entry
    cash_cents : nothing else was held
    guard : its state, as `Guard.snapshot` gives it; None = there was no guard
    """

    day: str
    label: str
    head: str
    cash_cents: int
    guard: dict[str, Any] | None


def ended(folder: Path, label: str) -> Carried:
    """The account that a trader of `folder` left.

    Parameters
    ----------
    label : of the day that is to go on with it

    Raises
    ------
    DataError
        If there is no journal, its day has not ended in order, something is still held, or its money
        is of another label: simulated money is not paper money.
    """
    entries = read(folder / JOURNAL)
    if not entries:
        raise DataError(f"{folder}: no day was traded there, so there is no account to go on with")
    first = json.loads(entries[0].body)
    if first["label"] != label:
        raise DataError(
            f"{folder}: its account is {first['label']}; a day that is {label} cannot go on with it"
        )
    found = SnapshotStore(folder / "snapshots").load(len(entries), lambda seq: entries[seq - 1].hash)
    if found.state is None or found.seq != len(entries) or not found.state["finished"]:
        raise DataError(
            f"{folder}: the day {first['day']} has not ended in order; start its trader once more, to its end"
        )
    machine = found.state["machine"]
    if machine["held"] or machine["positions"]:
        raise DataError(
            f"{folder}: {len(machine['held'])} contracts are still held at the end of {first['day']}; "
            "a new day goes on with cash only"
        )
    cash, guard = machine["cash_cents"], machine["guard"]
    return Carried(first["day"], first["label"], entries[-1].hash, cash, guard)


def newest(folder: Path, day: str, label: str) -> Carried | None:
    """The account of the newest day before `day` beside `folder`, whose name must differ by the day only.

    None = there is no earlier day: the account begins with this one.

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
    return ended(max(found)[1], label) if found else None
