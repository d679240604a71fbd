"""What the courier looks at just before an order goes out. The account is a fake without sockets."""

import asyncio
import json
import os
from functools import partial
from pathlib import Path

import pytest
import requests

from maxlib.app.courier import Courier, CourierConfig
from maxlib.core.errors import ConfigError, DataError
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.execution.alpaca.fake_api import Request, Response
from maxlib.execution.alpaca.fake_venue import Denied
from maxlib.ops import lease
from maxlib.ops.process import identity
from maxlib.risk.sizing import Denial
from tests.chaos.broker_sweep import HERE, PATIENT, Account, Journaled, trader
from tests.chaos.kill_sweep import day
from tests.execution.alpaca.bench import InProcess
from tests.ops.fakes import NS, FakeClock

BARS = day()  # it signals at 09:40
SECOND = 1_000_000_000


class Scene:
    """A trader, its courier, and the account."""

    def __init__(
        self, folder: Path, config: CourierConfig = PATIENT, lease_folder: Path | None = None
    ) -> None:
        self.account = Account(None)
        self.trader: Trader = trader(folder)
        assert isinstance(self.trader.shell, BrokerShell)
        self.shell = self.trader.shell
        self.journaled = Journaled(self.trader)
        session = requests.Session()
        session.mount("http://", InProcess(self.account.api))
        self.late = 0
        self.steady = 0.0
        self.courier = Courier(
            self.shell, self.journaled, HERE, FAKE_KEYS,
            clock=lambda: self.journaled.now + self.late * SECOND, since=0,
            lease_folder=lease_folder, courier=config, session=session, monotonic=lambda: self.steady,
        )  # fmt: skip
        if lease_folder is not None:
            asyncio.run(self.courier._sign_in())

    def until(self, bars: int, *, settle: bool = True) -> None:
        first = 0 if self.trader.last_bar is None else int((BARS["ts"] <= self.trader.last_bar.ts).sum())
        for i in range(first, bars):
            self.trader.bar(BARS[i : i + 1])
            assert self.trader.last_bar is not None
            self.account.answer("see", self.trader.last_bar, self.trader.sigma)
            if settle:
                self.settle()

    def settle(self) -> None:
        asyncio.run(self.courier.settled())

    @property
    def tokens(self) -> list[int]:
        said = [json.loads(e.body) for e in self.trader.journal.entries if e.kind == "broker"]
        return [body["token"] for body in said if body["what"] == "lease"]

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(t.order.purpose, t.state) for t in self.shell.books.orders.values()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.until(11, settle=False)
    assert made.states == [("open", "INTENT")]
    return made


def test_an_entry_that_nothing_bars_goes_out_and_fills(scene: Scene) -> None:
    scene.settle()
    assert scene.states == [("open", "FILLED")]
    assert len(scene.account.venue.orders) == 1


