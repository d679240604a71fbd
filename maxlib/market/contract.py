"""One listed option."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from maxlib.market.calendar import from_ordinal


class Contract(NamedTuple):
    """An option of `root`: right "C" or "P", strike in cents, expiry in days since 1970.

    >>> Contract("QQQ", 20406, "C", 60100).name
    'QQQ251114C00601000'
    """

    root: str
    expiry: int
    right: str
    strike_cents: int

    @property
    def strike(self) -> float:
        """Strike in dollars."""
        return self.strike_cents / 100

    @property
    def name(self) -> str:
        """OCC name: root, yymmdd, right, strike × 1000 in eight digits."""
        return _name(self)


@lru_cache(65_536)
def _name(contract: Contract) -> str:
    root, expiry, right, strike_cents = contract
    return f"{root}{from_ordinal(expiry):%y%m%d}{right}{strike_cents * 10:08d}"


class Leg(NamedTuple):
    """A contract in a package: `ratio` contracts a unit, above 0 bought, below 0 sold."""

    contract: Contract
    ratio: int


def package_name(legs: tuple[Leg, ...]) -> str:
    """A package in words: one leg by its OCC name, several with their ratios.

    >>> call = Contract("QQQ", 20406, "C", 60100)
    >>> package_name((Leg(call, 1), Leg(call._replace(strike_cents=60500), -1)))
    'QQQ251114 +1C601 -1C605'
    """
    if len(legs) == 1:
        return legs[0].contract.name
    first = legs[0].contract
    return f"{first.root}{from_ordinal(first.expiry):%y%m%d} " + " ".join(
        f"{leg.ratio:+d}{leg.contract.right}{leg.contract.strike:g}" for leg in legs
    )
