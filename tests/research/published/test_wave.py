"""The published wave accounting against the original's own lists and the reproduced rows of spec §11."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import ConfigError, DataError
from maxlib.data import DataConfig, load
from maxlib.research.accounting import Accounting, Entries
from maxlib.research.published.wave import COLUMNS, WaveAccounting, write_reference
from maxlib.research.published.wave_bars import once, repeated_bars
from maxlib.research.published.wave_config import BASELINE, REPEATED, Cause, WavePublished, repaired
from tests.research.published.wave_tapes import (
    AUTUMN,
    COVID,
    LOWVOL,
    RUNS,
    Run,
    coin_flips,
    data,
    list_path,
    plain_day,
    rows,
    tape,
)

TEXTS = ("entry_time", "direction", "retrace", "regime", "structure", "legs", "window_end")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_trade_of_the_published_list_within_a_tenth_of_a_cent(shared: Path, run: Run) -> None:
    made = WaveAccounting(tape(shared, run), run.config).trades()
    published = rows(list_path(shared, run))
    assert len(made) == len(published) == {"autumn": 69, "covid": 32, "lowvol": 24}[run.name]
    for mine, theirs in zip(made, published, strict=True):
        assert [mine[name] for name in TEXTS] == [theirs[name] for name in TEXTS]
        for name in set(COLUMNS) - set(TEXTS):
            assert mine[name] == pytest.approx(float(theirs[name]), abs=1e-3, rel=0), name


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_written_list_is_the_published_file_byte_for_byte(shared: Path, tmp_path: Path, run: Run) -> None:
    write_reference(tmp_path / "trades.csv", WaveAccounting(tape(shared, run), run.config).trades())
    assert (tmp_path / "trades.csv").read_bytes() == list_path(shared, run).read_bytes()


def figures(pnl: Any) -> tuple[int, float, float, float]:
    """Trades, wins in %, total, and the drawdown as the original counted it: from the first result on."""
    closed = np.cumsum(pnl)
    fall = (np.maximum.accumulate(closed) - closed).max()
    return (
        len(pnl),
        round(100 * float((pnl > 0).mean()), 1),
        round(float(pnl.sum()), 2),
        round(float(fall), 2),
    )


def own_pnl(shared: Path, run: Run, config: WavePublished) -> Any:
    return np.array([o.trade.pnl_usd for o in WaveAccounting(tape(shared, run), config).booked])


@pytest.mark.parametrize(
    ("run", "changes", "expected"),
    [
        (AUTUMN, {}, (69, 95.7, 3208.18, 12.87)),
        (COVID, {}, (32, 40.6, 689.61, 83.07)),
        (LOWVOL, {}, (24, 25.0, 500.77, 55.86)),
        (AUTUMN, {"scaling": False}, (69, 95.7, 3208.18, 12.87)),
        (AUTUMN, {"target_mode": "wave", "hold_minutes": 60, "scaling": False}, (69, 43.5, 2248.82, 130.04)),
    ],
    ids=["autumn", "covid", "lowvol", "unscaled", "wave targets"],
)
def test_reproduced_rows_with_a_drawdown(
    shared: Path, run: Run, changes: dict[str, Any], expected: tuple[int, float, float, float]
) -> None:
    assert figures(own_pnl(shared, run, run.config.model_copy(update=changes))) == expected


@pytest.mark.parametrize(
    ("run", "changes", "expected"),
    [
        (AUTUMN, {"hold_minutes": 60}, (69, 94.2, 2321.69)),
        (
            AUTUMN,
            {
                "target_mode": "dynamic",
                "use_volume_filter": True,
                "avoid_lunch_chop": True,
                "scaling": False,
            },
            (25, 44.0, 652.00),
        ),
        (AUTUMN, {"require_sweep": True, "hold_minutes": 60}, (3, 100.0, 32.70)),
        (COVID, {"scaling": False}, (32, 40.6, 881.76)),
        (LOWVOL, {"scaling": False}, (24, 25.0, 506.52)),
        (COVID, {"keep_duplicates": False, "distance_brick_usd": None}, (57, 22.8, 708.79)),
        (LOWVOL, {"keep_duplicates": False, "distance_brick_usd": None}, (43, 39.5, 1337.42)),
    ],
    ids=["fixed 60", "dynamic", "sweep", "covid unscaled", "lowvol unscaled", "covid once", "lowvol once"],
)
def test_reproduced_rows(
    shared: Path, run: Run, changes: dict[str, Any], expected: tuple[int, float, float]
) -> None:
    assert figures(own_pnl(shared, run, run.config.model_copy(update=changes)))[:3] == expected


@pytest.mark.parametrize(
    ("run", "config", "expected"),
    [
        (AUTUMN, BASELINE.model_copy(update={"target_mode": "swing_75"}), (24, 4.2, -6787)),
        (AUTUMN, BASELINE.model_copy(update={"costs": "modelled_entry"}), (69, 26.1, 937)),
        (COVID, REPEATED.model_copy(update={"costs": "modelled_entry"}), (32, 40.6, 349)),
        (LOWVOL, REPEATED.model_copy(update={"costs": "modelled_entry"}), (24, 16.7, -190)),
    ],
    ids=["swing_75", "friction autumn", "friction covid", "friction lowvol"],
)
def test_reproduced_rows_to_the_dollar(
    shared: Path, run: Run, config: WavePublished, expected: tuple[int, float, float]
) -> None:
    trades, won, total, _ = figures(own_pnl(shared, run, config))
    assert (trades, won) == expected[:2]
    assert total == pytest.approx(expected[2], abs=0.51)


def test_ratios_of_the_reproduced_rows(shared: Path) -> None:
    """Profit factor 155, 1.07 R and $46.50 a trade; 9.39 with wave targets; 0.49 R dynamic, 0.24 R swept."""

    def ratios(config: WavePublished) -> tuple[float, float]:
        trades = [o.trade for o in WaveAccounting(tape(shared, AUTUMN), config).booked]
        pnl = np.array([t.pnl_usd for t in trades])
        risk = np.array([t.entry_cost_usd for t in trades])
        lost = -pnl[pnl <= 0].sum()
        return float(pnl[pnl > 0].sum() / lost) if lost else np.inf, float((pnl / risk).mean())

    factor, multiple = ratios(BASELINE)
    assert round(factor), round(multiple, 2) == (155, 1.07)
    waves = BASELINE.model_copy(update={"target_mode": "wave", "hold_minutes": 60, "scaling": False})
    assert ratios(waves)[0] == pytest.approx(9.39, abs=0.005)
    filters = {"use_volume_filter": True, "avoid_lunch_chop": True, "scaling": False}
    dynamic = BASELINE.model_copy(update={"target_mode": "dynamic", **filters})
    assert ratios(dynamic)[1] == pytest.approx(0.49, abs=0.005)
    swept = BASELINE.model_copy(update={"require_sweep": True, "hold_minutes": 60})
    assert ratios(swept)[1] == pytest.approx(0.24, abs=0.005)


def test_the_win_rate_is_the_pricing_not_the_signal(shared: Path) -> None:
    """Spec §5: no trade reached its target, 13 hit the stop, 65 of 69 cost nothing, -7.5 bps on average."""
    accounting = WaveAccounting(tape(shared, AUTUMN))
    trades = [o.trade for o in accounting.booked]
    close = accounting.bars["close"]
    moves = np.array([t.side * (close[t.exit] - t.spot) / t.spot for t in trades])
    assert sum(t.half >= 0 for t in trades) == 0
    assert sum(t.side * (close[t.exit] - t.levels.stop) <= 0 for t in trades) == 13
    assert sum(t.net_usd <= 0 for t in trades) == 65
    assert 1e4 * moves.mean() == pytest.approx(-7.5, abs=0.05)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_own_decisions_through_the_accountings_face_make_the_published_money(shared: Path, run: Run) -> None:
    accounting: Accounting = WaveAccounting(tape(shared, run), run.config)
    booked = accounting.book(accounting.entries()).pnl_usd
    claimed = [float(row["pnl"]) for row in rows(list_path(shared, run))]
    assert sorted(booked) == pytest.approx(sorted(claimed), abs=1e-4)


@pytest.mark.parametrize(
    ("run", "won", "pnl"), [(AUTUMN, 0.939, 3088), (COVID, None, 871), (LOWVOL, None, 1237)], ids=lambda x: ""
)
def test_coin_flips_earn_what_the_strategy_claims(
    shared: Path, run: Run, won: float | None, pnl: float
) -> None:
    """Twenty seeds, as many trades as the strategy's; the spec's means lie within three standard errors."""
    accounting = WaveAccounting(once(tape(shared, run)))
    n = len(accounting.entries().at)
    booked = [accounting.book(coin_flips(accounting.bars, n, seed)).pnl_usd for seed in range(20)]
    totals = np.array([b.sum() for b in booked])
    assert totals.min() > 0
    assert totals.mean() == pytest.approx(pnl, abs=3 * np.sqrt(2 / 20) * totals.std(ddof=1))
    if won is not None:
        assert np.mean([(b > 0).mean() for b in booked]) == pytest.approx(won, abs=0.015)


def test_coin_flips_lose_under_honest_prices(shared: Path) -> None:
    """Spec: about -$1,892 for 69 trades on the autumn of 2025."""
    right = (Cause.TIME_VALUE, Cause.MODEL, Cause.COSTS)
    accounting = WaveAccounting(tape(shared, AUTUMN), repaired(BASELINE, right))
    totals = np.array(
        [accounting.book(coin_flips(accounting.bars, 69, seed)).pnl_usd.sum() for seed in range(20)]
    )
    assert totals.max() < 0
    assert totals.mean() == pytest.approx(-1892, abs=3 * np.sqrt(2 / 20) * totals.std(ddof=1))


def test_booked_in_closing_order_and_late_decisions_left_out() -> None:
    """The long of 10:00 stops out at 10:02, before the short of 09:59 ends; 15:55 is too late."""
    bars = plain_day([500.0] * 61 + [500.0, 500.0, 496.0] + [500.0] * 60, begin=539)
    accounting = WaveAccounting(bars)
    both = accounting.book(Entries(np.array([60, 61]), np.array([-1, 1], np.int8))).pnl_usd
    early = accounting.book(Entries(np.array([60]), np.array([-1], np.int8))).pnl_usd
    late = accounting.book(Entries(np.array([61]), np.array([1], np.int8))).pnl_usd
    assert both.tolist() == [*late, *early]
    evening = WaveAccounting(plain_day([500.0] * 30, begin=15 * 60 + 54))
    assert len(evening.book(Entries(np.array([0]), np.array([1], np.int8))).pnl_usd) == 1
    assert len(evening.book(Entries(np.array([1]), np.array([1], np.int8))).pnl_usd) == 0


@pytest.mark.parametrize("mode", ["wave", "swing_75"])
def test_decision_without_a_wave_is_refused_where_targets_need_one(mode: Any) -> None:
    accounting = WaveAccounting(plain_day([500.0] * 30), WavePublished(target_mode=mode))
    with pytest.raises(ConfigError, match=f"target_mode '{mode}': a decision without a wave has no targets"):
        accounting.book(Entries(np.array([3]), np.array([1], np.int8)))


def test_duplicates_cannot_be_kept_where_there_are_none(shared: Path) -> None:
    bars = load(data(shared, COVID)).bars
    with pytest.raises(ConfigError, match="keep_duplicates: these bars hold no repeats"):
        WaveAccounting(bars, REPEATED)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_without_repeats_the_bars_are_those_of_the_quality_gate(shared: Path, run: Run) -> None:
    assert np.array_equal(once(tape(shared, run)), load(data(shared, run)).bars)


def test_repeats_that_differ_are_refused() -> None:
    bars = plain_day([500.0] * 20)
    twice = np.repeat(bars, 2)
    assert np.array_equal(once(twice), bars)
    twice["close"][7] = 501.0
    with pytest.raises(DataError, match="1 repeats differ from their first, first at 2024-03-05 10:03"):
        once(twice)


def test_only_files_have_repeats() -> None:
    with pytest.raises(ConfigError, match="need source 'file'"):
        repeated_bars(DataConfig(source="simulator"))
