"""The one-strike-in-the-money study against the spec's figures."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from maxlib.research.accounting import Accounting
from maxlib.research.published.champion_config import ITM_STUDY, QQQ_ONLY
from maxlib.research.published.champion_money import Books
from maxlib.research.published.itm import ItmAccounting, bargain
from tests.research.published.champion_year import figures, quiet_day, year
from tests.research.published.test_champion import placebo


@pytest.fixture(scope="module")
def study(shared: Path) -> ItmAccounting:
    return ItmAccounting(year(shared))


def test_2024_figures_are_the_published_ones(study: ItmAccounting) -> None:
    trades, win, total = figures(study.booked)
    assert (trades, round(win, 1), round(total)) == (587, 77.9, 7_253)
    assert round(study.booked[-1].balance_usd, 2) == 1_838_157.90
    equity = np.array([25_000.0, *(t.balance_usd for t in study.booked)])
    assert round((np.maximum.accumulate(equity) - equity).max() / 250, 2) == 3.82


def test_every_option_is_bought_below_its_intrinsic_value(shared: Path) -> None:
    """Spec §5, over the 22-month study: mean premium 0.57, mean intrinsic value 5.01, 100 % below."""
    found = bargain(ItmAccounting(year(shared)).booked)
    assert found.share_below == 1.0
    assert found.premium == pytest.approx(0.57, abs=0.01)
    assert found.intrinsic == pytest.approx(5.01, abs=0.05)
    assert np.isnan(bargain([]).premium)


def test_qqq_only_study_in_the_months_the_bars_cover(shared: Path) -> None:
    """14 of its 22 months: win rate 80.5 %, mean P&L $3,261 and 30 % outside hours hold there too.

    Its 928 trades cannot be counted: March to October 2025 are not among the bars.
    """
    bars = year(shared, dt.date(2024, 1, 1), dt.date(2025, 2, 28))
    booked = ItmAccounting(bars, QQQ_ONLY).booked
    trades, win, _ = figures(booked)
    minute = bars["minute"][[t.entered for t in booked]]
    assert trades == pytest.approx(928 * 14 / 22, rel=0.05)
    assert win == pytest.approx(80.5, abs=1)
    assert np.mean([t.pnl_usd for t in booked]) == pytest.approx(3_261, rel=0.02)
    assert np.mean((minute < 570) | (minute >= 960)) == pytest.approx(0.30, abs=0.03)


def test_random_entries_make_thousands_of_percent(study: ItmAccounting) -> None:
    """Spec §12.1: ≈600 trades, win 73 %, +5,214 %; within three standard errors (one seed: 230 %)."""
    accounting: Accounting = study
    assert accounting.name == "published_itm"
    trades, win, total = placebo(accounting, 720)
    assert trades == pytest.approx(600, rel=0.02)
    assert win == pytest.approx(73, abs=1)
    assert total == pytest.approx(5_214, abs=218)


def test_put_costs_as_a_call_out_of_the_money_and_pays_intrinsic_value() -> None:
    """Strike 505, spot 500: 1.20 x 0.962 of premium for $5; at 499.50 the books pay 5.50."""
    bars = quiet_day()
    bars["low"][25] = 499.5
    (t,) = Books(bars, np.full(len(bars), 0.1), ITM_STUDY).book(np.array([20]), np.array([-1], np.int8))
    assert (t.strike, t.hit) == (505, True)
    assert t.premium == pytest.approx(1.2 * (0.3 + 0.7 * 369 / 390))
    assert t.exit_value == pytest.approx(5.5)
