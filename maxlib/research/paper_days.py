"""A paper trader's day, read from its journal alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from maxlib.analytics.statistics import session_days
from maxlib.core.config import config_hash
from maxlib.core.errors import DataError
from maxlib.journal.chain import Entry
from maxlib.journal.store import check
from maxlib.market.bars import BAR
from maxlib.market.calendar import new_york, session, to_ns
from maxlib.market.instruments import instrument
from maxlib.research.scenario import Scenario

Rows = NDArray[np.void]

JOURNAL: Final = "journal.sqlite"
_TOLD: Final = frozenset({
    "start", "run", "bar", "signal", "selected", "denied", "order", "fill", "closed", "expired",
})  # fmt: skip
"""Kinds that are shown as signals, denials or trades. All others are events of the day."""
_ROUTINE: Final = frozenset({"sent", "lease", "FillImported", "StateMoved"})
"""Of a broker: what every order brings."""


class PaperTrade(NamedTuple):
    """A closed trade. Prices are cents per share of a unit, averages over partial fills."""

    number: int
    side: int
    contract: str
    quantity: int
    entry_at: int
    exit_at: int
    entry_spot: float
    exit_spot: float
    entry_cents: float
    exit_cents: float
    fee_cents: int
    slippage_cents: float
    pnl_cents: int
    reason: str


class Denied(NamedTuple):
    """A signal that was refused; `side` is the signal's."""

    ts: int
    side: int
    code: str
    limit: float
    actual: float


class Happened(NamedTuple):
    """Anything else that the journal tells: commands, the guard, refused orders, the feed."""

    ts: int
    kind: str
    text: str


@dataclass(frozen=True)
class PaperDay:
    """One date of a paper trader.

    Attributes
    ----------
    folder : of the trader
    label : SIMULATED, REPLAY, PAPER, …: where its market came from
    broker : what became of its orders
    data_sha256 : of the tape that it was played; "" = its bars came from a vendor
    bars : BAR[n] that it took
    sessions : dates with at least one regular minute among them, days since 1970
    signals : UTC ns and side of each
    fills, modelled : executions, and how many of them are the model's and no broker's
    open : positions still held at the journal's end
    finished : it was told that the day is over
    head, entries : of the journal
    """

    folder: Path
    scenario: Scenario
    label: str
    date: dt.date
    broker: str
    data_sha256: str
    code_version: str
    bars: Rows = field(repr=False)
    sessions: NDArray[np.int64] = field(repr=False)
    signals: tuple[tuple[int, int], ...]
    denied: tuple[Denied, ...]
    trades: tuple[PaperTrade, ...]
    log: tuple[Happened, ...]
    fills: int
    modelled: int
    open: int
    finished: bool
    head: str
    entries: int

    @property
    def pnl_cents(self) -> int:
        """Of the closed trades, after fees."""
        return sum(t.pnl_cents for t in self.trades)

    @property
    def unseen(self) -> int:
        """Regular minutes of its session that it did not take."""
        traded = session(self.date)
        if traded is None:
            return 0
        first, last = (to_ns(self.date, minute) for minute in (traded.open_minute, traded.close_minute))
        taken = int(((self.bars["ts"] > first) & (self.bars["ts"] <= last)).sum())
        return traded.close_minute - traded.open_minute - taken


def read_day(folder: Path) -> PaperDay:
    """The day that a trader's folder holds; it may be running on it.

    Raises
    ------
    DataError
        If there is no journal, or it is none of a paper trader, or too old to name its scenario.
    InvariantError
        If its chain is broken: nothing is said of such a journal.
    """
    if not (folder / JOURNAL).is_file():
        raise DataError(f"{folder / JOURNAL} does not exist: there is no paper trader's day to report")
    rows = check(folder / JOURNAL)
    if not rows:
        raise DataError(f"{folder / JOURNAL} is empty: the trader has not begun")
    first = json.loads(rows[0].body)
    if rows[0].kind != "start":
        raise DataError(f"{folder / JOURNAL} is no paper trader's: it begins with {rows[0].kind}, not start")
    scenario = _scenario(first, folder)
    bodies = [(entry, json.loads(entry.body)) for entry in rows[1:]]
    bars = np.array([tuple(body["values"]) for entry, body in bodies if entry.kind == "bar"], BAR)
    signals = tuple((entry.ts, body["side"]) for entry, body in bodies if entry.kind == "signal")
    fills = [body for entry, body in bodies if entry.kind == "fill"]
    trades, held = _trades(bodies, instrument(scenario.data.symbol).multiplier)
    return PaperDay(
        folder=folder, scenario=scenario, label=first["label"], date=dt.date.fromisoformat(first["day"]),
        broker=first["broker"], data_sha256=first.get("data_sha256", ""),
        code_version=first["code_version"], bars=bars, sessions=session_days(bars), signals=signals,
        denied=tuple(_denied(bodies)), trades=tuple(trades), log=tuple(_happened(bodies)),
        fills=len(fills), modelled=sum(body["modelled"] for body in fills), open=held,
        finished=any(e.kind == "command" and b["name"] == "finish" for e, b in bodies),
        head=rows[-1].hash, entries=len(rows),
    )  # fmt: skip


