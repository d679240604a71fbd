"""Exits that keep to what is held, whatever a broker says late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maxlib.engine.position import Position
from maxlib.market.contract import Contract
from maxlib.trading.orders import Order


def free(position: Position, order: Order) -> dict[Contract, int]:
    """What is held and not on its way out by another order that was sent; below 0 short."""
    left = dict(position.held)
    for other in position.pending.values():
        if other.id != order.id:
            for leg in other.legs:
                left[leg.contract] = left.get(leg.contract, 0) + leg.ratio * other.quantity
    return left


def fitting(held: Mapping[Contract, int], order: Order) -> int:
    """Units of an exit that leave of each leg no more than is held."""
    return max(0, min(order.quantity, *(held.get(leg.contract, 0) // -leg.ratio for leg in order.legs)))


def without(waiting: Iterable[Order], filled: Order, units: int) -> list[Order]:
    """What is left to do of `waiting`, after units of an order filled that one of them was to repeat."""
    out = []
    for order in waiting:
        done = (
            min(units, order.quantity) if (order.legs, order.purpose) == (filled.legs, filled.purpose) else 0
        )
        units -= done
        if order.quantity > done:
            out.append(order._replace(quantity=order.quantity - done))
    return out
