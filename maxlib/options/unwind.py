"""The orders that leave a package, in the order in which they may be sent."""

from __future__ import annotations

from math import gcd

from maxlib.market.contract import Leg
from maxlib.options.fly_exit import Unknown, Worth, holding, plan, recognise

Step = tuple[tuple[Leg, ...], int]


def unwind(legs: tuple[Leg, ...], held: tuple[Leg, ...], reason: str) -> list[Step]:
    """Orders, each (legs per unit, units), that close `held`, contracts of a package of `legs`.

    One contract or a vertical leaves in one order. A fly leaves by verticals, then wings:
    each order may be sent only when the one before it is filled. All of it expires today.
    """
    fly = recognise(legs) if len(legs) > 2 else None
    if fly is not None and not isinstance(fly, Unknown):
        orders = plan(fly, holding(fly, held), reason, dte=0, worth=Worth(0.0, 0.0))
        return [(order.legs, order.quantity) for order in orders]
    units = gcd(*(leg.ratio for leg in held))
    return [(tuple(Leg(leg.contract, -leg.ratio // units) for leg in held), units)]
