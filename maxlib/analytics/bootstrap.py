"""Stationary bootstrap of daily P&L: how much of a result is the order of luck.

Days are drawn in blocks, so that good and bad spells stay together; the tape's end
is followed by its beginning. Source: Politis & Romano 1994; the mean length of a block by
Politis & White 2004 with the correction of Patton, Politis & White 2009.

Own code, though `arch` has it: importing that takes seconds, and SciPy, which comes with it,
makes every warm start slower, because numba loads it with our compiled kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.analytics.statistics import sharpe

MIN_DAYS: Final = 10
"""Fewer days say nothing about days."""
_CELLS: Final = 250_000  # days held in memory at once, over all draws

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Band(NamedTuple):
    """A figure and its percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """What other tapes of the same kind might have brought.

    Attributes
    ----------
    days, draws, seed : of the resampling
    block_days : mean length of a block
    level : probability inside each band
    total_usd, mean_usd : P&L of all days, and of a day
    sharpe : per day; None without one. Draws that have none (no trade in any of their days) are left out
    p_loss : share of the draws whose total is 0 or less
    reason : one sentence if there are too few days; all figures are None then
    """

    days: int
    draws: int
    seed: int
    block_days: float | None
    level: float
    total_usd: Band | None
    mean_usd: Band | None
    sharpe: Band | None
    p_loss: float | None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; a band becomes {value, low, high}."""
        return {k: v._asdict() if isinstance(v, Band) else v for k, v in vars(self).items()}


def bootstrap(
    pnl: Floats, *, seed: int = 0, draws: int = 5000, block_days: float | None = None, level: float = 0.95
) -> Bootstrap:
    """Percentile intervals of total P&L, mean and Sharpe ratio of daily P&L.

    Parameters
    ----------
    pnl : float64[n], a day each, zero days included
    seed : same seed, same answer
    block_days : mean length of a block, 1 or more; None = `optimal_block`

    Returns
    -------
    Bootstrap
        Without figures and with a reason below ten days.
    """
    n = len(pnl)
    if n < MIN_DAYS:
        reason = f"{n} days of P&L are too few to resample; {MIN_DAYS} are needed"
        return Bootstrap(n, draws, seed, block_days, level, None, None, None, None, reason)
    block = optimal_block(pnl) if block_days is None else block_days
    rng = np.random.default_rng(seed)
    totals, ratios = [], []
    step = max(1, _CELLS // n)
    for done in range(0, draws, step):
        sample = pnl[resample(n, block, min(step, draws - done), rng)]
        totals.append(sample.sum(axis=1))
        sd = sample.std(axis=1, ddof=1)
        lively = np.ptp(sample, axis=1) > 0.0
        ratios.append(sample.mean(axis=1)[lively] / sd[lively])
    total, ratio = np.concatenate(totals), np.concatenate(ratios)
    measured = sharpe(pnl)
    return Bootstrap(
        days=n,
        draws=draws,
        seed=seed,
        block_days=block,
        level=level,
        total_usd=_band(float(pnl.sum()), total, level),
        mean_usd=_band(float(pnl.mean()), total / n, level),
        sharpe=None if measured is None else _band(measured, ratio, level),
        p_loss=float(np.mean(total <= 0.0)),
    )


def resample(n: int, block_days: float, draws: int, rng: np.random.Generator) -> Ints:
    """Indices of resampled days, one draw a row.

    Each day follows the one before it, the last being followed by the first, or, with
    probability 1 / `block_days`, is drawn anew.

    Returns
    -------
    int64[draws, n]
    """
    starts = rng.integers(0, n, (draws, n))
    return follow(starts, rng.random((draws, n)) < 1.0 / block_days)


def follow(starts: Ints, fresh: NDArray[np.bool_]) -> Ints:
    """Blocks from their starts: where `fresh`, a block begins at `starts`; elsewhere it goes on.

    The first day of a draw is always fresh.
    """
    n = starts.shape[1]
    day = np.arange(n)
    begun = np.maximum.accumulate(np.where(fresh, day, 0), axis=1)
    at: Ints = (np.take_along_axis(starts, begun, axis=1) + day - begun) % n
    return at


def optimal_block(x: Floats) -> float:
    """Mean block length that suits the autocorrelation of `x`, in days; at least 1.

    Notes
    -----
    The lags that matter end before the first run of K lags that are all within two standard
    errors; the flat-top window then reaches twice as far. As in the authors' own programs, a
    run that begins at lag 1 counts as one lag that matters.
    """
    n = len(x)
    if n < MIN_DAYS or np.ptp(x) == 0.0:
        return 1.0
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    furthest = min(math.ceil(math.sqrt(n)) + run, n - 1)
    apart = x - x.mean()
    covariance = np.array([apart[k:] @ apart[: n - k] for k in range(furthest + 1)]) / n
    small = np.abs(covariance[1:] / covariance[0]) < 2.0 * math.sqrt(math.log10(n) / n)
    quiet = [k + 1 for k in range(len(small) - run + 1) if small[k : k + run].all()]
    reach = min(2 * quiet[0], furthest) if quiet else furthest
    k = np.arange(1, reach + 1)
    weighted = np.minimum(1.0, 2.0 * (1.0 - k / reach)) * covariance[1 : reach + 1]
    slope, level = 2.0 * float(k @ weighted), float(covariance[0] + 2.0 * weighted.sum())
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    if level == 0.0:
        return float(longest)
    return float(min(max((slope / level) ** 2 * n, 1.0) ** (1 / 3), longest))


def _band(value: float, drawn: Floats, level: float) -> Band:
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Band(value, float(low), float(high))
