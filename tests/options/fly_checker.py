"""Walk every state that the exit of a fly can reach, and look at each for an uncovered short.

`python -m tests.options.fly_checker [UNITS]` prints the table of docs/fly-exit.md.

The venue may fill any part of an order, reject it, or end it with the rest unfilled, at any
moment; its answer to what is held may be as old as the last order. Four venues:

* package: both legs of a vertical fill together, contract by contract;
* package, all at once: the same, but the orders of the plan are all sent together;
* legs, buy first: legs fill one at a time, and the sell leg is never ahead of the buy leg;
* legs, any order: legs fill one at a time as they like.

The checks share no code with what they check.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract, Leg
from maxlib.options.fly_exit import ExitOrder, Fly, Holding, Worth, plan, recognise
from maxlib.options.fly_machine import Ask, Ended, FlyExit, Held, Send, handle, start

SHAPES = {"1:-2:1": (1, -2, 1), "2:-3:1": (2, -3, 1), "1:-3:2": (1, -3, 2)}
WIDTHS = ((500, 500), (500, 1200), (1200, 500))  # of the wings, cents; unequal ones are broken wings
WORTHS = (Worth(5, 5), Worth(4, 4))  # left-over wings that are sold, and that are kept (with 2 days left)
VENUES = ("package", "package, all at once", "legs, buy first", "legs, any order")


class Case(NamedTuple):
    """A position. Its wing widths come in where the worst case is checked; no order depends on them."""

    shape: str
    right: str
    units: int
    worth: Worth

    @property
    def initial(self) -> Holding:
        return Holding(*(self.units * n for n in SHAPES[self.shape]))

    def fly(self, widths: tuple[int, int] = WIDTHS[0]) -> Fly:
        contracts = (Contract("QQQ", 20_406, self.right, k) for k in strikes(widths))
        found = recognise([Leg(c, n) for c, n in zip(contracts, self.initial, strict=True)])
        assert isinstance(found, Fly)
        return found


class World(NamedTuple):
    """The venue's truth, and the machine that acts on it."""

    held: Holding
    before: Holding  # held when the last order was sent: the oldest answer the broker may give
    bought: int  # filled so far of the order that works
    sold: int
    machine: FlyExit


@dataclass
class Tally:
    """What was found.

    states : all that were reached
    orphans : of them, states with an uncovered short
    deeper : of them, states whose worst case at expiry is deeper than at the start, for some widths
    stuck : of them, states from which a venue that fills everything leaves a short
    stopped : events at which the machine stopped with an error
    example : the first state with an uncovered short
    """

    states: int = 0
    orphans: int = 0
    deeper: int = 0
    stuck: int = 0
    stopped: int = 0
    example: str = ""

    def add(self, other: "Tally") -> None:
        self.states += other.states
        self.orphans += other.orphans
        self.deeper += other.deeper
        self.stuck += other.stuck
        self.stopped += other.stopped
        self.example = self.example or other.example


def strikes(widths: tuple[int, int]) -> tuple[int, int, int]:
    return 60_000 - widths[0], 60_000, 60_000 + widths[1]


STRIKES = strikes(WIDTHS[0])


# --- the checks


def covered(held: Holding) -> bool:
    """Each short of the one right and expiry has a long, and no wing is short."""
    return held.low >= 0 and held.high >= 0 and held.low + held.high + min(held.body, 0) >= 0


def worst(right: str, held: Holding, widths: tuple[int, int]) -> float:
    """Least value at expiry over 0, the strikes and infinity, cents per share."""
    sign = 1 if right == "C" else -1
    legs = list(zip(strikes(widths), held, strict=True))
    if sign > 0 and sum(held) < 0:
        return -math.inf
    # Above the high strike the value rises or stays: with net calls 0 or more, infinity is no worse.
    return min(sum(n * max(0, sign * (spot - k)) for k, n in legs) for spot in (0, *strikes(widths)))


