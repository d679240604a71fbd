"""The VIX of a live day: its close of the session before, from the vendor, or a proxy that says so."""

from __future__ import annotations

import datetime as dt
from typing import Any

from maxlib.data.massive.records import IndexRefused
from maxlib.data.massive.rest import MassiveRest
from maxlib.market.calendar import new_york

SYMBOL = "I:VIX"


def close_before(client: MassiveRest, today: dt.date) -> dict[str, Any]:
    """The newest VIX close before `today`, for a journal's first entry.

    Indices are a plan of their own. Without it there is no close: options are then priced from the closes
    of 20 sessions, and so is the router's VIX (spec §4), as without `volatility: vix`.

    Returns
    -------
    dict
        `close` in points, or None; `source` : what is used, in words
    """
    found = client.indices([SYMBOL])[SYMBOL]
    if isinstance(found, IndexRefused):
        return _proxy(f"Massive says {found.code}")
    # From 03:15 on the value is today's, and the close before stands beside it; until then it is the close.
    current = not found.at or new_york(found.at).date() >= today
    close = found.previous_close if current else found.value
    if not close > 0:
        return _proxy("Massive names no close")
    return {"close": close, "source": f"VIX close {close:.2f} of the session before, by Massive"}


def _proxy(why: str) -> dict[str, Any]:
    return {
        "close": None,
        "source": f"a proxy of the VIX, from the closes of 20 sessions: {why} for {SYMBOL}",
    }
