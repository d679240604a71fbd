"""A fake of Alpaca's paper account on this machine, whose quotes are the desk's models. Stamped SIMULATED.

It lives in the trader's process and dies with it. A new one is told what the journal says the old
one had said, so it can show a day and a restart, but not that nothing is lost: for that, the
tests keep it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maxlib.engine.events import Bar
from maxlib.execution.alpaca.fake import FakeServer
from maxlib.execution.alpaca.fake_api import FakeApi
from maxlib.execution.alpaca.fake_faults import Faults
from maxlib.execution.alpaca.fake_venue import FakeLeg, FakeOrder, FakeVenue, Status
from maxlib.execution.alpaca.orders import State, Tracked
from maxlib.market.bars import BAR
from maxlib.market.contract import Contract
from maxlib.market.quotes import Quote
from maxlib.options.desk import Desk, Market

_STATUS: Final[dict[State, Status]] = {
    "WORKING": "new",
    "CANCELING": "pending_cancel",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "REJECTED": "rejected",
}


class DeskMarket:
    """The desk's modelled quotes as the market of a fake venue: the newest bar's, until the next one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.bar: Bar | None = None
        self.sigma = 0.0

    def quote(self, contract: Contract, ts: int) -> Quote | None:
        """The modelled quote at the newest bar's close."""
        bar = self.bar
        if bar is None or contract.expiry != bar.day:
            return None
        now = Market(ts, bar.close, max(0, bar.minutes_left), self.sigma, bar.session_minutes)
        return self.desk.quote(contract, now)

    def spot(self, root: str, ts: int) -> float | None:
        """The newest close."""
        del ts
        known = self.bar is not None and root == self.desk.instrument.symbol
        return self.bar.close if known and self.bar is not None else None

    def contracts(self, root: str, ts: int) -> Sequence[Contract]:
        """Calls and puts of the day, at the desk's strikes around the newest close."""
        bar = self.bar
        if bar is None or self.spot(root, ts) is None:
            return []
        strikes = self.desk.listing(bar.close, bar.day).strikes
        return [Contract(root, bar.day, right, strike) for right in "CP" for strike in strikes]

    def bars(self, root: str, first: int, last: int) -> NDArray[np.void]:
        """None: this fake has no data service."""
        del root, first, last
        return np.zeros(0, BAR)


class FakeBroker:
    """The fake account, served on a loopback port until `close`.

    Parameters
    ----------
    now : UTC ns of the market
    cash_cents : what the account begins with
    known : orders of an earlier life
    """

    def __init__(
        self,
        desk: Desk,
        now: int,
        cash_cents: int,
        known: Iterable[Tracked] = (),
        faults: Faults | None = None,
    ) -> None:
        self.market = DeskMarket(desk)
        venue = FakeVenue(self.market, now, cash_cents=cash_cents, faults=faults)
        for tracked in known:
            if tracked.broker_id:
                venue.recall(_remembered(tracked))
        self.server = FakeServer(FakeApi(venue)).start()

    def see(self, bar: Bar, sigma: float) -> None:
        """The market has moved on to the close of `bar`."""
        with self.server.lock:
            self.market.bar, self.market.sigma = bar, sigma
            self.server.api.venue.advance(bar.ts)

    def close(self) -> None:
        """End it."""
        self.server.close()


def _remembered(tracked: Tracked) -> FakeOrder:
    order = tracked.order
    nested = len(order.legs) > 1
    names = tracked.leg_ids or ("",) * len(order.legs)
    values = tracked.values or (0,) * len(order.legs)
    purpose = "open" if order.purpose == "open" else "close"
    legs = [
        FakeLeg(name, leg.contract, leg.ratio, f"{'buy' if leg.ratio > 0 else 'sell'}_to_{purpose}", value)
        for name, leg, value in zip(names, order.legs, values, strict=True)
    ]
    status = _STATUS.get(tracked.state, "canceled")
    if status == "new" and tracked.filled:
        status = "partially_filled"
    return FakeOrder(
        tracked.broker_id, order.id, legs, order.quantity, tracked.limit_cents, "day",
        tracked.sent_at, tracked.updated_at, nested, tracked.filled, status,
    )  # fmt: skip
