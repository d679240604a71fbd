"""A whole trading session against the fake, with faults and crashes drawn from a seed.

The trader here is as small as can be: intent journaled, order sent once, every correction journaled
before the next, books rebuilt from the journal after a crash. What it must never do is lose a fill,
book one twice, or send an order twice.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from maxlib.core.canonical import sha256
from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.books import (
    Blocked,
    FillImported,
    Local,
    PositionAdopted,
    QueryNeeded,
    StateMoved,
    apply,
)
from maxlib.execution.alpaca.fake import update_json
from maxlib.execution.alpaca.fake_faults import FaultRates, Faults
from maxlib.execution.alpaca.orders import LEGAL, LIVE, Tracked, request
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.execution.alpaca.reconcile import answered, hear, heard, reconcile
from maxlib.trading.orders import Purpose, reverse
from tests.execution.alpaca.bench import FLY, LONG, SECOND, VERTICAL, Bench, order

PATIENCE = 60 * SECOND
RATES = FaultRates(
    rate_limited=0.02, server_error=0.03, forbidden=0.01, html=0.02, hang=0.03, server_error_after=0.05,
    hang_after=0.05, ack_lost=0.05, cut=0.05, late_arrival=0.1, partial=0.4, cancel_race=0.4,
    duplicate_event=0.1, drop_event=0.1, swap_events=0.1, disconnect=0.1,
)  # fmt: skip


class CrashError(Exception):
    """The process dies here."""


@dataclass
class Session:
    """One seeded session.

    Attributes
    ----------
    journal : what survives a crash: intents and corrections, oldest first
    """

    seed: int
    journal: list[Any] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = Random(f"session {self.seed}")
        self.bench = Bench(faults=Faults(RATES, self.seed), seed=self.seed)
        self.books = Local()
        self.cursor: int | None = None
        self.fuse = 0

    # --- the trader

    def write(self, entry: Any) -> None:
        """Journal and apply one entry; the process may die right after the journal, or right before."""
        self.burn()
        self.journal.append(entry)
        self.burn()
        self.books = fold(self.books, entry)

    def burn(self) -> None:
        """One step nearer to the crash, if one is due."""
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                raise CrashError

    def settle(self, corrections: tuple[Any, ...]) -> None:
        for correction in corrections:
            if not isinstance(correction, QueryNeeded):
                self.write(correction)

    def submit(self, name: str, legs: Any, quantity: int, limit: int | None, purpose: Purpose) -> None:
        sent = order(legs, quantity, name, purpose)
        self.write(Tracked(sent, limit, self.bench.venue.now))
        self.burn()
        answer = self.bench.client.submit(sent, limit)
        self.burn()
        self.counts[type(answer).__name__] += 1
        self.settle(answered(self.books.orders[name], answer))

    def listen(self) -> None:
        """Take what the stream told since, over the real parser."""
        if self.cursor is None:
            return
        events = self.bench.venue.events[self.cursor :]
        for event in events:
            self.cursor += 1
            frame = wire.decode(json.dumps({"stream": "trade_updates", "data": update_json(event)}))
            update = wire.trade_update(json.dumps(frame))
            assert update is not None
            self.settle(hear(self.books, update))
            if self.bench.faults.hit("disconnect"):
                self.cursor = None
                return

    def reconcile(self) -> bool:
        """Connect and compare; False = the venue would not answer."""
        self.cursor = len(self.bench.venue.events)
        try:
            picture = self.bench.client.picture(self.books.orders.values(), 0)
        except VenueError:
            self.cursor = None
            return False
        if self.rng.random() < 0.3:
            self.bench.wait(1)  # the world goes on while we think
            self.listen()
        self.settle(reconcile(self.books, picture, lost_after_ns=PATIENCE))
        return True

    # --- the world

    def step(self, number: int) -> None:
        if self.cursor is None:
            self.reconcile()
        chance, name = self.rng.random(), f"s{self.seed}-{number}"
        if chance < 0.35:
            legs, limit = self.rng.choice([(LONG, None), (VERTICAL, 9), (FLY, 8), (FLY, 7), (VERTICAL, None)])
            self.submit(name, legs, self.rng.randint(1, 9), limit, "open")
        elif chance < 0.45:
            held = self.books.positions.get(LONG[0].contract.name, Decimal(0))
            if held > 0:
                self.submit(name, reverse(LONG), self.rng.randint(1, int(held)), None, "stop")
        elif chance < 0.6:
            live = [t for t in self.books.orders.values() if t.state in LIVE and t.broker_id]
            if live:
                self.bench.client.cancel(self.rng.choice(live).broker_id)
        elif chance < 0.75:
            self.listen()
        elif chance < 0.85:
            self.reconcile()
        elif chance < 0.87:
            self.counts["external"] += 1
            body = request(order(LONG, 1, f"stranger-{name}"), None)
            assert isinstance(body, dict)
            self.bench.venue.submit(body)
        else:
            self.fuse = self.rng.randint(1, 8)
        self.bench.wait(self.rng.randint(0, 3))

    def run(self, steps: int) -> None:
        """Live through it, then let everything calm down and reconcile until nothing is open."""
        for number in range(steps):
            try:
                self.step(number)
            except CrashError:
                self.counts["crashes"] += 1
                self.recover()
            self.check()
        self.calm()

    def calm(self) -> None:
        """No more faults; time passes, and every order in the air is asked for."""
        self.fuse = 0
        self.bench.venue.faults = Faults(seed=self.seed)
        for _ in range(5):
            self.bench.wait(120)
            self.cursor = len(self.bench.venue.events)
            assert self.reconcile()
            for tracked in tuple(self.books.orders.values()):
                if tracked.state in ("INTENT", "UNKNOWN"):
                    found = self.bench.client.find(tracked.order.id)
                    self.settle(heard(tracked, found) if found else ())
        self.check()

    def recover(self) -> None:
        """A new process: books from the journal, no stream, no memory."""
        self.fuse, self.cursor, self.books = 0, None, Local()
        for entry in self.journal:
            self.books = fold(self.books, entry)

    # --- what must hold

    def check(self) -> None:
        """At every step: Σ fills ≤ quantity, one booking a unit, legal edges, the journal is the books."""
        covered: dict[str, int] = {}
        for entry in self.journal:
            if isinstance(entry, FillImported):
                made = entry.execution
                assert made.after == covered.get(made.order_id, 0)
                covered[made.order_id] = made.after + made.units
            if isinstance(entry, StateMoved) and entry.state != entry.to:
                assert entry.to in LEGAL[entry.state]
        truth = self.truth()
        for name, tracked in self.books.orders.items():
            assert tracked.filled == covered.get(name, 0) <= tracked.order.quantity
            assert tracked.filled <= truth[name] <= tracked.at_risk or tracked.state in ("LOST", "CANCELED")

    def truth(self) -> Counter[str]:
        """Units that the venue really filled of each order."""
        found = Counter[str]()
        for name, _, units, _ in self.bench.venue.fills:
            found[name] += units
        return found

    def verify_end(self) -> None:
        """After the calm: every fill is in the books, once, to the cent."""
        truth, money = self.truth(), Counter[tuple[str, int]]()
        for name, _, units, prices in self.bench.venue.fills:
            for i, price in enumerate(prices):
                money[name, i] += units * price * 100
        for name, tracked in self.books.orders.items():
            assert tracked.filled == truth[name], (name, tracked)
            for i, (leg, value) in enumerate(zip(tracked.order.legs, tracked.values, strict=False)):
                assert value == money[name, i] * abs(leg.ratio)
        strangers = {name for name in truth if name not in self.books.orders}
        assert all(name.startswith("stranger") for name in strangers)
        held = {contract.name: Decimal(n) for contract, n in self.bench.venue.held.items()}
        assert dict(self.books.positions) == held
        adopted = [e for e in self.journal if isinstance(e, PositionAdopted)]
        blocks = {e.code for e in self.journal if isinstance(e, Blocked)}
        # Only a stranger's order, or one that came after we had given it up, may surprise the books.
        if not strangers and "ARRIVED_LATE" not in blocks:
            assert adopted == []
        assert blocks <= {"POSITION_MISMATCH", "ARRIVED_LATE", "UNSTABLE", "VANISHED"}

    @property
    def digest(self) -> str:
        """Of the whole journal."""
        return sha256("\n".join(map(repr, self.journal)))


def fold(books: Local, entry: Any) -> Local:
    """One journal entry into the books."""
    if isinstance(entry, Tracked):
        assert entry.order.id not in books.orders
        orders = {**books.orders, entry.order.id: entry}
        return Local(orders, books.positions, books.external, books.blocks)
    return apply(books, entry)
