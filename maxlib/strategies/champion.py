"""ICT confluence, "the champion": sweep, displacement and shift within six bars.

Causal: the signal is the close of the bar that completes the three; the original
entered right after the sweep, before the other two existed.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from maxlib.core.record import Ints, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import RTH_OPEN, BarRecord
from maxlib.signals.confluence import WINDOW, Pending, confirm
from maxlib.signals.ict import DOWN, UP, Ict, IctParams, Structures, ict
from maxlib.strategies.signal import DISTANCE, Signal

_RING: Final = WINDOW + 1


class ChampionParams(Record):
    """Thresholds of the rule; minutes are New York minutes of the day."""

    ict: IctParams
    target_atr: float  # target distance in ATRs of the confirming bar
    min_target: float  # dollars; nearer targets are skipped
    entry_from: int  # first minute at which an entry may open
    entry_to: int  # last one


class ChampionState(Record):
    """Structure reader, open sweeps of both directions, stamps of the last six bars."""

    ict: Ict
    up: Pending
    down: Pending
    n: int
    stamps: Annotated[Ints, 6]


class ChampionOut(Record):
    """Signal and the evidence of the bar."""

    signal: Signal
    seen: Structures


@kernel
def champion(s: ChampionState, p: ChampionParams, bar: BarRecord, out: ChampionOut) -> None:
    """One bar: read structures, confirm sweeps, decide."""
    b = bar
    ict(
        s.ict, p.ict, b.day, b.minute, b.close_minute, b.session,
        b.open, b.high, b.low, b.close, out.seen,
    )  # fmt: skip
    seen = out.seen
    s.stamps[s.n % _RING] = b.ts
    s.n += 1
    up = confirm(s.up, seen.sweep & UP != 0, seen.displacement & UP != 0, seen.mss & UP != 0)
    down = confirm(s.down, seen.sweep & DOWN != 0, seen.displacement & DOWN != 0, seen.mss & DOWN != 0)
    o = out.signal
    o.side = 0
    o.basis = DISTANCE
    o.stop = o.tp2 = math.nan
    o.confidence = 1.0
    o.atr = seen.atr
    o.tp1 = p.target_atr * seen.atr
    entry = b.minute + 1
    in_window = max(p.entry_from, RTH_OPEN) <= entry <= p.entry_to and entry < b.close_minute
    if not (in_window and o.tp1 >= p.min_target):
        return
    # Both at once needs a shift each way on one bar; the long is taken, as the bull test runs first.
    if up >= 0:
        o.side = 1
        o.formed_at = s.stamps[(s.n - 1 - up) % _RING]
    elif down >= 0:
        o.side = -1
        o.formed_at = s.stamps[(s.n - 1 - down) % _RING]


CHAMPION: Final = System(ChampionState, ChampionParams, ChampionOut, champion)
