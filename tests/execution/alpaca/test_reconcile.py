"""Corrections: every fill once, whatever comes twice, late, in disorder or not at all."""

from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.core.errors import InvariantError
from maxlib.execution.alpaca.books import (
    Blocked,
    ExternalTagged,
    FillImported,
    FillTakenBack,
    Local,
    PositionAdopted,
    QueryNeeded,
    StateMoved,
    apply,
)
from maxlib.execution.alpaca.orders import LEGAL, Execution, State, Tracked
from maxlib.execution.alpaca.reasons import Complaint
from maxlib.execution.alpaca.reconcile import (
    Accepted,
    Refused,
    Remote,
    Unanswered,
    answered,
    hear,
    heard,
    reconcile,
)
from maxlib.execution.alpaca.wire import BrokerLeg, BrokerOrder, TradeUpdate
from maxlib.market.contract import Leg
from tests.execution.alpaca.bench import FLY, LONG, SECOND, call, order

PATIENCE = 60 * SECOND
SENT = 1_000 * SECOND


def tracked(
    legs: tuple[Leg, ...] = FLY, quantity: int = 3, state: State = "WORKING", name: str = "ours"
) -> Tracked:
    return Tracked(order(legs, quantity, name), None, SENT, state)


def seen(
    filled: int, status: str, at: int, *, name: str = "ours", quantity: int = 3, legs: tuple[Leg, ...] = FLY,
    prices: tuple[str, ...] = ("1.04", "0.95", "0.94"), **changes: Any,
) -> BrokerOrder:  # fmt: skip
    """The broker's word: everything so far filled at one price a leg."""
    rows = tuple(
        BrokerLeg(f"{name}-{i}" if len(legs) > 1 else "", leg.contract.name, leg.ratio,
                  Decimal(abs(leg.ratio) * filled), Decimal(price) if filled else None)
        for i, (leg, price) in enumerate(zip(legs, prices, strict=False))
    )  # fmt: skip
    known = BrokerOrder(
        f"id-{name}", name, status, Decimal(quantity), Decimal(filled), rows, len(legs) > 1, SENT, SENT + at
    )
    return known._replace(**changes)


def local(*orders: Tracked, **changes: Any) -> Local:
    return Local({t.order.id: t for t in orders}, **changes)


def remote(*orders: BrokerOrder, positions: dict[str, int] | None = None, missing: tuple[str, ...] = (),
           stable: bool = True, taken_at: int = SENT + 10 * SECOND) -> Remote:  # fmt: skip
    held = {symbol: Decimal(n) for symbol, n in (positions or {}).items()}
    return Remote(orders, held, frozenset(missing), stable, taken_at)


def settle(books: Local, picture: Remote, **options: Any) -> tuple[Local, tuple[Any, ...]]:
    found = reconcile(books, picture, lost_after_ns=PATIENCE, **options)
    for correction in found:
        books = apply(books, correction)
    return books, found


def kinds(found: tuple[Any, ...]) -> list[str]:
    return [c.code if isinstance(c, Blocked) else type(c).__name__ for c in found]


FLY_OF_3 = {call(600).name: 3, call(605).name: -6, call(610).name: 3}

# --- one order


def test_row_53_fill_before_the_acknowledgement_is_booked_and_the_acknowledgement_changes_nothing() -> None:
    books = local(tracked(state="INTENT"))
    update = TradeUpdate("fill", "x1", SENT + 9, None, None, seen(3, "filled", 9))
    for correction in hear(books, update):
        books = apply(books, correction)
    assert (books.orders["ours"].state, books.orders["ours"].filled) == ("FILLED", 3)
    late = Accepted(seen(0, "new", 1))
    assert answered(books.orders["ours"], late) == ()
    assert answered(books.orders["ours"], Unanswered(Complaint("TIMEOUT"))) == ()


