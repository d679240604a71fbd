"""The wave strategy as published, on whole columns: the original's own bins and full-sample bricks.

Spec §3 and §11.1. What differs from the causal system: both brick sizes are k × the median ATR14 of
the whole sample; bars are binned by their START stamps, right-closed and right-labelled, so the bar
that starts at 10:00 ends the 30-minute bin labelled 10:00, which that very bar may already use; and
four-hour bins are counted in elapsed time from the first midnight, so that they stand an hour off
the clock once daylight time has ended.
"""

import bisect
import csv
import statistics
from pathlib import Path
from typing import NamedTuple

from maxlib.market import calendar
from tests.twins.higher import Candle, candles, dates, label, verdict
from tests.twins.indicators import simple_atr
from tests.twins.renko import one_brick, waves
from tests.twins.tape import Tape

MINUTE = 60_000_000_000
LABELS = {"sideways": 0, "bull_trend": 1, "bear_trend": -1}


class Row(NamedTuple):
    """An entry of the published list; `time` is the bar's start, New York."""

    time: str
    side: int
    level: float
    kind: str
    label: int
    confidence: float


def reference(shared: Path) -> list[Row]:
    with (shared / "spec/reference/maxtrader_baseline_aug_nov_2025_trades.csv").open() as file:
        return [
            Row(
                r["entry_time"], 1 if r["direction"] == "long" else -1, float(r["spot"]), r["retrace"],
                LABELS[r["regime"]], float(r["confidence"]),
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def start(t: Tape, i: int) -> str:
    return calendar.new_york(t.ts[i] - MINUTE).isoformat()


def full_sample_brick(high: list[float], low: list[float], close: list[float], k: float) -> float:
    atr = simple_atr(high, low, close, 14)
    return k * statistics.median(x for x in atr if x == x)


def bins(t: Tape, clock: list[int], size: int) -> tuple[list[Candle], list[int]]:
    """Right-closed bins of the start stamps: bars starting in (label - size, label]."""
    keys = [-(-m // size) for m in clock]
    made = candles(t, keys)
    return made, [keys[c.first] * size for c in made]


def trend_brick(t: Tape) -> float:
    half_hours, _ = bins(t, wall_clock(t), 30)
    columns = ([getattr(c, name) for c in half_hours] for name in ("high", "low", "close"))
    return full_sample_brick(*columns, 1.0)


def wall_clock(t: Tape) -> list[int]:
    return [d * 1440 + m for d, m in zip(dates(t), t.minute, strict=True)]


def elapsed(t: Tape) -> list[int]:
    """Minutes since the midnight before the first bar, by a clock that ignores daylight time."""
    first = calendar.to_ns(calendar.from_ordinal(dates(t)[0]), 0)
    return [(ts - MINUTE - first) // MINUTE for ts in t.ts]


def published(t: Tape) -> list[Row]:
    brick = full_sample_brick(t.high, t.low, t.close, 4.0)
    made = one_brick(t.close, [brick] * len(t))
    wall, passed, date = wall_clock(t), elapsed(t), dates(t)
    days = candles(t, date)
    first_days = [date[d.first] for d in days]
    hours, hour_labels = bins(t, passed, 240)
    halves, half_labels = bins(t, wall, 30)
    closes = [c.close for c in halves]
    directions = [0] * len(halves)
    for b in one_brick(closes, [trend_brick(t)] * len(halves)):
        directions[b.bar :] = [b.direction] * (len(halves) - b.bar)
    trends = [label(directions[max(0, i - 19) : i + 1], closes[: i + 1], 20, 0.3) for i in range(len(halves))]

    def context(i: int) -> tuple[int, float, int]:
        known_days = days[: bisect.bisect_left(first_days, date[i])]
        known_hours = hours[: bisect.bisect_right(hour_labels, passed[i])]
        n = bisect.bisect_right(half_labels, wall[i])
        return *verdict(known_days, known_hours), trends[n - 1] if n else 0

    def passes(j: int, wanted: int) -> bool:
        direction, confidence, regime = context(made[j].bar)
        return direction == wanted and confidence >= 0.4 and regime in (0, wanted)

    active = [585 <= t.minute[b.bar] <= 945 for b in made]
    found = waves(made, active, passes)
    rows = []
    for c in found:
        if c.taken:
            b = made[c.brick]
            _, confidence, regime = context(b.bar)
            rows.append(Row(start(t, b.bar), c.direction, b.level, c.kind, regime, confidence))
    return rows


def same(a: Row, b: Row) -> bool:
    """Equal but for the rounding of the published file (four and six decimals)."""
    return (
        (a.time, a.side, a.kind, a.label) == (b.time, b.side, b.kind, b.label)
        and abs(a.level - b.level) < 1e-4
        and abs(a.confidence - b.confidence) < 1e-6
    )
