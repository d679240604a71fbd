"""Killed at hundreds of points and restarted, the trader's journal is the undisturbed one."""

import os
from typing import Any

import pytest

from tests.chaos.kill_sweep import sweep

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the sweep forks")


def held(found: dict[str, Any], points: int) -> None:
    assert found["points"] == points
    assert found["killed"] == points, "every trial was really killed"
    assert found["killed_again"] >= points // 6, "some while they recovered"
    assert found["fills"] >= 6
    assert (found["lost"], found["duplicated"], found["journals_that_differ"]) == (0, 0, 0)


def test_300_kills_lose_no_fill_and_repeat_none(record_testsuite_property: Any) -> None:
    found = sweep(300, seed=1)
    record_testsuite_property("kill sweep", str(found))
    held(found, 300)


@pytest.mark.slow
def test_2000_kills_lose_no_fill_and_repeat_none(record_testsuite_property: Any) -> None:
    found = sweep(2_000, seed=2)
    record_testsuite_property("kill sweep, long", str(found))
    held(found, 2_000)
