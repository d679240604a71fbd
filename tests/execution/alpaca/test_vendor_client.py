"""The vendor's own client talks to the fake: what it accepts and understands is what Alpaca says."""

import asyncio
import datetime as dt
import warnings
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

with warnings.catch_warnings():
    # alpaca-py 0.44 still builds on the old half of `websockets`.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.data.enums import OptionsFeed
    from alpaca.data.historical import OptionHistoricalDataClient, StockHistoricalDataClient
    from alpaca.data.requests import (
        OptionChainRequest,
        OptionLatestQuoteRequest,
        OptionSnapshotRequest,
        StockBarsRequest,
    )
    from alpaca.data.timeframe import TimeFrame
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import (
        ContractType,
        OrderClass,
        OrderSide,
        OrderStatus,
        PositionIntent,
        QueryOrderStatus,
        TimeInForce,
        TradeEvent,
    )
    from alpaca.trading.models import TradeUpdate
    from alpaca.trading.requests import (
        GetCalendarRequest,
        GetOptionContractsRequest,
        GetOrderByIdRequest,
        GetOrdersRequest,
        LimitOrderRequest,
        MarketOrderRequest,
        OptionLegRequest,
    )
    from alpaca.trading.stream import TradingStream

from maxlib.execution.alpaca.fake import FakeServer
from maxlib.execution.alpaca.fake_api import FAKE_KEY, FAKE_SECRET, FakeApi
from maxlib.execution.alpaca.fake_venue import FakeVenue
from tests.execution.alpaca.bench import DAY, TEN, HandMarket, at, call

pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN))) as running:
        yield running


@pytest.fixture
def trading(server: FakeServer) -> TradingClient:
    client = TradingClient(FAKE_KEY, FAKE_SECRET, paper=True, url_override=server.url)
    client._retry_wait = 0  # it would wait 3 s between tries
    return client


@pytest.fixture
def options(server: FakeServer) -> OptionHistoricalDataClient:
    return OptionHistoricalDataClient(FAKE_KEY, FAKE_SECRET, url_override=server.url)


def leg(strike: int, ratio: int, side: OrderSide, *, closing: bool = False) -> OptionLegRequest:
    intent = PositionIntent(f"{side.value}_to_{'close' if closing else 'open'}")
    return OptionLegRequest(symbol=call(strike).name, ratio_qty=ratio, side=side, position_intent=intent)


BUY, SELL = OrderSide.BUY, OrderSide.SELL
FLY = [leg(600, 1, BUY), leg(605, 2, SELL), leg(610, 1, BUY)]
CLOSE = [leg(600, 1, SELL, closing=True), leg(605, 2, BUY, closing=True), leg(610, 1, SELL, closing=True)]


def mleg(legs: list[OptionLegRequest], qty: int, name: str, limit: float | None = None) -> Any:
    kind = MarketOrderRequest if limit is None else LimitOrderRequest
    more = {} if limit is None else {"limit_price": limit}
    return kind(
        qty=qty, time_in_force=TimeInForce.DAY, order_class=OrderClass.MLEG, legs=legs,
        client_order_id=name, **more,
    )  # fmt: skip


def single(strike: int, qty: int, name: str, limit: float | None = None, side: OrderSide = BUY) -> Any:
    kind = MarketOrderRequest if limit is None else LimitOrderRequest
    more = {} if limit is None else {"limit_price": limit}
    return kind(
        symbol=call(strike).name,
        qty=qty,
        side=side,
        time_in_force=TimeInForce.DAY,
        client_order_id=name,
        **more,
    )


# --- account, clock, calendar


def test_account_has_its_cash_and_level(trading: TradingClient) -> None:
    account = trading.get_account()
    assert account.cash == "100000"
    assert account.options_trading_level == 3
    assert account.trading_blocked is False


@pytest.mark.parametrize(
    ("now", "is_open", "next_open", "next_close"),
    [
        # Thursday 20 November 2025; Thanksgiving is the 27th, the 28th closes at 13:00.
        (TEN, True, (21, 9, 30), (20, 16, 0)),
        (at(16 * 60), False, (21, 9, 30), (21, 16, 0)),
        (at(10 * 60, day=dt.date(2025, 11, 27)), False, (28, 9, 30), (28, 13, 0)),
        (at(13 * 60, day=dt.date(2025, 11, 28)), False, (1, 9, 30), (1, 16, 0)),
    ],
)
def test_clock_knows_sessions_holidays_and_half_days(
    server: FakeServer, trading: TradingClient, now: int, is_open: bool,
    next_open: tuple[int, ...], next_close: tuple[int, ...],
) -> None:  # fmt: skip
    server.advance(now)
    clock = trading.get_clock()
    assert clock.is_open is is_open
    assert (clock.next_open.day, clock.next_open.hour, clock.next_open.minute) == next_open
    assert (clock.next_close.day, clock.next_close.hour, clock.next_close.minute) == next_close
    assert clock.timestamp.timestamp() == now / 1e9