def test_row_52_duplicate_fills_add_nothing() -> None:
    books = local(tracked())
    update = TradeUpdate("partial_fill", "x1", SENT + 5, None, None, seen(1, "partially_filled", 5))
    for correction in hear(books, update):
        books = apply(books, correction)
    assert hear(books, update) == ()


def test_row_54_partial_then_cancel_keeps_the_quantity() -> None:
    books = local(tracked())
    for word in (seen(1, "partially_filled", 5), seen(1, "pending_cancel", 6), seen(1, "canceled", 7)):
        for correction in heard(books.orders["ours"], word):
            books = apply(books, correction)
    kept = books.orders["ours"]
    assert (kept.state, kept.filled, kept.at_risk) == ("CANCELED", 1, 1)
    # 1 × 1.04 × 100 shares, 2 × 0.95, 1 × 0.94
    assert kept.values == (10_400, 19_000, 9_400)


def test_row_55_refusal_changes_no_position() -> None:
    books = local(tracked(state="INTENT"), positions={"X": Decimal(1)})
    (moved,) = answered(
        books.orders["ours"], Refused(Complaint("BUYING_POWER", 403, 40310000, "insufficient"))
    )
    after = apply(books, moved)
    assert (after.orders["ours"].state, after.orders["ours"].at_risk, after.positions) == (
        "REFUSED",
        0,
        {"X": 1},
    )
    assert isinstance(moved, StateMoved)
    assert moved.why == "BUYING_POWER insufficient"


def test_row_56_cancel_and_fill_race_the_fill_wins() -> None:
    books = local(tracked(state="CANCELING"))
    for correction in heard(books.orders["ours"], seen(3, "filled", 8)):
        books = apply(books, correction)
    assert (books.orders["ours"].state, books.orders["ours"].filled) == ("FILLED", 3)


def test_row_56_fill_after_the_end_is_recorded_as_late_and_the_end_stays() -> None:
    found = heard(tracked(state="CANCELED"), seen(2, "canceled", 9))
    assert [(c.execution.units, c.late) for c in found if isinstance(c, FillImported)] == [(2, True)]
    books = local(tracked(state="CANCELED"))
    for correction in found:
        books = apply(books, correction)
    assert (books.orders["ours"].state, books.orders["ours"].filled) == ("CANCELED", 2)


def test_cancel_that_was_not_possible_goes_back_to_work() -> None:
    (moved,) = heard(tracked(state="CANCELING")._replace(updated_at=SENT), seen(0, "new", 9))
    assert isinstance(moved, StateMoved)
    assert moved.to == "WORKING"


def test_overtaken_status_does_not_turn_back_time() -> None:
    done = tracked()._replace(
        state="CANCELING", updated_at=SENT + 9, filled=1, values=(10_400, 19_000, 9_400)
    )
    assert heard(done, seen(1, "partially_filled", 5)) == ()
    assert heard(done, seen(0, "new", 1)) == ()


def test_rising_average_gives_the_difference_as_the_price_of_the_new_units() -> None:
    first = tracked(LONG)._replace(filled=2, values=(20_800,))  # 2 at 1.04
    found = heard(first, seen(3, "filled", 9, legs=LONG, prices=("1.05",)))  # 3 at 1.05 on average
    (made,) = [c.execution for c in found if isinstance(c, FillImported)]
    assert (made.after, made.units, made.values_cents) == (2, 1, (10_700,))  # the third cost 1.07


@pytest.mark.parametrize(
    ("word", "state", "codes", "end"),
    [
        (seen(4, "filled", 9), "WORKING", ["OVERFILL", "FillImported", "StateMoved"], "FILLED"),
        (seen(1, "partially_filled", 9), "LOST", ["ARRIVED_LATE", "FillImported", "StateMoved"], "WORKING"),
        (seen(0, "rejected", 9), "REFUSED", ["StateMoved"], "REJECTED"),
        (seen(0, "replaced", 9), "WORKING", ["StateMoved", "REPLACED"], "REPLACED"),
    ],
)
def test_what_should_not_happen_blocks(word: BrokerOrder, state: State, codes: list[str], end: State) -> None:
    books = local(tracked(state=state))
    found = heard(books.orders["ours"], word)
    assert kinds(found) == codes
    for correction in found:
        books = apply(books, correction)
    assert books.orders["ours"].filled <= 3
    assert books.orders["ours"].state == end


