"""The fake's WebSocket side: log-in, subscriptions, and messages that arrive as badly as asked for."""

from __future__ import annotations

import contextlib
import json
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from maxlib.data.massive.fake import market as m

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maxlib.data.massive.fake.config import FakeConfig

# Not at DEBUG, where it would write down the keys that clients log in with.
_LOG: Final = logging.getLogger("maxlib.data.massive.fake")
_LOG.setLevel(logging.WARNING)
CLUSTERS: Final = ("stocks", "options", "indices")
_CHANNELS: Final = {
    "stocks": ("AM", "T", "Q", "LULD"),
    "options": ("AM", "T", "Q"),
    "indices": ("AM", "V"),
}


def _status(status: str, message: str) -> dict[str, str]:
    return {"ev": "status", "status": status, "message": message}


class _Client:
    """One connection: who, where, and what it subscribed to."""

    def __init__(self, connection: ServerConnection, cluster: str) -> None:
        self.connection = connection
        self.cluster = cluster
        self.key: str | None = None
        self.channels: set[str] = set()
        self.asked: set[str] = set()  # granted or not
        self.dead = False  # half-open: it hears nothing and says nothing

    def tell(self, messages: Iterable[Any]) -> None:
        batch = list(messages)
        if batch and not self.dead:
            broadcast([self.connection], json.dumps(batch))

    def wants(self, channel: str) -> bool:
        return channel in self.channels or f"{channel.split('.')[0]}.*" in self.channels


