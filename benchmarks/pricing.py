"""A million options in one run: price with greeks, and implied volatility, beside seven peers.

Half expire today (1 to 390 minutes), half within 45 days; strikes within 12 dollars of 600,
volatility 0.08 to 0.6, calls and puts, in and out of the money. The peers run in a process of
their own, first on one thread and then on as many as they like. "scipy" is the formula in numpy
with scipy's normal distribution. A peer that can't be installed is named as missing; remove its
folder under var/bench to try again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, lasting, ratio
from benchmarks.measure import Time, once, rounds
from benchmarks.tapes import FOLDER
from maxlib.options.implied import implied_all
from maxlib.options.pricing import all_greeks, prices

_VENV = FOLDER / "pricing-venv"
_WORKER = Path(__file__).with_name("peer_pricing.py")
_PACKAGES = ("scipy", "iv-engine", "pyvolr", "fast-vollib", "lbriv", "QuantLib", "vollib")
_RATE, _DIVIDEND = 0.04, 0.005
_WRONG = 1e-6


def options(count: int) -> dict[str, NDArray[Any]]:
    """Columns of `count` options, seed 1; `price` is that at rate 0, in doubles."""
    rng = np.random.default_rng(1)
    spot = 600.0 + rng.normal(0.0, 2.0, count)
    strike = np.round(spot) + rng.integers(-12, 13, count)
    minutes, days = rng.integers(1, 391, count) / 98_280, rng.integers(1, 46, count) / 252
    t = np.where(rng.random(count) < 0.5, minutes, days)
    sigma, sign = rng.uniform(0.08, 0.6, count), np.where(rng.random(count) < 0.5, 1.0, -1.0)
    price = prices(sign, spot, strike, t, sigma)
    return {"sign": sign, "spot": spot, "strike": strike, "t": t, "sigma": sigma, "price": price}


def _python() -> Path:
    """The interpreter of the peers' environment, made at the first call; what can't be had is left out."""
    python = _VENV / "bin" / "python"
    if python.exists():
        return python
    print(f"installing the peers of option pricing into {_VENV}, once", file=sys.stderr)
    if uv := shutil.which("uv"):
        made: list[Any] = [uv, "venv", "--quiet", "--no-python-downloads", "--python", sys.executable, _VENV]
        add: list[Any] = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        made = [sys.executable, "-m", "venv", _VENV]
        add = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run(made, check=True)
    for package in _PACKAGES:  # one by one: one that can't be installed must not keep out the others
        subprocess.run([*add, package], check=False, capture_output=True)
    return python


class Peers:
    """The running worker. Use as a context manager."""

    def __init__(self, path: Path, slow: int, threads: int) -> None:
        names = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        self._process = subprocess.Popen(
            [_python(), _WORKER, path, str(slow), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | dict.fromkeys(names, str(threads)),
        )  # fmt: skip
        said = self._answer()
        self.versions: dict[str, str] = said["versions"]
        self.missing: dict[str, str] = said["missing"]
        self.can: dict[str, list[str]] = said["can"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peers' process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, what: str, name: str) -> dict[str, Any]:
        """Let a peer do its work on all options."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {name}\n")
        self._process.stdin.flush()
        return self._answer()

    def time(self, what: str, name: str) -> Time:
        """Time of a peer's work, as its process saw it."""
        answer = self.ask(what, name)
        return Time(answer["wall"], answer["cpu"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def figures(
    count: int = 1_000_000, slow: int = 10_000, repeats: int = 5, *, peer: bool = True
) -> list[Figure]:
    columns = options(count)
    found = []
    for threads in (1, os.cpu_count() or 1):
        found += _compared(columns, slow, repeats, threads, peer=peer)
    return found


def _ours(columns: dict[str, NDArray[Any]], threads: int) -> dict[str, Callable[[], Any]]:
    sign, spot, strike, t, sigma, price = columns.values()
    return {
        "greeks": partial(all_greeks, sign, spot, strike, t, sigma, _RATE, _DIVIDEND, jobs=threads),
        "implied": partial(implied_all, sign, price, spot, strike, t, jobs=threads),
    }


def _compared(
    columns: dict[str, NDArray[Any]], slow: int, repeats: int, threads: int, *, peer: bool
) -> list[Figure]:
    count, ours = len(columns["spot"]), _ours(columns, threads)
    works: dict[str, Callable[[], Time]] = {
        f"{what} ours": partial(once, work) for what, work in ours.items()
    }
    where = f"{threads} thread{'s' if threads > 1 else ''}"
    if not peer:
        times = rounds(works, repeats)
        return [_each(f"{what}, ours, {where}", times[f"{what} ours"], count) for what in ours]
    path = FOLDER / "options.npz"
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez(path, **columns)  # type: ignore[arg-type] # numpy's stubs take it for its flag
    with Peers(path, slow, threads) as others:
        for what in ours:
            works |= {f"{what} {name}": partial(others.time, what, name) for name in others.can[what]}
        times = rounds(works, repeats)
        notes = _answers(others, columns, ours["implied"]()[0]) if threads == 1 else {}
        table = []
        for what, goal in (("greeks", "≥ 1.3"), ("implied", "≥ 1.5")):
            mine = times[f"{what} ours"]
            table.append(
                _each(f"{what}, ours, {where}", mine, count, notes.get("ours", "") * (what == "implied"))
            )
            theirs = {name: times[f"{what} {name}"] for name in others.can[what]}
            for name, time in sorted(theirs.items(), key=lambda item: item[1].wall):
                note = notes.get(name, "") if what == "implied" else "4 outputs of 6" * (name == "iv-engine")
                table.append(_each(f"{what}, {name} {others.versions[name]}, {where}", time, count, note))
            if theirs:
                # The fastest by each clock: threads help the wall only.
                fastest = Time(min(t.wall for t in theirs.values()), min(t.cpu for t in theirs.values()))
                table.append(ratio(f"{what}, {where}: fastest peer ÷ ours", fastest, mine, goal))
        table += [
            Figure(f"{name}, {where}", "ns", None, note=f"missing: {why}")
            for name, why in others.missing.items()
        ]
    return table


def _each(name: str, time: Time, count: int, note: str = "") -> Figure:
    return lasting(name, time.each(count), "ns", note=note)


def _answers(others: Peers, columns: dict[str, NDArray[Any]], ours: NDArray[np.float64]) -> dict[str, str]:
    """How many volatilities each gave, and how many of them are not the one that made the price."""
    said = {"ours": _counted(columns, ours)}
    for name in others.can["implied"]:
        said[name] = _counted(columns, np.load(others.ask("implied", name)["sigma"]))
    return said


def _counted(columns: dict[str, NDArray[Any]], sigma: NDArray[np.float64]) -> str:
    true = columns["sigma"][: len(sigma)]
    given = np.isfinite(sigma) & (sigma > 0.0)
    wrong = given & (np.abs(sigma / true - 1.0) > _WRONG)
    far = given & (np.abs(sigma / true - 1.0) > 0.01)
    return f"of {len(sigma)}: {(~given).sum()} unanswered, {wrong.sum()} off by > 1e-6, {far.sum()} by > 1 %"
