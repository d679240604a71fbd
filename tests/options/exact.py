"""Black-Scholes-Merton in fifty digits, the slow twin of prices, greeks and volatilities."""

import itertools
from typing import Any, NamedTuple

import mpmath
import numpy as np

DIGITS = 50

MINUTES = {  # regions of the docstrings in maxlib/options
    "390 to 45 days": [390 * days for days in (390, 180, 90, 46)],
    "45 days to 1 day": [390 * days for days in (45, 20, 5, 1.5)],
    "390 to 31 minutes": [390, 240, 120, 60, 31],
    "30 minutes to 1": [30, 15, 5, 2, 1],
}
STRIKES = [*range(588, 613), 300, 400, 500, 700, 800, 900]
SIGMAS = [0.05, 0.08, 0.2, 0.6, 1.5, 3.0]


class Case(NamedTuple):
    """Arguments of `greeks_kernel`, in order."""

    sign: float
    spot: float
    strike: float
    t: float
    sigma: float
    rate: float
    dividend: float


def grid(region: str, every: int = 1) -> list[Case]:
    """All cases of a region, or every so-many-th of them."""
    made = [
        Case(sign, 600.0, float(strike), minutes / 98_280, sigma, rate, dividend)
        for minutes, sigma, strike, sign, (rate, dividend) in itertools.product(
            MINUTES[region], SIGMAS, STRIKES, (1.0, -1.0), ((0.0, 0.0), (0.04, 0.005))
        )
    ]
    return made[::every]


def columns(cases: list[Case]) -> list[Any]:
    return [np.array(column) for column in zip(*cases, strict=True)]


def greeks(case: Case) -> list[Any]:
    """Price, delta, gamma, theta, vega, rho by the formulas of definitions.md."""
    with mpmath.workdps(DIGITS):
        sign, s, k, t, v, r, q = (mpmath.mpf(x) for x in case)
        now, later, root = s * mpmath.exp(-q * t), k * mpmath.exp(-r * t), mpmath.sqrt(t)
        d1 = mpmath.log(now / later) / (v * root) + v * root / 2
        a = now * mpmath.ncdf(sign * d1)
        b = later * mpmath.ncdf(sign * (d1 - v * root))
        density = now * mpmath.npdf(d1)
        return [
            sign * (a - b),
            sign * a / s,
            density / (s * s * v * root),
            sign * (q * a - r * b) - density * v / (2 * root),
            density * root,
            sign * t * b,
        ]


def undiscounted(sign: float, forward: float, strike: float, t: float, sigma: Any) -> tuple[Any, Any]:
    """Price and vega at expiry's worth, from the forward."""
    with mpmath.workdps(DIGITS):
        f, k, root = mpmath.mpf(forward), mpmath.mpf(strike), mpmath.sqrt(mpmath.mpf(t))
        spread = sigma * root
        d1 = mpmath.log(f / k) / spread + spread / 2
        price = sign * (f * mpmath.ncdf(sign * d1) - k * mpmath.ncdf(sign * (d1 - spread)))
        return price, f * mpmath.npdf(d1) * root
