"""Replay: one New York date of a tape, bar by bar, through the backtest's own machine.

`ReplaySession` knows neither widgets nor a wall clock. Whoever drives it — a kernel, a
test, later a process of its own — sends commands (start, pause, resume, stop), moves it
on, and reads snapshots and deltas that are plain JSON. Nothing else reaches the machine.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.core.record import Record
from maxlib.engine.backtest import Stepper, to_bar
from maxlib.engine.events import Bar
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.projection import Projection, number
from maxlib.engine.session_views import (
    BarView,
    Command,
    Label,
    LevelsView,
    MarkView,
    SessionView,
    State,
)
from maxlib.engine.shell import Shell
from maxlib.journal.chain import Entry, Journal
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN, BarRecord
from maxlib.market.calendar import from_ordinal, new_york_minutes, ordinal
from maxlib.signals.levels import Levels, levels
from maxlib.strategies.strategy import Strategy

Rows = NDArray[np.void]

_NS: Final = 1_000_000_000
_LEGAL: Final[dict[Command, tuple[State, ...]]] = {
    "start": ("IDLE",),
    "pause": ("RUNNING",),
    "resume": ("PAUSED",),
    "stop": ("RUNNING", "PAUSED"),
}
_WORDS: Final[dict[State, str]] = {
    "IDLE": "has not started",
    "RUNNING": "is running",
    "PAUSED": "is paused",
    "STOPPED": "was stopped",
    "FINISHED": "has finished",
}


# --- what a viewer gets


class _NoParams(Record):
    unused: int


class _Known(Record):
    asia_high: float
    asia_low: float
    london_high: float
    london_low: float
    day_high: float
    day_low: float


@kernel
def known_levels(s: Levels, p: _NoParams, bar: BarRecord, out: _Known) -> None:  # noqa: ARG001
    """The levels that a decision at this bar's close may use."""
    b = bar
    levels(s, b.day, b.minute, b.close_minute, b.session, b.high, b.low)
    out.asia_high, out.asia_low = s.asia_high, s.asia_low
    out.london_high, out.london_low = s.london_high, s.london_low
    out.day_high, out.day_low = s.day_high, s.day_low


KNOWN: Final = System(Levels, _NoParams, _Known, known_levels)


# --- the session


