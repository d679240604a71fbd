"""What a trader is told about, how loudly, and how often."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

# A key is told of at most once in this time, unless its rule says otherwise.
REPEAT_S: Final = 60.0


class Event(StrEnum):
    """The occasions of a notification."""

    STARTUP = "startup"
    MARKET_OPEN = "market open"
    MARKET_CLOSED = "market closed"
    SIGNAL = "signal"
    ENTRY = "entry"
    EXIT = "exit"
    LOOP_ERROR = "loop error"
    RECOVERY_EXIT = "recovery exit"
    RECOVERY_ERROR = "recovery error"
    RECONCILE_MISMATCH = "reconcile mismatch"
    WATCHDOG = "watchdog"
    SUPERVISOR_ONLINE = "supervisor online"
    RESTART = "restart"
    SUPERVISOR_CRITICAL = "supervisor critical"
    KILL_SWITCH = "kill switch"
    KILL_SWITCH_RESET = "kill switch reset"
    BREAKER = "breaker"
    DAILY_LOSS_LIMIT = "daily loss limit"
    REGIME = "regime"
    HEALTH = "health"
    SYSTEM_ERROR = "system error"
    DAILY_SUMMARY = "daily summary"
    TEST = "test"


class Rule(NamedTuple):
    """How an event is told.

    Attributes
    ----------
    priority : -1 quiet, 0 normal, 1 high, 2 emergency: repeated until somebody acknowledges it
    once_a_day : at most once per New York date
    every_s : at most once per key in this time; 0 = every one, only a word-for-word repeat is held back
    """

    priority: int
    once_a_day: bool = False
    every_s: float = REPEAT_S


RULES: Final[dict[Event, Rule]] = {
    Event.STARTUP: Rule(1, once_a_day=True),
    Event.MARKET_OPEN: Rule(0, once_a_day=True),
    Event.MARKET_CLOSED: Rule(0),
    Event.SIGNAL: Rule(0, every_s=0),
    Event.ENTRY: Rule(0, every_s=0),
    Event.EXIT: Rule(0, every_s=0),
    Event.LOOP_ERROR: Rule(1),
    Event.RECOVERY_EXIT: Rule(1, every_s=0),
    Event.RECOVERY_ERROR: Rule(2, every_s=0),
    Event.RECONCILE_MISMATCH: Rule(2, every_s=0),
    Event.WATCHDOG: Rule(2),
    Event.SUPERVISOR_ONLINE: Rule(0),
    Event.RESTART: Rule(1),
    Event.SUPERVISOR_CRITICAL: Rule(2),
    Event.KILL_SWITCH: Rule(2, every_s=0),
    Event.KILL_SWITCH_RESET: Rule(1, every_s=0),
    Event.BREAKER: Rule(1, every_s=0),
    Event.DAILY_LOSS_LIMIT: Rule(1, every_s=300.0),
    Event.REGIME: Rule(0, every_s=0),
    Event.HEALTH: Rule(1),
    Event.SYSTEM_ERROR: Rule(1),
    Event.DAILY_SUMMARY: Rule(-1, once_a_day=True),
    Event.TEST: Rule(0, every_s=0),
}


def dollars(cents: int, *, sign: bool = False) -> str:
    """Money in words; `sign` = a plus where it is no loss.

    >>> dollars(123_456), dollars(-5), dollars(0, sign=True)
    ('$1,234.56', '-$0.05', '+$0.00')
    """
    front = "-" if cents < 0 else "+" if sign else ""
    return f"{front}${abs(cents) / 100:,.2f}"


def daily_summary(*, trades: int, wins: int, pnl_cents: int, denials: int = 0, still_open: int = 0) -> str:
    """The text of a day's summary.

    >>> daily_summary(trades=3, wins=2, pnl_cents=-12_345, denials=4)
    'trades 3, won 2 (66.7 %), P&L -$123.45, denials 4'
    >>> daily_summary(trades=0, wins=0, pnl_cents=0, still_open=1)
    'trades 0, P&L +$0.00, STILL OPEN: 1'
    """
    won = f", won {wins} ({100 * wins / trades:.1f} %)" if trades else ""
    refused = f", denials {denials}" if denials else ""
    left = f", STILL OPEN: {still_open}" if still_open else ""
    return f"trades {trades}{won}, P&L {dollars(pnl_cents, sign=True)}{refused}{left}"
