"""Densities against definitions.md, hand-made triangles, and a twin that integrates over a grid."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maxlib.core.errors import InvariantError
from maxlib.options.density import Density, Lognormal, Piecewise, expected, lognormal, probability
from maxlib.options.payoff import knees, outcome, profit_intervals
from maxlib.options.pricing import bsm
from tests.options.packages import package, paid

ONE_DAY = lognormal(600.0, 1 / 252, 0.18)
FLY = package((1, 600), (-2, 605), (1, 610))
TRIANGLE = Piecewise(np.array([90.0, 100.0, 110.0]), np.array([0.0, 0.1, 0.0]), 100.0)


def test_the_checked_odds_and_values_of_definitions() -> None:
    """POP, EV, vertical and straddle at S = 600, σ = 0.18, one session, r = q = 0."""
    assert round(expected(ONE_DAY, FLY), 6) == 1.086420
    assert round(expected(ONE_DAY, FLY) - 1.00, 6) == 0.086420
    assert outcome(FLY, 100).breakevens == (601.0, 609.0)
    assert round(probability(ONE_DAY, profit_intervals(knees(FLY), 100)), 6) == 0.345752
    assert round(expected(ONE_DAY, package((1, 600), (-1, 605))), 6) == 1.789671
    straddle = package((1, 600)) + package((1, 600), right="P")
    assert round(expected(ONE_DAY, straddle), 4) == 5.4283


@pytest.mark.parametrize("right", ["C", "P"])
@pytest.mark.parametrize(("rate", "dividend"), [(0.0, 0.0), (0.10, 0.0), (0.08, 0.03)])
def test_the_lognormal_prices_single_options_as_the_model_does(
    right: str, rate: float, dividend: float
) -> None:
    density = lognormal(42.0, 0.5, 0.2, rate, dividend)
    for strike in (30.0, 40.0, 42.0, 55.0):
        price = density.discount * expected(density, package((1, strike), right=right))
        assert price == pytest.approx(bsm(right, 42.0, strike, 0.5, 0.2, rate, dividend), abs=1e-12)


def test_without_volatility_all_lies_at_the_forward() -> None:
    sure = lognormal(600.0, 0.0, 0.18)
    assert sure.below(600.0) == (0.0, 0.0)
    assert sure.below(600.01) == (1.0, 600.0)
    assert expected(sure, package((1, 590))) == 10.0


@pytest.mark.parametrize("density", [ONE_DAY, TRIANGLE])
def test_everything_lies_between_nothing_and_infinity(density: Density) -> None:
    assert density.below(0.0) == (0.0, 0.0)
    assert density.below(math.inf) == (1.0, density.mean)
    assert probability(density, [(0.0, 95.0), (95.0, math.inf)]) == 1.0
    assert probability(density, []) == 0.0


def test_a_triangle_by_hand() -> None:
    # f = 0.1·(1 − |x|/10) around 100. P(S<95) = 5·0.05/2. E[(S−100)+] = ∫ x·0.1·(1 − x/10) = 5 − 10/3.
    assert TRIANGLE.below(95.0)[0] == pytest.approx(0.125, abs=1e-15)
    assert expected(TRIANGLE, package((1, 100))) == pytest.approx(5 - 10 / 3, abs=1e-13)
    # The part of it below 105 only: ∫₀⁵ x·0.1·(1 − x/10) = 1.25 − 5/12.
    assert expected(TRIANGLE, package((1, 100)), 0.0, 105.0) == pytest.approx(1.25 - 5 / 12, abs=1e-13)
    assert expected(TRIANGLE, package((1, 100)), 110.0) == 0.0


Floats = NDArray[np.float64]


def slowly(heights: Floats, x: Floats, legs: tuple, low: float = 0.0, high: float = math.inf) -> float:  # type: ignore[type-arg]
    """Expected payoff by trapezia over a fine grid of prices in dollars."""
    pay = np.zeros_like(x)
    for leg in legs:
        above = x - leg.contract.strike
        pay += leg.ratio * np.maximum(0.0, above if leg.contract.right == "C" else -above)
    return float(np.trapezoid(np.where((low <= x) & (x <= high), heights * pay, 0.0), x))


legs = st.lists(
    st.tuples(st.integers(-3, 3).filter(bool), st.integers(585, 615), st.sampled_from("CP")),
    min_size=1,
    max_size=4,
).map(lambda found: sum((package((n, k), right=right) for n, k, right in found), ()))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(legs, st.integers(590, 605), st.integers(606, 640))
def test_a_grid_of_prices_gives_the_same_lognormal_expectation(legs: tuple, low: int, high: int) -> None:  # type: ignore[type-arg]
    x = np.linspace(500.0, 700.0, 100_001)
    deviation = ONE_DAY.deviation
    z = np.log(x / 600.0) / deviation + deviation / 2
    heights = np.exp(-0.5 * z * z) / (x * deviation * math.sqrt(2 * math.pi))
    assert expected(ONE_DAY, legs) == pytest.approx(slowly(heights, x, legs), abs=1e-6)
    # The grid's points cut an edge with a payoff of up to 100 half a step away.
    assert expected(ONE_DAY, legs, low, high) == pytest.approx(slowly(heights, x, legs, low, high), abs=2e-2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=12).filter(lambda f: sum(f) > 0.1), legs)
def test_a_grid_of_prices_gives_the_same_piecewise_expectation(raw: list[float], legs: tuple) -> None:  # type: ignore[type-arg]
    density = piecewise(raw)
    x = np.linspace(580.0, 620.0, 80_001)
    heights = np.interp(x, density.nodes, density.heights)
    assert expected(density, legs) == pytest.approx(slowly(heights, x, legs), abs=1e-4)
    for level in (584.3, 600.0, 611.7):
        mass, moment = density.below(level)
        under = x <= level
        assert mass == pytest.approx(np.trapezoid(np.where(under, heights, 0.0), x), abs=1e-3)
        assert moment == pytest.approx(np.trapezoid(np.where(under, heights * x, 0.0), x), abs=0.6)


def piecewise(raw: list[float]) -> Piecewise:
    """Lines between uneven nodes over 580 to 620, with mass 1."""
    nodes = 580 + 40 * np.linspace(0.0, 1.0, len(raw) + 2) ** 1.5
    heights = np.array([0.0, *raw, 0.0])
    heights /= np.trapezoid(heights, nodes)
    x = np.linspace(580.0, 620.0, 400_001)
    mean = float(np.trapezoid(np.interp(x, nodes, heights) * x, x))
    return Piecewise(nodes, heights, mean)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=12).filter(lambda f: sum(f) > 0.1),
    st.integers(585, 615),
    st.integers(1, 5),
)
def test_parity_and_no_arbitrage_hold_in_any_density(raw: list[float], strike: int, width: int) -> None:
    for density in (piecewise(raw), ONE_DAY):
        call, put = (expected(density, package((1, strike), right=right)) for right in "CP")
        assert call - put == pytest.approx(density.mean - strike, abs=1e-9)
        pairs = ((1, strike), (-2, strike + width), (1, strike + 2 * width))
        calls, puts = package(*pairs), package(*pairs, right="P")
        assert expected(density, calls) >= -1e-12
        assert expected(density, calls) == pytest.approx(expected(density, puts), abs=1e-9)
        assert paid(calls, 100 * (strike + width)) == 100 * width


@pytest.mark.parametrize(
    ("heights", "mean", "says"),
    [
        ([0.0, 0.11, -0.01, 0.0], 100.0, "lowest -0.01"),
        ([0.1, 0.05, 0.05, 0.0], 100.0, "heights from 0.1"),
        ([0.0, 0.05, 0.04, 0.0], 100.0, "mass 0.9"),
        ([0.0, 0.05, 0.05, 0.0], 100.0, "must be 1 and 100"),
        ([0.0, math.nan, 0.05, 0.0], 100.0, "lowest nan"),
    ],
)
def test_what_is_no_density_is_not_made_one(heights: list[float], mean: float, says: str) -> None:
    with pytest.raises(InvariantError, match=says):
        Piecewise(np.array([90.0, 100.0, 110.0, 120.0]), np.array(heights), mean)


def test_a_density_is_a_density_whatever_made_it() -> None:
    for density in (Lognormal(100.0, 0.05, 1.0), TRIANGLE):
        levels = [density.below(x)[0] for x in range(80, 121)]
        assert levels == sorted(levels)
