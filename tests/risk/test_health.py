"""Health checks: thresholds, three failures in a row for the API, and the way back."""

import datetime as dt
import json
import math
from typing import Any

import pytest

from maxlib.core.canonical import canonical
from maxlib.market.calendar import to_ns
from maxlib.risk.health import Health, HealthConfig, Vitals, due, health_in, observed

SECOND = 1_000_000_000
CONFIG = HealthConfig()
TUESDAY = dt.date(2025, 11, 25)
NOON = to_ns(TUESDAY, 12 * 60)


def check(state: Health = Health(), ts: int = NOON, **seen: Any) -> Health:  # noqa: B008
    well = {"data_age_seconds": 1.0, "cpu_percent": 5.0, "memory_percent": 5.0, "api_ok": True}
    return observed(CONFIG, state, Vitals(ts, **{**well, **seen}))


@pytest.mark.parametrize(
    ("seen", "failed"),
    [
        ({}, ()),
        ({"data_age_seconds": 300.0}, ()),
        ({"data_age_seconds": math.nextafter(300.0, 301)}, ("data_age",)),
        ({"data_age_seconds": math.nan}, ("data_age",)),
        ({"data_age_seconds": math.inf}, ("data_age",)),
        ({"cpu_percent": 90.0, "memory_percent": 80.0}, ()),
        ({"cpu_percent": 90.1}, ("resources",)),
        ({"memory_percent": 80.1}, ("resources",)),
        ({"cpu_percent": math.nan}, ("resources",)),
        ({"api_ok": False}, ()),
        ({"api_ok": False, "cpu_percent": 99.0, "data_age_seconds": 999.0}, ("data_age", "resources")),
    ],
)
def test_a_value_at_its_threshold_is_well_and_one_beyond_is_not(
    seen: dict[str, Any], failed: tuple[str, ...]
) -> None:
    assert check(**seen).failed == failed


@pytest.mark.parametrize(
    ("date", "minute", "second", "well"),
    [
        (TUESDAY, 9 * 60 + 29, 59, False),
        (TUESDAY, 9 * 60 + 30, 0, True),
        (TUESDAY, 15 * 60 + 45, 0, True),
        (TUESDAY, 15 * 60 + 45, 1, False),
        (TUESDAY, 23 * 60, 0, False),
        (dt.date(2025, 11, 28), 12 * 60 + 45, 0, True),  # the half day after Thanksgiving
        (dt.date(2025, 11, 28), 12 * 60 + 45, 1, False),
        (dt.date(2025, 11, 27), 12 * 60, 0, False),  # Thanksgiving
        (dt.date(2025, 11, 29), 12 * 60, 0, False),  # Saturday
        (dt.date(2025, 3, 10), 9 * 60 + 30, 0, True),  # the Monday after the clocks changed
    ],
)
def test_market_hours_follow_the_exchanges_calendar(
    date: dt.date, minute: int, second: int, well: bool
) -> None:
    found = check(ts=to_ns(date, minute) + second * SECOND)
    assert ("market_hours" not in found.failed) == well


def test_the_api_fails_at_the_third_failure_in_a_row() -> None:
    state = Health()
    for ok, failed in [(False, False), (False, False), (True, False), (False, False), (False, False)]:
        state = check(state, api_ok=ok)
        assert ("api" in state.failed) == failed
    assert check(state, api_ok=False).failed == ("api",)


@pytest.mark.parametrize("seen", [{"cpu_percent": 99.0}, {"data_age_seconds": 301.0}, {"api_ok": False}])
def test_a_failed_check_is_well_again_after_three_good_ones_in_a_row(seen: dict[str, Any]) -> None:
    state = Health()
    for _ in range(3):
        state = check(state, **seen)
    assert state.failed
    for good in (True, True, False, True, True):
        state = check(state, **({} if good else seen))
        assert state.failed
    assert check(state).failed == ()


def test_market_hours_are_well_at_the_first_check_after_the_open() -> None:
    night = check(ts=to_ns(TUESDAY, 8 * 60))
    assert night.failed == ("market_hours",)
    assert check(night).failed == ()


def test_figures_are_kept_for_the_report_and_what_was_not_measured_is_none() -> None:
    hours, age, resources, api = check(data_age_seconds=math.nan, memory_percent=85.0).checks
    assert (hours.limit, hours.actual) == ((6 * 60 + 15) * 60, 2.5 * 3600)
    assert (age.limit, age.actual) == (300.0, None)
    assert (resources.limit, resources.actual) == (80.0, 85.0)
    assert (api.limit, api.actual) == (1.0, 1.0)


def test_checks_are_due_every_minute_and_a_state_written_and_read_is_the_same() -> None:
    state = check(data_age_seconds=math.nan, api_ok=False)
    assert not due(CONFIG, state, NOON + 60 * SECOND - 1)
    assert due(CONFIG, state, NOON + 60 * SECOND)
    assert health_in(json.loads(canonical(list(state)))) == state
