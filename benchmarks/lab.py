"""The honesty lab: a whole scenario with its placebo and band, and a day of quotes through the gate."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, lasting
from benchmarks.measure import once, rounds
from maxlib.core.errors import DataError
from maxlib.data.catalog import resolve
from maxlib.data.chains import load_chain
from maxlib.options.chain_gate import inspect
from maxlib.research import scenario
from maxlib.research.run import run_scenario

GOOG = "data/real/open/options/goog_1m_quote_20151224.parquet"


def figures(names: tuple[str, ...] = ("demo_normal", "champion_2024"), repeats: int = 3) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAXTRADER_TRIALS"] = str(Path(folder) / "trials.sqlite")
        found = [_scenario(name, repeats) for name in names]
    return [*found, _gate(repeats)]


def _scenario(name: str, repeats: int) -> Figure:
    title = f"{name}, 20 placebo seeds and 45 cells of the band"
    chosen = scenario.load(name)
    try:
        done = run_scenario(chosen)
    except DataError as error:
        return Figure(title, "s", None, goal="< 10", note=str(error))
    time = rounds({name: partial(once, partial(run_scenario, chosen))}, repeats)[name]
    return lasting(title, time, "s", "< 10", f"{len(done.run.trades)} trades, {len(done.tape.bars):,} bars")


def _gate(repeats: int) -> Figure:
    title = "a day of option quotes through the gate"
    try:
        chain = load_chain(resolve(GOOG))
    except DataError as error:
        return Figure(title, "s", None, goal="< 2", note=str(error))
    time = rounds({title: partial(once, partial(inspect, chain))}, repeats)[title]
    return lasting(title, time, "s", "< 2", f"{len(chain.rows):,} quotes")
