"""The published wave accounting: its trades to the cent, and what it makes of any other decisions.

For taking apart only. Nothing that trades may import this room.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.core.files import write_atomic
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york
from maxlib.options.desk import DeskConfig
from maxlib.research.accounting import Booked, Entries
from maxlib.research.published.wave_bars import once
from maxlib.research.published.wave_config import WavePublished
from maxlib.research.published.wave_money import Entry, WaveBooks, WaveTrade
from maxlib.research.published.wave_signals import WaveRules, WaveSignal, percent_levels
from maxlib.signals.trend import TREND_NAMES

Rows = NDArray[np.void]
Floats = NDArray[np.float64]

COLUMNS: Final = (
    "n", "entry_time", "direction", "spot", "tp1", "tp2", "stop", "retrace", "regime", "confidence",
    "structure", "legs", "net_premium", "entry_cost", "pnl", "r_multiple", "window_end", "cum_pnl",
)  # fmt: skip
"""Columns of the published trade list."""
_DIGITS: Final = {
    **dict.fromkeys(("spot", "tp1", "tp2", "stop", "confidence"), 6),
    **dict.fromkeys(("net_premium", "entry_cost", "pnl", "r_multiple", "cum_pnl"), 4),
}


class OwnTrade(NamedTuple):
    """A trade of the strategy's own, with the signal behind it."""

    signal: WaveSignal
    trade: WaveTrade


class WaveAccounting:
    """The wave strategy as published: an `Accounting`.

    Parameters
    ----------
    bars : BAR[n]
        In time order. With `keep_duplicates` the bars of `wave_bars.repeated_bars`; without it repeats
        are dropped.
    config : WavePublished
    desk : DeskConfig or None
        Volatility scale, spread and commission of the repaired steps; None = those of spec §12.1.
    sigma : float64[n] or None
        Volatility in force at each bar, for the repaired steps; None = `maxlib.options.volatility`.

    Raises
    ------
    ConfigError
        If duplicates are to be kept and there are none.
    """

    name: str = "published"

    def __init__(
        self,
        bars: Rows,
        config: WavePublished | None = None,
        desk: DeskConfig | None = None,
        sigma: Floats | None = None,
    ) -> None:
        self.config = config or WavePublished()
        single = once(bars)
        if self.config.keep_duplicates and len(single) == len(bars):
            raise ConfigError("keep_duplicates: these bars hold no repeats; read the file with repeated_bars")
        self.bars = bars if self.config.keep_duplicates else single
        self._books = WaveBooks(self.bars, self.config, desk or DeskConfig(), sigma)

    @property
    def account_usd(self) -> float:
        """Before the first trade."""
        return self.config.account_usd

    @cached_property
    def rules(self) -> WaveRules:
        """The strategy on these bars."""
        return WaveRules(self.bars, self.config)

    @cached_property
    def signals(self) -> list[WaveSignal]:
        """All published signals, traded or not."""
        return self.rules.signals()

    @cached_property
    def booked(self) -> list[OwnTrade]:
        """The strategy's own trades, in the order of their entries."""
        booked = self._books.book([self._entry(signal) for signal in self.signals])
        return [OwnTrade(self.signals[t.number], t) for t in booked]

    def entries(self) -> Entries:
        """The decisions that became trades."""
        at, side = [o.signal.at for o in self.booked], [o.signal.side for o in self.booked]
        return Entries(np.array(at, np.int64), np.array(side, np.int8))

    def book(self, entries: Entries) -> Booked:
        """The money that these decisions make.

        A decision of the strategy's own enters where its rules say, at the level of its brick; any other
        at the bar's close, with the targets of the mode counted from there.

        Raises
        ------
        ConfigError
            If a decision has no wave but the target mode needs one.
        """
        own: dict[tuple[int, int], list[WaveSignal]] = {}
        for signal in reversed(self.signals):  # several bricks of one bar may signal: first come, first out
            own.setdefault((signal.at, signal.side), []).append(signal)
        wanted = []
        for at, side in zip(entries.at.tolist(), entries.side.tolist(), strict=True):
            mine = own.get((at, side))
            wanted.append(self._entry(mine.pop()) if mine else self._random(at, side))
        trades = self._books.book(wanted)
        closing = sorted(trades, key=lambda t: t.exit)
        return Booked(np.array([t.pnl_usd for t in closing], np.float64))

    def trades(self) -> list[dict[str, Any]]:
        """The own trades with the columns of the published list: New York times of bar starts, dollars.

        `cum_pnl` adds up P&L rounded to four decimals, as the list prints it.
        """
        total, rows = 0.0, []
        for number, (signal, t) in enumerate(self.booked, start=1):
            total += round(t.pnl_usd, 4)
            rows.append(self._row(number, signal, t, total))
        return rows

    def _row(self, number: int, signal: WaveSignal, t: WaveTrade, total: float) -> dict[str, Any]:
        right = "C" if t.side > 0 else "P"
        legs = "|".join(f"{quantity:+d}{right}{strike}@{price:.4f}" for quantity, strike, price in t.legs)
        first, second, stop = t.levels
        values = (
            number, _time(int(self.bars["ts"][t.at]) - NS_PER_MINUTE), "long" if t.side > 0 else "short",
            t.spot, first, second, stop if stop == stop else "", signal.kind, TREND_NAMES[signal.label],
            signal.confidence, t.structure, legs, t.net_usd, t.entry_cost_usd, t.pnl_usd,
            t.pnl_usd / t.entry_cost_usd, _time(t.window_end), total,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def _entry(self, signal: WaveSignal) -> Entry:
        at, spot = self._books.spot(signal.at, signal.level)
        return Entry(at, signal.side, spot, self.rules.levels(signal.side, spot, signal.wave, signal.brick))

    def _random(self, decided: int, side: int) -> Entry:
        at, spot = self._books.spot(decided, float(self.bars["close"][decided]))
        levels = percent_levels(self.config.target_mode, side, spot)
        if levels is None:
            raise ConfigError(
                f"target_mode {self.config.target_mode!r}: a decision without a wave has no targets; "
                "use fixed_pct or dynamic"
            )
        return Entry(at, side, spot, levels)


def _time(ts: int) -> str:
    return new_york(ts).isoformat()


def write_reference(path: Path, trades: Iterable[dict[str, Any]]) -> None:
    """Write rows of `WaveAccounting.trades` as CSV, rounded as the published list is."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in trades:
        rounded = {
            name: round(value, _DIGITS[name]) for name, value in row.items() if isinstance(value, float)
        }
        writer.writerow({**row, **rounded})
    write_atomic(path, text.getvalue())
