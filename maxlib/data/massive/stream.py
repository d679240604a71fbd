"""Massive's WebSocket: one connection of one cluster, kept up, in order, through the quality gate.

The shell around pure parts: `frames` decodes, `sequence` orders and finds holes, `live` judges,
`inbox` buffers. What is here is only the conversation with the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from maxlib.core.errors import ConfigError, DataError
from maxlib.data.faults import excerpt
from maxlib.data.inbox import Inbox
from maxlib.data.live import (
    Event,
    FeedState,
    Halted,
    LiveBar,
    LiveGate,
    LiveQuote,
    LiveTrade,
    LiveValue,
    Tick,
)
from maxlib.data.massive.config import MassiveConfig, is_loopback
from maxlib.data.massive.frames import CHANNELS, Frame, decode
from maxlib.data.raw import VALUES, Raw
from maxlib.data.resilience import StaleKey, Staleness, delay_s
from maxlib.data.sequence import Sequencer, Span, Step
from maxlib.data.waiting import Clock, SystemClock
from maxlib.market.calendar import stamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from pydantic import SecretStr

Cluster = Literal["stocks", "options", "indices"]
T = TypeVar("T")

# At DEBUG, websockets writes down every frame, and the log-in frame holds the key: this logger never does.
_LOG: Final = logging.getLogger("maxlib.data.massive.socket")
_LOG.setLevel(logging.WARNING)
_MAX_FRAME: Final = 4_000_000
_MAX_QUOTES: Final = 1000
_DISPLACED: Final = frozenset({"max_connections", "force_disconnect"})
_FINE: Final = frozenset({"connected", "auth_success", "success"})
_STABLE: Final = 10
_COMPLAINTS: Final = 100


class _DeniedError(Exception):
    """The key is not accepted: trying again helps nothing."""


class _DisplacedError(Exception):
    """Another connection with the same key took our place."""


class MassiveStream:
    """Live minutes, trades, quotes, index values and halts of one cluster.

    Parameters
    ----------
    config, key, clock, seed
        As for `MassiveRest`.
    cluster : {"stocks", "options", "indices"}
    channels : like "AM.QQQ", "T.QQQ", "Q.O:QQQ251120C00600000", "V.I:VIX", "LULD.QQQ"
        The vendor has no delayed quotes; options allow 1000 quote channels and no wildcard.
    fetch : callable (symbol, start, end) -> Raw, or None
        Complete minutes between two UTC ns, to fill holes with (`MassiveRest.minutes_between`). It
        blocks, and is called in a thread. None = holes are only marked.
    may_connect : callable
        Asked before every connection: does this process hold the lease? One key has one connection
        per cluster, and the vendor closes the OLDER one, so two traders would push each other out.
    since : symbol -> UTC ns of the END of the last bar known; what follows it is fetched on connecting
    stale_s : symbol -> seconds after which silence makes it stale
    anchors : symbol -> a price known to be true

    Attributes
    ----------
    inbox : Inbox
        Where the events are read.
    gate : LiveGate
        Its `counts` tell what was dropped and why.
    counts : Counter
        Frames, what was not understood or not asked for, connections made and lost, fills.
    complaints : Counter
        What the server complained of, in its words.
    """

    def __init__(
        self,
        config: MassiveConfig,
        key: SecretStr,
        cluster: Cluster,
        channels: Iterable[str],
        *,
        fetch: Callable[[str, int, int], Raw] | None = None,
        may_connect: Callable[[], bool] = lambda: True,
        since: Mapping[str, int] | None = None,
        stale_s: Mapping[str, float] | None = None,
        anchors: Mapping[str, float] | None = None,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        self.config = config
        self.cluster = cluster
        self.inbox = Inbox(config.queue)
        self.gate = LiveGate(config.gate)
        self.counts: Counter[str] = Counter()
        self.complaints: Counter[str] = Counter()
        self._key = key
        self._fetch = fetch
        self._may_connect = may_connect
        self._clock: Clock = clock or SystemClock()
        self._rng = random.Random(seed)
        self._staleness = Staleness(stale_s or {})
        self._since = dict(since or {})
        self._sequencers: dict[str, Sequencer] = {}
        self._wanted: set[str] = set()
        self._socket: ClientConnection | None = None
        self._fills: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._heard = False
        for symbol, price in (anchors or {}).items():
            self.gate.anchor(symbol, price)
        for symbol, known in self._since.items():
            self.gate.begin(symbol, known)
        self._want(channels)

    def stale(self) -> tuple[StaleKey, ...]:
        """The symbols that were silent, or late, for longer than their limit."""
        return self._staleness.stale(self._clock.now_s())

    @property
    def simulated(self) -> bool:
        """The server is this machine: whatever comes from there was never the vendor's word."""
        return is_loopback(self.config.socket_url)

    @property
    def channels(self) -> frozenset[str]:
        """What is subscribed to, or will be on the next connection."""
        return frozenset(self._wanted)

    @property
    def filling(self) -> bool:
        """A hole is being filled."""
        return bool(self._fills)

    def ask(self, symbol: str) -> None:
        """Fetch every whole minute since the last one: the next is overdue, and no later one shows it."""
        sequencer = self._sequencers[symbol]
        self._take(sequencer, sequencer.reconnected(self._clock.utc_ns()))

    async def subscribe(self, *channels: str) -> None:
        """Add channels, on the open connection too."""
        new = set(channels) - self._wanted
        self._want(new)
        await self._tell("subscribe", new)

    async def unsubscribe(self, *channels: str) -> None:
        """Take channels away; what still comes of them is dropped."""
        gone = set(channels) & self._wanted
        self._wanted -= gone
        await self._tell("unsubscribe", gone)

    def _want(self, channels: Iterable[str]) -> None:
        wanted = self._wanted | set(channels)
        for channel in sorted(wanted):
            kind, _, symbol = channel.partition(".")
            if kind not in CHANNELS or not symbol or "*" in symbol or "," in symbol:
                raise ConfigError(
                    f"channel {channel!r} should be one of {', '.join(sorted(CHANNELS))} with one symbol"
                )
            if kind == "AM" and symbol not in self._sequencers:
                self._sequencers[symbol] = Sequencer(symbol, self._since.get(symbol))
        quotes = sum(channel.startswith("Q.") for channel in wanted)
        if self.cluster == "options" and quotes > _MAX_QUOTES:
            raise ConfigError(f"{quotes} option quote channels; a connection carries at most {_MAX_QUOTES}")
        self._wanted = wanted

    async def _tell(self, action: str, channels: Iterable[str]) -> None:
        names = sorted(channels)
        if names and self._socket is not None:
            with contextlib.suppress(WebSocketException):  # the reader sees to a broken connection
                await self._socket.send(json.dumps({"action": action, "params": ",".join(names)}))

    # --- keeping the connection -------------------------------------------------------------------

    async def run(self) -> FeedState:
        """Stay connected until `stop`, a refused key or a lost lease; returns the last state.

        Cancelling it is as good as `stop`.
        """
        failures = takeovers = 0
        try:
            while not self._stopping.is_set():
                if not self._may_connect():
                    return self._state("superseded", "the lease is not held")
                self._heard, began = False, self._clock.now_s()
                try:
                    await self._converse()
                except _DeniedError as error:
                    return self._state("denied", str(error))
                except _DisplacedError as error:
                    stable = self._clock.now_s() - began > _STABLE * self.config.takeover_wait_s
                    takeovers = 1 if stable else takeovers + 1
                    if takeovers > self.config.takeovers:
                        return self._state("superseded", str(error))
                    why, delay = str(error), self.config.takeover_wait_s
                except (OSError, TimeoutError, WebSocketException) as error:
                    failures = 1 if self._heard else failures + 1
                    why = self._masked(f"{type(error).__name__}: {error}")
                    delay = delay_s(self.config.backoff, failures, self._rng)
                if self._stopping.is_set():
                    break
                self.counts["lost"] += 1
                self._state("down", why)
                await _first(self._clock.pause(delay), self._stopping.wait())
            if self._failure is not None:
                raise self._failure
            return self._state("down", "stopped")
        finally:
            for task in self._fills:
                task.cancel()
            await asyncio.gather(*self._fills, return_exceptions=True)

    async def stop(self) -> None:
        """Close the connection; `run` returns."""
        self._stopping.set()
        if self._socket is not None:
            await self._socket.close()

    def _state(self, state: Literal["up", "down", "denied", "superseded"], why: str) -> FeedState:
        event = FeedState(state, why, self._clock.utc_ns())
        self.inbox.put(event)
        return event

    def _masked(self, text: str) -> str:
        return excerpt(text, self._key.get_secret_value())

    async def _converse(self) -> None:
        """One connection, from log-in to its end."""
        url = f"{self.config.socket_url}/{self.cluster}"
        self.counts["connections"] += 1
        try:
            socket = await connect(
                url,
                proxy=None if is_loopback(url) else True,
                open_timeout=self.config.connect_s,
                ping_interval=None,  # pings are ours, on the clock we were given
                close_timeout=1,
                max_size=_MAX_FRAME,
                logger=_LOG,
            )
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                raise _DeniedError(f"{url}: {error.response.status_code} on connecting") from None
            raise
        self._socket = socket
        reader = asyncio.create_task(self._read(socket))
        keeper = asyncio.create_task(self._keep_alive(socket))
        try:
            await asyncio.wait({reader, keeper}, return_when=asyncio.FIRST_COMPLETED)
            await (keeper if keeper.done() else reader)
        finally:
            # Whatever ended it, a polite close might wait for an answer that does not come.
            socket.transport.abort()
            self._socket = None
            for task in (reader, keeper):
                task.cancel()
            await asyncio.gather(reader, keeper, return_exceptions=True)
            await socket.close()

    async def _read(self, socket: ClientConnection) -> None:
        for word in ("connected", "auth_success"):
            if word == "auth_success":
                await socket.send(json.dumps({"action": "auth", "params": self._key.get_secret_value()}))
            await self._within(self._await_status(socket, word), self.config.handshake_s, f"no {word}")
        await self._tell("subscribe", self._wanted)
        self._state("up", f"{self.cluster}: {len(self._wanted)} channels")
        now = self._clock.utc_ns()
        for sequencer in self._sequencers.values():
            self._take(sequencer, sequencer.reconnected(now))
        async for text in socket:
            self._frame(text)
        raise ConnectionError("the connection was closed politely")

    async def _await_status(self, socket: ClientConnection, word: str) -> None:
        while True:
            frame = decode(await socket.recv(), (), self._clock.utc_ns(), delayed=False)
            self._statuses(frame)
            if any(status.status == word for status in frame.statuses):
                return

    async def _keep_alive(self, socket: ClientConnection) -> None:
        while True:
            await self._clock.pause(self.config.ping_every_s)
            pong = await socket.ping()
            await self._within(pong, self.config.ping_timeout_s, "half-open, no answer to a ping")

    async def _within(self, work: Awaitable[T], seconds: float, what: str) -> T:
        """`work`, or a TimeoutError after `seconds` of our clock."""
        task = asyncio.ensure_future(work)
        await _first(task, self._clock.pause(seconds))
        if task.cancelled():
            raise TimeoutError(f"{what} within {seconds:g} s")
        return task.result()

    # --- what comes -------------------------------------------------------------------------------

    def _statuses(self, frame: Frame) -> None:
        for status, message in frame.statuses:
            if status == "auth_failed":
                raise _DeniedError(f"the key was refused: {self._masked(message)}")
            if status in _DISPLACED:
                raise _DisplacedError(f"{status}: {self._masked(message)}")
            if status not in _FINE:
                self._complain(f"{status}: {message}")

    def _frame(self, text: str | bytes) -> None:
        frame = decode(text, self._wanted, self._clock.utc_ns(), delayed=self.config.delayed)
        self.counts["frames"] += 1
        self.counts.update(frame.bad)
        self._statuses(frame)
        self._heard = self._heard or bool(frame.ticks)
        for tick in frame.ticks:
            self._tick(tick)

    def _tick(self, tick: Tick | Halted) -> None:
        if isinstance(tick, LiveBar):
            if self.gate.possible(tick):
                sequencer = self._sequencers[tick.symbol]
                self._take(sequencer, sequencer.live(tick))
        elif isinstance(tick, LiveTrade):
            self._give(self.gate.trade(tick))
        elif isinstance(tick, LiveQuote):
            self._give(self.gate.quote(tick))
        elif isinstance(tick, LiveValue):
            self._give(self.gate.value(tick))
        else:
            self._give((tick,))

    def _take(self, sequencer: Sequencer, step: Step) -> None:
        now = self._clock.utc_ns()
        for event in step.out:
            if isinstance(event, LiveBar):  # one that was held is known only now
                accepted = self.gate.bar(event._replace(received_at=now))
                for lost in self.gate.belied:
                    self._give(sequencer.gap(lost))
                self._give(accepted)
            else:
                self._give((event,))
        if step.ask is not None:
            task = asyncio.create_task(self._fill(sequencer, step.ask))
            self._fills.add(task)
            task.add_done_callback(self._filled)

    def _give(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, LiveBar):
                if event.origin == "live":
                    self._hear(event.symbol, int(event.row["ts"][0]), event.received_at)
            elif isinstance(event, (LiveTrade, LiveValue)):
                self._hear(event.symbol, event.ts, event.received_at)
            self.inbox.put(event)

    def _hear(self, symbol: str, ts: int, received_at: int) -> None:
        self._staleness.heard(symbol, self._clock.now_s(), (received_at - ts) / 1e9)

    async def _fill(self, sequencer: Sequencer, span: Span) -> None:
        """Fetch a hole; whatever comes of it, the sequencer hears of it."""
        bars: list[LiveBar] = []
        if self._fetch is not None:
            fetched = asyncio.to_thread(self._fetch, sequencer.symbol, span.start, span.end)
            try:
                raw = await self._within(fetched, self.config.fill_s, "no bars to fill a hole")
                bars = [bar for bar in self._bars(sequencer.symbol, raw) if self.gate.possible(bar)]
                self.counts["fills"] += 1
            except (DataError, TimeoutError) as error:
                self.counts["fills failed"] += 1
                self._complain(str(error))
        self._take(sequencer, sequencer.filled(bars))

    def _filled(self, task: asyncio.Task[None]) -> None:
        self._fills.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._stopping.set()
            if self._socket is not None:
                self._socket.transport.abort()

    def _complain(self, text: str) -> None:
        if len(self.complaints) < _COMPLAINTS:
            self.complaints[self._masked(text)] += 1

    def _bars(self, symbol: str, raw: Raw) -> list[LiveBar]:
        columns: Any = [getattr(raw, name) for name in VALUES]
        rows = stamp(raw.start, *columns)
        now = self._clock.utc_ns()
        return [
            LiveBar(symbol, rows[i : i + 1], "backfill", now, self.config.delayed) for i in range(len(rows))
        ]


async def _first(*work: Awaitable[Any]) -> None:
    """Wait until one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
