"""The lease: one trader per account on this machine, and a number that tells the old from the new.

Two traders on one account would each take the other's fills for a stranger's. So a trader holds a
lease file while it trades. Every grant carries a fence token, one above the last, for ever; the
holder renews it, and looks at it once more just before each order. That look holds a file lock
until the order is out, so nobody can take the lease over in between; a holder that was stopped,
suspended or merely slow past the expiry finds itself fenced *before* it sends.

The lock itself is a `flock`: the kernel frees it with the process, kill -9 included. A dead holder
is told from a live one by number *and* start time, so a number that was given to another process
holds nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field, ValidationError

from maxlib.core.canonical import canonical
from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.ops.clock import Clock
from maxlib.ops.process import Identity, fate, me

_NS: Final = 1_000_000_000
_LOCK_WAIT_S: Final = 0.25
_LOCK_POLL_S: Final = 0.005
_OPEN: Final[set[tuple[Path, int]]] = set()
"""Leases that this process has and did not give back, by file and token. Any other of its own is free: a full
disk may have kept it from saying so."""


class Grant(Config):
    """What the lease file says.

    Attributes
    ----------
    account : the account traded
    token : the fence token; every grant's is higher than the one before
    who : the holder
    renewed_boot_ns, expires_boot_ns : on the holder's boot clock
    expires_wall_ns : UTC ns; looked at only by another machine, which cannot read that boot clock
    released : the holder gave it back
    """

    account: str
    token: int = Field(ge=1)
    who: Identity
    renewed_boot_ns: int
    expires_boot_ns: int
    expires_wall_ns: int
    released: bool = False


class Refused(NamedTuple):
    """Why the lease may not be had, kept or used.

    elsewhere : another process has it; else waiting may help
    """

    sentence: str
    elsewhere: bool = False


class Lease:
    """A lease that was granted. Get one from `acquire`."""

    def __init__(self, path: Path, grant: Grant, ttl_s: float, clock: Clock) -> None:
        self._path = path
        self._grant = grant
        self._ttl_ns = int(ttl_s * _NS)
        self._clock = clock
        self._lock = _Lock(path)
        self._lost: Refused | None = None

    @property
    def over(self) -> bool:
        """It was found to have ended, and never stands again: acquire anew, and reconcile."""
        return self._lost is not None

    @property
    def token(self) -> int:
        """The fence token; write it into the journal with the start of the session."""
        return self._grant.token

    def renew(self) -> Refused | None:
        """Move the expiry to a full term from now; do it at least three times per term.

        Syncs the file, so a loop that counts milliseconds calls it in a thread. A lease that has
        run out cannot be renewed, even if nobody took it: acquire anew, and reconcile. After another
        refusal, such as a full disk, the lease stands until it runs out.
        """
        with self._lock.held() as held:
            if not held:
                return self._busy()
            if (refused := self._standing()) is not None:
                return refused
            grant = _granted(self._grant, self._clock, self._ttl_ns)
            try:
                _write(self._path, grant)
            except DataError as error:
                return Refused(str(error))
            # Only now: this process must not count on a term that others cannot read.
            self._grant = grant
        return None

    @contextlib.contextmanager
    def sending(self) -> Iterator[Refused | None]:
        """Hold off every other trader while an order goes out.

        Yields None if the order may be sent, else the refusal; look at it, then send within the
        `with`. Sends may overlap. Costs a file lock and a read of 500 bytes.

        Use::

            with lease.sending() as refused:
                return refused or await broker.submit(order)
        """
        with self._lock.held() as held:
            yield self._standing() if held else self._busy()

    def release(self) -> None:
        """Give the lease back; the next trader need not wait for it to run out.

        Nothing is sent under it any more. While an order is still on its way in another thread, the
        lease is held; it is given back by whoever sent that, when it is out.
        """
        if self._lost is None:
            self._lost = Refused(f"{self._label()} was given back")
            self._lock.close(self._give_back)
        self._lock.close()
        _OPEN.discard((self._path, self.token))

    def _give_back(self) -> None:
        if self._fenced() is None:
            with contextlib.suppress(DataError):  # then it runs out by itself
                _write(self._path, self._grant.model_copy(update={"released": True}))

    def _standing(self) -> Refused | None:
        """Whether this lease still stands; once it did not, it never does again."""
        if self._lost is None:
            self._lost = self._fenced()
        return self._lost

    def _fenced(self) -> Refused | None:
        now = self._clock.boot_ns()
        if now >= self._grant.expires_boot_ns:
            over = (now - self._grant.expires_boot_ns) / _NS
            return Refused(f"{self._label()} ran out {over:.1f} s ago: reconcile under a new one")
        try:
            current = read_grant(self._path)
        except DataError as error:
            return Refused(str(error))
        if current is None:
            return Refused(f"{self._label()} is gone: {self._path} does not exist")
        if current.token != self.token or current.who != self._grant.who:
            return Refused(f"{self._label()} was taken over: the newest token is {current.token}")
        return None

    def _busy(self) -> Refused:
        return Refused(f"{self._label()}: another process holds {self._lock.path}")

    def _label(self) -> str:
        return f"the lease on account {self._grant.account}, token {self.token}"


def acquire(
    path: Path, account: str, *, ttl_s: float = 30.0, above: int = 0, clock: Clock | None = None
) -> Lease | Refused:
    """Take the lease on `account`, or say who has it.

    A lease is free if there is none, if it was given back, if its holder is dead, or if it ran out
    and its holder is not sending this very moment. One that this process gave back is free also where
    the disk did not take that.

    Parameters
    ----------
    path : the lease file, one per account, in the folder of the account's journal
    ttl_s : term of the lease in seconds
    above : the highest fence token in the journal; the new one is higher even if the file was lost

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    clock = clock or Clock()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _Lock(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with lock.held() as held:
            if not held:
                return Refused(
                    f"account {account}: another trader is sending an order or has stopped in the middle "
                    f"of one ({lock.path} is locked); end that process first"
                )
            try:
                old = read_grant(path)
            except DataError as error:
                return Refused(f"account {account}: {error}; remove it once no trader runs")
            here = me(clock)
            if old is not None and (refused := _taken(old, path, here, clock)) is not None:
                return refused
            grant = _granted(
                Grant(
                    account=account,
                    token=max(old.token if old else 0, above) + 1,
                    who=here,
                    renewed_boot_ns=0,
                    expires_boot_ns=0,
                    expires_wall_ns=0,
                ),
                clock,
                int(ttl_s * _NS),
            )
            _write(path, grant)
            _OPEN.add((path, grant.token))
    finally:
        lock.close()
    return Lease(path, grant, ttl_s, clock)


def read_grant(path: Path) -> Grant | None:
    """The newest grant, or None if there never was one.

    Raises
    ------
    DataError
        If the file cannot be read or is no lease.
    """
    try:
        return Grant.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise DataError(f"{path} is not a lease") from None


def _taken(old: Grant, path: Path, here: Identity, clock: Clock) -> Refused | None:
    closed = old.who == here and (path, old.token) not in _OPEN
    if old.released or closed or fate(old.who, here) == "dead":
        return None
    same_boot = old.who.boot_id == here.boot_id
    left = old.expires_boot_ns - clock.boot_ns() if same_boot else old.expires_wall_ns - clock.wall_ns()
    if left <= 0:
        return None
    place = "" if same_boot else f" on {old.who.host}"
    return Refused(
        f"account {old.account} has a trader already: process {old.who.pid}{place}, token {old.token}, "
        f"whose lease runs {left / _NS:.0f} s more",
        elsewhere=old.who != here,
    )


def _granted(grant: Grant, clock: Clock, ttl_ns: int) -> Grant:
    now = clock.boot_ns()
    times = {
        "renewed_boot_ns": now,
        "expires_boot_ns": now + ttl_ns,
        "expires_wall_ns": clock.wall_ns() + ttl_ns,
    }
    return grant.model_copy(update=times)


def _write(path: Path, grant: Grant) -> None:
    write_atomic(path, canonical(grant.model_dump()))


class _Lock:
    """A `flock` beside the lease that one process may hold several times over.

    The lease file itself is replaced at every write, and a lock on a replaced file locks nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.lock")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._guard = threading.Lock()
        self._depth = 0
        self._last: Callable[[], None] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Whether the lock could be had within a quarter of a second."""
        got = self._take()
        try:
            yield got
        finally:
            if got:
                self._drop()

    def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Do a last thing under the lock, and close it; while it is held, its last holder does both."""
        with self._guard:
            if self._fd < 0 or self._last is not None:
                return
            self._last = last
            if self._depth == 0:
                self._end(locked=self._flock())

    def _end(self, *, locked: bool) -> None:
        try:
            if locked and self._last is not None:
                self._last()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> bool:
        with self._guard:
            if self._fd < 0:
                return False
            if self._depth == 0 and not self._flock():
                return False
            self._depth += 1
            return True

    def _flock(self) -> bool:
        until = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_LOCK_POLL_S)
            else:
                return True

    def _drop(self) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth > 0:
                return
            if self._last is not None:
                self._end(locked=True)
            else:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
