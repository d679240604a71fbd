"""A walk through the life of orders and fills: each deed is done to the real trader, and judged.

The trader is `PaperTrader` with its courier, its feed's gate, its kill switch and its lease; the account
is the fake of Alpaca. Numbers are those of the twelve invariants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maxlib.core.errors import ConfigError
from maxlib.engine.account import KILL_SWITCH
from maxlib.engine.backtest import to_bar
from maxlib.execution.alpaca.fake_api import Request
from maxlib.execution.alpaca.fake_faults import Fault
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import stamp
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.lease import Lease
from tests.chaos.life_account import Account
from tests.chaos.life_audit import Audit
from tests.chaos.life_host import CODE, HOST, SECOND, CrashError, Inline, killed
from tests.chaos.life_judge import Judge
from tests.chaos.life_process import ACCOUNT_USD, FIRST_PRICE, LEASE_S, OPEN, Kind, Process, frame, story

PATIENCE = 30 * SECOND
Bad = Literal[
    "null", "text", "list", "zero", "negative", "infinite", "range", "spike", "off", "future", "junk"
]


class Life(Judge):
    """One walk: each public method from `minute` to `restart` is a deed, which `do` does and judges."""

    def __init__(self, folder: Path, kind: Kind, positions: int) -> None:
        HOST.begin(OPEN)
        self.scenario = story(kind, positions)
        account = Account(self.scenario.machine, OPEN, ACCOUNT_USD * 100)
        super().__init__(folder / "trader", account, Audit(folder / "trader", ACCOUNT_USD * 100), positions)
        account.before, account.after = self._before, self._after
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(Inline(1))
        self.price, self.minute_at, self.spikes = FIRST_PRICE, OPEN, 0
        self.frames: list[str] = []
        self.waiting: list[Bad] = []
        self.ambush: tuple[int, str] = (0, "")
        self.start(None)

    def do(self, deed: str, **how: Any) -> None:
        """Do it, whatever becomes of the process, and look at everything."""
        self.counts[deed] += 1
        try:
            getattr(self, deed)(**how)
        except AssertionError:
            raise
        except ConfigError:
            if self.leased:
                raise
            self.crash(deed)  # another process has the account: this one ends, and is started anew
        except (CrashError, Exception):
            if not HOST.dead:  # a dead process may still meet a journal that is closed to it
                raise
            self.counts["crashes"] += 1
            self.crash(deed)
        self.check()

    def await_(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # --- deeds: the market

    def minute(self, move: float, side: int) -> None:
        """The next minute comes, after the bad ticks that wait for it."""
        self.pass_time(self.minute_at + NS_PER_MINUTE - HOST.now)

        before, self.price = self.price, round(self.price * (1 + move), 2)
        prices = (before, max(before, self.price) + 0.05, min(before, self.price) - 0.05, self.price)
        self._quote(prices, float(side))
        for kind in self.waiting:
            self._receive(self._bad(kind, self.minute_at))
        self.waiting = []
        self.audit.good[self.minute_at] = [*prices, float(side)]
        self.frames.append(frame(self.minute_at, prices, float(side)))
        self._receive(self.frames[-1])

    def _quote(self, prices: tuple[float, ...], side: float) -> None:
        """The account's market moves, whether we hear of it or not."""
        rows = stamp(np.array([self.minute_at - NS_PER_MINUTE]), *(np.array([p]) for p in (*prices, side)))
        self.account.market.bar = to_bar(rows[0])

    def _receive(self, text: str) -> None:
        self.await_(self.here.receive(text, self.down_since))

    def bad_tick(self, kind: Bad, late: bool) -> None:
        """A tick that no market had, of this minute or before the next one."""
        if late and self.frames:
            self._receive(self._bad(kind, self.minute_at))
        else:
            self.waiting.append(kind)

    def again(self, back: int) -> None:
        """A minute that was told is told again, or one from long ago."""
        if self.frames:
            self._receive(self.frames[-1 - back % len(self.frames)])

    def _bad(self, kind: Bad, ts: int) -> str:
        p = self.price
        if kind == "spike":  # no two of them confirm each other
            self.spikes += 1
            p *= 100 * 1.5**self.spikes
        close: Any = {"null": None, "text": str(p), "list": [p], "zero": 0.0, "negative": -p}.get(kind, p)
        high = p / 2 if kind == "range" else p
        ts += {"future": NS_PER_MINUTE, "off": 7 * SECOND}.get(kind, 0)
        text = frame(ts, (p, high, p, close), 1.0)
        if kind == "junk":
            return text[: len(text) // 2]
        return text.replace(f'"c": {p}', '"c": 1e999') if kind == "infinite" else text

    def feed(self, up: bool) -> None:
        """The feed's connection breaks, or stands again; minutes come meanwhile by REST."""
        self.down_since = None if up else HOST.now
        self.here.condition(self.down_since)

    def pass_time(self, ns: int) -> None:
        """Time passes, at most a minute; the process beats and renews its lease."""
        if HOST.now + ns >= self.minute_at + NS_PER_MINUTE:
            self.minute_at += NS_PER_MINUTE
        HOST.now += ns
        self.account.venue.advance(HOST.now)
        assert self.rival is None or self.rival.renew() is None
        assert self.here.renew() == self.leased, "a lease is held until somebody else has it"
        self.here.paper._obey()
        self.halted |= self.thrown

    def wait(self, seconds: int) -> None:
        self.pass_time(min(seconds * SECOND, self.minute_at + NS_PER_MINUTE - SECOND - HOST.now))

    # --- deeds: the broker

    def turn(self, settled: bool) -> None:
        """The courier takes a turn. 5: what leaves goes out, what is late is canceled, also while barred."""
        due = {name: order for name, order in self.audit.orders.items() if order.purpose != "open"}
        late = [
            order
            for order in self.audit.orders.values()
            if order.state == "WORKING" and order.sent_at <= HOST.now - PATIENCE
        ]
        self.await_(self.here.turn(settled=settled))
        self.audit.read()
        for name, order in due.items():
            gone = self.account.posted[name] or name in self.lost or order.state == "REFUSED"
            assert gone, f"5: {name} leaves, and stays here"
        for order in late:  # unless it was heard meanwhile that it has ended
            gone = order.state != "WORKING" or order.broker_id in self.account.canceled
            assert gone, "5: what takes too long is canceled"

    def look(self) -> None:
        self.await_(self.here.look())

    def stream(self, up: bool) -> None:
        if not up:
            self.connected = False
            self.here.disconnect()
        elif not self.connected:
            self.connected = self.await_(self.here.connect())

    def hear(self, count: int, turned: bool, repeated: bool) -> None:
        """The next events of the stream, in order or the other way round, once or twice."""
        if self.here.cursor is None:
            return
        first, last = self.here.cursor, min(self.here.cursor + count, len(self.account.venue.events))
        numbers = list(range(first, last))[:: -1 if turned else 1]
        self.here.cursor = last
        self.connected = self.await_(self.here.listen(numbers * 2 if repeated else numbers))

    def eager(self, on: bool) -> None:
        self.here.eager = on

    def fault(self, kind: Fault, after: int) -> None:
        self.account.faults.ask(kind, after=after)

    def external(self) -> None:
        """Somebody else trades at this account."""
        if self.account.market.bar is not None:
            self.account.stranger()

    # --- deeds: who may stop it

    def halt(self) -> None:
        self.here.paper.ask("halt", "asked", "")
        self.halted = True

    def resume(self) -> None:
        refused = self.here.paper.ask("resume", "asked", "")
        self.halted |= self.thrown
        assert not (self.thrown and refused is None), "10: a kill is not resumed from"
        self.halted &= refused is not None and self.thrown

    def clear(self) -> None:
        self.here.paper.ask("clear", "asked", "")

    def kill(self, outside: bool) -> None:
        """The kill switch is thrown, by the API or by another process."""
        self.thrown = True
        if outside:
            KillSwitch(self.folder / KILL_SWITCH).throw("asked", "somebody")
        else:
            self.here.paper.ask("kill", "asked", "")
            self.halted = True

    def reset(self, code: str) -> None:
        """Reset the switch; the loop has beaten since it was thrown."""
        self.here.paper._obey()
        self.halted |= self.thrown
        if self.here.paper.ask("reset", "", code) is None:
            assert code == CODE, "10: only the code resets"
            self.thrown = False

    def _before(self, asked: Request) -> None:
        """Something is about to reach the account; a surprise may come first, or while it is on its way."""
        HOST.burn()
        self.judge(asked)
        left, what = self.ambush
        self.ambush = max(0, left - 1), what
        if left == 1:
            self.counts[f"{what} on the way"] += 1
            if what == "kill":
                self.kill(outside=True)
            elif what == "halt":
                self.halt()
            else:
                self.feed(up=False)

    def _after(self) -> None:
        self.cover()
        self.here.overhear()
        HOST.burn()

    def surprise(self, exchanges: int, what: str) -> None:
        """While the trader waits for the account, so many exchanges from now, something stops it."""
        self.ambush = exchanges, what

    # --- deeds: processes

    def lease_lost(self) -> None:
        """The process sleeps for longer than its lease runs, and another one takes the account."""
        if self.leased:
            HOST.now += int((LEASE_S + 1) * SECOND)
            self.minute_at = (HOST.now - OPEN) // NS_PER_MINUTE * NS_PER_MINUTE + OPEN
            self.account.venue.advance(HOST.now)
            (path,) = self.here.leases.glob("*.json")
            taken = HOST.take(path, path.stem, LEASE_S)
            assert isinstance(taken, Lease)
            assert taken.token > self.audit.token, "10: the token rises"
            self.rival = taken

    def fuse(self, burns: int) -> None:
        """The process dies when it has written or talked so often."""
        HOST.fuse = burns

    def crash(self, during: str = "") -> None:
        """The process is killed now; another one is started until it stands."""
        self.audit.read()
        if during in ("halt", "resume"):  # whether it counts, the file tells
            self.halted = self.audit.halted
        if during == "reset":
            self.thrown = self.audit.killed or (self.folder / KILL_SWITCH).exists()
        self.lost |= {name for name, order in self.audit.orders.items() if order.sent_at} - set(
            self.account.posted
        )
        while True:
            HOST.end()
            if self.process is not None:
                self.process.kill()
            killed()
            HOST.fuse = 0
            try:
                self.start(None)
                return
            except CrashError:
                continue

    def restart(self, fuse: int) -> None:
        """An orderly end and a start, which may be killed half-way."""
        before = self.here.trader.state_hash, len(self.audit.rows())
        self.here.close()
        HOST.end()
        HOST.fuse = fuse
        self.start(before)

    def start(self, before: tuple[str, int] | None) -> None:
        """A new process: recovery, lease, reconciliation. `before` = state and entries of the one before."""
        HOST.start()
        self.connected, self.process, eager = False, None, self.process is not None and self.process.eager
        made = Process(self.scenario, self.folder, self.account)
        made.eager = eager
        self.process = made
        self.halted |= self.thrown
        assert not self.halted or made.shell.machine.halted, "10: a halt does not clear itself"
        assert made.paper.switch.thrown == self.thrown, "10: a kill does not clear itself"
        self.same(before)
        self._sign_in()
        self.down_since = HOST.now if self.down_since is not None else None
        made.condition(self.down_since)
        self.stream(up=True)

    def _sign_in(self) -> None:
        if self.rival is not None:
            try:
                self.await_(self.here.sign_in())
            except ConfigError:
                self.rival.release()
                self.rival = None
            else:
                raise AssertionError("5: two traders have the lease")
        self.await_(self.here.sign_in())

    # --- the end

    def end(self) -> None:
        """The faults end, everything comes to rest, and the account is the books."""
        HOST.fuse, self.ambush = 0, (0, "")
        self.account.calm()
        self.account.market.sigma = 3.0  # so that somebody bids for everything
        if not self.leased:
            self.do("restart", fuse=0)
        for _ in range(12):
            self.do("wait", seconds=59)
            self.do("minute", move=0.0, side=0)
            self.do("stream", up=False)
            self.do("stream", up=True)
            self.do("turn", settled=True)
            if self.account.quiet() and self.audit.settled:
                break
        assert self.account.quiet(), [order for order in self.account.venue.orders.values() if order.live()]
        assert self.audit.settled, "3: every order comes to an end"
        self.do("restart", fuse=0)
        assert self.replayed() == self.replayed() == self.here.trader.state_hash, "2: twice is as once"
        books = {name: int(count) for name, count in self.here.shell.books.positions.items()}
        held = {contract.name: count for contract, count in self.account.venue.held.items()}
        assert books == held, "1: the books are the account, a stranger's contracts included"

    def close(self) -> None:
        """Nothing of it stays behind."""
        if self.process is not None:
            self.process.kill()
        killed()
        self.audit.close()
        self.loop.close()
