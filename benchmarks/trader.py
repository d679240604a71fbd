"""The paper trader: from a bar to its decision in the journal, with a service that answers or never does."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figure
from maxlib.app.paper import PaperTrader
from maxlib.ops.backends import Backend, Memory
from maxlib.ops.events import Event
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker
from maxlib.research import scenario

_SIMULATED: Final = {"data.simulator.days": 12}


class BlackHole(Memory):
    """A service that takes a connection and never answers."""

    label = "black-hole"

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def send(self, title: str, body: str, priority: int) -> bool:
        """Wait until it is released."""
        self.released.wait()
        return super().send(title, body, priority)


def figures(repeats: int = 15) -> list[Figure]:
    days: dict[str, list[tuple[float, float]]] = {"answers": [], "never": []}
    recovered: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats + 1):  # the first warms up
            for name, backend in (("answers", Memory()), ("never", BlackHole())):
                times, again = _day(Path(folder) / f"{name}-{number}", backend)
                if number:
                    days[name].append((float(np.median(times)), float(np.percentile(times, 99))))
                    recovered.append(again)
    well, hole = (np.median(days[name], axis=0) * 1e3 for name in ("answers", "never"))
    bars = f"median of {repeats} days, a notice with every bar"
    return [
        Figure("bar in to decision journaled, median", "ms", float(well[0]), note=bars),
        Figure("bar in to decision journaled, p99", "ms", float(well[1]), note=bars),
        Figure("the same with a service that never answers, median", "ms", float(hole[0])),
        Figure("the same with a service that never answers, p99", "ms", float(hole[1])),
        Figure("p99, never answers ÷ answers", "×", float(hole[1] / well[1]), goal="≤ 1.05"),
        Figure(
            "recovery of a whole day's journal, p99", "s", float(np.percentile(recovered, 99)), goal="≤ 10"
        ),
    ]


def _day(folder: Path, backend: Backend) -> tuple[list[float], float]:
    """Seconds of each bar of a simulated day, and of a start over its journal."""
    chosen = scenario.load("demo_normal", _SIMULATED)
    notices = folder.with_name(folder.name + "-notices")
    notices.mkdir()
    told = Notifier([backend], notices, "SIMULATED", masker=Masker())
    one = PaperTrader(chosen, folder, speed=0, told=told)
    times = []
    for i in range(len(one.feed.bars)):
        start = time.perf_counter()
        before = len(one.session.marks())
        one.session.bar(one.feed.bars[i : i + 1])
        for mark in one.session.marks(before):
            one.alerts.mark(mark, one.feed.clock)
        one.alerts.tell(Event.TEST, f"bar {i}")
        times.append(time.perf_counter() - start)
    one.trader.close()
    start = time.perf_counter()
    PaperTrader(chosen, folder, speed=0, told=told).trader.close()
    again = time.perf_counter() - start
    if isinstance(backend, BlackHole):
        backend.released.set()
    told.close(0.1)
    return times, again
