"""Market-wide trading halts: minutes without a trade that are no fault of the data.

Only the level 1 circuit breakers of March 2020 fall inside the calendar's years;
no other market-wide halt during regular hours has been declared from 1999 to 2025.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import NEW_YORK_ZONE

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Halt(NamedTuple):
    """One market-wide halt; times are New York wall clock, to the second.

    Attributes
    ----------
    date : datetime.date
    start, end : datetime.time
        Trading stopped at `start` and could resume from `end`.
    level : int
        1, 2 or 3: the S&P 500 had fallen 7, 13 or 20 % from the previous close.
    """

    date: dt.date
    start: dt.time
    end: dt.time
    level: int

    @property
    def name(self) -> str:
        """What a reader is told: `market-wide circuit breaker, level 1, 2020-03-09 09:34:13-09:49:13`."""
        return f"market-wide circuit breaker, level {self.level}, {self.date} {self.start}-{self.end}"


# "Report of the Market-Wide Circuit Breaker (MWCB) Working Group Regarding the March 2020 MWCB
# Events", submitted 31 March 2021, section 1 (timeline). A level 1 halt lasts 15 minutes.
HALTS: Final = (
    Halt(dt.date(2020, 3, 9), dt.time(9, 34, 13), dt.time(9, 49, 13), 1),
    Halt(dt.date(2020, 3, 12), dt.time(9, 35, 44), dt.time(9, 50, 44), 1),
    Halt(dt.date(2020, 3, 16), dt.time(9, 30, 1), dt.time(9, 45, 1), 1),
    Halt(dt.date(2020, 3, 18), dt.time(12, 56, 17), dt.time(13, 11, 17), 1),
)


@lru_cache(1)
def _bounds() -> NDArray[np.int64]:
    """Start and end of each halt in UTC ns, int64[n, 2]."""

    def ns(date: dt.date, time: dt.time) -> int:
        return int(dt.datetime.combine(date, time, NEW_YORK_ZONE).timestamp()) * 1_000_000_000

    return np.array([(ns(h.date, h.start), ns(h.date, h.end)) for h in HALTS], np.int64)


def halted(start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which halt swallowed the whole minute that begins at each stamp.

    Parameters
    ----------
    start : int64[n]
        UTC ns at which the minutes begin.

    Returns
    -------
    int64[n]
        Index into `HALTS`; -1 where trading was possible for at least a moment.
    """
    bounds = _bounds()
    inside = (start[:, None] >= bounds[:, 0]) & (start[:, None] + NS_PER_MINUTE <= bounds[:, 1])
    found: NDArray[np.int64] = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
    return found