def read_days(folders: Sequence[Path]) -> list[PaperDay]:
    """Days of one scenario, in order of their dates.

    Raises
    ------
    DataError
        If they are not of one scenario and one kind of market, or a date comes twice.
    """
    if not folders:
        raise DataError("no folder of a paper trader was named")
    days = sorted((read_day(folder) for folder in folders), key=lambda day: day.date)
    for one, other in pairwise(days):
        if config_hash(one.scenario) != config_hash(other.scenario):
            raise DataError(
                f"{one.date} and {other.date} are days of other settings ({one.scenario.name}, "
                f"{other.scenario.name}): a report is of one scenario as it is"
            )
        if one.label != other.label:
            raise DataError(f"{one.date} is {one.label}, {other.date} is {other.label}: they do not mix")
        if one.date == other.date:
            raise DataError(f"{one.date} was named twice: a day counts once")
    return days


def _scenario(first: dict[str, Any], folder: Path) -> Scenario:
    if "scenario" not in first:
        raise DataError(f"{folder / JOURNAL} does not say of which scenario it is: an older version began it")
    try:
        # From JSON text: there a date is a string, which strict settings refuse from Python.
        return Scenario.model_validate_json(json.dumps(first["scenario"]))
    except ValidationError as error:
        raise DataError(
            f"{folder / JOURNAL}: its scenario is none of this version ({error.error_count()} problems)"
        ) from None


def _denied(bodies: list[tuple[Entry, dict[str, Any]]]) -> Iterator[Denied]:
    side = 0
    for entry, body in bodies:
        if entry.kind == "signal":
            side = body["side"]
        elif entry.kind == "denied":
            yield Denied(entry.ts, side, body["code"], body["limit"], body["actual"])


@dataclass
class _Position:
    """What the fills of a position have come to so far."""

    side: int
    first: tuple[int, float] | None = None
    last: tuple[int, float] = (0, 0.0)
    units: int = 0
    paid: int = 0
    slipped: float = 0.0

    def fill(self, ts: int, body: dict[str, Any], *, opening: bool) -> None:
        self.slipped += body["slippage_cents"] * body["quantity"]
        self.last = ts, body["spot"]
        if opening:  # a broker may fill an entry in parts
            self.first = self.first or (ts, body["spot"])
            units = -body["quantity"] if body.get("undone") else body["quantity"]
            self.units += units
            self.paid += body["price_cents"] * units

    def closed(self, body: dict[str, Any], multiplier: int) -> PaperTrade:
        assert self.first is not None
        paid = self.paid / self.units
        return PaperTrade(
            number=body["trade"], side=self.side, contract=body["contract"], quantity=body["quantity"],
            entry_at=self.first[0], exit_at=self.last[0], entry_spot=self.first[1], exit_spot=self.last[1],
            entry_cents=paid,
            exit_cents=(body["pnl_cents"] + body["fee_cents"]) / (multiplier * body["quantity"]) + paid,
            fee_cents=body["fee_cents"], slippage_cents=self.slipped * multiplier,
            pnl_cents=body["pnl_cents"], reason=body["reason"],
        )  # fmt: skip


def _trades(bodies: list[tuple[Entry, dict[str, Any]]], multiplier: int) -> tuple[list[PaperTrade], int]:
    """Closed trades, and how many positions are left open."""
    purposes: dict[str, str] = {}
    positions: dict[int, _Position] = {}
    closed = []
    side = 0
    for entry, body in bodies:
        if entry.kind == "signal":
            side = body["side"]
        elif entry.kind == "order":
            purposes[body["order"]] = body["purpose"]
            positions.setdefault(body["trade"], _Position(side))
        elif entry.kind == "fill":
            opening = purposes[body["order"]] == "open"
            positions[body["trade"]].fill(entry.ts, body, opening=opening)
        elif entry.kind == "closed":
            closed.append(positions.pop(body["trade"]).closed(body, multiplier))
    return closed, sum(position.first is not None for position in positions.values())


def _happened(bodies: list[tuple[Entry, dict[str, Any]]]) -> Iterator[Happened]:
    before = ("", "")
    for entry, body in bodies:
        if entry.kind in _TOLD or (entry.kind == "broker" and body["what"] in _ROUTINE):
            continue
        text = _words(entry.kind, body)
        if (entry.kind, text) != before:  # a feed says again and again that it is still silent
            yield Happened(entry.ts, entry.kind, text)
        before = entry.kind, text


def _words(kind: str, body: dict[str, Any]) -> str:
    why = f": {body['why']}" if body.get("why") else ""
    if kind == "command":
        return f"{body['name']}{why}"
    if kind == "guard":
        return f"{body['what'].replace('_', ' ')}: {body['message']}"
    if kind == "gap":
        first, last = (f"{new_york(body[end]):%H:%M}" for end in ("start", "end"))
        return f"no bar will come for {first} to {last}"
    if "code" in body and kind in ("feed", "broker", "process"):
        return f"{body['code']}, no entries{why}" if body["code"] else f"well again{why}"
    said = (f"{k} {v}" for k, v in body.items() if k not in ("simulated", "order"))
    return ", ".join(said)
