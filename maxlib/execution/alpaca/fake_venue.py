"""A broker in memory that keeps Alpaca's rules: no sockets, no clock of its own, no randomness of its own.

What it models, beyond Alpaca's paper account: size. What it shares with it: bought at the ask, sold at the
bid, no fees, no impact. What differs: expired options are settled in cash at their intrinsic value at the
close; stocks are not traded.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maxlib.data.chain_expiry import expires_at
from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.fake_faults import Faults
from maxlib.execution.alpaca.orders import LONGEST_ID, MOST_LEGS
from maxlib.market import calendar
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote
from maxlib.options.expiry import value_cents, worst_cents

MULTIPLIER: Final = 100
BROAD: Final = frozenset({"QQQ", "SPY"})
CUT_OFF: Final = 15 * 60 + 15
"""New York minute from which no order on an expiring contract is taken; 15 minutes later for broad ETFs."""


class Market(Protocol):
    """Prices by time. The venue knows nothing else of the world."""

    def quote(self, contract: Contract, ts: int) -> Quote | None:
        """The market in a contract at UTC ns `ts`."""

    def spot(self, root: str, ts: int) -> float | None:
        """Price of the underlying in dollars."""

    def contracts(self, root: str, ts: int) -> Sequence[Contract]:
        """What is listed."""

    def bars(self, root: str, first: int, last: int) -> NDArray[np.void]:
        """BAR rows whose START lies from `first` to `last`, both included; unknown roots have none."""


class Denied(NamedTuple):
    """An error answer of the vendor."""

    status: int
    code: int
    message: str


@dataclass
class FakeLeg:
    """One leg of an order and what it filled for, whole cents of all contracts."""

    id: str
    contract: Contract
    ratio: int
    intent: str
    value_cents: int = 0


Status = Literal[
    "accepted", "new", "partially_filled", "filled", "pending_cancel", "canceled", "expired", "rejected"
]
_DONE: Final = frozenset({"filled", "canceled", "expired", "rejected"})


@dataclass
class FakeOrder:
    """An order. `limit_cents`: the most that is paid for a unit, a share; None = at the market."""

    id: str
    client_id: str
    legs: list[FakeLeg]
    quantity: int
    limit_cents: int | None
    tif: str
    created: int
    updated: int
    nested: bool
    filled: int = 0
    status: Status = "accepted"
    stamps: dict[str, int] = field(default_factory=dict)

    def live(self) -> bool:
        """It may still fill."""
        return self.status not in _DONE

    @property
    def package(self) -> tuple[Leg, ...]:
        """Contracts and ratios."""
        return tuple(Leg(leg.contract, leg.ratio) for leg in self.legs)


class FakeVenue:
    """One account and its orders.

    Attributes
    ----------
    now : UTC ns; moved by `advance` only
    events : (event, order as it was then, details) of the trade stream, oldest first
    fills : what really happened: (client id, UTC ns, units, cents a share of each leg); the truth that
        tests compare books with
    """

    def __init__(
        self, market: Market, now: int, *, cash_cents: int = 10_000_000, level: int = 3,
        faults: Faults | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.market = market
        self.now = now
        self.level = level
        self.faults = faults or Faults(seed=seed)
        self.start_cents = self.cash_cents = cash_cents
        self.held: dict[Contract, int] = {}
        self.cost_cents: dict[Contract, int] = {}
        self.orders: dict[str, FakeOrder] = {}
        self.events: list[dict[str, Any]] = []
        self.fills: list[tuple[str, int, int, tuple[int, ...]]] = []
        self.published: Callable[[], None] = lambda: None
        """Called after events were added."""
        self.show: Callable[[FakeOrder], dict[str, Any]] = lambda order: {"id": order.id}
        """How an order is written in an event; set by the API."""
        self._ids = Random(seed)
        self._by_client: dict[str, str] = {}
        self._taken: dict[tuple[Contract, int], tuple[int, int]] = {}
        self._delayed: list[Mapping[str, Any]] = []
        self._behind: list[dict[str, Any]] = []

    # --- time

    @property
    def is_open(self) -> bool:
        """Regular hours."""
        hours = calendar.session(calendar.new_york(self.now).date())
        return hours is not None and hours.open_minute <= self._minute() < hours.close_minute

    def _minute(self) -> int:
        at = calendar.new_york(self.now)
        return at.hour * 60 + at.minute

    def advance(self, now: int) -> None:
        """Move the clock: late submits arrive, orders fill or expire, cancels count, options expire."""
        self.now = max(now, self.now)
        late, self._delayed = self._delayed, []
        for body in late:
            self.submit(body)
        for order in list(self.orders.values()):
            if not order.live():
                continue
            canceling = order.status == "pending_cancel"
            if self.is_open and (not canceling or self.faults.hit("cancel_race")):
                self._match(order)
            if not order.live():
                continue
            if canceling:
                self._end(order, "canceled")
            elif self.now >= _last_moment(order.created):
                self._end(order, "expired")
        self._settle()

    def _settle(self) -> None:
        for contract, count in list(self.held.items()):
            end = expires_at(contract.root, calendar.from_ordinal(contract.expiry))
            spot = self.market.spot(contract.root, end) if self.now >= end else None
            if spot is not None:
                self.cash_cents += value_cents(contract, spot) * MULTIPLIER * count
                self.held.pop(contract)
                self.cost_cents.pop(contract)

    # --- orders

    def new_id(self) -> str:
        """A UUID from the seed."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def find(self, client_id: str) -> FakeOrder | None:
        """The order with the client's id."""
        return self.orders.get(self._by_client.get(client_id, ""))

    def recall(self, order: FakeOrder) -> None:
        """Know an order of an earlier life, and hold what it filled."""
        self.orders[order.id] = order
        self._by_client[order.client_id] = order.id
        for leg in order.legs if order.filled else ():
            count = leg.ratio * order.filled
            price = leg.value_cents // (MULTIPLIER * abs(count))
            self.cash_cents -= leg.value_cents if count > 0 else -leg.value_cents
            self._hold(leg.contract, count, price)

    def submit_later(self, body: Mapping[str, Any]) -> None:
        """A submit that is still under way; it arrives when the clock moves."""
        self._delayed.append(body)

    def submit(self, body: Mapping[str, Any]) -> FakeOrder | Denied:
        """POST /v2/orders."""
        client_id = body.get("client_order_id") or self.new_id()
        if not isinstance(client_id, str) or len(client_id) > LONGEST_ID:
            return Denied(422, 40010001, f"client_order_id must be no longer than {LONGEST_ID} characters")
        if client_id in self._by_client:
            return Denied(422, 40010001, "client_order_id must be unique")
        order = self._read(body, client_id)
        denied = order if isinstance(order, Denied) else self._admit(order)
        if denied is not None:
            return denied
        assert isinstance(order, FakeOrder)
        self.orders[order.id] = order
        self._by_client[client_id] = order.id
        self._move(order, "new", "new")
        if self.is_open:
            self._match(order)
        return order

    def cancel(self, order_id: str) -> Denied | None:
        """DELETE /v2/orders/{id}: taken on, and carried out when the clock moves."""
        order = self.orders.get(order_id)
        if order is None:
            return Denied(404, 40410000, f"order not found for {order_id}")
        if not order.live():
            return Denied(422, 42210000, f'order is already in "{order.status}" state')
        if order.status != "pending_cancel":
            self._move(order, "pending_cancel", "pending_cancel")
        return None

    def _read(self, body: Mapping[str, Any], client_id: str) -> FakeOrder | Denied:
        """The order that a request describes, or what is wrong with it."""
        try:
            quantity, limit = wire.needed(body, "qty"), wire.number(body, "limit_price")
            kind, tif = body.get("type"), body.get("time_in_force")
            nested = body.get("order_class") == "mleg"
            rows = [wire.mapping(row) for row in wire.rows(body.get("legs"))] if nested else [body]
            legs = []
            for row in rows:
                contract = wire.contract(wire.text(row, "symbol"))
                if contract is None or contract not in self.market.contracts(contract.root, self.now):
                    return Denied(422, 42210000, f'asset "{wire.text(row, "symbol")}" not found')
                intent = wire.text(row, "position_intent")
                side = wire.text(row, "side") or intent.partition("_")[0]
                ratio = wire.needed(row, "ratio_qty") if nested else Decimal(1)
                intent = intent or self._intent(contract, side)
                if (
                    side not in ("buy", "sell")
                    or not intent.startswith(side)
                    or ratio != int(ratio)
                    or ratio < 1
                ):
                    return Denied(422, 42210000, f"invalid leg {contract.name}: {side} {ratio}, {intent}")
                way = 1 if side == "buy" else -1
                legs.append(FakeLeg(self.new_id() if nested else "", contract, way * int(ratio), intent))
        except wire.WireError as error:
            return Denied(422, 40010001, str(error))
        if kind not in ("market", "limit") or (kind == "limit") != (limit is not None):
            return Denied(422, 40010001, f"order type {kind} with limit price {limit}")
        if tif != "day" or quantity != int(quantity) or quantity < 1 or body.get("notional"):
            return Denied(
                422, 42210000, f"options are traded in whole contracts for the day: {quantity}, {tif}"
            )
        if limit is not None and (limit * 100 != int(limit * 100) or (not nested and limit <= 0)):
            return Denied(422, 42210000, f"invalid limit_price {limit}")
        paid = None if limit is None else int(limit * 100) * (1 if nested else legs[0].ratio)
        return FakeOrder(self.new_id(), client_id, legs, int(quantity), paid, tif, self.now, self.now, nested)

    def _intent(self, contract: Contract, side: str) -> str:
        held = self.held.get(contract, 0)
        closes = held < 0 if side == "buy" else held > 0
        return f"{side}_to_{'close' if closes else 'open'}"

    def _admit(self, order: FakeOrder) -> Denied | None:
        """The vendor's rules for an order that can be read."""
        legs = order.package
        if order.nested:
            if not 2 <= len(legs) <= MOST_LEGS or len({leg.contract for leg in legs}) < len(legs):
                return Denied(422, 42210000, f"mleg orders have 2 to {MOST_LEGS} legs of unique symbols")
            sizes = [abs(leg.ratio) for leg in legs]
            divisor = math.gcd(*sizes)
            if divisor > 1:
                told = f"GCD[{' '.join(map(str, sizes))}] = {divisor}"
                return Denied(422, 42210000, f"leg ratio quantities should be relatively prime: {told}")
        if order.limit_cents is None and not self.is_open:
            told = "options market orders are only allowed during market hours"
            return Denied(422, 42210000, told)
        if any(self._too_late(leg.contract) for leg in legs):
            return Denied(422, 42210000, "orders on expiring contracts are not accepted any more today")
        wanted = 3 if order.nested else 2
        if self.level < wanted and any(leg.intent.endswith("open") for leg in order.legs):
            return Denied(403, 40310000, f"account not eligible for level {wanted} options trading")
        if not self._covered(order):
            return Denied(403, 40310000, "account not eligible to trade uncovered option contracts")
        cost = self._cost(order)
        if cost > self.buying_power():
            told = f"insufficient options buying power: {cost} cents needed"
            return Denied(403, 40310000, told)
        return None

    def _too_late(self, contract: Contract) -> bool:
        today = calendar.new_york(self.now).date()
        cut = CUT_OFF + (15 if contract.root in BROAD else 0)
        days = contract.expiry - calendar.ordinal(today)
        return days < 0 or (days == 0 and self._minute() >= cut)

    def _covered(self, order: FakeOrder) -> bool:
        """Shorts are covered inside their order, closes find their contracts, what stays is covered."""
        opened = [Leg(leg.contract, leg.ratio) for leg in order.legs if leg.intent.endswith("open")]
        if not covered({leg.contract: leg.ratio for leg in opened}):
            return False
        after = dict(self.held)
        for other in [*self.orders.values(), order]:
            if not other.live():
                continue
            for leg in other.legs:
                size = leg.ratio * (other.quantity - other.filled)
                if leg.intent.endswith("close"):
                    before = after.get(leg.contract, 0)
                    if (
                        other is order
                        and not 0 <= before + size <= before
                        and not before <= before + size <= 0
                    ):
                        return False
                    after[leg.contract] = before + size
                elif other is order:
                    after[leg.contract] = after.get(leg.contract, 0) + size
        return covered(after)

    def _cost(self, order: FakeOrder) -> int:
        """Cents of buying power an order ties up: price less the worst it can be worth; closing is free."""
        opened = tuple(Leg(leg.contract, leg.ratio) for leg in order.legs if leg.intent.endswith("open"))
        if not opened:
            return 0
        price = order.limit_cents
        if price is None:
            asked = self._package_price(order)
            price = asked[0] if asked else 0
        return max(0, price - worst_cents(opened)) * MULTIPLIER * (order.quantity - order.filled)

    def buying_power(self) -> int:
        """Cents that new orders may still tie up."""
        margin = -worst_held(self.held)
        return self.cash_cents - margin - sum(self._cost(o) for o in self.orders.values() if o.live())

    # --- matching

    def _package_price(self, order: FakeOrder) -> tuple[int, list[int], int] | None:
        """Net price of a unit, price of each leg, units that the displayed sizes allow; None = no market."""
        prices, units = [], order.quantity - order.filled
        for leg in order.legs:
            quote = self.market.quote(leg.contract, self.now)
            if quote is None:
                return None
            price = quote.ask_cents if leg.ratio > 0 else quote.bid_cents
            size = quote.ask_size if leg.ratio > 0 else quote.bid_size
            if price is None or price < 1 or (quote.bid_cents or 0) > (quote.ask_cents or 0):
                return None
            if size is not None:
                at, taken = self._taken.get((leg.contract, leg.ratio > 0), (-1, 0))
                left = size - (taken if at == self.now else 0)
                units = min(units, left // abs(leg.ratio))
            prices.append(price)
        net = sum(leg.ratio * price for leg, price in zip(order.legs, prices, strict=True))
        return net, prices, units

    def _match(self, order: FakeOrder) -> None:
        market = self._package_price(order)
        if market is None:
            return
        net, prices, units = market
        if units < 1 or (order.limit_cents is not None and net > order.limit_cents):
            return
        if units > 1 and self.faults.hit("partial"):
            units = 1 + units // 3
        self._fill(order, units, prices)

    def _fill(self, order: FakeOrder, units: int, prices: Sequence[int]) -> None:
        for leg, price in zip(order.legs, prices, strict=True):
            count, key = leg.ratio * units, (leg.contract, leg.ratio > 0)
            at, taken = self._taken.get(key, (-1, 0))
            self._taken[key] = self.now, abs(count) + (taken if at == self.now else 0)
            leg.value_cents += price * MULTIPLIER * abs(count)
            self.cash_cents -= price * MULTIPLIER * count
            self._hold(leg.contract, count, price)
        order.filled += units
        self.fills.append((order.client_id, self.now, units, tuple(prices)))
        net = sum(leg.ratio * price for leg, price in zip(order.legs, prices, strict=True))
        whole = order.filled == order.quantity
        canceling = order.status == "pending_cancel"
        status: Status = "filled" if whole else "pending_cancel" if canceling else "partially_filled"
        details = {
            "execution_id": self.new_id(),
            "price": money(net if order.nested else prices[0]),
            "qty": str(units),
            "position_qty": str(self.held.get(order.legs[0].contract, 0)),
        }
        self._move(order, "fill" if whole else "partial_fill", status, details)

    def _hold(self, contract: Contract, count: int, price: int) -> None:
        before = self.held.get(contract, 0)
        now, cost = before + count, self.cost_cents.get(contract, 0)
        if before * count >= 0:
            cost += price * MULTIPLIER * count
        elif before * now > 0:
            cost = cost * now // before
        else:
            cost = price * MULTIPLIER * now
        self.held[contract], self.cost_cents[contract] = now, cost
        if not now:
            del self.held[contract], self.cost_cents[contract]

    # --- events

    def _end(self, order: FakeOrder, status: Literal["canceled", "expired"]) -> None:
        order.stamps[f"{status}_at"] = self.now
        self._move(order, status, status)

    def _move(
        self, order: FakeOrder, event: str, status: Status, details: Mapping[str, Any] | None = None
    ) -> None:
        order.status = status
        # Two events of one instant are still one after the other.
        order.updated = max(self.now, order.updated + 1)
        if status == "filled":
            order.stamps["filled_at"] = self.now
        message = {"event": event, "at": order.updated, "order": self.show(order), **(details or {})}
        self._publish(message)

    def _publish(self, message: dict[str, Any]) -> None:
        if self.faults.hit("drop_event"):
            return
        if self.faults.hit("swap_events"):
            self._behind.append(message)
            return
        copies = 2 if self.faults.hit("duplicate_event") else 1
        self.events += [message] * copies + self._behind
        self._behind = []
        self.published()


def _last_moment(created: int) -> int:
    """UTC ns of the close up to which an order of the day stands: that of its own or of the next session."""
    date = calendar.new_york(created).date()
    while True:
        hours = calendar.session(date)
        close = calendar.to_ns(date, hours.close_minute) if hours else 0
        if close > created:
            return close
        date += dt.timedelta(days=1)


def money(cents: int) -> str:
    """Cents as the vendor writes dollars: no zeros at the end."""
    return f"{(Decimal(cents) / 100).normalize():f}"


def covered(held: Mapping[Contract, int]) -> bool:
    """Of each root and right, at least as many longs as shorts, none of them expiring before its short."""
    kinds = {(contract.root, contract.right) for contract in held}
    for root, right in kinds:
        rows = [(-c.expiry, -n) for c, n in held.items() if (c.root, c.right) == (root, right)]
        spare = 0
        for _, short in sorted(rows):  # from the last expiry to the first; longs before shorts
            spare -= short
            if spare < 0:
                return False
    return True


def worst_held(held: Mapping[Contract, int]) -> int:
    """The least, in cents, that what is held can be worth at expiry, expiry by expiry; at most 0."""
    expiries = {(contract.root, contract.expiry) for contract in held}
    total = 0
    for key in expiries:
        legs = tuple(Leg(c, n) for c, n in sorted(held.items()) if (c.root, c.expiry) == key)
        if covered({leg.contract: leg.ratio for leg in legs}):
            total += min(0, worst_cents(legs)) * MULTIPLIER
    return total
