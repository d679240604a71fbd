"""An auditor of a walk: reads the journal's file by a connection of its own, and keeps books of its own.

It knows an order, a trade and the money by what stands in the file, entry by entry, and nothing by what
the trader thinks of itself.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw

from maxlib.journal.chain import GENESIS, Entry
from tests.engine.scripted import legs_of

ENDED = {"FILLED", "CANCELED", "EXPIRED", "REJECTED", "REPLACED", "REFUSED", "LOST"}
_AT_BROKER = {"WORKING", "CANCELING", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "REPLACED"}
EDGES: dict[str, set[str]] = {
    "INTENT": {"UNKNOWN", "REFUSED", "LOST"} | _AT_BROKER,
    "UNKNOWN": {"LOST"} | _AT_BROKER,
    "WORKING": _AT_BROKER - {"WORKING"},
    "CANCELING": _AT_BROKER - {"CANCELING"},
    "REFUSED": _AT_BROKER,  # the broker has it after all
    "LOST": _AT_BROKER,
}
"""From which state an order may go to which; from any other it goes nowhere."""


class Sent:
    """An order, by the journal."""

    def __init__(self, body: dict[str, Any], at: int) -> None:
        self.trade, self.purpose, self.quantity = body["trade"], body["purpose"], body["quantity"]
        self.decided_at, self.sent_at = at, 0
        self.state, self.broker_id, self.units, self.told = "INTENT", "", 0, 0


class Audit:
    """Books made from the journal's file alone.

    Attributes
    ----------
    good : the bars that the market really had, by their end; all others are not to be seen
    trades : open trades, those whose entry is under way included
    """

    def __init__(self, folder: Path, cash_cents: int) -> None:
        self.path, self.snapshot = folder / "journal.sqlite", folder / "snapshots" / "state.json"
        self.cash_cents, self.held = cash_cents, Counter[str]()
        self.fee_cents = 0
        self.good: dict[int, list[float]] = {}
        self.seq, self.head, self.bar_at, self.token = 0, GENESIS, 0, 0
        self.bars: list[list[float]] = []
        self.orders: dict[str, Sent] = {}
        self.trades: set[int] = set()
        self.executions: set[str] = set()
        self.blocked = self.strayed = self.halted = self.killed = False
        self._db: apsw.Connection | None = None
        self._snapshot_at = 0

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def rows(self, after: int = 0) -> list[Entry]:
        """Entries that are durable."""
        if self._db is None:
            self._db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        asked = "SELECT seq, ts, kind, body, hash FROM journal WHERE seq > ? ORDER BY seq"
        return [Entry(*row) for row in self._db.execute(asked, (after,))]

    def read(self) -> None:
        """Book what is new. 7: the sequence has no gap, each hash covers the one before it."""
        for entry in self.rows(self.seq):
            text = f"{self.head}|{self.seq + 1}|{entry.ts}|{entry.kind}|{entry.body}"
            assert entry.seq == self.seq + 1, f"7: entry {entry.seq} follows {self.seq}"
            assert entry.hash == sha256(text.encode()).hexdigest(), f"7: the chain breaks at {entry.seq}"
            self.seq, self.head = entry.seq, entry.hash
            book = getattr(self, f"_{entry.kind}", None)
            if book is not None:
                book(json.loads(entry.body), entry.ts)
        self._look_at_snapshot()

    def _look_at_snapshot(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            written = self.snapshot.stat().st_mtime_ns
            if written != self._snapshot_at:
                self._snapshot_at = written
                stands_for = json.loads(self.snapshot.read_bytes())["seq"]
                assert stands_for <= self.seq, f"7: a snapshot of {stands_for} of {self.seq} entries"

    # --- entries of the journal, by kind

    def _bar(self, body: dict[str, Any], ts: int) -> None:
        values = body["values"]
        assert ts > self.bar_at, "11: bars go forward, each once"
        assert values[1:6] == self.good.get(ts), f"11: the market never had {values}"
        self.bar_at = ts
        self.bars.append(values)

    def _signal(self, body: dict[str, Any], ts: int) -> None:
        (close, volume) = self.good[ts][3:5]
        side = {1.0: 1, 2.0: -1}.get(volume)
        assert (ts, body["spot"], body["side"]) == (self.bar_at, close, side), "11: no such signal"

    def _order(self, body: dict[str, Any], ts: int) -> None:
        if body["purpose"] == "expiry":
            return
        assert body["order"] not in self.orders, f"3: two orders are called {body['order']}"
        self.orders[body["order"]] = Sent(body, ts)
        if body["purpose"] == "open":
            self.trades.add(body["trade"])

    def _closed(self, body: dict[str, Any], ts: int) -> None:
        self.trades.remove(body["trade"])

    def _rejected(self, body: dict[str, Any], ts: int) -> None:
        if body["purpose"] == "open":
            self.trades.remove(body["trade"])

    def _fill(self, body: dict[str, Any], ts: int) -> None:
        """1: cash and contracts, in whole cents; 3: never more than what the account filled."""
        prices = body.get("prices_cents", (body["price_cents"],))
        for (name, ratio), price in zip(legs_of(body), prices, strict=True):
            self.held[name] += ratio * body["quantity"]
            self.cash_cents -= ratio * body["quantity"] * price * 100
        self.cash_cents -= body["fee_cents"]
        self.fee_cents += body["fee_cents"]
        assert body["cash_cents"] == self.cash_cents, "1: cash is the start and all flows less fees"
        self._told(body["order"], body["quantity"])

    def _stray(self, body: dict[str, Any], ts: int) -> None:
        self.strayed = True
        self._told(body["order"], body["units"])

    def _told(self, name: str, units: int) -> None:
        order = self.orders[name]
        order.told += units
        assert order.told <= order.units, f"3: {order.told} units of {name} are booked of {order.units}"

    def _command(self, body: dict[str, Any], ts: int) -> None:
        if body["name"] == "clear":
            self.blocked = False
        elif body["name"] in ("halt", "resume"):
            self.halted = body["name"] == "halt"
        elif body["name"] in ("kill", "reset"):
            self.halted, self.killed = True, body["name"] == "kill"

    def _broker(self, body: dict[str, Any], ts: int) -> None:
        what = body["what"]
        if what == "sent":
            assert not self.orders[body["order"]].sent_at, "4: sent once"
            self.orders[body["order"]].sent_at = ts
        elif what == "lease":
            assert body["token"] > self.token, f"10: token {body['token']} after {self.token}"
            self.token = body["token"]
        elif what == "FillImported":
            self._imported(*body["said"])
        elif what == "StateMoved":
            self._moved(*body["said"])
        elif what == "Blocked":
            self.blocked = True

    def _imported(self, made: list[Any], late: bool) -> None:
        name, order_id, _, after, units, _, venue_id = made
        order = self.orders[order_id]
        assert not self.executions & {name, venue_id}, f"3: execution {name} is booked twice"
        assert after == order.units, (
            f"3: units {after} and on of {order_id}, of which {order.units} are there"
        )
        assert late == (order.state in ENDED), "8: a fill after the end is a late one"
        self.executions |= {name, venue_id} - {""}
        order.units += units
        assert order.units <= order.quantity, f"3: {order.units} of {order.quantity} of {order_id}"

    def _moved(self, order_id: str, before: str, to: str, broker_id: str, *_: Any) -> None:
        order = self.orders[order_id]
        assert before == order.state, f"8: {order_id} is {order.state}, not {before}"
        assert to == before or to in EDGES.get(before, set()), f"8: {order_id} goes from {before} to {to}"
        order.state, order.broker_id = to, broker_id or order.broker_id

    # --- what the books come to

    @property
    def settled(self) -> bool:
        """Every order has ended, as far as the trader was told."""
        return all(order.state in ENDED for order in self.orders.values())

    @property
    def positions(self) -> dict[str, int]:
        return {name: count for name, count in self.held.items() if count}


def uncovered(held: dict[str, int]) -> set[str]:
    """9: of which root, expiry and right more contracts are short than long."""
    net = Counter[str]()
    for name, count in held.items():
        net[name[:-8]] += count
    return {kind for kind, count in net.items() if count < 0}
