"""Model A, the kernel that priced the wave runs (spec §5): an ask-side quote, used for both sides.

Time value falls off over 5 % of the spot and has no 0.4 in front, so it is about 2.5
times too dear at the money and almost linear in the strike: butterflies cost nothing
and broken-wing flies less than that [H6].
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPIRY: Final = 16 * 60 + 15
"""Minute of the day at which the kernel lets its options expire."""
FRICTION_USD: Final = 0.65 + 0.05
"""Commission and slippage of one contract, as the original modelled them."""
FRICTION_SHARE: Final = 0.02
_LEAST_DAYS: Final = 0.04


def days_left(minute: Any) -> Floats:
    """Calendar days from a New York minute of the day to 16:15, at least 0.04."""
    return np.maximum((EXPIRY - np.asarray(minute, np.float64)) / 1440.0, _LEAST_DAYS)


def intrinsic(spot: Any, strike: Any, side: Any) -> Floats:
    """Value per share if exercised: calls for side +1, puts for -1."""
    value: Floats = np.maximum(0.0, side * (spot - strike))
    return value


def quote(spot: Any, strike: Any, side: Any, days: Any) -> Floats:
    """Ask-side quote per share in dollars; all arguments broadcast.

    Parameters
    ----------
    spot, strike : dollars
    side : +1 call, -1 put
    days : calendar days left

    The first leg of the first published trade, the 572 call at 11:29 with the spot at 570.764:

    >>> round(float(quote(570.764, 572.0, 1, days_left(11 * 60 + 29))), 4)
    4.6417
    """
    sigma = 0.25 * np.where(days < 0.1, 1.3, np.where(days < 1.0, 1.1, 1.0))
    decay = np.exp(-np.abs(strike - spot) / (0.05 * spot))
    fair = intrinsic(spot, strike, side) + spot * sigma * np.sqrt(days / 252.0) * decay
    asked: Floats = np.maximum(fair + np.maximum(0.10 * fair, 0.05), 0.10)
    return asked


def friction(quantity: Any, premium: Any) -> Floats:
    """Modelled cost in dollars of entering `quantity` contracts of a leg.

    The original divided by it and never charged it [H6c].
    """
    size = np.abs(quantity)
    cost: Floats = size * (FRICTION_USD + FRICTION_SHARE * 100.0 * premium)
    return cost
