"""What happens to the machine, and what it asks for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.execution.broker import Rejection
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.regimes.router import Volatility
from maxlib.risk.health import Vitals
from maxlib.trading.orders import Fill, Order

Rows = NDArray[np.void]


class Bar(NamedTuple):
    """A bar as plain Python numbers; fields as in `market.bars.BAR`."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    day: int
    minute: int
    close_minute: int
    session: int

    @property
    def minutes_left(self) -> int:
        """Regular minutes from the END of this bar to the close; 0 or less = closed."""
        if self.minute + 1 < RTH_OPEN:
            return 0
        return self.close_minute - (self.minute + 1)

    @property
    def session_minutes(self) -> int:
        """Length of that day's regular session."""
        return self.close_minute - RTH_OPEN

    @property
    def minutes_left_at_open(self) -> int:
        """Regular minutes from the START of this bar to the close."""
        return self.close_minute - self.minute if self.minute >= RTH_OPEN else 0

    @property
    def forming(self) -> Bar:
        """The minute after this bar, of which nothing is known but where it begins."""
        return self._replace(
            ts=self.ts + NS_PER_MINUTE, minute=self.minute + 1,
            open=self.close, high=self.close, low=self.close, volume=0.0,
        )  # fmt: skip


class BarClosed(NamedTuple):
    """A bar is complete.

    rows : the bar as an array of length one, for compiled steps
    exits : outputs of the exit step by trade number, when the shell has already
        watched the bar (leaping); None = the machine watches it itself
    """

    bar: Bar
    rows: Rows
    exits: dict[int, Any] | None = None


class SignalSeen(NamedTuple):
    """The strategy signalled at the close of `bar`. `sigma` prices the desk's quotes."""

    bar: Bar
    side: int
    basis: int
    formed_at: int
    stop: float
    tp1: float
    tp2: float
    confidence: float
    atr: float
    sigma: float


class VolatilitySeen(NamedTuple):
    """A reading of volatility, known at the close of `bar`; the same one again changes nothing."""

    bar: Bar
    seen: Volatility


class Checked(NamedTuple):
    """The health checks were made; `bar` is the newest complete one."""

    bar: Bar
    vitals: Vitals


class Erred(NamedTuple):
    """Feed, broker or program failed at `ts` (UTC ns)."""

    bar: Bar
    ts: int
    what: str


class PeakReset(NamedTuple):
    """A user lets trading go on after the total loss or the hard drawdown: they count from here."""

    bar: Bar
    ts: int


class OrderFilled(NamedTuple):
    """The broker executed an order; `bar` is the bar it happened in.

    more : further units of the same order at other prices, when the broker's average is no whole cent
    late : of an exit that counted as ended, so that a repeat of it may wait
    """

    fill: Fill
    bar: Bar
    more: tuple[Fill, ...] = ()
    late: bool = False


class EntryUndone(NamedTuple):
    """Units of an entry were no fill after all. `fill` and `more` are what undoes them, at what they cost."""

    fill: Fill
    bar: Bar
    more: tuple[Fill, ...] = ()


class OrderRejected(NamedTuple):
    """The broker refused an order."""

    rejection: Rejection


class TapeEnded(NamedTuple):
    """There are no more bars; what is open is closed at the last one.

    close : the underlying's official close, dollars, where the last bar is not the session's: what is
        open is settled by it, since nobody can sell any more; None = it is sold at the last bar
    """

    bar: Bar
    close: float | None = None


Told = Checked | Erred | PeakReset
"""Events for the guard alone: without one they change nothing."""
Event = BarClosed | SignalSeen | VolatilitySeen | Told | OrderFilled | EntryUndone | OrderRejected | TapeEnded


class Submit(NamedTuple):
    """Send an order."""

    order: Order


class Settle(NamedTuple):
    """Settle a holding in cash at this price of the underlying, as of `at` (UTC ns)."""

    order: Order
    spot: float
    at: int


class Record(NamedTuple):
    """Write to the journal."""

    ts: int
    kind: str
    data: dict[str, Any]


Command = Submit | Settle | Record


class Trade(NamedTuple):
    """A closed trade. Times are UTC ns, prices of the package cents per share, money cents.

    `formed_at` is the bar the pattern hangs on, `known_at` the moment of the
    decision, `entry_at` the fill. `exit_price_cents` is the average over partial exits,
    and `entry_price_cents`, where a broker filled at several prices, to the nearest cent.
    `pin` : settled with a short so near its strike that its assignment was not known at the close.
    `slippage_cents` : what all fills cost against the middle of their quotes, in cents of money
    """

    number: int
    side: int
    legs: tuple[Leg, ...]
    quantity: int
    formed_at: int
    known_at: int
    entry_at: int
    exit_at: int
    entry_spot: float
    exit_spot: float
    entry_price_cents: int
    exit_price_cents: float
    fee_cents: int
    pnl_cents: int
    sigma: float
    stop: float
    tp1: float
    tp2: float
    confidence: float
    reason: str
    pin: bool = False
    slippage_cents: float = 0.0
    book: str = "conservative"

    @property
    def contract(self) -> Contract:
        """The first leg's contract: the one that was bought to be right about the direction."""
        return self.legs[0].contract

    @property
    def name(self) -> str:
        """The package in words."""
        return package_name(self.legs)
