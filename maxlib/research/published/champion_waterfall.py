"""From the champion's claim to the honest figure, one named cause at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from maxlib.options.desk import DeskConfig
from maxlib.research.published.champion_config import WATERFALL, Cause, ChampionPublished
from maxlib.research.published.champion_money import Books, Trade
from maxlib.research.published.champion_signals import decide, read
from maxlib.research.published.steps import Step, rungs

Rows = NDArray[np.void]


def champion_trades(
    config: ChampionPublished,
    bars: Rows,
    causes: Collection[Cause] = (),
    desk: DeskConfig | None = None,
) -> list[Trade]:
    """The trades once `causes` are put right; none = as published.

    Parameters
    ----------
    config : ChampionPublished
        The champion, or the ITM study.
    bars : BAR[n]
    desk : DeskConfig or None
        Strikes, volatility scale, spread and commission for MODEL and COSTS. None = $1 strikes at the
        money, or $5 in the money for the ITM study, with the costs of spec §12.1.
    """
    evidence = read(bars, config.displacement, causal=Cause.LEVELS in causes, carried=Cause.CARRIED in causes)
    decisions = decide(evidence, confirmed=Cause.CONFIRMATION in causes)
    return Books(bars, evidence.atr, config, causes, desk).book(decisions.at, decisions.side)


def champion_steps(
    config: ChampionPublished,
    bars: Rows,
    causes: Sequence[Cause] = WATERFALL,
    desk: DeskConfig | None = None,
    *,
    alone: bool = False,
) -> list[Step]:
    """The published figure, then one step per cause, in the order given.

    Parameters
    ----------
    config, bars, desk : as in `champion_trades`
    causes : any, in any order
    alone : each step puts only its own cause right, instead of all up to it

    Raises
    ------
    ConfigError
        If a cause is named twice.
    """

    def pnl_of(right: tuple[Cause, ...]) -> NDArray[np.float64]:
        return np.array([t.pnl_usd for t in champion_trades(config, bars, right, desk)], np.float64)

    return rungs(causes, pnl_of, alone=alone)
