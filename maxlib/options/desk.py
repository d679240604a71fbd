"""The desk: 0DTE packages of calls or puts at modelled quotes.

History has no quotes here, so the desk models them: a mid, a half-spread to each
side, rounded to the option's tick. Every quote says that it is modelled.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.contract import Contract, Leg
from maxlib.market.instruments import Instrument
from maxlib.market.quotes import Quote
from maxlib.options.expiry import worst_cents
from maxlib.options.modelled import Market as Moment
from maxlib.options.modelled import modelled_mid
from maxlib.options.pricing import bsm, years
from maxlib.options.selection import SelectionConfig, select
from maxlib.options.spreads import SpreadConfig, half_spread_cents
from maxlib.options.structures import Kind, Listing, Structure, Unbuilt, build
from maxlib.options.surface import SurfaceConfig

STRIKES: Final = 40
"""Modelled strikes to each side of the money; QQQ lists more."""


_SPREADS: Final = SpreadConfig()
_DUST: Final = 1e-9


class DeskConfig(Config):
    """How a direction becomes an option, and what it costs.

    Attributes
    ----------
    structures : what may be traded: "long", "vertical", "fly", "broken_wing", "unbalanced"; of
        several, the best reward to risk after costs is chosen
    moneyness : of the long option, "atm" or "itm1" (one strike in the money)
    strike_step : dollars between strikes, 1 or 5
    model : "fitted" prices with the modelled chain (docs/modelled-chain.md): only the session's
        variance, a smile, spreads as on real chains; "spec" with the convention of spec §12.1:
        one volatility, the night's variance charged to the day, spreads as given here
    iv_scale : multiplies the modelled volatility (a band, not a knob to tune)
    half_spread_cents, half_spread_fraction : of model "spec": half-spread = the larger of
        the cents and the fraction of the premium, per side
    spread_scale : multiplies the half-spread (a band, not a knob to tune)
    commission_cents : per contract and side
    min_reward_risk : a package below this reward to risk after costs is not traded
    """

    structures: tuple[Kind, ...] = Field(default=("long",), min_length=1, strict=False)
    moneyness: Literal["atm", "itm1"] = "atm"
    strike_step: Literal[1, 5] = 1
    model: Literal["fitted", "spec"] = "fitted"
    iv_scale: float = Field(default=1.0, gt=0.0, le=10.0)
    half_spread_cents: int = Field(default=1, ge=0, le=100)
    half_spread_fraction: float = Field(default=0.01, ge=0.0, le=0.5)
    spread_scale: float = Field(default=1.0, ge=0.0, le=10.0)
    commission_cents: int = Field(default=65, ge=0, le=1000)
    min_reward_risk: float = Field(default=0.0, ge=0.0, le=100.0)


class Market(NamedTuple):
    """What the desk needs to know of the moment it quotes for.

    ts : UTC ns; spot : dollars; minutes : trading minutes to the expiry's close;
    sigma : close-to-close volatility in force (before `iv_scale`)
    session_minutes : of that day, 390 or 210
    """

    ts: int
    spot: float
    minutes: float
    sigma: float
    session_minutes: int = 390


class Offer(NamedTuple):
    """What the desk would trade for a direction.

    legs : per unit; empty = nothing passed
    cost_cents : what a unit can cost at most, commission of the entry included
    best : the best reward to risk there was
    why : each candidate that lost and the reason, for the journal
    """

    legs: tuple[Leg, ...]
    cost_cents: int
    best: float
    why: dict[str, str]


class Desk:
    """Turns directions into packages and packages into quotes.

    Attributes
    ----------
    live : its quotes are a market's (`maxlib.options.live_desk`): an order fills at those of the moment it
        is decided at, and there may be none
    spot_slack : by which share of it the underlying's price may be off
    """

    live = False
    spot_slack = 0.0

    def __init__(self, config: DeskConfig, instrument: Instrument) -> None:
        self.config = config
        self.instrument = instrument
        self._fitted = SurfaceConfig(level_scale=config.iv_scale)
        self._selection = SelectionConfig(
            commission_cents=config.commission_cents, min_reward_risk=config.min_reward_risk
        )

    def moment(self, market: Market) -> Market:
        """The moment at which an order decided on now would fill; that of a model is any."""
        return market

    def quote(self, contract: Contract, market: Market) -> Quote | None:
        """The modelled quote of a contract now; what is worth less than its half-spread has no bid.

        There always is one; of a live desk there may be none.
        """
        return self.quote_and_mid(contract, market)[0]

    def mark(self, contract: Contract, market: Market) -> Quote | None:
        """What an open position is valued at now."""
        return self.quote(contract, market)

    def quote_and_mid(self, contract: Contract, market: Market) -> tuple[Quote | None, float]:
        """The quote, and the value in its middle before rounding, cents a share.

        The fitted model rounds away from the middle, as quotes on a grid of ticks do; the
        convention of spec §12.1 rounds to the nearest tick.
        """
        mid, half = self._mid_and_half(contract, market)
        tick = self.instrument.option_tick_cents
        low, high = (mid - half) / tick, (mid + half) / tick
        fitted = self.config.model == "fitted"
        bid = (math.floor(low + _DUST) if fitted else round(low)) * tick
        ask = max(tick, (math.ceil(high - _DUST) if fitted else round(high)) * tick)
        return Quote(contract, market.ts, bid if bid > 0 else None, ask, None, None, modelled=True), mid

    def mid_cents(self, contract: Contract, market: Market) -> float:
        """The modelled value of a contract at a moment, cents a share."""
        return self._mid_and_half(contract, market)[0]

    def middle_cents(self, contract: Contract, market: Market) -> float | None:
        """What a fill elsewhere is compared with, cents a share; None = nothing is known."""
        return self.mid_cents(contract, market)

    def _mid_and_half(self, contract: Contract, market: Market) -> tuple[float, float]:
        config, strike = self.config, contract.strike
        if config.model == "fitted":
            now = Moment(market.spot, market.minutes, market.sigma, market.session_minutes)
            mid, _ = modelled_mid(self._fitted, contract.right, strike, now)
            inside = (market.spot - strike) * (1.0 if contract.right == "C" else -1.0) / market.spot
            half = half_spread_cents(_SPREADS, mid, inside, market.minutes, market.spot)
            return mid, config.spread_scale * half
        sigma = market.sigma * config.iv_scale
        mid = 100.0 * bsm(contract.right, market.spot, strike, years(market.minutes), sigma)
        half = max(float(config.half_spread_cents), config.half_spread_fraction * mid)
        return mid, config.spread_scale * half

    def fee_cents(self, legs: tuple[Leg, ...]) -> int:
        """Commission of trading one unit of a package."""
        return self.config.commission_cents * sum(abs(leg.ratio) for leg in legs)

    def offer(self, side: int, market: Market, expiry: int, target: float, hold: float = 390) -> Offer:
        """The package for a direction, quoted now.

        Parameters
        ----------
        target : where the underlying is meant to go, dollars; NaN = the signal does not say,
            and only a long option can be bought
        hold : minutes until the plan leaves at the latest; the reward of a candidate is what it is
            worth then, with the underlying at the target
        """
        filtered = self.config.min_reward_risk > 0.0
        if math.isnan(target) and (filtered or "long" not in self.config.structures):
            return Offer((), 0, 0.0, dict.fromkeys(self.config.structures, "the signal names no target"))
        if math.isnan(target) or (self.config.structures == ("long",) and not filtered):
            return self._long(side, market, expiry)
        listing = self.listing(market.spot, expiry)
        built = [self._build(kind, listing, side, market.spot, target) for kind in self.config.structures]
        later = market._replace(spot=target, minutes=max(1.0, market.minutes - hold))

        def worth(candidate: Structure) -> float:
            return sum(leg.ratio * self.mid_cents(leg.contract, later) for leg in candidate.legs) / 100

        found = select(
            built, lambda contract: self._usable(contract, market), target, self._selection, worth=worth
        )
        why: dict[str, str] = {
            rank.candidate.kind: rank.sentence for rank in found.ranked if rank.loss is not None
        }
        ratios = [rank.figures.reward_risk for rank in found.ranked if rank.figures is not None]
        best = max((ratio for ratio in ratios if ratio is not None), default=0.0)
        if found.chosen is None:
            return Offer((), 0, best, why)
        figures = found.ranked[0].figures
        assert figures is not None  # the winner was priced
        return self._offer(found.chosen.legs, figures.debit_cents // self.instrument.multiplier, best, why)

    def listing(self, spot: float, expiry: int) -> Listing:
        """Strikes taken to be listed: `STRIKES` steps to each side of the money."""
        step = self.config.strike_step * 100
        middle = round(spot * 100 / step) * step
        strikes = range(middle - STRIKES * step, middle + (STRIKES + 1) * step, step)
        return Listing(self.instrument.symbol, expiry, tuple(k for k in strikes if k > 0))

    def _long(self, side: int, market: Market, expiry: int) -> Offer:
        contract = choose(self.config, self.instrument, side, market.spot, expiry)
        quote = self.quote(contract, market)
        assert quote is not None  # a modelled option is always offered
        assert quote.ask_cents is not None
        return self._offer((Leg(contract, 1),), quote.ask_cents, math.inf, {})

    def _usable(self, contract: Contract, market: Market) -> Quote | None:
        """The quote that a candidate is priced at."""
        return self.quote(contract, market)

    def _build(
        self, kind: Kind, listing: Listing, side: int, spot: float, target: float
    ) -> Structure | Unbuilt:
        itm = 1 if kind == "long" and self.config.moneyness == "itm1" else 0
        return build(kind, listing, side, spot, target, itm=itm)

    def _offer(self, legs: tuple[Leg, ...], debit_cents: int, best: float, why: dict[str, str]) -> Offer:
        risk = (debit_cents - worst_cents(legs)) * self.instrument.multiplier
        return Offer(legs, risk + self.fee_cents(legs), best, why)


def choose(config: DeskConfig, instrument: Instrument, side: int, spot: float, expiry: int) -> Contract:
    """The contract for a direction: calls for +1, puts for -1.

    ATM is the strike nearest the spot (half to even, as in spec §5); "itm1" is one
    step into the money.
    """
    strike = round(spot / config.strike_step) * config.strike_step
    if config.moneyness == "itm1":
        strike -= side * config.strike_step
    return Contract(instrument.symbol, expiry, "C" if side > 0 else "P", strike * 100)
