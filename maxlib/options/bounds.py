"""Prices without arbitrage: the least and the most that one option can be worth.

European and American options have different bounds, and the European ones are wrong for
SPY, QQQ and options on ES or NQ: an American put in the money is worth at least what
exercise gives now, which can be more than the discounted intrinsic value; at the European
bound it would be called mispriced, or be given a volatility that is not there. `implied`
assumes a European price: of an American one, trust it out of the money only.

`dividend` is a continuous yield. A dividend paid at a known moment lowers the spot by its
present worth in the European bounds; the American ones take the spot as it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from maxlib.options.pricing import intrinsic


class Bounds(NamedTuple):
    """The least and the most, in dollars per share, both possible."""

    low: float
    high: float

    def admit(self, price: float, half_tick: float = 0.0) -> bool:
        """Whether a price, known to `half_tick` either way, can lie within."""
        return self.low - half_tick <= price <= self.high + half_tick


def european(
    right: str, spot: float, strike: float, t: float, rate: float = 0.0, dividend: float = 0.0
) -> Bounds:
    """Bounds of a European call ("C") or put ("P") from the spot; parameters as of `bsm`.

    Source: Hull, "Properties of stock options"; his put on 37 at 40, half a year, 5 %: 2.01.

    >>> round(european("P", 37.0, 40.0, 0.5, 0.05).low, 2)
    2.01
    """
    return _between(right, spot * math.exp(-dividend * t), strike * math.exp(-rate * t))


def european_on_forward(right: str, forward: float, strike: float, discount: float = 1.0) -> Bounds:
    """The same from the forward; `discount` is the worth today of a dollar at expiry.

    >>> european_on_forward("C", 600.0, 580.0, 0.99)
    Bounds(low=19.8, high=594.0)
    """
    low, high = _between(right, forward, strike)
    return Bounds(discount * low, discount * high)


def american(
    right: str, spot: float, strike: float, t: float, rate: float = 0.0, dividend: float = 0.0
) -> Bounds:
    """Bounds of an American call ("C") or put ("P"); parameters as of `bsm`.

    It may be exercised now or held to expiry, so it is worth no less than either; it pays
    at most the spot (call) or the strike (put), at the latest moment or the earliest. For
    an option on a future, give the future as the spot and the rate as the dividend.

    >>> american("P", 37.0, 40.0, 0.5, 0.05)
    Bounds(low=3.0, high=40.0)
    """
    held = european(right, spot, strike, t, rate, dividend)
    at_once = spot if right == "C" else strike
    return Bounds(max(held.low, intrinsic(right, spot, strike)), max(held.high, at_once))


def _between(right: str, now: float, later: float) -> Bounds:
    """`now` and `later` are what the two sides of the exercise are worth today."""
    return Bounds(intrinsic(right, now, later), now if right == "C" else later)
