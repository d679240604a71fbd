"""What the supervisor decides, without a process: looks in, actions out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import STOPPED, Beat
from maxlib.ops.process import Identity
from maxlib.ops.supervision import (
    NS,
    Action,
    Decision,
    Do,
    Policy,
    Seen,
    State,
    Tell,
    decide,
)

POLICY = Policy()
BOOT = "boot-1"
CHILD = Identity(pid=100, started=1, boot_id=BOOT, space="", host="here")


class Bench:
    """Drives `decide` with a clock that jumps to the moment it asked for."""

    def __init__(self, state: State | None = None, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.now = 1000.0
        self.state = state or State(boot_id=BOOT)
        self.alive = False
        self.code: int | None = None
        self.beat: Beat | None = None
        self.last: Decision | None = None

    def pulse(self, progress: int, *, at: float | None = None, phase: str = "running", **who: Any) -> None:
        at = self.now if at is None else at
        child = CHILD.model_copy(update=who)
        self.beat = Beat(who=child, boot_ns=int(at * NS), progress=progress, phase=phase, session="")

    def look(self, seconds: float | None = None, *, stop: bool = False, clue: str = "") -> Decision:
        """Look after `seconds`, by default when the last decision asked for it."""
        if seconds is None:
            seconds = self.last.wait_s if self.last else 0.0
        self.now += seconds
        seen = Seen(int(self.now * NS), self.alive, self.code, self.beat, stop, clue)
        self.last = decide(self.policy, self.state, seen)
        self.state = self.last.state
        if Do.START in self.last.actions:
            self.state = self.state.model_copy(update={"child": CHILD})
            self.alive, self.code = True, None
        return self.last

    def die(self, code: int | None) -> None:
        self.alive, self.code = False, code

    def up(self) -> "Bench":
        """Start a trader and let it live a second."""
        self.look()
        self.now += 1
        self.pulse(1)
        self.look(0)
        return self


def events(actions: tuple[Action, ...]) -> list[Event]:
    return [action.event for action in actions if isinstance(action, Tell)]


def test_it_starts_a_trader_and_says_so() -> None:
    decision = Bench().look()
    assert decision.actions == (Tell(Event.SUPERVISOR_ONLINE, "starting the trader"), Do.START)
    assert decision.wait_s == 15


def test_it_takes_over_one_that_runs_and_gives_it_the_full_time() -> None:
    bench = Bench(State(boot_id=BOOT, child=CHILD))
    bench.alive = True
    bench.pulse(7, at=10.0)  # 990 s old: it may hang, or the beat may just not have been looked at
    decision = bench.look()
    assert decision.actions == (Tell(Event.SUPERVISOR_ONLINE, "watching the trader"),)
    began = bench.now
    while Do.KILL not in bench.look().actions:
        assert bench.now < began + 60
    assert bench.now - began == pytest.approx(40)


def test_a_trader_that_beats_is_left_alone_and_looked_at_every_15_seconds() -> None:
    bench = Bench().up()
    for progress in range(2, 100):
        bench.pulse(progress, at=bench.now + 12)
        decision = bench.look()
        assert decision.actions == ()
        assert decision.wait_s == 15


@pytest.mark.parametrize("timer", [False, True])
def test_a_stall_is_killed_when_it_is_40_seconds_old_though_a_timer_beats_on(timer: bool) -> None:
    bench = Bench().up()
    since = bench.now
    while Do.KILL not in (decision := bench.look()).actions:
        assert bench.now < since + 60
        if timer:
            bench.pulse(1)  # a fresh file, but the work has come no further
    assert bench.now - since == pytest.approx(40)
    assert decision.actions[1] == Tell(
        Event.WATCHDOG, "the trader shows no progress for 40.0 s, in phase 'running'; killing it"
    )
    bench.die(-9)
    decision = bench.look()
    assert events(decision.actions) == [Event.RESTART]
    assert decision.wait_s == 1
    assert bench.look().actions == (Do.START,)
    assert bench.now - since < 45  # at most 15 s are left of the minute to start and reconcile, and some


def test_a_trader_without_a_sign_of_life_has_60_seconds() -> None:
    bench = Bench()
    bench.look()
    began = bench.now
    while Do.KILL not in (decision := bench.look()).actions:
        assert bench.now < began + 90
    assert bench.now - began == pytest.approx(60)
    assert "no sign of life within 60 s" in str(decision.actions[1])


def test_the_beat_of_an_earlier_trader_is_no_sign_of_life() -> None:
    bench = Bench()
    bench.pulse(500, at=999.0, pid=99)
    bench.look()
    assert bench.state.lived_ns == 0
    bench.look()
    assert bench.state.lived_ns == 0
    bench.pulse(1, pid=101)  # a wrapper's child writes it
    bench.look()
    assert bench.state.lived_ns > 0


def test_a_beat_of_another_boot_is_none() -> None:
    bench = Bench()
    bench.look()
    bench.pulse(3, at=bench.now + 1, boot_id="boot-0")
    bench.look()
    assert bench.state.lived_ns == 0


@pytest.mark.parametrize("away", [30.0, 8 * 3600.0])
def test_after_a_suspend_the_trader_gets_its_full_time_again(away: float) -> None:
    bench = Bench().up()
    assert bench.look(15 + away).actions == ()  # the supervisor woke first; the newest beat is old
    woke = bench.now
    while Do.KILL not in bench.look().actions:
        assert bench.now < woke + 60
    assert bench.now - woke == pytest.approx(40)


def test_failures_back_off_then_pause_then_it_stays_down() -> None:
    bench = Bench()
    bench.look()
    waits: list[float] = []
    told: list[Event] = []
    while bench.last is None or bench.last.code is None:
        bench.die(1)
        decision = bench.look(0.5)
        told += events(decision.actions)
        if decision.code is None:
            failed = bench.now
            while Do.START not in bench.look().actions:
                pass
            waits.append(round(bench.now - failed, 6))
    assert waits == [1, 2, 300, 1, 2, 300, 1, 2]
    assert told == [Event.RESTART, Event.RESTART, Event.SUPERVISOR_CRITICAL] * 3
    assert (bench.last.code, bench.state.phase, bench.state.restarts) == (3, "down", 9)
    assert "stays DOWN" in str(bench.last.actions)
    assert bench.look(10**6).actions == ()
    assert bench.last.code == 3


def test_two_healthy_minutes_begin_a_new_count() -> None:
    bench = Bench().up()
    for _ in range(2):
        bench.die(1)
        bench.look(0)
        bench.look()
        bench.pulse(1)
        bench.look(0)
    assert bench.state.failures == 2
    began = bench.now
    progress = 1
    while bench.now < began + 121:
        progress += 1
        bench.pulse(progress, at=bench.now + 10)
        bench.look()
    assert (bench.state.failures, bench.state.series) == (0, 0)
    bench.die(-11)
    assert "signal 11" in str(bench.look(0).actions)
    assert bench.state.failures == 1


def test_a_watchdogs_traceback_is_named_in_the_alert() -> None:
    bench = Bench().up()
    bench.die(1)
    decision = bench.look(0, clue="see hang-1-100.txt")
    assert events(decision.actions) == [Event.WATCHDOG, Event.RESTART]
    assert all("hang-1-100.txt" in str(action) for action in decision.actions)


@pytest.mark.parametrize(
    ("code", "phase", "ends"), [(0, "running", True), (None, STOPPED, True), (None, "running", False),
                                (1, STOPPED, False), (-9, "running", False)]
)  # fmt: skip
def test_only_an_orderly_end_ends_the_supervision(code: int | None, phase: str, ends: bool) -> None:
    bench = Bench().up()
    bench.pulse(2, phase=phase)
    bench.die(code)
    assert bench.look(0).code == (0 if ends else None)
    assert (bench.state.phase == "waiting") is not ends


def test_a_stop_is_polite_then_not() -> None:
    bench = Bench().up()
    decision = bench.look(1, stop=True)
    assert decision.actions == (Do.TERMINATE,)
    decision = bench.look(9.9)
    assert decision.actions == ()
    decision = bench.look()
    assert decision.actions == (Do.KILL,)
    bench.die(-9)
    decision = bench.look()
    assert (decision.code, decision.actions) == (0, ())


def test_a_stop_while_waiting_starts_nothing() -> None:
    bench = Bench().up()
    bench.die(1)
    bench.look(0)
    decision = bench.look(0.1, stop=True)
    assert (decision.code, decision.actions) == (0, ())


def test_what_does_not_die_is_killed_again_and_told_after_a_minute() -> None:
    bench = Bench().up()
    while Do.KILL not in bench.look().actions:
        pass
    began, told = bench.now, False
    while not told:
        decision = bench.look()
        assert decision.actions[0] == Do.KILL
        assert Do.START not in decision.actions
        told = events(decision.actions) == [Event.SUPERVISOR_CRITICAL]
    assert 60 <= bench.now - began <= 62


def test_a_trader_started_by_hand_during_a_pause_is_watched_not_doubled() -> None:
    bench = Bench().up()
    bench.die(1)
    bench.look(0)
    bench.alive, bench.code = True, None
    assert bench.look().actions == ()
    assert bench.state.phase == "up"


LOOKS = st.lists(
    st.tuples(st.floats(0, 400), st.sampled_from(["beat", "stuck", "dies", "ends", "stop", "none"])),
    max_size=60,
)


@given(LOOKS)
def test_it_never_starts_a_second_one_nor_kills_one_that_beats(looks: list[tuple[float, str]]) -> None:
    bench = Bench()
    progress = 0
    for seconds, what in looks:
        if bench.last is not None and bench.last.code is not None:
            break
        running = bench.alive
        if what == "beat" and running:
            progress += 1
            bench.pulse(progress, at=bench.now + seconds)
        elif what == "dies" and running:
            bench.die(1)
        elif what == "ends" and running:
            bench.die(0)
        was_alive, killing = bench.alive, bench.state.phase in {"killing", "stopping"}
        decision = bench.look(seconds, stop=what == "stop")
        assert not (Do.START in decision.actions and was_alive)
        if what == "beat" and running and not killing:
            assert Do.KILL not in decision.actions
        assert decision.wait_s >= 0
        assert decision.wait_s <= POLICY.poll_s


def test_a_policy_that_contradicts_itself_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"backoff_max_s 1\.0 is below backoff_s 2\.0"):
        parse(Policy, {"backoff_s": 2.0, "backoff_max_s": 1.0}, "policy")
