"""Black-Scholes-Merton against textbooks, parity, and fifty digits."""

import math
from typing import Any

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.options.pricing import bsm, intrinsic, years

TEXTBOOK = [
    # right, S, K, T, sigma, r, q, price: definitions.md ("Options"), where QuantLib agrees
    ("C", 42, 40, 0.5, 0.20, 0.10, 0.0, 4.759422),  # Hull
    ("P", 42, 40, 0.5, 0.20, 0.10, 0.0, 0.808599),
    ("C", 60, 65, 0.25, 0.30, 0.08, 0.0, 2.133368),  # Haug
    ("P", 100, 95, 0.5, 0.20, 0.10, 0.05, 2.464788),  # Haug, with a yield
    ("C", 930, 900, 2 / 12, 0.20, 0.08, 0.03, 51.832957),  # Hull, index
]


@pytest.mark.parametrize(("right", "spot", "strike", "t", "sigma", "rate", "dividend", "price"), TEXTBOOK)
def test_textbook_prices(right: str, spot: float, strike: float, t: float, sigma: float, rate: float,
                         dividend: float, price: float) -> None:  # fmt: skip
    assert round(bsm(right, spot, strike, t, sigma, rate, dividend), 6) == price


def test_the_two_clocks_of_definitions_md_price_a_session_differently() -> None:
    calendar, trading = 390 / 525_600, 390 / (252 * 390)
    assert round(bsm("C", 600, 600, calendar, 0.18, 0.04, 0.005), 6) == 1.181436
    assert round(bsm("C", 600, 600, trading, 0.18, 0.04, 0.005), 6) == 2.755758
    assert years(390) == trading


def exact(
    right: str, spot: float, strike: float, t: float, sigma: float, rate: float, dividend: float
) -> Any:
    """The formula in fifty digits, with the normal distribution's own function."""
    with mpmath.workdps(50):
        s, k, tt, v, r, q = (mpmath.mpf(x) for x in (spot, strike, t, sigma, rate, dividend))
        d1 = (mpmath.log(s / k) + (r - q + v * v / 2) * tt) / (v * mpmath.sqrt(tt))
        d2 = d1 - v * mpmath.sqrt(tt)
        sign = 1 if right == "C" else -1
        now, later = s * mpmath.exp(-q * tt), k * mpmath.exp(-r * tt)
        return sign * (now * mpmath.ncdf(sign * d1) - later * mpmath.ncdf(sign * d2))


@pytest.mark.parametrize("right", ["C", "P"])
@pytest.mark.parametrize("minutes", [1, 15, 60, 390])
def test_fifty_digits_agree_to_a_millionth_of_a_millionth_of_the_spot(right: str, minutes: int) -> None:
    worst = max(
        abs(bsm(*case) - exact(*case))
        for strike in (540.0, 588.0, 597.0, 600.0, 600.5, 612.0, 660.0)
        for sigma in (0.08, 0.2, 0.6)
        for rate, q in ((0.0, 0.0), (0.04, 0.005))
        for case in [(right, 600.0, strike, years(minutes), sigma, rate, q)]
    )
    assert worst < 600.0 * 1e-12


prices = st.floats(10.0, 1000.0)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(prices, prices, st.floats(1, 390), st.floats(0.01, 2.0), st.floats(0.0, 0.1), st.floats(0.0, 0.1))
def test_put_call_parity(
    spot: float, strike: float, minutes: float, sigma: float, rate: float, q: float
) -> None:
    t = years(minutes)
    call, put = (bsm(right, spot, strike, t, sigma, rate, q) for right in "CP")
    assert call - put == pytest.approx(spot * math.exp(-q * t) - strike * math.exp(-rate * t), abs=1e-9)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(prices, prices, st.floats(1, 390), st.floats(0.01, 2.0))
def test_a_price_lies_between_intrinsic_and_its_bound(
    spot: float, strike: float, minutes: float, sigma: float
) -> None:
    for right, bound in (("C", spot), ("P", strike)):
        price = bsm(right, spot, strike, years(minutes), sigma)
        assert intrinsic(right, spot, strike) - 1e-9 <= price <= bound + 1e-9


@pytest.mark.parametrize(("right", "expected"), [("C", 5.0), ("P", 0.0)])
def test_without_time_or_volatility_the_price_is_the_forward_intrinsic(right: str, expected: float) -> None:
    assert bsm(right, 105, 100, 0.0, 0.2) == expected
    assert bsm(right, 105, 100, 0.5, 0.0) == expected
    assert bsm("C", 105, 100, 0.5, 0.0, 0.1) == 105 - 100 * math.exp(-0.05)


def test_time_never_falls_under_one_minute() -> None:
    assert years(0) == years(1) == years(-5) == 1 / 98_280
    assert years(2) == 2 / 98_280


@pytest.mark.parametrize(
    ("right", "spot", "value"),
    [("C", 103, 3.0), ("C", 97, 0.0), ("P", 97, 3.0), ("P", 103, 0.0), ("P", 100, 0.0)],
)
def test_intrinsic(right: str, spot: float, value: float) -> None:
    assert intrinsic(right, spot, 100) == value
