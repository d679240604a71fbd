"""Apprise, as we use it, against true sockets and against what it hands to `requests`."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from maxlib.core.errors import ConfigError
from maxlib.ops.backends import Apprise, Backend, Log, from_environment
from maxlib.ops.channel import ChannelConfig
from maxlib.ops.events import Event
from maxlib.ops.notify import Notifier, NotifyConfig
from maxlib.ops.text import Masker

USER, TOKEN = "u" * 30, "t" * 30
PUSHOVER = f"pover://{USER}@{TOKEN}"
DISCORD = "https://discord.com/api/webhooks/1234567890/Web_Hook-Token"


class Service(ThreadingHTTPServer):
    """A service on loopback that answers as its path says: /ok, /500, /hang or /huge."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.go = threading.Event()

    def url(self, path: str) -> str:
        return f"json://127.0.0.1:{self.server_port}/{path}"


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.server.bodies.append(json.loads(body))
        if "hang" in self.path:
            self.server.go.wait(60)
            return
        self.send_response(500 if "500" in self.path else 200)
        content = b"x" * (10_000_000 if "huge" in self.path else 2)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[requests.PreparedRequest]:
    """What would leave the machine."""
    out: list[requests.PreparedRequest] = []

    def send(_: Any, request: requests.PreparedRequest, **__: Any) -> requests.Response:
        out.append(request)
        answer = requests.Response()
        answer.status_code = 200
        answer._content = b'{"status":1,"request":"r","receipt":"x"}'
        answer.request = request
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return out


def fields(request: requests.PreparedRequest) -> dict[str, str]:
    body = request.body if isinstance(request.body, str) else (request.body or b"").decode()
    if body.startswith("{"):
        return {key: str(value) for key, value in json.loads(body).items()}
    return {key: value for key, (value,) in parse_qs(body).items()}


@pytest.mark.parametrize("priority", [-1, 0, 1, 2])
def test_pushover_gets_the_priority_of_the_message(
    posted: list[requests.PreparedRequest], priority: int
) -> None:
    assert Apprise(PUSHOVER, "address 1").send("title", "body", priority)
    (request,) = posted
    assert request.url == "https://api.pushover.net/1/messages.json"
    sent = fields(request)
    assert {k: sent[k] for k in ("user", "token", "title", "message", "priority")} == {
        "user": USER, "token": TOKEN, "title": "title", "message": "body", "priority": str(priority),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "retry", "expire"),
    [
        ("", "60", "1800"),
        ("?priority=emergency&retry=60", "60", "1800"),  # old examples mean the interval by `retry`
        ("?interval=45&expire=600", "45", "600"),
    ],
)
def test_an_emergency_is_repeated_every_minute_not_every_quarter_of_an_hour(
    posted: list[requests.PreparedRequest], query: str, retry: str, expire: str
) -> None:
    assert Apprise(PUSHOVER + "/" + query, "address 1").send("title", "body", 2)
    (request,) = posted
    assert (fields(request)["retry"], fields(request)["expire"]) == (retry, expire)


@pytest.mark.parametrize("url", [DISCORD, "discord://1234567890/Web_Hook-Token/?format=markdown"])
def test_discord_gets_whole_texts_that_ping_nobody_and_carry_no_markup(
    posted: list[requests.PreparedRequest], tmp_path: Path, url: str
) -> None:
    backend = Apprise(url, "address 1")
    notifier = Notifier([backend], tmp_path, "PAPER", masker=Masker())
    notifier.send(Event.KILL_SWITCH, "@everyone <@1> **bold** [a](http://b) " + "x" * 5000)
    assert notifier.close(60)
    (request,) = posted
    sent = json.loads(request.body or b"{}")
    content = sent["content"]
    assert len(content) <= 2000
    assert "@everyone" not in content
    assert "<@1>" not in content
    assert "\\*\\*bold\\*\\*" in content
    assert content.endswith("data age unknown")


