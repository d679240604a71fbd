"""Chains that nobody quoted: labelled, free of arbitrage, and refused where the model ends."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.market.calendar import ordinal, to_ns
from maxlib.market.quotes import Chain
from maxlib.options.chain_gate import inspect
from maxlib.options.modelled import Market, ModelConfig, modelled_chain, modelled_quote
from maxlib.options.pricing import bsm, years
from maxlib.options.spreads import SpreadConfig
from maxlib.options.surface import SurfaceConfig

DAY = dt.date(2025, 11, 14)
CONFIG = ModelConfig()
FLAT = SurfaceConfig(session_share=1.0, open_share=0.0, close_share=0.0, wings=0.0)


def made(minutes: float = 200, spot: float = 608.37, level: float = 0.2, **changed: Any) -> Chain:
    asked: dict[str, Any] = {
        "config": CONFIG, "symbol": "QQQ", "expiry": ordinal(DAY), "ts": to_ns(DAY, 960 - int(minutes)),
        "spot": spot, "minutes_left": minutes, "level": level, "strikes": range(570, 651), **changed,
    }  # fmt: skip
    return modelled_chain(**asked)


def test_it_says_that_it_is_modelled() -> None:
    chain = made()
    assert (chain.origin, chain.root, chain.name) == ("modelled", "QQQ", "0DTE model")
    assert "nobody quoted this" in chain.notes[0]
    assert len(chain.rows) == 2 * 81
    assert np.isnan(chain.rows["bid_size"]).all()
    assert np.isnan(chain.rows["volume"]).all()
    assert (chain.rows["expires_at"] == to_ns(DAY, 960)).all()
    assert (chain.rows["quoted_at"] == chain.rows["ts"]).all()


def test_parity_of_the_mids_is_exact() -> None:
    market = Market(608.37, 200, 0.2)
    for strike in range(570, 651):
        call, put = (modelled_quote(CONFIG, right, strike, market) for right in "CP")
        assert call.mid_cents - put.mid_cents == pytest.approx(100 * (608.37 - strike), abs=1e-9)
        assert call.sigma == put.sigma


def test_quotes_enclose_the_mid_in_whole_ticks() -> None:
    for tick in (1, 5):
        config = ModelConfig(spreads=SpreadConfig(tick_cents=tick))
        for strike in range(570, 651):
            for right in "CP":
                quote = modelled_quote(config, right, strike, Market(608.37, 200, 0.2))
                assert quote.ask_cents % tick == 0
                assert quote.ask_cents >= quote.mid_cents + tick / 2 - 1e-6
                if quote.bid_cents is None:
                    # Nobody bids a tick where the mid less half a spread is below one.
                    assert quote.mid_cents < tick + max(tick / 2, quote.ask_cents - quote.mid_cents)
                else:
                    assert quote.bid_cents % tick == 0
                    assert 0 < quote.bid_cents <= quote.mid_cents - tick / 2 + 1e-6
                    assert quote.ask_cents - quote.bid_cents >= tick


def test_by_hand_at_the_money() -> None:
    # Flat 20 % over a session at 600: 2 · 600 · (N(d/2) - 1/2), d = 0.2/sqrt(252) = 0.01259882; the
    # normal density makes that 600 · d · 0.3989406 (d²/24 off): 3.01572 dollars. Half-spread 2 cents.
    spreads = SpreadConfig(near_bp=1 / 3, value_power=0.0, deep_bp=0.0)
    quote = modelled_quote(ModelConfig(surface=FLAT, spreads=spreads), "C", 600.0, Market(600.0, 390, 0.2))
    assert quote.sigma == pytest.approx(0.2, rel=1e-12)
    assert quote.mid_cents == pytest.approx(301.572, abs=0.01)
    assert (quote.bid_cents, quote.ask_cents) == (299, 304)


def test_the_chain_holds_the_quotes_and_their_greeks() -> None:
    chain = made()
    for row in chain.rows[::23]:
        right = "C" if row["right"] > 0 else "P"
        quote = modelled_quote(CONFIG, right, float(row["strike"]), Market(608.37, 200, 0.2))
        assert (None if np.isnan(row["bid"]) else round(100 * row["bid"])) == quote.bid_cents
        assert round(100 * row["ask"]) == quote.ask_cents
        assert row["iv"] == quote.sigma
        up, down = (
            bsm(right, 608.37 + h, float(row["strike"]), years(200), quote.sigma) for h in (0.001, -0.001)
        )
        assert row["delta"] == pytest.approx((up - down) / 0.002, abs=1e-6)


@pytest.mark.parametrize("minutes", [390, 200, 30, 5, 1])
def test_the_gate_finds_nothing_but_missing_bids(minutes: float) -> None:
    for level in (0.1, 0.8):
        report = inspect(made(minutes, level=level))
        found = {check.name for check in report.checks if check.count}
        assert found <= {"no_bid"}, found
        forward = report.spot.forward
        if minutes > 1:  # in the last minute one side of every pair may be worth less than a tick
            assert forward is not None
            assert forward.value == pytest.approx(608.37, abs=forward.error)


def test_a_half_day_has_the_variance_of_its_minutes() -> None:
    half = dt.date(2025, 11, 28)
    chain = made(210, expiry=ordinal(half), ts=to_ns(half, 570), strikes=[608.37])
    assert (chain.rows["expires_at"] == to_ns(half, 780)).all()
    # Variance 210/390 of a full day's, over 210/390 of its clock: the same volatility.
    assert chain.rows["iv"][0] == pytest.approx(made(390, strikes=[608.37]).rows["iv"][0], rel=1e-12)


def test_far_strikes_cost_a_tick_and_have_no_bid() -> None:
    rows = made(5, level=0.1, strikes=[500.0, 700.0]).rows
    put, call = rows[0], rows[3]
    assert np.isnan(put["bid"])
    assert np.isnan(call["bid"])
    assert put["ask"] == call["ask"] == 0.01


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"expiry": ordinal(dt.date(2025, 11, 15))}, "2025-11-15 is no session"),
        ({"minutes_left": 391.0}, "391 minutes left, but only the last day is modelled, 0 to 390 minutes"),
        ({"minutes_left": -1.0}, "-1 minutes left"),
        ({"expiry": ordinal(dt.date(2025, 11, 28)), "minutes_left": 300.0}, "0 to 210 minutes on 2025-11-28"),
        ({"minutes_left": math.nan}, "nan minutes left"),
        ({"spot": 0.0}, "spot 0, level 0.2 and strikes must be above 0"),
        ({"level": math.nan}, "spot 608.37, level nan"),
        ({"strikes": [600.0, -1.0]}, "strikes must be above 0"),
    ],
)
def test_what_is_not_modelled_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        made(**changed)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("modelled chain of QQQ: ")
