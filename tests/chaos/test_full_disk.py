"""A paper trader whose disk takes no entry for a while, or fails: nothing is sent before it is durable.

The fault matrix's rows 15, 17 and 18, for the trader itself. The disk is that of `tests.chaos.vfs`; one test
fills a running trader's, by a limit that the kernel keeps.
"""

import asyncio
import json
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import requests

from maxlib.app import brokers, paper, venues
from maxlib.app.brokers import SIMULATED, Broker
from maxlib.app.paper import PaperTrader
from maxlib.app.venues import Open
from maxlib.core.errors import DataError
from maxlib.engine import trader as engine
from maxlib.engine.shell import Shell
from maxlib.execution.alpaca.rest import Alpaca
from maxlib.journal.chain import Entry, verify
from maxlib.journal.errors import StopTradingError
from maxlib.journal.store import read
from maxlib.ops import lease
from maxlib.research import scenario
from tests.app.test_brokers import agreed, at, kept
from tests.app.test_paper import SHORT, address, busiest, command, decisions, traded, wait_for, written
from tests.chaos.kill_sweep import scratch
from tests.chaos.power_loss import RecordedJournal
from tests.chaos.vfs import Disk, DiskVFS, io_error

EARLY = {**SHORT, "exits.force_close_minutes": 35, "risk.contracts": 3}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: the faults are ours."""
    with scratch() as made:
        yield made


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "JOURNAL_SECONDS", (0.0, 0.0))


@pytest.fixture(scope="module")
def day() -> tuple[scenario.Scenario, str]:
    made, found, _ = busiest("demo_normal", EARLY)
    return made, found


@pytest.fixture(scope="module")
def whole(day: tuple[scenario.Scenario, str]) -> list[Entry]:
    with scratch() as folder:
        traded(*day, folder)
        return read(folder / "journal.sqlite")


class Failing:
    """A disk that fails one sync of the journal's log, by number from 0 since the trader was there."""

    def __init__(self, at: int, error: apsw.Error) -> None:
        self.armed = False
        self.met = self.commits = 0
        self.asked = -1
        self._at, self._error = at, error

    def before(self, what: str, name: str) -> None:
        if not self.armed or (what, name) != ("sync", "journal.sqlite-wal"):
            return
        self.asked += 1
        if self.asked == self._at:
            self.met += 1
            raise self._error


class FullDisk(Failing):
    """One that has no room from the n-th commit on, for so many tries."""

    def __init__(self, at: int, tries: int) -> None:
        super().__init__(at, apsw.FullError("database or disk is full"))
        self._left = tries

    def before(self, what: str, name: str) -> None:
        if (what, name) == ("write", "journal.sqlite-wal") and self.commits > self._at and self._left:
            self._left -= 1
            self.met += 1
            raise self._error


