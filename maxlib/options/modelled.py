"""Option chains that nobody quoted: mids from the modelled surface, spreads from the modelled spreads.

Mids obey put-call parity to the last digit and leave no arbitrage (see `maxlib.options.surface`);
bids are rounded down and asks up to the tick. Everything made here says that it is modelled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.market.calendar import from_ordinal, session, to_ns
from maxlib.market.quotes import QUOTE, Chain
from maxlib.options.pricing import bsm, greeks, years
from maxlib.options.spreads import SpreadConfig, half_spread_cents
from maxlib.options.surface import SurfaceConfig, sigma

NAME: Final = "0DTE model"


class ModelConfig(Config):
    """The modelled surface and the modelled spreads."""

    surface: SurfaceConfig = SurfaceConfig()
    spreads: SpreadConfig = SpreadConfig()


class Market(NamedTuple):
    """What the model needs to know of a moment.

    spot : dollars; minutes_left : to the regular close; level : annual volatility, realised or VIX / 100;
    session_minutes : 390, or 210 on a half day
    """

    spot: float
    minutes_left: float
    level: float
    session_minutes: float = 390.0


class Modelled(NamedTuple):
    """One modelled quote, cents a share. bid_cents None = nobody would bid a tick."""

    bid_cents: int | None
    ask_cents: int
    mid_cents: float
    sigma: float


def modelled_mid(config: SurfaceConfig, right: str, strike: float, market: Market) -> tuple[float, float]:
    """Value in cents a share of a call ("C") or put ("P") on its last day, and its volatility.

    The forward is the spot: rates and dividends of a few hours are left out.
    """
    spot, left = market.spot, market.minutes_left
    vol = sigma(config, market.level, strike, spot, left, market.session_minutes)
    call = strike >= spot
    mid = bsm("C" if call else "P", spot, strike, years(left), vol)
    if (right == "C") != call:  # the other one by parity, so that it holds to the last digit
        mid += spot - strike if right == "C" else strike - spot
    return 100.0 * mid, vol


def modelled_quote(config: ModelConfig, right: str, strike: float, market: Market) -> Modelled:
    """Bid and ask of a call ("C") or put ("P") on its last day."""
    spot = market.spot
    mid_cents, vol = modelled_mid(config.surface, right, strike, market)
    inside = spot - strike if right == "C" else strike - spot
    half = half_spread_cents(config.spreads, mid_cents, inside / spot, market.minutes_left, spot)
    tick = config.spreads.tick_cents
    bid = math.floor((mid_cents - half) / tick + 1e-9) * tick
    ask = max(1, math.ceil((mid_cents + half) / tick - 1e-9)) * tick
    return Modelled(bid if bid > 0 else None, ask, mid_cents, vol)


def modelled_chain(
    config: ModelConfig,
    symbol: str,
    expiry: int,
    ts: int,
    spot: float,
    minutes_left: float,
    level: float,
    strikes: Iterable[float],
) -> Chain:
    """Calls and puts of the given strikes at one moment of their last day.

    Parameters
    ----------
    symbol : the underlying
    expiry : days since 1970; a day with a session
    ts : UTC ns, the moment
    spot : dollars, known at `ts`
    minutes_left : trading minutes to the regular close of that day, 0 to the session's length
    level : annual close-to-close volatility known at `ts`: realised, or VIX / 100
    strikes : dollars

    Returns
    -------
    Chain
        origin "modelled", rows by strike, puts first. `iv` and greeks are on the clock of
        390 × 252 minutes a year. Sizes, volume and open interest are not known: NaN.

    Raises
    ------
    DataError
        If the exchange is closed on `expiry`, `minutes_left` is not of that session, or a price or
        the level is not above 0.
    """
    day = session(from_ordinal(expiry))
    if day is None:
        raise DataError(f"modelled chain of {symbol}: {from_ordinal(expiry)} is no session")
    if not 0 <= minutes_left <= day.minutes:
        raise DataError(
            f"modelled chain of {symbol}: {minutes_left:g} minutes left, but only the last day is modelled, "
            f"0 to {day.minutes} minutes on {day.date}"
        )
    ordered = sorted(strikes)
    if not (0 < spot < math.inf and 0 < level < math.inf and all(0 < k < math.inf for k in ordered)):
        raise DataError(
            f"modelled chain of {symbol}: spot {spot:g}, level {level:g} and strikes must be above 0"
        )
    market = Market(spot, minutes_left, level, day.minutes)
    rows = np.zeros(2 * len(ordered), QUOTE)
    for name in ("bid_size", "ask_size", "last", "volume", "open_interest"):
        rows[name] = np.nan
    rows["ts"] = rows["quoted_at"] = rows["spot_at"] = ts
    rows["spot"], rows["expiry"] = spot, expiry
    rows["expires_at"] = to_ns(day.date, day.close_minute)
    for i, strike in enumerate(ordered):
        for row, right in ((rows[2 * i], "P"), (rows[2 * i + 1], "C")):
            quote = modelled_quote(config, right, strike, market)
            row["strike"], row["right"] = strike, 1 if right == "C" else -1
            row["bid"] = np.nan if quote.bid_cents is None else quote.bid_cents / 100
            row["ask"], row["iv"] = quote.ask_cents / 100, quote.sigma
            found = greeks(right, spot, strike, years(minutes_left), quote.sigma)
            for name in ("delta", "gamma", "theta", "vega"):
                row[name] = getattr(found, name)
    notes = (
        f"volatility level {level:.4g}, of which the model makes the rest: nobody quoted this",
        "rates and dividends of the day are left out; sizes, volume and open interest are not modelled",
    )
    return Chain(symbol, rows, "modelled", NAME, notes)
