"""Exponential average and session VWAP. Known at the close of the bar given."""

from __future__ import annotations

import math

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel


class Ema(Record):
    """Seed sum, then the average."""

    n: int
    y: float


@kernel
def ema(s: Ema, length: int, x: float) -> float:
    """EMA with α = 2/(length+1), seeded by the mean of the first `length` values.

    NaN before. 1, 2, 3, 4, 5 with length 3 gives 2, 3, 4.
    """
    s.n += 1
    if s.n > length:
        s.y += (x - s.y) * (2.0 / (length + 1.0))
        return s.y
    s.y += x
    if s.n < length:
        return math.nan
    s.y /= length
    return s.y


class Vwap(Record):
    """Volume, mean and weighted squared deviation since the anchor."""

    day: int
    volume: float
    mean: float
    m2: float


@kernel
def vwap(s: Vwap, day: int, high: float, low: float, close: float, volume: float) -> float:
    """Volume-weighted average of (H+L+C)/3 since the first bar of `day`.

    The caller chooses the anchor by what it feeds: regular-hours bars only give
    the regular session's VWAP. Zero volume carries the value; NaN until the
    first volume. Bands: `vwap_sigma`. Updated by West's method, so that the
    deviation does not cancel.
    """
    if day != s.day:
        s.day = day
        s.volume = s.mean = s.m2 = 0.0
    if volume > 0.0:
        s.volume += volume
        delta = (high + low + close) / 3.0 - s.mean
        step = delta * (volume / s.volume)
        s.mean += step
        s.m2 += volume * delta * (delta - step)
    return s.mean if s.volume > 0.0 else math.nan


@kernel
def vwap_sigma(s: Vwap) -> float:
    """Volume-weighted standard deviation of the typical price around the VWAP; NaN without volume."""
    return math.sqrt(max(s.m2, 0.0) / s.volume) if s.volume > 0.0 else math.nan
