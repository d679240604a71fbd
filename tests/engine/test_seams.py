"""Where late news, late minutes, restarts and the day's end meet: what is held always gets an end."""

import json
from pathlib import Path
from typing import Any

import pytest

from maxlib.app import ending
from maxlib.core.errors import DataError
from maxlib.engine import trader as engine
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.live import recorded_bars
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.books import FillImported, FillTakenBack
from maxlib.execution.alpaca.orders import Execution, Tracked
from maxlib.journal.store import read
from tests.engine.scripted import LONG, Market, config, strategy
from tests.engine.test_brokerage import Day


class Desk(Day):
    """A trader at a broker, of any structure and any tape."""

    def __init__(self, folder: Path, bars: Any, structure: str = "long", units: int = 1, **plan: Any) -> None:
        self.tape, self.structure, self.plan = bars, structure, plan
        super().__init__(folder, contracts=units)

    def start(self) -> None:
        structures = {} if self.structure == "long" else {"desk": {"structures": (self.structure,)}}
        made = config(risk=self.risk, **structures, **self.plan)
        how = strategy(stop=3.0, tp1=5.0, tp2=10.0)
        self.trader = Trader(self.folder, how, made, run="s", identity={}, simulated=True, fills="broker")
        assert isinstance(self.trader.shell, BrokerShell)
        self.shell = self.trader.shell

    def until(self, minute: str) -> None:
        hour, part = minute.split(":")
        last = (int(hour) * 60 + int(part)) - (9 * 60 + 30)
        for i in range(self.next, last):
            self.trader.bar(self.tape[i : i + 1])
        self.next = last

    def send(self) -> Tracked:
        tracked = self.shell.outbox[0]
        self.trader.sending(tracked.order.id, self.now)
        self.said(self.moved(tracked, "WORKING"))
        return tracked

    def took(self, tracked: Tracked, units: int, *, late: bool = False, after: int = 0) -> FillImported:
        """Units at 0.50 a contract, or 1.00 for what is traded twice."""
        order = tracked.order
        values = tuple(abs(leg.ratio) * units * 5_000 for leg in order.legs)
        return FillImported(
            Execution(f"t{after}{late}", tracked.order.id, self.now, after, units, values), late
        )

    def enter(self, units: int) -> Tracked:
        tracked = self.send()
        self.said(self.took(tracked, units), self.moved(tracked, "FILLED"))
        return tracked

    def answer_everything(self) -> None:
        for _ in range(8):
            while self.shell.outbox:
                tracked = self.send()
                self.said(self.took(tracked, tracked.order.quantity), self.moved(tracked, "FILLED"))
            self.next += 1
            self.trader.bar(self.tape[self.next - 1 : self.next])


def falling() -> Any:
    return Market().flat("09:30", "10:09", 500.0).flat("10:10", "10:59", 495.0).signal("10:00", LONG).bars


@pytest.mark.parametrize("structure", ["vertical", "fly"])
def test_an_exit_of_a_package_that_fills_after_its_cancel_stops_nobody(
    structure: str, tmp_path: Path
) -> None:
    """Its cover waits, and asks for more than is held by then; the next bars must be taken all the same."""
    desk = Desk(tmp_path, falling(), structure, hold_minutes=50)
    desk.until("10:01")
    desk.enter(1)
    desk.until("10:11")
    first = desk.send()
    desk.said(desk.moved(first, "CANCELED"))
    desk.said(desk.took(first, 1, late=True))
    desk.until("10:13")
    desk.restart()
    desk.answer_everything()
    assert desk.shell.machine.positions == {}
    assert len(desk.shell.machine.trades) == 1


def test_an_entry_of_a_fly_that_is_taken_back_in_part_while_it_leaves_stops_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, falling(), "fly", units=2, hold_minutes=50)
    desk.until("10:01")
    entry = desk.enter(2)
    desk.until("10:11")
    desk.send()
    desk.said(FillTakenBack(entry.order.id, 1, tuple(abs(leg.ratio) * 5_000 for leg in entry.order.legs)))
    desk.until("10:14")
    desk.restart()
    position = desk.shell.machine.positions[1]
    assert all(leg.ratio * position.held[leg.contract] > 0 for leg in position.free())


def test_an_exit_that_is_taken_back_and_filled_anew_is_booked_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, falling(), units=4, hold_minutes=50)
    desk.until("10:01")
    desk.enter(4)
    desk.until("10:11")
    leaving = desk.send()
    desk.said(desk.took(leaving, 2), desk.moved(leaving, "CANCELED"))
    desk.said(FillTakenBack(leaving.order.id, 2, (10_000,)))
    desk.restart()
    desk.said(desk.took(leaving, 2, late=True))
    assert sum(desk.shell.machine.positions[1].held.values()) == 2
    assert [int(count) for count in desk.shell.books.positions.values()] == [2]
    assert desk.shell.machine.broker is not None, "a person looks"