@pytest.mark.parametrize("bar", ["halt", "switch", "process", "feed", "broker", "late"])
def test_an_entry_that_was_let_through_is_looked_at_once_more_before_it_goes_out(
    scene: Scene, bar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = scene.journaled.now
    if bar == "switch":
        halt = partial(scene.trader.command, "halt", now)
        monkeypatch.setattr(scene.journaled, "look", halt)  # as the process does when it finds the file
    elif bar == "halt":
        scene.trader.command("halt", now)
    elif bar == "process":
        scene.trader.process(Denial("JOURNAL_DOWN", 0.0, 1.0), now)
    elif bar == "feed":
        scene.trader.feed(Denial("FEED_DOWN", 0.0, 1.0), now)
    elif bar == "broker":
        scene.trader.connection(Denial("BROKER_DOWN", 0.0, 1.0), now)
    else:
        scene.late = 91  # seconds; 90 are allowed
    scene.settle()
    assert scene.states == [("open", "REFUSED")]
    assert scene.account.venue.orders == {}, "the broker never saw it"
    assert scene.shell.machine.positions == {}


def test_an_exit_goes_out_whatever_bars_entries(scene: Scene) -> None:
    scene.settle()
    scene.trader.command("halt", scene.journaled.now)
    scene.trader.feed(Denial("FEED_DOWN", 0.0, 1.0), scene.journaled.now)
    scene.late = 600
    scene.until(40)
    assert scene.states[1][1] == "FILLED"
    assert scene.shell.machine.positions == {}
    assert scene.account.venue.held == {}


def unoffered(scene: Scene) -> None:
    """Nobody offers what the waiting entry wants to buy; it goes out and stays in the air."""
    contract = scene.shell.outbox[0].order.contract
    real = scene.account.market.quote
    scene.account.market.quote = lambda c, ts: None if c == contract else real(c, ts)  # type: ignore[method-assign]
    scene.settle()
    assert scene.states == [("open", "WORKING")]


@pytest.mark.parametrize(("halted", "then"), [(True, "CANCELED"), (False, "WORKING")])
def test_a_halt_takes_back_an_entry_that_is_in_the_air_before_its_patience_ends(
    scene: Scene, halted: bool, then: str
) -> None:
    unoffered(scene)
    if halted:
        scene.trader.command("halt", scene.journaled.now)
    scene.late = 1  # of the 30 s after which it is taken back anyway
    scene.settle()
    venue = scene.account.venue
    venue.advance(venue.now + SECOND)  # a cancel is carried out when the venue's clock moves
    scene.settle()
    assert scene.states == [("open", then)]
    assert bool(scene.shell.machine.positions) is not halted


def test_an_exit_for_more_than_is_held_is_taken_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.settle()
    bars = 12
    while not scene.shell.outbox:
        bars += 1
        scene.until(bars, settle=False)
    scene.account.market.quote = lambda c, ts: None  # type: ignore[method-assign]
    scene.settle()
    assert scene.states[1] == ("stop", "WORKING"), "nobody bids"
    (position,) = scene.shell.machine.positions.values()
    for contract in position.held:
        monkeypatch.setitem(position.held, contract, 0)  # another order had left it
    scene.settle()
    venue = scene.account.venue
    venue.advance(venue.now + SECOND)
    scene.settle()
    assert scene.states[1] == ("stop", "CANCELED")


def test_an_order_in_the_air_is_asked_for_each_5_seconds_however_often_the_courier_is_woken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, CourierConfig())
    scene.until(11, settle=False)
    unoffered(scene)
    calls: list[str] = []
    real = scene.account.api.handle

    def handle(request: Request) -> Response | str:
        calls.append(request.path)
        return real(request)

    monkeypatch.setattr(scene.account.api, "handle", handle)
    for second in range(1, 61):
        scene.steady = float(second)
        asyncio.run(scene.courier.turn())  # woken by each word of the feed, which says one a second
    assert calls.count("/v2/positions") == 60 / 5
    assert len(calls) == 5 * 60 / 5, "Alpaca allows 200 a minute"
    scene.courier.doubt()
    asyncio.run(scene.courier.turn())
    assert calls.count("/v2/positions") == 60 / 5 + 1, "after a sleep nobody waits"


