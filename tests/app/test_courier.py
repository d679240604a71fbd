"""What the courier looks at just before an order goes out. The account is a fake without sockets."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
import requests

from maxlib.app.courier import Courier, CourierConfig
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.execution.alpaca.fake_api import Request, Response
from maxlib.execution.alpaca.fake_venue import Denied
from maxlib.risk.sizing import Denial
from tests.chaos.broker_sweep import HERE, PATIENT, Account, Journaled, trader
from tests.chaos.kill_sweep import day
from tests.execution.alpaca.bench import InProcess

BARS = day()  # it signals at 09:40
SECOND = 1_000_000_000


class Scene:
    """A trader, its courier, and the account."""

    def __init__(self, folder: Path, config: CourierConfig = PATIENT) -> None:
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
            lease_folder=None, courier=config, session=session, monotonic=lambda: self.steady,
        )  # fmt: skip

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
