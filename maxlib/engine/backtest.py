"""Backtest: a tape through a strategy and the machine, leaping or stepping.

Leaping computes all signals in one compiled pass and then visits only the bars
at which something can happen: a signal, a waiting order, an exit. Stepping
visits every bar, as a live trader must. A contract test holds the two to the
same journal, byte for byte.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.engine.events import Bar, Trade
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.readings import DAILY_PARAMS, Readings, readings, seen
from maxlib.engine.shell import VOLATILITY, Shell
from maxlib.journal.chain import Journal
from maxlib.options.volatility import REALISED
from maxlib.regimes.daily import DAILY
from maxlib.strategies.strategy import Strategy

Rows = NDArray[np.void]
Streams = tuple[bytes, bytes, bytes]
"""States of strategy, volatility and the daily volatility of the router (empty without one)."""


@dataclass(frozen=True)
class Run:
    """What a backtest leaves behind.

    Attributes
    ----------
    bars : BAR[n]; out : the strategy's output, one row per bar
    sigma : float64[n], volatility in force at each bar
    trades : closed trades in closing order
    journal : hash-chained record of the run
    signals, denials : how many signals there were, and refusals by code
    start_cents, cash_cents : account before and after
    readings : what the router of regimes knew; None = there is no router
    """

    bars: Rows
    out: Rows
    sigma: NDArray[np.float64]
    trades: list[Trade]
    journal: Journal
    signals: int
    denials: dict[str, int]
    start_cents: int
    cash_cents: int
    readings: Readings | None = None


def to_bar(row: Any) -> Bar:
    """A BAR row as plain numbers."""
    return Bar(*row.item())


def backtest(
    bars: Rows,
    strategy: Strategy,
    config: MachineConfig,
    run: str = "",
    *,
    journal: Journal | None = None,
    level: NDArray[np.float64] | None = None,
    leap: bool = True,
    finish: bool = True,
) -> Run:
    """Run `strategy` over `bars`.

    Parameters
    ----------
    bars : BAR[n], in time order, through the quality gate
    run : names the run; order ids are derived from it
    journal : where to write; None = a new one in memory
    level : volatility that prices the options at each bar; None = realised, from the bars
    leap : visit only bars at which something can happen (same result, much faster)
    finish : close what is open at the end of the tape; an audit of prefixes leaves it open

    Raises
    ------
    DataError
        If there are no bars.
    """
    if len(bars) == 0:
        raise DataError("the tape is empty: a backtest needs at least one bar")
    _, out = strategy.system.run(bars, strategy.params)
    sigma = REALISED.run(bars, VOLATILITY)[1]["sigma"] if level is None else level
    known = readings(bars, level) if config.routed else None
    if leap:
        return play(bars, out, sigma, config, run, known=known, journal=journal, finish=finish)
    shell = Shell(Machine(config, run), journal)
    stepper = Stepper(shell, strategy)
    for i in range(len(bars)):
        stepper.step(bars[i : i + 1], None if level is None else float(level[i]))
    return _done(shell, bars, out, sigma, known, finish=finish)


def play(
    bars: Rows,
    out: Rows,
    sigma: NDArray[np.float64],
    config: MachineConfig,
    run: str = "",
    *,
    known: Readings | None = None,
    journal: Journal | None = None,
    finish: bool = True,
) -> Run:
    """Run the machine over signals that exist already: `out["signal"]`, one a bar.

    So many machines can share one strategy's work, or none: the placebo's signals are drawn.
    `known` is needed where `config` has a router of regimes.
    """
    shell = Shell(Machine(config, run), journal)
    _leap(shell, bars, out, sigma, known)
    return _done(shell, bars, out, sigma, known, finish=finish)


def _done(
    shell: Shell, bars: Rows, out: Rows, sigma: NDArray[np.float64], known: Readings | None, *, finish: bool
) -> Run:
    if finish:
        shell.finish(to_bar(bars[-1]), float(sigma[-1]))
    machine = shell.machine
    return Run(
        bars, out, sigma, machine.trades, shell.journal, machine.signals, machine.denials,
        machine.ledger.start_cents, machine.ledger.cash_cents, known,
    )  # fmt: skip


def _leap(shell: Shell, bars: Rows, out: Rows, sigma: NDArray[np.float64], known: Readings | None) -> None:
    """Jump from event to event; each position's exit step runs ahead to its next event."""
    n = len(bars)
    signals = out["signal"]
    signalled: set[int] = set(np.flatnonzero(signals["side"]).tolist())
    read = set() if known is None else set(known.changes())
    wanted = sorted(signalled | read)
    positions = shell.machine.positions
    ahead: dict[int, tuple[int, Any]] = {}

    def look(number: int, first: int) -> None:
        watch = positions[number].watch
        if watch is not None:
            found = watch.seek(bars, first, n)
            ahead[number] = (found, watch.last.copy())

    i = wanted[0] if wanted else n
    while i < n:
        bar, volatility = to_bar(bars[i]), float(sigma[i])
        shell.open(bar, volatility)
        for number in positions.keys() - ahead.keys():
            look(number, i)
        due = {number: event for number, (at, event) in ahead.items() if at == i}
        if due:
            shell.close(bar, bars[i : i + 1], volatility, due)
            for number in due:
                del ahead[number]
                if number in positions:
                    look(number, i + 1)
        if known is not None and i in read:
            shell.volatility(bar, known.at(i), volatility)
        if i in signalled:
            shell.signal(bar, signals[i], volatility)
        ahead = {number: event for number, event in ahead.items() if number in positions}
        after = bisect_left(wanted, i + 1)
        times = [at for at, _ in ahead.values()]
        if after < len(wanted):
            times.append(wanted[after])
        if shell.waiting:
            times.append(i + 1)
        i = min(times, default=n)


