"""Where orders go: own fills, nowhere, or a broker's account, here a fake of Alpaca's over real sockets."""

import asyncio
import datetime as dt
import json
import os
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from maxlib.app import brokers
from maxlib.app.brokers import Account, Broker
from maxlib.app.courier import Courier, CourierConfig
from maxlib.app.courier import Desk as Journals
from maxlib.app.fake_broker import FakeBroker
from maxlib.app.paper import PaperTrader
from maxlib.core.errors import ConfigError
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.events import Bar
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake import FAKE_KEYS, FakeServer
from maxlib.execution.alpaca.fake_faults import FaultRates, Faults
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import to_ns
from maxlib.market.instruments import instrument
from maxlib.options.desk import Desk, Market
from maxlib.research import scenario
from tests.app.test_paper import SHORT, busiest, command, wait_for, written
from tests.ops.test_lease import HOLD, hear
from tests.ops.test_lease import trader as other_trader

EARLY = {**SHORT, "exits.force_close_minutes": 35, "risk.contracts": 3}


@pytest.fixture(scope="module")
def chosen() -> tuple[scenario.Scenario, str]:
    made, day, _ = busiest("demo_normal", EARLY)
    return made, day


def traded(chosen: tuple[scenario.Scenario, str], folder: Path, broker: Broker) -> PaperTrader:
    trader = PaperTrader(chosen[0], folder, day=chosen[1], speed=0, broker=broker)
    asyncio.run(trader.run(stay=False))
    return trader


def bodies(folder: Path, *kinds: str) -> list[tuple[int, dict[str, Any]]]:
    return [(e.ts, json.loads(e.body)) for e in read(folder / "journal.sqlite") if e.kind in kinds]


@pytest.fixture(scope="module")
def own(chosen: tuple[scenario.Scenario, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    traded(chosen, folder, brokers.SIMULATED)
    return folder


def test_a_dry_run_sees_every_signal_and_sends_nothing(
    chosen: tuple[scenario.Scenario, str], own: Path, tmp_path: Path
) -> None:
    trader = traded(chosen, tmp_path, brokers.broker("dry-run"))
    assert bodies(tmp_path, "signal") == bodies(own, "signal")
    refused = bodies(tmp_path, "rejected")
    assert {body["code"] for _, body in refused} == {"DRY_RUN"}
    assert len(refused) == len(bodies(tmp_path, "order")) > 0
    assert bodies(tmp_path, "fill") == []
    assert trader.trader.shell.machine.ledger.cash_cents == 2_500_000


def test_at_a_broker_the_same_is_decided_and_every_fill_is_the_far_side_of_its_quote(
    chosen: tuple[scenario.Scenario, str], own: Path, tmp_path: Path
) -> None:
    trader = traded(chosen, tmp_path, brokers.broker("fake"))
    assert bodies(tmp_path, "signal") == bodies(own, "signal")

    def orders(folder: Path) -> list[tuple[Any, ...]]:
        keys = ("contract", "quantity", "purpose", "trade", "side")
        return [(ts, *(body[key] for key in keys)) for ts, body in bodies(folder, "order")]

    # An exit at a level is sent when the bar is complete, there as here; so orders agree in all.
    assert orders(tmp_path) == orders(own)
    fills = bodies(tmp_path, "fill")
    assert len(fills) == len(bodies(own, "fill")) >= 2
    desk = Desk(chosen[0].machine.desk, trader.trader.shell.machine.instrument)
    sigmas = {ts: body["sigma"] for ts, body in bodies(tmp_path, "signal")}
    bars = {ts: Bar(*body["values"]) for ts, body in bodies(tmp_path, "bar")}
    contracts = {order.id: order.contract for order in orders_of(trader)}
    for ts, body in fills:
        at_bar = ts // NS_PER_MINUTE * NS_PER_MINUTE
        if body["side"] == "buy":  # of an exit, the journal does not hold the volatility
            bar = bars[at_bar]
            market = Market(at_bar, bar.close, bar.minutes_left, sigmas[at_bar], bar.session_minutes)
            assert body["price_cents"] == desk.quote(contracts[body["order"]], market).ask_cents


def orders_of(trader: PaperTrader) -> list[Any]:
    shell = trader.trader.shell
    assert isinstance(shell, BrokerShell)
    return [tracked.order for tracked in shell.books.orders.values()]


@pytest.mark.slow
def test_a_killed_trader_and_its_fake_begin_again_and_agree(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path
) -> None:
    more = ["--broker", "fake", "-p", "exits.force_close_minutes=35", "-p", "risk.contracts=3"]
    for entries in (430, 620):
        process = subprocess.Popen([*command(chosen[1], tmp_path, 6000), *more], stdout=subprocess.DEVNULL)
        wait_for(lambda: written(tmp_path) > entries)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command(chosen[1], tmp_path, 0), *more], check=True, capture_output=True)
    filled = Counter(body["order"] for _, body in bodies(tmp_path, "fill"))
    assert set(filled.values()) == {1}
    assert not [b for _, b in bodies(tmp_path, "broker") if b["what"] in ("Blocked", "PositionAdopted")]
    assert not bodies(tmp_path, "stray")


