"""Our WebSocket client against the fake: connections that break, holes, floods, duels.

Time stands still unless a test moves it. Tests wait for a state, never for a while.
"""

import asyncio
import datetime as dt
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from maxlib.core.errors import ConfigError, InvariantError
from maxlib.data.faults import Fault, SourceError
from maxlib.data.live import Event, FeedGap, FeedState, Halted, LiveBar, LiveQuote, LiveTrade, LiveValue
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.fake import FakeMassive, Plan, VirtualClock
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.massive.stream import MassiveStream
from maxlib.data.raw import Raw
from tests.data.massive.helpers import BARS, DAY, KEY, MINUTE, OPEN, client, config, fake, session

END = BARS["ts"].tolist()
PRICES = ("open", "high", "low", "close")


class Desk:
    """A fake vendor and one stream of ours, on one event loop."""

    def __init__(self, server: FakeMassive, stream: MassiveStream, rest: MassiveRest) -> None:
        self.server, self.stream, self.rest = server, stream, rest
        self.events: list[Event] = []
        self.task = asyncio.create_task(stream.run())

    def read(self) -> list[Event]:
        while (event := self.stream.inbox.pop()) is not None:
            self.events.append(event)
        return self.events

    async def until(self, true: Callable[[], bool]) -> None:
        """Let everybody work until something holds. The bound is only there so that a failure ends."""
        async with asyncio.timeout(30):
            while not true():
                if self.task.done() and self.task.exception() is not None:
                    self.task.result()
                await asyncio.sleep(0.001)

    async def listening(self) -> None:
        channels = self.stream.channels
        await self.until(lambda: self.server.sockets.channels[self.stream.cluster] >= channels)

    async def connected(self, times: int) -> None:
        """Up for the `times`-th time, and subscribed."""
        await self.until(lambda: sum(s.state == "up" for s in self.states()) >= times)
        await self.listening()

    async def minutes(self, count: int) -> list[int]:
        """Which minutes of the tape came, once there are `count` of them."""
        await self.until(lambda: len(self.bars()) >= count)
        return [END.index(int(bar.row["ts"][0])) for bar in self.bars()]

    def bars(self) -> list[LiveBar]:
        return [each for each in self.read() if isinstance(each, LiveBar)]

    def states(self) -> list[FeedState]:
        return [each for each in self.read() if isinstance(each, FeedState)]

    def gaps(self) -> list[FeedGap]:
        return [each for each in self.read() if isinstance(each, FeedGap)]

    def advance(self, minutes: int) -> None:
        self.server.advance(OPEN + minutes * MINUTE)


def play(
    story: Callable[[Desk], Awaitable[Any]],
    *channels: str,
    cluster: Any = "stocks",
    options: dict[str, Any] | None = None,
    fill: bool = True,
    key: str = KEY,
    server: dict[str, Any] | None = None,
    now: int = OPEN,
    **stream: Any,
) -> Any:
    """Run a story on a desk of its own."""

    async def whole() -> Any:
        vendor = fake(now, **(server or {}))
        await vendor.start()
        rest = client(vendor, tries=1)
        if fill:
            stream.setdefault("fetch", rest.minutes_between)
        ours = MassiveStream(
            config(vendor, **(options or {})),
            SecretStr(key),
            cluster,
            channels or ("AM.QQQ",),
            clock=vendor.clock,
            anchors={"QQQ": 500.0, "I:VIX": 16.0},
            **stream,
        )
        desk = Desk(vendor, ours, rest)
        try:
            return await story(desk)
        finally:
            await ours.stop()
            desk.task.cancel()
            await asyncio.gather(desk.task, return_exceptions=True)
            await vendor.stop()
            rest.close()

    return asyncio.run(whole())


def test_minutes_arrive_as_they_end_byte_for_byte_those_of_the_tape() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        for k in range(1, 11):
            desk.advance(k)
            assert await desk.minutes(k) == list(range(k))
        rows = np.concatenate([bar.row for bar in desk.bars()])
        for name in BARS.dtype.names:
            np.testing.assert_array_equal(rows[name], BARS[name][:10])
        assert {(bar.origin, bar.delayed) for bar in desk.bars()} == {("live", False)}
        assert [s.state for s in desk.states()] == ["up"]

    play(story)


