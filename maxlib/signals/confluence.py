"""Confluence: of ICT structures within six bars, and of the higher timeframes."""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.timeframe import Timeframe, timeframe
from maxlib.signals.ict import DOWN, UP, Structures

WINDOW: Final = 5
"""Bars after the sweep in which displacement and shift must follow."""
_MASK: Final = (1 << (WINDOW + 1)) - 1


class Pending(Record):
    """Open sweeps of one direction; bit a = the sweep a bars ago."""

    sweep: int
    displacement: int
    mss: int


@kernel
def confirm(s: Pending, sweep: bool, displacement: bool, mss: bool) -> int:
    """Age in bars of the oldest sweep that this bar confirms, or -1.

    A sweep is confirmed at the bar where the last of sweep, displacement and
    shift (same direction, at or after the sweep, at most five bars later) is
    there; each sweep once. The original looked ahead from the sweep instead.
    """
    s.sweep = (s.sweep << 1 | (1 if sweep else 0)) & _MASK
    s.displacement = (s.displacement << 1) & _MASK
    s.mss = (s.mss << 1) & _MASK
    if displacement:
        s.displacement |= s.sweep
    if mss:
        s.mss |= s.sweep
    done = s.sweep & s.displacement & s.mss
    if done == 0:
        return -1
    s.sweep &= ~done
    age = WINDOW
    while done >> age & 1 == 0:
        age -= 1
    return age


RECENT: Final = 10
"""A structure counts for the score while it is at most this many bars old."""


class LastSeen(Record):
    """Bar number + 1 at which each structure was last seen, 0 = never."""

    n: int
    sweep: int
    displacement: int
    mss: int
    gap: int
    block: int


@kernel
def score(s: LastSeen, bit: int, seen: Structures) -> float:
    """Weight of the structures of one direction in the last eleven bars, 0 to 1.

    Sweep 0.25, displacement 0.25, shift 0.20, gap 0.15, order block 0.15.
    """
    s.n += 1
    if seen.sweep & bit:
        s.sweep = s.n
    if seen.displacement & bit:
        s.displacement = s.n
    if seen.mss & bit:
        s.mss = s.n
    if seen.gap & bit:
        s.gap = s.n
    if seen.block & bit:
        s.block = s.n
    total = 0.0
    if s.sweep > 0 and s.n - s.sweep <= RECENT:
        total += 0.25
    if s.displacement > 0 and s.n - s.displacement <= RECENT:
        total += 0.25
    if s.mss > 0 and s.n - s.mss <= RECENT:
        total += 0.20
    if s.gap > 0 and s.n - s.gap <= RECENT:
        total += 0.15
    if s.block > 0 and s.n - s.block <= RECENT:
        total += 0.15
    return total


class Higher(Record):
    """Completed daily and four-hour bars, and the verdict drawn from them.

    `direction`: UP, DOWN (also for a flat trend) or 0 (unknown); `confidence` in [0, 1].
    Both change only when a period closes.
    """

    day: Timeframe
    hours: Timeframe
    closes: Annotated[Floats, 20]
    day_typical: Annotated[Floats, 5]
    typical: Annotated[Floats, 10]
    direction: int
    confidence: float


@kernel
def higher(
    s: Higher, day: int, minute: int, open_: float, high: float, low: float, close: float, volume: float
) -> None:
    """Feed one minute: calendar days with extended hours, four-hour bins from 0, 4, 8, … in New York.

    The bar that opens a new period is the first that sees the completed one.
    """
    date = day - 1 if minute >= 18 * 60 else day
    new_day = timeframe(s.day, date, open_, high, low, close, volume)
    new_hours = timeframe(s.hours, date * 6 + minute // 240, open_, high, low, close, volume)
    if new_day:
        i = s.day.n - 1
        s.closes[i % 20] = s.day.done.close
        s.day_typical[i % 5] = (s.day.done.high + s.day.done.low + s.day.done.close) / 3.0
    if new_hours:
        s.typical[(s.hours.n - 1) % 10] = (s.hours.done.high + s.hours.done.low + s.hours.done.close) / 3.0
    if new_day or new_hours:
        _judge(s)


@kernel
def _judge(s: Higher) -> None:
    """Daily trend, then VWAP and volume-profile proxies that may add 0.05 each (spec §3)."""
    s.direction = 0
    s.confidence = 0.0
    if s.day.n < 5:
        return
    first, last = s.closes[(s.day.n - 5) % 20], s.closes[(s.day.n - 1) % 20]
    slope = (last - first) / first
    if math.isnan(slope):
        return
    trend = 1 if slope > 0.0 else -1
    s.direction = UP if trend > 0 else DOWN
    s.confidence = 0.4 + 0.4 * math.tanh(abs(slope) / 0.02)
    if _versus_vwap(s) == trend:
        s.confidence += 0.05
    if _versus_poc(s) == trend:
        s.confidence += 0.05
    s.confidence = min(1.0, s.confidence)


@kernel
def _versus_vwap(s: Higher) -> int:
    """+1 above, -1 below, 0 at the mean typical price of the last ten four-hour bars (or five days)."""
    if s.hours.n >= 3:
        count = min(s.hours.n, 10)
        total = 0.0
        for i in range(count):
            total += s.typical[(s.hours.n - 1 - i) % 10]
        close = s.hours.done.close
    else:
        count = min(s.day.n, 5)
        total = 0.0
        for i in range(count):
            total += s.day_typical[(s.day.n - 1 - i) % 5]
        close = s.day.done.close
    mean = total / count
    if close > 1.001 * mean:
        return 1
    return -1 if close < 0.999 * mean else 0


@kernel
def _versus_poc(s: Higher) -> int:
    """+1 above value, -1 below, 0 at it: point of control = most frequent daily close, to 0.1.

    Twenty closes are needed; the smallest price wins a tie.
    """
    if s.day.n < 20:
        return 0
    best = 0.0
    most = 0
    for i in range(20):
        tenth = _tenths(s.closes[i])
        count = 0
        for j in range(20):
            if _tenths(s.closes[j]) == tenth:
                count += 1
        if count > most or (count == most and tenth < best):
            most = count
            best = tenth
    poc = best / 10.0
    close = s.day.done.close
    if close > 1.002 * poc:
        return 1
    return -1 if close < 0.998 * poc else 0


@kernel
def _tenths(x: float) -> int:
    """`x` to the nearest tenth, counted in tenths, by its exact value: 591.55 is a hair below, so 5915."""
    five = 4.0 * x + x
    rest = x - (five - 4.0 * x)  # exact: what the product lost
    ten = 2.0 * five
    whole = math.floor(ten)
    if ten - whole == 0.5 and rest != 0.0:
        return int(whole + 1 if rest > 0.0 else whole)
    return round(ten)
