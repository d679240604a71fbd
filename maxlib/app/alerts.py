"""What the paper trader tells its user by notification: which occasion, in which words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from maxlib.engine.live import LiveSession, Venue
from maxlib.ops.backends import from_environment
from maxlib.ops.events import Event, daily_summary
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker

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
    """A session's notices. None of them waits for a service, and none is needed for a decision.

    Parameters
    ----------
    clock : the market's, UTC ns; the age of the newest bar is measured by it
    """

    def __init__(self, notifier: Notifier, session: LiveSession, clock: Callable[[], int]) -> None:
        self._notifier, self._session, self._clock = notifier, session, clock

    def tell(self, event: Event, text: str, key: str = "") -> None:
        """Tell of an occasion, with the age of the newest bar if there is one."""
        bar = self._session.trader.last_bar
        age = None if bar is None else max(0.0, (self._clock() - bar.ts) / _NS)
        self._notifier.send(event, text, key=key, data_age_s=age)

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
        self.tell(Event.DAILY_SUMMARY, text)

    def close(self) -> None:
        """Give the services a moment for what is queued; emergencies outlive the process."""
        self._notifier.close(2.0)
