"""The trader: the machine over a durable journal. What it knows survives a kill at any moment.

No clock, network or event loop here: a process feeds it bars and commands. Each input is
journaled, then what follows from it; orders are durable before they are sent. Start-up
is recovery: the newest snapshot, then the journal's tail run through again.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, NamedTuple, ParamSpec

import numpy as np
from numpy.typing import NDArray

from maxlib.core.canonical import canonical, sha256
from maxlib.core.config import config_hash
from maxlib.core.errors import DataError, InvariantError
from maxlib.engine.account import JOURNAL, Carried
from maxlib.engine.backtest import Stepper, Streams, to_bar
from maxlib.engine.brokerage import BrokerShell, correction_in, correction_out
from maxlib.engine.durable import DurableJournal
from maxlib.engine.events import Bar, Checked, Erred, PeakReset
from maxlib.engine.live_shell import LiveShell
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.snapshot import floats, numbers, order_in
from maxlib.execution.alpaca.books import Correction
from maxlib.journal.chain import Entry, verify
from maxlib.journal.errors import HaltEntriesError
from maxlib.journal.snapshots import SnapshotStore
from maxlib.journal.store import JournalFile, read
from maxlib.market.bars import BAR
from maxlib.options.live_desk import LiveDesk, Snapshot, snapshot_in
from maxlib.risk.health import Vitals
from maxlib.risk.sizing import Denial
from maxlib.strategies.strategy import Strategy

Rows = NDArray[np.void]
Command = Literal["halt", "resume", "kill", "reset", "clear", "reset_peak"]
Fills = Literal["simulated", "dry-run", "broker"]
"""What becomes of an order: our own fills at the desk's quotes, none, or those of a broker."""
Quotes = Literal["modelled", "live"]
"""Where the desk's quotes come from: a model, or snapshots of the chain that come with the bars."""
INPUTS: Final = frozenset({"bar", "quotes", "command", "feed", "gap", "broker", "vitals", "error", "process"})
SNAPSHOT_BARS: Final = 30
"""A snapshot is written after so many bars; a start runs through what came after the newest one."""


class Recovery(NamedTuple):
    """What a start found.

    entries : in the journal; snapshot : how many of them the snapshot stood for, 0 = there was none
    replayed : entries run through again; problems : snapshots that could not be used, a sentence each
    """

    entries: int
    snapshot: int
    replayed: int
    problems: tuple[str, ...]


_P = ParamSpec("_P")


def _whole(take: Callable[Concatenate[Trader, _P], None]) -> Callable[Concatenate[Trader, _P], None]:
    """Of an input that fails half-way nothing more is recorded (`DurableJournal.whole`)."""

    @functools.wraps(take)
    def taken(self: Trader, /, *args: _P.args, **named: _P.kwargs) -> None:
        with self.journal.whole():
            take(self, *args, **named)

    return taken


