"""From a wave run's claim to the honest figure, one named cause at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maxlib.options.desk import DeskConfig
from maxlib.research.published.steps import Step, rungs
from maxlib.research.published.wave import WaveAccounting
from maxlib.research.published.wave_config import WATERFALL, Cause, WavePublished, repaired

Rows = NDArray[np.void]


def wave_steps(
    config: WavePublished,
    bars: Rows,
    causes: Sequence[Cause] = WATERFALL,
    desk: DeskConfig | None = None,
    *,
    alone: bool = False,
) -> list[Step]:
    """The published figure, then one step per cause, in the order given.

    Parameters
    ----------
    config : WavePublished
        As published: `BASELINE` or `REPEATED`.
    bars : BAR[n]
        With the file's repeats if the config keeps them (`wave_bars.repeated_bars`).
    causes : any, in any order
    desk : as in `WaveAccounting`
    alone : each step puts only its own cause right, instead of all up to it

    Raises
    ------
    ConfigError
        If a cause is named twice.
    """

    def pnl_of(right: tuple[Cause, ...]) -> NDArray[np.float64]:
        accounting = WaveAccounting(bars, repaired(config, right), desk)
        return np.array([own.trade.pnl_usd for own in accounting.booked], np.float64)

    return rungs(causes, pnl_of, alone=alone)
