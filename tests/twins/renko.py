"""Bricks, brick sizes and the wave machine, written from the spec's §3 and definitions.md ("Renko")."""

import itertools
import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

from tests.twins.tape import starts_of

NAN = math.nan


class Brick(NamedTuple):
    """A brick: the bar that completed it, its level after the move, its direction, its size."""

    bar: int
    level: float
    direction: int
    size: float


def one_brick(closes: list[float], sizes: list[float]) -> list[Brick]:
    """Spec §3: while close ≥ level+size an up brick, while close ≤ level-size a down brick."""
    made: list[Brick] = []
    level = None
    for i, (close, size) in enumerate(zip(closes, sizes, strict=True)):
        if not (math.isfinite(close) and math.isfinite(size) and size > 0):
            continue
        if level is None:
            level = close
        while close >= level + size:
            level += size
            made.append(Brick(i, level, 1, size))
        while close <= level - size:
            level -= size
            made.append(Brick(i, level, -1, size))
    return made


def two_brick(closes: list[float], sizes: list[float]) -> list[Brick]:
    """definitions.md: the last brick spans [low, high]; up from its high, down from its low."""
    made: list[Brick] = []
    low = high = None
    for i, (close, size) in enumerate(zip(closes, sizes, strict=True)):
        if not (math.isfinite(close) and math.isfinite(size) and size > 0):
            continue
        if low is None or high is None:
            low = high = close
        while close >= high + size:
            low, high = high, high + size
            made.append(Brick(i, high, 1, size))
        while close <= low - size:
            low, high = low - size, low
            made.append(Brick(i, low, -1, size))
    return made


def day_median(day: list[int], values: list[float], days: int) -> list[float]:
    """Median of all values of the previous `days` trading days; NaN until there are as many.

    Days count from the first one with a value; NaN values are left out.
    """
    edges = starts_of(day)
    pools: list[list[float]] = []
    out: list[float] = []
    for a, z in itertools.pairwise(edges):
        known = NAN
        if len(pools) >= days:
            pool = [x for earlier in pools[len(pools) - days :] for x in earlier]
            known = statistics.median(pool) if pool else NAN
        out += [known] * (z - a)
        today = [x for x in values[a:z] if not math.isnan(x)]
        if pools or today:
            pools.append(today)
    return out


def rolling_size(day: list[int], atr: list[float], k: float, days: int) -> list[float]:
    """k × the day's median, at least one cent; NaN while not known."""
    return [x if math.isnan(x) else max(k * x, 0.01) for x in day_median(day, atr, days)]


class Candidate(NamedTuple):
    """What the wave machine offers at one brick: active wave, retracement, whether it signalled."""

    brick: int
    direction: int
    p1: float
    p2: float
    retrace: float
    kind: str
    taken: bool


def waves(
    bricks: list[Brick],
    active: list[bool],
    accept: Callable[[int, int], bool] = lambda brick, direction: True,
    *,
    least: int = 3,
    farthest: float = 1.5,
) -> list[Candidate]:
    """Spec §3, "signal state machine".

    `active[j]`: brick j lies in the window; `accept(j, direction)`: its gates pass.
    """
    found: list[Candidate] = []
    wave: tuple[int, float, float] | None = None
    for e, brick in enumerate(bricks):
        if e < 3 or not active[e]:
            continue
        first = e
        while first > 0 and bricks[first - 1].direction == brick.direction:
            first -= 1
        if e - first + 1 >= least:
            start = bricks[first - 1].level if first > 0 else bricks[0].level
            wave = (brick.direction, start, brick.level)
            continue
        if wave is None:
            continue
        direction, p1, p2 = wave
        if (brick.level > p2) if direction > 0 else (brick.level < p2):
            wave = None
            continue
        retrace = (p2 - brick.level) * direction / abs(p2 - p1)
        if retrace >= 0.62:
            wave = None
            continue
        if abs(brick.level - p2) / brick.size > farthest:
            continue
        taken = accept(e, direction)
        kind = "shallow" if retrace < 0.33 else "healthy"
        found.append(Candidate(e, direction, p1, p2, retrace, kind, taken))
        if taken:
            wave = None
    return found
