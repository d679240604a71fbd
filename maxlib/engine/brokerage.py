"""A shell over a real broker: orders leave the process, and their answers come back as inputs.

The machine hears of an order once, when the order has ended: filled, in part or whole, or not at all.
What the broker said on the way stands in the journal and in the books of the account; both
are there before the machine knows. Nothing the broker says is lost. An exit that fills after it had
ended leaves its position by so much, and what was to repeat it has less to do. What fits no plan (an
entry that fills after it had ended, units of a trade that is closed) is in the books, written down, and
bars entries until a person has looked.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter

from maxlib.engine.events import Bar, Command, EntryUndone, OrderFilled, OrderRejected, Submit, TapeEnded
from maxlib.engine.leaving import fitting, free
from maxlib.engine.machine import Machine
from maxlib.engine.position import Position
from maxlib.engine.shell import Shell
from maxlib.execution.alpaca.books import (
    Blocked,
    Correction,
    ExternalTagged,
    FillImported,
    FillTakenBack,
    Local,
    PositionAdopted,
    StateMoved,
    apply,
)
from maxlib.execution.alpaca.orders import LIVE, Execution, Tracked, fills
from maxlib.execution.broker import Rejection
from maxlib.journal.chain import Journal
from maxlib.options.desk import Market
from maxlib.options.expiry import worst_cents
from maxlib.risk.sizing import Denial
from maxlib.trading.orders import Fill, Order, reverse

_KINDS: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (FillImported, FillTakenBack, StateMoved, ExternalTagged, PositionAdopted, Blocked)
}
_BOOKS: Final = TypeAdapter(Local)


def correction_out(said: Correction) -> dict[str, Any]:
    """A correction as JSON values: its kind, and its fields in order."""
    kind = type(said).__name__
    return {"what": kind, "said": _KINDS[kind].dump_python(said, mode="json")}


def correction_in(body: dict[str, Any]) -> Correction:
    """The correction that `correction_out` wrote."""
    said: Correction = _KINDS[body["what"]].validate_python(body["said"])
    return said


class BrokerShell(Shell):
    """A machine and the books of one account at a broker.

    Attributes
    ----------
    books : what the broker has told, corrections applied
    down : why entries wait for the connection; None = it stands
    """

    def __init__(self, machine: Machine, journal: Journal | None = None) -> None:
        super().__init__(machine, journal)
        machine.patient = True
        self.books = Local()
        self.down: Denial | None = None
        self._sent: set[str] = set()
        self._told: set[str] = set()
        self._back: dict[str, int] = {}
        """Units of exits that were taken back; the machine has not heard of it, so what fills for them anew
        is no news to it."""

    # --- orders go out

    @property
    def outbox(self) -> list[Tracked]:
        """Orders that nobody has sent, oldest first."""
        return [
            tracked
            for name, tracked in self.books.orders.items()
            if tracked.state == "INTENT" and name not in self._sent
        ]

    @property
    def fence(self) -> int:
        """The highest token of the account's lease in the journal; 0 = there is none."""
        said = (json.loads(entry.body) for entry in self.journal.entries if entry.kind == "broker")
        return max((body["token"] for body in said if body["what"] == "lease"), default=0)

    def sending(self, order_id: str, at: int) -> None:
        """An order goes out at `at` (UTC ns), once; from now on it may have arrived."""
        sent = self.books.orders[order_id]._replace(sent_at=at)
        self.books = replace(self.books, orders={**self.books.orders, order_id: sent})
        self._sent.add(order_id)

    def _execute(self, commands: list[Command], bar: Bar, sigma: float, now: Market | None = None) -> None:
        for command in commands:
            if isinstance(command, Submit):
                self._intend(command.order)
            else:
                super()._execute([command], bar, sigma, now)

    def _intend(self, order: Order) -> None:
        made = Tracked(order, self._limit(order), order.ts, multiplier=self.machine.instrument.multiplier)
        self.books = replace(self.books, orders={**self.books.orders, order.id: made})

    def _limit(self, order: Order) -> int | None:
        """An entry costs at most what its size was reckoned with, cents a share; exits take the market."""
        if order.purpose != "open":
            return None
        asked = self.machine.positions[order.trade].asked_cents // order.quantity
        premium = (asked - self.machine.desk.fee_cents(order.legs)) // self.machine.instrument.multiplier
        return premium + worst_cents(order.legs)

    def finish(self, bar: Bar, sigma: float, close: float | None = None) -> None:
        """The day has ended, and nobody can sell any more: what has no order in the air is settled.

        Without the session's last minute or its `close`, it stays open.
        """
        if close is not None or bar.minutes_left <= 0:
            self._execute(self.machine.handle(TapeEnded(bar, close)), bar, sigma)

    # --- answers come in

    def hear(self, said: Correction, at: int, bar: Bar | None, sigma: float) -> None:
        """Take one correction into the books, and tell the machine if an order of its has ended by it.

        Parameters
        ----------
        at : UTC ns at which we learned it
        bar, sigma : the newest complete bar, and its volatility; before the first bar nothing is ordered
        """
        self.books = apply(self.books, said)
        if isinstance(said, FillImported) and said.execution.order_id in self._told:
            assert bar is not None
            self._filled_late(said.execution, at, bar, sigma)
        elif isinstance(said, FillTakenBack) and said.order_id in self._told:
            assert bar is not None
            self._undone(said, at, bar, sigma)
        elif isinstance(said, StateMoved) and said.to not in LIVE and said.order_id not in self._told:
            assert bar is not None
            self._told.add(said.order_id)
            self._ended(self.books.orders[said.order_id], at, bar, sigma)
        self._bar_entries()

    def connection(self, denial: Denial | None) -> None:
        """The broker can be heard (None), or cannot."""
        self.down = denial
        self._bar_entries()

    def clear(self) -> None:
        """A person has looked at what did not agree, and lets entries pass again."""
        self.books = self.books.clear()
        self._bar_entries()

    def _bar_entries(self) -> None:
        blocks = len(self.books.blocks)
        self.machine.broker = Denial("BROKER_DIFFERS", 0, blocks) if blocks else self.down

    def surplus(self, tracked: Tracked) -> bool:
        """An exit in the air for more units than its trade holds: it has to be taken back."""
        order = tracked.order
        return order.purpose != "open" and self._room(order) < order.quantity

    def _ended(self, tracked: Tracked, at: int, bar: Bar, sigma: float) -> None:
        order, state = tracked.order, tracked.state
        units = min(tracked.filled, self._room(order))
        if units:
            values = tuple(value * units // tracked.filled for value in tracked.values)
            made = Execution("", order.id, tracked.updated_at, 0, units, values)
            self._filled(tracked, made, bar, sigma)
        elif not tracked.filled or self._expected(order):
            self._execute(self.machine.handle(OrderRejected(Rejection(order, at, state))), bar, sigma)
        if units < tracked.filled:
            self._stray(tracked, tracked.filled - units, at)

    def _filled_late(self, made: Execution, at: int, bar: Bar, sigma: float) -> None:
        """Units of an order that had been told as ended. An exit's leave its position, and once only."""
        tracked = self.books.orders[made.order_id]
        order, position = tracked.order, self.machine.positions.get(tracked.order.trade)
        again = min(made.units, self._back.get(order.id, 0))
        if again:
            self._back[order.id] -= again
            values = tuple(value * (made.units - again) // made.units for value in made.values_cents)
            made = made._replace(units=made.units - again, values_cents=values)
            self._block(f"{again} × {order.name} of order {order.id} filled anew after they were taken back")
        if not made.units:
            return
        late = order._replace(quantity=made.units)
        if order.purpose == "open" or position is None or fitting(position.held, late) < made.units:
            self._stray(tracked, made.units, at)
            return
        self._take_back(position, at, bar, sigma)
        for repeat in position.pending:
            self._block(f"order {order.id} filled late, and order {repeat}, which does the same, is out")
        self._filled(tracked, made, bar, sigma, late=True)

    def _undone(self, said: FillTakenBack, at: int, bar: Bar, sigma: float) -> None:
        """Units of an entry that are no fill: no exit may ask for them. Of an exit, a person has to look."""
        tracked = self.books.orders[said.order_id]
        order, position = tracked.order, self.machine.positions.get(tracked.order.trade)
        if order.purpose != "open":
            self._back[order.id] = self._back.get(order.id, 0) + said.units
        undoing = order._replace(legs=reverse(order.legs), quantity=said.units)
        if order.purpose != "open" or position is None or fitting(position.held, undoing) < said.units:
            return
        self._take_back(position, at, bar, sigma)
        made = Execution("", order.id, at, 0, said.units, said.values_cents)
        first, *more = fills(undoing, made, 0, bar.close, tracked.multiplier)
        undone = EntryUndone(first, bar.forming, tuple(more))
        self._execute(self.machine.handle(undone), bar, sigma)

    def _take_back(self, position: Position, at: int, bar: Bar, sigma: float) -> None:
        """Exits that nobody sent are not sent; the machine decides anew what is to follow."""
        unsent = {waiting.order.id for waiting in self.outbox}
        for order in list(position.pending.values()):
            if order.id in unsent:
                moved = StateMoved(order.id, "INTENT", "LOST", "", (), 0, "taken back before it was sent")
                self.books = apply(self.books, moved)
                self._told.add(order.id)
                self._execute(self.machine.handle(OrderRejected(Rejection(order, at, "LOST"))), bar, sigma)

    def _filled(
        self, tracked: Tracked, made: Execution, bar: Bar, sigma: float, *, late: bool = False
    ) -> None:
        first, *more = self._fills(tracked, made, bar, sigma)
        # It fell into the minute that no bar has shown yet.
        event = OrderFilled(first, bar.forming, tuple(more), late)
        self._execute(self.machine.handle(event), bar, sigma)

    def _expected(self, order: Order) -> bool:
        """Whether the machine still waits for this order."""
        position = self.machine.positions.get(order.trade)
        if position is None:
            return False
        return position.entry is None if order.purpose == "open" else order.id in position.pending

    def _room(self, order: Order) -> int:
        """Units of an order that the machine still waits for; of an exit no more than are held."""
        if not self._expected(order):
            return 0
        position = self.machine.positions[order.trade]
        return order.quantity if order.purpose == "open" else fitting(free(position, order), order)

    def _fills(self, tracked: Tracked, made: Execution, bar: Bar, sigma: float) -> list[Fill]:
        """Units of an order, for the ledger; their slippage against the middle of the desk's quotes.

        A leg whose quote was never seen counts as none.
        """
        order, desk = tracked.order, self.machine.desk
        market = Market(bar.ts, bar.close, max(1, bar.minutes_left), sigma, bar.session_minutes)
        mids = [desk.middle_cents(leg.contract, market) for leg in order.legs]
        fee = desk.fee_cents(order.legs) * made.units
        return [
            fill._replace(
                slippage_cents=sum(
                    0.0 if mid is None else leg.ratio * (price - mid)
                    for leg, price, mid in zip(order.legs, fill.prices_cents, mids, strict=True)
                )
            )
            for fill in fills(order, made, fee, bar.close, tracked.multiplier)
        ]

    def _stray(self, tracked: Tracked, units: int, at: int) -> None:
        """Units that no trade waits for: the account holds them, and a person has to look."""
        order = tracked.order
        self._block(f"{units} × {order.name} of order {order.id} filled, and no trade waits for them")
        self.journal.append(at, "stray", {"order": order.id, "trade": order.trade, "units": units})

    def _block(self, what: str) -> None:
        self.books = replace(self.books, blocks=self.books.blocks | {Blocked("STRAY_FILL", what)})

    # --- state

    def state(self) -> dict[str, Any]:
        """Books and conditions as JSON values, for a snapshot."""
        books = _BOOKS.dump_python(self.books, mode="json")
        books["orders"] = list(books["orders"].items())  # JSON sorts names, and the outbox is oldest first
        books["external"].sort()
        books["blocks"].sort()
        books["cleared"].sort()
        return {
            "books": books, "down": self.down, "sent": sorted(self._sent), "told": sorted(self._told),
            "back": dict(self._back),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the machine was restored before."""
        self.books = _BOOKS.validate_python({**state["books"], "orders": dict(state["books"]["orders"])})
        self.down = None if state["down"] is None else Denial(*state["down"])
        self._sent, self._told, self._back = set(state["sent"]), set(state["told"]), dict(state["back"])
        self._bar_entries()
