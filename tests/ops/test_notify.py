"""The notifier: rules, queue, retries, and that nothing ever waits for a service."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maxlib.ops.backends import Memory
from maxlib.ops.channel import ChannelConfig
from maxlib.ops.events import Event
from maxlib.ops.notify import Notifier, NotifyConfig
from maxlib.ops.text import Masker
from tests.ops.fakes import NS, FakeClock

QUICK = ChannelConfig(rest_s=0.01, open_s=0.02, open_max_s=0.05, per_minute=10_000, break_after=3)
SECRET = "hunter22-hunter22"


class Failing(Memory):
    """Fails the first `times` sends: returns False, then raises, in turn."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.attempts = 0

    def send(self, title: str, body: str, priority: int) -> bool:
        self.attempts += 1
        if self.attempts > self.times:
            return super().send(title, body, priority)
        if self.attempts % 2:
            return False
        raise ConnectionError(f"POST https://service.example/{SECRET} refused: {SECRET}")


class Hanging(Memory):
    """Answers no send until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()

    def send(self, title: str, body: str, priority: int) -> bool:
        self.entered.release()
        self.go.wait(60)
        return super().send(title, body, priority)


Make = Callable[..., Notifier]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Make]:
    made: list[Notifier] = []

    def build(*backends: Memory, **channel: Any) -> Notifier:
        for i, backend in enumerate(backends):
            backend.label = f"service-{i}"
        config = NotifyConfig(channel=QUICK.model_copy(update=channel))
        notifier = Notifier(backends, tmp_path, "PAPER", masker=Masker([SECRET]), config=config, clock=clock)
        made.append(notifier)
        return notifier

    yield build
    for notifier in made:
        notifier.close(0)


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return found


def test_a_notice_tells_environment_event_text_time_and_the_datas_age(make: Make) -> None:
    memory = Memory()
    notifier = make(memory)
    assert notifier.send(Event.ENTRY, "bought 2 QQQ", data_age_s=3.4, ref="ord-7") == "queued"
    notifier.send(Event.KILL_SWITCH, "thrown", data_age_s=121)
    notifier.send(Event.RESTART, "again")
    assert notifier.close()
    assert sorted(memory.sent) == [
        ("[PAPER] Entry", "bought 2 QQQ\n2025-11-20 10:00:00 ET · data 3 s old · ord-7", 0),
        ("[PAPER] Kill switch", "thrown\n2025-11-20 10:00:00 ET · DATA STALE 121 s", 2),
        ("[PAPER] Restart", "again\n2025-11-20 10:00:00 ET · data age unknown", 1),
    ]


def test_no_secret_leaves_in_text_reference_or_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    backend = Failing(times=3)
    notifier = make(backend)
    with caplog.at_level("DEBUG"):
        notifier.send(Event.RECOVERY_ERROR, f"cannot log in with {SECRET}", ref=SECRET)
        assert notifier.close()
    assert backend.sent[0][1].startswith("cannot log in with ***\n")
    assert SECRET not in str(backend.sent)
    assert "ConnectionError: POST https://service.example/***" in caplog.text
    assert SECRET not in caplog.text


def test_the_caller_never_waits_though_the_service_does(make: Make) -> None:
    hanging = Hanging()
    notifier = make(hanging, capacity=50)
    notifier.send(Event.TEST, "the one that hangs")
    hanging.entered.acquire(timeout=60)
    outcomes = [notifier.send(Event.EXIT, f"trade {i}") for i in range(1000)]
    # All thousand are done with, and the service has not answered once.
    assert hanging.sent == []
    assert outcomes == ["queued"] * 1000
    assert notifier.counts()["service-0"]["dropped"] == 950
    hanging.go.set()
    assert notifier.close(60)
    assert [title for title, *_ in hanging.sent] == ["[PAPER] Test", *["[PAPER] Exit"] * 50]
    assert hanging.sent[1][1].startswith("trade 950\n")  # the oldest were dropped


def test_a_full_queue_drops_the_least_urgent_first(make: Make) -> None:
    hanging = Hanging()
    notifier = make(hanging, capacity=3)
    notifier.send(Event.TEST, "in flight")
    hanging.entered.acquire(timeout=60)
    assert notifier.send(Event.DAILY_SUMMARY, "quiet") == "queued"
    assert notifier.send(Event.EXIT, "normal") == "queued"
    assert notifier.send(Event.BREAKER, "high") == "queued"
    assert notifier.send(Event.KILL_SWITCH, "emergency") == "queued"
    assert notifier.send(Event.RECONCILE_MISMATCH, "emergency too") == "queued"
    assert notifier.send(Event.MARKET_CLOSED, "too late") == "dropped"
    hanging.go.set()
    assert notifier.close(60)
    # The most urgent first, of equals the oldest.
    assert [body.split("\n")[0] for _, body, _ in hanging.sent] == [
        "in flight", "emergency", "emergency too", "high",
    ]  # fmt: skip


def test_notices_of_one_key_that_wait_are_folded_into_the_newest(make: Make, clock: FakeClock) -> None:
    hanging = Hanging()
    notifier = make(hanging)
    notifier.send(Event.TEST, "in flight")
    hanging.entered.acquire(timeout=60)
    outcomes = []
    for i in range(4):
        outcomes.append(notifier.send(Event.LOOP_ERROR, f"error {i}"))
        clock.advance(60)
    assert outcomes == ["queued", "collapsed", "collapsed", "collapsed"]
    hanging.go.set()
    assert notifier.close(60)
    assert hanging.sent[1][1].split("\n")[0] == "error 3 (+3 alike)"


def test_a_key_is_told_once_a_minute_and_then_how_often_it_was_not(make: Make, clock: FakeClock) -> None:
    memory = Memory()
    notifier = make(memory)
    outcomes = []
    for _ in range(7):
        outcomes.append(notifier.send(Event.LOOP_ERROR, "KeyError in signals"))
        assert notifier._channels[0].drained(60)
        clock.advance(15)
    assert outcomes == ["queued", *["too often"] * 3, "queued", *["too often"] * 2]
    assert notifier.send(Event.LOOP_ERROR, "another place", key="feed") == "queued"
    assert notifier.close()
    assert [body.split("\n")[0] for _, body, _ in memory.sent] == [
        "KeyError in signals", "KeyError in signals (+3 alike)", "another place",
    ]  # fmt: skip


def test_the_daily_loss_limit_is_told_at_most_every_300_seconds_also_across_a_restart(
    make: Make, clock: FakeClock
) -> None:
    first = make(Memory())
    assert first.send(Event.DAILY_LOSS_LIMIT, "-$500") == "queued"
    clock.advance(299)
    assert first.send(Event.DAILY_LOSS_LIMIT, "-$510") == "too often"
    first.close()
    second = make(Memory())
    assert second.send(Event.DAILY_LOSS_LIMIT, "-$520") == "too often"
    clock.advance(1)
    assert second.send(Event.DAILY_LOSS_LIMIT, "-$530") == "queued"


def test_every_trade_is_told_but_the_same_words_only_once(make: Make) -> None:
    notifier = make(Memory())
    assert [notifier.send(Event.EXIT, f"trade {i}: +$5") for i in range(5)] == ["queued"] * 5
    assert notifier.send(Event.EXIT, "trade 4: +$5") == "too often"


def test_a_clock_that_was_set_back_silences_nothing(make: Make, clock: FakeClock) -> None:
    notifier = make(Memory())
    notifier.send(Event.DAILY_LOSS_LIMIT, "-$500")
    assert notifier._channels[0].drained(60)
    clock.wall -= 3600 * NS
    assert notifier.send(Event.DAILY_LOSS_LIMIT, "-$500") == "queued"


@pytest.mark.parametrize("event", [Event.STARTUP, Event.MARKET_OPEN, Event.DAILY_SUMMARY])
def test_once_a_day_means_the_date_in_new_york_and_outlives_the_process(
    make: Make, clock: FakeClock, event: Event
) -> None:
    first = make(Memory())
    assert first.send(event, "a") == "queued"
    first.close()
    second = make(Memory())
    assert second.send(event, "b") == "once a day"
    clock.advance(10 * 3600)  # 20:00 ET, the next day in UTC
    assert second.send(event, "c") == "once a day"
    clock.advance(4 * 3600)  # midnight in New York
    assert second.send(event, "d") == "queued"


def test_a_notice_that_failed_is_tried_again_and_arrives_once(make: Make) -> None:
    backend = Failing(times=2)
    notifier = make(backend, tries=3)
    notifier.send(Event.EXIT, "trade 1")
    assert notifier.close(60)
    assert (backend.attempts, len(backend.sent)) == (3, 1)
    assert notifier.counts()["service-0"] == {"failed": 2, "sent": 1}


def test_below_an_emergency_it_is_given_up_after_its_tries(make: Make) -> None:
    backend = Failing(times=10**9)
    notifier = make(backend, tries=3)
    notifier.send(Event.BREAKER, "five losses")
    assert notifier.close(60)
    assert backend.attempts == 3
    assert notifier.counts()["service-0"] == {"failed": 3, "lost": 1}


def test_after_three_failures_the_service_is_left_alone_until_one_try_gets_through(make: Make) -> None:
    backend = Failing(times=3)
    notifier = make(backend, open_s=3600, open_max_s=3600)
    notifier.send(Event.RECONCILE_MISMATCH, "short 600 C")
    until(lambda: notifier.states() == {"service-0": "open"})
    for i in range(100):
        notifier.send(Event.EXIT, f"trade {i}")
    assert backend.attempts == 3
    # Half open: the time is up, and the one try succeeds.
    channel = notifier._channels[0]
    with channel._condition:
        channel._ready_at = 0.0
        channel._condition.notify_all()
    assert notifier.close(60)
    assert notifier.states() == {"service-0": "ok"}
    assert len(backend.sent) == 101


def test_an_emergency_that_was_not_sent_outlives_the_process_without_secrets(
    make: Make, tmp_path: Path, clock: FakeClock
) -> None:
    first = make(Failing(times=10**9), open_s=3600, open_max_s=3600)
    first.send(Event.KILL_SWITCH, f"thrown, {SECRET}")
    first.send(Event.EXIT, "trade 1")
    outbox = tmp_path / "unsent-service-0.json"
    until(outbox.exists)
    first.close(0)
    assert SECRET not in outbox.read_text()
    assert [row["event"] for row in json.loads(outbox.read_text())] == ["kill switch"]
    clock.advance(3600)
    memory = Memory()
    second = make(memory)
    assert second.close(60)
    assert memory.sent == [
        ("[PAPER] Kill switch", "thrown, ***\n2025-11-20 10:00:00 ET · data age unknown", 2)
    ]
    assert not outbox.exists()


def test_an_emergency_of_yesterday_is_not_sent_any_more(make: Make, tmp_path: Path, clock: FakeClock) -> None:
    first = make(Failing(times=10**9), open_s=3600, open_max_s=3600)
    first.send(Event.KILL_SWITCH, "thrown")
    until((tmp_path / "unsent-service-0.json").exists)
    first.close(0)
    clock.advance(86_401)
    memory = Memory()
    assert make(memory).close(60)
    assert memory.sent == []


def test_a_torn_file_of_either_kind_is_no_reason_not_to_start(make: Make, tmp_path: Path) -> None:
    (tmp_path / "unsent-service-0.json").write_text('[{"event"')
    (tmp_path / "notified.json").write_text("[1]")
    memory = Memory()
    notifier = make(memory)
    assert notifier.send(Event.STARTUP, "a") == "queued"
    assert notifier.close(60)
    assert len(memory.sent) == 1


KILLED = """
import sys, threading
from pathlib import Path
from maxlib.ops.backends import Memory
from maxlib.ops.events import Event
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker
class Hanging(Memory):
    label = "service-0"
    def send(self, *_): threading.Event().wait()
