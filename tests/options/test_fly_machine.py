"""The machine that walks the exit of a fly, and the checker that walks all its states."""

from pathlib import Path
from typing import Any

import pytest

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Leg
from maxlib.options import fly_exit, fly_machine
from maxlib.options.fly_exit import ExitOrder, Fly, Holding, Wing, Worth
from maxlib.options.fly_machine import Ask, Ended, FlyExit, Held, Send, handle, start
from tests.docs import pages
from tests.options import fly_checker
from tests.options.fly_checker import Case, check, walk, walk_at_once

WORTH = Worth(10, 10)
PUTS = Case("2:-3:1", "P", 1, WORTH)


def told(low: int, body: int, high: int, dte: int = 2) -> Held:
    return Held(Holding(low, body, high), dte, WORTH)


def working(case: Case = PUTS) -> FlyExit:
    state, _ = start(case.fly(), "PIN")
    state, command = handle(state, Held(case.initial, 2, WORTH))
    assert isinstance(command, Send)
    return state


# --- the machine


def test_an_exit_asks_sends_waits_for_the_end_and_asks_again_until_nothing_is_held() -> None:
    state, command = start(PUTS.fly(), "PIN")
    assert command == Ask()
    sent = []
    for answer, end in (
        (told(2, -3, 1), Ended(1, 1, 1)),  # one of two, the rest cancelled
        (told(1, -2, 1), Ended(2, 1, 1)),
        (told(0, -1, 1), Ended(3, 1, 1)),
    ):
        state, command = handle(state, answer)
        assert isinstance(command, Send)
        sent.append((command.number, command.order.legs[1].contract.strike, command.order.quantity))
        state, command = handle(state, end)
        assert command == Ask()
    assert sent == [(1, 595, 2), (2, 595, 1), (3, 605, 1)]
    state, command = handle(state, told(0, 0, 0))
    assert (state.phase, command) == ("done", None)


def test_an_answer_that_is_older_than_our_fills_sends_nothing() -> None:
    state, _ = handle(working(), Ended(1, 2, 2))
    state, command = handle(state, told(2, -3, 1))
    assert command == Ask()
    _, command = handle(state, told(0, -1, 1))
    assert isinstance(command, Send)
    assert command.order.quantity == 1


def test_rejections_in_a_row_stall_the_exit_and_the_next_check_wakes_it() -> None:
    state = working()
    for number in (1, 2):
        state, command = handle(state, Ended(number, 0, 0))
        assert command == Ask()
        state, command = handle(state, told(2, -3, 1))
        assert isinstance(command, Send)
    state, command = handle(state, Ended(3, 0, 0))
    assert (state.phase, command) == ("stalled", None)
    assert state.note == "order 3 ended without a fill"
    state, command = handle(state, told(2, -3, 1))
    assert isinstance(command, Send)
    assert (state.phase, state.misses, state.note) == ("working", 0, "")


def test_a_lasting_difference_between_broker_and_fills_stalls_and_is_told() -> None:
    state, _ = handle(working(), Ended(1, 1, 1))
    for _ in range(3):
        state, command = handle(state, told(2, -3, 1))
    assert (state.phase, command) == ("stalled", None)
    assert state.note == "the broker says 2:-3:1 is held, our fills say 1:-2:1"


def test_a_fill_ends_the_row_of_misses() -> None:
    state, _ = handle(working(), Ended(1, 0, 0))
    state, _ = handle(state, told(2, -3, 1))
    assert state.misses == 1
    state, _ = handle(state, Ended(2, 1, 1))
    assert state.misses == 0


def test_repeated_and_misplaced_events_change_nothing() -> None:
    state = working()
    assert handle(state, told(2, -3, 1)) == (state, None)
    assert handle(state, Ended(0, 1, 1)) == (state, None)
    asking, _ = handle(state, Ended(1, 2, 2))
    assert handle(asking, Ended(1, 2, 2)) == (asking, None)
    done, _ = handle(start(PUTS.fly(), "PIN")[0], told(0, 0, 0))
    assert handle(done, told(2, -3, 1)) == (done, None)


