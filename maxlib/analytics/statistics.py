"""Statistics of daily P&L: Sharpe, Sortino, and how far a Sharpe ratio can be believed.

Everything is per DAY, days without a trade included; only `sharpe_annual` and
`sortino_annual` are scaled to a year. A ratio of trades or minutes is never
annualised: neither is independent of the one before it (Lo 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import InvariantError
from maxlib.market.bars import RTH_OPEN
from maxlib.market.calendar import from_ordinal, new_york_minutes

DAYS_PER_YEAR: Final = 252
_NORMAL: Final = NormalDist()
_EULER: Final = 0.5772156649015329

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DailyFigures:
    """What the days came to. None where a figure has no value: too few days, or all days alike.

    Attributes
    ----------
    days : sessions of the tape, with or without a trade
    mean_usd, sd_usd : of a day's P&L; sd with ddof 1, None below two days
    sharpe : mean / sd, per day
    sharpe_annual : times the root of 252
    sortino_annual : mean over the root mean square of the losing days (all days counted), times the
        root of 252; None without a losing day
    skew, kurtosis : of the days as a population; kurtosis is raw, 3 for a normal distribution
    psr : probability that the true Sharpe ratio is above 0, see `probabilistic_sharpe`
    """

    days: int
    mean_usd: float | None
    sd_usd: float | None
    sharpe: float | None
    sharpe_annual: float | None
    sortino_annual: float | None
    skew: float | None
    kurtosis: float | None
    psr: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)


def session_days(bars: NDArray[np.void]) -> NDArray[np.int64]:
    """Days (since 1970) of a tape on which there was at least one regular minute, in order.

    A strategy that is still warming up on the first of them earned nothing that day: it counts.
    """
    regular = (bars["minute"] >= RTH_OPEN) & (bars["minute"] < bars["close_minute"])
    return np.unique(bars["day"][regular]).astype(np.int64)


def daily_pnl(days: NDArray[np.int64], closed_at: Sequence[int], pnl_cents: Sequence[int]) -> Floats:
    """P&L of each day in dollars; a trade belongs to the New York date on which it closed.

    Parameters
    ----------
    days : int64[n], as from `session_days`
    closed_at : UTC ns at which each trade closed
    pnl_cents : its profit or loss after costs

    Returns
    -------
    float64[n]

    Raises
    ------
    InvariantError
        If a trade closed on another day: its money would be lost from every figure.
    """
    cents = np.zeros(len(days), np.int64)
    if len(closed_at):
        closed = new_york_minutes(np.asarray(closed_at, np.int64)) // 1440
        strange = ~np.isin(closed, days)
        if strange.any():
            which = int(strange.argmax())
            raise InvariantError(
                f"trade {which + 1} closed on {from_ordinal(closed[which])}, which is no session of the tape"
            )
        np.add.at(cents, np.searchsorted(days, closed), np.asarray(pnl_cents, np.int64))
    return cents / 100.0


def measure_days(pnl: Floats) -> DailyFigures:
    """Figures of a series of daily P&L, zero days included.

    >>> f = measure_days(np.array([0.01, -0.005, 0.007, 0.002, -0.004]))
    >>> round(f.sharpe_annual, 6), round(f.sortino_annual, 6)
    (4.813773, 11.087237)
    """
    n = len(pnl)
    root = math.sqrt(DAYS_PER_YEAR)
    mean = float(pnl.mean()) if n else None
    sd = float(pnl.std(ddof=1)) if n > 1 else None
    ratio = sharpe(pnl)
    downside = math.sqrt(float(np.mean(np.minimum(pnl, 0.0) ** 2))) if n else 0.0
    skew, kurtosis = shape(pnl) if ratio is not None else (None, None)
    psr = None
    if ratio is not None and skew is not None and kurtosis is not None:
        psr = probabilistic_sharpe(ratio, n, skew, kurtosis)
    return DailyFigures(
        days=n,
        mean_usd=mean,
        sd_usd=sd,
        sharpe=ratio,
        sharpe_annual=None if ratio is None else ratio * root,
        sortino_annual=mean / downside * root if mean is not None and downside > 0.0 else None,
        skew=skew,
        kurtosis=kurtosis,
        psr=psr,
    )


def sharpe(pnl: Floats) -> float | None:
    """Mean / standard deviation (ddof 1) per day; None if all days are alike or there is but one."""
    # np.std of equal numbers is not always 0, their range is.
    if len(pnl) < 2 or np.ptp(pnl) == 0.0:
        return None
    return float(pnl.mean() / pnl.std(ddof=1))


def shape(pnl: Floats) -> tuple[float, float]:
    """Skewness and raw kurtosis of days that are not all alike."""
    apart = pnl - pnl.mean()
    variance = float(np.mean(apart**2))
    return float(np.mean(apart**3)) / variance**1.5, float(np.mean(apart**4)) / variance**2


def probabilistic_sharpe(
    sharpe: float, n: int, skew: float, kurtosis: float, benchmark: float = 0.0
) -> float | None:
    """PSR: the probability that the true Sharpe ratio is above `benchmark`.

    Parameters
    ----------
    sharpe, benchmark : per period, not annualised
    n : number of periods
    skew, kurtosis : of the periods; kurtosis raw, 3 for a normal distribution

    Returns
    -------
    float or None
        None below two periods, or if the moments belong to no distribution.

    Source: Bailey & López de Prado 2012, "The Sharpe Ratio Efficient Frontier".

    >>> round(probabilistic_sharpe(0.458, 24, -2.448, 10.164), 4)
    0.9134
    """
    spread = _spread(sharpe, skew, kurtosis)
    if n < 2 or spread <= 0.0:
        return None
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((n - 1) / spread))


def expected_maximum(trials: int, variance: float) -> float | None:
    """SR0: the Sharpe ratio that the best of `trials` worthless trials is expected to show.

    Parameters
    ----------
    trials : number of independent trials. Trials that resemble each other count in full here, so
        that SR0 errs on the high side.
    variance : of their Sharpe ratios, per period

    Returns
    -------
    float or None
        None below two trials: one trial has no best.

    Source: Bailey & López de Prado 2014, "The Deflated Sharpe Ratio".

    >>> round(expected_maximum(100, 0.5 / 250), 6)
    0.113172
    """
    if trials < 2:
        return None
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated_sharpe(
    sharpe: float, n: int, skew: float, kurtosis: float, trials: int, variance: float
) -> float | None:
    """DSR: `probabilistic_sharpe` against `expected_maximum`; None where either is.

    >>> round(deflated_sharpe(2.5 / 250**0.5, 1250, -3.0, 10.0, 100, 0.5 / 250), 6)
    0.900397
    """
    hurdle = expected_maximum(trials, variance)
    return None if hurdle is None else probabilistic_sharpe(sharpe, n, skew, kurtosis, hurdle)


def minimum_track_record(
    sharpe: float, skew: float, kurtosis: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float | None:
    """Periods after which this Sharpe ratio would be above `benchmark` with `confidence`.

    None if it is not above it at all: no number of periods would do.

    Source: Bailey & López de Prado 2012, "The Sharpe Ratio Efficient Frontier".
    """
    spread = _spread(sharpe, skew, kurtosis)
    if sharpe <= benchmark or spread <= 0.0:
        return None
    return 1.0 + spread * (_NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of an estimated Sharpe ratio, times the number of periods less one."""
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
