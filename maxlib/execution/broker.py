"""The simulated broker: buys at the ask, sells at the bid, at quotes labelled modelled.

Fill assumptions (docs/fill-assumptions.md lists them all):

1. A market order fills whole at the next bar's open, or not at all if that bar
   is outside regular hours.
2. A triggered exit fills at the quote for the trigger price of the underlying
   and the time left at the END of the bar that touched it.
3. No fill passes below a buy's intrinsic value or above a sell's bid: the
   firewall stops the run.
"""

from __future__ import annotations

from typing import NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.market.instruments import Instrument
from maxlib.options.desk import DeskConfig, Market, Quote, modelled_quote
from maxlib.options.pricing import intrinsic
from maxlib.trading.orders import Fill, Order


class Rejection(NamedTuple):
    """The broker did not execute an order."""

    order: Order
    ts: int
    code: str


class SimulatedBroker:
    """Executes orders against modelled quotes. Holds no state of its own."""

    def __init__(self, desk: DeskConfig, instrument: Instrument) -> None:
        self.desk = desk
        self.instrument = instrument

    def execute(self, order: Order, market: Market, cash_cents: int) -> Fill | Rejection:
        """Fill `order` at `market`, or reject it.

        `market.minutes` of 0 or less means that regular hours are over.
        """
        if market.minutes <= 0:
            return Rejection(order, market.ts, "MARKET_CLOSED")
        quote = modelled_quote(self.desk, self.instrument, order.contract, market)
        if order.side == "sell" and quote.bid_cents == 0:
            return Rejection(order, market.ts, "NO_BID")
        price = quote.ask_cents if order.side == "buy" else quote.bid_cents
        fee = self.desk.commission_cents * order.quantity
        cost = price * self.instrument.multiplier * order.quantity + fee
        if order.side == "buy" and cost > cash_cents:
            return Rejection(order, market.ts, "INSUFFICIENT_CASH")
        return self._pass(
            Fill(order, market.ts, order.quantity, price, fee, market.spot, quote.modelled), quote
        )

    def settle(self, order: Order, ts: int, spot: float) -> Fill:
        """Cash value of a long option at expiry: intrinsic at the regular close, without commission."""
        value = int(100.0 * intrinsic(order.contract.right, spot, order.contract.strike) + 1e-9)
        return Fill(order, ts, order.quantity, value, 0, spot, modelled=True)

    def _pass(self, fill: Fill, quote: Quote) -> Fill:
        """The one gate of every simulated fill."""
        buy, name = fill.order.side == "buy", fill.order.contract.name
        lowest = max(quote.ask_cents, quote.floor_cents)
        if buy and fill.price_cents < lowest:
            raise InvariantError(f"{name} bought at {fill.price_cents} c, below the lowest fair {lowest} c")
        if not buy and fill.price_cents > quote.bid_cents:
            raise InvariantError(f"{name} sold at {fill.price_cents} c, above its bid of {quote.bid_cents} c")
        return fill
