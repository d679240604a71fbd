"""The guard: everything together, held to what must be true whatever happens."""

import ast
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical
from maxlib.core.config import parse
from maxlib.regimes.router import RegimeConfig, Volatility
from maxlib.risk.guard import Fitted, Guard, GuardConfig
from maxlib.risk.health import Vitals
from maxlib.risk.limits import LimitsConfig
from maxlib.risk.safety import Ask
from maxlib.risk.sizing import Denial
from tests.risk.test_health import NOON, SECOND

MINUTE = 60 * SECOND
DAY = 20_417
OPEN = GuardConfig(regimes=None)
NORMAL = Volatility(18.0, "vix", 1.2)


def ask(ts: int = NOON, strategy: str = "champion", **now: Any) -> Ask:
    calm: dict[str, Any] = {
        "book": "conservative", "open_positions": 0, "book_positions": 0, "exposure_cents": 0,
    }  # fmt: skip
    return Ask(ts, strategy, **{**calm, **now})


def guard(config: GuardConfig = OPEN, account: int = 2_500_000) -> Guard:
    made = Guard(config, account, DAY)
    made.volatility(NOON - MINUTE, NORMAL)
    return made


def lose(g: Guard, cents: int, ts: int = NOON) -> Guard:
    g.closed(ts, -cents, g.account.equity - cents)
    return g


def test_before_the_first_reading_nothing_trades_and_without_a_router_all_may() -> None:
    young = Guard(GuardConfig(), 2_500_000, DAY)
    assert young.admit(ask()) == Denial("REGIME_PAUSED", 0.0, 0.0)
    assert Guard(OPEN, 2_500_000, DAY).admit(ask()) is None


@pytest.mark.parametrize(
    ("seen", "strategy", "denial"),
    [
        (NORMAL, "champion", None),
        (NORMAL, "vwap_mean_reversion", Denial("REGIME_STRATEGY", 30.0, 18.0)),
        (Volatility(31.0, "vix", 1.2), "champion", Denial("REGIME_STRATEGY", 30.0, 31.0)),
        (Volatility(31.0, "vix", 1.2), "sweep_reclaim", None),
        (Volatility(12.0, "vix", 1.2), "vwap_mean_reversion", None),
        (Volatility(18.0, "vix", 0.01), "champion", Denial("REGIME_PAUSED", 0.05, 0.01)),
    ],
)
def test_the_state_of_the_market_says_who_may_trade(
    seen: Volatility, strategy: str, denial: Denial | None
) -> None:
    g = guard(GuardConfig())
    g.volatility(NOON, seen)
    assert g.admit(ask(strategy=strategy)) == denial


def test_a_denial_shows_the_newest_reading_of_the_state_in_force() -> None:
    g = guard(GuardConfig())
    for vix in (31.0, 34.0):
        g.volatility(NOON, Volatility(vix, "vix", 1.2))
    assert g.admit(ask()) == Denial("REGIME_STRATEGY", 30.0, 34.0)


def test_three_states_pause_below_and_above() -> None:
    g = guard(GuardConfig(regimes=RegimeConfig(states="three")))
    assert g.admit(ask()) is None
    for vix in (12.9, 30.1):
        g.volatility(NOON, Volatility(vix, "vix", 1.2))
        for strategy in ("champion", "sweep_reclaim", "vwap_mean_reversion"):
            assert g.admit(ask(strategy=strategy)).code == "REGIME_PAUSED"  # type: ignore[union-attr]


def test_after_the_state_come_the_validations_then_losses_then_positions() -> None:
    g = lose(guard(GuardConfig()), 50_000)
    asked = ask(killed=True, open_positions=1)
    assert g.admit(asked._replace(strategy="other")).code == "REGIME_STRATEGY"  # type: ignore[union-attr]
    assert g.admit(asked).code == "KILL_SWITCH"  # type: ignore[union-attr]
    assert g.admit(asked._replace(killed=False)).code == "DAILY_LOSS"  # type: ignore[union-attr]
    g.mark(NOON, DAY + 1, g.account.equity)
    assert g.admit(ask(open_positions=1)) == Denial("MAX_POSITIONS", 1, 1)
    lose(g, 48_900)  # 489.00 of the 24,500 that the day began with: under 2 %
    assert g.admit(ask(open_positions=1)).code == "MAX_POSITIONS"  # type: ignore[union-attr]
    g.mark(NOON, DAY + 2, g.account.equity - 1_100)  # 500 + 489 + 11 = 1,000 from the peak
    assert g.admit(ask(open_positions=1)) == Denial("TOTAL_LOSS", 1000, 1000.0)


