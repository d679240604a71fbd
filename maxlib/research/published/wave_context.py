"""What the published rules saw of higher timeframes.

Bars are binned by their START stamps, right-closed: the bar that starts at 10:00 ends
the half hour labelled 10:00 and may already use it. Four-hour bins are counted in elapsed
time from the first midnight, so they stand an hour off the clock once it has changed.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal, new_york_minutes, to_ns
from maxlib.research.published.wave_bricks import atr, bricks, earlier_days, full_sample

Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOOKBACK: Final = 20
_THRESHOLD: Final = 0.3
_TREND_DAYS: Final = 20
"""Days that size a causal 30-minute brick. The spec does not say; only 20, beginning with the second
day, gives the nine figures of its step 2 (trades, wins and P&L of three scenarios)."""


class Candles(NamedTuple):
    """Periods: the bin number, the bar it begins with, and its prices."""

    key: Ints
    first: Ints
    high: Floats
    low: Floats
    close: Floats

    @property
    def typical(self) -> Floats:
        """(H + L + C) / 3."""
        return (self.high + self.low + self.close) / 3.0


def candles(bars: Rows, key: Ints) -> Candles:
    """Periods of consecutive bars with one key."""
    first = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    last = np.append(first[1:], len(key)) - 1
    high, low = np.maximum.reduceat(bars["high"], first), np.minimum.reduceat(bars["low"], first)
    return Candles(key[first], first, high, low, bars["close"][last])


class Context:
    """Verdict and trend label at each bar.

    Parameters
    ----------
    bars : BAR[n]
    hindsight : size the 30-minute bricks by the whole sample [H4], else by earlier days

    Attributes
    ----------
    date : int64[n], New York date, days since 1970
    label : int64[n], 1 bull_trend, -1 bear_trend, 0 sideways
    """

    def __init__(self, bars: Rows, *, hindsight: bool) -> None:
        start = bars["ts"] - NS_PER_MINUTE
        wall = new_york_minutes(start)
        self.date = wall // 1440
        elapsed = (start - to_ns(from_ordinal(int(self.date[0])), 0)) // NS_PER_MINUTE
        self._days = candles(bars, self.date)
        self._hours = candles(bars, -(-elapsed // 240))
        self._known_days = np.searchsorted(self._days.key, self.date)
        self._known_hours = np.searchsorted(self._hours.key, elapsed // 240, side="right")
        self._day_typical, self._hour_typical = self._days.typical, self._hours.typical
        self._verdicts: dict[tuple[int, int], tuple[int, float]] = {}
        halves = candles(bars, -(-wall // 30))
        labels = _labels(halves, self.date[halves.first], hindsight)
        known = np.searchsorted(halves.key, wall // 30, side="right")
        self.label = np.append(0, labels)[known]

    def verdict(self, at: int) -> tuple[int, float]:
        """Direction (0 unknown) and confidence at bar `at` (spec §3)."""
        days, hours = int(self._known_days[at]), int(self._known_hours[at])
        if (days, hours) not in self._verdicts:
            self._verdicts[days, hours] = self._judge(days, hours)
        return self._verdicts[days, hours]

    def _judge(self, days: int, hours: int) -> tuple[int, float]:
        if days < 5:
            return 0, 0.0
        closes = self._days.close[:days].tolist()
        slope = (closes[-1] - closes[-5]) / closes[-5]
        trend = 1 if slope > 0 else -1
        confidence = 0.4 + 0.4 * math.tanh(abs(slope) / 0.02)
        if hours >= 3:
            mean, close = self._hour_typical[max(0, hours - 10) : hours].mean(), self._hours.close[hours - 1]
        else:
            mean, close = self._day_typical[days - 5 : days].mean(), closes[-1]
        if _against(close, mean, 0.001) == trend:
            confidence += 0.05
        if days >= 20 and _against(closes[-1], _point_of_control(closes[-20:]), 0.002) == trend:
            confidence += 0.05
        return trend, min(1.0, confidence)


def _against(price: float, mark: float, margin: float) -> int:
    """+1 above, -1 below, 0 within the margin of the mark."""
    if price > (1 + margin) * mark:
        return 1
    return -1 if price < (1 - margin) * mark else 0


def _point_of_control(closes: list[float]) -> float:
    """Most frequent close, to 0.1; the smallest of a tie."""
    counts = Counter(round(close, 1) for close in closes)
    most = max(counts.values())
    return min(price for price, count in counts.items() if count == most)


def _labels(halves: Candles, date: Ints, hindsight: bool) -> Ints:
    """Trend label of each half hour: mean of 20 brick directions, sign of the slope of 20 closes."""
    labels = np.zeros(len(halves.close), np.int64)
    if len(labels) < _LOOKBACK:
        return labels
    spans = atr(halves.high, halves.low, halves.close)
    size = full_sample(spans, 1.0) if hindsight else earlier_days(spans, date, 1.0, _TREND_DAYS)
    direction = np.zeros(len(labels))
    for brick in bricks(halves.close, size):
        direction[brick.at :] = brick.direction
    window = np.lib.stride_tricks.sliding_window_view
    mean = window(direction, _LOOKBACK).mean(axis=1)
    slope = window(halves.close, _LOOKBACK) @ (np.arange(_LOOKBACK) - (_LOOKBACK - 1) / 2)
    bull, bear = (mean > _THRESHOLD) & (slope > 0), (mean < -_THRESHOLD) & (slope < 0)
    labels[_LOOKBACK - 1 :] = bull.astype(np.int64) - bear.astype(np.int64)
    return labels