@contextmanager
def on(disk: Failing, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traders of this folder write to that disk."""
    folder.mkdir(exist_ok=True)
    recorded = Disk(folder)
    recorded.before = disk.before

    class Counted(RecordedJournal):
        def _write(self, rows: list[Entry]) -> None:
            disk.commits += disk.armed
            super()._write(rows)

    with DiskVFS(recorded) as vfs, monkeypatch.context() as patched:
        patched.setattr(engine, "JournalFile", lambda path: Counted(path, vfs, "FULL"))
        yield


def trade(
    day: tuple[scenario.Scenario, str],
    folder: Path,
    disk: Failing | None = None,
    venue: Open = venues.tape,
    broker: Broker = SIMULATED,
) -> PaperTrader:
    trader = PaperTrader(day[0], folder, day=day[1], speed=0, venue=venue, broker=broker)
    if disk is not None:
        disk.armed = True
    asyncio.run(trader.run(stay=False))
    return trader


def bodies(entries: list[Entry], kind: str) -> list[dict[str, Any]]:
    return [json.loads(e.body) for e in entries if e.kind == kind]


def commits_of(entries: list[Entry], kind: str) -> list[int]:
    """Bars of a tape's day that made an entry of this kind, and how many orders had been sent before them."""
    found, bar, orders = [], -1, 0
    for entry in entries:
        bar += entry.kind == "bar"
        if entry.kind == kind:
            found.append(bar + orders)
        orders += entry.kind == "order"
    return found


@pytest.mark.parametrize("tries", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_row_15_a_full_disk_halts_the_trader_and_it_goes_on_when_there_is_room(
    day: tuple[scenario.Scenario, str],
    whole: list[Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tries: int,
) -> None:
    orders, signals = commits_of(whole, "order"), commits_of(whole, "signal")
    # Around every order, mid-bar commits included, and at some minutes where nothing happens.
    points = sorted({n + k for n in orders for k in range(3)} | {0, 100} | set(signals))
    points = points if tries == 1 else points[:12]
    durable: set[str] = set()
    sent: list[str] = []

    def send(self: Any, order: Any, *args: Any, **kwargs: Any) -> None:
        durable.update(b["order"] for b in bodies(read(folder / "journal.sqlite"), "order"))
        sent.append(order.id)
        assert order.id in durable, "an order went out that the disk does not have"
        real(self, order, *args, **kwargs)

    real = Shell._send
    monkeypatch.setattr(Shell, "_send", send)
    for point in points:
        folder = tmp_path / f"at-{point}"
        disk = FullDisk(point, tries)
        with on(disk, folder, monkeypatch):
            trader = trade(day, folder, disk)
        entries = read(folder / "journal.sqlite")
        verify(entries)
        assert disk.met == tries
        assert trader.trader.finished
        assert [e.ts for e in entries if e.kind == "bar"] == [e.ts for e in whole if e.kind == "bar"]
        told = [body["code"] for body in bodies(entries, "process")]
        assert set(told[:-1]) == {"JOURNAL_DOWN"}
        assert told[-1] == ""
        held: Counter[str] = Counter()
        for fill in bodies(entries, "fill"):
            held[fill["contract"]] += fill["quantity"] * (1 if fill["side"] == "buy" else -1)
        assert not any(held.values())
        barred = [*bodies(entries, "denied"), *bodies(entries, "rejected")]
        # No entry was decided, or waited, in the minute that was taken again: all is as it would have been.
        if not any(body["code"] == "JOURNAL_DOWN" for body in barred):
            assert decisions(entries) == decisions(whole)
        again = PaperTrader(day[0], folder, day=day[1], speed=0)
        assert again.trader.state_hash == trader.trader.state_hash
        again.trader.close()
    assert sent


def test_row_15_the_signal_that_met_the_full_disk_is_denied_and_counted(
    day: tuple[scenario.Scenario, str],
    whole: list[Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    point = commits_of(whole, "order")[0]
    disk = FullDisk(point, 2)
    with on(disk, tmp_path, monkeypatch):
        trader = trade(day, tmp_path, disk)
    entries = read(tmp_path / "journal.sqlite")
    first = next(e for e in whole if e.kind == "order")
    denied = [e for e in entries if e.kind == "denied" and json.loads(e.body)["code"] == "JOURNAL_DOWN"]
    assert [e.ts for e in denied] == [first.ts]
    assert trader.session.statistics()["denials"]["JOURNAL_DOWN"] == 1
    assert "disk is full" in bodies(entries, "process")[0]["why"]
    assert "nothing is decided or sent: journal journal.sqlite cannot take entry" in caplog.text


@pytest.mark.parametrize("minute", [60, 200])
def test_row_15_over_a_feed_and_a_broker_each_order_is_filled_once(
    day: tuple[scenario.Scenario, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minute: int
) -> None:
    submitted: list[str] = []
    real = Alpaca.submit

    def submit(self: Alpaca, order: Any, *args: Any) -> Any:
        submitted.append(order.id)
        sent = [
            b["order"] for b in bodies(read(tmp_path / "journal.sqlite"), "broker") if b["what"] == "sent"
        ]
        assert order.id in sent, "an order went out that the disk does not have"
        return real(self, order, *args)

    monkeypatch.setattr(Alpaca, "submit", submit)
    disk = FullDisk(minute, 3)
    with on(disk, tmp_path, monkeypatch):
        trader = trade(day, tmp_path, disk, partial(venues.fake, missed_minutes=0), brokers.broker("fake"))
    entries = read(tmp_path / "journal.sqlite")
    assert trader.trader.finished
    assert "JOURNAL_DOWN" in [body["code"] for body in bodies(entries, "process")]
    assert len(submitted) == len(set(submitted)) > 0
    assert set(Counter(body["order"] for body in bodies(entries, "fill")).values()) == {1}
    assert not bodies(entries, "stray")


def test_row_15_over_a_feed_the_first_minute_that_the_disk_did_not_take_is_asked_for_again(
    day: tuple[scenario.Scenario, str], whole: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(0, 1)
    with on(disk, tmp_path, monkeypatch):
        trade(day, tmp_path, disk, partial(venues.fake, missed_minutes=0))
    entries = read(tmp_path / "journal.sqlite")
    assert disk.met == 1
    assert [e.ts for e in entries if e.kind == "bar"] == [e.ts for e in whole if e.kind == "bar"]
    assert not bodies(entries, "gap")


def test_row_15_a_lease_that_the_full_disk_kept_from_being_given_back_is_had_again_at_once(
    day: tuple[scenario.Scenario, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, account, write = FullDisk(150, 3), kept(day), lease.write_atomic
    kept_back = 0

    def full(path: Path, content: str) -> None:
        nonlocal kept_back
        if 0 < disk.met < 3:
            kept_back += 1
            raise DataError(f"{path} cannot be written: No space left on device")
        write(path, content)

    monkeypatch.setattr(lease, "write_atomic", full)
    try:
        with on(disk, tmp_path / "day", monkeypatch):
            trader = trade(day, tmp_path / "day", disk, broker=at(account, tmp_path / "leases"))
    finally:
        account.end()
    assert kept_back > 0
    said = bodies(read(tmp_path / "day" / "journal.sqlite"), "broker")
    assert [body["token"] for body in said if body["what"] == "lease"] == [1, 2]
    assert trader.trader.finished
    agreed(trader, account)


@pytest.mark.parametrize("error", [apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_WRITE])
def test_row_17_a_failing_disk_ends_the_trader_and_the_next_start_goes_on(
    day: tuple[scenario.Scenario, str],
    whole: list[Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
) -> None:
    disk = Failing(150, io_error(error))
    with (
        on(disk, tmp_path, monkeypatch),
        pytest.raises(StopTradingError, match=r"journal\.sqlite has failed at entry \d+ and is not used on"),
    ):
        trade(day, tmp_path, disk)
    assert disk.met == 1
    assert disk.asked == 150, "it was tried again"
    verify(read(tmp_path / "journal.sqlite"))
    trade(day, tmp_path)
    assert read(tmp_path / "journal.sqlite") == whole


def test_row_15_a_running_trader_says_that_its_disk_is_full_and_goes_on_by_itself(
    day: tuple[scenario.Scenario, str],
) -> None:
    with scratch() as folder:
        process = subprocess.Popen(
            [*command(day[1], folder, 3000)[:-1], "-p", "risk.contracts=3"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            told = wait_for(lambda: written(folder) > 30 and address(folder))
            mine = {"authorization": f"Bearer {told['token']}"}

            def status() -> dict[str, Any]:
                found: dict[str, Any] = requests.get(told["url"] + "/status", timeout=20, headers=mine).json()
                return found

            log = (folder / "journal.sqlite-wal").stat().st_size
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (log, resource.RLIM_INFINITY))
            down = wait_for(lambda: (now := status())["process"] and now)
            assert down["process"].startswith("JOURNAL_DOWN: journal journal.sqlite cannot take entry")
            refused = requests.post(told["url"] + "/halt", timeout=20, headers=mine).json()
            assert refused["done"] is False
            assert "cannot take entry" in refused["reason"]
            stuck = written(folder)
            verify(read(folder / "journal.sqlite"))
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
            wait_for(lambda: written(folder) > stuck + 20 and not status()["process"])
            process.terminate()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.communicate()
        codes = [body["code"] for body in bodies(read(folder / "journal.sqlite"), "process")]
        assert codes == ["JOURNAL_DOWN", ""]


def test_row_18_a_journal_that_another_program_locks_halts_the_trader_until_it_lets_go(
    day: tuple[scenario.Scenario, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "JOURNAL_SECONDS", (1e9, 1e9))  # it is a stop that ends the wait

    async def meet() -> PaperTrader:
        trader = PaperTrader(day[0], tmp_path, day=day[1], speed=0)
        trader.trader._file._db.set_busy_timeout(1)
        other = apsw.Connection(str(tmp_path / "journal.sqlite"))
        other.execute("BEGIN IMMEDIATE")
        running = asyncio.create_task(trader.run(stay=False))
        while not trader.session.outage:
            await asyncio.sleep(0)
        assert "another program has locked it" in trader.session.status(0).process
        assert trader.session.status(0).bars == 0
        other.close()
        assert trader.ask("stop", "", "") is None
        await running
        return trader

    asyncio.run(meet())
    again = trade(day, tmp_path)
    assert again.trader.finished
    assert verify(read(tmp_path / "journal.sqlite")) == again.trader.journal.head


def test_row_15_a_disk_that_fills_at_the_days_end_ends_the_day_once(
    day: tuple[scenario.Scenario, str], whole: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(commits_of(whole, "command")[-1] + 1, 3)
    with on(disk, tmp_path, monkeypatch):
        trader = trade(day, tmp_path, disk)
    entries = read(tmp_path / "journal.sqlite")
    assert disk.met == 3
    assert trader.trader.finished
    assert [json.loads(e.body)["name"] for e in entries if e.kind == "command"] == ["finish"]
    assert decisions(entries) == decisions(whole)
    again = PaperTrader(day[0], tmp_path, day=day[1], speed=0)
    assert again.trader.state_hash == trader.trader.state_hash
    again.trader.close()
