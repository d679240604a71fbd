"""Session and previous-day levels that exist only once their session is over."""

from __future__ import annotations

import math

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel
from maxlib.market.bars import ASIA, DAY_ROLL, LONDON, LONDON_OPEN, NEW_YORK, RTH_OPEN


class Levels(Record):
    """Extremes being built, and those of completed sessions (NaN: not known).

    `asia_*` are usable from 03:00 and `london_*` from 09:30 until the 18:00
    roll; `day_*` is the range of the last complete regular session.
    """

    day: int
    started: int
    building_asia_high: float
    building_asia_low: float
    building_london_high: float
    building_london_low: float
    building_day_high: float
    building_day_low: float
    building_date: int
    asia_high: float
    asia_low: float
    london_high: float
    london_low: float
    day_high: float
    day_low: float


@kernel
def levels(
    s: Levels, day: int, minute: int, close_minute: int, session: int, high: float, low: float
) -> None:
    """Update with one bar; afterwards the fields hold what this bar may use.

    `day` is the trading day (18:00 roll), `minute` the New York minute at the
    bar's start. A level enters with the first bar that starts after its session.
    """
    if s.started == 0:
        s.started = 1
        s.day = day - 1
        s.day_high = s.day_low = s.building_day_high = s.building_day_low = math.nan
    if day != s.day:
        s.day = day
        s.building_asia_high = s.building_asia_low = math.nan
        s.building_london_high = s.building_london_low = math.nan
        s.asia_high = s.asia_low = s.london_high = s.london_low = math.nan
    regular = session == NEW_YORK and RTH_OPEN <= minute < close_minute
    if not math.isnan(s.building_day_high) and not (regular and day == s.building_date):
        s.day_high, s.day_low = s.building_day_high, s.building_day_low
        s.building_day_high = s.building_day_low = math.nan
    if session == ASIA:
        s.building_asia_high = _up(s.building_asia_high, high)
        s.building_asia_low = _down(s.building_asia_low, low)
    elif session == LONDON:
        s.building_london_high = _up(s.building_london_high, high)
        s.building_london_low = _down(s.building_london_low, low)
    elif regular:
        s.building_date = day
        s.building_day_high = _up(s.building_day_high, high)
        s.building_day_low = _down(s.building_day_low, low)
    if LONDON_OPEN <= minute < DAY_ROLL:
        s.asia_high, s.asia_low = s.building_asia_high, s.building_asia_low
    if RTH_OPEN <= minute < DAY_ROLL:
        s.london_high, s.london_low = s.building_london_high, s.building_london_low


@kernel
def _up(known: float, value: float) -> float:
    return value if math.isnan(known) or value > known else known


@kernel
def _down(known: float, value: float) -> float:
    return value if math.isnan(known) or value < known else known
