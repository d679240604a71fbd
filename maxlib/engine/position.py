"""A position: an entry that is being made, or a holding, its exit watch and the orders that leave it."""

from __future__ import annotations

import math

from maxlib.core.errors import InvariantError
from maxlib.engine.events import SignalSeen
from maxlib.kernels.system import Stream
from maxlib.market.contract import Contract, Leg
from maxlib.risk.limits import BookName
from maxlib.trading.orders import Fill, Order


class Position:
    """A package of `legs` per unit, of which `quantity` units were bought.

    book : whose it is, of the guard's two
    asked_cents : what the entry was expected to cost at most, commission included, in cents of money
    entry : the first fill of the entry; where units filled at several prices, at the lowest
    paid_cents : what the entry cost before commission, in cents of money
    held : contracts held by contract, below 0 short; empty before the entry
    bought : contracts of the entry, and the cents a share that they cost in all, by contract
    pending : exit orders sent and not answered, by id
    queue : exit orders that wait until the one before them is filled, so that a
        short is bought back before its cover is sold
    closes_at : UTC ns of the close of the session it was entered in
    refusals : orders that would leave it and that the broker did not take
    slippage_cents : what its fills cost against the middle of their quotes, in all
    pin : it is settled, with a short near its strike
    """

    def __init__(self, number: int, signal: SignalSeen, order: Order) -> None:
        self.number = number
        self.signal = signal
        self.entry_order = order
        self.book: BookName = "conservative"
        self.quantity = 0
        self.asked_cents = 0
        self.paid_cents = 0
        self.entry: Fill | None = None
        self.levels = (math.nan, math.nan, math.nan)
        self.proceeds_cents = 0
        self.fee_cents = 0
        self.held: dict[Contract, int] = {}
        self.bought: dict[Contract, tuple[int, int]] = {}
        self.pending: dict[str, Order] = {}
        self.queue: list[Order] = []
        self.closes_at = 0
        self.slippage_cents = 0.0
        self.refusals = 0
        self.pin = False
        self.watch: Stream | None = None

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The package, per unit."""
        return self.entry_order.legs

    @property
    def open_quantity(self) -> int:
        """Units of which anything is still held."""
        return _units(self.legs, self.held)

    def free(self) -> tuple[Leg, ...]:
        """What is held and not on its way out; never more than is held, though orders may ask for more."""
        left = dict(self.held)
        for order in (*self.pending.values(), *self.queue):
            for leg in order.legs:
                left[leg.contract] = left.get(leg.contract, 0) + leg.ratio * order.quantity
        return tuple(
            Leg(contract, count) for contract, count in left.items() if count * self.held.get(contract, 0) > 0
        )

    @property
    def free_quantity(self) -> int:
        """Units of which anything is held and not on its way out."""
        return _units(self.legs, {leg.contract: leg.ratio for leg in self.free()})

    @property
    def busy(self) -> bool:
        """An exit order is out that the next one has to wait for; one that rests keeps nobody waiting."""
        return any(not order.rest for order in self.pending.values())

    @property
    def cost_cents(self) -> int:
        """What was paid for what is still held, cents a share; below 0 a credit.

        Where units were bought at several prices, their average counts, rounded down for each contract.
        """
        return sum(
            self.bought[contract][1] * count // self.bought[contract][0]
            for contract, count in self.held.items()
        )

    def apply(self, fill: Fill) -> None:
        """Book a fill of this position.

        Raises
        ------
        InvariantError
            If an order that leaves it would make a leg larger, or turn it around.
        """
        for leg, price in zip(fill.order.legs, fill.prices_cents, strict=True):
            before = self.held.get(leg.contract, 0)
            now = before + leg.ratio * fill.quantity
            if fill.order.purpose != "open" and not 0 <= now * before < before * before:
                raise InvariantError(
                    f"fill of {fill.quantity} {fill.order.name} at {fill.ts} leaves trade {self.number}, "
                    f"but of {leg.contract.name} it holds {before}"
                )
            if fill.order.purpose == "open":
                count, cents = self.bought.get(leg.contract, (0, 0))
                units = leg.ratio * fill.quantity
                self.bought[leg.contract] = (count + units, cents + units * price)
            self.held[leg.contract] = now
            if now == 0:
                del self.held[leg.contract]


def _units(legs: tuple[Leg, ...], held: dict[Contract, int]) -> int:
    """Enough units to hold what is there: the most that any leg needs."""
    return max((-(-abs(held.get(leg.contract, 0)) // abs(leg.ratio)) for leg in legs), default=0)
