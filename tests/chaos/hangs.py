"""Hang a trader in every way we know, and see that it is back in time.

    python -m tests.chaos.hangs [--scale 0.1] [--jobs 2] [--repeat 1] [--kinds ...] [--layers ...]

Each trial starts a real supervisor process, which starts a toy trader: an asyncio loop with lease,
heartbeat and watchdog. In its first life the toy stamps the time and hangs. The trial ends when a
later life has "reconciled" and written its first beat as running. `--scale 1` uses the times of a
real trader (watchdog 30 s, stale 40 s, poll 15 s); smaller scales shrink those, but not the 20 s that
are left of 60 to start and reconcile. Layer `watchdog` is the trader as it is; layer `supervisor` is
the toy without its watchdog, so that only the other process can help.

The last line is JSON; the exit code is 1 if a trial failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from maxlib.ops.clock import Clock
from maxlib.ops.heartbeat import Heart
from maxlib.ops.lease import Refused, acquire
from maxlib.ops.supervision import Policy
from maxlib.ops.supervisor import HEARTBEAT, supervise
from maxlib.ops.watchdog import Watchdog, hangs

ROOT = Path(__file__).resolve().parents[2]
WATCHDOG_S, STALE_S, POLL_S, BEAT_S, TERM_S = 30.0, 40.0, 15.0, 5.0, 30.0
START_S = 20.0  # of the 60 s: what is left to start and reconcile, at any scale


def _sleep() -> None:
    time.sleep(1e6)


def _busy() -> None:
    while True:
        pass


def _regex() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def _big_integer() -> None:
    pow(3, (1 << 4_000_000) - 1, (1 << 100_003) - 1)


def _c_loop() -> None:
    max(itertools.repeat(0))


def _lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


async def _await() -> None:
    """The loop itself goes on turning here; only the work stands still."""
    await asyncio.get_running_loop().create_future()


HANGS: dict[str, Callable[[], object]] = {
    "sleep": _sleep,
    "busy loop": _busy,
    "regex": _regex,
    "big integer": _big_integer,
    "C loop": _c_loop,
    "lock": _lock,
    "await": _await,
    "SIGSTOP": _stop,
}
LAYERS = ("watchdog", "supervisor")


class Trial(NamedTuple):
    """What became of one hang. `seconds` is from the hang to the next running beat."""

    kind: str
    layer: str
    seconds: float
    ended_by: str
    tokens: tuple[int, ...]
    fault: str

    def late(self, scale: float) -> bool:
        """Whether it took longer than the bound."""
        return self.seconds > bound_s(scale)


def bound_s(scale: float) -> float:
    """Return the most seconds that a trial may take."""
    return STALE_S * scale + START_S


async def toy(folder: Path, kind: str, layer: str, scale: float) -> int:
    """Be a trader for one life; return its exit code."""
    clock = Clock()
    lease = acquire(folder / "lease.json", "toy", ttl_s=max(TERM_S * scale, 5.0))
    if isinstance(lease, Refused):
        print(lease.sentence, file=sys.stderr)
        return 2
    heart = Heart(folder / HEARTBEAT, BEAT_S * scale)
    watchdog = Watchdog(folder, WATCHDOG_S * scale)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    heart.beat("recovering")
    hung = folder / "hung"
    first_life = not hung.exists()
    turn = 0
    while not ended.is_set():
        heart.beat("running", "open")
        if turn == 0:
            with (folder / "lives").open("a") as lives:
                lives.write(json.dumps({"token": lease.token, "at": clock.boot_ns()}) + "\n")
        if layer == "watchdog":
            watchdog.feed()
        lease.renew()
        turn += 1
        if first_life and turn == 3:
            hung.write_text(json.dumps({"pid": os.getpid(), "at": clock.boot_ns()}))
            outcome = HANGS[kind]()
            if asyncio.iscoroutine(outcome):
                await outcome
        await asyncio.sleep(0.2 * scale)
    watchdog.stop()
    heart.stop()
    lease.release()
    return 0


def watch(folder: Path, kind: str, layer: str, scale: float) -> int:
    """Be the supervisor of one trial; return its exit code."""
    policy = Policy(poll_s=POLL_S * scale, stale_s=STALE_S * scale, backoff_s=scale, stop_s=10)
    command = [sys.executable, "-m", "tests.chaos.hangs", "--toy", str(folder), kind, layer, str(scale)]

    def tell(event: str, text: str) -> None:
        with (folder / "told").open("a") as told:
            told.write(f"{event}: {text}\n")

    return supervise(command, folder, tell, policy).code


def trial(kind: str, layer: str, scale: float, folder: Path) -> Trial:
    """Run one hang from start to recovery and an orderly end."""
    command = [sys.executable, "-m", "tests.chaos.hangs", "--watch", str(folder), kind, layer, str(scale)]
    with (folder / "log").open("wb") as log:
        supervisor = subprocess.Popen(command, cwd=ROOT, stderr=log)
    # Twice the bound, and a start before the hang: late is a figure, never is a fault.
    deadline = time.monotonic() + 2 * bound_s(scale) + 60
    try:
        while not (done := _recovered(folder)) and time.monotonic() < deadline and supervisor.poll() is None:
            time.sleep(0.02)
        supervisor.terminate()
        code: int | str = supervisor.wait(30)
    except subprocess.TimeoutExpired:
        code = "none: it did not end"
    finally:
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.wait()
    if done is None:
        return Trial(kind, layer, float("inf"), "nobody", (), "it did not come back")
    seconds, tokens = done
    by = _ended_by(folder)
    faults = [
        (code != 0, f"the supervisor's exit code is {code}"),
        (list(tokens) != sorted(set(tokens)), f"fence tokens {tokens} do not rise"),
        (
            layer == "watchdog" and kind != "SIGSTOP" and by != "watchdog",
            "the watchdog left no traceback",
        ),
    ]
    return Trial(kind, layer, seconds, by, tokens, "; ".join(text for bad, text in faults if bad))


def _recovered(folder: Path) -> tuple[float, tuple[int, ...]] | None:
    """Seconds from the hang to the first beat of a later life as running, and all fence tokens."""
    try:
        hang = json.loads((folder / "hung").read_text())
        beat = json.loads((folder / HEARTBEAT).read_text())
        lives = [json.loads(line) for line in (folder / "lives").read_text().splitlines()]
    except (OSError, ValueError):
        return None
    if beat["who"]["pid"] == hang["pid"] or beat["phase"] != "running":
        return None
    born = [life["at"] for life in lives if life["at"] > hang["at"]]
    return ((born[0] - hang["at"]) / 1e9, tuple(life["token"] for life in lives)) if born else None


def _ended_by(folder: Path) -> str:
    pid = json.loads((folder / "hung").read_text())["pid"]
    return "watchdog" if any(path.stem.endswith(f"-{pid}") for path in hangs(folder)) else "supervisor"


def run(
    kinds: Sequence[str], layers: Sequence[str], *, scale: float, jobs: int = 2, repeat: int = 1
) -> list[Trial]:
    """Run all trials, `jobs` at a time."""
    cells = list(itertools.product(kinds, layers)) * repeat
    with (
        tempfile.TemporaryDirectory(prefix="hangs-") as top,
        ThreadPoolExecutor(jobs) as pool,
    ):
        folders = [Path(top) / str(i) for i in range(len(cells))]
        for folder in folders:
            folder.mkdir()
        return list(pool.map(lambda cell, folder: trial(*cell, scale, folder), cells, folders))


def summary(trials: Sequence[Trial], scale: float) -> dict[str, object]:
    """Return the figures of all trials."""
    seconds = sorted(t.seconds for t in trials)
    back = [s for s in seconds if s != float("inf")]
    return {
        "trials": len(trials),
        "restarted_in_time": sum(not (t.fault or t.late(scale)) for t in trials),
        "scale": scale,
        "bound_s": bound_s(scale),
        "median_s": round(back[len(back) // 2], 2) if back else None,
        "worst_s": round(back[-1], 2) if len(back) == len(trials) else None,
        "ended_by_watchdog": sum(t.ended_by == "watchdog" for t in trials),
        "ended_by_supervisor": sum(t.ended_by == "supervisor" for t in trials),
        "faults": [f"{t.kind}, {t.layer}: {t.fault or 'late'}" for t in trials if t.fault or t.late(scale)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Be what the arguments say: the sweep, a supervisor, or a toy trader."""
    parser = argparse.ArgumentParser(prog="tests.chaos.hangs")
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=HANGS, default=list(HANGS))
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--toy", nargs=4, help=argparse.SUPPRESS)
    part.add_argument("--watch", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.toy or given.watch:
        folder, kind, layer, scale = given.toy or given.watch
        if given.watch:
            return watch(Path(folder), kind, layer, float(scale))
        return asyncio.run(toy(Path(folder), kind, layer, float(scale)))
    trials = run(given.kinds, given.layers, scale=given.scale, jobs=given.jobs, repeat=given.repeat)
    for t in trials:
        print(f"{t.kind:12} {t.layer:10} {t.seconds:7.2f} s  ended by {t.ended_by:10} {t.fault or 'ok'}")
    figures = summary(trials, given.scale)
    print(json.dumps(figures))
    return 1 if figures["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
