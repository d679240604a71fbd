"""The twelve validations before a trade: each at its boundary, and their order."""

import json
from typing import Any, get_args

import pytest

from maxlib.core.canonical import canonical
from maxlib.market.calendar import to_ns
from maxlib.regimes.router import RegimeConfig, RegimeRule
from maxlib.risk.codes import MEANING, GuardCode
from maxlib.risk.health import Vitals
from maxlib.risk.limits import RiskState, begin, closed
from maxlib.risk.safety import (
    Ask,
    SafetyConfig,
    SafetyState,
    checked,
    denied,
    entered,
    entry_denial,
    failed,
    held,
    new_day,
    noted,
    released,
    safety_in,
    size_denial,
    traded,
    warnings,
    without_expired,
)
from maxlib.risk.sizing import Denial, DenialCode
from tests.risk.test_health import NOON, SECOND, TUESDAY

MINUTE = 60 * SECOND
DAY = 20_417
CONFIG = SafetyConfig()
ACCOUNT = begin(2_500_000, DAY)
CALM = SafetyState(DAY)
RULES = RegimeConfig()


def ask(**now: Any) -> Ask:
    calm: dict[str, Any] = {
        "ts": NOON, "strategy": "wave_renko", "book": "conservative",
        "open_positions": 0, "book_positions": 0, "exposure_cents": 0,
    }  # fmt: skip
    return Ask(**{**calm, **now})


def entries(state: SafetyState, *strategies: str, ts: int = NOON - 60 * SECOND) -> SafetyState:
    for strategy in strategies:
        state = entered(state, ts, strategy, "conservative")
    return state


def sick(state: SafetyState = CALM) -> SafetyState:
    return checked(CONFIG, state, Vitals(NOON, 301.0, 5.0, 5.0, True))


def beaten(state: SafetyState = CALM, times: int = 5) -> SafetyState:
    for _ in range(times):
        state = traded(CONFIG, state, NOON - MINUTE, -100, ACCOUNT)
    return state


def lose(cents: int, account: RiskState = ACCOUNT) -> RiskState:
    return closed(account, -cents, account.equity - cents)


TWO = ("wave_renko", "champion")

PASSES: list[tuple[Ask, SafetyState, RiskState, RegimeRule | None]] = [
    (ask(), CALM, ACCOUNT, None),
    (ask(), beaten(times=4), ACCOUNT, None),
    (ask(ts=NOON + 59 * MINUTE), beaten(), ACCOUNT, None),
    (ask(), CALM, lose(49_999), None),
    (ask(), CALM, closed(ACCOUNT, 50_000, 2_550_000), None),
    (ask(open_positions=2), CALM, ACCOUNT, None),
    (ask(open_positions=1), CALM, ACCOUNT, RULES.rule("ULTRA_LOW_VOL")),
    (ask(), CALM, ACCOUNT, RULES.rule("HIGH_VOL")),
    (ask(), entries(CALM, *TWO * 4, "champion"), ACCOUNT, None),
    (ask(), entries(CALM, *TWO * 2), ACCOUNT, RULES.rule("ULTRA_LOW_VOL")),
    (ask(), entries(CALM, *TWO), ACCOUNT, RULES.rule("HIGH_VOL")),
    (ask(), entries(CALM, *["wave_renko"] * 4), ACCOUNT, None),
    (ask(), entries(CALM, "champion"), ACCOUNT, None),
    (ask(book="aggressive"), entries(CALM, "champion", ts=NOON), ACCOUNT, None),
]

BLOCKS: list[tuple[Ask, SafetyState, RiskState, RegimeRule | None, Denial]] = [
    (ask(killed=True), CALM, ACCOUNT, None, Denial("KILL_SWITCH", 0, 1)),
    (ask(), sick(), ACCOUNT, None, Denial("SAFE_MODE", 0, 1)),
    (ask(), held(sick(), NOON, "halted"), ACCOUNT, None, Denial("SAFE_MODE", 0, 2)),
    (ask(), beaten(), ACCOUNT, None, Denial("BREAKER_LOSSES", 60, 1.0)),
    (
        ask(ts=NOON + 59 * MINUTE - SECOND), beaten(), ACCOUNT, None,
        Denial("BREAKER_LOSSES", 60, 59 + 59 / 60),
    ),
    (ask(), CALM, lose(50_000), None, Denial("DAILY_LOSS", 500.0, 500.0)),
    (ask(), CALM, lose(200_000, begin(90_000_000, DAY)), None, Denial("DAILY_LOSS", 2000.0, 2000.0)),
    (ask(open_positions=3), CALM, ACCOUNT, None, Denial("OPEN_POSITIONS", 3, 3)),
    (ask(open_positions=2), CALM, ACCOUNT, RULES.rule("ULTRA_LOW_VOL"), Denial("OPEN_POSITIONS", 2, 2)),
    (ask(open_positions=1), CALM, ACCOUNT, RULES.rule("HIGH_VOL"), Denial("OPEN_POSITIONS", 1, 1)),
    (ask(), CALM, ACCOUNT, RULES.rule("EXTREME_CALM_PAUSE"), Denial("OPEN_POSITIONS", 0, 0)),
    (ask(), entries(CALM, *TWO * 5), ACCOUNT, None, Denial("TRADES_TODAY", 10, 10)),
    (ask(), entries(CALM, *TWO * 2, "champion"), ACCOUNT, RULES.rule("ULTRA_LOW_VOL"),
     Denial("TRADES_TODAY", 5, 5)),
    (ask(), entries(CALM, *TWO, "champion"), ACCOUNT, RULES.rule("HIGH_VOL"), Denial("TRADES_TODAY", 3, 3)),
    (ask(), entries(CALM, *["wave_renko"] * 5), ACCOUNT, None, Denial("STRATEGY_TRADES", 5, 5)),
    (ask(), entries(CALM, "champion", ts=NOON - 59 * SECOND), ACCOUNT, None,
     Denial("TRADE_SPACING", 60, 59.0)),
    (ask(book="aggressive"), entries(CALM, "champion", ts=NOON - 59 * SECOND), ACCOUNT, None,
     Denial("TRADE_SPACING", 60, 59.0)),
    (ask(), entries(CALM, "champion", ts=NOON), ACCOUNT, None, Denial("TRADE_SPACING", 60, 0.0)),
    (ask(), entries(CALM, "champion", ts=NOON + SECOND), ACCOUNT, None, Denial("TRADE_SPACING", 60, -1.0)),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "state", "account", "rule"), PASSES)
