"""The shell of a trader with own fills: durable before it is sent, and never asked twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maxlib.engine.durable import DurableJournal
from maxlib.engine.events import Bar, OrderFilled, OrderRejected
from maxlib.engine.shell import Shell
from maxlib.execution.broker import Rejection
from maxlib.options.desk import Market
from maxlib.regimes.router import Volatility
from maxlib.trading.orders import Fill, Order

Rows = NDArray[np.void]


class LiveShell(Shell):
    """A shell whose orders are durable before they are sent, and whose answers are taken from the record."""

    journal: DurableJournal
    dry = False
    """No order that opens is sent: each is rejected as DRY_RUN."""

    # At live quotes an order does not wait for an open: the quotes of the bar's end are what there is.

    def open(self, bar: Bar, sigma: float) -> None:
        """Execute waiting orders at the bar's open; at live quotes nothing is known of that moment."""
        if not self.machine.desk.live and not self.machine.late:
            super().open(bar, sigma)

    def close(self, bar: Bar, rows: Rows, sigma: float, exits: dict[int, Any] | None = None) -> None:
        """The bar is complete; what leaves for it, and what waited, fills at live quotes now."""
        super().close(bar, rows, sigma, exits)
        self._at_live_quotes(bar, sigma)

    def volatility(self, bar: Bar, seen: Volatility, sigma: float) -> None:
        """A reading of volatility, known at this bar's close."""
        super().volatility(bar, seen, sigma)
        self._at_live_quotes(bar, sigma)

    def signal(self, bar: Bar, signal: Any, sigma: float) -> None:
        """The strategy signalled at this bar's close."""
        super().signal(bar, signal, sigma)
        self._at_live_quotes(bar, sigma)

    def _at_live_quotes(self, bar: Bar, sigma: float) -> None:
        if self.waiting and self.machine.desk.live and not self.machine.late:
            end = Market(bar.ts, bar.close, bar.minutes_left, sigma, bar.session_minutes)
            self._work(self.machine.desk.moment(end), bar.forming, sigma)

    def _send(self, order: Order, market: Market, bar: Bar, sigma: float, *, opening: bool = False) -> None:
        market = self.machine.desk.moment(market)
        recorded = self.journal.answer(order.id)
        if recorded is None:
            self.journal.commit()
            recalled = self.machine.recalled(order, market.ts)
            if recalled is not None or self.dry:
                code = "DRY_RUN" if recalled is None else recalled.code
                refused = OrderRejected(Rejection(order, market.ts, code))
                self._execute(self.machine.handle(refused), bar, sigma)
            else:
                super()._send(order, market, bar, sigma, opening=opening)
            return
        entry, body = recorded
        event: OrderFilled | OrderRejected
        if entry.kind == "rejected":
            event = OrderRejected(Rejection(order, entry.ts, body["code"]))
        else:
            prices = tuple(body.get("prices_cents", (body["price_cents"],)))
            made = (entry.ts, body["quantity"], prices, body["fee_cents"], body["spot"], body["modelled"])
            event = OrderFilled(Fill(order, *made, body["slippage_cents"]), bar)
        self._execute(self.machine.handle(event), bar, sigma, market if opening else None)
