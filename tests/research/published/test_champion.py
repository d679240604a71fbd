"""The champion's published books against the published lists and the spec's figures."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.research.accounting import Accounting, Entries
from maxlib.research.published.champion import ChampionAccounting, write_trades
from maxlib.research.published.champion_config import ATM_OF_ITM_STUDY, Cause, ChampionPublished
from maxlib.research.published.champion_money import Books, Trade
from tests.research.published.champion_year import figures, quiet_day, year


@pytest.fixture(scope="module")
def champion(shared: Path) -> ChampionAccounting:
    return ChampionAccounting(year(shared))


def reference(shared: Path, name: str) -> list[str]:
    return (shared / f"spec/reference/maxtrader_champion_{name}_trades.csv").read_text().splitlines()


# --- the published lists --------------------------------------------------------------------------


def test_2024_list_is_reproduced_byte_for_byte(
    champion: ChampionAccounting, shared: Path, tmp_path: Path
) -> None:
    write_trades(tmp_path / "mine.csv", champion.trades())
    mine, published = (tmp_path / "mine.csv").read_text().splitlines(), reference(shared, "2024")
    assert len(published) == 588
    assert [(a, b) for a, b in zip(mine, published, strict=True) if a != b] == []


def test_2025_list_is_reproduced_byte_for_byte_as_far_as_the_bars_go(shared: Path, tmp_path: Path) -> None:
    bars = year(shared, dt.date(2025, 1, 1), dt.date(2025, 2, 28))
    write_trades(tmp_path / "mine.csv", ChampionAccounting(bars).trades())
    mine, published = (tmp_path / "mine.csv").read_text().splitlines(), reference(shared, "2025")
    assert len(mine) == 108, "107 trades in January and February"
    assert mine == published[: len(mine)]
    assert published[len(mine)].split(",")[1].startswith("2025-03"), "the next one needs bars of March"


def test_2024_figures_are_the_published_ones(champion: ChampionAccounting) -> None:
    pnl = np.array([t.pnl_usd for t in champion.booked])
    won, lost = pnl[pnl > 0], pnl[pnl <= 0]
    equity = np.cumsum(np.concatenate(([25_000.0], pnl)))
    fall = (np.maximum.accumulate(equity) - equity).max()
    trades, win, total = figures(champion.booked)
    assert (trades, round(win, 1), round(total, 2)) == (587, 67.0, 725.59)
    assert round(pnl.sum(), 2) == 181_398.21
    assert round(champion.booked[-1].balance_usd, 2) == 206_398.21
    assert round(100 * np.mean([t.hit for t in champion.booked]), 1) == 55.7
    assert round(won.sum() / -lost.sum(), 2) == 11.43
    assert (round(won.mean(), 2), round(lost.mean(), 2)) == (505.81, -89.62)
    assert round(fall / 250, 2) == 4.33, "in % of the starting account, as published"


@pytest.mark.parametrize(
    ("config", "win", "hit", "total"),
    [
        (ChampionPublished(target_atr=2.5), 51.7, 82.9, 139),
        (ChampionPublished(target_atr=10.0), 59.2, None, 588),
    ],
)
def test_other_targets_of_2024_are_the_published_ones(
    shared: Path, config: ChampionPublished, win: float, hit: float | None, total: float
) -> None:
    booked = ChampionAccounting(year(shared), config).booked
    _, won, made = figures(booked)
    assert (round(won, 1), round(made)) == (win, total)
    if hit is not None:
        assert round(100 * np.mean([t.hit for t in booked]), 1) == hit


def test_the_itm_study_compared_itself_with_another_payoff_at_the_money(shared: Path) -> None:
    accounting = ChampionAccounting(year(shared), ATM_OF_ITM_STUDY)
    trades, win, total = figures(accounting.booked)
    assert (trades, round(win, 1), round(total)) == (587, 54.9, 1_038)
    assert round(accounting.booked[-1].balance_usd, 2) == 284_488.12


def test_published_timing_catches_nine_basis_points(champion: ChampionAccounting) -> None:
    """Spec §12.1: +9.2 bps per trade, t 8.4."""
    moves = np.array([1e4 * t.side * (t.exit_spot - t.spot) / t.spot for t in champion.booked])
    assert moves.mean() == pytest.approx(9.2, abs=0.05)
    assert moves.mean() / moves.std(ddof=1) * np.sqrt(len(moves)) == pytest.approx(8.4, abs=0.1)


# --- the face a placebo sees ----------------------------------------------------------------------


def test_own_entries_booked_again_make_the_same_money(champion: ChampionAccounting) -> None:
    accounting: Accounting = champion
    own = accounting.entries()
    assert (accounting.name, accounting.account_usd, len(own.at)) == ("published", 25_000.0, 587)
    assert accounting.book(own).pnl_usd.tolist() == [t.pnl_usd for t in champion.booked]


def placebo(accounting: Accounting, decisions: int, seeds: int = 20) -> Any:
    """Trades, win rate in %, return in %: means over seeds of random bars and coin flips."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        at = np.sort(rng.choice(len(accounting.bars) - 1, decisions, replace=False))
        side = rng.choice(np.array([-1, 1], np.int8), decisions)
        pnl = accounting.book(Entries(at, side)).pnl_usd
        rows.append((len(pnl), 100 * np.mean(pnl > 0), pnl.sum() / 250))
    return np.mean(rows, axis=0)