def test_one_step_inside_each_boundary_passes(
    asked: Ask, state: SafetyState, account: RiskState, rule: RegimeRule | None
) -> None:
    assert entry_denial(CONFIG, without_expired(state, asked.ts), asked, account, rule) is None


@pytest.mark.parametrize(("asked", "state", "account", "rule", "denial"), BLOCKS)
def test_at_each_boundary_the_denial_tells_the_limit_and_the_actual(
    asked: Ask, state: SafetyState, account: RiskState, rule: RegimeRule | None, denial: Denial
) -> None:
    found = entry_denial(CONFIG, without_expired(state, asked.ts), asked, account, rule)
    assert found is not None
    assert found[:2] == denial[:2]
    assert found.actual == pytest.approx(denial.actual, rel=1e-12)


def test_they_are_asked_in_the_specs_order() -> None:
    """Everything is wrong; what is named is put right, and the next in order must be named."""
    state = entries(beaten(sick()), *["wave_renko"] * 10, ts=NOON - SECOND)
    asked, account = ask(killed=True, open_positions=9, exposure_cents=10**6), lose(60_000)
    said = []
    while (denial := entry_denial(CONFIG, state, asked, account)) is not None:
        said.append(denial.code)
        assert len(said) <= 8
        match denial.code:
            case "KILL_SWITCH":
                asked = asked._replace(killed=False)
            case "SAFE_MODE":
                state = state._replace(health=CALM.health)
            case "BREAKER_LOSSES":
                state = state._replace(breakers=CALM.breakers)
            case "DAILY_LOSS":
                account = ACCOUNT
            case "OPEN_POSITIONS":
                asked = asked._replace(open_positions=0)
            case "TRADES_TODAY":
                state = state._replace(trades=9)
            case "STRATEGY_TRADES":
                state = state._replace(by_strategy={"wave_renko": 4})
            case "TRADE_SPACING":
                state = state._replace(last_at=NOON - MINUTE)
    assert said == [
        "KILL_SWITCH", "SAFE_MODE", "BREAKER_LOSSES", "DAILY_LOSS",
        "OPEN_POSITIONS", "TRADES_TODAY", "STRATEGY_TRADES", "TRADE_SPACING",
    ]  # fmt: skip
    assert size_denial(CONFIG, asked, 60_000, 2_500_000).code == "POSITION_SIZE"  # type: ignore[union-attr]
    assert size_denial(CONFIG, asked, 25_000, 2_500_000).code == "EXPOSURE"  # type: ignore[union-attr]
    assert [w.code for w in warnings(CONFIG, 50_001, 1.0)] == ["LOW_REWARD_RISK", "MANUAL_APPROVAL"]


@pytest.mark.parametrize(
    ("base", "open_cents", "premium", "denial"),
    [
        (2_500_000, 0, 25_000, None),  # 1 % of 25,000
        (2_500_000, 0, 25_001, Denial("POSITION_SIZE", 250.0, 250.01)),
        (9_000_000, 0, 50_000, None),  # $500 come before 1 % of 90,000
        (9_000_000, 0, 50_001, Denial("POSITION_SIZE", 500.0, 500.01)),
        (2_500_000, 50_000, 25_000, None),  # 3 % of 25,000 are 750
        (2_500_000, 50_001, 25_000, Denial("EXPOSURE", 750.0, 750.01)),
        (0, 0, 1, Denial("POSITION_SIZE", 0.0, 0.01)),
    ],
)
def test_premium_and_exposure_pass_at_their_limits_and_not_a_cent_above(
    base: int, open_cents: int, premium: int, denial: Denial | None
) -> None:
    assert size_denial(CONFIG, ask(exposure_cents=open_cents), premium, base) == denial


