"""What every strategy says, bar by bar."""

from __future__ import annotations

from typing import Final

from maxlib.core.record import Record

PRICE: Final = 0
"""Stop and targets are prices of the underlying."""
FRACTION: Final = 1
"""They are fractions of the entry price: 0.01 is one per cent in the trade's favour."""
DISTANCE: Final = 2
"""They are distances from the entry price, in dollars, in the trade's favour."""


class Signal(Record):
    """One decision. A strategy's output record holds it in a field called `signal`.

    Known at the close of the bar it is emitted on; the entry is the next bar's
    open. `stop` is against the trade when basis is FRACTION or DISTANCE (positive
    number = that far away); NaN means there is none.
    """

    side: int  # +1 long, -1 short, 0 nothing
    basis: int
    formed_at: int  # ts of the bar that the pattern hangs on, UTC ns
    stop: float
    tp1: float
    tp2: float
    confidence: float  # 0 to 1
    atr: float  # ATR14 of one-minute bars, dollars