def test_calendar_has_the_half_day(trading: TradingClient) -> None:
    days = trading.get_calendar(GetCalendarRequest(start=dt.date(2025, 11, 26), end=dt.date(2025, 11, 28)))
    assert [(day.date.day, day.close.hour) for day in days] == [(26, 16), (28, 13)]


# --- market data


def test_bars_come_page_by_page_and_only_when_complete(server: FakeServer) -> None:
    data = StockHistoricalDataClient(FAKE_KEY, FAKE_SECRET, url_override=server.url)
    opening = dt.datetime(2025, 11, 20, 14, 30, tzinfo=dt.UTC)
    request = StockBarsRequest(symbol_or_symbols=["QQQ", "SPY"], timeframe=TimeFrame.Minute, start=opening)
    bars = data.get_stock_bars(request).data
    # At 10:00:00 New York the bar that began at 09:59 is the last complete one.
    assert [bar.open for bar in bars["QQQ"]] == [600.0 + k for k in range(30)]
    assert bars["QQQ"][0].timestamp == opening
    assert "SPY" not in bars


def test_option_chain_is_paged_and_filtered(server: FakeServer, options: OptionHistoricalDataClient) -> None:
    whole = options.get_option_chain(OptionChainRequest(underlying_symbol="QQQ", feed=OptionsFeed.INDICATIVE))
    assert len(whole) == 2 * 2 * 21
    request = OptionChainRequest(
        underlying_symbol="QQQ", type=ContractType.CALL, expiration_date=DAY,
        strike_price_gte=600, strike_price_lte=605,
    )  # fmt: skip
    chain = options.get_option_chain(request)
    assert sorted(chain) == [call(strike).name for strike in range(600, 606)]
    quote = chain[call(605).name].latest_quote
    assert (quote.bid_price, quote.ask_price, quote.bid_size) == (0.95, 0.99, 10)


def test_option_chain_and_bars_of_many_pages_are_whole(
    server: FakeServer, options: OptionHistoricalDataClient
) -> None:
    server.api.page = 20
    assert len(options.get_option_chain(OptionChainRequest(underlying_symbol="QQQ"))) == 84
    data = StockHistoricalDataClient(FAKE_KEY, FAKE_SECRET, url_override=server.url)
    start = dt.datetime(2025, 11, 20, 14, 30, tzinfo=dt.UTC)
    bars = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols="QQQ", timeframe=TimeFrame.Minute, start=start)
    )
    assert [bar.open for bar in bars.data["QQQ"]] == [600.0 + k for k in range(30)]
    pages = [path.rpartition("/")[2] for _, path in server.api.calls]
    assert pages == ["QQQ"] * 5 + ["bars"] * 2  # 84 series and 30 bars in pages of 20


def test_latest_quote_and_snapshot_by_symbol(options: OptionHistoricalDataClient) -> None:
    name = call(600).name
    quote = options.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=name))[name]
    assert (quote.bid_price, quote.ask_price) == (1.0, 1.04)
    found = options.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=[name, "QQQ251120C09990000"]))
    assert list(found) == [name]


def test_option_contracts_with_paging(trading: TradingClient) -> None:
    request = GetOptionContractsRequest(underlying_symbols=["QQQ"], expiration_date=DAY, limit=25)
    first = trading.get_option_contracts(request)
    assert len(first.option_contracts) == 25
    request.page_token = first.next_page_token
    second = trading.get_option_contracts(request)
    assert len(second.option_contracts) == 42 - 25
    assert second.next_page_token is None
    assert first.option_contracts[0].strike_price == 590.0


# --- orders


@pytest.mark.parametrize(("limit", "price"), [(None, "1.04"), (1.10, "1.04"), (1.04, "1.04")])
def test_single_order_fills_at_the_ask(trading: TradingClient, limit: float | None, price: str) -> None:
    sent = trading.submit_order(single(600, 2, "long-1", limit))
    assert sent.status == OrderStatus.NEW
    order = trading.get_order_by_client_id("long-1")
    assert (order.id, order.status, order.filled_qty, order.filled_avg_price) == (
        sent.id, OrderStatus.FILLED, "2", price,
    )  # fmt: skip
    assert order.position_intent == PositionIntent.BUY_TO_OPEN