def test_an_address_that_apprise_does_not_know_is_named_by_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "Very_Secret-Token-Of-Mine"
    with caplog.at_level("DEBUG"), pytest.raises(ConfigError) as caught:
        from_environment({"MAXTRADER_NOTIFY_URLS": f"json://127.0.0.1 nosuch://{secret}"})
    assert str(caught.value) == (
        "MAXTRADER_NOTIFY_URLS, address 2: apprise knows no service of that form; see its list of addresses"
    )
    assert secret not in caplog.text


@pytest.mark.parametrize("query", ["interval=29", "expire=10801"])
def test_an_interval_that_pushover_refuses_is_found_at_the_start(query: str) -> None:
    with pytest.raises(ConfigError, match=r"^address 1: its settings cannot be used for an emergency$"):
        Apprise(f"{PUSHOVER}/?{query}", "address 1")


def test_each_address_has_a_back_end_whose_name_tells_no_secret() -> None:
    backends = from_environment({"MAXTRADER_NOTIFY_URLS": f"{PUSHOVER}\n {DISCORD}"})
    labels = [backend.label for backend in backends]
    assert [label.rpartition("-")[0] for label in labels] == ["pushover", "discord"]
    assert not any(part in "".join(labels) for part in (USER, TOKEN, "1234567890", "Web_Hook"))
    assert (backends[0].title_max, backends[0].body_max) == (250, 1024)
    assert [type(b) for b in from_environment({})] == [Log]


def test_no_log_of_any_library_tells_the_address(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    secret = "PathThatIsTheKey99"
    well = Apprise(service.url(f"ok/{secret}"), "address 1")
    sick = Apprise(service.url(f"500/{secret}?retry=3"), "address 2")
    with caplog.at_level(logging.DEBUG):
        for name in ("apprise", "urllib3.connectionpool"):
            caplog.set_level(logging.DEBUG, name)
        assert well.send("title", "body", 0)
        assert not sick.send("title", "body", 0)
    assert '"POST /ok/*** HTTP/1.1" 200' in caplog.text
    assert len(service.asked) == 2  # once each: trying again is the notifier's business
    assert all(secret in path for path in service.asked)
    assert secret not in caplog.text


@pytest.mark.parametrize("kind", ["hang", "500", "huge"])
def test_a_service_that_hangs_fails_or_answers_ten_megabytes_costs_the_caller_nothing(
    service: Service, tmp_path: Path, kind: str
) -> None:
    sick = Apprise(service.url(kind), "address 1", connect_s=0.5, read_s=0.3)
    well = Apprise(service.url("ok"), "address 2")
    config = NotifyConfig(channel=ChannelConfig(rest_s=3600, open_max_s=3600))
    backends: list[Backend] = [sick, well]
    notifier = Notifier(backends, tmp_path, "PAPER", masker=Masker(), config=config)
    for i in range(10):
        assert notifier.send(Event.EXIT, f"trade {i}") == "queued"
    assert notifier._channels[1].drained(60)
    assert [
        b["message"].split("\n")[0] for p, b in zip(service.asked, service.bodies, strict=True) if "ok" in p
    ] == [f"trade {i}" for i in range(10)]
    if kind == "huge":
        assert notifier.close(60)
        assert notifier.counts()[sick.label] == {"sent": 10}
    else:
        with notifier._channels[0]._condition:
            assert notifier._channels[0]._condition.wait_for(
                lambda: notifier.counts()[sick.label].get("failed") == 1, 60
            )
        assert notifier.states() == {sick.label: "resting", well.label: "ok"}
        notifier.close(0)


def test_a_line_of_the_log_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    with caplog.at_level("INFO"):
        log.send("Entry", log.escape("bought\n2025-11-20 ERROR all is lost"), 0)
    assert [record.getMessage() for record in caplog.records] == [
        "Entry: bought | 2025-11-20 ERROR all is lost"
    ]
