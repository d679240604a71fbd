"""The clocks that clients of the outside world are given, so that tests and replays can give others."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time for a client: a clock that only goes forward for waiting, and UTC for what a bar is."""

    def now_s(self) -> float:
        """Seconds of a clock that only goes forward."""

    def utc_ns(self) -> int:
        """UTC ns: the market's time, virtual in a replay."""

    def sleep(self, seconds: float) -> None:
        """Block this thread."""

    async def pause(self, seconds: float) -> None:
        """Let other tasks run."""


class SystemClock:
    """The machine's own clocks."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def utc_ns(self) -> int:
        """UTC ns of the wall clock."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Let other tasks run."""
        await asyncio.sleep(seconds)