def test_limit_below_the_ask_rests_until_the_market_comes(server: FakeServer, trading: TradingClient) -> None:
    order = trading.submit_order(single(600, 1, "patient", 1.03))
    assert [o.client_order_id for o in trading.get_orders()] == ["patient"]
    server.do(lambda venue: venue.market.now_quoted.update({call(600): (99, 103)}))
    server.advance(TEN + 10**9)
    assert trading.get_order_by_id(order.id).status == OrderStatus.FILLED
    assert trading.get_orders() == []
    closed = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))
    assert [o.client_order_id for o in closed] == ["patient"]


@pytest.mark.parametrize("limit", [None, 0.08, 0.10])
def test_multi_leg_order_fills_each_leg_on_its_side(trading: TradingClient, limit: float | None) -> None:
    sent = trading.submit_order(mleg(FLY, 3, "fly", limit))
    order = trading.get_order_by_id(sent.id, GetOrderByIdRequest(nested=True))
    assert (order.status, order.order_class, order.symbol) == (OrderStatus.FILLED, OrderClass.MLEG, None)
    # Bought at 1.04 and 0.94, sold at 0.95: 1.04 - 2 × 0.95 + 0.94 = 0.08 net debit.
    assert order.filled_avg_price == "0.08"
    assert [(each.symbol, each.filled_qty, each.filled_avg_price) for each in order.legs] == [
        (call(600).name, "3", "1.04"), (call(605).name, "6", "0.95"), (call(610).name, "3", "0.94"),
    ]  # fmt: skip
    held = {p.symbol: (p.qty, p.side.value) for p in trading.get_all_positions()}
    assert held == {
        call(600).name: ("3", "long"), call(605).name: ("-6", "short"), call(610).name: ("3", "long"),
    }  # fmt: skip
    assert trading.get_open_position(call(605).name).avg_entry_price == "0.95"
    assert trading.get_account().cash == "99976"  # 100,000 - 3 × 0.08 × 100


def test_close_of_a_fly_has_a_negative_limit(trading: TradingClient) -> None:
    trading.submit_order(mleg(FLY, 1, "in"))
    # Sold at 1.00 and 0.90, bought back at 0.99: 1.00 - 2 × 0.99 + 0.90 = -0.08: closing costs 0.08 here.
    rests = trading.submit_order(mleg(CLOSE, 1, "greedy", -0.01))
    assert trading.get_order_by_id(rests.id).status == OrderStatus.NEW
    trading.cancel_order_by_id(rests.id)


def test_cancel_is_taken_on_and_counts_when_the_clock_moves(
    server: FakeServer, trading: TradingClient
) -> None:
    order = trading.submit_order(single(600, 1, "patient", 0.50))
    trading.cancel_order_by_id(order.id)
    assert trading.get_order_by_id(order.id).status == OrderStatus.PENDING_CANCEL
    server.advance(TEN + 10**9)
    assert trading.get_order_by_id(order.id).status == OrderStatus.CANCELED
    with pytest.raises(APIError) as refused:
        trading.cancel_order_by_id(order.id)
    assert (refused.value.status_code, refused.value.code) == (422, 42210000)


def test_cancel_of_all_orders(server: FakeServer, trading: TradingClient) -> None:
    trading.submit_order(single(600, 1, "a", 0.50))
    trading.submit_order(single(601, 1, "b", 0.50))
    assert [row.status for row in trading.cancel_orders()] == [200, 200]


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        (mleg([leg(600, 2, BUY), leg(605, 2, SELL)], 1, "x"), 422, 42210000, "GCD[2 2] = 2"),
        (single(600, 1, "x", side=SELL), 403, 40310000, "uncovered option contracts"),
        (mleg([leg(600, 1, SELL), leg(605, 1, SELL)], 1, "x"), 403, 40310000, "uncovered"),
        (single(600, 2000, "x"), 403, 40310000, "insufficient options buying power"),
        (single(999, 1, "x"), 422, 42210000, "not found"),
    ],
    ids=["ratios_not_prime", "naked_single", "naked_legs", "buying_power", "unknown_contract"],
)
def test_refusals_have_the_codes_of_the_vendor(
    trading: TradingClient, request_: Any, status: int, code: int, words: str
) -> None:
    with pytest.raises(APIError) as refused:
        trading.submit_order(request_)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert words in refused.value.message


