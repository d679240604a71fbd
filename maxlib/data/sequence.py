"""Puts the minutes of one symbol into order, and says which are missing.

Pure: it is told of bars and answers with bars, gaps and the span to fetch. The fetching is the
caller's, who reports back with `filled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from maxlib.data.live import FeedGap, LiveBar
from maxlib.market.bars import NS_PER_DAY, NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal, new_york_minutes, sessions, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_MOST_HELD: Final = 960  # a whole day, 04:00-20:00
_FURTHEST: Final = 5 * NS_PER_DAY


class Span(NamedTuple):
    """Minutes to fetch: the first begins at `start`, the last ends at `end`, UTC ns."""

    start: int
    end: int


class Step(NamedTuple):
    """What follows from a word: events to give out in order, and a span to fetch."""

    out: tuple[LiveBar | FeedGap, ...] = ()
    ask: Span | None = None


def regular_minutes(start: int, end: int) -> NDArray[np.int64]:
    """Start of each regular minute of the calendar that lies within [start, end), UTC ns.

    >>> friday, monday = from_ordinal(20091), from_ordinal(20094)
    >>> last_of_friday, monday_open = to_ns(friday, 16 * 60 - 1), to_ns(monday, 9 * 60 + 30)
    >>> len(regular_minutes(last_of_friday, monday_open + NS_PER_MINUTE))
    2
    """
    if end - start < NS_PER_MINUTE:
        return np.zeros(0, np.int64)
    first, last = new_york_minutes(np.array([start, end - 1])) // 1440
    spans = [
        to_ns(s.date, s.open_minute) + np.arange(s.minutes) * NS_PER_MINUTE
        for s in sessions(from_ordinal(int(first)), from_ordinal(int(last)))
    ]
    found = np.concatenate(spans) if spans else np.zeros(0, np.int64)
    return found[(found >= start) & (found + NS_PER_MINUTE <= end)]


class Sequencer:
    """The order of one symbol's minutes.

    A bar that leaves out regular minutes is held until somebody looked for them. Thin minutes outside
    regular hours are no holes: there, no bar means no trade.

    Parameters
    ----------
    symbol : str
    last_end : int or None
        UTC ns of the END of the last bar known already; None = the first bar starts the tape.
    """

    def __init__(self, symbol: str, last_end: int | None = None) -> None:
        self.symbol = symbol
        self.last_end = last_end
        self._asked: Span | None = None
        self._held: dict[int, LiveBar] = {}

    @property
    def filling(self) -> bool:
        """A span was asked for and not yet reported back."""
        return self._asked is not None

    def live(self, bar: LiveBar) -> Step:
        """A bar came. One that is not newer than the last passes on: the gate counts and drops it."""
        ts = int(bar.row["ts"][0])
        if self.last_end is None or ts <= self.last_end:
            self.last_end = self.last_end or ts
            return Step((bar,))
        if self._asked is not None:
            self._held.setdefault(ts, bar)
            return self.filled(()) if len(self._held) > _MOST_HELD else Step()
        start = ts - NS_PER_MINUTE
        if len(regular_minutes(self.last_end, start)):
            self._held = {ts: bar}
            self._asked = Span(self.last_end, start)
            return Step(ask=self._asked)
        self.last_end = ts
        return Step((bar,))

    def reconnected(self, now_ns: int) -> Step:
        """The feed is back: ask for every whole minute since the last bar."""
        end = now_ns // NS_PER_MINUTE * NS_PER_MINUTE
        if self.last_end is None or end <= self.last_end or self._asked is not None:
            return Step()
        # What lies further back is no hole to fill by the way: it is marked, and the caller warms up anew.
        self._asked = Span(max(self.last_end, end - _FURTHEST), end)
        return Step(ask=self._asked)

    def filled(self, bars: Iterable[LiveBar]) -> Step:
        """What the fetch brought (nothing, if it failed), in any order; then what was held meanwhile.

        Minutes that stay missing before a bar become gaps. A hole among the held bars is asked for anew.
        """
        assert self.last_end is not None
        asked, held = self._asked, [self._held[ts] for ts in sorted(self._held)]
        self._asked, self._held = None, {}
        known = {int(bar.row["ts"][0]): bar for bar in bars}
        if asked is not None:  # the minute in progress is not what was asked for
            known = {ts: bar for ts, bar in known.items() if ts <= asked.end}
        out: list[LiveBar | FeedGap] = []
        for ts in sorted(ts for ts in known if ts > self.last_end):
            out += self._gaps(self.last_end, ts - NS_PER_MINUTE)
            out.append(known[ts])
            self.last_end = ts
        ask = None
        for bar in held:
            done = asked is not None and self._asked is None
            if asked is not None and done and self.last_end < asked.end < int(bar.row["ts"][0]):
                out += self._gaps(self.last_end, asked.end)  # looked for, and not there
                self.last_end = asked.end
            step = self.live(bar)
            out += step.out
            ask = step.ask or ask
        return Step(tuple(out), ask)

    def gap(self, lost: LiveBar) -> list[FeedGap]:
        """The gap that a bar leaves which was given out and then not believed."""
        end = int(lost.row["ts"][0])
        return self._gaps(end - NS_PER_MINUTE, end)

    def _gaps(self, start: int, end: int) -> list[FeedGap]:
        missing = regular_minutes(start, end)
        if not len(missing):
            return []
        cuts = np.flatnonzero(np.diff(missing) != NS_PER_MINUTE) + 1
        return [
            FeedGap(self.symbol, int(run[0]), int(run[-1]) + NS_PER_MINUTE, len(run))
            for run in np.split(missing, cuts)
        ]
