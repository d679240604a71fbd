"""Run benchmarks by name, all without one: a table on stdout, the same in var/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np

from benchmarks import backtests, lab, pricing, scenario, start, step, sweep, trader
from benchmarks.figures import Figure, plain, table
from benchmarks.tapes import VAR
from maxlib import __version__

BENCHMARKS: Final[dict[str, Callable[[], list[Figure]]]] = {
    "backtests": backtests.figures,
    "scenario": scenario.figures,
    "step": step.figures,
    "sweep": sweep.figures,
    "start": start.figures,
    "pricing": pricing.figures,
    "lab": lab.figures,
    "trader": trader.figures,
}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "maxtrader": __version__,
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args(arguments).names or list(BENCHMARKS)
    if wrong := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"{wrong[0]} is not a benchmark; known are {', '.join(BENCHMARKS)}")
    before, rows = machine(), []
    for name in names:
        found = BENCHMARKS[name]()
        print(f"\n{name}\n{table(found)}", flush=True)
        rows += [{"benchmark": name, **plain(figure)} for figure in found]
    report = {"machine": before, "load_1min_after": os.getloadavg()[0], "figures": rows}
    VAR.mkdir(exist_ok=True)
    (VAR / "bench.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print("\n" + ", ".join(f"{key} {value}" for key, value in before.items()) + "; written to var/bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
