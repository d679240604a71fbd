"""WebSocket frames: what is read, and that nothing a server can send raises."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.data.live import Halted, LiveBar, LiveQuote, LiveTrade, LiveValue
from maxlib.data.massive.frames import Frame, Status, decode
from tests.data.massive.test_records import JSON

NOW = 1_763_649_061_000_000_000
WANTED = frozenset({"AM.QQQ", "T.QQQ", "Q.O:QQQ251120C00600000", "V.I:VIX", "LULD.QQQ"})
# The examples of the reference page.
MINUTE: dict[str, Any] = {
    "ev": "AM", "sym": "QQQ", "o": 600.1, "h": 600.4, "l": 599.9, "c": 600.2, "v": 81234, "av": 9000000,
    "op": 598.0, "vw": 600.17, "a": 599.5, "z": 89, "s": 1763649000000, "e": 1763649060000,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "ev": "T", "sym": "QQQ", "p": 600.2, "s": 100, "c": [0], "t": 1763649000123, "q": 55, "x": 4, "z": 3,
    "i": "9",
}  # fmt: skip
QUOTE: dict[str, Any] = {
    "ev": "Q", "sym": "O:QQQ251120C00600000", "bp": 2.39, "bs": 40, "bx": 302, "ap": 2.41, "as": 33,
    "ax": 302, "t": 1763649000124, "q": 56,
}  # fmt: skip
VALUE: dict[str, Any] = {"ev": "V", "T": "I:VIX", "val": 18.2, "t": 1763649000000}
ALL = (MINUTE, TRADE, QUOTE, VALUE)


def read(*messages: Any) -> Frame:
    return decode(json.dumps(messages), WANTED, NOW, delayed=False)


def test_each_message_is_read_with_ms_as_its_unit_and_the_minute_known_at_its_end() -> None:
    bar, trade, quote, value = read(*ALL).ticks
    assert isinstance(bar, LiveBar)
    assert (int(bar.row["ts"][0]), bar.symbol, bar.origin) == (1763649060000000000, "QQQ", "live")
    assert [float(bar.row[n][0]) for n in ("open", "high", "low", "close", "volume")] == [
        600.1, 600.4, 599.9, 600.2, 81234.0
    ]  # fmt: skip
    assert (int(bar.row["minute"][0]), int(bar.row["close_minute"][0])) == (9 * 60 + 30, 960)
    assert trade == LiveTrade("QQQ", 1763649000123000000, 600.2, 100, ("55", "4", "9"), NOW, False)
    at = 1763649000124000000
    assert quote == LiveQuote("O:QQQ251120C00600000", at, 2.39, 2.41, 40, 33, NOW, False)
    assert value == LiveValue("I:VIX", 1763649000000000000, 18.2, NOW, False)


def test_statuses_are_told_apart_from_data() -> None:
    frame = read({"ev": "status", "status": "success", "message": "subscribed to: AM.QQQ"}, MINUTE)
    assert frame.statuses == [Status("success", "subscribed to: AM.QQQ")]
    assert len(frame.ticks) == 1


def test_row_35_halt_and_resumption_of_a_nasdaq_stock() -> None:
    luld = {"ev": "LULD", "T": "QQQ", "h": 1, "l": 1, "i": [17], "z": 3, "t": 1763649000000, "q": 1}
    assert read(luld, {**luld, "i": [18]}).ticks == [
        Halted("QQQ", 1763649000000000000, True, NOW),
        Halted("QQQ", 1763649000000000000, False, NOW),
    ]


def test_row_36_symbols_and_channels_not_subscribed_are_dropped_and_counted() -> None:
    frame = read({**MINUTE, "sym": "SPY"}, {**TRADE, "ev": "Q"}, {**VALUE, "T": "I:SPX"})
    assert (frame.ticks, dict(frame.bad)) == ([], {"unsubscribed": 3})


@pytest.mark.parametrize("message", ALL, ids=lambda m: m["ev"])
def test_row_37_added_fields_change_nothing_and_missing_stamps_are_counted(message: dict[str, Any]) -> None:
    assert len(read({**message, "new": {"deep": [1]}}).ticks) == 1
    for name in ("t", "s"):
        if name in message and (name == "t" or message["ev"] == "AM"):
            for bad in (None, "1763649000000", 1763649000, 1763649000000000000, True, [], {}):
                assert dict(read({**message, name: bad}).bad) == {"field": 1}


def test_row_37_retyped_side_of_a_quote_is_counted_and_a_missing_one_is_nobody_there() -> None:
    assert dict(read({**QUOTE, "bp": "2.39"}).bad) == {"field": 1}
    (quote,) = read({name: value for name, value in QUOTE.items() if name != "bp"}).ticks
    assert isinstance(quote, LiveQuote)
    assert math.isnan(quote.bid)


def test_row_37_window_that_is_not_a_minute_is_counted() -> None:
    assert dict(read({**MINUTE, "e": MINUTE["s"] + 1000}).bad) == {"field": 1}
    assert dict(read({**MINUTE, "s": 4_000_000_000_000, "e": 4_000_000_060_000}).bad) == {"field": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("<html></html>", "not JSON"),
        (json.dumps(ALL)[:-9], "not JSON"),
        ('[{"ev":"AM","sym":"QQQ","o":NaN}]', "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ('{"ev":"AM"}', "no array"),
        ("null", "no array"),
        ("[1]", "unknown event"),
        ('[{"ev":"XQ"}]', "unknown event"),
        ('[{"ev":["AM"]}]', "unknown event"),
        ('[{"ev":"AM","sym":5}]', "field"),
    ],
)
def test_row_38_broken_frames_are_counted_not_raised(text: str | bytes, reason: str) -> None:
    frame = decode(text, WANTED, NOW, delayed=False)
    assert (frame.ticks, dict(frame.bad)) == ([], {reason: 1})


@given(
    st.lists(JSON, max_size=5),
    st.sampled_from(ALL),
    st.dictionaries(st.sampled_from(["ev", "sym", "T", "s", "e", "t", "p", "bp", "c", "i"]), JSON),
)
def test_rows_37_38_frames_of_any_shape_raise_nothing(rows: list[Any], base: Any, changes: Any) -> None:
    frame = read(*rows, {**base, **changes})
    assert len(frame.ticks) + len(frame.statuses) + frame.bad.total() == len(rows) + 1


@given(st.data())
def test_row_38_every_prefix_of_a_frame_is_whole_or_counted(data: st.DataObject) -> None:
    text = json.dumps(ALL)
    cut = data.draw(st.integers(0, len(text) - 1))
    assert dict(decode(text[:cut], WANTED, NOW, delayed=False).bad) == {"not JSON": 1}


@pytest.mark.slow
def test_frame_fuzz_20_000_mutations_escape_nothing() -> None:
    rng = random.Random(7)
    text = json.dumps(ALL).encode()
    for _ in range(20_000):
        bad = bytearray(text)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(bad))
            if rng.random() < 0.3:
                del bad[at : at + rng.randint(1, 20)]
            else:
                bad[at] = rng.randrange(256)
        decode(bytes(bad), WANTED, NOW, delayed=False)
