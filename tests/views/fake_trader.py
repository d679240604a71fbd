"""A trader's API with answers of the test's own, in a thread; and its address in a folder."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

BEGIN = 1_736_778_660_000_000_000
"""UTC ns; 09:31 in New York, on 13 January 2025."""
MINUTE = 60_000_000_000


def bar(i: int, pnl_cents: int | None = 0, close: float = 500.0) -> dict[str, Any]:
    return {
        "ts": BEGIN + i * MINUTE, "open": 500.0, "high": 501.0, "low": 499.0, "close": close, "volume": 9.0,
        "pnl_cents": pnl_cents,
    }  # fmt: skip


def mark(i: int, text: str = "calls") -> dict[str, Any]:
    return {"kind": "denied", "ts": BEGIN + i * MINUTE, "spot": 500.0, "side": 1, "text": text, "good": None}


def held(bid_cents: int | None = 250, **more: Any) -> dict[str, Any]:
    """Four puts, bought at 2.00."""
    return {
        "trade": 1, "side": -1, "contract": "QQQ250113P00517000", "right": "P", "strike": 517.0,
        "expiry": "2025-01-13", "quantity": 4, "open_quantity": 4, "entry_at": BEGIN, "entry_cents": 200,
        "bid_cents": bid_cents, "unrealised_cents": 0 if bid_cents is None else 4 * (bid_cents - 200) * 100,
        "stop": 520.0, **more,
    }  # fmt: skip


def guarded(**more: Any) -> dict[str, Any]:
    """A guard that lets pass: $120 lost of $500."""
    limits = (
        ("day", 12_000, 50_000), ("week", 12_000, 125_000), ("month", 40_000, 250_000),
        ("peak", 12_000, 100_000), ("positions", 0, 1), ("entries", 3, 10),
    )  # fmt: skip
    return {
        "regime": "NORMAL_VOL", "why": "VIX (proxy) 15.9 lies in 13 to 30, daily ATR 1.2 %", "boundary": 13.0,
        "away": 2.9, "unit": "points", "breakers": [], "safe_mode": [], "books": [],
        "limits": [{"what": what, "used": used, "limit": limit} for what, used, limit in limits], **more,
    }  # fmt: skip


class FakeTrader:
    """Answers what `status`, `bars` and `marks` say; `asked` is what came in.

    `strange` is a body that every route answers instead; `reason` refuses every request.
    """

    def __init__(self, folder: Path, token: str = "a-token") -> None:
        self.folder, self.token = folder, token
        self.bars = [bar(i) for i in range(5)]
        self.marks: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.gets: list[str] = []
        self.strange = b""
        self.reason = ""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.gets.append(self.path)
                self._answer(fake.told(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.asked.append((self.path, json.loads(body)))
                self._answer({"done": not fake.reason, "reason": fake.reason})

            def _answer(self, told: Any) -> None:
                known = self.headers["Authorization"] == f"Bearer {fake.token}"
                data = fake.strange or json.dumps(told).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def told(self, path: str) -> Any:
        parts = urlsplit(path)
        since = int(parse_qs(parts.query).get("since", ["0"])[0])
        answers = {"/status": self.status(), "/bars": self.bars[since:], "/signals": self.marks[since:]}
        return answers[parts.path]

    def status(self) -> dict[str, Any]:
        newest = self.bars[-1]["ts"] if self.bars else BEGIN
        return {
            "phase": "TRADING", "label": "SIMULATED", "name": "run", "symbol": "QQQ", "strategy": "scripted",
            "now": newest, "bar_at": newest if self.bars else None, "age_s": 0.0, "taken_s": 1.0,
            "last": 500.0, "previous_close": 499.0, "bars": len(self.bars), "recovered": 0,
            "marks": len(self.marks), "signals": len(self.marks), "start_cents": 100, "realised_cents": 0,
            "unrealised_cents": 0, "equity_cents": 100, "fee_cents": 0, "positions": [], "trades": [],
            "wins": 0, "denials": [], "journal_head": "ab", "journal_count": 1, "journal_tail": [],
            "killed": "", "fault": "", "feed": "", "gaps": 0, "fills": "simulated", "broker": "", "guard": "",
            "differences": [],
            "blocked": {"resume": "the trader is trading", "clear": "nothing differs from the broker"},
            **self.more,
        }  # fmt: skip

    def __enter__(self) -> FakeTrader:
        self._thread.start()
        told = {"url": f"http://127.0.0.1:{self.server.server_port}", "token": self.token, "pid": 4711}
        (self.folder / "api.json").write_text(json.dumps(told))
        return self

    def __exit__(self, *_: object) -> None:
        """As a kill would: the address stays."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def hostile(fake: FakeTrader, text: str) -> None:
    """Every text that a trader can send, as an attacker would choose it."""
    fake.marks = [mark(2, text)]
    fake.more = {
        **dict.fromkeys(("name", "symbol", "strategy", "journal_head", "killed", "fault", "no_reset"), text),
        "feed": text,
        "broker": text,
        "quotes": "live",
        "unquoted": text,
        "guarded": guarded(
            regime=text,
            why=text,
            breakers=[{"code": text, "until": BEGIN + MINUTE, "actual": 5.0, "limit": 5.0}],
            safe_mode=[text],
            books=[{"book": text, "trades": 1, "wins": 1, "pnl_cents": 1, "positions": 0}],
        ),
        "differences": [text],
        "blocked": {"stop": text, "halt": text},
        "positions": [
            {"trade": 1, "side": 1, "contract": f"{text} package", "right": text, "strike": 500.0,
             "expiry": "2025-01-13", "quantity": 1, "open_quantity": 1}
        ],
        "trades": [
            {"number": 1, "side": 1, "contract": text, "right": text, "strike": 500.0, "quantity": 1,
             "entry_at": BEGIN, "exit_at": BEGIN, "entry_cents": 1, "exit_cents": 1.0, "fee_cents": 0,
             "pnl_cents": 1, "reason": text}
        ],
        "denials": [{"code": text, "count": 1, "limit": None, "actual": None}],
        "journal_tail": [
            {"seq": 1, "ts": BEGIN, "kind": text, "body": json.dumps({"a": text}), "hash": text},
            {"seq": 2, "ts": BEGIN, "kind": "denied", "hash": "",
             "body": json.dumps({"code": text, "actual": 1.0, "limit": 1.0})},
        ],
    }  # fmt: skip
