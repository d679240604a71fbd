"""Does a paper trader do what its backtest did? Each figure is judged by an interval, never by a point.

The rule of the readiness document is ±10 % of the backtest. A few trades cannot tell: so a
figure is within the bound, or has drifted, only if the whole 95 % interval of the difference
says so. Everything else is "not enough", which is no drift and no all-clear.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from maxlib.analytics.metrics import Z95, wilson
from maxlib.research.placebo import student

Drift = Literal["within", "drift", "not_enough"]
Floats = NDArray[np.float64]

BOUND: Final = 0.10
"""Of the backtest's figure."""
MIN_TRADES: Final = 20
MIN_SESSIONS: Final = 10
"""The readiness document asks for ten paper sessions, and for twenty trades before sizes grow."""


@dataclass(frozen=True)
class Compared:
    """A figure of the paper trader beside the backtest's.

    Attributes
    ----------
    unit : "share", "usd" or "count"
    actual, expected : None without a single observation
    actual_n, expected_n : trades or sessions that they rest on, as `of` says
    low, high : 95 % interval of actual - expected; None if there is none
    bound : how far actual may lie from expected
    verdict : None = it is shown and not judged
    why : one sentence
    needed : observations after which so much could be told, if nothing but chance differed; None = unknown
    """

    name: str
    unit: Literal["share", "usd", "count"]
    of: Literal["trades", "sessions"]
    actual: float | None
    actual_n: int
    expected: float | None
    expected_n: int
    low: float | None
    high: float | None
    bound: float | None
    verdict: Drift | None
    why: str
    needed: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def newcombe(wins: int, n: int, wins0: int, n0: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares, from their Wilson intervals.

    Source: Newcombe 1998, Statistics in Medicine 17, 873-890, method 10. Its example (a):

    >>> tuple(round(x, 4) for x in newcombe(56, 70, 48, 80))
    (0.0524, 0.3339)
    """
    p, p0 = wins / n, wins0 / n0
    (low, high), (low0, high0) = wilson(wins, n), wilson(wins0, n0)
    apart = p - p0
    return apart - math.hypot(p - low, high0 - p0), apart + math.hypot(high - p, p0 - low0)


def welch(sample: Floats, reference: Floats) -> tuple[float, float] | None:
    """95 % interval of the difference of two means, their variances not assumed equal.

    None if one of them has fewer than two values, or neither varies.

    Source: Welch 1947, Biometrika 34, 28-35; the quantile with the degrees of freedom rounded down.
    """
    n, n0 = len(sample), len(reference)
    if n < 2 or n0 < 2:
        return None
    of, of0 = float(sample.var(ddof=1)) / n, float(reference.var(ddof=1)) / n0
    if of + of0 == 0.0:
        return None
    freedom = (of + of0) ** 2 / (of**2 / (n - 1) + of0**2 / (n0 - 1))
    half = student(0.975, max(1, math.floor(freedom))) * math.sqrt(of + of0)
    apart = float(sample.mean() - reference.mean())
    return apart - half, apart + half


def shares(name: str, won: NDArray[np.bool_], expected: NDArray[np.bool_]) -> Compared:
    """Two shares of trades, judged."""
    n, n0 = len(won), len(expected)
    p = float(won.mean()) if n else None
    p0 = float(expected.mean()) if n0 else None
    interval = newcombe(int(won.sum()), n, int(expected.sum()), n0) if n and n0 else None
    spread = None if p0 is None else math.sqrt(p0 * (1.0 - p0))
    return _judged(name, "share", "trades", p, n, p0, n0, interval, spread)


def means(
    name: str,
    unit: Literal["usd", "count"],
    of: Literal["trades", "sessions"],
    sample: Floats,
    reference: Floats,
    scale: float = 1.0,
) -> Compared:
    """Two means, judged; `scale` turns both into the unit shown (a session's signals into a week's)."""
    sample, reference = scale * sample, scale * reference
    n, n0 = len(sample), len(reference)
    actual = float(sample.mean()) if n else None
    expected = float(reference.mean()) if n0 else None
    spread = float(reference.std(ddof=1)) if n0 > 1 else None
    return _judged(name, unit, of, actual, n, expected, n0, welch(sample, reference), spread)


def _judged(
    name: str,
    unit: Literal["share", "usd", "count"],
    of: Literal["trades", "sessions"],
    actual: float | None,
    n: int,
    expected: float | None,
    n0: int,
    interval: tuple[float, float] | None,
    spread: float | None,
) -> Compared:
    bound = None if expected is None else BOUND * abs(expected)
    verdict, why = _verdict(of, n, n0, interval, bound)
    needed = math.ceil((Z95 * spread / bound) ** 2) if bound and spread else None
    low, high = interval or (None, None)
    return Compared(name, unit, of, actual, n, expected, n0, low, high, bound, verdict, why, needed)


def _verdict(
    of: Literal["trades", "sessions"],
    n: int,
    n0: int,
    interval: tuple[float, float] | None,
    bound: float | None,
) -> tuple[Drift, str]:
    least = MIN_TRADES if of == "trades" else MIN_SESSIONS
    for count, whose in ((n, "the paper trader has"), (n0, "the backtest has")):
        if count < least:
            return "not_enough", f"{whose} {count:,} of at least {least} {of}"
    if interval is None or bound is None:
        return "not_enough", "nothing varies, so there is no interval"
    low, high = interval
    if low > bound or high < -bound:
        return "drift", "the whole interval lies outside"
    if -bound <= low and high <= bound:
        return "within", "the whole interval lies within"
    return "not_enough", "the interval reaches across a bound"


def overall(figures: list[Compared]) -> Drift:
    """Drift if any judged figure has drifted, within if all are within, else not enough."""
    words = {figure.verdict for figure in figures if figure.verdict is not None}
    return "drift" if "drift" in words else "within" if words == {"within"} else "not_enough"
