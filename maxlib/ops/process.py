"""Who a process is: a number alone would do until the number is given to another process."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from maxlib.core.config import Config
from maxlib.ops.clock import Clock

_PROC: Final = Path("/proc")


class Identity(Config):
    """One process among all that ever ran.

    Attributes
    ----------
    pid, started : its number, and its start in clock ticks of this boot (0 where the system does not tell)
    boot_id : the boot in which it runs
    space : the namespace of process numbers, which differs between containers
    host : name of the machine
    """

    pid: int = Field(ge=1)
    started: int
    boot_id: str
    space: str
    host: str


def started(pid: int) -> int | None:
    """Start of process `pid` in clock ticks since boot; None if it is gone or a zombie.

    Returns 0 for a live process on a system without /proc.
    """
    try:
        # The name stands in brackets and may hold anything, brackets and spaces too.
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return _exists(pid) if not _PROC.is_dir() else None
    return None if state in "ZX" else int(fields[18])


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def identity(pid: int, clock: Clock | None = None) -> Identity | None:
    """The process `pid` of this machine, or None if it is gone."""
    start = started(pid)
    if start is None:
        return None
    try:
        space = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        space = ""
    boot_id = (clock or Clock()).boot_id()
    return Identity(pid=pid, started=start, boot_id=boot_id, space=space, host=platform.node())


def me(clock: Clock | None = None) -> Identity:
    """The process that asks."""
    here = identity(os.getpid(), clock)
    assert here is not None
    return here


def fate(who: Identity, here: Identity) -> Literal["alive", "dead", "unseen"]:
    """What became of `who`, as far as the process `here` can see.

    Unseen: it lives in another container or on another machine, or did.
    """
    if who.boot_id != here.boot_id:
        return "dead" if who.host == here.host else "unseen"
    if who.space != here.space:
        return "unseen"
    return "alive" if started(who.pid) == who.started else "dead"
