"""The vendor's fake as a feed's source: the whole path over loopback, on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from maxlib.app.feeds import BEAT_SECONDS, FeedConfig, beat
from maxlib.data.live import FeedState
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.fake import FakeConfig, FakeMarket, FakeMassive, VirtualClock
from maxlib.data.massive.stream import MassiveStream
from maxlib.data.resilience import BackoffConfig, BudgetConfig
from maxlib.engine.backtest import Rows
from maxlib.engine.events import Bar
from maxlib.market.bars import NS_PER_MINUTE

if TYPE_CHECKING:
    from maxlib.data.waiting import Clock
    from maxlib.market.quotes import Chain

_NS: Final = 1_000_000_000
_KEY: Final = "fake-key"
_POLL_SECONDS: Final = 0.001
_LAG_SECONDS: Final = 0.1
"""What a minute may take through this machine; at a speed it is that much more of market time."""


class MarketClock:
    """The market's time is virtual, waiting is real: what the loopback takes, it takes at any speed."""

    def __init__(self, virtual: VirtualClock) -> None:
        self._virtual = virtual

    def now_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def utc_ns(self) -> int:
        """Virtual UTC ns."""
        return self._virtual.utc_ns()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Let other tasks run."""
        await asyncio.sleep(seconds)


class FakeSource:
    """Bars of one date, served by a fake vendor in this process.

    Parameters
    ----------
    bars : BAR[n] of the date
    speed : times market speed; 0 = a minute is served when the one before was taken, and until then
        the market stands
    missed : from the last bar of the journal, in ns of market time: how far the market went on while nobody
        listened
    fake : what the vendor does wrong
    chain : the option chain known at a moment; None = the vendor has none
    """

    late_s = 0.0

    def __init__(
        self,
        symbol: str,
        bars: Rows,
        speed: float,
        *,
        missed: Callable[[], int],
        fake: FakeConfig | None = None,
        config: FeedConfig | None = None,
        chain: Callable[[int], Chain] | None = None,
    ) -> None:
        self._virtual = VirtualClock(int(bars["ts"][0]) - NS_PER_MINUTE)
        self.clock: Clock = MarketClock(self._virtual)
        usual = config or FeedConfig()
        self.lag_s = _LAG_SECONDS * speed
        overdue = usual.overdue_s + self.lag_s if speed > 0 else 0.0
        self.config = usual.model_copy(update={"overdue_s": overdue})
        self.vendor: FakeMassive | None = None
        self._symbol, self._bars, self._speed = symbol, bars, speed
        self._missed = missed
        self._chains = {} if chain is None else {symbol: chain}
        self._fake = fake or FakeConfig(keys=frozenset({_KEY}))

    @contextlib.asynccontextmanager
    async def serve(self, last: Bar | None) -> AsyncIterator[tuple[MassiveConfig, SecretStr]]:
        """Start the fake where the market is now, and stop it at the end."""
        if last is not None:
            end = int(self._bars["ts"][-1])
            self._virtual.move_to(min(end, last.ts + self._missed()))
        self.vendor = FakeMassive(
            FakeMarket({self._symbol: self._bars}, self._chains), self._virtual, self._fake
        )
        await self.vendor.start()
        try:
            if self._speed > 0:
                self.vendor.run(self._speed)
            yield self._massive(self.vendor), SecretStr(_KEY)
        finally:
            await self.vendor.stop()

    def _massive(self, vendor: FakeMassive) -> MassiveConfig:
        return MassiveConfig(
            rest_url=vendor.rest_url,
            socket_url=vendor.socket_url,
            budget=BudgetConfig(calls=1000, per_s=1.0),
            backoff=BackoffConfig(first_s=0.01, cap_s=1.0),
            takeover_wait_s=0.01,
            settle_s=0.0,
        )

    async def turn(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> None:
        """Wait for an event, a second at most; without a speed, serve the next minute."""
        if self._speed > 0:
            await beat(stream)
            return
        assert self.vendor is not None
        vendor = self.vendor
        until = time.monotonic() + BEAT_SECONDS

        async def reached(true: Callable[[], bool]) -> bool:
            while not true() and time.monotonic() < until:
                await asyncio.sleep(_POLL_SECONDS)
            return true()

        def listening() -> bool:
            """It asked for its channels, or there is nobody to wait for."""
            asked = vendor.sockets.asked(stream.cluster) >= stream.channels
            return asked or vendor.sockets.refusing or running.done()

        if not await reached(lambda: not stream.filling and listening()) or len(stream.inbox):
            return
        now = self._virtual.utc_ns()
        following = int(self._bars["ts"].searchsorted(now, side="right"))
        if following < len(self._bars):
            vendor.advance(int(self._bars["ts"][following]))
        await vendor.settled()
