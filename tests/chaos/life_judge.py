"""What must hold on a walk, and the model by which it is told.

The model knows what was done to the trader and never asks the trader's own flags; the auditor knows what
stands in the journal's file. The numbers are those of the twelve invariants; 3, 7, 8 and 11 are the
auditor's, 10 is looked at whenever a process starts, 12 when a walk is walked again.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake_api import Request
from maxlib.journal.store import JournalFile
from maxlib.ops.lease import Lease
from tests.chaos.life_account import Account, is_order, opens
from tests.chaos.life_audit import Audit, uncovered
from tests.chaos.life_host import HOST, SECOND
from tests.chaos.life_process import Process

ENTRY_AGE = 90 * SECOND


class Judge:
    """A walk as it is known from outside.

    Attributes
    ----------
    halted, thrown, connected, down_since : the model: what was done, and not undone
    rival : another process that holds the account's lease
    lost : orders that were about to go out when a process died
    """

    def __init__(self, folder: Path, account: Account, audit: Audit, positions: int) -> None:
        self.folder, self.account, self.audit, self.positions = folder, account, audit, positions
        self.process: Process | None = None
        self.halted = self.thrown = self.connected = False
        self.down_since: int | None = None
        self.rival: Lease | None = None
        self.counts, self.lost = Counter[str](), set[str]()
        self._filled, self._held = 0, Counter[str]()

    @property
    def here(self) -> Process:
        assert self.process is not None
        return self.process

    @property
    def leased(self) -> bool:
        return self.rival is None

    def judge(self, asked: Request) -> None:
        """6: at each exchange with the account; and if an order is about to reach it, 4 and 5."""
        self.audit.read()
        assert len(self.audit.trades) <= self.positions, "6: too many trades, those under way included"
        if is_order(asked):
            self._order(asked)

    def _order(self, asked: Request) -> None:
        name = json.loads(asked.body)["client_order_id"]
        order = self.audit.orders.get(name)
        assert order is not None, f"4: {name} goes out and is not written down"
        assert order.sent_at, f"4: {name} goes out, and it is not written down that it does"
        assert not self.account.posted[name], f"4: {name} goes out twice"
        assert self.leased, "5: an order without the lease"
        self.counts["orders"] += 1
        self.counts["while barred"] += self.halted or self.thrown or self.down_since is not None
        assert opens(asked) == (order.purpose == "open")
        if order.purpose == "open":
            assert not self.halted, "5: an entry while halted"
            assert not self.thrown, "5: an entry while killed"
            assert self.connected, "5: an entry without the broker's word"
            assert self.down_since is None, "5: an entry without a feed"
            assert not self.audit.blocked, "5: an entry while books and account differ"
            assert HOST.now - order.decided_at <= ENTRY_AGE, "5: an entry on an old decision"

    def check(self) -> None:
        """After each deed."""
        self.audit.read()
        self._money()
        self.cover()
        assert len(self.audit.trades) <= self.positions, "6: too many trades"
        if not self.audit.strayed:
            for order in self.account.venue.orders.values():
                mine = self.audit.orders.get(order.client_id)
                if mine is not None and order.live():
                    assert mine.trade in self.audit.trades, "6: what is in the air counts as held"

    def _money(self) -> None:
        """1: the ledger is the journal, and the account when nothing is in the air."""
        ledger, audit = self.here.shell.machine.ledger, self.audit
        held = {contract.name: count for contract, count in ledger.held.items()}
        assert (ledger.cash_cents, held) == (audit.cash_cents, audit.positions), (
            "1: the ledger is not the journal"
        )
        if self.account.quiet() and audit.settled:
            booked = {name: order.units for name, order in audit.orders.items() if order.units}
            assert dict(self.account.units()) == booked, "3: each fill once"
            if not audit.strayed:
                cash = audit.cash_cents + audit.fee_cents
                assert self.account.holding() == (cash, audit.positions), "1: the ledger is not the account"
                self.counts["compared"] += 1

    def cover(self) -> None:
        """9: at every fill of the account."""
        for name, _, units, _ in self.account.venue.fills[self._filled :]:
            if name in self.audit.orders:
                for leg in self.account.order(name).legs:
                    self._held[leg.contract.name] += leg.ratio * units
                assert not uncovered(self._held), f"9: a short without cover after {name}"
        self._filled = len(self.account.venue.fills)

    def same(self, before: tuple[str, int] | None) -> None:
        """2: whoever runs through the whole journal is where one that begins at a snapshot is."""
        entries, now = self.audit.rows(), self.here.trader.state_hash
        if before is not None and before[1] == len(entries):
            assert before[0] == now, "2: a restart changes nothing"
        assert self.replayed() == now, "2: the journal alone gives the same state"

    def replayed(self) -> str:
        """State of a trader that has nothing but the journal."""
        fuse, HOST.fuse = HOST.fuse, 0
        strategy, config, run, identity, simulated, fills, _ = self.here.trader._given
        folder = self.folder.with_name("replayed")
        shutil.rmtree(folder, ignore_errors=True)
        with JournalFile(folder / "journal.sqlite") as file:
            file.extend(self.audit.rows())
        twin = Trader(folder, strategy, config, run=run, identity=identity, simulated=simulated, fills=fills)
        assert twin.recovery.snapshot == 0
        twin.close()
        HOST.fuse = fuse
        return twin.state_hash
