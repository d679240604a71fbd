"""Run a scenario from its settings to its result."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.analytics.bootstrap import Bootstrap, bootstrap
from maxlib.analytics.metrics import Metrics, measure
from maxlib.analytics.statistics import session_days
from maxlib.core.config import config_hash
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.data.tape import Tape
from maxlib.data.tape import load as load_tape
from maxlib.engine.backtest import Run, backtest
from maxlib.engine.events import Trade
from maxlib.journal.chain import Journal
from maxlib.journal.store import JournalFile
from maxlib.market.calendar import from_ordinal, new_york
from maxlib.market.instruments import instrument
from maxlib.options.expiry import worst_cents
from maxlib.options.surface import FITTED_FIRST, FITTED_LAST
from maxlib.options.volatility import vix_level
from maxlib.research.band import Band, band
from maxlib.research.deflation import Deflated
from maxlib.research.honest import HonestAccounting
from maxlib.research.placebo import Placebo, placebo
from maxlib.research.provenance import code_version
from maxlib.research.scenario import Scenario
from maxlib.research.trials import Entry, TrialLedger, days_of, trial_of
from maxlib.research.verdict import Judgement, Verdict, judge

MODELLED: Final = (
    "Option prices are modelled (realised volatility of the closes before, of which the session's share, "
    "with a smile and spreads fitted on real chains, see docs/modelled-chain.md): no quote of that day "
    "was available."
)
CONVENTION: Final = (
    "Option prices are modelled by the convention of spec §12.1 (Black-Scholes-Merton on the trading clock, "
    "realised volatility, a spread of the larger of a cent and 1 %): no quote of that day was available."
)
OVERNIGHT: Final = (
    "The volatility is close to close and its clock stops overnight, as in spec §12.1: the night's variance "
    "is charged to the day, so options are too dear (1.3 times in volatility where 40 % of the variance "
    "comes overnight). Part of a loss is this convention; desk.model=fitted shows how much."
)


@dataclass(frozen=True)
class ScenarioRun:
    """A scenario, the tape it ran on, the run, and what it came to. `seconds` is wall time."""

    scenario: Scenario
    tape: Tape
    run: Run
    metrics: Metrics
    verdict: Verdict
    judgements: list[Judgement]
    seconds: float
    placebo: Placebo | None = None
    band: Band | None = None
    trial: Entry | None = None
    deflated: Deflated | None = None
    resampled: Bootstrap | None = None


def run_scenario(scenario: Scenario, tape: Tape | None = None, *, lab: bool = True) -> ScenarioRun:
    """Load the bars, run strategy and machine, judge the claims.

    Parameters
    ----------
    lab : feed the accounting a placebo first, draw the band, and record the trial; without
        it the run is a figure that nobody may be shown

    Raises
    ------
    MaxTraderError
        If the data cannot be had or is refused, or a promise breaks.
    """
    began = time.perf_counter()
    tape = tape or load_tape(scenario.data)
    name = config_hash(scenario)
    journal = Journal({"simulated": tape.simulated})
    opening = {
        "scenario": scenario.name, "config_hash": name, "code_version": code_version(),
        "data": tape.name, "data_sha256": tape.sha256,
    }  # fmt: skip
    journal.append(int(tape.bars["ts"][0]), "run", opening)
    level = level_of(scenario, tape)
    run = backtest(tape.bars, scenario.strategy.build(), scenario.machine, name, journal=journal, level=level)
    metrics = trade_metrics(run.trades, scenario)
    verdict, judgements = judge(scenario.claims, metrics)
    done = ScenarioRun(scenario, tape, run, metrics, verdict, judgements, time.perf_counter() - began)
    return examine(done, began) if lab else done


def level_of(scenario: Scenario, tape: Tape) -> NDArray[np.float64] | None:
    """The volatility that prices a scenario's options at each bar; None = realised.

    Raises
    ------
    DataError
        If VIX is asked for and the tape has none.
    """
    if scenario.volatility == "realised":
        return None
    if tape.vix is None:
        raise DataError(f"{scenario.name}: volatility is vix, but {tape.name} comes without; give data.vix")
    return vix_level(tape.bars, tape.vix)


def examine(done: ScenarioRun, began: float) -> ScenarioRun:
    """Placebo, band and trial of a run. A refused accounting decides the verdict, whatever it was."""
    scenario = done.scenario
    fed = placebo(HonestAccounting(done.run, scenario.machine)) if done.run.trades else None
    drawn = band(done.run, scenario.machine)
    trial = trial_of(done)
    ledger = TrialLedger()
    entry = ledger.append(trial, time.time_ns())
    return replace(
        done,
        verdict="refused" if fed is not None and fed.refused else done.verdict,
        placebo=fed,
        band=drawn,
        trial=entry,
        deflated=ledger.deflated(trial),
        resampled=bootstrap(days_of(done)),
        seconds=time.perf_counter() - began,
    )


def trade_metrics(trades: list[Trade], scenario: Scenario) -> Metrics:
    """Metrics of a scenario's trades."""
    multiplier = instrument(scenario.data.symbol).multiplier
    return measure(
        [t.pnl_cents for t in trades],
        [t.fee_cents for t in trades],
        [(t.entry_price_cents - worst_cents(t.legs)) * t.quantity * multiplier for t in trades],
        scenario.risk.account_usd * 100,
    )


