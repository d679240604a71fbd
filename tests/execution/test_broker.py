"""The simulated broker: buys at the ask, sells at the bid, and the gate behind it."""

import math
from typing import Any

import pytest

from maxlib.core.errors import InvariantError
from maxlib.execution.broker import Rejection, SimulatedBroker
from maxlib.execution.fills import FillConfig
from maxlib.market.contract import Contract, Leg
from maxlib.market.instruments import instrument
from maxlib.market.quotes import Quote
from maxlib.options.desk import Desk, DeskConfig, Market
from maxlib.trading.orders import Fill, Order
from tests.engine.scripted import bid_ask, bsm

CALL = Contract("QQQ", 20090, "C", 50000)


def broker(**desk: Any) -> SimulatedBroker:
    return SimulatedBroker(Desk(DeskConfig(model="spec", **desk), instrument("QQQ")), FillConfig())


def order(side: Any, quantity: int = 3, contract: Contract = CALL) -> Order:
    legs = (Leg(contract, 1 if side == "buy" else -1),)
    return Order("id", 1, legs, quantity, "open" if side == "buy" else "time", 0)


def market(minutes: float = 60.0, spot: float = 501.0) -> Market:
    return Market(7, spot, minutes, 0.2)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_fills_are_whole_at_the_quote_of_their_side(side: str) -> None:
    fill = broker().execute(order(side), market(), 10**9)
    bid, ask = bid_ask("C", 501.0, 500, 60)
    price = ask if side == "buy" else bid
    slippage = abs(price - 100 * bsm("C", 501.0, 500, 60))
    assert isinstance(fill, Fill)
    assert fill.slippage_cents == pytest.approx(slippage, abs=1e-9)
    assert fill._replace(slippage_cents=0.0) == Fill(order(side), 7, 3, (price,), 195, 501.0, True)


@pytest.mark.parametrize("minutes", [0, -1, -400])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_nothing_trades_when_regular_hours_are_over(side: str, minutes: int) -> None:
    assert broker().execute(order(side), market(minutes), 10**9) == Rejection(order(side), 7, "MARKET_CLOSED")


def test_a_buy_needs_cash_for_premium_and_commission_to_the_cent() -> None:
    ask = bid_ask("C", 501.0, 500, 60)[1]
    cost = 3 * (100 * ask + 65)
    assert isinstance(broker().execute(order("buy"), market(), cost), Fill)
    assert broker().execute(order("buy"), market(), cost - 1) == Rejection(
        order("buy"), 7, "INSUFFICIENT_CASH"
    )


@pytest.mark.parametrize(
    ("right", "spot", "cents"),
    [
        ("C", 502.37, 237),
        ("C", 499.0, 0),
        ("P", 497.63, 237),
        ("P", 500.0, 0),
        ("C", 500.29, 29),
        ("C", 500.999, 99),
    ],
)
def test_settlement_pays_intrinsic_in_whole_cents_without_commission(
    right: str, spot: float, cents: int
) -> None:
    fill = broker().settle(order("sell", contract=CALL._replace(right=right)), 9, spot)
    assert (fill.price_cents, fill.fee_cents, fill.ts) == (cents, 0, 9)


@pytest.mark.parametrize(("side", "price"), [("buy", 99), ("sell", 91)])
def test_the_gate_stops_a_fill_better_than_the_quote(side: Any, price: int) -> None:
    made = Fill(order(side), 7, 1, (price,), 65, 500.0, True)
    with pytest.raises(InvariantError, match="QQQ"):
        broker()._pass(made, [Quote(CALL, 7, 90, 100, None, None, modelled=True)])


def test_the_gate_stops_a_buy_below_intrinsic() -> None:
    made = Fill(order("buy"), 7, 1, (100,), 65, 501.01, True)
    with pytest.raises(InvariantError, match="intrinsic"):
        broker()._pass(made, [Quote(CALL, 7, 90, 100, None, None, modelled=True)])


@pytest.mark.parametrize("right", ["C", "P"])
@pytest.mark.parametrize("minutes", [1, 5, 60, 390])
def test_no_fill_ever_passes_below_intrinsic_for_a_buyer(right: str, minutes: int) -> None:
    for cents in range(48_000, 52_000, 173):
        for fraction in (0.0, 0.01, 0.5):
            desk = broker(half_spread_cents=0, half_spread_fraction=fraction, iv_scale=0.1)
            contract = CALL._replace(right=right)
            fill = desk.execute(order("buy", contract=contract), market(minutes, cents / 100), 10**9)
            value = (cents - 50_000) if right == "C" else (50_000 - cents)
            assert fill.price_cents >= max(0, math.floor(value))


def test_an_option_without_a_bid_is_not_sold() -> None:
    # A call 9 dollars out of the money with 5 minutes to go is worth nothing: bid 0.
    result = broker().execute(order("sell"), market(minutes=5, spot=CALL.strike - 9.0), 0)
    assert isinstance(result, Rejection)
    assert result.code == "NO_BID"