def test_random_entries_are_profitable_under_the_published_books(champion: ChampionAccounting) -> None:
    """Spec §12.1: ≈600 trades, win 52 %, +203 %; 905 trades, +293 %.

    The bounds are three standard errors of the difference of two means over 20 seeds (one seed: 35 %).
    """
    trades, win, total = placebo(champion, 720)
    assert trades == pytest.approx(600, rel=0.02)
    assert win == pytest.approx(52, abs=1)
    assert total == pytest.approx(203, abs=33)
    trades, _, total = placebo(champion, 1_173)
    assert trades == pytest.approx(905, rel=0.01)
    assert total == pytest.approx(293, abs=37)


def test_book_skips_what_it_cannot_trade(champion: ChampionAccounting) -> None:
    last = len(champion.bars) - 1
    busy = champion.booked[0]
    at = np.array([3, busy.at, busy.left, busy.left + 1, last], np.int64)  # bar 3 has no ATR yet
    books = Books(champion.bars, champion.evidence.atr, champion.config)
    booked = books.book(at, np.full(5, busy.side, np.int8))
    assert [t.at for t in booked] == [busy.at, busy.left + 1]


# --- by hand --------------------------------------------------------------------------------------


def one(bars: Any, at: int, side: int, causes: tuple[Cause, ...] = (), **config: Any) -> list[Trade]:
    books = Books(bars, np.full(len(bars), 0.1), ChampionPublished(**config), causes)
    return books.book(np.array([at]), np.array([side], np.int8))


def test_long_that_hits_is_paid_the_distance() -> None:
    """Entry 09:51 at 500: 2.00 x (0.3 + 0.7 x 369/390) = 1.924615; $1,250 buy six; $0.50 comes back."""
    bars = quiet_day()
    bars["high"][25] = 500.5
    (t,) = one(bars, 20, +1)
    assert (t.entered, t.left, t.hit, t.strike, t.contracts) == (21, 25, True, 500, 6)
    assert t.premium == pytest.approx(1.924615, abs=1e-6)
    assert (t.exit_spot, t.exit_value) == (500.5, pytest.approx(0.5))
    assert t.pnl_usd == pytest.approx(6 * 100 * (0.5 - 1.924615), abs=1e-3)
    assert t.balance_usd == pytest.approx(25_000 + t.pnl_usd)


def test_short_hits_by_its_low_and_in_the_entry_bar_already() -> None:
    bars = quiet_day()
    bars["low"][21] = 499.5
    (t,) = one(bars, 20, -1)
    assert (t.left, t.hit, t.exit_spot) == (21, True, 499.5)


