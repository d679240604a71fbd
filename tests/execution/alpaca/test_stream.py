"""The trade stream against a real socket: sign-in, gaps, disorder, dead connections."""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from maxlib.execution.alpaca.books import FillImported, Local, apply
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.fake import FAKE_KEYS, FakeServer
from maxlib.execution.alpaca.fake_api import FakeApi
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.orders import Tracked
from maxlib.execution.alpaca.reasons import Complaint, VenueError
from maxlib.execution.alpaca.reconcile import answered, hear, reconcile
from maxlib.execution.alpaca.rest import Alpaca
from maxlib.execution.alpaca.stream import TradeStream
from maxlib.execution.alpaca.wire import TradeUpdate
from tests.execution.alpaca.bench import FLY, SECOND, TEN, HandMarket, order

pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")
LIMIT = 30  # seconds after which a test that hangs fails


class Listener:
    """Our side: books, a client, a stream; what it does in one place, so that a test reads as a story."""

    def __init__(self, server: FakeServer, **options: Any) -> None:
        self.server = server
        self.client = Alpaca(server.config(), FAKE_KEYS, clock=lambda: server.api.venue.now)
        self.books = Local()
        self.imported: list[int] = []
        self.heard: list[TradeUpdate] = []
        self.pauses: list[float] = []
        self.reconciled = 0
        self.news = asyncio.Condition()
        self.stream = TradeStream(
            server.config(),
            FAKE_KEYS,
            self.take,
            self.reconcile,
            rng=random.Random(1),
            sleep=self.pause,
            **options,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def settle(self, corrections: tuple[Any, ...]) -> None:
        for correction in corrections:
            self.books = apply(self.books, correction)
            if isinstance(correction, FillImported):
                self.imported.append(correction.execution.units)

    async def take(self, update: TradeUpdate) -> None:
        self.heard.append(update)
        self.settle(hear(self.books, update))
        async with self.news:
            self.news.notify_all()

    async def reconcile(self) -> None:
        picture = await asyncio.to_thread(self.client.picture, tuple(self.books.orders.values()), 0)
        self.settle(reconcile(self.books, picture, lost_after_ns=60 * SECOND))
        self.reconciled += 1
        async with self.news:
            self.news.notify_all()

    async def submit(self, quantity: int, name: str) -> None:
        sent = order(FLY, quantity, name)
        now = self.server.api.venue.now
        self.books = Local({**self.books.orders, name: Tracked(sent, None, now)}, self.books.positions)
        answer = await asyncio.to_thread(self.client.submit, sent)
        self.settle(answered(self.books.orders[name], answer))

    async def until(self, done: Callable[[], bool]) -> None:
        async with self.news:
            await self.news.wait_for(done)

    def filled(self, name: str) -> int:
        return self.books.orders[name].filled


def play(story: Callable[[Listener], Awaitable[None]], *, binary: bool = True) -> Listener:
    """Run a story while the stream runs beside it."""

    async def run() -> Listener:
        with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN)), binary=binary) as server:
            ours = Listener(server)
            streaming = asyncio.ensure_future(ours.stream.run())
            async with asyncio.timeout(LIMIT):
                await ours.until(lambda: ours.reconciled == 1)
                await story(ours)
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
            return ours

    return asyncio.run(run())


def move(ours: Listener, seconds: int = 1) -> Awaitable[None]:
    server = ours.server
    return asyncio.to_thread(lambda: server.advance(server.api.venue.now + seconds * SECOND))


@pytest.mark.parametrize("binary", [True, False], ids=["binary_frames", "text_frames"])
def test_fills_come_over_the_stream_into_the_books(binary: bool) -> None:
    async def story(ours: Listener) -> None:
        await ours.submit(12, "ours")
        await move(ours)
        await move(ours)
        await ours.until(lambda: ours.filled("ours") == 12)

    ours = play(story, binary=binary)
    assert ours.imported == [5, 5, 2]  # the market shows 10 contracts, the body takes 2
    assert ours.books.orders["ours"].state == "FILLED"
    assert ours.books.positions == {leg.contract.name: 12 * leg.ratio for leg in FLY}
    assert [update.event for update in ours.heard] == ["new", "partial_fill", "partial_fill", "fill"]
    assert ours.stream.counts["malformed"] == 0


def test_row_52_duplicated_events_are_dropped_by_their_execution_id() -> None:
    async def story(ours: Listener) -> None:
        ours.server.api.faults.ask("duplicate_event", times=4)
        await ours.submit(12, "ours")
        await move(ours)
        await move(ours)
        await ours.until(lambda: ours.filled("ours") == 12)

    ours = play(story)
    assert ours.imported == [5, 5, 2]
    # The last duplicate may still be on its way; "new" has no execution id and comes twice.
    assert ours.stream.counts["duplicates"] >= 2
    assert len({u.execution_id for u in ours.heard if u.execution_id}) == 3


def test_row_30_overtaken_events_add_nothing() -> None:
    async def story(ours: Listener) -> None:
        ours.server.api.faults.ask("swap_events", after=1)  # the first fill comes after the second
        await ours.submit(12, "ours")
        await move(ours)
        await move(ours)
        await ours.until(lambda: len(ours.heard) == 4)

    ours = play(story)
    assert [update.order.filled for update in ours.heard] == [0, 10, 5, 12]
    assert ours.imported == [10, 2]


def test_row_46_dropped_socket_is_connected_again_and_row_59_the_gap_is_filled_by_query() -> None:
    async def story(ours: Listener) -> None:
        ours.server.api.faults.ask("disconnect")  # after the event of the order's acceptance
        ours.server.api.faults.ask("drop_event", after=1, times=2)  # both fills are never told
        await ours.submit(10, "ours")
        await move(ours)
        await ours.until(lambda: ours.reconciled >= 2)
        await ours.until(lambda: ours.filled("ours") == 10)

    ours = play(story)
    assert sum(ours.imported) == 10
    assert ours.books.orders["ours"].state == "FILLED"
    assert ours.stream.counts["connects"] >= 2
    assert ours.pauses[0] <= 0.5