class Kept(FakeBroker):
    """A fake account that outlives traders."""

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


def kept(chosen: tuple[scenario.Scenario, str], faults: Faults | None = None) -> Kept:
    machine, day = chosen[0].machine, dt.date.fromisoformat(chosen[1])
    desk = Desk(machine.desk, instrument(machine.symbol))
    return Kept(desk, to_ns(day, 4 * 60), machine.risk.account_usd * 100, faults=faults)


def at(account: Kept, leases: Path | None = None, lease_s: float = 30.0) -> Broker:
    """A broker that connects to this account."""

    def connect(trader: Trader, desk: Journals, clock: Any, since: int) -> Account:
        assert isinstance(trader.shell, BrokerShell)
        made = Courier(
            trader.shell, desk, account.server.config(), FAKE_KEYS, clock=clock, since=since,
            lease_folder=leases, courier=CourierConfig(poll_s=0.05, lease_s=lease_s),
        )  # fmt: skip
        return Account(made, account)

    return Broker("fake", "broker", connect)


def agreed(trader: PaperTrader, account: Kept) -> None:
    """Account, books, ledger and journal say one thing."""
    shell, venue = trader.trader.shell, account.server.api.venue
    assert isinstance(shell, BrokerShell)
    truth, booked = Counter[str](), Counter[str]()
    for name, _, units, _ in venue.fills:
        truth[name] += units
    expired = {body["order"] for _, body in bodies(trader.folder, "order") if body["purpose"] == "expiry"}
    for _, body in bodies(trader.folder, "fill"):
        if body["order"] not in expired:  # nobody filled that: what was left was worth nothing
            booked[body["order"]] += body["quantity"]
    assert truth == booked
    held = {contract.name: count for contract, count in venue.held.items()}
    gone = {end["contract"] for _, body in bodies(trader.folder, "expired") for end in body["legs"]}
    books = {name: int(count) for name, count in shell.books.positions.items()}
    assert {name: n for name, n in books.items() if name not in gone} == held
    ledger = shell.machine.ledger
    assert {contract.name: count for contract, count in ledger.held.items()} == held
    assert ledger.cash_cents + ledger.fee_cents == venue.cash_cents


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_broker_that_misbehaves_over_real_sockets_loses_nothing(
    seed: int, chosen: tuple[scenario.Scenario, str], tmp_path: Path
) -> None:
    rates = FaultRates(
        rate_limited=0.05, server_error=0.05, server_error_after=0.1, html=0.05, cut=0.05, partial=0.5,
        duplicate_event=0.2, drop_event=0.2, swap_events=0.2, disconnect=0.2,
    )  # fmt: skip
    account = kept(chosen, Faults(rates, seed))
    try:
        agreed(traded(chosen, tmp_path, at(account)), account)
    finally:
        account.end()