def test_trades_quotes_and_values_come_through_their_gates() -> None:
    async def stocks(desk: Desk) -> None:
        await desk.listening()
        desk.advance(2)
        await desk.until(lambda: desk.stream.inbox.counts["coalesced"] >= 7)
        trades = [e for e in desk.read() if isinstance(e, LiveTrade)]
        assert [e.price for e in trades[-4:-1]] == [BARS["low"][1], BARS["high"][1], BARS["close"][1]]
        (quote,) = [e for e in desk.events if isinstance(e, LiveQuote)]  # coalesced to the newest
        assert quote.ts == OPEN + 2 * MINUTE
        assert quote.bid < BARS["open"][2] < quote.ask

    async def indices(desk: Desk) -> None:
        await desk.listening()
        desk.advance(1)
        await desk.until(lambda: any(isinstance(e, LiveValue) for e in desk.read()))
        (value,) = [e for e in desk.events if isinstance(e, LiveValue)]
        assert (value.symbol, value.value, value.ts) == ("I:VIX", 16.0, OPEN + MINUTE)

    async def options(desk: Desk) -> None:
        await desk.listening()
        desk.advance(1)
        await desk.until(lambda: desk.stream.gate.counts["held"] == 1)  # the first word is not believed
        desk.advance(2)
        await desk.until(lambda: any(isinstance(e, LiveQuote) for e in desk.read()))
        (quote,) = [e for e in desk.events if isinstance(e, LiveQuote)]
        assert (quote.symbol, quote.ts) == ("O:QQQ250103C00500000", OPEN + 2 * MINUTE)

    play(stocks, "T.QQQ", "Q.QQQ")
    play(indices, "V.I:VIX", cluster="indices")
    play(options, "Q.O:QQQ250103C00500000", cluster="options")


def test_row_46_lost_connection_is_made_again_resubscribed_and_the_hole_filled_in_order() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(3)
        await desk.minutes(3)
        desk.server.sockets.disconnect()
        await desk.until(lambda: desk.stream.counts["lost"] == 1)
        desk.advance(7)  # minutes 3 to 6 pass unheard; the pause of the backoff passes, too
        assert await desk.minutes(7) == list(range(7))
        await desk.connected(2)
        desk.advance(8)
        assert await desk.minutes(8) == list(range(8))
        assert [bar.origin for bar in desk.bars()] == ["live"] * 3 + ["backfill"] * 4 + ["live"]
        assert [s.state for s in desk.states()] == ["up", "down", "up"]
        assert desk.gaps() == []

    play(story)


def test_row_28_minute_lost_on_the_way_is_fetched_before_the_next_is_given_out() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(2)
        await desk.minutes(2)
        desk.stream._wanted.clear()
        desk.advance(4)
        await desk.until(lambda: desk.stream.counts["unsubscribed"] == 2)
        desk.stream._wanted.add("AM.QQQ")
        desk.advance(5)
        assert await desk.minutes(5) == [0, 1, 2, 3, 4]
        assert [bar.origin for bar in desk.bars()] == ["live"] * 2 + ["backfill"] * 2 + ["live"]

    play(story)


def test_row_28_hole_that_cannot_be_fetched_is_marked_and_trading_goes_on() -> None:
    def failing(symbol: str, start: int, end: int) -> Raw:
        raise SourceError("no bars today", Fault.SERVER)

    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.server.sockets.disconnect()
        await desk.until(lambda: desk.stream.counts["lost"] == 1)
        desk.advance(4)
        await desk.connected(2)
        desk.advance(5)
        assert await desk.minutes(1) == [4]
        assert desk.gaps() == [FeedGap("QQQ", OPEN, OPEN + 4 * MINUTE, 4)]
        assert set(desk.stream.complaints) == {"no bars today"}

    play(story, fetch=failing, since={"QQQ": OPEN})


def test_row_28_fetch_that_hangs_is_given_up_at_its_deadline() -> None:
    release = asyncio.Event()

    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(1)
        await desk.minutes(1)
        desk.server.script.append("stall")
        desk.stream._wanted.clear()
        desk.advance(2)
        await desk.until(lambda: desk.stream.counts["unsubscribed"] == 1)
        desk.stream._wanted.add("AM.QQQ")
        desk.advance(3)
        await desk.until(lambda: sum(desk.server.calls.values()) == 1)
        assert len(desk.bars()) == 1  # the third is held
        desk.server.clock.move_to(OPEN + 3 * MINUTE + 16_000_000_000)
        assert await desk.minutes(2) == [0, 2]
        assert desk.gaps() == [FeedGap("QQQ", END[0], END[1], 1)]
        assert desk.stream.counts["fills failed"] == 1
        release.set()

    play(story, options={"fill_s": 15.0})