# --- sizes


@pytest.mark.parametrize(
    ("account", "unit", "wanted", "now", "answer"),
    [
        (2_500_000, 5_000, 10, {}, 5),  # 1 % of 25,000
        (2_500_000, 5_000, 3, {}, 3),
        (9_000_000, 5_000, 99, {}, 10),  # $500
        (90_000_000, 5_000, 99, {"exposure_cents": 270_001}, 5),  # 3 % of 100,000, less what is open
        (2_500_000, 25_000, 9, {}, 1),
        (2_500_000, 25_001, 9, {}, Denial("POSITION_SIZE", 250.0, 250.01)),
        (2_500_000, 20_000, 9, {"exposure_cents": 55_001}, Denial("EXPOSURE", 750.0, 750.01)),
    ],
)
def test_sizes_shrink_to_the_strictest_limit_and_only_then_are_denied(
    account: int, unit: int, wanted: int, now: dict[str, Any], answer: Any
) -> None:
    found = guard(account=account).fit(ask(**now), unit, wanted)
    assert found == (Fitted(answer, ()) if isinstance(answer, int) else answer)


def wide(**changed: Any) -> GuardConfig:
    """The guard's page: what to set for the seed's 5 % a book."""
    values = {
        "safety": {"position_fraction": 0.05, "exposure_fraction": 0.10, "premium_usd": 1000},
        "regimes": {
            "normal": {
                "strategies": ["wave_renko", "champion"], "max_positions": 3, "risk_fraction": 0.05,
                "trades_a_day": 10,
            },
        },
        **changed,
    }  # fmt: skip
    return parse(GuardConfig, values, "guard")


def test_the_seeds_five_per_cent_a_book_may_be_set() -> None:
    assert guard(wide(), account=1_900_000).fit(ask(), 47_500, 10) == Fitted(
        2, (Denial("MANUAL_APPROVAL", 500, 950.0),)
    )
    assert guard(wide(), account=1_900_000).fit(ask(), 95_001, 10) == Denial("POSITION_SIZE", 950.0, 950.01)
    assert guard(wide(), account=2_500_000).fit(ask(), 100_000, 10, 2.0).quantity == 1  # type: ignore[union-attr]


def test_the_book_the_state_and_the_absolute_size_bind_where_they_are_the_strictest() -> None:
    meek = wide(limits={"conservative": {"risk_fraction": 0.01}})
    assert guard(meek).fit(ask(), 25_001, 1) == Denial("TRADE_RISK", 250.0, 250.01)
    assert guard(meek).fit(ask(book="aggressive"), 25_001, 1).quantity == 1  # type: ignore[union-attr]
    high = guard(wide())
    high.volatility(NOON, Volatility(35.0, "vix", 1.2))
    assert high.fit(ask(), 18_751, 1) == Denial("TRADE_RISK", 187.5, 187.51)  # 0.75 % of 25,000
    small = wide(limits={"max_size_usd": 300})
    assert guard(small).fit(ask(), 30_001, 1) == Denial("SIZE_LIMIT", 300.0, 300.01)


def test_in_the_soft_drawdown_half_the_units_are_left() -> None:
    loose = LimitsConfig(daily_loss_usd=1000, total_loss_usd=1000, weekly_loss=0.2, monthly_loss=0.2)
    g = guard(GuardConfig(regimes=None, limits=loose), account=1_000_000)
    assert g.fit(ask(), 1_000, 7) == Fitted(7, ())
    lose(g, 59_999)
    assert g.fit(ask(), 1_000, 7) == Fitted(7, ())
    lose(g, 1)
    assert g.fit(ask(), 1_000, 7) == Fitted(3, ())
    assert g.fit(ask(), 1_000, 1) == Denial("SOFT_DRAWDOWN", 5.0, 10.0)


