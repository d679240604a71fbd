"""One process of a walk: the paper trader, its courier and its feed, without sockets and without `run`.

What `PaperTrader.run` does in its loop, the walk does here, one deed at a time.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import requests
from pydantic import SecretStr

from maxlib.app.brokers import Account as Connected
from maxlib.app.brokers import Broker
from maxlib.app.courier import Courier, CourierConfig
from maxlib.app.feeds import Condition, Gap, Minute
from maxlib.app.paper import PaperTrader
from maxlib.app.venues import Market
from maxlib.core.config import Config
from maxlib.data.config import DataConfig
from maxlib.data.live import LiveBar
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.stream import MassiveStream
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.ops.lease import Lease
from maxlib.options.desk import DeskConfig
from maxlib.research.scenario import Scenario
from maxlib.risk.sizing import Denial, RiskConfig
from maxlib.strategies.strategy import Strategy
from maxlib.trading.plan import ExitPlan
from tests.chaos.broker_sweep import HERE
from tests.chaos.life_account import Account
from tests.chaos.life_host import HOST, killed
from tests.engine.scripted import DAY, at, strategy
from tests.execution.alpaca.bench import InProcess

OPEN = at("13:00")
"""When a walk begins: at noon and later, a fly is worth buying."""
FIRST_PRICE = 500.0
LEASE_S = 90.0
ACCOUNT_USD = 25_000
Kind = Literal["long", "vertical", "fly"]
TARGETS: dict[Kind, float] = {"long": 1.5, "vertical": 2.5, "fly": 4.0}
"""Dollars to the first target, far enough for the structure to be worth its costs."""


class Script(Config):
    """A strategy that does what the tape's volume says."""

    kind: str = "scripted"
    target: float = 1.5

    def build(self) -> Strategy:
        return strategy(stop=2.0, tp1=self.target, tp2=self.target + 1.0)


class Story(Scenario):
    """A scenario of a walk."""

    strategy: Script = Script()  # type: ignore[assignment]


def story(kind: Kind, positions: int) -> Story:
    return Story(
        name="life", title="life", data=DataConfig(source="simulator"),
        strategy=Script(target=TARGETS[kind]), desk=DeskConfig(model="spec", structures=(kind,)),
        exits=ExitPlan(hold_minutes=8, force_close_minutes=35, tp1_fraction=0.5),
        risk=RiskConfig(account_usd=ACCOUNT_USD, contracts=3, max_positions=positions),
    )  # fmt: skip


