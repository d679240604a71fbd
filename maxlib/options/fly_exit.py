"""Leave a fly by verticals: which orders, and in which order.

A whole fly is never sent as one package. Each short of the body is bought back together
with the sale of one long wing, as a 2-leg order that takes away one short and one long.
The verticals that carry risk go first, since to sell the others first would deepen the
worst case at expiry. Long wings that are left go last. Source: spec/maxtrader.md §6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, Literal, NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract, Leg

Shape = Literal["balanced", "ubfly_put_side", "ubfly_call_side"]
Wing = Literal["low", "high"]

RATIOS: Final[dict[Shape, tuple[int, int, int]]] = {
    "balanced": (1, -2, 1),
    "ubfly_put_side": (2, -3, 1),
    "ubfly_call_side": (1, -3, 2),
}
"""Contracts of one unit at the low strike, the body and the high strike."""

WING_CENTS: Final = 5
"""A left-over wing is sold if it is worth at least this, cents per share …"""
WING_DTE: Final = 1
"""… or if at most this many days are left."""


class ExitOrder(NamedTuple):
    """An order to close: `quantity` packages of `legs` (ratio above 0 buys, below 0 sells).

    `tag` names the structure, the body, the wing and the reason.
    """

    legs: tuple[Leg, ...]
    quantity: int
    tag: str
    time_in_force: Literal["DAY"] = "DAY"


class Fly(NamedTuple):
    """A recognised fly: `units` times the ratios of its shape; calls or puts of one expiry."""

    shape: Shape
    low: Contract
    body: Contract
    high: Contract
    units: int

    @property
    def legs(self) -> tuple[Leg, Leg, Leg]:
        """The legs of one unit."""
        low, body, high = RATIOS[self.shape]
        return Leg(self.low, low), Leg(self.body, body), Leg(self.high, high)

    @property
    def risk_wing(self) -> Wing:
        """The wing whose vertical with the body is a credit spread: high for calls, low for puts."""
        return "high" if self.body.right == "C" else "low"


class Unknown(NamedTuple):
    """Not a fly that this module may touch: no orders, and why."""

    reason: str


class Holding(NamedTuple):
    """Contracts held at the three strikes: wings 0 or more, body 0 or less."""

    low: int
    body: int
    high: int


class Worth(NamedTuple):
    """What one contract of each wing would fetch, cents per share."""

    low: float
    high: float


def recognise(held: Sequence[Leg]) -> Fly | Unknown:
    """The fly that `held` is, by exact ratios; anything else is Unknown with a reason.

    Parameters
    ----------
    held : legs of one position; `ratio` = contracts held, below 0 short. Legs of one contract add up.

    >>> legs = [Leg(Contract("QQQ", 20406, "C", k * 100), n) for k, n in ((600, 1), (605, -2), (610, 1))]
    >>> recognise(legs).shape
    'balanced'
    >>> recognise(legs[:2]).reason
    'a fly has 3 strikes, this position has 2'
    """
    held_of: Counter[Contract] = Counter()
    for leg in held:
        held_of[leg.contract] += leg.ratio
    contracts = sorted(c for c, n in held_of.items() if n)
    if len({(c.root, c.expiry, c.right) for c in contracts}) > 1:
        return Unknown("the legs differ in root, expiry or right")
    if len(contracts) != 3:
        return Unknown(f"a fly has 3 strikes, this position has {len(contracts)}")
    low, body, high = contracts
    counts = tuple(held_of[c] for c in contracts)
    for shape, ratios in RATIOS.items():
        units = counts[0] // ratios[0]
        if units > 0 and counts == tuple(units * r for r in ratios):
            return Fly(shape, low, body, high, units)
    shown = ":".join(str(n) for n in counts)
    return Unknown(f"{shown} is no multiple of 1:-2:1, 2:-3:1 or 1:-3:2 (low:body:high)")


def holding(fly: Fly, held: Sequence[Leg]) -> Holding:
    """Contracts held at the fly's strikes; other contracts are left out."""
    held_of: Counter[Contract] = Counter()
    for leg in held:
        held_of[leg.contract] += leg.ratio
    return Holding(held_of[fly.low], held_of[fly.body], held_of[fly.high])


