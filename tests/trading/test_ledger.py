"""Cash and contracts, in integer cents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError, InvariantError
from maxlib.market.contract import Contract, Leg
from maxlib.trading.ledger import Ledger
from maxlib.trading.orders import Fill, Order, order_id
from maxlib.trading.plan import ExitPlan

CALL = Contract("QQQ", 20090, "C", 50000)
PUT = CALL._replace(right="P")


def fill(side: Any, quantity: int, price: int, fee: int = 65, contract: Contract = CALL) -> Fill:
    legs = (Leg(contract, 1 if side == "buy" else -1),)
    order = Order("id", 1, legs, quantity, "open" if side == "buy" else "time", 0)
    return Fill(order, 7, quantity, (price,), fee, 500.0, True)


def package(
    legs: tuple[tuple[Contract, int], ...], prices: tuple[int, ...], quantity: int = 1, purpose: Any = "open"
) -> Fill:
    order = Order("id", 1, tuple(Leg(*leg) for leg in legs), quantity, purpose, 0)
    return Fill(order, 7, quantity, prices, 0, 500.0, True)


def test_a_round_trip_by_hand() -> None:
    ledger = Ledger(1_000_000, 100)
    ledger.apply(fill("buy", 3, 120, 195))
    assert (ledger.cash_cents, ledger.held) == (1_000_000 - 36_000 - 195, {CALL: 3})
    ledger.apply(fill("sell", 1, 200))
    ledger.apply(fill("sell", 2, 90, 130))
    assert (ledger.cash_cents, ledger.held) == (1_000_000 - 36_000 - 195 + 20_000 - 65 + 18_000 - 130, {})
    assert (ledger.flow_cents, ledger.fee_cents) == (2_000, 390)


@pytest.mark.parametrize(
    "bad",
    [
        fill("sell", 1, 100),
        fill("sell", 4, 100),
        fill("buy", 0, 100),
        fill("buy", -1, 100),
        fill("sell", 1, 100, 0, PUT),
    ],
)
def test_what_is_not_held_cannot_be_sold(bad: Fill) -> None:
    ledger = Ledger(1_000_000, 100)
    if bad.quantity != 1 or bad.order.contract == PUT:
        ledger.apply(fill("buy", 3, 120))
    with pytest.raises(InvariantError, match=r"without cover|at least 1"):
        ledger.apply(bad)


def test_a_short_needs_a_long_of_its_own_right_and_expiry() -> None:
    ledger = Ledger(1_000_000, 100)
    far = CALL._replace(strike_cents=50500)
    ledger.apply(package(((CALL, 1), (far, -1)), (220, 40), 2))
    assert (ledger.cash_cents, ledger.held) == (1_000_000 - 2 * 18_000, {CALL: 2, far: -2})
    for leg in (far, far._replace(right="P"), far._replace(expiry=20091)):
        with pytest.raises(InvariantError, match="without cover"):
            ledger.apply(package(((leg, -1),), (40,)))
    with pytest.raises(InvariantError, match="without cover"):
        ledger.apply(fill("sell", 1, 300))  # the cover of the second vertical
    assert ledger.held == {CALL: 2, far: -2}, "a refused fill leaves no trace"
    ledger.apply(package(((far, 1), (CALL, -1)), (50, 250), 2, "stop"))
    assert (ledger.cash_cents, ledger.held) == (1_000_000 + 2 * 2_000, {})


def test_books_that_do_not_balance_stop_the_run() -> None:
    ledger = Ledger(1_000_000, 100)
    ledger.cash_cents += 1
    with pytest.raises(InvariantError, match="does not balance"):
        ledger.apply(fill("buy", 1, 100))


@given(
    st.lists(
        st.tuples(st.sampled_from([CALL, PUT]), st.integers(1, 9), st.integers(0, 999), st.integers(0, 99))
    )
)
def test_cash_is_always_start_plus_flows_minus_fees(steps: list[Any]) -> None:
    ledger = Ledger(10**9, 100)
    cash, held = 10**9, {CALL: 0, PUT: 0}
    for i, (contract, quantity, price, fee) in enumerate(steps):
        side = "sell" if i % 2 and held[contract] >= quantity else "buy"
        ledger.apply(fill(side, quantity, price, fee, contract))
        sign = 1 if side == "sell" else -1
        cash += sign * 100 * price * quantity - fee
        held[contract] -= sign * quantity
    assert ledger.cash_cents == cash
    assert ledger.held == {name: n for name, n in held.items() if n}


def test_an_order_id_follows_from_the_decision_alone() -> None:
    assert order_id("run", 1, "open", 5) == order_id("run", 1, "open", 5)
    ids = {
        order_id(*x)
        for x in (
            ("run", 1, "open", 5),
            ("r", 1, "open", 5),
            ("run", 2, "open", 5),
            ("run", 1, "tp1", 5),
            ("run", 1, "open", 6),
        )
    }
    assert len(ids) == 5


@pytest.mark.parametrize(
    "bad",
    [
        {"tp1_fraction": 0},
        {"tp1_fraction": 1.1},
        {"trail": 1.0},
        {"hold_minutes": 0},
        {"force_close_minutes": 0},
        {"stop": 0.0},
        {"trailing": 0.1},
        {"tp1": 0.02, "tp2": 0.01},
    ],
)
def test_an_impossible_plan_is_refused_in_one_sentence(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ExitPlan, bad, "exits")
    assert str(caught.value).startswith("exits: ")
    assert "\n" not in str(caught.value)
