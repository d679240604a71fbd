"""The journal on disk: SQLite, write-ahead log, synchronous, one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maxlib.core.canonical import canonical
from maxlib.core.errors import DataError, InvariantError
from maxlib.journal.chain import GENESIS, Entry, link

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT
"""


class JournalFile:
    """A journal in one SQLite file; an append is durable when it returns.

    The only writer must be this object. Readers open the file read-only.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(_SCHEMA)
            last = self._db.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"{path} is not a journal that can be opened: {error}") from None
        self._seq: int = last[0] if last else 0
        self._head: str = last[1] if last else GENESIS

    @property
    def head(self) -> str:
        """Hash of the newest entry."""
        return self._head

    def append(self, ts: int, kind: str, data: dict[str, Any]) -> Entry:
        """Add an entry durably and return it."""
        entry = link(self._head, self._seq + 1, ts, kind, canonical(data))
        self.extend([entry])
        return entry

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add entries that follow this journal's head, in one transaction: all or none.

        Raises
        ------
        InvariantError
            If an entry does not follow from the one before it.
        """
        rows = list(entries)
        seq, head = self._seq, self._head
        for row in rows:
            if link(head, seq + 1, row.ts, row.kind, row.body) != row:
                raise InvariantError(f"journal entry {row.seq} ({row.kind}) does not follow entry {seq}")
            seq, head = row.seq, row.hash
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._seq, self._head = seq, head

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def read(path: Path) -> list[Entry]:
    """All entries of a journal file, opened read-only.

    Raises
    ------
    DataError
        If the file is missing or is not a journal.
    """
    if not path.exists():
        raise DataError(f"journal {path.name} does not exist")
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with db:
            return [
                Entry(*row)
                for row in db.execute("SELECT seq, ts, kind, body, hash FROM journal ORDER BY seq")
            ]
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path.name} is not a journal that can be read: {error}") from None
