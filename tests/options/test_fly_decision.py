"""The five tiers. Expected tiers are worked out by hand; amounts are cents per share of one fly."""

import datetime as dt
from typing import NamedTuple

import pytest

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError, InvariantError
from maxlib.market.calendar import ordinal, to_ns
from maxlib.market.contract import Contract, Leg
from maxlib.options.fly_decision import FlyDecision, FlyExitConfig, decide, dte_days, net_cents
from maxlib.options.fly_exit import RATIOS, Fly, Shape, recognise

EXPIRY = dt.date(2025, 11, 14)
CONFIG = FlyExitConfig()


class Kind(NamedTuple):
    shape: Shape
    right: str
    strikes: tuple[int, int, int]
    entry: float

    @property
    def fly(self) -> Fly:
        contracts = (Contract("QQQ", ordinal(EXPIRY), self.right, k * 100) for k in self.strikes)
        found = recognise([Leg(c, n) for c, n in zip(contracts, RATIOS[self.shape], strict=True)])
        assert isinstance(found, Fly)
        return found


# W = 500 in all four. Risk: 500 - 100 = 400 for the credits, 100 for the debits.
PUT_CREDIT = Kind("ubfly_put_side", "P", (590, 595, 600), -100)
CALL_CREDIT = Kind("ubfly_call_side", "C", (600, 605, 610), -100)
CALL_DEBIT = Kind("balanced", "C", (600, 605, 610), 100)
PUT_DEBIT = Kind("balanced", "P", (590, 595, 600), 100)
UBFLY_DEBIT = Kind("ubfly_put_side", "P", (590, 595, 600), 100)
FAR = 59_900  # for PUT_*: 80 % of W above the body, inside the upper wing


def at(kind: Kind, value: float, spot_cents: float, dte: int, minute: int = 600) -> FlyDecision:
    now = to_ns(EXPIRY - dt.timedelta(days=dte), minute)
    return decide(CONFIG, kind.fly, entry=kind.entry, value=value, spot_cents=spot_cents, now=now)


