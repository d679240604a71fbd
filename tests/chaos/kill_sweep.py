"""Kill the trader at many points of a scripted day; restarted, it must end as if nothing had happened.

    python -m tests.chaos.kill_sweep --points 300 --seed 1

A point is the N-th function call, in Python or C, that the process makes: inside the machine,
between two SQLite statements, before and after a commit. Each trial forks, kills itself there with
SIGKILL, and is restarted, every third time killed once more while it recovers. Its journal must be
the undisturbed one, byte for byte: no fill lost, none twice. The last line printed is JSON.

What this does not test: a power loss. The operating system survives a SIGKILL, and with it
everything that was written but not synced (see power_loss.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from maxlib.engine import trader as engine
from maxlib.engine.trader import Trader
from maxlib.journal.store import read
from maxlib.risk.guard import GuardConfig
from maxlib.risk.safety import SafetyConfig
from maxlib.strategies.signal import DISTANCE
from tests.engine.scripted import LONG, SHORT, Market, config, strategy

RUN = "kill"
engine.SNAPSHOT_BARS = 10  # so that a short day has a dozen snapshots to be killed in


def day() -> Any:
    """A scripted day: targets, a stop, time exits, a refused entry and a fly that leaves in two verticals."""
    market = Market().flat("09:30", "11:29", 500.0)
    prices = 500.0 + 2.5 * np.sin(np.arange(120) / 7.0)
    market.rows = [
        (row[0], a, max(a, b) + 0.3, min(a, b) - 0.3, b, 0.0)
        for row, a, b in zip(market.rows, np.r_[500.0, prices[:-1]], prices, strict=True)
    ]
    for at, side in (("09:40", LONG), ("09:43", SHORT), ("10:05", SHORT), ("10:40", LONG), ("11:10", LONG)):
        market.signal(at, side)
    return market.bars


def settings() -> Any:
    made = config(desk={"structures": ("long", "fly")}, risk={"contracts": 3}, hold_minutes=15, trail=0.002)
    wide = SafetyConfig(position_fraction=0.05, exposure_fraction=0.1, premium_usd=1_000)
    return made.model_copy(update={"guard": GuardConfig(regimes=None, safety=wide)})


def trader(folder: Path) -> Trader:
    how = strategy(stop=1.5, tp1=1.2, tp2=2.4, basis=DISTANCE)
    return Trader(folder, how, settings(), run=RUN, identity={"label": "SIMULATED"}, simulated=True)


def live(folder: Path, bars: Any) -> None:
    """Start, which is recovery; then the bars that were not journaled yet."""
    one = trader(folder)
    for i in range(len(bars)):
        if one.last_bar is None or int(bars["ts"][i]) > one.last_bar.ts:
            one.bar(bars[i : i + 1])
    if not one.finished:
        one.finish()
    one.close()


class Calls:
    """Counts calls of this process; at `kill_at` it is over."""

    def __init__(self, kill_at: int | None) -> None:
        self.count = 0
        self.kill_at = kill_at

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        del frame, arg
        if event in ("call", "c_call", "c_return"):
            self.count += 1
            if self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def forked(folder: Path, bars: Any, kill_at: int | None) -> bool:
    """Run in a child; True if it came to the end, False if it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.setprofile(Calls(kill_at))
            live(folder, bars)
            code = 0
        finally:
            sys.setprofile(None)
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, f"the trader failed in {folder}"
    return True


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: a SIGKILL does not care, and syncs are free there."""
    memory = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="maxtrader-kill-", dir=memory if os.access(memory, os.W_OK) else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def fills(folder: Path) -> list[str]:
    return [json.loads(e.body)["order"] for e in read(folder / "journal.sqlite") if e.kind == "fill"]


def sweep(points: int, seed: int) -> dict[str, Any]:
    """Figures of a sweep."""
    bars, began = day(), time.perf_counter()
    rng = np.random.default_rng(seed)
    with scratch() as root:
        live(root / "warm", bars)  # compiles and imports, which the trials inherit
        counter = Calls(None)
        sys.setprofile(counter)
        try:
            live(root / "whole", bars)
        finally:
            sys.setprofile(None)
        whole = read(root / "whole" / "journal.sqlite")
        expected = fills(root / "whole")
        wanted = np.unique(rng.choice(np.arange(1, counter.count), size=points, replace=False))
        lost = twice = other = killed = again = 0
        for trial, kill_at in enumerate(wanted.tolist()):
            folder = root / str(trial)
            while forked(folder, bars, kill_at):  # some runs make a few calls fewer than the counted one
                shutil.rmtree(folder)
                kill_at -= 10
            killed += 1
            if trial % 3 == 0:
                again += not forked(folder, bars, int(rng.integers(1, counter.count // 3)))
            while not forked(folder, bars, None):
                pass
            found = fills(folder)
            lost += len(set(expected) - set(found))
            twice += len(found) - len(set(found))
            other += read(folder / "journal.sqlite") != whole
            shutil.rmtree(folder)
    return {
        "points": len(wanted), "calls": counter.count, "killed": killed, "killed_again": again,
        "fills": len(expected), "lost": lost, "duplicated": twice, "journals_that_differ": other,
        "entries": len(whole), "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    found = sweep(chosen.points, chosen.seed)
    print(json.dumps(found))
    return 1 if found["lost"] or found["duplicated"] or found["journals_that_differ"] else 0


if __name__ == "__main__":
    sys.exit(main())