def plan(fly: Fly, held: Holding, reason: str, *, dte: int, worth: Worth) -> tuple[ExitOrder, ...]:
    """The orders that close what is held, to be sent one after the other.

    The next order may be sent only when the one before has ended: then each short stays
    covered and the worst case at expiry never gets worse than it was (docs/fly-exit.md).

    Parameters
    ----------
    fly : as recognised before the first order; after a part is filled the ratios tell it no more
    held : contracts that are really held now
    reason : why the fly is left, for the tags
    dte : calendar days to expiry
    worth : of one contract of each wing, for the rule on what is left over

    Raises
    ------
    InvariantError
        If a short has no long to be paired with, or a wing is short or the body long.
    """
    if held.low < 0 or held.high < 0 or held.body > 0:
        raise InvariantError(
            f"{_name(fly)}: {_shown(held)} is held, but wings must be long and the body short"
        )
    pairs = list(_pairs(fly, held))
    verticals = [_vertical(fly, wing, len(list(run)), reason) for wing, run in groupby(pairs)]
    left = {"low": held.low - pairs.count("low"), "high": held.high - pairs.count("high")}
    wings: tuple[Wing, Wing] = ("low", "high")
    return (
        *verticals,
        *(
            _sale(fly, wing, left[wing], reason)
            for wing in wings
            if left[wing] and (getattr(worth, wing) >= WING_CENTS or dte <= WING_DTE)
        ),
    )


def _pairs(fly: Fly, held: Holding) -> Iterator[Wing]:
    """For each short of the body in turn, the wing it goes with."""
    left = {"low": held.low, "high": held.high}
    for wanted in _wanted(fly, -held.body):
        other: Wing = "high" if wanted == "low" else "low"
        wing = wanted if left[wanted] else other  # the safety net
        if not left[wing]:
            raise InvariantError(
                f"{_name(fly)}: {_shown(held)} leaves a short without a long: "
                f"{held.low + held.high} longs, {-held.body} shorts"
            )
        left[wing] -= 1
        yield wing


def _wanted(fly: Fly, shorts: int) -> Iterator[Wing]:
    """The spec's pairs: halves, or groups of three; within them the wing that carries the risk first."""
    first = fly.risk_wing
    second: Wing = "high" if first == "low" else "low"
    if fly.shape == "balanced":
        for i in range(shorts):
            yield first if i < (shorts + 1) // 2 else second
        return
    twice: Wing = "low" if fly.shape == "ubfly_put_side" else "high"
    group = (first, first, second) if first == twice else (first, second, second)
    for i in range(shorts):
        yield group[(i - shorts) % 3]  # the last short ends a group, so a begun group is gone on with


def _vertical(fly: Fly, wing: Wing, quantity: int, reason: str) -> ExitOrder:
    sold = getattr(fly, wing)
    tag = f"{_name(fly)}: body {fly.body.strike:g} with {wing} wing {sold.strike:g}: {reason}"
    return ExitOrder((Leg(fly.body, 1), Leg(sold, -1)), quantity, tag)


def _sale(fly: Fly, wing: Wing, quantity: int, reason: str) -> ExitOrder:
    sold = getattr(fly, wing)
    return ExitOrder((Leg(sold, -1),), quantity, f"{_name(fly)}: left {wing} wing {sold.strike:g}: {reason}")


def _name(fly: Fly) -> str:
    strikes = "/".join(f"{c.strike:g}" for c in (fly.low, fly.body, fly.high))
    return f"{fly.shape} {fly.body.root} {strikes} {fly.body.right}"


def _shown(held: Holding) -> str:
    return f"{held.low}:{held.body}:{held.high}"