@pytest.mark.parametrize(
    ("premium", "reward", "found"),
    [
        (50_000, 1.5, ()),
        (50_000, None, ()),
        (50_000, 1.49, (Denial("LOW_REWARD_RISK", 1.5, 1.49),)),
        (50_001, 1.5, (Denial("MANUAL_APPROVAL", 500, 500.01),)),
    ],
)
def test_reward_to_risk_and_approval_only_warn(
    premium: int, reward: float | None, found: tuple[Denial, ...]
) -> None:
    assert warnings(CONFIG, premium, reward) == found


def test_a_breaker_resets_at_the_first_validation_after_its_end_and_says_so_once() -> None:
    state = beaten()
    still = without_expired(state, NOON + 59 * MINUTE - 1)
    assert still is state
    after = without_expired(state, NOON + 59 * MINUTE)
    assert [event.kind for event in after.events[len(state.events) :]] == ["breaker_reset"]
    assert without_expired(after, NOON + 60 * MINUTE) is after


def test_a_trade_without_loss_moves_no_breaker_and_an_error_does() -> None:
    assert traded(CONFIG, CALM, NOON, 0, ACCOUNT) == CALM
    state = CALM
    for _ in range(5):
        state = failed(CONFIG, state, NOON, "the feed hung up", ACCOUNT)
    assert entry_denial(CONFIG, state, ask(), ACCOUNT) == Denial("BREAKER_ERRORS", 30, 0.0)
    assert [e.kind for e in state.events] == ["error"] * 5 + ["breaker_set"]


def test_safe_mode_goes_on_and_off_by_the_checks_and_a_hold_outlasts_them() -> None:
    state = held(sick(), NOON, "the user halted")
    for minute in range(1, 4):
        state = checked(CONFIG, state, Vitals(NOON + minute * MINUTE, 1.0, 5.0, 5.0, True))
    assert state.health.failed == ()
    assert entry_denial(CONFIG, state, ask(), ACCOUNT) == Denial("SAFE_MODE", 0, 1)
    state = safety_in(json.loads(canonical(state._asdict())))
    assert state.safe_mode
    state = released(state, NOON + 5 * MINUTE)
    assert not state.safe_mode
    assert [(e.kind, e.severity) for e in state.events] == [
        ("health_failed", "warning"), ("safe_mode_on", "critical"), ("health_well", "info"),
        ("safe_mode_off", "info"),
    ]  # fmt: skip


def test_nobody_is_woken_because_the_market_closes() -> None:
    state = checked(CONFIG, CALM, Vitals(to_ns(TUESDAY, 960), 1.0, 5.0, 5.0, True))
    assert [(e.kind, e.severity) for e in state.events] == [
        ("health_failed", "info"),
        ("safe_mode_on", "info"),
    ]


def test_a_new_day_clears_counts_and_keeps_breakers_health_and_hold() -> None:
    state = held(sick(beaten(entries(CALM, *TWO))), NOON, "halted")
    state = denied(state, NOON, Denial("SAFE_MODE", 0, 1), "champion")
    assert new_day(state, NOON, DAY) is state
    after = new_day(state, NOON, DAY + 1)
    assert (after.trades, after.by_strategy, after.denials) == (0, {}, {})
    assert after[5:8] == state[5:8] == (state.breakers, state.health, "halted")
    assert after.last_at == state.last_at


def test_denials_are_counted_by_code_and_warnings_are_not() -> None:
    state = CALM
    for code in ("EXPOSURE", "EXPOSURE", "MARKET_CLOSED"):
        state = denied(state, NOON, Denial(code, 750.0, 800.5), "champion")  # type: ignore[arg-type]
    state = denied(state, NOON, Denial("LOW_REWARD_RISK", 1.5, 1.0), "champion", warning=True)
    assert state.denials == {"EXPOSURE": 2, "MARKET_CLOSED": 1}
    assert state.events[0].details == {
        "code": "EXPOSURE", "limit": 750.0, "actual": 800.5, "strategy": "champion",
    }  # fmt: skip
    assert [e.kind for e in state.events] == ["denied"] * 3 + ["warned"]


def test_the_last_thousand_events_are_kept() -> None:
    state = CALM
    for n in range(1003):
        state = noted(state, n, "error", "warning", "x")
    assert (len(state.events), state.events[0].ts, state.events[-1].ts, state.ever) == (1000, 3, 1002, 1003)


def test_every_code_has_a_meaning_and_none_has_two_owners() -> None:
    assert set(MEANING) == set(get_args(GuardCode))
    assert not set(get_args(GuardCode)) & set(get_args(DenialCode))


def test_the_defaults_are_the_specs_table() -> None:
    table = CONFIG.model_dump(exclude={"breakers", "health"})
    assert table == {
        "daily_loss": 0.02, "daily_loss_usd": 2000, "max_positions": 3, "trades_a_day": 10,
        "strategy_trades": 5, "spacing_seconds": 60, "position_fraction": 0.01, "premium_usd": 500,
        "exposure_fraction": 0.03, "reward_risk": 1.5, "approval_usd": 500,
    }  # fmt: skip
