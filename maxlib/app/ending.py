"""Ending a past day whose trader did not: its journal is run through again and closed. Nothing is sent."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Final

from maxlib.app.venues import first_entry
from maxlib.core.errors import DataError
from maxlib.engine.trader import Trader
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


def end(folder: Path, close: float | None = None, *, now: int | None = None) -> str:
    """End the day of a trader's folder; returns what it came to, in a sentence.

    Nothing is sold: what is open expired with its session, and is settled by the underlying's official
    close. Where the trader saw the session's last minute, that is its close.

    Parameters
    ----------
    close : official close of the underlying, dollars; needed if something is open and the last minute
        was not seen
    now : UTC ns; None = the clock's

    Raises
    ------
    DataError
        If there is no journal, a trader is running on it, its session is not over, or the close is
        needed and not told, or told and not needed.
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
            _answered(trader, folder)
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


def _answered(trader: Trader, folder: Path) -> None:
    """Nobody may settle what an order, which nobody heard of again, may have sold."""
    if trader.fills != "broker":
        return
    positions = trader.shell.machine.positions.values()
    orders = [order for p in positions for order in (p.pending.values() if p.held else [p.entry_order])]
    if orders:
        named = ", ".join(f"{order.name} ({order.purpose}, {order.id})" for order in orders)
        raise DataError(
            f"{folder}: nobody heard what became of {named}; start the trader again, which asks the broker"
        )


def _is_past(folder: Path, day: str, now: int) -> None:
    traded = session(dt.date.fromisoformat(day))
    if traded is not None and now < to_ns(traded.date, traded.close_minute):
        raise DataError(f"{folder}: the session of {day} is not over; only a past day can be ended")
