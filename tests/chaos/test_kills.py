"""The real trader, killed or stopped under its supervisor, is back and reconciled in time."""

from typing import Any

import pytest

from tests.chaos.kills import KILLED_S, sweep


def test_a_killed_trader_is_back_and_has_recovered_all_that_was_durable(
    record_testsuite_property: Any,
) -> None:
    found = sweep(kills=1, stops=0, seed=1)
    record_testsuite_property("kills", str(found))
    assert found["failures"] == []
    assert found["sigkill"]["worst_s"] <= 3 * KILLED_S, "other tests run beside it"


@pytest.mark.slow
def test_twenty_kills_and_two_stops_are_mended_in_time(record_testsuite_property: Any) -> None:
    found = sweep(kills=20, stops=2, seed=2)
    record_testsuite_property("kills, long", str(found))
    assert (found["failures"], found["late"]) == ([], 0)
