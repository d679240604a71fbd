"""The hash chain: each entry's hash covers the entry and the hash before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from maxlib.core.canonical import canonical, sha256
from maxlib.core.errors import InvariantError

GENESIS: Final = "0" * 64


class Entry(NamedTuple):
    """One row. `body` is canonical JSON with the entry's kind and data; `ts` is UTC ns."""

    seq: int
    ts: int
    kind: str
    body: str
    hash: str


class Journal:
    """An append-only journal in memory. Entries get sequence numbers from 1.

    `stamp` goes into every entry: that the run is simulated, say.
    """

    def __init__(self, stamp: Mapping[str, Any] | None = None) -> None:
        self.entries: list[Entry] = []
        self._stamp = dict(stamp or {})

    @property
    def head(self) -> str:
        """Hash of the newest entry: it stands for the whole journal."""
        return self.entries[-1].hash if self.entries else GENESIS

    def append(self, ts: int, kind: str, data: dict[str, Any]) -> Entry:
        """Add an entry and return it."""
        entry = link(self.head, len(self.entries) + 1, ts, kind, canonical({**self._stamp, **data}))
        self.entries.append(entry)
        return entry

    def commit(self) -> None:
        """Make all entries durable; in memory there is nothing to do."""


class Silent(Journal):
    """A journal that keeps nothing: for the cells of a sweep, of which only the figures are asked."""

    def append(self, ts: int, kind: str, data: dict[str, Any]) -> Entry:
        """Return an entry without a hash, and forget it."""
        del data
        return Entry(0, ts, kind, "", GENESIS)


def link(before: str, seq: int, ts: int, kind: str, body: str) -> Entry:
    """The entry that follows the hash `before`."""
    return Entry(seq, ts, kind, body, sha256(f"{before}|{seq}|{ts}|{kind}|{body}"))


def verify(entries: Iterable[Entry], seq: int = 0, head: str = GENESIS) -> str:
    """Check sequence and hashes; returns the head.

    Parameters
    ----------
    seq, head : number and hash of the entry that `entries` follow; by default they are the first

    Raises
    ------
    InvariantError
        Names the first entry that does not follow from the one before it.
    """
    for number, entry in enumerate(entries, start=seq + 1):
        if link(head, number, entry.ts, entry.kind, entry.body) != entry:
            raise InvariantError(
                f"journal entry {number} ({entry.kind}) does not follow from the one before it"
            )
        head = entry.hash
    return head