# --- events, counts, state


def test_why_not_traded_today_counts_every_denial_and_news_tells_each_once() -> None:
    g = guard(GuardConfig())
    assert [(e.kind, e.severity) for e in g.news()] == [("regime", "info")]
    g.admit(ask(killed=True))
    g.admit(ask(killed=True))
    g.fit(ask(), 25_001, 1)
    g.fit(ask(), 10_000, 1, 1.0)
    g.refused(NOON, Denial("TOO_LATE", 5, 3), "champion")
    assert g.denials == {"KILL_SWITCH": 2, "POSITION_SIZE": 1, "TOO_LATE": 1}
    assert [e.kind for e in g.news()] == ["denied"] * 3 + ["warned", "denied"]
    assert g.news() == ()
    again = Guard(GuardConfig(), 1, 1)
    again.restore(json.loads(canonical(g.snapshot())))
    assert again.news() == ()
    g.volatility(NOON, Volatility(7.0, "vix", 1.2))
    (calm,) = g.news()
    assert (calm.kind, calm.severity, calm.details["close_all"]) == ("regime", "warning", True)


def test_a_halt_and_a_breaker_outlast_a_restart_and_a_new_day() -> None:
    g = guard()
    g.hold(NOON, "the user halted")
    for _ in range(5):
        lose(g, 1)
    again = Guard(OPEN, 1, 1)
    again.restore(json.loads(canonical(g.snapshot())))
    again.mark(NOON, DAY + 1, again.account.equity)
    assert again.admit(ask()).code == "SAFE_MODE"  # type: ignore[union-attr]
    again.release(NOON)
    assert again.admit(ask()).code == "BREAKER_LOSSES"  # type: ignore[union-attr]
    assert again.admit(ask(NOON + 60 * MINUTE)) is None


def test_the_total_loss_holds_until_a_user_resets_the_peak() -> None:
    g = guard(GuardConfig(regimes=None, limits=LimitsConfig(daily_loss_usd=1000)))
    for day in (1, 2, 3):
        lose(g, 33_334, NOON + day * MINUTE)
        g.mark(NOON, DAY + 30 * day, g.account.equity)
    assert g.admit(ask(NOON + 3 * MINUTE)) == Denial("TOTAL_LOSS", 1000, 1000.02)
    g.reset_peak(NOON)
    assert g.admit(ask(NOON + 3 * MINUTE)) is None


# --- properties

SCRIPT = st.lists(
    st.tuples(
        st.sampled_from(["close", "close", "mark", "error", "health", "day", "vix", "ask"]),
        st.integers(0, 90),
        st.integers(-40_000, 40_000),
    ),
    max_size=25,
)
LOOSE = GuardConfig(
    limits=LimitsConfig(daily_loss_usd=2_000, total_loss_usd=10_000, weekly_loss=0.2, monthly_loss=0.3)
)


