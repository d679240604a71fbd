"""Our books of one broker account, and the typed corrections that change them.

A correction is journaled and then applied. Nothing else changes the books.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.execution.alpaca.orders import LEGAL, Execution, State, Tracked

BlockCode = Literal[
    "POSITION_MISMATCH",  # the broker holds something else; its word was adopted unless told otherwise
    "OVERFILL",  # more filled than was ordered
    "FILL_TAKEN_BACK",  # a newer message says less is filled than was booked
    "ARRIVED_LATE",  # an order that counted as never sent exists after all
    "VANISHED",  # an order that the broker had acknowledged is not known to it any more
    "REPLACED",  # somebody else replaced our order
    "UNEVEN_LEGS",  # the legs of a package are not filled evenly, or without a price
    "UNSTABLE",  # the account kept changing while it was read
    "STRAY_FILL",  # units filled that no trade waits for
]


_LASTING: Final = frozenset({"OVERFILL", "FILL_TAKEN_BACK", "VANISHED", "UNEVEN_LEGS"})
"""What stays so at the broker; the others are events, and each of them blocks anew."""


class FillImported(NamedTuple):
    """Book this execution, once. `late`: the order counted as ended."""

    execution: Execution
    late: bool


class FillTakenBack(NamedTuple):
    """Units that were booked are no fill after all: so many fewer, and so much less money of each leg."""

    order_id: str
    units: int
    values_cents: tuple[int, ...]


class StateMoved(NamedTuple):
    """An order goes along a legal edge, or learns the broker's names for it (state and to are equal)."""

    order_id: str
    state: State
    to: State
    broker_id: str
    leg_ids: tuple[str, ...]
    updated_at: int
    why: str


class ExternalTagged(NamedTuple):
    """The account has an order that this trader did not send."""

    broker_id: str
    client_id: str
    what: str


class PositionAdopted(NamedTuple):
    """Our book of a symbol is set to what the broker holds; below 0 short."""

    symbol: str
    ours: Decimal
    theirs: Decimal


class Blocked(NamedTuple):
    """No order that adds risk until a person has looked. `what` is a sentence."""

    code: BlockCode
    what: str


class QueryNeeded(NamedTuple):
    """Not settled: ask the broker again about this order (by its client order id)."""

    order_id: str
    why: str


Correction = (
    FillImported | FillTakenBack | StateMoved | ExternalTagged | PositionAdopted | Blocked | QueryNeeded
)


@dataclass(frozen=True)
class Local:
    """Our books of one account.

    Attributes
    ----------
    orders : by client order id; every order ever sent that the broker might still speak of
    positions : contracts or shares by symbol, below 0 short, none of 0
    external : broker ids of orders that are not ours
    blocks : what has been found and not been cleared by a person
    cleared : of what a person has cleared, that which every picture shows again
    """

    orders: Mapping[str, Tracked] = field(default_factory=dict)
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    external: frozenset[str] = frozenset()
    blocks: frozenset[Blocked] = frozenset()
    cleared: frozenset[Blocked] = frozenset()

    def news(self, found: Iterable[Correction]) -> tuple[Correction, ...]:
        """Without the blocks that are known, or that a person has cleared, until their figures change."""
        return tuple(c for c in found if c not in self.blocks and c not in self.cleared)

    def clear(self) -> Local:
        """A person has looked at all that blocks."""
        lasting = {block for block in self.blocks if block.code in _LASTING}
        return replace(self, blocks=frozenset(), cleared=self.cleared | lasting)

    @property
    def settled(self) -> bool:
        """No order hangs in the air."""
        return not any(t.state in ("INTENT", "UNKNOWN") for t in self.orders.values())


def apply(local: Local, correction: Correction) -> Local:
    """Our books after one correction.

    Raises
    ------
    InvariantError
        For a fill that was booked before or overfills its order, and for a move along no legal edge.
    """
    match correction:
        case FillImported(execution, _):
            return _with_fill(local, execution)
        case FillTakenBack(order_id, units, less):
            tracked = local.orders[order_id]
            if not 1 <= units <= tracked.filled:
                raise InvariantError(
                    f"order {order_id} has {tracked.filled} units booked, and {units} cannot be taken back"
                )
            positions = dict(local.positions)
            book(positions, tracked, -units)
            values = tuple(then - gone for then, gone in zip(tracked.values, less, strict=True))
            booked = tracked._replace(filled=tracked.filled - units, values=values)
            return replace(local, orders={**local.orders, order_id: booked}, positions=positions)
        case StateMoved(order_id, state, to):
            tracked = local.orders[order_id]
            if tracked.state != state or (to != state and to not in LEGAL[state]):
                raise InvariantError(
                    f"order {order_id} is {tracked.state} and cannot go from {state} to {to}"
                )
            moved = tracked._replace(
                state=to,
                broker_id=correction.broker_id or tracked.broker_id,
                leg_ids=correction.leg_ids,
                updated_at=max(tracked.updated_at, correction.updated_at),
            )
            return replace(local, orders={**local.orders, order_id: moved})
        case ExternalTagged(broker_id):
            return replace(local, external=local.external | {broker_id})
        case PositionAdopted(symbol, _, theirs):
            rest = {name: held for name, held in local.positions.items() if name != symbol}
            return replace(local, positions=rest | ({symbol: theirs} if theirs else {}))
        case Blocked():
            return replace(local, blocks=local.blocks | {correction})
        case QueryNeeded():
            return local


def _with_fill(local: Local, made: Execution) -> Local:
    tracked = local.orders[made.order_id]
    total = made.after + made.units
    if made.after != tracked.filled or made.units < 1 or total > tracked.order.quantity:
        raise InvariantError(
            f"execution {made.id} covers units {made.after} to {total} of order {made.order_id}, of which "
            f"{tracked.filled} of {tracked.order.quantity} are booked"
        )
    before = tracked.values or (0,) * len(made.values_cents)
    values = tuple(then + more for then, more in zip(before, made.values_cents, strict=True))
    positions = dict(local.positions)
    book(positions, tracked, made.units)
    booked = tracked._replace(filled=total, values=values)
    return replace(local, orders={**local.orders, made.order_id: booked}, positions=positions)


def book(positions: dict[str, Decimal], tracked: Tracked, units: int) -> None:
    """Put units of an order into `positions`, in place."""
    for leg in tracked.order.legs:
        now = positions.get(leg.contract.name, Decimal(0)) + leg.ratio * units
        if now:
            positions[leg.contract.name] = now
        else:
            positions.pop(leg.contract.name, None)
