"""A machine that slept, or whose clock was set, under a trader over a live feed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from maxlib.app import brokers, paper, venues
from maxlib.app.brokers import SIMULATED, Broker
from maxlib.app.courier import Courier
from maxlib.app.paper import PaperTrader
from maxlib.app.venues import Open
from maxlib.engine.live import LiveSession
from maxlib.journal.chain import Entry
from maxlib.journal.store import read
from maxlib.ops import lease
from maxlib.ops.heartbeat import Heart
from maxlib.research import scenario
from tests.app.test_brokers import agreed, at, kept
from tests.app.test_paper import SHORT, busiest, decisions, traded, without_ids
from tests.chaos.kill_sweep import scratch
from tests.ops.fakes import NS, FakeClock

EARLY = {**SHORT, "exits.force_close_minutes": 35, "risk.contracts": 3}
LIVE = partial(venues.fake, missed_minutes=0)
Sleep = Callable[[FakeClock], None]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: what is tested is not the disk."""
    with scratch() as made:
        yield made


@pytest.fixture(scope="module")
def day() -> tuple[scenario.Scenario, str]:
    made, found, _ = busiest("demo_normal", EARLY)
    return made, found


@pytest.fixture(scope="module")
def whole(day: tuple[scenario.Scenario, str]) -> list[Entry]:
    with scratch() as folder:
        traded(*day, folder)
        return read(folder / "journal.sqlite")


def disturbed(
    day: tuple[scenario.Scenario, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    sleep: Sleep,
    venue: Open = LIVE,
    broker: Broker = SIMULATED,
) -> PaperTrader:
    """A day in which the clocks do that before the bar that ends at `at` is taken."""
    clock = FakeClock()
    monkeypatch.setattr(paper, "Heart", lambda path: Heart(path, clock=clock))
    monkeypatch.setattr(lease, "Clock", lambda: clock)
    trader = PaperTrader(day[0], folder, day=day[1], speed=0, venue=venue, broker=broker)
    real, before = LiveSession.bar, at - 60 * NS

    def bar(self: LiveSession, rows: Any, *more: Any, **named: Any) -> None:
        real(self, rows, *more, **named)
        clock.advance(1)
        if int(rows["ts"][0]) == before:
            sleep(clock)

    monkeypatch.setattr(LiveSession, "bar", bar)
    asyncio.run(trader.run(stay=False))
    return trader


def first_entry(whole: list[Entry]) -> int:
    return next(e.ts for e in whole if e.kind == "order")


def bodies(folder: Path, kind: str) -> list[tuple[int, dict[str, Any]]]:
    return [(e.ts, json.loads(e.body)) for e in read(folder / "journal.sqlite") if e.kind == kind]


def slept(clock: FakeClock) -> None:
    clock.suspend(5400)


def set_back(clock: FakeClock) -> None:
    clock.wall -= 3600 * NS


@pytest.mark.parametrize(
    ("sleep", "why", "by"),
    [
        (slept, "the machine slept for 5,400 s", 5400.0),
        (set_back, "the wall clock was set by -3,600 s", 3600.0),
    ],
)
def test_row_26_nobody_enters_after_a_sleep_until_a_minute_came_in_time(
    day: tuple[scenario.Scenario, str],
    whole: list[Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sleep: Sleep,
    why: str,
    by: float,
) -> None:
    at = first_entry(whole)
    trader = disturbed(day, tmp_path, monkeypatch, at, sleep)
    told = [(body["code"], body["actual"], body["why"]) for _, body in bodies(tmp_path, "process")]
    assert told == [("CLOCK_JUMP", by, why), ("", 0.0, "caught up")]
    denied = [(ts, body["code"]) for ts, body in bodies(tmp_path, "denied") if body["code"] == "CLOCK_JUMP"]
    assert denied == [(at, "CLOCK_JUMP")]
    assert f"no entries until feed and broker have caught up: {why}" in caplog.text
    again = PaperTrader(day[0], tmp_path, day=day[1], speed=0, venue=LIVE)
    assert again.trader.state_hash == trader.trader.state_hash
    again.trader.close()


def test_row_26_the_account_is_compared_again_before_anybody_enters(
    day: tuple[scenario.Scenario, str], whole: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    doubt, reconcile, process = Courier.doubt, Courier.reconcile, LiveSession.process

    async def compared(self: Courier) -> None:
        await reconcile(self)
        said.append("compared")

    def doubted(self: Courier) -> None:
        said.append("slept")
        doubt(self)

    def processed(self: LiveSession, denial: Any, *args: Any) -> None:
        said.append("well" if denial is None else denial.code)
        process(self, denial, *args)

    monkeypatch.setattr(Courier, "reconcile", compared)
    monkeypatch.setattr(Courier, "doubt", doubted)
    monkeypatch.setattr(LiveSession, "process", processed)
    trader = disturbed(day, tmp_path, monkeypatch, first_entry(whole), slept, broker=brokers.broker("fake"))
    assert trader.trader.finished
    after = said[said.index("slept") :]
    assert after[: after.index("well")].count("compared") >= 1
    assert said.count("CLOCK_JUMP") == 1


def test_row_26_a_lease_that_ran_out_meanwhile_is_had_again_and_what_is_open_leaves(
    day: tuple[scenario.Scenario, str], whole: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits = next(e.ts for e in whole if e.kind == "order" and json.loads(e.body)["purpose"] != "open")
    account = kept(day)

    broker = at(account, tmp_path / "leases", lease_s=600.0)
    try:
        trader = disturbed(day, tmp_path, monkeypatch, exits, slept, venues.tape, broker)
    finally:
        account.end()
    tokens = [body["token"] for _, body in bodies(tmp_path, "broker") if body["what"] == "lease"]
    assert tokens == [1, 2]
    assert not bodies(tmp_path, "rejected")
    agreed(trader, account)
    assert trader.trader.finished


def test_a_tape_sleeps_with_the_machine(
    day: tuple[scenario.Scenario, str], whole: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed(day, tmp_path, monkeypatch, first_entry(whole), slept, venue=venues.tape)
    mine = read(tmp_path / "journal.sqlite")
    assert without_ids(decisions(mine)) == without_ids(decisions(whole))
    assert not [e for e in mine if e.kind == "process"]
