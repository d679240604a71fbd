"""The daily report: what a paper trader did, beside what a backtest up to that day lets expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.analytics.statistics import session_days
from maxlib.core.config import config_hash
from maxlib.data.tape import Tape
from maxlib.data.tape import load as load_tape
from maxlib.engine.backtest import backtest
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal, new_york_minutes, ordinal
from maxlib.research.drift import Compared, Drift, means, overall, shares
from maxlib.research.paper_days import PaperDay, read_days
from maxlib.research.provenance import code_version
from maxlib.research.run import level_of

Floats = NDArray[np.float64]

WEEK: Final = 5
"""Sessions of a week."""
SENTENCES: Final[dict[Drift, str]] = {
    "within": "The paper trader does what the backtest did: every judged figure lies within ±10 % of it.",
    "drift": "The paper trader does not do what the backtest did",
    "not_enough": "Not enough to tell whether the paper trader does what the backtest did",
}


@dataclass(frozen=True)
class Expected:
    """What the backtest did on the days before. One value a trade, or a session.

    Attributes
    ----------
    name : of the tape; simulated : its bars are
    first, last : dates of its first and last session, days since 1970; 0 = there is none
    won : bool[trades]; pnl, slippage : float64[trades], dollars a unit
    signals : float64[sessions], signals of each
    """

    name: str
    simulated: bool
    sha256: str
    first: int
    last: int
    won: NDArray[np.bool_] = field(repr=False)
    pnl: Floats = field(repr=False)
    slippage: Floats = field(repr=False)
    signals: Floats = field(repr=False)

    @property
    def trades(self) -> int:
        """How many trades it rests on."""
        return len(self.won)


@dataclass(frozen=True)
class Daily:
    """A daily report; `days` in order, the last one is the day it is of."""

    days: tuple[PaperDay, ...]
    expected: Expected
    figures: tuple[Compared, ...]
    verdict: Drift
    notes: tuple[str, ...]

    @property
    def today(self) -> PaperDay:
        """The day that the report is of."""
        return self.days[-1]

    @property
    def simulated(self) -> bool:
        """SIMULATED must stand on everything made of it."""
        return self.today.label == "SIMULATED" or self.expected.simulated

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        words = SENTENCES[self.verdict]
        which = [f for f in self.figures if f.verdict == self.verdict]
        if self.verdict == "drift":
            return f"{words}: outside ±10 % of it {'is' if len(which) == 1 else 'are'} {_names(which)}."
        if self.verdict == "not_enough":
            return f"{words}: {', and '.join(dict.fromkeys(f.why for f in which))}."
        return words


def _names(figures: Sequence[Compared]) -> str:
    return " and ".join(figure.name for figure in figures)


def daily(folders: Sequence[Path]) -> Daily:
    """The report of the newest of these days; the days before it are added to what was actually done.

    The backtest ends before the first of them: it has seen none of what it is compared with.

    Raises
    ------
    MaxTraderError
        If a journal cannot be used, the days do not belong together, or the scenario's bars cannot be had.
    """
    days = read_days(folders)
    tape = load_tape(days[0].scenario.data)
    expected = before(days[0], tape)
    figures = compare(days, expected)
    return Daily(tuple(days), expected, figures, overall(list(figures)), tuple(_notes(days, expected, tape)))


def before(day: PaperDay, tape: Tape) -> Expected:
    """The backtest of a day's scenario over the bars that start on earlier New York dates."""
    scenario = day.scenario
    dates = new_york_minutes(tape.bars["ts"] - NS_PER_MINUTE) // 1440
    end = int(np.searchsorted(dates, ordinal(day.date)))
    nothing = np.array([], np.float64)
    if end == 0:
        flags = np.array([], np.bool_)
        return Expected(tape.name, tape.simulated, tape.sha256, 0, 0, flags, nothing, nothing, nothing)
    level = level_of(scenario, tape)
    bars = tape.bars[:end]
    run = backtest(
        bars, scenario.strategy.build(), scenario.machine, level=None if level is None else level[:end]
    )
    sessions = session_days(bars)
    pnl = np.array([t.pnl_cents for t in run.trades], np.float64)
    units = np.array([t.quantity for t in run.trades], np.float64)
    slippage = np.array([t.slippage_cents for t in run.trades], np.float64)
    at = np.array([e.ts for e in run.journal.entries if e.kind == "signal"], np.int64)
    first, last = (int(sessions[0]), int(sessions[-1])) if len(sessions) else (0, 0)
    return Expected(
        tape.name, tape.simulated, tape.sha256, first, last,
        won=pnl > 0, pnl=pnl / units / 100, slippage=slippage / units / 100, signals=_counts(sessions, at),
    )  # fmt: skip


