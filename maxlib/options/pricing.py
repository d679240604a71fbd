"""Black-Scholes-Merton prices and greeks of European options: one, arrays of them, and inside steps.

`greeks`, `prices`, `all_greeks` and the kernels `price_kernel` and `greeks_kernel` are one
formula, and agree to the bit: `greeks` runs it as plain Python (nothing is compiled), the
array functions eight rows at a time on threads. A price is the intrinsic value of the
forward and the time value of the out-of-the-money twin, so a cheap option keeps all its digits.

`bsm` and `bsm_kernel` are the textbook's difference of two products, kept to the bit because
the results of older runs depend on it. It loses the digits of cheap options: its error is
absolute. For prices that are to be inverted take the others.

Measured against 50 digits (`tests/options/test_pricing.py`; spot 600, strikes 300 to 900,
volatility 0.05 to 3, rates 0 and 4 %), largest absolute errors, and the relative one of price
and gamma; `bsm` 3e-13 throughout:

                        price  delta  gamma  theta  vega   rho    relative
    390 to 45 days      4e-13  3e-15  1e-16  3e-13  5e-13  7e-13  2e-13
    45 days to 1 day    4e-13  2e-14  4e-15  3e-12  4e-13  3e-13  8e-13
    390 to 31 minutes   2e-13  3e-14  4e-14  3e-11  5e-13  3e-14  3e-12
    30 minutes to 1     2e-13  4e-13  5e-14  2e-9   1e-13  2e-14  3e-11

What is no option has no price: a spot or strike that is not positive and finite, a volatility or
time that is negative, infinite or not a number. Of one option (`bsm`, `greeks`) that is a DataError;
in a column (`prices`, `all_greeks`) it is NaN, so that one bad row does not lose the others. Right and
sign, which a program writes and no feed sends, are a DataError everywhere.

The relative errors of the last rows are those of options of 1e-100 dollars; they grow with
the square of the distance to the strike in deviations.

Written here and not taken from a library because `python -m benchmarks pricing` finds none
as fast (here 40 ns a core for price and five greeks; numpy with scipy's normal distribution
80, the fastest library 147 for four of the six), and none can be called inside a step.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maxlib.core.errors import DataError
from maxlib.kernels.columns import Columns, formula, twin
from maxlib.kernels.kernel import kernel
from maxlib.options.black import black, black_and_tails, exponential, log_ratio, normal

TRADING_MINUTES_PER_YEAR: Final = 390 * 252
"""The clock of spec §12.1: volatility accrues in regular-hours minutes only."""


class Greeks(NamedTuple):
    """A price and its derivatives, per share.

    price : dollars
    delta : per dollar of spot
    gamma : delta per dollar of spot
    theta : dollars per year on the clock of t, negative where time costs. Divide by 252
        (trading clock) or 365 (calendar) for a day
    vega : dollars per 1.00 of volatility, 100 points. Divide by 100 for a point
    rho : dollars per 1.00 of rate
    """

    price: float
    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


GREEKS: Final = np.dtype([(name, np.float64) for name in Greeks._fields])
"""A row of `all_greeks`: the fields of `Greeks`."""


def years(minutes: float) -> float:
    """Trading minutes as a fraction of a trading year; at least one minute.

    At expiry itself there is no time value to ask for: settle at intrinsic.
    """
    return max(minutes, 1.0) / TRADING_MINUTES_PER_YEAR


@kernel
def bsm_kernel(
    sign: float, spot: float, strike: float, t: float, sigma: float, rate: float, dividend: float
) -> float:
    """`bsm` for steps, the same to the bit; `sign` is +1 for a call, -1 for a put."""
    # exp(-0.0) is 1 exactly: leaving it out saves time and no bit.
    now = spot * math.exp(-dividend * t) if dividend != 0.0 else spot
    later = strike * math.exp(-rate * t) if rate != 0.0 else strike
    spread = sigma * math.sqrt(t)
    if spread <= 0.0:
        return max(0.0, sign * (now - later))
    d1 = math.log(now / later) / spread + 0.5 * spread
    d2 = d1 - spread
    return sign * (now * normal(sign * d1) - later * normal(sign * d2))


@formula
def _is_option(spot: float, strike: float, sigma: float) -> bool:
    """Of an option without time or volatility; of any other, a wrong number makes the price NaN by itself."""
    return 0.0 < spot < math.inf and 0.0 < strike < math.inf and sigma >= 0.0


@formula
def price_kernel(
    sign: float, spot: float, strike: float, t: float, sigma: float, rate: float, dividend: float
) -> float:
    """`prices` for steps; `sign` is +1 for a call, -1 for a put."""
    now = spot * exponential(-dividend * t)
    later = strike * exponential(-rate * t)
    inside = max(sign * (now - later), 0.0)
    spread = sigma * math.sqrt(t) + 0.0 * sigma  # NaN of a volatility without limit
    if spread <= 0.0:
        return inside + 0.0 if _is_option(spot, strike, sigma) else math.nan  # -0.0 + 0.0 is 0.0
    return inside + math.sqrt(now * later) * black(abs(log_ratio(now, later)), spread)[0]


@formula
def greeks_kernel(
    sign: float, spot: float, strike: float, t: float, sigma: float, rate: float, dividend: float
) -> tuple[float, float, float, float, float, float]:
    """`greeks` for steps: the fields of `Greeks` in order; `sign` is +1 for a call, -1 for a put."""
    now = spot * exponential(-dividend * t)
    later = strike * exponential(-rate * t)
    inside = max(sign * (now - later), 0.0)
    root = math.sqrt(t)
    spread = sigma * root + 0.0 * sigma  # NaN of a volatility without limit
    if spread <= 0.0:
        none = 0.0 if _is_option(spot, strike, sigma) else math.nan
        held = sign if inside > 0.0 else 0.0
        carry = held * (dividend * now - rate * later)
        return inside + none, held * now / spot + none, none, carry + none, none, held * t * later + none
    x = log_ratio(now, later)
    scale = math.sqrt(now * later)
    value, slope, near, far = black_and_tails(abs(x), spread)
    dense = scale * slope  # now * n(d1), which is later * n(d2)
    d1 = x / spread + 0.5 * spread
    a = _part(sign * d1, now, scale * (near if x < 0.0 else far))
    b = _part(sign * (d1 - spread), later, scale * (far if x < 0.0 else near))
    return (
        inside + scale * value,
        sign * a / spot,
        dense / (spot * spot * spread),
        sign * (dividend * a - rate * b) - 0.5 * dense * sigma / root,
        dense * root,
        sign * t * b,
    )


@formula
def _part(d: float, whole: float, tail: float) -> float:
    """Part N(d) of the whole, given its part N(-|d|)."""
    return whole - tail if d > 0.0 else tail


_BSM: Final = twin(bsm_kernel)
_GREEKS: Final = twin(greeks_kernel)
_PRICES: Final = Columns(price_kernel, 7, 1)
_ALL_GREEKS: Final = Columns(greeks_kernel, 7, 6)


def bsm(
    right: str, spot: float, strike: float, t: float, sigma: float, rate: float = 0.0, dividend: float = 0.0
) -> float:
    """Price per share of a European call ("C") or put ("P"), in dollars.

    Parameters
    ----------
    t : years, sigma : per root year on the same clock, rate and dividend : continuous per year

    Raises
    ------
    DataError
        If the right is neither "C" nor "P", or a number is none of an option (top of the page).

    For t = 0 or sigma = 0 it is the discounted intrinsic value of the forward.
    Source: Hull; 42, 40, 0.5, 0.10, 0.20 gives 4.759422 and 0.808599.

    >>> round(bsm("C", 42, 40, 0.5, 0.20, 0.10), 6), round(bsm("P", 42, 40, 0.5, 0.20, 0.10), 6)
    (4.759422, 0.808599)
    """
    price: float = math.nan
    if 0.0 < spot < math.inf and 0.0 < strike < math.inf and 0.0 <= sigma < math.inf and 0.0 <= t < math.inf:
        price = _BSM(sign_of(right), spot, strike, t, sigma, rate, dividend)
    if price != price:
        raise _no_option(right, spot, strike, t, sigma, rate, dividend)
    return price


def greeks(
    right: str, spot: float, strike: float, t: float, sigma: float, rate: float = 0.0, dividend: float = 0.0
) -> Greeks:
    """Price and greeks of a European call ("C") or put ("P"); parameters and errors as of `bsm`.

    For t = 0 or sigma = 0 they are those of the forward's intrinsic value, and zero
    where that is zero.
    Source: Hull; delta 0.779131, gamma 0.049963, vega 8.813415 of the call of `bsm`.

    >>> call = greeks("C", 42, 40, 0.5, 0.20, 0.10)
    >>> round(call.delta, 6), round(call.gamma, 6), round(call.vega, 6)
    (0.779131, 0.049963, 8.813415)
    """
    made = Greeks(math.nan, 0.0, 0.0, 0.0, 0.0, 0.0)
    if 0.0 < spot < math.inf and 0.0 < strike < math.inf and 0.0 <= sigma < math.inf and 0.0 <= t < math.inf:
        made = Greeks(*_GREEKS(sign_of(right), spot, strike, t, sigma, rate, dividend))
    if made.price != made.price:
        raise _no_option(right, spot, strike, t, sigma, rate, dividend)
    return made


def prices(
    right: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
    *,
    jobs: int = -1,
) -> NDArray[np.float64]:
    """`bsm` of arrays, broadcast against each other; `right` holds "C"/"P" or +1/-1.

    NaN where a number is none of an option (top of the page). `jobs` is the number of threads; -1 = one
    a core for long arrays.

    Raises
    ------
    DataError
        If a right is neither.

    >>> prices(["C", "P"], 42, 40, 0.5, 0.20, 0.10).round(6).tolist()
    [4.759422, 0.808599]
    """
    made = _PRICES(signs(right), spot, strike, t, sigma, rate, dividend, jobs=jobs)
    return made[..., 0]


def all_greeks(
    right: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    sigma: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
    *,
    jobs: int = -1,
) -> NDArray[np.void]:
    """`greeks` of arrays as GREEKS rows; parameters, NaN and errors as of `prices`.

    >>> all_greeks([1, -1], 42, 40, 0.5, 0.20, 0.10)["delta"].round(6).tolist()
    [0.779131, -0.220869]
    """
    made = _ALL_GREEKS(signs(right), spot, strike, t, sigma, rate, dividend, jobs=jobs)
    return made.view(GREEKS)[..., 0]


def sign_of(right: str) -> float:
    """+1 for "C" and -1 for "P".

    Raises
    ------
    DataError
        If the right is neither.
    """
    if right == "C":
        return 1.0
    if right == "P":
        return -1.0
    raise DataError(f"a right is {right!r}, neither C nor P")


def _no_option(right: str, *numbers: float) -> DataError:
    sign_of(right)
    names = ("spot", "strike", "t", "sigma", "rate", "dividend")
    given = ", ".join(f"{name} {value:g}" for name, value in zip(names, numbers, strict=True))
    return DataError(
        f"no option has {given}: spot and strike are above 0, t and sigma at least 0, and all are finite"
    )


def signs(right: ArrayLike) -> NDArray[np.float64]:
    """+1 for calls and -1 for puts, from "C"/"P" or from +1/-1 themselves.

    Raises
    ------
    DataError
        If a right is neither.
    """
    given = np.asarray(right)
    if given.dtype.kind in "UO":
        given = np.where(given == "C", 1.0, np.where(given == "P", -1.0, np.nan))
    made = given.astype(np.float64)
    wrong = made * made != 1.0
    if wrong.any():
        raise DataError(f"a right is {np.asarray(right)[wrong].flat[0]!r}, neither C nor P nor +1 nor -1")
    return made


def intrinsic(right: str, spot: float, strike: float) -> float:
    """Value per share if exercised now, in dollars.

    Raises
    ------
    DataError
        If the right is neither "C" nor "P", or spot or strike is negative or not a number.
    """
    if not (spot >= 0.0 and strike >= 0.0):  # max(0.0, nan) would be 0.0
        raise DataError(f"no option has spot {spot:g} and strike {strike:g}: neither is below 0")
    return max(0.0, sign_of(right) * (spot - strike))
