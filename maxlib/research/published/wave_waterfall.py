"""From a wave run's claim to the honest figure, one named cause at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.options.desk import DeskConfig
from maxlib.research.published.steps import Step
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
    for i, cause in enumerate(causes):
        if cause in causes[:i]:
            raise ConfigError(f"waterfall: cause {cause.name.lower()} is named twice")
    steps = [_step("published", "as claimed", WaveAccounting(bars, config, desk))]
    for i, cause in enumerate(causes):
        right = (cause,) if alone else tuple(causes[: i + 1])
        accounting = WaveAccounting(bars, repaired(config, right), desk)
        steps.append(_step(cause.name.lower(), cause.value, accounting))
    return steps


def _step(name: str, cause: str, accounting: WaveAccounting) -> Step:
    pnl = np.array([own.trade.pnl_usd for own in accounting.booked])
    won = float((pnl > 0).mean()) if len(pnl) else float("nan")
    return Step(name, cause, len(pnl), won, float(pnl.sum()))
