"""The journal on disk: SQLite, write-ahead log, synchronous, one writer.

SQLite comes from apsw, not from the standard library: versions up to 3.51.2 can corrupt a
write-ahead log that two connections use.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import apsw

from maxlib.core.canonical import canonical
from maxlib.core.errors import DataError, InvariantError
from maxlib.core.files import write_atomic
from maxlib.journal.chain import GENESIS, Entry, link, verify
from maxlib.journal.errors import HaltEntriesError, RefuseStartError, StopTradingError
from maxlib.journal.files import WriterLock, make_folder, sync_folder

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT
"""
_ROWS: Final = "SELECT seq, ts, kind, body, hash FROM journal"
_TAIL: Final = 64  # entries whose chain is checked at every opening: two orders of magnitude below a day's
_QUARANTINE: Final = ".quarantine"
_NO_SPACE: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class JournalFile:
    """A journal in one SQLite file; an append is durable when it returns.

    Only this object writes to the file; readers, in this process or others, open it read-only (`read`).
    It may be used from any thread, by one at a time. An error says by its kind what to do next, see
    `maxlib.journal.errors`; a journal that raised `StopTradingError` takes nothing more, since a sync
    that failed once may succeed the second time without having written anything.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made if missing. `<file>.lock` beside it keeps a second writer
        out. A file found corrupt while open gets a `<file>.quarantine` beside it, which says what was
        found; until somebody removes that, the journal does not open.
    wait_seconds : float
        How long to wait for another writer to leave, or for another program's lock on the file.

    Raises
    ------
    RefuseStartError
        If there is another writer, the file cannot be written to, is corrupt or quarantined, or its
        last 64 entries do not follow one another. The file is then left as it was.
    """

    _synchronous = "FULL"
    _checkpoint_pages = 1000

    def __init__(self, path: Path, *, wait_seconds: float = 2.0) -> None:
        self.path = path
        self._wait = wait_seconds
        self._stopped: str | None = None
        self._log_pages = [0]
        try:
            make_folder(path.parent)
            self._refuse_quarantined()
            self._lock = WriterLock(path, wait_seconds)
        except OSError as error:
            raise RefuseStartError(f"{path} cannot be written to: {error.strerror}") from None
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    @property
    def seq(self) -> int:
        """Number of the newest entry, 0 if there is none."""
        return self._seq

    @property
    def head(self) -> str:
        """Hash of the newest entry."""
        return self._head

    def append(self, ts: int, kind: str, data: dict[str, Any]) -> Entry:
        """Add an entry durably and return it. Raises what `extend` raises."""
        entry = link(self._head, self._seq + 1, ts, kind, canonical(data))
        self._write([entry])
        return entry

    def append_all(self, events: Iterable[tuple[int, str, dict[str, Any]]]) -> list[Entry]:
        """Add (ts, kind, data) in one transaction, all or none. Raises what `extend` raises."""
        rows: list[Entry] = []
        head = self._head
        for seq, (ts, kind, data) in enumerate(events, start=self._seq + 1):
            rows.append(link(head, seq, ts, kind, canonical(data)))
            head = rows[-1].hash
        self._write(rows)
        return rows

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add entries that follow this journal's head, in one transaction: all or none.

        Raises
        ------
        InvariantError
            If an entry does not follow from the one before it; nothing is written.
        HaltEntriesError
            If the disk is full, or another program locks the file for too long; nothing is written.
        StopTradingError
            If the disk fails, the file was moved or is corrupt; it may or may not be written.
        """
        rows = list(entries)
        verify(rows, self._seq, self._head)
        self._write(rows)

    def entries(self, after: int = 0) -> list[Entry]:
        """Entries with numbers above `after`, their chain checked.

        Raises
        ------
        StopTradingError
            If they cannot be read, or do not follow from entry `after`; the file is then quarantined.
        """
        before = self.hash_at(after)
        try:
            rows = _rows(self._db, "WHERE seq > ? ORDER BY seq", after)
            verify(rows, after, before)
        except InvariantError as error:
            self._stop(str(error), corrupt=True)
        except apsw.Error as error:
            self._fail(error)
        return rows

    def hash_at(self, seq: int) -> str:
        """Hash of entry `seq`: it stands for the journal up to there.

        Raises
        ------
        InvariantError
            If there is no such entry.
        """
        self._refuse_stopped()
        if seq == 0:
            return GENESIS
        try:
            rows = _rows(self._db, "WHERE seq = ?", seq)
        except apsw.Error as error:
            self._fail(error)
        if not rows:
            raise InvariantError(f"journal {self.path.name} has no entry {seq}; its newest is {self._seq}")
        return rows[0].hash

    def verify(self) -> str:
        """Check the whole file, pages and chain; returns the head. Raises what `entries` raises."""
        self._refuse_stopped()
        try:
            ((found,),) = self._db.execute("PRAGMA integrity_check(1)")
        except apsw.Error as error:
            self._fail(error)
        if found != "ok":
            self._stop(" ".join(str(found).split()), corrupt=True)
        rows = self.entries()
        return rows[-1].hash if rows else GENESIS

    def close(self) -> None:
        """Close the file and let the next writer in; a second call does nothing."""
        try:
            if self._stopped is not None:
                _leave_untouched(self._db)
            self._db.close()
        except apsw.ConnectionClosedError:
            pass
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening

    def _connect(self) -> apsw.Connection:
        return apsw.Connection(str(self.path))

    def _open(self) -> None:
        db = None
        try:
            db = self._db = self._connect()
            _leave_untouched(db)  # until it has been found sound
            if db.readonly("main"):
                raise RefuseStartError(f"{self.path} cannot be written to: it is read-only")
            db.set_busy_timeout(int(self._wait * 1000))
            db.execute("PRAGMA fullfsync=ON")  # on a Mac, a plain sync stops at the drive's cache
            if db.execute("SELECT count(*) FROM sqlite_schema").get:
                self._seq, self._head = self._check_tail()
            else:
                self._seq, self._head = 0, GENESIS
            mode = db.execute("PRAGMA journal_mode=WAL").get
            if mode != "wal":
                raise RefuseStartError(f"{self.path} cannot be opened: it has no write-ahead log but {mode}")
            db.execute(f"PRAGMA synchronous={self._synchronous}")
            db.execute(_SCHEMA)
            # SQLite swallows the errors of its own checkpoints, a failed sync among them: ours are checked.
            db.set_wal_hook(_counter(self._log_pages))
            sync_folder(self.path.parent)
            # What a failed sync left in the log is read back from memory, though the disk may not have it:
            # it is written once more, into the file, before anything is built upon it.
            with contextlib.suppress(apsw.BusyError):
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._file = self.path.stat()
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        except BaseException as error:
            if db is not None:
                db.close()
            if isinstance(error, apsw.Error | OSError | InvariantError):
                raise RefuseStartError(f"{self.path} is not a journal that can be opened: {error}") from None
            raise

    def _check_tail(self) -> tuple[int, str]:
        rows = _rows(self._db, "ORDER BY seq DESC LIMIT ?", _TAIL + 1)[::-1]
        if not rows:
            return 0, GENESIS
        if len(rows) <= _TAIL:
            return rows[-1].seq, verify(rows)
        return rows[-1].seq, verify(rows[1:], rows[0].seq, rows[0].hash)

    @property
    def _marker(self) -> Path:
        return self.path.with_name(f"{self.path.name}{_QUARANTINE}")

    def _refuse_quarantined(self) -> None:
        if self._marker.exists():
            why = self._marker.read_text(encoding="utf-8", errors="replace").strip()
            raise RefuseStartError(
                f"{self.path} is quarantined ({why}); restore it and remove {self._marker.name}"
            )

    # --- writing

    def _write(self, rows: list[Entry]) -> None:
        self._refuse_stopped()
        self._refuse_moved()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except apsw.Error as error:
            self._fail(error)
        if rows:
            self._seq, self._head = rows[-1].seq, rows[-1].hash
        if self._log_pages[0] >= self._checkpoint_pages:
            self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            # The entry is safe in the log: to raise a halt now would deny it. The next append tries again.
            if self._passes(error) is None:
                self._fail(error)

    def _fail(self, error: apsw.Error) -> NoReturn:
        """Undo what was begun, and raise what the trader must do."""
        passes = self._passes(error)
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error as worse:
            error, passes = worse, None
        if passes is not None:
            raise HaltEntriesError(
                f"journal {self.path.name} cannot take entry {self._seq + 1}: {passes}"
            ) from None
        self._stop(str(error), corrupt=isinstance(error, apsw.CorruptError | apsw.NotADBError))

    def _passes(self, error: apsw.Error) -> str | None:
        """What is the matter, if it can pass and nothing was written; else None."""
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return f"another program has locked it for {self._wait:g} s"
        if isinstance(error, apsw.FullError):
            return "the disk is full"
        # Only a write to the log: its index is written when the entry already stands in the log.
        full = getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_WRITE
        if full and self._db.system_errno in _NO_SPACE:
            return f"there is no space for it ({os.strerror(self._db.system_errno)})"
        return None

    def _stop(self, why: str, *, corrupt: bool = False) -> NoReturn:
        self._stopped = f"journal {self.path.name} has failed at entry {self._seq} and is not used on: {why}"
        if corrupt:
            with contextlib.suppress(DataError):  # the marker is for the next start; this one stops anyway
                write_atomic(self._marker, why + "\n")
        raise StopTradingError(self._stopped) from None

    def _refuse_stopped(self) -> None:
        if self._stopped is not None:
            raise StopTradingError(self._stopped)

    def _refuse_moved(self) -> None:
        """An unlinked file takes appends like any other, and is gone when it is closed."""
        try:
            if os.path.samestat(self.path.stat(), self._file):
                return
        except OSError as error:
            self._stop(f"the file is gone ({error.strerror})")
        self._stop("another file has been put in its place")


def read(path: Path, after: int = 0) -> list[Entry]:
    """Entries of a journal file with numbers above `after`, opened read-only; the chain is not checked.

    Raises
    ------
    DataError
        If the file is missing or is not a journal.
    """
    if not path.exists():
        raise DataError(f"journal {path.name} does not exist")
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(2000)
            return _rows(db, "WHERE seq > ? ORDER BY seq", after)
    except apsw.Error as error:
        raise DataError(f"{path.name} is not a journal that can be read: {error}") from None


def check(path: Path) -> list[Entry]:
    """All entries of a journal file, opened read-only, its pages and its chain checked. Nothing is written.

    Raises
    ------
    DataError
        If the file is missing, quarantined or no journal, or its pages are damaged.
    InvariantError
        Names the first entry that does not follow from the one before it.
    """
    marker = path.with_name(f"{path.name}{_QUARANTINE}")
    if marker.exists():
        why = marker.read_text(encoding="utf-8", errors="replace").strip()
        raise DataError(f"{path.name} is quarantined ({why})")
    rows = read(path)
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(2000)
            ((found,),) = db.execute("PRAGMA integrity_check(1)")
    except apsw.Error as error:
        found = error
    if found != "ok":
        raise DataError(f"{path.name} is damaged: {' '.join(str(found).split())}")
    verify(rows)
    return rows


def _rows(db: apsw.Connection, which: str, value: int) -> list[Entry]:
    try:
        return [Entry(*row) for row in db.execute(f"{_ROWS} {which}", (value,))]
    except UnicodeDecodeError:  # pages can be torn in ways that SQLite itself does not see
        raise apsw.CorruptError("an entry is no text") from None


def _counter(pages: list[int]) -> Callable[[apsw.Connection, str, int], int]:
    """Keep the log's length in `pages`; no method, lest a journal that nobody closed be kept alive."""

    def count(_db: apsw.Connection, _name: str, now: int) -> int:
        pages[0] = now
        return apsw.SQLITE_OK

    return count


def _leave_untouched(db: apsw.Connection) -> None:
    """Keep the last to close from moving the log into the file."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