def test_client_order_id_is_unique_for_ever(server: FakeServer, trading: TradingClient) -> None:
    trading.submit_order(single(600, 1, "again"))
    server.advance(at(10 * 60 + 1))
    with pytest.raises(APIError) as refused:
        trading.submit_order(single(601, 1, "again"))
    assert (refused.value.status_code, refused.value.code) == (422, 40010001)


def test_market_order_out_of_hours_is_refused(server: FakeServer, trading: TradingClient) -> None:
    server.advance(at(17 * 60))
    tomorrow = OptionLegRequest(symbol=call(600, 20413).name, ratio_qty=1, side=BUY)
    other = OptionLegRequest(symbol=call(605, 20413).name, ratio_qty=1, side=SELL)
    with pytest.raises(APIError, match="only allowed during market hours"):
        trading.submit_order(mleg([tomorrow, other], 1, "late"))


def test_unknown_order_is_404(trading: TradingClient) -> None:
    with pytest.raises(APIError) as missing:
        trading.get_order_by_client_id("nobody")
    assert (missing.value.status_code, missing.value.code) == (404, 40410000)
    with pytest.raises(APIError):
        trading.get_order_by_id(UUID(int=1))


def test_wrong_keys_are_401(server: FakeServer) -> None:
    with pytest.raises(APIError) as refused:
        TradingClient("PKOTHER", FAKE_SECRET, url_override=server.url).get_account()
    assert refused.value.status_code == 401


# --- faults


def test_429_is_repeated_by_the_vendors_client(server: FakeServer, trading: TradingClient) -> None:
    server.api.faults.ask("rate_limited", times=2)
    assert trading.get_account().cash == "100000"
    assert server.api.calls == [("GET", "/v2/account")] * 3


def test_429_for_ever_is_an_error(server: FakeServer, trading: TradingClient) -> None:
    server.api.faults.ask("rate_limited", times=4)
    with pytest.raises(APIError) as limited:
        trading.get_account()
    assert limited.value.status_code == 429
    headers = limited.value.response.headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("200", "0")


def test_503_is_an_error_without_json(server: FakeServer, trading: TradingClient) -> None:
    server.api.faults.ask("server_error")
    with pytest.raises(APIError) as broken:
        trading.submit_order(single(600, 1, "x"))
    assert broken.value.status_code == 503
    assert server.do(lambda venue: venue.orders) == {}


def test_504_after_the_order_was_taken_makes_the_vendors_client_send_it_again(
    server: FakeServer, trading: TradingClient
) -> None:
    # It repeats POST; only the client order id keeps this from becoming two positions.
    server.api.faults.ask("server_error_after")
    with pytest.raises(APIError) as refused:
        trading.submit_order(single(600, 1, "once"))
    assert refused.value.code == 40010001
    assert server.do(lambda venue: venue.held) == {call(600): 1}


# --- stream


def test_trading_stream_tells_orders_fills_and_cancels(server: FakeServer, trading: TradingClient) -> None:
    heard: list[TradeUpdate] = []

    async def listen() -> None:
        stream = TradingStream(
            FAKE_KEY, FAKE_SECRET, url_override=server.url.replace("http", "ws") + "/stream"
        )
        told = asyncio.Event()

        async def take(update: TradeUpdate) -> None:
            heard.append(update)
            if update.event == TradeEvent.CANCELED:
                told.set()

        stream.subscribe_trade_updates(take)
        await stream._start_ws()
        assert '"listening"' in (await stream._ws.recv()).decode()
        reading = asyncio.ensure_future(stream._consume())

        def trade() -> None:
            trading.submit_order(mleg(FLY, 12, "fly"))  # the market shows 10 a leg: 5 flies at once
            server.advance(TEN + 10**9)
            fly = trading.get_order_by_client_id("fly")
            trading.cancel_order_by_id(fly.id)
            server.advance(TEN + 2 * 10**9)

        await asyncio.to_thread(trade)
        async with asyncio.timeout(30):
            await told.wait()
        reading.cancel()
        await stream.close()

    asyncio.run(listen())
    assert [(u.event, u.qty, u.price, u.order.filled_qty) for u in heard] == [
        ("new", None, None, "0"), ("partial_fill", 5.0, 0.08, "5"), ("partial_fill", 5.0, 0.08, "10"),
        ("pending_cancel", None, None, "10"), ("canceled", None, None, "10"),
    ]  # fmt: skip
    assert heard[1].order.legs is not None
    assert [each.filled_qty for each in heard[1].order.legs] == ["5", "10", "5"]
    assert heard[1].execution_id != heard[2].execution_id
