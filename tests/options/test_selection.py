"""Selection against figures worked out by hand, and every reason to lose."""

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.market.contract import Contract
from maxlib.market.quotes import Quote
from maxlib.options.density import lognormal
from maxlib.options.payoff import QuoteOf
from maxlib.options.selection import (
    _SENTENCES,
    Figures,
    Loss,
    LossCode,
    Rank,
    Selection,
    SelectionConfig,
    select,
)
from maxlib.options.structures import Kind, Structure, Unbuilt, structure
from tests.options.packages import EXPIRY, contract

# Cents a share: bid, ask.
BOOK: dict[float, tuple[int | None, int | None]] = {
    600: (310, 320),
    601: (255, 260),
    605: (100, 104),
    607: (50, 54),
    609: (24, 27),
    611: (10, 12),
}


def of(book: dict[float, tuple[int | None, int | None]]) -> QuoteOf:
    made = {
        contract(k): Quote(contract(k), 0, *sides, None, None, modelled=False) for k, sides in book.items()
    }
    return made.get


def made(kind: Kind, *strikes: float) -> Structure:
    return structure(kind, 1, "QQQ", EXPIRY, [round(100 * k) for k in strikes])


LONG = made("long", 600)
VERTICAL = made("vertical", 600, 605)
FLY = made("fly", 601, 605, 609)
BROKEN = made("broken_wing", 601, 605, 611)
UNBALANCED = made("unbalanced", 601, 605, 607)
ALL = (LONG, VERTICAL, FLY, BROKEN, UNBALANCED)


def choose(
    *candidates: Structure | Unbuilt, book: Any = BOOK, density: Any = None, **config: Any
) -> Selection:
    settings = {"min_reward_risk": 0.0, **config}
    return select(candidates, of(book), 605.0, parse(SelectionConfig, settings, "test"), density=density)


def only(*candidates: Structure | Unbuilt, **more: Any) -> Rank:
    (rank,) = choose(*candidates, **more).ranked
    return rank


def test_the_figures_of_a_vertical_by_hand() -> None:
    """Debit 3.20 − 1.00; four sides at 65 cents; half of the spreads 10 and 4, a hundred times."""
    debit, costs = 22_000, 4 * 65 + 700
    figures = only(VERTICAL).figures
    assert figures == Figures(
        debit_cents=debit,
        costs_cents=costs,
        reward_cents=50_000 - debit - costs,
        risk_cents=debit + costs,
        reward_risk=(50_000 - debit - costs) / (debit + costs),
        ev_cents=None,
        pop=None,
    )


@pytest.mark.parametrize(
    ("candidate", "debit", "contracts", "half_spreads", "worth", "worst"),
    [
        # Worst is the least payoff at expiry, worth the payoff at 605; dollars a unit.
        (LONG, 320, 1, 5, 500, 0),
        (VERTICAL, 220, 2, 7, 500, 0),
        (FLY, 260 - 200 + 27, 4, (5 + 8 + 3) / 2, 400, 0),
        (BROKEN, 260 - 200 + 12, 4, (5 + 8 + 2) / 2, 400, -200),
        (UNBALANCED, 260 - 300 + 108, 6, (5 + 12 + 8) / 2, 400, 0),
    ],
)
@pytest.mark.parametrize("leave", ["sell", "expire"])
def test_reward_and_risk_of_each_kind_by_hand(
    candidate: Structure, debit: int, contracts: int, half_spreads: float, worth: int, worst: int, leave: str
) -> None:
    costs = contracts * 65 if leave == "expire" else 2 * contracts * 65 + 100 * half_spreads
    figures = only(candidate, leave=leave).figures
    assert figures is not None
    assert figures.debit_cents == 100 * debit
    assert figures.costs_cents == costs
    assert figures.reward_cents == 100 * (worth - debit) - costs
    assert figures.risk_cents == 100 * (debit - worst) + costs
    assert figures.reward_risk == pytest.approx(figures.reward_cents / figures.risk_cents)  # type: ignore[operator]


