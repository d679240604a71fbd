"""What a trading day tells its user, and that a service which never answers changes nothing."""

import asyncio
import collections
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.launch import itself
from maxlib.app.paper import PaperTrader
from maxlib.engine.trader import INPUTS
from maxlib.journal.store import read
from maxlib.ops.backends import Backend, Memory
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker
from maxlib.research import scenario
from tests.app.test_paper import SHORT, busiest


class BlackHole(Memory):
    """A service that takes a connection and never answers, until the test is over."""

    label = "black-hole"

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.released = threading.Event()

    def send(self, title: str, body: str, priority: int) -> bool:
        self.asked.set()
        self.released.wait(60.0)
        return super().send(title, body, priority)


def told(backend: Backend, folder: Path) -> Notifier:
    folder.mkdir()
    return Notifier([backend], folder, "SIMULATED", masker=Masker())


def a_day(folder: Path, backend: Backend) -> PaperTrader:
    notices = told(backend, folder.with_name(f"{folder.name}-notices"))
    chosen, day, _ = busiest("demo_normal", SHORT)
    trader = PaperTrader(chosen, folder, day=day, speed=0, told=notices)
    asyncio.run(trader.run(stay=False))
    return trader


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[PaperTrader, list[tuple[str, str, int]], Path]:
    memory, folder = Memory(), tmp_path_factory.mktemp("day") / "trader"
    return a_day(folder, memory), memory.sent, folder


def titles(sent: list[tuple[str, str, int]], event: str) -> list[str]:
    return [body for title, body, _ in sent if title == f"[SIMULATED] {event}"]


def test_every_signal_taken_every_fill_and_the_summary_are_told(day: Any) -> None:
    trader, sent, folder = day
    kinds = [e.kind for e in read(folder / "journal.sqlite")]
    status = trader.session.status(trader.feed.clock)
    assert kinds.count("fill") > 0, "a day without trades shows nothing"
    assert len(titles(sent, "Entry")) + len(titles(sent, "Exit")) == kinds.count("fill")
    assert len(titles(sent, "Signal")) == kinds.count("signal") - kinds.count("denied")
    assert len(titles(sent, "Startup")) == len(titles(sent, "Market closed")) == 1
    [summary] = titles(sent, "Daily summary")
    trades, pnl = len(status.trades), status.realised_cents / 100
    assert summary.startswith(f"trades {trades}, ")
    assert f"P&L {'-' if pnl < 0 else '+'}${abs(pnl):,.2f}" in summary


def test_a_thrown_kill_switch_is_an_emergency(tmp_path: Path) -> None:
    memory = Memory()
    notices = told(memory, tmp_path / "notices")
    trader = PaperTrader(scenario.load("demo_normal", SHORT), tmp_path / "trader", speed=0, told=notices)
    trader.ask("kill", "enough", "")
    trader.trader.close()
    assert notices.close()
    assert [(title, priority) for title, _, priority in memory.sent] == [("[SIMULATED] Kill switch", 2)]
    assert "enough" in memory.sent[0][1]


def test_a_service_that_never_answers_changes_no_decision(day: Any, tmp_path: Path) -> None:
    """Fault matrix, row 72."""
    _, _, undisturbed = day
    hole = BlackHole()
    a_day(tmp_path / "trader", hole)
    hole.released.set()
    assert hole.asked.is_set()

    def rows(folder: Path) -> list[tuple[int, str, str]]:
        return [(e.ts, e.kind, e.body) for e in read(folder / "journal.sqlite") if e.kind not in INPUTS]

    assert rows(tmp_path / "trader") == rows(undisturbed)


def test_without_a_service_every_notice_stands_in_the_log_and_nothing_else(day: Any, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MAXTRADER_NOTIFY_URLS"}
    told = ["demo_normal", "-p", "data.simulator.days=12", "--venue", "fake", "--speed", "0", "--exit"]
    told += ["--day", day[0].settings["day"]]
    done = subprocess.run(
        itself("paper", *told, "--folder", str(tmp_path)),
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("[SIMULATED] ")] == []
    kinds = [e.kind for e in read(tmp_path / "journal.sqlite")]
    said = collections.Counter(line.removeprefix("[SIMULATED] ").partition(":")[0] for line in lines)
    assert said["Entry"] + said["Exit"] == kinds.count("fill") > 0
    assert said["Market open"] == said["Daily summary"] == 1
