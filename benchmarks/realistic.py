"""A strategy of realistic size, written as any user would: records, steps, maxlib's kernels.

Two EMAs, Wilder's ATR, session VWAP, Renko, swings and breaks of structure, fair
value gaps, 5- and 15-minute trends, fills at the next open, stop and target
inside the bar. It measures the step style; it is no trading idea.
"""

from __future__ import annotations

import math
from typing import Final

from maxlib.core.record import Int8, Int32, Record
from maxlib.kernels.averages import Ema, Vwap, ema, vwap
from maxlib.kernels.kernel import kernel
from maxlib.kernels.ranges import WilderAtr, wilder_atr
from maxlib.kernels.renko import Renko, renko_next
from maxlib.kernels.swings import Swing, swing
from maxlib.kernels.system import System
from maxlib.kernels.timeframe import Timeframe, timeframe
from maxlib.market.bars import BarRecord

DEFAULT: Final = {
    "fast": 9, "slow": 21, "atr": 14, "brick": 1.5, "stop": 2.0, "target": 3.0, "slip": 0.01, "score": 5,
}  # fmt: skip


class Structure(Record):
    """Swings, and the direction of the last break of one."""

    swing: Swing
    trend: int
    used_high: float  # the swing that was broken last: each counts once
    used_low: float


@kernel
def broken(s: Structure, high: float, low: float, close: float) -> int:
    """+1 when the bar closes above the newest swing high, -1 below the newest low, once per swing."""
    swing(s.swing, high, low)
    if close > s.swing.high and s.swing.high != s.used_high:
        s.used_high = s.swing.high
        s.trend = 1
        return 1
    if close < s.swing.low and s.swing.low != s.used_low:
        s.used_low = s.swing.low
        s.trend = -1
        return -1
    return 0


class Gap(Record):
    """Highs and lows of the last two bars."""

    n: int
    high: float
    low: float
    high_before: float
    low_before: float


@kernel
def gap(s: Gap, high: float, low: float) -> int:
    """+1 or -1 when this bar and the one two before leave a gap."""
    found = 0
    if s.n >= 2:
        if low > s.high_before:
            found = 1
        elif high < s.low_before:
            found = -1
    s.n += 1
    s.high_before, s.low_before = s.high, s.low
    s.high, s.low = high, low
    return found


class HigherTrend(Record):
    """A higher timeframe and its EMAs of complete closes."""

    bars: Timeframe
    fast: Ema
    slow: Ema
    trend: int


@kernel
def higher_trend(s: HigherTrend, minutes: int, bar: BarRecord) -> int:
    """+1 or -1, 0 until the slow EMA is known."""
    bucket = bar.day * 1440 + bar.minute // minutes
    if timeframe(s.bars, bucket, bar.open, bar.high, bar.low, bar.close, bar.volume):
        fast = ema(s.fast, 9, s.bars.done.close)
        slow = ema(s.slow, 21, s.bars.done.close)
        if fast > slow:
            s.trend = 1
        elif fast < slow:
            s.trend = -1
    return s.trend


class Book(Record):
    """The position of one share, and what it has earned."""

    want: int
    side: int
    entry: float
    stop: float
    target: float
    cash: float
    peak: float
    drawdown: float
    trades: int
    wins: int


@kernel
def trade(s: Book, slip: float, bar: BarRecord) -> None:
    """Fill what the last bar wanted at this open; then stop, then target, inside the bar."""
    if s.want != 0:
        if s.side == 0:
            s.side = s.want
            s.entry = bar.open + s.side * slip
            s.stop = s.entry - s.side * s.stop
            s.target = s.entry + s.side * s.target
        s.want = 0
    if s.side == 0:
        return
    price = math.nan
    if s.side > 0:
        if bar.low <= s.stop:
            price = min(bar.open, s.stop)
        elif bar.high >= s.target:
            price = max(bar.open, s.target)
    elif bar.high >= s.stop:
        price = max(bar.open, s.stop)
    elif bar.low <= s.target:
        price = min(bar.open, s.target)
    if math.isnan(price):
        return
    gain = s.side * (price - s.entry) - slip
    s.cash += gain
    s.trades += 1
    s.wins += 1 if gain > 0.0 else 0
    s.side = 0
    s.peak = max(s.peak, s.cash)
    s.drawdown = max(s.drawdown, s.peak - s.cash)


class State(Record):
    """Everything the strategy remembers."""

    fast: Ema
    slow: Ema
    atr: WilderAtr
    vwap: Vwap
    renko: Renko
    structure: Structure
    gap: Gap
    five: HigherTrend
    fifteen: HigherTrend
    book: Book


class Params(Record):
    """Lengths in bars; brick, stop and target in ATRs; slip in dollars."""

    fast: int
    slow: int
    atr: int
    brick: float
    stop: float
    target: float
    slip: float
    score: int


class Out(Record):
    """What a chart would draw."""

    atr: float
    vwap: float
    bricks: Int32
    score: Int8
    signal: Int8


@kernel
def realistic(s: State, p: Params, bar: BarRecord, out: Out) -> None:
    """One bar: fills and exits, then every reader, then the decision for the next open."""
    b = bar
    trade(s.book, p.slip, b)
    fast = ema(s.fast, p.fast, b.close)
    slow = ema(s.slow, p.slow, b.close)
    atr = wilder_atr(s.atr, p.atr, b.high, b.low, b.close)
    mean = vwap(s.vwap, b.day, b.high, b.low, b.close, b.volume)
    bricks = 0
    while True:
        direction = renko_next(s.renko, p.brick * atr, 1, b.close)
        if direction == 0:
            break
        bricks += direction
    score = broken(s.structure, b.high, b.low, b.close) + gap(s.gap, b.high, b.low)
    score += higher_trend(s.five, 5, b) + higher_trend(s.fifteen, 15, b)
    score += 1 if fast > slow else -1
    score += 1 if b.close > mean else -1
    score += 1 if bricks > 0 else -1 if bricks < 0 else 0
    signal = 1 if score >= p.score else -1 if score <= -p.score else 0
    if signal != 0 and s.book.side == 0 and not math.isnan(atr):
        s.book.want = signal
        s.book.stop = p.stop * atr
        s.book.target = p.target * atr
    out.signal = signal
    out.score = score
    out.atr = atr
    out.vwap = mean
    out.bricks = bricks


REALISTIC: Final = System(State, Params, Out, realistic)