@pytest.mark.parametrize("heard", ["before the end", "after the end"])
def test_what_a_broker_did_not_sell_is_settled_at_the_sessions_close_not_at_a_print_after_it(
    heard: str, tmp_path: Path
) -> None:
    """Bought at the money at 500, where the session closes; at 16:04 somebody pays 507."""
    market = Market().flat("09:30", "15:59", 500.0).flat("16:00", "16:04", 507.0).signal("15:40", LONG)
    desk = Desk(tmp_path, market.bars, hold_minutes=10)
    desk.until("15:41")
    desk.enter(1)
    desk.until("15:53")
    leaving = desk.send()
    desk.until("16:05")
    if heard == "after the end":
        desk.trader.finish()
        assert not desk.trader.finished, "somebody has to hear what became of it"
    desk.said(desk.moved(leaving, "CANCELED"))
    desk.trader.finish()
    assert desk.trader.finished
    (spot,) = [body["spot"] for body in desk.entries("expired")]
    assert spot == 500.0
    assert desk.shell.machine.positions == {}


def test_what_nobody_heard_of_again_is_ended_by_a_person_who_looked(tmp_path: Path) -> None:
    """The trader died while its exit was under way, and its venue serves no past day."""
    desk = Desk(tmp_path, falling(), hold_minutes=50)
    desk.until("10:01")
    desk.enter(1)
    desk.until("10:11")
    desk.send()
    ((leaving,),) = [list(p.pending.values()) for p in desk.shell.machine.positions.values()]
    with pytest.raises(DataError, match=f"nobody heard what became of .*{leaving.id}.*--unfilled"):
        ending._answered(desk.trader, tmp_path, unfilled=False)
    ending._answered(desk.trader, tmp_path, unfilled=True)
    desk.trader.finish(507.0)
    assert desk.trader.finished
    assert desk.shell.machine.positions == {}
    assert [body["spot"] for body in desk.entries("expired")] == [507.0]
    desk.restart()


def own(folder: Path, bars: Any, structure: str = "long", **plan: Any) -> Trader:
    structures = {} if structure == "long" else {"desk": {"structures": (structure,)}}
    made = config(**structures, **plan)
    how = strategy(stop=3.0, tp1=5.0, tp2=10.0)
    return Trader(folder, how, made, run="o", identity={}, simulated=True)


@pytest.mark.parametrize("structure", ["long", "vertical", "fly"])
def test_everything_that_a_late_minute_makes_leave_leaves_at_the_next_price(
    structure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First target and stop fall into one minute known late; a restart from a snapshot changes nothing."""
    monkeypatch.setattr(engine, "SNAPSHOT_BARS", 1)
    market = Market().flat("09:30", "09:59", 500.0).signal("09:40", LONG)
    bars = market.bar("10:00", 500.0, 505.5, 480.0, 490.0).flat("10:01", "10:30", 490.0).bars
    one = own(tmp_path, bars, structure, hold_minutes=60, tp1_fraction=0.5)
    for i in range(31):
        one.bar(bars[i : i + 1], late=i == 30)
    state = one.state_hash
    one.close()
    one = own(tmp_path, bars, structure, hold_minutes=60, tp1_fraction=0.5)
    assert one.state_hash == state
    for i in range(31, 60):
        one.bar(bars[i : i + 1])
    entries = read(tmp_path / "journal.sqlite")
    fills = [json.loads(e.body)["spot"] for e in entries if e.kind == "fill"]
    assert fills[0] == 500.0
    assert len(fills) >= 2
    assert set(fills[1:]) == {490.0}
    state = one.state_hash
    one.close()
    for file in (tmp_path / "snapshots").iterdir():
        file.unlink()
    alone = own(tmp_path, bars, structure, hold_minutes=60, tp1_fraction=0.5)
    assert alone.state_hash == state
    alone.close()


def test_a_snapshot_of_a_settled_position_whose_exit_waited_can_be_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every minute from 15:50 on is known late, so the stop waits; the close settles the position."""
    monkeypatch.setattr(engine, "SNAPSHOT_BARS", 1)
    market = Market().flat("09:30", "15:49", 500.0).flat("15:50", "16:10", 490.0).signal("15:40", LONG)
    bars, plan = market.bars, {"hold_minutes": 300, "force_close_minutes": 1}
    one = own(tmp_path, bars, **plan)
    for i in range(len(bars)):
        one.bar(bars[i : i + 1], late=i >= 380)
    assert one.shell.machine.positions == {}
    state = one.state_hash
    one.close()
    again = own(tmp_path, bars, **plan)
    assert again.state_hash == state
    again.close()


def test_after_an_entry_that_was_taken_back_whole_the_days_profit_is_known_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, falling(), units=4, hold_minutes=50)
    desk.until("10:01")
    entry = desk.enter(4)
    desk.until("10:03")
    desk.said(FillTakenBack(entry.order.id, 4, (20_000,)))
    desk.until("10:05")
    shown = recorded_bars(desk.trader.journal.entries)
    assert shown[-3].pnl_cents is None or shown[-3].pnl_cents == 0
    assert shown[-1].pnl_cents == 0
