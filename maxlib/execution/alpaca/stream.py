"""The trade stream: connect, sign in, listen, reconcile, then every event in order, until it breaks.

Alpaca replays nothing after a gap. So the books are reconciled by query after *each* connect, while new
events wait in the socket: what happened in the gap is learned by query, what happens during the query
by both ways, and `reconcile.hear` takes it in once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from maxlib.data.resilience import BackoffConfig, delay_s
from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.reasons import Complaint, VenueError, complaint

LARGEST_FRAME: Final = 2**20
REMEMBERED: Final = 10_000
"""Execution ids. An older duplicate is still caught by what it would add to its order: nothing."""

_LOG: Final = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # at DEBUG the library writes every frame, and the first holds the keys

Sleep = Callable[[float], Awaitable[None]]


class TradeStream:
    """One connection at a time to the stream of our own orders' events.

    Attributes
    ----------
    counts : events, duplicates, malformed and other frames, connects; for the health panel
    connected : the stream is signed in and the books were reconciled since

    Parameters
    ----------
    on_update : takes in an event; called in the order of arrival
    reconcile : learns by query what happened while nobody listened. If it raises VenueError, the
        connection is given up and made anew.
    sleep : waits between two attempts
    ping_s : a connection that does not answer a ping within this time is dead, whatever the socket says
    """

    def __init__(
        self,
        config: AlpacaConfig,
        keys: Keys,
        on_update: Callable[[wire.TradeUpdate], Awaitable[None]],
        reconcile: Callable[[], Awaitable[None]],
        *,
        backoff: BackoffConfig | None = None,
        rng: random.Random | None = None,
        sleep: Sleep = asyncio.sleep,
        ping_s: float = 10.0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.connected = False
        self._config = config
        self._keys = keys
        self._on_update = on_update
        self._reconcile = reconcile
        self._backoff = backoff or BackoffConfig()
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._ping_s = ping_s
        self._failures = 0
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises
        ------
        VenueError
            UNAUTHORIZED or CONNECTION_LIMIT: trying again would be in vain, or a duel with the other holder.
        """
        while True:
            self.counts["connects"] += 1
            try:
                await self._session()
            except InvalidStatus as error:
                found = complaint(error.response.status_code, bytes(error.response.body or b""))
                if found.reason in ("UNAUTHORIZED", "FORBIDDEN", "CONNECTION_LIMIT"):
                    raise VenueError("trade stream", found) from None
            except VenueError as error:
                if error.complaint.reason in ("UNAUTHORIZED", "CONNECTION_LIMIT"):
                    raise
            except (WebSocketException, OSError, TimeoutError):
                self.counts["breaks"] += 1
            finally:
                self.connected = False
            self._failures += 1
            await self._sleep(delay_s(self._backoff, self._failures, self._rng))

    async def _session(self) -> None:
        """One connection, to its end."""
        async with connect(
            self._config.stream_url,
            open_timeout=self._config.connect_s,
            ping_interval=self._ping_s,
            ping_timeout=self._ping_s,
            close_timeout=self._ping_s,
            max_size=LARGEST_FRAME,
            logger=_LOG,
            proxy=None if self._config.loopback else True,
        ) as socket:
            await self._sign_in(socket)
            await self._reconcile()
            self.connected = True
            async for frame in socket:
                self._failures = 0
                await self._take(frame)

    async def _sign_in(self, socket: ClientConnection) -> None:
        key, secret = self._keys.key.get_secret_value(), self._keys.secret.get_secret_value()
        keys = {"key_id": key, "secret_key": secret}
        await socket.send(json.dumps({"action": "authenticate", "data": keys}))
        status = (await self._answer(socket, "authorization")).get("status")
        if status != "authorized":
            raise VenueError("trade stream", Complaint("UNAUTHORIZED", message=f"status {str(status)[:40]}"))
        await socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        listening = (await self._answer(socket, "listening")).get("streams")
        if listening != ["trade_updates"]:
            raise VenueError(
                "trade stream", Complaint("GARBLED", message=f"listening to {str(listening)[:40]}")
            )

    async def _answer(self, socket: ClientConnection, stream: str) -> dict[str, Any]:
        async with asyncio.timeout(self._config.read_s):
            while True:
                try:
                    message = wire.mapping(wire.decode(await socket.recv()))
                    data = dict(wire.mapping(message.get("data")))
                except wire.WireError:
                    self.counts["malformed"] += 1
                    continue
                if data.get("code") == 406:
                    raise VenueError("trade stream", Complaint("CONNECTION_LIMIT", code=406))
                if message.get("stream") == stream:
                    return data

    async def _take(self, frame: str | bytes) -> None:
        try:
            update = wire.trade_update(frame)
        except wire.WireError:
            self.counts["malformed"] += 1
            return
        if update is None:
            self.counts["other"] += 1
        elif update.execution_id and update.execution_id in self._seen:
            self.counts["duplicates"] += 1
        else:
            if update.execution_id:
                self._seen[update.execution_id] = None
                if len(self._seen) > REMEMBERED:
                    self._seen.popitem(last=False)
            self.counts["events"] += 1
            await self._on_update(update)