def test_what_passed_since_the_last_known_bar_is_fetched_on_connecting() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.minutes(6) == [4, 5, 6, 7, 8, 9]
        assert {bar.origin for bar in desk.bars()} == {"backfill"}
        await desk.listening()
        desk.advance(11)
        assert await desk.minutes(7) == list(range(4, 11))

    play(story, now=OPEN + 10 * MINUTE, since={"QQQ": OPEN + 4 * MINUTE})


@pytest.mark.parametrize("old", [2, 3])
def test_rows_29_30_a_minute_that_was_known_before_the_start_is_dropped(old: int) -> None:
    """A trader started anew hears it again: its tape would go backward."""
    clock = VirtualClock(END[4])
    stream = MassiveStream(
        MassiveConfig(), SecretStr(KEY), "stocks", ["AM.QQQ"], since={"QQQ": END[3]}, anchors={"QQQ": 500.0},
        clock=clock,
    )  # fmt: skip
    for i in (old, 4):
        start, prices = (END[i] - MINUTE) // 1_000_000, [float(BARS[name][i]) for name in PRICES]
        told = {
            "ev": "AM",
            "sym": "QQQ",
            "s": start,
            "e": start + 60_000,
            **dict(zip("ohlc", prices, strict=True)),
        }
        stream._frame(json.dumps([told]))
    event = stream.inbox.pop()
    assert isinstance(event, LiveBar)
    assert event.row["ts"][0] == END[4]
    assert stream.inbox.pop() is None
    assert stream.gate.counts == {"revision" if old == 3 else "late": 1}


def test_row_47_half_open_connection_is_found_by_an_unanswered_ping() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.server.sockets.half_open()
        clock = desk.server.clock
        clock.move_to(OPEN + 15_000_000_000)  # the ping goes out
        await asyncio.sleep(0.05)
        assert [s.state for s in desk.states()] == ["up"]
        clock.move_to(OPEN + 26_000_000_000)
        await desk.until(lambda: desk.stream.counts["lost"] == 1)
        assert "half-open, no answer to a ping within 10 s" in desk.states()[1].why
        desk.advance(2)
        await desk.connected(2)

    play(story, options={"ping_every_s": 15.0, "ping_timeout_s": 10.0})


def test_row_47_answered_pings_keep_the_connection() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        for k in range(1, 6):
            pauses = len(desk.server.clock._waiting)
            desk.server.clock.move_to(OPEN + k * 15_000_000_000)
            await desk.until(lambda n=pauses: len(desk.server.clock._waiting) >= n)
        assert desk.stream.counts["connections"] == 1
        assert desk.stream.counts["lost"] == 0

    play(story, options={"ping_every_s": 15.0, "ping_timeout_s": 10.0})


def test_row_40_refused_key_ends_it_without_another_try() -> None:
    async def story(desk: Desk) -> None:
        last = await desk.task
        assert last.state == "denied"
        assert "authentication failed" in last.why
        assert desk.server.sockets.auth_attempts == 1
        assert desk.states() == [last]

    play(story, key="wrong-canary")


def test_row_49_displaced_connection_backs_off_and_gives_up_instead_of_duelling() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        for k in (1, 2):
            rival = await _rival(desk)
            await desk.until(lambda k=k: desk.stream.counts["lost"] == k)
            assert "max_connections" in desk.states()[-1].why
            assert desk.server.sockets.accepted == 2 * k
            desk.server.clock.move_to(OPEN + k * 61_000_000_000)  # a minute later, and not before
            await desk.connected(k + 1)
            await _closed(rival)
        await _rival(desk)
        last = await desk.task
        assert last.state == "superseded"
        desk.server.clock.move_to(OPEN + 3_600_000_000_000)
        await asyncio.sleep(0.05)
        assert desk.server.sockets.accepted == 6  # three of ours, three of the rival's: no more

    play(story, options={"takeovers": 2, "takeover_wait_s": 60.0})


def test_row_49_without_the_lease_nothing_is_connected_at_all() -> None:
    held = [True, False]

    async def story(desk: Desk) -> None:
        await desk.listening()
        await _rival(desk)
        await desk.until(lambda: desk.stream.counts["lost"] == 1)
        desk.server.clock.move_to(OPEN + 61_000_000_000)
        last = await desk.task
        assert last[:2] == ("superseded", "the lease is not held")
        assert desk.server.sockets.accepted == 2

    play(story, may_connect=lambda: held.pop(0), options={"takeover_wait_s": 60.0})


