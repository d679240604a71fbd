"""Renko bricks from closes, of fixed or of causal rolling size.

Bricks are known at the close of the bar that completes them; several may share
one bar. The rolling size is k × the median ATR of the previous trading days,
fixed for a day, so no brick depends on a later bar (an "ATR Renko" sized by the
whole sample or the newest ATR repaints its own history).
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Ints, Record
from maxlib.kernels.kernel import kernel

MAX_DAYS: Final = 5
"""Longest calibration of the rolling size, in trading days."""
RING: Final = MAX_DAYS * 1440


class Renko(Record):
    """The last brick: it ends at `level` and began at `edge`."""

    n: int
    level: float
    edge: float
    direction: int


@kernel
def renko_next(s: Renko, size: float, reversal: int, close: float) -> int:
    """The next brick this close completes: +1, -1, or 0 when there is none left.

    Call until 0: after each brick `s.level` is its edge. The first close sets
    the level. `reversal` = 1: one brick against the trend suffices (the spec's
    waves); 2: the close must clear two, and the first opposite brick then opens
    at the far edge of the last one (the classic rule). No brick for a size that
    is not positive and finite, or a close that is not finite.
    """
    if not (math.isfinite(close) and math.isfinite(size) and size > 0.0):
        return 0
    if s.n == 0:
        s.n = 1
        s.level = close
        return 0
    # The far edge is kept, not worked out from `size`, which may have rolled since.
    up_edge = s.edge if reversal == 2 and s.direction < 0 else s.level
    down_edge = s.edge if reversal == 2 and s.direction > 0 else s.level
    if close >= up_edge + size:
        s.edge, s.level = up_edge, up_edge + size
        s.direction = 1
    elif close <= down_edge - size:
        s.edge, s.level = down_edge, down_edge - size
        s.direction = -1
    else:
        return 0
    s.n += 1
    return s.direction


class DayMedian(Record):
    """Values of the last days, day after day in one ring, and the median of the days before this one."""

    day: int
    n: int  # values pushed in all
    days: int  # complete days seen
    starts: Annotated[Ints, 5]  # value count at which each of the last MAX_DAYS days began
    median: float
    ring: Annotated[Floats, 7200]
    work: Annotated[Floats, 7200]


@kernel
def day_median(s: DayMedian, days: int, day: int, value: float) -> float:
    """Median of the values of the previous `days` trading days; NaN until that many are complete.

    Fixed within a day: today's values do not move it. NaN values are left out.
    """
    if day != s.day:
        if s.n > 0:
            s.days += 1
        s.median = math.nan
        if s.days >= days:
            first = s.starts[(s.days - days) % MAX_DAYS]
            s.median = _median(s, first, s.n)
        s.starts[s.days % MAX_DAYS] = s.n
        s.day = day
    if not math.isnan(value):
        s.ring[s.n % RING] = value
        s.n += 1
    return s.median


@kernel
def brick_size(s: DayMedian, k: float, days: int, fixed: float, day: int, atr: float) -> float:
    """Brick size for this bar: k × median ATR of the `days` trading days before, at least one cent.

    NaN while it is not known. `fixed` > 0 overrides it. In price units.
    """
    median = day_median(s, days, day, atr)
    if fixed > 0.0:
        return fixed
    return median if math.isnan(median) else max(k * median, 0.01)


@kernel
def _median(s: DayMedian, first: int, last: int) -> float:
    """Median of ring entries first..last-1 by quickselect on a scratch copy."""
    count = last - first
    if count <= 0:
        return math.nan
    start = first % RING
    before = min(count, RING - start)  # the ring may wrap once
    for i in range(before):
        s.work[i] = s.ring[start + i]
    for i in range(before, count):
        s.work[i] = s.ring[i - before]
    half = count // 2
    upper: float = _select(s, count, half)
    if count % 2 == 1:
        return upper
    lower: float = s.work[0]  # quickselect left the smaller half in front
    for i in range(1, half):
        lower = max(lower, s.work[i])
    return 0.5 * (lower + upper)


@kernel
def _select(s: DayMedian, count: int, k: int) -> float:
    """k-th smallest of the first `count` scratch values (Hoare)."""
    low, high = 0, count - 1
    while low < high:
        pivot = s.work[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while s.work[i] < pivot:
                i += 1
            while s.work[j] > pivot:
                j -= 1
            if i <= j:
                s.work[i], s.work[j] = s.work[j], s.work[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    value: float = s.work[k]
    return value