def test_without_a_hit_the_table_decides_sixty_bars_after_the_entry() -> None:
    """60 minutes cost 2.00 x 0.7 x 60/390 = 0.215385 a share, six contracts."""
    (t,) = one(quiet_day(), 20, +1)
    assert (t.entered, t.left, t.hit) == (21, 81, False)
    assert t.pnl_usd == pytest.approx(-6 * 100 * 0.215385, abs=1e-3)


def test_target_nearer_than_fifteen_cents_is_no_trade() -> None:
    assert one(quiet_day(), 20, +1, target_atr=1.4) == []
    assert len(one(quiet_day(), 20, +1, target_atr=1.6)) == 1


def test_fixed_risk_buys_for_its_budget_ten_at_most_and_one_at_least() -> None:
    for risk, contracts in ((100.0, 1), (500.0, 2), (9_000.0, 10)):
        assert one(quiet_day(), 20, +1, risk_usd=risk)[0].contracts == contracts


def test_clock_of_the_file_stands_still_from_the_second_day_on() -> None:
    bars = np.concatenate([quiet_day(), quiet_day(dt.date(2024, 3, 6))])
    published, right = one(bars, 140, +1)[0], one(bars, 140, +1, (Cause.CLOCK,))[0]
    assert published.premium == pytest.approx(2.0 * 0.3)
    assert right.premium == pytest.approx(2.0 * (0.3 + 0.7 * 369 / 390))


def test_target_put_right_pays_what_the_table_says_there() -> None:
    """At 500.50 with 365 minutes left the option is still in the 2.00 step."""
    bars = quiet_day()
    bars["high"][25] = 500.5
    (t,) = one(bars, 20, +1, (Cause.TARGET,))
    assert t.exit_value == pytest.approx(2.0 * (0.3 + 0.7 * 365 / 390) * 500.5 / 500, abs=1e-9)


def test_model_put_right_is_black_scholes_at_twenty_percent_before_there_are_returns() -> None:
    """369 of 390 x 252 minutes at 20 % and 500: 0.398942 x 500 x 0.20 x sqrt(t) = 2.4446 at the money."""
    (t,) = one(quiet_day(spot=500.3), 20, +1, (Cause.MODEL,))
    assert t.strike == 500
    (t,) = one(quiet_day(), 20, +1, (Cause.MODEL,))
    assert t.premium == pytest.approx(2.4446, abs=2e-4)


def test_costs_are_a_percent_or_a_cent_and_sixty_five_cents_a_side() -> None:
    bars = quiet_day()
    (free,) = one(bars, 20, +1, (Cause.CLOCK,))
    (t,) = one(bars, 20, +1, (Cause.CLOCK, Cause.COSTS))
    assert t.contracts == free.contracts == 6
    per_contract = 1.924615 + 1.709231 + 2 * 0.65  # 1 % of both premiums in dollars per 100 shares
    assert free.pnl_usd - t.pnl_usd == pytest.approx(6 * per_contract, abs=1e-3)


def test_sessions_end_entries_half_an_hour_and_trades_five_minutes_before_a_half_day_closes() -> None:
    """3 July 2024 closes at 13:00: bar 180 starts at 12:30, bar 205 at 12:55."""
    bars = quiet_day(dt.date(2024, 7, 3), minutes=300)
    limits = (Cause.SESSIONS,)
    assert one(bars, 180, +1, limits) == []
    (t,) = one(bars, 179, +1, limits)
    assert (t.entered, t.left) == (180, 205)
    assert one(bars, 180, +1)[0].left == 241, "as published it runs into the closed market"


def test_sessions_forbid_an_entry_on_yesterdays_decision() -> None:
    bars = np.concatenate([quiet_day(minutes=390), quiet_day(dt.date(2024, 3, 6))])
    assert one(bars, 389, +1, (Cause.SESSIONS,)) == []
    assert len(one(bars, 389, +1)) == 1
