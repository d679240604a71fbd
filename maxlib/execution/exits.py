"""The exit step: stop, targets, break-even, trail and time limit of one open position.

Fed the bars from the entry bar on. Within a bar the order of prices is unknown,
so the pessimistic one is assumed: the stop before any target; and after the
first target, a bar that also touched break-even is taken to have come back.
A bar that opens beyond a level fills at the open, better or worse. A plan may watch
closes instead, as the original did: then a level fills at the close that is beyond it.
"""

from __future__ import annotations

import math
from typing import Final

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import BarRecord

STOP: Final = 1
TP1: Final = 2
TP2: Final = 4
TIME: Final = 8
EXPIRED: Final = 16


class ExitParams(Record):
    """One position's plan in prices of the underlying; NaN = no such level."""

    side: int
    day: int
    entry: float
    stop: float
    tp1: float
    tp2: float
    all_at_tp1: bool
    on_close: bool  # levels are watched on closes only
    break_even: bool
    trail: float
    deadline: int  # UTC ns


class ExitState(Record):
    """The stop in force (times the side), the best close, and how far the plan has come."""

    started: bool
    tp1_done: bool
    stop: float
    best: float
    regular_close: float


class ExitOut(Record):
    """Bits of what happened and the underlying's price for each; 0 = nothing."""

    event: int
    stop_price: float
    tp1_price: float
    tp2_price: float
    settle_price: float


@kernel
def exits(s: ExitState, p: ExitParams, bar: BarRecord, out: ExitOut) -> None:
    """Watch one bar. Prices are multiplied by the side, so that up is always good."""
    b = bar
    out.event = 0
    out.stop_price = out.tp1_price = out.tp2_price = out.settle_price = math.nan
    if not s.started:
        s.started = True
        s.stop = p.side * p.stop
        s.best = p.side * p.entry
        s.regular_close = p.entry
    if b.day != p.day or b.minute >= b.close_minute:
        out.event = EXPIRED
        out.settle_price = s.regular_close
        return
    s.regular_close = b.close
    opened, closed = p.side * b.open, p.side * b.close
    good = b.high if p.side > 0 else -b.low
    bad = b.low if p.side > 0 else -b.high
    if p.on_close:
        opened = good = bad = closed
    first, second = p.side * p.tp1, p.side * p.tp2
    if bad <= s.stop:
        out.event = STOP
        out.stop_price = p.side * min(opened, s.stop)
        return
    if not s.tp1_done and good >= first:
        s.tp1_done = True
        out.event = TP1
        out.tp1_price = p.side * max(opened, first)
        if p.all_at_tp1:
            return
        if p.break_even:
            s.stop = p.side * p.entry
            if bad <= s.stop:
                out.event |= STOP
                out.stop_price = p.entry
                return
    if s.tp1_done and good >= second:
        out.event |= TP2
        out.tp2_price = p.side * max(opened, second)
        return
    s.best = max(s.best, closed)
    if s.tp1_done and p.trail > 0.0:
        level = s.best - p.trail * abs(s.best)
        if not s.stop >= level:  # also when there was no stop (NaN)
            s.stop = level
    if b.ts >= p.deadline:
        out.event |= TIME


EXITS: Final = System(ExitState, ExitParams, ExitOut, exits)
