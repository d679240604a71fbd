"""Requests, states and the money of executions."""

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.execution.alpaca.orders import LEGAL, LIVE, Denial, Execution, State, fills, request, unaffordable
from maxlib.execution.alpaca.wire import Account
from maxlib.market.contract import Leg
from maxlib.trading.ledger import Ledger
from maxlib.trading.orders import reverse
from tests.execution.alpaca.bench import FLY, LONG, VERTICAL, call, order

# --- what is sent


def test_fly_is_sent_as_the_reference_writes_it() -> None:
    assert request(order(FLY, 2, "fly-20251120-001-open-a1"), 105) == {
        "order_class": "mleg", "qty": "2", "type": "limit", "limit_price": "1.05", "time_in_force": "day",
        "client_order_id": "fly-20251120-001-open-a1",
        "legs": [
            {"symbol": symbol, "ratio_qty": ratio, "side": side, "position_intent": f"{side}_to_open"}
            for symbol, ratio, side in (
                ("QQQ251120C00600000", "1", "buy"),
                ("QQQ251120C00605000", "2", "sell"),
                ("QQQ251120C00610000", "1", "buy"),
            )
        ],
    }  # fmt: skip


def body(made: dict[str, Any] | str) -> dict[str, Any]:
    assert isinstance(made, dict), made
    return made


def test_close_of_a_fly_is_a_credit_below_zero_and_closes_every_leg() -> None:
    made = body(request(order(reverse(FLY), 1, "x", "tp1"), -80))
    assert made["limit_price"] == "-0.80"
    assert [leg["position_intent"] for leg in made["legs"]] == [
        "sell_to_close",
        "buy_to_close",
        "sell_to_close",
    ]


@pytest.mark.parametrize(
    ("legs", "purpose", "net", "side", "intent", "price"),
    [
        (LONG, "open", 104, "buy", "buy_to_open", "1.04"),
        (reverse(LONG), "stop", -99, "sell", "sell_to_close", "0.99"),
    ],
)
def test_single_limit_is_a_plain_price_on_either_side(
    legs: Any, purpose: Any, net: int, side: str, intent: str, price: str
) -> None:
    made = body(request(order(legs, 3, "x", purpose), net))
    assert (made["side"], made["position_intent"], made["limit_price"]) == (side, intent, price)
    assert (made["symbol"], made["qty"], "legs" in made) == ("QQQ251120C00600000", "3", False)


def test_market_order_has_no_limit_and_zero_is_a_limit() -> None:
    assert "limit_price" not in body(request(order(VERTICAL), None))
    assert body(request(order(VERTICAL), 0))["limit_price"] == "0.00"


@pytest.mark.parametrize(
    ("legs", "quantity", "limit", "words"),
    [
        (
            tuple(Leg(leg.contract, 2 * leg.ratio) for leg in VERTICAL),
            1,
            None,
            "relatively prime, but 2 divides",
        ),
        ((Leg(call(600), 2),), 1, None, "relatively prime, but 2"),
        (tuple(Leg(call(600 + k), 1) for k in range(5)), 1, None, "1 to 4 different legs"),
        (LONG + LONG, 1, None, "1 to 4 different legs"),
        ((), 1, None, "1 to 4 different legs"),
        (LONG, 0, None, "at least 1 unit"),
        (LONG, 1, 0, "a limit of 0 cents"),
        (reverse(LONG), 1, 5, "a limit of -5 cents"),
    ],
)
def test_what_the_vendor_would_refuse_is_not_sent(
    legs: Any, quantity: int, limit: int | None, words: str
) -> None:
    made = request(order(legs, quantity), limit)
    assert isinstance(made, str)
    assert words in made


