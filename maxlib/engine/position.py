"""A position: an entry that is being made, or a holding, its exit watch and the orders that leave it."""

from __future__ import annotations

import math

from maxlib.engine.events import SignalSeen
from maxlib.kernels.system import Stream
from maxlib.market.contract import Contract, Leg
from maxlib.trading.orders import Fill, Order


class Position:
    """A package of `legs` per unit, of which `quantity` units were bought.

    held : contracts held by contract, below 0 short; empty before the entry
    pending : exit orders sent and not answered, by id
    queue : exit orders that wait until the one before them is filled, so that a
        short is bought back before its cover is sold
    stuck : an exit was rejected: held to the next target or to expiry
    pin : it is settled, with a short near its strike
    """

    def __init__(self, number: int, signal: SignalSeen, order: Order) -> None:
        self.number = number
        self.signal = signal
        self.entry_order = order
        self.quantity = 0
        self.entry: Fill | None = None
        self.levels = (math.nan, math.nan, math.nan)
        self.proceeds_cents = 0
        self.fee_cents = 0
        self.held: dict[Contract, int] = {}
        self.pending: dict[str, Order] = {}
        self.queue: list[Order] = []
        self.stuck = False
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
        """What is held and not on its way out."""
        left = dict(self.held)
        for order in (*self.pending.values(), *self.queue):
            for leg in order.legs:
                left[leg.contract] = left.get(leg.contract, 0) + leg.ratio * order.quantity
        return tuple(Leg(contract, count) for contract, count in left.items() if count)

    @property
    def free_quantity(self) -> int:
        """Units of which anything is held and not on its way out."""
        return _units(self.legs, {leg.contract: leg.ratio for leg in self.free()})

    def apply(self, fill: Fill) -> None:
        """Book a fill of this position."""
        for leg in fill.order.legs:
            now = self.held.get(leg.contract, 0) + leg.ratio * fill.quantity
            self.held[leg.contract] = now
            if now == 0:
                del self.held[leg.contract]


def _units(legs: tuple[Leg, ...], held: dict[Contract, int]) -> int:
    """Enough units to hold what is there: the most that any leg needs."""
    return max((-(-abs(held.get(leg.contract, 0)) // abs(leg.ratio)) for leg in legs), default=0)