@pytest.mark.parametrize(("bought", "sold"), [(3, 2), (2, 3), (-1, 0), (0, -1)])
def test_more_fills_than_ordered_is_an_error(bought: int, sold: int) -> None:
    with pytest.raises(InvariantError, match="its bounds are 2 and 2"):
        handle(working(), Ended(1, bought, sold))


def test_a_wing_that_lost_its_short_is_sold_when_nothing_is_short_any_more() -> None:
    state, _ = handle(working(), Ended(1, 2, 1))  # a venue of single legs: one sale is missing
    state, command = handle(state, told(1, -1, 1))
    assert isinstance(command, Send)
    assert len(command.order.legs) == 2
    state, _ = handle(state, Ended(2, 1, 1))
    state, command = handle(state, told(1, 0, 0))
    assert isinstance(command, Send)
    assert command.order.legs == (Leg(PUTS.fly().low, -1),)
    state, _ = handle(state, Ended(3, 0, 1))
    assert handle(state, told(0, 0, 0))[0].phase == "done"


# --- the checker, over everything that can happen


def shown() -> dict[str, list[str]]:
    rows = pages.tables((pages.DOCS / "fly-exit.md").read_text(encoding="utf-8"))["checker"]
    return {row[0]: row[1:] for row in rows}


def row(venue: str, units: int) -> list[str]:
    t = check(venue, units)
    found = (len(fly_checker.cases(units)), t.states, t.orphans, t.deeper, t.stuck, t.stopped)
    return [f"{n:,}" for n in found]


@pytest.mark.parametrize("venue", ["package", "legs, buy first"])
def test_no_short_is_ever_uncovered_whatever_the_venue_does(
    venue: str, record_testsuite_property: Any
) -> None:
    found = check(venue, 4)
    record_testsuite_property(f"fly exit, {venue}: states explored", found.states)
    record_testsuite_property(f"fly exit, {venue}: orphan shorts", found.orphans)
    assert found.states > 5_000
    assert (found.orphans, found.deeper, found.stuck, found.stopped) == (0, 0, 0, 0)
    assert shown()[venue][1:3] == [f"{found.states:,}", "0"], "run `python -m tests.options.fly_checker`"


def test_all_at_once_keeps_shorts_covered_but_not_the_worst_case(record_testsuite_property: Any) -> None:
    found = check("package, all at once", 4)
    record_testsuite_property("fly exit, all at once: states explored", found.states)
    record_testsuite_property("fly exit, all at once: orphan shorts", found.orphans)
    assert found.orphans == 0
    assert found.deeper > 0
    assert shown()["package, all at once"] == row("package, all at once", 4)


def test_a_venue_that_sells_the_wing_first_uncovers_a_short() -> None:
    found = walk(Case("1:-2:1", "C", 1, WORTH), "legs, any order")
    assert found.orphans > 0
    assert found.example.startswith("1 unit(s), 1:-2:0 held")


@pytest.mark.slow
@pytest.mark.parametrize("venue", fly_checker.VENUES)
def test_the_page_shows_what_the_checker_prints(venue: str) -> None:
    assert shown()[venue] == row(venue, 4)


@pytest.mark.slow
def test_twelve_units_are_as_safe() -> None:
    found = check("package", 12)
    assert (found.orphans, found.deeper, found.stuck, found.stopped) == (0, 0, 0, 0)


