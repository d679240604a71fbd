"""One scenario of about three months, down to the journal on disk; and the same bar by bar, as live."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, lasting
from benchmarks.measure import once, rounds
from benchmarks.tapes import bars
from maxlib.engine.backtest import Run, backtest
from maxlib.engine.machine import MachineConfig
from maxlib.journal.store import JournalFile
from maxlib.strategies.config import ChampionConfig, WaveConfig
from maxlib.strategies.strategy import Strategy


def figures(count: int = 50_000, live: int = 5_000, repeats: int = 7) -> list[Figure]:
    tape = bars(count)
    strategies = [config.build() for config in (ChampionConfig(), WaveConfig())]
    with tempfile.TemporaryDirectory() as folder:
        works = {}
        for s in strategies:
            works[s.name] = partial(once, partial(_scenario, tape, s, Path(folder)))
            works[f"{s.name}, stepped"] = partial(once, partial(_run, tape[:live], s, leap=False))
        times = rounds(works, repeats)
    found = []
    for s in strategies:
        stepped = times[f"{s.name}, stepped"].each(live)
        found += [
            lasting(f"{s.name}, {count} bars to the journal on disk", times[s.name], "s", "< 0.2"),
            lasting(f"{s.name}, bar by bar through the machine", stepped, "µs/bar"),
        ]
    return found


def _run(tape: object, strategy: Strategy, *, leap: bool = True) -> Run:
    return backtest(tape, strategy, MachineConfig(), leap=leap)  # type: ignore[arg-type]


def _scenario(tape: object, strategy: Strategy, folder: Path) -> None:
    """Signals, machine, ledger, journal; the file is new each time."""
    run = _run(tape, strategy)
    path = folder / "journal.sqlite"
    file = JournalFile(path)
    file.extend(run.journal.entries)
    file.close()
    path.unlink()
