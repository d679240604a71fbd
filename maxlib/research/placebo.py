"""The placebo: random decisions through an accounting, before any strategy is judged by it.

Each seed draws as many decisions as the strategy's own, at the same minutes of the
day on random days of the tape, and flips a coin for the side. Whoever makes money
with those, beyond chance, is made rich by the accounting: it is refused.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.research.accounting import Accounting, Entries, Rows

LEVEL: Final = 0.01
"""A fair accounting is refused this often (one-sided t test over the seeds)."""
SEEDS: Final = 20
_CLOSE: Final = 0.03
_REDRAWS: Final = 4


@dataclass(frozen=True)
class Placebo:
    """What random decisions made of an accounting.

    Attributes
    ----------
    accounting : its name; seeds : how many; trades : mean number a seed
    win_rate : mean share of trades above zero; pnl_usd : mean of a seed
    pnl_low, pnl_high : the poorest and the richest seed
    each : P&L of each seed, in order of the seeds
    t, critical : of the mean P&L against zero, and the bound it must stay under
    refused : the random decisions profit beyond chance
    own_trades, own_win_rate, own_pnl_usd : the strategy's own decisions through the same accounting
    own_rank : share of seeds that its P&L exceeds
    """

    accounting: str
    seeds: int
    trades: float
    win_rate: float | None
    pnl_usd: float
    pnl_low: float
    pnl_high: float
    each: tuple[float, ...]
    t: float | None
    critical: float
    refused: bool
    own_trades: int
    own_win_rate: float | None
    own_pnl_usd: float
    own_rank: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "each": list(self.each)}

    def sentence(self) -> str:
        """The verdict with its figures."""
        won = "no trade" if self.win_rate is None else f"{self.win_rate:.1%} won"
        head = (
            f"Placebo, {self.accounting} accounting: {self.seeds} seeds of {self.trades:.0f} random trades, "
            f"{won}, mean P&L {self.pnl_usd:,.0f} $ ({self.pnl_low:,.0f} to {self.pnl_high:,.0f})"
        )
        if self.refused:
            return f"{head}: REFUSED, coin flips profit beyond chance (t {self.t:.1f} > {self.critical:.2f})."
        return f"{head}: not refused."


def placebo(accounting: Accounting, seeds: int = SEEDS, first_seed: int = 0) -> Placebo:
    """Feed `seeds` sets of random decisions to an accounting.

    Raises
    ------
    ConfigError
        If there are fewer than 3 seeds: a spread needs some.
    """
    if not 3 <= seeds <= 10_000:
        raise ConfigError(f"--seeds {seeds}: should be from 3 to 10000")
    own = accounting.entries()
    mine = accounting.book(own).pnl_usd
    draw = Draw(accounting.bars, own)
    pnl, wins, counts = [], 0, []
    n = _enough(accounting, draw, first_seed, len(own.at), len(mine))
    for seed in range(first_seed, first_seed + seeds):
        booked = accounting.book(draw.entries(n, seed)).pnl_usd
        pnl.append(float(booked.sum()))
        wins += int((booked > 0).sum())
        counts.append(len(booked))
    mean = math.fsum(pnl) / seeds
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in pnl) / (seeds - 1))
    t = mean / (spread / math.sqrt(seeds)) if spread > 0 else None
    critical = student(1 - LEVEL, seeds - 1)
    return Placebo(
        accounting=accounting.name, seeds=seeds, trades=sum(counts) / seeds,
        win_rate=wins / sum(counts) if sum(counts) else None, pnl_usd=mean, pnl_low=min(pnl),
        pnl_high=max(pnl), each=tuple(pnl), t=t, critical=critical,
        refused=mean > 0 if t is None else t > critical, own_trades=len(mine),
        own_win_rate=float((mine > 0).mean()) if len(mine) else None, own_pnl_usd=float(mine.sum()),
        own_rank=sum(x < mine.sum() for x in pnl) / seeds,
    )  # fmt: skip


def _enough(accounting: Accounting, draw: Draw, seed: int, n: int, wanted: int) -> int:
    """How many random decisions make about as many trades as the strategy made.

    An accounting may skip decisions, say while a position is open, so more are drawn.
    Found with one seed and kept for all, so that no seed is chosen by what it brings.
    """
    for _ in range(_REDRAWS):
        made = len(accounting.book(draw.entries(n, seed)).pnl_usd)
        if wanted == 0 or made == 0 or abs(made - wanted) <= max(1.0, _CLOSE * wanted):
            break
        n = max(1, min(round(n * wanted / made), 20 * wanted))
    return n


class Draw:
    """Random decisions at the minutes of the day at which a strategy decided."""

    def __init__(self, bars: Rows, own: Entries) -> None:
        minutes = bars["minute"].astype(np.int64)
        self._minutes = minutes[own.at]
        self._at = {int(m): np.flatnonzero(minutes == m) for m in np.unique(self._minutes)}

    def entries(self, n: int, seed: int) -> Entries:
        """`n` decisions in time order; no two at one bar while the tape has enough."""
        rng = np.random.default_rng(seed)
        if len(self._minutes) == 0:
            return Entries(np.empty(0, np.int64), np.empty(0, np.int8))
        # Whole rounds of the strategy's own minutes, then some of them.
        rounds, rest = divmod(n, len(self._minutes))
        chosen = np.concatenate([np.tile(self._minutes, rounds), rng.permutation(self._minutes)[:rest]])
        picked: list[NDArray[np.int64]] = []
        for minute, times in zip(*np.unique(chosen, return_counts=True), strict=True):
            there = self._at[int(minute)]
            picked.append(rng.choice(there, size=int(times), replace=int(times) > len(there)))
        at = np.sort(np.concatenate(picked))
        return Entries(at, rng.choice(np.array([-1, 1], np.int8), size=len(at)))


def student(p: float, freedom: int) -> float:
    """Quantile of Student's t, by the Cornish-Fisher series (Abramowitz and Stegun 26.7.5).

    Within 0.001 of the tables from 19 degrees of freedom on.

    >>> round(student(0.99, 19), 2)
    2.54
    """
    z = NormalDist().inv_cdf(p)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3
