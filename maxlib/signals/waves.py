"""The wave state machine: a run of bricks, its retracement, one signal per wave.

Fed one brick at a time. Source: the spec's §3.
"""

from __future__ import annotations

from typing import Final

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel

SHALLOW: Final = 1
HEALTHY: Final = 2
DEEP: Final = 3
RETRACE_NAMES: Final = {SHALLOW: "shallow", HEALTHY: "healthy", DEEP: "deep"}

HEALTHY_FROM: Final = 0.33
DEEP_FROM: Final = 0.62


class Wave(Record):
    """The current run of bricks and the active wave (direction 0: none)."""

    bricks: int
    level: float  # edge of the last brick
    run: int  # bricks in the current run
    run_direction: int
    run_from: float  # level just before the run
    direction: int
    p1: float
    p2: float
    retrace: float
    kind: int


@kernel
def wave_brick(
    s: Wave, level: float, direction: int, size: float, active: bool, min_run: int, max_distance: float
) -> bool:
    """Feed a brick; True when it is a candidate entry in the active wave's direction.

    Parameters
    ----------
    level, direction : the brick's edge after the move, +1 or -1
    size : brick size in force, same unit as level
    active : False outside the trading window: runs are still counted
    min_run : bricks that make a wave (3)
    max_distance : farthest entry from P2, in bricks (1.5)

    The caller decides (its gates may fail, the wave then lives on) and calls
    `take` when it signals. `s.retrace` and `s.kind` describe the candidate.
    """
    first = s.bricks == 0
    before = s.level
    s.bricks += 1
    s.level = level
    if direction == s.run_direction:
        s.run += 1
    else:
        s.run = 1
        s.run_direction = direction
        s.run_from = level if first else before
    if not active or s.bricks <= 3:
        return False
    if s.run >= min_run:
        s.direction = direction
        s.p1, s.p2 = s.run_from, level
        return False
    if s.direction == 0:
        return False
    if (level - s.p2) * s.direction > 0.0:
        s.direction = 0
        return False
    s.retrace = (s.p2 - level) * s.direction / abs(s.p2 - s.p1)
    s.kind = SHALLOW if s.retrace < HEALTHY_FROM else HEALTHY if s.retrace < DEEP_FROM else DEEP
    if s.kind == DEEP:
        s.direction = 0
        return False
    return abs(level - s.p2) / size <= max_distance


@kernel
def take(s: Wave) -> None:
    """The wave has given its signal."""
    s.direction = 0
