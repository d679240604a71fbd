"""The vendor's own client against the fake: what it accepts is true enough to test ours on."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import massive
import numpy as np
import pytest
from massive.exceptions import AuthError, BadResponse
from massive.rest.models import OptionContractSnapshot
from massive.websocket import Market, WebSocketClient
from massive.websocket.models import EquityAgg, EquityQuote, EquityTrade, IndexValue
from urllib3.exceptions import MaxRetryError

from maxlib.data.massive.fake import FakeMassive, Plan
from tests.data.massive.helpers import (
    BARS,
    CLOSE,
    DAY,
    KEY,
    MINUTE,
    NEXT_DAY,
    OPEN,
    chain,
    fake,
    session,
    tape,
)

MS = 1_000_000


@pytest.fixture
def server() -> Iterator[FakeMassive]:
    with fake(plan=Plan(denied_tickers=frozenset({"I:NDX"}))).background() as running:
        yield running


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the vendor's client would have made."""
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    return waits


def vendor(server: FakeMassive, key: str = KEY, **options: Any) -> massive.RESTClient:
    return massive.RESTClient(api_key=key, base=server.rest_url, **options)


def test_bars_come_over_several_pages_and_are_the_tape(server: FakeMassive) -> None:
    server.clock.move_to(int(BARS["ts"][-1]))
    found = list(vendor(server).list_aggs("QQQ", 1, "minute", str(DAY), str(NEXT_DAY), limit=100))
    assert server.calls[f"/v2/aggs/ticker/QQQ/range/1/minute/{DAY}/{NEXT_DAY}"] == 8
    assert [bar.timestamp for bar in found] == [int(ts - MINUTE) // MS for ts in BARS["ts"]]
    for name in ("open", "high", "low", "close", "volume"):
        assert [getattr(bar, name) for bar in found] == BARS[name].tolist()


def test_hours_and_days_are_made_of_minutes_and_limits_count_minutes(server: FakeMassive) -> None:
    server.clock.move_to(int(BARS["ts"][-1]))
    days = list(vendor(server).list_aggs("QQQ", 1, "day", str(DAY), str(NEXT_DAY)))
    assert [bar.timestamp for bar in days] == [1735794000000, 1735880400000]  # midnight New York, 05:00Z
    assert days[0].high == BARS["high"][:390].max()
    assert days[1].volume == BARS["volume"][390:].sum()
    newest = list(vendor(server).list_aggs("QQQ", 1, "minute", str(DAY), str(DAY), sort="desc", limit=300))
    assert [bar.close for bar in newest] == BARS["close"][:390][::-1].tolist()
    hours = vendor(server).get_aggs("QQQ", 1, "hour", str(DAY), str(DAY), limit=90)
    assert [bar.open for bar in hours] == [BARS["open"][0], BARS["open"][30]]  # 09:30-10:00, 10:00-11:00


def test_minute_in_progress_is_served_unfinished_as_the_vendor_does(server: FakeMassive) -> None:
    server.clock.move_to(calendar_open(NEXT_DAY) + 30 * 1_000_000_000)
    bars = vendor(server).get_aggs("QQQ", 1, "minute", str(NEXT_DAY), str(NEXT_DAY))
    assert len(bars) == 1
    assert 0 < bars[0].volume < BARS["volume"][390]


def calendar_open(date: dt.date) -> int:
    return session(date)[0]


def test_empty_span_has_no_results(server: FakeMassive) -> None:
    assert list(vendor(server).list_aggs("QQQ", 1, "minute", "2025-01-04", "2025-01-05")) == []
    assert list(vendor(server).list_aggs("NONE", 1, "minute", str(DAY), str(DAY))) == []


def test_chain_comes_over_pages_with_every_object(server: FakeMassive) -> None:
    found = list(vendor(server).list_snapshot_options_chain("QQQ"))  # the default limit is 10
    assert server.calls["/v3/snapshot/options/QQQ"] == 2
    assert len(found) == 20
    assert all(isinstance(each, OptionContractSnapshot) for each in found)
    names = [each.details.ticker for each in found]
    assert names == sorted(names)
    assert names[0] == "O:QQQ250103C00498000"
    first = found[0]
    mine = chain(CLOSE).rows[0]
    assert (first.last_quote.bid, first.last_quote.ask) == (mine["bid"], mine["ask"])
    assert (first.last_quote.last_updated, first.last_quote.timeframe) == (CLOSE, "REAL-TIME")
    assert (first.greeks.delta, first.implied_volatility, first.open_interest) == (0.51, 0.19, 5120)
    assert first.underlying_asset.price == BARS["close"][389]
    assert first.details.expiration_date == "2025-01-03"


def test_chain_filters_narrow_it_down(server: FakeMassive) -> None:
    params = {"expiration_date": "2025-01-10", "strike_price.gte": 500, "strike_price.lt": 502.5}
    found = list(vendor(server).list_snapshot_options_chain("QQQ", params={**params, "contract_type": "put"}))
    assert [each.details.ticker for each in found] == ["O:QQQ250110P00500000", "O:QQQ250110P00501000"]


def test_chain_leaves_out_what_is_not_known_or_not_in_the_plan() -> None:
    plan = Plan(quotes="none", trades=False, underlying="none")
    with fake(plan=plan).background() as server:
        found = list(vendor(server).list_snapshot_options_chain("QQQ"))
    assert {(e.last_quote, e.last_trade, e.underlying_asset) for e in found} == {(None, None, None)}
    without = [each.details.ticker for each in found if each.greeks is None]
    assert without == ["O:QQQ250103C00502500", "O:QQQ250110C00502500"]


def test_delayed_plan_shows_quotes_of_a_quarter_hour_ago() -> None:
    with fake(plan=Plan(quotes="DELAYED", underlying="DELAYED")).background() as server:
        first = next(vendor(server).list_snapshot_options_chain("QQQ"))
    assert first.last_quote.timeframe == first.underlying_asset.timeframe == "DELAYED"
    assert first.last_quote.last_updated == CLOSE - 15 * MINUTE
    assert first.underlying_asset.price == BARS["open"][375]  # the print of 15:45:00 itself


def test_one_contract_and_the_listing_of_contracts(server: FakeMassive) -> None:
    one = vendor(server).get_snapshot_option("QQQ", "O:QQQ250110P00501000")
    assert (one.details.strike_price, one.details.contract_type) == (501, "put")
    found = list(vendor(server).list_options_contracts("QQQ", expiration_date="2025-01-03", limit=4))
    assert len(found) == 10
    assert {each.shares_per_contract for each in found} == {100}


def test_last_trade_and_nbbo(server: FakeMassive) -> None:
    trade = vendor(server).get_last_trade("QQQ")
    assert (trade.price, trade.sip_timestamp) == (BARS["close"][389], CLOSE - 100 * MS)
    quote = vendor(server).get_last_quote("QQQ")
    assert quote.bid_price < trade.price < quote.ask_price


def test_market_status_and_holidays(server: FakeMassive) -> None:
    status = vendor(server).get_market_status()
    assert (status.market, status.exchanges.nasdaq) == ("extended-hours", "extended-hours")
    assert (status.after_hours, status.early_hours) == (True, False)
    assert status.server_time == "2025-01-02T16:00:00-05:00"
    holidays = vendor(server).get_market_holidays()
    assert [(h.date, h.status) for h in holidays[:2]] == [("2025-01-09", "closed")] * 2  # mourning for Carter
    early = [h for h in holidays if h.status == "early-close" and h.exchange == "NYSE"]
    assert next((h.date, h.close) for h in early) == ("2025-07-03", "2025-07-03T17:00:00.000Z")


def test_indices_answer_row_by_row_with_errors_beside_values(server: FakeMassive) -> None:
    found = list(vendor(server).list_snapshot_indices(ticker_any_of=["I:VIX", "I:NDX", "I:NOPE"]))
    assert (found[0].ticker, found[0].timeframe) == ("I:VIX", "REAL-TIME")
    assert found[0].value == server.market.value("I:VIX", CLOSE)[1]  # type: ignore[index]
    assert [(each.ticker, each.error) for each in found[1:]] == [
        ("I:NDX", "NOT_ENTITLED"),
        ("I:NOPE", "NOT_FOUND"),
    ]


@pytest.mark.parametrize("fault", ["429", "429 empty"])
def test_row_42_client_retries_429_and_heeds_the_reset_header(fault: Any, no_waits: list[float]) -> None:
    with fake(retry_after_s=7).background() as server:
        server.script.extend([fault, fault, None])
        assert vendor(server).get_last_trade("QQQ").price == BARS["close"][389]
        assert no_waits == [7, 7]
        server.script.extend([fault] * 4)
        with pytest.raises(MaxRetryError, match="too many 429"):
            vendor(server).get_last_trade("QQQ")


@pytest.mark.parametrize("fault", ["500", "503"])
def test_row_43_client_retries_5xx_and_gives_up(
    server: FakeMassive, fault: Any, no_waits: list[float]
) -> None:
    server.script.extend([fault, None])
    assert vendor(server).get_last_trade("QQQ").price == BARS["close"][389]
    server.script.extend([fault] * 4)
    with pytest.raises(MaxRetryError, match=f"too many {fault}"):
        vendor(server).get_last_trade("QQQ")


def test_rows_40_41_client_raises_on_refusals_at_once(server: FakeMassive) -> None:
    with pytest.raises(BadResponse, match="Unknown API Key"):
        vendor(server, key="wrong").get_last_trade("QQQ")
    with pytest.raises(BadResponse, match=r"NOT_AUTHORIZED.*not entitled"):
        vendor(server).get_aggs("I:NDX", 1, "minute", str(DAY), str(DAY))
    with pytest.raises(BadResponse, match="Ticker not found"):
        vendor(server).get_last_trade("NONE")
    with pytest.raises(BadResponse, match="limit must be between 1 and 250"):
        list(vendor(server).list_snapshot_options_chain("QQQ", params={"limit": 251}))


async def listen(
    server: FakeMassive, cluster: Market, channels: list[str], until: int, count: int, *, key: str = KEY
) -> list[Any]:
    """What the vendor's WebSocket client hands out once the market has moved to `until`."""
    got: list[Any] = []
    feed = server.socket_url.removeprefix("ws://")
    socket = WebSocketClient(
        api_key=key, feed=feed, market=cluster, subscriptions=channels, secure=False, max_reconnects=0
    )
    enough = asyncio.Event()

    async def take(messages: Any) -> None:
        got.extend(messages)
        if len(got) >= count:
            enough.set()

    task = asyncio.create_task(socket.connect(take))
    try:
        while not server.sockets.channels[cluster.value] >= set(channels) and not task.done():
            await asyncio.sleep(0)
        if not task.done():
            server.advance(until)
            await asyncio.wait({task, asyncio.create_task(enough.wait())}, return_when="FIRST_COMPLETED")
    finally:
        if task.done():
            task.result()
        await socket.close()
        await asyncio.gather(task, return_exceptions=True)
    return got


async def with_server(server: FakeMassive, *args: Any, **options: Any) -> list[Any]:
    await server.start()
    try:
        return await listen(server, *args, **options)
    finally:
        await server.stop()


def test_socket_logs_in_and_minutes_and_trades_arrive() -> None:
    got = asyncio.run(with_server(fake(OPEN), Market.Stocks, ["AM.QQQ", "T.QQQ"], OPEN + 3 * MINUTE, 15))
    bars = [each for each in got if isinstance(each, EquityAgg)]
    assert [(b.symbol, b.close, b.end_timestamp) for b in bars] == [
        ("QQQ", BARS["close"][i], int(BARS["ts"][i]) // MS) for i in range(3)
    ]
    assert {b.end_timestamp - b.start_timestamp for b in bars} == {60_000}
    trades = [each for each in got if isinstance(each, EquityTrade)]
    # The print of the very open was before we listened, that of 09:33:00 is the last.
    assert [each.sequence_number for each in trades] == list(range(1, 13))
    assert sum(each.size for each in trades[3:7]) == BARS["volume"][1]


def test_socket_gives_stock_and_option_quotes_for_what_was_subscribed() -> None:
    stock = asyncio.run(with_server(fake(OPEN), Market.Stocks, ["Q.QQQ"], OPEN + MINUTE, 3))
    assert all(isinstance(each, EquityQuote) and each.bid_price < each.ask_price for each in stock)
    name = "O:QQQ250103C00500000"
    got = asyncio.run(with_server(fake(OPEN), Market.Options, [f"Q.{name}"], OPEN + 2 * MINUTE, 2))
    mine = [chain(OPEN + k * MINUTE).rows[4] for k in (1, 2)]
    assert [(q.symbol, q.bid_price, q.ask_price) for q in got] == [(name, m["bid"], m["ask"]) for m in mine]


def test_socket_gives_index_values() -> None:
    got = asyncio.run(with_server(fake(OPEN), Market.Indices, ["V.I:VIX"], OPEN + 7 * MINUTE, 2))
    assert all(isinstance(each, IndexValue) for each in got)
    assert [(v.ticker, v.value, v.timestamp) for v in got] == [
        ("I:VIX", 16.0, (OPEN + MINUTE) // MS),
        ("I:VIX", 16.1, (OPEN + 6 * MINUTE) // MS),
    ]


def test_row_40_socket_client_raises_on_a_refused_key() -> None:
    with pytest.raises(AuthError, match="authentication failed"):
        asyncio.run(with_server(fake(OPEN), Market.Stocks, ["AM.QQQ"], OPEN, 1, key="wrong"))


def test_index_bars_have_no_volume() -> None:
    server = fake(OPEN)
    index = tape(session(DAY), base=21_000.0)
    server.market.tapes["I:NDX"] = index  # type: ignore[index]
    server = FakeMassive(server.market, server.clock)
    got = asyncio.run(with_server(server, Market.Indices, ["AM.I:NDX"], OPEN + 2 * MINUTE, 2))
    assert [(b.symbol, b.close, b.volume, b.vwap) for b in got] == [
        ("I:NDX", c, None, None) for c in index["close"][:2]
    ]
    assert np.isfinite(index["close"]).all()
