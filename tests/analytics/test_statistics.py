"""Daily statistics against the papers' figures, textbook values and hand computations."""

import datetime as dt
import math

import numpy as np
import pytest

from maxlib.analytics.metrics import measure
from maxlib.analytics.statistics import (
    daily_pnl,
    deflated_sharpe,
    expected_maximum,
    measure_days,
    minimum_track_record,
    probabilistic_sharpe,
    session_days,
    shape,
    sharpe,
)
from maxlib.core.errors import InvariantError
from maxlib.market import bars as b
from maxlib.market.calendar import ordinal, stamp, to_ns

RETURNS = np.array([0.01, -0.005, 0.007, 0.002, -0.004])


# --- ratios of days


def test_sharpe_and_sortino_of_the_definitions_example():
    found = measure_days(RETURNS)
    # mean 0.002, squares about it 174e-6: exactly sqrt(672 / 29) = 4.8137733; the page rounds it to 4.813774
    assert found.sharpe_annual == pytest.approx(math.sqrt(672 / 29), rel=1e-12)
    assert found.sharpe_annual == pytest.approx(4.813774, abs=1e-6)
    assert found.sortino_annual == pytest.approx(11.087237, abs=5e-7)
    assert found.sharpe == pytest.approx(4.813774 / math.sqrt(252), abs=5e-8)
    assert (found.mean_usd, found.sd_usd) == (pytest.approx(0.002), pytest.approx(math.sqrt(174e-6 / 4)))


def test_drawdown_of_the_definitions_example_is_half_a_percent():
    # 10,000,000.00 grown by RETURNS, each day's change written out in cents
    days = [10_000_000, -5_050_000, 7_034_650, 2_023_969, -4_056_034]
    assert measure(days, [0] * 5, [1] * 5, 1_000_000_000).max_drawdown_share == pytest.approx(0.005, abs=1e-9)


def test_days_without_a_trade_count():
    # 3, 1 alone: mean 2, sd sqrt 2. With two idle days: mean 1, sd sqrt((4 + 0 + 1 + 1) / 3) = sqrt 2
    assert sharpe(np.array([3.0, 1.0])) == pytest.approx(2 / math.sqrt(2))
    assert sharpe(np.array([3.0, 1.0, 0.0, 0.0])) == pytest.approx(1 / math.sqrt(2))


def test_skewness_and_raw_kurtosis_by_hand():
    # 0 0 0 4: deviations -1 -1 -1 3, moments 3, 6, 21
    assert shape(np.array([0.0, 0.0, 0.0, 4.0])) == (pytest.approx(6 / 3**1.5), pytest.approx(21 / 9))
    # many normal days: 0 and 3, not 0 and 0
    skew, kurtosis = shape(np.random.default_rng(1).standard_normal(200_000))
    assert (skew, kurtosis) == (pytest.approx(0, abs=0.02), pytest.approx(3, abs=0.05))


@pytest.mark.parametrize("days", [[], [5.0], [0.0] * 20, [0.1] * 10])
def test_too_few_days_or_days_all_alike_have_no_sharpe(days):
    found = measure_days(np.array(days))
    assert (found.days, found.sharpe, found.sharpe_annual, found.skew, found.kurtosis, found.psr) == (
        len(days), None, None, None, None, None,
    )  # fmt: skip


def test_without_a_losing_day_there_is_no_sortino():
    assert measure_days(np.array([1.0, 2.0, 0.0])).sortino_annual is None


def test_figures_of_days_are_plain_numbers():
    assert {type(v) for v in measure_days(RETURNS).as_dict().values()} == {int, float}


# --- how far a Sharpe ratio can be believed


@pytest.mark.parametrize(("skew", "kurtosis", "psr"), [(-2.448, 10.164, 0.9134), (0.0, 3.0, 0.9817)])
def test_psr_of_bailey_and_lopez_de_prado_2012(skew, kurtosis, psr):
    assert probabilistic_sharpe(0.458, 24, skew, kurtosis) == pytest.approx(psr, abs=5e-5)


def test_dsr_of_bailey_and_lopez_de_prado_2014():
    sr, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert expected_maximum(100, variance) == pytest.approx(0.113172, abs=5e-7)
    assert deflated_sharpe(sr, 1250, -3.0, 10.0, 100, variance) == pytest.approx(0.900397, abs=5e-7)
    assert deflated_sharpe(sr, 1250, -3.0, 10.0, 46, variance) == pytest.approx(0.950502, abs=5e-7)


