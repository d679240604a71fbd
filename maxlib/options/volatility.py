"""The volatility that history without quotes is priced with.

Realised volatility of daily closes through yesterday: known before the day
begins, so it never peeks. It is a convention, not a forecast; every price made
from it is labelled modelled.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.core.record import Floats, Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import NEW_YORK, RTH_OPEN, BarRecord
from maxlib.market.calendar import from_ordinal

MAX_RETURNS: Final = 60


class RealisedParams(Record):
    """Convention of spec §12.1: 20 returns, floor 10 %, 20 % until 8 returns."""

    returns: int  # at most MAX_RETURNS
    min_returns: int
    floor: float
    default: float


class RealisedState(Record):
    """Closes of complete regular sessions, and the one being built."""

    n: int
    day: int
    open: bool
    close: float
    sigma: float
    closes: Annotated[Floats, 61]


class RealisedOut(Record):
    """Volatility per root trading year that may be used at this bar."""

    sigma: float


@kernel
def realised(s: RealisedState, p: RealisedParams, bar: BarRecord, out: RealisedOut) -> None:
    """One bar: the value changes only at the first bar after a regular session."""
    b = bar
    regular = b.session == NEW_YORK and RTH_OPEN <= b.minute < b.close_minute
    if s.open and not (regular and b.day == s.day):
        s.closes[s.n % (MAX_RETURNS + 1)] = s.close
        s.n += 1
        s.open = False
        s.sigma = _sigma(s, p)
    if s.n == 0:
        s.sigma = p.default
    if regular:
        s.open = True
        s.day = b.day
        s.close = b.close
    out.sigma = s.sigma


@kernel
def _sigma(s: RealisedState, p: RealisedParams) -> float:
    """Sample standard deviation of log returns, × √252, not under the floor."""
    count = min(s.n - 1, p.returns)
    if count < p.min_returns:
        return p.default
    total = square = 0.0
    for pass_ in range(2):
        mean = total / count
        for back in range(1, count + 1):
            newer = s.closes[(s.n - back) % (MAX_RETURNS + 1)]
            older = s.closes[(s.n - back - 1) % (MAX_RETURNS + 1)]
            r = math.log(newer / older)
            if pass_ == 0:
                total += r
            else:
                square += (r - mean) * (r - mean)
    return max(p.floor, math.sqrt(square / (count - 1)) * math.sqrt(252.0))


REALISED: Final = System(RealisedState, RealisedParams, RealisedOut, realised)


def vix_level(bars: NDArray[np.void], vix: NDArray[np.void]) -> NDArray[np.float64]:
    """Volatility of each bar from the VIX close of the day before, per root trading year.

    Parameters
    ----------
    bars : BAR[n]; vix : rows of (day, close in points), ascending

    A close is used from the next trading day on: it is known at 16:15 New York, before that
    day begins at 18:00. VIX is of the S&P 500; QQQ usually moves more.

    Raises
    ------
    DataError
        If a bar has no VIX close in the week before it.
    """
    before = np.searchsorted(vix["day"], bars["day"], side="left") - 1
    age = bars["day"] - vix["day"][np.maximum(before, 0)]
    wrong = np.flatnonzero((before < 0) | (age > 7))
    if len(wrong):
        day = from_ordinal(int(bars["day"][wrong[0]]))
        raise DataError(f"no VIX close is known in the week before {day}, the day of bar {wrong[0]}")
    return np.asarray(vix["close"][before] / 100.0, np.float64)
