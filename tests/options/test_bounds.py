"""Bounds of European and American prices: hand computations, and prices of a tree."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.options.bounds import Bounds, american, european, european_on_forward
from maxlib.options.pricing import bsm


def test_a_european_put_may_be_worth_less_than_exercise() -> None:
    """Hull: spot 37, strike 40, half a year, 5 %: 40 exp(-0.025) - 37 = 2.01."""
    held, free = european("P", 37.0, 40.0, 0.5, 0.05), american("P", 37.0, 40.0, 0.5, 0.05)
    assert round(held.low, 4) == 2.0124
    assert free == Bounds(3.0, 40.0)
    assert held.admit(2.5)
    assert not free.admit(2.5)


def test_a_european_call_with_a_yield_may_be_worth_less_than_exercise() -> None:
    held, free = european("C", 600.0, 500.0, 1.0, 0.0, 0.05), american("C", 600.0, 500.0, 1.0, 0.0, 0.05)
    assert held.low == pytest.approx(600.0 * math.exp(-0.05) - 500.0)
    assert held.high == pytest.approx(600.0 * math.exp(-0.05))
    assert free == Bounds(100.0, 600.0)


def test_without_a_yield_an_american_call_is_worth_what_holding_it_is() -> None:
    assert american("C", 600.0, 580.0, 0.1, 0.05).low == european("C", 600.0, 580.0, 0.1, 0.05).low > 20.0


def test_forward_and_spot_give_the_same_bounds() -> None:
    forward, discount = 600.0 * math.exp((0.05 - 0.01) * 0.3), math.exp(-0.05 * 0.3)
    for right in "CP":
        assert european_on_forward(right, forward, 610.0, discount) == pytest.approx(
            european(right, 600.0, 610.0, 0.3, 0.05, 0.01)
        )


def test_a_half_tick_widens_the_bounds() -> None:
    bounds = american("C", 600.0, 580.0, 0.0)
    assert not bounds.admit(19.996)
    assert bounds.admit(19.996, half_tick=0.005)
    assert not bounds.admit(600.1, half_tick=0.005)
    assert not bounds.admit(math.nan)


def tree(
    right: str, spot: float, strike: float, t: float, sigma: float, rate: float, dividend: float
) -> float:
    """American price by Cox, Ross and Rubinstein's tree with 60 steps."""
    steps, sign = 60, 1.0 if right == "C" else -1.0
    up = math.exp(sigma * math.sqrt(t / steps))
    chance = (math.exp((rate - dividend) * t / steps) - 1.0 / up) / (up - 1.0 / up)
    discount = math.exp(-rate * t / steps)
    worth = [max(0.0, sign * (spot * up ** (2 * k - steps) - strike)) for k in range(steps + 1)]
    for step in range(steps - 1, -1, -1):
        for k in range(step + 1):
            held = discount * (chance * worth[k + 1] + (1.0 - chance) * worth[k])
            worth[k] = max(held, sign * (spot * up ** (2 * k - step) - strike))
    return worth[0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from("CP"), st.floats(80.0, 120.0), st.floats(0.01, 1.0), st.floats(0.1, 0.8),
    st.floats(0.0, 0.08), st.floats(0.0, 0.08),
)  # fmt: skip
def test_prices_lie_within_their_bounds(
    right: str, spot: float, t: float, sigma: float, rate: float, dividend: float
) -> None:
    case = (right, spot, 100.0, t, sigma, rate, dividend)
    assert european(right, spot, 100.0, t, rate, dividend).admit(bsm(*case), 1e-9)
    assert american(right, spot, 100.0, t, rate, dividend).admit(tree(*case), 1e-9)


def test_a_european_bound_would_let_through_an_american_put_under_its_exercise_value() -> None:
    case = ("P", 60.0, 100.0, 1.0, 0.2, 0.08, 0.0)
    assert tree(*case) == pytest.approx(40.0)  # exercised at once
    european_price = bsm(*case)
    assert european_price < 35.0
    assert european("P", 60.0, 100.0, 1.0, 0.08).admit(european_price)
    assert not american("P", 60.0, 100.0, 1.0, 0.08).admit(european_price)
