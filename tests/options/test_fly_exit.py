"""Recognising a fly and planning its exit by verticals."""

from itertools import product

import pytest

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract, Leg
from maxlib.options.fly_exit import (
    RATIOS,
    ExitOrder,
    Fly,
    Holding,
    Shape,
    Unknown,
    Worth,
    holding,
    plan,
    recognise,
)

EQUAL, BROKEN = (600, 605, 610), (600, 605, 612)
NOTHING = Worth(0, 0)


def contract(strike: float, right: str = "C", expiry: int = 20_406) -> Contract:
    return Contract("QQQ", expiry, right, round(strike * 100))


def legs(counts: tuple[int, ...], right: str = "C", strikes: tuple[int, ...] = EQUAL) -> list[Leg]:
    return [Leg(contract(k, right), n) for k, n in zip(strikes, counts, strict=True)]


def fly(shape: Shape, right: str = "C", units: int = 1, strikes: tuple[int, ...] = EQUAL) -> Fly:
    low, body, high = RATIOS[shape]
    found = recognise(legs((low * units, body * units, high * units), right, strikes))
    assert isinstance(found, Fly)
    return found


def whole(a_fly: Fly) -> Holding:
    return Holding(*(a_fly.units * leg.ratio for leg in a_fly.legs))


def exit_of(a_fly: Fly, held: Holding | None = None, dte: int = 5, worth: Worth = NOTHING) -> list[ExitOrder]:
    return list(plan(a_fly, held or whole(a_fly), "LOSS_CUT", dte=dte, worth=worth))


def wings(orders: list[ExitOrder]) -> str:
    """`L2 H1`: two contracts of body and low wing, then one of body and high wing; `-L1` a wing alone."""
    letter = {600: "L", 605: "body", 610: "H", 612: "H"}
    return " ".join(
        f"{'-' if len(o.legs) == 1 else ''}{letter[int(o.legs[-1].contract.strike)]}{o.quantity}"
        for o in orders
    )


# --- recognition

EXACT = [
    ((1, -2, 1), "balanced", 1), ((4, -8, 4), "balanced", 4),
    ((2, -3, 1), "ubfly_put_side", 1), ((8, -12, 4), "ubfly_put_side", 4),
    ((1, -3, 2), "ubfly_call_side", 1), ((3, -9, 6), "ubfly_call_side", 3),
]  # fmt: skip


@pytest.mark.parametrize(("right", "strikes"), list(product("CP", (EQUAL, BROKEN))))
@pytest.mark.parametrize(("counts", "shape", "units"), EXACT)
def test_exact_ratios_are_recognised_in_calls_and_puts_with_any_widths(
    counts: tuple[int, ...], shape: str, units: int, right: str, strikes: tuple[int, ...]
) -> None:
    found = recognise(legs(counts, right, strikes))
    assert isinstance(found, Fly)
    assert (found.shape, found.units) == (shape, units)
    assert (found.low.strike, found.body.strike, found.high.strike) == strikes


def test_the_order_of_the_legs_and_split_lots_do_not_matter() -> None:
    low, body, high = legs((1, -2, 1))
    split = [high, Leg(body.contract, -1), low, Leg(body.contract, -1)]
    assert recognise(split) == recognise([low, body, high])


@pytest.mark.parametrize(
    "counts",
    [
        (1, -3, 1), (2, -2, 1), (1, -2, 2), (2, -3, 2), (1, -1, 1), (3, -5, 2), (2, -6, 5), (4, -6, 1),
        (-1, 2, -1), (-2, 3, -1), (1, 2, 1), (-1, -2, 1),
    ],
)  # fmt: skip
def test_other_ratios_are_unknown_and_say_what_was_held(counts: tuple[int, ...]) -> None:
    found = recognise(legs(counts))
    assert isinstance(found, Unknown)
    assert found.reason.startswith(":".join(map(str, counts)) + " is no multiple of")


def test_other_positions_are_unknown_with_a_reason() -> None:
    low, body, high = legs((1, -2, 1))
    assert recognise([]) == Unknown("a fly has 3 strikes, this position has 0")
    assert recognise([low, body]) == Unknown("a fly has 3 strikes, this position has 2")
    assert recognise([low, body, high, Leg(contract(615), 1)]) == Unknown(
        "a fly has 3 strikes, this position has 4"
    )
    for other in (contract(610, "P"), contract(610, expiry=20_407), high.contract._replace(root="SPY")):
        assert recognise([low, body, Leg(other, 1)]) == Unknown("the legs differ in root, expiry or right")


def original_finds_ubfly(low: int, body: int, high: int) -> bool:
    """The original's test as §6 tells it: ratios within half a contract, UBFLY first."""
    units = -body / 3
    return any(abs(low - a * units) <= 0.5 and abs(high - b * units) <= 0.5 for a, b in ((2, 1), (1, 2)))


def test_a_single_1_2_1_is_not_taken_for_an_unbalanced_fly_as_the_original_did() -> None:
    assert original_finds_ubfly(1, -2, 1)
    assert not original_finds_ubfly(2, -4, 2)
    assert fly("balanced").shape == "balanced"


# --- the plan