def result(done: ScenarioRun) -> dict[str, Any]:
    """The `result.json` of a run: figures, claims, provenance. Plain JSON values."""
    tape = done.tape
    return {
        "scenario": done.scenario.name,
        "title": done.scenario.title,
        "verdict": done.verdict,
        "figures": done.metrics.as_dict(),
        "claims": {
            "source": done.scenario.claims.source if done.scenario.claims else None,
            "figures": {
                j.figure: {k: v for k, v in j._asdict().items() if k != "figure"} for j in done.judgements
            },
        },
        "placebo": None if done.placebo is None else done.placebo.as_dict(),
        "band": None if done.band is None else done.band.as_dict(),
        "trial": _trial(done),
        "bootstrap": None if done.resampled is None else done.resampled.as_dict(),
        "data": {
            "source": tape.source,
            "simulated": tape.simulated,
            "name": tape.name,
            "symbol": tape.symbol,
            "bars": len(tape.bars),
            "duplicates": tape.quality.count("exact_duplicates"),
            "sha256": tape.sha256,
            "file_sha256": tape.file_sha256,
            "quality": tape.quality.as_dict(),
        },
        "signals": done.run.signals,
        "denials": done.run.denials,
        "notes": [
            *([done.scenario.fills.banner] if done.scenario.fills.banner else []),
            *((CONVENTION, OVERNIGHT) if done.scenario.desk.model == "spec" else (MODELLED,)),
            *in_sample(done),
            *done.scenario.notes,
        ],
        "journal": {"entries": len(done.run.journal.entries), "head": done.run.journal.head},
        "config": done.scenario.model_dump(mode="json"),
        "config_hash": config_hash(done.scenario),
        "code_version": code_version(),
        "seconds": round(done.seconds, 3),
    }


def in_sample(done: ScenarioRun) -> list[str]:
    """What a run on the days of the modelled chain's own fit has to say; nothing of any other."""
    if done.scenario.desk.model != "fitted" or done.tape.simulated:
        return []
    days = session_days(done.tape.bars)
    first, last = str(from_ordinal(days[0])), str(from_ordinal(days[-1]))
    if last < FITTED_FIRST or first > FITTED_LAST:
        return []
    within = f"{max(first, FITTED_FIRST)} to {min(last, FITTED_LAST)}"
    fit = "the session's share of the variance and its course over the day were fitted on QQQ"
    return [f"Prices are in-sample from {within}: {fit} from {FITTED_FIRST} to {FITTED_LAST}."]