async def _rival(desk: Desk) -> MassiveStream:
    """Another process with the same key takes the place."""
    other = MassiveStream(config(desk.server), SecretStr(KEY), "stocks", ["AM.QQQ"], clock=VirtualClock(OPEN))
    other.task = asyncio.create_task(other.run())  # type: ignore[attr-defined]
    accepted = desk.server.sockets.auth_attempts
    await desk.until(lambda: desk.server.sockets.auth_attempts > accepted)
    return other


async def _closed(rival: MassiveStream) -> None:
    await rival.stop()
    rival.task.cancel()  # type: ignore[attr-defined]
    await asyncio.gather(rival.task, return_exceptions=True)  # type: ignore[attr-defined]


def test_row_43_pauses_between_connections_grow_with_jitter() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        waits: list[float] = []

        async def pause(seconds: float) -> None:
            waits.append(seconds)
            await asyncio.sleep(0)

        desk.server.clock.pause = pause  # type: ignore[method-assign]
        await desk.server.sockets.stop()
        await desk.until(lambda: len(waits) > 6)
        desk.task.cancel()
        for wait, full in zip(waits[-6:], (1, 2, 4, 8, 8, 8), strict=False):
            assert full / 2 < wait <= 8
        await desk.server.sockets.start(0)

    play(story)


def test_row_36_symbols_nobody_asked_for_are_dropped() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(20)
        await desk.until(lambda: desk.stream.counts["unsubscribed"] > 0 and len(desk.bars()) >= 10)
        assert {bar.symbol for bar in desk.bars()} == {"QQQ"}

    play(story, server={"stream_faults": {"foreign": 0.3}, "seed": 3}, since={"QQQ": OPEN})


def test_channels_can_be_added_and_taken_away_while_connected() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        await desk.stream.subscribe("T.QQQ")
        await desk.listening()
        desk.advance(1)
        await desk.until(lambda: any(isinstance(e, LiveTrade) for e in desk.read()))
        await desk.stream.unsubscribe("T.QQQ")
        await desk.until(lambda: desk.server.sockets.channels["stocks"] == {"AM.QQQ"})
        desk.read()
        before = sum(isinstance(e, LiveTrade) for e in desk.events)
        desk.advance(2)
        await desk.minutes(2)
        assert sum(isinstance(e, LiveTrade) for e in desk.read()) == before

    play(story)


def test_row_35_halt_is_said_and_silence_makes_the_feed_stale_until_trading_resumes() -> None:
    traded = [*session(DAY, count=5), *session(DAY, 9 * 60 + 50, 5)]
    tape = BARS[np.isin(BARS["ts"] - MINUTE, traded)]

    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(5)
        await desk.minutes(5)
        assert desk.stream.stale() == ()
        desk.server.sockets.halt("QQQ", OPEN + 5 * MINUTE, on=True)
        await desk.until(lambda: any(isinstance(e, Halted) and e.on for e in desk.read()))
        desk.advance(10)
        ((symbol, age, limit),) = desk.stream.stale()
        assert (symbol, age, limit) == ("QQQ", 300.0, 90.0)
        desk.advance(21)
        assert await desk.minutes(6) == [0, 1, 2, 3, 4, 20]
        assert desk.gaps() == [FeedGap("QQQ", OPEN + 5 * MINUTE, OPEN + 20 * MINUTE, 15)]
        assert desk.stream.stale() == ()

    play(story, "AM.QQQ", "LULD.QQQ", server={"bars": tape}, stale_s={"QQQ": 90.0})


def test_row_31_feed_that_never_spoke_is_stale_from_the_start() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        assert desk.stream.stale()[0][:1] == ("QQQ",)

    play(story, stale_s={"QQQ": 90.0})


def test_entitlement_errors_and_slow_consumer_are_complaints_and_the_rest_goes_on() -> None:
    async def story(desk: Desk) -> None:
        await desk.until(lambda: "AM.QQQ" in desk.server.sockets.channels["stocks"])
        desk.server.sockets.complain("slow_consumer", "Too slow.", close=False)
        await desk.until(lambda: len(desk.stream.complaints) == 2)
        assert set(desk.stream.complaints) == {"error: not authorized: AM.SPY", "slow_consumer: Too slow."}
        desk.advance(1)
        assert await desk.minutes(1) == [0]

    play(story, "AM.QQQ", "AM.SPY", server={"plan": Plan(denied_tickers=frozenset({"SPY"}))})


