"""Wave-Renko: enter the first pullback of an ATR-Renko wave that agrees with the higher timeframes.

Causal: bricks sized by earlier days, decisions at the close of the bar that
completes the brick, higher timeframes only when complete.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.renko import DayMedian, Renko, brick_size, renko_next
from maxlib.kernels.system import System
from maxlib.market.bars import BarRecord
from maxlib.signals.confluence import Higher, LastSeen, higher, score
from maxlib.signals.ict import DOWN, UP, Ict, IctParams, Structures, ict
from maxlib.signals.trend import Trend, TrendParams, allows, trend
from maxlib.signals.waves import Wave, take, wave_brick
from maxlib.strategies.signal import FRACTION, PRICE, Signal

WAVE: Final = 0
FIXED_PCT: Final = 1
DYNAMIC: Final = 2
SWING_75: Final = 3

LUNCH_FROM: Final = 12 * 60
LUNCH_TO: Final = 13 * 60 + 30
SWING_BARS: Final = 100
ICT_BARS: Final = 20
VOLUME_BARS: Final = 20
_RING: Final = 128


class WaveParams(Record):
    """Thresholds of the rule; minutes are New York minutes of the bar's start."""

    ict: IctParams
    trend: TrendParams
    k: float  # brick size in median ATRs (of ict.atr_length bars)
    brick_days: int
    brick_fixed: float  # > 0: fixed brick size in dollars
    reversal: int  # bricks that make a reversal: 1 or 2
    min_run: int
    max_distance: float
    min_confidence: float
    mode: int
    window_from: int
    window_to: int
    avoid_lunch: bool
    use_ict: bool
    use_regime: bool
    require_sweep: bool
    use_volume: bool
    volume_ratio: float
    swing_min_rr: float


class WaveState(Record):
    """Everything the rule remembers."""

    n: int
    size: DayMedian
    renko: Renko
    wave: Wave
    higher: Higher
    trend: Trend
    ict: Ict
    up: LastSeen
    down: LastSeen
    highs: Annotated[Floats, 128]
    lows: Annotated[Floats, 128]
    volumes: Annotated[Floats, 128]
    tops: Annotated[Floats, 128]  # highest session level usable at each bar
    bottoms: Annotated[Floats, 128]


class WaveOut(Record):
    """Signal, and what a chart of it needs."""

    signal: Signal
    bricks: int  # bricks this bar completed, signed
    level: float  # edge of the last brick, NaN before the first
    size: float
    label: int
    kind: int  # retracement at the signal
    signal_level: float  # edge of the brick that signalled, NaN without one
    p1: float
    p2: float
    seen: Structures


@kernel
def wave_renko(s: WaveState, p: WaveParams, bar: BarRecord, out: WaveOut) -> None:
    """One bar: update every reader, then run the bricks it completed through the wave machine."""
    b = bar
    higher(s.higher, b.day, b.minute, b.open, b.high, b.low, b.close, b.volume)
    out.label = trend(s.trend, p.trend, b.day, b.minute, b.open, b.high, b.low, b.close, b.volume)
    ict(
        s.ict, p.ict, b.day, b.minute, b.close_minute, b.session,
        b.open, b.high, b.low, b.close, out.seen,
    )  # fmt: skip
    up_score = score(s.up, UP, out.seen)
    down_score = score(s.down, DOWN, out.seen)
    _remember(s, b)
    atr = out.seen.atr
    size = brick_size(s.size, p.k, p.brick_days, p.brick_fixed, b.day, atr)
    o = out.signal
    o.side = 0
    o.basis = FRACTION
    o.stop = o.tp1 = o.tp2 = math.nan
    o.confidence = s.higher.confidence
    o.atr = atr
    out.size = size
    out.bricks = 0
    out.signal_level = math.nan
    window = p.window_from <= b.minute <= p.window_to
    if p.avoid_lunch and LUNCH_FROM <= b.minute < LUNCH_TO:
        window = False
    while True:
        direction = renko_next(s.renko, size, p.reversal, b.close)
        if direction == 0:
            break
        out.bricks += direction
        level = s.renko.level
        if not wave_brick(s.wave, level, direction, size, window, p.min_run, p.max_distance):
            continue
        side = s.wave.direction
        ict_score = up_score if side > 0 else down_score
        if _gates(s, p, side) and _targets(s, p, b, o, side) and _blend(s, p, b, o, ict_score, side):
            if not _filters(s, p, b, out, side):
                continue
            o.side = side
            o.formed_at = b.ts
            out.kind = s.wave.kind
            out.signal_level = level
            out.p1, out.p2 = s.wave.p1, s.wave.p2
            take(s.wave)
    out.level = s.renko.level if s.renko.n > 0 else math.nan


