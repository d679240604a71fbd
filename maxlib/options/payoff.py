"""What a package of options costs at its quotes, and what it pays at expiry.

Money is in whole cents a share and exact. The payoff is a line with a knee at
each strike, so everything is read off at {0, the strikes, infinity}; no kind of
structure is treated by its name. All legs of a package expire together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote

QuoteOf = Callable[[Contract], Quote | None]
PriceCode = Literal["NO_QUOTE", "NO_ASK", "NO_BID", "CROSSED"]


class Unpriced(NamedTuple):
    """Why a package has no price: the code and the leg's contract."""

    code: PriceCode
    contract: Contract


class Premium(NamedTuple):
    """A package at the side of the quote that hurts, in cents a share.

    debit_cents : asks of the legs bought less bids of the legs sold; below 0 it is a credit
    spread_cents : Σ |ratio| × (ask − bid), what crossing all the quotes in and out costs
    """

    debit_cents: int
    spread_cents: int


class Knees(NamedTuple):
    """The payoff at expiry: its value at 0 and each strike, and its slope beyond the last, in cents."""

    points: tuple[int, ...]
    values: tuple[int, ...]
    slope: int


class Outcome(NamedTuple):
    """What a package opened at a price can still do at expiry, a share.

    max_loss_cents, max_gain_cents : None = without bound; a loss below 0 is a sure gain
    breakevens : dollars, ascending: the ends of the ranges of the underlying with a profit
    """

    max_loss_cents: int | None
    max_gain_cents: int | None
    breakevens: tuple[float, ...]


def premium(legs: Sequence[Leg], quote_of: QuoteOf) -> Premium | Unpriced:
    """What opening costs: the ask for each leg bought, the bid for each leg sold.

    Every leg needs an ask, since a leg sold must be bought back. A leg sold needs a
    bid above 0. A leg bought needs none; its spread then counts down to 0.
    """
    debit = spread = 0
    for contract, ratio in legs:
        quote = quote_of(contract)
        if quote is None:
            return Unpriced("NO_QUOTE", contract)
        bid, ask = quote.bid_cents or 0, quote.ask_cents
        if ask is None:
            return Unpriced("NO_ASK", contract)
        if ask < bid:
            return Unpriced("CROSSED", contract)
        if ratio < 0 and bid <= 0:
            return Unpriced("NO_BID", contract)
        debit += ratio * (ask if ratio > 0 else bid)
        spread += abs(ratio) * (ask - bid)
    return Premium(debit, spread)


def value_at_expiry(legs: Sequence[Leg], spot_cents: int) -> int:
    """What the package pays at expiry with the underlying at `spot_cents`, in cents a share.

    >>> fly = [Leg(Contract("QQQ", 20_406, "C", k), n) for k, n in ((60000, 1), (60500, -2), (61000, 1))]
    >>> value_at_expiry(fly, 60450)
    450
    """
    total = 0
    for (_, _, right, strike), ratio in legs:
        intrinsic = spot_cents - strike if right == "C" else strike - spot_cents
        if intrinsic > 0:
            total += ratio * intrinsic
    return total


def knees(legs: Sequence[Leg]) -> Knees:
    """The payoff at {0, strikes} and its slope beyond the last strike."""
    points = (0, *sorted({leg.contract.strike_cents for leg in legs}))
    values = tuple([value_at_expiry(legs, x) for x in points])
    return Knees(points, values, sum(leg.ratio for leg in legs if leg.contract.right == "C"))


def outcome(legs: Sequence[Leg], debit_cents: int) -> Outcome:
    """Largest loss, largest gain and breakevens of a package opened at `debit_cents` a share.

    Source: definitions.md, "Payoffs per share".

    >>> spread = [Leg(Contract("QQQ", 20_406, "C", k), n) for k, n in ((60000, 1), (60500, -1))]
    >>> outcome(spread, 220)
    Outcome(max_loss_cents=220, max_gain_cents=280, breakevens=(602.2,))
    """
    shape = knees(legs)
    gain = None if shape.slope > 0 else max(shape.values) - debit_cents
    ends = {end for interval in profit_intervals(shape, debit_cents) for end in interval}
    return Outcome(
        largest_loss(shape, debit_cents), gain, tuple(sorted(end for end in ends if 0.0 < end < math.inf))
    )


def largest_loss(shape: Knees, debit_cents: int) -> int | None:
    """Debit less the least payoff over {0, strikes, infinity}, in cents a share; None = without bound."""
    return None if shape.slope < 0 else debit_cents - min(shape.values)


def profit_intervals(shape: Knees, debit_cents: float) -> tuple[tuple[float, float], ...]:
    """The open ranges of the underlying at expiry, in dollars, where more than the debit comes back.

    The debit is in cents a share and may be broken, to hold costs of a unit spread over its shares.
    """
    found = []
    start = 0.0 if shape.values[0] > debit_cents else None
    for (x, value), (next_x, next_value) in pairwise(zip(shape.points, shape.values, strict=True)):
        here, there = value - debit_cents, next_value - debit_cents
        if start is None and there > 0:
            start = x - here * (next_x - x) / (there - here)
        elif start is not None and there <= 0:
            found.append((start / 100, (x - here * (next_x - x) / (there - here)) / 100))
            start = None
    last, excess = shape.points[-1], shape.values[-1] - debit_cents
    if start is None and shape.slope > 0:
        found.append(((last - excess / shape.slope) / 100, math.inf))
    elif start is not None:
        end = last - excess / shape.slope if shape.slope < 0 else math.inf
        found.append((start / 100, end / 100))
    return tuple(found)
