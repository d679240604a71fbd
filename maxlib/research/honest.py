"""Our own accounting as a placebo sees it: decisions through the machine, at quotes, after costs."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from maxlib.engine.backtest import Run, play
from maxlib.engine.machine import MachineConfig
from maxlib.journal.chain import Silent
from maxlib.research.accounting import Booked, Entries, Rows
from maxlib.strategies.signal import FRACTION, PRICE, Signal

_OUT: Final = np.dtype([("signal", Signal.dtype)], align=True)


class HonestAccounting:
    """The machine as an accounting.

    Parameters
    ----------
    run : the strategy's own run; its signals lend the random ones their exit plans
    config : the machine's settings
    """

    name = "honest"

    def __init__(self, run: Run, config: MachineConfig) -> None:
        self.bars = run.bars
        self.account_usd = run.start_cents / 100
        self._config = config
        self._sigma = run.sigma
        self._known = run.readings
        known = [trade.known_at for trade in run.trades]
        self._at = np.searchsorted(run.bars["ts"], np.array(sorted(known), np.int64))
        self._own = run.out["signal"][self._at].copy()

    def entries(self) -> Entries:
        """The decisions that became trades."""
        return Entries(self._at, self._own["side"].astype(np.int8))

    def book(self, entries: Entries) -> Booked:
        """Trades of these decisions. A decision of the strategy itself keeps its own signal.

        Any other takes stop and targets, as fractions of the price, from the strategy's signals in turn.
        """
        out = np.zeros(len(self.bars), _OUT)
        signals = out["signal"]
        if len(self._at):
            signals[entries.at] = self._plans(entries)
            where = np.searchsorted(self._at, entries.at)
            same = (where < len(self._at)) & (self._at[np.minimum(where, len(self._at) - 1)] == entries.at)
            same[same] &= self._own["side"][where[same]] == entries.side[same]
            signals[entries.at[same]] = self._own[where[same]]
        run = play(self.bars, out, self._sigma, self._config, "placebo", known=self._known, journal=Silent())
        return Booked(np.array([trade.pnl_cents for trade in run.trades], float) / 100)

    def _plans(self, entries: Entries) -> Rows:
        lent = np.arange(len(entries.at)) % len(self._at)
        rows: Rows = self._own[lent].copy()
        close = self.bars["close"][self._at[lent]]
        for name, sign in (("stop", -1.0), ("tp1", 1.0), ("tp2", 1.0)):
            rows[name] = _fraction(self._own[lent], name, sign, close)
        rows["basis"] = FRACTION
        rows["side"] = entries.side
        rows["formed_at"] = self.bars["ts"][entries.at]
        return rows


def _fraction(own: Rows, name: str, sign: float, close: NDArray[np.float64]) -> NDArray[np.float64]:
    """A level of a signal as a fraction of the price it was decided at; NaN stays NaN."""
    level = own[name]
    away = np.where(own["basis"] == PRICE, sign * own["side"] * (level - close), level)
    return np.where(own["basis"] == FRACTION, level, away / close)
