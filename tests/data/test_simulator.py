"""The simulator: determinism, calendar, valid bars, and the stylised facts of the real market."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.analytics.facts import Facts, facts
from maxlib.core.errors import ConfigError
from maxlib.data.simulator import MARKETS, Simulated, SimulatorConfig, simulate
from maxlib.market import calendar
from maxlib.market.bars import BAR, NEW_YORK, NS_PER_MINUTE, RTH_OPEN

markets = st.sampled_from(sorted(MARKETS))


@pytest.fixture(scope="module")
def year() -> dict[str, Simulated]:
    """A year of each calm and normal market, and the 65 sessions of a crash."""
    days = {"normal": 250, "calm": 250, "crash": 65}
    return {m: simulate(SimulatorConfig(market=m, seed=7, days=n)) for m, n in days.items()}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(year: dict[str, Simulated]) -> dict[str, Facts]:
    return {m: facts(made.bars, made.vix) for m, made in year.items()}


@settings(max_examples=15, deadline=None)
@given(market=markets, seed=st.integers(0, 2**63), days=st.integers(1, 5), price=st.floats(5, 5000))
def test_same_config_gives_the_same_bytes(market: Any, seed: int, days: int, price: float) -> None:
    config = SimulatorConfig(market=market, seed=seed, days=days, start_price=price, planted=days)
    one, two = simulate(config), simulate(config)
    assert one.bars.tobytes() == two.bars.tobytes()
    assert one.vix.tobytes() == two.vix.tobytes()
    assert one.truth == two.truth


def test_other_seeds_and_markets_give_other_bars() -> None:
    base = simulate(SimulatorConfig(days=2))
    for other in (SimulatorConfig(days=2, seed=8), SimulatorConfig(days=2, market="calm")):
        assert simulate(other).bars.tobytes() != base.bars.tobytes()


@pytest.mark.parametrize("market", sorted(MARKETS))
@pytest.mark.parametrize("days", [1, 20, 64, 65, 129])  # around the chunks in which days are made
def test_a_longer_simulation_begins_with_the_shorter_one(market: Any, days: int) -> None:
    whole = simulate(SimulatorConfig(market=market, days=140))
    part = simulate(SimulatorConfig(market=market, days=days))
    assert whole.bars[: len(part.bars)].tobytes() == part.bars.tobytes()
    assert whole.vix[:days].tobytes() == part.vix.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    market=markets,
    seed=st.integers(0, 2**63),
    days=st.integers(1, 6),
    price=st.floats(5, 100_000),
    first=st.dates(dt.date(1999, 1, 4), dt.date(2028, 12, 1)),
    planted=st.booleans(),
)
def test_bars_are_valid(
    market: Any, seed: int, days: int, price: float, first: dt.date, planted: bool
) -> None:
    made = simulate(
        SimulatorConfig(
            market=market, seed=seed, days=days, start_price=price, first_date=first, planted=days * planted
        )
    )
    bars = made.bars
    assert bars.dtype == BAR
    for name in ("open", "high", "low", "close", "volume"):
        assert np.isfinite(bars[name]).all()
        assert (bars[name] > 0).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (np.diff(bars["ts"]) >= NS_PER_MINUTE).all()
    assert (bars["ts"] % NS_PER_MINUTE == 0).all()
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(bars[name], np.round(bars[name], 2))
    assert (bars["volume"] == np.round(bars["volume"])).all()
    assert ((made.vix["close"] >= 8.5) & (made.vix["close"] <= 150)).all()


def test_sessions_and_regular_minutes_match_the_calendar() -> None:
    first = dt.date(2024, 2, 20)
    made = simulate(SimulatorConfig(first_date=first, days=230))
    expected = calendar.sessions(first, dt.date(2025, 6, 1))[:230]
    assert [calendar.from_ordinal(d) for d in made.vix["day"]] == [s.date for s in expected]
    regular = made.bars[made.bars["session"] == NEW_YORK]
    regular = regular[regular["minute"] < regular["close_minute"]]
    starts = np.concatenate(
        [
            calendar.to_ns(s.date, s.open_minute) + np.arange(s.minutes, dtype=np.int64) * NS_PER_MINUTE
            for s in expected
        ]
    )
    np.testing.assert_array_equal(regular["ts"] - NS_PER_MINUTE, starts)  # none missing, none extra


def test_extended_hours_end_four_hours_after_the_close_also_on_half_days() -> None:
    made = simulate(SimulatorConfig(first_date=dt.date(2024, 11, 25), days=30))
    start = made.bars["ts"] - NS_PER_MINUTE
    date = calendar.new_york_minutes(start) // 1440
    ends = {
        calendar.from_ordinal(d): int(made.bars["minute"][date == d].max()) for d in np.unique(date).tolist()
    }
    half = {dt.date(2024, 11, 29), dt.date(2024, 12, 24)}
    assert half < set(ends)
    for day, end in ends.items():
        assert (16 * 60 + 30 if day in half else 19 * 60) < end < (17 * 60 if day in half else 20 * 60)
    assert made.bars["minute"].min() >= 4 * 60


def test_thin_minutes_are_absent_and_vary_from_day_to_day(year: dict[str, Simulated]) -> None:
    bars = year["normal"].bars
    early = bars[bars["minute"] < RTH_OPEN]
    counts = np.unique(early["day"], return_counts=True)[1]
    assert counts.max() < 330
    assert counts.std() > 5


# Real figures: 291 sessions of 2024-01..2025-02, 64 of 2025-08..11, 65 of 2020-02-19..05-20.


def test_returns_have_fat_tails(measured: dict[str, Facts]) -> None:
    # Real excess kurtosis of minutes: 9.6, 14.2 and (crash) 13.1.
    for market, found in measured.items():
        assert 5 < found.minute_kurtosis < 30, market
        # Real days: 0.8, 1.9 and 1.7, from samples too small to say more than "not below normal".
        assert -0.5 < found.daily_kurtosis < 12, market


def test_volatility_clusters_and_returns_do_not_predict_themselves(measured: dict[str, Facts]) -> None:
    # Real autocorrelation of |r|: lag 1 0.26, 0.28, 0.32; lag 60 0.16, 0.18, 0.26.
    # Real autocorrelation of r: never beyond 0.03 at lags 1..60 but for noise.
    for market, found in measured.items():
        assert 0.18 < found.abs_return_acf[0] < 0.42, market
        assert 0.07 < found.abs_return_acf[59] < found.abs_return_acf[0], market
        assert np.abs(found.return_acf).max() < 0.06, market


def test_volatility_and_volume_are_u_shaped(measured: dict[str, Facts]) -> None:
    # Real, relative to the session's mean: |r| in the first minute 2.3, 3.3, 2.6, around 13:00
    # 0.87, 0.90, 0.80, last minute 1.7; volume 5.4, 0.70 and 10.6, 8.6, 6.9.
    for market, found in measured.items():
        assert 2.0 < found.vol_curve[0] < 4.5, market
        assert 0.7 < found.vol_curve[195:225].mean() < 1.0, market
        assert 1.2 < found.vol_curve[-1] < 2.3, market
        assert 4.0 < found.volume_curve[0] < 7.5, market
        assert 0.55 < found.volume_curve[195:225].mean() < 0.85, market
        assert 6.0 < found.volume_curve[-1] < 13.0, market
        assert 0.25 < found.volume_correlation < 0.5, market  # real 0.29, 0.38, 0.46


def test_nights_carry_their_share_of_variance(measured: dict[str, Facts]) -> None:
    # Real 0.40, 0.39 and (crash) 0.64.
    assert 0.3 < measured["normal"].overnight_share < 0.55
    assert 0.3 < measured["calm"].overnight_share < 0.55
    assert 0.45 < measured["crash"].overnight_share < 0.8


def test_vix_falls_when_prices_rise_and_says_how_volatile_they_are(measured: dict[str, Facts]) -> None:
    # Real beta of d log VIX on return: -5.2, -5.5 and (crash) -2.7, correlation -0.72, -0.74, -0.79.
    # Real daily volatility over what VIX says: 1.14, 0.93 and (crash) 1.34.
    for market, beta in {"normal": (-6.5, -3.5), "calm": (-7.5, -3.5), "crash": (-4.0, -1.8)}.items():
        found = measured[market]
        assert beta[0] < found.vix_beta < beta[1], market
        assert -0.9 < found.vix_correlation < -0.4, market
        assert 0.8 < found.vol_per_vix < (1.7 if market == "crash" else 1.25), market


def test_markets_have_the_vix_they_are_named_after(year: dict[str, Simulated]) -> None:
    for seed in range(3):
        normal, calm, crash = (
            simulate(SimulatorConfig(market=m, seed=seed, days=65)).vix["close"]
            for m in ("normal", "calm", "crash")
        )
        assert 12 < normal.mean() < 23
        assert 10 < calm.mean() < 14.5
        assert 55 < crash[12:26].max() < 110  # real: 82.69 on day 19
        assert crash[0] < 25
        assert crash[50:].mean() < 45


def test_highs_and_lows_reach_as_far_as_real_ones(measured: dict[str, Facts]) -> None:
    for market, found in measured.items():
        assert 1.8 < found.range_ratio < 2.0, market  # real 1.91, 1.88, 1.92


def test_thin_minutes_are_missing_as_often_as_in_real_files(measured: dict[str, Facts]) -> None:
    for market, found in measured.items():
        assert 0.06 < found.missing_extended < 0.35, market  # real 0.26 and 0.12; none known for a crash


def test_own_vix_parameters_replace_the_market_s() -> None:
    made = simulate(SimulatorConfig(vix_start=40.0, vix_mean=40.0, vix_beta=0.0, vix_reversion=0.5, days=40))
    assert 34 < made.vix["close"].mean() < 46
    found = facts(made.bars, made.vix)
    assert abs(found.vix_beta) < 1.5
    assert found.daily_vol_pct > 1.5


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"days": 3, "planted": 4}, "planted=4 exceeds days=3: one pattern per session"),
        ({"days": 0}, "greater than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"start_price": math.nan}, "finite number"),
        ({"market": "bull"}, "'normal', 'crash' or 'calm'"),
        ({"vixstart": 20}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SimulatorConfig(**values)


def test_dates_outside_the_calendar_are_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"days=2500 from first_date=2025-01-02 runs past .* 2028-12-31"):
        simulate(SimulatorConfig(days=2500))
    with pytest.raises(ConfigError, match="first_date=1998-12-31 is outside the session calendar"):
        simulate(SimulatorConfig(first_date=dt.date(1998, 12, 31)))
    assert len(simulate(SimulatorConfig(first_date=dt.date(2028, 12, 29), days=1)).vix) == 1
