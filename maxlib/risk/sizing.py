"""The review between an intent and an order: allowed with a quantity, or denied with a reason."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.risk.codes import GuardCode

DenialCode = Literal[
    "POSITION_LIMIT",
    "MARKET_CLOSED",
    "TOO_LATE",
    "UNAFFORDABLE",
    "STALE_PATTERN",
    "NO_STRUCTURE",
    "HALTED",
    "FEED_DOWN",
    "STALE_FEED",
    "BROKER_DOWN",
    "BROKER_DIFFERS",
    "JOURNAL_DOWN",
    "CLOCK_JUMP",
]

QuoteCode = Literal[
    "NO_SPOT",
    "NO_QUOTE",
    "MISSING_LEG",
    "STALE",
    "NO_ASK",
    "NO_BID",
    "CROSSED_MARKET",
    "NO_SIZE",
    "BELOW_INTRINSIC",
    "ABOVE_MAXIMUM",
    "VERTICAL_WIDTH",
    "BUTTERFLY_CONVEXITY",
    "PUT_CALL_PARITY",
    "PACKAGE_PAYOFF",
]
"""Why live quotes fill nothing: the codes of the fill models, which a room beside this one owns."""


RecallCode = Literal["STALE_ENTRY"]
"""Why an order that was decided on is not sent any more, besides the codes of a denial."""


class RiskConfig(Config):
    """Account and limits.

    Attributes
    ----------
    account_usd : starting cash, whole dollars
    risk_fraction : share of equity that one position's premium may cost
    max_contracts : cap on the size of one position
    contracts : a fixed size instead of a share of equity; null = by risk_fraction
    max_positions : positions open at once
    last_entry_minutes : no entry from this many minutes before the close on, nor once all is force-closed
    fresh_patterns : refuse a signal whose pattern formed before the last exit
    """

    account_usd: int = Field(default=25_000, ge=1, le=100_000_000)
    risk_fraction: float = Field(default=0.05, gt=0.0, le=1.0)
    max_contracts: int = Field(default=10, ge=1, le=10_000)
    contracts: int | None = Field(default=None, ge=1)
    max_positions: int = Field(default=1, ge=1, le=50)
    last_entry_minutes: int = Field(default=5, ge=1, le=389)
    fresh_patterns: bool = False

    @model_validator(mode="after")
    def _fixed_size_fits(self) -> RiskConfig:
        if self.contracts is not None and self.contracts > self.max_contracts:
            raise ValueError(f"contracts {self.contracts} is above max_contracts {self.max_contracts}")
        return self


class Allowed(NamedTuple):
    """Go ahead with this many contracts."""

    quantity: int


class Denial(NamedTuple):
    """A refusal: its code, the limit and what was there instead."""

    code: DenialCode | GuardCode | QuoteCode | RecallCode
    limit: float
    actual: float


def admit(
    config: RiskConfig,
    *,
    open_positions: int,
    minutes_to_close: int,
    force_close_minutes: int,
    formed_at: int,
    last_exit: int,
) -> Denial | None:
    """Whether an entry may be thought of at all, before anything is quoted; None = it may.

    Parameters
    ----------
    open_positions : positions held or being opened
    minutes_to_close : regular minutes left at the moment of the entry; 0 or less = closed
    force_close_minutes : left when everything is closed: what enters then would leave at once
    formed_at, last_exit : of the pattern and of the newest closed trade (0 = none), UTC ns
    """
    if minutes_to_close <= 0:
        return Denial("MARKET_CLOSED", 0, minutes_to_close)
    last = max(config.last_entry_minutes, force_close_minutes)
    if minutes_to_close <= last:
        return Denial("TOO_LATE", last, minutes_to_close)
    if open_positions >= config.max_positions:
        return Denial("POSITION_LIMIT", config.max_positions, open_positions)
    if config.fresh_patterns and formed_at <= last_exit:
        return Denial("STALE_PATTERN", 0, (formed_at - last_exit) / NS_PER_MINUTE)
    return None


def size(config: RiskConfig, *, equity_cents: int, cash_cents: int, cost_cents: int) -> Allowed | Denial:
    """How many units of an admitted entry.

    Parameters
    ----------
    equity_cents, cash_cents : account value at cost, and cash that is free
    cost_cents : what a unit can cost at most, commission of the entry included
    """
    budget = min(cash_cents, int(equity_cents * config.risk_fraction))
    wanted = budget // cost_cents if config.contracts is None else config.contracts
    quantity = min(wanted, config.max_contracts)
    if quantity < 1:
        return Denial("UNAFFORDABLE", budget / 100, cost_cents / 100)
    if quantity * cost_cents > cash_cents:
        return Denial("UNAFFORDABLE", cash_cents / 100, quantity * cost_cents / 100)
    return Allowed(quantity)
