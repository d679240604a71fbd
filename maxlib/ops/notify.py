"""The notifier: told by the loop, it speaks to people, and the loop never waits for it.

`send` masks a text, applies the rules of its event and puts it into the queue of each service. All else
happens in other threads: one per service, and one that keeps the files. A service that is dead, slow
or broken costs the caller nothing but the put, and the other services nothing at all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from maxlib.core.canonical import canonical, sha256
from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.market.calendar import new_york
from maxlib.ops.backends import Backend
from maxlib.ops.channel import Channel, ChannelConfig, Notice
from maxlib.ops.clock import Clock
from maxlib.ops.events import RULES, Event, Rule
from maxlib.ops.text import Masker, plain, trim

Environment = Literal["PAPER", "DELAYED", "REPLAY", "SIMULATED"]
Outcome = Literal["queued", "collapsed", "dropped", "once a day", "too often"]

_LONGEST: Final = 4096  # what goes into a queue; each service trims to its own bound
_KEYS: Final = 1000
_KEEPER_S: Final = 5.0  # the keeper only writes small files; longer means a disk that hangs
_NS: Final = 1_000_000_000
_SAID: Final = TypeAdapter(dict[str, int])


class NotifyConfig(Config):
    """Settings of the notifier.

    Attributes
    ----------
    channel : the same for every service
    stale_s : age from which a notice says that the market data is stale
    repeat_s : a word-for-word repeat of a notice without a cap of its own is held back for so long
    """

    channel: ChannelConfig = ChannelConfig()
    stale_s: float = Field(default=120.0, gt=0)
    repeat_s: float = Field(default=60.0, ge=0)


class Notifier:
    """Sends notices of one environment to all of its services.

    Parameters
    ----------
    backends : one per service
    folder : for what must outlive the process: the days and times of capped events, unsent emergencies.
        Each process has one of its own
    environment : stands in every title
    masker : takes the secrets out of every text
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        folder: Path,
        environment: Environment,
        *,
        masker: Masker,
        config: NotifyConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._environment = environment
        self._masker = masker
        self._config = config or NotifyConfig()
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._file = folder / "notified.json"
        self._said = _read(self._file)
        self._said_saved = dict(self._said)
        self._held: Counter[str] = Counter()
        self._dirty = threading.Event()
        self._closing = False
        self._channels = [
            Channel(
                backend,
                self._config.channel,
                folder / f"unsent-{backend.label}.json",
                self._dirty.set,
                masker,
                self._now,
            )
            for backend in backends
        ]
        self._keeper = threading.Thread(target=self._keep, name="notify-keeper", daemon=True)
        self._keeper.start()

    def send(
        self, event: Event, text: str, *, key: str = "", data_age_s: float | None = None, ref: str = ""
    ) -> Outcome:
        """Tell of an event; returns at once, with what became of it.

        Parameters
        ----------
        text : what happened; secrets are masked, control characters left out, long texts trimmed
        key : what makes two notices of one event alike; by default the event itself if its rule caps
            it, else the text
        data_age_s : age of the newest market data; None = not known
        ref : correlation id, such as an order's
        """
        rule = RULES[event]
        text = trim(plain(self._masker(text)), _LONGEST)
        key = key or ("" if rule.every_s or rule.once_a_day else sha256(text)[:16])
        now = self._now()
        with self._lock:
            refusal = self._capped(f"{event}|{key}", rule, now)
            alike = 0 if refusal else self._held.pop(f"{event}|{key}", 0)
        if refusal:
            return refusal
        notice = Notice(
            event=event,
            key=key,
            priority=rule.priority,
            title=f"[{self._environment}] {event.capitalize()}",
            text=text,
            footer=self._footer(now, data_age_s, ref),
            wall_ns=now,
            alike=alike,
        )
        outcomes = [channel.offer(notice) for channel in self._channels]
        self._dirty.set()
        order: tuple[Outcome, ...] = ("queued", "collapsed", "dropped")
        return min(outcomes, key=order.index, default="dropped")

    def counts(self) -> dict[str, Mapping[str, int]]:
        """What happened so far, by service: sent, failed (attempts), collapsed, dropped, lost."""
        return {channel.label: dict(channel.counts) for channel in self._channels}

    def states(self) -> dict[str, str]:
        """Each service's state: ok, resting, open or off."""
        return {channel.label: channel.state for channel in self._channels}

    def close(self, timeout_s: float = 5.0) -> bool:
        """Wait for what is queued, then end; whether all of it was sent. Emergencies are kept anyway."""
        drained = [channel.drained(timeout_s) for channel in self._channels]
        for channel in self._channels:
            channel.close()
        self._closing = True
        self._dirty.set()
        self._keeper.join(_KEEPER_S)
        return all(drained)

    def _now(self) -> int:
        return self._clock.wall_ns()

    def _capped(self, name: str, rule: Rule, now: int) -> Outcome | None:
        """Whether a rule holds this notice back; if not, it counts as said from now on."""
        last = self._said.get(name)
        if last is not None and rule.once_a_day and new_york(last).date() == new_york(now).date():
            return "once a day"
        cap = rule.every_s or self._config.repeat_s
        # A last time in the future means that the wall clock was set back: no reason for silence.
        if last is not None and not rule.once_a_day and 0 <= now - last < cap * _NS:
            self._held[name] += 1
            return "too often"
        self._said.pop(name, None)
        self._said[name] = now
        while len(self._said) > _KEYS:
            del self._said[next(iter(self._said))]
        return None

    def _footer(self, now: int, data_age_s: float | None, ref: str) -> str:
        if data_age_s is None:
            data = "data age unknown"
        elif data_age_s > self._config.stale_s:
            data = f"DATA STALE {data_age_s:.0f} s"
        else:
            data = f"data {data_age_s:.0f} s old"
        parts = [f"{new_york(now):%Y-%m-%d %H:%M:%S} ET", data, trim(plain(self._masker(ref)), 80)]
        return " · ".join(part for part in parts if part)

    def _keep(self) -> None:
        """Write what must outlive the process, and tend the channels."""
        while True:
            self._dirty.wait(timeout=1.0)
            self._dirty.clear()
            closing = self._closing
            for channel in self._channels:
                channel.tend()
                channel.save()
            self._save_said()
            if closing:
                return

    def _save_said(self) -> None:
        with self._lock:
            said = dict(self._said)
        if said == self._said_saved:
            return
        try:
            write_atomic(self._file, canonical(said))
        except DataError:
            return  # a repeat after a restart is the worst that follows; tried again at the next change
        self._said_saved = said


def _read(path: Path) -> dict[str, int]:
    try:
        return _SAID.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}
