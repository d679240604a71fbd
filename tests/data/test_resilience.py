import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.errors import ConfigError
from maxlib.data.faults import Fault, SourceError, excerpt, fault_of_status, reset_after_s
from maxlib.data.resilience import (
    BackoffConfig,
    Breaker,
    BreakerConfig,
    Budget,
    BudgetConfig,
    Failover,
    FailoverConfig,
    StaleKey,
    Staleness,
    Switch,
    delay_s,
)

TIMES = st.lists(st.floats(0, 50, allow_nan=False), min_size=1, max_size=60)


@given(steps=TIMES, calls=st.integers(1, 7))
def test_row_42_no_window_ever_sees_more_calls_than_the_budget(steps: list[float], calls: int) -> None:
    budget, now, made = Budget(BudgetConfig(calls=calls, per_s=60.0)), 0.0, []
    for step in steps:
        now += step
        wait = budget.reserve(now, 1e9)
        assert wait is not None
        made.append(now + wait)
    assert made == sorted(made)
    for i in range(calls, len(made)):
        assert made[i] - made[i - calls] >= 60.0 - 1e-6


def test_row_42_budget_refuses_a_wait_beyond_patience_and_reserves_nothing() -> None:
    budget = Budget(BudgetConfig(calls=2, per_s=60.0))
    assert [budget.reserve(0.0, 0.0), budget.reserve(10.0, 0.0)] == [0.0, 0.0]
    assert budget.reserve(20.0, 39.0) is None
    assert budget.reserve(20.0, 40.0) == 40.0  # the token of t=0 is back at t=60
    assert budget.reserve(60.0, 1e9) == 10.0  # that of t=10 at t=70


def test_row_42_reset_of_the_source_overrules_a_full_bucket() -> None:
    budget = Budget(BudgetConfig(calls=5, per_s=60.0))
    budget.exhaust(100.0, 17.0)
    assert budget.wait_s(100.0) == 17.0
    budget.exhaust(101.0, 1.0)  # a shorter reset does not open it earlier
    assert budget.reserve(110.0, 60.0) == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "Fri, 10 Jan 2025 00:01:00 GMT"}, 60.0),
        ({"X-RateLimit-Reset": "1736467260"}, 60.0),
        ({"X-RateLimit-Reset": "5"}, 5.0),
        ({"Retry-After": "Thu, 09 Jan 2025 23:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-4"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_row_42_reset_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert reset_after_s(headers, 1_736_467_200.0) == seconds  # 2025-01-10 00:00:00 UTC


def test_row_43_backoff_grows_is_capped_and_stays_within_its_jitter() -> None:
    config = BackoffConfig(first_s=1.0, cap_s=20.0, factor=2.0, jitter=0.5)
    full = [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    drawn = [delay_s(config, n, random.Random(seed)) for seed in range(50) for n in range(1, 8)]
    for i, delay in enumerate(drawn):
        assert full[i % 7] / 2 < delay <= full[i % 7]
    assert len(set(drawn)) == 6 * 50  # six different full delays: two clients do not come back in step
    assert delay_s(config, 10_000, random.Random(1)) == delay_s(config, 7, random.Random(1))


def test_row_43_backoff_of_a_seed_is_the_same_every_time() -> None:
    def delays(seed: int) -> list[float]:
        rng = random.Random(seed)
        return [delay_s(BackoffConfig(), n, rng) for n in range(1, 9)]

    assert delays(3) == delays(3) != delays(4)


def test_backoff_with_a_cap_below_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="cap_s 1 is below first_s 2"):
        BackoffConfig(first_s=2.0, cap_s=1.0)


def test_row_43_breaker_opens_at_the_nth_failure_within_the_window() -> None:
    breaker = Breaker(BreakerConfig(failures=3, window_s=10.0, open_s=5.0))
    assert [breaker.failed(t) for t in (0.0, 1.0)] == [False, False]
    assert breaker.admit(1.0)
    assert breaker.failed(10.0) is True  # the third, 10 s after the first: inside
    assert (breaker.state, breaker.admit(14.9), breaker.wait_s(14.0)) == ("open", False, 1.0)


def test_row_43_failures_spread_beyond_the_window_do_not_open_it() -> None:
    breaker = Breaker(BreakerConfig(failures=3, window_s=10.0))
    assert [breaker.failed(t) for t in (0.0, 5.0, 10.1, 15.2)] == [False] * 4
    assert breaker.state == "closed"


def test_row_43_open_breaker_lets_one_probe_through_and_closes_on_success() -> None:
    breaker = Breaker(BreakerConfig(failures=1, open_s=5.0))
    assert breaker.failed(0.0)
    assert [breaker.admit(5.0), breaker.admit(5.0), breaker.admit(9.9)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.admit(9.9), breaker.admit(9.9)] == [True, True]


def test_row_43_failed_probes_double_the_wait_up_to_the_cap() -> None:
    breaker, now, waits = Breaker(BreakerConfig(failures=1, open_s=5.0, cap_s=15.0)), 0.0, []
    breaker.failed(now)
    for _ in range(4):
        waits.append(breaker.wait_s(now))
        now += waits[-1]
        assert breaker.admit(now)
        assert breaker.failed(now)
    assert waits == [5.0, 10.0, 15.0, 15.0]


def test_probe_that_never_reports_back_does_not_shut_the_source_for_ever() -> None:
    breaker = Breaker(BreakerConfig(failures=1, open_s=5.0))
    breaker.failed(0.0)
    assert breaker.admit(5.0)
    assert [breaker.admit(9.0), breaker.admit(10.0)] == [False, True]


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=80))
def test_breaker_never_admits_while_open(story: list[tuple[float, bool]]) -> None:
    breaker, now = Breaker(BreakerConfig(failures=2, window_s=20.0, open_s=5.0)), 0.0
    for step, well in story:
        now += step
        wait, state = breaker.wait_s(now), breaker.state
        admitted = breaker.admit(now)
        assert admitted == (state == "closed" or wait == 0.0)
        if admitted:
            if well:
                breaker.succeeded()
            else:
                breaker.failed(now)


