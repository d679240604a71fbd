"""What becomes of a held option at expiry: exercise, assignment, and the risk of not knowing which.

QQQ and SPY options are physically settled: shares change hands at the strike. The
ledger books their cash value at the regular close, as if the shares were sold there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.options.payoff import knees

PIN_USD: Final = 0.50
"""A short strike this near the close may or may not be assigned: holders decide until 17:30 New York,
on prices after the close. A convention; the exchange knows no such bound."""

Outcome = Literal["exercised", "assigned", "worthless"]


class Ending(NamedTuple):
    """What becomes of one leg.

    shares : bought (above 0) or sold at the strike
    pin : short, and so near the strike that the outcome is not known at the close
    """

    outcome: Outcome
    shares: int
    pin: bool


def ending(contract: Contract, held: int, spot: float, multiplier: int = 100) -> Ending:
    """The end of `held` contracts (below 0 short) at the regular close `spot`, in dollars.

    Exercise by exception from one cent in the money (reference: OCC's rule).

    >>> ending(Contract("QQQ", 20406, "C", 60100), -2, 601.30)
    Ending(outcome='assigned', shares=-200, pin=True)
    """
    pin = held < 0 and abs(spot - contract.strike) <= PIN_USD
    if value_cents(contract, spot) < 1:
        return Ending("worthless", 0, pin)
    way = 1 if contract.right == "C" else -1
    return Ending("exercised" if held > 0 else "assigned", way * held * multiplier, pin)


def value_cents(contract: Contract, spot: float, *, up: bool = False) -> int:
    """Value per share at expiry in whole cents: rounded down, a holder's; `up`, what a writer owes."""
    gain = spot - contract.strike if contract.right == "C" else contract.strike - spot
    cents = max(0.0, 100.0 * gain)
    return math.ceil(cents - 1e-9) if up else math.floor(cents + 1e-9)


@lru_cache(4096)
def worst_cents(legs: tuple[Leg, ...]) -> int:
    """The least a package can be worth at expiry, in cents a share; 0 for one that only holds rights.

    Raises
    ------
    InvariantError
        If the loss has no bound: the desk never holds such a package.
    """
    shape = knees(legs)
    if shape.slope < 0:
        raise InvariantError(f"{package_name(legs)} can lose without bound: a call is short without cover")
    return min(shape.values)
