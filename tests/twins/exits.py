"""The exit plan as a trader would tell it, long and short apart, on a list of bars.

From the spec's §5 (documented rule) and §10: half at the first target, stop to break-even, the rest
trailed from the best close, all out at the second target, hard stop; intrabar, the stop first.
A level passed at the open fills at the open.
"""

import math
from typing import NamedTuple

NAN = math.nan


class Bar(NamedTuple):
    """What an exit looks at."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    regular: bool


class Plan(NamedTuple):
    """Levels as prices of the underlying, NaN = none; `deadline` in the unit of `Bar.ts`."""

    long: bool
    entry: float
    stop: float
    tp1: float
    tp2: float
    all_at_tp1: bool
    on_close: bool
    break_even: bool
    trail: float
    deadline: int


class Happened(NamedTuple):
    """A price per thing that happened, NaN where it did not."""

    stop: float = NAN
    tp1: float = NAN
    tp2: float = NAN
    settle: float = NAN
    time: bool = False


def exits(bars: list[Bar], plan: Plan) -> list[Happened]:
    """What happened in each bar, up to and including the bar that ends the trade."""
    out: list[Happened] = []
    stop, half_out = plan.stop, False
    best = last = plan.entry
    for bar in bars:
        if not bar.regular:
            return [*out, Happened(settle=last)]
        last = bar.close
        if plan.on_close:
            bar = bar._replace(open=bar.close, high=bar.close, low=bar.close)
        if _below(plan, bar, stop):
            return [*out, Happened(stop=_worse(plan, bar.open, stop))]
        tp1 = tp2 = NAN
        if not half_out and _above(plan, bar, plan.tp1):
            tp1, half_out = _better(plan, bar.open, plan.tp1), True
            if plan.all_at_tp1:
                return [*out, Happened(tp1=tp1)]
            if plan.break_even:
                stop = plan.entry
                if _below(plan, bar, stop):  # order within the bar unknown: taken to have come back
                    return [*out, Happened(tp1=tp1, stop=stop)]
        if half_out and _above(plan, bar, plan.tp2):
            tp2 = _better(plan, bar.open, plan.tp2)
            return [*out, Happened(tp1=tp1, tp2=tp2)]
        best = max(best, bar.close) if plan.long else min(best, bar.close)
        if half_out and plan.trail > 0:
            if plan.long:
                trailed = best - plan.trail * abs(best)
                stop = trailed if math.isnan(stop) else max(stop, trailed)
            else:
                trailed = best + plan.trail * abs(best)
                stop = trailed if math.isnan(stop) else min(stop, trailed)
        out.append(Happened(tp1=tp1, time=bar.ts >= plan.deadline))
    return out


def _below(plan: Plan, bar: Bar, level: float) -> bool:
    return bar.low <= level if plan.long else bar.high >= level


def _above(plan: Plan, bar: Bar, level: float) -> bool:
    return bar.high >= level if plan.long else bar.low <= level


def _worse(plan: Plan, a: float, b: float) -> float:
    return min(a, b) if plan.long else max(a, b)


def _better(plan: Plan, a: float, b: float) -> float:
    return max(a, b) if plan.long else min(a, b)
