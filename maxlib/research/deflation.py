"""What a trial is, which trials stand behind a run, and what is left of its Sharpe ratio.

What counts as one trial
    A run with figures of its own. The same settings on the same data by the same code give the same
    figures; so do other code that changed nothing here, and a scenario under another name: one trial.
    Settings, a seed or code that change the figures make another trial.
Which trials stand behind a run
    N counts the trials on the run's data and on data of the same symbol that shares a date with it,
    whatever the strategy: leaving out a bar does not make the data new. The variance is that
    of the trials on exactly this data. Runs that nobody would pick a winner from (`DIAGNOSTIC`) do
    not count. SIMULATED runs never count for real data; for each other they count on exactly the
    same data only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from maxlib.analytics.bootstrap import MIN_DAYS
from maxlib.analytics.statistics import DAYS_PER_YEAR, expected_maximum, probabilistic_sharpe

DIAGNOSTIC: Final = frozenset({"placebo", "waterfall", "audit", "published"})
"""Kinds of run that test an accounting or the code, or repeat a claim's arithmetic. Others are trials."""

YEAR: Final = DAYS_PER_YEAR**0.5
"""A Sharpe ratio per day times this is one per year."""


@dataclass(frozen=True)
class Figures:
    """What a run came to.

    Attributes
    ----------
    trades, wins : closed trades, and those with a profit after costs
    pnl_usd : after costs
    days : sessions of the tape, with or without a trade
    sharpe : of daily P&L, per day; None if all days were alike
    skew, kurtosis : of daily P&L; kurtosis raw, 3 for a normal distribution
    """

    trades: int
    wins: int
    pnl_usd: float
    days: int
    sharpe: float | None
    skew: float | None
    kurtosis: float | None


@dataclass(frozen=True)
class Trial:
    """One run: what was run, on what, by which code, and what it came to.

    Attributes
    ----------
    kind : what the run was for: "backtest", "sweep", … or one of `DIAGNOSTIC`
    scenario : its name
    config_hash : of the resolved settings
    symbol, data : ticker, and the tape's name
    data_sha256 : of the accepted bars
    first, last : trading dates of the tape's first and last bar, ISO
    simulated : True = never counts for real data
    code_version : as from `provenance.code_version`
    seed : of whatever was random; None if nothing was
    accounting : what turned decisions into money, by its name on the command line
    """

    kind: str
    scenario: str
    config_hash: str
    symbol: str
    data: str
    data_sha256: str
    first: str
    last: str
    simulated: bool
    code_version: str
    seed: int | None
    figures: Figures
    accounting: str = "honest"


class Trials(NamedTuple):
    """The trials that stand behind a run.

    n : distinct trials, by this module's rule
    variance : of the daily Sharpe ratios of those on exactly this data (ddof 1); None below two
    """

    n: int
    variance: float | None


class Deflated(NamedTuple):
    """How far a run's Sharpe ratio can be believed. Ratios are per day.

    sr : the run's own
    sr0 : what the best of n worthless trials is expected to show
    psr, dsr : probability that the true ratio is above 0, and above `sr0`
    n, variance : as in `Trials`; 0 and None if the ledger is broken
    reason : why `dsr` is None; None if it is not
    """

    sr: float | None
    sr0: float | None
    psr: float | None
    dsr: float | None
    n: int
    variance: float | None
    reason: str | None

    def sentence(self) -> str:
        """The outcome in one sentence."""
        if self.dsr is None or self.sr is None or self.sr0 is None:
            return f"Deflated Sharpe ratio: not known, because {self.reason}."
        return (
            f"Deflated Sharpe ratio: {self.dsr:.3f}; Sharpe {self.sr * YEAR:.2f} a year, where the best of "
            f"{self.n} worthless trials is expected to show {self.sr0 * YEAR:.2f}."
        )


def count(trials: Iterable[Trial], of: Trial) -> Trials:
    """The trials that stand behind `of`, itself included; by this module's rule."""
    distinct = {(t.data_sha256, t.figures) for t in (*trials, of) if _stands_behind(t, of)}
    ratios = [f.sharpe for sha, f in distinct if sha == of.data_sha256 and f.sharpe is not None]
    if len(ratios) < 2:
        return Trials(len(distinct), None)
    # Runs that differ only in size differ in their last digits: that is no variance.
    variance = float(np.var(ratios, ddof=1)) if np.ptp(ratios) > 1e-12 else 0.0
    return Trials(len(distinct), variance)


def _stands_behind(trial: Trial, of: Trial) -> bool:
    if trial.kind in DIAGNOSTIC or trial.simulated != of.simulated:
        return False
    if trial.data_sha256 == of.data_sha256:
        return True
    overlaps = trial.first <= of.last and of.first <= trial.last
    return not of.simulated and trial.symbol == of.symbol and overlaps


def deflate(figures: Figures, trials: Trials) -> Deflated:
    """The deflated Sharpe ratio of a run behind which stand `trials`; None with a reason where unknown."""
    f, n, variance = figures, trials.n, trials.variance
    sr0 = psr = dsr = reason = None
    if f.days < MIN_DAYS:
        reason = f"{f.days} days of P&L are too few, {MIN_DAYS} are needed"
    elif f.sharpe is None or f.skew is None or f.kurtosis is None:
        reason = "all days were alike"
    else:
        psr = probabilistic_sharpe(f.sharpe, f.days, f.skew, f.kurtosis)
        if psr is None:
            reason = f"no days have a skewness of {f.skew:.4g} with a kurtosis of {f.kurtosis:.4g}"
        elif variance is None:
            reason = "there is only one trial on this data, and two are needed to see how trials differ"
        elif variance == 0.0:
            reason = "the trials on this data have one and the same Sharpe ratio"
        else:
            sr0 = expected_maximum(n, variance)
            assert sr0 is not None  # a variance comes from two trials at least
            dsr = probabilistic_sharpe(f.sharpe, f.days, f.skew, f.kurtosis, sr0)
    return Deflated(f.sharpe, sr0, psr, dsr, n, variance, reason)