@pytest.mark.parametrize("shape", fly_checker.SHAPES)
@pytest.mark.parametrize("right", "CP")
def test_orders_do_not_depend_on_the_widths_of_the_wings(shape: str, right: str) -> None:
    case = Case(shape, right, 3, WORTH)
    plans = [
        [
            (order.quantity, [widths.index(leg.contract.strike_cents) for leg in order.legs])
            for order in fly_exit.plan(case.fly(pair), case.initial, "PIN", dte=0, worth=WORTH)
        ]
        for pair in fly_checker.WIDTHS
        for widths in [fly_checker.strikes(pair)]
    ]
    assert plans[0] == plans[1] == plans[2]


# --- the checker finds what it should find


def test_it_finds_the_deeper_worst_case_of_the_specs_order_on_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    low: Wing = "low"
    monkeypatch.setattr(Fly, "risk_wing", low)  # low wings first, whatever the right: §6 word for word
    for shape in ("1:-2:1", "1:-3:2"):
        assert walk(Case(shape, "C", 1, WORTH), "package").deeper > 0
        assert walk(Case(shape, "P", 1, WORTH), "package").deeper == 0
    assert walk(Case("2:-3:1", "P", 2, WORTH), "package").deeper == 0


def sends(monkeypatch: pytest.MonkeyPatch, *orders: ExitOrder) -> None:
    monkeypatch.setattr(fly_machine, "plan", lambda *args, **more: orders)


def test_it_finds_a_wing_sold_while_a_short_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sends(monkeypatch, ExitOrder((Leg(PUTS.fly().high, -1),), 1, "wing"))
    with pytest.raises(AssertionError, match="sells a wing while"):
        walk(PUTS, "package")


def test_it_finds_a_whole_fly(monkeypatch: pytest.MonkeyPatch) -> None:
    legs = tuple(Leg(leg.contract, -leg.ratio) for leg in PUTS.fly().legs)
    sends(monkeypatch, ExitOrder(legs, 1, "whole"))
    with pytest.raises(AssertionError, match="is no vertical"):
        walk(PUTS, "package")


def test_it_finds_an_order_larger_than_the_holding(monkeypatch: pytest.MonkeyPatch) -> None:
    fly = PUTS.fly()
    sends(monkeypatch, ExitOrder((Leg(fly.body, 1), Leg(fly.high, -1)), 2, "large"))
    with pytest.raises(AssertionError, match="is larger than"):
        walk(PUTS, "package")


def test_it_finds_a_machine_that_believes_a_stale_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def gullible(state: FlyExit, event: Held | Ended) -> Any:
        return handle(state._replace(expected=None) if isinstance(event, Held) else state, event)

    monkeypatch.setattr(fly_checker, "handle", gullible)
    with pytest.raises(AssertionError, match=r"is larger than|opens"):
        walk(PUTS, "package")


def test_it_finds_a_machine_that_ends_with_a_short(monkeypatch: pytest.MonkeyPatch) -> None:
    sends(monkeypatch)
    found = walk(PUTS, "package")
    assert found.stuck == found.states


def test_it_counts_all_holdings_of_one_unit_at_once() -> None:
    # L2 and H1. An order of q has q + 1 quantities left, all but 0 both working and dead: 5 × 3.
    assert walk_at_once(PUTS).states == 15


def test_its_worst_case_is_that_of_the_definitions() -> None:
    # reference/definitions.md, before the premium: 600/605/612 has tail w1 - w2 = -2, 1:-3:2 w1 - 2·w2 = -5.
    assert fly_checker.worst("C", Holding(1, -2, 1), (500, 700)) == -200
    assert fly_checker.worst("C", Holding(1, -3, 2), (500, 500)) == -500
    assert fly_checker.worst("P", Holding(2, -3, 1), (500, 500)) == -500
    assert fly_checker.worst("C", Holding(1, -2, 1), (500, 500)) == 0
    assert fly_checker.worst("C", Holding(1, -2, 0), (500, 500)) == float("-inf")


def test_the_command_prints_a_row_for_each_venue() -> None:
    lines = fly_checker.table(1).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == list(fly_checker.VENUES)
    assert Path(fly_checker.__file__).name == "fly_checker.py"
