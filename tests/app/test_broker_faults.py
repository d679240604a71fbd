"""The paper trader at a broker that does each of the fault matrix's things to it, over real sockets.

The account is the fake of Alpaca's. It outlives the trader and is compared with journal, books and ledger at
the end of the day: every fill once, to the cent.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.at_broker import AtBroker
from maxlib.app.courier import Courier
from maxlib.app.paper import PaperTrader
from maxlib.engine.brokerage import BrokerShell
from maxlib.execution.alpaca.books import FillImported
from maxlib.execution.alpaca.fake_faults import FaultRates, Faults
from maxlib.execution.alpaca.fake_venue import Denied, FakeVenue
from maxlib.journal.store import read
from maxlib.market.calendar import ordinal
from maxlib.market.contract import Contract
from maxlib.ops.killswitch import KillSwitch
from maxlib.research import scenario
from tests.app.test_brokers import EARLY, agreed, at, bodies, kept, traded
from tests.app.test_paper import busiest
from tests.chaos.kill_sweep import scratch

ALWAYS = 1.0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: what is tested is not the disk."""
    with scratch() as made:
        yield made


@pytest.fixture(scope="module")
def chosen() -> tuple[scenario.Scenario, str]:
    made, day, _ = busiest("demo_normal", EARLY)
    return made, day


