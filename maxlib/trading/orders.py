"""Orders and fills. Prices are cents per share, quantities are units of a package of legs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from maxlib.core.canonical import sha256
from maxlib.market.contract import Contract, Leg, package_name

Side = Literal["buy", "sell"]
Purpose = Literal["open", "stop", "tp1", "tp2", "time", "regime", "expiry", "tape_end"]


class Order(NamedTuple):
    """A market order for a package of one or more legs, filled whole or not at all per unit.

    legs : what is done per unit, ratio > 0 bought, < 0 sold
    quantity : units
    trigger : price of the underlying at which it executes inside the bar just
        closed (a resting stop or target); None = at the next bar's open
    rest : it waits, open after open, until somebody bids
    """

    id: str
    trade: int
    legs: tuple[Leg, ...]
    quantity: int
    purpose: Purpose
    ts: int
    trigger: float | None = None
    rest: bool = False

    @property
    def side(self) -> Side:
        """What is done to one contract; a package is bought, and sold when its position is left."""
        buys = self.legs[0].ratio > 0 if len(self.legs) == 1 else self.purpose == "open"
        return "buy" if buys else "sell"

    @property
    def contract(self) -> Contract:
        """The first leg's contract."""
        return self.legs[0].contract

    @property
    def name(self) -> str:
        """The package in words."""
        return package_name(self.legs)


class Fill(NamedTuple):
    """An execution of `quantity` units. `spot` is the underlying's price it was made at.

    prices_cents : of each leg, per share
    slippage_cents : what the package cost against the middle of its quotes, per share of a unit
    residue_cents : money received beyond that of the prices, where a broker's average is no whole cent
    """

    order: Order
    ts: int
    quantity: int
    prices_cents: tuple[int, ...]
    fee_cents: int
    spot: float
    modelled: bool
    slippage_cents: float = 0.0
    residue_cents: int = 0

    @property
    def price_cents(self) -> int:
        """Net price of the package per share: paid for a buy, received for a sale. May be negative."""
        paid = sum(leg.ratio * p for leg, p in zip(self.order.legs, self.prices_cents, strict=True))
        return paid if self.order.side == "buy" else -paid


def reverse(legs: tuple[Leg, ...]) -> tuple[Leg, ...]:
    """The legs that undo these."""
    return tuple(Leg(leg.contract, -leg.ratio) for leg in legs)


def order_id(run: str, trade: int, purpose: str, ts: int) -> str:
    """An id derived from the decision, so that a retry is the same order."""
    return sha256(f"{run}|{trade}|{purpose}|{ts}")[:20]
