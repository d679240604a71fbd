"""The EMA cross that peers can run too: long while fast is above slow, else flat, filled at the next open."""

from __future__ import annotations

from typing import Final

from maxlib.core.record import Record
from maxlib.kernels.averages import Ema, ema
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import BarRecord


class State(Record):
    """Averages, what the last close decided, and a book of one share."""

    fast: Ema
    slow: Ema
    want: bool
    held: bool
    trades: int
    cash: float


class Params(Record):
    """Lengths in bars."""

    fast: int
    slow: int


class Out(Record):
    """Entries so far, and cash plus the share at this close, in dollars."""

    trades: int
    profit: float


@kernel
def ema_cross(s: State, p: Params, bar: BarRecord, out: Out) -> None:
    """Fill at the open what the last close decided, then decide. No cost, one share."""
    if s.want != s.held:
        s.held = s.want
        if s.held:
            s.cash -= bar.open
            s.trades += 1
        else:
            s.cash += bar.open
    fast = ema(s.fast, p.fast, bar.close)
    slow = ema(s.slow, p.slow, bar.close)
    s.want = fast > slow  # False while the slow one is NaN
    out.trades = s.trades
    out.profit = s.cash + bar.close if s.held else s.cash


EMA_CROSS: Final = System(State, Params, Out, ema_cross)
