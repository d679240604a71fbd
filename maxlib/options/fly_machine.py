"""Walk the exit of a fly: one order at a time, each planned from what is really held.

`handle` takes the state and an event and returns the next state and at most one command.
It knows no clock, broker or price. Two sources must agree before an order goes out: the
final fill counts of our orders, and the broker's answer to what is held. A stale answer
could otherwise close the same short twice. After three answers or orders in a row that
brought nothing, the machine stalls rather than storms; the next check wakes it up.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.options.fly_exit import ExitOrder, Fly, Holding, Worth, plan

Phase = Literal["asking", "working", "stalled", "done"]

MISSES: Final = 3
"""So many fruitless orders and answers in a row stall the exit."""


class Ask(NamedTuple):
    """Command: ask the broker what is held, and answer with `Held`."""


class Send(NamedTuple):
    """Command: send `order`; its end is to be told as `Ended` with this `number`."""

    number: int
    order: ExitOrder


class Held(NamedTuple):
    """Event: what the broker says is held, asked for after the last order had ended.

    `dte` and `worth` are those of this moment, for the rule on left-over wings.
    """

    holding: Holding
    dte: int
    worth: Worth


class Ended(NamedTuple):
    """Event: order `number` is filled, cancelled, expired or rejected, and cannot fill any more.

    `bought` and `sold` are the contracts it filled in all, on its buy and its sell leg.
    """

    number: int
    bought: int
    sold: int


class FlyExit(NamedTuple):
    """State of one exit.

    Attributes
    ----------
    expected : holding by our own count of fills; None before the first answer and after a stall
    sent : orders sent so far; number of the one that works while phase is "working"
    order : the order that works
    misses : fruitless orders and answers in a row
    note : why it stalled, a sentence
    """

    fly: Fly
    reason: str
    phase: Phase = "asking"
    expected: Holding | None = None
    sent: int = 0
    order: ExitOrder | None = None
    misses: int = 0
    note: str = ""


Command = Ask | Send | None


def start(fly: Fly, reason: str) -> tuple[FlyExit, Command]:
    """Begin the exit of a fly; the first command asks what is held."""
    return FlyExit(fly, reason), Ask()


def handle(state: FlyExit, event: Held | Ended) -> tuple[FlyExit, Command]:
    """The state after an event, and what to do.

    An event that does not belong to the moment changes nothing: an answer while an order
    works, or the end of an order that had ended before. So repeated messages do no harm.

    Raises
    ------
    InvariantError
        If an order filled more than its quantity, or a short is left without a long.
    """
    if isinstance(event, Ended):
        return _ended(state, event)
    if state.phase in ("asking", "stalled"):
        return _held(state, event)
    return state, None


def _ended(state: FlyExit, event: Ended) -> tuple[FlyExit, Command]:
    order, expected = state.order, state.expected
    if state.phase != "working" or event.number != state.sent or order is None or expected is None:
        return state, None
    most_bought = order.quantity if len(order.legs) == 2 else 0
    if not (0 <= event.bought <= most_bought and 0 <= event.sold <= order.quantity):
        raise InvariantError(
            f"order {event.number} ({order.tag}): filled {event.bought} bought and {event.sold} sold, "
            f"its bounds are {most_bought} and {order.quantity}"
        )
    body = expected.body + event.bought
    if order.legs[-1].contract == state.fly.low:
        expected = Holding(expected.low - event.sold, body, expected.high)
    else:
        expected = Holding(expected.low, body, expected.high - event.sold)
    state = state._replace(expected=expected, order=None)
    if event.bought or event.sold:
        return state._replace(phase="asking", misses=0), Ask()
    return _missed(state, f"order {event.number} ended without a fill")


def _held(state: FlyExit, event: Held) -> tuple[FlyExit, Command]:
    if state.expected is not None and event.holding != state.expected:
        told, counted = (":".join(map(str, held)) for held in (event.holding, state.expected))
        return _missed(state, f"the broker says {told} is held, our fills say {counted}")
    orders = plan(state.fly, event.holding, state.reason, dte=event.dte, worth=event.worth)
    state = state._replace(expected=event.holding, note="")
    if not orders:
        return state._replace(phase="done"), None
    sent = state.sent + 1
    return state._replace(phase="working", sent=sent, order=orders[0]), Send(sent, orders[0])


def _missed(state: FlyExit, note: str) -> tuple[FlyExit, Command]:
    misses = state.misses + 1
    if misses < MISSES:
        return state._replace(phase="asking", misses=misses), Ask()
    # The next check starts from what is held then: after a stall our own count is in doubt.
    return state._replace(phase="stalled", misses=0, expected=None, note=note), None