def test_fill_that_is_taken_back_blocks_and_is_taken_off_the_books_once() -> None:
    booked = tracked()._replace(filled=2, values=(20_800, 38_000, 18_800), updated_at=SENT + 5)
    word = seen(1, "partially_filled", 9)  # 1.04, 2 × 0.95 and 0.94
    books = local(booked)
    for correction in (found := heard(booked, word)):
        books = apply(books, correction)
    assert kinds(found) == ["FILL_TAKEN_BACK", "FillTakenBack", "StateMoved"]
    assert (books.orders["ours"].filled, books.orders["ours"].values) == (1, (10_400, 19_000, 9_400))
    assert books.positions == {leg.contract.name: Decimal(-leg.ratio) for leg in booked.order.legs}, "from 0"
    assert heard(books.orders["ours"], word) == ()
    assert heard(booked, seen(1, "partially_filled", 3)) == ()  # only overtaken
    dearer = booked._replace(values=(10_000, 38_000, 18_800))  # a leg cost more with fewer units
    assert kinds(heard(dearer, word)) == ["FILL_TAKEN_BACK"]
    with pytest.raises(InvariantError, match="2 units booked, and 3 cannot be taken back"):
        apply(local(booked), FillTakenBack("ours", 3, (0, 0, 0)))


def test_what_was_cleared_is_not_found_again_until_its_figures_change() -> None:
    full = tracked(LONG, state="FILLED")._replace(
        filled=3, values=(31_200,), broker_id="id-ours", updated_at=SENT + 9
    )

    def picture(units: int) -> Remote:
        word = seen(units, "filled", 9, legs=LONG, prices=("1.04",))
        return Remote((word,), {LONG[0].contract.name: Decimal(units)}, frozenset(), True, SENT + 10)

    books = local(full)
    for units, codes in (
        (4, ["OVERFILL", "PositionAdopted", "POSITION_MISMATCH"]),
        (4, []),
        (5, ["OVERFILL"]),
    ):
        found = reconcile(books, picture(units), lost_after_ns=PATIENCE)
        assert kinds(found)[: len(codes) or None] == codes
        for correction in found:
            books = apply(books, correction)
        assert bool(books.blocks) is bool(codes)
        books = books.clear()


@pytest.mark.parametrize(
    "broken",
    [
        {"legs": ()},
        {"legs": seen(1, "x", 0).legs[:2]},
        {"legs": seen(1, "x", 0).legs},
        {"legs": tuple(leg._replace(price=None) for leg in seen(2, "x", 0).legs)},
        {"legs": tuple(leg._replace(ratio=-leg.ratio) for leg in seen(2, "x", 0).legs)},
        {"filled": Decimal("1.5")},
    ],
    ids=["none", "missing", "behind", "priceless", "turned", "half"],
)
def test_legs_that_do_not_add_up_are_asked_about_and_then_block(broken: dict[str, Any]) -> None:
    word = seen(2, "partially_filled", 9)._replace(**broken)
    assert heard(tracked(), word) == (QueryNeeded("ours", "UNEVEN_LEGS"),)
    found = reconcile(local(tracked()), remote(word, positions=FLY_OF_3), lost_after_ns=PATIENCE)
    assert kinds(found) == ["QueryNeeded", "UNEVEN_LEGS"]  # and its symbols are left alone


# --- the whole account


@pytest.mark.parametrize("state", ["INTENT", "UNKNOWN"])
def test_row_57_unanswered_order_that_the_broker_has_is_found(state: State) -> None:
    books, found = settle(local(tracked(state=state)), remote(seen(3, "filled", 9), positions=FLY_OF_3))
    assert kinds(found) == ["FillImported", "StateMoved"]
    assert (books.orders["ours"].state, books.settled) == ("FILLED", True)


