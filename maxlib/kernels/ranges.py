"""True range, average true range, directional movement.

All are known at the close of the bar they are given.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel

MAX_ATR: Final = 64
"""Longest window of the simple ATR, in bars (the size of its ring)."""


class TrueRange(Record):
    """The previous close; `n` counts bars."""

    n: int
    close: float


@kernel
def true_range(s: TrueRange, high: float, low: float, close: float) -> float:
    """max(H-L, |H-C₋₁|, |L-C₋₁|); H-L on the first bar. In price units."""
    tr = high - low
    if s.n > 0:
        tr = max(tr, abs(high - s.close), abs(low - s.close))
    s.n += 1
    s.close = close
    return tr


class SimpleAtr(Record):
    """Ring of the last true ranges; `at` is where the next one goes."""

    tr: TrueRange
    at: int
    ring: Annotated[Floats, 64]


@kernel
def simple_atr(s: SimpleAtr, length: int, high: float, low: float, close: float) -> float:
    """Mean of the last `length` true ranges, this bar included; NaN for the first length-1 bars.

    `length` is at most `MAX_ATR`. Summed afresh at each bar (in ring order), so no
    rounding error accumulates.
    """
    s.ring[s.at] = true_range(s.tr, high, low, close)
    s.at = s.at + 1 if s.at + 1 < length else 0
    if s.tr.n < length:
        return math.nan
    total = 0.0
    for i in range(length):
        total += s.ring[i]
    return total / length


class WilderAtr(Record):
    """Seed sum, then the smoothed value."""

    tr: TrueRange
    y: float


@kernel
def wilder_atr(s: WilderAtr, length: int, high: float, low: float, close: float) -> float:
    """Wilder's ATR: seed = mean of TR₁..TRₙ (bar 0 has no true range), then (ATR(n-1)+TR)/n.

    Known from bar `length` on, NaN before. Source: Wilder 1978; checked on the
    SPY series of Stock.Indicators (ATR14[14] = 1.336429).
    """
    tr = true_range(s.tr, high, low, close)
    bar = s.tr.n - 1
    if bar == 0:
        return math.nan
    if bar <= length:
        s.y += tr
        if bar < length:
            return math.nan
        s.y /= length
        return s.y
    s.y = (s.y * (length - 1) + tr) / length
    return s.y


class Adx(Record):
    """Wilder sums of true range and directional movement, and of DX."""

    tr: TrueRange
    high: float
    low: float
    sum_tr: float
    sum_up: float
    sum_down: float
    dx: float
    plus: float
    minus: float


@kernel
def adx(s: Adx, length: int, high: float, low: float, close: float) -> float:
    """Wilder's ADX; `s.plus` and `s.minus` hold +DI and -DI (known from bar `length`).

    First ADX = mean of `length` DX values, at bar 2·length-1; NaN before.
    Textbook seed, not TA-Lib's, whose directional sums start one term short.
    """
    up, down = high - s.high, s.low - low
    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    s.high, s.low = high, low
    tr = true_range(s.tr, high, low, close)
    bar = s.tr.n - 1
    if bar == 0:
        s.plus = s.minus = math.nan
        return math.nan
    if bar > length:
        s.sum_tr -= s.sum_tr / length
        s.sum_up -= s.sum_up / length
        s.sum_down -= s.sum_down / length
    s.sum_tr += tr
    s.sum_up += plus
    s.sum_down += minus
    if bar < length:
        return math.nan
    s.plus = 100.0 * s.sum_up / s.sum_tr if s.sum_tr != 0.0 else 0.0
    s.minus = 100.0 * s.sum_down / s.sum_tr if s.sum_tr != 0.0 else 0.0
    both = s.plus + s.minus
    dx = 100.0 * abs(s.plus - s.minus) / both if both != 0.0 else 0.0
    if bar < 2 * length:
        s.dx += dx
        if bar < 2 * length - 1:
            return math.nan
        s.dx /= length
        return s.dx
    s.dx = (s.dx * (length - 1) + dx) / length
    return s.dx
