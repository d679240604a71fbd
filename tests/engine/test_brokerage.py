"""The shell over a broker: the machine hears of an order when it has ended, and nothing said is lost."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.occasions import Occasions
from maxlib.core.errors import InvariantError
from maxlib.engine.brokerage import BrokerShell, correction_in, correction_out
from maxlib.engine.projection import Projection
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.books import (
    Blocked,
    Correction,
    ExternalTagged,
    FillImported,
    FillTakenBack,
    PositionAdopted,
    StateMoved,
)
from maxlib.execution.alpaca.orders import Execution, State, Tracked
from maxlib.journal.store import read
from maxlib.ops.events import Event
from maxlib.options.desk import Market as Moment
from maxlib.risk.sizing import Denial
from tests.engine.scripted import LONG, Market, config, strategy

MARKET = Market().flat("09:30", "11:00", 500.0).signal("09:40", LONG).signal("10:20", LONG)
BARS = MARKET.bars
SECOND = 1_000_000_000


class Day:
    """A trader whose broker is the test."""

    def __init__(self, folder: Path, **risk: Any) -> None:
        self.folder, self.risk = folder, {"contracts": 4, **risk}
        self.next = 0
        self.start()

    def start(self) -> None:
        made = config(risk=self.risk, hold_minutes=20)
        how = strategy(stop=1.5, tp1=50.0, tp2=60.0)
        self.trader = Trader(self.folder, how, made, run="b", identity={}, simulated=True, fills="broker")
        assert isinstance(self.trader.shell, BrokerShell)
        self.shell = self.trader.shell

    def restart(self) -> None:
        before = self.trader.state_hash
        self.trader.close()
        self.start()
        assert self.trader.state_hash == before

    def until(self, minute: str) -> None:
        """Bars up to the one that ends at a minute of the morning."""
        hour, part = minute.split(":")
        last = (int(hour) * 60 + int(part)) - (9 * 60 + 30)
        for i in range(self.next, last):
            self.trader.bar(BARS[i : i + 1])
        self.next = last

    @property
    def now(self) -> int:
        assert self.trader.last_bar is not None
        return self.trader.last_bar.ts + 2 * SECOND

    def said(self, *corrections: Correction) -> None:
        for correction in corrections:
            self.trader.heard(correction, self.now)

    def moved(self, tracked: Tracked, to: State) -> StateMoved:
        state = self.shell.books.orders[tracked.order.id].state
        return StateMoved(tracked.order.id, state, to, "v1", (), self.now, to.lower())

    def filled(self, tracked: Tracked, units: int, values: int, after: int = 0, *, late: bool = False) -> Any:
        made = Execution(f"x{after}", tracked.order.id, self.now, after, units, (values,))
        return FillImported(made, late)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(e.body) for e in read(self.folder / "journal.sqlite") if e.kind == kind]


@pytest.fixture
def day(tmp_path: Path) -> Day:
    made = Day(tmp_path)
    made.until("09:41")
    return made


def test_a_signal_makes_an_intent_that_costs_at_most_what_was_reckoned_and_fills_nothing(day: Day) -> None:
    (tracked,) = day.shell.outbox
    position = day.shell.machine.positions[1]
    assert (tracked.state, tracked.order.quantity, tracked.order.purpose) == ("INTENT", 4, "open")
    # The size was reckoned with the modelled ask and 65 cents of commission a contract.
    assert tracked.limit_cents is not None
    assert position.asked_cents == 4 * (tracked.limit_cents * 100 + 65)
    day.until("09:50")
    assert (day.entries("fill"), position.entry, day.shell.machine.ledger.held) == ([], None, {})
    assert [t.order.id for t in day.shell.outbox] == [tracked.order.id], "nobody sent it"


def test_units_at_several_prices_are_booked_to_the_cent_once_the_order_has_ended(day: Day) -> None:
    (tracked,) = day.shell.outbox
    start = day.shell.machine.ledger.cash_cents
    # 1 unit at 1.00 and 3 at 1.01: 100.00 $ and 303.00 $, which four units cannot share evenly.
    day.said(day.moved(tracked, "WORKING"), day.filled(tracked, 1, 10_000))
    assert day.entries("fill") == [], "it may still fill"
    assert day.shell.books.positions == {tracked.order.contract.name: Decimal(1)}
    day.said(day.filled(tracked, 3, 30_300, after=1), day.moved(tracked, "FILLED"))
    position = day.shell.machine.positions[1]
    assert position.quantity == 4
    assert position.paid_cents == 40_300
    assert day.shell.machine.ledger.cash_cents == start - 40_300 - 4 * 65
    assert position.cost_cents == 403
    assert day.shell.machine.equity_cents == start - 4 * 65
    assert sorted((f["quantity"], f["price_cents"]) for f in day.entries("fill")) == [(1, 100), (3, 101)]
    bar, sigma = day.trader.last_bar, day.trader.sigma
    assert bar is not None
    market = Moment(bar.ts, bar.close, bar.minutes_left, sigma, bar.session_minutes)
    quote = day.shell.machine.desk.mark(tracked.order.contract, market)
    assert quote is not None
    left = day.shell.machine.ledger.cash_cents + 4 * (quote.bid_cents or 0) * 100 - 4 * 65
    assert Projection(day.shell).pnl_cents(bar, sigma) == left - start, "what selling it now would leave"
    day.restart()
    assert day.shell.machine.positions[1].paid_cents == 40_300


def test_a_part_that_filled_before_a_cancel_is_the_position(day: Day) -> None:
    (tracked,) = day.shell.outbox
    day.said(day.moved(tracked, "WORKING"), day.filled(tracked, 1, 10_000))
    day.said(day.moved(tracked, "CANCELED"))
    assert day.shell.machine.positions[1].quantity == 1
    assert sum(day.shell.machine.ledger.held.values()) == 1


@pytest.mark.parametrize("end", ["REFUSED", "LOST", "REJECTED", "EXPIRED"])
def test_an_entry_that_never_filled_is_dropped(day: Day, end: State) -> None:
    (tracked,) = day.shell.outbox
    day.said(day.moved(tracked, end))
    assert (day.shell.machine.positions, day.shell.outbox) == ({}, [])
    assert [r["code"] for r in day.entries("rejected")] == [end]


def entered(day: Day) -> Tracked:
    (tracked,) = day.shell.outbox
    day.said(day.filled(tracked, 4, 40_000), day.moved(tracked, "FILLED"))
    return tracked


def test_an_exit_that_the_broker_did_not_do_is_asked_for_again_at_the_next_bar_until_it_is(day: Day) -> None:
    entered(day)
    day.until("10:03")
    (first,) = day.shell.outbox
    assert (first.order.purpose, first.limit_cents) == ("time", None)
    day.said(day.moved(first, "REJECTED"))
    assert day.shell.outbox == [], "not in the same breath"
    day.until("10:04")
    (second,) = day.shell.outbox
    assert second.order.id != first.order.id
    # Half of it fills before it is canceled: what is left is asked for at once.
    day.said(day.filled(second, 2, 18_000), day.moved(second, "CANCELED"))
    (third,) = day.shell.outbox
    assert third.order.quantity == 2
    day.said(day.filled(third, 2, 18_000), day.moved(third, "FILLED"))
    (trade,) = day.shell.machine.trades
    # Bought at 1.00, sold at 0.90: 4 × 10 $ lost, and 8 commissions of 65 cents.
    assert trade.pnl_cents == -4_000 - 8 * 65
    assert day.shell.machine.ledger.held == {}


def test_a_fill_of_an_order_that_had_ended_is_kept_and_bars_entries_until_somebody_looked(day: Day) -> None:
    (tracked,) = day.shell.outbox
    day.said(day.moved(tracked, "REFUSED"))
    day.said(day.filled(tracked, 4, 40_000, late=True), day.moved(tracked, "FILLED"))
    assert day.entries("stray") == [
        {"order": tracked.order.id, "trade": 1, "units": 4, "simulated": True},
    ]
    assert day.shell.books.positions == {tracked.order.contract.name: Decimal(4)}
    assert day.shell.machine.ledger.held == {}, "no trade of ours holds them"
    day.restart()
    day.until("10:21")
    assert [(d["code"], d["limit"], d["actual"]) for d in day.entries("denied")] == [("BROKER_DIFFERS", 0, 1)]
    day.trader.command("clear", day.now, "sold by hand")
    assert day.shell.machine.broker is None


def leaving(day: Day) -> Tracked:
    """The exit of four units bought at 1.00, which the broker canceled."""
    entered(day)
    day.until("10:03")
    (first,) = day.shell.outbox
    day.trader.sending(first.order.id, day.now)
    day.said(day.moved(first, "CANCELED"))
    return first


@pytest.mark.parametrize("decided", [False, True], ids=["before its repeat", "the repeat waits to be sent"])
def test_an_exit_that_fills_after_its_cancel_leaves_its_position_and_is_not_repeated(
    day: Day, decided: bool
) -> None:
    start = day.shell.machine.ledger.cash_cents
    first = leaving(day)
    if decided:
        day.until("10:04")
        assert len(day.shell.outbox) == 1
    day.said(day.filled(first, 4, 36_000, late=True))
    machine = day.shell.machine
    assert (machine.positions, machine.ledger.held, day.shell.books.positions) == ({}, {}, {})
    assert machine.ledger.cash_cents == start - 40_000 + 36_000 - 8 * 65
    assert machine.trades[0].pnl_cents == -4_000 - 8 * 65
    assert (day.shell.outbox, day.entries("stray"), machine.broker) == ([], [], None)
    day.restart()
    day.until("10:30")
    assert [t.order.purpose for t in day.shell.outbox] == ["open"], "the next signal's, and nothing else"


@pytest.mark.parametrize("decided", [False, True], ids=["before its repeat", "the repeat waits to be sent"])
def test_a_part_that_fills_after_the_cancel_is_taken_off_what_is_left_to_do(day: Day, decided: bool) -> None:
    first = leaving(day)
    if decided:
        day.until("10:04")
    day.said(day.filled(first, 3, 27_000, late=True))
    day.restart()
    day.until("10:05")
    (last,) = day.shell.outbox
    assert (last.order.side, last.order.quantity) == ("sell", 1)
    day.said(day.filled(last, 1, 9_000), day.moved(last, "FILLED"))
    assert day.shell.machine.trades[0].pnl_cents == -4_000 - 8 * 65
    assert (day.shell.machine.ledger.held, day.shell.books.positions) == ({}, {})


@pytest.mark.parametrize(("units", "then"), [(4, "CANCELED"), (3, "CANCELED"), (3, "FILLED")])
def test_a_repeat_that_is_out_already_is_to_be_taken_back_and_bars_entries(
    day: Day, units: int, then: State
) -> None:
    first = leaving(day)
    day.until("10:04")
    (repeat,) = day.shell.outbox
    day.trader.sending(repeat.order.id, day.now)
    day.said(day.moved(repeat, "WORKING"))
    assert not day.shell.surplus(repeat)
    day.said(day.filled(first, units, 9_000 * units, late=True))
    machine = day.shell.machine
    assert sum(machine.ledger.held.values()) == 4 - units
    assert day.shell.surplus(repeat)
    assert machine.broker == Denial("BROKER_DIFFERS", 0, 1)
    if then == "FILLED":  # all four again, of which one was there: the account is short of three
        day.said(day.filled(repeat, 4, 36_000))
    day.said(day.moved(repeat, then))
    day.until("10:06")
    asked = [t.order.quantity for t in day.shell.outbox]
    assert asked == ([1] if (units, then) == (3, "CANCELED") else [])
    assert [stray["units"] for stray in day.entries("stray")] == ([3] if then == "FILLED" else [])
    assert sum(machine.ledger.held.values()) == (1 if asked else 0)
    day.restart()


@pytest.mark.parametrize("asked", [False, True], ids=["while it is held", "while its exit waits to be sent"])
def test_a_fill_that_is_taken_back_makes_the_position_smaller_and_exits_ask_for_no_more(
    day: Day, asked: bool
) -> None:
    start = day.shell.machine.ledger.cash_cents
    tracked = entered(day)
    day.until("10:03" if asked else "09:50")
    assert len(day.shell.outbox) == asked
    day.said(FillTakenBack(tracked.order.id, 1, (10_000,)))
    machine = day.shell.machine
    assert (machine.positions[1].quantity, sum(machine.ledger.held.values())) == (3, 3)
    assert machine.positions[1].paid_cents == 30_000
    assert machine.ledger.cash_cents == start - 30_000 - 4 * 65, "commission stays paid"
    told = day.entries("fill")[-1]
    assert (told["side"], told["quantity"], told["price_cents"], told["undone"]) == ("sell", 1, 100, True)
    shown = Projection(day.shell)
    shown.read()
    name = tracked.order.contract.name
    assert (shown.marks[-1].kind, shown.marks[-1].text) == ("exit", f"1 × {name} taken back by the broker")
    told_of = Occasions(100).of(day.trader.journal.entries)
    assert [one.event for one in told_of].count(Event.ENTRY) == 1, "it is no entry"
    day.restart()
    day.until("10:05")
    (last,) = day.shell.outbox
    assert last.order.quantity == 3
    day.said(day.filled(last, 3, 27_000), day.moved(last, "FILLED"))
    assert day.shell.machine.trades[0].pnl_cents == -3_000 - 7 * 65
    assert (day.shell.machine.ledger.held, day.shell.books.positions) == ({}, {})


def test_an_entry_that_is_taken_back_whole_was_no_trade(day: Day) -> None:
    start = day.shell.machine.ledger.cash_cents
    tracked = entered(day)
    day.said(FillTakenBack(tracked.order.id, 4, (40_000,)))
    machine = day.shell.machine
    assert (machine.positions, machine.trades, machine.ledger.held) == ({}, [], {})
    assert machine.ledger.cash_cents == start - 4 * 65
    day.restart()


def test_what_a_person_cleared_is_remembered_over_a_restart(day: Day) -> None:
    said = Blocked("OVERFILL", "order o: the broker filled 5 units of 4")
    day.said(said)
    day.trader.command("clear", day.now, "sold by hand")
    day.restart()
    assert day.shell.machine.broker is None
    assert day.shell.books.news([said]) == ()
    day.until("10:10")  # past a snapshot
    day.restart()
    assert day.shell.books.news([said]) == ()


def test_a_broker_that_cannot_be_heard_lets_nobody_enter_and_a_restart_remembers_it(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.trader.connection(Denial("BROKER_DOWN", 0.0, 3.5), 1, "down")
    day.restart()
    day.until("09:41")
    assert [(d["code"], d["actual"]) for d in day.entries("denied")] == [("BROKER_DOWN", 3.5)]
    day.trader.connection(None, day.now)
    day.until("10:21")
    assert len(day.shell.outbox) == 1


def test_what_was_sent_before_a_kill_is_not_sent_again_and_what_was_not_is(day: Day) -> None:
    (tracked,) = day.shell.outbox
    day.restart()
    assert [t.order.id for t in day.shell.outbox] == [tracked.order.id]
    day.trader.sending(tracked.order.id, day.now)
    assert (day.shell.outbox, day.shell.books.orders[tracked.order.id].sent_at) == ([], day.now)
    day.restart()
    assert day.shell.outbox == []


def test_after_a_restart_from_a_snapshot_the_outbox_is_still_oldest_first(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:30", 500.0)
    for minute in ("09:40", "09:41", "09:42", "09:43", "09:44"):
        bars = bars.signal(minute, LONG)
    made = config(risk={"contracts": 1, "max_positions": 5})

    def outbox(first: int, last: int) -> list[int]:
        one = Trader(tmp_path, strategy(), made, run="b", identity={}, simulated=True, fills="broker")
        for i in range(first, last):
            one.bar(bars.bars[i : i + 1])
        if not last:
            assert one.recovery.snapshot > 0
        one.close()
        assert isinstance(one.shell, BrokerShell)
        return [tracked.order.trade for tracked in one.shell.outbox]

    assert outbox(0, 30) == [1, 2, 3, 4, 5]
    assert outbox(0, 0) == [1, 2, 3, 4, 5]


def test_snapshot_and_journal_alone_come_to_the_same_state(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.until("09:41")
    entered(day)
    day.said(ExternalTagged("e1", "", "1 × QQQ"), Blocked("VANISHED", "gone"), Blocked("UNSTABLE", "moving"))
    day.until("10:10")  # past a snapshot
    state = day.trader.state_hash
    day.trader.close()
    for snapshot in (tmp_path / "snapshots").iterdir():
        snapshot.unlink()
    day.start()
    assert day.trader.recovery.snapshot == 0
    assert day.trader.state_hash == state


def test_the_day_ends_with_what_is_open_still_open(day: Day) -> None:
    entered(day)
    day.until("09:50")
    day.trader.finish()
    assert sum(day.shell.machine.ledger.held.values()) == 4
    assert day.entries("fill")[-1]["side"] == "buy"


EXECUTION = Execution("b:0-2", "o", 5, 0, 2, (100, 200), "v")
SAID: list[Correction] = [
    FillImported(EXECUTION, late=True),
    FillTakenBack("o", 2, (100, 200)),
    StateMoved("o", "INTENT", "WORKING", "b", ("l1", "l2"), 7, "new"),
    ExternalTagged("b", "c", "1 × +1 QQQ"),
    PositionAdopted("QQQ251120C00600000", Decimal(-2), Decimal("0.5")),
    Blocked("OVERFILL", "too much"),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_a_correction_survives_the_journal(said: Correction) -> None:
    assert correction_in(json.loads(json.dumps(correction_out(said)))) == said


def test_a_trader_that_fills_its_own_orders_hears_no_broker(tmp_path: Path) -> None:
    one = Trader(tmp_path, strategy(), config(), run="b", identity={}, simulated=True)
    with pytest.raises(InvariantError, match="no broker"):
        one.connection(None, 1)
    one.close()