def test_row_57_unanswered_order_stays_unknown_until_patience_ends_and_then_is_lost() -> None:
    books = local(tracked(state="UNKNOWN"))
    young = remote(missing=("ours",), taken_at=SENT + PATIENCE - 1)
    assert reconcile(books, young, lost_after_ns=PATIENCE) == (QueryNeeded("ours", "NOT_THERE_YET"),)
    assert books.orders["ours"].at_risk == 3
    books, _ = settle(books, remote(missing=("ours",), taken_at=SENT + PATIENCE))
    assert (books.orders["ours"].state, books.orders["ours"].at_risk) == ("LOST", 0)
    assert reconcile(books, remote(), lost_after_ns=PATIENCE) == ()


def test_an_order_in_no_list_is_asked_for_not_guessed_about() -> None:
    assert reconcile(local(tracked()), remote(), lost_after_ns=PATIENCE) == (
        QueryNeeded("ours", "NOT_LISTED"),
    )
    vanished = reconcile(local(tracked()), remote(missing=("ours",)), lost_after_ns=PATIENCE)
    assert kinds(vanished) == ["VANISHED", "QueryNeeded"]


def test_row_58_position_mismatch_blocks_and_adopts_the_brokers_word() -> None:
    books = local(positions={call(600).name: Decimal(2), "GONE": Decimal(1)})
    books, found = settle(books, remote(positions={call(600).name: 3, "QQQ": -100}))
    assert [(c.symbol, c.ours, c.theirs) for c in found if isinstance(c, PositionAdopted)] == [
        ("GONE", 1, 0), ("QQQ", 0, -100), (call(600).name, 2, 3),
    ]  # fmt: skip
    assert len([c for c in found if isinstance(c, Blocked)]) == 3
    assert books.positions == {call(600).name: 3, "QQQ": -100}
    assert reconcile(books, remote(positions={call(600).name: 3, "QQQ": -100}), lost_after_ns=PATIENCE) == ()


def test_row_58_without_adoption_it_only_blocks_and_says_so_once() -> None:
    books = local(positions={"A": Decimal(2)})
    books, found = settle(books, remote(), adopt=False)
    assert kinds(found) == ["POSITION_MISMATCH"]
    assert books.positions == {"A": 2}
    assert reconcile(books, remote(), lost_after_ns=PATIENCE, adopt=False) == ()


def test_row_59_fills_while_down_are_imported_once() -> None:
    was = tracked()._replace(filled=1, values=(10_400, 19_000, 9_400), updated_at=SENT + 1)
    books = local(
        was, positions={call(600).name: Decimal(1), call(605).name: Decimal(-2), call(610).name: Decimal(1)}
    )
    picture = remote(seen(3, "filled", 9), positions=FLY_OF_3)
    books, found = settle(books, picture)
    assert [c.execution.units for c in found if isinstance(c, FillImported)] == [2]
    assert books.positions == FLY_OF_3
    assert settle(books, picture)[1] == ()


def test_row_60_external_orders_are_tagged_once_and_legs_of_ours_never() -> None:
    stranger = seen(0, "new", 5, name="stranger", legs=LONG, prices=("1.00",))
    mine = seen(0, "new", 5)
    part = stranger._replace(id="ours-1", client_id="leg-client-id")
    books, found = settle(local(tracked()), remote(mine, stranger, part))
    assert [c for c in found if isinstance(c, ExternalTagged)] == [
        ExternalTagged("id-stranger", "stranger", "3 × +1 QQQ251120C00600000, new")
    ]
    assert settle(books, remote(mine, stranger, part))[1] == ()
    assert hear(books, TradeUpdate("fill", "x", 1, None, None, stranger)) == ()


