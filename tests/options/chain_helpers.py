"""Option chains made by hand, in which every quote is right unless a test makes it wrong."""

import datetime as dt
import math
from typing import Any

import numpy as np

from maxlib.market.calendar import ordinal, to_ns
from maxlib.market.quotes import QUOTE, Chain

DAY = dt.date(2025, 1, 2)
NOON = to_ns(DAY, 720)
CLOSE = to_ns(DAY, 960)


def call_value(forward: float, strike: float, width: float = 3.0) -> float:
    """A hyperbola: falls from forward - strike to 0, convex, slopes between -1 and 0."""
    gap = 0.5 * (forward - strike)
    return math.hypot(gap, 0.5 * width) + gap


def chain(
    strikes: Any = range(590, 611, 2),
    forward: float = 600.25,
    half: float = 0.03,
    ts: int = NOON,
    root: str = "QQQ",
    expires_at: int = CLOSE,
) -> Chain:
    """Puts and calls of each strike, quoted `half` around values in exact parity (D = 1)."""
    rows = np.zeros(2 * len(strikes), QUOTE)
    for name in ("last", "volume", "open_interest", "iv", "delta", "gamma", "theta", "vega"):
        rows[name] = np.nan
    rows["ts"], rows["quoted_at"], rows["spot_at"], rows["expires_at"] = ts, ts, ts, expires_at
    rows["expiry"], rows["spot"] = ordinal(DAY), forward
    rows["bid_size"] = rows["ask_size"] = 10
    for i, strike in enumerate(strikes):
        call = call_value(forward, strike)
        for row, right, value in ((rows[2 * i], -1, call - (forward - strike)), (rows[2 * i + 1], 1, call)):
            row["strike"], row["right"] = strike, right
            row["bid"], row["ask"] = value - half, value + half
    return Chain(root, rows, "simulated", "by hand")


def row_of(rows: Any, strike: float, right: int) -> int:
    """Where a series stands."""
    return int(np.flatnonzero((rows["strike"] == strike) & (rows["right"] == right))[0])


def shift(rows: Any, strike: float, right: int, dollars: float) -> int:
    """Move both sides of a quote; returns its row."""
    i = row_of(rows, strike, right)
    rows["bid"][i] += dollars
    rows["ask"][i] += dollars
    return i