def _counts(sessions: NDArray[np.int64], at: NDArray[np.int64]) -> Floats:
    """Signals of each session; one outside of them (before the open) counts to its New York date."""
    dates = new_york_minutes(at - NS_PER_MINUTE) // 1440
    return np.array([np.count_nonzero(dates == session) for session in sessions], np.float64)


def compare(days: Sequence[PaperDay], expected: Expected) -> tuple[Compared, ...]:
    """Win rate, P&L of a unit, signals a week, slippage of a unit.

    P&L and slippage are of a unit: sizes follow the account, which a backtest has grown or shrunk.
    """
    trades = [t for day in days for t in day.trades]
    units = np.array([t.quantity for t in trades], np.float64)
    pnl = np.array([t.pnl_cents for t in trades], np.float64) / 100 / units
    slipped = np.array([t.slippage_cents for t in trades], np.float64) / 100 / units
    signals = [_counts(day.sessions, np.array([ts for ts, _ in day.signals], np.int64)) for day in days]
    slippage = means("slippage of a unit", "usd", "trades", slipped, expected.slippage)
    if all(day.fills == day.modelled for day in days):
        slippage = _unjudged(slippage, "no fill was a broker's, so there is nothing to judge")
    return (
        shares("win rate", pnl > 0, expected.won),
        means("P&L of a unit", "usd", "trades", pnl, expected.pnl),
        means("signals a week", "count", "sessions", np.concatenate(signals), expected.signals, WEEK),
        slippage,
    )


def _unjudged(figure: Compared, why: str) -> Compared:
    return Compared(**{**figure.as_dict(), "verdict": None, "why": why, "needed": None})


def _notes(days: Sequence[PaperDay], expected: Expected, tape: Tape) -> list[str]:
    today = days[-1]
    notes = []
    if not today.finished:
        notes.append("The day is not over: this is what the journal holds so far.")
    if today.finished and today.unseen:
        notes.append(
            f"{today.unseen} regular minutes of the day were not seen: what would have traded in them is "
            "in none of the figures."
        )
    if today.open:
        notes.append(f"{today.open} position(s) are still open and in none of the figures.")
    if len(expected.signals) == 0:
        notes.append(f"{tape.name} has no session before {days[0].date}: there is nothing to compare with.")
    covered = {str(from_ordinal(int(day))) for day in session_days(tape.bars)}
    strange = [
        str(day.date) for day in days if day.data_sha256 not in ("", tape.sha256) and str(day.date) in covered
    ]
    if strange:
        notes.append(
            f"The bars of the scenario are not those that the trader had on {', '.join(strange)}: their "
            "SHA-256 differs. The backtest may rest on another history."
        )
    other = sorted({day.code_version for day in days} - {code_version()})
    if other:
        notes.append(
            f"The backtest was run by {code_version()}, the trader by {', '.join(other)}: a difference may "
            "be the program's."
        )
    if len(expected.signals):
        notes.append(
            "The backtest begins cold: the strategy warms up on its first sessions and may signal less there."
        )
    return notes


# --- as JSON


def result(report: Daily) -> dict[str, Any]:
    """The `result.json` of a daily report. Plain JSON values."""
    today, expected = report.today, report.expected
    return {
        "scenario": today.scenario.name,
        "title": title(report),
        "label": today.label,
        "date": str(today.date),
        "verdict": report.verdict,
        "sentence": report.sentence,
        "figures": {figure.name: figure.as_dict() for figure in report.figures},
        "today": {
            "signals": len(today.signals), "denials": dict(denials(today)), "trades": len(today.trades),
            "wins": sum(t.pnl_cents > 0 for t in today.trades), "pnl_usd": today.pnl_cents / 100,
            "fees_usd": sum(t.fee_cents for t in today.trades) / 100,
            "slippage_usd": round(sum(t.slippage_cents for t in today.trades) / 100, 4),
            "open": today.open, "finished": today.finished,
        },
        "days": [
            {"date": str(day.date), "trades": len(day.trades), "pnl_usd": day.pnl_cents / 100,
             "journal": {"entries": day.entries, "head": day.head}, "code_version": day.code_version}
            for day in report.days
        ],
        "expected": {
            "data": expected.name, "simulated": expected.simulated, "sha256": expected.sha256,
            "sessions": len(expected.signals), "trades": expected.trades,
            "first": str(from_ordinal(expected.first)) if expected.first else None,
            "last": str(from_ordinal(expected.last)) if expected.last else None,
        },
        "events": [event._asdict() for event in today.log],
        "notes": list(report.notes),
        "config_hash": config_hash(today.scenario),
        "code_version": code_version(),
    }  # fmt: skip


def title(report: Daily) -> str:
    """Scenario and day."""
    return f"{report.today.scenario.name}, {report.today.date:%A, %-d %B %Y}"


def denials(day: PaperDay) -> list[tuple[str, int]]:
    """Codes and how often, the most frequent first."""
    counts = Counter(denied.code for denied in day.denied)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