def test_events_of_a_leg_are_a_reason_to_ask_about_its_package() -> None:
    leg = seen(3, "filled", 9, name="leg-client-id", legs=LONG, prices=("1.04",))._replace(id="ours-0")
    update = TradeUpdate("fill", "x", 1, None, None, leg)
    asked = (QueryNeeded("ours", "LEG_EVENT"),)
    assert hear(local(tracked()._replace(leg_ids=("ours-0", "ours-1", "ours-2"))), update) == asked
    assert hear(local(tracked(state="INTENT")), update) == asked  # its legs are not named yet
    assert kinds(hear(local(tracked()), update)) == ["ExternalTagged"]


def test_picture_that_the_stream_overtook_takes_no_position_back() -> None:
    # The stream booked 3 units after the broker's lists were read with 1.
    ahead = tracked()._replace(
        state="FILLED", filled=3, values=(31_200, 57_000, 28_200), updated_at=SENT + 9, broker_id="id-ours"
    )
    held = {symbol: Decimal(n) for symbol, n in FLY_OF_3.items()}
    old = remote(
        seen(1, "partially_filled", 5), positions={call(600).name: 1, call(605).name: -2, call(610).name: 1}
    )
    assert kinds(reconcile(local(ahead, positions=held), old, lost_after_ns=PATIENCE)) == ["QueryNeeded"]
    never_listed = remote(taken_at=SENT)  # sent and filled after the picture was begun
    assert kinds(reconcile(local(ahead, positions=held), never_listed, lost_after_ns=PATIENCE)) == [
        "QueryNeeded"
    ]


def test_unstable_picture_books_fills_but_compares_no_positions() -> None:
    found = reconcile(local(tracked()), remote(seen(3, "filled", 9), stable=False), lost_after_ns=PATIENCE)
    assert kinds(found) == ["FillImported", "StateMoved", "UNSTABLE"]


def test_apply_refuses_a_second_booking_and_an_illegal_edge() -> None:
    made = Execution("e", "ours", 0, 0, 2, (1, 2, 3))
    books = apply(local(tracked()), FillImported(made, late=False))
    with pytest.raises(InvariantError, match="covers units 0 to 2 of order ours, of which 2 of 3 are booked"):
        apply(books, FillImported(made, late=False))
    with pytest.raises(InvariantError, match="covers units 2 to 4"):
        apply(books, FillImported(made._replace(after=2), late=False))
    with pytest.raises(InvariantError, match="cannot go from FILLED to WORKING"):
        apply(local(tracked(state="FILLED")), StateMoved("ours", "FILLED", "WORKING", "", (), 0, ""))


# --- any history, any delivery


class History(NamedTuple):
    """What really happened to one order: units of each execution, their prices, and how it ended."""

    quantity: int
    units: tuple[int, ...]
    prices: tuple[int, ...]
    end: str


@st.composite
def histories(draw: st.DrawFn) -> History:
    quantity = draw(st.integers(1, 8))
    units: list[int] = []
    while sum(units) < quantity and draw(st.booleans()):
        units.append(draw(st.integers(1, quantity - sum(units))))
    prices = draw(st.lists(st.integers(1, 900), min_size=len(units), max_size=len(units)))
    whole = sum(units) == quantity
    end = "filled" if whole else draw(st.sampled_from(["canceled", "expired", "partially_filled"]))
    return History(quantity, tuple(units), tuple(prices), end)


def words_of(history: History, name: str) -> list[BrokerOrder]:
    """Every message the broker could send about it, in the order of the events."""
    found = [seen(0, "new", 0, name=name, quantity=history.quantity, legs=LONG, prices=("1",))]
    filled = spent = 0
    for i, (units, price) in enumerate(zip(history.units, history.prices, strict=True)):
        filled, spent = filled + units, spent + units * price
        status = "filled" if filled == history.quantity else "partially_filled"
        average = str(Decimal(spent) / filled / 100)
        found.append(
            seen(filled, status, i + 1, name=name, quantity=history.quantity, legs=LONG, prices=(average,))
        )
    if history.end in ("canceled", "expired"):
        found.append(found[-1]._replace(status=history.end, updated_at=SENT + 90))
    return found


