"""The modelled volatility: by hand, by quadrature, and against the real quotes and bars."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.data import DataConfig, load
from maxlib.data.chains import load_chain
from maxlib.market.bars import NEW_YORK
from maxlib.market.quotes import Chain
from maxlib.options.forward import forwards, usable
from maxlib.options.implied import implied
from maxlib.options.pricing import bsm, years
from maxlib.options.surface import SurfaceConfig, remaining, sigma, smile, total_variance

STANDARD = SurfaceConfig()
FLAT = SurfaceConfig(session_share=1.0, open_share=0.0, close_share=0.0, wings=0.0)


# --- the course of the session


def test_all_is_left_at_the_open_and_nothing_at_the_close() -> None:
    assert remaining(STANDARD, 390) == pytest.approx(1.0, abs=1e-14)
    assert remaining(STANDARD, 0) == 0.0
    assert remaining(STANDARD, 210, 210) == pytest.approx(1.0, abs=1e-14)


def test_what_is_left_is_the_integral_of_two_humps_and_a_flat_part() -> None:
    # Variance per minute, t after the open: even/390 + o/a e^(-t/a) + c/b e^(-(390-t)/b), summed over
    # tenths of minutes at their middles.
    c = STANDARD
    times = np.arange(0.05, 390, 0.1)
    opening = c.open_share / c.open_minutes * np.exp(-times / c.open_minutes)
    closing = c.close_share / c.close_minutes * np.exp(-(390 - times) / c.close_minutes)
    even = 1 - 0.1 * (opening.sum() + closing.sum())
    density = 0.1 * (even / 390 + opening + closing)
    for left in (330, 240, 117, 60, 15, 1):
        assert remaining(c, left) == pytest.approx(density[times > 390 - left].sum(), abs=2e-6)


def test_by_hand() -> None:
    # Hump of 0.4 over 60 minutes, none at the close: 1 - e^-6.5 = 0.99849656, even 0.60060138;
    # half of the session: 0.30030069 + 0.4 (e^-3.25 - e^-6.5) = 0.4 (0.03877421 - 0.00150344).
    config = SurfaceConfig(open_share=0.4, open_minutes=60, close_share=0.0)
    assert remaining(config, 195) == pytest.approx(0.30030069 + 0.01490831, abs=1e-8)


def test_variance_adds_up_over_the_session() -> None:
    whole = total_variance(STANDARD, 0.18, 390)
    # 0.18² / 252 = 1.285714e-4, of which the session has 0.577.
    assert whole == pytest.approx(1.2857143e-4 * 0.577, rel=1e-7)
    steps = [total_variance(STANDARD, 0.18, m) for m in range(390, 0, -1)]
    spent = [a - b for a, b in pairwise(steps)]
    assert min(spent) > 0
    assert sum(spent) + steps[-1] == pytest.approx(whole)
    # The clock has a floor of a minute, as `years` has.
    assert total_variance(STANDARD, 0.18, 0.2) == total_variance(STANDARD, 0.18, 1.0)
    assert total_variance(STANDARD, 0.18, 210, 210) == pytest.approx(whole * 210 / 390)


def test_sigma_spends_the_total_variance_on_the_clock_of_pricing() -> None:
    for minutes in (390, 200, 30, 1):
        vol = sigma(STANDARD, 0.18, 600, 600, minutes)
        assert vol**2 * years(minutes) == pytest.approx(total_variance(STANDARD, 0.18, minutes), rel=1e-12)


def test_without_humps_and_smile_it_is_the_level_at_every_minute() -> None:
    # Today's convention of the desk: a day's whole variance, spread evenly.
    for minutes in (390, 100, 1):
        assert sigma(FLAT, 0.25, 590, 600, minutes) == pytest.approx(0.25, rel=1e-12)
    scaled = SurfaceConfig(**{**FLAT.model_dump(), "level_scale": 1.2})
    assert sigma(scaled, 0.25, 600, 600, 100) == pytest.approx(0.30, rel=1e-12)


# --- the smile


def test_the_smile_is_one_at_the_money() -> None:
    assert smile(STANDARD, 0.0) == 1.0
    assert sigma(STANDARD, 0.2, 600, 600, 60) == pytest.approx(
        math.sqrt(total_variance(STANDARD, 0.2, 60) / years(60)), rel=1e-15
    )


def test_the_smile_by_hand() -> None:
    # rho 0, eta 2, z 1: sqrt((1 + sqrt 5) / 2), the root of the golden ratio.
    assert smile(SurfaceConfig(skew=0.0, wings=2.0), 1.0) == pytest.approx(1.2720196495, abs=1e-10)
    # rho -1/2, eta 1, z -1: (1 + 1/2 + sqrt(1.5² + 0.75)) / 2 = (1.5 + sqrt 3) / 2.
    assert smile(SurfaceConfig(skew=-0.5, wings=1.0), -1.0) == pytest.approx(
        math.sqrt((1.5 + math.sqrt(3)) / 2), abs=1e-14
    )
    assert smile(SurfaceConfig(skew=-0.5, wings=0.0), -4.0) == 1.0


def test_sigma_measures_the_strike_in_deviations() -> None:
    deviation = math.sqrt(total_variance(STANDARD, 0.2, 90))
    for z in (-2.0, 0.5, 3.0):
        strike = 600 * math.exp(z * deviation)
        ratio = sigma(STANDARD, 0.2, strike, 600, 90) / sigma(STANDARD, 0.2, 600, 600, 90)
        assert ratio == pytest.approx(smile(STANDARD, z), rel=1e-9)


def test_wings_that_allow_arbitrage_are_refused_with_both_numbers() -> None:
    SurfaceConfig(skew=0.0, wings=2.0)  # 4: just allowed
    with pytest.raises(ConfigError) as caught:
        parse(SurfaceConfig, {"skew": -0.5, "wings": 1.8}, "surface")
    assert "wings 1.8 and skew -0.5 give wings^2 (1 + |skew|) = 4.86; above 4" in str(caught.value)


def no_arbitrage(config: SurfaceConfig, level: float, minutes: int) -> None:
    """Call mids over strikes to six deviations: convex, falling by at most the strike's distance."""
    forward, t = 600.0, years(minutes)
    deviation = math.sqrt(total_variance(config, level, minutes))
    strikes = forward * np.exp(deviation * np.linspace(-6, 6, 121))
    calls = [bsm("C", forward, k, t, sigma(config, level, k, forward, minutes)) for k in strikes.tolist()]
    slope = np.diff(calls) / np.diff(strikes)
    assert (slope <= 1e-12).all()
    assert (slope >= -1 - 1e-12).all()
    assert (np.diff(slope) >= -1e-11).all(), (config, level, minutes)


