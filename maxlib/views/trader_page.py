"""The page of a trader in a process of its own: it looks, shows and asks, and owns nothing.

Any number of pages may show one trader; a page that is closed, or a trader that is killed, changes
nothing for the other. Looking waits for the network in a thread, never in the page's loop, and ends
when no browser shows the page: a kernel that works for nobody would never be found idle and ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from html import escape
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york, to_ns
from maxlib.views import guard_panel, panels, trader_panels
from maxlib.views.clock import WallClock
from maxlib.views.page import Page
from maxlib.views.price_chart import PriceChart, usual
from maxlib.views.remote import Remote
from maxlib.views.trader_controls import NAMES, Button, TraderControls
from maxlib.views.trader_panels import Scene

LOG: Final = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.5
PULSE_SECONDS: Final = 20.0
WATCHED_SECONDS: Final = 150.0
"""A browser lets a hidden tab speak once a minute at worst; after this long nobody is there."""


class Starter(Protocol):
    """Can start the trader, in a process that outlives the page."""

    def start(self, *, clear: bool = False) -> None:
        """Start it; `clear` although it was given up."""

    @property
    def running(self) -> bool:
        """Whether what was started still runs."""

    @property
    def failure(self) -> str:
        """Why what was started ended; "" = it runs, or ended in order."""


class TraderPage(Page):
    """The page.

    Parameters
    ----------
    remote : the trader
    starter : starts it; None = the page cannot
    """

    def __init__(self, remote: Remote, starter: Starter | None = None) -> None:
        self.remote = remote
        self._starter = starter
        self._looked = False
        self._said = ""
        self._asking: Button | Literal[""] = ""
        self._drawn: Any = None
        self._aged: int | None = None
        self._seen = 0.0
        self._starting = self._watching = False
        self._wake: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.controls = TraderControls(self._guard(self._button))
        self.header = panels.Panel("brandbar", trader_panels.header, boxed=False)
        self.clock = panels.Panel("clocks", trader_panels.clock, boxed=False)
        self.wall = WallClock(told="data age", stale=float(panels.STALE_SECONDS), pulse=PULSE_SECONDS)
        self.wall.on_msg(self._guard(lambda *_: self._here()))
        self.tiles = panels.Panel("tiles", trader_panels.tiles, boxed=False)
        self.chart = PriceChart("Each bar appears when the trader has taken it.")
        self.panels = [
            panels.Panel(area, trader_panels.of(render, title))
            for area, render, title in (
                ("guard", guard_panel.guard, "Guard"), ("whynot", panels.why_not, "Why not traded"),
                ("position", panels.position, "Position"),
                ("trades", panels.trades, "Trades"), ("journal", panels.journal, "Journal"),
            )
        ]  # fmt: skip
        super().__init__(
            header=[self.header, self.clock, self.wall],
            tiles=self.tiles,
            controls=self.controls,
            chart=self.chart,
            panels=self.panels,
            kind="mx-trader",
        )
        self.paint()

    # --- looking

    def look(self) -> None:
        """Look once and draw; waits for the network."""
        self._take(self.remote.look())

    def _take(self, look: Any) -> None:
        anew = self.remote.take(look)
        self._looked = True
        self.paint(anew=anew)

    def _here(self) -> None:
        """A browser shows the page."""
        self._seen = time.monotonic()
        if not self._watching:
            self._watching = True
            self._spawn(self._watch())

    async def _watch(self) -> None:
        """Look again and again, as long as somebody sees it."""
        self._wake = asyncio.Event()
        try:
            while time.monotonic() - self._seen < WATCHED_SECONDS:
                self._wake.clear()
                self._take(await asyncio.to_thread(self.remote.look))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
        finally:
            self._watching, self._wake = False, None

    # --- asking

    def _button(self, name: Button, code: str) -> None:
        self._said = ""
        if name == "start":
            if self._starter is not None:
                self._starter.start(clear=True)
                self._starting = True
            self.paint()
        elif not self._asking:
            self._asking = name
            self.paint()
            self._spawn(self._ask(name, code))

    async def _ask(self, name: Any, code: str) -> None:
        try:
            refused = await asyncio.to_thread(self.remote.ask, name, "asked for on the page", code)
        finally:
            self._asking = ""
        if refused is not None:
            self._said = f"{NAMES[name]} was refused: {refused}."
        self.paint()
        if self._wake is not None:
            self._wake.set()

    def _reasons(self, scene: Scene) -> dict[Button, str | None]:
        """Why each button cannot be pressed now; None = it can."""
        names: tuple[Button, ...] = get_args(Button)
        if self._asking:
            return dict.fromkeys(names, f"the {NAMES[self._asking].lower()} is on its way")
        thrown = self.remote.killed
        kill = "it is thrown" if thrown else None
        reset = None if thrown else "the kill switch is not thrown"
        if not scene.looked or scene.away is not None:
            silent = "the trader does not answer"
            found = dict.fromkeys(names, silent if scene.looked else "the page connects")
            return {**found, "start": self._no_start(scene), "kill": kill, "reset": reset or found["reset"]}
        blocked = scene.status.blocked if scene.status else {}
        no_code = scene.status.no_reset if scene.status else ""
        return {
            "start": "the trader runs",
            "stop": blocked.get("stop"),
            "halt": blocked.get("halt"),
            "resume": blocked.get("resume"),
            "clear": blocked.get("clear"),
            "kill": kill,
            "reset": no_code or reset,
            "reset_peak": blocked.get("reset_peak") or trader_panels.at_its_peak(scene.status),
        }

    def _no_start(self, scene: Scene) -> str | None:
        if not scene.looked:
            return "the page connects"
        if scene.away in ("silent", "strange"):
            return "a process is there"
        if self._starter is None:
            return "the dashboard was given no scenario"
        return "its supervisor runs" if self._starter.running else None

    # --- drawing

    def scene(self) -> Scene:
        """What the page knows now."""
        remote = self.remote
        running = self._starter is not None and self._starter.running
        self._starting = self._starting and running and (remote.away is not None or not self._looked)
        folder = _short(remote.folder)
        return Scene(
            remote.status, remote.away, self._looked, remote.since_ns, remote.pid, folder, self._starting,
            remote.killed,
        )  # fmt: skip

    def paint(self, *, anew: bool = False) -> None:
        """Draw what is known; only what changed is sent. `anew` = it is another story than before."""
        scene = self.scene()
        for panel in (self.header, self.clock, self.tiles, *self.panels):
            panel.show(scene)
        self._dim(away=scene.away is not None)
        said = self._said or (self._starter.failure if self._starter and scene.away else "")
        self.controls.facts.value = trader_panels.about(scene)
        self.controls.show(self._reasons(scene), said, trader_panels.tips(scene))
        status = scene.status
        if status is not None:
            self._chart(status, anew=anew)
            self._age(status)

    def _dim(self, *, away: bool) -> None:
        """What stands there is old: it stays readable, and looks it."""
        if away:
            self.add_class("mx-dim")
        else:
            self.remove_class("mx-dim")

    def _chart(self, status: Any, *, anew: bool) -> None:
        newest = status.bar_at or status.now
        day = new_york(newest - NS_PER_MINUTE).date()
        begin = usual(day)[0]
        # Pre-market has an axis of its own until an hour before the open; then the axis is the day's.
        key = (status.name, day, newest > begin)
        if anew or key != self._drawn:
            self._drawn = key
            first = begin if newest > begin else self._first(to_ns(day, 0), newest)
            self.chart.show(day, first, f"{key}", since=first)
            self.strip.value = f"<span>{day:%A, %-d %B %Y}</span><span>run {escape(status.name)}</span>"
        self.chart.update(self.remote, status)

    def _first(self, midnight: int, newest: int) -> int:
        return next((bar.ts for bar in self.remote.bars_since(0) if bar.ts > midnight), newest)

    def _age(self, status: Any) -> None:
        """Told once a bar: the browser counts on, also when nobody answers any more."""
        if status.bar_at == self._aged:
            return
        # A tape's clock stands still between two bars, so its own age says nothing about the feed.
        market = status.age_s if status.label in ("PAPER", "DELAYED") else None
        ages = [age for age in (market, status.taken_s) if age is not None]
        if ages or self._aged is None:
            self.wall.age = max(ages, default=-1.0)
        self._aged = status.bar_at if ages else self._aged

    # --- the edge

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the page's loop; without one, a test or a script waits for it here."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(work)
            return
        task = loop.create_task(work)
        self._tasks.add(task)  # the loop itself holds a task only weakly
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Tell what went wrong with the page; the trader knows nothing of it."""
        LOG.error("the trader's page", exc_info=error)
        text = f"This page failed ({type(error).__name__}: {error}); the trader is another process."
        self._say(text)


def _short(folder: Path) -> str:
    """The folder as the user would type it."""
    with contextlib.suppress(ValueError):
        return str(folder.relative_to(Path.cwd()))
    return str(folder)