@settings(max_examples=400, deadline=None)
@given(st.lists(histories(), min_size=1, max_size=3), st.data())
def test_every_fill_once_whatever_is_delivered_in_whatever_order(
    all_: list[History], data: st.DataObject
) -> None:
    names = [f"ours-{i}" for i in range(len(all_))]
    stories = {name: words_of(history, name) for name, history in zip(names, all_, strict=True)}
    books = local(
        *(tracked(LONG, history.quantity, "INTENT", name) for name, history in zip(names, all_, strict=True))
    )
    queue = [(name, word) for name in names for word in stories[name]]
    delivered = data.draw(
        st.lists(st.sampled_from(queue), max_size=15)
    )  # in any order, some twice, some never
    executions: list[Execution] = []
    states: dict[str, list[State]] = {name: ["INTENT"] for name in names}

    def take(corrections: tuple[Any, ...]) -> None:
        nonlocal books
        for correction in corrections:
            assert not isinstance(correction, Blocked | PositionAdopted), correction
            books = apply(books, correction)
            if isinstance(correction, FillImported):
                executions.append(correction.execution)
            if isinstance(correction, StateMoved) and correction.to != correction.state:
                states[correction.order_id].append(correction.to)
        for name, mine in books.orders.items():
            booked = sum(e.units for e in executions if e.order_id == name)
            assert booked == mine.filled <= mine.order.quantity

    for name, word in delivered:
        if data.draw(st.booleans()):
            take(hear(books, TradeUpdate("any", "", word.updated_at, None, None, word)))
        else:  # a query in the middle, whose lists and positions are of one moment
            lists = [
                w for other, w in delivered if other == name and w.updated_at >= books.orders[name].updated_at
            ]
            newest = max([*lists, word], key=lambda w: (w.filled, w.updated_at))
            take(heard(books.orders[name], newest))

    last = {name: story[-1] for name, story in stories.items()}
    held = sum(int(word.filled) for word in last.values())
    picture = remote(*last.values(), positions={call(600).name: held} if held else {})
    take(reconcile(books, picture, lost_after_ns=PATIENCE))
    assert reconcile(books, picture, lost_after_ns=PATIENCE) == ()
    for name, history in zip(names, all_, strict=True):
        mine = books.orders[name]
        assert mine.filled == sum(history.units)
        assert sum(mine.values) == 100 * sum(
            u * p for u, p in zip(history.units, history.prices, strict=True)
        )
        expected = {
            "filled": "FILLED",
            "canceled": "CANCELED",
            "expired": "EXPIRED",
            "partially_filled": "WORKING",
        }
        assert mine.state == expected[history.end]
        assert all(b in LEGAL[a] for a, b in pairwise(states[name]))
    assert len({e.id for e in executions}) == len(executions)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from("ABCD"), st.integers(-5, 5).filter(bool)),
    st.dictionaries(st.sampled_from("ABCD"), st.integers(-5, 5).filter(bool)),
    st.lists(
        st.tuples(st.sampled_from(["ours", "x", "y"]), st.integers(0, 3)),
        max_size=4,
        unique_by=lambda r: r[0],
    ),
    st.sampled_from(["INTENT", "UNKNOWN", "WORKING", "CANCELED", "LOST", "REFUSED"]),
    st.booleans(),
)
def test_applying_corrections_leaves_nothing_to_correct(
    ours: dict[str, int], theirs: dict[str, int], orders: list[tuple[str, int]], state: State, known: bool
) -> None:
    books = local(tracked(state=state), positions={s: Decimal(n) for s, n in ours.items()})
    words = [seen(filled, "filled" if filled == 3 else "new", 5, name=name) for name, filled in orders]
    picture = remote(*words, positions=theirs, missing=() if known else ("ours",))
    books, _ = settle(books, picture)
    again = reconcile(books, picture, lost_after_ns=PATIENCE)
    assert all(isinstance(c, QueryNeeded) for c in again), again
    if not again:
        assert books.positions == theirs
