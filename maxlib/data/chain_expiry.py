"""When an option series stops having time value, for sources that give a date or only a symbol."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from maxlib.market import calendar
from maxlib.market.bars import RTH_CLOSE, RTH_OPEN

_AT_THE_OPEN: Final = {"SPX", "NDX", "RUT"}  # these roots settle on the opening prices of the expiry date
_MONTHS: Final = "FGHJKMNQUVXZ"


def expires_at(root: str, expiry: dt.date) -> int:
    """UTC ns at which options of `root` expiring on `expiry` stop having time value.

    The close of the New York session (16:00, or 13:00), or its open for the roots that settle on
    opening prices. On a date that is no session, or beyond the calendar, 09:30 and 16:00 stand.

    >>> calendar.new_york(expires_at("GOOG", dt.date(2015, 12, 24))).hour
    13
    """
    quarterly = root in ("ES", "NQ") and expiry == _friday(expiry.year, expiry.month, 3)
    if root in _AT_THE_OPEN or (quarterly and expiry.month % 3 == 0):
        return calendar.to_ns(expiry, RTH_OPEN)
    known = calendar.FIRST <= expiry <= calendar.LAST
    session = calendar.session(expiry) if known else None
    return calendar.to_ns(expiry, session.close_minute if session else RTH_CLOSE)


def _friday(year: int, month: int, nth: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 7 * (nth - 1))


def named_expiry(series: str, ts: int) -> dt.date | None:
    """MQ4M5: the 4th Friday of June of the year ending in 5. Other families are not documented."""
    parts = re.fullmatch(rf"MQ([1-5])([{_MONTHS}])(\d)", series)
    if parts is None:
        return None
    year = calendar.new_york(ts).year
    year += (int(parts[3]) - year) % 10
    return _friday(year, _MONTHS.index(parts[2]) + 1, int(parts[1]))
