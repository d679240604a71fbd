"""What every accounting has in common, ours and the ones it takes apart.

An accounting turns decisions into money. The placebo feeds it random decisions,
so it must take any, and say which ones the strategy itself made.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]


class Entries(NamedTuple):
    """Decisions in time order.

    at : int64[n], index of the bar at whose close the decision was made
    side : int8[n], +1 up (calls), -1 down (puts)
    """

    at: NDArray[np.int64]
    side: NDArray[np.int8]


class Booked(NamedTuple):
    """What an accounting made of decisions: P&L of each trade in dollars, in closing order."""

    pnl_usd: NDArray[np.float64]


class Accounting(Protocol):
    """Turns decisions into trades and money.

    name : as on the command line
    account_usd : before the first trade
    bars : BAR[n], the tape
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above
    @property
    def account_usd(self) -> float: ...  # noqa: D102
    @property
    def bars(self) -> Rows: ...  # noqa: D102

    def entries(self) -> Entries:
        """The strategy's own decisions that became trades under this accounting."""

    def book(self, entries: Entries) -> Booked:
        """The money that these decisions make. Fewer trades than entries if the rules skip some."""
