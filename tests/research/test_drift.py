"""The drift verdict: its intervals are those of the literature, and a point alone decides nothing."""

import numpy as np
import pytest

from maxlib.research import drift
from maxlib.research.drift import MIN_SESSIONS, MIN_TRADES, Compared, means, newcombe, overall, shares, welch

# Newcombe 1998, Table II, method 10; also by statsmodels, confint_proportions_2indep(method="newcomb").
NEWCOMBE = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0)),
]

PAPER = [
    -92.2, -139.2, -42.4, 17.8, 82.2, -10.1, -69.7, -90.6, 47.4, 127.1, 4.5, -131.0, -106.2, 124.0, -1.7,
    -175.9, -27.5, -124.7, -76.6, -63.9, -84.2, 29.8, -25.7, -73.0,
]  # fmt: skip
BACKTEST = [
    62.3, 121.2, -225.0, -30.9, -132.3, -19.2, -175.5, 7.9, -0.3, -37.6, -141.7, -50.5, -147.8, -184.7, 36.5,
    -150.3, 168.8, 105.3, -274.7, 43.1, -149.2, 9.6, 11.1, -273.4, -27.7, -30.8, 139.7, -160.4, 108.3, -148.9,
    -41.4, -112.7, 207.8, 84.5, 345.4, 94.9, 123.3, 122.7, -79.9, -4.8, 194.1, -50.5, 31.4, 2.0, 90.3, -46.1,
    -16.3, 38.9, 19.4, -116.1, 130.4, -176.8, -163.2, -174.5, 140.4,
]  # fmt: skip


@pytest.mark.parametrize(("counts", "interval"), NEWCOMBE)
def test_the_interval_of_two_shares_is_newcombes(
    counts: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    assert newcombe(*counts) == pytest.approx(interval, abs=5e-5)


def test_the_interval_of_two_means_is_welchs() -> None:
    # scipy 1.17, ttest_ind(equal_var=False).confidence_interval(0.95), 68.01 degrees of freedom
    assert welch(np.array(PAPER), np.array(BACKTEST)) == pytest.approx((-69.285, 27.004), abs=0.01)


def test_without_spread_there_is_no_interval() -> None:
    assert welch(np.ones(30), np.ones(40)) is None
    assert welch(np.array([1.0]), np.arange(40.0)) is None


def share(won: int, n: int, won0: int, n0: int) -> Compared:
    return shares("win rate", np.arange(n) < won, np.arange(n0) < won0)


def test_a_share_far_off_has_drifted() -> None:
    # 20 % against 60 %: Newcombe's interval by hand from the Wilson ends is -0.487 to -0.299.
    one = share(40, 200, 240, 400)
    assert one.verdict == "drift"
    assert (one.low, one.high) == pytest.approx((-0.468, -0.322), abs=0.02)


def test_a_share_is_within_only_when_the_whole_interval_is() -> None:
    assert share(60, 100, 600, 1_000).verdict == "not_enough"
    assert share(6_000, 10_000, 60_000, 100_000).verdict == "within"


def test_equal_shares_of_few_trades_are_no_all_clear_and_a_lost_handful_is_no_drift() -> None:
    assert share(0, MIN_TRADES - 1, 900, 1_000).verdict == "not_enough"
    assert share(0, MIN_TRADES, 900, 1_000).verdict == "drift"
    assert share(0, 500, 15, MIN_TRADES - 1).verdict == "not_enough"
    told = share(2, 4, 50, 100)
    assert told.why == f"the paper trader has 4 of at least {MIN_TRADES} trades"


def test_nothing_at_all_is_not_enough() -> None:
    one = share(0, 0, 0, 0)
    assert (one.actual, one.expected, one.low, one.bound, one.verdict) == (
        None,
        None,
        None,
        None,
        "not_enough",
    )


def test_a_mean_is_judged_by_its_interval_against_ten_per_cent() -> None:
    base = np.tile([9.0, 11.0], 2_000)  # mean 10, so the bound is 1
    assert means("x", "usd", "trades", base + 0.5, base).verdict == "within"
    assert means("x", "usd", "trades", base + 1.5, base).verdict == "drift"
    assert means("x", "usd", "trades", base + 1.0, base).verdict == "not_enough"
    assert means("x", "usd", "trades", base - 1.5, base).verdict == "drift"


def test_a_scale_turns_sessions_into_weeks() -> None:
    one = means("signals a week", "count", "sessions", np.tile([0.0, 2.0], 10), np.tile([1.0, 3.0], 50), 5.0)
    assert (one.actual, one.expected, one.bound, one.actual_n) == (5.0, 10.0, 1.0, 20)


def test_sessions_have_a_least_number_of_their_own() -> None:
    few, many = np.arange(MIN_SESSIONS - 1.0), np.arange(100.0)
    assert means("s", "count", "sessions", few, many).why == (
        f"the paper trader has {MIN_SESSIONS - 1} of at least {MIN_SESSIONS} sessions"
    )


def test_needed_is_the_number_at_which_chance_alone_fits_into_the_bound() -> None:
    # Spread 0.4899 of a share of 0.4, bound 0.04: (1.96 * 0.4899 / 0.04) ** 2 = 576.2
    assert share(1, 4, 40, 100).needed == 577


def test_the_verdict_of_all_is_the_worst_and_never_good_by_default() -> None:
    within, drifted, few = share(6_000, 10_000, 60_000, 100_000), share(40, 200, 240, 400), share(1, 2, 3, 4)
    assert overall([within, few, drifted]) == "drift"
    assert overall([within, few]) == "not_enough"
    assert overall([within, within]) == "within"
    assert overall([]) == "not_enough"


def test_the_rule_is_right_about_traders_that_do_not_drift() -> None:
    """Of traders with the backtest's own coin, fewer than 2.5 % are called drifting, and none is cleared."""
    rng = np.random.default_rng(11)
    verdicts = [shares("win rate", rng.random(60) < 0.4, rng.random(400) < 0.4).verdict for _ in range(4_000)]
    assert verdicts.count("drift") < 100
    assert verdicts.count("within") == 0
    assert drift.BOUND == 0.10