def test_row_31_silence_and_delay_both_make_a_key_stale_with_limit_and_actual() -> None:
    staleness = Staleness({"QQQ": 90.0, "I:VIX": 300.0})
    assert staleness.stale(0.0) == (StaleKey("QQQ", math.inf, 90.0), StaleKey("I:VIX", math.inf, 300.0))
    staleness.heard("QQQ", 100.0, late_s=2.0)
    staleness.heard("I:VIX", 100.0)
    assert staleness.stale(188.0) == ()  # 90 s is the limit itself
    assert staleness.stale(189.0) == (StaleKey("QQQ", 91.0, 90.0),)
    staleness.heard("QQQ", 190.0, late_s=900.0)  # a delayed feed is stale however lively it is
    assert staleness.stale(190.0) == (StaleKey("QQQ", 900.0, 90.0),)
    staleness.heard("QQQ", 191.0, late_s=-3.0)  # a clock ahead of the market is no freshness
    assert staleness.age_s("QQQ", 191.0) == 0.0


def test_row_50_failover_leaves_at_once_and_returns_only_after_a_well_spell() -> None:
    failover = Failover(["massive", "alpaca"], FailoverConfig(leave_s=0.0, return_s=60.0))
    assert failover.update(0.0, ["massive", "alpaca"]) == Switch(None, "massive", "the best that is well")
    assert failover.update(1.0, ["alpaca"]) == Switch("massive", "alpaca", "massive is ill")
    assert failover.update(2.0, ["massive", "alpaca"]) is None
    assert failover.update(50.0, ["alpaca"]) is None  # a relapse: the spell begins anew
    assert failover.update(51.0, ["massive", "alpaca"]) is None
    assert failover.update(110.9, ["massive", "alpaca"]) is None
    change = failover.update(111.0, ["massive", "alpaca"])
    assert change == Switch("alpaca", "massive", "massive has been well for 60 s")


def test_row_50_short_illness_within_leave_s_changes_nothing_and_none_well_means_no_feed() -> None:
    failover = Failover(["a", "b"], FailoverConfig(leave_s=10.0))
    failover.update(0.0, ["a", "b"])
    assert failover.update(5.0, ["b"]) is None
    assert failover.update(14.9, ["b"]) is None
    assert failover.update(14.95, ["a"]) is None
    assert failover.update(20.0, []) is None
    assert failover.update(30.0, []) == Switch("a", None, "a is ill")
    assert failover.update(31.0, []) is None
    assert failover.update(32.0, ["b"]) == Switch(None, "b", "the best that is well")


@given(st.lists(st.tuples(st.floats(0.1, 40), st.sets(st.sampled_from("abc"))), max_size=60))
def test_row_50_failover_never_flaps_back_before_the_well_spell(story: list[tuple[float, set[str]]]) -> None:
    failover, now = Failover("abc", FailoverConfig(return_s=60.0)), 0.0
    since: dict[str, float | None] = dict.fromkeys("abc")
    for step, well in story:
        now += step
        for name in "abc":
            since[name] = (now if since[name] is None else since[name]) if name in well else None
        before = failover.current
        change = failover.update(now, well)
        assert failover.current is None or failover.current in well
        if change and change.to and before in well:
            spell = since[change.to]
            assert spell is not None
            assert now - spell >= 60.0


def test_failover_without_sources_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sources \['a', 'a'\] should be one or more different names"):
        Failover(["a", "a"], FailoverConfig())


@pytest.mark.parametrize(
    ("status", "fault", "retryable", "alerting"),
    [
        (400, Fault.REQUEST, False, False),
        (401, Fault.KEY, False, True),
        (403, Fault.ENTITLEMENT, False, True),
        (404, Fault.REQUEST, False, False),
        (422, Fault.REQUEST, False, False),
        (429, Fault.LIMIT, True, False),
        (500, Fault.SERVER, True, False),
        (503, Fault.SERVER, True, False),
        (408, Fault.SERVER, True, False),
        (204, Fault.REQUEST, False, False),
        (301, Fault.REQUEST, False, False),
    ],
)
def test_rows_40_to_43_status_classes(status: int, fault: Fault, retryable: bool, alerting: bool) -> None:
    assert fault_of_status(status) is fault
    error = SourceError("x", fault, status=status)
    assert (error.retryable, error.alerting) == (retryable, alerting)


@given(st.text(), st.text(min_size=4, alphabet="abcXYZ019"))
def test_excerpt_is_short_printable_and_without_the_secret(text: str, secret: str) -> None:
    shown = excerpt(text + secret + text, secret)
    assert len(shown) <= 200
    assert shown.isprintable() or shown == ""
    assert secret not in shown
