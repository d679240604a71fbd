"""What a session's viewers and its user are told of it, in one place."""

from __future__ import annotations

import json
from collections.abc import Callable

from maxlib.app.alerts import Alerts
from maxlib.app.api import Events
from maxlib.app.occasions import Occasions
from maxlib.engine.live import LiveSession
from maxlib.ops.events import Event


class Telling:
    """Viewers hear of every change over the API's stream, people of what concerns them by notices.

    Parameters
    ----------
    clock : the market's, UTC ns
    """

    def __init__(
        self, session: LiveSession, events: Events, alerts: Alerts, clock: Callable[[], int]
    ) -> None:
        self._session, self._events, self._alerts, self._clock = session, events, alerts, clock
        trader = session.trader
        self._occasions = Occasions(trader.shell.machine.instrument.multiplier)
        self._read = trader.recovery.entries
        self._occasions.of(trader.journal.entries[: self._read])  # told when they were made

    def people(self, event: Event, text: str, key: str = "") -> None:
        """Send a notice; those of an event that may be told once a minute only are apart by `key`."""
        self._alerts.tell(event, text, key)

    def news(self) -> None:
        """The journal has grown: of what the guard noted viewers hear, of what concerns them people do."""
        entries = self._session.trader.journal.entries[self._read :]
        self._read += len(entries)
        for entry in entries:
            if entry.kind == "guard":
                self._events.publish({"event": "guard", "guard": {"ts": entry.ts, **json.loads(entry.body)}})
        for event, text, key in self._occasions.of(entries):
            self._alerts.tell(event, text, key)

    def phase(self, why: str) -> None:
        """The phase changed."""
        self._events.publish({"event": "phase", "phase": self._session.phase, "why": why})

    def process(self) -> None:
        """What the process bars entries for changed."""
        now = self._session.status(self._clock()).process
        self._events.publish({"event": "process", "process": now})

    def feed(self) -> str:
        """What the feed bars entries for changed; returns it, "" = nothing."""
        now = self._session.status(self._clock()).feed
        self._events.publish({"event": "feed", "feed": now})
        return now

    def broker(self) -> None:
        """What is known of the broker changed."""
        now = self._session.status(self._clock())
        self._events.publish({"event": "broker", "broker": now.broker, "differences": list(now.differences)})

    def bar(self) -> None:
        """A bar was taken."""
        self._events.publish({"event": "bar", "bar": self._session.bars[-1].model_dump(mode="json")})

    def marks(self, before: int) -> None:
        """Marks were made, those from number `before` on: viewers and people hear of them."""
        for mark in self._session.marks(before):
            self._events.publish({"event": mark.kind, "mark": mark.model_dump(mode="json")})
        self.news()
