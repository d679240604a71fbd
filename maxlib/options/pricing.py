"""Black-Scholes-Merton prices of European options."""

from __future__ import annotations

import math
from typing import Final

_ROOT_HALF: Final = math.sqrt(0.5)

TRADING_MINUTES_PER_YEAR: Final = 390 * 252
"""The clock of spec §12.1: volatility accrues in regular-hours minutes only."""


def years(minutes: float) -> float:
    """Trading minutes as a fraction of a trading year; at least one minute.

    At expiry itself there is no time value to ask for: settle at intrinsic.
    """
    return max(minutes, 1.0) / TRADING_MINUTES_PER_YEAR


def bsm(
    right: str, spot: float, strike: float, t: float, sigma: float, rate: float = 0.0, dividend: float = 0.0
) -> float:
    """Price per share of a European call ("C") or put ("P"), in dollars.

    Parameters
    ----------
    t : years, sigma : per root year on the same clock, rate and dividend : continuous per year

    For t = 0 or sigma = 0 it is the discounted intrinsic value of the forward.
    Source: Hull; 42, 40, 0.5, 0.10, 0.20 gives 4.759422 and 0.808599.

    >>> round(bsm("C", 42, 40, 0.5, 0.20, 0.10), 6), round(bsm("P", 42, 40, 0.5, 0.20, 0.10), 6)
    (4.759422, 0.808599)
    """
    sign = 1.0 if right == "C" else -1.0
    now, later = spot * math.exp(-dividend * t), strike * math.exp(-rate * t)
    spread = sigma * math.sqrt(t)
    if spread <= 0.0:
        return max(0.0, sign * (now - later))
    d1 = math.log(now / later) / spread + 0.5 * spread
    d2 = d1 - spread
    return sign * (now * _normal(sign * d1) - later * _normal(sign * d2))


def intrinsic(right: str, spot: float, strike: float) -> float:
    """Value per share if exercised now, in dollars."""
    return max(0.0, spot - strike if right == "C" else strike - spot)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x * _ROOT_HALF)