@kernel
def _remember(s: WaveState, b: BarRecord) -> None:
    i = s.n % _RING
    s.highs[i], s.lows[i], s.volumes[i] = b.high, b.low, b.volume
    lv = s.ict.levels
    top = lv.asia_high
    if math.isnan(top) or lv.london_high > top:
        top = lv.london_high
    bottom = lv.asia_low
    if math.isnan(bottom) or lv.london_low < bottom:
        bottom = lv.london_low
    s.tops[i], s.bottoms[i] = top, bottom
    s.n += 1


@kernel
def _gates(s: WaveState, p: WaveParams, side: int) -> bool:
    """Higher-timeframe confluence."""
    wanted = UP if side > 0 else DOWN
    return s.higher.direction == wanted and s.higher.confidence >= p.min_confidence


@kernel
def _targets(s: WaveState, p: WaveParams, b: BarRecord, o: Signal, side: int) -> bool:
    """Stop and targets of the mode; False if they do not make a trade."""
    o.basis = FRACTION
    o.stop = math.nan
    if p.mode == FIXED_PCT:
        o.tp1, o.tp2, o.stop = 0.01, 0.02, 0.007
        return True
    if p.mode == DYNAMIC:
        o.tp1, o.tp2, o.stop = 0.0035, 0.005, 0.0025
        return True
    o.basis = PRICE
    if p.mode == WAVE:
        height = abs(s.wave.p2 - s.wave.p1)
        o.tp1 = s.wave.p2 + side * height
        o.tp2 = s.wave.p2 + side * 1.618 * height
        return True
    high, low = -math.inf, math.inf
    for back in range(1, min(s.n, SWING_BARS) + 1):
        high = max(high, s.highs[(s.n - back) % _RING])
        low = min(low, s.lows[(s.n - back) % _RING])
    spread = high - low
    o.tp1 = low + 0.75 * spread if side > 0 else high - 0.75 * spread
    o.tp2 = high if side > 0 else low
    o.stop = b.close * (1.0 - side * 0.007)
    return (o.tp1 - b.close) * side >= p.swing_min_rr * (b.close - o.stop) * side


@kernel
def _blend(s: WaveState, p: WaveParams, b: BarRecord, o: Signal, ict_score: float, side: int) -> bool:
    """The optional ICT blend: it can only lower the confidence; in wave mode it also blends targets."""
    o.confidence = s.higher.confidence
    if not p.use_ict:
        return True
    o.confidence = min(1.0, max(0.0, o.confidence * (0.5 + 0.5 * ict_score)))
    if p.mode == WAVE:
        _ict_targets(s, b, o, side)
    return o.confidence >= p.min_confidence


@kernel
def _ict_targets(s: WaveState, b: BarRecord, o: Signal, side: int) -> None:
    """TP1 = the closer, TP2 = the farther of wave and ICT targets, if both ICT targets lie ahead."""
    best = math.nan
    for back in range(1, min(s.n, ICT_BARS) + 1):
        i = (s.n - back) % _RING
        value = s.tops[i] if side > 0 else s.bottoms[i]
        if math.isnan(best) or (value - best) * side > 0.0:
            best = value
    price = b.close
    tp1 = best if (best - price) * side > 0.0 else price * (1.0 + side * 0.005)
    tp2 = price + 1.618 * (tp1 - price)
    if (tp1 - price) * side <= 0.0 or (tp2 - price) * side <= 0.0:
        return
    if (tp1 - o.tp1) * side < 0.0:
        o.tp1 = tp1
    if (tp2 - o.tp2) * side > 0.0:
        o.tp2 = tp2


@kernel
def _filters(s: WaveState, p: WaveParams, b: BarRecord, out: WaveOut, side: int) -> bool:
    """Regime label, sweep on this very bar, volume: each optional."""
    if p.use_regime and not allows(out.label, side):
        return False
    if p.require_sweep and out.seen.sweep & (UP if side > 0 else DOWN) == 0:
        return False
    if p.use_volume:
        count = min(s.n, VOLUME_BARS)
        total = 0.0
        for back in range(1, count + 1):
            total += s.volumes[(s.n - back) % _RING]
        return b.volume >= p.volume_ratio * total / count
    return True


WAVE_RENKO: Final = System(WaveState, WaveParams, WaveOut, wave_renko)