class ReplaySession:
    """One date of a tape through strategy and machine, under commands.

    The strategy has seen all bars before the date; the account is fresh. The journal is
    the one that a backtest of the same `name` writes for that date if it did not trade
    before (a test holds the two to the same bytes).

    Parameters
    ----------
    bars : BAR[n], in time order, through the quality gate
    day : the New York date to replay, by each bar's start; pre- and post-market included
    label : what stands on everything made from this tape
    name : names the run; order ids are derived from it

    Raises
    ------
    DataError
        If the tape has no bars on that date.
    """

    def __init__(
        self,
        bars: Rows,
        strategy: Strategy,
        config: MachineConfig,
        *,
        day: dt.date,
        label: Label,
        name: str,
    ) -> None:
        first, last = span(bars, day)
        self.label: Label = label
        self.day = day
        self.state: State = "IDLE"
        self.fault = ""
        self._strategy = strategy.name
        self._bars = bars[first:last]
        self._ts: NDArray[np.int64] = self._bars["ts"].copy()
        self.clock: int = int(self._ts[0]) - NS_PER_MINUTE
        self._next = 0
        self._bar: Bar | None = None
        self._sigma = math.nan

        self._shell = Shell(Machine(config, name), Journal({"simulated": label == "SIMULATED"}))
        self._machine = self._shell.machine
        self._stepper = Stepper(self._shell, strategy)
        self._levels = KNOWN.stream(KNOWN.params(unused=0))
        before = bars[:first]
        self._previous_close = prior_close(before)
        self._stepper.warm(before)
        self._levels.restore(KNOWN.run(before, self._levels.params)[0].tobytes())

        self._pnl: list[int] = []
        self._shown = Projection(self._shell)

    # --- commands

    def refusal(self, command: Command) -> str | None:
        """Why `command` is refused now; None = it is not."""
        if command == "resume" and self.fault:
            return "the session broke on an error and cannot go on"
        return None if self.state in _LEGAL[command] else f"the session {_WORDS[self.state]}"

    def start(self) -> str | None:
        """Let the session move. Returns the reason if it may not."""
        return self._to("start", "RUNNING")

    def pause(self) -> str | None:
        """Halt at the last bar; what is open stays open."""
        return self._to("pause", "PAUSED")

    def resume(self) -> str | None:
        """Go on after a pause."""
        return self._to("resume", "RUNNING")

    def stop(self, *, flatten: bool = True) -> str | None:
        """End the session: no more entries, and what is open is sold at the last bar's bid.

        The sale is journaled under the purpose "tape_end". With `flatten=False` open
        positions stay in the record as they are.
        """
        refused = self._to("stop", "STOPPED")
        if refused is None and flatten:
            self._flatten()
        return refused

    def _to(self, command: Command, state: State) -> str | None:
        refused = self.refusal(command)
        if refused is None:
            self.state = state
        return refused

    # --- progress

    def advance(self, n: int = 1) -> int:
        """Step through the next `n` bars; returns how many were stepped.

        Only a running session moves. After the last bar of the date it is FINISHED and
        flat. If a step raises, the session is paused for good, and the error passes on.
        """
        done = 0
        while done < n and self.state == "RUNNING":
            try:
                self._step()
            except Exception as error:
                self.state = "PAUSED"
                self.fault = f"{type(error).__name__}: {error}"
                raise
            done += 1
        return done

    def advance_to(self, clock: int) -> int:
        """Step through all bars complete at market time `clock` (UTC ns)."""
        due = int(np.searchsorted(self._ts, clock, side="right")) - self._next
        done = self.advance(due)
        if self.state == "RUNNING":
            self.clock = max(self.clock, clock)
        return done

    def _step(self) -> None:
        rows = self._bars[self._next : self._next + 1]
        self._bar = bar = to_bar(rows[0])
        self._stepper.step(rows)
        self._sigma = float(self._stepper.volatility.last["sigma"])
        self._levels.push(rows)
        self._next += 1
        self.clock = max(self.clock, bar.ts)
        self._pnl.append(self._shown.pnl_cents(bar, self._sigma))
        self._shown.read()
        if self._next == len(self._bars):
            self.state = "FINISHED"
            self._flatten()

    def _flatten(self) -> None:
        if self._bar is not None:
            self._shell.finish(self._bar, self._sigma)
            self._pnl[-1] = self._shown.pnl_cents(self._bar, self._sigma)
            self._shown.read()

    # --- views

    def bars_since(self, i: int) -> list[BarView]:
        """The bars stepped through, from number `i` (from 0) on."""
        rows = self._bars[i : self._next]
        return [
            BarView(ts=b.ts, open=b.open, high=b.high, low=b.low, close=b.close, volume=b.volume, pnl_cents=p)
            for b, p in zip(map(to_bar, rows), self._pnl[i:], strict=True)
        ]

    def marks_since(self, i: int) -> list[MarkView]:
        """Signals, entries and exits so far, from number `i` (from 0) on."""
        return self._shown.marks[i:]

    def view(self) -> SessionView:
        """The session now, as a frozen snapshot that survives JSON."""
        bar = self._bar
        refusals = {command: self.refusal(command) for command in _LEGAL}
        return SessionView(
            state=self.state,
            label=self.label,
            strategy=self._strategy,
            day=self.day,
            clock=self.clock,
            bar_at=bar.ts if bar else None,
            age_s=(self.clock - bar.ts) / _NS if bar else None,
            last=bar.close if bar else None,
            previous_close=self._previous_close,
            bars=self._next,
            bars_total=len(self._bars),
            levels=self._known() if bar else LevelsView(),
            blocked={command: reason for command, reason in refusals.items() if reason is not None},
            fault=self.fault,
            **self._shown.account(bar, self._sigma),
        )

    @property
    def journal(self) -> tuple[Entry, ...]:
        """All entries of the session's journal."""
        return tuple(self._shell.journal.entries)

    def _known(self) -> LevelsView:
        now = self._levels.last
        return LevelsView(**{name: number(float(now[name])) for name in now.dtype.names})


def span(bars: Rows, day: dt.date) -> tuple[int, int]:
    """First index, and one past the last, of the bars that start on a New York date.

    Raises
    ------
    DataError
        If there are none.
    """
    dates = new_york_minutes(bars["ts"] - NS_PER_MINUTE) // 1440
    first, last = (int(i) for i in np.searchsorted(dates, [ordinal(day), ordinal(day) + 1]))
    if first == last:
        covers = (
            f"it covers {from_ordinal(dates[0])} to {from_ordinal(dates[-1])}" if len(bars) else "it is empty"
        )
        raise DataError(f"the tape has no bars on {day}: {covers}")
    return first, last


def prior_close(before: Rows) -> float | None:
    """Close of the last bar in regular hours; None if there is none."""
    closes = before["close"][_regular(before)]
    return float(closes[-1]) if len(closes) else None


def session_days(bars: Rows) -> list[dt.date]:
    """New York dates with at least one bar in regular hours, in order."""
    return [from_ordinal(int(day)) for day in np.unique(bars["day"][_regular(bars)])]


def _regular(bars: Rows) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (bars["minute"] >= RTH_OPEN) & (bars["minute"] < bars["close_minute"])
    return inside
