"""The trader's API: status, requests and events over HTTP and WebSocket, on this machine only.

Every route but `/health` needs the token, as `Authorization: Bearer …` (WebSocket: the same
header, or `?token=…` where a browser cannot set one). Nothing here waits for the trader's
loop, and the loop waits for nobody here: an event queue that is full loses its oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from maxlib.engine.live import LiveSession, Status
from maxlib.engine.session_views import BarView, MarkView, TradeView

HOSTS: Final = frozenset({"127.0.0.1", "localhost", "testserver"})
QUEUE: Final = 1_000
"""Events that a viewer may be behind before it loses the oldest."""

Since = Annotated[int, Query(ge=0, le=10**9, description="Number of the first one, from 0.")]
Asked = Literal["halt", "resume", "stop", "start", "kill", "reset"]


class Why(BaseModel):
    """A request's reason, for the journal, and the code that a reset needs."""

    why: str = Field(default="", max_length=200)
    code: str = Field(default="", max_length=200)


class Answer(BaseModel):
    """What became of a request: done, or the reason why it was refused."""

    done: bool
    reason: str = ""


class Events:
    """A fan-out of small JSON events to viewers; slow ones lose the oldest."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[dict[str, Any]]] = set()

    def publish(self, event: dict[str, Any]) -> None:
        """Hand an event to every viewer; never waits."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    @contextlib.contextmanager
    def listen(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of events from now on."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


def application(
    session: LiveSession,
    events: Events,
    *,
    token: str,
    clock: Callable[[], int],
    settings: dict[str, Any],
    ask: Callable[[Asked, str, str], str | None],
) -> FastAPI:
    """The API over a session.

    Parameters
    ----------
    token : what every route but `/health` asks for
    clock : now, UTC ns
    settings : the resolved configuration, without secrets
    ask : carries out a request (name, why, code); returns the reason if it is refused
    """

    def known(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "token missing or wrong")

    app = FastAPI(title="MaxTrader", version="1", docs_url=None, redoc_url=None)
    needs = [Depends(known)]

    @app.middleware("http")
    async def own_host(request: Request, call_next: Any) -> Any:
        """A foreign Host header is a rebound DNS name: no answer for it."""
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in HOSTS or "origin" in request.headers:
            return JSONResponse({"detail": "this API answers programs on this machine only"}, 403)
        return await call_next(request)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process answers; the only route without a token."""
        return {"status": "ok"}

    @app.get("/status", dependencies=needs)
    async def status() -> Status:
        return session.status(clock())

    @app.get("/positions", dependencies=needs)
    async def positions() -> list[dict[str, Any]]:
        return [p.model_dump(mode="json") for p in session.status(clock()).positions]

    @app.get("/trades", dependencies=needs)
    async def trades() -> list[TradeView]:
        return list(session.status(clock()).trades)

    @app.get("/signals", dependencies=needs)
    async def signals(since: Since = 0) -> list[MarkView]:
        return session.marks(since)

    @app.get("/bars", dependencies=needs)
    async def bars(since: Since = 0) -> list[BarView]:
        return session.bars[since:]

    @app.get("/statistics", dependencies=needs)
    async def statistics() -> dict[str, Any]:
        return session.statistics()

    @app.get("/settings", dependencies=needs)
    async def resolved() -> dict[str, Any]:
        return settings

    @app.post("/{name}", dependencies=needs)
    async def request(name: Asked, body: Why | None = None) -> Answer:
        given = body or Why()
        refused = ask(name, given.why, given.code)
        return Answer(done=refused is None, reason=refused or "")

    @app.websocket("/events")
    async def stream(socket: WebSocket) -> None:
        given = socket.headers.get("authorization", "") or f"Bearer {socket.query_params.get('token', '')}"
        host = socket.headers.get("host", "").rsplit(":", 1)[0]
        if host not in HOSTS or not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            await socket.close(4401)
            return
        await socket.accept()
        with events.listen() as queue, contextlib.suppress(WebSocketDisconnect):
            now = session.status(clock()).model_dump(mode="json")
            await socket.send_json({"event": "state", "status": now})
            while True:
                await socket.send_json(await queue.get())

    return app
