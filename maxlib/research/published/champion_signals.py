"""The published confluence: sweep, displacement and shift, seen from the wrong side of time.

Array code over a whole file, because the original looks ahead: a session's
extremes stand on all its trading day's bars [H1], a swing counts from its own bar
[H2], and a sweep is a decision at once if the other two follow within five bars
[H3]. The switches put each right; with all of them right the structures are those
of `maxlib.signals.ict`, which a test proves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from maxlib.market.bars import ASIA, DAY_ROLL, LONDON, LONDON_OPEN, RTH_OPEN

Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WINDOW: Final = 5
"""Bars after the sweep in which displacement and shift must follow."""
_ATR: Final = 14
_LAG: Final = 2
_UP: Final = 1
_DOWN: Final = 2


class Seen(NamedTuple):
    """Structures of one direction: bool[n] each."""

    sweep: Flags
    displacement: Flags
    shift: Flags


class Evidence(NamedTuple):
    """What each bar shows. `atr` : float64[n], simple ATR14 in dollars, NaN for 13 bars."""

    atr: Floats
    up: Seen
    down: Seen


class Decisions(NamedTuple):
    """Decisions in time order.

    at : int64[n], bar at whose close it is made: `swept` as published, `confirmed` if put right
    side : int8[n], +1 or -1
    swept, confirmed : int64[n], bars of the sweep and of the last of the three structures
    """

    at: NDArray[np.int64]
    side: NDArray[np.int8]
    swept: NDArray[np.int64]
    confirmed: NDArray[np.int64]


def read(bars: Rows, displacement: float = 1.0, *, causal: bool = False, carried: bool = False) -> Evidence:
    """Structures of every bar.

    Parameters
    ----------
    bars : BAR[n]
    displacement : a body must exceed this many ATRs
    causal : levels of completed sessions only, and swings two bars later
    carried : the structure holds until the opposite shift; as published it lasts one bar, so a
        shift fires on every second bar beyond the swing
    """
    open_, high, low, close = (np.ascontiguousarray(bars[x]) for x in ("open", "high", "low", "close"))
    atr = simple_atr(high, low, close)
    body = close - open_
    before_high, before_low = _before(high), _before(low)
    up_shift, down_shift = _shifts(high, low, close, _LAG if causal else 0, carried)
    up_sweep, down_sweep = np.zeros(len(bars), np.bool_), np.zeros(len(bars), np.bool_)
    for session, known_from in ((ASIA, LONDON_OPEN), (LONDON, RTH_OPEN)):
        top, bottom = _levels(bars, session, known_from if causal else None)
        up_sweep |= (low < bottom) & (close > bottom)
        down_sweep |= (high > top) & (close < top)
    return Evidence(
        atr,
        Seen(up_sweep, (body > displacement * atr) & (close > before_high), up_shift),
        Seen(down_sweep, (-body > displacement * atr) & (close < before_low), down_shift),
    )


def decide(evidence: Evidence, *, confirmed: bool = False) -> Decisions:
    """Sweeps that both other structures join within five bars.

    `confirmed` waits for them: one decision per confirming bar and direction. As published
    the decision is the sweep itself, up to five bars before it is one.
    """
    parts = [_joined(seen, side, confirmed) for side, seen in ((1, evidence.up), (-1, evidence.down))]
    at, side, swept, last = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")  # longs first where both decide on one bar
    return Decisions(at[order], side[order].astype(np.int8), swept[order], last[order])


def simple_atr(high: Floats, low: Floats, close: Floats) -> Floats:
    """Mean of the last 14 true ranges, this bar included; NaN for the first 13 bars. Dollars."""
    before = _before(close)
    before[:1] = close[:1]
    true_range = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    atr = np.full(len(close), np.nan)
    if len(close) >= _ATR:
        atr[_ATR - 1 :] = sliding_window_view(true_range, _ATR).mean(axis=1)
    return atr


def _joined(seen: Seen, side: int, confirmed: bool) -> tuple[NDArray[np.int64], ...]:
    swept = np.flatnonzero(seen.sweep)
    last = np.maximum(_next(seen.displacement)[swept], _next(seen.shift)[swept])
    near = last - swept <= WINDOW
    swept, last = swept[near], last[near]
    if confirmed:
        last, first = np.unique(last, return_index=True)
        swept = swept[first]
    return (last if confirmed else swept), np.full(len(swept), side), swept, last


def _next(flags: Flags) -> NDArray[np.int64]:
    """Index of the next set flag at or after each bar; far beyond the end if there is none."""
    where = np.where(flags, np.arange(len(flags)), 2 * len(flags) + WINDOW)
    return np.minimum.accumulate(where[::-1])[::-1]


def _levels(bars: Rows, session: int, known_from: int | None) -> tuple[Floats, Floats]:
    """High and low of a session on every bar of its trading day; NaN where there was none.

    With `known_from` (a New York minute) only on bars from then to the roll at 18:00.
    """
    days, day = np.unique(bars["day"], return_inverse=True)
    inside = bars["session"] == session
    top, bottom = np.full(len(days), np.nan), np.full(len(days), np.nan)
    np.fmax.at(top, day[inside], bars["high"][inside])
    np.fmin.at(bottom, day[inside], bars["low"][inside])
    if known_from is None:
        return top[day], bottom[day]
    known = (bars["minute"] >= known_from) & (bars["minute"] < DAY_ROLL)
    return np.where(known, top[day], np.nan), np.where(known, bottom[day], np.nan)


def _shifts(high: Floats, low: Floats, close: Floats, lag: int, carried: bool) -> tuple[Flags, Flags]:
    """Bars on which the structure turns up and down.

    The bear test runs after the bull test on the same bar, so a bar can show both.
    """
    above = (close > _swings(high, lag)).tolist()
    below = (close < -_swings(-low, lag)).tolist()
    up, down = np.zeros(len(close), np.bool_), np.zeros(len(close), np.bool_)
    state = 0
    for i in range(1, len(close)):
        before = state
        if not carried:
            state = 0
        if above[i] and before != _UP:
            up[i] = True
            state = _UP
        if below[i] and before != _DOWN:
            down[i] = True
            state = _DOWN
    return up, down


def _swings(high: Floats, lag: int) -> Floats:
    """The newest swing high at each bar, usable `lag` bars after its own; NaN before the first."""
    n = len(high)
    newest = np.full(n, -1)
    if n >= 5:
        middle = high[2:-2]
        beyond = (middle > high[:-4]) & (middle > high[1:-3]) & (middle > high[3:-1]) & (middle > high[4:])
        at = np.flatnonzero(beyond) + 2
        newest[at + lag] = at
    newest = np.maximum.accumulate(newest)
    return np.where(newest >= 0, high[newest], np.nan)


def _before(values: Floats) -> Floats:
    """Each bar's predecessor; NaN for the first."""
    return np.concatenate((np.full(min(1, len(values)), np.nan), values[:-1]))