class Clock:
    """The market's time, for the trader and for its feed."""

    @property
    def clock(self) -> int:
        return HOST.now

    def now_s(self) -> float:
        return HOST.now / 1e9

    def utc_ns(self) -> int:
        return HOST.now

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")

    async def pause(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


class Mute:
    """A notifier that tells nobody."""

    def send(self, *said: Any, **more: Any) -> None:
        pass

    def close(self, seconds: float) -> None:
        pass


def _connected_by_hand(*_: Any) -> Any:
    raise AssertionError("a walk connects when it draws it")


def frame(ts: int, prices: tuple[Any, ...], volume: float) -> str:
    """The minute that ends at `ts`, UTC ns, as the vendor writes it."""
    end = ts // 1_000_000
    o, h, l, c = prices
    row = {"ev": "AM", "sym": "QQQ", "s": end - 60_000, "e": end, "o": o, "h": h, "l": l, "c": c, "v": volume}
    return json.dumps([row])


class Process:
    """A trader's process.

    Attributes
    ----------
    cursor : events of the stream that it need not hear any more; None = it is not connected
    eager : the stream is faster than any answer
    """

    def __init__(self, scenario: Story, folder: Path, account: Account) -> None:
        self.account, self.clock = account, Clock()
        self.cursor: int | None = None
        self.eager = False
        self._heard: list[asyncio.Task[None]] = []
        broker = Broker("fake", "broker", _connected_by_hand)
        # The folder is the same name in each walk, so that journals can be compared.
        self.paper = PaperTrader(
            scenario, folder, venue=lambda *_: self._market(folder), broker=broker, told=Mute()  # type: ignore[arg-type]
        )  # fmt: skip
        self.trader: Trader = self.paper.trader
        assert isinstance(self.trader.shell, BrokerShell)
        self.shell = self.trader.shell
        session = requests.Session()
        session.mount("http://", InProcess(account))  # type: ignore[arg-type]
        self.leases = folder.parent / "leases"
        at_broker = self.paper._broker
        assert at_broker is not None
        self.courier = Courier(
            self.shell, at_broker, HERE, FAKE_KEYS, clock=lambda: HOST.now, since=0,
            lease_folder=self.leases, courier=CourierConfig(lease_s=LEASE_S, poll_s=0.001), session=session,
        )  # fmt: skip
        at_broker._account = Connected(self.courier)  # type: ignore[assignment]
        last = self.trader.last_bar
        self.feed = MassiveStream(
            MassiveConfig(), SecretStr("key"), "stocks", ["AM.QQQ"],
            since={"QQQ": OPEN if last is None else last.ts},
            anchors={"QQQ": FIRST_PRICE if last is None else last.close}, clock=self.clock,
        )  # fmt: skip

    def _market(self, folder: Path) -> Market:
        return Market(
            "walk", DAY.isoformat(), folder, 1.0, "SIMULATED", {"label": "SIMULATED"}, None,
            lambda _: None, self.clock,  # type: ignore[arg-type]
        )  # fmt: skip

    # --- the broker

    async def sign_in(self) -> None:
        """Take the lease, as often as the account has to be asked for its name."""
        while True:
            try:
                await self.courier._sign_in()
                break
            except VenueError:
                continue
        self.courier.tell_connection()

    async def connect(self) -> bool:
        """The stream stands: reconcile, then listen. False = the account did not answer."""
        self.cursor = len(self.account.venue.events)
        try:
            await self.courier.reconcile()
        except VenueError:
            self.cursor = None
            return False
        self.courier._stream.connected = True
        self.courier.tell_connection()
        return True

    def disconnect(self) -> None:
        self.cursor = None
        self.courier._stream.connected = False
        self.courier.tell_connection()

    async def turn(self, *, settled: bool = False) -> None:
        """What `Courier._work` does when it wakes."""
        self.courier.tell_connection()
        await (self.courier.settled() if settled else self.courier.turn())
        await self._overheard()

    async def look(self) -> None:
        await self.courier._look()
        await self._overheard()

    async def listen(self, numbers: list[int]) -> bool:
        """Hear these events of the stream in this order; False = it broke after one of them."""
        for number in numbers:
            await self.courier._stream._take(self.account.frame(number))
            if self.account.faults.hit("disconnect"):
                self.disconnect()
                return False
        return True

    def overhear(self) -> None:
        """An exchange is over: what it caused is on the stream before its answer is here."""
        events = len(self.account.venue.events)
        if self.eager and self.cursor is not None and self.cursor < events:
            numbers, self.cursor = list(range(self.cursor, events)), events
            heard = asyncio.get_running_loop().create_task(self._hear(numbers))
            heard.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._heard.append(heard)

    async def _hear(self, numbers: list[int]) -> None:
        for number in numbers:
            await self.courier._stream._take(self.account.frame(number))

    async def _overheard(self) -> None:
        heard, self._heard = self._heard, []
        await asyncio.gather(*heard)

    # --- the market

    def condition(self, down_since: int | None) -> None:
        """The feed is well, or down since then."""
        if down_since is None:
            self.paper._take(Condition(None))
        else:
            down = Denial("FEED_DOWN", 0.0, (HOST.now - down_since) / 1e9)
            self.paper._take(Condition(down, "down"))

    async def receive(self, text: str, down_since: int | None) -> None:
        """A frame of the feed comes in; what passes its gate goes to the trader."""
        self.feed._frame(text)
        while self.feed.filling:
            await asyncio.sleep(0)
        while (event := self.feed.inbox.pop()) is not None:
            self.paper._obey()
            if isinstance(event, LiveBar):
                self.condition(down_since)
                self.paper._take(Minute(event.row))
            else:
                self.paper._take(Gap(event.start, event.end, event.minutes))  # type: ignore[union-attr]

    # --- the end

    def renew(self) -> bool:
        """Renew the lease; False = somebody else has it."""
        lease = self._lease
        return lease is not None and lease.renew() is None

    @property
    def _lease(self) -> Lease | None:
        assert self.courier._tenure is not None
        return self.courier._tenure._lease

    def close(self) -> None:
        """An orderly end."""
        self.courier.close()
        self.trader.close()

    def kill(self) -> None:
        """What the kernel does to a process that is killed: its locks are free, its files as they are."""
        for task in self._heard:
            task.cancel()
        if self._lease is not None:
            self._lease._lock.close()
        killed()
