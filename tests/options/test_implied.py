"""Implied volatility against fifty digits, and the cases in which there is none to know."""

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.options.implied import (
    ROUNDING_TOLERANCE,
    TICK_TOLERANCE,
    Reason,
    implied,
    implied_all,
    implied_interval,
)
from maxlib.options.pricing import prices
from tests.options import exact as digits

# Largest relative error out of the money: what the docstring of implied states.
STATED = {
    "390 to 45 days": 1e-14,
    "45 days to 1 day": 4e-14,
    "390 to 31 minutes": 2e-13,
    "30 minutes to 1": 6e-13,
}


def assert_errors_within_the_stated(region: str, every: int) -> None:
    cases = digits.grid(region, every)
    sign, spot, strike, t, sigma, rate, dividend = digits.columns(cases)
    price = np.array([float(digits.greeks(case)[0]) for case in cases])
    forward, discount = spot * np.exp((rate - dividend) * t), np.exp(-rate * t)
    found, reason = implied_all(sign, price, forward, strike, t, discount)
    errors = np.abs(found / sigma - 1.0)
    outside = sign * (forward - strike) <= 0.0
    known = reason == Reason.OK
    assert errors[outside & known].max() <= STATED[region]
    assert errors[~outside & known].max() <= ROUNDING_TOLERANCE
    assert (known == np.isfinite(found)).all()
    assert (known | (price < 1e-290))[outside].all()  # a cheap option is as good as a dear one


@pytest.mark.parametrize("region", STATED)
def test_errors_of_answered_volatilities_stay_within_the_stated_ones(region: str) -> None:
    assert_errors_within_the_stated(region, every=23)


@pytest.mark.slow
@pytest.mark.parametrize("region", STATED)
def test_errors_of_answered_volatilities_stay_within_the_stated_ones_on_the_full_grid(region: str) -> None:
    assert_errors_within_the_stated(region, every=1)


def test_a_price_of_ours_gives_its_volatility_back_wherever_it_is_determined() -> None:
    rng = np.random.default_rng(3)
    count = 40_000
    spot = 600.0 + rng.normal(0.0, 2.0, count)
    strike = np.round(spot) + rng.integers(-12, 13, count)
    strike[::10] = np.round(spot[::10] * rng.uniform(0.5, 1.5, len(spot[::10])))
    t = np.where(
        rng.random(count) < 0.5, rng.integers(1, 391, count) / 98_280, rng.integers(1, 46, count) / 252
    )
    sigma, rate = rng.uniform(0.05, 3.0, count), rng.choice([0.0, 0.05], count)
    sign = rng.choice([-1.0, 1.0], count)
    price = prices(sign, spot, strike, t, sigma, rate)
    found, reason = implied_all(sign, price, spot * np.exp(rate * t), strike, t, np.exp(-rate * t))
    known = reason == Reason.OK
    assert known.mean() > 0.8
    assert np.abs(found[known] / sigma[known] - 1.0).max() <= 1e-9


# --- when a price does not determine a volatility -------------------------------------------------

ZERO_DTE = [
    (sign, 600.0, float(strike), minutes / 98_280, sigma)
    for minutes, sigma, strike, sign in itertools.product(
        (390, 180, 60, 30, 15, 5, 2, 1), (0.08, 0.15, 0.3, 0.6), range(588, 613), (1.0, -1.0)
    )
]
"""The 0DTE grid of performance.md: 390 to 1 minute, 12 strikes each way, 0.08 to 0.6; 1,600 cases."""


def known_to(sign: float, price: float, forward: float, strike: float) -> float:
    """Rounding of a price, as the docstring defines it."""
    inside = sign * (forward - strike) > 0.0
    return 2.0**-52 * (max(price, forward, strike) if inside else price)