class Trader:
    """One account, one strategy, one journal.

    Parameters
    ----------
    folder : journal and snapshots; made if need be
    strategy, config : as in a backtest
    run : names the run; order ids are derived from it
    identity : goes into the first entry: code version, label, scenario
    simulated : stands in every entry
    fills : what becomes of its orders
    quotes : where the desk's quotes come from
    carried : the account that the day goes on with; None = it begins with the configured cash. Read at
        the first start only, as `history`
    history : BAR[n] before the first live bar, to warm the strategy up; read at the first start only
    alive : called again and again while a start runs through what is recorded

    Raises
    ------
    DataError
        If the journal is of another run or configuration, or cannot be used.
    InvariantError
        If the journal is broken, or running it again does not repeat it.
    """

    def __init__(
        self,
        folder: Path,
        strategy: Strategy,
        config: MachineConfig,
        *,
        run: str,
        identity: Mapping[str, Any],
        simulated: bool,
        fills: Fills = "simulated",
        quotes: Quotes = "modelled",
        carried: Carried | None = None,
        history: Rows | None = None,
        alive: Callable[[], object] = lambda: None,
    ) -> None:
        self._alive = alive
        self.fills: Fills = fills
        self.quotes: Quotes = quotes
        self._carried = carried
        path = folder / JOURNAL
        self._file = JournalFile(path)
        self._snapshots = SnapshotStore(folder / "snapshots")
        self._given = (strategy, config, run, identity, simulated, fills, history)
        try:
            recorded = read(path)
            verify(recorded)
            self._start(recorded, *self._given)
        except BaseException:
            self._file.close()
            raise

    def _start(
        self,
        recorded: list[Entry],
        strategy: Strategy,
        config: MachineConfig,
        run: str,
        identity: Mapping[str, Any],
        simulated: bool,
        fills: Fills,
        history: Rows | None,
    ) -> None:
        self._history = history
        self.last_bar: Bar | None = None
        self.finished = False
        self.sigma = 0.0
        self._bars = 0
        self._first = {
            "run": run, "config_hash": config_hash(config), "fills": fills, "quotes": self.quotes, **identity
        }  # fmt: skip
        found = self._snapshots.load(len(recorded), self._file.hash_at)
        behind = found.seq if found.state is not None else 0
        self.journal = DurableJournal(self._file, recorded, behind, {"simulated": simulated})
        self.shell: LiveShell | BrokerShell
        machine = Machine(config, run, live=self.quotes == "live")
        if fills == "broker":
            self.shell = BrokerShell(machine, self.journal)
        else:
            self.shell = LiveShell(machine, self.journal)
            self.shell.dry = fills == "dry-run"
        self._stepper = Stepper(self.shell, strategy)
        self._begin(recorded[0] if recorded else None, found.state)
        self._run_through()
        self.recovery = Recovery(len(recorded), behind, len(recorded) - behind, tuple(found.problems))

    # --- inputs

    @_whole
    def bar(
        self, rows: Rows, level: float | None = None, quotes: Snapshot | None = None, *, late: bool = False
    ) -> None:
        """A bar is complete (an array of length one). Durable, with all that follows, when this returns.

        Parameters
        ----------
        late : it was known so late that nobody could have traded at its prices: what would leave by it
            leaves with the first bar that is not
        quotes : the chain as it was when the bar was taken; None = it was not asked for. It becomes
            durable together with the bar.

        Raises
        ------
        DataError
            If it is not later than the bar before it.
        """
        bar = to_bar(rows[0])
        if self.last_bar is not None and bar.ts <= self.last_bar.ts:
            raise DataError(f"bar ending at {bar.ts} ns comes after the bar ending at {self.last_bar.ts} ns")
        if quotes is not None:
            self._take(quotes)
        said = {"values": bar, "level": level}
        self.journal.append(bar.ts, "bar", {**said, "late": True} if late else said)
        self.shell.machine.late = late
        self._stepper.step(rows, level)
        self.shell.machine.late = False
        self.last_bar = bar
        self.sigma = float(self._stepper.volatility.last["sigma"]) if level is None else level
        self.journal.commit()
        self._bars += 1
        if self._bars % SNAPSHOT_BARS == 0 and self.journal.next_recorded is None:
            with contextlib.suppress(HaltEntriesError):  # an older one does, or the journal alone
                self._snapshots.write(self._state(), len(self.journal.entries), self.journal.head)

    def held_strikes(self) -> list[float]:
        """Strikes in dollars that positions hold or are about to, for which quotes are needed."""
        return [leg.contract.strike for p in self.shell.machine.positions.values() for leg in p.legs]

    def _take(self, quotes: Snapshot) -> None:
        self.journal.append(quotes.ts, "quotes", quotes.body())
        self._desk.take(quotes)

    @property
    def _desk(self) -> LiveDesk:
        desk = self.shell.machine.desk
        if not isinstance(desk, LiveDesk):
            raise InvariantError("this trader's quotes are modelled: a snapshot of the chain is not for it")
        return desk

    @_whole
    def command(self, name: Command, ts: int, why: str = "") -> None:
        """Halt: no order that adds risk. Resume: they may be sent again. Survives a restart.

        Kill: a halt that a resume does not end before a reset; the reset alone lets nothing pass yet.
        Clear: a person has looked at what the broker's books and ours differed in. Reset_peak: the
        guard's falls from the peak count from here.
        """
        self.journal.append(ts, "command", {"name": name, "why": why})
        if name == "clear":
            self._brokerage.clear()
        elif name == "reset_peak":
            if self.last_bar is not None:
                self.shell.tell(PeakReset(self.last_bar, ts), self.sigma)
        elif name in ("kill", "reset"):
            self.shell.machine.killed = name == "kill"
            self.shell.machine.halted = True
        else:
            self.shell.machine.halted = name == "halt"
        self.journal.commit()

    @property
    def _brokerage(self) -> BrokerShell:
        if not isinstance(self.shell, BrokerShell):
            raise InvariantError("this trader fills its own orders: there is no broker to hear")
        return self.shell

    @_whole
    def heard(self, said: Correction, ts: int) -> None:
        """The broker told something. Durable, with all that follows, when this returns."""
        self.journal.append(ts, "broker", correction_out(said))
        self._brokerage.hear(said, ts, self.last_bar, self.sigma)
        self.journal.commit()

    @_whole
    def connection(self, denial: Denial | None, ts: int, why: str = "") -> None:
        """The broker can be heard (None), or cannot; no bar says so, so it is an input too."""
        self.journal.append(ts, "broker", {"what": "connection", **_denial_out(denial), "why": why})
        self._brokerage.connection(denial)
        self.journal.commit()

    @_whole
    def sending(self, order_id: str, ts: int) -> None:
        """An order goes out now. Durable first: after a kill the broker is asked for it, not told twice."""
        self.journal.append(ts, "broker", {"what": "sent", "order": order_id})
        self._brokerage.sending(order_id, ts)
        self.journal.commit()

    @_whole
    def leased(self, token: int, ts: int) -> None:
        """The account's lease is held, with this fence token."""
        self.journal.append(ts, "broker", {"what": "lease", "token": token})
        self.journal.commit()

    @_whole
    def feed(self, denial: Denial | None, ts: int, why: str = "") -> None:
        """What the feed lets nobody enter for, None = it is well. No bar says so, so it is an input too."""
        self.journal.append(ts, "feed", {**_denial_out(denial), "why": why})
        self.shell.machine.feed = denial
        self.journal.commit()

    @_whole
    def process(self, denial: Denial | None, ts: int, why: str = "") -> None:
        """What this process lets nobody enter for, as a disk that was full; None = it is well."""
        self.journal.append(ts, "process", {**_denial_out(denial), "why": why})
        self.shell.machine.process = denial
        self.journal.commit()

    @_whole
    def vitals(self, seen: Vitals) -> None:
        """A monitor measured; for the guard's health checks. Before the first bar nothing is guarded."""
        if self.last_bar is not None:
            said = dict(zip(Vitals._fields[1:], numbers(seen[1:]), strict=True))
            self.journal.append(seen.ts, "vitals", said)
            self.shell.tell(Checked(self.last_bar, seen), self.sigma)
            self.journal.commit()

    @_whole
    def error(self, what: str, ts: int) -> None:
        """Feed, broker or program failed; for the guard's breaker."""
        if self.last_bar is not None:
            self.journal.append(ts, "error", {"what": what})
            self.shell.tell(Erred(self.last_bar, ts, what), self.sigma)
            self.journal.commit()

    @_whole
    def gap(self, start: int, end: int, ts: int) -> None:
        """Regular minutes from `start` to `end`, UTC ns, are missing for good. It changes no decision."""
        self.journal.append(ts, "gap", {"start": start, "end": end})
        self.journal.commit()

    @property
    def unseen(self) -> int:
        """Regular minutes that were not seen of a session in which something is open still."""
        machine = self.shell.machine
        if self.last_bar is None or not any(p.held for p in machine.positions.values()):
            return 0
        return max(0, self.last_bar.minutes_left)

    @_whole
    def finish(self, close: float | None = None) -> None:
        """Leave everything at the last bar; for a tape that ends.

        With the session's `close` (dollars), for a day that was not seen to its end, what is open is
        settled by it instead: nobody sold at the last bar.
        """
        if self.last_bar is None:
            return
        said = {"name": "finish", "why": ""}
        self.journal.append(self.last_bar.ts, "command", said if close is None else {**said, "close": close})
        self.shell.finish(self.last_bar, self.sigma, close)
        self.finished = not any(p.held for p in self.shell.machine.positions.values())
        self.journal.commit()
        if self.journal.next_recorded is None:
            with contextlib.suppress(HaltEntriesError):  # then the close does it, or `maxtrader end`
                self._snapshots.write(self._state(), len(self.journal.entries), self.journal.head)

    def recover(self) -> None:
        """Go back to what is durable, as a start does, after the journal took no entry.

        Whatever was decided since then has not left the process. It is decided again when its input
        is given again.

        Raises
        ------
        HaltEntriesError
            If the journal takes no entry still.
        """
        self._start(self._file.entries(), *self._given)

    def close(self) -> None:
        """Close the journal. A kill does as well; but a day that has ended leaves its account by this."""
        try:
            if self.finished and self.journal.refused is None:
                self._snapshots.write(self._state(), len(self.journal.entries), self.journal.head)
        finally:
            self._file.close()

    # --- state

    @property
    def state_hash(self) -> str:
        """Hash of all that decides what happens next; equal state, equal hash."""
        return sha256(canonical(self._state()))

    def _state(self) -> dict[str, Any]:
        return {
            "machine": json.loads(self.shell.machine.snapshot()),
            "streams": _text(self._stepper.snapshot()),
            "waiting": list(self.shell.waiting),
            "broker": self.shell.state() if isinstance(self.shell, BrokerShell) else None,
            "quotes": self._desk.state() if self.quotes == "live" else None,
            "last": self.last_bar,
            "sigma": self.sigma,
            "bars": self._bars,
            "finished": self.finished,
        }

    # --- start

    def _begin(self, first: Entry | None, state: dict[str, Any] | None) -> None:
        """From a snapshot, from the first entry, or anew; the configuration must be that of the first entry.

        The first entry holds the strategy's memory, so that the journal alone is enough.
        """
        body = None if first is None else json.loads(first.body)
        for name, mine in self._first.items():
            if body is not None and body.get(name) != mine:
                raise DataError(f"the journal was begun with {name} {body.get(name)!r}, not {mine!r}")
        if state is not None:
            self._restore(state)
        elif body is not None:
            self._carry(body["carried"])
            self._stepper.restore(_streams(body["streams"]))
            self.journal.append(0, "start", body)  # the stamp is in it already
        else:
            if self._history is not None and len(self._history):
                self._stepper.warm(self._history)
            carried = None if self._carried is None else self._carried._asdict()
            self._carry(carried)
            streams = _text(self._stepper.snapshot())
            self.journal.append(0, "start", {**self._first, "carried": carried, "streams": streams})
            self.journal.commit()

    def _carry(self, carried: dict[str, Any] | None) -> None:
        if carried is not None:
            machine = self.shell.machine
            machine.carry(carried["cash_cents"], carried["guard"], halted=carried["halted"])

    def _restore(self, state: dict[str, Any]) -> None:
        machine = self.shell.machine
        machine.restore(state["machine"])
        if self.quotes == "live":
            self._desk.restore(state["quotes"])
        self._stepper.restore(_streams(state["streams"]))
        self.shell.waiting = [order_in(row) for row in state["waiting"]]
        if isinstance(self.shell, BrokerShell):
            self.shell.restore(state["broker"])
        self.last_bar = None if state["last"] is None else Bar(*state["last"])
        self.sigma, self._bars, self.finished = state["sigma"], state["bars"], state["finished"]

    def _run_through(self) -> None:
        """Feed the recorded inputs again; what follows from them must be what is recorded."""
        while (entry := self.journal.next_recorded) is not None:
            if entry.kind not in INPUTS:
                raise InvariantError(f"journal entry {entry.seq} ({entry.kind}) follows from no input")
            body = json.loads(entry.body)
            if entry.kind == "bar":
                rows = np.zeros(1, BAR)
                rows[0] = tuple(body["values"])
                self.bar(rows, body["level"], late=body.get("late", False))
            elif entry.kind == "quotes":
                self._take(snapshot_in(entry.ts, body))
            elif entry.kind == "feed":
                self.feed(_denial_in(body), entry.ts, body["why"])
            elif entry.kind == "process":
                self.process(_denial_in(body), entry.ts, body["why"])
            elif entry.kind == "gap":
                self.gap(body["start"], body["end"], entry.ts)
            elif entry.kind == "vitals":
                self.vitals(Vitals(entry.ts, *floats(body[name] for name in Vitals._fields[1:])))
            elif entry.kind == "error":
                self.error(body["what"], entry.ts)
            elif entry.kind == "broker":
                self._hear_again(body, entry.ts)
            elif body["name"] == "finish":
                self.finish(body.get("close"))
            else:
                self.command(body["name"], entry.ts, body["why"])
            self._alive()
        self.journal.commit()

    def _hear_again(self, body: dict[str, Any], ts: int) -> None:
        if body["what"] == "connection":
            self.connection(_denial_in(body), ts, body["why"])
        elif body["what"] == "sent":
            self.sending(body["order"], ts)
        elif body["what"] == "lease":
            self.leased(body["token"], ts)
        else:
            self.heard(correction_in(body), ts)


def _text(streams: Streams) -> list[str]:
    return [base64.b64encode(state).decode() for state in streams]


def _streams(text: list[str]) -> Streams:
    strategy, volatility, daily = (base64.b64decode(state) for state in text)
    return strategy, volatility, daily


def _denial_out(denial: Denial | None) -> dict[str, Any]:
    return {"code": "", "limit": 0.0, "actual": 0.0} if denial is None else denial._asdict()


def _denial_in(body: dict[str, Any]) -> Denial | None:
    return Denial(body["code"], body["limit"], body["actual"]) if body["code"] else None