@pytest.fixture
def submits(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each order arrived at the venue, by our id."""
    counted: Counter[str] = Counter()
    real = FakeVenue.submit

    def submit(self: FakeVenue, body: Mapping[str, Any]) -> Any:
        counted[body["client_order_id"]] += 1
        return real(self, body)

    monkeypatch.setattr(FakeVenue, "submit", submit)
    return counted


def books(trader: PaperTrader) -> Any:
    assert isinstance(trader.trader.shell, BrokerShell)
    return trader.trader.shell.books


@pytest.mark.parametrize(
    ("row", "rates"),
    [
        (52, {"duplicate_event": ALWAYS}),
        (53, {"swap_events": ALWAYS}),
        (54, {"partial": ALWAYS}),
        (56, {"partial": ALWAYS, "cancel_race": ALWAYS}),
    ],
)
def test_rows_52_to_56_every_fill_is_booked_once_and_no_order_is_sent_twice(
    row: int,
    rates: dict[str, float],
    chosen: tuple[scenario.Scenario, str],
    tmp_path: Path,
    submits: Counter[str],
) -> None:
    faults = Faults(FaultRates(**rates), seed=row)
    account = kept(chosen, faults)
    try:
        trader = traded(chosen, tmp_path, at(account))
        assert all(faults.counts[name] >= 1 for name in rates), faults.counts
        assert set(submits.values()) == {1}
        assert len(bodies(tmp_path, "fill")) >= 4
        agreed(trader, account)
        parts = [t for t in books(trader).orders.values() if 0 < t.filled < t.order.quantity]
        if row == 54:
            assert any(t.state == "CANCELED" for t in parts), "a part was filled, and the rest was canceled"
    finally:
        account.end()


@pytest.mark.parametrize("fault", ["ack_lost", "cut", "server_error_after"])
def test_rows_51_and_57_an_order_whose_answer_is_lost_is_asked_for_and_never_sent_again(
    fault: Any,
    chosen: tuple[scenario.Scenario, str],
    tmp_path: Path,
    submits: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = Faults()
    account = kept(chosen, faults)
    counted = FakeVenue.submit

    def submit(self: FakeVenue, body: Mapping[str, Any]) -> Any:
        faults.ask(fault)  # the answer to this very request
        return counted(self, body)

    monkeypatch.setattr(FakeVenue, "submit", submit)
    try:
        trader = traded(chosen, tmp_path, at(account))
        assert faults.counts[fault] == len(submits) >= 4
        assert set(submits.values()) == {1}
        assert len(bodies(tmp_path, "fill")) >= 4
        agreed(trader, account)
    finally:
        account.end()


def test_row_55_an_order_that_is_refused_changes_no_position(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeVenue, "_admit", lambda self, order: Denied(403, 40310000, "not today"))
    account = kept(chosen)
    try:
        trader = traded(chosen, tmp_path, at(account))
        rejected = [body["code"] for _, body in bodies(tmp_path, "rejected")]
        assert rejected
        assert len(rejected) == len(bodies(tmp_path, "order"))
        assert not bodies(tmp_path, "fill")
        assert not trader.trader.shell.machine.positions
        agreed(trader, account)
    finally:
        account.end()


def test_row_58_a_position_that_nobody_knows_bars_entries_until_a_person_has_looked(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path
) -> None:
    account = kept(chosen)
    foreign = Contract("QQQ", ordinal(dt.date.fromisoformat(chosen[1])), "C", 50_000)
    account.server.api.venue._hold(foreign, 2, 100)
    try:
        trader = traded(chosen, tmp_path, at(account))
    finally:
        account.end()
    said = [body["what"] for _, body in bodies(tmp_path, "broker")]
    assert said.count("PositionAdopted") == 1
    assert "Blocked" in said
    signals = len(bodies(tmp_path, "signal"))
    assert [body["code"] for _, body in bodies(tmp_path, "denied")] == ["BROKER_DIFFERS"] * signals
    assert signals > 0
    assert trader.session.status(0).differences
    assert books(trader).positions[foreign.name] == 2


def test_row_59_what_filled_while_the_trader_was_down_is_booked_once(
    chosen: tuple[scenario.Scenario, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    submits: Counter[str],
) -> None:
    account = kept(chosen)
    real = AtBroker.heard

    def die(self: AtBroker, said: Any) -> None:
        if isinstance(said, FillImported):
            raise KeyError("down")
        real(self, said)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(AtBroker, "heard", die)
            with pytest.raises(KeyError, match="down"):
                traded(chosen, tmp_path, at(account))
        assert account.server.api.venue.fills
        assert not bodies(tmp_path, "fill")
        agreed(traded(chosen, tmp_path, at(account)), account)
        assert set(submits.values()) == {1}
    finally:
        account.end()


def test_row_60_an_order_that_is_not_ours_is_tagged_once(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = kept(chosen)
    venue = account.server.api.venue
    real = FakeVenue.submit

    def submit(self: FakeVenue, body: Mapping[str, Any]) -> Any:
        if "by-hand" not in venue._by_client:
            real(self, {**body, "client_order_id": "by-hand", "limit_price": "0.01", "type": "limit"})
        return real(self, body)

    monkeypatch.setattr(FakeVenue, "submit", submit)
    try:
        trader = traded(chosen, tmp_path, at(account))
    finally:
        account.end()
    tagged = [body for _, body in bodies(tmp_path, "broker") if body["what"] == "ExternalTagged"]
    assert len(tagged) == 1
    assert trader.trader.finished


def test_row_62_without_buying_power_nothing_is_sent(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path, submits: Counter[str]
) -> None:
    account = kept(chosen)
    account.server.api.venue.cash_cents = 100
    try:
        traded(chosen, tmp_path, at(account))
    finally:
        account.end()
    assert not submits
    refused = [json.loads(e.body) for e in read(tmp_path / "journal.sqlite") if e.kind == "rejected"]
    assert refused
    assert len(refused) == len(bodies(tmp_path, "order"))


@pytest.mark.parametrize("moment", ["before", "asked"])
def test_row_68_a_kill_switch_thrown_on_the_way_stops_the_order_before_it_is_sent(
    moment: str,
    chosen: tuple[scenario.Scenario, str],
    tmp_path: Path,
    submits: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switch = KillSwitch(tmp_path / "kill.json")
    refusal = Courier._refusal

    async def asked(self: Courier, order: Any) -> Any:
        if moment == "before":
            switch.throw("enough", "another process")
        found = await refusal(self, order)  # it asks the account how much it has to spend
        switch.throw("enough", "another process")
        return found

    monkeypatch.setattr(Courier, "_refusal", asked)
    account = kept(chosen)
    try:
        trader = traded(chosen, tmp_path, at(account))
    finally:
        account.end()
    assert not submits
    assert len(bodies(tmp_path, "order")) == 1, "the first order was decided, and the last"
    assert [body["code"] for _, body in bodies(tmp_path, "rejected")] == ["REFUSED"]
    assert "enough" in bodies(tmp_path, "command")[0][1]["why"]
    assert {body["code"] for _, body in bodies(tmp_path, "denied")} == {"KILL_SWITCH"}
    assert not trader.trader.shell.machine.positions
