"""The bar record that flows through every step.

A bar carries its own calendar: the trading day, the minute of the day in New
York, the session and the closing minute. All of it is known long before the bar
is, so a step can ask "is this session over?" without a clock or a library.
"""

from __future__ import annotations

from typing import Final

from maxlib.core.record import Int8, Int16, Int32, Record

NS_PER_MINUTE: Final = 60_000_000_000
NS_PER_DAY: Final = 86_400_000_000_000

OTHER: Final = 0
ASIA: Final = 1
LONDON: Final = 2
NEW_YORK: Final = 3
SESSION_NAMES: Final = ("other", "asia", "london", "ny")

DAY_ROLL: Final = 18 * 60
"""Minute of the day (New York) at which the next trading day begins."""
LONDON_OPEN: Final = 3 * 60
RTH_OPEN: Final = 9 * 60 + 30
RTH_CLOSE: Final = 16 * 60


class BarRecord(Record):
    """One one-minute bar, 64 bytes. Prices in dollars."""

    ts: int  # END of the bar, UTC ns: when it is complete and known
    open: float
    high: float
    low: float
    close: float
    volume: float  # shares; minutes without a trade have no bar
    day: Int32  # trading day: New York date of the bar's start + 6 h, days since 1970
    minute: Int16  # New York minute of the day at the bar's START, 0..1439
    close_minute: Int16  # minute at which regular hours close on that date, 0 = no session
    session: Int8  # OTHER, ASIA, LONDON, NEW_YORK


BAR: Final = BarRecord.dtype
