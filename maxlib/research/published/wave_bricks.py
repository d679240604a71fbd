"""Bricks of the published wave runs: sized with hindsight, or by earlier days."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ATR: Final = 14
_LEAST: Final = 0.01


class Brick(NamedTuple):
    """One brick: the bar that completed it, its level after the move, +1 or -1, its size."""

    at: int
    level: float
    direction: int
    size: float


def atr(high: Floats, low: Floats, close: Floats) -> Floats:
    """Mean of the last 14 true ranges, this bar included; NaN for the first 13 bars."""
    out = np.full(len(close), np.nan)
    if len(close) < _ATR:
        return out
    span = high - low
    before = close[:-1]
    span[1:] = np.maximum(span[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    out[_ATR - 1 :] = np.lib.stride_tricks.sliding_window_view(span, _ATR).mean(axis=1)
    return out


def full_sample(values: Floats, k: float) -> Floats:
    """The median of all values, later ones too [H4], times k: the same for every bar."""
    return np.full(len(values), _size(values, k))


def earlier_days(values: Floats, day: NDArray[np.int64], k: float, days: int) -> Floats:
    """The median of the `days` days before, or of those there are, times k; NaN on the first day."""
    first = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    edges = [*first.tolist(), len(day)]
    out = np.full(len(values), np.nan)
    for j in range(1, len(first)):
        out[edges[j] : edges[j + 1]] = _size(values[edges[max(0, j - days)] : edges[j]], k)
    return out


def _size(values: Floats, k: float) -> float:
    known = values[~np.isnan(values)]
    return max(k * float(np.median(known)), _LEAST) if len(known) else float("nan")


def bricks(close: Floats, size: Floats) -> list[Brick]:
    """Bricks of a series of closes, one against the trend suffices. None while the size is NaN."""
    made: list[Brick] = []
    level: float | None = None
    for at, (price, step) in enumerate(zip(close.tolist(), size.tolist(), strict=True)):
        if step != step:  # NaN
            continue
        if level is None:
            level = price
        while price >= level + step:
            level += step
            made.append(Brick(at, level, 1, step))
        while price <= level - step:
            level -= step
            made.append(Brick(at, level, -1, step))
    return made
