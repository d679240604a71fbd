"""Small systems around the kernels, so that one suite can hold all of them to the same contract."""

import math

from maxlib.core.record import Record
from maxlib.kernels.averages import Ema, Vwap, ema, vwap, vwap_sigma
from maxlib.kernels.kernel import kernel
from maxlib.kernels.ranges import (
    Adx,
    SimpleAtr,
    TrueRange,
    WilderAtr,
    adx,
    simple_atr,
    true_range,
    wilder_atr,
)
from maxlib.kernels.renko import DayMedian, Renko, brick_size, renko_next
from maxlib.kernels.swings import Swing, swing
from maxlib.kernels.system import System
from maxlib.market.bars import BarRecord
from maxlib.signals.confluence import Higher, LastSeen, Pending, confirm, higher, score
from maxlib.signals.ict import DOWN, UP, Ict, IctParams, Structures, ict
from maxlib.signals.trend import Trend, TrendParams, trend
from maxlib.signals.waves import Wave, take, wave_brick


class RangesParams(Record):
    length: int
    span: int


class RangesState(Record):
    tr: TrueRange
    atr: SimpleAtr
    wilder: WilderAtr
    adx: Adx
    ema: Ema
    vwap: Vwap


class RangesOut(Record):
    tr: float
    atr: float
    wilder: float
    adx: float
    plus: float
    minus: float
    ema: float
    vwap: float
    sigma: float


@kernel
def indicators(s: RangesState, p: RangesParams, bar: BarRecord, out: RangesOut) -> None:
    b = bar
    out.tr = true_range(s.tr, b.high, b.low, b.close)
    out.atr = simple_atr(s.atr, p.length, b.high, b.low, b.close)
    out.wilder = wilder_atr(s.wilder, p.length, b.high, b.low, b.close)
    out.adx = adx(s.adx, p.length, b.high, b.low, b.close)
    out.plus, out.minus = s.adx.plus, s.adx.minus
    out.ema = ema(s.ema, p.span, b.close)
    out.vwap = vwap(s.vwap, b.day, b.high, b.low, b.close, b.volume)
    out.sigma = vwap_sigma(s.vwap)


class BricksParams(Record):
    k: float
    days: int
    fixed: float
    reversal: int
    accept_every: int  # the gates pass at every n-th brick


class BricksState(Record):
    atr: SimpleAtr
    size: DayMedian
    renko: Renko
    wave: Wave
    number: int


class BricksOut(Record):
    size: float
    bricks: int  # completed by this bar
    net: int
    level: float
    candidates: int
    signals: int
    retrace: float  # of the bar's last candidate
    kind: int
    p1: float
    p2: float


@kernel
def bricks(s: BricksState, p: BricksParams, bar: BarRecord, out: BricksOut) -> None:
    b = bar
    atr = simple_atr(s.atr, 14, b.high, b.low, b.close)
    out.size = brick_size(s.size, p.k, p.days, p.fixed, b.day, atr)
    out.bricks = out.net = out.candidates = out.signals = out.kind = 0
    out.retrace = out.p1 = out.p2 = math.nan
    active = 585 <= b.minute <= 945
    while True:
        direction = renko_next(s.renko, out.size, p.reversal, b.close)
        if direction == 0:
            break
        out.bricks += 1
        out.net += direction
        s.number += 1
        if wave_brick(s.wave, s.renko.level, direction, out.size, active, 3, 1.5):
            out.candidates += 1
            out.retrace, out.kind = s.wave.retrace, s.wave.kind
            out.p1, out.p2 = s.wave.p1, s.wave.p2
            if s.number % p.accept_every == 0:
                out.signals += 1
                take(s.wave)
    out.level = s.renko.level if s.renko.n > 0 else math.nan


class StructuresState(Record):
    ict: Ict
    swing: Swing
    up: LastSeen
    down: LastSeen
    up_pending: Pending
    down_pending: Pending


class LevelsOut(Record):
    asia_high: float
    asia_low: float
    london_high: float
    london_low: float
    day_high: float
    day_low: float


class StructuresOut(Record):
    seen: Structures
    levels: LevelsOut
    swung: int
    swing_high: float
    swing_low: float
    up_score: float
    down_score: float
    up_age: int
    down_age: int


@kernel
def structures(s: StructuresState, p: IctParams, bar: BarRecord, out: StructuresOut) -> None:
    b = bar
    ict(
        s.ict, p, b.day, b.minute, b.close_minute, b.session,
        b.open, b.high, b.low, b.close, out.seen,
    )  # fmt: skip
    lv = s.ict.levels
    out.levels.asia_high, out.levels.asia_low = lv.asia_high, lv.asia_low
    out.levels.london_high, out.levels.london_low = lv.london_high, lv.london_low
    out.levels.day_high, out.levels.day_low = lv.day_high, lv.day_low
    out.swung = swing(s.swing, b.high, b.low)
    out.swing_high, out.swing_low = s.swing.high, s.swing.low
    seen = out.seen
    out.up_score = score(s.up, UP, seen)
    out.down_score = score(s.down, DOWN, seen)
    out.up_age = confirm(s.up_pending, seen.sweep & UP != 0, seen.displacement & UP != 0, seen.mss & UP != 0)
    out.down_age = confirm(
        s.down_pending, seen.sweep & DOWN != 0, seen.displacement & DOWN != 0, seen.mss & DOWN != 0
    )


class HigherParams(Record):
    trend: TrendParams


class HigherState(Record):
    higher: Higher
    trend: Trend


class HigherOut(Record):
    direction: int
    confidence: float
    label: int


@kernel
def timeframes(s: HigherState, p: HigherParams, bar: BarRecord, out: HigherOut) -> None:
    b = bar
    higher(s.higher, b.day, b.minute, b.open, b.high, b.low, b.close, b.volume)
    out.direction, out.confidence = s.higher.direction, s.higher.confidence
    out.label = trend(s.trend, p.trend, b.day, b.minute, b.open, b.high, b.low, b.close, b.volume)


INDICATORS = System(RangesState, RangesParams, RangesOut, indicators)
BRICKS = System(BricksState, BricksParams, BricksOut, bricks)
STRUCTURES = System(StructuresState, IctParams, StructuresOut, structures)
TIMEFRAMES = System(HigherState, HigherParams, HigherOut, timeframes)
