"""Structures against hand-made lists of strikes: which legs, and why there are none."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.options.structures import (
    KINDS,
    RATIOS,
    Kind,
    Listing,
    Structure,
    Unbuilt,
    build,
    candidates,
    structure,
)
from tests.options.packages import EXPIRY, paid


def listing(strikes: Sequence[float]) -> Listing:
    return Listing("QQQ", EXPIRY, tuple(round(100 * k) for k in strikes))


DOLLARS = listing(range(590, 620))


def label(kind: Kind, side: int, spot: float, target: float, of: Listing = DOLLARS, itm: int = 0) -> str:
    built = build(kind, of, side, spot, target, itm=itm)
    assert isinstance(built, Structure)
    return built.label


@pytest.mark.parametrize(
    ("kind", "up", "down"),
    [
        # Spot 600.2: ATM 600, so w is 601 (599 for puts). Targets 604.9 and 595.3: T is 605 and 595.
        ("long", "long +1 600C", "long +1 600P"),
        ("vertical", "vertical +1 600C -1 605C", "vertical +1 600P -1 595P"),
        ("fly", "fly +1 601C -2 605C +1 609C", "fly +1 599P -2 595P +1 591P"),
        # The outer wing two strikes beyond 609 (591).
        ("broken_wing", "broken_wing +1 601C -2 605C +1 611C", "broken_wing +1 599P -2 595P +1 589P"),
        # Inner width 4, so the outer may be 2 wide and the tail pays 4 - 2·2 = 0.
        ("unbalanced", "unbalanced +1 601C -3 605C +2 607C", "unbalanced +1 599P -3 595P +2 593P"),
    ],
)
def test_each_kind_stands_where_the_spec_puts_it(kind: Kind, up: str, down: str) -> None:
    both = listing(range(585, 620))
    assert label(kind, 1, 600.2, 604.9, both) == up
    assert label(kind, -1, 600.2, 595.3, both) == down


@pytest.mark.parametrize(("spot", "atm"), [(600.4, 600), (600.6, 601), (600.5, 600), (601.5, 602)])
def test_a_spot_between_two_strikes_goes_to_the_nearer_and_at_a_tie_to_the_even(
    spot: float, atm: int
) -> None:
    assert label("long", 1, spot, spot) == f"long +1 {atm}C"
    assert label("long", -1, spot, spot) == f"long +1 {atm}P"


@pytest.mark.parametrize(("spot", "atm"), [(602.5, 600), (607.5, 610), (612.4, 610)])
def test_ties_between_five_dollar_strikes_go_to_the_even_multiple(spot: float, atm: int) -> None:
    fives = listing(range(580, 640, 5))
    assert label("long", 1, spot, spot, fives) == f"long +1 {atm}C"


@pytest.mark.parametrize(("itm", "call", "put"), [(1, 599, 601), (0, 600, 600), (-2, 602, 598)])
def test_a_long_option_may_stand_strikes_in_or_out_of_the_money(itm: int, call: int, put: int) -> None:
    assert label("long", 1, 600.2, 605, itm=itm) == f"long +1 {call}C"
    assert label("long", -1, 600.2, 595, itm=itm) == f"long +1 {put}P"


def test_steps_are_those_of_the_list_not_of_dollars() -> None:
    uneven = listing([595, 600, 602.5, 605, 607.5, 610, 615, 620, 630])
    assert label("fly", 1, 600.9, 606, uneven) == "fly +1 602.5C -2 605C +1 607.5C"
    # The balanced wing is 612.5, which is not listed; the second strike beyond it is 620.
    assert label("broken_wing", 1, 600.9, 607.4, uneven) == "broken_wing +1 602.5C -2 607.5C +1 620C"


def test_an_outer_wing_of_half_the_width_is_rounded_towards_the_body() -> None:
    # Width 601 to 608 is 7: the wing may stand at 611.5 at most.
    assert label("unbalanced", 1, 600.2, 608) == "unbalanced +1 601C -3 608C +2 611C"


@pytest.mark.parametrize(
    ("kind", "strikes", "target", "expected"),
    [
        ("long", [], 605, ("NO_STRIKES", 0)),
        ("vertical", [598, 599, 600, 610], 602, ("TARGET_TOO_NEAR", 60000)),
        ("vertical", [598, 599, 600, 610], 590, ("TARGET_TOO_NEAR", 60000)),
        ("fly", [599, 600, 601, 602], 601.2, ("TARGET_TOO_NEAR", 60100)),
        ("fly", [598, 599, 600], 605, ("NOTHING_BEYOND", 60000)),
        ("fly", [600, 601, 605, 608, 610], 605, ("WING_NOT_LISTED", 60900)),
        ("broken_wing", [600, 601, 605, 609, 610], 605, ("NOTHING_BEYOND", 61000)),
        ("unbalanced", [600, 601, 605, 608], 605, ("NO_SAFE_WING", 60500)),
    ],
)
def test_what_is_not_listed_is_refused_with_the_strike_that_lacks(
    kind: Kind, strikes: list[float], target: float, expected: tuple[str, int]
) -> None:
    assert build(kind, listing(strikes), 1, 600.2, target) == Unbuilt(kind, 1, *expected)  # type: ignore[arg-type]
    mirrored = listing([1200 - k for k in reversed(strikes)])
    code, strike = expected
    there = build(kind, mirrored, -1, 599.8, 1200 - target)
    assert there == (kind, -1, code, 120_000 - strike if strike else 0)


def test_a_long_option_beyond_the_list_is_refused() -> None:
    assert build("long", listing([599, 600]), 1, 600.2, 605, itm=2) == Unbuilt(
        "long", 1, "NOTHING_BEYOND", 59900
    )
    assert build("long", listing([599, 600]), 1, 600.2, 605, itm=-1) == Unbuilt(
        "long", 1, "NOTHING_BEYOND", 60000
    )


def test_candidates_are_the_kinds_in_the_order_asked_for() -> None:
    both = candidates(DOLLARS, 1, 600.2, 604.9, ("fly", "long"))
    assert [c.kind for c in both] == ["fly", "long"]
    assert [c.kind for c in candidates(DOLLARS, 1, 600.2, 604.9)] == list(KINDS)


def test_a_structure_needs_as_many_strikes_as_its_kind_has_legs() -> None:
    with pytest.raises(ValueError, match="zip"):
        structure("fly", 1, "QQQ", EXPIRY, (60000, 60500))


some_strikes = st.lists(st.integers(5900, 6100), min_size=1, max_size=40, unique=True).map(
    lambda ks: tuple(sorted(10 * k for k in ks))
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(KINDS), some_strikes, st.floats(590, 610), st.floats(0.0, 12.0))
def test_the_bearish_side_is_the_mirror_image(
    kind: Kind, strikes: tuple[int, ...], spot: float, move: float
) -> None:
    """Mirrored at 600 dollars: strikes, spot and target turned, calls for puts, the same payoff."""
    mirrored = tuple(120_000 - k for k in reversed(strikes))
    up = build(kind, Listing("QQQ", EXPIRY, strikes), 1, spot, spot + move)
    down = build(kind, Listing("QQQ", EXPIRY, mirrored), -1, 1200 - spot, 1200 - spot - move)
    assert type(up) is type(down)
    if isinstance(up, Structure) and isinstance(down, Structure):
        assert [leg.ratio for leg in down.legs] == [leg.ratio for leg in up.legs] == list(RATIOS[kind])
        for x in range(58_000, 62_000, 37):
            assert paid(down.legs, 120_000 - x) == paid(up.legs, x)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(KINDS), some_strikes, st.floats(590, 610), st.floats(-5, 12), st.sampled_from([1, -1]))
def test_strikes_are_listed_and_step_the_trades_way(
    kind: Kind, strikes: tuple[int, ...], spot: float, move: float, side: int
) -> None:
    built = build(kind, Listing("QQQ", EXPIRY, strikes), side, spot, spot + side * move)
    if isinstance(built, Structure):
        used = [leg.contract.strike_cents for leg in built.legs]
        assert set(used) <= set(strikes)
        assert [side * k for k in used] == sorted({side * k for k in used})
        assert {leg.contract.right for leg in built.legs} == {"C" if side > 0 else "P"}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(some_strikes, st.floats(590, 610), st.floats(1, 12))
def test_the_far_tail_of_an_unbalanced_fly_never_loses_and_its_wing_is_the_farthest_such(
    strikes: tuple[int, ...], spot: float, move: float
) -> None:
    built = build("unbalanced", Listing("QQQ", EXPIRY, strikes), 1, spot, spot + move)
    if isinstance(built, Structure):
        assert paid(built.legs, 70_000) >= 0
        low, body, wing = (leg.contract.strike_cents for leg in built.legs)
        for farther in (k for k in strikes if k > wing):
            assert body - low < 2 * (farther - body)
