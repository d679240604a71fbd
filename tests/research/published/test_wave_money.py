"""Model A, structures and exits of the published wave runs, by hand."""

from math import erf, exp, log, nan, sqrt

import numpy as np
import pytest

from maxlib.research.accounting import Entries
from maxlib.research.published import model_a
from maxlib.research.published.wave import WaveAccounting
from maxlib.research.published.wave_config import WavePublished
from maxlib.research.published.wave_money import Entry, leave
from maxlib.research.published.wave_signals import Levels
from maxlib.research.published.wave_structures import candidates
from tests.research.published.wave_tapes import plain_day


def test_quote_of_a_put_in_the_money_by_hand() -> None:
    """12:00, so 255 of 1440 minutes are left; spot 500, put 510; 10 % on top of the fair value."""
    days = 255 / 1440
    time_value = 500 * 0.25 * 1.1 * sqrt(days / 252) * exp(-10 / 25)
    assert float(model_a.quote(500.0, 510.0, -1, model_a.days_left(720))) == pytest.approx(
        1.1 * (10 + time_value)
    )


def test_quote_keeps_its_floors_late_and_far_away() -> None:
    """0.04 days are the least; a tenth of that is 1.3 times the volatility; five cents and ten cents hold."""
    assert float(model_a.days_left(959)) == 0.04
    near_close = 500 * 0.25 * 1.3 * sqrt(0.04 / 252)
    assert float(model_a.quote(500.0, 500.0, 1, 0.04)) == pytest.approx(1.1 * near_close)
    assert float(model_a.quote(500.0, 570.0, 1, 0.04)) == pytest.approx(near_close * exp(-2.8) + 0.05)
    assert float(model_a.quote(500.0, 900.0, 1, 0.04)) == 0.10


def test_a_broken_wing_fly_costs_less_than_nothing() -> None:
    """Flaw H6: bought, sold twice and bought at the one quote, as in most trades of the published list."""
    low, body, high = (float(model_a.quote(600.0, k, 1, model_a.days_left(600))) for k in (601, 606, 613))
    assert low - 2 * body + high < -0.05


def test_candidates_of_the_first_published_trade_and_of_a_short() -> None:
    """570.764 long to 576.47: body 576, wings 572 and 580, broken 582; 592.3988 short to 586.47 mirrors."""
    legs = candidates(np.array([570.764, 592.3988]), np.array([576.47164, 586.474812]), np.array([1, -1]))
    assert legs.strike[0].tolist() == [[571, 576, 576], [571, 576, 576], [572, 576, 580], [572, 576, 582]]
    assert legs.strike[1].tolist() == [[592, 586, 586], [592, 586, 586], [581, 586, 591], [579, 586, 591]]
    assert legs.quantity[0].tolist() == [[1, 0, 0], [1, -1, 0], [1, -2, 1], [1, -2, 1]]


def test_body_stays_on_the_grid_and_takes_the_lower_of_two_strikes() -> None:
    legs = candidates(np.array([500.0, 500.5]), np.array([530.0, 505.5]), np.array([1, 1]))
    assert legs.strike[:, 2, 1].tolist() == [510, 505]
    assert legs.strike[1, 0, 0] == 500  # half to even


LONG = Entry(0, 1, 100.0, Levels(101.0, 102.0, 99.3))
SHORT = Entry(0, -1, 100.0, Levels(99.0, 98.0, 100.7))


@pytest.mark.parametrize(
    ("closes", "entry", "scaling", "expected"),
    [
        ([100.5, 99.3, 101.5], LONG, True, (-1, 1)),  # stopped at the level itself
        ([100.5, 101.0, 98.0, 97.0], LONG, False, (-1, 1)),  # all at the target
        ([100.5, 101.0, 102.0, 101.6, 101.4], LONG, True, (1, 4)),  # 0.5 % below 102 is 101.49
        ([100.5, 101.0, 101.2], LONG, True, (1, 2)),  # the window ends first
        ([101.0], LONG, True, (0, 0)),
        ([100.2, 100.1], LONG, True, (-1, 1)),
        ([99.5, 99.0, 98.0, 98.4, 98.5], SHORT, True, (1, 4)),  # 0.5 % above 98 is 98.49
        ([100.7], SHORT, True, (-1, 0)),
        ([90.0, 80.0], Entry(0, 1, 100.0, Levels(101.0, 102.0, nan)), True, (-1, 1)),  # no stop at all
    ],
)
def test_exit_rules_on_closes(
    closes: list[float], entry: Entry, scaling: bool, expected: tuple[int, int]
) -> None:
    assert leave(np.array(closes), entry, scaling=scaling) == expected