TABLE = [
    # 1 loss cut: P&L <= -200 of a credit fly, <= -50 of a debit fly.
    (PUT_CREDIT, -300, 59_500, 10, "LOSS_CUT"), (PUT_CREDIT, -299, 59_500, 10, "HOLD"),
    (CALL_CREDIT, -300, 60_500, 10, "LOSS_CUT"), (CALL_CREDIT, -299, 60_500, 10, "HOLD"),
    (CALL_DEBIT, 50, 60_500, 10, "LOSS_CUT"), (CALL_DEBIT, 51, 60_500, 10, "HOLD"),
    (PUT_DEBIT, 50, 59_500, 10, "LOSS_CUT"), (PUT_DEBIT, 51, 59_500, 10, "HOLD"),
    (UBFLY_DEBIT, 50, 59_500, 10, "LOSS_CUT"), (UBFLY_DEBIT, 51, 59_500, 10, "HOLD"),
    # 1 rail: 10 % of W = 50 cents beyond the wing on the losing side; the other side has none.
    (PUT_CREDIT, -100, 58_950, 10, "LOSS_CUT"), (PUT_CREDIT, -100, 58_951, 10, "HOLD"),
    (CALL_CREDIT, -100, 61_050, 10, "LOSS_CUT"), (CALL_CREDIT, -100, 61_049, 10, "HOLD"),
    (PUT_CREDIT, -100, 70_000, 10, "HOLD"), (CALL_CREDIT, -100, 50_000, 10, "HOLD"),
    (CALL_DEBIT, 60, 61_050, 10, "HOLD"), (CALL_DEBIT, 60, 59_950, 10, "HOLD"),
    # 2 base profit: 60 of the credit of 100, or 240 of the 400 that a debit can gain, 2 days left.
    (PUT_CREDIT, -40, 59_500, 2, "BASE_PROFIT"), (PUT_CREDIT, -41, 59_500, 2, "HOLD"),
    (PUT_CREDIT, -40, FAR, 1, "HOLD"), (PUT_CREDIT, 0, FAR, 20, "BASE_PROFIT"),
    (CALL_CREDIT, -40, 60_500, 2, "BASE_PROFIT"), (CALL_CREDIT, -41, 60_500, 2, "HOLD"),
    (CALL_DEBIT, 340, 60_500, 2, "BASE_PROFIT"), (CALL_DEBIT, 339, 60_500, 2, "HOLD"),
    (PUT_DEBIT, 340, 59_500, 2, "BASE_PROFIT"), (PUT_DEBIT, 339, 59_500, 2, "HOLD"),
    # 3 give-up: under 30 captured (debit: under 120 of 400), over 375 cents from the body, 2 or 3 days.
    (PUT_CREDIT, -71, 59_876, 2, "GIVE_UP"), (PUT_CREDIT, -70, 59_876, 2, "HOLD"),
    (PUT_CREDIT, -71, 59_875, 2, "HOLD"), (PUT_CREDIT, -71, 59_124, 3, "GIVE_UP"),
    (PUT_CREDIT, -71, 59_876, 4, "HOLD"), (PUT_CREDIT, -71, 59_876, 1, "HOLD"),
    (CALL_CREDIT, -71, 60_124, 3, "GIVE_UP"), (CALL_CREDIT, -70, 60_124, 3, "HOLD"),
    (CALL_DEBIT, 219, 60_876, 2, "GIVE_UP"), (CALL_DEBIT, 220, 60_876, 2, "HOLD"),
    (PUT_DEBIT, 219, 59_124, 3, "GIVE_UP"), (PUT_DEBIT, 219, 59_125, 3, "HOLD"),
    # 4 pin: within 150 cents of the body, profit of twice the premium, at most a day left.
    (PUT_CREDIT, 100, 59_650, 1, "PIN"), (PUT_CREDIT, 99, 59_650, 1, "HOLD"),
    (PUT_CREDIT, 100, 59_651, 1, "HOLD"), (PUT_CREDIT, 100, 59_350, 0, "PIN"),
    (CALL_CREDIT, 100, 60_350, 1, "PIN"), (CALL_CREDIT, 99, 60_350, 1, "HOLD"),
    (CALL_DEBIT, 300, 60_650, 1, "PIN"), (CALL_DEBIT, 299, 60_650, 1, "HOLD"),
    (PUT_DEBIT, 300, 59_350, 1, "PIN"), (PUT_DEBIT, 300, 59_349, 1, "HOLD"),
    # 5 the expiry date, whatever the rest says; not the day before.
    (PUT_CREDIT, -100, FAR, 0, "EXPIRY_DAY"), (PUT_CREDIT, -100, FAR, 1, "HOLD"),
    (CALL_CREDIT, -100, 60_500, 0, "EXPIRY_DAY"), (CALL_CREDIT, -100, 60_500, 1, "HOLD"),
    (CALL_DEBIT, 299, 60_500, 0, "EXPIRY_DAY"), (PUT_DEBIT, 400, FAR, 0, "EXPIRY_DAY"),
    # First hit wins: each row would also hold in the tier after it.
    (PUT_CREDIT, -300, 59_876, 2, "LOSS_CUT"),  # captured -200 %, far from the body: also give-up
    (PUT_CREDIT, -40, 58_950, 2, "LOSS_CUT"),  # the rail before the profit
    (PUT_CREDIT, -300, FAR, 0, "LOSS_CUT"),
    (PUT_DEBIT, 300, 59_500, 0, "PIN"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "spot_cents", "dte", "tier"), TABLE)
def test_just_inside_and_just_outside_each_bound(
    kind: Kind, value: float, spot_cents: float, dte: int, tier: str
) -> None:
    assert at(kind, value, spot_cents, dte).tier == tier


