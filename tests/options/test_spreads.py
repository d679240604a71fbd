"""The modelled spreads: by hand, in their limits, and against the real quotes."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from maxlib.data.chains import load_chain
from maxlib.market.quotes import Chain
from maxlib.options.forward import forwards, usable
from maxlib.options.spreads import SpreadConfig, half_spread_cents

STANDARD = SpreadConfig()


def test_by_hand_near_the_money() -> None:
    # Spot 500: a basis point is 5 cents. Mid 125 cents at the money: 25 bp of time value.
    # 0.1 · 25^0.5 = 0.5 bp = 2.5 cents; a quarter of the session left: 4^0.5 times that.
    config = SpreadConfig(near_bp=0.1, value_power=0.5, near_late=0.5, deep_bp=0.0)
    assert half_spread_cents(config, 125.0, 0.0, 390, 500.0) == pytest.approx(2.5, rel=1e-12)
    assert half_spread_cents(config, 125.0, 0.0, 97.5, 500.0) == pytest.approx(5.0, rel=1e-12)


def test_by_hand_in_the_money() -> None:
    # 2 % in the money = 1,000 cents of intrinsic value and none of time: one tick, 0.2 bp, counts.
    config = SpreadConfig(near_bp=0.1, value_power=1.0, deep_bp=4.0, depth=0.02, deep_late=0.0, near_late=0.0)
    # 0.1 · 0.2 = 0.02 bp, and half of 4 bp at the depth: 2.02 bp of 5 cents.
    assert half_spread_cents(config, 1000.0, 0.02, 390, 500.0) == pytest.approx(10.1, rel=1e-12)


def test_never_below_half_a_tick() -> None:
    for mid in (0.0, 0.5, 3.0, 40.0):
        assert half_spread_cents(STANDARD, mid, -0.05, 300, 610.0) >= 0.5
        assert half_spread_cents(SpreadConfig(tick_cents=5), mid, -0.05, 300, 610.0) >= 2.5
    narrow = SpreadConfig(scale=0.001)
    assert half_spread_cents(narrow, 500.0, 0.0, 300, 610.0) == 0.5


def test_it_grows_with_time_value_with_depth_and_towards_the_close() -> None:
    def half(mid: float, moneyness: float, left: float) -> float:
        return half_spread_cents(STANDARD, mid, moneyness, left, 610.0)

    by_value = [half(mid, 0.0, 300) for mid in (100, 200, 400, 800)]
    by_depth = [half(6.1e4 * d + 10, d, 300) for d in (0.0, 0.005, 0.01, 0.03, 0.1)]
    by_time = [half(200, 0.001, left) for left in (390, 200, 60, 15, 1)]
    for values in (by_value, by_depth, by_time):
        assert all(a < b for a, b in pairwise(values)), values


def test_time_stands_still_in_the_last_minute_and_before_the_open() -> None:
    assert half_spread_cents(STANDARD, 300, 0.01, 0.0, 610.0) == half_spread_cents(
        STANDARD, 300, 0.01, 1.0, 610.0
    )
    assert half_spread_cents(STANDARD, 300, 0.01, 900, 610.0) == half_spread_cents(
        STANDARD, 300, 0.01, 390, 610.0
    )


def test_it_moves_with_the_price_of_the_underlying() -> None:
    # Everything twice as large, the tick aside: twice the spread.
    once = half_spread_cents(STANDARD, 700.0, 0.01, 200, 400.0)
    assert half_spread_cents(STANDARD, 1400.0, 0.01, 200, 800.0) == pytest.approx(2 * once, rel=1e-12)


def errors_of(shared: Path, name: str, last: float) -> tuple[np.ndarray, np.ndarray]:
    """Log of quoted over modelled half-spreads on the day of expiry, and the moneyness of each."""
    path = shared / f"data/real/{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in the shared folder")
    chain = load_chain(path)
    rows = chain.rows[(chain.rows["expires_at"] - chain.rows["ts"]) <= 390 * 60 * 10**9]
    found = forwards(Chain(chain.root, rows, "file", chain.name))
    keep = usable(rows) & np.isfinite(found.value[found.group])
    forward = found.value[found.group][keep].tolist()
    rows, logs, depths = rows[keep], [], []
    for row, f in zip(rows, forward, strict=True):
        bid, ask, strike = float(row["bid"]), float(row["ask"]), float(row["strike"])
        moneyness = int(row["right"]) * (f - strike) / f
        left = float(row["expires_at"] - row["ts"]) / 6e10
        model = half_spread_cents(STANDARD, 50 * (bid + ask), moneyness, left, f)
        logs.append(math.log(50 * (ask - bid) / model))
        depths.append(moneyness)
    assert len(logs) > 0
    return np.array(logs), np.array(depths)


@pytest.mark.parametrize("day", ["20260211", "20260212"])
def test_spreads_of_qqq_are_met_within_the_stated_error(shared: Path, day: str) -> None:
    error, depth = errors_of(shared, f"unclear/options/qqq_chain_yahoo_{day}", 390)
    assert len(error) > 100
    assert np.exp(np.median(np.abs(error))) < 1.1
    assert np.mean(np.abs(error) < math.log(2)) > 0.9
    assert np.exp(np.median(np.abs(error[depth > 0.005]))) < 1.15
    # Near the money a quote's half-spread is 0.5, 1 or 1.5 cents: a tick is half of it.
    near = error[np.abs(depth) < 0.005]
    assert np.exp(np.median(np.abs(near))) < 1.6
    assert 0.8 < np.exp(np.mean(near)) < 1.25


def test_spxw_was_about_twice_as_wide_as_the_model_of_qqq(shared: Path) -> None:
    error, _ = errors_of(shared, "open/options/spxw_1m_quote_20210104_20210106", 390)
    assert 1.7 < np.exp(np.mean(error)) < 2.4
