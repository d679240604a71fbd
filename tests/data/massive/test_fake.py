"""The fake vendor itself: its clock, its speed, and that a seed says everything."""

import asyncio
import datetime as dt
import json
from contextlib import closing

import pytest
from pydantic import SecretStr, ValidationError
from websockets.asyncio.client import connect

from maxlib.data.faults import SourceError
from maxlib.data.live import LiveBar, LiveValue
from maxlib.data.massive.fake import FakeConfig, FakeMassive, VirtualClock
from maxlib.data.massive.stream import MassiveStream
from maxlib.market.calendar import new_york
from tests.data.massive.helpers import BARS, CLOSE, KEY, MINUTE, OPEN, client, config, fake, market


def test_replayed_day_at_speed_reaches_the_stream_whole_and_in_order() -> None:
    """A session of six and a half hours in a fraction of a second; nobody moves the clock by hand."""

    async def whole() -> list[LiveBar]:
        server = fake(OPEN)
        await server.start()
        stream = MassiveStream(
            config(server), SecretStr(KEY), "stocks", ["AM.QQQ"], clock=server.clock, anchors={"QQQ": 500.0}
        )
        task = asyncio.create_task(stream.run())
        while server.sockets.channels["stocks"] != {"AM.QQQ"}:
            await asyncio.sleep(0)
        server.run(speed=1e5)
        bars: list[LiveBar] = []
        async with asyncio.timeout(60):
            while len(bars) < 390:
                event = await stream.inbox.get()
                if isinstance(event, LiveBar):
                    bars.append(event)
        await stream.stop()
        await task
        await server.stop()
        return bars

    bars = asyncio.run(whole())
    assert [int(bar.row["ts"][0]) for bar in bars] == BARS["ts"][:390].tolist()
    # Nothing is told before it is over: the trader lives in the same virtual time.
    assert all(bar.received_at >= int(bar.row["ts"][0]) for bar in bars)


async def _frames(seed: int) -> list[str]:
    faults = {"drop": 0.2, "delay": 0.1, "garble": 0.1, "spike": 0.1, "nan": 0.1, "reorder": 0.1}
    server = fake(OPEN, stream_faults=faults, seed=seed)
    await server.start()
    got: list[str] = []
    try:
        async with connect(f"{server.socket_url}/stocks", proxy=None) as socket:
            await socket.send(json.dumps({"action": "auth", "params": KEY}))
            await socket.send(json.dumps({"action": "subscribe", "params": "AM.QQQ,T.QQQ,Q.QQQ"}))
            while not server.sockets.channels["stocks"]:
                await asyncio.sleep(0)
            server.advance(OPEN + 30 * MINUTE)
            server.sockets.complain("success", "the end", close=False)
            while not got or "the end" not in got[-1]:
                got.append(str(await socket.recv()))
    finally:
        await server.stop()
    return got


def test_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    first, again, other = (asyncio.run(_frames(seed)) for seed in (5, 5, 6))
    assert first == again != other
    assert len(first) > 100


def test_rest_faults_are_drawn_by_lot_from_the_seed() -> None:
    def outcomes(seed: int) -> list[str]:
        story = []
        server = fake(CLOSE, rest_faults={"500": 0.3, "html": 0.2, "truncated": 0.1}, seed=seed)
        with server.background(), closing(client(server, tries=1)) as rest:
            for _ in range(40):
                try:
                    story.append(rest.last_trade("QQQ").symbol)
                except SourceError as error:
                    story.append(error.fault.value)
        return story

    first = outcomes(1)
    assert first == outcomes(1) != outcomes(2)
    assert set(first) == {"QQQ", "server", "garbled", "network"}


def test_future_is_not_told_by_any_answer() -> None:
    """At every quarter hour, nothing that REST says is younger than the clock."""
    server = fake(OPEN - MINUTE)
    with server.background():
        for k in range(0, 390, 15):
            now = OPEN + k * MINUTE + 30_000_000_000
            server.clock.move_to(now)
            with closing(client(server)) as rest:
                assert rest.last_trade("QQQ").at <= now
                raw = rest.minute_bars("QQQ", *[_date(now)] * 2)
                assert len(raw) == k
                value = rest.indices(["I:VIX"])["I:VIX"]
                assert getattr(value, "at", 0) <= now
                chain = rest.chain("QQQ", _date(now), last_expiry=_date(now + 30 * 1440 * MINUTE)).chain
                assert (chain.rows["quoted_at"] <= now).all()
                assert (chain.rows["spot_at"] <= now).all()


def _date(ns: int) -> dt.date:
    return new_york(ns).date()


def test_values_are_pushed_at_their_own_time() -> None:
    pushes = [p for p in market().pushes(OPEN) if p.channel == "V.I:VIX"]
    ts, values = market().values["I:VIX"]
    assert [p.ts for p in pushes] == ts.tolist()
    assert [p.message["val"] for p in pushes] == values.tolist()
    everything = [p.ts for p in market().pushes(OPEN)]
    assert everything == sorted(everything)
    assert LiveValue._fields[:3] == ("symbol", "ts", "value")


def test_clock_that_stands_moves_only_when_told_and_never_back() -> None:
    clock = VirtualClock(OPEN)
    clock.sleep(60.0)
    clock.move_to(OPEN + 30_000_000_000)
    assert clock.utc_ns() == OPEN + MINUTE

    async def waits() -> list[str]:
        order: list[str] = []

        async def wait(name: str, seconds: float) -> None:
            await clock.pause(seconds)
            order.append(name)

        tasks = [asyncio.create_task(wait(name, s)) for name, s in (("late", 20.0), ("soon", 10.0))]
        await asyncio.sleep(0)
        clock.move_to(OPEN + MINUTE + 10_000_000_000)
        await tasks[1]
        assert order == ["soon"]
        clock.move_to(OPEN + MINUTE + 20_000_000_000)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(waits()) == ["soon", "late"]


def test_unknown_faults_and_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        FakeConfig(rest_faults={"418": 0.5})  # type: ignore[dict-item]
    with pytest.raises(ValidationError):
        FakeConfig(conections=2)  # type: ignore[call-arg]


def test_messages_before_the_log_in_and_to_unknown_clusters_are_answered_not_served() -> None:
    async def story() -> list[str]:
        server = FakeMassive(market(), VirtualClock(OPEN))
        await server.start()
        said = []
        async with connect(f"{server.socket_url}/stocks", proxy=None) as socket:
            await socket.recv()
            for text in (
                '{"action":"subscribe","params":"AM.QQQ"}',
                "nonsense",
                '{"action":"dance","params":""}',
            ):
                await socket.send(text)
                said.append(json.loads(await socket.recv())[0]["status"])
        async with connect(f"{server.socket_url}/horses", proxy=None) as socket:
            said.append(json.loads(await socket.recv())[0]["message"])
        await server.stop()
        return said

    assert asyncio.run(story()) == ["auth_required", "error", "auth_required", "unknown cluster horses"]
