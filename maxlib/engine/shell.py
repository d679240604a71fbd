"""The simulated shell: executes the machine's commands and feeds results back as events.

Backtest and replay both stand on it. Market orders wait for the next bar's open;
triggered exits and settlements happen at once, inside the bar just closed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maxlib.engine.events import (
    Bar,
    BarClosed,
    Command,
    OrderFilled,
    OrderRejected,
    Record,
    Settle,
    SignalSeen,
    Submit,
    TapeEnded,
    Told,
    VolatilitySeen,
)  # fmt: skip
from maxlib.engine.machine import Machine
from maxlib.execution.broker import Rejection, SimulatedBroker
from maxlib.execution.fills import arrival
from maxlib.journal.chain import Journal
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.options.desk import Market
from maxlib.options.volatility import REALISED
from maxlib.regimes.router import Volatility
from maxlib.trading.orders import Order

Rows = NDArray[np.void]
VOLATILITY = REALISED.params(returns=20, min_returns=8, floor=0.10, default=0.20)
"""The IV convention of spec §12.1."""


class Shell:
    """A machine, a simulated broker, a journal and the orders that wait for the next open."""

    def __init__(self, machine: Machine, journal: Journal | None = None) -> None:
        self.machine = machine
        self.broker = SimulatedBroker(machine.desk, machine.config.fills)
        self.fills = machine.config.fills
        self.journal = Journal() if journal is None else journal
        self.waiting: list[Order] = []

    def open(self, bar: Bar, sigma: float) -> None:
        """Execute waiting orders at the bar's open."""
        if not self.waiting:
            return
        start = bar.ts - NS_PER_MINUTE
        market = Market(start, bar.open, bar.minutes_left_at_open, sigma, bar.session_minutes)
        self._work(market, bar, sigma)

    def _work(self, market: Market, bar: Bar, sigma: float) -> None:
        """Execute what has arrived at `market`, a moment within `bar`."""
        waiting, self.waiting = self.waiting, []
        for order in waiting:
            if arrival(self.fills, order.ts) > market.ts or (
                order.rest and not self._bid_for(order, market, bar)
            ):
                self.waiting.append(order)
            elif order.contract.expiry != bar.day:
                self._send(order, market._replace(minutes=0), bar, sigma)
            else:
                self._send(order, market, bar, sigma, opening=True)

    def close(self, bar: Bar, rows: Rows, sigma: float, exits: dict[int, Any] | None = None) -> None:
        """The bar is complete: let the machine watch its positions."""
        self._execute(self.machine.handle(BarClosed(bar, rows, exits)), bar, sigma)

    def volatility(self, bar: Bar, seen: Volatility, sigma: float) -> None:
        """A reading of volatility, known at this bar's close."""
        self._execute(self.machine.handle(VolatilitySeen(bar, seen)), bar, sigma)

    def tell(self, event: Told, sigma: float) -> None:
        """Something for the guard alone."""
        self._execute(self.machine.handle(event), event.bar, sigma)

    def signal(self, bar: Bar, signal: Any, sigma: float) -> None:
        """The strategy signalled at this bar's close. `signal` is a `Signal` record."""
        side, basis, formed_at, stop, tp1, tp2, confidence, atr = signal.item()
        formed = formed_at or bar.ts  # a strategy that does not say: on this bar
        seen = SignalSeen(bar, side, basis, formed, stop, tp1, tp2, confidence, atr, sigma)
        self._execute(self.machine.handle(seen), bar, sigma)

    def finish(self, bar: Bar, sigma: float, close: float | None = None) -> None:
        """The tape has ended: what is open is closed at the last bar, or settled at the session's `close`."""
        waiting, self.waiting = self.waiting, []
        for order in waiting:
            ended = OrderRejected(Rejection(order, bar.ts, "TAPE_ENDED"))
            self._execute(self.machine.handle(ended), bar, sigma)
        self._execute(self.machine.handle(TapeEnded(bar, close)), bar, sigma)

    def _execute(self, commands: list[Command], bar: Bar, sigma: float, now: Market | None = None) -> None:
        """Carry out commands. `now` is the market at a bar's open while orders are executed there."""
        for command in commands:
            if isinstance(command, Record):
                self.journal.append(command.ts, command.kind, command.data)
            elif isinstance(command, Submit):
                order = command.order
                if order.trigger is not None:
                    market = Market(bar.ts, order.trigger, bar.minutes_left, sigma, bar.session_minutes)
                    self._send(order, market, bar, sigma)
                elif now is not None and not order.rest and arrival(self.fills, order.ts) <= now.ts:
                    self._send(order, now, bar, sigma, opening=True)  # it waited for the one just filled
                else:
                    self.waiting.append(order)
            elif isinstance(command, Settle):
                fill = self.broker.settle(command.order, command.at, command.spot)
                self._execute(self.machine.handle(OrderFilled(fill, bar)), bar, sigma)

    def _bid_for(self, order: Order, market: Market, bar: Bar) -> bool:
        """Whether an order that rests has an end now: somebody bids, or its session is over."""
        over = order.contract.expiry != bar.day or market.minutes <= 0
        quotes = (self.machine.desk.quote(leg.contract, market) for leg in order.legs)
        return over or all(quote is not None and quote.bid_cents for quote in quotes)

    def _send(self, order: Order, market: Market, bar: Bar, sigma: float, *, opening: bool = False) -> None:
        result = self.broker.execute(order, market, self.machine.free_cents)
        event = OrderRejected(result) if isinstance(result, Rejection) else OrderFilled(result, bar)
        self._execute(self.machine.handle(event), bar, sigma, market if opening else None)
