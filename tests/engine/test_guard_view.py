"""What a page is told of a guard: what is used of which limit, and what stands against entries."""

import pytest

from maxlib.engine.guard_view import GuardView, guard_view, nearest
from maxlib.engine.machine import Machine
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.regimes.router import RegimeConfig, Verdict, Volatility
from maxlib.risk.guard import Guard, GuardConfig
from maxlib.risk.health import Vitals
from maxlib.risk.limits import LimitsConfig
from maxlib.risk.safety import SafetyConfig
from tests.engine.scripted import config
from tests.views.handmade import START_CENTS, tape, trade

DAY = 20_101
"""13 January 2025, a Monday."""
NOW = 1_736_778_660_000_000_000


def machine(guard: GuardConfig | None = None) -> Machine:
    chosen = guard or GuardConfig()
    made = Machine(config(hold_minutes=5).model_copy(update={"guard": chosen, "strategy": "champion"}))
    made.guard = Guard(chosen, START_CENTS, DAY)
    return made


def seen(of: Machine, now: int = NOW) -> GuardView:
    view = guard_view(of, now)
    assert view is not None
    return view


def used(view: GuardView) -> dict[str, tuple[int, int]]:
    return {limit.what: (limit.used, limit.limit) for limit in view.limits}


def test_without_a_guard_there_is_nothing_to_see() -> None:
    assert guard_view(Machine(config(hold_minutes=5)), NOW) is None


def test_limits_are_the_strictest_of_their_kind_and_losses_count_as_the_guard_counts_them() -> None:
    one = machine()
    assert one.guard is not None
    one.guard.volatility(NOW, Volatility(16.0, "vix", 1.2))
    one.guard.closed(NOW, 5_000, START_CENTS + 5_000)
    one.guard.closed(NOW, -20_000, START_CENTS - 15_000)
    # The day: 2 % of $25,000 and $500 are the same. The week 5 %, the month 10 % of what they began with.
    # The peak was $25,050, of which 10 % is more than $1,000. One position in all books; ten entries.
    assert used(seen(one)) == {
        "day": (15_000, 50_000), "week": (15_000, 125_000), "month": (15_000, 250_000),
        "peak": (20_000, 100_000), "positions": (0, 1), "entries": (0, 10),
    }  # fmt: skip


def test_a_small_account_and_a_state_of_the_market_make_limits_stricter() -> None:
    one = machine(GuardConfig(limits=LimitsConfig(max_positions=5), safety=SafetyConfig(max_positions=4)))
    one.guard = Guard(one.config.guard or GuardConfig(), 800_000, DAY)
    one.guard.volatility(NOW, Volatility(12.0, "vix", 1.2))
    found = used(seen(one))
    assert found["day"] == (0, 16_000), "2 % of $8,000"
    assert found["peak"] == (0, 80_000), "10 % of $8,000"
    assert (found["positions"], found["entries"]) == ((0, 2), (0, 5)), "those of an ultra low volatility"


@pytest.mark.parametrize(
    ("verdict", "edge"),
    [
        (Verdict("NORMAL_VOL", "vix", 30.0, 15.0, ""), 13.0),
        (Verdict("NORMAL_VOL", "proxy", 30.0, 29.0, ""), 30.0),
        (Verdict("HIGH_VOL", "vix", 30.0, 45.0, ""), 30.0),
        (Verdict("EXTREME_CALM_PAUSE", "vix", 8.0, 7.0, ""), 8.0),
        (Verdict("ULTRA_LOW_VOL", "atr_percent", 0.5, 0.4, ""), 0.5),
        (Verdict("UNKNOWN", "atr_percent", 0.5, 0.0, ""), None),
    ],
)
def test_the_nearest_boundary(verdict: Verdict, edge: float | None) -> None:
    assert nearest(RegimeConfig(), verdict) == edge


def test_three_states_have_no_calm_boundary() -> None:
    assert nearest(RegimeConfig(states="three"), Verdict("PAUSE_LOW", "vix", 13.0, 7.0, "")) == 13.0


def test_the_state_of_the_market_stands_with_its_distance() -> None:
    one = machine()
    assert (seen(one).regime, seen(one).boundary) == ("UNKNOWN", None)
    assert one.guard is not None
    one.guard.volatility(NOW, Volatility(12.5, "proxy", 1.2))
    view = seen(one)
    assert (view.regime, view.boundary, view.away, view.unit) == ("ULTRA_LOW_VOL", 13.0, -0.5, "points")
    assert view.why == "VIX (proxy) 12.5 is below 13"
    routeless = seen(machine(GuardConfig(regimes=None)))
    assert (routeless.regime, routeless.why, routeless.boundary) == ("", "", None)


def test_a_breaker_stands_until_its_pause_is_over() -> None:
    one = machine()
    assert one.guard is not None
    for i in range(5):
        one.guard.error(NOW + i, "the feed failed")
    [breaker] = seen(one, NOW + 5).breakers
    assert (breaker.code, breaker.limit, breaker.actual) == ("BREAKER_ERRORS", 5.0, 5.0)
    assert breaker.until == NOW + 4 + 30 * NS_PER_MINUTE
    assert seen(one, breaker.until - 1).breakers != ()
    assert seen(one, breaker.until).breakers == ()


def test_safe_mode_names_every_cause() -> None:
    one = machine()
    assert one.guard is not None
    assert seen(one).safe_mode == ()
    one.guard.health(Vitals(NOW, 1_000.0, 10.0, 10.0, api_ok=True))
    one.guard.hold(NOW, "I am at lunch")
    assert seen(one).safe_mode == ("data_age", "I am at lunch")


def test_two_books_have_figures_of_their_own() -> None:
    one = machine(GuardConfig(both=True))
    bars = tape().bars
    pnl = (("conservative", 12_000), ("conservative", -3_000), ("aggressive", -500))
    one.trades = [trade(bars, i, 1, 5, cents, book=book) for i, (book, cents) in enumerate(pnl, 1)]
    assert [tuple(book.model_dump().values()) for book in seen(one).books] == [
        ("conservative", 2, 1, 9_000, 0),
        ("aggressive", 1, 0, -500, 0),
    ]
    assert seen(machine()).books == ()
