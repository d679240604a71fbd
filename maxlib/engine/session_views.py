"""What a trading session shows: frozen snapshots and deltas that are plain JSON.

A page, an API or a test reads these and nothing else, so the session may live in
another process.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from maxlib.core.config import Config

State = Literal["IDLE", "RUNNING", "PAUSED", "STOPPED", "FINISHED"]
Label = Literal["SIMULATED", "REPLAY"]
Command = Literal["start", "pause", "resume", "stop"]


class PositionView(Config):
    """An open position, or an entry that waits for the next open (`entry_cents` is None).

    Prices are cents per share. `bid_cents` is where it could be sold now, from a modelled
    quote. `stop` is the one in force; it and the targets are prices of the underlying.
    """

    trade: int
    side: int
    contract: str
    right: str
    strike: float
    expiry: dt.date
    quantity: int
    open_quantity: int
    entry_at: int | None = None
    entry_cents: int | None = None
    bid_cents: int | None = None
    unrealised_cents: int = 0
    stop: float | None = None
    tp1: float | None = None
    tp2: float | None = None


class TradeView(Config):
    """A closed trade; money in cents, times in UTC ns."""

    number: int
    side: int
    contract: str
    right: str
    strike: float
    quantity: int
    entry_at: int
    exit_at: int
    entry_cents: int
    exit_cents: float
    fee_cents: int
    pnl_cents: int
    reason: str


class DenialView(Config):
    """How often one reason kept the machine from trading, and its newest numbers."""

    code: str
    count: int
    limit: float | None = None
    actual: float | None = None


class JournalRow(Config):
    """One entry of the journal; in `body`, JSON, what is long stands as how much it is."""

    seq: int
    ts: int
    kind: str
    body: str
    hash: str


class LevelsView(Config):
    """Levels known now, prices of the underlying; None = not known."""

    asia_high: float | None = None
    asia_low: float | None = None
    london_high: float | None = None
    london_low: float | None = None
    day_high: float | None = None
    day_low: float | None = None


class MarkView(Config):
    """Something to mark on the chart, at the moment it became known.

    kind : "signal" was taken, "denied" was not; "entry" and "exit" are fills
    side : +1 for calls, -1 for puts
    good : an exit above the entry price
    """

    kind: Literal["signal", "denied", "entry", "exit"]
    ts: int
    spot: float
    side: int
    text: str
    good: bool | None = None


class BarView(Config):
    """A bar; `pnl_cents` is the session's P&L at its close (equity - start), None = not known."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    pnl_cents: int | None


class SessionView(Config):
    """Everything there is to know about a session, but for its bars and marks.

    Attributes
    ----------
    clock : UTC ns, the replay's market time
    age_s : market seconds from the end of the last bar to `clock`; None before the first bar
    previous_close : close of the last regular session before the day, if the tape has one
    realised_cents : closed quantities, less every commission paid so far
    unrealised_cents : open quantities at the bid, less the commission of selling them
    equity_cents : start + realised + unrealised: what would be left if all were sold now
    blocked : commands that are refused now, each with the reason
    fault : the error that ended the session's progress, or ""
    bars, marks : how many `bars_since` and `marks_since` have
    """

    state: State
    label: Label
    name: str
    symbol: str
    strategy: str
    day: dt.date
    clock: int
    bar_at: int | None
    age_s: float | None
    last: float | None
    previous_close: float | None
    bars: int
    bars_total: int
    marks: int
    signals: int
    start_cents: int
    realised_cents: int
    unrealised_cents: int
    equity_cents: int
    fee_cents: int
    positions: tuple[PositionView, ...]
    trades: tuple[TradeView, ...]
    wins: int
    denials: tuple[DenialView, ...]
    levels: LevelsView
    journal_head: str
    journal_count: int
    journal_tail: tuple[JournalRow, ...]
    blocked: dict[Command, str]
    fault: str


# --- levels, independent of any strategy
