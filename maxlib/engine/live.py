"""A live session: the trader under commands, as its viewers see it. No event loop here.

What drives it — a process with a feed and an API, or a test — gives it bars and commands
and reads views. Whoever watches changes nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from maxlib.core.config import Config
from maxlib.engine.backtest import Rows, to_bar
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.events import Bar, Trade
from maxlib.engine.guard_view import GuardView, guard_view
from maxlib.engine.projection import Projection, number
from maxlib.engine.session_views import (
    BarView,
    DenialView,
    JournalRow,
    MarkView,
    PositionView,
    TradeView,
)
from maxlib.engine.trader import Fills, Quotes, Trader
from maxlib.execution.alpaca.books import Correction
from maxlib.journal.chain import Entry
from maxlib.journal.errors import HaltEntriesError
from maxlib.options.live_desk import Snapshot
from maxlib.risk.health import Vitals
from maxlib.risk.sizing import Denial

Phase = Literal["TRADING", "HALTED", "STOPPED"]
Venue = Literal["SIMULATED", "REPLAY", "PAPER", "DELAYED"]
Request = Literal["halt", "resume", "stop", "clear", "reset_peak"]
_LEGAL: Final[dict[Request, tuple[Phase, ...]]] = {
    "halt": ("TRADING",),
    "resume": ("HALTED",),
    "stop": ("TRADING", "HALTED", "STOPPED"),
    "clear": ("TRADING", "HALTED", "STOPPED"),
    "reset_peak": ("TRADING", "HALTED"),
}
_WORDS: Final[dict[Phase, str]] = {
    "TRADING": "the trader is trading",
    "HALTED": "the trader is halted",
    "STOPPED": "the trader has stopped",
}
_NS: Final = 1_000_000_000


def label_of(simulated: bool) -> Venue:
    """Where the bars of a tape come from."""
    return "SIMULATED" if simulated else "REPLAY"


class Status(Config):
    """The trader now, as a frozen snapshot that survives JSON. Money in cents, times in UTC ns.

    Attributes
    ----------
    phase : TRADING, HALTED (no order that adds risk), STOPPED (bars are not taken any more)
    label : where its market comes from; SIMULATED never enters live statistics, DELAYED is late by design
    feed : why the feed lets nobody enter, "" = it is well
    gaps : regular minutes that are missing for good, of this start
    fills : what becomes of orders: simulated, dry-run or broker
    quotes : of options: modelled, or live
    unquoted : why the newest live quotes cannot be traded at, "" = they can
    broker : why the broker lets nobody enter, "" = it is well or there is none
    guard : market state, breakers and safe mode in a few words; "" = there is no guard
    guarded : what of the guard's limits is used; None = there is none, or nothing was asked of it yet
    process : why the trader itself lets nobody enter, "" = it is well
    finished : the session is over: what was open has left, and a start shows the day without trading it on
    differences : what its account and our books differed in, until a person clears it
    age_s : seconds from the end of the newest bar to now; None before the first
    taken_s : seconds on the wall since the newest bar was taken; None = none since this start
    previous_close : close of the last regular session before this one, if the tape has one
    recovered : journal entries that the start found and ran through again
    killed : why the kill switch is thrown, or ""
    no_reset : why nobody could reset the kill switch, "" = with its code somebody could
    blocked : requests that are refused now, each with the reason
    fault : the error that stopped it, or ""
    """

    phase: Phase
    label: Venue
    name: str
    symbol: str
    strategy: str
    now: int
    bar_at: int | None
    age_s: float | None
    feed: str
    gaps: int
    fills: Fills
    quotes: Quotes = "modelled"
    unquoted: str = ""
    broker: str
    guard: str
    guarded: GuardView | None = None
    process: str = ""
    finished: bool = False
    differences: tuple[str, ...]
    taken_s: float | None
    last: float | None
    previous_close: float | None
    bars: int
    recovered: int
    marks: int
    signals: int
    start_cents: int
    realised_cents: int
    unrealised_cents: int
    equity_cents: int
    fee_cents: int
    positions: tuple[PositionView, ...]
    trades: tuple[TradeView, ...]
    wins: int
    denials: tuple[DenialView, ...]
    journal_head: str
    journal_count: int
    journal_tail: tuple[JournalRow, ...]
    killed: str
    no_reset: str = ""
    blocked: dict[Request, str]
    fault: str


class LiveSession:
    """A trader with its phase and its views.

    Parameters
    ----------
    trader : recovered; a halt that it remembers stands
    previous_close : see `Status`

    Attributes
    ----------
    bars : all that the journal has, those before this start too
    killed : why the kill switch is thrown, or ""; set by whoever watches the switch
    no_reset : see `Status`; set by whoever has the switch
    unquoted : see `Status`; of this start
    outage : why the journal takes no entry, or ""; set by whoever tries again
    """

    def __init__(
        self, trader: Trader, *, label: Venue, strategy: str, previous_close: float | None = None
    ) -> None:
        self.trader = trader
        self.label: Venue = label
        self.gaps = 0
        self.fault = self.killed = self.outage = self.unquoted = ""
        self.no_reset = ""
        self._taken: float | None = None
        self._previous_close = previous_close
        self._strategy = strategy
        self._seat()

    def _seat(self) -> None:
        """Everything that follows from the journal."""
        trader = self.trader
        self.bars = recorded_bars(trader.journal.entries)
        self._shown = Projection(trader.shell)
        self._shown.read()
        halted = trader.shell.machine.halted
        self.phase: Phase = "STOPPED" if trader.finished else "HALTED" if halted else "TRADING"

    def recover(self) -> None:
        """Go back to what is durable, see `Trader.recover`."""
        self.trader.recover()
        self._seat()

    # --- requests

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused now; None = it is not."""
        if request == "resume" and self.fault:
            return "an error stopped the trader; it starts anew by recovery"
        if request == "clear" and not self._differences():
            return "nothing differs from the broker"
        if request == "reset_peak" and self.trader.shell.machine.config.guard is None:
            return "there is no guard that counts from a peak"
        if request == "reset_peak" and self.trader.last_bar is None:
            return "no bar has come yet, and the guard begins with one"
        if request == "resume" and (self.killed or self.trader.shell.machine.killed):
            return "the kill switch is thrown; reset it first"
        if self.phase in _LEGAL[request]:
            return None
        return "the session is over" if self.trader.finished else _WORDS[self.phase]

    def ask(self, request: Request, now: int, why: str = "") -> str | None:
        """Carry out a request; returns the reason if it is refused."""
        refused = self.refusal(request)
        if refused is not None:
            return refused
        if request == "stop":
            self.phase = "STOPPED"
        else:
            try:
                self.trader.command(request, now, why)
            except HaltEntriesError as error:
                return str(error)
            if request in ("halt", "resume"):
                self.phase = "HALTED" if request == "halt" else "TRADING"
            self._shown.read()
        return None

    def switch(self, name: Literal["kill", "reset"], now: int, why: str) -> str | None:
        """The kill switch was thrown or reset, whoever did it; the reason if it cannot be written.

        It counts in every phase, so that the journal tells who killed and who let go.
        """
        if self.fault:
            return _WORDS["STOPPED"]
        try:
            self.trader.command(name, now, why)
        except HaltEntriesError as error:
            return str(error)
        self.phase = "STOPPED" if self.phase == "STOPPED" else "HALTED"
        self._shown.read()
        return None

    # --- market

    def bar(
        self, rows: Rows, level: float | None = None, quotes: Snapshot | None = None, *, late: bool = False
    ) -> None:
        """A bar is complete. An error stops the session; the journal holds what was acknowledged."""
        if self.phase == "STOPPED":
            return
        try:
            self.trader.bar(rows, level, quotes, late=late)
        except HaltEntriesError:
            raise  # the bar is taken again when the disk is back
        except Exception as error:
            self.phase, self.fault = "STOPPED", f"{type(error).__name__}: {error}"
            raise
        self._shown.read()
        if quotes is not None:
            self.unquoted = quotes.why
        self._taken = time.monotonic()
        b = to_bar(rows[0])
        self.bars.append(_view(b, self._shown.pnl_cents(b, self.trader.sigma)))

    def feed(self, denial: Denial | None, now: int, why: str = "") -> bool:
        """The feed is well, or lets nobody enter. True if that is news."""
        if self.phase == "STOPPED" or denial == self.trader.shell.machine.feed:
            return False
        self.trader.feed(denial, now, why)
        self._shown.read()
        return True

    def process(self, denial: Denial | None, now: int, why: str = "") -> None:
        """The trader itself is well, or lets nobody enter."""
        if self.phase != "STOPPED":
            self.trader.process(denial, now, why)
            self._shown.read()

    def gap(self, start: int, end: int, minutes: int, now: int) -> None:
        """Regular minutes are missing for good."""
        if self.phase != "STOPPED":
            self.trader.gap(start, end, now)
            self.gaps += minutes

    def vitals(self, seen: Vitals) -> None:
        """A monitor measured, for the guard."""
        if self.phase != "STOPPED":
            self.trader.vitals(seen)
            self._shown.read()

    def error(self, what: str, now: int) -> None:
        """Feed or broker failed, for the guard."""
        if self.phase != "STOPPED":
            self.trader.error(what, now)
            self._shown.read()

    def heard(self, said: Correction, now: int) -> None:
        """The broker told something; it counts also when bars are not taken any more."""
        try:
            self.trader.heard(said, now)
        except HaltEntriesError:
            raise
        except Exception as error:
            self.phase, self.fault = "STOPPED", f"{type(error).__name__}: {error}"
            raise
        self._shown.read()

    def _guard(self, now: int) -> str:
        machine = self.trader.shell.machine
        if machine.config.guard is None:
            return ""
        return "not asked yet" if machine.guard is None else machine.guard.standing(now)

    def _differences(self) -> tuple[str, ...]:
        shell = self.trader.shell
        blocks = shell.books.blocks if isinstance(shell, BrokerShell) else frozenset()
        return tuple(sorted(f"{block.code}: {block.what}" for block in blocks))

    # --- views

    def marks(self, since: int = 0) -> list[MarkView]:
        """Signals, entries and exits, from number `since` (from 0) on."""
        return self._shown.marks[since:]

    def status(self, now: int) -> Status:
        """The session at `now`, UTC ns."""
        bar = self.trader.last_bar
        refusals = {request: self.refusal(request) for request in _LEGAL}
        return Status(
            phase=self.phase,
            label=self.label,
            strategy=self._strategy,
            now=now,
            bar_at=bar.ts if bar else None,
            age_s=number((now - bar.ts) / _NS) if bar else None,
            feed=_sentence(self.trader.shell.machine.feed),
            gaps=self.gaps,
            fills=self.trader.fills,
            quotes=self.trader.quotes,
            unquoted=self.unquoted,
            broker=_sentence(self.trader.shell.machine.broker),
            guard=self._guard(now),
            guarded=guard_view(self.trader.shell.machine, now),
            process=self.outage or _sentence(self.trader.shell.machine.process),
            finished=self.trader.finished,
            differences=self._differences(),
            taken_s=None if self._taken is None else time.monotonic() - self._taken,
            last=bar.close if bar else None,
            previous_close=self._previous_close,
            bars=len(self.bars),
            recovered=self.trader.recovery.entries,
            killed=self.killed,
            no_reset=self.no_reset,
            blocked={request: reason for request, reason in refusals.items() if reason is not None},
            fault=self.fault,
            **self._shown.account(bar, self.trader.sigma),
        )

    def statistics(self) -> dict[str, Any]:
        """Figures of the closed trades so far, in all and of each book."""
        machine = self.trader.shell.machine
        books = {book: [t for t in machine.trades if t.book == book] for book in machine.config.books}
        return {
            **_figures(machine.trades),
            "signals": machine.signals,
            "denials": dict(machine.denials),
            "books": {book: _figures(trades) for book, trades in books.items()},
        }


