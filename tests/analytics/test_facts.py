"""Facts against plain-Python twins and cases with a known answer; the notebook that shows them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.analytics.facts import (
    Facts,
    autocorrelation,
    compare,
    facts,
    kurtosis,
    real_bars,
    real_vix,
    where_off,
)
from maxlib.core.errors import DataError
from maxlib.data.simulator import VIX, SimulatorConfig, simulate
from maxlib.market import calendar
from maxlib.market.bars import NEW_YORK, NS_PER_MINUTE

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "market_facts.ipynb"


def session_bars(days: list[tuple[float, float]]) -> Any:
    """Full sessions from 2025-01-06 on, each a straight line from its open to its close."""
    parts = []
    for s, (first, last) in zip(
        calendar.sessions(calendar.from_ordinal(20094), calendar.LAST), days, strict=False
    ):
        edge = np.linspace(first, last, s.minutes + 1)
        start = calendar.to_ns(s.date, 570) + np.arange(s.minutes) * NS_PER_MINUTE
        high, low = np.maximum(edge[1:], edge[:-1]), np.minimum(edge[1:], edge[:-1])
        parts.append(calendar.stamp(start, edge[:-1], high, low, edge[1:], np.full(s.minutes, 100.0)))
    return np.concatenate(parts)


def test_kurtosis_of_known_distributions() -> None:
    rng = np.random.default_rng(1)
    assert abs(kurtosis(rng.standard_normal(200_000))) < 0.05
    assert abs(kurtosis(rng.random(200_000)) + 1.2) < 0.02
    assert math.isnan(kurtosis(np.ones(5)))
    assert math.isnan(kurtosis(np.empty(0)))


def test_autocorrelation_equals_a_plain_loop_and_never_pairs_two_sessions() -> None:
    x = np.random.default_rng(2).standard_normal((3, 12))
    mean, var = x.mean(), ((x - x.mean()) ** 2).mean()
    for lag in (1, 4, 11):
        pairs = [(row[i] - mean) * (row[i + lag] - mean) for row in x.tolist() for i in range(12 - lag)]
        assert autocorrelation(x, 11)[lag - 1] == pytest.approx(sum(pairs) / len(pairs) / var)
    assert np.isnan(autocorrelation(x, 15)[11:]).all()
    assert np.isnan(autocorrelation(np.empty((0, 5)), 3)).all()


def test_overnight_share_gaps_and_curves_of_hand_made_sessions() -> None:
    # Days go flat from 100, 110, 99: all variance of the moves between them is overnight.
    flat = facts(session_bars([(100.0, 100.0), (110.0, 110.0), (99.0, 99.0)]))
    assert flat.overnight_share == pytest.approx(1.0)
    assert flat.gap_max_pct == pytest.approx(10.0)
    assert flat.gap_min_pct == pytest.approx(-10.0)
    assert math.isnan(flat.minute_kurtosis)
    assert np.isnan(flat.vol_curve).all()
    still = facts(session_bars([(100.0, 100.0), (100.0, 100.0)]))
    assert math.isnan(still.overnight_share)
    # Opens at the close before: none is.
    moving = facts(session_bars([(100.0, 101.0), (101.0, 99.0), (99.0, 100.0)]))
    assert moving.overnight_share == pytest.approx(0.0)
    np.testing.assert_allclose(moving.volume_curve, 1.0)
    assert moving.vol_curve.mean() == pytest.approx(1.0)
    assert moving.range_ratio == pytest.approx(1.0, rel=0.01)


def test_vix_beta_is_recovered_and_needs_the_same_days() -> None:
    closes = [100.0, 101.0, 99.0, 102.0, 100.5, 103.0]
    bars = session_bars([(c, c) for c in closes])
    vix = np.zeros(len(closes), VIX)
    vix["day"] = np.unique(bars["day"])
    vix["close"] = 20.0 * (np.array(closes) / 100.0) ** -4.0
    found = facts(bars, vix)
    assert found.vix_beta == pytest.approx(-4.0)
    assert found.vix_correlation == pytest.approx(-1.0)
    vix["day"] += 1000
    assert math.isnan(facts(bars, vix).vix_beta)
    assert math.isnan(facts(bars).vix_mean)


def test_missing_minutes_count_only_where_the_file_covers_the_hour() -> None:
    made = simulate(SimulatorConfig(days=10))
    bars = made.bars
    assert 0.05 < facts(bars).missing_extended < 0.4
    regular_only = bars[bars["session"] == NEW_YORK]
    assert math.isnan(facts(regular_only).missing_extended)
    from_nine = bars[(bars["minute"] >= 540) & (bars["minute"] < 960)]
    assert math.isnan(facts(from_nine).missing_extended)
    # Without 09:00-09:29 and 16:00-17:59, as in a real file, the rest is judged by itself.
    hours = (bars["minute"] < 540) | (bars["minute"] >= 18 * 60) | (bars["session"] == NEW_YORK)
    assert 0.1 < facts(bars[hours]).missing_extended < 0.5


def test_a_single_session_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 sessions of regular hours, got 1"):
        facts(session_bars([(100.0, 101.0)]))


def test_facts_do_not_change_their_input() -> None:
    made = simulate(SimulatorConfig(days=3))
    before = made.bars.tobytes(), made.vix.tobytes()
    facts(made.bars, made.vix)
    assert (made.bars.tobytes(), made.vix.tobytes()) == before


def test_absent_files_give_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAXTRADER_SHARED", str(tmp_path))
    assert real_bars("data/real/none.parquet") is None
    assert real_vix("data/real/none.parquet") is None


def test_real_bars_lose_their_repeated_days(shared: Path) -> None:
    path = shared / "data/real/unclear/bars/qqq_1m_20200219_20200520.parquet"
    if not path.exists():
        pytest.skip("the folder of files with unclear licences is absent")
    bars = real_bars(str(path))
    assert bars is not None
    assert len(bars) == 27_227  # 53,616 rows as published
    assert (np.diff(bars["ts"]) > 0).all()


def test_simulated_facts_lie_near_the_real_ones(shared: Path) -> None:
    path = shared / "data/real/unclear/bars/qqq_1m_20240102_20250228.parquet"
    if not path.exists():
        pytest.skip("the folder of files with unclear licences is absent")
    bars = real_bars(str(path))
    vix = real_vix(str(shared / "data/real/open/vix/vix_daily_1990_2026.parquet"))
    assert bars is not None
    real = facts(bars, vix)
    made = simulate(SimulatorConfig(seed=7, days=291))
    mine = facts(made.bars, made.vix)
    bands = {  # what two honest samples of this length may differ by, as a ratio
        "daily_vol_pct": 1.4, "minute_vol_bp": 1.4, "minute_kurtosis": 2.0, "overnight_share": 1.35,
        "vix_beta": 1.4, "vix_mean": 1.35, "vol_per_vix": 1.35, "missing_extended": 1.8,
        "volume_correlation": 1.6, "range_ratio": 1.05,
    }  # fmt: skip
    for name, band in bands.items():
        ratio = getattr(mine, name) / getattr(real, name)
        assert 1 / band < ratio < band, f"{name}: simulated {getattr(mine, name)}, real {getattr(real, name)}"
    assert np.abs(mine.abs_return_acf - real.abs_return_acf).max() < 0.08
    assert np.abs(np.log(mine.vol_curve / real.vol_curve)).mean() < 0.15
    assert np.abs(np.log(mine.volume_curve / real.volume_curve)).mean() < 0.2


def test_comparison_names_what_is_off_and_nothing_else() -> None:
    made = simulate(SimulatorConfig(days=5))
    same = facts(made.bars, made.vix)
    assert all(row.ratio == pytest.approx(1.0) for row in compare(same, same))
    assert where_off(compare(same, same)) == "21 of 21 facts lie within a factor of 1.25 of the real ones."
    other = replace(same, vix_beta=-2 * same.vix_beta, daily_vol_pct=1.2 * same.daily_vol_pct)
    sentence = where_off(compare(same, other))
    assert sentence.startswith(
        "20 of 21 facts lie within a factor of 1.25 of the real ones; off are: VIX beta"
    )
    assert "daily volatility, %" not in sentence
    assert where_off(compare(None, same)) == "Nothing was compared: no real bars were found."


def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    return found


def test_the_notebook_is_stripped_and_has_one_parameters_cell() -> None:
    cells = notebook()["cells"]
    assert notebook()["metadata"]["kernelspec"]["name"] == "python3"
    code = [c for c in cells if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in code)
    tagged = [c for c in code if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    lines = "".join(tagged[0]["source"]).splitlines()
    assert all(":" in line and "=" in line and "#" in line for line in lines), "typed, with a help comment"


@pytest.mark.parametrize("real", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_notebook_runs_and_says_what_it_compares_with(
    real: bool, tmp_path: Path, root: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("shared") if real else tmp_path
    out = tmp_path / "out.ipynb"
    environment = {**os.environ, "MAXTRADER_SHARED": str(folder), "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(out), "-p", "days", "20"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = json.loads(out.read_text())["cells"]
    text = json.dumps([cell["outputs"] for cell in cells if cell["cell_type"] == "code"])
    assert "SIMULATED" in text
    absent = "no real bars were found" in text
    has_files = (folder / "data/real/unclear/bars").exists()
    assert absent is not has_files


def test_every_fact_is_documented() -> None:
    for name in Facts.__dataclass_fields__:
        assert name in (Facts.__doc__ or "")
