"""The fake venue on a loopback port: Alpaca's REST interfaces and its trade stream, for any client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

import uvicorn
from pydantic import SecretStr

from maxlib.core.errors import MaxTraderError
from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.fake_api import FAKE_KEY, FAKE_SECRET, FakeApi, Request, Response
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.rest import rfc3339

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

FAKE_KEYS = Keys(key=SecretStr(FAKE_KEY), secret=SecretStr(FAKE_SECRET))


@dataclass
class _Listener:
    """One connection to the stream. `told`: how many events it needs no more; None = it does not listen."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    told: int | None = None

    async def woken(self, listening: asyncio.Future[None]) -> bool:
        """Wait for news; False = the client has left."""
        waiting = asyncio.ensure_future(self.wake.wait())
        await asyncio.wait((waiting, listening), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self.wake.clear()
        return not listening.done()


class FakeServer:
    """Serves a FakeApi in a thread of its own, until `close`.

    The venue belongs to the server's lock: whoever moves it from outside does so by `do`.

    Parameters
    ----------
    port : 0 = any free one
    binary : frames of the stream are binary, as on Alpaca's paper account
    """

    def __init__(self, api: FakeApi, *, port: int = 0, binary: bool = True) -> None:
        self.api = api
        self.lock = threading.RLock()
        self.streams = 0
        """Connections that are signed in to the trade stream; the vendor allows one."""
        self._binary = binary
        self._wakes: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(64)  # a client that comes before the thread runs waits in line
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            ws="websockets-sansio",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            ws_ping_interval=None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="fake-alpaca", daemon=True)
        api.venue.published = self._publish

    @property
    def url(self) -> str:
        """Base address of both REST interfaces."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def config(self, **changes: Any) -> AlpacaConfig:
        """Settings of a client of this server."""
        return AlpacaConfig(trading_url=self.url, data_url=self.url, loopback=True, **changes)

    def start(self) -> Self:
        """Serve from now on."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End all connections and the thread."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.ident is not None:
            self._thread.join(10)
            if self._thread.is_alive():
                raise MaxTraderError(f"fake venue at {self.url}: still running 10 s after it was closed")
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, deed: Callable[[FakeVenue], T]) -> T:
        """Do something with the venue while no request is being answered."""
        with self.lock:
            return deed(self.api.venue)

    def advance(self, now: int) -> None:
        """Move the venue's clock (UTC ns)."""
        self.do(lambda venue: venue.advance(now))

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def _publish(self) -> None:
        """Wake the streams; called with the lock held, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            for wake in tuple(self._wakes):
                self._loop.call_soon_threadsafe(wake.set)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._stream(scope, receive, send)

    # --- REST

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self.lock:
            answer = self.api.handle(Request(scope["method"], scope["path"], params, headers, body))
        if isinstance(answer, Response):
            await self._send(answer, send)
        while answer == "hang" and (await receive())["type"] != "http.disconnect":
            pass

    async def _send(self, answer: Response, send: Send) -> None:
        headers = {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
            **answer.headers,
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        if answer.status == 204:
            raw = [row for row in raw if row[0] != b"content-length"]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        cut = answer.sent is not None
        # A body that ends before its length makes the server break the connection.
        await send({"type": "http.response.body", "body": answer.body[: answer.sent], "more_body": cut})

    # --- trade stream

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] != "/stream":
            await send({"type": "websocket.close", "code": 1000})
            return
        await send({"type": "websocket.accept"})
        if not await self._signed_in(receive, send):
            return
        listener = _Listener()
        self.streams += 1
        self._wakes.add(listener.wake)
        listening = asyncio.ensure_future(self._listen(receive, send, listener))
        try:
            while await listener.woken(listening):
                if not await self._tell(send, listener):
                    return
        finally:
            listening.cancel()
            self._wakes.discard(listener.wake)
            self.streams -= 1

    async def _signed_in(self, receive: Receive, send: Send) -> bool:
        message = await self._message(receive)
        if message is None:
            return False
        data = message.get("data") or {}
        good = (data.get("key_id"), data.get("secret_key")) == (FAKE_KEY, FAKE_SECRET)
        if good and self.streams:
            error = {"code": 406, "error": "connection limit exceeded"}
            await self._frame(send, {"stream": "error", "data": error})
            await send({"type": "websocket.close", "code": 1008})
            return False
        status = "authorized" if good else "unauthorized"
        await self._frame(
            send, {"stream": "authorization", "data": {"status": status, "action": "authenticate"}}
        )
        return good

    async def _listen(self, receive: Receive, send: Send, listener: _Listener) -> None:
        """Take listen requests until the client leaves. Nothing from before the request is ever told."""
        while (message := await self._message(receive)) is not None:
            wanted = (message.get("data") or {}).get("streams", [])
            streams = [name for name in wanted if name == "trade_updates"]
            with self.lock:
                listener.told = len(self.api.venue.events) if streams else None
            await self._frame(send, {"stream": "listening", "data": {"streams": streams}})
            listener.wake.set()

    async def _tell(self, send: Send, listener: _Listener) -> bool:
        """Send what is new; False = a fault broke the connection."""
        if listener.told is None:
            return True
        with self.lock:
            events = self.api.venue.events[listener.told :]
            breaks = [self.api.faults.hit("disconnect") for _ in events]
        for event, broken in zip(events, breaks, strict=True):
            listener.told += 1
            await self._frame(send, {"stream": "trade_updates", "data": update_json(event)})
            if broken:
                await send({"type": "websocket.close", "code": 1012})
                return False
        return True

    async def _message(self, receive: Receive) -> dict[str, Any] | None:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        try:
            return dict(wire.mapping(wire.decode(message.get("text") or message.get("bytes") or b"")))
        except wire.WireError:
            return {}

    async def _frame(self, send: Send, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        await send(
            {"type": "websocket.send", **({"bytes": text.encode()} if self._binary else {"text": text})}
        )


def update_json(event: MutableMapping[str, Any]) -> dict[str, Any]:
    """An event of the venue as the stream writes it."""
    at = rfc3339(event["at"])
    return {name: value for name, value in event.items() if name != "at"} | {"timestamp": at, "at": at}