def _figures(trades: Sequence[Trade]) -> dict[str, float | None]:
    """Money in cents after fees; a mean of nothing, and a factor without losses, is None."""
    pnl = [t.pnl_cents for t in trades]
    wins, lost = sum(p > 0 for p in pnl), -sum(p for p in pnl if p < 0)
    return {
        "trades": len(pnl),
        "wins": wins,
        "win_rate": wins / len(pnl) if pnl else None,
        "pnl_cents": sum(pnl),
        "average_pnl_cents": sum(pnl) / len(pnl) if pnl else None,
        "profit_factor": sum(p for p in pnl if p > 0) / lost if lost else None,
    }


def _sentence(denial: Denial | None) -> str:
    """What stands in the way; seconds, or a count of differences."""
    if denial is None:
        return ""
    if denial.code == "BROKER_DIFFERS":
        return f"{denial.code}: {denial.actual:,.0f} to be looked at and cleared"
    return f"{denial.code}: {denial.actual:,.0f} s, at most {denial.limit:,.0f} s"


def recorded_bars(entries: Sequence[Entry]) -> list[BarView]:
    """The bars of a journal, so that a restart shows the whole day.

    Their P&L is that of the closed trades. It is None while a trade was open: what it was worth then is
    not in the journal.
    """
    found: list[tuple[Bar, int | None]] = []
    open_: set[int] = set()
    units = Counter[int]()
    """Of fills in and out: 0 only where an entry was taken back whole."""
    closed_cents = 0
    for entry in entries:
        if entry.kind not in ("bar", "fill", "closed"):
            continue
        body = json.loads(entry.body)
        if entry.kind == "bar":
            bar = Bar(*body["values"])
        elif entry.kind == "fill":
            units[body["trade"]] += -body["quantity"] if body.get("undone") else body["quantity"]
            (open_.add if units[body["trade"]] else open_.discard)(body["trade"])
        else:
            open_.discard(body["trade"])
            closed_cents += body["pnl_cents"]
        if entry.kind != "bar":
            bar, _ = found.pop()
        found.append((bar, None if open_ else closed_cents))
    return [_view(bar, pnl_cents) for bar, pnl_cents in found]


def _view(bar: Bar, pnl_cents: int | None) -> BarView:
    return BarView(
        ts=bar.ts, open=bar.open, high=bar.high, low=bar.low, close=bar.close, volume=bar.volume,
        pnl_cents=pnl_cents,
    )  # fmt: skip
