"""Whole sessions with every kind of fault and with crashes: nothing lost, nothing twice."""

from collections import Counter
from typing import get_args

import pytest

from maxlib.execution.alpaca.fake_faults import Fault
from tests.execution.alpaca.sessions import Session

POST = ("POST", "/v2/orders")


def live(seed: int, steps: int = 60) -> Session:
    session = Session(seed)
    session.run(steps)
    session.verify_end()
    return session


@pytest.mark.parametrize("seed", range(40))
def test_rows_51_to_60_no_fill_is_lost_or_booked_twice(seed: int) -> None:
    session = live(seed)
    # One submit an intent at the most: nothing is ever sent again.
    assert session.bench.api.calls.count(POST) <= len(session.books.orders)


def test_the_sessions_meet_every_kind_of_fault_and_many_crashes() -> None:
    faults, counts = Counter[str](), Counter[str]()
    for seed in range(12):
        session = Session(seed)
        first = session.bench.faults
        session.run(60)
        faults += first.counts
        counts += session.counts
    assert {name for name in get_args(Fault) if not faults[name]} == set()
    assert counts["crashes"] > 20
    assert counts["Unanswered"] > 20


def test_same_seed_same_journal() -> None:
    assert live(5).digest == live(5).digest != live(6).digest


@pytest.mark.slow
@pytest.mark.parametrize("block", range(3))
def test_three_hundred_sessions(block: int) -> None:
    for seed in range(1_000 + 100 * block, 1_100 + 100 * block):
        live(seed)
