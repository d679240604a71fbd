"""Implied volatility, and when there is none to know.

A price fixes a volatility only as far as the price itself is known: deep in the money, or
an instant before expiry, all volatilities up to some bound round to one price. There the
answer is NaN with a `Reason`, never a number.

The test. A price is known to `half_tick` either way. Without one it is known to a double's
rounding, 2**-52 of itself; in the money only to 2**-52 of the larger of price, forward and
strike, since the time value is what is left when those are subtracted. With a half tick the
answer stands if every volatility that could have made the price lies within TICK_TOLERANCE of
it: the price is computed anew at both ends of that span, no linear approximation. Without
one, if the rounding over vega is within ROUNDING_TOLERANCE of it.

The discount and t are taken as they are given.

Measured against 50 digits (`tests/options/test_implied.py`; spot 600, strikes 300 to 900,
volatility 0.05 to 3, rates 0 and 4 %), largest relative error of an answered volatility out
of the money, where what is left is the rounding of the forward:

    390 to 45 days       1e-14
    45 days to 1 day     4e-14
    390 to 31 minutes    2e-13
    30 minutes to 1      6e-13

and up to 1e-9 in the money, where the price holds no more.

Written here and not taken from a library because of speed and of that test: `python -m
benchmarks pricing` runs the peers beside it on a million options (here 160 ns an option and
core, the fastest peer 380) and counts their answers that are not the volatility of the price.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maxlib.kernels.columns import Columns, twin
from maxlib.kernels.kernel import kernel
from maxlib.options.black import black, log_ratio, total_volatility, vega
from maxlib.options.pricing import sign_of, signs

ROUNDING_TOLERANCE: Final = 1e-9
"""Largest relative uncertainty of a volatility from a price known to a double's rounding."""

TICK_TOLERANCE: Final = 0.05
"""Largest relative uncertainty of a volatility from a price known to half a tick."""

_ROUNDING: Final = 2.0**-52
_SMALLEST: Final = 1e-300  # near the end of the range a double has fewer digits


class Reason(IntEnum):
    """Why a volatility is what it is; `sentence` says it in words."""

    OK = 0
    BELOW_INTRINSIC = 1
    ABOVE_BOUND = 2
    EXPIRED = 3
    NO_PRICE = 4
    NOT_DETERMINED = 5

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    Reason.OK: "The price determines the volatility.",
    Reason.BELOW_INTRINSIC: "The price is below the discounted intrinsic value of the forward.",
    Reason.ABOVE_BOUND: "The price is above the discounted forward (call) or strike (put).",
    Reason.EXPIRED: "No time is left.",
    Reason.NO_PRICE: "Price, forward, strike or discount is missing, not finite or not positive.",
    Reason.NOT_DETERMINED: "Volatilities too far apart round to this price.",
}


class Implied(NamedTuple):
    """A volatility per root year on the clock of t, NaN unless the reason is OK."""

    sigma: float
    reason: Reason


class Interval(NamedTuple):
    """The volatilities that a rounded price allows; 0 and inf where it sets no bound, NaN if none."""

    low: float
    high: float


@kernel
def _usable(price: float, forward: float, strike: float, discount: float) -> bool:
    return (
        0.0 < price < math.inf
        and 0.0 < forward < math.inf
        and 0.0 < strike < math.inf
        and 0.0 < discount < math.inf
    )


@kernel
def _time_value(
    sign: float, price: float, forward: float, strike: float, discount: float, half_tick: float
) -> tuple[float, float]:
    """Worth at expiry of the option's out-of-the-money twin, and how well it is known."""
    worth = price / discount
    inside = sign * (forward - strike)
    if inside <= 0.0:
        return worth, max(half_tick / discount, _ROUNDING * worth, _SMALLEST)
    return worth - inside, max(half_tick / discount, _ROUNDING * max(worth, forward, strike))


