"""Strikes and modelled quotes."""

import math
from typing import Any

import pytest

from maxlib.market.instruments import Instrument, instrument
from maxlib.market.quotes import Quote
from maxlib.options.desk import Desk, DeskConfig, Market, choose
from maxlib.options.modelled import Market as Moment
from maxlib.options.modelled import modelled_mid
from maxlib.options.spreads import SpreadConfig, half_spread_cents
from maxlib.options.surface import SurfaceConfig
from tests.engine.scripted import bid_ask

QQQ = instrument("QQQ")


def strike(spot: float, side: int = 1, **desk: Any) -> float:
    return choose(DeskConfig(**desk), QQQ, side, spot, 20_090).strike


@pytest.mark.parametrize(
    ("spot", "step", "expected"),
    [
        (500.4, 1, 500), (500.6, 1, 501), (500.5, 1, 500), (501.5, 1, 502),  # half to even
        (502.4, 5, 500), (502.6, 5, 505), (502.5, 5, 500), (507.5, 5, 510), (512.5, 5, 510),
    ],
)  # fmt: skip
def test_the_strike_at_the_money_is_the_nearest_half_to_even(spot: float, step: int, expected: float) -> None:
    assert strike(spot, strike_step=step) == expected
    assert strike(spot, -1, strike_step=step) == expected


@pytest.mark.parametrize(("side", "step", "expected"), [(1, 1, 499), (-1, 1, 501), (1, 5, 495), (-1, 5, 505)])
def test_one_strike_in_the_money_is_below_for_calls_and_above_for_puts(
    side: int, step: int, expected: float
) -> None:
    assert strike(500.2, side, moneyness="itm1", strike_step=step) == expected


def test_long_is_a_call_and_short_a_put_named_as_the_exchange_names_them() -> None:
    assert choose(DeskConfig(), QQQ, 1, 601.2, 20_406).name == "QQQ251114C00601000"
    assert choose(DeskConfig(), QQQ, -1, 601.2, 20_406).name == "QQQ251114P00601000"


def quote(spot: float, minutes: float = 60.0, right: int = 1, of: Instrument = QQQ, **desk: Any) -> Quote:
    config = DeskConfig(**{"model": "spec", **desk})
    contract = choose(config, of, right, 500.0, 20_090)
    return Desk(config, of).quote(contract, Market(0, spot, minutes, 0.2))


@pytest.mark.parametrize("spot", [480.0, 499.37, 500.0, 503.21, 520.0])
def test_a_quote_is_the_mid_and_a_half_spread_rounded_to_the_cent(spot: float) -> None:
    made = quote(spot)
    assert (made.bid_cents or 0, made.ask_cents) == bid_ask("C", spot, 500, 60)
    assert made.modelled


def test_the_half_spread_is_a_cent_for_cheap_options_and_one_per_cent_for_dear_ones() -> None:
    cheap, dear = quote(496.0), quote(520.0)
    assert cheap.ask_cents - cheap.bid_cents <= 2
    # 2,000 cents of intrinsic and no time value to speak of: 1980 and 2020.
    assert (dear.bid_cents, dear.ask_cents) == (1980, 2020)


def test_a_worthless_option_bids_nothing_and_asks_a_cent() -> None:
    made = quote(450.0)
    assert (made.bid_cents, made.ask_cents) == (None, 1)


def test_the_spread_scale_widens_both_sides() -> None:
    made = quote(520.0, spread_scale=2.0)
    assert (made.bid_cents, made.ask_cents) == (1960, 2040)


def test_a_nickel_tick_rounds_both_sides_to_nickels() -> None:
    nickel = Instrument(symbol="QQQ", option_tick_cents=5)
    made = quote(501.0, of=nickel)
    assert made.bid_cents % 5 == made.ask_cents % 5 == 0
    bid, ask = bid_ask("C", 501.0, 500, 60)
    assert abs(made.bid_cents - bid) <= 3
    assert abs(made.ask_cents - ask) <= 3


def test_scaling_the_volatility_scales_what_the_quote_is_priced_with() -> None:
    made = quote(500.0, iv_scale=1.25)
    assert (made.bid_cents, made.ask_cents) == bid_ask("C", 500.0, 500, 60, sigma=0.25)


# --- the fitted model


def test_the_fitted_desk_quotes_the_modelled_chain_rounded_away_from_the_middle() -> None:
    """Mid and half-spread are those of the modelled chain, which its own tests hold to real quotes."""
    for spot, minutes in ((500.0, 300.0), (503.2, 60.0), (497.1, 5.0)):
        now = Moment(spot, minutes, 0.2)
        mid, _ = modelled_mid(SurfaceConfig(), "C", 500.0, now)
        half = half_spread_cents(SpreadConfig(), mid, (spot - 500.0) / spot, minutes, spot)
        made = quote(spot, minutes, model="fitted")
        assert (made.bid_cents or 0, made.ask_cents) == (
            max(0, math.floor(mid - half)),
            math.ceil(mid + half),
        )
        assert made.modelled


def test_the_fitted_desk_charges_the_session_only() -> None:
    """At the open a day's option is worth √0.577 of what the close-to-close volatility would make it."""
    spec, fitted = quote(500.0, 390.0), quote(500.0, 390.0, model="fitted")
    assert fitted.ask_cents is not None
    assert spec.ask_cents is not None
    assert fitted.ask_cents / spec.ask_cents == pytest.approx(math.sqrt(0.577), rel=0.02)


def test_bands_scale_the_fitted_desk_too() -> None:
    plain, dear, free = (
        quote(500.0, model="fitted", **more) for more in ({}, {"iv_scale": 2.0}, {"spread_scale": 0.0})
    )
    assert dear.ask_cents > 1.8 * plain.ask_cents
    assert free.ask_cents == free.bid_cents + 1, "the middle lies between two ticks"


def test_a_half_day_has_the_variance_of_its_minutes() -> None:
    """13:00 close: 210 minutes hold 210/390 of a full session's variance."""
    config = DeskConfig()
    contract = choose(config, QQQ, 1, 500.0, 20_090)
    desk = Desk(config, QQQ)
    full = desk.mid_cents(contract, Market(0, 500.0, 390.0, 0.2))
    half = desk.mid_cents(contract, Market(0, 500.0, 210.0, 0.2, 210))
    assert half / full == pytest.approx(math.sqrt(210 / 390), rel=1e-3)


def test_the_reward_of_a_candidate_is_its_worth_when_the_plan_leaves() -> None:
    """A fly is worth its payoff at expiry only; two hours before, most of it is still time value."""
    desk = Desk(DeskConfig(model="spec", structures=("long", "fly"), min_reward_risk=0.0), QQQ)
    now = Market(0, 500.0, 300.0, 0.2)
    kinds = [len(desk.offer(1, now, 20_090, 505.0, hold=hold).legs) for hold in (300.0, 60.0)]
    assert kinds == [3, 1], "held to the close the fly pays best; left after an hour the long does"