def test_a_cancel_that_the_venue_refuses_later_is_asked_for_again_after_a_pause(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    unoffered(scene)
    venue, asked = scene.account.venue, []
    real = venue.cancel

    def cancel(order_id: str) -> Denied | None:
        asked.append(scene.steady)
        found = real(order_id)
        if len(asked) < 3:  # the exchange refuses what the broker had taken on
            venue._move(venue.orders[order_id], "order_cancel_rejected", "new")
        return found

    monkeypatch.setattr(venue, "cancel", cancel)
    scene.late = 31
    pause = PATIENT.poll_s
    for turn in range(6):
        scene.steady = turn * pause / 2
        scene.settle()
    assert asked == [0.0, pause, 2 * pause], "not each turn, and no more once the venue is about it"
    venue.advance(venue.now + SECOND)
    scene.settle()
    assert scene.states == [("open", "CANCELED")]


def test_an_orderly_end_takes_back_entries_and_leaves_exits(scene: Scene) -> None:
    unoffered(scene)
    venue = scene.account.venue

    async def leave() -> bool:
        gone = asyncio.create_task(scene.courier.withdraw(20.0))
        while not any(order.status == "pending_cancel" for order in venue.orders.values()):
            await asyncio.sleep(0)
        venue.advance(venue.now + SECOND)
        return await gone

    assert asyncio.run(leave())
    assert scene.states == [("open", "CANCELED")]


LEASE = "alpaca-PA0FAKE.json"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clocks that leases stand on."""
    clock = FakeClock()
    monkeypatch.setattr(lease, "Clock", lambda: clock)
    return clock


@pytest.fixture
def leaving(tmp_path: Path, machine: FakeClock) -> Scene:
    """A trader that holds the account's lease, and a position that is about to be left."""
    made = Scene(tmp_path / "day", lease_folder=tmp_path / "leases")
    made.until(12)
    bars = 12
    while not made.shell.outbox:
        bars += 1
        made.until(bars, settle=False)
    assert made.states == [("open", "FILLED"), ("stop", "INTENT")]
    assert made.tokens == [1]
    return made


def test_row_26_after_a_sleep_past_its_lease_it_has_it_again_and_compares_before_the_exit_goes_out(
    leaving: Scene, machine: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = leaving.account.api.handle

    def handle(request: Request) -> Response | str:
        calls.append(f"{request.method} {request.path}")
        return real(request)

    monkeypatch.setattr(leaving.account.api, "handle", handle)
    machine.suspend(3600)
    leaving.settle()
    assert leaving.tokens == [1, 2]
    assert leaving.states == [("open", "FILLED"), ("stop", "FILLED")], "it waited; it was not refused"
    assert "GET /v2/positions" in calls[: calls.index("POST /v2/orders")]
    assert calls.count("POST /v2/orders") == 1


def test_row_26_whoever_has_the_account_after_the_sleep_keeps_it(
    leaving: Scene, machine: FakeClock, tmp_path: Path
) -> None:
    machine.suspend(3600)
    path = tmp_path / "leases" / LEASE
    mine, other = lease.read_grant(path), identity(os.getppid(), machine)
    theirs = {"who": other, "token": 2, "expires_boot_ns": machine.boot + 30 * NS}
    assert mine is not None
    path.write_text(mine.model_copy(update=theirs).model_dump_json())
    with pytest.raises(ConfigError, match=rf"has a trader already: process {os.getppid()}, token 2"):
        leaving.settle()
    assert leaving.states[1] == ("stop", "INTENT")


def test_a_lease_whose_file_was_lost_is_had_again_under_a_token_above_all_of_the_journal(
    leaving: Scene, tmp_path: Path
) -> None:
    (tmp_path / "leases" / LEASE).unlink()
    leaving.settle()
    assert leaving.tokens == [1, 2]
    assert leaving.states[1] == ("stop", "FILLED")


def test_row_15_a_renewal_that_fails_is_tried_again_and_a_lease_lost_by_it_is_taken_anew(
    leaving: Scene, machine: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[tuple[int, str]] = []
    tokens: list[int] = []
    quarters = 0  # of the term of 30 s
    write, rest = lease.write_atomic, asyncio.sleep

    def full(path: Path, content: str) -> None:
        if quarters not in (3, 9):
            raise DataError(f"{path.name} cannot be written: No space left on device")
        write(path, content)

    class Over(Exception):  # noqa: N818
        pass

    async def sleep(seconds: float) -> None:
        nonlocal quarters
        machine.advance(seconds)
        tokens.append(leaving.tokens[-1])
        quarters += 1
        if quarters > 9:
            raise Over
        await rest(0)

    monkeypatch.setattr(lease, "write_atomic", full)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    tenure = leaving.courier._tenure
    assert tenure is not None
    with pytest.raises(Over):
        asyncio.run(tenure.keep(lambda what: complaints.append((quarters, what))))
    # Renewed once there was room, at 22.5 s; then the term ends at 52.5 s, the 7th quarter.
    assert [quarter for quarter, _ in complaints] == [1, 2, 4, 5, 6, 7, 8]
    assert all("No space left" in what for _, what in complaints)
    assert tokens == [1] * 9 + [2]
    leaving.settle()
    assert leaving.states[1] == ("stop", "FILLED")
