"""Kill or stop the real trader under its supervisor, and time until it is back and reconciled.

    python -m tests.chaos.kills [--kills 20] [--stops 2] [--seed 1]

Each trial starts `maxtrader supervise` on a simulated date with a fake broker, waits for a moment of the
day drawn from the seed, and sends the trader SIGKILL, or SIGSTOP, which only the supervisor can see.
The clock runs until another process answers at the folder's address, trades, and has heard its
broker. Its journal must then hold all that the first one had. The last line is JSON; the exit code
is 1 if a trial failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import requests

from maxlib.app.launch import itself
from maxlib.journal.store import read
from maxlib.ops.address import read_address

KILLED_S, STOPPED_S = 10.0, 60.0
"""How long it may take."""


class Failed(Exception):  # noqa: N818 - of a trial, which is not an error of ours
    """The trial did not come to its end."""


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise Failed(f"{what}: not within {seconds:g} s")


def status(folder: Path) -> dict[str, Any] | None:
    """What the trader of a folder answers; None = nobody does."""
    where = read_address(folder)
    if where is None:
        return None
    try:
        told = {"Authorization": f"Bearer {where.token.get_secret_value()}"}
        found = requests.get(f"{where.url}/status", headers=told, timeout=2.0)
    except requests.RequestException:
        return None
    return {**found.json(), "pid": where.pid} if found.ok else None


def trial(name: signal.Signals, rng: Random) -> float:
    """Seconds until it was back."""
    with tempfile.TemporaryDirectory(prefix="maxtrader-kills-") as made:
        folder = Path(made)
        told = [
            "supervise", "demo_normal", "--folder", str(folder), "--broker", "fake", "--speed", "120",
            "-p", "data.simulator.days=12", "-p", "exits.force_close_minutes=40",
        ]  # fmt: skip
        command = itself(*told)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisor:
            try:
                return _back(folder, name, rng)
            finally:
                supervisor.terminate()
                try:
                    supervisor.wait(30)
                except subprocess.TimeoutExpired:
                    supervisor.kill()


def _back(folder: Path, name: signal.Signals, rng: Random) -> float:
    wanted = rng.randint(2, 12)

    def trading() -> dict[str, Any] | None:
        now = status(folder)
        return now if now and now["bars"] >= wanted and not now["broker"] else None

    first = wait_for(trading, 60, "the first life")
    began = time.monotonic()
    os.kill(first["pid"], name)
    before = [entry.hash for entry in read(folder / "journal.sqlite")]

    def reconciled() -> dict[str, Any] | None:
        now = status(folder)
        good = now and now["pid"] != first["pid"] and now["phase"] == "TRADING" and not now["broker"]
        return now if good else None

    found = wait_for(reconciled, 90, f"the life after {name.name}")
    seconds = time.monotonic() - began
    after = [entry.hash for entry in read(folder / "journal.sqlite")]
    if found["recovered"] < len(before) or after[: len(before)] != before:
        raise Failed(f"{len(before)} entries were durable, {found['recovered']} were recovered")
    return seconds


def sweep(kills: int, stops: int, seed: int) -> dict[str, Any]:
    rng, failures = Random(seed), []
    times: dict[str, list[float]] = {"SIGKILL": [], "SIGSTOP": []}
    for name in [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops:
        try:
            times[name.name].append(trial(name, rng))
        except Failed as failed:
            failures.append(str(failed))
    late = sum(s > KILLED_S for s in times["SIGKILL"]) + sum(s > STOPPED_S for s in times["SIGSTOP"])
    figures = {
        name.lower(): {"trials": len(found), "median_s": round(sorted(found)[len(found) // 2], 2),
                       "worst_s": round(max(found), 2)}
        for name, found in times.items() if found
    }  # fmt: skip
    return {**figures, "late": late, "failures": failures}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stops", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    found = sweep(chosen.kills, chosen.stops, chosen.seed)
    print(json.dumps(found))
    return 1 if found["late"] or found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
