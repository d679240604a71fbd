"""Events, priorities and how often: the specification's section 8."""

import pytest

from maxlib.ops.events import RULES, Event, daily_summary

# Priorities of the specification, in its order; then those of the notification reference and of the
# safety manager's alerts.
SPECIFIED = {
    "startup": 1, "market open": 0, "market closed": 0, "entry": 0, "exit": 0, "loop error": 1,
    "recovery exit": 1, "recovery error": 2, "watchdog": 2, "supervisor online": 0, "restart": 1,
    "supervisor critical": 2, "kill switch": 2, "kill switch reset": 1, "breaker": 1,
    "daily loss limit": 1, "system error": 1, "daily summary": -1, "test": 0,
    "signal": 0, "reconcile mismatch": 2, "health": 1, "regime": 0,
}  # fmt: skip


def test_every_event_has_the_priority_of_the_specification() -> None:
    assert {str(event): rule.priority for event, rule in RULES.items()} == SPECIFIED
    assert set(RULES) == set(Event)


def test_only_the_start_the_open_and_the_summary_are_told_once_a_day() -> None:
    assert {event for event, rule in RULES.items() if rule.once_a_day} == {
        Event.STARTUP,
        Event.MARKET_OPEN,
        Event.DAILY_SUMMARY,
    }


def test_the_daily_loss_limit_is_told_at_most_every_300_seconds() -> None:
    assert RULES[Event.DAILY_LOSS_LIMIT].every_s == 300


@pytest.mark.parametrize(
    ("trades", "wins", "pnl_cents", "text"),
    [
        (0, 0, 0, "trades 0, P&L +$0.00"),
        (1, 0, -5, "trades 1, won 0 (0.0 %), P&L -$0.05"),
        (4, 3, 1_234_567, "trades 4, won 3 (75.0 %), P&L +$12,345.67"),
    ],
)
def test_a_days_summary_in_a_line(trades: int, wins: int, pnl_cents: int, text: str) -> None:
    assert daily_summary(trades=trades, wins=wins, pnl_cents=pnl_cents) == text