class Stepper:
    """One bar at a time: strategy and volatility as streams in front of a shell.

    Where the machine has a router of regimes, a third stream feeds it with readings.
    """

    def __init__(self, shell: Shell, strategy: Strategy) -> None:
        self.shell = shell
        self._how = strategy
        self.strategy = strategy.system.stream(strategy.params)
        self.volatility = REALISED.stream(VOLATILITY)
        self._daily = DAILY.stream(DAILY_PARAMS) if shell.machine.config.routed else None

    def step(self, rows: Rows, level: float | None = None) -> Any:
        """Feed one bar (an array of length one); returns the strategy's output (a view).

        `level` takes the place of the realised volatility.
        """
        bar = to_bar(rows[0])
        realised = float(self.volatility.push(rows)["sigma"])
        sigma = realised if level is None else level
        self.shell.open(bar, sigma)
        self.shell.close(bar, rows, sigma)
        if self._daily is not None:
            self.shell.volatility(bar, seen(self._daily.push(rows), level), sigma)
        out = self.strategy.push(rows)
        if out["signal"]["side"]:
            self.shell.signal(bar, out["signal"], sigma)
        return out

    def warm(self, history: Rows) -> None:
        """Let the streams see bars of the past, without the machine: far sooner than stepping."""
        strategy, _ = self._how.system.run(history, self._how.params)
        volatility, _ = REALISED.run(history, VOLATILITY)
        daily = b"" if self._daily is None else DAILY.run(history, DAILY_PARAMS)[0].tobytes()
        self.restore((strategy.tobytes(), volatility.tobytes(), daily))

    def snapshot(self) -> Streams:
        """State of the streams; the machine has its own snapshot."""
        daily = b"" if self._daily is None else self._daily.snapshot()
        return self.strategy.snapshot(), self.volatility.snapshot(), daily

    def restore(self, state: Streams) -> None:
        """Continue from a snapshot."""
        strategy, volatility, daily = state
        self.strategy.restore(strategy)
        self.volatility.restore(volatility)
        if self._daily is not None:
            self._daily.restore(daily)