@pytest.mark.parametrize("structure", ["vertical", pytest.param("fly", marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [3, pytest.param(0, marks=pytest.mark.slow)])
def test_a_package_is_left_leg_by_leg_where_nobody_takes_it_whole(
    structure: str, seed: int, tmp_path: Path
) -> None:
    made, day, _ = busiest("demo_normal", {**EARLY, "desk.structures": [structure]})
    rates = FaultRates(partial=0.5, drop_event=0.2, server_error_after=0.1)
    account = kept((made, day), Faults(rates, seed) if seed else None)
    try:
        trader = traded((made, day), tmp_path, at(account))
        agreed(trader, account)
    finally:
        account.end()
    assert trader.trader.shell.machine.positions == {}
    shorts = [n for _, body in bodies(tmp_path, "expired") for n in body["legs"] if n["held"] < 0]
    assert shorts == [], "no short is left to the expiry"


def test_one_trader_an_account_whatever_their_folders(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path
) -> None:
    account, folder = kept(chosen), tmp_path / "leases"
    try:
        with other_trader(folder / "alpaca-PA0FAKE.json", HOLD) as other:
            assert hear(other) == "1"
            with pytest.raises(ConfigError, match=rf"has a trader already: process {other.pid}, token 1"):
                traded(chosen, tmp_path / "second", at(account, folder))
        trader = traded(chosen, tmp_path / "third", at(account, folder))
    finally:
        account.end()
    tokens = [body["token"] for _, body in bodies(trader.folder, "broker") if body["what"] == "lease"]
    assert tokens == [2]
    agreed(trader, account)


@pytest.mark.slow
def test_a_broker_that_goes_away_bars_entries_and_is_heard_again_when_it_is_back(
    chosen: tuple[scenario.Scenario, str], tmp_path: Path
) -> None:
    account = kept(chosen)
    server = account.server
    trader = PaperTrader(chosen[0], tmp_path, day=chosen[1], speed=3000, broker=at(account))
    seen: list[str] = []

    async def until(condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def scene() -> None:
        running = asyncio.create_task(trader.run(stay=False))
        machine = trader.trader.shell.machine
        await until(lambda: len(trader.session.bars) > 20 and machine.broker is None)
        port = int(server.url.rpartition(":")[2])
        await asyncio.to_thread(server.close)
        await until(lambda: machine.broker is not None)
        seen.append(trader.session.status(trader.feed.clock).broker)
        account.server = FakeServer(server.api, port=port).start()
        await until(lambda: machine.broker is None)
        await running

    try:
        asyncio.run(scene())
    finally:
        account.end()
    assert seen[0].startswith("BROKER_DOWN")
    said = [body["code"] for _, body in bodies(tmp_path, "broker") if body["what"] == "connection"]
    assert said[-2:] == ["BROKER_DOWN", ""]
    agreed(trader, account)


@pytest.mark.parametrize(
    ("name", "label", "minutes", "said"),
    [
        ("house", "SIMULATED", 35, "--broker house: should be simulated, dry-run, fake or alpaca"),
        ("fake", "SIMULATED", 5, "force_close_minutes 5: should be at least 35"),
        ("fake", "PAPER", 35, "--broker fake: its quotes are modelled"),
        ("fake", "DELAYED", 35, "--broker fake: its quotes are modelled"),
        ("alpaca", "REPLAY", 35, "trades at today's prices, not at REPLAY ones"),
        ("alpaca", "DELAYED", 35, "trades at today's prices, not at DELAYED ones"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, label: Any, minutes: int, said: str) -> None:
    made = scenario.load("demo_normal", {"exits.force_close_minutes": minutes})
    keys = {"APCA_API_KEY_ID": "k", "APCA_API_SECRET_KEY": "s"}
    with pytest.raises(ConfigError, match=re.escape(said)):
        brokers.broker(name, keys).check(made.machine, label=label)


def test_a_paper_account_wants_keys_and_todays_prices() -> None:
    made = scenario.load("demo_normal", {"exits.force_close_minutes": 35})
    with pytest.raises(ConfigError, match="APCA_API_KEY_ID is not set"):
        brokers.broker("alpaca", {})
    keys = {"APCA_API_KEY_ID": "k", "APCA_API_SECRET_KEY": "s"}
    with pytest.raises(ConfigError, match=r"--broker alpaca: the scenario's guard is off.*take paper_qqq"):
        brokers.broker("alpaca", keys).check(made.machine, label="PAPER")
    ready = scenario.load("paper_qqq")
    brokers.broker("alpaca", keys).check(ready.machine, label="PAPER")
    turned_on = scenario.load("demo_normal", {"exits.force_close_minutes": 35, "guard.book": "conservative"})
    brokers.broker("alpaca", keys).check(turned_on.machine, label="PAPER")