def test_the_0dte_grid_is_answered_exactly_where_fifty_digits_say_that_it_can_be() -> None:
    assert len(ZERO_DTE) == 1_600
    undetermined = answered = 0
    for sign, forward, strike, t, sigma in ZERO_DTE:
        exact, vega = digits.undiscounted(sign, forward, strike, t, mpmath.mpf(sigma))
        price = float(exact)
        found = implied("C" if sign > 0 else "P", price, forward, strike, t)
        where = (sign, strike, t, sigma, found)
        if price < 1e-290:
            assert math.isnan(found.sigma), where
            undetermined += 1
            continue
        uncertainty = float(known_to(sign, price, forward, strike) / (vega * sigma)) if vega > 0 else math.inf
        if uncertainty > 1.02 * ROUNDING_TOLERANCE:
            assert math.isnan(found.sigma), where
            assert found.reason == Reason.NOT_DETERMINED, where
            undetermined += 1
        elif uncertainty < 0.98 * ROUNDING_TOLERANCE:
            assert found.reason == Reason.OK, where
            assert abs(found.sigma / sigma - 1.0) <= ROUNDING_TOLERANCE, where
            answered += 1
    assert undetermined + answered >= 1_598  # hardly any case lies on the border
    assert undetermined > 300


def test_of_a_rounded_price_the_answer_stands_if_all_its_volatilities_are_near() -> None:
    """Prices rounded to a cent: the exact interval of volatilities decides, found in fifty digits."""
    half = 0.005
    reasons = set()
    for sign, forward, strike, t, sigma in ZERO_DTE[::7]:
        price = round(float(digits.undiscounted(sign, forward, strike, t, mpmath.mpf(sigma))[0]), 2)
        if price == 0.0:
            continue
        found = implied("C" if sign > 0 else "P", price, forward, strike, t, half_tick=half)
        interval = implied_interval("C" if sign > 0 else "P", price, forward, strike, t, half_tick=half)
        middle = implied("C" if sign > 0 else "P", price, forward, strike, t).sigma
        reasons.add(found.reason)
        for end, to in ((interval.low, price - half), (interval.high, price + half)):
            if 0.0 < end < math.inf:
                there = digits.undiscounted(sign, forward, strike, t, mpmath.mpf(end))[0]
                assert abs(float(there - to)) < 1e-12
        if found.reason == Reason.OK:
            assert interval.low >= (1.0 - TICK_TOLERANCE) * found.sigma
            assert interval.high <= (1.0 + TICK_TOLERANCE) * found.sigma
        elif not math.isnan(middle):
            near = (1.0 - TICK_TOLERANCE) * middle <= interval.low and interval.high <= (
                1.0 + TICK_TOLERANCE
            ) * middle
            assert not near
    assert reasons == {Reason.OK, Reason.NOT_DETERMINED}


def test_the_deep_call_of_definitions_md_has_no_volatility() -> None:
    """Its time value is a thousandth of a cent's rounding: other programs return 0.1874 or raise."""
    assert implied("C", 20.01, 600.0, 580.0, 60 / 98_280, half_tick=0.005).reason == Reason.NOT_DETERMINED
    price = float(digits.undiscounted(1.0, 600.0, 580.0, 60 / 98_280, mpmath.mpf(0.18))[0])
    assert implied("C", price, 600.0, 580.0, 60 / 98_280).reason == Reason.NOT_DETERMINED


