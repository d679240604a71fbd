"""22 months of bars through signals, machine, ledger and journal."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import Figure, lasting
from benchmarks.measure import once, rounds
from benchmarks.tapes import bars
from maxlib.engine.backtest import backtest
from maxlib.engine.machine import MachineConfig
from maxlib.strategies.config import ChampionConfig, WaveConfig


def figures(count: int = 430_000, repeats: int = 5) -> list[Figure]:
    tape, machine = bars(count), MachineConfig()
    works = {}
    for config in (ChampionConfig(), WaveConfig()):
        strategy = config.build()
        signals = partial(strategy.system.run, tape, strategy.params)
        whole = partial(backtest, tape, strategy, machine)
        works[f"{config.kind}: signals"] = partial(once, signals)
        works[f"{config.kind}: backtest"] = partial(once, whole)
    times = rounds(works, repeats)
    found = []
    for config in (ChampionConfig(), WaveConfig()):
        run = backtest(tape, config.build(), machine)
        done = f"{run.signals} signals, {len(run.trades)} trades, {len(run.journal.entries)} journal entries"
        per_bar = times[f"{config.kind}: signals"].each(count)
        found += [
            lasting(f"{config.kind}, {count} bars, whole backtest", times[f"{config.kind}: backtest"], "s",
                    "< 0.5", done),
            lasting(f"{config.kind}, signals only", per_bar, "ns/bar"),
        ]  # fmt: skip
    return found
