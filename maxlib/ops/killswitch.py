"""The kill switch: a file that blocks entries from the moment it exists until somebody who may resets it.

Any process can throw it, the trader's own or another while the trader hangs. A restart changes
nothing. It fails towards safety: a file that cannot be read, or a folder that is gone, counts as thrown.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from maxlib.core.canonical import canonical
from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.ops.clock import Clock

CODE_VARIABLE: Final = "MAXTRADER_KILL_RESET_CODE"
MIN_CODE: Final = 12
_TRIES: Final = 5
_LOCKOUT_NS: Final = 60 * 1_000_000_000


class Thrown(Config):
    """Why the switch is thrown.

    Attributes
    ----------
    reason, by : in words
    wall_ns : when, UTC ns
    """

    reason: str
    by: str
    wall_ns: int


class Denied(NamedTuple):
    """Why a reset was refused: one sentence, which never tells the code."""

    sentence: str


class KillSwitch:
    """The switch of one account.

    Parameters
    ----------
    path : the flag file; its folder is made here, and must then stay
    environment : where the confirmation code is looked up, under `CODE_VARIABLE`

    Raises
    ------
    DataError
        If the folder cannot be made.
    """

    def __init__(
        self, path: Path, *, environment: Mapping[str, str] = os.environ, clock: Clock | None = None
    ) -> None:
        self._path = path
        self._environment = environment
        self._clock = clock or Clock()
        self._latched: Thrown | None = None
        self._wrong = 0
        self._locked_until = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}") from None

    @property
    def thrown(self) -> bool:
        """Whether entries are blocked: two looks at the file system, cheap enough before each order."""
        return self._latched is not None or os.path.lexists(self._path) or not self._path.parent.is_dir()

    @property
    def no_reset(self) -> str:
        """Why nobody could reset it, whatever the code; "" = with the right code somebody could."""
        known = len(self._environment.get(CODE_VARIABLE, "")) >= MIN_CODE
        return "" if known else f"{CODE_VARIABLE} holds no code of {MIN_CODE} characters or more"

    def why(self) -> Thrown | None:
        """Why entries are blocked; None if they are not."""
        if not self.thrown:
            return None
        try:
            return Thrown.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return self._latched or Thrown(reason=f"{self._path} cannot be read", by="kill switch", wall_ns=0)

    def throw(self, reason: str, by: str) -> Thrown:
        """Block entries, durably; the first reason stays.

        Raises
        ------
        DataError
            If nothing could be written. Entries of *this* process are blocked all the same.
        """
        if (already := self.why()) is not None and os.path.lexists(self._path):
            return already
        # In memory first: a disk that is full must not keep the switch open.
        thrown = self._latched = Thrown(reason=reason, by=by, wall_ns=self._clock.wall_ns())
        try:
            write_atomic(self._path, canonical(thrown.model_dump()))
        except DataError:
            # A full disk has often room left for an empty file, and it is the existence that counts.
            try:
                self._path.touch(mode=0o600)
                _sync(self._path.parent)
            except OSError as error:
                raise DataError(f"{self._path} cannot be written: {error.strerror}") from None
        self._latched = None  # from here on the file is the truth, and another process may reset it
        return thrown

    def reset(self, code: str) -> Denied | None:
        """Let entries pass again, if `code` is the one in the environment; None if it was reset.

        Raises
        ------
        DataError
            If the flag cannot be removed; it stays thrown.
        """
        if (denied := self._check(code)) is not None:
            return denied
        try:
            self._path.unlink(missing_ok=True)
            _sync(self._path.parent)
        except OSError as error:
            raise DataError(f"{self._path} cannot be removed: {error.strerror}") from None
        self._latched = None
        return None

    def _check(self, code: str) -> Denied | None:
        now = self._clock.boot_ns()
        if now < self._locked_until:
            left = (self._locked_until - now) / 1e9
            return Denied(f"kill switch: {_TRIES} wrong codes; wait {left:.0f} s")
        secret = self._environment.get(CODE_VARIABLE, "")
        if len(secret) < MIN_CODE:
            return Denied(
                f"kill switch: {CODE_VARIABLE} must hold a code of {MIN_CODE} characters or more "
                "before it can be reset"
            )
        # Digests of one length, so that the time tells neither the code nor its length.
        if hmac.compare_digest(_digest(code), _digest(secret)):
            self._wrong = 0
            return None
        self._wrong += 1
        if self._wrong >= _TRIES:
            self._wrong, self._locked_until = 0, now + _LOCKOUT_NS
        return Denied("kill switch: the code is wrong; entries stay blocked")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
