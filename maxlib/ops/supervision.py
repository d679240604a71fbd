"""The supervisor's mind: `decide(policy, state, seen)` says what to do, and touches nothing.

Phases: new, then up. From up: no beat in time or no progress → killing → a failure; an exit with an
error → a failure; exit 0 → ended; a stop was asked for → stopping → ended. A failure → waiting → up
again; three failures in a row wait longer, and after three such series the trader stays down until a
person clears it. A trader that refuses to start (exit code 2) would refuse again: that is the end.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import STOPPED, Beat
from maxlib.ops.process import Identity

NS: Final = 1_000_000_000
ENDED: Final = 0
REFUSED: Final = 2
GAVE_UP: Final = 3
# A killed process that is still there waits for a disk; look again soon, complain after a minute.
_KILL_AGAIN_S: Final = 1.0
_UNDEAD_S: Final = 60.0


class Policy(Config):
    """When to wait, restart and give up; times in seconds.

    The age of the newest beat counts from before a hang, so a hang is seen within `stale_s` of its
    start; of the 60 s within which a trader must be back, 20 are left to kill, start and reconcile.

    Attributes
    ----------
    poll_s : longest time between two looks; an exit is seen at once, a stall when it is due
    stale_s : age of the newest progress that counts as a stall. Above the trader's own watchdog (30)
        by more than the time between two beats (5), so that it is the watchdog that ends a hang: only
        it leaves a traceback
    start_s : time from a start to the first heartbeat
    healthy_s : a trader that lived so long begins a new count of failures
    backoff_s, backoff_max_s : pause before the first restart; each further one doubles it
    failures_to_pause, pause_s : so many failures in a row alert, and pause
    series_to_give_up : after so many such series it stays down
    stop_s : grace between a request to stop and a kill
    """

    poll_s: float = Field(default=15.0, gt=0)
    stale_s: float = Field(default=40.0, gt=0)
    start_s: float = Field(default=60.0, gt=0)
    healthy_s: float = Field(default=120.0, gt=0)
    backoff_s: float = Field(default=1.0, gt=0)
    backoff_max_s: float = Field(default=60.0, gt=0)
    failures_to_pause: int = Field(default=3, ge=1)
    pause_s: float = Field(default=300.0, gt=0)
    series_to_give_up: int = Field(default=3, ge=1)
    stop_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Policy:
        if self.backoff_max_s < self.backoff_s:
            raise ValueError(f"backoff_max_s {self.backoff_max_s} is below backoff_s {self.backoff_s}")
        return self


class State(Config):
    """What the supervisor remembers, also across its own restarts. Times are ns of the boot clock.

    Attributes
    ----------
    since_ns : start of the phase
    until_ns : end of a wait
    born_ns : start of the child, or of the watch over one that ran before
    lived_ns : first sign of life of the child; 0 = none yet
    progress, progress_ns : its newest progress count, and when it came
    grace_ns : nobody is judged for the time before: the supervisor itself did not run
    planned_ns : when it meant to look next
    failures, series : in a row
    restarts : in all
    stopping : a stop was asked for
    """

    boot_id: str
    phase: Literal["new", "up", "killing", "stopping", "waiting", "ended", "down"] = "new"
    child: Identity | None = None
    since_ns: int = 0
    until_ns: int = 0
    born_ns: int = 0
    lived_ns: int = 0
    progress: int = -1
    progress_ns: int = 0
    grace_ns: int = 0
    planned_ns: int = 0
    failures: int = 0
    series: int = 0
    restarts: int = 0
    stopping: bool = False
    why: str = ""


class Seen(NamedTuple):
    """One look: the boot clock, the child, the heartbeat file, and whether a stop was asked for.

    `code` is the exit code of a dead child, negative for a signal, None if unknown; `clue` names the
    traceback that its watchdog left, `said` is the sentence of a refusal.
    """

    now_ns: int
    alive: bool
    code: int | None
    beat: Beat | None
    stop: bool
    clue: str = ""
    said: str = ""


class Do(Enum):
    """What is done to the trader's process."""

    START = "start"
    TERMINATE = "ask it to end"
    KILL = "end it"


class Tell(NamedTuple):
    """Notify a person."""

    event: Event
    text: str


Action = Do | Tell


