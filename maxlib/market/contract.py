"""One listed option."""

from __future__ import annotations

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
        return f"{self.root}{from_ordinal(self.expiry):%y%m%d}{self.right}{self.strike_cents * 10:08d}"


class Leg(NamedTuple):
    """A contract in a package: `ratio` contracts a unit, above 0 bought, below 0 sold."""

    contract: Contract
    ratio: int
