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
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from maxlib.engine.live import LiveSession, Status
from maxlib.engine.session_views import BarView, MarkView, PositionView, TradeView

HOSTS: Final = frozenset({"127.0.0.1", "localhost", "testserver"})
QUEUE: Final = 1_000
"""Events that a viewer may be behind before it loses the oldest."""
WRONG_TOKENS: Final = 20
"""So many within a minute are told, and from then on answered with 429. The right one is never kept out."""

Since = Annotated[int, Query(ge=0, le=10**9, description="Number of the first one, from 0.")]
Asked = Literal["halt", "resume", "stop", "start", "kill", "reset", "clear", "reset_peak"]
ASKS: Final[dict[Asked, str]] = {
    "halt": "Send no order that adds risk",
    "resume": "Let entries pass again",
    "start": "The same as resume",
    "stop": "End the process in order; nothing is sold",
    "kill": "Throw the kill switch, which halts and outlives a restart",
    "reset": "Remove the kill switch, with the code; the halt stays",
    "clear": "Say that a person has looked at what differs from the broker",
    "reset_peak": "Let the guard count falls from here",
}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "The token is missing or wrong"},
    403: {"description": "A foreign Host header, or an Origin header"},
    429: {"description": "Too many wrong tokens within a minute"},
}
STREAM: Final = """A WebSocket: the status first, as `{"event": "state", "status": ...}`, then objects that
name their `event`: bar, signal, denied, entry, exit, guard, phase, process, feed, broker. The token may stand
in `?token=`."""


class Why(BaseModel):
    """A request's reason, for the journal, and the code that a reset needs."""

    why: str = Field(default="", max_length=200)
    code: str = Field(default="", max_length=200)


class Answer(BaseModel):
    """What became of a request: done, or the reason why it was refused."""

    done: bool
    reason: str = ""


class Figures(BaseModel):
    """Of closed trades, after fees; a share or mean of no trades, and a factor without losses, is null."""

    trades: int
    wins: int
    win_rate: float | None
    pnl_cents: int
    average_pnl_cents: float | None
    profit_factor: float | None


class Statistics(Figures):
    """In all, and of each book; denials by code."""

    signals: int
    denials: dict[str, int]
    books: dict[str, Figures]


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

    mine = APIRouter(dependencies=[Depends(HTTPBearer(auto_error=False))], responses=REFUSALS)

    @app.get("/health", responses={403: REFUSALS[403]})
    async def health() -> dict[str, str]:
        """Whether the process answers; the only route without a token."""
        return {"status": "ok"}

    @mine.get("/openapi.json", include_in_schema=False)
    async def description() -> dict[str, Any]:
        return app.openapi()

    @mine.get("/status")
    async def status() -> Status:
        """The trader now: phase, account, positions, trades, denials, the journal's tail."""
        return session.status(clock())

    @mine.get("/positions")
    async def positions() -> list[PositionView]:
        """What is open, or waits to be."""
        return list(session.status(clock()).positions)

    @mine.get("/trades")
    async def trades() -> list[TradeView]:
        """What is closed."""
        return list(session.status(clock()).trades)

    @mine.get("/signals")
    async def signals(since: Since = 0) -> list[MarkView]:
        """Signals taken and denied, entries and exits, from number `since` on."""
        return session.marks(since)

    @mine.get("/bars")
    async def bars(since: Since = 0) -> list[BarView]:
        """The minutes that were taken, from number `since` on."""
        return session.bars[since:]

    @mine.get("/statistics")
    async def statistics() -> Statistics:
        """Figures of the closed trades, in all and of each book."""
        return Statistics.model_validate(session.statistics())

    @mine.get("/settings")
    async def resolved() -> dict[str, Any]:
        """The resolved scenario and how the trader was started."""
        return settings

    @mine.get("/events", description=STREAM, status_code=426, responses={101: {"description": "It begins"}})
    async def no_stream() -> JSONResponse:
        return JSONResponse({"detail": "this is a WebSocket"}, 426, {"Upgrade": "websocket"})

    def asking(name: Asked) -> Callable[[Why | None], Awaitable[Answer]]:
        async def request(body: Why | None = None) -> Answer:
            given = body or Why()
            refused = ask(name, given.why, given.code)
            return Answer(done=refused is None, reason=refused or "")

        return request

    for name, what in ASKS.items():
        mine.add_api_route(f"/{name}", asking(name), methods=["POST"], operation_id=name, summary=what)
    app.include_router(mine)

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
