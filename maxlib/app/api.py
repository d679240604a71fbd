"""The trader's API: status, requests and events over HTTP and WebSocket, on this machine only.

Every route but `/health` needs the token, as `Authorization: Bearer …` (WebSocket: the same
header, or `?token=…`). A request with an Origin header comes from a page, and is refused.
Nothing here waits for the trader's loop, and the loop waits for nobody here: an event queue
that is full loses its oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from maxlib.engine.live import LiveSession, Status
from maxlib.engine.session_views import BarView, MarkView, TradeView

HOSTS: Final = frozenset({"127.0.0.1", "localhost", "testserver"})
QUEUE: Final = 1_000
"""Events that a viewer may be behind before it loses the oldest."""
WRONG_TOKENS: Final = 20
"""So many within a minute are told, and from then on answered with 429. The right one is never kept out."""

Since = Annotated[int, Query(ge=0, le=10**9, description="Number of the first one, from 0.")]
Asked = Literal["halt", "resume", "stop", "start", "kill", "reset", "clear", "reset_peak"]


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


class Guesses:
    """Wrong tokens of the last minute; what keeps the token safe is its length, not this."""

    def __init__(self, alarm: Callable[[str], object], now: Callable[[], float] = time.monotonic) -> None:
        self._alarm, self._now = alarm, now
        self._at: deque[float] = deque(maxlen=WRONG_TOKENS + 1)
        self._told = False

    def too_many(self) -> bool:
        """Count one more."""
        now = self._now()
        self._at.append(now)
        many = len(self._at) > WRONG_TOKENS and now - self._at[0] < 60.0
        if many and not self._told:
            self._alarm(f"somebody guesses the API's token: {WRONG_TOKENS} wrong ones within a minute")
        self._told = many
        return many


def application(
    session: LiveSession,
    events: Events,
    *,
    token: str,
    clock: Callable[[], int],
    settings: dict[str, Any],
    ask: Callable[[Asked, str, str], str | None],
    alarm: Callable[[str], object],
) -> FastAPI:
    """The API over a session.

    Parameters
    ----------
    token : what every route but `/health` asks for
    clock : now, UTC ns
    settings : the resolved configuration, without secrets
    ask : carries out a request (name, why, code); returns the reason if it is refused
    alarm : told when somebody guesses the token
    """
    guesses = Guesses(alarm)

    def known(given: str) -> bool:
        return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())

    def foreign(headers: Headers) -> bool:
        """A rebound DNS name has a Host of its own, a page of a browser an Origin."""
        return headers.get("host", "").rsplit(":", 1)[0] not in HOSTS or "origin" in headers

    app = FastAPI(title="MaxTrader", version="1", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def gate(request: Request, call_next: Any) -> Any:
        """A foreign Host header is a rebound DNS name: no answer. Nothing is read before the token."""
        if foreign(request.headers):
            return JSONResponse({"detail": "this API answers programs on this machine only"}, 403)
        given = request.headers.get("authorization", "")
        if request.url.path != "/health" and not known(given):
            if given and guesses.too_many():
                return JSONResponse({"detail": "too many wrong tokens"}, 429, {"Retry-After": "60"})
            return JSONResponse({"detail": "token missing or wrong"}, 401)
        return await call_next(request)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> JSONResponse:
        """What is wrong and where; what was sent is not sent back, it may not even be text."""
        del request
        faults = [{"where": [str(part) for part in e["loc"]], "what": e["msg"]} for e in error.errors()]
        return JSONResponse({"detail": faults}, 422)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process answers; the only route without a token."""
        return {"status": "ok"}

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> dict[str, Any]:
        return app.openapi()

    @app.get("/status")
    async def status() -> Status:
        return session.status(clock())

    @app.get("/positions")
    async def positions() -> list[dict[str, Any]]:
        return [p.model_dump(mode="json") for p in session.status(clock()).positions]

    @app.get("/trades")
    async def trades() -> list[TradeView]:
        return list(session.status(clock()).trades)

    @app.get("/signals")
    async def signals(since: Since = 0) -> list[MarkView]:
        return session.marks(since)

    @app.get("/bars")
    async def bars(since: Since = 0) -> list[BarView]:
        return session.bars[since:]

    @app.get("/statistics")
    async def statistics() -> dict[str, Any]:
        return session.statistics()

    @app.get("/settings")
    async def resolved() -> dict[str, Any]:
        return settings

    @app.post("/{name}")
    async def request(name: Asked, body: Why | None = None) -> Answer:
        given = body or Why()
        refused = ask(name, given.why, given.code)
        return Answer(done=refused is None, reason=refused or "")

    @app.websocket("/events")
    async def stream(socket: WebSocket) -> None:
        in_query = socket.query_params.get("token", "")
        given = socket.headers.get("authorization", "") or (in_query and f"Bearer {in_query}")
        if foreign(socket.headers):
            await socket.close(4403)
            return
        if not known(given):
            await socket.close(4429 if given and guesses.too_many() else 4401)
            return
        await socket.accept()
        with events.listen() as queue, contextlib.suppress(WebSocketDisconnect):
            now = session.status(clock()).model_dump(mode="json")
            await socket.send_json({"event": "state", "status": now})
            while True:
                await socket.send_json(await queue.get())

    return app