def play(script: list[Any], config: GuardConfig, g: Guard | None = None, ts: int = NOON) -> Guard:
    """Minutes pass, things happen; equity is the balance and what is open."""
    g = g or guard(config)
    for kind, minutes, amount in script:
        ts += minutes * MINUTE
        if kind == "close":
            g.closed(ts, amount, g.account.equity + amount)
        elif kind == "mark":
            g.mark(ts, g.account.day, g.account.balance + amount)
        elif kind == "error":
            g.error(ts, "x")
        elif kind == "health":
            g.health(Vitals(ts, abs(amount) / 100, 5.0, 5.0, amount > 0))
        elif kind == "day":
            g.mark(ts, g.account.day + 1 + minutes // 20, g.account.equity)
        elif kind == "vix":
            g.volatility(ts, Volatility(abs(amount) / 1000, "vix", 1.2))
        elif g.admit(ask(ts)) is None and isinstance(g.fit(ask(ts), 1_000, 10), Fitted):
            g.entered(ts, "champion", "conservative")
    return g


def last_moment(script: list[Any]) -> int:
    return NOON + sum(minutes for _, minutes, _ in script) * MINUTE


@given(
    SCRIPT, st.integers(0, 25), st.integers(1, 150_000), st.integers(0, 130), st.sampled_from([OPEN, LOOSE])
)
def test_more_loss_never_turns_a_denial_into_an_allowance(
    script: list[Any], at: int, loss: int, wait: int, config: GuardConfig
) -> None:
    script = [step for step in script if step[0] != "ask"]  # fewer trades are another story
    worse = [*script[:at], ("close", 0, -loss), *script[at:]]
    probe = ask(last_moment(script) + wait * MINUTE)
    before, after = play(script, config), play(worse, config)
    if before.admit(probe) is not None:
        assert after.admit(probe) is not None
    elif after.admit(probe) is None:
        less, more = after.fit(probe, 1_000, 50), before.fit(probe, 1_000, 50)
        if isinstance(less, Fitted):
            assert isinstance(more, Fitted)
            assert less.quantity <= more.quantity


@given(SCRIPT, st.integers(0, 25))
def test_a_restart_at_any_moment_changes_nothing(script: list[Any], at: int) -> None:
    whole = play(script, LOOSE)
    first = play(script[:at], LOOSE)
    second = Guard(LOOSE, 1, 1)
    second.restore(json.loads(canonical(first.snapshot())))
    assert (second.account, second.safety, second.route) == (first.account, first.safety, first.route)
    play(script[at:], LOOSE, second, last_moment(script[:at]))
    assert canonical(second.snapshot()) == canonical(whole.snapshot())


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["champion", "wave_renko"])), max_size=400))
def test_a_storm_of_orders_ends_at_the_caps_although_none_is_ever_filled(storm: list[Any]) -> None:
    g, ts, sent = guard(GuardConfig()), NOON, []
    for seconds, strategy in storm:
        ts += seconds * SECOND
        if g.admit(ask(ts, strategy)) is None:
            g.entered(ts, strategy, "conservative")
            sent.append((ts, strategy))
    assert len(sent) <= 10
    assert all(sum(s == name for _, s in sent) <= 5 for name in ("champion", "wave_renko"))
    assert all(b[0] - a[0] >= 60 * SECOND for a, b in pairwise(sent))
    assert sum(g.denials.values()) == len(storm) - len(sent)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["conservative", "aggressive"]), st.integers(1, 60_000)),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_positions_and_their_premium_never_pass_the_caps(script: list[Any], most: int) -> None:
    books: dict[str, Any] = {name: {"max_positions": 2} for name in ("conservative", "aggressive")}
    config = parse(GuardConfig, {"limits": {"max_positions": most, **books}}, "guard")
    g, ts, held = guard(config), NOON, []
    for opens, book, unit in script:
        ts += 61 * SECOND
        if not opens:
            held = held[1:]
            continue
        now = ask(
            ts, book=book, open_positions=len(held), book_positions=sum(b == book for b, _ in held),
            exposure_cents=sum(cents for _, cents in held),
        )  # fmt: skip
        if g.admit(now) is not None:
            continue
        fitted = g.fit(now, unit, 10)
        if isinstance(fitted, Fitted):
            assert unit * fitted.quantity <= 25_000
            held.append((book, unit * fitted.quantity))
            g.entered(ts, "champion", book)
        assert len(held) <= min(most, 3)
        assert all(sum(b == name for b, _ in held) <= 2 for name in books)
        assert sum(cents for _, cents in held) <= 75_000


@pytest.mark.parametrize("room", ["risk", "regimes"])
def test_no_file_of_the_room_reads_a_clock_or_a_disk(room: str, root: Path) -> None:
    impure = {"time", "datetime", "random", "os", "pathlib", "secrets", "asyncio", "threading"}
    for path in (root / "maxlib" / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {name.name.split(".")[0] for name in node.names} & impure, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in impure, path