def test_every_tier_is_met_at_least_twice_by_credit_and_debit_flies() -> None:
    for tier in ("LOSS_CUT", "BASE_PROFIT", "GIVE_UP", "PIN", "EXPIRY_DAY"):
        for credit in (True, False):
            assert sum(row[4] == tier and (row[0].entry < 0) == credit for row in TABLE) >= 2


def test_a_decision_tells_its_numbers_and_a_sentence() -> None:
    made = at(PUT_CREDIT, -300, 59_500, 10)
    assert made.reason == "loss 200 is at least 50% of the risk 400"
    assert made.numbers == (10, -100, -300, -200, 400, -2.0, 0.0, -1.0)
    assert at(CALL_CREDIT, -100, 61_060, 10).reason == (
        "underlying 12.0% of W above the high strike, the rail is 10%"
    )
    assert at(CALL_DEBIT, 340, 60_500, 5).reason == "captured 60.0%, at least 60%, with 5 days left"
    assert (
        at(PUT_CREDIT, -71, 59_876, 2).reason == "captured 29.0%, 75.2% of W from the body, with 2 days left"
    )
    assert at(PUT_DEBIT, 300, 59_350, 1).reason == "30.0% of W from the body, profit 200 is at least 200"


# --- edges


def test_a_fly_opened_for_nothing_risks_w_and_can_gain_w() -> None:
    free = PUT_DEBIT._replace(entry=0)
    assert at(free, 0, 59_500, 10).tier == "HOLD"
    assert (at(free, 0, 59_500, 10).numbers.risk, at(free, 100, 59_500, 10).numbers.captured) == (500, 0.2)
    assert at(free, 0, 59_500, 1).tier == "HOLD"  # no profit, no pin
    assert at(free, 1, 59_500, 1).tier == "PIN"


def test_a_debit_beyond_all_that_can_be_had_is_given_up_not_divided_by() -> None:
    dear = PUT_DEBIT._replace(entry=500)
    made = at(dear, 400, 59_100, 3)
    assert (made.tier, made.numbers.captured) == ("GIVE_UP", None)
    assert made.reason.startswith("nothing to capture")


def test_with_unequal_wings_risk_and_gain_are_those_of_the_payoff() -> None:
    # reference/definitions.md: 600/605/612 for a credit of .20 makes +5.20 or -1.80 at worst.
    # Half of W - credit = 4.80 would be a loss of 2.40, which this fly cannot have.
    broken = Kind("balanced", "C", (600, 605, 612), -20)
    assert at(broken, -110, 60_500, 10).tier == "LOSS_CUT"
    assert at(broken, -109, 60_500, 10).tier == "HOLD"
    # Puts 590/600/605 are worth at most 5: 60 % of 5 - 1 is a value of 3.40; of W - 1 = 9, never.
    narrow = Kind("balanced", "P", (590, 600, 605), 100)
    assert at(narrow, 340, 60_000, 10).tier == "BASE_PROFIT"
    assert at(narrow, 339, 60_000, 10).tier == "HOLD"


def test_distances_are_measured_in_the_wing_on_their_own_side() -> None:
    broken = Kind("ubfly_put_side", "P", (590, 600, 605), -100)
    assert at(broken, -100, 59_250, 10).numbers.distance == 0.75
    assert at(broken, -100, 60_250, 10).numbers.distance == 0.5
    assert at(broken, -100, 58_900, 10).tier == "LOSS_CUT"  # 10 % of the low wing of 10
    assert at(broken, -100, 58_901, 10).tier == "HOLD"


@pytest.mark.parametrize("kind", [PUT_CREDIT, CALL_CREDIT])
def test_with_equal_wings_the_risk_of_a_credit_is_the_largest_loss(kind: Kind) -> None:
    # definitions.md: the tail of 1:-3:2 is w1 - 2·w2 = -W, and 2:-3:1 in puts mirrors it.
    assert at(kind, -100, 60_000, 10).numbers.risk == 500 - 100


