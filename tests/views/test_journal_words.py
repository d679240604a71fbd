"""Every kind of journal entry in words: none stands as JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from maxlib.engine.trader import INPUTS
from maxlib.views.journal_words import _WORDS, summary

DOCS = Path(__file__).parents[2] / "docs/life-of-an-order.md"
WELL = {"code": "", "limit": 0.0, "actual": 0.0, "why": ""}
DOWN = {"code": "STALE_FEED", "limit": 90.0, "actual": 95.0, "why": "nothing came"}
VITALS = {"data_age_seconds": 61.0, "cpu_percent": 12.4, "memory_percent": 50.0, "api_ok": True}
MOVED = ["o1", "WORKING", "CANCELED", "b", [], 1, "asked for"]
BEGIN = 1_736_778_660_000_000_000


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("start", {"run": "ab-2025", "streams": "300,000 characters"}, "run ab-2025"),
        ("bar", {"values": [0, 1, 2, 3, 517.5]}, "close 517.50"),
        ("quotes", {"rows": 120, "why": "", "modelled": True}, "120 options, modelled"),
        ("quotes", {"rows": 0, "why": "the chain is silent", "modelled": False}, "none: the chain is silent"),
        ("command", {"name": "reset_peak", "why": ""}, "reset peak"),
        ("command", {"name": "halt", "why": "lunch"}, "halt: lunch"),
        ("feed", DOWN, "no entries, stale feed (95 s): nothing came"),
        ("feed", WELL, "well again"),
        ("process", {**DOWN, "code": "CLOCK_JUMP", "why": ""}, "no entries, clock jump (95 s)"),
        ("gap", {"start": BEGIN, "end": BEGIN + 120 * 10**9}, "no minutes from 09:31 to 09:33"),
        ("vitals", VITALS, "age of the data 61 s, processor 12 %, memory 50 %, feed and broker well"),
        ("vitals", {**VITALS, "data_age_seconds": None, "api_ok": False},
         "age of the data not known, processor 12 %, memory 50 %, feed or broker away"),
        ("error", {"what": "feed: 502"}, "feed: 502"),
        ("guard", {"what": "regime", "message": "UNKNOWN to NORMAL_VOL"}, "UNKNOWN to NORMAL_VOL"),
        ("broker", {"what": "connection", **WELL, "why": "heard"}, "well again: heard"),
        ("broker", {"what": "sent", "order": "o1"}, "order o1 goes out"),
        ("broker", {"what": "lease", "token": 7}, "the account's lease is held, token 7"),
        ("broker", {"what": "StateMoved", "said": MOVED}, "order o1: working → canceled, asked for"),
        ("broker", {"what": "FillImported", "said": [["e", "o1", 1, 0, 3, [60000], ""], True]},
         "order o1: 3 units booked, late"),
        ("broker", {"what": "ExternalTagged", "said": ["b", "c", "sell 1"]},
         "an order that is not ours: sell 1"),
        ("broker", {"what": "PositionAdopted", "said": ["QQQ", "1", "2"]},
         "QQQ: the broker holds 2, our books said 1"),
        ("broker", {"what": "Blocked", "said": ["STRAY_FILL", "look"]},
         "no entries until cleared, stray fill: look"),
        ("selected", {"package": "", "why": {}}, "no structure pays enough"),
        ("fill", {"side": "sell", "quantity": 2, "contract": "QQQ250113C00526000", "price_cents": 93},
         "sell 2 × 526 C at 0.93"),
        ("order", {"side": "buy", "quantity": 2, "contract": "QQQ250113P00512500", "purpose": "open"},
         "buy 2 × 512.50 P, open"),
        ("order", {"side": "buy", "quantity": 2, "contract": "vertical 500/505 C", "purpose": "open"},
         "buy 2 × vertical 500/505 C, open"),
        ("expired", {"trade": 1, "spot": 517.2, "legs": []}, "trade 1, underlying at 517.20"),
        ("stray", {"order": "o", "trade": 1, "units": 2}, "trade 1: 2 units that no position waits for"),
        ("closed", {"trade": 1, "reason": "tp1", "pnl_cents": -500}, "trade 1, tp1, −$5.00"),
    ],
)  # fmt: skip
def test_words(kind: str, body: dict[str, Any], words: str) -> None:
    assert summary(kind, json.dumps(body)) == words


def test_every_kind_of_a_trader_has_words() -> None:
    table = DOCS.read_text().partition("| `run` |")[2].partition("\n\n")[0]
    kinds = {*re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE), *INPUTS, "start", "stray"}
    assert len(kinds) > 15
    assert kinds <= set(_WORDS)


@pytest.mark.parametrize(
    "body", ['{"a": 1}', "[]", "3", "null", '"x"', '{"what": "StateMoved", "said": "cut"}']
)
@pytest.mark.parametrize("kind", ["bar", "broker", "feed", "vitals", "gap", "of another version"])
def test_what_is_of_another_version_stands_as_it_is(kind: str, body: str) -> None:
    assert summary(kind, body) == body
