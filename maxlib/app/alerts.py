"""What the paper trader tells its user by notification: which occasion, in which words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from maxlib.engine.live import LiveSession, Venue
from maxlib.engine.session_views import MarkView
from maxlib.market.calendar import new_york
from maxlib.ops.backends import from_environment
from maxlib.ops.events import Event, daily_summary
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker

_EVENTS: Final = {"signal": Event.SIGNAL, "entry": Event.ENTRY, "exit": Event.EXIT}
_NS: Final = 1_000_000_000


def notifier(folder: Path, label: Venue) -> Notifier:
    """A notifier for the services of the environment; without any it writes to the log.

    Parameters
    ----------
    folder : one for each process, for what must outlive it
    label : stands in every title
    """
    folder.mkdir(parents=True, exist_ok=True)
    services = from_environment(os.environ)
    return Notifier(services, folder, label, masker=Masker.from_environment(os.environ))


class Alerts:
    """A session's notices. None of them waits for a service, and none is needed for a decision."""

    def __init__(self, notifier: Notifier, session: LiveSession) -> None:
        self._notifier = notifier
        self._session = session

    def tell(self, event: Event, text: str) -> None:
        """Tell of an occasion that is no mark."""
        self._notifier.send(event, text)

    def mark(self, mark: MarkView, now: int) -> None:
        """Tell of a signal, an entry or an exit; denials are counted in the summary only."""
        event = _EVENTS.get(mark.kind)
        if event is not None:
            age = max(0.0, (now - mark.ts) / _NS)
            text = f"{mark.text}, underlying {mark.spot:,.2f}, {new_york(mark.ts):%H:%M} New York"
            self._notifier.send(event, text, data_age_s=age)

    def summary(self) -> None:
        """The day's end."""
        figures = self._session.statistics()
        denials = sum(figures["denials"].values())
        text = daily_summary(
            trades=figures["trades"],
            wins=figures["wins"],
            pnl_cents=figures["pnl_cents"],
            denials=denials,
            still_open=len(self._session.trader.shell.machine.positions),
        )
        self._notifier.send(Event.DAILY_SUMMARY, text)

    def close(self) -> None:
        """Give the services a moment for what is queued; emergencies outlive the process."""
        self._notifier.close(2.0)
