"""Metrics against textbook figures and hand computations."""

import pytest

from maxlib.analytics.metrics import measure, wilson


@pytest.mark.parametrize(
    ("wins", "trades", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (55, 100, 0.4524, 0.6439)],
)
def test_wilson_interval_matches_newcombe_1998(wins, trades, low, high):
    assert wilson(wins, trades) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_no_trades_have_no_rate_and_the_widest_interval():
    m = measure([], [], [], 1_000_00)
    assert (m.trades, m.win_rate, m.win_low, m.win_high, m.pnl_usd, m.profit_factor) == (
        0,
        None,
        0,
        1,
        0,
        None,
    )


def test_profit_factor_and_expectancy_of_the_definitions_example():
    # +2, -1, -1, +3, -1 dollars: PF 1.6667, mean 0.4, 40 % won
    m = measure([200, -100, -100, 300, -100], [0] * 5, [100] * 5, 10_000)
    assert m.profit_factor == pytest.approx(5 / 3)
    assert (m.average_usd, m.win_rate, m.pnl_usd) == (pytest.approx(0.4), 0.4, 2.0)
    assert (m.average_win_usd, m.average_loss_usd) == (2.5, -1.0)


def test_drawdown_is_measured_from_the_running_peak_with_the_start_included():
    # account 100 -> 90 -> 130 -> 97.5: falls of 10 from the start (10 %) and 32.5 from 130 (25 %)
    m = measure([-1000, 4000, -3250], [0] * 3, [1000] * 3, 10_000)
    assert (m.max_drawdown_usd, m.max_drawdown_share) == (32.5, 0.25)


def test_a_loss_on_the_first_trade_is_a_drawdown():
    # the original let the peak begin at the first trade's result and saw none
    assert measure([-500], [0], [1000], 10_000).max_drawdown_usd == 5.0


def test_a_trade_that_only_pays_its_fees_is_no_win():
    assert measure([0], [130], [1000], 10_000).wins == 0