def test_the_best_ratio_wins_and_the_others_stand_behind_it_in_order() -> None:
    """Held to expiry: long 0.56, vertical 1.26, fly 3.46, broken wing 1.18, unbalanced 4.56."""
    found = choose(*ALL, leave="expire")
    assert found.chosen == UNBALANCED
    assert [rank.candidate for rank in found.ranked] == [UNBALANCED, FLY, VERTICAL, BROKEN, LONG]
    assert found.ranked[0].loss is None
    best = found.ranked[0].figures
    assert best is not None
    for rank in found.ranked[1:]:
        assert rank.figures is not None
        assert rank.loss == Loss("WORSE_THAN_WINNER", best.reward_risk, rank.figures.reward_risk)  # type: ignore[arg-type]


def test_of_equals_the_first_listed_wins() -> None:
    twin = VERTICAL._replace(kind="fly")  # the same legs by another name
    assert choose(VERTICAL, twin).chosen is VERTICAL
    assert choose(twin, VERTICAL).chosen is twin


def test_the_minimum_is_a_bound_that_may_be_met() -> None:
    figures = only(VERTICAL).figures
    assert figures is not None
    ratio = figures.reward_risk
    assert ratio is not None
    assert choose(VERTICAL, min_reward_risk=ratio).chosen == VERTICAL
    refused = choose(VERTICAL, min_reward_risk=ratio + 1e-9)
    assert refused.chosen is None
    assert refused.ranked[0].loss == Loss("RR_TOO_LOW", ratio + 1e-9, ratio)


def test_the_debit_cap_counts_a_unit_and_may_be_met() -> None:
    assert choose(VERTICAL, max_debit_cents=22_000).chosen == VERTICAL
    assert only(VERTICAL, max_debit_cents=21_999).loss == Loss("OVER_DEBIT_CAP", 219.99, 220.0)


def test_what_was_not_built_or_quoted_loses_with_its_strike() -> None:
    unbuilt = Unbuilt("fly", 1, "WING_NOT_LISTED", 60_950)
    assert only(unbuilt) == Rank(unbuilt, None, Loss("WING_NOT_LISTED", 0, 609.5))
    lone = {600: BOOK[600]}
    assert only(VERTICAL, book=lone).loss == Loss("NO_QUOTE", 0, 605.0)
    assert only(VERTICAL, book=lone | {605: (None, 104)}).loss == Loss("NO_BID", 0, 605.0)
    assert only(VERTICAL, book=lone | {605: (100, None)}).loss == Loss("NO_ASK", 0, 605.0)
    assert only(VERTICAL, book=lone | {605: (104, 100)}).loss == Loss("CROSSED", 0, 605.0)


def test_the_refused_follow_those_that_passed_in_the_order_listed() -> None:
    unbuilt = Unbuilt("long", 1, "NO_STRIKES", 0)
    found = choose(unbuilt, LONG, VERTICAL, FLY, min_reward_risk=1.0)
    assert found.chosen == FLY
    assert [rank.candidate for rank in found.ranked] == [FLY, VERTICAL, unbuilt, LONG]


def test_a_loss_without_bound_is_refused() -> None:
    naked = Structure("vertical", 1, tuple(leg._replace(ratio=-1) for leg in VERTICAL.legs))
    assert only(naked).loss == Loss("UNBOUNDED_LOSS", 0, 0)


def test_a_package_that_cannot_lose_is_taken_for_a_wrong_quote() -> None:
    """The original took flies for less than nothing (spec §5, H6)."""
    free = {601: (255, 260), 605: (140, 144), 609: (10, 12)}
    rank = only(FLY, book=free, leave="expire")
    assert rank.loss == Loss("NOTHING_AT_RISK", 0, -8.0 + 4 * 0.65)


ONE_DAY = lognormal(600.0, 1 / 252, 0.18)


def test_expected_value_and_odds_are_those_of_definitions() -> None:
    """Fly 600/605/610 at a debit of 1.00: POP 0.345752, EV 0.086420 a share."""
    book = {600: (300, 300), 605: (115, 115), 610: (30, 30)}
    figures = only(
        made("fly", 600, 605, 610), book=book, density=ONE_DAY, commission_cents=0, leave="expire"
    ).figures
    assert figures is not None
    assert figures.debit_cents == 10_000
    assert round(figures.ev_cents or 0, 2) == 864.20
    assert round(figures.pop or 0, 6) == 0.345752


