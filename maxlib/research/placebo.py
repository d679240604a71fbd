"""The placebo: random decisions through an accounting, before any strategy is judged by it.

Each seed draws as many decisions as the strategy's own, at the same minutes of the
day on random days of the tape, and flips a coin for the side. Whoever makes money
with those, beyond chance, is made rich by the accounting: it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
MIN_SEEDS: Final = 5
CLOSE: Final = 0.03
"""The mean number of random trades is that of the strategy's own, give or take this share, if it can be."""
_REDRAWS: Final = 5


@dataclass(frozen=True)
class Placebo:
    """What random decisions made of an accounting.

    Attributes
    ----------
    accounting : its name; seeds : how many
    trades : mean number a seed, within 3 % of the strategy's own number where the accounting books so many
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
        If there are fewer than 5 seeds: a spread needs some.
    """
    if not MIN_SEEDS <= seeds <= 10_000:
        raise ConfigError(f"--seeds {seeds}: should be from {MIN_SEEDS} to 10000")
    own = accounting.entries()
    mine = accounting.book(own).pnl_usd
    draw = Draw(accounting.bars, own)
    booked = _booked(accounting, draw, range(first_seed, first_seed + seeds), len(own.at), len(mine))
    pnl = [float(one.sum()) for one in booked]
    wins = sum(int((one > 0).sum()) for one in booked)
    counts = [len(one) for one in booked]
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


def _booked(
    accounting: Accounting, draw: Draw, seeds: Sequence[int], n: int, wanted: int
) -> list[NDArray[np.float64]]:
    """P&L of each seed's trades: `n` decisions a seed, or as many as make about `wanted` trades on average.

    An accounting may skip decisions, say while a position is open or when its money is gone, so more
    are drawn. How many is found on a few seeds and then on all, for one seed can be far from the mean.
    The number is one for all seeds and goes by counts alone: no seed is chosen by what it brings.
    """
    made: dict[int, list[NDArray[np.float64]]] = {}

    def mean(n: int, count: int) -> float:
        of_n = made.setdefault(n, [])
        of_n += [accounting.book(draw.entries(n, seed)).pnl_usd for seed in seeds[len(of_n) : count]]
        return sum(len(one) for one in of_n[:count]) / count

    start = (n, mean(n, MIN_SEEDS))
    for count in (MIN_SEEDS, len(seeds)):
        tried: dict[int, float] = {}
        while n not in tried and len(tried) < _REDRAWS:
            tried[n] = mean(n, count)
            if abs(tried[n] - wanted) <= CLOSE * wanted or tried[n] == 0:
                break
            n = _next(start, (n, tried[n]), wanted)
        n = min(tried, key=lambda one: abs(tried[one] - wanted))
    return made[n]


def _next(start: tuple[int, float], now: tuple[int, float], wanted: int) -> int:
    """The next number of decisions to try, by the power law through the first and the present one."""
    (n0, made0), (n, made) = start, now
    power = math.log(made / made0) / math.log(n / n0) if n != n0 and made0 > 0 else 1.0
    wider = math.pow(wanted / made, 1.0 / min(max(power, 0.25), 1.0))
    return max(1, min(round(n * wider), 20 * wanted))


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

    With its four terms within 0.005 of the tables at 4 degrees of freedom, the fewest that `placebo`
    asks for (3.743 for 3.747 at 0.99), and within 0.001 from 9 on.

    >>> round(student(0.99, 19), 2)
    2.54
    """
    z = NormalDist().inv_cdf(p)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4
