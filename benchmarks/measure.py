"""Timing: interleaved rounds, medians, wall and CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple


class Time(NamedTuple):
    """Seconds on the wall, and of CPU summed over this process's threads."""

    wall: float
    cpu: float

    def each(self, count: float) -> Time:
        """Seconds per item of `count`."""
        return Time(self.wall / count, self.cpu / count)


def once(work: Callable[[], Any]) -> Time:
    """Time of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Time(time.perf_counter() - wall, time.process_time() - cpu)


def medians(times: list[Time]) -> Time:
    """Median wall and median CPU time."""
    return Time(median(t.wall for t in times), median(t.cpu for t in times))


def rounds(works: Mapping[str, Callable[[], Time]], count: int) -> dict[str, Time]:
    """Medians of `count` rounds; each round times every work once, so that all share the machine's moods.

    A work returns the time of its own doing, mostly `once(...)`. It runs once
    before the first round, to compile, load and warm up.
    """
    for work in works.values():
        work()
    times: dict[str, list[Time]] = {name: [] for name in works}
    for _ in range(count):
        for name, work in works.items():
            times[name].append(work())
    return {name: medians(found) for name, found in times.items()}
