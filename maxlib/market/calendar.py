"""Sessions of the New York exchanges and the calendar columns of a bar.

The sessions themselves come from the `exchange_calendars` library. Because that
library takes longer to import than a whole backtest, its answer is frozen into
`nyse_exceptions.csv` (every weekday that is not a plain 09:30-16:00 session,
1999-2028), and a test compares the two date by date. `write_exceptions` renews it.
"""

from __future__ import annotations

import csv
import datetime as dt
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.market import bars as b

NEW_YORK_ZONE: Final = ZoneInfo("America/New_York")
FIRST: Final = dt.date(1999, 1, 1)
LAST: Final = dt.date(2028, 12, 31)
_EPOCH: Final = dt.date(1970, 1, 1)
_NS: Final = 1_000_000_000


class Session(NamedTuple):
    """Regular hours of one date; minutes count from midnight in New York."""

    date: dt.date
    open_minute: int
    close_minute: int

    @property
    def half_day(self) -> bool:
        """True if the session closes before 16:00."""
        return self.close_minute < b.RTH_CLOSE

    @property
    def minutes(self) -> int:
        """Length of the session in minutes: 390, or 210 on a half day."""
        return self.close_minute - self.open_minute


def ordinal(date: dt.date) -> int:
    """Days from 1970-01-01 to `date`: the unit of `BAR.day`."""
    return (date - _EPOCH).days


def from_ordinal(day: int) -> dt.date:
    """The date `day` days after 1970-01-01."""
    return _EPOCH + dt.timedelta(days=int(day))


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


@lru_cache(1)
def _table() -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Open and close minute for each day from FIRST to LAST; 0, 0 where closed."""
    days = np.arange(ordinal(FIRST), ordinal(LAST) + 1)
    weekday = (days + 3) % 7 < 5  # 1970-01-01 was a Thursday
    opens = np.where(weekday, b.RTH_OPEN, 0).astype(np.int16)
    closes = np.where(weekday, b.RTH_CLOSE, 0).astype(np.int16)
    text = files("maxlib.market").joinpath("nyse_exceptions.csv").read_text()
    for date, opening, closing in list(csv.reader(text.splitlines()))[1:]:
        i = ordinal(dt.date.fromisoformat(date)) - ordinal(FIRST)
        opens[i] = _minute(opening) if opening else 0
        closes[i] = _minute(closing) if closing else 0
    return opens, closes


def _index(day: NDArray[np.int64]) -> NDArray[np.int64]:
    i = day - ordinal(FIRST)
    if i.size and (i.min() < 0 or i.max() > ordinal(LAST) - ordinal(FIRST)):
        bad = from_ordinal(day[np.argmax((i < 0) | (i > ordinal(LAST) - ordinal(FIRST)))])
        raise DataError(f"date {bad} is outside the session calendar, which covers {FIRST} to {LAST}")
    return i


def session(date: dt.date) -> Session | None:
    """Regular hours on `date`, or None when the exchange is closed.

    >>> session(dt.date(2025, 11, 28)).close_minute // 60, session(dt.date(2025, 11, 27))
    (13, None)
    """
    opens, closes = _table()
    i = int(_index(np.array([ordinal(date)]))[0])
    return Session(date, int(opens[i]), int(closes[i])) if closes[i] else None


def sessions(first: dt.date, last: dt.date) -> list[Session]:
    """All sessions from `first` to `last`, both included."""
    days = (first + dt.timedelta(days=i) for i in range((last - first).days + 1))
    return [s for s in map(session, days) if s is not None]


def to_ns(date: dt.date, minute: int) -> int:
    """UTC ns of `minute` minutes after midnight in New York on `date`, by the wall clock."""
    wall = dt.datetime.combine(date, dt.time(minute // 60, minute % 60), NEW_YORK_ZONE)
    return int(wall.timestamp()) * _NS


def new_york(ts: int) -> dt.datetime:
    """The New York wall-clock time of a UTC ns stamp (whole microseconds)."""
    return dt.datetime.fromtimestamp(ts / _NS, NEW_YORK_ZONE)


@lru_cache(1)
def _offsets() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """UTC seconds at which New York's offset changes, and the offset from then on."""
    starts: list[int] = []
    values: list[int] = []
    hour = int(dt.datetime(FIRST.year - 1, 1, 1, tzinfo=dt.UTC).timestamp())
    end = int(dt.datetime(LAST.year + 2, 1, 1, tzinfo=dt.UTC).timestamp())

    def offset(second: int) -> int:
        delta = dt.datetime.fromtimestamp(second, NEW_YORK_ZONE).utcoffset()
        assert delta is not None
        return int(delta.total_seconds())

    while hour < end:
        now = offset(hour)
        if not values or now != values[-1]:
            if values:  # step back from the week's grid to the very hour of the change
                while offset(hour - 3600) == now:
                    hour -= 3600
            starts.append(hour)
            values.append(now)
        hour += 7 * 86400
    return np.array(starts), np.array(values)


def new_york_minutes(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Minutes since 1970-01-01 00:00 on the New York wall clock, for UTC ns stamps."""
    seconds = ts // _NS
    starts, values = _offsets()
    local: NDArray[np.int64] = seconds + values[np.searchsorted(starts, seconds, side="right") - 1]
    return local // 60


def stamp(
    start: NDArray[np.int64],
    open_: NDArray[np.float64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    volume: NDArray[np.float64],
) -> NDArray[np.void]:
    """Bars with their calendar columns, from vendor columns stamped at the START.

    Parameters
    ----------
    start : int64[n]
        UTC ns at which each one-minute bar begins. The returned `ts` is one
        minute later: the moment the bar is complete.
    open_, high, low, close, volume : float64[n]

    Returns
    -------
    BAR[n]

    Raises
    ------
    DataError
        If a date lies outside the calendar.
    """
    out = np.zeros(len(start), b.BAR)
    out["ts"] = start + b.NS_PER_MINUTE
    out["open"], out["high"], out["low"], out["close"] = open_, high, low, close
    out["volume"] = volume
    local = new_york_minutes(start)
    date, minute = local // 1440, local % 1440
    out["minute"] = minute
    out["day"] = (local + 360) // 1440  # 18:00 + 6 h = midnight: the evening belongs to tomorrow
    out["close_minute"] = _table()[1][_index(date)]
    out["session"] = np.select(
        [(minute >= b.DAY_ROLL) | (minute < b.LONDON_OPEN), minute < b.RTH_OPEN, minute < b.RTH_CLOSE],
        [b.ASIA, b.LONDON, b.NEW_YORK],
        b.OTHER,
    )
    return out


def write_exceptions(path: str) -> int:
    """Renew the frozen table from `exchange_calendars` (test extra); returns its row count."""
    import exchange_calendars

    library = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    known = {
        row.Index.date(): (row.open.tz_convert(NEW_YORK_ZONE), row.close.tz_convert(NEW_YORK_ZONE))
        for row in library.schedule.itertuples()
    }
    rows = []
    for day in range(ordinal(FIRST), ordinal(LAST) + 1):
        date = from_ordinal(day)
        if date.weekday() >= 5:
            continue
        if date not in known:
            rows.append((date.isoformat(), "", ""))
        else:
            opening, closing = (f"{t:%H:%M}" for t in known[date])
            if (opening, closing) != ("09:30", "16:00"):
                rows.append((date.isoformat(), opening, closing))
    with Path(path).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("date", "open", "close"), *rows])
    return len(rows)
