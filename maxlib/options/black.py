"""The numeric heart: Black's formula without units, and its inverse.

With the forward F, the strike K and the total volatility s = sigma * sqrt(t), let
x = |ln(F/K)| and b = (time value) / sqrt(F*K). By parity the time value of a call
and of a put are one number, the worth of the out-of-the-money one, so b(x, s) with
x >= 0 is all there is to invert, and nothing cancels.

Method. With h = x/s, the distance to the strike in deviations, b / (db/ds) is a power
series in (s/2)**2 whose coefficients follow from one function of h: price over vega of
the *normal* model, 1 - h R(h), R being Mills' ratio. For the inverse the normal model
is solved by a rational approximation of one variable, moved to the lognormal one by its
known expansion, and polished with Householder's third-order step on ln b. Between 1
minute and 390 days one step is mostly enough.

Sources: Jaeckel, "Let's Be Rational" (2015), for the normalised formula, the power series
and the step; Jaeckel, "Implied Normal Volatility" (2017), for the variables of the normal
inverse; Grunspan, "A note on the equivalence between the normal and the lognormal implied
volatility" (2011), for the expansion. The coefficients are fitted here, in 50 digits.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from maxlib.kernels.columns import formula
from maxlib.kernels.kernel import kernel

ROOT_HALF: Final = math.sqrt(0.5)
ROOT_TWO_PI: Final = math.sqrt(2.0 * math.pi)
DENSITY_AT_ZERO: Final = 1.0 / ROOT_TWO_PI

_LOG2_E: Final = 1.4426950408889634
_LN2_HIGH: Final = 6.93147180369123816490e-01  # ln 2 in two parts: whole multiples of this one are exact
_LN2_LOW: Final = 1.90821492927058770002e-10
_ROOT_TWO: Final = math.sqrt(2.0)
_SHIFT: Final = 1.5 * 2.0**52
_ONE_BITS: Final = 1023 << 52

_FAR: Final = 1000.0
_SERIES: Final = 0.6
"""Total volatility up to which the series reaches the last digit; a year at 60 %."""

_NEAR: Final = 0.019537862508403085738
"""Normal price, in strike distances, of an option 1.5 deviations away."""

_SETTLED: Final = 1e-5
"""A step this small, relatively, leaves an error under its fourth power: below the last digit."""


@kernel
def normal(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x * ROOT_HALF)


@formula
def exponential(x: float) -> float:
    """e**x for x up to 709, within an ulp; 0 under -708. Made of arithmetic, so loops can be vectorised."""
    c = max(x, -708.0)
    shifted = c * _LOG2_E + _SHIFT  # the integer part, in the lowest bits
    k = shifted - _SHIFT
    r = (c - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1 / 479001600 + r * (1 / 6227020800)
    p = 1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * p)))
    p = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * p)))
    p = 1.0 + (r + r * r * (1 / 2 + r * (1 / 6 + r * p)))
    bits = np.int64((np.float64(shifted).view(np.int64) << 52) + _ONE_BITS)
    return 0.0 if x < -708.0 else p * float(bits.view(np.float64))


@formula
def log_ratio(forward: float, strike: float) -> float:
    """ln(forward / strike), within some ulp also where the two are close; NaN unless both are positive."""
    bits = np.float64(forward / strike * _ROOT_TWO).view(np.int64)
    k = (bits >> 52) - 1023
    scaled = forward * float(np.int64((1023 - k) << 52).view(np.float64))  # within sqrt(2) of the strike
    z = (scaled - strike) / (scaled + strike)
    y = z * z
    p = 1 / 17 + y * (1 / 19 + y * (1 / 21 + y * (1 / 23)))
    p = 1 / 9 + y * (1 / 11 + y * (1 / 13 + y * (1 / 15 + y * p)))
    p = y * (1 / 3 + y * (1 / 5 + y * (1 / 7 + y * p)))
    n = float(k)
    result = n * _LN2_HIGH + (2.0 * z + (2.0 * z * p + n * _LN2_LOW))
    return result if forward > 0.0 and strike > 0.0 else math.nan


@formula
def normal_price_over_vega(h: float) -> float:
    """1 - h R(h) for h >= 0: price over vega of the normal model, h deviations from the strike.

    Relative error of the fits 3e-17 (h < 3) and 7e-17.
    """
    if h < 3.0:
        p = 0.013057275929713582 + h * (0.0012697251300780078 + h * 5.772216083519226e-05)
        p = 0.7568956352580236 + h * (0.3144254138250887 + h * (0.0801258481788725 + h * p))
        q = 0.013225946822174893 + h * (0.0012699320567153983 + h * 5.771746767951169e-05)
        q = 0.9949629500674194 + h * (0.3525874967643953 + h * (0.08399891509003435 + h * q))
        return (1.0 + h * p) / (1.0 + h * (2.0102097725735164 + h * (1.833849740761544 + h * q)))
    z = 1.0 / (h * h)
    p = 226832.39514457455 + z * (151078.06949513438 + z * 4689.858220317335)
    p = 1742.4430795435826 + z * (19794.435106942765 + z * (103788.29171871296 + z * p))
    q = 468942.2974676612 + z * (597349.3568167997 + z * 226926.8449538023)
    q = 1944.6239010477775 + z * (24647.402702183685 + z * (155217.47016919078 + z * q))
    return z * (1.0 + z * (69.39360716782097 + z * p)) / (1.0 + z * (72.39360716782042 + z * q))


@formula
def mills(h: float) -> float:
    """Mills' ratio R(h), h >= 0: the normal tail beyond h over its density at h.

    Relative error of the fit 3e-16 up to h = 39, where the density is no longer a double.
    """
    v = 3.0 / (3.0 + h)
    p = 1.0085604065692448 + v * (0.53724879824821 + v * 0.2060930771880641)
    p = 1.7244255917148497 + v * (1.7088101269823863 + v * (1.4101989989582007 + v * p))
    p = 0.3079522089463349 + v * (1.1656838492321104 + v * (1.2665933070628157 + v * p))
    q = 0.30538354571319803 + v * (0.01796581845668244 + v * 0.019923942523257368)
    q = 1.9511376336570223 + v * (0.8807021204427208 + v * (0.4149004774576986 + v * q))
    q = -0.07614337409123792 + v * (2.6843060642741423 + v * (0.5164895607368594 + v * q))
    return v * (0.3333333333292176 + v * p) / (1.0 + v * q)


@kernel
def normal_distance(u: float) -> float:
    """Inverse of the normal model: deviations to the strike, of a price in strike distances.

    Relative error of the fits 1.5e-7 and 5e-7, down to the smallest double.
    """
    if u > _NEAR:
        g = DENSITY_AT_ZERO / (u + 0.5)
        y = g * g
        p = -3.8566485234997687 + y * (4.99865529127546 + y * (-2.3602299667160778 + y * 0.24260636024196802))
        q = -4.35663403823487 + y * (6.718378552572344 + y * (-4.224985122412355 + y * 0.8599683694967746))
        return g * (1.0 + y * p) / (1.0 + y * q)
    y = math.sqrt(-math.log(u))
    p = -1.5243993532465436 + y * (0.36210689397925827 + y * 0.17206945238005106)
    q = 0.26681234236791684 + y * (0.12148975752451223 + y * 1.671426227709081e-06)
    return (-0.7780208828900914 + y * (2.2065590938754696 + y * p)) / (
        1.0 + y * (-0.47239670178894283 + y * q)
    )


@formula
def vega(x: float, s: float) -> float:
    """db/ds."""
    h = x / s
    return DENSITY_AT_ZERO * exponential(-0.5 * h * h - 0.125 * s * s)


@formula
def _price_over_vega(h: float, s: float) -> float:
    """Ratio b / (db/ds) by the series in w = (s/2)**2, for s up to _SERIES.

    Its terms are the odd derivatives of Mills' ratio at h over odd factorials; with
    g = h*h they follow a(n+2) = (g + 2n + 1) a(n) - n (n-1) a(n-2).
    """
    g = h * h
    w = 0.25 * s * s
    a1 = normal_price_over_vega(h)
    a3 = (g + 3.0) * a1 - 1.0
    a5 = (g + 7.0) * a3 - 6.0 * a1
    a7 = (g + 11.0) * a5 - 20.0 * a3
    a9 = (g + 15.0) * a7 - 42.0 * a5
    a11 = (g + 19.0) * a9 - 72.0 * a7
    a13 = (g + 23.0) * a11 - 110.0 * a9
    a15 = (g + 27.0) * a13 - 156.0 * a11
    a17 = (g + 31.0) * a15 - 210.0 * a13
    end = a13 * (1 / 6227020800) + w * (a15 * (1 / 1307674368000) + w * (a17 * (1 / 355687428096000)))
    end = a7 * (1 / 5040) + w * (a9 * (1 / 362880) + w * (a11 * (1 / 39916800) + w * end))
    return s * (a1 + w * (a3 * (1 / 6) + w * (a5 * (1 / 120) + w * end)))


@formula
def black(x: float, s: float) -> tuple[float, float]:
    """Time value b and its slope db/ds; s > 0."""
    b, slope, _, _ = black_and_tails(x, s)
    return b, slope


@formula
def black_and_tails(x: float, s: float) -> tuple[float, float, float, float]:
    """`black`, then its two tails: forward * N(-|d1|) and strike * N(-|d2|), over sqrt(F*K), nearer first."""
    h = x / s
    h = min(h, _FAR)  # nothing is left there, and no square overflows
    t = 0.5 * s
    slope = DENSITY_AT_ZERO * exponential(-0.5 * (h * h + t * t))
    near = slope * mills(abs(h - t))
    far = slope * mills(h + t)
    if x <= 2.0 and s <= _SERIES:
        return slope * _price_over_vega(h, s), slope, near, far
    return (near if h > t else exponential(-0.5 * x) - near) - far, slope, near, far


@kernel
def _first_guess(x: float, u: float) -> float:
    """Total volatility by the normal model; `u` is the time value in strike distances |F - K|."""
    s = x / normal_distance(u)
    y = s * s
    bend = (
        1 / 24 - x * x / 2880 if x < 2.0 else math.log(math.sinh(min(0.5 * x, 300.0)) / (0.5 * x)) / (x * x)
    )
    return s * (1.0 + y * (bend + y * (7 / 1920)))


@kernel
def total_volatility(value: float, forward: float, strike: float) -> float:
    """The s = sigma * sqrt(t) at which the time value is `value`, 0 < value < min(forward, strike)."""
    gap = abs(forward - strike)
    b = value / math.sqrt(forward * strike)
    if gap == 0.0:
        x = 0.0
        s = b * ROOT_TWO_PI * (1.0 + b * b * math.pi / 12.0)
    else:
        x = abs(log_ratio(forward, strike))
        s = _first_guess(x, value / gap)
    low = 0.0
    high = math.inf
    for _ in range(64):
        f, slope = black(x, s)
        step = math.nan
        if f > 0.0 and slope > 0.0:
            step = _householder(x, s, math.log(b / f), f / slope)
            if abs(step) <= _SETTLED * s:
                return s + step
        if f > b:
            high = min(high, s)
        else:
            low = max(low, s)
        s += step
        if not low < s < high:
            s = 0.5 * (low + high) if high < math.inf else 2.0 * low
    return s


@kernel
def _householder(x: float, s: float, error: float, ratio: float) -> float:
    """Third-order step on ln b; `error` is ln(target / b), `ratio` is b / (db/ds)."""
    h = x / s
    r = 1.0 / ratio
    second = h * h / s - 0.25 * s  # b''/b'
    third = second * second - 3.0 * (h / s) * (h / s) - 0.25  # b'''/b'
    newton = error * ratio
    halley = second - r
    last = third + r * (2.0 * r - 3.0 * second)
    return newton * (1.0 + 0.5 * halley * newton) / (1.0 + newton * (halley + last * newton / 6.0))
