"""The rungs of a waterfall from a claim to the honest figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError

C = TypeVar("C", bound=Enum)


class Step(NamedTuple):
    """What an accounting says after one more cause has been put right.

    name : short, as in a table
    cause : what was put right, in a sentence
    trades : count
    win_rate : share of trades with a P&L above zero, 0..1; NaN without trades
    pnl_usd : total
    """

    name: str
    cause: str
    trades: int
    win_rate: float
    pnl_usd: float


def rungs(
    causes: Sequence[C], pnl_of: Callable[[tuple[C, ...]], NDArray[np.float64]], *, alone: bool = False
) -> list[Step]:
    """The published figure, then one step per cause, in the order given.

    Parameters
    ----------
    causes : any of an accounting's, each named by what is put right
    pnl_of : P&L of each trade in dollars once these causes are put right
    alone : each step puts only its own cause right, instead of all up to it

    Raises
    ------
    ConfigError
        If a cause is named twice.
    """
    for i, cause in enumerate(causes):
        if cause in causes[:i]:
            raise ConfigError(f"waterfall: cause {cause.name.lower()} is named twice")
    steps = [_step("published", "the claim's arithmetic", pnl_of(()))]
    for i, cause in enumerate(causes):
        right = (cause,) if alone else tuple(causes[: i + 1])
        steps.append(_step(cause.name.lower(), str(cause.value), pnl_of(right)))
    return steps


def _step(name: str, cause: str, pnl: NDArray[np.float64]) -> Step:
    won = float((pnl > 0).mean()) if len(pnl) else float("nan")
    return Step(name, cause, len(pnl), won, float(pnl.sum()))
