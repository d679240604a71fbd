"""The trial ledger: every run that was ever tried, appended and hash-chained.

The best of many worthless runs looks good. How good is known once it is known how many there
were: so every run is recorded, and the deflated Sharpe ratio takes its N from here. What counts
as a trial is said in `research/deflation.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.analytics.metrics import wilson
from maxlib.analytics.statistics import daily_pnl, measure_days, session_days
from maxlib.core.canonical import sha256
from maxlib.core.config import config_hash
from maxlib.core.errors import DataError
from maxlib.data.simulator import SimulatorConfig
from maxlib.journal import chain
from maxlib.journal.store import JournalFile, read
from maxlib.market.calendar import from_ordinal
from maxlib.research.deflation import DIAGNOSTIC, YEAR, Deflated, Figures, Trial, Trials, count, deflate
from maxlib.research.provenance import code_version

if TYPE_CHECKING:
    from maxlib.research.accounting import Accounting
    from maxlib.research.run import ScenarioRun
    from maxlib.research.scenario import Scenario

_KIND: Final = "trial"
_WAIT_SECONDS: Final = 30.0


class Entry(NamedTuple):
    """A recorded trial: number from 1, UTC ns as passed to `append`, and the chain's hash up to here."""

    number: int
    at: int
    trial: Trial
    hash: str


def days_of(done: ScenarioRun) -> NDArray[np.float64]:
    """Daily P&L of a run in dollars, one number a session of its tape, days without a trade included."""
    trades = done.run.trades
    days = session_days(done.tape.bars)
    return daily_pnl(days, [t.exit_at for t in trades], [t.pnl_cents for t in trades])


def trial_of(done: ScenarioRun, kind: str = "backtest", seed: int | None = None) -> Trial:
    """The trial that a scenario's run was.

    Parameters
    ----------
    kind : see `Trial`
    seed : of whatever was random; None = the simulator's, if the tape is simulated
    """
    tape, simulator = done.tape, done.scenario.data.simulator
    days = measure_days(days_of(done))
    if seed is None and tape.simulated and simulator is not None:
        seed = simulator.seed
    return Trial(
        kind=kind,
        scenario=done.scenario.name,
        config_hash=config_hash(done.scenario),
        symbol=tape.symbol,
        data=tape.name,
        data_sha256=tape.sha256,
        first=str(from_ordinal(tape.bars["day"][0])),
        last=str(from_ordinal(tape.bars["day"][-1])),
        simulated=tape.simulated,
        code_version=code_version(),
        seed=seed,
        figures=Figures(
            trades=done.metrics.trades,
            wins=done.metrics.wins,
            pnl_usd=done.metrics.pnl_usd,
            days=days.days,
            sharpe=days.sharpe,
            skew=days.skew,
            kurtosis=days.kurtosis,
        ),
    )


def record(
    kind: str,
    scenario: Scenario,
    accounting: Accounting,
    *,
    trades: float,
    win_rate: float | None,
    pnl_usd: float,
    seed: int | None = None,
) -> Entry:
    """Record a run of one of the kinds in `DIAGNOSTIC`, which has figures but no days, in the default ledger.

    Parameters
    ----------
    accounting : what was run; its bars are hashed as they are, repeated ones included
    trades, win_rate, pnl_usd : what it came to; of several seeds the mean
    seed : the first, if there were any

    Raises
    ------
    DataError
        As `TrialLedger.append`.
    """
    data, bars = scenario.data, accounting.bars
    if seed is None and data.source == "simulator":
        seed = (data.simulator or SimulatorConfig()).seed
    wins = 0 if win_rate is None else round(win_rate * trades)
    trial = Trial(
        kind=kind,
        scenario=scenario.name,
        config_hash=config_hash(scenario),
        symbol=data.symbol,
        data=Path(data.path).name if data.path else data.source,
        data_sha256=sha256(bars.tobytes()),
        first=str(from_ordinal(bars["day"][0])),
        last=str(from_ordinal(bars["day"][-1])),
        simulated=data.source == "simulator",
        code_version=code_version(),
        seed=seed,
        figures=Figures(round(trades), wins, pnl_usd, len(session_days(bars)), None, None, None),
        accounting=accounting.name,
    )
    return TrialLedger().append(trial, time.time_ns())


def default_path() -> Path:
    """Where the ledger lies: MAXTRADER_TRIALS, else `var/trials.sqlite` in the current directory."""
    return Path(os.environ.get("MAXTRADER_TRIALS") or Path("var") / "trials.sqlite").expanduser()