def test_costs_narrow_the_odds_and_lower_the_expectation() -> None:
    book = {600: (300, 300), 605: (115, 115), 610: (30, 30)}
    fly = made("fly", 600, 605, 610)
    figures = only(fly, book=book, density=ONE_DAY, commission_cents=100, leave="expire").figures
    assert figures is not None
    assert figures.ev_cents == pytest.approx(864.20 - 400, abs=0.01)
    # Four dollars a unit are four cents a share: breakevens 601.04 and 608.96.
    z = [ONE_DAY.below(x)[0] for x in (601.04, 608.96)]
    assert figures.pop == pytest.approx(z[1] - z[0], abs=1e-12)


def test_a_positive_expectation_can_be_demanded() -> None:
    # At the asks of BOOK the fly 601/605/609 costs 0.87; under σ = 0.18 it is worth 0.70.
    refused = only(FLY, density=ONE_DAY, positive_ev=True).loss
    assert refused is not None
    assert refused.code == "NEGATIVE_EV"
    assert refused.actual < 0
    assert choose(FLY, density=ONE_DAY, positive_ev=False).chosen == FLY
    assert only(FLY, positive_ev=True).loss == Loss("NO_DENSITY", 0, 0)


def test_the_reward_can_be_what_is_expected_instead_of_the_target() -> None:
    book = {600: (300, 300), 605: (115, 115), 610: (30, 30)}
    fly = made("fly", 600, 605, 610)
    more = {"book": book, "commission_cents": 0, "leave": "expire", "reward": "expected"}
    rank = only(fly, density=ONE_DAY, **more)
    assert rank.figures is not None
    assert rank.figures.reward_risk == pytest.approx(0.086420, abs=1e-6)
    assert only(fly, **more).loss == Loss("NO_DENSITY", 0, 0)


def test_the_worth_at_the_target_may_be_told() -> None:
    config = SelectionConfig(min_reward_risk=0.0, commission_cents=0, leave="expire")
    found = select([VERTICAL], of(BOOK), 605.0, config, worth=lambda _: 3.70)
    assert found.ranked[0].figures is not None
    assert found.ranked[0].figures.reward_cents == pytest.approx(37_000 - 22_000)


def test_nothing_to_choose_from_chooses_nothing() -> None:
    assert choose() == Selection(None, ())


def test_every_code_has_its_sentence() -> None:
    codes = {code for part in get_args(LossCode) for code in get_args(part)}
    assert set(_SENTENCES) == codes
    assert only(VERTICAL).sentence == "vertical +1 600C -1 605C: chosen"
    assert only(VERTICAL, max_debit_cents=10_000).sentence == (
        "vertical +1 600C -1 605C: a debit of 220.00 USD is over the cap of 100.00"
    )
    assert only(Unbuilt("fly", 1, "WING_NOT_LISTED", 60_950)).sentence == (
        "fly: the wing at 609.5 is not listed"
    )


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_reward_risk"):
        parse(SelectionConfig, {"min_reward_risk": -0.1}, "test")
    with pytest.raises(ConfigError, match="leave"):
        parse(SelectionConfig, {"leave": "assign"}, "test")


sides = st.tuples(st.integers(1, 400), st.integers(0, 30)).map(lambda s: (s[0], s[0] + s[1]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.fixed_dictionaries(dict.fromkeys(BOOK, sides)), st.floats(0.0, 3.0), st.permutations(ALL))
def test_the_choice_is_the_best_that_passes_whatever_the_quotes(
    book: dict[float, tuple[int | None, int | None]], minimum: float, order: list[Structure]
) -> None:
    found = choose(*order, book=book, min_reward_risk=minimum)
    assert sorted(rank.candidate.kind for rank in found.ranked) == sorted(s.kind for s in order)
    ratios = [r.figures.reward_risk for r in found.ranked if r.figures and r.figures.reward_risk is not None]
    reached = [ratio for ratio in ratios if ratio >= minimum]
    assert (found.chosen is None) == (not reached)
    if found.chosen is not None:
        assert found.ranked[0].candidate == found.chosen
        assert ratios[0] == max(reached)
    assert [rank.loss is None for rank in found.ranked].count(True) == (found.chosen is not None)


def test_contracts_are_asked_for_once_a_leg() -> None:
    asked: list[Contract] = []
    quote_of = of(BOOK)

    def counting(what: Contract) -> Quote | None:
        asked.append(what)
        return quote_of(what)

    select([FLY], counting, 605.0, SelectionConfig())
    assert asked == [leg.contract for leg in FLY.legs]
