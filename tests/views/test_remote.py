"""What a page knows of a trader in another process, whatever answers or does not."""

import json
import socket
from pathlib import Path

import pytest

from maxlib.ops.address import read_address
from maxlib.ops.heartbeat import Heart
from maxlib.ops.killswitch import KillSwitch
from maxlib.views.remote import Remote
from tests.views.fake_trader import FakeTrader, bar, mark


def look(remote: Remote) -> bool:
    return remote.take(remote.look())


def test_what_is_new_is_fetched_and_nothing_twice(tmp_path: Path) -> None:
    with FakeTrader(tmp_path) as fake:
        remote = Remote(tmp_path)
        look(remote)
        assert [b.ts for b in remote.bars_since(0)] == [b["ts"] for b in fake.bars]
        fake.gets.clear()
        look(remote)
        assert fake.gets == ["/status"], "a quiet look is one request"
        fake.bars.append(bar(5))
        fake.marks.append(mark(5))
        fake.gets.clear()
        look(remote)
        assert fake.gets == ["/status", "/bars?since=5", "/signals?since=0"]
        assert [len(remote.bars_since(0)), len(remote.bars_since(5)), len(remote.marks_since(0))] == [6, 1, 1]


def test_a_trader_that_comes_back_goes_on_and_keeps_the_pnl_that_was_seen(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    with FakeTrader(tmp_path) as fake:
        fake.bars = [bar(i, 10 * i) for i in range(5)]
        look(remote)
    assert not look(remote)
    assert (remote.away, remote.pid) == ("down", 4711)
    assert remote.status is not None
    seen = remote.since_ns
    assert not look(remote)
    assert remote.since_ns == seen, "the time of its last answer"
    with FakeTrader(tmp_path, token="another") as again:
        again.bars = [bar(i, None) for i in range(7)]
        assert not look(remote), "the same story"
    assert remote.away is None
    assert [b.pnl_cents for b in remote.bars_since(0)] == [0, 10, 20, 30, 40, None, None]


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_trader_with_another_past_is_another_story(tmp_path: Path, count: int) -> None:
    remote = Remote(tmp_path)
    with FakeTrader(tmp_path):
        look(remote)
    with FakeTrader(tmp_path, token="another") as other:
        other.bars = [bar(i, close=499.5) for i in range(count)]
        assert look(remote)
    assert [b.close for b in remote.bars_since(0)] == [499.5] * count


def test_why_it_is_away(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    assert remote.look().away == "none"
    heart = Heart(tmp_path / "heartbeat.json")
    heart.beat("trading")
    assert remote.look().away == "down"
    heart.stop()
    assert remote.look().away == "ended"
    look(remote)
    assert remote.since_ns == (tmp_path / "heartbeat.json").stat().st_mtime_ns


def test_one_that_accepts_and_says_nothing_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlib.views.remote.TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "api.json").write_text(json.dumps({"url": url, "token": "t", "pid": 1}))
        assert Remote(tmp_path).look().away == "silent"


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"phase": "TRADING"}', b"\xff", b"null"])
def test_what_is_no_answer_of_a_trader_is_strange(tmp_path: Path, answer: bytes) -> None:
    with FakeTrader(tmp_path) as fake:
        fake.strange = answer
        remote = Remote(tmp_path)
        assert remote.look().away == "strange"
        assert remote.ask("halt") == "the trader does not answer (strange)"


def test_a_wrong_token_is_strange(tmp_path: Path) -> None:
    with FakeTrader(tmp_path) as fake:
        fake.token = "drawn anew"
        assert Remote(tmp_path).look().away == "strange"


@pytest.mark.parametrize("url", ["http://evil.example:80", "http://127.0.0.1:1@evil.example:80", "x", ""])
def test_a_token_goes_to_this_machine_only(tmp_path: Path, url: str) -> None:
    (tmp_path / "api.json").write_text(json.dumps({"url": url, "token": "t", "pid": 1}))
    assert read_address(tmp_path) is None


def test_requests_and_refusals(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    with FakeTrader(tmp_path) as fake:
        assert remote.ask("halt", "a test") is None
        fake.reason = "no"
        assert remote.ask("reset", code="c") == "no"
        assert fake.asked == [
            ("/halt", {"why": "a test", "code": ""}),
            ("/reset", {"why": "", "code": "c"}),
        ]
    assert remote.ask("halt") == "the trader does not answer (down)"


def test_a_kill_needs_no_trader(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    look(remote)
    assert not remote.killed
    assert remote.ask("kill", "enough") is None
    found = KillSwitch(tmp_path / "kill.json").why()
    assert found is not None
    assert (found.reason, found.by) == ("enough", "page")
    assert remote.killed
