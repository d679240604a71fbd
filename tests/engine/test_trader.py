"""The trader over a durable journal: a restart changes nothing, and nothing is acted on unwritten."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from maxlib.core.errors import DataError, InvariantError, MaxTraderError
from maxlib.engine.backtest import backtest
from maxlib.engine.trader import INPUTS, Trader
from maxlib.journal.chain import Entry, Journal
from maxlib.journal.errors import StopTradingError
from maxlib.journal.store import read
from maxlib.strategies.signal import DISTANCE
from tests.chaos.kill_sweep import RUN, day, live, settings, trader
from tests.engine.scripted import LONG, Market, config, strategy

BARS = day()


def decisions(entries: list[Entry]) -> list[tuple[int, str, str]]:
    """What the trader decided and what came of it, without its inputs."""
    return [(e.ts, e.kind, e.body) for e in entries if e.kind not in INPUTS and e.kind != "start"]


def entries(folder: Path) -> list[Entry]:
    return read(folder / "journal.sqlite")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    folder = tmp_path_factory.mktemp("whole")
    live(folder, BARS)
    return entries(folder)


def test_a_day_through_the_trader_decides_what_the_backtest_decides(whole: list[Entry]) -> None:
    how = strategy(stop=1.5, tp1=1.2, tp2=2.4, basis=DISTANCE)
    run = backtest(BARS, how, settings(), RUN, journal=Journal({"simulated": True}))
    assert decisions(whole) == decisions(run.journal.entries)
    assert len(run.trades) >= 3
    assert {"bar", "start", "order", "fill", "closed", "denied", "selected"} <= {e.kind for e in whole}


@pytest.mark.parametrize("every", [1, 7])
def test_a_restart_after_every_few_bars_changes_nothing(
    every: int, whole: list[Entry], tmp_path: Path
) -> None:
    for first in range(0, len(BARS), every):
        one = trader(tmp_path)
        for i in range(first, min(first + every, len(BARS))):
            one.bar(BARS[i : i + 1])
        state, bar = one.state_hash, one.last_bar
        one.close()
        again = trader(tmp_path)
        assert (again.state_hash, again.last_bar) == (state, bar)
        again.close()
    one = trader(tmp_path)
    one.finish()
    one.close()
    assert entries(tmp_path) == whole


def test_history_warms_the_strategy_and_is_not_needed_again(tmp_path: Path) -> None:
    how = strategy(stop=1.5, tp1=1.2, tp2=2.4, basis=DISTANCE)
    one = Trader(tmp_path, how, settings(), run=RUN, identity={}, simulated=True, history=BARS[:30])
    for i in range(30, 60):
        one.bar(BARS[i : i + 1])
    state = one.state_hash
    one.close()
    again = Trader(tmp_path, how, settings(), run=RUN, identity={}, simulated=True)
    assert again.state_hash == state
    again.close()


def test_a_halt_survives_a_restart_and_refuses_entries_until_resumed(tmp_path: Path) -> None:
    market = Market().flat("09:30", "10:30", 500.0).signal("09:40", LONG).signal("10:10", LONG)
    bars = market.bars

    def start() -> Trader:
        made = config(risk={"contracts": 1}, hold_minutes=5)
        return Trader(tmp_path, strategy(), made, run=RUN, identity={}, simulated=True)

    one = start()
    one.command("halt", int(bars["ts"][0]), "said the user")
    for i in range(15):
        one.bar(bars[i : i + 1])
    one.close()
    one = start()
    assert one.shell.machine.halted
    assert one.shell.machine.denials == {"HALTED": 1}
    one.command("resume", int(bars["ts"][15]))
    for i in range(15, len(bars)):
        one.bar(bars[i : i + 1])
    assert one.shell.machine.denials == {"HALTED": 1}
    assert len(one.shell.machine.trades) == 1
    one.close()


def test_a_halt_lets_what_is_open_leave_as_planned(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:30", 500.0).signal("09:40", LONG).bars
    one = Trader(
        tmp_path,
        strategy(),
        config(risk={"contracts": 1}, hold_minutes=5),
        run=RUN,
        identity={},
        simulated=True,
    )
    for i in range(len(bars)):
        one.bar(bars[i : i + 1])
        if i == 12:
            assert one.shell.machine.positions
            one.command("halt", int(bars["ts"][i]))
    assert not one.shell.machine.positions
    assert one.shell.machine.trades[0].reason == "time"
    one.close()


def test_another_configuration_is_refused_with_both_named(tmp_path: Path) -> None:
    one = trader(tmp_path)
    one.close()
    with pytest.raises(DataError, match="the journal was begun with config_hash"):
        Trader(tmp_path, strategy(), config(), run=RUN, identity={"label": "SIMULATED"}, simulated=True)
    with pytest.raises(DataError, match="begun with label 'SIMULATED', not 'PAPER'"):
        Trader(tmp_path, strategy(), settings(), run=RUN, identity={"label": "PAPER"}, simulated=True)


def test_a_changed_program_is_found_at_the_first_entry_that_differs(tmp_path: Path) -> None:
    """The strategy now has another stop: the same inputs give another signal entry."""
    live(tmp_path, BARS)
    shutil.rmtree(tmp_path / "snapshots")  # else only what came after the newest is run through again
    other = strategy(stop=9.0, tp1=1.2, tp2=2.4, basis=DISTANCE)
    with pytest.raises(InvariantError, match=r"journal entry \d+ is signal .* running it again gives signal"):
        Trader(tmp_path, other, settings(), run=RUN, identity={"label": "SIMULATED"}, simulated=True)


def test_an_edited_journal_is_refused(tmp_path: Path) -> None:
    live(tmp_path, BARS)
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute(
            "UPDATE journal SET body = replace(body, '\"quantity\":3', '\"quantity\":2') WHERE kind = 'fill'"
        )
    db.close()
    with pytest.raises(MaxTraderError, match="does not follow"):
        trader(tmp_path)


def test_bars_come_in_order_or_not_at_all(tmp_path: Path) -> None:
    one = trader(tmp_path)
    one.bar(BARS[1:2])
    before = len(entries(tmp_path))
    for i in (1, 0):
        with pytest.raises(DataError, match="comes after the bar ending at"):
            one.bar(BARS[i : i + 1])
    assert len(entries(tmp_path)) == before
    one.close()


def test_an_order_is_on_disk_before_the_broker_sees_it(tmp_path: Path, monkeypatch: Any) -> None:
    one = trader(tmp_path)
    broker = one.shell.broker
    seen = []
    execute = broker.execute

    def watched(order: Any, *more: Any) -> Any:
        written = {json.loads(e.body).get("order") for e in entries(tmp_path) if e.kind == "order"}
        seen.append(order.id in written)
        return execute(order, *more)

    monkeypatch.setattr(broker, "execute", watched)
    for i in range(len(BARS)):
        one.bar(BARS[i : i + 1])
    assert len(seen) > 5
    assert all(seen)
    one.close()


def test_a_recorded_answer_is_taken_and_the_broker_is_not_asked_again(
    tmp_path: Path, monkeypatch: Any, whole: list[Entry]
) -> None:
    live(tmp_path, BARS)
    from maxlib.execution.broker import SimulatedBroker

    monkeypatch.setattr(SimulatedBroker, "execute", lambda *_: pytest.fail("an answer stood in the journal"))
    one = trader(tmp_path)
    assert one.journal.entries == whole
    one.close()


@pytest.mark.parametrize("sent", [False, True])
def test_after_an_input_that_failed_half_way_nothing_is_recorded_and_a_start_goes_on(
    sent: bool, tmp_path: Path, monkeypatch: Any, whole: list[Entry]
) -> None:
    """Before anything of the bar is durable, and when it is, since an order goes out."""

    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    one = trader(tmp_path)
    for i in range(5):
        one.bar(BARS[i : i + 1])
    reached = 5
    with monkeypatch.context() as patch:
        patch.setattr(one.shell.broker if sent else one._stepper, "execute" if sent else "step", fails)
        with pytest.raises(MemoryError):  # noqa: PT012
            for reached in range(5, len(BARS)):
                one.bar(BARS[reached : reached + 1])
    recorded = entries(tmp_path)
    assert recorded[-1].ts == BARS["ts"][reached if sent else reached - 1]
    assert one.journal.entries == recorded
    for _ in range(2):
        with pytest.raises(StopTradingError, match=r"what follows from it failed \(MemoryError\)"):
            one.command("halt", 1)  # another task of the loop that is being ended
    one.close()
    assert entries(tmp_path) == recorded
    live(tmp_path, BARS)
    assert entries(tmp_path) == whole
