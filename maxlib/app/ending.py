"""Ending a past day whose trader did not: its journal is run through again and closed. Nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from maxlib.app.venues import first_entry
from maxlib.core.errors import DataError
from maxlib.engine.trader import Trader
from maxlib.research.scenario import Scenario

_OWN: Final = frozenset({"run", "config_hash", "fills", "quotes", "carried", "streams", "simulated"})


def end(folder: Path) -> str:
    """End the day of a trader's folder at its last bar; returns what it came to, in a sentence.

    Own fills leave what is open at the last bar. What is open at a broker stays open, and is said.

    Raises
    ------
    DataError
        If there is no journal, or a trader is running on it.
    InvariantError
        If this program does not repeat what is recorded.
    """
    first = first_entry(folder)
    if first is None:
        raise DataError(f"{folder}: there is no day to end")
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
        before = trader.finished
        if not before:
            trader.finish()
        machine = trader.shell.machine
        cash = machine.ledger.cash_cents / 100
        return (
            f"{first['day']} {'had ended' if before else 'is ended'}: {len(machine.trades)} trades, "
            f"{len(machine.positions)} positions still open, cash {cash:,.2f} $."
        )
    finally:
        trader.close()
