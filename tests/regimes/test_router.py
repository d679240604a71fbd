"""Four states, their boundaries, and what they let through."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical
from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.regimes.daily import DAILY
from maxlib.regimes.router import (
    START,
    RegimeConfig,
    Transition,
    Volatility,
    classify,
    reading,
    route,
    route_in,
)

CONFIG = RegimeConfig()
THREE = RegimeConfig(states="three")


def below(x: float) -> float:
    return math.nextafter(x, 0.0)


def above(x: float) -> float:
    return math.nextafter(x, math.inf)


BOUNDARIES = [  # spec §4: VIX 30 and 13 are NORMAL, 8 is ULTRA_LOW; the first match wins
    (above(30.0), 1.0, "HIGH_VOL", "PAUSE_HIGH"),
    (30.0, 1.0, "NORMAL_VOL", "NORMAL_VOL"),
    (13.0, 1.0, "NORMAL_VOL", "NORMAL_VOL"),
    (below(13.0), 1.0, "ULTRA_LOW_VOL", "PAUSE_LOW"),
    (8.0, 1.0, "ULTRA_LOW_VOL", "PAUSE_LOW"),
    (below(8.0), 1.0, "EXTREME_CALM_PAUSE", "PAUSE_LOW"),
    (18.0, 0.5, "NORMAL_VOL", "NORMAL_VOL"),
    (18.0, below(0.5), "ULTRA_LOW_VOL", "PAUSE_LOW"),
    (18.0, 0.05, "ULTRA_LOW_VOL", "PAUSE_LOW"),
    (18.0, below(0.05), "EXTREME_CALM_PAUSE", "PAUSE_LOW"),
    (31.0, 0.01, "HIGH_VOL", "PAUSE_HIGH"),
    (7.0, 0.01, "EXTREME_CALM_PAUSE", "PAUSE_LOW"),
]


@pytest.mark.parametrize(("vix", "atr", "four", "three"), BOUNDARIES)
def test_boundaries_of_the_states(vix: float, atr: float, four: str, three: str) -> None:
    for source in ("vix", "proxy"):
        assert classify(CONFIG, Volatility(vix, source, atr)).regime == four
        assert classify(THREE, Volatility(vix, source, atr)).regime == three


@pytest.mark.parametrize("atr", [None, math.nan, math.inf])
@pytest.mark.parametrize(
    ("vix", "four", "three"),
    [
        (31.0, "HIGH_VOL", "PAUSE_HIGH"),
        (15.0, "UNKNOWN", "UNKNOWN"),
        (12.0, "UNKNOWN", "PAUSE_LOW"),
        (7.0, "EXTREME_CALM_PAUSE", "PAUSE_LOW"),
        (math.nan, "UNKNOWN", "UNKNOWN"),
    ],
)
def test_without_an_atr_only_the_vix_decides_and_nothing_trades_by_default(
    atr: float | None, vix: float, four: str, three: str
) -> None:
    seen = Volatility(vix, "vix", atr)
    assert classify(CONFIG, seen).regime == four
    assert classify(THREE, seen).regime == three
    assert "wave_renko" not in CONFIG.rule(classify(CONFIG, seen).regime).strategies


@given(vix=st.floats(0.0, 90.0), atr=st.floats(0.0, 9.0))
def test_three_states_are_the_four_with_both_calm_ones_in_one(vix: float, atr: float) -> None:
    name = {"HIGH_VOL": "PAUSE_HIGH", "NORMAL_VOL": "NORMAL_VOL"}
    seen = Volatility(vix, "proxy", atr)
    assert classify(THREE, seen).regime == name.get(classify(CONFIG, seen).regime, "PAUSE_LOW")


def test_a_verdict_names_the_boundary_and_what_crossed_it() -> None:
    assert classify(CONFIG, Volatility(31.5, "vix", 1.0))[1:] == ("vix", 30.0, 31.5, "VIX 31.5 is above 30")
    assert classify(CONFIG, Volatility(9.5, "proxy", 1.0))[1:] == (
        "proxy", 13.0, 9.5, "VIX (proxy) 9.5 is below 13",
    )  # fmt: skip
    assert classify(CONFIG, Volatility(20.0, "vix", 0.25))[1:] == (
        "atr_percent", 0.5, 0.25, "daily ATR 0.25 % is below 0.5 %",
    )  # fmt: skip


def test_who_may_trade_where_is_the_specs_table() -> None:
    table = {
        regime: (rule.strategies, rule.max_positions, rule.risk_fraction, rule.trades_a_day)
        for regime in ("NORMAL_VOL", "HIGH_VOL", "ULTRA_LOW_VOL", "EXTREME_CALM_PAUSE", "UNKNOWN")
        for rule in [CONFIG.rule(regime)]
    }
    # §4 gives kinds, risk and positions (3, 2, 4), §7 trades and positions (3, 1, 2, 0): the smaller counts.
    assert table == {
        "NORMAL_VOL": (("wave_renko", "champion"), 3, 0.02, 10),
        "HIGH_VOL": (("sweep_reclaim",), 1, 0.0075, 3),
        "ULTRA_LOW_VOL": (("vwap_mean_reversion",), 2, 0.0125, 5),
        "EXTREME_CALM_PAUSE": ((), 0, 0.0, 0),
        "UNKNOWN": ((), 0, 0.0, 0),
    }
    assert {CONFIG.rule(regime).strategies for regime in ("PAUSE_LOW", "PAUSE_HIGH")} == {()}


def walk(readings: list[Volatility], config: RegimeConfig = CONFIG) -> list[Transition]:
    state, found = START, []
    for at, seen in enumerate(readings, start=1):
        state, change = route(config, state, at, seen)
        found += [change] if change else []
    return found


def test_transitions_say_from_to_why_and_when_and_only_extreme_calm_closes_all() -> None:
    vix = [15.0, 20.0, 31.0, 30.0, 12.0, 7.0, 7.5, 15.0]
    found = walk([Volatility(v, "vix", 1.0) for v in vix])
    assert [(c.old, c.new, c.at, c.close_all) for c in found] == [
        ("UNKNOWN", "NORMAL_VOL", 1, False),
        ("NORMAL_VOL", "HIGH_VOL", 3, False),
        ("HIGH_VOL", "NORMAL_VOL", 4, False),  # no hysteresis: the spec has none
        ("NORMAL_VOL", "ULTRA_LOW_VOL", 5, False),
        ("ULTRA_LOW_VOL", "EXTREME_CALM_PAUSE", 6, True),
        ("EXTREME_CALM_PAUSE", "NORMAL_VOL", 8, False),
    ]
    assert found[1].why == "VIX 31 is above 30"
    assert (found[4].vix, found[4].source, found[4].atr_percent) == (7.0, "vix", 1.0)
    assert not any(change.close_all for change in walk([Volatility(7.0, "vix", 0.01)], THREE))


readings = st.builds(
    Volatility,
    st.floats(0.1, 60.0) | st.just(math.nan),
    st.sampled_from(["vix", "proxy"]),
    st.none() | st.floats(0.0, 3.0),
)


@given(st.lists(readings, max_size=12), st.integers(0, 12))
def test_transitions_form_a_chain_and_a_restart_between_readings_adds_none(
    seen: list[Volatility], cut: int
) -> None:
    found = walk(seen)
    assert all(a.new == b.old and a.new != a.old for a, b in pairwise(found))
    state = START
    for at, one in enumerate(seen, start=1):
        if at == cut:
            state = route_in(json.loads(canonical(list(state))))
        before = state
        state, change = route(CONFIG, state, at, one)
        assert (change is None) == (before.regime == state.regime)
        assert state.since == (at if change else before.since)
        assert change is None or canonical(change._asdict())
    assert state.regime == (found[-1].new if found else "UNKNOWN")


def test_a_reading_takes_the_vix_if_there_is_a_good_one_and_says_so() -> None:
    out = np.array([(1, 30, 1.25, 17.5)], DAILY.out)[0]
    assert reading(out, 22.0) == Volatility(22.0, "vix", 1.25)
    for bad in (None, math.nan, math.inf, 0.0, -3.0):
        assert reading(out, bad) == Volatility(17.5, "proxy", 1.25)
    young = np.array([(0, 3, math.nan, 15.0)], DAILY.out)[0]
    assert reading(young) == Volatility(15.0, "proxy", None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"vix_low": 31.0}, r"vix_calm 8, vix_low 31 and vix_high 30 must not fall"),
        ({"atr_calm": 0.6}, r"atr_calm 0.6 is above atr_low 0.5"),
        ({"normal": {"risk_fraction": 0.06}}, r"normal.risk_fraction.*0.05"),
    ],
)
def test_boundaries_out_of_order_are_refused_naming_both(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(RegimeConfig, values, "regimes")
