"""The fake keeps the vendor's rules, its own books balance, and its faults do what they say."""

from collections import Counter
from random import Random
from typing import Any, get_args

import pytest

from maxlib.core.errors import ConfigError
from maxlib.execution.alpaca.fake_faults import Fault, FaultRates, Faults
from maxlib.execution.alpaca.fake_venue import Denied, FakeVenue, covered
from maxlib.execution.alpaca.orders import request
from maxlib.market.contract import Contract, Leg
from maxlib.trading.orders import Purpose, reverse
from tests.execution.alpaca.bench import (
    EXPIRY,
    FLY,
    LONG,
    SECOND,
    TEN,
    VERTICAL,
    HandMarket,
    at,
    call,
    order,
    put,
)

UNBALANCED = (Leg(call(600), 1), Leg(call(603), -3), Leg(call(605), 2))
ROLL = (Leg(call(605), 1), Leg(call(605, EXPIRY + 1), -1))


def venue(**options: Any) -> FakeVenue:
    return FakeVenue(HandMarket(options.pop("size", 10)), options.pop("now", TEN), **options)


def send(
    to: FakeVenue,
    legs: tuple[Leg, ...],
    quantity: int = 1,
    limit: int | None = None,
    purpose: Purpose = "open",
) -> Any:
    body = request(order(legs, quantity, f"o{len(to.orders)}", purpose), limit)
    assert isinstance(body, dict), body
    return to.submit(body)


# --- coverage


@pytest.mark.parametrize("legs", [LONG, VERTICAL, reverse(VERTICAL), FLY, UNBALANCED], ids=str)
def test_covered_packages_are_taken(legs: tuple[Leg, ...]) -> None:
    assert not isinstance(send(venue(), legs, limit=1), Denied)


@pytest.mark.parametrize(
    "legs",
    [
        reverse(LONG),
        (Leg(call(600), -1), Leg(put(600), -1)),
        (Leg(call(600), -1), Leg(call(605), 1), Leg(call(610), -1)),
        (Leg(call(600), 1), Leg(put(605), -1)),
        ROLL,
    ],
    ids=["single", "strangle", "two_shorts_one_long", "other_right", "calendar"],
)
def test_uncovered_packages_are_refused(legs: tuple[Leg, ...]) -> None:
    denied = send(venue(), legs, limit=1 if len(legs) > 1 else -1)
    assert denied == Denied(403, 40310000, "account not eligible to trade uncovered option contracts")


def test_closing_the_cover_of_a_short_is_refused_and_closing_both_is_taken() -> None:
    there = venue()
    send(there, VERTICAL)
    assert there.held == {call(600): 1, call(605): -1}
    alone = send(there, reverse(LONG), purpose="stop")
    assert (alone.status, alone.code) == (403, 40310000)
    send(there, reverse(VERTICAL), purpose="stop")
    assert there.held == {}


def test_more_than_is_held_cannot_be_sold_not_even_by_two_orders() -> None:
    there = venue()
    send(there, LONG, 2)
    assert isinstance(send(there, reverse(LONG), 3, purpose="stop"), Denied)
    send(there, reverse(LONG), 2, -150, "tp1")  # rests
    assert isinstance(send(there, reverse(LONG), 1, purpose="stop"), Denied)


def test_cover_may_expire_later_but_not_earlier() -> None:
    near, far = call(600), call(605, EXPIRY + 1)
    assert covered({far: 1, near: -1})
    assert not covered({near: 1, far: -1})


# --- rules of the day


@pytest.mark.parametrize(("minute", "taken"), [(15 * 60 + 29, True), (15 * 60 + 30, False)])
def test_expiring_contracts_of_broad_etfs_are_taken_until_1530(minute: int, taken: bool) -> None:
    assert isinstance(send(venue(now=at(minute)), LONG), Denied) is not taken


def test_limit_order_before_the_open_waits_for_it() -> None:
    early = venue(now=at(9 * 60))
    made = send(early, LONG, limit=104)
    assert made.status == "new"
    early.advance(at(9 * 60 + 29, 59))
    assert made.status == "new"
    early.advance(at(9 * 60 + 30))
    assert made.status == "filled"


def test_day_order_expires_at_the_close_with_what_it_filled() -> None:
    there = venue()
    made = send(there, LONG, 15, 104)
    assert made.filled == 10
    there.market.now_quoted[call(600)] = (100, 110)  # type: ignore[attr-defined]
    there.advance(at(16 * 60))
    assert (made.status, made.filled) == ("expired", 10)


def test_expired_options_become_their_intrinsic_value_in_cash() -> None:
    there = venue()
    send(there, VERTICAL, 3)  # bought at 104, sold at 95: 9 c
    there.market.spot_usd = 602.5  # type: ignore[attr-defined]
    there.advance(at(16 * 60))
    assert there.held == {}
    assert there.cash_cents - there.start_cents == 3 * 100 * (250 - 9)


