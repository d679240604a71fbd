"""A small HTTP server that can misbehave on purpose, down to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maxlib.data.massive.fake.api import Reply
    from maxlib.data.massive.fake.config import RestFault

_MOST_HEADERS: Final = 100
_HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Request(NamedTuple):
    """A GET request; header names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Plan(NamedTuple):
    """What to answer, and what to do wrong with it."""

    reply: Reply
    fault: RestFault | None


Answer = Callable[[Request], Plan]


class HttpServer:
    """Serves GET on loopback.

    Parameters
    ----------
    answer : callable
        From a request to what is to be sent.
    retry_after_s : int or None
        Header of every 429.
    drip_s : float
        Between two bytes of a dripping answer.
    """

    def __init__(self, answer: Answer, *, retry_after_s: int | None, drip_s: float) -> None:
        self._answer = answer
        self._retry_after_s = retry_after_s
        self._drip_s = drip_s
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                plan = self._answer(request)
                if not await self._send(writer, plan):
                    break
        except (ConnectionError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _send(self, writer: asyncio.StreamWriter, plan: Plan) -> bool:
        """Send, rightly or wrongly; True = the connection may go on."""
        fault = plan.fault
        status, body = self._message(plan)
        head = self._head(status, len(body), html=fault == "html")
        if fault == "stall":
            await asyncio.Event().wait()
        elif fault in ("drip", "drip headers"):
            slow = head + body if fault == "drip headers" else body
            writer.write(b"" if fault == "drip headers" else head)
            for byte in slow[:-1]:  # it never comes to an end
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(self._drip_s)
            await asyncio.Event().wait()
        elif fault in ("truncated", "reset"):
            writer.write(head + body[: len(body) // 2])
            await writer.drain()
            if fault == "reset":
                writer.transport.abort()
            return False
        else:
            writer.write(head + body)
            await writer.drain()
            return True
        return False

    def _message(self, plan: Plan) -> tuple[int, bytes]:
        body = json.dumps(plan.reply.body).encode()
        if plan.fault == "html":
            return 200, _HTML
        if plan.fault == "short":  # half a JSON whose length is declared rightly
            return plan.reply.status, body[: len(body) // 2]
        if plan.fault in ("429", "429 empty"):
            text = (
                "You've exceeded the maximum requests per minute, please wait or upgrade your subscription."
            )
            full = json.dumps({"status": "ERROR", "request_id": "fake", "error": text}).encode()
            return 429, b"" if plan.fault == "429 empty" else full
        if plan.fault in ("500", "503"):
            return int(plan.fault), _HTML
        return plan.reply.status, body

    def _head(self, status: int, length: int, *, html: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {'text/html' if html or status >= 500 else 'application/json'}",
            f"Content-Length: {length}",
        ]
        if status == 429 and self._retry_after_s is not None:
            lines.append(f"Retry-After: {self._retry_after_s}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when the client has gone or speaks something else."""
    line = await reader.readline()
    parts = line.decode("latin-1").split()
    if len(parts) != 3 or parts[0] != "GET":
        return None
    headers = {}
    for _ in range(_MOST_HEADERS):
        line = await reader.readline()
        if line in (b"\r\n", b"\n", b""):
            break
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    target = urlsplit(parts[1])
    return Request(unquote(target.path), dict(parse_qsl(target.query)), headers)
