"""The supervisor: a process of its own that keeps one trader running; `decide` in `supervision` is its mind.

This file is its hands: it starts, watches and kills the trader, and remembers across its own
restarts. It shares nothing with the trader but the heartbeat file.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from maxlib.core.canonical import canonical
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.ops.child import Child
from maxlib.ops.clock import Clock
from maxlib.ops.events import Event
from maxlib.ops.heartbeat import Beat, read_beat
from maxlib.ops.process import Identity
from maxlib.ops.supervision import (
    REFUSED,
    Action,
    Decision,
    Do,
    Policy,
    Seen,
    State,
    Tell,
    decide,
)
from maxlib.ops.watchdog import hangs

HEARTBEAT: Final = "heartbeat.json"
STATE: Final = "supervisor.json"
REFUSAL: Final = "refused.txt"
"""The sentence of a trader that refused to start."""
_NOT_FOUND: Final = 127
_LOG: Final = logging.getLogger(__name__)

Notify = Callable[[Event, str], object]


class Outcome(NamedTuple):
    """How supervision ended: exit code (0 in order, 2 refused, 3 the trader stays down), one sentence."""

    code: int
    sentence: str


def supervise(
    command: Sequence[str],
    folder: Path,
    notify: Notify,
    policy: Policy | None = None,
    *,
    clear: bool = False,
) -> Outcome:
    """Keep `command` running until it ends in order, a signal asks for the end, or it fails too often.

    SIGTERM and SIGINT end the trader too, politely first. A supervisor that was killed leaves the
    trader alone; the next one takes it over.

    Parameters
    ----------
    command : the trader, as an argument list; no secrets, which belong in the environment
    folder : holds the heartbeat (`HEARTBEAT`), the watchdog's tracebacks and this function's state
    notify : told of each event; must not block, and may fail
    clear : start anew although the last supervisor gave up

    Returns
    -------
    Outcome
        Of code 2 at once if another supervisor has the folder, or the trader refuses to start; of code 3
        if the trader stays down.
    """
    if not hasattr(os, "pidfd_open"):
        return Outcome(REFUSED, "the supervisor needs Linux 5.3 or newer: this system has no pidfd_open")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / f"{STATE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return Outcome(REFUSED, f"{folder} cannot be written: {error.strerror}")
    with _sole(lock) as sole, _signals() as asked:
        if not sole:
            return Outcome(REFUSED, f"another supervisor watches {folder}")
        return _Supervisor(command, folder, notify, policy or Policy(), asked).run(clear)


class _Supervisor:
    def __init__(
        self, command: Sequence[str], folder: Path, notify: Notify, policy: Policy, asked: _Asked
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._notify = notify
        self._policy = policy
        self._asked = asked
        self._clock = Clock()
        self._child: Child | None = None
        self._code: int | None = None

    def run(self, clear: bool) -> Outcome:
        state = recall(self._folder / STATE, self._clock.boot_id(), clear=clear)
        if state.child is not None:
            self._adopt(state.child)
        while True:
            seen = self._look()
            if self._child is not None:
                state = state.model_copy(update={"child": self._child.who})
            decision = decide(self._policy, state, seen)
            # Before the deed: a supervisor that dies in between must still know of the failure.
            self._remember(decision.state)
            state = self._carry_out(decision)
            if decision.code is not None:
                return Outcome(decision.code, _last_words(state))
            failed_to_start = state.phase == "up" and self._child is None
            self._pause(0.0 if failed_to_start else decision.wait_s)

    def _adopt(self, who: Identity) -> None:
        self._child = Child.adopt(who)
        if self._child is not None:
            self._code = None

    def _look(self) -> Seen:
        beat = read_beat(self._folder / HEARTBEAT)
        if self._child is None and beat is not None:
            self._adopt(beat.who)
        alive = self._child is not None and self._child.alive()
        if self._child is not None and not alive:
            self._code = self._child.reap()
            self._child = None
            beat = read_beat(self._folder / HEARTBEAT)  # it may have written its last one meanwhile
        return Seen(
            self._clock.boot_ns(), alive, self._code, beat, self._asked.flag, self._clue(beat), self._said()
        )

    def _clue(self, beat: Beat | None) -> str:
        """The traceback that the watchdog of the newest trader left, by file name."""
        fired = hangs(self._folder)
        mine = [path.name for path in fired if beat and path.stem.endswith(f"-{beat.who.pid}")]
        return f"see {mine[-1]}" if mine else ""

    def _said(self) -> str:
        try:
            return (self._folder / REFUSAL).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def _carry_out(self, decision: Decision) -> State:
        state = decision.state
        for action in decision.actions:
            state = self._act(action, state)
        return state

    def _act(self, action: Action, state: State) -> State:
        match action:
            case Do.START:
                return self._start(state)
            case Do.TERMINATE if self._child is not None:
                self._child.terminate()
            case Do.KILL if self._child is not None:
                self._child.kill()
            case Tell(event, text):
                self._tell(event, text)
            case _:
                pass
        return state

    def _start(self, state: State) -> State:
        with contextlib.suppress(OSError):
            (self._folder / REFUSAL).unlink()  # an older one
        started = Child.start(self._command)
        if isinstance(started, OSError):
            _LOG.error("the trader cannot be started: %s: %s", self._command[0], started.strerror)
            self._code = _NOT_FOUND
            return state
        self._child, self._code = started, None
        state = state.model_copy(update={"child": started.who})
        self._remember(state)
        return state

    def _tell(self, event: Event, text: str) -> None:
        _LOG.warning("%s: %s", event, text)
        try:
            self._notify(event, text)
        except Exception as error:  # noqa: BLE001 - whatever fails in telling must not end the watch
            _LOG.error("the notification failed: %s", type(error).__name__)

    def _remember(self, state: State) -> None:
        try:
            write_atomic(self._folder / STATE, canonical(state.model_dump()))
        except DataError as error:
            _LOG.error("%s", error)  # a full disk is no reason to leave the trader unwatched

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond an exit of the child or a signal."""
        watched = [self._asked.descriptor]
        if self._child is not None:
            watched.append(self._child.descriptor)
        ready, _, _ = select.select(watched, [], [], max(seconds, 0.0))
        if self._asked.descriptor in ready:
            os.read(self._asked.descriptor, 512)