def test_fills_are_bounded_by_the_displayed_size_once_a_moment() -> None:
    there = venue(size=7)
    first, second = send(there, FLY, 5, 100), send(there, VERTICAL, 5, 100)
    # A body of two a fly: three flies of the seven; one sold contract of 605 is left for the vertical.
    assert (first.filled, second.filled) == (3, 1)
    there.advance(TEN + SECOND)
    assert (first.filled, second.filled) == (5, 4)


def test_nothing_fills_without_a_market() -> None:
    there = venue()
    there.market.now_quoted |= {call(600): (100, None), call(601): (None, 5), call(602): (9, 8)}  # type: ignore[attr-defined]
    made = [send(there, (Leg(call(k), 1),), 1, 500) for k in (600, 601, 602)]
    assert [m.filled for m in made] == [0, 1, 0]  # no ask; no bid does not hinder a buyer; crossed


def test_level_2_has_no_spreads() -> None:
    there = venue(level=2)
    assert not isinstance(send(there, LONG), Denied)
    assert send(there, VERTICAL) == Denied(403, 40310000, "account not eligible for level 3 options trading")


def test_buying_power_counts_the_worst_of_an_unbalanced_fly() -> None:
    # 1:-3:2 with w1 = 3, w2 = 2: (2 × 2 - 3) × 100 = 100 dollars of margin a unit, as the reference says.
    there = venue(cash_cents=100_00)
    made = send(there, UNBALANCED, 1, -5)
    assert not isinstance(made, Denied)
    assert there.buying_power() == 100_00 - (100 - 5) * 100
    assert isinstance(send(there, UNBALANCED, 1, -5), Denied)


@pytest.mark.parametrize(
    "body",
    [
        {"qty": "1.5"},
        {"qty": "0"},
        {"qty": None},
        {"type": "stop"},
        {"time_in_force": "gtc"},
        {"limit_price": "1.005"},
        {"limit_price": "x"},
        {"limit_price": None},
        {"symbol": "QQQ"},
        {"side": "hold"},
        {"order_class": "mleg"},
        {"notional": "5"},
        {"client_order_id": "x" * 129},
        {"client_order_id": 5},
    ],
    ids=str,
)
def test_requests_without_sense_are_422(body: dict[str, Any]) -> None:
    good = {"symbol": call(600).name, "qty": "1", "side": "buy", "type": "limit", "limit_price": "1",
            "time_in_force": "day"}  # fmt: skip
    denied = venue().submit({**good, **body})
    assert isinstance(denied, Denied)
    assert denied.status == 422


# --- its own books


@pytest.mark.parametrize("seed", range(20))
def test_its_cash_and_positions_are_those_of_its_fills(seed: int) -> None:
    rng = Random(seed)
    there = venue(seed=seed, faults=Faults(FaultRates(partial=0.5, cancel_race=0.5), seed))
    packages = {}
    for step in range(40):
        legs = rng.choice([LONG, VERTICAL, FLY, reverse(VERTICAL), UNBALANCED])
        made = send(
            there, legs, rng.randint(1, 12), rng.choice([None, 5, 9, 100, -90]) if len(legs) > 1 else None
        )
        if not isinstance(made, Denied):
            packages[made.client_id] = legs
            if rng.random() < 0.4:
                there.cancel(made.id)
        there.advance(TEN + step * SECOND)
        assert covered(there.held)
    cash, held = 0, Counter[Contract]()
    for name, _, units, prices in there.fills:
        for leg, price in zip(packages[name], prices, strict=True):
            cash -= leg.ratio * units * price * 100
            held[leg.contract] += leg.ratio * units
    assert there.cash_cents - there.start_cents == cash
    assert {c: n for c, n in held.items() if n} == there.held
    told = Counter[str]()
    for event in there.events:
        told[event["order"]["id"]] += int(event.get("qty", 0))
    assert told == {made.id: made.filled for made in there.orders.values()}
    assert len(there.fills) > 10


# --- faults


def test_same_seed_same_faults_and_one_kind_does_not_move_another() -> None:
    rates = FaultRates(partial=0.3, drop_event=0.3)
    plain, mixed = Faults(rates, 5), Faults(rates, 5)
    alone = [plain.hit("partial") for _ in range(50)]
    beside = []
    for _ in range(50):
        mixed.hit("drop_event")
        beside.append(mixed.hit("partial"))
    assert alone == beside
    assert 5 < sum(alone) < 25


def test_faults_asked_for_come_when_asked_for() -> None:
    faults = Faults()
    faults.ask("cut", after=1, times=2)
    assert [faults.hit("cut") for _ in range(5)] == [False, True, True, False, False]
    assert set(FaultRates.model_fields) == set(get_args(Fault))
    with pytest.raises(ConfigError, match="fault 'earthquake' is not known"):
        faults.ask("earthquake")  # type: ignore[arg-type]
