"""The pieces of the numeric heart, each against fifty digits."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from maxlib.kernels.columns import Columns
from maxlib.options import black

RNG = np.random.default_rng(8)


def tail_over_density(h: Any) -> Any:
    return mpmath.ncdf(-h) / mpmath.npdf(h)


@pytest.mark.parametrize(
    ("formula", "points", "exact", "bound"),
    [
        (black.exponential, RNG.uniform(-707.0, 700.0, 500), mpmath.exp, 4e-16),
        (black.mills, 10.0 ** RNG.uniform(-4.0, 1.59, 500), tail_over_density, 1.5e-15),
        (black.normal_price_over_vega, 10.0 ** RNG.uniform(-4.0, 3.0, 500),
         lambda h: 1 - h * tail_over_density(h), 1e-15),
    ],
)  # fmt: skip
def test_a_formula_is_right_to_some_ulps(
    formula: Any, points: Any, exact: Callable[[Any], Any], bound: float
) -> None:
    made = Columns(formula, 1, 1)(points)[:, 0]
    with mpmath.workdps(80):
        errors = [
            abs(float(m / exact(mpmath.mpf(p)) - 1)) for m, p in zip(made, points.tolist(), strict=True)
        ]
    assert max(errors) <= bound


def test_an_exponential_beyond_the_smallest_double_is_zero_and_of_nothing_nothing() -> None:
    made = Columns(black.exponential, 1, 1)(np.array([-708.1, -1e300, -np.inf, 0.0, np.nan] * 9))[:, 0]
    assert made.reshape(9, 5)[:, :4].tolist() == [[0.0, 0.0, 0.0, 1.0]] * 9
    assert np.isnan(made.reshape(9, 5)[:, 4]).all()


def test_a_logarithm_keeps_its_digits_where_forward_and_strike_are_close() -> None:
    forward = 600.0 * np.exp(RNG.choice([-1.0, 1.0], 2_000) * 10.0 ** RNG.uniform(-12.0, 1.0, 2_000))
    made = Columns(black.log_ratio, 2, 1)(forward, 600.0)[:, 0]
    with mpmath.workdps(50):
        exact = [mpmath.log(mpmath.mpf(f) / 600) for f in forward.tolist()]
    assert max(abs(float(m / e - 1)) for m, e in zip(made, exact, strict=True) if e) <= 6e-16


@pytest.mark.parametrize("region", ["series", "tails", "wide"])
def test_the_normalised_price_is_right_to_what_the_distance_allows(region: str) -> None:
    """Its error grows as h² / 2 ulps: that of exp(-h²/2) itself."""
    count = 500
    s = 10.0 ** {"series": RNG.uniform(-4.0, -0.23, count), "tails": RNG.uniform(-1.0, -0.23, count),
                 "wide": RNG.uniform(-0.2, 0.9, count)}[region]  # fmt: skip
    low, high = {"series": (0.0, 2.0), "tails": (2.0, 20.0), "wide": (0.0, 20.0)}[region]
    x = np.clip(s * RNG.uniform(0.0, 36.0, count), low, high)
    x, s = x[x / s < 37.0], s[x / s < 37.0]
    made = Columns(black.black, 2, 2)(x, s)[:, 0]
    with mpmath.workdps(80):
        for m, a, b in zip(made, x.tolist(), s.tolist(), strict=True):
            far, wide = mpmath.mpf(a), mpmath.mpf(b)
            h, t = far / wide, wide / 2
            exact = mpmath.exp(-far / 2) * mpmath.ncdf(t - h) - mpmath.exp(far / 2) * mpmath.ncdf(-t - h)
            assert abs(float(m / exact - 1)) <= 1.2e-14 + 3e-16 * float(h * h), (a, b)


def test_a_total_volatility_comes_back_to_the_last_digits() -> None:
    x, s = 10.0 ** RNG.uniform(-7.0, 0.9, 600), 10.0 ** RNG.uniform(-4.0, 0.7, 600)
    keep = x / s < 36.0
    strike, s = 600.0 * np.exp(x[keep]), s[keep]
    values = []
    with mpmath.workdps(80):
        for k, b in zip(strike.tolist(), s.tolist(), strict=True):
            wide, far = mpmath.mpf(b), mpmath.log(mpmath.mpf(k) / 600)
            h, t = far / wide, wide / 2
            values.append(float(600 * mpmath.ncdf(t - h) - k * mpmath.ncdf(-t - h)))
    found = Columns(black.total_volatility, 3, 1)(values, 600.0, strike)[:, 0]
    assert np.abs(found / s - 1.0).max() <= 1e-14
