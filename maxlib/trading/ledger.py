"""Cash and contracts, in integer cents. The only place where money changes."""

from __future__ import annotations

from maxlib.core.errors import InvariantError
from maxlib.trading.orders import Fill


class Ledger:
    """Cash, holdings and fees of one account.

    Invariant, checked at every fill: start + Σ flows - fees = cash, and no
    contract is ever held short.
    """

    def __init__(self, start_cents: int, multiplier: int) -> None:
        self.start_cents = start_cents
        self.multiplier = multiplier
        self.cash_cents = start_cents
        self.flow_cents = 0
        self.fee_cents = 0
        self.held: dict[str, int] = {}

    def flow(self, fill: Fill) -> int:
        """Cash flow of a fill before fees, in cents: negative for a buy."""
        gross = fill.price_cents * self.multiplier * fill.quantity
        return -gross if fill.order.side == "buy" else gross

    def apply(self, fill: Fill) -> None:
        """Book a fill.

        Raises
        ------
        InvariantError
            If it sells more than is held, or the books do not balance.
        """
        name = fill.order.contract.name
        change = fill.quantity if fill.order.side == "buy" else -fill.quantity
        now = self.held.get(name, 0) + change
        if fill.quantity <= 0 or now < 0:
            raise InvariantError(f"fill of {change} {name} at {fill.ts} would leave {now} contracts held")
        self.held[name] = now
        if now == 0:
            del self.held[name]
        self.flow_cents += self.flow(fill)
        self.fee_cents += fill.fee_cents
        self.cash_cents += self.flow(fill) - fill.fee_cents
        if self.start_cents + self.flow_cents - self.fee_cents != self.cash_cents:
            raise InvariantError(f"ledger does not balance at {fill.ts}: cash {self.cash_cents} cents")
