"""A start that takes long: recovery, and a broker that does not answer. It must not look like a hang."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from maxlib.app import at_broker, brokers, paper
from maxlib.app.brokers import Broker
from maxlib.app.paper import PaperTrader
from maxlib.engine.backtest import Stepper
from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.ops.heartbeat import Heart, read_beat
from maxlib.ops.supervision import Policy
from maxlib.ops.supervisor import HEARTBEAT
from maxlib.research import scenario
from tests.app.test_paper import SHORT, traded
from tests.ops.fakes import NS, FakeClock


def test_a_recovery_that_takes_minutes_shows_life_all_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = scenario.load("demo_normal", SHORT)
    day = traded(chosen, "", tmp_path).settings["day"]
    for snapshot in (tmp_path / "snapshots").iterdir():
        snapshot.unlink()  # all of it is to be run through again
    clock = FakeClock()
    ages: list[float] = []
    real = Stepper.step

    def slow(self: Stepper, *args: Any) -> Any:
        beat = read_beat(tmp_path / HEARTBEAT)
        if beat is not None and beat.phase == "recovering":
            ages.append(beat.age_s(clock))
        clock.advance(2)
        return real(self, *args)

    monkeypatch.setattr(Stepper, "step", slow)
    monkeypatch.setattr(paper, "Heart", lambda path: Heart(path, clock=clock))
    again = PaperTrader(chosen, tmp_path, day=str(day), speed=0)
    again.trader.close()
    assert clock.boot > 1000 * NS + Policy().start_s * NS, "it took longer than a silent start may"
    assert len(ages) > 300
    assert max(ages) < 10 < Policy().stale_s


def test_row_10_four_bad_snapshots_are_passed_over_and_the_journal_is_run_through(tmp_path: Path) -> None:
    chosen = scenario.load("demo_normal", SHORT)
    first = traded(chosen, "", tmp_path)
    bad = sorted((tmp_path / "snapshots").iterdir())
    assert len(bad) == 4
    for snapshot in bad:
        snapshot.write_bytes(snapshot.read_bytes()[:-40])
    again = PaperTrader(chosen, tmp_path, day=str(first.settings["day"]), speed=0)
    again.trader.close()
    assert len(again.trader.recovery.problems) == 4
    assert again.trader.recovery.snapshot == 0
    assert again.trader.state_hash == first.trader.state_hash


def test_a_broker_that_does_not_answer_at_the_start_is_waited_for_with_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"  # from here on nobody listens there
    config = AlpacaConfig(trading_url=url, data_url=url, loopback=True)
    seen: list[str] = []

    class Watched(Heart):
        def beat(self, phase: str, session: str = "") -> Any:
            seen.append(phase)
            return super().beat(phase, session)

    monkeypatch.setattr(paper, "Heart", Watched)
    monkeypatch.setattr(at_broker, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(at_broker, "BEAT_SECONDS", 0.05)
    chosen = scenario.load("demo_normal", {**SHORT, "exits.force_close_minutes": 35})
    broker = Broker("fake", "broker", brokers.at(config, FAKE_KEYS, None))
    trader = PaperTrader(chosen, tmp_path, speed=0, broker=broker)
    asyncio.run(trader.run(stay=False))
    assert seen.count("connecting") >= 5
    assert trader.session.status(0).broker.startswith("BROKER_DOWN")