def test_an_expired_fly_is_an_error() -> None:
    with pytest.raises(InvariantError, match="-1 days to expiry, at least 0 are needed"):
        at(PUT_CREDIT, -100, 59_500, -1)


def test_bounds_are_settings() -> None:
    careful = parse(FlyExitConfig, {"loss_fraction": 0.25}, "fly exit")
    now = to_ns(EXPIRY - dt.timedelta(days=10), 600)
    made = decide(careful, PUT_CREDIT.fly, entry=-100, value=-200, spot_cents=59_500, now=now)
    assert made.tier == "LOSS_CUT"
    with pytest.raises(ConfigError, match="loss_fraction"):
        parse(FlyExitConfig, {"loss_fraction": 0.0}, "fly exit")


# --- the original's defects (§6) are not ours


def original_dte(expiry: dt.date, now: dt.datetime) -> int:
    """The time from now to the midnight that begins the expiry date, floored to days."""
    return (dt.datetime.combine(expiry, dt.time()) - now).days


@pytest.mark.parametrize(("days_before", "ours", "originals"), [(3, 3, 2), (2, 2, 1), (1, 1, 0), (0, 0, -1)])
@pytest.mark.parametrize("minute", [1, 570, 959, 1439])
def test_dte_is_the_difference_of_dates_at_every_minute_of_the_day(
    days_before: int, ours: int, originals: int, minute: int
) -> None:
    date = EXPIRY - dt.timedelta(days=days_before)
    assert dte_days(ordinal(EXPIRY), to_ns(date, minute)) == ours
    wall = dt.datetime.combine(date, dt.time(minute // 60, minute % 60))
    assert original_dte(EXPIRY, wall) == originals


def test_dte_counts_new_york_dates_also_when_utc_is_a_day_ahead_and_over_a_clock_change() -> None:
    expiry = dt.date(2025, 11, 3)  # the Monday after the clocks went back
    evening = to_ns(dt.date(2025, 10, 31), 21 * 60)  # Friday 21:00 there, Saturday 01:00 UTC
    assert dt.datetime.fromtimestamp(evening / 1e9, dt.UTC).date() == dt.date(2025, 11, 1)
    assert dte_days(ordinal(expiry), evening) == 3


def test_dte_is_counted_anew_at_each_check() -> None:
    assert [at(PUT_CREDIT, -100, FAR, dte, minute).tier for dte, minute in ((1, 1439), (0, 0))] == [
        "HOLD",
        "EXPIRY_DAY",
    ]


def test_sold_legs_count_against_the_value() -> None:
    # 590/595/600 puts at 60, 200, 400: 2·60 - 3·200 + 400 = -80. The original adds the prices up: 660.
    fly = PUT_CREDIT.fly
    prices = {fly.low: 60.0, fly.body: 200.0, fly.high: 400.0}
    assert net_cents(fly, prices) == -80
    assert sum(prices.values()) == 660


def test_signs_of_credit_and_debit_are_not_inverted() -> None:
    # A credit of 100 that can be bought back for 40 has earned 60; read as a debit, it would have lost 140.
    assert at(PUT_CREDIT, -40, 59_500, 2).numbers.pnl == 60
    inverted = PUT_CREDIT._replace(entry=100)
    assert at(inverted, -40, 59_500, 2).tier == "LOSS_CUT"
    assert at(PUT_CREDIT, -40, 59_500, 2).tier == "BASE_PROFIT"
    # A debit of 100 that is worth 340 has earned 240.
    assert at(CALL_DEBIT, 340, 60_500, 2).numbers.pnl == 240


def test_both_sides_have_their_rail_at_the_losing_wing_only() -> None:
    assert at(CALL_CREDIT, -100, 61_050, 10).tier == "LOSS_CUT"  # the original has no rail up here
    assert at(CALL_CREDIT, -100, 59_000, 10).tier == "HOLD"  # and cuts here, where nothing can be lost
    assert at(PUT_CREDIT, -100, 58_950, 10).tier == "LOSS_CUT"