@pytest.mark.parametrize(
    ("right", "price", "forward", "strike", "t", "discount", "half_tick", "reason"),
    [
        ("C", 1.0, 600.0, 600.0, 0.0, 1.0, 0.0, Reason.EXPIRED),
        ("C", 1.0, 600.0, 600.0, -1.0, 1.0, 0.0, Reason.EXPIRED),
        ("C", 1.0, 600.0, 600.0, math.nan, 1.0, 0.0, Reason.EXPIRED),
        ("P", 0.0, 600.0, 600.0, 0.01, 1.0, 0.005, Reason.NO_PRICE),
        ("P", -1.0, 600.0, 600.0, 0.01, 1.0, 0.0, Reason.NO_PRICE),
        ("P", math.nan, 600.0, 600.0, 0.01, 1.0, 0.0, Reason.NO_PRICE),
        ("P", math.inf, 600.0, 600.0, 0.01, 1.0, 0.0, Reason.NO_PRICE),
        ("P", 1.0, 0.0, 600.0, 0.01, 1.0, 0.0, Reason.NO_PRICE),
        ("P", 1.0, 600.0, -5.0, 0.01, 1.0, 0.0, Reason.NO_PRICE),
        ("P", 1.0, 600.0, 600.0, 0.01, 0.0, 0.0, Reason.NO_PRICE),
        ("C", 19.9, 600.0, 580.0, 0.01, 1.0, 0.005, Reason.BELOW_INTRINSIC),
        ("C", 19.996, 600.0, 580.0, 0.01, 1.0, 0.005, Reason.NOT_DETERMINED),  # 20.00 is within the tick
        ("C", 20.0, 600.0, 580.0, 0.01, 1.0, 0.0, Reason.NOT_DETERMINED),
        ("C", 19.9, 600.0, 580.0, 0.01, 0.99, 0.0, Reason.OK),  # the intrinsic value is discounted
        ("C", 600.1, 600.0, 580.0, 0.01, 1.0, 0.0, Reason.ABOVE_BOUND),
        ("P", 580.1, 600.0, 580.0, 0.01, 1.0, 0.005, Reason.ABOVE_BOUND),
        ("P", 580.0, 600.0, 580.0, 0.01, 1.0, 0.0, Reason.NOT_DETERMINED),
        ("P", 0.004, 600.0, 590.0, 0.01, 1.0, 0.005, Reason.NOT_DETERMINED),
        ("C", 3.0, 600.0, 600.0, 0.01, 1.0, 0.005, Reason.OK),
    ],
)
def test_the_reason_is_given_one_by_one_and_in_columns(
    right: str, price: float, forward: float, strike: float, t: float,
    discount: float, half_tick: float, reason: Reason,
) -> None:  # fmt: skip
    arguments: tuple[Any, ...] = (right, price, forward, strike, t, discount, half_tick)
    found = implied(*arguments)
    assert found.reason is reason
    assert math.isnan(found.sigma) == (reason is not Reason.OK)
    sigma, reasons = implied_all(*arguments)
    assert (reasons.dtype, int(reasons)) == (np.int8, int(reason))
    assert float(sigma) == found.sigma or math.isnan(found.sigma)


@pytest.mark.parametrize("wrong", ["c", "X", "", None, 1])
def test_a_right_that_is_neither_is_refused_in_a_sentence(wrong: Any) -> None:
    for function in (implied, implied_interval):
        with pytest.raises(DataError, match=r"^a right is .*, neither C nor P$"):
            function(wrong, 3.0, 600.0, 600.0, 0.01)
        with pytest.raises(DataError, match=r"^a right is"):  # even where there is no price to look at
            function(wrong, math.nan, 600.0, 600.0, 0.01)


def test_every_reason_has_a_sentence() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)


def test_at_the_money_the_first_guess_is_no_limit() -> None:
    for sigma, t in itertools.product((0.01, 0.2, 3.0, 20.0), (1 / 98_280, 0.01, 1.0)):
        if sigma * math.sqrt(t) > 9.0:
            continue  # the price is the forward, to the last digit
        price = float(digits.undiscounted(1.0, 600.0, 600.0, t, mpmath.mpf(sigma))[0])
        assert implied("C", price, 600.0, 600.0, t).sigma == pytest.approx(sigma, rel=1e-9)


def test_plain_python_and_columns_agree_to_the_bit() -> None:
    cases = digits.grid("45 days to 1 day", 11)
    sign, forward, strike, t, sigma, *_ = digits.columns(cases)
    price = prices(sign, forward, strike, t, sigma)
    for half in (0.0, 0.005):
        found, reason = implied_all(sign, price, forward, strike, t, 1.0, half, jobs=2)
        plain = [
            implied("C" if c.sign > 0 else "P", p, c.spot, c.strike, c.t, 1.0, half)
            for c, p in zip(cases, price.tolist(), strict=True)
        ]
        assert np.array([p.sigma for p in plain]).tobytes() == found.tobytes()
        assert [int(p.reason) for p in plain] == reason.tolist()


@pytest.mark.parametrize(
    ("price", "low", "high"),
    [(19.99, math.nan, math.nan), (20.0, 0.0, 0.2), (601.0, math.nan, math.nan), (600.0, 3.0, math.inf)],
)
def test_an_interval_is_open_where_the_price_sets_no_bound(price: float, low: float, high: float) -> None:
    found = implied_interval("C", price, 600.0, 580.0, 60 / 98_280, half_tick=0.005)
    if math.isnan(low):
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    else:
        assert found.low == low or (low > 0.0 and found.low > low)
        assert found.high == high or (high < math.inf and 0.0 < found.high < 2.0)
