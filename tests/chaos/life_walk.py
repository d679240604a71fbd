"""Hypothesis leads a walk: which deed comes next, and how, is its choice, and the worst it can find.

    python -m tests.chaos.life_walk --walks 1000 --steps 50

The last line printed is JSON: the steps really taken, and what was met on the way.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, get_args
from zlib import crc32

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from maxlib.execution.alpaca.fake_faults import Fault
from tests.chaos.kill_sweep import scratch
from tests.chaos.life import Bad, Life
from tests.chaos.life_host import CODE, hosted
from tests.chaos.life_process import Kind

MOVES = (0.0, 0.0, 0.001, -0.001, 0.002, -0.002, 0.003, -0.003, 0.005, -0.005, 0.008, -0.008)
SIDES = (0, 0, 1, 2)
minutes = st.builds(dict, move=st.sampled_from(MOVES), side=st.sampled_from(SIDES))


REPEATED = 4


class OrderLife(RuleBasedStateMachine):
    """One walk of `Life`; one of `REPEATED` is walked again in another folder."""

    root: ClassVar[Path]
    counts: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.deeds: list[tuple[str, dict[str, Any]]] = []
        self.life: Life | None = None
        self.sound = True

    @initialize(kind=st.sampled_from(get_args(Kind)), positions=st.integers(1, 2))
    def begin(self, kind: Kind, positions: int) -> None:
        self.counts["walks"] += 1
        self.place = self.root / str(self.counts["walks"])
        self.chosen = kind, positions
        self.life = Life(self.place, kind, positions)

    def do(self, deed: str, **how: Any) -> None:
        assert self.life is not None
        self.counts["steps"] += 1
        self.deeds.append((deed, how))
        self.sound = False
        self.life.do(deed, **how)
        self.sound = True

    @rule(how=minutes)
    def minute(self, how: dict[str, Any]) -> None:
        self.do("minute", **how)

    @rule(told=st.lists(minutes, min_size=1, max_size=5))
    def minutes_and_turns(self, told: list[dict[str, Any]]) -> None:
        for how in told:
            self.do("minute", **how)
            self.do("turn", settled=True)

    @rule(move=st.sampled_from(MOVES), side=st.integers(1, 2), settled=st.booleans())
    def signal(self, move: float, side: int, settled: bool) -> None:
        self.do("minute", move=move, side=side)
        self.do("turn", settled=settled)

    @rule(how=minutes, kind=st.sampled_from(get_args(Fault)), after=st.integers(0, 4))
    def minute_with_a_fault(self, how: dict[str, Any], kind: Fault, after: int) -> None:
        self.do("minute", **how)
        self.do("fault", kind=kind, after=after)
        self.do("turn", settled=True)

    @rule(how=minutes)
    def minute_told_at_once(self, how: dict[str, Any]) -> None:
        """The stream is as quick as it can be, and the courier takes its turn."""
        self.do("minute", **how)
        self.do("turn", settled=False)
        self.do("hear", count=9, turned=False, repeated=False)

    @rule(kind=st.sampled_from((*get_args(Bad), *["spike"] * 5)), late=st.booleans(), how=minutes)
    def bad_tick(self, kind: Bad, late: bool, how: dict[str, Any]) -> None:
        self.do("bad_tick", kind=kind, late=late)
        self.do("minute", **how)

    @rule(back=st.integers(0, 5))
    def again(self, back: int) -> None:
        self.do("again", back=back)

    @rule(up=st.booleans())
    def feed(self, up: bool) -> None:
        self.do("feed", up=up)

    @rule(seconds=st.sampled_from((1, 5, 31)))
    def wait(self, seconds: int) -> None:
        self.do("wait", seconds=seconds)

    @rule(settled=st.booleans())
    def turn(self, settled: bool) -> None:
        self.do("turn", settled=settled)

    @rule()
    def look(self) -> None:
        self.do("look")

    @rule(up=st.booleans())
    def stream(self, up: bool) -> None:
        self.do("stream", up=up)

    @rule(count=st.integers(1, 9), turned=st.booleans(), repeated=st.booleans())
    def hear(self, count: int, turned: bool, repeated: bool) -> None:
        self.do("hear", count=count, turned=turned, repeated=repeated)

    @rule(on=st.booleans())
    def eager(self, on: bool) -> None:
        self.do("eager", on=on)

    @rule(kind=st.sampled_from(get_args(Fault)), after=st.integers(0, 3))
    def fault(self, kind: Fault, after: int) -> None:
        self.do("fault", kind=kind, after=after)

    @rule()
    def external(self) -> None:
        self.do("external")

    @rule()
    def halt(self) -> None:
        self.do("halt")

    @rule()
    def let_pass(self) -> None:
        """Whatever a person can let pass: switch, halt, differences, feed and stream."""
        self.do("reset", code=CODE)
        self.do("resume")
        self.do("clear")
        self.do("feed", up=True)
        self.do("stream", up=True)

    @rule()
    def resume(self) -> None:
        self.do("resume")

    @rule(outside=st.booleans())
    def kill(self, outside: bool) -> None:
        self.do("kill", outside=outside)

    @rule(code=st.sampled_from((CODE, "wrong")))
    def reset(self, code: str) -> None:
        self.do("reset", code=code)

    @rule(exchanges=st.integers(1, 5), what=st.sampled_from(("kill", "halt", "feed")))
    def surprise(self, exchanges: int, what: str) -> None:
        self.do("surprise", exchanges=exchanges, what=what)

    @rule()
    def lease_lost(self) -> None:
        self.do("lease_lost")

    @rule(burns=st.integers(1, 25))
    def fuse(self, burns: int) -> None:
        self.do("fuse", burns=burns)

    @precondition(lambda self: self.deeds[-1:] and self.deeds[-1][0] not in ("crash", "restart"))
    @rule()
    def crash(self) -> None:
        self.do("crash")

    @precondition(lambda self: self.deeds[-1:] and self.deeds[-1][0] not in ("crash", "restart"))
    @rule(fuse=st.sampled_from((0, 0, 1, 2, 3, 5, 8)))
    def restart(self, fuse: int) -> None:
        self.do("restart", fuse=fuse)

    def teardown(self) -> None:
        if self.life is None:
            return
        try:
            written = self.ended(self.life) if self.sound else []
        finally:
            self.life.close()
        if self.sound and crc32(repr(self.deeds).encode()) % REPEATED == 0:
            self.repeat(written)
        shutil.rmtree(self.place)

    def ended(self, life: Life) -> list[Any]:
        """Its journal, when all has come to rest."""
        self.counts.update(life.account.faults.counts)
        life.end()
        self.counts.update(life.counts)
        self.counts["fills"] += len(life.account.venue.fills)
        return life.audit.rows()

    def repeat(self, written: list[Any]) -> None:
        """12: the same deeds, the same journal."""
        life = Life(self.place / "again", *self.chosen)
        try:
            for deed, how in self.deeds:
                life.do(deed, **how)
            life.end()
            assert life.audit.rows() == written, "12: the same deeds give another journal"
        finally:
            life.close()
        self.counts["repeated"] += 1


@contextmanager
def prepared() -> Iterator[None]:
    """A folder in memory, the host's clocks, and nothing counted yet."""
    with scratch() as root, hosted():
        OrderLife.root, OrderLife.counts = root, Counter()
        yield


def walk(walks: int, steps: int, *, shrink: bool = False) -> Counter[str]:
    """Walk, and say what was met; `steps` are those really taken, the repetitions not counted."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    with prepared():
        run_state_machine_as_test(
            OrderLife,
            settings=settings(
                max_examples=walks, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
                report_multiple_bugs=False, phases=phases, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        return OrderLife.counts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walks", type=int, default=100)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--shrink", action="store_true", help="make what is found as short as can be")
    chosen = parser.parse_args(arguments)
    began = time.perf_counter()
    found = walk(chosen.walks, chosen.steps, shrink=chosen.shrink)
    print(json.dumps({**found, "seconds": round(time.perf_counter() - began, 1)}))
    return 0


if __name__ == "__main__":
    main()