def test_row_48_flood_to_a_reader_who_sleeps_stays_within_bounds_and_keeps_every_bar() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(300)
        await desk.until(lambda: int(desk.stream.counts["frames"]) >= 300 * 9)
        assert len(desk.stream.inbox) <= 400
        assert await desk.minutes(300) == list(range(300))
        assert desk.stream.inbox.counts["dropped"] > 0

    play(story, "AM.QQQ", "T.QQQ", "Q.QQQ", options={"queue": 400})


def test_reader_who_is_dead_stops_the_feed_with_a_broken_promise() -> None:
    async def story(desk: Desk) -> None:
        await desk.listening()
        desk.advance(40)
        with pytest.raises(InvariantError, match="16 bars and states are unread"):
            await desk.task

    play(story, options={"queue": 16})


FAULTS = {
    "drop": 0.04, "delay": 0.03, "duplicate": 0.05, "reorder": 0.04, "garble": 0.03, "retype": 0.03,
    "nan": 0.03, "spike": 0.02, "cross": 0.03, "foreign": 0.03, "disconnect": 0.01,
}  # fmt: skip


def _session_of_faults(seed: int) -> None:
    """Two hours of everything at once: what comes out is the tape, each minute once or marked, in order."""

    async def story(desk: Desk) -> None:
        await desk.listening()
        for k in range(1, 121):
            desk.advance(k)
            await asyncio.sleep(0.001)
            if desk.task.done():
                desk.task.result()
        desk.server.config.stream_faults.clear()
        while desk.server.sockets.channels["stocks"] != desk.stream.channels:
            desk.server.clock.sleep(1.0)
            await asyncio.sleep(0.001)
        for k in range(121, 130):
            desk.advance(k)
            await desk.until(lambda: not desk.stream._fills)
        await desk.until(lambda: bool(desk.bars()) and int(desk.bars()[-1].row["ts"][0]) == END[128])
        found = [END.index(int(bar.row["ts"][0])) for bar in desk.bars()]
        assert found == sorted(set(found))
        gaps = {(g.start - OPEN) // MINUTE + i for g in desk.gaps() for i in range(g.minutes)}
        assert gaps.isdisjoint(found)
        assert set(range(129)) == gaps | set(found)
        for bar in desk.bars():
            mine = BARS[END.index(int(bar.row["ts"][0]))]
            assert all(bar.row[0][name] == mine[name] for name in ("open", "high", "low", "close", "volume"))
        for tick in desk.events:
            if isinstance(tick, LiveTrade):
                assert abs(tick.price - 500) < 2
            if isinstance(tick, LiveQuote):
                assert tick.bid < tick.ask
        assert len(found) > 115

    faults = {"stream_faults": dict(FAULTS), "seed": seed}
    play(story, "AM.QQQ", "T.QQQ", "Q.QQQ", server=faults, since={"QQQ": OPEN})


@pytest.mark.parametrize("seed", range(4))
def test_rows_28_to_46_seeded_faults_of_every_kind_leave_a_clean_tape(seed: int) -> None:
    _session_of_faults(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 104))
def test_rows_28_to_46_a_hundred_sessions_of_faults_leave_a_clean_tape(seed: int) -> None:
    _session_of_faults(seed)


@pytest.mark.parametrize("key", ["wrong-canary", KEY])
def test_key_is_in_no_log_state_or_complaint(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story(desk: Desk) -> None:
        await desk.until(lambda: bool(desk.states()))
        told = [str(desk.states()), str(desk.stream.complaints), repr(desk.stream.config), caplog.text]
        assert not [text for text in told if key in text]
        assert desk.stream.simulated

    play(story, key=key)


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("AM", "one symbol"),
        ("XT.BTC", "should be one of AM, LULD, Q, T, V"),
        ("T.*", "one symbol"),
        ("T.A,T.B", "one"),
    ],
)
def test_channels_that_cannot_be_are_refused(channel: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        MassiveStream(config(_nowhere()), SecretStr(KEY), "stocks", [channel])


def test_more_option_quotes_than_a_connection_carries_are_refused() -> None:
    channels = [f"Q.O:QQQ250103C{strike:08d}" for strike in range(1001)]
    with pytest.raises(ConfigError, match="1001 option quote channels; a connection carries at most 1000"):
        MassiveStream(config(_nowhere()), SecretStr(KEY), "options", channels)


def _nowhere() -> FakeMassive:
    server = fake(OPEN)
    server.rest_url, server.socket_url = "http://127.0.0.1:1", "ws://127.0.0.1:1"
    return server


def test_day_of_this_file_is_a_plain_session() -> None:
    assert dt.date(2025, 1, 2) == DAY