def _trial(done: ScenarioRun) -> dict[str, Any] | None:
    """Where the run stands in the ledger, and what is left of its Sharpe ratio after all trials there."""
    if done.trial is None or done.deflated is None:
        return None
    return {"number": done.trial.number, "hash": done.trial.hash, **done.deflated._asdict()}


VERDICTS: Final = {
    "holds": "the claims hold",
    "does_not_hold": "the claims do not hold",
    "no_claim": "nothing was claimed",
    "refused": "the accounting is refused, since coin flips profit by it",
}


def sentences(done: ScenarioRun) -> list[str]:
    """The outcome in plain sentences: figures first, then each claim."""
    m, stamp = done.metrics, "SIMULATED " if done.tape.simulated else ""
    head = (
        f"{done.scenario.name}: {m.trades} trades, {_rate(m)}, P&L {m.pnl_usd:,.2f} $, "
        f"drawdown {m.max_drawdown_usd:,.2f} $, on {len(done.tape.bars):,} {stamp}bars ({done.tape.name})."
    )
    lines = [] if done.placebo is None else [done.placebo.sentence()]
    lines += [done.scenario.fills.banner] if done.scenario.fills.banner else []
    lines.append(head)
    lines += [] if done.band is None else [done.band.sentence()]
    lines += [] if done.deflated is None else [done.deflated.sentence()]
    for j in done.judgements:
        where = "inside" if j.inside else "OUTSIDE"
        lines.append(f"  {j.figure}: claimed {j.claimed:,.10g}, measured {_number(j.measured)}: {where}.")
    lines.append(f"Verdict: {VERDICTS[done.verdict]}.")
    return lines


def _rate(m: Metrics) -> str:
    if m.win_rate is None:
        return "no win rate"
    return f"{m.win_rate:.1%} won (95 % interval {m.win_low:.1%} to {m.win_high:.1%})"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.6g}"


_TIMES = ("formed_at", "known_at", "entry_at", "exit_at")
TRADE_COLUMNS = (
    "number", "side", "contract", "quantity", "formed_at", "known_at", "entry_at", "exit_at", "entry_spot",
    "exit_spot", "entry_price", "exit_price", "fees", "pnl", "sigma", "stop", "tp1", "tp2", "reason", "pin",
)  # fmt: skip


def trade_rows(trades: list[Trade]) -> list[dict[str, Any]]:
    """Trades as rows for tables and files: New York ISO times, dollars, the contract by name."""
    rows = []
    for t in trades:
        times = {name: new_york(getattr(t, name)).isoformat() for name in _TIMES}
        rows.append({
            "number": t.number, "side": "long" if t.side > 0 else "short", "contract": t.name,
            "quantity": t.quantity, **times, "entry_spot": t.entry_spot, "exit_spot": t.exit_spot,
            "entry_price": t.entry_price_cents / 100, "exit_price": round(t.exit_price_cents / 100, 4),
            "fees": t.fee_cents / 100, "pnl": t.pnl_cents / 100, "sigma": round(t.sigma, 6), "stop": t.stop,
            "tp1": t.tp1, "tp2": t.tp2, "reason": t.reason, "pin": t.pin,
        })  # fmt: skip
    return rows


def write_trades(path: Path, done: ScenarioRun) -> None:
    """Write the trades as CSV: one row a trade, columns `TRADE_COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TRADE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(trade_rows(done.run.trades))
    write_atomic(path, text.getvalue())


def write_journal(path: Path, done: ScenarioRun) -> None:
    """Write the journal to a new SQLite file.

    Raises
    ------
    DataError
        If the file exists: a journal is never overwritten.
    """
    if path.exists():
        raise DataError(f"journal {path} exists already; name a new file")
    file = JournalFile(path)
    file.extend(done.run.journal.entries)
    file.close()


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a result atomically, readable by people."""
    write_atomic(path, json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
