"""The guard in the machine: asked before every entry, told of everything, the same leaping or stepping."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.engine.backtest import backtest, to_bar
from maxlib.engine.events import Record, Submit, VolatilitySeen
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.shell import Shell
from maxlib.market import calendar
from maxlib.regimes.router import RegimeConfig, RegimeRule, Volatility
from maxlib.risk.guard import GuardConfig
from maxlib.risk.limits import Book, LimitsConfig
from maxlib.risk.safety import SafetyConfig
from maxlib.risk.sizing import RiskConfig
from maxlib.strategies.config import ChampionConfig
from tests.contracts import tapes
from tests.engine.scripted import LONG, NAN, SHORT, Market, both, config, said, strategy

OPEN = GuardConfig(regimes=None)


def guarded(guard: GuardConfig, made: MachineConfig | None = None) -> MachineConfig:
    chosen = made or config(hold_minutes=5)
    return chosen.model_copy(update={"guard": guard, "strategy": "champion"})


def flat(*signals: str) -> Any:
    """A quiet day at 500: a call at the money costs 236 cents at 10:00 under 20 %."""
    market = Market().flat("09:30", "15:59", 500.0)
    for at in signals:
        market.signal(at, LONG)
    return market.bars


def codes(run: Any) -> list[str]:
    return [body["code"] for body in said(run, "denied")]


def events(run: Any) -> list[tuple[str, str]]:
    return [(body["what"], body["severity"]) for body in said(run, "guard")]


def test_without_a_guard_nothing_changes_and_with_an_open_one_sizes_shrink_to_its_limits() -> None:
    free = both(flat("10:00"), strategy(), config(hold_minutes=5))
    held = both(flat("10:00"), strategy(), guarded(OPEN))
    # 1 % of 25,000 $ is 250 $: one contract of the two that were asked for, at some 2.1 $ a share.
    assert [t.quantity for t in free.trades] == [2]
    assert [t.quantity for t in held.trades] == [1]
    assert codes(held) == []


def test_what_an_open_position_has_lost_counts_at_once_and_what_it_has_won_does_not() -> None:
    """Calls of some 230 $ each: when the market has fallen by 6 % they bring next to nothing at the bid."""
    wide = SafetyConfig(max_positions=3, position_fraction=0.05, exposure_fraction=0.5, spacing_seconds=0)
    limits = LimitsConfig(max_positions=3, daily_loss_usd=200, conservative=Book(max_positions=3))
    guard = GuardConfig(regimes=None, safety=wide, limits=limits)
    made = config(hold_minutes=300, risk={"max_positions": 3, "contracts": 2})
    for price, expected in ((470.0, ["DAILY_LOSS_USD"]), (499.0, []), (530.0, [])):
        market = Market().flat("09:30", "09:59", 500.0).signal("09:40", LONG).flat("10:00", "15:59", price)
        run = both(market.signal("10:30", LONG).bars, strategy(), guarded(guard, made))
        assert codes(run) == expected, price


def test_what_cannot_be_shrunk_is_denied_with_its_limit() -> None:
    small = config(hold_minutes=5, risk={"account_usd": 10_000, "contracts": 1})
    run = both(flat("10:00"), strategy(), guarded(OPEN, small))
    [denied] = said(run, "denied")
    assert (denied["code"], denied["limit"]) == ("POSITION_SIZE", 100.0)
    assert denied["actual"] > 100.0


def test_entries_of_a_day_are_counted_and_the_next_day_begins_at_nought() -> None:
    market = Market().flat("09:30", "15:59", 500.0).flat("09:30", "12:00", 500.0, dt.date(2025, 1, 3))
    times = ("10:00", "10:30", "11:00", "11:30")
    for at in times:
        market.signal(at, LONG)
    market.signal("10:00", LONG, dt.date(2025, 1, 3))
    few = GuardConfig(regimes=None, safety=SafetyConfig(strategy_trades=3))
    run = both(market.bars, strategy(), guarded(few))
    assert codes(run) == ["STRATEGY_TRADES"]
    assert len(run.trades) == 4
    assert ("day", "info") in events(run)


def test_a_loss_of_the_day_ends_it() -> None:
    market = Market().flat("09:30", "15:59", 500.0)
    market.rows = [
        row if i < 60 else (row[0], 494.0, 494.0, 494.0, 494.0, row[5]) for i, row in enumerate(market.rows)
    ]
    bars = market.signal("10:20", LONG).signal("11:00", LONG).bars
    tight = GuardConfig(regimes=None, safety=SafetyConfig(daily_loss=0.002))  # 50 $ of 25,000
    run = both(bars, strategy(), guarded(tight, config(hold_minutes=20)))
    lost = -run.trades[0].pnl_cents / 100
    assert lost > 50.0
    [denied] = said(run, "denied")
    assert (denied["code"], denied["limit"], denied["actual"]) == ("DAILY_LOSS", 50.0, lost)


def test_what_expires_is_a_loss_of_its_own_day_also_if_the_next_morning_shows_it() -> None:
    market = Market().flat("09:30", "15:59", 500.0).flat("09:30", "12:00", 499.0, dt.date(2025, 1, 3))
    bars = market.signal("15:50", LONG).signal("10:00", LONG, dt.date(2025, 1, 3)).bars
    tight = GuardConfig(regimes=None, safety=SafetyConfig(daily_loss=0.001))  # 25 $
    # Never sold: the last bar of the day comes before the force-close is over, so it expires at 500.
    made = config(hold_minutes=390, force_close_minutes=1, risk={"contracts": 1, "last_entry_minutes": 1})
    run = both(bars[np.r_[0:389, 390 : len(bars)]], strategy(), guarded(tight, made))
    assert run.trades[0].reason == "expiry"
    assert run.trades[0].pnl_cents < -2_500
    assert codes(run) == [], "yesterday's loss is not today's"


@pytest.mark.parametrize(
    ("level", "verdict"),
    [(0.20, []), (0.31, ["REGIME_STRATEGY"]), (0.07, ["REGIME_PAUSED"])],
)
def test_the_state_of_the_market_decides_and_the_journal_says_which(level: float, verdict: list[str]) -> None:
    """Fifteen sessions of some 1 % range, so that the ATR of 14 is known at the last."""
    market = Market()
    days = [d for d in calendar.sessions(dt.date(2025, 1, 2), dt.date(2025, 2, 28)) if d.minutes == 390]
    for day in days[:16]:
        market.flat("09:30", "15:59", 500.0, day.date)
        start, *_ = market.rows[-200]
        market.rows[-200] = (start, 500.0, 503.0, 498.0, 500.0, 0.0)
    bars = market.signal("11:00", LONG, days[15].date).bars
    made = guarded(GuardConfig(), config(hold_minutes=5, risk={"contracts": 1}))
    levels = np.full(len(bars), level)
    leapt = backtest(bars, strategy(), made, "r", level=levels)
    stepped = backtest(bars, strategy(), made, "r", level=levels, leap=False)
    assert leapt.journal.entries == stepped.journal.entries
    assert codes(leapt) == verdict
    moved = [body["details"]["new"] for body in said(leapt, "guard") if body["what"] == "regime"]
    expected = {0.20: ["NORMAL_VOL"], 0.31: ["HIGH_VOL"], 0.07: ["EXTREME_CALM_PAUSE"]}
    assert moved == expected[level]


def test_before_the_first_reading_nothing_trades() -> None:
    run = both(flat("10:00"), strategy(), guarded(GuardConfig()))
    assert codes(run) == ["REGIME_PAUSED"]


def test_extreme_calm_closes_what_is_open_at_the_next_open() -> None:
    bars = flat("10:00")
    shell = Shell(Machine(guarded(GuardConfig(), config(hold_minutes=300)), "calm"))
    how = strategy()
    _, out = how.system.run(bars, how.params)
    normal, calm = Volatility(18.0, "vix", 1.2), Volatility(7.9, "vix", 1.2)
    for i in range(61):
        bar = to_bar(bars[i])
        shell.open(bar, 0.2)
        shell.close(bar, bars[i : i + 1], 0.2)
        commands = shell.machine.handle(VolatilitySeen(bar, calm if i == 60 else normal))
        if i == 60:
            break
        assert not [c for c in commands if isinstance(c, Submit)]
        if out["signal"]["side"][i]:
            shell.signal(bar, out["signal"][i], 0.2)
    [sent] = [c.order for c in commands if isinstance(c, Submit)]
    assert (sent.purpose, sent.trigger, sent.quantity) == ("regime", None, 1)
    [noted] = [c.data for c in commands if isinstance(c, Record) and c.kind == "guard"]
    assert (noted["what"], noted["severity"], noted["details"]["close_all"]) == ("regime", "warning", True)


LOOSE = GuardConfig(
    regimes=RegimeConfig(
        vix_low=0.0, vix_calm=0.0, atr_low=0.0, atr_calm=0.0,
        normal=RegimeRule(strategies=("champion",), max_positions=3, risk_fraction=0.05, trades_a_day=9),
    ),
    limits=LimitsConfig(max_positions=3, total_loss_usd=5_000, daily_loss_usd=200),
    safety=SafetyConfig(position_fraction=0.05, exposure_fraction=0.2, premium_usd=2_000),
)  # fmt: skip


@pytest.mark.parametrize("guard", [OPEN, LOOSE, GuardConfig()], ids=["open", "loose", "as shipped"])
def test_leaping_equals_stepping_on_real_days(guard: GuardConfig, shared: Path) -> None:
    bars = tapes.autumn(shared)[-16_000:]
    how = ChampionConfig().build()
    free = MachineConfig(risk=RiskConfig(max_positions=3, risk_fraction=0.02))
    run = both(bars, how, guarded(guard, free))
    assert run.signals > 0
    assert all(t.quantity * t.entry_price_cents * 100 <= 200_000 for t in run.trades)
    if guard is LOOSE:
        assert run.trades
        assert len(run.trades) < len(both(bars, how, free).trades)


def test_a_short_signal_and_a_long_one_count_alike() -> None:
    market = Market().flat("09:30", "15:59", 500.0).signal("10:00", LONG).signal("10:30", SHORT)
    one = GuardConfig(regimes=None, safety=SafetyConfig(trades_a_day=1))
    run = both(market.bars, strategy(NAN, NAN, NAN), guarded(one))
    assert codes(run) == ["TRADES_TODAY"]


TWO = GuardConfig(
    regimes=None, both=True, limits=LimitsConfig(max_positions=2, conservative={"risk_fraction": 0.01}),
    safety=SafetyConfig(position_fraction=0.05, exposure_fraction=0.1, premium_usd=1_000),
)  # fmt: skip


def test_both_books_act_on_one_signal_each_with_its_own_share_of_the_balance_before_it() -> None:
    made = config(hold_minutes=5, risk={"max_positions": 2, "max_contracts": 10, "contracts": None})
    run = both(flat("10:00"), strategy(), guarded(TWO, made))
    opened = [body for body in said(run, "order") if body["purpose"] == "open"]
    cost = said(run, "fill")[0]["price_cents"] * 100 + 65
    # 1 % and 5 % of 25,000 $, whole contracts; the guard's own cap of 1,000 $ comes before the 5 %.
    assert [(body["book"], body["quantity"]) for body in opened] == [
        ("conservative", 25_000 // cost), ("aggressive", 100_000 // cost),
    ]  # fmt: skip
    assert [(t.book, t.quantity) for t in run.trades] == [(b["book"], b["quantity"]) for b in opened]
    assert {body["book"] for body in said(run, "closed")} == {"conservative", "aggressive"}
    assert codes(run) == []


def test_one_position_in_all_by_default_and_the_second_book_says_why_it_stood_aside() -> None:
    one = TWO.model_copy(update={"limits": LimitsConfig()})
    made = config(hold_minutes=5, risk={"max_positions": 2})
    run = both(flat("10:00"), strategy(), guarded(one, made))
    assert [t.book for t in run.trades] == ["conservative"]
    assert [(body["code"], body["book"]) for body in said(run, "denied")] == [("MAX_POSITIONS", "aggressive")]
