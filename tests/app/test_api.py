"""The API: what it answers to whom, and that it never makes the trader wait."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from maxlib.app.api import QUEUE, WRONG_TOKENS, Events, Guesses, application
from maxlib.engine.live import LiveSession
from tests.chaos.kill_sweep import day, trader

TOKEN = "a-token-of-the-test"
MINE = {"authorization": f"Bearer {TOKEN}"}
READS = ("/openapi.json", "/status", "/positions", "/trades", "/signals", "/bars", "/statistics", "/settings")
ASKS = ("/halt", "/resume", "/stop", "/start", "/kill", "/reset", "/clear")


@pytest.fixture
def session(tmp_path: Path) -> Any:
    one = LiveSession(trader(tmp_path), label="SIMULATED", strategy="scripted")
    bars = day()
    for i in range(60):
        one.bar(bars[i : i + 1])
    yield one
    one.trader.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def client(session: LiveSession, events: Events) -> TestClient:
    def ask(name: Any, why: str, code: str) -> str | None:
        del code
        known = {"start": "resume"}.get(name, name)
        return session.ask(known, 1, why) if known in ("halt", "resume", "stop") else "not here"

    clock = lambda: session.bars[-1].ts + 5_000_000_000  # noqa: E731
    app = application(
        session, events, token=TOKEN, clock=clock, settings={"a": 1}, ask=ask, alarm=lambda _: None
    )
    return TestClient(app)


def test_health_alone_needs_no_token(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    for path in READS:
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401, path
        assert client.get(path, headers=MINE).status_code == 200, path
    for path in ASKS:
        assert client.post(path).status_code == 401, path
    assert client.get("/openapi.json", headers=MINE).json()["paths"]


def test_a_rebound_name_or_a_page_of_another_origin_gets_nothing(client: TestClient) -> None:
    for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        assert client.get("/status", headers={**MINE, **header}).status_code == 403
        assert client.post("/stop", headers={**MINE, **header}).status_code == 403
        for query in ("", f"?token={TOKEN}"):
            with (
                pytest.raises(WebSocketDisconnect) as closed,
                client.websocket_connect(f"/events{query}", headers={**MINE, **header}),
            ):
                pass
            assert closed.value.code == 4403


def test_row_89_many_wrong_tokens_are_told_once_and_the_right_one_always_passes(session: LiveSession) -> None:
    told: list[str] = []
    app = application(
        session, Events(), token=TOKEN, clock=lambda: 0, settings={}, ask=lambda *_: None, alarm=told.append
    )
    client = TestClient(app)
    for n in range(100):
        wrong = {"authorization": f"Bearer {n}"}
        answer = client.post("/halt", headers=wrong) if n % 2 else client.get("/status", headers=wrong)
        assert answer.status_code == (401 if n < WRONG_TOKENS else 429)
        assert client.get("/positions", headers=MINE).status_code == 200
    assert told == [f"somebody guesses the API's token: {WRONG_TOKENS} wrong ones within a minute"]
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/events?token=no"):
        pass
    assert closed.value.code == 4429
    with client.websocket_connect("/events", headers=MINE) as socket:
        assert socket.receive_json()["event"] == "state"
    assert client.get("/status").status_code == 401, "who sends none does not guess"
    assert session.phase == "TRADING"


def test_row_89_tries_are_forgotten_after_a_minute_and_told_anew() -> None:
    told: list[str] = []
    now = [0.0]
    guesses = Guesses(told.append, lambda: now[0])
    said = []
    for _ in range(WRONG_TOKENS + 1):
        said.append(guesses.too_many())
        now[0] += 1.0
    assert said == [False] * WRONG_TOKENS + [True]
    now[0] += 60.0
    assert not guesses.too_many()
    assert [guesses.too_many() for _ in range(WRONG_TOKENS)] == [False] * (WRONG_TOKENS - 1) + [True]
    assert len(told) == 2


def test_the_status_is_the_session(client: TestClient, session: LiveSession) -> None:
    said = client.get("/status", headers=MINE).json()
    machine = session.trader.shell.machine
    assert said["age_s"] == 5.0
    assert said["bars"] == 60
    assert said["journal_head"] == session.trader.journal.head
    assert said["start_cents"] + said["realised_cents"] == machine.equity_cents
    assert len(client.get("/trades", headers=MINE).json()) == len(machine.trades) > 0
    assert len(client.get("/bars", params={"since": 50}, headers=MINE).json()) == 10
    assert client.get("/statistics", headers=MINE).json()["signals"] == machine.signals
    assert client.get("/settings", headers=MINE).json() == {"a": 1}


def test_statistics_are_those_of_the_trades_in_all_and_of_each_book(
    client: TestClient, session: LiveSession
) -> None:
    said = client.get("/statistics", headers=MINE).json()
    pnl = [trade.pnl_cents for trade in session.trader.shell.machine.trades]
    won, lost = sum(p for p in pnl if p > 0), sum(-p for p in pnl if p < 0)
    assert (said["trades"], said["pnl_cents"], said["average_pnl_cents"]) == (
        len(pnl), sum(pnl), pytest.approx(sum(pnl) / len(pnl)),
    )  # fmt: skip
    assert said["win_rate"] == pytest.approx(sum(p > 0 for p in pnl) / len(pnl))
    assert said["profit_factor"] == (pytest.approx(won / lost) if lost else None)
    assert said["books"]["conservative"] == {name: said[name] for name in said["books"]["conservative"]}


def test_the_description_names_each_operation_its_token_and_its_refusals(client: TestClient) -> None:
    described = client.get("/openapi.json", headers=MINE).json()
    assert described["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    operations = {path: item for path, items in described["paths"].items() for item in items.values()}
    assert "security" not in operations.pop("/health")
    for path, operation in operations.items():
        assert operation["security"] == [{"HTTPBearer": []}], path
        assert {"401", "403", "429"} <= set(operation["responses"]), path
        assert operation["summary"], path
    assert {"101", "426"} <= set(operations["/events"]["responses"])
    assert "guard" in operations["/events"]["description"]


def test_what_is_not_there_is_404_and_another_method_is_405(client: TestClient) -> None:
    for path in ("/nothing", "/statuses", "/docs", "/status/more"):
        assert client.get(path, headers=MINE).status_code == 404, path
        assert client.post(path, headers=MINE).status_code == 404, path
        assert client.get(path).status_code == 401, path
    assert client.get("/halt", headers=MINE).status_code == 405
    assert client.post("/status", headers=MINE).status_code == 405
    assert client.get("/events", headers=MINE).status_code == 426


def test_requests_change_the_session_or_say_why_not(client: TestClient, session: LiveSession) -> None:
    assert client.post("/resume", headers=MINE).json() == {"done": False, "reason": "the trader is trading"}
    assert client.post("/halt", headers=MINE, json={"why": "lunch"}).json()["done"]
    assert session.phase == "HALTED"
    assert client.post("/start", headers=MINE).json()["done"]
    assert session.phase == "TRADING"
    assert client.post("/kill", headers=MINE).json() == {"done": False, "reason": "not here"}
    assert client.post("/stop", headers=MINE).json()["done"]
    assert client.post("/halt", headers=MINE).json()["reason"] == "the trader has stopped"


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.post("/sell_everything", headers=MINE),
        lambda c: c.get("/signals", params={"since": -1}, headers=MINE),
        lambda c: c.get("/bars", params={"since": "x"}, headers=MINE),
        lambda c: c.post("/halt", headers=MINE, json={"why": "x" * 201}),
        lambda c: c.post("/halt", headers=MINE, content=b"{not json"),
        lambda c: c.post("/halt", headers=MINE, json=[1, 2]),
    ],
)
def test_what_cannot_be_understood_is_the_callers_fault(client: TestClient, ask: Any) -> None:
    assert 400 <= ask(client).status_code < 500


def test_the_stream_begins_with_the_state_and_goes_on_with_events(
    client: TestClient, session: LiveSession, events: Events
) -> None:
    with client, client.websocket_connect("/events", headers=MINE) as socket:
        first = socket.receive_json()
        assert (first["event"], first["status"]["phase"]) == ("state", session.phase)
        assert client.portal is not None
        client.portal.call(events.publish, {"event": "bar", "n": 1})
        assert socket.receive_json() == {"event": "bar", "n": 1}
    with client.websocket_connect(f"/events?token={TOKEN}") as socket:
        assert socket.receive_json()["event"] == "state"
    for how in ({"headers": {"authorization": "Bearer no"}}, {"headers": {**MINE, "host": "evil.example"}}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/events", **how):
            pass


def test_a_viewer_that_sleeps_loses_the_oldest_events_and_nobody_waits() -> None:
    async def run() -> list[int]:
        events = Events()
        with events.listen() as queue:
            for n in range(QUEUE + 10):
                events.publish({"n": n})
            return [queue.get_nowait()["n"] for _ in range(queue.qsize())]

    kept = asyncio.run(run())
    assert kept == list(range(10, QUEUE + 10))
