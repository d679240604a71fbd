"""Ending a past day whose trader did not: its journal is run through again and closed. Nothing is sent."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Final

from maxlib.app.venues import first_entry
from maxlib.core.errors import DataError
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.books import StateMoved
from maxlib.execution.alpaca.orders import LIVE, State, Tracked
from maxlib.market.calendar import session, to_ns
from maxlib.research.scenario import Scenario

_OWN: Final = frozenset({"run", "config_hash", "fills", "quotes", "carried", "streams", "simulated"})


def unsettled(trader: Trader, folder: Path) -> str:
    """Why a day cannot end as it is, and what can be done."""
    machine = trader.shell.machine
    held = ", ".join(p.entry_order.name for p in machine.positions.values())
    return (
        f"{held} is open, and {trader.unseen} minutes of the session were not seen; start the trader again, "
        f"or settle at the official close: maxtrader end {folder} --close PRICE"
    )


def end(folder: Path, close: float | None = None, *, unfilled: bool = False, now: int | None = None) -> str:
    """End the day of a trader's folder; returns what it came to, in a sentence.

    Nothing is sold: what is open expired with its session, and is settled by the underlying's official
    close. Where the trader saw the session's last minute, that is its close.

    Parameters
    ----------
    close : official close of the underlying, dollars; needed if something is open and the last minute
        was not seen
    unfilled : a person looked at the broker: of orders that nobody heard of again, no more filled
    now : UTC ns; None = the clock's

    Raises
    ------
    DataError
        If there is no journal, a trader is running on it, its session is not over, nobody heard what became
        of an order, or the close is needed and not told, or told and not needed.
    InvariantError
        If this program does not repeat what is recorded.
    """
    first = first_entry(folder)
    if first is None:
        raise DataError(f"{folder}: there is no day to end")
    _is_past(folder, first["day"], time.time_ns() if now is None else now)
    scenario = Scenario.model_validate_json(json.dumps(first["scenario"]))
    trader = Trader(
        folder,
        scenario.strategy.build(),
        scenario.machine,
        run=first["run"],
        identity={name: value for name, value in first.items() if name not in _OWN},
        simulated=first["simulated"],
        fills=first["fills"],
        quotes=first["quotes"],
    )
    try:
        before, unseen = trader.finished, trader.unseen
        if close is not None and (before or not unseen):
            raise DataError(f"--close {close:g}: {folder} has nothing open that its last minute left so")
        if not before:
            if unseen and close is None:
                raise DataError(f"{folder}: {unsettled(trader, folder)}")
            _answered(trader, folder, unfilled=unfilled)
            trader.finish(close)
        machine = trader.shell.machine
        cash = machine.ledger.cash_cents / 100
        cut = f" It was cut {unseen} minutes before its close." if unseen else ""
        return (
            f"{first['day']} {'had ended' if before else 'is ended'}: {len(machine.trades)} trades, "
            f"{len(machine.positions)} positions still open, cash {cash:,.2f} $.{cut}"
        )
    finally:
        trader.close()


def _unanswered(trader: Trader) -> list[Tracked]:
    """Orders at a broker of which nobody heard how they ended."""
    shell = trader.shell
    orders = shell.books.orders.values() if isinstance(shell, BrokerShell) else ()
    return [tracked for tracked in orders if tracked.state in LIVE]


def _answered(trader: Trader, folder: Path, *, unfilled: bool) -> None:
    """Nobody may settle what an order, which nobody heard of again, may have sold."""
    orders = _unanswered(trader)
    if orders and not unfilled:
        named = ", ".join(f"{t.order.name} ({t.order.purpose}, {t.order.id})" for t in orders)
        raise DataError(
            f"{folder}: nobody heard what became of {named}; look at the broker's own list: if none of it "
            "filled any more, say so with --unfilled"
        )
    for tracked in orders:
        # A day order ends with its session; what never went out is no order.
        to: State = "LOST" if tracked.state in ("INTENT", "UNKNOWN") else "EXPIRED"
        why = "a person looked: it did not fill any more"
        moved = StateMoved(tracked.order.id, tracked.state, to, tracked.broker_id, tracked.leg_ids, 0, why)
        assert trader.last_bar is not None
        trader.heard(moved, trader.last_bar.ts)


def _is_past(folder: Path, day: str, now: int) -> None:
    traded = session(dt.date.fromisoformat(day))
    if traded is not None and now < to_ns(traded.date, traded.close_minute):
        raise DataError(f"{folder}: the session of {day} is not over; only a past day can be ended")
