"""Cash and contracts, in integer cents. The only place where money changes."""

from __future__ import annotations

from collections import Counter

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract
from maxlib.trading.orders import Fill


class Ledger:
    """Cash, holdings and fees of one account.

    Invariants, checked at every fill: start + Σ flows - fees = cash, and every
    short is covered: of each root, expiry and right at least as many contracts
    are held long as short. That an order which leaves a position only makes it
    smaller is the position's to check: two positions may hold the same contract.
    """

    def __init__(self, start_cents: int, multiplier: int) -> None:
        self.start_cents = start_cents
        self.multiplier = multiplier
        self.cash_cents = start_cents
        self.flow_cents = 0
        self.fee_cents = 0
        self.held: dict[Contract, int] = {}

    def flow(self, fill: Fill) -> int:
        """Cash flow of a fill before fees, in cents: negative when money is paid."""
        paid = sum(leg.ratio * p for leg, p in zip(fill.order.legs, fill.prices_cents, strict=True))
        return -paid * self.multiplier * fill.quantity + fill.residue_cents

    def apply(self, fill: Fill) -> None:
        """Book a fill.

        Raises
        ------
        InvariantError
            If it leaves a short without cover, or the books do not balance.
        """
        if fill.quantity <= 0:
            raise InvariantError(
                f"fill of {fill.quantity} {fill.order.name} at {fill.ts}: at least 1 is filled"
            )
        held = dict(self.held)
        for leg in fill.order.legs:
            held[leg.contract] = held.get(leg.contract, 0) + leg.ratio * fill.quantity
        net = Counter[tuple[str, int, str]]()
        for contract, count in held.items():
            net[contract[:3]] += count
        for (root, _, right), count in net.items():
            if count < 0:
                raise InvariantError(
                    f"fill of {fill.quantity} {fill.order.name} at {fill.ts} would leave {-count} {root} "
                    f"{'calls' if right == 'C' else 'puts'} short without cover"
                )
        self.held = {contract: count for contract, count in held.items() if count}
        self.flow_cents += self.flow(fill)
        self.fee_cents += fill.fee_cents
        self.cash_cents += self.flow(fill) - fill.fee_cents
        if self.start_cents + self.flow_cents - self.fee_cents != self.cash_cents:
            raise InvariantError(f"ledger does not balance at {fill.ts}: cash {self.cash_cents} cents")
