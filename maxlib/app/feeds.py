"""Feeds of the paper trader: words about the market, in order, from a tape or over Massive's stream.

A feed decides nothing. It says when a minute is complete, when minutes are missing for good, and
when it is too old or cut off; the trader journals all three.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pydantic import Field, SecretStr

from maxlib.app.chain_feed import ChainFeed
from maxlib.core.config import Config
from maxlib.data.live import Event, FeedGap, FeedState, LiveBar
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.massive.stream import MassiveStream
from maxlib.data.sequence import regular_minutes
from maxlib.data.waiting import Clock, SystemClock
from maxlib.engine.backtest import Rows, to_bar
from maxlib.engine.events import Bar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york, session, to_ns
from maxlib.options.live_desk import Snapshot
from maxlib.risk.sizing import Denial

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

BEAT_SECONDS: Final = 1.0
"""A feed gives a sign so often at least while it waits, so that its reader can show life."""
DELAY_S: Final = 900.0
"""How late the vendor's delayed stream is."""
_NS: Final = 1_000_000_000
_FIRST_MINUTE: Final = 4 * 60
_LAST_MINUTE: Final = 20 * 60


class Minute(NamedTuple):
    """A minute is complete: BAR[1]; and the chain as it was then, if the venue has quotes."""

    row: Rows
    quotes: Snapshot | None = None


class Gap(NamedTuple):
    """Regular minutes that are missing for good, from `start` to `end`, UTC ns."""

    start: int
    end: int
    minutes: int


class Condition(NamedTuple):
    """Whether the feed lets anybody enter: None = it is well, else the denial; `why` in words."""

    denial: Denial | None
    why: str = ""


Word = Minute | Gap | Condition | None
"""None = nothing is new."""


class Feed(Protocol):
    """Where a trader's minutes come from."""

    @property
    def clock(self) -> int:
        """The market's time, UTC ns."""

    def words(self, last: Bar | None) -> AsyncGenerator[Word, None]:
        """Everything after the bar `last` of the journal (None = from the start), each bar once, in order.

        Ends with the day. A condition that holds comes before the minute it holds for.
        """


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

    async def words(self, last: Bar | None) -> AsyncGenerator[Word, None]:
        """Each bar when it is complete; None while it waits."""
        for i in range(len(self.bars)):
            if last is not None and int(self.bars["ts"][i]) <= last.ts:
                continue
            left = self._pause
            while left > BEAT_SECONDS:
                await asyncio.sleep(BEAT_SECONDS)
                left -= BEAT_SECONDS
                yield None
            await asyncio.sleep(left)
            self.clock = int(self.bars["ts"][i])
            yield Minute(self.bars[i : i + 1])


class FeedConfig(Config):
    """When a live feed is too old to enter on.

    Attributes
    ----------
    stale_s : a minute that is older when it is acted on, or silence for longer in regular hours, bars entries
    overdue_s : a minute that did not come so long after its end is asked for over REST
    """

    stale_s: float = Field(default=90.0, ge=60.0)
    overdue_s: float = Field(default=10.0, ge=0.0)