def recall(path: Path, boot_id: str, *, clear: bool = False) -> State:
    """What the last supervisor of this folder remembered, as far as it still counts.

    Failures and a pause outlive the supervisor, so that its own restart is no way around them; "down"
    outlives the machine. All else starts anew.
    """
    try:
        old = State.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return State(boot_id=boot_id)
    if clear:
        return State(boot_id=boot_id, child=old.child)
    if old.phase == "down":
        return old.model_copy(update={"boot_id": boot_id})
    if old.boot_id != boot_id:
        return State(boot_id=boot_id)
    phase = "waiting" if old.phase == "waiting" else "new"
    return old.model_copy(update={"phase": phase, "stopping": False, "planned_ns": 0})


def _last_words(state: State) -> str:
    if state.phase == "down":
        return f"the trader stays down ({state.why}); start the supervisor with `clear` to try again"
    return state.why


class _Asked:
    """Whether a signal asked for the end, and a descriptor that wakes a `select` when one does."""

    def __init__(self) -> None:
        self.flag = False
        self.descriptor, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ask(self, number: int, frame: object) -> None:
        del number, frame
        self.flag = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"x")

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._write)


@contextlib.contextmanager
def _signals() -> Iterator[_Asked]:
    asked = _Asked()
    # Only the main thread may set handlers; elsewhere the trader's own end is the only one.
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, asked.ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        asked.close()


@contextlib.contextmanager
def _sole(descriptor: int) -> Iterator[bool]:
    """Whether this is the only supervisor of a folder; the kernel frees the lock with the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