class Decision(NamedTuple):
    """The new state, what to do, and when to look again; `code` is not None at the supervisor's end."""

    state: State
    actions: tuple[Action, ...]
    wait_s: float
    code: int | None = None


def decide(policy: Policy, state: State, seen: Seen) -> Decision:
    """What follows from one look. Deterministic; the caller carries it out and looks again."""
    state = _aware(policy, state, seen)
    phase = _PHASES[state.phase]
    decision = phase(policy, state, seen)
    planned = seen.now_ns + int(decision.wait_s * NS)
    return decision._replace(state=decision.state.model_copy(update={"planned_ns": planned}))


def _aware(policy: Policy, state: State, seen: Seen) -> State:
    """The state with what this look tells of time and progress."""
    changes: dict[str, object] = {"stopping": state.stopping or seen.stop}
    late = seen.now_ns - state.planned_ns
    if state.planned_ns and late > policy.stale_s / 2 * NS:
        # The machine slept, or this process was stopped: the trader had no chance to beat either.
        changes["grace_ns"] = seen.now_ns
    if (beat := _own(state, seen)) is not None:
        if not state.lived_ns:
            changes["lived_ns"] = seen.now_ns
        if beat.progress != state.progress:
            changes |= {"progress": beat.progress, "progress_ns": min(beat.boot_ns, seen.now_ns)}
    return state.model_copy(update=changes)


def _own(state: State, seen: Seen) -> Beat | None:
    """The newest beat, if it is the child's and not one that an earlier trader left."""
    beat = seen.beat
    if beat is None or beat.who.boot_id != state.boot_id:
        return None
    # The writer need not be the child itself: the command may be a wrapper.
    return beat if beat.boot_ns >= state.born_ns or beat.who == state.child else None


def _new(policy: Policy, state: State, seen: Seen) -> Decision:
    if state.stopping:
        return _end(state, "stopped before the trader was started")
    online = Tell(Event.SUPERVISOR_ONLINE, "watching the trader" if seen.alive else "starting the trader")
    decision = _watch(policy, state, seen.now_ns) if seen.alive else _start(policy, state, seen.now_ns)
    return decision._replace(actions=(online, *decision.actions))


def _watch(policy: Policy, state: State, now: int) -> Decision:
    """Take over a trader that runs already."""
    changes = {"phase": "up", "since_ns": now, "born_ns": now, "grace_ns": now, "lived_ns": 0}
    return Decision(state.model_copy(update=changes), (), policy.poll_s)


def _start(policy: Policy, state: State, now: int) -> Decision:
    changes = {
        "phase": "up",
        "child": None,
        "since_ns": now,
        "born_ns": now,
        "lived_ns": 0,
        "progress": -1,
        "progress_ns": 0,
    }
    return Decision(state.model_copy(update=changes), (Do.START,), policy.poll_s)


def _up(policy: Policy, state: State, seen: Seen) -> Decision:
    now = seen.now_ns
    if not seen.alive:
        return _gone(policy, state, seen)
    if state.stopping:
        return Decision(_phase(state, "stopping", now), (Do.TERMINATE,), policy.stop_s)
    if not state.lived_ns:
        due = max(state.born_ns, state.grace_ns) + int(policy.start_s * NS)
        what = f"no sign of life within {policy.start_s:g} s of its start"
    else:
        due = max(state.progress_ns, state.grace_ns) + int(policy.stale_s * NS)
        phase = seen.beat.phase if seen.beat else "unknown"
        what = f"no progress for {(now - state.progress_ns) / NS:.1f} s, in phase {phase!r}"
    if now >= due:
        told = Tell(Event.WATCHDOG, f"the trader shows {what}; killing it")
        changed = _phase(state, "killing", now).model_copy(update={"why": what})
        return Decision(changed, (Do.KILL, told), min(policy.poll_s, _KILL_AGAIN_S))
    if state.lived_ns and now - state.lived_ns >= policy.healthy_s * NS:
        state = state.model_copy(update={"failures": 0, "series": 0, "why": ""})
    return Decision(state, (), min(policy.poll_s, (due - now) / NS))


