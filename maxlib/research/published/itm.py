"""The published one-strike-in-the-money study: +7,253 % in 2024, bought below intrinsic value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.research.published.champion import ChampionAccounting
from maxlib.research.published.champion_config import ITM_STUDY, ChampionPublished
from maxlib.research.published.champion_money import Trade

Rows = NDArray[np.void]


class ItmAccounting(ChampionAccounting):
    """The champion's trades in options $5 in the money: an `Accounting`.

    Parameters
    ----------
    bars : BAR[n]
    config : ChampionPublished
        `ITM_STUDY`, or `QQQ_ONLY` for the 22-month study.
    """

    name = "published_itm"

    def __init__(self, bars: Rows, config: ChampionPublished = ITM_STUDY) -> None:
        super().__init__(bars, config)


class Bargain(NamedTuple):
    """Why the study makes money. Dollars per share, means over trades.

    share_below : share of entries whose premium is less than the option's intrinsic value, 0..1
    """

    premium: float
    intrinsic: float
    share_below: float


def bargain(trades: Sequence[Trade]) -> Bargain:
    """Premiums paid against what the options were worth if exercised at once; NaN without trades."""
    premium = np.array([t.premium for t in trades])
    intrinsic = np.array([max(0.0, t.side * (t.spot - t.strike)) for t in trades])
    if not trades:
        return Bargain(np.nan, np.nan, np.nan)
    return Bargain(float(premium.mean()), float(intrinsic.mean()), float((premium < intrinsic).mean()))