PLANS = [
    # Puts: body with low is the credit spread; calls: body with high.
    ("balanced", "P", 1, "L1 H1"), ("balanced", "P", 4, "L4 H4"),
    ("balanced", "C", 1, "H1 L1"), ("balanced", "C", 3, "H3 L3"),
    ("ubfly_put_side", "P", 1, "L2 H1"), ("ubfly_put_side", "P", 2, "L2 H1 L2 H1"),
    ("ubfly_call_side", "C", 1, "H2 L1"), ("ubfly_call_side", "C", 3, "H2 L1 H2 L1 H2 L1"),
    ("ubfly_put_side", "C", 1, "H1 L2"), ("ubfly_call_side", "P", 2, "L1 H2 L1 H2"),
]  # fmt: skip


@pytest.mark.parametrize("strikes", [EQUAL, BROKEN])
@pytest.mark.parametrize(("shape", "right", "units", "expected"), PLANS)
def test_verticals_come_in_the_specs_pairs_those_with_risk_first(
    shape: Shape, right: str, units: int, expected: str, strikes: tuple[int, ...]
) -> None:
    assert wings(exit_of(fly(shape, right, units, strikes))) == expected


def test_a_vertical_buys_the_short_to_close_and_sells_the_long_to_close_for_the_day() -> None:
    first, second = exit_of(fly("ubfly_put_side", "P"))
    assert first == ExitOrder(
        legs=(Leg(contract(605, "P"), 1), Leg(contract(600, "P"), -1)),
        quantity=2,
        tag="ubfly_put_side QQQ 600/605/610 P: body 605 with low wing 600: LOSS_CUT",
        time_in_force="DAY",
    )
    assert second.legs == (Leg(contract(605, "P"), 1), Leg(contract(610, "P"), -1))
    assert second.tag.endswith("body 605 with high wing 610: LOSS_CUT")


@pytest.mark.parametrize(
    ("shape", "right", "held", "expected"),
    [
        # A begun group of three is gone on with.
        ("ubfly_put_side", "P", (1, -2, 1), "L1 H1"),
        ("ubfly_put_side", "P", (0, -1, 1), "H1"),
        ("ubfly_put_side", "P", (3, -5, 2), "L1 H1 L2 H1"),
        ("ubfly_call_side", "C", (2, -5, 3), "H1 L1 H2 L1"),
        ("balanced", "C", (2, -3, 1), "H1 L2"),
        ("balanced", "C", (1, -1, 1), "H1"),
        # The safety net: the wing that the pattern asks for is gone.
        ("ubfly_put_side", "P", (0, -3, 3), "H3"),
        ("balanced", "P", (4, -4, 0), "L4"),
        ("balanced", "C", (0, -2, 2), "H2"),
    ],
)
def test_what_is_held_after_partial_fills_is_planned_anew(
    shape: Shape, right: str, held: tuple[int, int, int], expected: str
) -> None:
    assert wings(exit_of(fly(shape, right, 2), Holding(*held))) == expected


@pytest.mark.parametrize("held", [(1, -3, 1), (0, -1, 0), (2, -4, 1)])
def test_a_short_without_a_long_is_an_error(held: tuple[int, int, int]) -> None:
    longs = held[0] + held[2]
    with pytest.raises(
        InvariantError, match=f"leaves a short without a long: {longs} longs, {-held[1]} shorts"
    ):
        exit_of(fly("balanced"), Holding(*held))


@pytest.mark.parametrize("held", [(-1, -1, 3), (2, -1, -1), (0, 1, 0)])
def test_a_short_wing_or_a_long_body_is_an_error(held: tuple[int, int, int]) -> None:
    with pytest.raises(InvariantError, match="wings must be long and the body short"):
        exit_of(fly("balanced"), Holding(*held))


def test_nothing_held_needs_no_orders() -> None:
    assert exit_of(fly("balanced"), Holding(0, 0, 0)) == []


# --- wings


@pytest.mark.parametrize(
    ("dte", "worth", "expected"),
    [
        (2, Worth(5, 5), "H1 -L2 -H1"),
        (2, Worth(4.9, 5), "H1 -H1"),
        (2, Worth(4.9, 0), "H1"),
        (1, Worth(0, 0), "H1 -L2 -H1"),
        (0, Worth(0, 0), "H1 -L2 -H1"),
    ],
)
def test_only_left_over_wings_are_sold_last_and_if_worth_five_cents_or_a_day_from_expiry(
    dte: int, worth: Worth, expected: str
) -> None:
    assert wings(exit_of(fly("balanced"), Holding(2, -1, 2), dte, worth)) == expected


def test_a_wing_that_a_short_needs_is_not_left_over() -> None:
    assert all(len(order.legs) == 2 for order in exit_of(fly("ubfly_put_side"), dte=0, worth=Worth(900, 900)))


def test_a_sale_of_a_wing_is_tagged() -> None:
    (sale,) = exit_of(fly("balanced"), Holding(0, 0, 3), 0)
    assert sale == ExitOrder(
        (Leg(contract(610), -1),), 3, "balanced QQQ 600/605/610 C: left high wing 610: LOSS_CUT"
    )


def test_a_holding_counts_the_flys_contracts_only() -> None:
    held = [*legs((1, -2, 1)), Leg(contract(600), 1), Leg(contract(615), 7), Leg(contract(600, "P"), 9)]
    assert holding(fly("balanced"), held) == Holding(2, -2, 1)