def _killing(policy: Policy, state: State, seen: Seen) -> Decision:
    if not seen.alive:
        return _end(state, "stopped") if state.stopping else _failed(policy, state, seen.now_ns, seen.clue)
    actions: tuple[Action, ...] = (Do.KILL,)
    if seen.now_ns - state.since_ns >= _UNDEAD_S * NS:
        text = f"the trader does not die of SIGKILL for {(seen.now_ns - state.since_ns) / NS:.0f} s"
        actions = (*actions, Tell(Event.SUPERVISOR_CRITICAL, text))
    return Decision(state, actions, min(policy.poll_s, _KILL_AGAIN_S))


def _stopping(policy: Policy, state: State, seen: Seen) -> Decision:
    if not seen.alive:
        return _end(state, "stopped")
    left = policy.stop_s - (seen.now_ns - state.since_ns) / NS
    if left <= 0:
        return Decision(_phase(state, "killing", seen.now_ns), (Do.KILL,), min(policy.poll_s, _KILL_AGAIN_S))
    return Decision(state, (), left)


def _waiting(policy: Policy, state: State, seen: Seen) -> Decision:
    if state.stopping:
        return _end(state, "stopped")
    if seen.alive:  # somebody started one by hand
        return _watch(policy, state, seen.now_ns)
    left = (state.until_ns - seen.now_ns) / NS
    return _start(policy, state, seen.now_ns) if left <= 0 else Decision(state, (), min(policy.poll_s, left))


def _gone(policy: Policy, state: State, seen: Seen) -> Decision:
    own = _own(state, seen)
    orderly = seen.code == 0 or (seen.code is None and own is not None and own.phase == STOPPED)
    if orderly or state.stopping:
        return _end(state, "the trader ended in order" if orderly else "stopped")
    if seen.code == REFUSED:
        why = f"the trader refused to start: {seen.said or 'see what it printed'}"
        told = Tell(Event.SUPERVISOR_CRITICAL, f"{why}; it is not tried again")
        refused = state.model_copy(update={"phase": "ended", "why": why, "child": None})
        return Decision(refused, (told,), 0.0, REFUSED)
    why = "it is gone" if seen.code is None else _cause(seen.code)
    return _failed(policy, state.model_copy(update={"why": why}), seen.now_ns, seen.clue)


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _failed(policy: Policy, state: State, now: int, clue: str) -> Decision:
    failures = state.failures + 1
    why = f"{state.why}; {clue}" if clue else state.why
    counted = _phase(state, "waiting", now).model_copy(
        update={"failures": failures, "restarts": state.restarts + 1, "why": why, "child": None}
    )
    if failures < policy.failures_to_pause:
        wait = min(policy.backoff_s * 2.0 ** (failures - 1), policy.backoff_max_s)
        told = (Tell(Event.RESTART, f"the trader failed: {why}; restarting"),)
        hung = (Tell(Event.WATCHDOG, f"the trader's watchdog ended a hang; {clue}"),) if clue else ()
        return _wait(policy, counted, now, wait, *hung, *told)
    series = state.series + 1
    counted = counted.model_copy(update={"failures": 0, "series": series})
    if series >= policy.series_to_give_up:
        text = (
            f"the trader failed {failures} times in a row, for the {series}. time: {why}; it stays DOWN "
            "until someone clears the supervisor"
        )
        down = counted.model_copy(update={"phase": "down"})
        return Decision(down, (Tell(Event.SUPERVISOR_CRITICAL, text),), policy.poll_s, GAVE_UP)
    text = f"the trader failed {failures} times in a row: {why}; pausing {policy.pause_s / 60:g} minutes"
    return _wait(policy, counted, now, policy.pause_s, Tell(Event.SUPERVISOR_CRITICAL, text))


def _wait(policy: Policy, state: State, now: int, wait_s: float, *told: Tell) -> Decision:
    until = state.model_copy(update={"until_ns": now + int(wait_s * NS)})
    return Decision(until, told, min(policy.poll_s, wait_s))


def _down(policy: Policy, state: State, seen: Seen) -> Decision:
    del seen
    return Decision(state, (), policy.poll_s, GAVE_UP)


def _end(state: State, why: str) -> Decision:
    return Decision(state.model_copy(update={"phase": "ended", "why": why}), (), 0.0, ENDED)


def _phase(state: State, phase: str, now: int) -> State:
    return state.model_copy(update={"phase": phase, "since_ns": now})


_PHASES: Final = {
    "new": _new,
    "up": _up,
    "killing": _killing,
    "stopping": _stopping,
    "waiting": _waiting,
    "down": _down,
}
