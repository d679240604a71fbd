"""Swing points with their confirmation lag."""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel

WIDTH: Final = 2
"""Bars on each side that a swing must exceed (strictly)."""


class Swing(Record):
    """Last five highs and lows; the newest confirmed swing of each side (NaN: none yet)."""

    n: int
    high: float
    low: float
    highs: Annotated[Floats, 5]
    lows: Annotated[Floats, 5]


@kernel
def swing(s: Swing, high: float, low: float) -> int:
    """Update with one bar; bits of what it confirmed: 1 a swing high, 2 a swing low.

    A swing high is a high above those of the two bars before and the two bars
    after it. It is known only now, two bars after it formed: `s.high` changes at
    the confirming bar, never before.
    """
    if s.n == 0:
        s.high = s.low = math.nan
    s.highs[s.n % 5] = high
    s.lows[s.n % 5] = low
    s.n += 1
    if s.n < 5:
        return 0
    mid = (s.n - 3) % 5
    top, bottom = s.highs[mid], s.lows[mid]
    is_high = is_low = True
    for i in range(5):
        if i != mid:
            is_high &= top > s.highs[i]
            is_low &= bottom < s.lows[i]
    found = 0
    if is_high:
        s.high = top
        found += 1
    if is_low:
        s.low = bottom
        found += 2
    return found
