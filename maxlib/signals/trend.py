"""Trend regime label from 30-minute Renko directions and the slope of closes."""

from __future__ import annotations

from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.ranges import SimpleAtr, simple_atr
from maxlib.kernels.renko import DayMedian, Renko, brick_size, renko_next
from maxlib.kernels.timeframe import Timeframe, timeframe

SIDEWAYS: Final = 0
BULL: Final = 1
BEAR: Final = -1
TREND_NAMES: Final = {SIDEWAYS: "sideways", BULL: "bull_trend", BEAR: "bear_trend"}
_ATR: Final = 14


class TrendParams(Record):
    """size = k × median ATR14 of 30-minute bars over `days` earlier days; `fixed` > 0 overrides it."""

    k: float
    days: int
    fixed: float
    lookback: int  # bars for the mean direction and the slope, at most 64
    threshold: float  # mean direction beyond which a trend is named; the code's 0.3, documents say 0.6


class Trend(Record):
    """Label and what it was drawn from."""

    bars: Timeframe
    atr: SimpleAtr
    size: DayMedian
    renko: Renko
    directions: Annotated[Floats, 64]
    closes: Annotated[Floats, 64]
    label: int


@kernel
def trend(
    s: Trend,
    p: TrendParams,
    day: int,
    minute: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> int:
    """Feed one minute; the label of the newest complete 30-minute bar.

    BULL, BEAR or SIDEWAYS (also before any). A bar counts, for the calibration of the
    brick, to the trading day on which it becomes known: the last bar of a day to the next.
    """
    if not timeframe(s.bars, day * 48 + minute // 30, open_, high, low, close, volume):
        return s.label
    done = s.bars.done
    atr = simple_atr(s.atr, _ATR, done.high, done.low, done.close)
    size = brick_size(s.size, p.k, p.days, p.fixed, day, atr)
    while renko_next(s.renko, size, 1, done.close) != 0:
        pass
    n = s.bars.n
    s.directions[(n - 1) % p.lookback] = s.renko.direction
    s.closes[(n - 1) % p.lookback] = done.close
    mean, slope = _mean_and_slope(s, p.lookback, n)
    s.label = SIDEWAYS
    if mean > p.threshold and slope > 0.0:
        s.label = BULL
    elif mean < -p.threshold and slope < 0.0:
        s.label = BEAR
    return s.label


@kernel
def _mean_and_slope(s: Trend, lookback: int, n: int) -> tuple[float, float]:
    """Mean of the last directions (those there are), least-squares slope of closes per bar ÷ close."""
    count = min(n, lookback)
    total = 0.0
    for i in range(count):
        total += s.directions[i]
    if n < lookback:
        return total / count, 0.0
    middle = 0.5 * (lookback - 1)
    top = bottom = 0.0
    for i in range(lookback):
        x = i - middle
        top += x * s.closes[(n + i) % lookback]
        bottom += x * x
    return total / count, top / bottom / s.closes[(n - 1) % lookback]


@kernel
def allows(label: int, side: int) -> bool:
    """Longs need a bull or sideways label, shorts a bear or sideways one."""
    return label in (SIDEWAYS, side)
