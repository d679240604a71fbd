"""The watchdog inside the trader: a C timer that ends the process when its loop stands still.

A thread written in Python is no watchdog: it needs the interpreter lock that a catastrophic regular
expression, big-integer arithmetic or a C loop holds. `faulthandler`'s timer needs no lock. Neither
survives SIGSTOP; that is the supervisor's part.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from maxlib.core.errors import DataError
from maxlib.ops.process import started

_PREFIX: Final = "hang-"
_KEPT: Final = 10
# Re-arming starts a thread (tens of microseconds), so it is not done in every turn of a busy loop.
_GRAIN: Final = 0.1


class Watchdog:
    """Ends this process, with exit code 1 and a traceback in a file, unless fed in time.

    There is one such timer in a process: a second watchdog takes the first one's place.

    Parameters
    ----------
    folder : where `hang-<start>-<pid>.txt` is written; the ten newest are kept
    timeout_s : how long the loop may stand still. The process ends between 90 % and 100 % of it after
        the last `feed`.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._armed = -1.0
        self.path = folder / f"{_PREFIX}{time.time_ns():020d}-{os.getpid()}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _prune(folder)
            # Opened now: when the time is up there may be neither a free descriptor nor a lock to be had.
            self._file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror}") from None

    def feed(self) -> None:
        """Start the time anew. Call it from the work itself, next to `Heart.beat`."""
        now = time.monotonic()
        if self._armed < 0 or now - self._armed > _GRAIN * self._timeout_s:
            faulthandler.dump_traceback_later(self._timeout_s, exit=True, file=self._file)
            self._armed = now

    def stop(self) -> None:
        """Disarm it, before an orderly end."""
        faulthandler.cancel_dump_traceback_later()
        self._armed = -1.0
        self._file.close()
        with contextlib.suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()

    def __enter__(self) -> Watchdog:
        """Arm it."""
        self.feed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disarm it."""
        self.stop()


def hangs(folder: Path) -> list[Path]:
    """The tracebacks of watchdogs that fired, oldest first."""
    return [path for path in _files(folder) if path.stat().st_size]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*.txt"))


def _prune(folder: Path) -> None:
    fired = hangs(folder)
    unused = [p for p in _files(folder) if p not in fired and started(_pid(p)) is None]
    for path in (*unused, *fired[:-_KEPT]):
        with contextlib.suppress(OSError):
            path.unlink()


def _pid(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
