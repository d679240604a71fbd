"""A Massive of one's own: REST and WebSocket on loopback, over a tape, under a virtual clock.

It is as true as the vendor's own Python client is content with it: the tests let that client talk to
it. Everything it serves is simulated or replayed, and our adapters label it so by its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from maxlib.data.massive.fake.api import Api, Reply
from maxlib.data.massive.fake.config import FakeConfig, RestFault
from maxlib.data.massive.fake.sockets import SocketServer
from maxlib.data.massive.fake.wire import HttpServer, Plan, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maxlib.data.massive.fake.market import FakeMarket


class VirtualClock:
    """The market's time: moved by hand, or running `speed` times as fast as ours.

    Serves as the `Clock` of the clients too, so that both live in the same time: at 60× a pause of a
    minute takes a second.

    Parameters
    ----------
    start : int
        UTC ns at which it stands until it is moved or told to run.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._speed = 0.0
        self._began = 0.0
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []

    def run(self, speed: float) -> None:
        """From now on, `speed` seconds pass in each of ours."""
        self._start, self._began, self._speed = self.utc_ns(), time.monotonic(), speed
        self._wake(all_of_them=True)

    def move_to(self, ns: int) -> None:
        """Go forward by hand."""
        self._start, self._began = max(ns, self.utc_ns()), time.monotonic()
        self._wake(all_of_them=False)

    def utc_ns(self) -> int:
        """Virtual UTC ns."""
        if not self._speed:
            return self._start
        return self._start + int((time.monotonic() - self._began) * self._speed * 1e9)

    def now_s(self) -> float:
        """Virtual seconds."""
        return self.utc_ns() / 1e9

    def sleep(self, seconds: float) -> None:
        """Block this thread for virtual seconds; a clock that stands is moved instead."""
        if self._speed:
            time.sleep(seconds / self._speed)
        else:
            self.move_to(self._start + int(seconds * 1e9))

    async def pause(self, seconds: float) -> None:
        """Let other tasks run for virtual seconds; on a clock that stands, until it has been moved."""
        until = self.utc_ns() + int(seconds * 1e9)
        while (left := until - self.utc_ns()) > 0:
            if self._speed:
                await asyncio.sleep(left / 1e9 / self._speed)
                continue
            moved = (until, asyncio.get_running_loop(), asyncio.Event())
            self._waiting.append(moved)
            try:
                await moved[2].wait()
            finally:
                self._waiting.remove(moved)

    def _wake(self, *, all_of_them: bool) -> None:
        now = self.utc_ns()
        for until, loop, event in tuple(self._waiting):
            if all_of_them or until <= now:
                loop.call_soon_threadsafe(event.set)


class FakeMassive:
    """The fake vendor.

    Parameters
    ----------
    market : FakeMarket
    clock : VirtualClock
    config : FakeConfig

    Examples
    --------
    In an event loop `await fake.start()`, at the end `await fake.stop()`; from blocking code
    `with fake.background(): ...`. In between, `fake.advance(ns)` by hand or `fake.run(speed)`.

    >>> from maxlib.data.simulator import SimulatorConfig, simulate
    >>> from maxlib.data.massive.fake.market import FakeMarket
    >>> bars = simulate(SimulatorConfig(days=1)).bars
    >>> with FakeMassive(FakeMarket({"QQQ": bars}), VirtualClock(int(bars["ts"][0]))).background() as fake:
    ...     fake.rest_url.startswith("http://127.0.0.1:"), fake.advance(int(bars["ts"][1]))
    (True, 9)

    Attributes
    ----------
    script : deque
        REST faults for the next calls, one each, before any are drawn by lot; None = a good answer.
    calls : Counter
        Path -> authorised REST calls.
    faults : Counter
        Fault -> how often it was committed, over REST and to somebody who listened to the stream.
    urls : list of str
        Request targets seen, to prove that no key was in one.
    """

    def __init__(self, market: FakeMarket, clock: VirtualClock, config: FakeConfig | None = None) -> None:
        self.market = market
        self.clock = clock
        self.config = config or FakeConfig()
        self.script: deque[RestFault | None] = deque()
        self.calls: Counter[str] = Counter()
        self.urls: list[str] = []
        self.rest_url = self.socket_url = ""
        self.sockets = SocketServer(market, self.config)
        self._http = HttpServer(
            self._answer, retry_after_s=self.config.retry_after_s, drip_s=self.config.drip_s
        )
        self._rest_faults: Counter[str] = Counter()
        self._rng = random.Random(self.config.seed)
        self._pushes = market.pushes(clock.utc_ns())
        self._next = next(self._pushes, None)
        self._runner: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, *, rest_port: int = 0, socket_port: int = 0) -> None:
        """Listen; ports of 0 are chosen by the system. Sets `rest_url` and `socket_url`."""
        self._loop = asyncio.get_running_loop()
        self.rest_url = f"http://127.0.0.1:{await self._http.start(rest_port)}"
        self.socket_url = f"ws://127.0.0.1:{await self.sockets.start(socket_port)}"
        self._api = Api(self.market, self.config.plan, self.config.next_host or self.rest_url)

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self.sockets.stop()
        await self._http.stop()

    @contextlib.contextmanager
    def background(self) -> Iterator[FakeMassive]:
        """Serve from a thread of its own, for callers that block."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fake massive", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def settled(self) -> None:
        """Wait until every client has taken what was sent to it, or is gone."""
        await self.sockets.settled()

    def advance(self, ns: int) -> int:
        """Move the clock to a moment and push all that is due; returns how many messages.

        From any thread.
        """
        self.clock.move_to(ns)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            return self._deliver()
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._deliver_there(), self._loop).result()

    async def _deliver_there(self) -> int:
        return self._deliver()

    def run(self, speed: float) -> None:
        """Let the clock run, and push what comes due. From any thread."""
        assert self._loop is not None
        self.clock.run(speed)
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._runner = asyncio.get_running_loop().create_task(self._pump())

    @property
    def faults(self) -> Counter[str]:
        """What was done wrong so far."""
        return self._rest_faults + self.sockets.faults

    @property
    def ended(self) -> bool:
        """Nothing is left to push."""
        return self._next is None

    async def _pump(self) -> None:
        while self._next is not None:
            self._deliver()
            if self._next is not None:
                await self.clock.pause((self._next.ts - self.clock.utc_ns()) / 1e9)

    def _deliver(self) -> int:
        now, count = self.clock.utc_ns(), 0
        self.sockets.refuse(on=any(start <= now < end for start, end in self.config.outages))
        while self._next is not None and self._next.ts <= now:
            self.sockets.push(self._next)
            self._next = next(self._pushes, None)
            count += 1
        return count

    def _answer(self, request: Request) -> Plan:
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        self.urls.append(f"{request.path}?{query}")
        key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query.get("apiKey")
        if not key:
            return Plan(_unauthorised(400, "API Key was not provided"), None)
        if key not in self.config.keys:
            return Plan(_unauthorised(401, "Unknown API Key"), None)
        self.calls[request.path] += 1
        fault = self.script.popleft() if self.script else self._draw()
        self._rest_faults.update([fault] if fault else [])
        plain = {name: value for name, value in request.query.items() if name != "apiKey"}
        return Plan(self._api.reply(request.path, plain, self.clock.utc_ns()), fault)

    def _draw(self) -> RestFault | None:
        for fault, share in sorted(self.config.rest_faults.items()):
            if self._rng.random() < share:
                return fault
        return None


def _unauthorised(status: int, text: str) -> Reply:
    return Reply(status, {"status": "ERROR", "request_id": "fake", "error": text})
