"""The risk manager: losses, periods, drawdown and sizes, each at its boundary."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical
from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.market.calendar import ordinal
from maxlib.risk.limits import (
    Granted,
    LimitsConfig,
    RiskState,
    base_cents,
    begin,
    closed,
    decide,
    factor,
    marked,
    reset_peak,
    rolled,
    stopped,
)
from maxlib.risk.money import millionths, part, reaches
from maxlib.risk.sizing import Denial

CONFIG = LimitsConfig()
WIDE = LimitsConfig(daily_loss_usd=10**6, total_loss_usd=10**6)  # leaves the shares alone
MONDAY = ordinal(dt.date(2024, 12, 30))  # its week ends in another month and year
START = begin(2_500_000, MONDAY)


def lose(cents: int, state: RiskState = START) -> RiskState:
    return closed(state, -cents, state.equity - cents)


def code(config: LimitsConfig, state: RiskState) -> str | None:
    found = stopped(config, state)
    return found.code if found else None


@pytest.mark.parametrize(
    ("config", "cents", "denial"),
    [
        (CONFIG, 49_999, None),
        (CONFIG, 50_000, Denial("DAILY_LOSS_USD", 500, 500.0)),
        (WIDE, 124_999, None),
        (WIDE, 125_000, Denial("WEEKLY_LOSS", 5.0, 5.0)),
        (WIDE, 300_000, Denial("WEEKLY_LOSS", 5.0, 12.0)),
    ],
)
def test_losses_stop_entries_at_the_very_cent(
    config: LimitsConfig, cents: int, denial: Denial | None
) -> None:
    assert stopped(config, lose(cents)) == denial


@pytest.mark.parametrize(("cents", "found"), [(99_999, None), (100_000, "TOTAL_LOSS")])
def test_total_loss_counts_from_the_peak_over_days(cents: int, found: str | None) -> None:
    rich = closed(START, 1_000_000, 3_500_000)
    later = rolled(lose(cents, rich), MONDAY + 1)
    assert code(CONFIG.model_copy(update={"weekly_loss": 1.0, "monthly_loss": 1.0}), later) == found


@pytest.mark.parametrize(("cents", "found"), [(249_999, None), (250_000, "HARD_DRAWDOWN")])
def test_hard_drawdown_is_ten_per_cent_of_the_peak(cents: int, found: str | None) -> None:
    wide = WIDE.model_copy(update={"weekly_loss": 1.0, "monthly_loss": 1.0})
    assert code(wide, lose(cents)) == found
    assert code(wide, reset_peak(lose(cents))) is None


def test_days_weeks_and_months_end_by_the_calendar() -> None:
    state = lose(30_000)
    for date, of in [
        (dt.date(2024, 12, 30), (-30_000, -30_000, -30_000)),
        (dt.date(2024, 12, 31), (0, -30_000, -30_000)),
        (dt.date(2025, 1, 1), (0, -30_000, 0)),
        (dt.date(2025, 1, 5), (0, -30_000, 0)),  # Sunday
        (dt.date(2025, 1, 6), (0, 0, 0)),
        (dt.date(2025, 12, 30), (0, 0, 0)),  # the same month's name a year on
    ]:
        then = rolled(state, ordinal(date))
        assert (then.of_day, then.of_week, then.of_month) == of, date


def test_monthly_loss_is_a_share_of_what_the_month_began_with() -> None:
    state = rolled(closed(START, 500_000, 3_000_000), ordinal(dt.date(2025, 1, 6)))
    for week, cents in enumerate((149_999, 149_999), start=1):  # under 5 % each, of 30,000.00 and 28,500.01
        state = lose(cents if week == 1 else 142_000, state)
        assert code(WIDE, state) is None
        state = rolled(state, ordinal(dt.date(2025, 1, 6 + 7 * week)))
    assert code(WIDE, lose(8_000, state)) is None  # 299,999 of 3,000,000
    assert stopped(WIDE, lose(8_001, state)) == Denial("MONTHLY_LOSS", 10.0, 10.0)


def test_a_clock_set_back_brings_no_loss_back_to_zero() -> None:
    assert rolled(lose(50_000), MONDAY - 1) == lose(50_000)


def test_open_losses_count_at_once_and_open_gains_excuse_nothing() -> None:
    assert code(CONFIG, marked(START, 2_450_000)) == "DAILY_LOSS_USD"
    assert code(CONFIG, marked(lose(50_000), 2_500_000)) == "DAILY_LOSS_USD"
    assert code(CONFIG, marked(lose(49_999), 2_500_000)) is None


@pytest.mark.parametrize(("cents", "share"), [(149_999, 1.0), (150_000, 0.5), (249_999, 0.5)])
def test_sizes_are_halved_from_six_per_cent_on(cents: int, share: float) -> None:
    assert factor(CONFIG, lose(cents)) == share


def ask(state: RiskState, cost: int, config: LimitsConfig = CONFIG, **now: Any) -> Any:
    calm = {"book": "conservative", "open_positions": 0, "book_positions": 0}
    return decide(config, state, cost_cents=cost, **{**calm, **now})


@pytest.mark.parametrize(
    ("state", "cost", "now", "answer"),
    [
        (START, 100_000, {}, Granted(1.0, 100_000)),
        (START, 100_001, {}, Denial("SIZE_LIMIT", 1000.0, 1000.01)),
        (begin(1_000_000, 1), 50_000, {}, Granted(1.0, 50_000)),
        (begin(1_000_000, 1), 50_001, {}, Denial("TRADE_RISK", 500.0, 500.01)),
        (START, 50_000, {"fraction": 0.02}, Granted(1.0, 50_000)),
        (START, 50_001, {"fraction": 0.02}, Denial("TRADE_RISK", 500.0, 500.01)),
        (START, 1, {"open_positions": 1}, Denial("MAX_POSITIONS", 1, 1)),
        (START, 1, {"book_positions": 1}, Denial("BOOK_POSITIONS", 1, 1)),
        (lose(50_000), 1, {"open_positions": 1}, Denial("DAILY_LOSS_USD", 500, 500.0)),
    ],
)
def test_a_cost_is_granted_up_to_the_smallest_cap(
    state: RiskState, cost: int, now: dict[str, Any], answer: Any
) -> None:
    assert ask(state, cost, **now) == answer


def test_in_the_soft_drawdown_half_is_granted() -> None:
    down = rolled(lose(60_000, begin(1_000_000, MONDAY)), MONDAY + 8)  # 6 % of 10,000; 5 % of the rest: 470
    config = LimitsConfig(weekly_loss=0.1)
    assert ask(down, 23_500, config) == Granted(0.5, 23_500)
    assert ask(down, 23_501, config) == Denial("SOFT_DRAWDOWN", 235.0, 235.01)
    assert ask(down, 47_001, config) == Denial("TRADE_RISK", 470.0, 470.01)


def test_of_a_large_account_only_the_cap_counts_and_of_a_gain_on_paper_nothing() -> None:
    assert base_cents(CONFIG, begin(20_000_000, 1)) == 10_000_000
    assert base_cents(CONFIG, marked(START, 2_600_000)) == 2_500_000
    assert base_cents(CONFIG, marked(START, 2_400_000)) == 2_400_000


def test_the_defaults_are_the_specs_numbers() -> None:
    assert CONFIG.model_dump() == {
        "conservative": {"risk_fraction": 0.05, "max_positions": 1},
        "aggressive": {"risk_fraction": 0.05, "max_positions": 1},
        "max_positions": 1, "daily_loss_usd": 500, "total_loss_usd": 1000,
        "weekly_loss": 0.05, "monthly_loss": 0.10, "soft_drawdown": 0.06, "hard_drawdown": 0.10,
        "account_cap_usd": 100_000, "max_size_usd": 1000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"soft_drawdown": 0.2}, "soft_drawdown 0.2 is above hard_drawdown 0.1"),
        ({"weekly_loss": 0.2}, "weekly_loss 0.2 is above monthly_loss 0.1"),
        ({"daily_loss_usd": 2000}, "daily_loss_usd 2000 is above total_loss_usd 1000"),
        ({"aggressive": {"risk_fraction": 0.06}}, r"aggressive.risk_fraction.*0.05"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(LimitsConfig, values, "limits")


# --- properties

money = st.integers(-400_000, 400_000)
steps = st.lists(st.tuples(st.sampled_from(["close", "mark", "day"]), money), max_size=20)


def play(script: list[tuple[str, int]], state: RiskState = START) -> RiskState:
    for kind, amount in script:
        if kind == "close":
            state = closed(state, amount, state.equity + amount)
        elif kind == "mark":
            state = marked(state, state.balance + amount)
        else:
            state = rolled(state, state.day + abs(amount) % 5)
    return state


@given(steps, st.integers(0, 20), st.integers(1, 300_000), st.integers(1, 200_000))
def test_one_loss_more_never_turns_a_denial_into_a_grant_nor_a_grant_into_a_larger_one(
    script: list[tuple[str, int]], at: int, loss: int, cost: int
) -> None:
    worse = [*script[:at], ("close", -loss), *script[at:]]
    before, after = ask(play(script), cost), ask(play(worse), cost)
    if isinstance(before, Denial):
        assert isinstance(after, Denial)
    elif isinstance(after, Granted):
        assert after.budget_cents <= before.budget_cents


@given(steps, st.integers(1, 200_000))
def test_what_is_granted_stays_within_every_cap(script: list[tuple[str, int]], cost: int) -> None:
    state = play(script)
    answer = ask(state, cost)
    if isinstance(answer, Granted):
        assert cost <= answer.budget_cents <= 100_000
        assert 20 * cost <= min(state.balance, state.equity, 10_000_000)
        assert state.of_day + min(0, state.open) > -50_000
        assert state.peak - state.equity < min(100_000, 0.1 * state.peak + 1)


@given(steps)
def test_a_state_written_and_read_is_the_same(script: list[tuple[str, int]]) -> None:
    state = play(script)
    assert RiskState(*json.loads(canonical(list(state)))) == state


@given(st.integers(0, 10**10), st.integers(1, 10_000))
def test_shares_are_exact_in_hundredths_of_a_per_cent(cents: int, points: int) -> None:
    fraction = float(f"0.{points:04d}") if points < 10_000 else 1.0
    assert millionths(fraction) == 100 * points
    assert part(cents, fraction) == cents * points // 10_000
    assert reaches(points, 10_000, fraction)
    assert not reaches(points - 1, 10_000, fraction)
