"""A position: an entry that is being made, or a holding and its exit watch."""

from __future__ import annotations

import math

from maxlib.engine.events import SignalSeen
from maxlib.kernels.system import Stream
from maxlib.market.contract import Contract
from maxlib.trading.orders import Fill, Order


class Position:
    """An entry that is being made, or a holding and its exit watch."""

    def __init__(self, number: int, signal: SignalSeen, order: Order) -> None:
        self.number = number
        self.signal = signal
        self.entry_order = order
        self.quantity = 0
        self.open_quantity = 0
        self.entry: Fill | None = None
        self.levels = (math.nan, math.nan, math.nan)
        self.proceeds_cents = 0
        self.fee_cents = 0
        self.leaving: Order | None = None
        self.stuck = False  # an exit was rejected: held to the next target or to expiry
        self.watch: Stream | None = None

    @property
    def contract(self) -> Contract:
        """The option held."""
        return self.entry_order.contract
