"""Higher timeframes: daily/4 h verdict and the 30-minute trend label, written from the spec's §3."""

import itertools
import math
from collections import Counter
from typing import NamedTuple

from tests.twins.indicators import simple_atr
from tests.twins.renko import one_brick, rolling_size
from tests.twins.tape import Tape, starts_of

NAN = math.nan


class Candle(NamedTuple):
    """One period and the bar positions [first, last) it was made of."""

    first: int
    last: int
    high: float
    low: float
    close: float

    @property
    def typical(self) -> float:
        return (self.high + self.low + self.close) / 3.0


def candles(t: Tape, keys: list[int]) -> list[Candle]:
    edges = starts_of(keys)
    return [
        Candle(a, z, max(t.high[a:z]), min(t.low[a:z]), t.close[z - 1]) for a, z in itertools.pairwise(edges)
    ]


def dates(t: Tape) -> list[int]:
    """Calendar dates in New York: the evening from 18:00 belongs to the trading day before its own."""
    return [day - (minute >= 18 * 60) for day, minute in zip(t.day, t.minute, strict=True)]


def verdict(days: list[Candle], hours: list[Candle]) -> tuple[int, float]:
    """Direction (+1, -1, 0 unknown) and confidence from completed daily and four-hour bars."""
    if len(days) < 5:
        return 0, 0.0
    closes = [d.close for d in days[-5:]]
    slope = (closes[-1] - closes[0]) / closes[0]
    trend = 1 if slope > 0 else -1
    confidence = 0.4 + 0.4 * math.tanh(abs(slope) / 0.02)
    if len(hours) >= 3:
        recent, close = hours[-10:], hours[-1].close
    else:
        recent, close = days[-5:], days[-1].close
    total = 0.0
    for candle in reversed(recent):
        total += candle.typical
    mean = total / len(recent)
    if (1 if close > 1.001 * mean else -1 if close < 0.999 * mean else 0) == trend:
        confidence += 0.05
    if len(days) >= 20:
        counts = Counter(round(d.close, 1) for d in days[-20:])  # 591.55 lies below its name: 591.5
        poc = min(price for price, count in counts.items() if count == max(counts.values()))
        last = days[-1].close
        if (1 if last > 1.002 * poc else -1 if last < 0.998 * poc else 0) == trend:
            confidence += 0.05
    return trend, min(1.0, confidence)


def verdicts(t: Tape) -> list[tuple[int, float]]:
    """The verdict each bar may use: from periods that were complete before it began."""
    date = dates(t)
    days = candles(t, date)
    hours = candles(t, [d * 6 + m // 240 for d, m in zip(date, t.minute, strict=True)])
    out: list[tuple[int, float]] = []
    for number, current in enumerate(hours):  # a four-hour bin never spans two dates
        complete_days = [d for d in days if d.last <= current.first]
        out += [verdict(complete_days, hours[:number])] * (current.last - current.first)
    return out


def labels(
    t: Tape, *, k: float = 1.0, days: int = 5, fixed: float = 0.0, lookback: int = 20, threshold: float = 0.3
) -> list[int]:
    """+1 bull, -1 bear, 0 sideways: the label of the newest complete 30-minute bar.

    Brick size of a 30-minute bar = k × median ATR14 of the 30-minute bars of the `days` trading days
    before its own. Bins are labelled at their right edge, so a bar belongs to the trading day on which
    it became known: the one that ends at 18:00 to the day that begins there.
    """
    keys = [d * 48 + m // 30 for d, m in zip(t.day, t.minute, strict=True)]
    bars = candles(t, keys)
    closes = [c.close for c in bars]
    day = [t.day[min(c.last, len(t) - 1)] for c in bars]
    atr = simple_atr([c.high for c in bars], [c.low for c in bars], closes, 14)
    sizes = [fixed] * len(bars) if fixed > 0 else rolling_size(day, atr, k, days)
    directions = [0] * len(bars)
    for brick in one_brick(closes, sizes):
        directions[brick.bar :] = [brick.direction] * (len(bars) - brick.bar)
    out: list[int] = []
    now = 0
    for i, candle in enumerate(bars):
        out += [now] * (candle.last - candle.first)  # what is known while this bar is being built
        now = label(directions[max(0, i + 1 - lookback) : i + 1], closes[: i + 1], lookback, threshold)
    return out


def label(directions: list[int], closes: list[float], lookback: int, threshold: float) -> int:
    mean = sum(directions) / len(directions)
    if len(closes) < lookback:
        return 0
    y = closes[-lookback:]
    x_mean = (lookback - 1) / 2
    y_mean = math.fsum(y) / lookback
    slope = math.fsum((x - x_mean) * (v - y_mean) for x, v in enumerate(y))
    slope /= math.fsum((x - x_mean) ** 2 for x in range(lookback))
    slope /= y[-1]
    if mean > threshold and slope > 0:
        return 1
    return -1 if mean < -threshold and slope < 0 else 0
