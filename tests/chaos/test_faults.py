"""Days of faults and kills over the whole path; a few here, more by `make verify` or the command."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.feeds import Condition, Gap, Minute, StreamFeed, Word
from maxlib.data.live import LiveGate
from maxlib.data.massive.fake import FakeConfig
from maxlib.engine.trader import Trader
from maxlib.market.bars import NS_PER_MINUTE
from tests.chaos.faults import Life, Session, market, run, tried
from tests.chaos.kill_sweep import scratch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the sessions fork")
WHOLE = Life(None, 0)


def held(found: dict[str, Any], sessions: int) -> None:
    assert found["sentences"] == []
    assert found["sessions"] == sessions
    assert found["kinds"] >= 12
    assert found["faults"]["kill"] >= sessions // 8
    assert found["trades"] >= 2 * sessions
    assert found["days_decided_whole"] >= sessions // 3


def test_sessions_with_faults_and_kills_keep_every_invariant(record_testsuite_property: Any) -> None:
    found = run(8, seed=1)
    record_testsuite_property("fault sessions", str(found))
    held(found, 8)


@pytest.mark.slow
def test_200_sessions_with_faults_and_kills_keep_every_invariant(record_testsuite_property: Any) -> None:
    found = run(200, seed=2)
    record_testsuite_property("fault sessions, long", str(found))
    held(found, 200)
    assert {"FEED_DOWN", "STALE_FEED"} <= set(found["denied"])
    assert found["minutes_lost_and_marked"] > 0


# --- the harness sees


@pytest.fixture
def root() -> Iterator[Path]:
    with scratch() as made:
        yield made


def entries_of_the_day() -> list[int]:
    return [e.ts for e in market(0).decided if e.kind == "order" and '"purpose":"open"' in e.body]


def spiky() -> Session:
    return Session(0, 0, FakeConfig(stream_faults={"spike": 0.01}), (WHOLE,))


def down() -> Session:
    at = entries_of_the_day()[0]
    outage = (at - 5 * NS_PER_MINUTE, at + 5 * NS_PER_MINUTE)
    return Session(0, 0, FakeConfig(outages=(outage,)), (WHOLE,))


def undisturbed() -> Session:
    return Session(0, 0, FakeConfig(), (WHOLE,))


def killed() -> Session:
    return Session(0, 0, FakeConfig(), (Life(600_000, 0), WHOLE))


def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trader writes down what the feed is like, and enters all the same."""
    original = Trader.feed

    def feed(self: Trader, *said: Any) -> None:
        original(self, *said)
        self.shell.machine.feed = None

    monkeypatch.setattr(Trader, "feed", feed)


def confident(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed always says that it is well."""
    monkeypatch.setattr(StreamFeed, "_condition", lambda *_: Condition(None))


def credulous(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate believes every price."""
    monkeypatch.setattr(LiveGate, "bar", lambda _, bar: (bar,))


def without(monkeypatch: pytest.MonkeyPatch, kind: type, every: int) -> None:
    """The feed swallows every n-th word of a kind."""
    original, heard = StreamFeed._told, [0]

    def told(self: StreamFeed, event: Any) -> Iterator[Word]:
        for word in original(self, event):
            heard[0] += isinstance(word, kind)
            if not isinstance(word, kind) or heard[0] % every:
                yield word

    monkeypatch.setattr(StreamFeed, "_told", told)


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start takes from a snapshot lacks the strategy's memory."""
    original = Trader._restore

    def restore(self: Trader, state: dict[str, Any]) -> None:
        original(self, state)
        how = self._stepper._how
        self._stepper.strategy = how.system.stream(how.params)

    monkeypatch.setattr(Trader, "_restore", restore)


@pytest.mark.parametrize(
    ("session", "plant", "sentence"),
    [
        (spiky, credulous, "is not the vendor's"),
        (spiky, lambda m: without(m, Gap, 1), "is neither there nor marked"),
        (undisturbed, lambda m: without(m, Minute, 100), "is neither there nor marked"),
        (down, deaf, "adds risk while FEED_DOWN"),
        (down, confident, "adds risk on a minute that was too old"),
        (killed, forgetful, "ended with exit code 1|the program or its configuration has changed"),
    ],
)
def test_the_harness_sees_a_planted_fault(
    session: Callable[[], Session],
    plant: Callable[[pytest.MonkeyPatch], None],
    sentence: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = session(), market(0)
    plant(monkeypatch)
    broke, _ = tried(one, root)
    assert any(re.search(sentence, text) for text in broke), broke
