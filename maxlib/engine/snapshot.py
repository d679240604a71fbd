"""Trades and positions as JSON values, and back: the parts of a machine's snapshot."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from maxlib.engine.events import Bar, SignalSeen, Trade
from maxlib.engine.position import Position
from maxlib.execution.exits import EXITS
from maxlib.market.contract import Contract, Leg
from maxlib.trading.orders import Fill, Order


def numbers(values: Any) -> list[Any]:
    """A tuple as JSON values; NaN, which JSON lacks, as null."""
    return [None if isinstance(v, float) and math.isnan(v) else v for v in values]


def floats(values: Iterable[Any]) -> list[Any]:
    """The values of which `numbers` made a list."""
    return [math.nan if v is None else v for v in values]


def trade_in(row: list[Any]) -> Trade:
    """A trade from the list that `numbers` made of it."""
    trade = Trade(*floats(row))
    return trade._replace(legs=_legs_in(trade.legs))


def _legs_in(rows: Any) -> tuple[Leg, ...]:
    return tuple(Leg(Contract(*contract), ratio) for contract, ratio in rows)


def order_in(row: list[Any]) -> Order:
    """An order from the list that JSON makes of it."""
    order = Order(*row)
    return order._replace(legs=_legs_in(order.legs))


def position_out(p: Position) -> dict[str, Any]:
    """A position as JSON values; the exit watch as its bytes in base64."""
    watch = None
    if p.watch is not None:
        both = (p.watch.snapshot(), p.watch.params.tobytes())
        watch = [base64.b64encode(part).decode() for part in both]
    signal = [list(p.signal.bar), *numbers(p.signal[1:])]
    return {
        "number": p.number, "signal": signal, "entry_order": p.entry_order, "quantity": p.quantity,
        "entry": p.entry, "levels": numbers(p.levels), "proceeds_cents": p.proceeds_cents,
        "fee_cents": p.fee_cents, "held": list(p.held.items()), "pending": list(p.pending.values()),
        "bought": [[contract, *both] for contract, both in p.bought.items()],
        "queue": p.queue, "closes_at": p.closes_at,
        "slippage_cents": p.slippage_cents, "asked_cents": p.asked_cents,
        "paid_cents": p.paid_cents, "pin": p.pin, "book": p.book, "refusals": p.refusals, "watch": watch,
    }  # fmt: skip


def position_in(row: dict[str, Any]) -> Position:
    """The position that `position_out` wrote."""
    bar, *rest = row["signal"]
    p = Position(row["number"], SignalSeen(Bar(*bar), *floats(rest)), order_in(row["entry_order"]))
    p.quantity = row["quantity"]
    if row["entry"] is not None:
        filled, ts, quantity, prices, *fields = row["entry"]
        p.entry = Fill(order_in(filled), ts, quantity, tuple(prices), *fields)
    stop, tp1, tp2 = floats(row["levels"])
    p.levels = (stop, tp1, tp2)
    p.proceeds_cents, p.fee_cents = row["proceeds_cents"], row["fee_cents"]
    p.held = {Contract(*contract): count for contract, count in row["held"]}
    p.bought = {Contract(*contract): (count, cents) for contract, count, cents in row["bought"]}
    p.pending = {order.id: order for order in map(order_in, row["pending"])}
    p.queue = [order_in(order) for order in row["queue"]]
    p.closes_at, p.slippage_cents, p.pin = row["closes_at"], row["slippage_cents"], row["pin"]
    p.book, p.refusals = row["book"], row["refusals"]
    p.asked_cents, p.paid_cents = row["asked_cents"], row["paid_cents"]
    if row["watch"] is not None:
        state, params = (base64.b64decode(part) for part in row["watch"])
        p.watch = EXITS.stream(np.frombuffer(bytearray(params), EXITS.param))
        p.watch.restore(state)
    return p