class _Head:
    """Number and hash of the newest entry, kept beside the ledger in the file that is also its lock.

    A chain cannot tell that its end was cut off; this can. Written durably after the entry is safe,
    and brought up to date before the next one, so after a crash it is one entry behind at the most
    and never ahead. A file further behind, or one that names nothing, was put there by somebody.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        number, _, self.hash = os.pread(handle, 100, 0).decode("ascii", "replace").strip().partition(" ")
        self.number = int(number) if number.isdecimal() else 0
        if self.number == 0:
            self.hash = chain.GENESIS

    def write(self, number: int, hash_: str) -> None:
        os.pwrite(self._handle, f"{number:020d} {hash_}\n".encode(), 0)
        os.fsync(self._handle)

    def missing_from(self, rows: Sequence[chain.Entry], name: str) -> str | None:
        """What a ledger lost or may have lost, as a sentence; None if it ends with the entry named here.

        Parameters
        ----------
        name : of the file that says so
        """
        newest = rows[-1].seq if rows else 0
        if newest < self.number:
            return f"{_numbers(newest + 1, self.number)} missing from the end"
        if self.number and all(row.hash != self.hash for row in rows if row.seq == self.number):
            return f"entry {self.number} is not the one that was written under that number"
        if newest > self.number + 1:
            named = f"names entry {self.number}" if self.number else "names none"
            return f"the newest entry is {newest} and {name} {named}, so that a cut end could not be seen"
        return None


class TrialLedger:
    """The ledger in one SQLite file; an append is durable when it returns.

    Any number of processes may append: each waits for the lock on `<file>.head`, which also keeps
    the newest entry's number and hash. Who cuts the ledger's end and mends that file too is found
    out only by an entry's hash that was quoted elsewhere.

    Parameters
    ----------
    path : Path or None
        None = `default_path()`. Made by the first append.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_path() if path is None else path

    def append(self, trial: Trial, at: int) -> Entry:
        """Record a trial.

        Parameters
        ----------
        at : UTC ns of the record

        Raises
        ------
        DataError
            If the ledger cannot be written to within 30 s, or is not whole (what `verify` says):
            writing on would hide the loss.
        """
        body = asdict(trial)
        with self._locked() as head:
            try:
                rows = read(self.path) if self.path.exists() else []
                problems = _problems(rows, head.missing_from(rows, self._head_file.name))
                if problems:
                    raise DataError(
                        f"trial ledger {self.path}: {problems[0]}; restore it, or move it and "
                        f"{self._head_file.name} away to begin a new one"
                    )
                with closing(JournalFile(self.path)) as file:
                    if rows and rows[-1].hash != head.hash:  # a crash came between entry and note
                        head.write(rows[-1].seq, rows[-1].hash)
                    entry = file.append(at, _KIND, body)
                head.write(entry.seq, entry.hash)
            except (sqlite3.Error, OSError) as error:
                raise DataError(f"trial ledger {self.path} cannot be written: {error}") from None
        return Entry(entry.seq, at, trial, entry.hash)

    def entries(self) -> list[Entry]:
        """All entries in order; empty if there is no ledger. The chain is not checked.

        Raises
        ------
        DataError
            If the file cannot be read, or an entry is not one of a trial.
        """
        return [self._entry(row) for row in self._rows()[0]]

    def verify(self, known: str | None = None) -> list[str]:
        """What is wrong with the ledger, a sentence each; empty if nothing is.

        Finds an entry that was edited, removed, moved or put in, and a cut end.

        Parameters
        ----------
        known : hash of an entry, as quoted in a result; it must be in the ledger
        """
        try:
            rows, lost = self._rows()
        except DataError as error:
            return [str(error)]
        return _problems(rows, lost, known)

    def trials_of(self, data_sha256: str) -> Trials:
        """The trials that stand behind a run on this data; none if there was no such run."""
        trials = [entry.trial for entry in self.entries()]
        on_it = [t for t in trials if t.data_sha256 == data_sha256 and t.kind not in DIAGNOSTIC]
        return count(trials, on_it[0]) if on_it else Trials(0, None)

    def deflated(self, trial: Trial) -> Deflated:
        """The deflated Sharpe ratio of a trial, recorded or not, by all that the ledger knows.

        Without a DSR, and with a reason, where it cannot be known: too few days or trials, trials
        that do not differ, or a ledger that does not verify.
        """
        if trial.kind in DIAGNOSTIC:
            nothing = deflate(trial.figures, Trials(0, None))
            return nothing._replace(reason=f"a {trial.kind} run is no trial of a strategy")
        try:
            rows, lost = self._rows()
            problems = _problems(rows, lost)
            trials = [] if problems else [self._entry(row).trial for row in rows]
        except DataError as error:
            problems, trials = [str(error)], []
        if problems:
            nothing = deflate(trial.figures, Trials(0, None))
            return nothing._replace(reason=f"the trial ledger cannot be relied on: {problems[0]}")
        return deflate(trial.figures, count(trials, trial))

    def rows(self) -> list[dict[str, Any]]:
        """Entries as rows for tables and files; times UTC ISO, Sharpe ratios per year."""
        return [_row(entry) for entry in self.entries()]

    def sentences(self) -> list[str]:
        """The ledger in plain sentences: its size and state, then the best run on each real tape."""
        rows, lost = self._rows()
        if not rows and not lost:
            return [f"No trial is recorded in {self.path}."]
        problems = _problems(rows, lost)
        if problems:
            return [f"The trial ledger {self.path} cannot be relied on.", *(f"  {p}" for p in problems)]
        trials = [self._entry(row).trial for row in rows]
        made_up = sum(t.simulated for t in trials)
        state = f"the chain holds, its head is {rows[-1].hash[:12]}"
        runs = "1 run" if len(trials) == 1 else f"{len(trials):,} runs"
        lines = [f"{runs}, {made_up:,} of them SIMULATED; {state}."]
        tapes: dict[str, list[Trial]] = {}
        for trial in trials:
            if not trial.simulated and trial.kind not in DIAGNOSTIC:
                tapes.setdefault(trial.data_sha256, []).append(trial)
        for tried in tapes.values():
            best = max(tried, key=_sharpe_or_less)
            found = deflate(best.figures, count(trials, best))
            lines.append(f"{best.data}, {best.first} to {best.last}: best is {best.scenario}, N {found.n}.")
            lines.append(f"  {found.sentence()}")
        return lines

    @property
    def _head_file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.head")

    def _rows(self) -> tuple[list[chain.Entry], str | None]:
        """The raw entries, and what is missing from their end."""
        if not self.path.exists() and not self._head_file.exists():
            return [], None
        with self._locked() as head:
            rows = read(self.path) if self.path.exists() else []
            return rows, head.missing_from(rows, self._head_file.name)

    def _entry(self, row: chain.Entry) -> Entry:
        try:
            values = json.loads(row.body)
            return Entry(
                row.seq, row.ts, Trial(**{**values, "figures": Figures(**values["figures"])}), row.hash
            )
        except (ValueError, TypeError, KeyError):
            raise DataError(f"trial ledger {self.path}: entry {row.seq} is not that of a trial") from None

    @contextmanager
    def _locked(self) -> Iterator[_Head]:
        """Keep other processes and threads out; they wait, but not forever."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._head_file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataError(f"trial ledger {self.path} cannot be opened: {error.strerror}") from None
        try:
            began = time.monotonic()
            while not _try_lock(handle):
                if time.monotonic() - began > _WAIT_SECONDS:
                    raise DataError(
                        f"trial ledger {self.path} was in use for {_WAIT_SECONDS:.0f} s; try again"
                    )
                time.sleep(0.002)
            yield _Head(handle)
        finally:
            # Closing is not enough: a process forked meanwhile would go on holding the lock.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _problems(rows: Sequence[chain.Entry], lost: str | None, known: str | None = None) -> list[str]:
    """What is wrong with a chain; an entry is held against the hash that stands before it."""
    found = []
    number, before = 0, chain.GENESIS
    for row in rows:
        if row.seq > number + 1:
            found.append(f"{_numbers(number + 1, row.seq - 1)} missing")
        elif chain.link(before, number + 1, row.ts, row.kind, row.body) != row:
            found.append(f"entry {row.seq} does not follow from the one before it: one of them was changed")
        number, before = row.seq, row.hash
    if lost:
        found.append(lost)
    if known is not None and all(row.hash != known for row in rows):
        found.append(f"no entry has the hash {known[:12]}…")
    return found


def _numbers(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _sharpe_or_less(trial: Trial) -> float:
    return float("-inf") if trial.figures.sharpe is None else trial.figures.sharpe


def _row(entry: Entry) -> dict[str, Any]:
    trial, f = entry.trial, entry.trial.figures
    low, high = wilson(f.wins, f.trades)
    return {
        "number": entry.number,
        "at": str(np.datetime64(entry.at, "ns").astype("datetime64[s]")) + "Z",
        "kind": trial.kind,
        "scenario": trial.scenario,
        "accounting": trial.accounting,
        "data": trial.data,
        "simulated": trial.simulated,
        "first": trial.first,
        "last": trial.last,
        "trades": f.trades,
        "win_rate": f.wins / f.trades if f.trades else None,
        "win_low": low,
        "win_high": high,
        "pnl_usd": f.pnl_usd,
        "days": f.days,
        "sharpe_annual": None if f.sharpe is None else f.sharpe * YEAR,
        "psr": deflate(f, Trials(0, None)).psr,
        "seed": trial.seed,
        "config_hash": trial.config_hash,
        "data_sha256": trial.data_sha256,
        "code_version": trial.code_version,
        "hash": entry.hash,
    }
