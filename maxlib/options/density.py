"""Where the underlying may be at expiry, and what a package is then worth on average.

A distribution answers one question: below a level, how much probability lies
there and how much of the mean? Probabilities and expectations of any payoff made
of straight lines follow exactly, without a grid. The lognormal one comes from a
single volatility; `chain_density.py` reads one off a chain's quotes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Leg

MASS_TOLERANCE = 1e-9
"""By how much a density's mass may miss 1, and its mean miss the forward as a share of it."""


class Density(Protocol):
    """A risk-neutral distribution of the underlying at expiry.

    mean : the forward, in dollars; discount : value now of a dollar at expiry
    """

    @property
    def mean(self) -> float: ...  # noqa: D102

    @property
    def discount(self) -> float: ...  # noqa: D102

    def below(self, level: float) -> tuple[float, float]:
        """P(S < level) and E[S; S < level]; the level in dollars, infinity allowed."""
        ...


class Lognormal(NamedTuple):
    """Lognormal with a given mean: `deviation` is σ√T, on the clock of σ.

    >>> one_day = lognormal(600.0, 1 / 252, 0.18)
    >>> round(probability(one_day, [(601.0, 609.0)]), 6)  # definitions.md, POP
    0.345752
    """

    mean: float
    deviation: float
    discount: float

    def below(self, level: float) -> tuple[float, float]:
        """P(S < level) and E[S; S < level]."""
        if level <= 0.0:
            return 0.0, 0.0
        if level == math.inf:
            return 1.0, self.mean
        away = math.log(level / self.mean)
        if self.deviation <= 0.0:
            return (1.0, self.mean) if away > 0.0 else (0.0, 0.0)
        z = away / self.deviation
        return _normal(z + 0.5 * self.deviation), self.mean * _normal(z - 0.5 * self.deviation)


def lognormal(spot: float, t: float, sigma: float, rate: float = 0.0, dividend: float = 0.0) -> Lognormal:
    """The distribution of Black-Scholes-Merton: t in years and sigma per root year on the same clock."""
    return Lognormal(spot * math.exp((rate - dividend) * t), sigma * math.sqrt(t), math.exp(-rate * t))


class Piecewise:
    """A density of straight lines between nodes, 0 at both ends and beyond.

    Parameters
    ----------
    nodes : (n,) dollars, ascending; heights : (n,) probability a dollar, the first and last 0
    mean : the forward that it must have; discount : value now of a dollar at expiry

    Raises
    ------
    InvariantError
        If a height is negative, or mass or mean miss by more than `MASS_TOLERANCE`.
    """

    def __init__(
        self, nodes: NDArray[np.float64], heights: NDArray[np.float64], mean: float, discount: float = 1.0
    ) -> None:
        width, left, right = np.diff(nodes), heights[:-1], heights[1:]
        mass = width * (left + right) / 2
        moment = nodes[:-1] * mass + width**2 * (left / 6 + right / 3)
        # Written so that NaN fails as well.
        if not heights.min() >= 0.0 or heights[0] != 0.0 or heights[-1] != 0.0:
            raise InvariantError(
                f"density: heights from {heights[0]:g} over a lowest {heights.min():g} to {heights[-1]:g}; "
                "none may be under 0, the ends must be 0"
            )
        if not (abs(mass.sum() - 1.0) <= MASS_TOLERANCE >= abs(moment.sum() / mean - 1.0)):
            raise InvariantError(
                f"density: mass {mass.sum():.12g} and mean {moment.sum():.12g}, must be 1 and {mean:.12g}"
            )
        self.nodes, self.heights = nodes, heights
        self.mean, self.discount = mean, discount
        # Lists, because `below` is asked for one level at a time.
        self._x: list[float] = nodes.tolist()
        self._f: list[float] = heights.tolist()
        self._slope: list[float] = ((right - left) / width).tolist()
        self._mass: list[float] = [0.0, *np.cumsum(mass).tolist()]
        self._moment: list[float] = [0.0, *np.cumsum(moment).tolist()]

    def below(self, level: float) -> tuple[float, float]:
        """P(S < level) and E[S; S < level]: the integrals of the lines, exact."""
        if level <= self._x[0]:
            return 0.0, 0.0
        if level >= self._x[-1]:
            return 1.0, self.mean
        i = bisect_right(self._x, level) - 1
        x, f, slope, t = self._x[i], self._f[i], self._slope[i], level - self._x[i]
        mass = t * (f + slope * t / 2)
        return self._mass[i] + mass, self._moment[i] + x * mass + t * t * (f / 2 + slope * t / 3)


def probability(density: Density, intervals: Sequence[tuple[float, float]]) -> float:
    """Probability that the underlying ends in one of the disjoint ranges, in dollars."""
    return sum(density.below(high)[0] - density.below(low)[0] for low, high in intervals)


def expected(density: Density, legs: Sequence[Leg], low: float = 0.0, high: float = math.inf) -> float:
    """E[payoff of the package; low < S < high], in dollars a share at expiry, undiscounted.

    >>> from maxlib.market.contract import Contract
    >>> legs = [Leg(Contract("SPY", 20_406, "C", k), n) for k, n in ((60000, 1), (60500, -2), (61000, 1))]
    >>> round(expected(lognormal(600.0, 1 / 252, 0.18), legs), 6)  # definitions.md, EV
    1.08642
    """
    total = 0.0
    for (_, _, right, cents), ratio in legs:
        strike = cents / 100
        start, end = (max(low, strike), high) if right == "C" else (low, min(high, strike))
        if start >= end:
            continue
        mass, moment = density.below(end)
        mass_before, moment_before = density.below(start)
        gain = (moment - moment_before) - strike * (mass - mass_before)
        total += ratio * (gain if right == "C" else -gain)
    return total


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))
