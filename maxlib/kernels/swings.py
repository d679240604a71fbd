"""Swing points with their confirmation lag."""

from __future__ import annotations

import math
from typing import Final

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel

WIDTH: Final = 2
"""Bars on each side that a swing must exceed (strictly)."""


class Swing(Record):
    """The newest confirmed swing of each side (NaN: none yet), and the last four bars, newest first."""

    n: int
    high: float
    low: float
    high_1: float
    high_2: float
    high_3: float
    high_4: float
    low_1: float
    low_2: float
    low_3: float
    low_4: float


@kernel
def swing(s: Swing, high: float, low: float) -> int:
    """Update with one bar; bits of what it confirmed: 1 a swing high, 2 a swing low.

    A swing high is a high above those of the two bars before and the two bars
    after it. It is known only now, two bars after it formed: `s.high` changes at
    the confirming bar, never before.
    """
    if s.n == 0:
        s.high = s.low = math.nan
    s.n += 1
    top, bottom = s.high_2, s.low_2
    found = 0
    if s.n >= 5:
        # `&`, not `and`: four cheap comparisons beat four branches that cannot be predicted.
        if (top > s.high_4) & (top > s.high_3) & (top > s.high_1) & (top > high):
            s.high = top
            found += 1
        if (bottom < s.low_4) & (bottom < s.low_3) & (bottom < s.low_1) & (bottom < low):
            s.low = bottom
            found += 2
    s.high_4, s.high_3, s.high_2, s.high_1 = s.high_3, top, s.high_1, high
    s.low_4, s.low_3, s.low_2, s.low_1 = s.low_3, bottom, s.low_1, low
    return found
