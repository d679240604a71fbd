"""Killed at a broker, a trader loses no fill, sends nothing twice, and its ledger is the account."""

import os
from typing import Any

import pytest

from tests.chaos.broker_sweep import BROKEN, sweep

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the sweep forks")


def held(found: dict[str, Any], points: int) -> None:
    assert found["killed"] == points, "every trial was really killed"
    assert found["killed_again"] >= points // 6, "some while they recovered"
    assert found["fills"] >= 6 * points
    assert {name: found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert found["stray"] <= points // 20, "a trial with one says nothing of cash"


def test_40_kills_at_a_broker_lose_no_fill_and_send_nothing_twice(record_testsuite_property: Any) -> None:
    found = sweep(40, seed=1)
    record_testsuite_property("broker sweep", str(found))
    held(found, 40)


@pytest.mark.slow
def test_1000_kills_at_a_broker_lose_no_fill_and_send_nothing_twice(record_testsuite_property: Any) -> None:
    found = sweep(1_000, seed=2)
    record_testsuite_property("broker sweep, long", str(found))
    held(found, 1_000)


@pytest.mark.slow
def test_the_sweep_finds_a_trader_that_sends_before_it_writes() -> None:
    assert sweep(150, seed=4, careless=True)["sent_again"] > 0
