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
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from maxlib.app.alerts import Alerts, notifier
from maxlib.app.api import Asked, Events, application
from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError, DataError
from maxlib.core.files import write_atomic
from maxlib.data.tape import load as load_tape
from maxlib.engine.backtest import Rows
from maxlib.engine.live import LiveSession, Request, label_of
from maxlib.engine.replay import prior_close, session_days, span
from maxlib.engine.trader import Trader
from maxlib.ops.address import ADDRESS
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import Heart
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.notify import Notifier
from maxlib.ops.supervisor import HEARTBEAT
from maxlib.ops.watchdog import Watchdog
from maxlib.research.provenance import code_version
from maxlib.research.run import level_of
from maxlib.research.scenario import Scenario

HOST: Final = "127.0.0.1"
BEAT_SECONDS: Final = 1.0
"""The loop shows life at least so often while it waits for a bar."""


class TapeFeed:
    """The bars of one date, at a multiple of market speed; the clock is the market's.

    Parameters
    ----------
    speed : market minutes a minute; 0 = as fast as they are taken
    """

    def __init__(self, bars: Rows, speed: float) -> None:
        self.bars = bars
        self.clock: int = int(bars["ts"][0])
        self._pause = 60.0 / speed if speed > 0 else 0.0

    async def rows(self, after: int | None) -> AsyncIterator[int | None]:
        """Indices of the bars that end after `after`, each when it is complete; None while it waits."""
        for i in range(len(self.bars)):
            if after is not None and int(self.bars["ts"][i]) <= after:
                continue
            left = self._pause
            while left > BEAT_SECONDS:
                await asyncio.sleep(BEAT_SECONDS)
                left -= BEAT_SECONDS
                yield None
            await asyncio.sleep(left)
            self.clock = int(self.bars["ts"][i])
            yield i


class PaperTrader:
    """One scenario on one date: own simulated fills at modelled quotes.

    Parameters
    ----------
    folder : journal and address of this trader; None = var/paper/SCENARIO-DAY
    day : New York date as 2025-01-31; "" = the tape's last session
    speed : see `TapeFeed`
    told : where notices go; by default to the services of the environment, or the log
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path | None = None,
        *,
        day: str = "",
        speed: float = 60.0,
        told: Notifier | None = None,
    ) -> None:
        check_speed(speed)
        tape = load_tape(scenario.data)
        days = {str(d): d for d in session_days(tape.bars)}
        if not days or day not in ("", *days):
            raise DataError(f"--day {day}: {tape.name} has no session then; it has {_range(list(days))}")
        chosen = day or max(days)
        first, last = span(tape.bars, days[chosen])
        level = level_of(scenario, tape)
        self._level = None if level is None else level[first:last]
        self.feed = TapeFeed(tape.bars[first:last], speed)
        self.folder = folder or Path("var") / "paper" / f"{scenario.name}-{chosen}"
        self._name = f"{scenario.name} on {chosen}"
        self.settings = {"scenario": scenario.model_dump(mode="json"), "day": chosen, "speed": speed}
        run = f"{config_hash(scenario)[:16]}-{chosen}"
        label = label_of(tape.simulated)
        identity = {"label": label, "day": chosen, "data_sha256": tape.sha256, "code_version": code_version()}
        self.trader = Trader(
            self.folder,
            scenario.strategy.build(),
            scenario.machine,
            run=run,
            identity=identity,
            simulated=tape.simulated,
            history=tape.bars[:first],
        )
        self.session = LiveSession(
            self.trader,
            label=label,
            strategy=scenario.strategy.kind,
            previous_close=prior_close(tape.bars[:first]),
        )
        if self.trader.last_bar is not None:
            self.feed.clock = self.trader.last_bar.ts
        self.switch = KillSwitch(self.folder / "kill.json")
        self._heart = Heart(self.folder / HEARTBEAT)
        self.events = Events()
        self.alerts = Alerts(told or notifier(self.folder / "notices", label), self.session)
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
            self._obey()
            self.alerts.tell(Event.KILL_SWITCH_RESET, "the kill switch was reset; trading waits for a resume")
            return None
        self._obey()
        request: Request = "resume" if name == "start" else name
        refused = self.session.ask(request, self.feed.clock, why)
        if refused is None:
            self._tell_phase(why)
            if name == "stop":
                self._stop.set()
        return refused

    def _obey(self) -> None:
        """A thrown kill switch, whoever threw it, halts; only a reset and a resume let entries pass again."""
        found = self.switch.why()
        why = "" if found is None else f"kill switch: {found.reason} ({found.by})"
        self.session.killed = why
        if found is not None and self.session.phase == "TRADING":
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
        last = self.trader.last_bar
        async for i in self.feed.rows(last.ts if last else None):
            self._alive(dog)
            if self._stop.is_set() or self.session.phase == "STOPPED":
                return
            if i is None:
                continue
            level = None if self._level is None else float(self._level[i])
            before = len(self.session.marks())
            try:
                self.session.bar(self.feed.bars[i : i + 1], level)
            except Exception:
                self.alerts.tell(Event.LOOP_ERROR, self.session.fault)
                raise
            self.events.publish({"event": "bar", "bar": self.session.bars[-1].model_dump(mode="json")})
            for mark in self.session.marks(before):
                self.events.publish({"event": mark.kind, "mark": mark.model_dump(mode="json")})
                self.alerts.mark(mark, self.feed.clock)
        if not self.trader.finished:
            self.trader.finish()
            self.session.ask("stop", self.feed.clock)
            self._tell_phase("the tape has ended")
            self.alerts.tell(Event.MARKET_CLOSED, f"{self._name}: the session is over")
            self.alerts.summary()

    def _announce(self, port: int) -> None:
        told = {"url": f"http://{HOST}:{port}", "token": self.token, "pid": os.getpid()}
        write_atomic(self.folder / ADDRESS, json.dumps(told), private=True)


def check_speed(speed: float) -> None:
    """Refuse a speed that is none."""
    if not 0.0 <= speed <= 1e6:
        raise ConfigError(f"--speed {speed}: should be from 0 (as fast as possible) to 1000000")


def _range(days: list[str]) -> str:
    return f"{min(days)} to {max(days)}" if days else "none"
