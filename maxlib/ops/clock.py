"""The three clocks of a machine, and which boot they count from.

The wall clock may be set; it stamps texts for people. The boot clock counts from the start of the
machine, sleep included, and is the same in every process: ages and expiries stand on it. The awake
clock does not count sleep, so that boot minus awake tells of a suspend.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Final

# Linux only; elsewhere the monotonic clock must do, and a suspend is not seen.
_BOOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """Clocks of this machine. Tests pass an object with the same four methods."""

    def wall_ns(self) -> int:
        """UTC ns; may jump."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """Ns since the machine started, suspends included."""
        return time.clock_gettime_ns(_BOOT)

    def awake_ns(self) -> int:
        """Ns since some fixed moment, suspends left out."""
        return time.monotonic_ns()

    def boot_id(self) -> str:
        """Name of this boot; a boot clock means nothing under another one. Empty where unknown."""
        return _boot_id()


@lru_cache(1)
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