@pytest.mark.parametrize(
    ("changes", "need", "age_ms", "expected"),
    [
        ({}, 100_050, 5_000, None),
        ({}, 100_051, 0, Denial("BUYING_POWER", 100_050, 100_051)),
        ({}, 1, 5_001, Denial("STALE_BUYING_POWER", 5_000, 5_001)),
        ({"blocked": True}, 1, 0, Denial("ACCOUNT_BLOCKED")),
        ({"status": "ACCOUNT_UPDATED"}, 1, 0, Denial("ACCOUNT_BLOCKED")),
    ],
)
def test_row_62_stale_or_missing_buying_power_denies(
    changes: dict[str, Any], need: int, age_ms: int, expected: Denial | None
) -> None:
    account = Account(
        "ACTIVE", Decimal(5000), Decimal(5000), Decimal("1000.505"), 3, blocked=False, known_at=7
    )
    now = 7 + age_ms * 1_000_000
    assert unaffordable(account._replace(**changes), need, now, 5_000) == expected


# --- states


def test_ended_orders_go_nowhere_and_silence_gives_way_to_evidence() -> None:
    ended = set(get_args(State)) - LIVE
    assert {state for state in ended if LEGAL[state]} == {"REFUSED", "LOST"}
    assert all(
        "INTENT" not in after and "UNKNOWN" not in LEGAL[s] for s, after in LEGAL.items() if s != "INTENT"
    )
    assert set(LEGAL) == set(get_args(State))


# --- money


def twin_cash(legs: tuple[Leg, ...], prices: list[list[int]]) -> int:
    """Cents paid, contract by contract; prices[unit][leg]."""
    return sum(leg.ratio * price * 100 for unit in prices for leg, price in zip(legs, unit, strict=True))


UNIT = st.tuples(*(st.integers(0, 500) for _ in FLY)).map(list)


@given(st.lists(UNIT, min_size=1, max_size=7), st.integers(0, 300))
def test_fills_pay_what_the_broker_took_to_the_cent(prices: list[list[int]], fee: int) -> None:
    sent = order(FLY, len(prices), "x")
    values = tuple(sum(abs(leg.ratio) * unit[i] * 100 for unit in prices) for i, leg in enumerate(FLY))
    made = Execution("e", "x", 5, 0, len(prices), values)
    ledger = Ledger(0, 100)
    for fill in fills(sent, made, fee, 600.0):
        ledger.apply(fill)
    assert ledger.cash_cents == -twin_cash(FLY, prices) - fee
    assert ledger.held == {leg.contract: leg.ratio * len(prices) for leg in FLY}


def test_average_of_a_third_of_a_cent_is_split_into_whole_cents() -> None:
    # 3 contracts for 316 cents a share together: 105, 105 and 106.
    made = Execution("e", "x", 5, 0, 3, (31_600,))
    split = fills(order(LONG, 3, "x"), made, 195, 600.0)
    assert [(f.quantity, f.prices_cents, f.fee_cents) for f in split] == [(2, (105,), 195), (1, (106,), 0)]
    assert not any(f.modelled for f in split)


def test_uneven_contracts_of_one_unit_are_booked_to_the_cent() -> None:
    # A body of 2 contracts, sold at 95 and 96: the fill has one price for both, and a dollar beyond it.
    made = Execution("e", "x", 5, 0, 1, (10_400, 19_100, 9_400))
    (fill,) = fills(order(FLY, 1, "x"), made, 0, 600.0)
    assert (fill.prices_cents, fill.residue_cents) == ((104, 95, 94), 100)
    assert Decimal(fill.price_cents) == 8
    ledger = Ledger(0, 100)
    ledger.apply(fill)
    assert ledger.cash_cents == 19_100 - 10_400 - 9_400


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=5), st.booleans())
def test_whatever_the_contracts_of_a_body_cost_the_ledgers_cash_is_the_brokers(
    bodies: list[tuple[int, int]], leaves: bool
) -> None:
    units = len(bodies)
    legs = reverse(FLY) if leaves else FLY
    values = (20_000 * units, sum(map(sum, bodies)) * 100, 10_000 * units)
    ledger = Ledger(0, 100)
    if leaves:
        ledger.held = {leg.contract: leg.ratio * units for leg in FLY}
    for fill in fills(order(legs, units, "x"), Execution("e", "x", 5, 0, units, values), 0, 600.0):
        assert fill.residue_cents >= 0
        ledger.apply(fill)
    paid = values[0] - values[1] + values[2]
    assert ledger.cash_cents == (paid if leaves else -paid)
