"""ICT structures: sweep, displacement, fair value gap, market structure shift, order block.

One step reads a bar and says which structures this bar completed. Directions
are bits, UP and DOWN, because a bar can complete both. Everything is known at
the close of the bar; swings carry their two-bar lag, levels wait for their
session. Source: the spec's §2, causal version.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.ranges import SimpleAtr, simple_atr
from maxlib.kernels.swings import Swing, swing
from maxlib.signals.levels import Levels, levels

UP: Final = 1
DOWN: Final = 2

BY_ATR: Final = 0
BY_PERCENT: Final = 1

CARRIED: Final = 0
"""The structure state holds until the opposite shift: one shift per change."""
REFIRING: Final = 1
"""The state lasts one bar, so a shift fires on every second bar beyond the swing (the original's quirk)."""

BLOCK_BARS: Final = 19
"""How many earlier bars are searched for an order block."""
_RING: Final = 32


class IctParams(Record):
    """Thresholds.

    displacement : body must exceed this many ATRs (BY_ATR) or this fraction of the close (BY_PERCENT)
    """

    atr_length: int
    displacement: float
    displacement_by: int
    mss: int


class Ict(Record):
    """State of the structure reader."""

    atr: SimpleAtr
    levels: Levels
    swing: Swing
    n: int
    structure: int  # 0 neutral, UP, DOWN
    opens: Annotated[Floats, 32]
    highs: Annotated[Floats, 32]
    lows: Annotated[Floats, 32]
    closes: Annotated[Floats, 32]


class Structures(Record):
    """What one bar completed. Bit fields: 0 none, UP, DOWN, UP+DOWN."""

    sweep: int
    displacement: int
    mss: int
    gap: int
    block: int
    sweep_up_level: float  # the low that was swept, NaN if none
    sweep_down_level: float
    gap_low: float
    gap_high: float
    block_low: float
    block_high: float
    atr: float


@kernel
def ict(
    s: Ict,
    p: IctParams,
    day: int,
    minute: int,
    close_minute: int,
    session: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    out: Structures,
) -> None:
    """Read one bar into `out`."""
    levels(s.levels, day, minute, close_minute, session, high, low)
    out.atr = simple_atr(s.atr, p.atr_length, high, low, close)
    _sweeps(s.levels, high, low, close, out)
    _displacement(s, p, open_, close, out)
    _gap(s, high, low, out)
    _block(s, out)
    _shift(s, p, high, low, close, out)
    i = s.n % _RING
    s.opens[i], s.highs[i], s.lows[i], s.closes[i] = open_, high, low, close
    s.n += 1


@kernel
def _sweeps(s: Levels, high: float, low: float, close: float, out: Structures) -> None:
    """A low is swept when the bar trades below it and closes above it; Asia's is looked at first."""
    out.sweep = 0
    out.sweep_up_level = out.sweep_down_level = math.nan
    if low < s.asia_low and close > s.asia_low:
        out.sweep_up_level = s.asia_low
    elif low < s.london_low and close > s.london_low:
        out.sweep_up_level = s.london_low
    if high > s.asia_high and close < s.asia_high:
        out.sweep_down_level = s.asia_high
    elif high > s.london_high and close < s.london_high:
        out.sweep_down_level = s.london_high
    if not math.isnan(out.sweep_up_level):
        out.sweep += UP
    if not math.isnan(out.sweep_down_level):
        out.sweep += DOWN


@kernel
def _displacement(s: Ict, p: IctParams, open_: float, close: float, out: Structures) -> None:
    """A body beyond the threshold that closes past the previous bar's extreme."""
    out.displacement = 0
    if s.n == 0:
        return
    unit = out.atr if p.displacement_by == BY_ATR else close
    last = (s.n - 1) % _RING
    if close - open_ > p.displacement * unit and close > s.highs[last]:
        out.displacement = UP
    elif open_ - close > p.displacement * unit and close < s.lows[last]:
        out.displacement = DOWN


@kernel
def _gap(s: Ict, high: float, low: float, out: Structures) -> None:
    """Three bars whose first and last do not overlap; known at the third."""
    out.gap = 0
    out.gap_low = out.gap_high = math.nan
    if s.n < 2:
        return
    first = (s.n - 2) % _RING
    if low > s.highs[first]:
        out.gap = UP
        out.gap_low, out.gap_high = s.highs[first], low
    elif high < s.lows[first]:
        out.gap = DOWN
        out.gap_low, out.gap_high = high, s.lows[first]


@kernel
def _block(s: Ict, out: Structures) -> None:
    """The newest candle of the other colour before a displacement; flagged on the displacement bar."""
    out.block = 0
    out.block_low = out.block_high = math.nan
    if out.displacement == 0:
        return
    for back in range(1, min(s.n, BLOCK_BARS) + 1):
        i = (s.n - back) % _RING
        opposite = s.closes[i] < s.opens[i] if out.displacement == UP else s.closes[i] > s.opens[i]
        if opposite:
            out.block = out.displacement
            out.block_low, out.block_high = s.lows[i], s.highs[i]
            return


@kernel
def _shift(s: Ict, p: IctParams, high: float, low: float, close: float, out: Structures) -> None:
    """A close beyond the newest confirmed swing while structure does not point there yet.

    The bear test runs after the bull test on the same bar, as in the spec.
    """
    swing(s.swing, high, low)
    out.mss = 0
    before = s.structure
    if p.mss == REFIRING:
        s.structure = 0
    if close > s.swing.high and before != UP:
        out.mss += UP
        s.structure = UP
    if close < s.swing.low and before != DOWN:
        out.mss += DOWN
        s.structure = DOWN
