"""The paper trader's process: a feed, the trader, its API. Headless; closing a page changes nothing.

One event loop. A bar comes in, the trader journals and decides, viewers are told. The API
lives beside it in the same loop and never makes it wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Final

from maxlib.app.alerts import Alerts, notifier
from maxlib.app.api import Asked, Events, application
from maxlib.app.feeds import BEAT_SECONDS, Condition, Gap, Minute, Word
from maxlib.app.venues import Open, tape
from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError
from maxlib.core.files import write_atomic
from maxlib.engine.backtest import Rows
from maxlib.engine.live import LiveSession, Request
from maxlib.engine.trader import Trader
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import Heart
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.notify import Notifier
from maxlib.ops.supervisor import HEARTBEAT
from maxlib.ops.watchdog import Watchdog
from maxlib.research.provenance import code_version
from maxlib.research.scenario import Scenario

HOST: Final = "127.0.0.1"
ADDRESS: Final = "api.json"
"""In the trader's folder, readable by its user only: where the API is and its token."""


class PaperTrader:
    """One scenario on one date: own simulated fills at modelled quotes.

    Parameters
    ----------
    folder : journal and address of this trader; None = var/paper/SCENARIO-DAY, with the venue's name
    day : New York date as 2025-01-31; "" = the tape's last session
    speed : times market speed, 0 = as fast as it goes; None = the venue's own
    venue : where its minutes come from (`maxlib.app.venues`)
    told : where notices go; by default to the services of the environment, or the log
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path | None = None,
        *,
        day: str = "",
        speed: float | None = None,
        venue: Open = tape,
        told: Notifier | None = None,
    ) -> None:
        market = venue(scenario, folder, day, speed)
        self.feed, self.folder = market.feed, market.folder
        self._level = market.level
        self._name = f"{scenario.name} on {market.day}"
        self.settings = {
            "scenario": scenario.model_dump(mode="json"),
            "day": market.day,
            "venue": market.name,
            "speed": market.speed,
        }
        self.trader = Trader(
            self.folder,
            scenario.strategy.build(),
            scenario.machine,
            run=f"{config_hash(scenario)[:16]}-{market.day}",
            identity={**market.identity, "code_version": code_version()},
            simulated=market.simulated,
            history=market.history,
        )
        self.session = LiveSession(self.trader, label=market.label, strategy=scenario.strategy.kind)
        self.switch = KillSwitch(self.folder / "kill.json")
        self._heart = Heart(self.folder / HEARTBEAT)
        self.events = Events()
        self.alerts = Alerts(told or notifier(self.folder / "notices", market.label), self.session)
        self._obey()
        self.token = secrets.token_urlsafe(24)
        self._stop = asyncio.Event()

    @property
    def recovery_sentence(self) -> str:
        """What the start found."""
        found = self.trader.recovery.entries
        what = f"{self._name}, {self.session.label}"
        if found == 0:
            return f"{what}; a new journal."
        return f"{what}; {found:,} journal entries run through again."

    @property
    def closing_sentence(self) -> str:
        """What the trader came to."""
        now = self.session.status(self.feed.clock)
        return (
            f"{self.session.label}: {len(now.trades)} trades, P&L {now.realised_cents / 100:,.2f} $, "
            f"{len(now.positions)} open, journal of {now.journal_count:,} entries, "
            f"head {now.journal_head[:12]}."
        )

    def ask(self, name: Asked, why: str, code: str) -> str | None:
        """Carry out a request of the API; returns the reason if it is refused."""
        if name == "kill":
            self.switch.throw(why or "asked for", "API")
            self._obey()
            return None
        if name == "reset":
            denied = self.switch.reset(code)
            if denied is not None:
                return denied.sentence
            self.alerts.tell(Event.KILL_SWITCH_RESET, "the kill switch was reset; trading waits for a resume")
            return None
        request: Request = "resume" if name == "start" else name
        if request == "resume" and self.switch.thrown:
            return "the kill switch is thrown; reset it first"
        refused = self.session.ask(request, self.feed.clock, why)
        if refused is None:
            self._tell_phase(why)
            if name == "stop":
                self._stop.set()
        return refused

    def _obey(self) -> None:
        """A thrown kill switch, whoever threw it, halts; only a reset and a resume let entries pass again."""
        found = self.switch.why()
        if found is not None and self.session.phase == "TRADING":
            why = f"kill switch: {found.reason} ({found.by})"
            self.session.ask("halt", self.feed.clock, why)
            self._tell_phase(why)
            self.alerts.tell(Event.KILL_SWITCH, why)

    def _tell_phase(self, why: str) -> None:
        self.events.publish({"event": "phase", "phase": self.session.phase, "why": why})

    async def run(self, port: int = 0, *, stay: bool = True) -> None:
        """Trade the date, then serve until stopped; `stay` False = end with the tape."""
        from uvicorn import Config, Server

        try:
            listening = socket.create_server((HOST, port))
        except OSError as error:
            self.trader.close()
            raise ConfigError(f"--port {port}: cannot be had on {HOST} ({error.strerror})") from None
        self._announce(listening.getsockname()[1])
        app = application(
            self.session,
            self.events,
            token=self.token,
            clock=lambda: self.feed.clock,
            settings=self.settings,
            ask=self.ask,
        )
        server = Server(Config(app, log_level="warning", access_log=False, lifespan="off"))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # they are ours
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        serving = asyncio.create_task(server.serve([listening]))
        self.alerts.tell(Event.STARTUP, self.recovery_sentence)
        try:
            with Watchdog(self.folder) as dog:
                await self._trade(dog)
                while stay and not self._stop.is_set():
                    self._alive(dog)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), BEAT_SECONDS)
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self.trader.close()
            (self.folder / ADDRESS).unlink(missing_ok=True)
            self.alerts.close()
            self._heart.stop()

    def _alive(self, dog: Watchdog) -> None:
        """Show life, from the loop itself; and look at the kill switch, which anybody may have thrown."""
        dog.feed()
        self._heart.beat(self.session.phase.lower(), self._name)
        self._obey()

    async def _trade(self, dog: Watchdog) -> None:
        async with contextlib.aclosing(self.feed.words(self.trader.last_bar)) as words:
            async for word in words:
                self._alive(dog)
                if self._stop.is_set() or self.session.phase == "STOPPED":
                    return
                self._take(word)
        if not self.trader.finished:
            self.trader.finish()
            self.session.ask("stop", self.feed.clock)
            self._tell_phase("the tape has ended")
            self.alerts.tell(Event.MARKET_CLOSED, f"{self._name}: the session is over")
            self.alerts.summary()

    def _take(self, word: Word) -> None:
        if isinstance(word, Minute):
            self._bar(word.row)
        elif isinstance(word, Gap):
            self.session.gap(word.start, word.end, word.minutes, self.feed.clock)
            self.alerts.tell(Event.HEALTH, f"{word.minutes} minutes are missing for good")
        elif isinstance(word, Condition) and self.session.feed(word.denial, self.feed.clock, word.why):
            now = self.session.status(self.feed.clock).feed
            self.events.publish({"event": "feed", "feed": now})
            self.alerts.tell(Event.HEALTH, f"no entries: {now}" if now else "the feed is well again")

    def _bar(self, row: Rows) -> None:
        before = len(self.session.marks())
        try:
            self.session.bar(row, self._level(row))
        except Exception:
            self.alerts.tell(Event.LOOP_ERROR, self.session.fault)
            raise
        self.events.publish({"event": "bar", "bar": self.session.bars[-1].model_dump(mode="json")})
        for mark in self.session.marks(before):
            self.events.publish({"event": mark.kind, "mark": mark.model_dump(mode="json")})
            self.alerts.mark(mark, self.feed.clock)

    def _announce(self, port: int) -> None:
        told = {"url": f"http://{HOST}:{port}", "token": self.token, "pid": os.getpid()}
        write_atomic(self.folder / ADDRESS, json.dumps(told), private=True)
