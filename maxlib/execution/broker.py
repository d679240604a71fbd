"""The simulated broker: buys at the ask, sells at the bid, at the desk's quotes, modelled or live.

Fill assumptions (docs/fill-assumptions.md lists them all):

1. A market order fills at the next bar's open, or not at all if that bar is
   outside regular hours. Latency lets it wait for a later open.
2. A triggered exit fills at the quote for the trigger price of the underlying
   and the time left at the END of the bar that touched it.
3. All legs of a package fill together, each on its own side of the spread.
4. At live quotes every order, triggered or not, fills at those of the moment it is
   decided at. Where there is no usable one it is rejected with its code.
5. No fill at a quote leaves without passing the firewall. A settlement has no
   quote: it pays what exercise pays.
"""

from __future__ import annotations

from typing import NamedTuple

from maxlib.execution.arbitrage import Moment
from maxlib.execution.fills import FillConfig, NotFilled, fill
from maxlib.execution.firewall import guard
from maxlib.market.quotes import Quote
from maxlib.options.desk import Desk, Market
from maxlib.options.expiry import value_cents, worst_cents
from maxlib.trading.orders import Fill, Order


class Rejection(NamedTuple):
    """The broker did not execute an order."""

    order: Order
    ts: int
    code: str


class SimulatedBroker:
    """Executes orders against the desk's quotes. Holds no state of its own."""

    def __init__(self, desk: Desk, fills: FillConfig) -> None:
        self.desk = desk
        self.fills = fills

    def execute(self, order: Order, market: Market, cash_cents: int) -> Fill | Rejection:
        """Fill `order` at `market`, or reject it.

        `market.minutes` of 0 or less means that regular hours are over. An entry
        needs cash for its premium, its commission and the worst it can cost at expiry.
        """
        if market.minutes <= 0:
            return Rejection(order, market.ts, "MARKET_CLOSED")
        quoted = [self.desk.quote_and_mid(leg.contract, market) for leg in order.legs]
        quotes = [quote for quote, _ in quoted]
        moment = self._moment(market.ts, market.spot)
        got = fill(self.fills, order.legs, order.quantity, quotes, moment)
        if isinstance(got, NotFilled):
            return Rejection(order, market.ts, got.code)
        modelled = any(quote is not None and quote.modelled for quote in quotes)
        fee = self.desk.fee_cents(order.legs) * got.quantity
        against = zip(order.legs, got.prices_cents, quoted, strict=True)
        slippage = sum(leg.ratio * (price - mid) for leg, price, (_, mid) in against)
        made = Fill(order, market.ts, got.quantity, got.prices_cents, fee, market.spot, modelled, slippage)
        if order.purpose == "open":
            risk = made.price_cents - worst_cents(order.legs)
            if risk * self.desk.instrument.multiplier * got.quantity + fee > cash_cents:
                return Rejection(order, market.ts, "INSUFFICIENT_CASH")
        return self._pass(made, quotes)

    def settle(self, order: Order, ts: int, spot: float) -> Fill:
        """Cash value of what is held at expiry: intrinsic at the regular close, without commission."""
        values = tuple(value_cents(leg.contract, spot, up=leg.ratio > 0) for leg in order.legs)
        return Fill(order, ts, order.quantity, values, 0, spot, modelled=True)

    def _pass(self, made: Fill, quotes: list[Quote | None]) -> Fill:
        """The one gate of every simulated fill."""
        moment = self._moment(made.ts, made.spot)
        guard(made.order.legs, made.quantity, made.prices_cents, quotes, moment, config=self.fills)
        return made

    def _moment(self, ts: int, spot: float) -> Moment:
        return Moment(ts, spot, 100.0 * spot * self.desk.spot_slack)