@kernel
def implied_kernel(
    sign: float, price: float, forward: float, strike: float, t: float, discount: float, half_tick: float
) -> tuple[float, float]:
    """`implied` for steps: sigma and the reason as a float; `sign` is +1 for a call, -1 for a put."""
    if not _usable(price, forward, strike, discount):
        return math.nan, 4.0
    if not 0.0 < t < math.inf:
        return math.nan, 3.0
    value, blur = _time_value(sign, price, forward, strike, discount, half_tick)
    ceiling = min(forward, strike)
    outside = blur + 4.0 * _ROUNDING * max(price / discount, forward, strike)  # roundings are no arbitrage
    if value < -outside:
        return math.nan, 1.0
    if value > ceiling + outside:
        return math.nan, 2.0
    if value <= blur or value >= ceiling - blur:  # zero, or infinity, is among the volatilities
        return math.nan, 5.0
    s = total_volatility(value, forward, strike)
    x = abs(log_ratio(forward, strike))
    scale = math.sqrt(forward * strike)
    if half_tick > 0.0:
        below = scale * black(x, s * (1.0 - TICK_TOLERANCE))[0]
        above = scale * black(x, s * (1.0 + TICK_TOLERANCE))[0]
        known = below <= value - blur and above >= value + blur
    else:
        known = blur <= ROUNDING_TOLERANCE * s * scale * vega(x, s)
    return (s / math.sqrt(t), 0.0) if known else (math.nan, 5.0)


_IMPLIED: Final = twin(implied_kernel)
_IMPLIED_ALL: Final = Columns(implied_kernel, 7, 2)
_TIME_VALUE: Final = twin(_time_value)
_TOTAL: Final = twin(total_volatility)
_USABLE: Final = twin(_usable)


def implied(
    right: str,
    price: float,
    forward: float,
    strike: float,
    t: float,
    discount: float = 1.0,
    half_tick: float = 0.0,
) -> Implied:
    """Volatility of a European call ("C") or put ("P") from its price.

    Parameters
    ----------
    price : dollars per share, as paid today
    forward : for the expiry, in dollars. Of a spot it is spot * exp((rate - dividend) * t)
    t : years; sigma comes out per root year on the same clock
    discount : worth today of a dollar at expiry
    half_tick : the price may be off by this much either way, in dollars; 0 = a double's rounding

    A number that is none of an option is a reason, as it is in `implied_all`, and no error: prices come
    from feeds.

    Raises
    ------
    DataError
        If the right is neither "C" nor "P".

    >>> round(implied("C", 2.755758, 600.0834, 600.0, 1 / 252, math.exp(-0.04 / 252)).sigma, 4)
    0.18
    >>> implied("C", 20.01, 600.0, 580.0, 60 / 98_280, half_tick=0.005)
    Implied(sigma=nan, reason=<Reason.NOT_DETERMINED: 5>)
    """
    sigma, reason = _IMPLIED(sign_of(right), price, forward, strike, t, discount, half_tick)
    return Implied(sigma, Reason(int(reason)))


def implied_interval(
    right: str,
    price: float,
    forward: float,
    strike: float,
    t: float,
    discount: float = 1.0,
    half_tick: float = 0.0,
) -> Interval:
    """The volatilities that give the price within its half tick (or a double's rounding).

    Parameters as of `implied`. It is asked one price at a time, for a report: it costs
    two solutions.

    >>> [round(end, 4) for end in implied_interval("C", 0.05, 600.0, 603.0, 60 / 98_280, half_tick=0.005)]
    [0.127, 0.1327]
    """
    sign = sign_of(right)
    if not _USABLE(price, forward, strike, discount) or not 0.0 < t < math.inf:
        return Interval(math.nan, math.nan)
    value, blur = _TIME_VALUE(sign, price, forward, strike, discount, half_tick)
    ceiling = min(forward, strike)
    if value < -blur or value > ceiling + blur:
        return Interval(math.nan, math.nan)
    low = _TOTAL(value - blur, forward, strike) if value > blur else 0.0
    high = _TOTAL(value + blur, forward, strike) if value + blur < ceiling else math.inf
    return Interval(low / math.sqrt(t), high / math.sqrt(t))


def implied_all(
    right: ArrayLike,
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    discount: ArrayLike = 1.0,
    half_tick: ArrayLike = 0.0,
    *,
    jobs: int = -1,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """`implied` of arrays, broadcast against each other: sigma, and `Reason` as int8.

    `right` holds "C"/"P" or +1/-1; `jobs` is the number of threads, -1 = one a core for
    long arrays.

    Raises
    ------
    DataError
        If a right is neither.

    >>> sigma, reason = implied_all("C", [0.05, 0.0], 600.0, 603.0, 60 / 98_280)
    >>> sigma.round(4).tolist(), reason.tolist()
    ([0.1299, nan], [0, 4])
    """
    made = _IMPLIED_ALL(signs(right), price, forward, strike, t, discount, half_tick, jobs=jobs)
    return made[..., 0].copy(), made[..., 1].astype(np.int8)
