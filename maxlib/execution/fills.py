"""Fill models: what an order gets at given quotes, or why it gets nothing.

Fill assumptions:

1. A package fills whole: all legs at one moment, or none of them. A leg without
   a usable quote means no fill.
2. The default crosses the spread: bought at the ask, sold at the bid. Prices
   inside the spread are opt-in and carry a banner, for nobody has promised them.
3. Prices inside the spread are rounded to whole cents against us. Without a bid
   there is no middle, and the ask is paid.
4. Nothing is sold without a bid, and nothing trades where nobody offers, at
   crossed quotes or at quotes older than the bound.
5. With `partial`, at most the displayed size fills, where a size is known.
   What did not fill is not kept: the caller may ask again.
6. Quotes that offer free money (see `arbitrage`) are blemishes: no fill. Modelled
   quotes and prices inside the spread are rounded numbers, and rounding alone can
   make a fly cost -1 cent. There a bought leg is paid up, a cent at a time, at most a
   cent for each contract of one package; what is then still too cheap is refused.

A refusal is a value. The firewall behind it (`firewall.guard`) raises: it stops
fills that no quote gave, which only a fault of the program can make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.core.errors import InvariantError
from maxlib.execution.arbitrage import Moment, Rule, arbitrage
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.market.quotes import Quote

NS_PER_MS: Final = 1_000_000
_DUST: Final = 1e-9

Refusal = (
    Literal["NO_SPOT", "NO_QUOTE", "MISSING_LEG", "STALE", "NO_ASK", "NO_BID", "CROSSED_MARKET", "NO_SIZE"]
    | Rule
)


class FillConfig(Config):
    """How simulated orders fill.

    Attributes
    ----------
    model : "cross" buys at the ask and sells at the bid, "mid" fills in the middle,
        "fraction" in between
    fraction : share of the half-spread given up, for "fraction" only; 0 would be the
        middle, 1 the far side
    max_quote_age_ms : older quotes are not filled at
    partial : fill at most the displayed size, where it is known; else any size fills
    latency_bars, latency_ms : from the decision to the first moment at which it may
        fill; they add up
    """

    model: Literal["cross", "mid", "fraction"] = "cross"
    fraction: float | None = Field(default=None, ge=0.0, le=1.0)
    max_quote_age_ms: int = Field(default=2_000, ge=0, le=86_400_000)
    partial: bool = True
    latency_bars: int = Field(default=0, ge=0, le=390)
    latency_ms: int = Field(default=0, ge=0, le=86_400_000)

    @model_validator(mode="after")
    def _fraction_fits(self) -> FillConfig:
        if (self.fraction is not None) != (self.model == "fraction"):
            raise ValueError(f"fraction {self.fraction} does not go with model {self.model!r}")
        return self

    @property
    def share(self) -> float:
        """Share of the half-spread given up: cross 1, mid 0."""
        if self.fraction is not None:
            return self.fraction
        return 1.0 if self.model == "cross" else 0.0

    @property
    def banner(self) -> str | None:
        """What a report must say above results of this model; None = they need no excuse."""
        if self.share == 1.0:
            return None
        where = (
            "in the middle of bid and ask"
            if self.share == 0.0
            else f"{100 * self.share:g} % of the half-spread away from the middle of bid and ask"
        )
        return f"OPTIMISTIC FILLS: orders fill {where}, a price that no quote promised."


class Filled(NamedTuple):
    """What traded: `quantity` packages; `prices_cents` a share, in the order of the legs."""

    quantity: int
    prices_cents: tuple[int, ...]


class NotFilled(NamedTuple):
    """Why nothing traded.

    contract : the leg it hangs on
    limit, actual : the bound and what was there instead; None where there is no number.
        STALE in milliseconds, NO_SIZE in contracts, all else in cents a share.
    """

    code: Refusal
    contract: Contract
    limit: float | None = None
    actual: float | None = None


def fill(
    config: FillConfig, legs: Sequence[Leg], quantity: int, quotes: Sequence[Quote | None], moment: Moment
) -> Filled | NotFilled:
    """Fill up to `quantity` packages of `legs` at `quotes`, or say why not.

    Parameters
    ----------
    legs : one package, or one leg of ratio +1 or -1 for a single option
    quantity : packages, 1 or more
    quotes : one per leg, None = there is none
    moment : the underlying now; `moment.ts` is the time of the fill

    Returns
    -------
    Filled or NotFilled
        NotFilled also at a real quote that offers free money, such as an ask below
        intrinsic value (BELOW_INTRINSIC): it is stale or wrong, and nobody could
        have traded it.

    Raises
    ------
    InvariantError
        If `quantity` is below 1: no market refuses that, only a fault of the program asks for it.
    """
    if not quantity >= 1:
        raise InvariantError(
            f"{package_name(tuple(legs))} asked for {quantity} times, but the least is 1 package"
        )
    if not 0.0 < moment.spot < math.inf:
        return NotFilled("NO_SPOT", legs[0].contract)
    share = config.share
    rounded = share < 1.0
    prices: list[int] = []
    for (contract, ratio), quote in zip(legs, quotes, strict=True):
        if quote is None:
            return NotFilled("MISSING_LEG" if len(legs) > 1 else "NO_QUOTE", contract)
        price = _price(config, share, ratio, quote, moment.ts)
        if isinstance(price, NotFilled):
            return price
        prices.append(price)
        rounded = rounded or quote.modelled
        if config.partial:
            size = quote.ask_size if ratio > 0 else quote.bid_size
            if size is not None:
                quantity = min(quantity, size // abs(ratio))
                if quantity < 1:
                    return NotFilled("NO_SIZE", contract, abs(ratio), size)
    refused = _pay_up(legs, prices, moment) if rounded else _free_money(legs, prices, moment)
    return refused or Filled(quantity, tuple(prices))


def arrival(config: FillConfig, decided_at: int) -> int:
    """UTC ns from which on a decision may fill: the first market moment at or after it.

    On a tape of bars the market moments are the opens of the one-minute bars that exist.
    A decision at the close of one bar with no latency fills at the open of the next;
    with one bar of latency, at the open after that.
    """
    return decided_at + config.latency_bars * NS_PER_MINUTE + config.latency_ms * NS_PER_MS


def _price(config: FillConfig, share: float, ratio: int, quote: Quote, now: int) -> int | NotFilled:
    """Cents a share of one leg, or why its quote cannot be used."""
    contract, ts, bid, ask, *_ = quote
    if now - ts > config.max_quote_age_ms * NS_PER_MS:
        return NotFilled("STALE", contract, config.max_quote_age_ms, (now - ts) / NS_PER_MS)
    if ask is None or ask < 1:
        return NotFilled("NO_ASK", contract)
    if bid is None or bid < 1:
        return ask if ratio > 0 else NotFilled("NO_BID", contract)
    if bid > ask:
        return NotFilled("CROSSED_MARKET", contract, ask, bid)
    kept = 0.5 * (1.0 - share) * (ask - bid)
    return math.ceil(ask - kept - _DUST) if ratio > 0 else math.floor(bid + kept + _DUST)


def _free_money(legs: Sequence[Leg], prices: Sequence[int], moment: Moment) -> NotFilled | None:
    found = arbitrage(legs, prices, moment)
    if found is None:
        return None
    return NotFilled(found.rule, legs[found.leg].contract, found.limit_cents, found.actual_cents)


def _pay_up(legs: Sequence[Leg], prices: list[int], moment: Moment) -> NotFilled | None:
    """Raise bought legs by cents, in place, as far as rounding can be what makes them too cheap."""
    for _ in range(sum(abs(ratio) for _, ratio in legs)):
        found = arbitrage(legs, prices, moment)
        if found is None:
            return None
        if legs[found.leg].ratio < 0:
            break
        prices[found.leg] += 1
    return _free_money(legs, prices, moment)