class Looks:
    """The two checks of a holding, each holding once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.floors = [worst(case.right, case.initial, w) for w in WIDTHS]
        self.known: dict[Holding, tuple[bool, bool]] = {}

    def __call__(self, held: Holding) -> tuple[bool, bool]:
        """Whether a short is uncovered, and whether the worst case is deeper than at the start."""
        if held not in self.known:
            now = [worst(self.case.right, held, w) for w in WIDTHS]
            deeper = any(a < b for a, b in zip(now, self.floors, strict=True))
            self.known[held] = not covered(held), deeper
        return self.known[held]


def check_order(order: ExitOrder, held: Holding) -> None:
    """An order is a vertical of body and one wing, or a wing; and never larger than what is held."""
    low, body, high = STRIKES
    is_held = dict(zip(STRIKES, held, strict=True))
    traded = {leg.contract.strike_cents: leg.ratio * order.quantity for leg in order.legs}
    assert order.quantity > 0
    assert order.time_in_force == "DAY"
    assert len(traded) == len(order.legs)
    for strike, n in traded.items():
        assert n * is_held[strike] < 0, f"{order} opens, {held} is held"
        assert abs(n) <= abs(is_held[strike]), f"{order} is larger than {held}"
    if body in traded:
        assert set(traded) in ({low, body}, {body, high}), f"{order} is no vertical"
        assert sum(traded.values()) == 0
    else:
        assert len(traded) == 1
        assert held.body == 0, f"{order} sells a wing while {held} is short"


# --- one order at a time: the machine


def walk(case: Case, venue: str) -> Tally:
    """Breadth first over all states that the machine and the venue can reach."""
    machine, command = start(case.fly(), "LOSS_CUT")
    assert command == Ask()
    first = World(case.initial, case.initial, 0, 0, machine)
    seen, level = {first}, [first]
    ends: dict[World, bool] = {}
    looks, found = Looks(case), Tally()
    while level:
        following = []
        for world in level:
            orphan, deeper = looks(world.held)
            found.states += 1
            found.orphans += orphan
            found.deeper += deeper
            found.stuck += not finishes(case, world, ends)
            if orphan and not found.example:
                found.example = _story(case, world)
            for after in _next(case, world, venue):
                if after is None:
                    found.stopped += 1
                elif after not in seen:
                    seen.add(after)
                    following.append(after)
        level = following
    return found


def _next(case: Case, world: World, venue: str) -> Iterator[World | None]:
    """What may happen next; None where the machine stops with an error."""
    machine = world.machine
    if machine.phase == "asking":
        for told in {world.held, world.before}:
            yield tell(world, Held(told, 2, case.worth))
    elif machine.phase == "stalled":
        yield tell(world, Held(world.held, 2, case.worth))
    elif machine.phase == "working":
        for bought, sold in fills(world, venue):
            yield fill(world, bought, sold)
        yield tell(world, Ended(machine.sent, world.bought, world.sold))


def fills(world: World, venue: str) -> Iterator[tuple[int, int]]:
    """Contracts that the buy leg and the sell leg may fill now."""
    order = world.machine.order
    assert order is not None
    to_buy = order.quantity - world.bought if len(order.legs) == 2 else 0
    to_sell = order.quantity - world.sold
    if len(order.legs) == 1:
        yield from ((0, n) for n in range(1, to_sell + 1))
    elif venue == "package":
        yield from ((n, n) for n in range(1, to_buy + 1))
    else:
        yield from ((n, 0) for n in range(1, to_buy + 1))
        most = min(to_sell, world.bought - world.sold) if venue == "legs, buy first" else to_sell
        yield from ((0, n) for n in range(1, most + 1))


def fill(world: World, bought: int, sold: int) -> World:
    order = world.machine.order
    assert order is not None
    low, body, high = world.held
    if order.legs[-1].contract.strike_cents == STRIKES[0]:
        low -= sold
    else:
        high -= sold
    held = Holding(low, body + bought, high)
    assert sum(map(abs, held)) == sum(map(abs, world.held)) - bought - sold  # each fill closes
    return world._replace(held=held, bought=world.bought + bought, sold=world.sold + sold)


def tell(world: World, event: Held | Ended) -> World | None:
    """The world after the machine was told; order numbers are left out, as they tell nothing."""
    try:
        machine, command = handle(world.machine, event)
    except InvariantError:
        return None
    if isinstance(command, Send):
        check_order(command.order, world.held)
        return World(world.held, world.held, 0, 0, machine._replace(sent=0))
    assert (command == Ask()) == (machine.phase == "asking")
    return world._replace(bought=0, sold=0, machine=machine._replace(sent=0))


def finishes(case: Case, world: World, known: dict[World, bool]) -> bool:
    """True if a venue that fills everything and answers truly, from here on, leaves nothing short."""
    path: list[World] = []
    after: World | None = world
    while after is not None and after not in known and after not in path:
        path.append(after)
        if after.machine.phase == "done":
            known[after] = after.held.body == 0
            break
        after = _kindly(case, after)
    good = after is not None and known.get(after, False)  # a circle would be no end
    known.update(dict.fromkeys(path, good))
    return good


def _kindly(case: Case, world: World) -> World | None:
    """What comes next at that venue."""
    order = world.machine.order
    if order is None:
        return tell(world, Held(world.held, 2, case.worth))
    to_buy = order.quantity - world.bought if len(order.legs) == 2 else 0
    filled = fill(world, to_buy, order.quantity - world.sold)
    return tell(filled, Ended(world.machine.sent, filled.bought, filled.sold))


def _story(case: Case, world: World) -> str:
    order = world.machine.order
    working = f"{order.tag}, {world.bought} bought, {world.sold} sold" if order else "no order works"
    return f"{case.units} unit(s), {':'.join(map(str, world.held))} held; {working}"


# --- all orders of the plan at once


def walk_at_once(case: Case) -> Tally:
    """All ways in which the orders of one plan can fill and end, if they work at the same time."""
    orders = plan(case.fly(), case.initial, "LOSS_CUT", dte=2, worth=case.worth)
    for order in orders:
        check_order(order, case.initial)
    # An order is its wing, what is left of it and whether it works; equal orders may change places.
    first = tuple(sorted((order.legs[-1].contract.strike_cents, order.quantity, True) for order in orders))
    seen, level = {first}, [first]
    looks, found = Looks(case), Tally()
    while level:
        following = []
        for state in level:
            low = sum(left for strike, left, _ in state if strike == STRIKES[0])
            high = sum(left for strike, left, _ in state if strike == STRIKES[2])
            orphan, deeper = looks(Holding(low, -low - high, high))
            found.states += 1
            found.orphans += orphan
            found.deeper += deeper
            for i, (strike, left, works) in enumerate(state):
                if not works:
                    continue
                for changed in ((strike, left, False), *((strike, n, n > 0) for n in range(left))):
                    after = tuple(sorted((*state[:i], changed, *state[i + 1 :])))
                    if after not in seen:
                        seen.add(after)
                        following.append(after)
        level = following
    return found


# --- all of them


def cases(units: int) -> list[Case]:
    return [Case(*c) for c in product(SHAPES, "CP", range(1, units + 1), WORTHS)]


def check(venue: str, units: int) -> Tally:
    """Every shape, right and worth of left-over wings, for 1 to `units` units."""
    total = Tally()
    for case in cases(units):
        total.add(walk_at_once(case) if venue == "package, all at once" else walk(case, venue))
    return total


def table(units: int) -> str:
    head = ("venue", "positions", "states", "orphan shorts", "worst case deeper", "stuck", "stopped")
    rows = [head]
    for venue in VENUES:
        t = check(venue, units)
        found = (len(cases(units)), t.states, t.orphans, t.deeper, t.stuck, t.stopped)
        rows.append((venue, *(f"{n:,}" for n in found)))
        example = t.example
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([*lines, f"first orphan short of the last venue: {example}"])


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 4))
