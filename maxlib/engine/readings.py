"""Readings of volatility for the router of regimes: what may be known of it at each bar."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.regimes.daily import DAILY
from maxlib.regimes.router import Volatility, reading

Rows = NDArray[np.void]
DAILY_PARAMS: Final = DAILY.params(atr_length=14, returns=20, default=15.0)
"""The convention of spec §4."""


def seen(out: Any, level: float | None) -> Volatility:
    """The reading of a bar: the VIX where options are priced from it, else the stand-in of `DAILY`.

    Parameters
    ----------
    out : DailyOut of the bar
    level : VIX ÷ 100 in force at the bar; None = there is none
    """
    return reading(out, None if level is None else 100.0 * level)


class Readings(NamedTuple):
    """The readings of a whole tape.

    Attributes
    ----------
    daily : DailyOut[n]
    level : float64[n], VIX ÷ 100 in force at each bar; None = there is none
    """

    daily: Rows
    level: NDArray[np.float64] | None

    def at(self, i: int) -> Volatility:
        """The reading of bar `i`."""
        return seen(self.daily[i], None if self.level is None else float(self.level[i]))

    def changes(self) -> list[int]:
        """The bars at which a reading may differ from the one before, the first among them."""
        new = self.daily["event"] != 0
        new[:1] = True
        if self.level is not None:
            new[1:] |= self.level[1:] != self.level[:-1]
        found: list[int] = np.flatnonzero(new).tolist()
        return found


def readings(bars: Rows, level: NDArray[np.float64] | None) -> Readings:
    """The readings of BAR[n], each from what was known at its bar."""
    return Readings(DAILY.run(bars, DAILY_PARAMS)[1], level)