def test_row_40_wrong_keys_end_the_stream_without_another_try() -> None:
    async def run() -> TradeStream:
        with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN))) as server:
            wrong = Keys(key=SecretStr("PKX"), secret=SecretStr("wrong"))
            ours = Listener(server)
            ours.stream._keys = wrong
            with pytest.raises(VenueError, match="UNAUTHORIZED"):
                async with asyncio.timeout(LIMIT):
                    await ours.stream.run()
            assert ours.reconciled == 0
            return ours.stream

    assert asyncio.run(run()).counts["connects"] == 1


def test_row_49_second_connection_is_told_of_the_limit_and_does_not_duel() -> None:
    async def story(ours: Listener) -> None:
        rival = Listener(ours.server)
        with pytest.raises(VenueError, match="CONNECTION_LIMIT"):
            await rival.stream.run()
        assert (rival.stream.counts["connects"], rival.reconciled) == (1, 0)
        await ours.submit(1, "ours")
        await ours.until(lambda: ours.filled("ours") == 1)  # the first holder goes on

    assert play(story).stream.counts["connects"] == 1


def test_failed_reconciliation_gives_the_connection_up_and_waits_longer_each_time() -> None:
    async def run() -> Listener:
        with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN))) as server:
            ours = Listener(server)
            failures = iter([True] * 4 + [False])
            honest = ours.reconcile

            async def moody() -> None:
                if next(failures):
                    raise VenueError("orders", Complaint("VENUE_DOWN", 503))
                await honest()

            ours.stream._reconcile = moody
            streaming = asyncio.ensure_future(ours.stream.run())
            async with asyncio.timeout(LIMIT):
                await ours.until(lambda: ours.reconciled == 1)
            assert ours.stream.connected
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
            assert not ours.stream.connected
            return ours

    ours = asyncio.run(run())
    # 0.5 s doubled each time, of which a half is drawn by lot.
    assert [0.5 * 2**k / 2 <= pause <= 0.5 * 2**k for k, pause in enumerate(ours.pauses)] == [True] * 4


Handler = Callable[[ServerConnection, asyncio.Event], Awaitable[None]]


async def sign_in(line: ServerConnection) -> None:
    await line.recv()
    await line.send('{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}')
    await line.recv()
    await line.send('{"stream":"listening","data":{"streams":["trade_updates"]}}')


async def against(handler: Handler, done: Callable[[TradeStream], bool], **options: Any) -> TradeStream:
    """Run our stream against a hand-made server until `done`; the handler is told when it is over."""
    ended = asyncio.Event()

    async def pause(_: float) -> None:
        if done(stream):
            ended.set()
            await asyncio.Event().wait()

    async def take(update: TradeUpdate) -> None:
        taken.append(update)

    async def nothing() -> None:
        pass

    taken: list[TradeUpdate] = []
    async with serve(lambda line: handler(line, ended), "127.0.0.1", 0, close_timeout=0.05) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        config = AlpacaConfig(trading_url=url, data_url=url, loopback=True)
        stream = TradeStream(config, FAKE_KEYS, take, nothing, sleep=pause, **options)
        streaming = asyncio.ensure_future(stream.run())
        async with asyncio.timeout(LIMIT):
            await ended.wait()
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
    stream.counts["taken"] = len(taken)
    return stream


def test_row_38_broken_frames_are_counted_and_the_stream_goes_on() -> None:
    good = {
        "stream": "trade_updates",
        "data": {"event": "new", "order": {"id": "o", "side": "buy", "qty": "1"}},
    }

    async def handler(line: ServerConnection, over: asyncio.Event) -> None:
        await line.send("before anything was said")
        await sign_in(line)
        for frame in (
            "{",
            b"\xff\x00",
            "[]",
            '{"stream":"trade_updates"}',
            '{"stream":"other"}',
            json.dumps(good),
        ):
            await line.send(frame)

    stream = asyncio.run(against(handler, lambda s: s.counts["connects"] == 1))
    assert (stream.counts["malformed"], stream.counts["other"], stream.counts["taken"]) == (5, 1, 1)


def test_row_47_half_open_connection_is_found_dead_by_ping() -> None:
    async def handler(line: ServerConnection, over: asyncio.Event) -> None:
        await sign_in(line)
        line.transport.pause_reading()  # the socket stays open, and no ping is ever seen
        await over.wait()

    stream = asyncio.run(against(handler, lambda s: s.counts["breaks"] == 1, ping_s=0.05))
    assert stream.counts["breaks"] == 1


def test_a_frame_beyond_all_bounds_breaks_the_connection_not_the_memory() -> None:
    async def handler(line: ServerConnection, over: asyncio.Event) -> None:
        await sign_in(line)
        await line.send("x" * (2**20 + 1))
        await over.wait()

    stream = asyncio.run(against(handler, lambda s: s.counts["breaks"] == 1))
    assert stream.counts["taken"] == 0


def test_row_84_keys_are_not_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.DEBUG)
    canary = Keys(key=SecretStr("PKX"), secret=SecretStr("canary-4711"))

    async def run() -> None:
        with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN))) as server:
            ours = Listener(server)
            ours.stream._keys = canary
            with pytest.raises(VenueError):
                await ours.stream.run()

    asyncio.run(run())
    ours = [record for record in caplog.records if "uvicorn" not in record.name]
    assert not any("canary-4711" in record.getMessage() for record in ours)
