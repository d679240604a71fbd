"""Plants ICT confluences into simulated bars, so that detectors can be tested against the truth.

A planted confluence is a sweep of a session level, then a displacement, then (or on the
same bar) a market structure shift, in the causal definitions of `spec/maxtrader.md` §1-2.
Before the sweep the planter writes a swing high, a swing low and a close beyond that
low, so that structure is bearish whatever came before and the shift must fire (bearish
confluences are the mirror image). Nothing else in the written stretch can complete the
confluence earlier: bodies before the displacement are small, closes before the shift
stay below the swing high.

Prices lead up to the stretch and back again by a slope added to the day's own bars, so
they stay continuous and the day closes where it would have closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import InvariantError
from maxlib.market import bars as b

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pattern:
    """One planted structure.

    Attributes
    ----------
    kind : {"sweep", "displacement", "mss"}
    direction : int
        +1 bullish, -1 bearish.
    index : int
        Bar of the simulated `bars` at whose close the structure holds.
    formed_at, known_at : int
        UTC ns; for all three kinds the END of that bar.
    level : float
        Dollars: the session level swept, the previous bar's extreme that the displacement
        closed beyond, or the swing extreme that the shift closed beyond.
    confluence : int
        Number of the planted confluence, from 0; its three patterns share it. The
        confluence is known at the largest `known_at` of the three.
    """

    kind: Literal["sweep", "displacement", "mss"]
    direction: int
    index: int
    formed_at: int
    known_at: int
    level: float
    confluence: int


# (high, low, close) of the bullish stretch in units above the level; opens are the closes before.
_ANCHOR: Final = 2.3  # close of the bar before the stretch
_BEFORE: Final = (
    (2.5, 2.0, 2.2),
    (2.6, 2.0, 2.4),
    (2.6, 2.1, 2.3),
    (2.7, 2.1, 2.5),
    (3.0, 2.4, 2.8),
    (3.3, 2.6, 2.9),  # swing high, confirmed two bars later: the shift must close above 3.3
    (3.0, 2.4, 2.6),
    (2.7, 2.1, 2.3),
    (2.4, 1.6, 2.0),  # swing low, confirmed two bars later
    (2.3, 1.9, 2.2),
    (2.35, 1.9, 2.1),
    (2.2, 1.2, 1.4),  # closes below it: structure is bearish from here
    (1.5, 0.5, 0.8),
    (1.0, -0.6, 0.5),  # the sweep: low < level < close
)
_SWING: Final = 5
_SWEEP: Final = len(_BEFORE) - 1
_PAUSES: Final = ((1.05, 0.3, 0.6), (1.10, 0.4, 0.7))  # small bodies; rising highs make no swing
# The 13 true ranges before the displacement average about 0.75 units, so a body above 1.2
# is more than 1.5 ATR14 (its own range included); 2.0 leaves room for bars before the stretch.
_BODY: Final = 2.0
_SHIFT: Final = (3.7, 3.6)  # high and close of the shift
_LEAD, _TAIL = 45, 60  # minutes of the session on which the slopes there and back are laid
_VOLUME = 1.8  # sweep and displacement trade this much more than the bars they replace


def plant(bars: NDArray[np.void], count: int, seed: int) -> tuple[Pattern, ...]:
    """Write `count` confluences into `bars`, in place, one per session from the first.

    Parameters
    ----------
    bars : BAR[n]
        Simulated sessions with pre-market and every regular minute; OHLC and volume of
        regular minutes change, their stamps do not.
    count : int
        Even ones are bullish, odd ones bearish.
    seed : int
        Each session has its own child of it, apart from those of the market.

    Returns
    -------
    tuple of Pattern
        In time order.

    Raises
    ------
    InvariantError
        If there are fewer sessions than patterns, or one has no level to sweep.
    """
    regular = np.flatnonzero((bars["session"] == b.NEW_YORK) & (bars["minute"] < bars["close_minute"]))
    starts = np.append(np.flatnonzero(np.diff(bars["day"][regular], prepend=-1)), len(regular))
    if count > len(starts) - 1:
        raise InvariantError(f"{count} patterns need as many sessions, got {len(starts) - 1}")
    truth: list[Pattern] = []
    for number in range(count):
        first, last = int(regular[starts[number]]), int(regular[starts[number + 1] - 1])
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number, 1))))
        truth += _plant_one(bars, first, last, 1 - 2 * (number % 2), number, rng)
    return tuple(truth)


def _level(bars: NDArray[np.void], first: int, direction: int) -> float:
    """Asia's extreme of the trading day of bar `first`, else London's."""
    begin = int(np.searchsorted(bars["day"], bars["day"][first]))
    day = bars[begin:first]
    for session in (b.ASIA, b.LONDON):
        part = day[day["session"] == session]
        if len(part):
            return float(part["low"].min() if direction > 0 else part["high"].max())
    raise InvariantError(f"bar {first} has no Asia or London bars before it, so there is no level to sweep")


def _stretch(rng: np.random.Generator) -> tuple[Floats, int, int]:
    """Rows (open, high, low, close) in units above the level; rows of displacement and shift."""
    pauses, gap = int(rng.integers(0, 3)), int(rng.integers(0, 3))
    rows = list(_BEFORE) + list(_PAUSES[:pauses])
    base = rows[-1][2]
    shift_high, shift_close = _SHIFT
    if gap == 0:
        rows.append((shift_high, base - 0.1, shift_close))
    else:
        rows.append((base + _BODY + 0.1, base - 0.1, base + _BODY))
        if gap == 2:
            rows.append((base + _BODY + 0.3, base + _BODY - 0.2, base + _BODY + 0.15))
        rows.append((shift_high, rows[-1][2] - 0.1, shift_close))
    high, low, close = np.array(rows).T
    opens = np.append(_ANCHOR, close[:-1])
    return np.stack([opens, high, low, close], axis=1), len(_BEFORE) + pauses, len(rows) - 1


def _plant_one(bars: NDArray[np.void], first: int, last: int, direction: int, number: int,
               rng: np.random.Generator) -> list[Pattern]:  # fmt: skip
    level = _level(bars, first, direction)
    rows, displacement, shift = _stretch(rng)
    spans = bars["high"][first : last + 1] - bars["low"][first : last + 1]
    unit = max(float(np.median(spans)) * rng.uniform(1.0, 1.5), 0.10)  # cents must resolve 0.3 units
    places = np.arange(first + _LEAD, last - _TAIL - len(rows))
    anchor = level + direction * unit * _ANCHOR
    at = int(places[np.argmin(np.abs(bars["close"][places - 1] - anchor))])  # where least bending is needed
    end = at + len(rows)

    there = anchor - float(bars["close"][at - 1])
    values = np.round((level + direction * unit * rows) * 100) / 100
    back = float(values[-1, 3]) - float(bars["close"][end - 1])
    _slope(bars[first:at], 0.0, there)
    _slope(bars[end : last + 1], back, 0.0)
    values[0, 0] = bars["close"][at - 1]
    high, low = (1, 2) if direction > 0 else (2, 1)
    bars["open"][at:end], bars["close"][at:end] = values[:, 0], values[:, 3]
    bars["high"][at:end] = np.maximum(values[:, high], values[:, 0])
    bars["low"][at:end] = np.minimum(values[:, low], values[:, 0])
    for row in (_SWEEP, displacement):
        bars["volume"][at + row] = np.round(bars["volume"][at + row] * _VOLUME)

    extreme = bars["high"] if direction > 0 else bars["low"]
    found: tuple[tuple[Literal["sweep", "displacement", "mss"], int, float], ...] = (
        ("sweep", at + _SWEEP, level),
        ("displacement", at + displacement, float(extreme[at + displacement - 1])),
        ("mss", at + shift, float(extreme[at + _SWING])),
    )
    return [
        Pattern(kind, direction, i, int(bars["ts"][i]), int(bars["ts"][i]), price, number)
        for kind, i, price in found
    ]


def _slope(part: NDArray[np.void], begin: float, end: float) -> None:
    """Add to prices an offset that runs from `begin` at the first open to `end` at the last close."""
    offset = np.linspace(begin, end, len(part) + 1)
    part["open"] += offset[:-1]
    part["close"] += offset[1:]
    part["high"] += np.maximum(offset[:-1], offset[1:])
    part["low"] += np.minimum(offset[:-1], offset[1:])
    for name in ("open", "high", "low", "close"):
        part[name] = np.round(part[name] * 100) / 100
