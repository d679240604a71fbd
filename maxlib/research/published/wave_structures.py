"""The four structures that the published runs chose from (spec §5)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES: Final = ("long_option", "debit_spread", "fly", "broken_wing_fly")
"""In the order in which they were tried: the first of equals is taken."""
_QUANTITIES: Final = np.array([[1, 0, 0], [1, -1, 0], [1, -2, 1], [1, -2, 1]])
_GRID: Final = 10


class Legs(NamedTuple):
    """Legs of each candidate of n entries, in the order of the published list.

    strike : float64[n, 4, 3], dollars
    quantity : int64[n, 4, 3], contracts, negative = sold, 0 = no such leg
    """

    strike: Floats
    quantity: Ints


def candidates(spot: Floats, target: Floats, side: Ints) -> Legs:
    """Long option, debit spread, fly and broken-wing fly from the money to the target.

    T is the strike nearest `target` on the dollar grid at most 10 strikes from the money, the lower one
    of a tie. The flies' near wing is one strike out, the broken far wing two strikes beyond its place.
    """
    money = np.rint(spot)
    body = np.clip(np.ceil(target - 0.5), money - _GRID, money + _GRID)
    near = money + side
    far = 2 * body - near
    option = np.stack([money, body, body], axis=-1)
    fly = np.stack([near, body, far], axis=-1)
    broken = np.stack([near, body, far + 2 * side], axis=-1)
    # The list names the legs of a fly from the lowest strike up, also for puts.
    fly, broken = (np.where(side[:, None] > 0, legs, legs[:, ::-1]) for legs in (fly, broken))
    strike = np.stack([option, option, fly, broken], axis=1)
    return Legs(strike, np.broadcast_to(_QUANTITIES, strike.shape))


def best(reward: Floats, cost: Floats) -> tuple[Ints, Floats]:
    """Which candidate has the highest reward to risk, and that ratio; arrays [n, 4]."""
    ratio = reward / cost
    choice = ratio.argmax(axis=1)
    return choice, ratio[np.arange(len(ratio)), choice]