def test_modelled_mids_leave_no_arbitrage() -> None:
    for level, minutes in ((0.1, 390), (0.2, 60), (0.8, 390), (1.5, 1)):
        no_arbitrage(STANDARD, level, minutes)


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-0.9, -0.5, 0.0, 0.6])
def test_no_permitted_smile_leaves_an_arbitrage(skew: float) -> None:
    for part in (0.3, 0.7, 1.0):
        config = SurfaceConfig(skew=skew, wings=part * 2 / math.sqrt(1 + abs(skew)) * (1 - 1e-12))
        for level in (0.05, 0.3, 1.5):
            for minutes in (390, 120, 5, 1):
                no_arbitrage(config, level, minutes)


# --- the real files, within the errors that docs/modelled-chain.md states


def real(shared: Path, name: str) -> Path:
    path = shared / f"data/real/{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in the shared folder")
    return path


def test_the_autumn_of_2025_spent_its_variance_as_the_model_says(shared: Path) -> None:
    # Out of sample: the humps are those of January 2024 to February 2025.
    path = real(shared, "unclear/bars/qqq_1m_20250818_20251114")
    bars = load(DataConfig(source="file", path=str(path), symbol="QQQ")).bars
    bars = bars[(bars["session"] == NEW_YORK) & (bars["close_minute"] == 960)]
    worst, shares = 0.0, []
    for day in np.unique(bars["day"]):
        b = bars[bars["day"] == day]
        moves = np.diff(np.log(np.append(b["open"][0], b["close"]))) ** 2
        shares.append([moves[b["minute"] >= 960 - left].sum() / moves.sum() for left in range(390)])
    assert len(shares) == 64
    for left, share in enumerate(np.mean(shares, axis=0)):
        worst = max(worst, abs(share - remaining(STANDARD, left)))
    assert worst < 0.04


def last_day(shared: Path, name: str) -> tuple[Any, float, float]:
    """Rows of the day of expiry, their forward, minutes left."""
    chain = load_chain(real(shared, name))
    rows = chain.rows[chain.rows["expires_at"] == chain.rows["expires_at"].min()]
    found = forwards(Chain(chain.root, rows, "file", chain.name)).at(0)
    assert found.value is not None
    return rows[usable(rows)], found.value, float(rows["expires_at"][0] - rows["ts"][0]) / 6e10


@pytest.mark.parametrize(("day", "vix"), [("20260211", 0.1779), ("20260212", 0.1765)])
def test_quotes_of_qqq_lie_on_the_modelled_smile(shared: Path, day: str, vix: float) -> None:
    rows, forward, minutes = last_day(shared, f"unclear/options/qqq_chain_yahoo_{day}")
    ratios = []
    for row in rows:
        mid = (row["bid"] + row["ask"]) / 2
        out = row["right"] * (row["strike"] - forward) >= 0
        if not out or row["ask"] - row["bid"] > 0.4 * mid:
            continue
        right, strike = "C" if row["right"] > 0 else "P", float(row["strike"])
        quoted = implied(right, mid, forward, strike, years(minutes)).sigma
        ratios.append(quoted / sigma(STANDARD, vix, strike, forward, minutes))
    errors = np.log(ratios)
    assert len(errors) >= 28
    # The level of VIX of the day before: 3 to 6 % too low at the money; the rest is the smile.
    assert abs(np.mean(errors)) < 0.10
    assert np.std(errors) < 0.06
