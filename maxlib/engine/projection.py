"""What a viewer may know of a machine: positions, trades and marks, read off it and its journal.

A projection changes nothing. Replay and the live trader show themselves through one.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal

from maxlib.core.canonical import canonical
from maxlib.engine.events import Bar
from maxlib.engine.position import Position
from maxlib.engine.session_views import DenialView, JournalRow, MarkView, PositionView, TradeView
from maxlib.engine.shell import Shell
from maxlib.journal.chain import Entry
from maxlib.market.calendar import from_ordinal
from maxlib.market.contract import Leg
from maxlib.options.desk import Market

TAIL: Final = 40
"""Newest journal entries that a view carries."""
LONG: Final = 500
"""Characters of JSON from which a view shortens a value of an entry."""


def number(value: float) -> float | None:
    """None for NaN, which JSON lacks."""
    return None if math.isnan(value) else value


class Projection:
    """Views of one shell. `read` after each step; the rest follows from the machine as it is."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.machine = shell.machine
        self.marks: list[MarkView] = []
        self._denials: dict[str, DenialView] = {}
        self._purposes: dict[str, str] = {}
        self._sides: dict[int, int] = {}
        self._entries: dict[int, tuple[int, str]] = {}
        self._signal: dict[str, Any] = {}
        self._read = 0

    def account(self, bar: Bar | None, sigma: float) -> dict[str, Any]:
        """The fields of a `SessionView` that tell of money, trades, refusals and the journal."""
        machine, entries = self.machine, self.shell.journal.entries
        positions = tuple(self._position(p, bar, sigma) for p in machine.positions.values())
        unrealised = sum(p.unrealised_cents for p in positions)
        start = machine.ledger.start_cents
        realised = machine.equity_cents - start
        return {
            "name": machine.run,
            "symbol": machine.config.symbol,
            "marks": len(self.marks),
            "signals": machine.signals,
            "start_cents": start,
            "realised_cents": realised,
            "unrealised_cents": unrealised,
            "equity_cents": start + realised + unrealised,
            "fee_cents": machine.ledger.fee_cents,
            "positions": positions,
            "trades": self._trades(),
            "wins": sum(t.pnl_cents > 0 for t in machine.trades),
            "denials": tuple(sorted(self._denials.values(), key=lambda d: (-d.count, d.code))),
            "journal_head": self.shell.journal.head,
            "journal_count": len(entries),
            "journal_tail": tuple(_row(entry) for entry in entries[-TAIL:]),
        }

    def _trades(self) -> tuple[TradeView, ...]:
        return tuple(
            TradeView(
                number=t.number, side=t.side, contract=t.name, right=t.contract.right,
                strike=t.contract.strike, quantity=t.quantity, entry_at=t.entry_at, exit_at=t.exit_at,
                entry_cents=t.entry_price_cents, exit_cents=t.exit_price_cents, fee_cents=t.fee_cents,
                pnl_cents=t.pnl_cents, reason=t.reason,
            )
            for t in self.machine.trades
        )  # fmt: skip

    def pnl_cents(self, bar: Bar | None, sigma: float) -> int:
        """Realised and unrealised P&L of all trades, commissions paid."""
        machine = self.machine
        open_ = sum(self._unrealised(p, bar, sigma)[1] for p in machine.positions.values())
        return machine.equity_cents + open_ - machine.ledger.start_cents

    def _unrealised(self, position: Position, bar: Bar | None, sigma: float) -> tuple[int | None, int]:
        """Bid in cents per share, and the P&L in cents of selling the rest at it, commission paid."""
        if position.entry is None or bar is None:
            return None, 0
        machine = self.machine
        minutes = max(0, bar.minutes_left)
        market = Market(bar.ts, bar.close, minutes, sigma, bar.session_minutes)
        worth = fees = 0
        for contract, count in position.held.items():
            quote = machine.desk.mark(contract, market)
            if quote is None:
                return None, 0
            worth += count * ((quote.bid_cents if count > 0 else quote.ask_cents) or 0)
            fees += machine.desk.fee_cents((Leg(contract, count),))
        units = position.open_quantity
        gain = (worth - position.cost_cents) * machine.instrument.multiplier
        return worth // units if units else None, gain - fees

    def _position(self, position: Position, bar: Bar | None, sigma: float) -> PositionView:
        contract, entry, watch = position.legs[0].contract, position.entry, position.watch
        bid, unrealised = self._unrealised(position, bar, sigma)
        stop, tp1, tp2 = position.levels
        if watch is not None and bool(watch.state["started"][0]):
            stop = position.signal.side * float(watch.state["stop"][0])
        return PositionView(
            trade=position.number,
            side=position.signal.side,
            contract=position.entry_order.name,
            right=contract.right,
            strike=contract.strike,
            expiry=from_ordinal(contract.expiry),
            quantity=position.quantity or position.entry_order.quantity,
            open_quantity=position.open_quantity,
            entry_at=entry.ts if entry else None,
            entry_cents=entry.price_cents if entry else None,
            bid_cents=bid,
            unrealised_cents=unrealised,
            stop=number(stop),
            tp1=number(tp1),
            tp2=number(tp2),
        )

    # --- the journal, read once as it grows

    def read(self) -> None:
        """Turn new journal entries into marks and denials: the journal is the only source of both."""
        entries = self.shell.journal.entries
        for entry in entries[self._read :]:
            self._entry(entry.ts, entry.kind, json.loads(entry.body))
        self._read = len(entries)

    def _entry(self, ts: int, kind: str, body: dict[str, Any]) -> None:
        if kind == "signal":
            self._signal = body
        elif kind == "denied":
            self._deny(body["code"], body["limit"], body["actual"])
            self._mark("denied", ts, self._signal["spot"], self._signal["side"], body["code"])
        elif kind == "order":
            self._purposes[body["order"]] = body["purpose"]
            if body["purpose"] == "open":
                self._sides[body["trade"]] = self._signal["side"]
                text = f"{body['quantity']} × {body['contract']}"
                self._mark("signal", ts, self._signal["spot"], self._signal["side"], text)
        elif kind == "rejected" and body["purpose"] == "open":
            self._deny(body["code"], None, None)
        elif kind == "fill":
            self._fill(ts, body)

    def _fill(self, ts: int, body: dict[str, Any]) -> None:
        trade, price = body["trade"], body["price_cents"]
        purpose = self._purposes[body["order"]]
        text = f"{body['quantity']} × {body['contract']} at {price / 100:.2f} ({purpose})"
        if body.get("undone"):
            what = f"{body['quantity']} × {body['contract']} taken back by the broker"
            self._mark("exit", ts, body["spot"], self._sides[trade], what)
        elif purpose == "open":
            self._entries[trade] = (price, body["contract"])
            self._mark("entry", ts, body["spot"], self._sides[trade], text)
        else:
            bought, name = self._entries[trade]
            good = price > bought if name == body["contract"] else None  # a part of a package says nothing
            self._mark("exit", ts, body["spot"], self._sides[trade], text, good)

    def _mark(
        self,
        kind: Literal["signal", "denied", "entry", "exit"],
        ts: int,
        spot: float,
        side: int,
        text: str,
        good: bool | None = None,
    ) -> None:
        self.marks.append(MarkView(kind=kind, ts=ts, spot=spot, side=side, text=text, good=good))

    def _deny(self, code: str, limit: float | None, actual: float | None) -> None:
        count = self._denials[code].count + 1 if code in self._denials else 1
        self._denials[code] = DenialView(code=code, count=count, limit=limit, actual=actual)


def _row(entry: Entry) -> JournalRow:
    """An entry for a view. What is long in it stands as how much it is: the journal itself has the rest.

    A first entry holds the strategy's memory, a chain's quotes have hundreds of rows, and a view goes out
    twice a second to every page.
    """
    if len(entry.body) > LONG or entry.kind == "quotes":
        body = {name: _short(name, value) for name, value in json.loads(entry.body).items()}
        entry = entry._replace(body=canonical(body))
    return JournalRow(**entry._asdict())


def _short(name: str, value: Any) -> Any:
    if name == "rows" and isinstance(value, list):  # of quotes: a number however many there are
        return len(value)
    size = len(canonical(value))
    if size <= LONG:
        return value
    return f"{value[:LONG]}…" if isinstance(value, str) else f"{size:,} characters"
