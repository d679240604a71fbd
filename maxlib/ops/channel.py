"""One service's queue and thread: what waits for it, what failed, and when it may be tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from maxlib.core.canonical import canonical
from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.ops.backends import Backend
from maxlib.ops.text import Masker, trim

URGENT: Final = 2
_MINUTE_S: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


class ChannelConfig(Config):
    """How a service is treated; times in seconds.

    Attributes
    ----------
    capacity : notices that may wait; beyond it the least urgent, oldest goes
    tries : attempts for a notice below priority 2; those are tried until `keep_s`
    rest_s : pause after a failure
    break_after, open_s, open_max_s : after so many failures in a row the service is left alone for so
        long, doubling up to the bound
    per_minute : most notices in any 60 s
    stuck_s : a send that takes longer counts as failed; its thread is abandoned
    abandon : most threads given up in this way; then the channel is off
    keep_s : age at which an unsent notice of priority 2 is dropped
    """

    capacity: int = Field(default=200, ge=1, le=10_000)
    tries: int = Field(default=3, ge=1)
    rest_s: float = Field(default=5.0, gt=0)
    break_after: int = Field(default=3, ge=1)
    open_s: float = Field(default=60.0, gt=0)
    open_max_s: float = Field(default=900.0, gt=0)
    per_minute: int = Field(default=20, ge=1)
    stuck_s: float = Field(default=30.0, gt=0)
    abandon: int = Field(default=3, ge=0)
    keep_s: float = Field(default=86_400.0, gt=0)


class Notice(Config):
    """One notification on its way; `alike` counts those that were folded into it."""

    event: str
    key: str
    priority: int = Field(ge=-1, le=URGENT)
    title: str
    text: str
    footer: str
    wall_ns: int
    alike: int = 0
    tries: int = 0


_UNSENT: Final = TypeAdapter(list[Notice])


class Channel:
    """A bounded queue before one back end, emptied by a thread of its own.

    Parameters
    ----------
    outbox : file in which unsent notices of priority 2 outlive this process; `save` writes it
    changed : called when `save` has something to do
    """

    def __init__(
        self,
        backend: Backend,
        config: ChannelConfig,
        outbox: Path,
        changed: Callable[[], None],
        masker: Masker,
        now_ns: Callable[[], int],
    ) -> None:
        self._backend = backend
        self._config = config
        self._outbox = outbox
        self._changed = changed
        self._masker = masker
        self._now_ns = now_ns
        self._condition = threading.Condition()
        self._waiting: list[Notice] = self._left_over()
        self._saved: list[Notice] = list(self._waiting)
        self._flying: Notice | None = None
        self._flying_since = 0.0
        self._sent_at: deque[float] = deque(maxlen=config.per_minute)
        self._ready_at = 0.0
        self._failures = 0
        self._abandoned = 0
        self._generation = 0
        self._closing = False
        self.counts: Counter[str] = Counter()
        self._spawn()

    @property
    def label(self) -> str:
        """The back end's name."""
        return self._backend.label

    @property
    def state(self) -> Literal["ok", "resting", "open", "off"]:
        """Whether the service is used: `open` after failures in a row, `off` for good."""
        if self._abandoned > self._config.abandon:
            return "off"
        if self._failures >= self._config.break_after:
            return "open"
        return "resting" if self._failures else "ok"

    def offer(self, notice: Notice) -> Literal["queued", "collapsed", "dropped"]:
        """Put `notice` into the queue; never waits for the service."""
        with self._condition:
            for i, other in enumerate(self._waiting):
                if (other.event, other.key) == (notice.event, notice.key):
                    # The newest text, with the place in the queue of the oldest.
                    self._waiting[i] = notice.model_copy(update={"alike": other.alike + notice.alike + 1})
                    self.counts["collapsed"] += 1
                    return "collapsed"
            self._waiting.append(notice)
            outcome: Literal["queued", "dropped"] = "queued"
            if len(self._waiting) > self._config.capacity:
                least = min(self._waiting, key=lambda n: n.priority)  # the oldest of the least urgent
                self._waiting.remove(least)
                self.counts["dropped"] += 1
                outcome = "dropped" if least is notice else "queued"
            self._condition.notify_all()
        return outcome

    def tend(self) -> None:
        """Give up a thread whose send takes too long; call it now and then."""
        with self._condition:
            late = self._flying is not None and time.monotonic() - self._flying_since > self._config.stuck_s
            if not late:
                return
            self._generation += 1
            self._abandoned += 1
            self._settle(False)
            _LOG.warning("%s does not answer for %g s", self.label, self._config.stuck_s)
            if self.state != "off":
                self._spawn()
        self._changed()

    def save(self) -> None:
        """Write the outbox if it no longer says what is unsent."""
        with self._condition:
            unsent = self._unsent()
            if unsent == self._saved:
                return
        try:
            if unsent:
                write_atomic(self._outbox, canonical([n.model_dump() for n in unsent]))
            else:
                self._outbox.unlink(missing_ok=True)
        except (DataError, OSError) as error:
            _LOG.warning("unsent notifications cannot be kept: %s", error)
        else:
            self._saved = unsent

    def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is left to send; False if the time was not enough."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._waiting and self._flying is None, timeout_s)

    def close(self) -> None:
        """Send no more. The thread ends with its present send, or with the process."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def _spawn(self) -> None:
        # A daemon: a service that hangs must not keep the process from ending.
        threading.Thread(
            target=self._work, args=(self._generation,), name=f"notify-{self.label}", daemon=True
        ).start()

    def _work(self, generation: int) -> None:
        while (notice := self._next(generation)) is not None:
            ok = self._deliver(notice)
            with self._condition:
                if generation != self._generation:
                    return  # given up meanwhile; another thread has the queue
                self._settle(ok)
            self._changed()

    def _next(self, generation: int) -> Notice | None:
        with self._condition:
            while not self._closing and generation == self._generation:
                wait = self._wait()
                if wait is not None and wait <= 0:
                    return self._take()
                self._condition.wait(wait)
        return None

    def _wait(self) -> float | None:
        """Seconds until the next send may begin; None = until there is something to send."""
        if not self._waiting:
            return None
        now = time.monotonic()
        full = len(self._sent_at) == self._config.per_minute
        budget = self._sent_at[0] + _MINUTE_S if full else 0.0
        return max(self._ready_at, budget) - now

    def _take(self) -> Notice:
        notice = max(self._waiting, key=lambda n: n.priority)  # the oldest of the most urgent
        self._waiting.remove(notice)
        self._flying, self._flying_since = notice, time.monotonic()
        self._sent_at.append(self._flying_since)
        return notice

    def _deliver(self, notice: Notice) -> bool:
        backend = self._backend
        text = notice.text + (f" (+{notice.alike} alike)" if notice.alike else "")
        footer = backend.escape(notice.footer)
        body = trim(backend.escape(text), backend.body_max - len(footer) - 1) + "\n" + footer
        try:
            title = trim(backend.escape(notice.title), backend.title_max)
            return backend.send(title, trim(body, backend.body_max), notice.priority)
        except Exception as error:  # noqa: BLE001 - the edge: any fault of a client is a failed attempt
            _LOG.warning("%s: %s: %s", self.label, type(error).__name__, self._masker(str(error)))
            return False

    def _settle(self, ok: bool) -> None:
        """Book the outcome of the present send."""
        notice, self._flying = self._flying, None
        assert notice is not None
        self.counts["sent" if ok else "failed"] += 1
        _LOG.info("%s: %s %s", self.label, notice.event, "sent" if ok else "not sent")
        if ok:
            self._failures = 0
        else:
            self._failures += 1
            self._ready_at = time.monotonic() + self._rest_s()
            self._again(notice)
        self._condition.notify_all()

    def _again(self, notice: Notice) -> None:
        notice = notice.model_copy(update={"tries": notice.tries + 1})
        if notice.priority < URGENT and notice.tries >= self._config.tries:
            self.counts["lost"] += 1
        elif not self._expired(notice):
            self._waiting.insert(0, notice)

    def _rest_s(self) -> float:
        over = self._failures - self._config.break_after
        if over < 0:
            return self._config.rest_s
        return min(self._config.open_s * 2.0 ** min(over, 20), self._config.open_max_s)

    def _unsent(self) -> list[Notice]:
        flying = [] if self._flying is None else [self._flying]
        # Without the count of tries: one more failure is no reason to write the file again.
        return [n.model_copy(update={"tries": 0}) for n in (*flying, *self._waiting) if n.priority == URGENT]

    def _expired(self, notice: Notice) -> bool:
        return self._now_ns() - notice.wall_ns > self._config.keep_s * 1e9

    def _left_over(self) -> list[Notice]:
        try:
            kept = _UNSENT.validate_json(self._outbox.read_bytes())
        except (OSError, ValidationError):
            return []
        return [n for n in kept if not self._expired(n)][-self._config.capacity :]
