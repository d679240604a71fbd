"""The first desk: long 0DTE calls and puts at modelled quotes.

History has no quotes here, so the desk models them: Black-Scholes-Merton mid on
the trading clock, a half-spread that is the larger of a cent and a share of the
premium, rounded to the option's tick. Every quote says that it is modelled.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.contract import Contract
from maxlib.market.instruments import Instrument
from maxlib.options.pricing import bsm, intrinsic, years


class DeskConfig(Config):
    """How a direction becomes an option, and what it costs.

    Attributes
    ----------
    moneyness : "atm" or "itm1" (one strike in the money)
    strike_step : dollars between strikes, 1 or 5
    iv_scale : multiplies the modelled volatility (a band, not a knob to tune)
    half_spread_cents, half_spread_fraction : half-spread = the larger of the
        cents and the fraction of the premium, per side
    commission_cents : per contract and side
    """

    moneyness: Literal["atm", "itm1"] = "atm"
    strike_step: Literal[1, 5] = 1
    iv_scale: float = Field(default=1.0, gt=0.0, le=10.0)
    half_spread_cents: int = Field(default=1, ge=0, le=100)
    half_spread_fraction: float = Field(default=0.01, ge=0.0, le=0.5)
    commission_cents: int = Field(default=65, ge=0, le=1000)


class Quote(NamedTuple):
    """Bid and ask in cents per share; `floor_cents` is the intrinsic value, rounded down."""

    bid_cents: int
    ask_cents: int
    floor_cents: int
    modelled: bool


class Market(NamedTuple):
    """What the desk needs to know of the moment it quotes for.

    ts : UTC ns; spot : dollars; minutes : trading minutes to the expiry's close;
    sigma : volatility in force (before `iv_scale`)
    """

    ts: int
    spot: float
    minutes: float
    sigma: float


def choose(config: DeskConfig, instrument: Instrument, side: int, spot: float, expiry: int) -> Contract:
    """The contract for a direction: calls for +1, puts for -1.

    ATM is the strike nearest the spot (half to even, as in spec §5); "itm1" is one
    step into the money.
    """
    strike = round(spot / config.strike_step) * config.strike_step
    if config.moneyness == "itm1":
        strike -= side * config.strike_step
    return Contract(instrument.symbol, expiry, "C" if side > 0 else "P", strike * 100)


def modelled_quote(config: DeskConfig, instrument: Instrument, contract: Contract, market: Market) -> Quote:
    """The modelled quote of a contract at a moment. A bid is never negative."""
    t = years(market.minutes)
    mid = 100.0 * bsm(contract.right, market.spot, contract.strike, t, market.sigma * config.iv_scale)
    half = max(float(config.half_spread_cents), config.half_spread_fraction * mid)
    tick = instrument.option_tick_cents
    bid = max(0, round((mid - half) / tick) * tick)
    ask = max(tick, round((mid + half) / tick) * tick)
    floor = int(100.0 * intrinsic(contract.right, market.spot, contract.strike))
    return Quote(bid, ask, floor, modelled=True)