@pytest.mark.parametrize(("trials", "table"), [(10, 1.53875), (50, 2.24907), (100, 2.50759)])
def test_sr0_is_near_the_tabulated_mean_of_the_largest_normal_value(trials, table):
    # Harter 1961; the papers' formula is an approximation from above
    assert expected_maximum(trials, 1.0) == pytest.approx(table, rel=0.025)


def test_one_trial_has_no_best():
    assert expected_maximum(1, 0.1) is None
    assert deflated_sharpe(0.1, 250, 0.0, 3.0, 1, 0.1) is None


def test_psr_of_one_day_or_of_impossible_moments_is_unknown():
    assert probabilistic_sharpe(0.1, 1, 0.0, 3.0) is None
    assert probabilistic_sharpe(1.0, 100, 3.0, 3.0) is None  # kurtosis is at least skewness squared + 1
    assert minimum_track_record(1.0, 3.0, 3.0) is None


def test_minimum_track_record_by_hand():
    # Sharpe 2 a year against 1, 250 normal days: 1 + (1 + 0.016 / 2) x (1.644854 / 0.0632456)^2
    days = minimum_track_record(2 / math.sqrt(250), 0.0, 3.0, 1 / math.sqrt(250))
    assert days == pytest.approx(1 + 1.008 * 1.6448536**2 * 250, rel=1e-6)
    assert minimum_track_record(0.05, 0.0, 3.0, 0.05) is None


def test_after_the_minimum_track_record_psr_is_the_confidence():
    days = minimum_track_record(0.458, -2.448, 10.164, 0.1, 0.9)
    whole = math.ceil(days)
    assert probabilistic_sharpe(0.458, whole, -2.448, 10.164, 0.1) > 0.9
    assert probabilistic_sharpe(0.458, whole - 1, -2.448, 10.164, 0.1) < 0.9


def test_psr_is_the_share_of_samples_below_when_the_true_ratio_is_the_benchmark():
    # 60 normal days with a true ratio of 0.1, many times over: PSR(0.1) must be near uniform
    rng = np.random.default_rng(5)
    samples = rng.standard_normal((2000, 60)) + 0.1
    psr = np.array([probabilistic_sharpe(sharpe(x), 60, *shape(x), 0.1) for x in samples])
    for share in (0.05, 0.5, 0.95):
        assert np.mean(psr < share) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 2000))


# --- from trades to days


def tape(*stamps):
    start = np.array([to_ns(dt.date.fromisoformat(date), minute) for date, minute in stamps])
    one = np.ones(len(start))
    return stamp(start, one, one, one, one, one)


def test_sessions_are_days_with_a_regular_minute():
    bars = tape(
        ("2025-01-16", b.RTH_CLOSE - 1),
        ("2025-01-17", b.RTH_OPEN - 1),  # before the open only
        ("2025-01-20", 600),  # Martin Luther King day
        ("2025-01-21", b.RTH_OPEN),
        ("2025-01-21", b.RTH_OPEN + 1),
        ("2025-01-22", b.RTH_CLOSE),  # after the close only
        ("2025-11-28", 13 * 60),  # half day, after its close
    )
    assert session_days(bars).tolist() == [ordinal(dt.date(2025, 1, 16)), ordinal(dt.date(2025, 1, 21))]


def test_trades_fall_on_the_new_york_date_of_their_close():
    dates = [dt.date(2025, 1, 16), dt.date(2025, 1, 17), dt.date(2025, 7, 3)]
    days = np.array([ordinal(date) for date in dates])
    closed = [to_ns(dates[0], 600), to_ns(dates[2], 959), to_ns(dates[0], 961), to_ns(dates[2], 571)]
    assert daily_pnl(days, closed, [150, -1, 25, 301]).tolist() == [1.75, 0.0, 3.0]
    assert daily_pnl(days, [], []).tolist() == [0.0, 0.0, 0.0]


def test_a_trade_outside_the_sessions_is_not_dropped_silently():
    days = np.array([ordinal(dt.date(2025, 1, 16))])
    closed = [to_ns(dt.date(2025, 1, 16), 600), to_ns(dt.date(2025, 1, 17), 600)]
    with pytest.raises(InvariantError, match="trade 2 closed on 2025-01-17, which is no session of the tape"):
        daily_pnl(days, closed, [1, 1])