class Source(Protocol):
    """What a `StreamFeed` is connected to: the vendor, or the fake of it."""

    clock: Clock
    config: FeedConfig
    late_s: float
    """How late it is by design."""
    lag_s: float
    """Market seconds that only this machine takes for a call, because the market runs at a multiple."""

    def serve(self, last: Bar | None) -> AbstractAsyncContextManager[tuple[MassiveConfig, SecretStr]]:
        """Where to connect, and with which key, while the context is open."""

    async def turn(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> None:
        """Return when something may be new, after a second at most."""


class Vendor:
    """The vendor itself, in real time; in tests the time is that of a fake one."""

    lag_s = 0.0

    def __init__(
        self, massive: MassiveConfig, key: SecretStr, config: FeedConfig, clock: Clock | None = None
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.config = config
        self.late_s = DELAY_S if massive.delayed else 0.0
        self._massive, self._key = massive, key

    @contextlib.asynccontextmanager
    async def serve(self, last: Bar | None) -> AsyncIterator[tuple[MassiveConfig, SecretStr]]:
        """The vendor's addresses; there is nothing to start."""
        del last
        yield self._massive, self._key

    async def turn(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> None:
        """Wait for an event, a second at most."""
        del running
        await beat(stream)


async def beat(stream: MassiveStream) -> None:
    """Wait for an event of the stream, a second at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEAT_SECONDS):
            await stream.inbox.filled()


class StreamFeed:
    """One symbol's minutes over the vendor's WebSocket, gated, in order, with holes filled over REST.

    A minute that is overdue is asked for, whether the connection stands or not. What cannot be had is
    marked. Nothing takes the feed's place when it fails.

    Parameters
    ----------
    source : what it connects to
    since : UTC ns of the END of the last minute known before the day; what follows is asked for
    price : a price known to be true then; None = the first minute waits for the second to confirm it
    until : UTC ns at which the day is over
    quotes : each minute in regular hours brings the chain's quotes with it

    Attributes
    ----------
    chain : asks for the quotes; None = nobody does
    """

    def __init__(
        self,
        symbol: str,
        source: Source,
        *,
        since: int,
        price: float | None,
        until: int,
        quotes: bool = False,
    ) -> None:
        self.symbol = symbol
        self.source = source
        self.stream: MassiveStream | None = None
        self._since, self._price = since, price
        self._last = since
        self._until = until
        self._asked = 0
        self._down: FeedState | None = None
        self._said: str | None = None
        self._late_s = source.late_s
        self.chain: ChainFeed | None = None
        if quotes:
            lag_ns = int(source.lag_s * _NS)
            self.chain = ChainFeed(symbol, lambda: self.clock, delayed=source.late_s > 0, lag_ns=lag_ns)

    @property
    def clock(self) -> int:
        """The market's time, UTC ns; of a delayed feed, that of what it tells now."""
        return self.source.clock.utc_ns() - int(self._late_s * _NS)

    async def words(self, last: Bar | None) -> AsyncGenerator[Word, None]:
        """Everything after `last`; ends when the day is over."""
        self._asked = 0
        price = self._price if last is None else last.close
        self._last = self._since if last is None else last.ts
        async with self.source.serve(last) as (massive, key):
            clock = self.source.clock
            self._down = FeedState("down", "not connected yet", self.clock)
            rest = MassiveRest(massive, key, clock=clock)
            stream = MassiveStream(
                massive,
                key,
                "stocks",
                [f"AM.{self.symbol}"],
                fetch=rest.minutes_between,
                since={self.symbol: self._last},
                anchors={} if price is None else {self.symbol: price},
                clock=clock,
            )
            self.stream = stream
            running = asyncio.create_task(stream.run())
            try:
                async for word in self._listen(stream, running):
                    yield await self._quoted(word, rest)
            finally:
                await stream.stop()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                rest.close()

    async def _listen(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> AsyncIterator[Word]:
        while True:
            await self.source.turn(stream, running)
            yield None
            while (event := stream.inbox.pop()) is not None:
                for word in self._told(event):
                    yield word
            if running.done():
                running.result()  # a broken invariant stops the trader
            if self._over(stream, running):
                for gap in _missing(self._last, self._until):
                    yield gap
                return
            self._chase(stream, running)
            quiet = self._condition(max(self._last, self._opening()))
            if quiet.denial is not None and quiet.denial.code != self._said:
                yield self._say(quiet)

    async def _quoted(self, word: Word, rest: MassiveRest) -> Word:
        if self.chain is None or not isinstance(word, Minute):
            return word
        return word._replace(quotes=await self.chain.after(to_bar(word.row[0]), rest))

    # --- what the stream says

    def _told(self, event: Event) -> Iterator[Word]:
        if isinstance(event, LiveBar):
            self._last = int(event.row["ts"][0])
            yield self._say(self._condition(self._last))
            yield Minute(event.row)
        elif isinstance(event, FeedGap):
            yield Gap(event.start, event.end, event.minutes)
        elif isinstance(event, FeedState):
            since = event.at if self._down is None else self._down.at
            self._down = None if event.state == "up" else event._replace(at=since)
            yield self._say(self._condition(max(self._last, self._opening())))

    def _say(self, condition: Condition) -> Condition:
        self._said = condition.denial.code if condition.denial is not None else None
        return condition

    def _condition(self, newest: int) -> Condition:
        """As of now, for a decision on what was known at `newest`, UTC ns."""
        if self._down is not None:
            return Condition(Denial("FEED_DOWN", 0.0, self._seconds(self._down.at)), self._down.state)
        age, limit = self._seconds(newest), self.source.config.stale_s
        if age > limit:
            return Condition(Denial("STALE_FEED", limit, age), "")
        return Condition(None)

    def late(self, ts: int) -> bool:
        """Whether a minute that ended at `ts` (UTC ns) is known so late that nobody could trade at it."""
        return self._seconds(ts) > self.source.config.stale_s

    def _seconds(self, since: int) -> float:
        return round(max(0.0, (self.clock - since) / _NS), 3)

    def _opening(self) -> int:
        """Silence counts from here: outside regular hours it only means that nobody traded."""
        now = self.clock
        today = session(new_york(now).date())
        if today is None:
            return now
        opened, closed = to_ns(today.date, today.open_minute), to_ns(today.date, today.close_minute)
        return opened if opened <= now <= closed else now

    # --- what it does not say

    def _due(self) -> int:
        """End of the last minute that should have come, UTC ns."""
        return (self.clock - int(self.source.config.overdue_s * _NS)) // NS_PER_MINUTE * NS_PER_MINUTE

    def _chase(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> None:
        """Ask for a minute that is overdue, once."""
        due = min(self._due(), self._until)
        minute = new_york(due - NS_PER_MINUTE)
        if not _FIRST_MINUTE <= minute.hour * 60 + minute.minute < _LAST_MINUTE:
            return
        if due > max(self._last, self._asked) and not stream.filling and not running.done():
            self._asked = due
            stream.ask(self.symbol)

    def _over(self, stream: MassiveStream, running: asyncio.Task[FeedState]) -> bool:
        """The last minute came, or was asked for and is not to be had."""
        if self._last >= self._until:
            return True
        asked = self._asked >= self._until or running.done()
        return asked and self._due() >= self._until and not stream.filling


def _missing(start: int, end: int) -> list[Gap]:
    minutes = regular_minutes(start, end)
    if not len(minutes):
        return []
    return [Gap(int(minutes[0]), int(minutes[-1]) + NS_PER_MINUTE, len(minutes))]
