"""Hypothesis walks through the life of orders: any deed, any fault, a crash anywhere."""

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from maxlib.execution.alpaca.fake_faults import Fault, Faults
from maxlib.execution.alpaca.orders import LIVE
from maxlib.trading.orders import reverse
from tests.execution.alpaca.bench import FLY, LONG, VERTICAL
from tests.execution.alpaca.sessions import CrashError, Session


class OrderLife(RuleBasedStateMachine):
    """The small trader of `sessions`, led by hypothesis instead of by lot."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(0)
        self.session.bench.faults = self.session.bench.venue.faults = Faults()
        self.session.reconcile()
        self.sent = 0

    def guarded(self, deed: Any) -> None:
        try:
            deed()
        except CrashError:
            self.session.recover()

    @rule(
        package=st.sampled_from([(LONG, None), (LONG, 103), (VERTICAL, 9), (FLY, 8), (FLY, 7)]),
        quantity=st.integers(1, 12),
    )
    def open(self, package: Any, quantity: int) -> None:
        self.sent += 1
        self.guarded(lambda: self.session.submit(f"o{self.sent}", package[0], quantity, package[1], "open"))

    @precondition(lambda self: self.session.books.positions.get(LONG[0].contract.name, 0) > 0)
    @rule(quantity=st.integers(1, 12))
    def close(self, quantity: int) -> None:
        self.sent += 1
        self.guarded(lambda: self.session.submit(f"o{self.sent}", reverse(LONG), quantity, None, "stop"))

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        live = [t for t in self.session.books.orders.values() if t.state in LIVE and t.broker_id]
        if live:
            self.session.bench.client.cancel(live[which % len(live)].broker_id)

    @rule()
    def listen(self) -> None:
        self.guarded(self.session.listen)

    @rule()
    def reconcile(self) -> None:
        self.guarded(self.session.reconcile)

    @rule(seconds=st.sampled_from([0, 1, 30, 90]))
    def wait(self, seconds: int) -> None:
        self.session.bench.wait(seconds)

    @rule(fault=st.sampled_from(get_args(Fault)))
    def fault(self, fault: Fault) -> None:
        self.session.bench.faults.ask(fault)

    @rule(fuse=st.integers(1, 8))
    def crash_soon(self, fuse: int) -> None:
        self.session.fuse = fuse

    steps = 0
    """Taken by all walks since it was last set."""

    @invariant()
    def nothing_twice_and_nothing_beyond_the_order(self) -> None:
        OrderLife.steps += 1
        self.session.check()

    def teardown(self) -> None:
        self.session.calm()
        self.session.verify_end()


def walk(examples: int, steps: int) -> int:
    """Walk, and say how many steps were really taken."""
    OrderLife.steps = 0
    run_state_machine_as_test(
        OrderLife,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    return OrderLife.steps


def test_invariants_3_and_8_hold_on_every_walk() -> None:
    assert walk(40, 30) > 500


@pytest.mark.slow
def test_invariants_3_and_8_hold_on_fifty_thousand_steps() -> None:
    assert walk(1_150, 50) >= 50_000
