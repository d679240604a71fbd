"""Thirty sessions on end in one process: neither memory nor descriptors nor tasks may grow.

    python -m tests.chaos.soak --sessions 30 --speed 0

A session is a whole day, 04:00 to 20:00, of `maxtrader paper --venue fake`: stream, REST, gate, machine,
journal, API, a viewer of its events, and a vendor that loses minutes and connections. The market goes as
fast as the trader takes minutes (`--speed 1000`: a thousand times its own). Each hour of the market, memory,
file descriptors, asyncio tasks and threads are written down.

Memory is judged twice, by the slope of a straight line. Over the ends of all sessions but the first few,
which compile and fill caches: resident memory, so what stays behind. And over the hours of one more session:
memory that Python holds (tracemalloc), since a session may grow into what the ones before it gave back. Both
should be below 1 MB an hour of the market. Descriptors and threads must be the same at each session's end,
and there may not be more tasks all through the second half of a session than ever in its first. The last
line printed is JSON; the exit code is 1 if something grew.

What this does not test: one trader over many days, which there is not yet; each session is a new one.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import json
import logging
import sys
import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from maxlib.app import venues
from maxlib.app.paper import PaperTrader
from maxlib.data.massive.fake import FakeConfig
from maxlib.data.tape import load
from maxlib.engine.replay import session_days
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.research import scenario
from tests.chaos.faults import MANY
from tests.chaos.kill_sweep import scratch

MB_AN_HOUR = 1.0
HOUR = 60 * NS_PER_MINUTE
PAGE = 4096


class Sample(NamedTuple):
    """The process at one moment.

    hours : of the market since the soak began; mb : resident; held_mb : of Python's objects, if traced
    """

    hours: float
    mb: float
    held_mb: float
    descriptors: int
    tasks: int
    threads: int


class Day(NamedTuple):
    """A session: a sample for each hour of it, and one after its end."""

    within: list[Sample]
    after: Sample
    entries: int
    trades: int


def sample(hours: float, tasks: int) -> Sample:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    held = tracemalloc.get_traced_memory()[0] / 1e6
    return Sample(hours, resident, held, descriptors, tasks, threading.active_count())


async def watched(trader: PaperTrader, begun: float) -> list[Sample]:
    """Run a session to its end, and look at the process once an hour of the market."""
    found: list[Sample] = []
    with trader.events.listen() as events:
        running = asyncio.create_task(trader.run(stay=False))
        start = next_look = 0
        while not running.done():
            waiting = asyncio.create_task(events.get())
            await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            last = trader.trader.last_bar
            if last is None or last.ts < next_look:
                continue
            start = start or last.ts
            next_look = last.ts + HOUR
            found.append(sample(begun + (last.ts - start) / HOUR, len(asyncio.all_tasks())))
        await running
    return found


def day(chosen: scenario.Scenario, date: str, number: int, speed: float, root: Path, begun: float) -> Day:
    faults = FakeConfig(
        stream_faults={"drop": 0.01, "duplicate": 0.01, "garble": 0.005, "disconnect": 0.003},
        rest_faults={"500": 0.02, "reset": 0.02},
        seed=number,
    )
    how = partial(venues.fake, faults=faults, missed_minutes=0)
    trader = PaperTrader(chosen, root / str(number), day=date, speed=speed, venue=how)
    within = asyncio.run(watched(trader, begun))
    entries = len(read(root / str(number) / "journal.sqlite"))
    trades = len(trader.trader.shell.machine.trades)
    del trader, how
    forget()
    hours = within[-1].hours if within else begun
    return Day(within, sample(hours, 0), entries, trades)


def forget() -> None:
    """Let go of the trader that ended: FastAPI's caches keep the routes of every API there was.

    A process of `maxtrader paper` has one API, so there is nothing to let go of.
    """
    for cache in gc.get_objects():
        if type(cache) is functools._lru_cache_wrapper and str(cache.__module__).startswith("fastapi."):
            cache.cache_clear()
    gc.collect()


def slope(samples: list[Sample], what: Literal["mb", "held_mb"]) -> float:
    """MB an hour of the market, of the straight line that fits best."""
    mb = [getattr(s, what) for s in samples]
    return round(float(np.polyfit([s.hours for s in samples], mb, 1)[0]), 4)


def more_tasks(one: Day) -> int:
    """By how many the fewest tasks of a session's second half exceed the most of its first."""
    tasks, half = [s.tasks for s in one.within], len(one.within) // 2
    return min(tasks[half:]) - max(tasks[:half])


def soak(sessions: int, speed: float, warm: int = 5) -> dict[str, Any]:
    """Figures of a soak; its first sessions, `warm` or half of them, may fill caches."""
    began = time.perf_counter()
    chosen = scenario.load("demo_normal", {"data.simulator.days": 9 + sessions, **MANY})
    dates = [str(date) for date in session_days(load(chosen.data).bars)][-sessions - 1 :]
    days: list[Day] = []
    with scratch() as root:
        for number, date in enumerate(dates):
            if number == sessions:
                tracemalloc.start()
            begun = days[-1].after.hours if days else 0.0
            days.append(day(chosen, date, number, speed, root, begun))
    tracemalloc.stop()
    traced = days.pop()
    ends = [one.after for one in days[min(warm, sessions // 2) :]]
    return {
        "sessions": len(days), "speed": speed, "hours": round(ends[-1].hours, 1),
        "entries": sum(one.entries for one in days), "trades": sum(one.trades for one in days),
        "mb_first": round(days[0].after.mb, 1), "mb_warm": round(ends[0].mb, 1),
        "mb_last": round(ends[-1].mb, 1), "mb_an_hour": slope(ends, "mb"),
        "mb_an_hour_within": slope(traced.within[1:], "held_mb"),
        "descriptors": sorted({s.descriptors for s in ends}), "threads": sorted({s.threads for s in ends}),
        "tasks": min(s.tasks for s in days[0].within), "tasks_more": max(more_tasks(one) for one in days),
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def grown(found: dict[str, Any]) -> list[str]:
    """What grew, a sentence each."""
    broke = [
        f"{name} is {found[name]}, should be below {MB_AN_HOUR:g}"
        for name in ("mb_an_hour", "mb_an_hour_within")
        if found[name] >= MB_AN_HOUR
    ]
    broke += [f"{name} were {found[name]}" for name in ("descriptors", "threads") if len(found[name]) > 1]
    if found["tasks_more"] > 0:
        broke.append(f"tasks: {found['tasks_more']} more in the second half of a session than in its first")
    return broke


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--speed", type=float, default=0.0)
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    found = soak(chosen.sessions, chosen.speed)
    found["grown"] = grown(found)
    print(json.dumps(found))
    return 1 if found["grown"] else 0


if __name__ == "__main__":
    sys.exit(main())
