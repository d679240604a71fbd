"""The waterfall of spec §12.1, 2024: counts within 2 %, P&L within 5 %."""

from pathlib import Path

import numpy as np
import pytest

from maxlib.core.errors import ConfigError
from maxlib.options.desk import DeskConfig
from maxlib.research.published.champion_config import ITM_STUDY, WATERFALL, Cause, ChampionPublished
from maxlib.research.published.champion_waterfall import champion_steps, champion_trades
from tests.research.published.champion_year import figures, year

CHAMPION = ChampionPublished()


def test_every_cumulative_step_lands_on_the_reference(shared: Path) -> None:
    """Trades, win rate in % and return in %. All but the last two agree to every digit the spec prints."""
    expected = [
        ("published", 587, 67.0, 725.6),
        ("confirmation", 571, 63.0, 528.4),
        ("levels", 645, 65.0, 592.6),
        ("sessions", 458, 69.7, 549.7),
        ("clock", 458, 22.7, -83.7),
        ("puts", 458, 17.2, -89.1),
        ("target", 458, 16.2, -87.3),
        ("model", 458, 47.2, -51.2),
        ("costs", 458, 45.4, -74.2),
    ]
    steps = champion_steps(CHAMPION, year(shared))
    found = [(s.name, s.trades, round(100 * s.win_rate, 1)) for s in steps]
    assert found == [row[:3] for row in expected]
    gaps = [abs(s.pnl_usd / 250 - row[3]) for s, row in zip(steps, expected, strict=True)]
    assert max(gaps[:7]) < 0.06
    assert max(gaps[7:]) < 0.35


@pytest.mark.parametrize(
    ("causes", "total"),
    [
        ((Cause.CLOCK,), -118),
        ((Cause.TARGET,), -28),
        ((Cause.CONFIRMATION,), 528),
        ((Cause.LEVELS,), 764),
        ((Cause.SESSIONS,), 656),
        ((Cause.PUTS,), 695),
        ((Cause.SESSIONS, Cause.MODEL, Cause.COSTS), 135),  # honest money, leaky signal
    ],
)
def test_one_cause_alone_lands_on_the_reference(
    shared: Path, causes: tuple[Cause, ...], total: float
) -> None:
    made = figures(champion_trades(CHAMPION, year(shared), causes))[2]
    assert made == pytest.approx(total, abs=0.51 if len(causes) == 1 else 2)


@pytest.mark.parametrize(
    ("desk", "total"),
    [
        (DeskConfig(half_spread_fraction=0.02), -78.7),
        (DeskConfig(iv_scale=1.25), -81.5),
        (DeskConfig(moneyness="itm1", strike_step=5), -15.8),
    ],
)
def test_honest_figure_is_as_sensitive_as_the_reference(shared: Path, desk: DeskConfig, total: float) -> None:
    assert figures(champion_trades(CHAMPION, year(shared), WATERFALL, desk))[2] == pytest.approx(
        total, abs=0.11
    )


def test_honest_drawdown_and_edge_are_the_reference_ones(shared: Path) -> None:
    """Step 8: drawdown 75 %, profit factor 0.67, +2.9 bps per trade (t 2.0); -2.9 % of the premium at mid."""
    honest = champion_trades(CHAMPION, year(shared), WATERFALL)
    pnl = np.array([t.pnl_usd for t in honest])
    equity = np.cumsum(np.concatenate(([25_000.0], pnl)))
    peak = np.maximum.accumulate(equity)
    assert 100 * ((peak - equity) / peak).max() == pytest.approx(75, abs=0.6)
    assert pnl[pnl > 0].sum() / -pnl[pnl <= 0].sum() == pytest.approx(0.67, abs=0.01)
    moves = np.array([1e4 * t.side * (t.exit_spot - t.spot) / t.spot for t in honest])
    assert moves.mean() == pytest.approx(2.9, abs=0.05)
    assert moves.mean() / moves.std(ddof=1) * np.sqrt(len(moves)) == pytest.approx(2.0, abs=0.05)
    for causes, expected in ((WATERFALL[:-1], -2.9), (WATERFALL, -5.8)):
        trades = champion_trades(CHAMPION, year(shared), causes)
        of_premium = [100 * t.pnl_usd / (t.premium * 100 * t.contracts) for t in trades]
        assert np.mean(of_premium) == pytest.approx(expected, abs=0.15)


def test_carried_structure_leaves_the_trades_the_reference_counts(shared: Path) -> None:
    """265 trades, -8.5 % of the premium, +2.4 bps."""
    trades = champion_trades(CHAMPION, year(shared), (*WATERFALL, Cause.CARRIED))
    of_premium = [100 * t.pnl_usd / (t.premium * 100 * t.contracts) for t in trades]
    assert len(trades) == 265
    assert np.mean(of_premium) == pytest.approx(-8.5, abs=0.25)
    moves = [1e4 * t.side * (t.exit_spot - t.spot) / t.spot for t in trades]
    assert np.mean(moves) == pytest.approx(2.4, abs=0.05)


def test_itm_study_falls_from_thousands_to_a_loss(shared: Path) -> None:
    steps = champion_steps(ITM_STUDY, year(shared))
    assert round(steps[0].pnl_usd / 250) == 7_253
    assert steps[-1].trades == 458
    assert steps[-1].pnl_usd / 250 == pytest.approx(-15.8, abs=0.11)


def test_any_order_ends_at_the_same_figure_and_alone_starts_anew(shared: Path) -> None:
    bars = year(shared)
    forth = champion_steps(CHAMPION, bars, (Cause.CLOCK, Cause.PUTS, Cause.TARGET))
    back = champion_steps(CHAMPION, bars, (Cause.TARGET, Cause.PUTS, Cause.CLOCK))
    alone = champion_steps(CHAMPION, bars, (Cause.CLOCK, Cause.TARGET), alone=True)
    assert forth[-1][2:] == back[-1][2:]
    assert [s.name for s in back] == ["published", "target", "puts", "clock"]
    assert (alone[1], alone[2][2:]) == (forth[1], back[1][2:])


def test_cause_named_twice_is_refused(shared: Path) -> None:
    with pytest.raises(ConfigError, match="waterfall: cause clock is named twice"):
        champion_steps(CHAMPION, year(shared), (Cause.CLOCK, Cause.CLOCK))
