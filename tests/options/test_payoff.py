"""Payoffs against the list of definitions.md and against a twin that looks at every cent."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote
from maxlib.options.payoff import (
    Premium,
    Unpriced,
    knees,
    largest_loss,
    outcome,
    premium,
    profit_intervals,
    value_at_expiry,
)
from tests.options.packages import contract, package, paid

CHECKED = [
    # definitions.md, "Payoffs per share": package, debit, max loss, max gain, breakevens
    (package((1, 600)), 220, 220, None, (602.20,)),
    (package((1, 600), (-1, 605)), 220, 220, 280, (602.20,)),
    (package((1, 600), (-2, 605), (1, 610)), 100, 100, 400, (601.0, 609.0)),
    (package((1, 600), (-3, 606), (2, 609)), 100, 100, 500, (601.0, 608.50)),
    (package((1, 600), (-3, 605), (2, 610)), 100, 600, 400, (601.0, 607.0)),  # equal wings
    # For the credit of 0.20 nothing is lost below 600: the only breakeven is above.
    (package((1, 600), (-2, 605), (1, 612)), -20, 180, 520, (610.20,)),
]


@pytest.mark.parametrize(("legs", "debit", "loss", "gain", "breakevens"), CHECKED)
def test_the_checked_numbers_of_definitions(
    legs: tuple[Leg, ...], debit: int, loss: int, gain: int | None, breakevens: tuple[float, ...]
) -> None:
    assert outcome(legs, debit) == (loss, gain, breakevens)


@pytest.mark.parametrize(("legs", "debit", "loss", "gain", "breakevens"), CHECKED)
def test_puts_mirrored_at_600_give_the_same_bounds(
    legs: tuple[Leg, ...], debit: int, loss: int, gain: int | None, breakevens: tuple[float, ...]
) -> None:
    puts = tuple(Leg(contract(1200 - leg.contract.strike, "P"), leg.ratio) for leg in legs)
    # A put cannot gain more than its strike.
    assert outcome(puts, debit) == (
        loss,
        60_000 - debit if gain is None else gain,
        pytest.approx(tuple(1200 - b for b in reversed(breakevens))),
    )


def test_a_naked_call_loses_without_bound() -> None:
    assert outcome(package((-1, 600)), -300) == (None, 300, (603.0,))
    assert outcome(package((1, 600), (-2, 605)), 100) == (None, 400, (601.0, 609.0))


def test_a_naked_put_loses_its_strike_at_most() -> None:
    assert outcome(package((-1, 600), right="P"), -300) == (59_700, 300, (597.0,))


def test_a_straddle_has_two_breakevens_and_profits_outside_them() -> None:
    straddle = package((1, 600)) + package((1, 600), right="P")
    assert outcome(straddle, 543) == (543, None, (594.57, 605.43))
    assert profit_intervals(knees(straddle), 543) == ((0.0, 594.57), (605.43, math.inf))


def test_a_free_fly_profits_between_its_wings_only() -> None:
    free = package((1, 600), (-2, 605), (1, 610))
    assert outcome(free, 0) == (0, 500, (600.0, 610.0))


def test_a_range_without_profit_or_without_loss_has_no_breakeven() -> None:
    fly = package((1, 600), (-2, 605), (1, 610))
    assert outcome(fly, 500) == (500, 0, ())
    assert outcome(fly, -1) == (-1, 501, ())
    assert profit_intervals(knees(fly), -1) == ((0.0, math.inf),)


def test_two_hills_with_a_valley_at_zero_touch_in_one_breakeven() -> None:
    # 600/605/610 and 610/615/620 for nothing: at 610 exactly nothing is gained.
    hills = package((1, 600), (-2, 605), (2, 610), (-2, 615), (1, 620))
    assert profit_intervals(knees(hills), 0) == ((600.0, 610.0), (610.0, 620.0))
    assert outcome(hills, 0).breakevens == (600.0, 610.0, 620.0)


small = st.integers(1, 40)
leg = st.builds(
    lambda right, strike, ratio: Leg(Contract("X", 0, right, strike), ratio),
    st.sampled_from("CP"),
    small,
    st.integers(-3, 3).filter(bool),
)
packages = st.lists(leg, min_size=1, max_size=5).map(tuple)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(packages, st.integers(-60, 60))
def test_every_cent_agrees_with_a_twin_that_only_looks(legs: tuple[Leg, ...], debit: int) -> None:
    grid = range(200)
    profits = [paid(legs, x) - debit for x in grid]
    intervals = profit_intervals(knees(legs), debit)
    for x, profit in zip(grid, profits, strict=True):
        assert value_at_expiry(legs, x) - debit == profit
        if profit:  # at 0 the cent is a breakeven itself
            assert any(low < x / 100 < high or low == x / 100 == 0 for low, high in intervals) == (profit > 0)
    # Beyond the last strike the line is straight: it falls, or its least and greatest have been seen.
    rise = profits[-1] - profits[-2]
    loss, gain, breakevens = outcome(legs, debit)
    assert loss == (None if rise < 0 else -min(profits))
    assert gain == (None if rise > 0 else max(profits))
    assert largest_loss(knees(legs), debit) == loss
    assert breakevens == tuple(sorted(set(breakevens)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 500), st.integers(1, 200), st.integers(1, 5))
def test_a_long_fly_never_pays_less_than_nothing_and_calls_pay_what_puts_pay(
    low: int, width: int, ratio: int
) -> None:
    pairs = ((ratio, low), (-2 * ratio, low + width), (ratio, low + 2 * width))
    calls, puts = package(*pairs), package(*pairs, right="P")
    for x in range(0, 100 * (low + 3 * width), 97):
        assert value_at_expiry(calls, x) == value_at_expiry(puts, x) >= 0
    assert outcome(calls, 0) == outcome(puts, 0)


# --- prices


def quotes(**sides: tuple[int | None, int | None]) -> dict[Contract, Quote]:
    """Quotes of calls by strike: k600=(bid, ask)."""
    found = {}
    for name, (bid, ask) in sides.items():
        what = contract(int(name[1:]))
        found[what] = Quote(what, 0, bid, ask, None, None, modelled=False)
    return found


FLY = package((1, 600), (-2, 605), (1, 610))


def test_opening_pays_the_ask_and_gets_the_bid() -> None:
    book = quotes(k600=(310, 320), k605=(100, 104), k610=(18, 21))
    # 320 - 2·100 + 21; spreads 10 + 2·4 + 3.
    assert premium(FLY, book.get) == Premium(141, 21)


def test_a_credit_is_a_debit_below_nothing() -> None:
    assert premium(package((-1, 600), (1, 605)), quotes(k600=(310, 320), k605=(100, 104)).get) == (-206, 14)


def test_a_bought_wing_needs_no_bid() -> None:
    book = quotes(k600=(310, 320), k605=(100, 104), k610=(None, 3))
    assert premium(FLY, book.get) == Premium(123, 21)


@pytest.mark.parametrize(
    ("strike", "side", "code"),
    [
        (605, None, "NO_QUOTE"),
        (610, (18, None), "NO_ASK"),
        (605, (100, None), "NO_ASK"),  # sold, but it must be bought back
        (605, (None, 104), "NO_BID"),
        (605, (0, 104), "NO_BID"),
        (600, (321, 320), "CROSSED"),
    ],
)
def test_a_leg_that_cannot_be_dealt_in_is_named(
    strike: int, side: tuple[int | None, int | None] | None, code: str
) -> None:
    book = quotes(k600=(310, 320), k605=(100, 104), k610=(18, 21))
    del book[contract(strike)]
    if side is not None:
        book |= quotes(**{f"k{strike}": side})
    assert premium(FLY, book.get) == Unpriced(code, contract(strike))  # type: ignore[arg-type]