def money(config: WavePublished, closes: list[float], at: int = 20) -> float:
    """P&L of one long decision at the close of bar `at` of a day that begins at 10:00."""
    accounting = WaveAccounting(plain_day(closes), config)
    (pnl,) = accounting.book(Entries(np.array([at]), np.array([1], np.int8))).pnl_usd
    return float(pnl)


def model_a_legs(spot: float, minute: int, legs: list[tuple[int, float]]) -> float:
    days = (975 - minute) / 1440
    sigma = 0.25 * (1.1 if days >= 0.1 else 1.3)
    total = 0.0
    for n, k in legs:
        fair = max(0, spot - k) + spot * sigma * sqrt(days / 252) * exp(-abs(k - spot) / (0.05 * spot))
        total += n * max(fair + max(0.1 * fair, 0.05), 0.1)
    return total


BROKEN = [(1, 601.0), (-2, 606.0), (1, 613.0)]


def test_an_untouched_broken_wing_fly_is_booked_as_keeping_its_credit() -> None:
    """600 all day: bought at 10:20 for less than nothing, worthless by intrinsic value at 12:20."""
    paid = 100 * model_a_legs(600.0, 620, BROKEN)
    assert paid < 0
    assert money(WavePublished(), [600.0] * 300) == pytest.approx(-paid)


def test_with_its_time_value_the_same_fly_is_marked_by_the_model() -> None:
    """Two hours later Model A itself asks this for it."""
    config = WavePublished(exit_value="model")
    change = model_a_legs(600.0, 740, BROKEN) - model_a_legs(600.0, 620, BROKEN)
    assert money(config, [600.0] * 300) == pytest.approx(100 * change)


def test_half_goes_at_the_first_target_and_the_rest_at_the_trail() -> None:
    """Half at 606, where the fly is worth 5, half at 608, 0.5 % and more below 612, where it is worth 3."""
    closes = [600.0] * 21 + [606.0, 612.0, 608.0] + [600.0] * 200
    paid = 100 * model_a_legs(600.0, 620, BROKEN)
    assert money(WavePublished(), closes) == pytest.approx(100 * (0.5 * 5 + 0.5 * 3) - paid)


def test_next_open_enters_a_bar_later_at_its_open_and_watches_that_very_bar() -> None:
    """The decision is made at 600; the next bar opens there and closes below the stop of 595.80."""
    closes = [600.0] * 21 + [595.0] + [610.0] * 200
    paid = 100 * model_a_legs(600.0, 621, BROKEN)
    assert money(WavePublished(entry="next_open"), closes) == pytest.approx(-paid)


def test_honest_money_pays_the_spread_and_the_commission_both_ways() -> None:
    """Black-Scholes at the first days' 20 %, 340 minutes left, then 220; a cent or one per cent a leg."""
    config = WavePublished(exit_value="model", pricing="black_scholes", costs="both_sides", min_rr=-9.0)

    def call(spot: float, strike: float, minutes: int) -> float:
        spread = 0.2 * sqrt(minutes / (390 * 252))
        d1 = log(spot / strike) / spread + spread / 2
        normal = [0.5 * (1 + erf(d / sqrt(2))) for d in (d1, d1 - spread)]
        return spot * normal[0] - strike * normal[1]

    def side(minutes: int) -> tuple[float, float]:
        prices = [(n, call(600.0, k, minutes)) for n, k in BROKEN]
        value = 100 * sum(n * p for n, p in prices)
        return value, sum(abs(n) * (0.65 + 100 * max(0.01, 0.01 * p)) for n, p in prices)

    (paid, at_entry), (got, at_exit) = side(340), side(220)
    assert money(config, [600.0] * 300) == pytest.approx(got - paid - at_entry - at_exit, abs=1e-9)


def test_one_position_skips_decisions_until_the_exit_itself() -> None:
    """The first stops out at 10:22; the decisions of 10:20 and 10:21 are skipped, that of 10:22 is not."""
    closes = [500.0] * 21 + [500.0, 496.0] + [496.0] * 200
    bars = plain_day(closes)
    decisions = Entries(np.array([19, 20, 21, 22]), np.ones(4, np.int8))
    assert len(WaveAccounting(bars).book(decisions).pnl_usd) == 4
    assert len(WaveAccounting(bars, WavePublished(overlap=False)).book(decisions).pnl_usd) == 2
