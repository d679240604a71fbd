"""Higher timeframes built from minutes, closed only when complete."""

from __future__ import annotations

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel


class Candle(Record):
    """Open, high, low, close, volume of one period."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Timeframe(Record):
    """The period being built, and the last complete one."""

    n: int  # complete periods
    bucket: int
    bars: int  # minutes in the period being built
    now: Candle
    done: Candle


@kernel
def timeframe(
    s: Timeframe, bucket: int, open_: float, high: float, low: float, close: float, volume: float
) -> bool:
    """Add a minute that belongs to `bucket`; True when this closed the previous period.

    A period is complete when the first bar of a later one arrives: nothing is
    assumed about minutes that never trade. `s.done` then holds it, and this bar
    is the first that may use it. Buckets are whatever numbers the caller counts
    periods with (minutes // 30, the trading day, …).
    """
    closed = s.bars > 0 and bucket != s.bucket
    if closed:
        s.n += 1
        s.done.open, s.done.high, s.done.low = s.now.open, s.now.high, s.now.low
        s.done.close, s.done.volume = s.now.close, s.now.volume
    if closed or s.bars == 0:
        s.bucket = bucket
        s.bars = 0
        s.now.open, s.now.high, s.now.low = open_, high, low
        s.now.volume = 0.0
    s.bars += 1
    s.now.high = max(s.now.high, high)
    s.now.low = min(s.now.low, low)
    s.now.close = close
    s.now.volume += volume
    return closed
