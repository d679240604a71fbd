"""Whatever is asked of the API, it answers, and without the token nothing but health.

Every operation of its own description is asked 100 times and more, with bodies, queries and
headers of any kind.
"""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.test_api import MINE, client, events, session

__all__ = ["client", "events", "session"]

CASES = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
ASKS = ("clear", "halt", "resume", "stop", "start", "kill", "reset", "reset_peak")
READS = ("status", "positions", "trades", "signals", "bars", "statistics", "settings")
ANSWERS = {200, 400, 404, 405, 422}

word = st.text(st.characters(codec="utf-8"), max_size=300)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | word,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(word, inner, max_size=4),
    max_leaves=8,
)
body = (
    st.dictionaries(st.sampled_from(["why", "code", "else"]), value, max_size=3).map(
        lambda given: json.dumps(given).encode()
    )
    | value.map(lambda given: json.dumps(given).encode())
    | st.binary(max_size=300)
)
query = st.dictionaries(st.sampled_from(["since", "token", "x"]), st.integers().map(str) | word, max_size=3)
kind = st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded", ""])


@pytest.fixture
def loud(client: TestClient) -> Any:
    """A server's error is an answer of 500 here, as it would be over the wire."""
    with TestClient(client.app, raise_server_exceptions=False) as one:
        yield one


def test_every_operation_described_is_asked(client: TestClient) -> None:
    paths = client.get("/openapi.json", headers=MINE).json()["paths"]
    assert set(paths) == {"/health", "/events", *(f"/{name}" for name in (*READS, *ASKS))}
    assert {path: set(paths[path]) for path in paths} == {
        "/health": {"get"}, "/events": {"get"},
        **{f"/{read}": {"get"} for read in READS}, **{f"/{ask}": {"post"} for ask in ASKS},
    }  # fmt: skip


@pytest.mark.parametrize("name", READS)
@CASES
@given(asked=query)
def test_a_read_always_answers_and_only_with_the_token(name: str, asked: Any, loud: TestClient) -> None:
    assert loud.get(f"/{name}", params=asked, headers=MINE).status_code in ANSWERS
    assert loud.get(f"/{name}", params=asked).status_code == 401


@pytest.mark.parametrize("name", ASKS)
@CASES
@given(content=body, asked=query, said=kind)
def test_a_request_always_answers_and_only_with_the_token(
    name: str, content: bytes, asked: Any, said: str, loud: TestClient
) -> None:
    form = {"content-type": said} if said else {}
    answer = loud.post(f"/{name}", content=content, params=asked, headers={**MINE, **form})
    assert answer.status_code in ANSWERS
    assert loud.post(f"/{name}", content=content, params=asked, headers=form).status_code == 401


@CASES
@given(name=word.filter(len), asked=query)
def test_an_unknown_path_is_refused_in_order(name: str, asked: Any, loud: TestClient) -> None:
    for path in (f"/{name.encode().hex()}", f"/status/{name.encode().hex()}"):
        assert loud.get(path, params=asked, headers=MINE).status_code in {404, 405}
        assert loud.post(path, params=asked, headers=MINE).status_code in {404, 405, 422}
        assert loud.get(path, params=asked).status_code == 401


@CASES
@given(token=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_a_wrong_token_opens_nothing(token: str, loud: TestClient) -> None:
    for header in (token, f"Bearer {token}", f"bearer {token}"):
        if header != MINE["authorization"]:
            for read in READS:
                assert loud.get(f"/{read}", headers={"authorization": header}).status_code in (401, 429)
