"""The machine that a walk runs on: its clocks, who lives on it, and threads that are none.

All clocks show the market's time, so that a lease runs out and a code is locked out when the walk says
so. A call in a thread is carried out at once: the order of all that happens is the walk's alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import apsw
import pytest

from maxlib.app import courier
from maxlib.engine import trader
from maxlib.journal.chain import Entry
from maxlib.journal.snapshots import SnapshotStore
from maxlib.journal.store import JournalFile
from maxlib.ops import heartbeat, killswitch, lease
from maxlib.ops.process import Identity

CODE = "a code of a walk"
SECOND = 1_000_000_000
SNAPSHOT_BARS = 4
OTHER = 7
"""The process that takes the lease away."""


class CrashError(BaseException):
    """The process is gone at this very point. No handler of `Exception` is asked."""


class Host:
    """Clocks and processes; the same four methods as `maxlib.ops.clock.Clock`."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, now: int) -> None:
        """A new walk."""
        self.now, self.running = now, 1_000
        self.living = {OTHER}
        self.fuse, self.dead = 0, False

    def start(self) -> None:
        """A new process runs."""
        self.running += 1
        self.living.add(self.running)
        self.dead = False

    def end(self) -> None:
        """It is gone."""
        self.living.discard(self.running)

    def burn(self) -> None:
        """One step nearer to the crash, if one is due; after it, nothing happens in this process."""
        if self.fuse:
            self.fuse -= 1
            self.dead = not self.fuse
        if self.dead:
            raise CrashError

    def wall_ns(self) -> int:
        return self.now

    def boot_ns(self) -> int:
        return self.now

    def awake_ns(self) -> int:
        return self.now

    def boot_id(self) -> str:
        return "boot"

    def me(self, clock: object = None) -> Identity:
        return Identity(pid=self.running, started=1, boot_id="boot", space="", host="host")

    def fate(self, who: Identity, here: Identity) -> Literal["alive", "dead"]:
        return "alive" if who.pid in self.living else "dead"

    def take(self, path: Any, account: str, ttl_s: float) -> lease.Lease | lease.Refused:
        """Another process asks for a lease."""
        mine, self.running = self.running, OTHER
        try:
            return lease.acquire(path, account, ttl_s=ttl_s)
        finally:
            self.running = mine


HOST = Host()


class Inline(ThreadPoolExecutor):
    """Threads that are none: a call is carried out before it is waited for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- a crash too: the caller meets it
            done.set_exception(error)
        return done


_open: list[JournalFile] = []


class Journal(JournalFile):
    """A journal's file. The process may die before it writes, and after it has written."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        _open.append(self)

    def extend(self, entries: Iterable[Entry]) -> None:
        HOST.burn()
        super().extend(entries)
        HOST.burn()


class Snapshots(SnapshotStore):
    """Snapshots. The process may die before it writes one, and after it has written it."""

    def write(self, state: Mapping[str, Any], seq: int, head: str) -> None:
        HOST.burn()
        super().write(state, seq, head)
        HOST.burn()


def killed() -> None:
    """Free what a killed process held: nothing is written any more, not even what was on its way."""
    while _open:
        file = _open.pop()
        with contextlib.suppress(apsw.ConnectionClosedError):
            file._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        file.close()


@contextmanager
def hosted() -> Iterator[None]:
    """Everything that asks for a clock or a process is told by `HOST`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (lease, killswitch, heartbeat):
            patch.setattr(module, "Clock", lambda: HOST)
        for module in (lease, heartbeat):
            patch.setattr(module, "me", HOST.me)
        patch.setattr(lease, "fate", HOST.fate)
        patch.setattr(courier, "delay_s", lambda *_: 0.0)
        patch.setattr(trader, "SNAPSHOT_BARS", SNAPSHOT_BARS)
        patch.setattr(trader, "JournalFile", Journal)
        patch.setattr(trader, "SnapshotStore", Snapshots)
        patch.setenv(killswitch.CODE_VARIABLE, CODE)
        yield