notifier = Notifier([Hanging()], Path(sys.argv[1]), "PAPER", masker=Masker())
notifier.send(Event.TEST, "hangs")
notifier.send(Event.KILL_SWITCH, "thrown")
threading.Event().wait()
"""


def test_an_emergency_behind_a_hanging_one_survives_kill_9(make: Make, tmp_path: Path) -> None:
    outbox = tmp_path / "unsent-service-0.json"
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path]) as process:
        try:
            until(outbox.exists)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    # Its stamp is of the real clock: a fake one of last year would not call it too old.
    memory = Memory()
    assert make(memory).close(60)
    assert [title for title, *_ in memory.sent] == ["[PAPER] Kill switch"]


def test_a_dead_service_delays_no_other(make: Make) -> None:
    hanging, memory = Hanging(), Memory()
    notifier = make(hanging, memory)
    for i in range(20):
        notifier.send(Event.EXIT, f"trade {i}")
    until(lambda: len(memory.sent) == 20)
    assert hanging.sent == []
    hanging.go.set()


def test_a_thread_that_never_returns_is_given_up_for_another_and_then_the_service_is_off(make: Make) -> None:
    hanging = Hanging()
    notifier = make(hanging, stuck_s=0.01, abandon=1)
    notifier.send(Event.KILL_SWITCH, "thrown")
    hanging.entered.acquire(timeout=60)
    hanging.entered.acquire(timeout=60)  # a second thread tried the same notice
    until(lambda: notifier.states() == {"service-0": "off"})
    assert notifier.send(Event.EXIT, "trade 1") == "queued"
    assert notifier.counts()["service-0"]["failed"] == 2
    hanging.go.set()


def test_a_service_gets_no_more_than_its_notices_a_minute(make: Make) -> None:
    memory = Memory()
    notifier = make(memory, per_minute=5)
    for i in range(20):
        notifier.send(Event.EXIT, f"trade {i}")
    until(lambda: len(memory.sent) == 5)
    assert not notifier.close(0)
    assert len(memory.sent) == 5


@pytest.mark.parametrize("length", [1, 970, 980, 981, 5000])
def test_a_long_text_loses_its_end_but_not_the_time_and_the_datas_age(make: Make, length: int) -> None:
    memory = Memory(title_max=10, body_max=1024)
    notifier = make(memory)
    notifier.send(Event.EXIT, "x" * length, data_age_s=1)
    assert notifier.close()
    ((title, body, _),) = memory.sent
    footer = "\n2025-11-20 10:00:00 ET · data 1 s old"
    room = 1024 - len(footer)
    assert body == ("x" * length if length <= room else "x" * (room - 1) + "…") + footer
    assert len(body) == min(length, room) + len(footer)
    assert title == "[PAPER] E…"
