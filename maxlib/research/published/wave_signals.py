"""The published wave rules on a whole tape (spec §3): bricks, waves, gates, targets.

The plain twin of these rules stands in tests/strategies/published.py.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.market.bars import ASIA, LONDON
from maxlib.research.published.wave_bricks import Brick, atr, bricks, earlier_days, full_sample
from maxlib.research.published.wave_config import WavePublished
from maxlib.research.published.wave_context import Context

Rows = NDArray[np.void]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

WINDOW: Final = (9 * 60 + 45, 15 * 60 + 45)
"""First and last minute of the day of a bar that may signal."""
LUNCH: Final = (12 * 60, 13 * 60 + 30)
_K: Final = 4.0
_BRICK_DAYS: Final = 5
_RUN: Final = 3
_MAX_DISTANCE: Final = 1.5
_MIN_CONFIDENCE: Final = 0.40
_HEALTHY_FROM: Final = 0.33
_DEEP_FROM: Final = 0.62
_SWING_BARS: Final = 100
_SWING_RR: Final = 2.0
_VOLUME_BARS: Final = 20
_VOLUME_RATIO: Final = 1.2
_SHARES: Final = {"fixed_pct": (0.01, 0.02, 0.007), "dynamic": (0.0035, 0.005, 0.0025)}


class Wave(NamedTuple):
    """A run of bricks: direction, the level it began at and the one it ended at."""

    side: int
    p1: float
    p2: float


class Levels(NamedTuple):
    """Targets and stop, prices of the underlying; a stop of NaN is none."""

    tp1: float
    tp2: float
    stop: float


class WaveSignal(NamedTuple):
    """A published signal.

    at : index of the bar that completed the brick; brick : number of the brick
    level : the brick's, which the original took for the entry price [H5]
    kind : retracement, "shallow" or "healthy"; label : trend, 1 bull, -1 bear, 0 sideways
    """

    at: int
    brick: int
    side: int
    level: float
    wave: Wave
    kind: str
    label: int
    confidence: float


def percent_levels(mode: str, side: int, price: float) -> Levels | None:
    """Levels of the modes that need nothing but a price; None for the others."""
    if mode not in _SHARES:
        return None
    first, second, stop = _SHARES[mode]
    return Levels(price * (1 + side * first), price * (1 + side * second), price * (1 - side * stop))


class WaveRules:
    """The published rules on one tape.

    Parameters
    ----------
    bars : BAR[n], in time order
    config : WavePublished
    """

    def __init__(self, bars: Rows, config: WavePublished) -> None:
        self.bars = bars
        self.config = config
        hindsight = config.bricks == "full_sample"
        self.context = Context(bars, hindsight=hindsight)
        spans = atr(bars["high"], bars["low"], bars["close"])
        sizes = (
            full_sample(spans, _K) if hindsight else earlier_days(spans, self.context.date, _K, _BRICK_DAYS)
        )
        self.bricks = bricks(bars["close"], sizes)
        self._open = self._may_signal()
        self._filters = {side: self._passes(side) for side in (1, -1)}

    def levels(self, side: int, price: float, wave: Wave, brick: int) -> Levels:
        """Targets and stop of an entry at `price` on brick number `brick`."""
        made = percent_levels(self.config.target_mode, side, price)
        if made is not None:
            return made
        if self.config.target_mode == "wave":
            height = side * abs(wave.p2 - wave.p1)
            return Levels(wave.p2 + height, wave.p2 + 1.618 * height, math.nan)
        # The number of a brick, used as the number of a bar: the window lies weeks back.
        window = self.bars[max(0, brick - _SWING_BARS) : max(1, brick)]
        high, low = float(window["high"].max()), float(window["low"].min())
        first = low + 0.75 * (high - low) if side > 0 else high - 0.75 * (high - low)
        return Levels(first, high if side > 0 else low, price * (1 - side * 0.007))

    def signals(self) -> list[WaveSignal]:
        """All signals in time order: the state machine of spec §3."""
        found: list[WaveSignal] = []
        wave: Wave | None = None
        run, begin = 0, math.nan
        before: Brick | None = None
        for number, brick in enumerate(self.bricks):
            if before is not None and brick.direction == before.direction:
                run += 1
            else:
                run, begin = 1, brick.level if before is None else before.level
            before = brick
            if number < _RUN or not self._open[brick.at]:
                continue
            if run >= _RUN:
                wave = Wave(brick.direction, begin, brick.level)
                continue
            if wave is None:
                continue
            retrace = (wave.p2 - brick.level) * wave.side / abs(wave.p2 - wave.p1)
            if retrace < 0.0 or retrace >= _DEEP_FROM:
                wave = None
                continue
            signal = self._signal(number, brick, wave, retrace)
            if signal is not None:
                found.append(signal)
                wave = None
        return found

    def _signal(self, number: int, brick: Brick, wave: Wave, retrace: float) -> WaveSignal | None:
        """The gates; None leaves the wave alive."""
        if abs(brick.level - wave.p2) / (self.config.distance_brick_usd or brick.size) > _MAX_DISTANCE:
            return None
        trend, confidence = self.context.verdict(brick.at)
        label = int(self.context.label[brick.at])
        if trend != wave.side or confidence < _MIN_CONFIDENCE or label == -wave.side:
            return None
        if not self._filters[wave.side][brick.at] or not self._worth_it(number, brick, wave):
            return None
        kind = "shallow" if retrace < _HEALTHY_FROM else "healthy"
        return WaveSignal(brick.at, number, wave.side, brick.level, wave, kind, label, confidence)

    def _worth_it(self, number: int, brick: Brick, wave: Wave) -> bool:
        if self.config.target_mode != "swing_75":
            return True
        price, side = brick.level, wave.side
        levels = self.levels(side, price, wave, number)
        return (levels.tp1 - price) * side >= _SWING_RR * (price - levels.stop) * side

    def _may_signal(self) -> Bools:
        minute = self.bars["minute"]
        may: Bools = (minute >= WINDOW[0]) & (minute <= WINDOW[1])
        if self.config.avoid_lunch_chop:
            may &= (minute < LUNCH[0]) | (minute >= LUNCH[1])
        return may

    def _passes(self, side: int) -> Bools:
        """The optional filters of a side, bar by bar."""
        passes = np.ones(len(self.bars), np.bool_)
        if self.config.use_volume_filter:
            passes &= _busy(self.bars["volume"])
        if self.config.require_sweep:
            passes &= _swept(self.bars, side)
        return passes


def _busy(volume: Floats) -> Bools:
    mean = np.full(len(volume), np.nan)
    if len(volume) >= _VOLUME_BARS:
        windows = np.lib.stride_tricks.sliding_window_view(volume, _VOLUME_BARS)
        mean[_VOLUME_BARS - 1 :] = windows.mean(axis=1)
    busy: Bools = volume >= _VOLUME_RATIO * mean
    return busy


def _swept(bars: Rows, side: int) -> Bools:
    """Sweeps of a level of either session, whose final extremes every bar of its day already has [H1]."""
    _, day = np.unique(bars["day"], return_inverse=True)
    swept = np.zeros(len(bars), np.bool_)
    # Prices times the side, so that a swept level always lies below.
    pierced, close = (bars["low"], bars["close"]) if side > 0 else (-bars["high"], -bars["close"])
    for session in (ASIA, LONDON):
        inside = bars["session"] == session
        extreme = np.full(day.max() + 1, np.inf)
        np.minimum.at(extreme, day[inside], pierced[inside])
        level = extreme[day]
        swept |= (pierced < level) & (close > level)
    return swept