class SocketServer:
    """Serves the clusters on loopback; messages are handed in with `push`."""

    def __init__(self, market: m.FakeMarket, config: FakeConfig) -> None:
        self._market, self._config = market, config
        self._rng = random.Random(config.seed + 1)
        self._clients: list[_Client] = []
        self._server: Server | None = None
        self._later: list[tuple[int, str, str, Any]] = []
        self._pushed = 0
        self._spiked: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.accepted = 0
        self.refusing = False
        self.auth_attempts = 0

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; returns the port."""
        self._server = await serve(
            self._converse, "127.0.0.1", port, ping_interval=None, close_timeout=1, logger=_LOG
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        for client in self._clients:
            if client.dead:
                client.connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def channels(self) -> dict[str, set[str]]:
        """Cluster -> channels that somebody is subscribed to."""
        found: dict[str, set[str]] = {cluster: set() for cluster in CLUSTERS}
        for client in self._clients:
            found[client.cluster] |= client.channels
        return found

    def asked(self, cluster: str) -> set[str]:
        """Channels of a cluster that somebody who is connected asked for, granted or not."""
        return {channel for c in self._clients if c.cluster == cluster for channel in c.asked}

    def disconnect(self) -> None:
        """Cut every connection without a word."""
        for client in self._clients:
            client.connection.transport.abort()

    def refuse(self, *, on: bool) -> None:
        """Cut every connection, and whoever connects from now on; or let them connect again."""
        if on and not self.refusing:
            self.disconnect()
        self.refusing = on

    async def settled(self) -> None:
        """Wait until every client has taken what was sent to it, or is gone.

        An answer to a ping says that all before it was read.
        """
        for client in tuple(self._clients):
            if not client.dead:
                with contextlib.suppress(ConnectionClosed):
                    await (await client.connection.ping())

    def half_open(self) -> None:
        """Let every connection stand open, deaf and silent."""
        for client in self._clients:
            client.dead = True
            client.connection.transport.pause_reading()

    def complain(self, status: str, message: str, *, close: bool) -> None:
        """Send every client a status, like `slow_consumer`, and close if told to."""
        for client in self._clients:
            client.tell([_status(status, message)])
            if close:
                client.connection.transport.close()

    # --- conversation -----------------------------------------------------------------------------

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        cluster = connection.request.path.strip("/")
        client = _Client(connection, cluster)
        self.accepted += 1
        if self.refusing:
            connection.transport.abort()
            return
        if cluster not in CLUSTERS:
            client.tell([_status("error", f"unknown cluster {cluster[:40]}")])
            return
        client.tell([_status("connected", "Connected Successfully")])
        try:
            async for text in connection:
                try:
                    said = json.loads(text)
                    action, params = said["action"], str(said["params"])
                except (ValueError, KeyError, TypeError):
                    client.tell([_status("error", "invalid message")])
                    continue
                if not await self._act(client, action, params):
                    return
        except ConnectionClosed:
            pass
        finally:
            with contextlib.suppress(ValueError):
                self._clients.remove(client)

    async def _act(self, client: _Client, action: str, params: str) -> bool:
        if action == "auth":
            self.auth_attempts += 1
            if params not in self._config.keys:
                client.tell([_status("auth_failed", "authentication failed")])
                return False
            client.key = params
            self._make_room(client)
            self._clients.append(client)
            client.tell([_status("auth_success", "authenticated")])
        elif client.key is None:
            client.tell([_status("auth_required", "Not authenticated.")])
        elif action in ("subscribe", "unsubscribe"):
            client.tell([self._subscription(client, action, each.strip()) for each in params.split(",")])
        else:
            client.tell([_status("error", "unknown action")])
        return True

    def _make_room(self, newcomer: _Client) -> None:
        """The vendor closes the OLDEST connection of a key, not the one that is too many."""
        same = [c for c in self._clients if (c.key, c.cluster) == (newcomer.key, newcomer.cluster)]
        for client in same[: max(0, len(same) + 1 - self._config.connections)]:
            client.tell([_status("max_connections", "Maximum number of websocket connections exceeded.")])
            self._clients.remove(client)
            client.connection.transport.close()

    def _subscription(self, client: _Client, action: str, channel: str) -> dict[str, str]:
        kind, _, symbol = channel.partition(".")
        client.asked.add(channel)
        if kind not in _CHANNELS[client.cluster] or not symbol:
            return _status("error", f"invalid subscription: {channel[:60]}")
        if symbol in self._config.plan.denied_tickers:
            return _status("error", f"not authorized: {channel[:60]}")
        if action == "unsubscribe":
            client.channels.discard(channel)
            return _status("success", f"unsubscribed to: {channel}")
        client.channels.add(channel)
        return _status("success", f"subscribed to: {channel}")

    # --- messages ---------------------------------------------------------------------------------

    def push(self, push: m.Push) -> None:
        """Send a message to all who want it, as well or badly as the config says."""
        if push.cluster == "options" and push.channel == "Q.*":
            for channel, message in self._option_quotes(push):
                self._one(push.cluster, channel, message)
        else:
            self._one(push.cluster, push.channel, push.message)

    def halt(self, symbol: str, ts: int, *, on: bool) -> None:
        """Say that trading in a Nasdaq stock stopped or resumed."""
        message = {
            "ev": "LULD",
            "T": symbol,
            "h": 0,
            "l": 0,
            "i": [17 if on else 18],
            "z": 3,
            "t": ts // m.MS,
            "q": 1,
        }
        self._send("stocks", f"LULD.{symbol}", message)

    def _option_quotes(self, push: m.Push) -> list[tuple[str, Any]]:
        underlying = push.message["underlying"]
        wanted = {c for client in self._clients if client.cluster == "options" for c in client.channels}
        if not any(channel.startswith(f"Q.O:{underlying}") for channel in wanted):
            return []
        chain = self._market.chains[underlying](push.ts)
        found = []
        for row in chain.rows:
            ticker = f"O:{m.contract_of_row(chain.root, row).name}"
            if f"Q.{ticker}" in wanted:
                found.append((f"Q.{ticker}", m.option_quote_message(ticker, row, push.ts)))
        return found

    def _one(self, cluster: str, channel: str, message: dict[str, Any]) -> None:
        self._pushed += 1
        due = [each for each in self._later if each[0] <= self._pushed]
        self._later = [each for each in self._later if each[0] > self._pushed]
        fault = self._draw()
        if fault == "spike" and channel in self._spiked:
            fault = None  # two alike in a row would be a move of the market
        if fault is not None and self._receivers(cluster, channel):
            self.faults[fault] += 1
        (self._spiked.add if fault == "spike" else self._spiked.discard)(channel)
        if fault in ("delay", "reorder"):
            behind = 1 if fault == "reorder" else self._config.delay_messages
            self._later.append((self._pushed + behind, cluster, channel, message))
        elif fault == "disconnect":
            self.disconnect()
        elif fault == "garble":
            for client in self._receivers(cluster, channel):
                broadcast([client.connection], json.dumps([message])[:-7])
        elif fault != "drop":
            self._send(cluster, channel, _spoilt(message, fault))
            if fault == "duplicate":
                self._send(cluster, channel, message)
        for _, *late in due:
            self._send(*late)

    def _draw(self) -> str | None:
        for fault, share in sorted(self._config.stream_faults.items()):
            if self._rng.random() < share:
                return fault
        return None

    def _receivers(self, cluster: str, channel: str) -> list[_Client]:
        return [c for c in self._clients if c.cluster == cluster and not c.dead and c.wants(channel)]

    def _send(self, cluster: str, channel: str, message: Any) -> None:
        for client in self._receivers(cluster, channel):
            client.tell([message])


_PRICES: Final = ("o", "h", "l", "c", "p", "bp", "ap", "val")


def _spoilt(message: dict[str, Any], fault: str | None) -> dict[str, Any]:
    """The message with one thing wrong in it."""
    bad = dict(message)
    if fault == "retype":
        bad[next(name for name in _PRICES if name in bad)] = "n/a"
    elif fault == "nan":
        bad[next(name for name in _PRICES if name in bad)] = float("nan")
    elif fault == "spike":
        bad.update({name: bad[name] * 100 for name in _PRICES if name in bad})
    elif fault == "cross" and "bp" in bad:
        bad["bp"], bad["ap"] = bad["ap"], bad["bp"]
    elif fault == "foreign":
        bad["T" if bad["ev"] in ("V", "LULD") else "sym"] = "ZZZZ"
    return bad
