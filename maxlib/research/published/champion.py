"""The champion's published accounting: 587 trades of 2024, to the cent, and what it makes of others.

For taking apart only. Nothing that trades may import this room.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.files import write_atomic
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york
from maxlib.research.accounting import Booked, Entries
from maxlib.research.published.champion_config import ChampionPublished
from maxlib.research.published.champion_money import SHARES, Books, Trade
from maxlib.research.published.champion_signals import Decisions, Evidence, decide, read

Rows = NDArray[np.void]

COLUMNS: Final = (
    "n", "signal_time", "confirmed_time", "entry_time", "direction", "entry_price", "strike",
    "target_distance", "target_price", "premium", "contracts", "premium_paid", "exit_time", "exit_price",
    "hit_target", "pnl", "balance",
)  # fmt: skip
"""Columns of the published trade list."""


class ChampionAccounting:
    """The champion as published: an `Accounting`.

    Parameters
    ----------
    bars : BAR[n]
        One file of the original, such as a calendar year: its premium clock starts with the first day.
    config : ChampionPublished
    """

    name: str = "published"

    def __init__(self, bars: Rows, config: ChampionPublished | None = None) -> None:
        self.bars = bars
        self.config = config or ChampionPublished()

    @property
    def account_usd(self) -> float:
        """Before the first trade."""
        return self.config.account_usd

    @cached_property
    def evidence(self) -> Evidence:
        """Structures of every bar, as published."""
        return read(self.bars, self.config.displacement)

    @cached_property
    def decisions(self) -> Decisions:
        """All published signals, traded or not."""
        return decide(self.evidence)

    @cached_property
    def booked(self) -> list[Trade]:
        """The strategy's own trades."""
        return self._books.book(self.decisions.at, self.decisions.side)

    @cached_property
    def _books(self) -> Books:
        return Books(self.bars, self.evidence.atr, self.config)

    def entries(self) -> Entries:
        """The decisions that became trades: each at its sweep bar, up to five bars before it is known."""
        trades = self.booked
        at, side = [t.at for t in trades], [t.side for t in trades]
        return Entries(np.array(at, np.int64), np.array(side, np.int8))

    def book(self, entries: Entries) -> Booked:
        """The money any decisions make: entry at the next open, target 5 ATR of the decision's bar.

        A decision up to the bar of the previous exit is skipped, as the strategy's own are.
        """
        return Booked(np.array([t.pnl_usd for t in self._books.book(*entries)], np.float64))

    def trades(self) -> list[dict[str, Any]]:
        """The own trades with the columns of the published list: New York times of bar starts, dollars."""
        known = zip(self.decisions.at.tolist(), self.decisions.side.tolist(), strict=True)
        confirmed = dict(zip(known, self.decisions.confirmed.tolist(), strict=True))
        return [self._row(n, t, confirmed[t.at, t.side]) for n, t in enumerate(self.booked, start=1)]

    def _row(self, n: int, t: Trade, confirmed: int) -> dict[str, Any]:
        values = (
            n, self._time(t.at), self._time(confirmed), self._time(t.entered),
            "long" if t.side > 0 else "short", t.spot, t.strike, t.distance, t.target,
            t.premium, t.contracts, t.premium * SHARES * t.contracts,
            self._time(t.left), t.exit_spot, t.hit, t.pnl_usd, t.balance_usd,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def _time(self, bar: int) -> str:
        return new_york(int(self.bars["ts"][bar]) - NS_PER_MINUTE).isoformat()


def write_trades(path: Path, trades: Iterable[dict[str, Any]]) -> None:
    """Write rows of `trades()` in the published format: floats to six decimals, as numpy rounds them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in trades:
        writer.writerow(
            {name: float(np.round(v, 6)) if isinstance(v, float) else v for name, v in row.items()}
        )
    write_atomic(path, text.getvalue())
