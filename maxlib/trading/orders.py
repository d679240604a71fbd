"""Orders and fills. Prices are cents per share, quantities are contracts."""

from __future__ import annotations

from typing import Literal, NamedTuple

from maxlib.core.canonical import sha256
from maxlib.market.contract import Contract

Side = Literal["buy", "sell"]
Purpose = Literal["open", "stop", "tp1", "tp2", "time", "expiry", "tape_end"]


class Order(NamedTuple):
    """A market order for one contract.

    trigger : price of the underlying at which it executes inside the bar just
        closed (a resting stop or target); None = at the next bar's open
    """

    id: str
    trade: int
    side: Side
    contract: Contract
    quantity: int
    purpose: Purpose
    ts: int
    trigger: float | None = None


class Fill(NamedTuple):
    """An execution. `spot` is the underlying's price it was made at."""

    order: Order
    ts: int
    quantity: int
    price_cents: int
    fee_cents: int
    spot: float
    modelled: bool


def order_id(run: str, trade: int, purpose: str, ts: int) -> str:
    """An id derived from the decision, so that a retry is the same order."""
    return sha256(f"{run}|{trade}|{purpose}|{ts}")[:20]
