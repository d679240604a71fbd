"""Folders that outlive a power loss, and the lock that keeps a second writer out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from pathlib import Path

from maxlib.journal.errors import RefuseStartError


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a synced file may still lose its name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


class WriterLock:
    """The right to write to a file: `<file>.lock` beside it, held by one process at a time.

    The kernel drops it when the process ends, however it ends; a lock file left behind locks nothing.

    Raises
    ------
    RefuseStartError
        If another writer holds it for longer than `wait_seconds`.
    """

    def __init__(self, path: Path, wait_seconds: float) -> None:
        real = path.resolve()  # one lock for a file, by whatever link it is reached
        self._path = real.with_name(f"{real.name}.lock")
        until = time.monotonic() + wait_seconds
        while (handle := self._try()) is None:
            if time.monotonic() >= until:
                raise RefuseStartError(f"{path} is being written by {self._holder()}: one writer at a time")
            time.sleep(0.005)
        # Also when nobody releases it: a writer that failed to start must not lock out the next.
        self._close = weakref.finalize(self, _unlock, handle)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next writer in; a second call does nothing."""
        if self._close.alive:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._close()

    def _try(self) -> int | None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us unlinks its file: a lock on a file without its name keeps nobody out.
            if os.path.samestat(os.fstat(handle), self._path.stat()):
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(handle)
        return None

    def _holder(self) -> str:
        try:
            return f"process {int(self._path.read_text(encoding='ascii'))}"
        except (OSError, ValueError):
            return "another process"


def _unlock(handle: int) -> None:
    # Closing is not enough: a process forked meanwhile would go on holding the lock.
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
