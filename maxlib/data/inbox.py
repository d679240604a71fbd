"""The queue between a feed and its reader: bounded, and choosy about what it may forget."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING

from maxlib.core.errors import InvariantError
from maxlib.data.live import LiveQuote, LiveTrade, LiveValue

if TYPE_CHECKING:
    from collections.abc import Hashable

    from maxlib.data.live import Event


class Inbox:
    """Events in order of arrival, for one reader on the same event loop.

    Of a symbol's quotes, and of an index's values, only the newest unread one is kept. When the queue
    is full the oldest trade or quote goes. Bars, gaps, halts and states are never dropped.

    Parameters
    ----------
    capacity : int
        Events kept.

    Attributes
    ----------
    counts : Counter
        "coalesced" quotes and values, "dropped" trades and quotes.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: deque[tuple[int, Event]] = deque()
        self._lossy: OrderedDict[Hashable, tuple[int, Event]] = OrderedDict()
        self._number = 0
        self._filled = asyncio.Event()
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._kept) + len(self._lossy)

    def put(self, event: Event) -> None:
        """Add an event.

        Raises
        ------
        InvariantError
            If the queue is full of what must not be dropped: its reader is dead.
        """
        self._number += 1
        if isinstance(event, (LiveQuote, LiveValue)):
            key: Hashable = (type(event), event.symbol)
            self.counts["coalesced"] += self._lossy.pop(key, None) is not None
            self._lossy[key] = (self._number, event)
        elif isinstance(event, LiveTrade):
            self._lossy[self._number] = (self._number, event)
        else:
            self._kept.append((self._number, event))
        if len(self) > self._capacity:
            if not self._lossy:
                raise InvariantError(f"inbox: {self._capacity} bars and states are unread; nobody reads them")
            self._lossy.popitem(last=False)
            self.counts["dropped"] += 1
        self._filled.set()

    def pop(self) -> Event | None:
        """The oldest event, None if there is none."""
        lossy = next(iter(self._lossy.values()), None)
        if lossy is not None and (not self._kept or lossy[0] < self._kept[0][0]):
            return self._lossy.popitem(last=False)[1][1]
        return self._kept.popleft()[1] if self._kept else None

    async def filled(self) -> None:
        """Wait until there is an event."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()

    async def get(self) -> Event:
        """The oldest event; waits for one."""
        while (event := self.pop()) is None:
            await self.filled()
        return event
