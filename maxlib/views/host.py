"""Who drives a session, and the only thing the dashboard talks to.

`KernelHost` runs a replay inside the notebook's kernel, by the wall clock. A trader in a
process of its own will offer the same four methods over HTTP; that is why everything that
passes here is a command word or JSON.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from maxlib.core.config import Config
from maxlib.engine.replay import ReplaySession
from maxlib.engine.session_views import BarView, Command, MarkView, SessionView

PAINT_SECONDS: Final = 0.25
"""Four pictures a second, however fast the tape runs."""
MAX: Final = 0.0
"""The speed that means "as fast as the page can follow"."""
MAX_BARS: Final = 30
"""Bars per picture at speed MAX: a session in about four seconds, each step still seen."""
_ALL: Final = 1_000_000
_NS: Final = 1_000_000_000


class HostView(Config):
    """A session and how it is being driven.

    speed : market seconds per second, 0 = MAX
    wall_age_s : seconds on the wall since a bar last arrived; None before the first
    """

    session: SessionView
    speed: float
    wall_age_s: float | None


class KernelHost:
    """Drives a session in the running event loop; without one, whoever calls `tick` does.

    Parameters
    ----------
    begin, end : market times (UTC ns) to leap to at the start, and from which to leap to the last
        bar; None = play everything
    on_paint : called after each tick, four times a second while the session runs
    on_error : called with an error of the driving task, which has then ended; the session is paused
    wall : monotonic seconds
    """

    def __init__(
        self,
        session: ReplaySession,
        *,
        begin: int | None = None,
        end: int | None = None,
        speed: float = 60.0,
        on_paint: Callable[[], None],
        on_error: Callable[[BaseException], None],
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self.speed = speed
        self._session = session
        self._begin, self._end = begin, end
        self._on_paint = on_paint
        self._on_error = on_error
        self._wall = wall
        self._ticked = wall()
        self._arrived: float | None = None
        self._task: asyncio.Task[None] | None = None

    # --- the interface

    def command(self, command: Command) -> str | None:
        """Carry out a command; returns the reason if it is refused."""
        session = self._session
        refused = {
            "start": session.start, "pause": session.pause, "resume": session.resume, "stop": session.stop,
        }[command]()  # fmt: skip
        if refused is None and command in ("start", "resume"):
            self._ticked = self._wall()
            if command == "start" and self._begin is not None:
                self._count(session.advance_to(self._begin))
            self._drive()
        return refused

    def view(self) -> HostView:
        """The session now."""
        age = None if self._arrived is None else self._wall() - self._arrived
        return HostView(session=self._session.view(), speed=self.speed, wall_age_s=age)

    def bars_since(self, i: int) -> list[BarView]:
        """The session's bars from number `i` on."""
        return self._session.bars_since(i)

    def marks_since(self, i: int) -> list[MarkView]:
        """The session's marks from number `i` on."""
        return self._session.marks_since(i)

    # --- driving

    def tick(self) -> None:
        """Move the session on by the wall time since the last tick, times the speed."""
        now = self._wall()
        passed, self._ticked = now - self._ticked, now
        if self.speed == MAX:
            self._count(self._session.advance(MAX_BARS))
        else:
            self._count(self._session.advance_to(self._session.clock + round(passed * self.speed * _NS)))
        if self._end is not None and self._session.clock >= self._end:
            self._count(self._session.advance(_ALL))

    def _count(self, bars: int) -> None:
        if bars:
            self._arrived = self._wall()

    def _drive(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a test or a script: it ticks by itself
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._session.state == "RUNNING":
            self.tick()
            self._on_paint()
            await asyncio.sleep(PAINT_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # An error in a task shows nowhere by itself.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._session.pause()
            self._on_error(error)
