"""From a fresh process to the first signal: with a warm cache, and with an empty one that must compile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, lasting
from benchmarks.measure import Time, rounds
from benchmarks.tapes import FOLDER, saved

_PROGRAM = """
import sys
import numpy as np
from maxlib.market.bars import BAR
from maxlib.strategies.config import ChampionConfig, WaveConfig
bars = np.load(sys.argv[1]).view(BAR)
strategy = {"champion": ChampionConfig, "wave_renko": WaveConfig}[sys.argv[2]]().build()
_, out = strategy.system.run(bars, strategy.params)
print("first signal at bar", out["signal"]["side"].nonzero()[0][:1])
if sys.argv[3] == "backtest":
    from maxlib.engine.backtest import backtest
    from maxlib.engine.machine import MachineConfig
    print(len(backtest(bars, strategy, MachineConfig()).trades), "trades")
"""
_KNOWN = ("numpy", "numba", "llvmlite", "pydantic", "joblib", "scipy", "pandas", "pyarrow", "yaml", "maxlib")


def process(bars: Path, kind: str, upto: str, kernels: Path, *python: str) -> tuple[Time, str]:
    """Run the program in a fresh interpreter; its time from start to end, and what it wrote to stderr.

    Python's own byte code is kept in var/bench, whatever the environment says.
    """
    env = {**os.environ, "MAXTRADER_CACHE": str(kernels), "PYTHONPYCACHEPREFIX": str(FOLDER / "pycache")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            [sys.executable, *python, "-c", _PROGRAM, bars, kind, upto],
            env=env, stdout=subprocess.DEVNULL, stderr=said, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode != 0:
        raise RuntimeError(f"the {kind} process failed: {text.strip().splitlines()[-1:]}")
    return Time(wall, used.ru_utime + used.ru_stime), text


def figures(count: int = 50_000, repeats: int = 5, *, cold: bool = True) -> list[Figure]:
    bars, warm = saved(count), FOLDER / "kernels"
    works = {
        (kind, upto): partial(lambda kind, upto: process(bars, kind, upto, warm)[0], kind, upto)
        for kind in ("champion", "wave_renko")
        for upto in ("signal", "backtest")
    }
    times = rounds({" ".join(key): work for key, work in works.items()}, repeats)
    found = []
    for kind, upto in works:
        name = "first signal" if upto == "signal" else "end of a backtest"
        goal = "< 1" if upto == "signal" else ""
        found.append(lasting(f"{kind}, warm start to {name}", times[f"{kind} {upto}"], "s", goal))
    if cold:
        found += [figure for kind in ("champion", "wave_renko") for figure in _cold(bars, kind)]
    return [*found, *_imports(process(bars, "champion", "signal", warm, "-X", "importtime")[1])]


def _cold(bars: Path, kind: str) -> list[Figure]:
    with tempfile.TemporaryDirectory() as empty:
        taken, text = process(bars, kind, "backtest", Path(empty))
    lines = [line for line in text.splitlines() if "compil" in line]
    return [
        lasting(f"{kind}, cold: compile all and end a backtest", taken, "s", "< 10"),
        Figure(f"{kind}, cold: lines that say so", "lines", float(len(lines)), None, "= 1"),
    ]


def _imports(report: str) -> list[Figure]:
    """Import time by package, from `-X importtime`: a module counts for its nearest known parent."""
    modules = [
        (int(match[1]), len(match[2]), match[3].split(".")[0])
        for match in re.finditer(r"import time:\s+(\d+) \|\s+\d+ \|( +)(\S+)", report)
    ]
    spent: Counter[str] = Counter()
    above: list[tuple[int, str]] = []
    for own, depth, package in reversed(modules):  # parents come after their children
        while above and above[-1][0] >= depth:
            above.pop()
        owner = package if package in _KNOWN else above[-1][1] if above else "python"
        above.append((depth, owner))
        spent[owner] += own
    total = sum(spent.values())
    parts = ", ".join(f"{name} {us / 1000:.0f}" for name, us in spent.most_common() if us >= 1000)
    note = f"ms as traced, tracing included: {parts}"
    return [Figure("champion, warm start: all imports", "ms", total / 1000, None, "", note)]
