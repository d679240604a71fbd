"""Strikes and modelled quotes."""

from typing import Any

import pytest

from maxlib.market.instruments import Instrument, instrument
from maxlib.market.quotes import Quote
from maxlib.options.desk import DeskConfig, Market, choose, modelled_quote
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
    config = DeskConfig(**desk)
    contract = choose(config, of, right, 500.0, 20_090)
    return modelled_quote(config, of, contract, Market(0, spot, minutes, 0.2))


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
