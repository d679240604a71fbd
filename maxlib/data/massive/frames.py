"""WebSocket frames into ticks. Pure: a bad frame is counted, never raised."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Container
from typing import Any, Final, NamedTuple

import numpy as np

from maxlib.core.errors import DataError
from maxlib.data.live import Halted, LiveBar, LiveQuote, LiveTrade, LiveValue, Tick
from maxlib.data.massive.records import MS, moment, number, price
from maxlib.market.calendar import stamp

_MINUTE_MS: Final = 60_000
# LULD indicators, for Nasdaq-listed securities only: the vendor's page on the LULD channel.
_HALT: Final = 17
_RESUME: Final = 18


class Status(NamedTuple):
    """The server speaks of the connection itself."""

    status: str
    message: str


class Frame(NamedTuple):
    """What a frame held; `bad` counts what was not understood or not asked for, by reason."""

    ticks: list[Tick | Halted]
    statuses: list[Status]
    bad: Counter[str]


def decode(text: str | bytes, wanted: Container[str], received_at: int, *, delayed: bool) -> Frame:
    """The ticks of one frame.

    Parameters
    ----------
    text : as it came
    wanted : channels that were subscribed to, like "AM.QQQ"; all else is dropped
    received_at : UTC ns
    delayed : the feed is a delayed one
    """
    frame = Frame([], [], Counter())
    try:
        messages = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        frame.bad["not JSON"] += 1
        return frame
    if not isinstance(messages, list):
        frame.bad["no array"] += 1
        return frame
    for message in messages:
        kind = message.get("ev") if isinstance(message, dict) else None
        if kind == "status":
            frame.statuses.append(Status(str(message.get("status")), str(message.get("message", ""))))
        elif not isinstance(kind, str) or kind not in _KINDS:
            frame.bad["unknown event"] += 1
        else:
            name, read = _KINDS[kind]
            symbol = message.get(name)
            if not isinstance(symbol, str):
                frame.bad["field"] += 1
            elif f"{kind}.{symbol}" not in wanted:
                frame.bad["unsubscribed"] += 1
            else:
                tick = read(symbol, message, received_at, delayed)
                if tick is None:
                    frame.bad["field"] += 1
                else:
                    frame.ticks.append(tick)
    return frame


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _minute(symbol: str, message: dict[str, Any], received_at: int, delayed: bool) -> LiveBar | None:
    start, end = moment(message.get("s"), MS), moment(message.get("e"), MS)
    if not start or end - start != _MINUTE_MS * MS:
        return None
    columns = [np.array([number(message.get(key))]) for key in "ohlc"]
    columns.append(np.array([number(message.get("v", 0))]))  # index bars have no volume
    try:
        row = stamp(np.array([start]), *columns)
    except DataError:  # beyond the calendar
        return None
    return LiveBar(symbol, row, "live", received_at, delayed)


def _trade(symbol: str, message: dict[str, Any], received_at: int, delayed: bool) -> LiveTrade | None:
    ts = moment(message.get("t"), MS)
    if not ts:
        return None
    key = tuple(str(message.get(name)) for name in "qxi")
    size = number(message.get("s"))
    return LiveTrade(symbol, ts, number(message.get("p")), size, key, received_at, delayed)


def _quote(symbol: str, message: dict[str, Any], received_at: int, delayed: bool) -> LiveQuote | None:
    ts = moment(message.get("t"), MS)
    if not ts:
        return None
    said = message.get("bp", 0), message.get("ap", 0)
    if any(math.isnan(number(side)) for side in said):
        return None  # retyped: not the same as nobody bidding
    sides = price(said[0]), price(said[1])
    sizes = number(message.get("bs")), number(message.get("as"))
    return LiveQuote(symbol, ts, *sides, *sizes, received_at, delayed)


def _value(symbol: str, message: dict[str, Any], received_at: int, delayed: bool) -> LiveValue | None:
    ts = moment(message.get("t"), MS)
    return LiveValue(symbol, ts, number(message.get("val")), received_at, delayed) if ts else None


def _halt(symbol: str, message: dict[str, Any], received_at: int, delayed: bool) -> Halted | None:  # noqa: ARG001 -- one signature for all
    ts, indicators = moment(message.get("t"), MS), message.get("i")
    if not ts or not isinstance(indicators, list) or not {_HALT, _RESUME} & _whole(indicators):
        return None
    return Halted(symbol, ts, _HALT in _whole(indicators), received_at)


def _whole(values: list[Any]) -> set[int]:
    return {value for value in values if isinstance(value, int)}


_Read = Callable[[str, dict[str, Any], int, bool], Tick | Halted | None]
# Channel -> the field that names its symbol, and the reader. Index values say T, not sym.
_KINDS: Final[dict[str, tuple[str, _Read]]] = {
    "AM": ("sym", _minute),
    "T": ("sym", _trade),
    "Q": ("sym", _quote),
    "V": ("T", _value),
    "LULD": ("T", _halt),
}
CHANNELS: Final = frozenset(_KINDS)
