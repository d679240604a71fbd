"""The review of an intent: one answer, with the limit and what was there instead."""

from typing import Any

import pytest

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.risk.sizing import Allowed, Denial, RiskConfig, admit, size

CALM = {
    "open_positions": 0, "minutes_to_close": 100, "force_close_minutes": 1, "formed_at": 0, "last_exit": 0,
    "equity_cents": 2_500_000, "cash_cents": 2_500_000, "cost_cents": 20_000,
}  # fmt: skip


def review(config: RiskConfig, **now: Any) -> Any:
    """Both halves, as the machine asks them: whether to enter at all, then how much."""
    money = {name: now.pop(name) for name in ("equity_cents", "cash_cents", "cost_cents")}
    return admit(config, **now) or size(config, **money)


def ask(config: dict[str, Any] | None = None, **now: Any) -> Any:
    return review(RiskConfig(**(config or {})), **{**CALM, **now})


@pytest.mark.parametrize(
    ("cost", "quantity"), [(20_000, 6), (12_500, 10), (12_499, 10), (125_000, 1), (62_501, 1), (62_500, 2)]
)
def test_size_is_the_budget_over_the_cost_up_to_the_cap(cost: int, quantity: int) -> None:
    assert ask(cost_cents=cost) == Allowed(quantity)


@pytest.mark.parametrize(
    ("config", "now", "denial"),
    [
        ({}, {"minutes_to_close": 0}, Denial("MARKET_CLOSED", 0, 0)),
        ({}, {"minutes_to_close": -30}, Denial("MARKET_CLOSED", 0, -30)),
        ({}, {"minutes_to_close": 5}, Denial("TOO_LATE", 5, 5)),
        ({"last_entry_minutes": 60}, {"minutes_to_close": 60}, Denial("TOO_LATE", 60, 60)),
        ({}, {"minutes_to_close": 35, "force_close_minutes": 35}, Denial("TOO_LATE", 35, 35)),
        ({}, {"open_positions": 1}, Denial("POSITION_LIMIT", 1, 1)),
        ({"max_positions": 3}, {"open_positions": 3}, Denial("POSITION_LIMIT", 3, 3)),
        (
            {"fresh_patterns": True},
            {"formed_at": 60 * 10**9, "last_exit": 180 * 10**9},
            Denial("STALE_PATTERN", 0, -2),
        ),
        ({}, {"cost_cents": 125_001}, Denial("UNAFFORDABLE", 1250.0, 1250.01)),
        ({}, {"cash_cents": 10_000}, Denial("UNAFFORDABLE", 100.0, 200.0)),
        ({"contracts": 3}, {"cash_cents": 59_999}, Denial("UNAFFORDABLE", 599.99, 600.0)),
    ],
)
def test_denials_tell_the_limit_and_the_actual(
    config: dict[str, Any], now: dict[str, Any], denial: Denial
) -> None:
    assert ask(config, **now) == denial


@pytest.mark.parametrize(
    ("config", "now", "quantity"),
    [
        ({}, {"minutes_to_close": 6}, 6),
        ({}, {"minutes_to_close": 36, "force_close_minutes": 35}, 6),
        ({"max_positions": 3}, {"open_positions": 2}, 6),
        ({"fresh_patterns": True}, {"formed_at": 6, "last_exit": 5}, 6),
        ({"contracts": 3}, {"cash_cents": 60_000}, 3),
        ({"contracts": 3}, {"cost_cents": 800_000}, 3),  # a fixed size asks for cash only
        ({}, {"cash_cents": 40_000}, 2),
        ({"risk_fraction": 1.0, "max_contracts": 10_000}, {}, 125),
    ],
)
def test_one_step_inside_each_limit_is_allowed(
    config: dict[str, Any], now: dict[str, Any], quantity: int
) -> None:
    assert ask(config, **now) == Allowed(quantity)


def test_the_clock_is_looked_at_before_the_positions_and_the_money() -> None:
    everything = {"minutes_to_close": 0, "open_positions": 9, "cost_cents": 10**9}
    assert ask(**everything).code == "MARKET_CLOSED"
    assert ask(**{**everything, "minutes_to_close": 3}).code == "TOO_LATE"
    assert ask(**{**everything, "minutes_to_close": 30}).code == "POSITION_LIMIT"


def test_a_fixed_size_above_the_cap_is_refused_naming_both() -> None:
    with pytest.raises(ConfigError, match=r"contracts 11 is above max_contracts 10"):
        parse(RiskConfig, {"contracts": 11}, "risk")
