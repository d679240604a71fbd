"""The paper trader's process: a feed, the trader, its API. Headless; closing a page changes nothing.

One event loop. A bar comes in, the trader journals and decides, viewers are told. The API
lives beside it in the same loop and never makes it wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import math
import os
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import Final

import psutil

from maxlib.app.alerts import Alerts, notifier
from maxlib.app.api import Asked, Events, application
from maxlib.app.at_broker import AtBroker
from maxlib.app.brokers import SIMULATED, Broker
from maxlib.app.ending import unsettled
from maxlib.app.feeds import BEAT_SECONDS, Condition, Gap, Minute, StreamFeed, TapeFeed, Word
from maxlib.app.telling import Telling
from maxlib.app.venues import Market, Open, first_entry, tape
from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError, DataError, InvariantError
from maxlib.core.files import write_atomic
from maxlib.engine.account import KILL_SWITCH, Carried, ended, newest
from maxlib.engine.backtest import to_bar
from maxlib.engine.live import LiveSession, Request
from maxlib.engine.replay import prior_close
from maxlib.engine.trader import Trader
from maxlib.journal.errors import HaltEntriesError
from maxlib.market.calendar import to_ns
from maxlib.ops.address import ADDRESS
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import Gap as Lapse
from maxlib.ops.heartbeat import Heart
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.notify import Notifier
from maxlib.ops.supervisor import HEARTBEAT
from maxlib.ops.watchdog import Watchdog
from maxlib.research.provenance import code_version
from maxlib.research.scenario import Scenario
from maxlib.risk.health import Vitals
from maxlib.risk.sizing import Denial

HOST: Final = "127.0.0.1"
_NS: Final = 1_000_000_000
JOURNAL_SECONDS: Final = (1.0, 30.0)
"""A journal that takes no entry is tried again after the first, then twice as long, up to the second."""
JUMP_SECONDS: Final = 5.0
"""A sleep of the machine, or a step of its wall clock, that makes what is known of market and broker old."""


class PaperTrader:
    """One scenario on one date: own simulated fills at modelled or live quotes, or those of a broker.

    Parameters
    ----------
    folder : journal and address of this trader; None = var/paper/SCENARIO-DAY, with the venue's name
    day : New York date as 2025-01-31; "" = the tape's last session
    speed : times market speed, 0 = as fast as it goes; None = the venue's own
    venue : where its minutes come from (`maxlib.app.venues`)
    broker : what becomes of its orders (`maxlib.app.brokers`)
    after : folder of the day whose account goes on; "last" = the newest beside this one; "" = none
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
        broker: Broker = SIMULATED,
        after: str = "",
        told: Notifier | None = None,
    ) -> None:
        market = venue(scenario, folder, day, speed)
        broker.check(scenario.machine, label=market.label)
        self.feed, self.folder = market.feed, market.folder
        self._level = market.level
        self._name = f"{scenario.name} on {market.day}"
        self._volatility = f", {market.volatility}" if market.volatility else ""
        self._heart = Heart(self.folder / HEARTBEAT)
        self._dog: Watchdog | None = None
        self.settings = {
            "scenario": scenario.model_dump(mode="json"),
            "day": market.day,
            "venue": market.name,
            "speed": market.speed,
            "quotes": market.quotes,
            "broker": broker.name,
            **({"vix": market.volatility} if market.volatility else {}),
        }

        def notices() -> Notifier:
            return told or notifier(self.folder / "notices", market.label)

        try:
            self.trader = Trader(
                self.folder,
                scenario.strategy.build(),
                scenario.machine,
                run=f"{config_hash(scenario)[:16]}-{market.day}",
                identity={
                    **market.identity,
                    "broker": broker.name,
                    "code_version": code_version(),
                    "scenario": scenario.model_dump(mode="json"),
                },
                simulated=market.simulated,
                fills=broker.fills,
                quotes=market.quotes,
                carried=self._carried(after, market, broker.name),
                history=market.history,
                alive=self._recovering,
            )
        except InvariantError as error:
            alarm = notices()
            alarm.send(Event.RECOVERY_ERROR, f"{self._name} cannot be recovered, look at it: {error}")
            alarm.close(2.0)
            raise
        self.session = LiveSession(
            self.trader,
            label=market.label,
            strategy=scenario.strategy.kind,
            previous_close=None if market.history is None else prior_close(market.history),
        )
        if isinstance(self.feed, TapeFeed) and self.trader.last_bar is not None:
            self.feed.clock = self.trader.last_bar.ts
        if isinstance(self.feed, StreamFeed) and self.feed.chain is not None:
            self.feed.chain.held = self.trader.held_strikes
        self.switch = KillSwitch(self.folder / KILL_SWITCH)
        self.session.no_reset = self.switch.no_reset
        self.events = Events()
        self.alerts = Alerts(notices(), self.session, self._now)
        self.telling = Telling(self.session, self.events, self.alerts, self._now)
        self._guard = scenario.machine.guard if market.speed == 1.0 else None
        """Whose health checks are made; a market that is played faster says nothing of health."""
        self._checked = 0
        self._broker: AtBroker | None = None
        if broker.connect is not None:
            self._broker = AtBroker(
                broker.connect, self.session, self.telling, self._now, self._obey,
                since=to_ns(dt.date.fromisoformat(market.day), 0), standing=market.speed == 0,
            )  # fmt: skip
        self._obey()
        self.token = secrets.token_urlsafe(24)
        self._stop = asyncio.Event()

    def _now(self) -> int:
        """The market's clock, UTC ns."""
        return self.feed.clock

    def _recovering(self) -> None:
        """A long recovery is no hang."""
        self._heart.beat("recovering", self._name)
        if self._dog is not None:
            self._dog.feed()

    def _carried(self, after: str, market: Market, broker: str) -> Carried | None:
        """The account that goes on, at the first start only; a kill switch that was thrown stays thrown."""
        if not after or first_entry(self.folder) is not None:
            return None
        if after == "last":
            found = newest(self.folder, market.day, market.label, broker)
        else:
            found = ended(Path(after), market.day, market.label, broker)
        if found is not None and found.killed:
            KillSwitch(self.folder / KILL_SWITCH).throw(found.killed, f"of {found.day}")
        return found

    @property
    def recovery_sentence(self) -> str:
        """What the start found."""
        found = self.trader.recovery.entries
        what = f"{self._name}, {self.session.label}{self._volatility}"
        if found == 0:
            return f"{what}; a new journal."
        again = self.trader.recovery.replayed
        return f"{what}; {found:,} entries in the journal, {again:,} of them run through again."

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
            try:
                self.switch.throw(why or "asked for", "API")
            except DataError as error:
                return f"entries are halted until this process ends, but not durably: {error}"
            finally:
                self._obey()
            return None
        if name == "reset":
            denied = self.switch.reset(code)
            if denied is not None:
                return denied.sentence
            unwritten = self.session.switch("reset", self.feed.clock, why)
            self._obey()
            if unwritten is not None and self.session.phase != "STOPPED":
                return unwritten
            self.telling.people(
                Event.KILL_SWITCH_RESET, "the kill switch was reset; trading waits for a resume"
            )
            return None
        self._obey()
        request: Request = "resume" if name == "start" else name
        refused = self.session.ask(request, self.feed.clock, why)
        if refused is None:
            if self._broker is not None:
                self._broker.wake()  # a halt takes back entries in the air
            self.telling.phase(why)
            if name == "stop":
                self._stop.set()
        return refused

    def _obey(self) -> None:
        """A thrown kill switch, whoever threw it, halts; only a reset and a resume let entries pass again.

        The journal remembers it too: a file that is gone without its code is thrown again.
        """
        found = self.switch.why()
        killed = self.trader.shell.machine.killed
        if found is None and killed and self.session.phase != "STOPPED":
            with contextlib.suppress(DataError):
                found = self.switch.throw("its file was removed, and no code was given", "the journal")
        why = "" if found is None else f"kill switch: {found.reason} ({found.by})"
        news, self.session.killed = why and why != self.session.killed, why
        if found is None:
            return
        if not killed and self.session.switch("kill", self.feed.clock, why) is None:
            self.telling.phase(why)
            if self._broker is not None:
                self._broker.wake()  # entries in the air are taken back
        if news:
            self.telling.people(Event.KILL_SWITCH, f"{found.reason} ({found.by})")

    async def run(self, port: int = 0, *, stay: bool = True) -> None:
        """Trade the date, then serve until stopped; `stay` False = end with the tape."""
        from uvicorn import Config, Server

        try:
            listening = socket.create_server((HOST, port))
        except OSError as error:
            self.trader.close()
            self._heart.stop()
            raise ConfigError(f"--port {port}: cannot be had on {HOST} ({error.strerror})") from None
        self._announce(listening.getsockname()[1])
        app = application(
            self.session,
            self.events,
            token=self.token,
            clock=self._now,
            settings=self.settings,
            ask=self.ask,
            alarm=lambda text: self.telling.people(Event.SYSTEM_ERROR, text),
        )
        server = Server(Config(app, log_level="warning", access_log=False, lifespan="off"))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # they are ours
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        serving = asyncio.create_task(server.serve([listening]))
        self.telling.people(Event.STARTUP, self.recovery_sentence)
        try:
            with Watchdog(self.folder) as dog:
                self._dog = dog
                while True:
                    try:
                        await self._live(dog, stay=stay)
                        break
                    except HaltEntriesError as refused:
                        if not await self._writes_again(dog, refused):
                            break
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self.trader.close()
            (self.folder / ADDRESS).unlink(missing_ok=True)
            self.alerts.close()
            self._heart.stop()

    async def _live(self, dog: Watchdog, *, stay: bool) -> None:
        if self._broker is None:
            await self._trade(dog)
        else:
            async with self._broker.connected(lambda: self._heart.beat("connecting", self._name)):
                await self._trade(dog)
        while stay and not self._stop.is_set():
            self._alive(dog)
            self._refuse_unwritten()
            await self._rest(BEAT_SECONDS)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _refuse_unwritten(self) -> None:
        """A request of the API may have met a journal that takes nothing: the loop must not decide on."""
        if self.trader.journal.refused is not None:
            raise self.trader.journal.refused

    async def _writes_again(self, dog: Watchdog, refused: HaltEntriesError) -> bool:
        """Try until the journal takes entries; False = asked to stop meanwhile.

        Feed and broker are disconnected: without a journal nothing may be decided, sent or booked. What
        was not written has not happened; feed and broker are asked for it again.
        """
        since, (pause, longest) = time.monotonic(), JOURNAL_SECONDS
        self.telling.people(Event.SYSTEM_ERROR, f"nothing is decided or sent: {refused}")
        while not self._stop.is_set():
            self.session.outage = f"JOURNAL_DOWN: {refused}"
            self.telling.process()
            try:
                self.session.recover()
                down = Denial("JOURNAL_DOWN", 0.0, round(time.monotonic() - since, 3))
                self.session.process(down, self.feed.clock, str(refused))
            except HaltEntriesError as error:
                refused = error
            else:
                self.session.outage = ""
                self.telling.process()
                told = "the journal takes entries again; the trader catches up"
                self.telling.people(Event.HEALTH, told, "journal well")
                return True
            again = time.monotonic() + pause
            while not self._stop.is_set() and (left := again - time.monotonic()) > 0:
                self._beat(dog)
                await self._rest(min(left, BEAT_SECONDS))
            pause = min(2 * pause, longest)
        return False

    def _alive(self, dog: Watchdog) -> None:
        self._notice(self._beat(dog))
        self._check_health()

    def _beat(self, dog: Watchdog) -> Lapse:
        """Show life, from the loop itself; and look at the kill switch, which anybody may have thrown."""
        dog.feed()
        # A day that is over is no end of the process: only `Heart.stop` says that it ended in order.
        phase = "serving" if self.session.phase == "STOPPED" else self.session.phase.lower()
        lapse = self._heart.beat(phase, self._name)
        self._obey()
        return lapse

    def _notice(self, lapse: Lapse) -> None:
        """After a sleep of the machine, or a step of its clock, nobody enters on what was known before."""
        by = max(lapse.suspended_s, abs(lapse.set_s))
        if by < JUMP_SECONDS or isinstance(self.feed, TapeFeed) or self.session.phase == "STOPPED":
            return  # a tape sleeps with the machine
        slept = lapse.suspended_s >= JUMP_SECONDS
        why = (
            f"the machine slept for {by:,.0f} s"
            if slept
            else f"the wall clock was set by {lapse.set_s:+,.0f} s"
        )
        self.session.process(Denial("CLOCK_JUMP", JUMP_SECONDS, round(by, 3)), self.feed.clock, why)
        if self._broker is not None:
            self._broker.doubt()
        self.telling.process()
        told = f"no entries until feed and broker have caught up: {why}"
        self.telling.people(Event.HEALTH, told, "clock")

    def _check_health(self) -> None:
        now = self.feed.clock
        if self._guard is None or now - self._checked < self._guard.safety.health.check_seconds * _NS:
            return
        self._checked = now
        machine, last = self.trader.shell.machine, self.trader.last_bar
        age = math.nan if last is None else (now - last.ts) / _NS
        api = machine.feed is None and machine.broker is None
        self.session.vitals(Vitals(now, age, psutil.cpu_percent(), psutil.virtual_memory().percent, api))
        self.telling.news()

    async def _trade(self, dog: Watchdog) -> None:
        async with contextlib.aclosing(self.feed.words(self.trader.last_bar)) as words:
            async for word in words:
                self._alive(dog)
                if self._stop.is_set() or self.session.phase == "STOPPED":
                    return
                self._refuse_unwritten()
                self._take(word)
                if self._broker is not None:
                    await self._broker.carry()
        if not self.trader.finished:
            if self._broker is not None:
                await self._broker.end_orders()
            self._end_day()
            self.telling.news()
            self.session.ask("stop", self.feed.clock)
            self.telling.phase("the tape has ended")
            self.telling.people(Event.MARKET_CLOSED, f"{self._name}: the session is over")
            self.alerts.summary()

    def _end_day(self) -> None:
        """Close the day; unless something is open that nobody saw to the session's end."""
        if isinstance(self.feed, StreamFeed) and self.trader.unseen:
            self.telling.people(Event.SYSTEM_ERROR, f"{self._name}: {unsettled(self.trader, self.folder)}")
        else:
            self.trader.finish()

    def _take(self, word: Word) -> None:
        if isinstance(word, Minute):
            self._bar(word)
        elif isinstance(word, Gap):
            self.session.gap(word.start, word.end, word.minutes, self.feed.clock)
            self.telling.people(Event.HEALTH, f"{word.minutes} minutes are missing for good", "gap")
        elif isinstance(word, Condition):
            self._feed(word)

    def _feed(self, word: Condition) -> None:
        before = self.trader.shell.machine.feed
        if not self.session.feed(word.denial, self.feed.clock, word.why):
            return
        now = self.telling.feed()
        if before is not None and word.denial is not None and before.code == word.denial.code:
            return  # a longer wait for the same reason is no news to anybody
        if now:
            self.session.error(now, self.feed.clock)
            self.telling.news()
        why = f" ({word.why})" if word.why else ""
        told = f"no entries: {now}{why}" if now else "the feed is well again"
        self.telling.people(Event.HEALTH, told, word.denial.code if word.denial else "feed well")

    def _bar(self, minute: Minute) -> None:
        before, unquoted, row = len(self.session.marks()), self.session.unquoted, minute.row
        try:
            late = isinstance(self.feed, StreamFeed) and self.feed.late(int(row["ts"][0]))
            self.session.bar(row, self._level(row), minute.quotes, late=late)
        except HaltEntriesError:
            raise
        except Exception:
            self.telling.people(Event.LOOP_ERROR, self.session.fault)
            raise
        if self._broker is not None:
            self._broker.see(to_bar(row[0]))
        self.telling.bar()
        self.telling.marks(before)
        if bool(self.session.unquoted) != bool(unquoted):
            now = self.session.unquoted
            told = f"no quotes to trade at: {now}" if now else "quotes are back"
            self.telling.people(Event.HEALTH, told, "unquoted" if now else "quoted")
        self._caught_up()

    def _caught_up(self) -> None:
        """What the process barred entries for is over with the first minute that was taken in time.

        With a broker, its account must have been compared again too.
        """
        machine = self.trader.shell.machine
        sure = self._broker is None or (machine.broker is None and self._broker.sure)
        if machine.process is not None and machine.feed is None and sure:
            self.session.process(None, self.feed.clock, "caught up")
            self.telling.process()

    def _announce(self, port: int) -> None:
        told = {"url": f"http://{HOST}:{port}", "token": self.token, "pid": os.getpid()}
        write_atomic(self.folder / ADDRESS, json.dumps(told), private=True)
