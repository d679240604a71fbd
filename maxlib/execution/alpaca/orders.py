"""One order's life at the broker, as a pure state machine.

```
INTENT ─► UNKNOWN ─► LOST          the broker never heard of it
  │          │
  ├► REFUSED │                     the broker's answer to the submit was no
  ▼          ▼
 WORKING ◄─► CANCELING ─► FILLED | CANCELED | EXPIRED | REJECTED | REPLACED
```

The broker's word about an order is cumulative: "this much is filled so far". So fills are taken as the
difference to what was booked before. A duplicate or an overtaken message then has nothing to add, and a
missed one is made up for by the next, whether it came by stream or by query.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Literal, NamedTuple

from maxlib.execution.alpaca.wire import Account, BrokerOrder
from maxlib.trading.orders import Fill, Order

State = Literal[
    "INTENT",  # journaled; the submit may or may not have been sent
    "UNKNOWN",  # sent, and nothing is known about the outcome
    "WORKING",
    "CANCELING",  # a cancel was accepted; it may still fill
    "FILLED",
    "CANCELED",
    "EXPIRED",
    "REJECTED",
    "REPLACED",  # by somebody else: we never replace
    "REFUSED",
    "LOST",
]
_BROKER: Final = frozenset[State](
    {"WORKING", "CANCELING", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "REPLACED"}
)
LEGAL: Final[dict[State, frozenset[State]]] = {
    "INTENT": _BROKER | {"UNKNOWN", "REFUSED", "LOST"},
    "UNKNOWN": _BROKER | {"LOST"},
    "WORKING": _BROKER - {"WORKING"},
    "CANCELING": _BROKER - {"CANCELING"},
    "FILLED": frozenset(),
    "CANCELED": frozenset(),
    "EXPIRED": frozenset(),
    "REJECTED": frozenset(),
    "REPLACED": frozenset(),
    # The broker's evidence is stronger than its silence was.
    "REFUSED": _BROKER,
    "LOST": _BROKER,
}
"""To which states an order may go from each. Late fills are recorded in any of them."""
LIVE: Final = frozenset[State]({"INTENT", "UNKNOWN", "WORKING", "CANCELING"})
NOT_THERE: Final = frozenset[State]({"REFUSED", "LOST"})

_STATE_OF: Final[dict[str, State]] = {
    "filled": "FILLED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
    "replaced": "REPLACED",
    "pending_cancel": "CANCELING",
}
"""All other statuses are WORKING: one that is not known yet is not the end of an order either."""

MOST_LEGS: Final = 4
LONGEST_ID: Final = 128
_CENT: Final = Decimal(100)


class Tracked(NamedTuple):
    """Our order and what we have booked of it.

    limit_cents : the most that is paid for a unit, a share; below 0 the least that has to come in.
        None = at the market
    sent_at : UTC ns of the intent
    broker_id, leg_ids : the broker's names, "" and () until it said them
    filled : units booked
    values : of each leg, the money of all contracts booked, whole cents, never below 0
    updated_at : the broker's time of the newest message that was taken in
    multiplier : shares a contract
    """

    order: Order
    limit_cents: int | None
    sent_at: int
    state: State = "INTENT"
    broker_id: str = ""
    leg_ids: tuple[str, ...] = ()
    filled: int = 0
    values: tuple[int, ...] = ()
    updated_at: int = 0
    multiplier: int = 100

    @property
    def at_risk(self) -> int:
        """Units to count as held: as long as it may still fill, all of them."""
        return self.order.quantity if self.state in LIVE else self.filled


class Execution(NamedTuple):
    """Units of an order that filled between two messages of the broker.

    id : of the broker's order and the units covered, so the same fill has one id on every way
    after : units that were booked before
    values_cents : of each leg, price × contracts × multiplier, whole cents, never below 0
    venue_id : the broker's execution id, "" if it was learned by query
    """

    id: str
    order_id: str
    ts: int
    after: int
    units: int
    values_cents: tuple[int, ...]
    venue_id: str = ""


class Denial(NamedTuple):
    """Why no order that opens is sent: the bound and what was there instead.

    ACCOUNT_BLOCKED has no numbers; STALE_BUYING_POWER is in milliseconds; BUYING_POWER in cents.
    """

    code: Literal["ACCOUNT_BLOCKED", "STALE_BUYING_POWER", "BUYING_POWER"]
    limit: int = 0
    actual: int = 0


def unaffordable(account: Account, need_cents: int, now: int, max_age_ms: int) -> Denial | None:
    """Why an order that may cost `need_cents` in all must not be sent; None = it may.

    Parameters
    ----------
    account : what the broker last said
    now : UTC ns
    max_age_ms : buying power that was told longer ago is not relied on
    """
    age_ms = (now - account.known_at) // 1_000_000
    if account.blocked or account.status != "ACTIVE":
        return Denial("ACCOUNT_BLOCKED")
    if age_ms > max_age_ms:
        return Denial("STALE_BUYING_POWER", max_age_ms, age_ms)
    power = math.floor(account.options_buying_power * _CENT)
    return Denial("BUYING_POWER", power, need_cents) if need_cents > power else None


def request(order: Order, limit_cents: int | None) -> dict[str, Any] | str:
    """The body of POST /v2/orders, or why there can be none, in a sentence.

    Alpaca's signs: a package's limit is above 0 when it is paid and below 0 when it is received; a single
    option's limit is a plain price whatever its side.
    """
    legs = order.legs
    if order.quantity < 1 or not 1 <= len(order.id) <= LONGEST_ID:
        return f"order {order.id!r} for {order.quantity} units: an id and at least 1 unit are needed"
    if len({leg.contract for leg in legs}) != len(legs) or not 1 <= len(legs) <= MOST_LEGS:
        return f"order {order.id}: 1 to {MOST_LEGS} different legs are traded together, not {len(legs)}"
    divisor = math.gcd(*(leg.ratio for leg in legs))
    if divisor != 1:
        return f"order for {order.name}: ratios have to be relatively prime, but {divisor} divides them all"
    body: dict[str, Any] = {
        "client_order_id": order.id,
        "qty": str(order.quantity),
        "time_in_force": "day",
        "type": "market" if limit_cents is None else "limit",
    }
    if len(legs) == 1:
        body |= _side(order, legs[0].ratio) | {"symbol": legs[0].contract.name}
        if limit_cents is not None:
            price = limit_cents * legs[0].ratio
            if price < 1:
                return f"order for {order.name}: a limit of {price} cents is no price of an option"
            body["limit_price"] = dollars(price)
        return body
    body["order_class"] = "mleg"
    body["legs"] = [
        {"symbol": leg.contract.name, "ratio_qty": str(abs(leg.ratio))} | _side(order, leg.ratio)
        for leg in legs
    ]
    if limit_cents is not None:
        body["limit_price"] = dollars(limit_cents)
    return body


def dollars(cents: int) -> str:
    """Cents as Alpaca writes money.

    >>> dollars(105), dollars(-5)
    ('1.05', '-0.05')
    """
    return f"{Decimal(cents) / _CENT:.2f}"


def _side(order: Order, ratio: int) -> dict[str, str]:
    side = "buy" if ratio > 0 else "sell"
    return {"side": side, "position_intent": f"{side}_to_{'open' if order.purpose == 'open' else 'close'}"}


def state_of(seen: BrokerOrder, quantity: int) -> State:
    """What the broker's status and quantity come to."""
    return "FILLED" if seen.filled >= quantity else _STATE_OF.get(seen.status, "WORKING")


def filled_so_far(tracked: Tracked, seen: BrokerOrder) -> tuple[int, tuple[int, ...]] | None:
    """Units and the money of each leg, cumulative; None = the message does not add up (yet).

    A package is filled as far as all its legs say so, each with a price.
    """
    by_symbol = {leg.symbol: leg for leg in seen.legs}
    if seen.filled != int(seen.filled):
        return None
    units = int(seen.filled)
    if units == 0 and not by_symbol:
        return 0, (0,) * len(tracked.order.legs)
    values = []
    for ours in tracked.order.legs:
        leg = by_symbol.get(ours.contract.name)
        if leg is None or leg.ratio != ours.ratio:
            return None
        if leg.filled != units * abs(ours.ratio) or (units and (leg.price is None or leg.price < 0)):
            return None
        money = leg.filled * (leg.price or Decimal(0)) * tracked.multiplier * _CENT
        values.append(int(money.to_integral_value(ROUND_HALF_EVEN)))
    return units, tuple(values)


def fills(
    order: Order, made: Execution, fee_cents: int, spot: float, multiplier: int = 100
) -> tuple[Fill, ...]:
    """An execution as fills of the ledger, which knows prices of whole cents only.

    An average that is no whole cent is split into units at the cent below and at the cent above. Where it
    does not come out even over the two or more contracts of a leg within one unit, the price is the cent
    that is worse for us, and the first fill says how much more there was. So the ledger's cash is the
    broker's. The fee goes with the first fill, too.

    Parameters
    ----------
    spot : price of the underlying, dollars
    """
    shares = [abs(leg.ratio) * multiplier for leg in order.legs]
    # Whole cents of all units together, against us: paid rounded up, received rounded down.
    totals = [
        -(-value // each) if leg.ratio > 0 else value // each
        for leg, value, each in zip(order.legs, made.values_cents, shares, strict=True)
    ]
    # Unit k of n gets floor(total × (k+1) / n) - floor(total × k / n): they add up to the total.
    n = made.units
    units = [tuple(t * (k + 1) // n - t * k // n for t in totals) for k in range(n)]
    out: list[Fill] = []
    for prices in sorted(set(units)):
        fee = 0 if out else fee_cents
        out.append(Fill(order, made.ts, units.count(prices), prices, fee, spot, modelled=False))
    residue = sum(
        leg.ratio * total * multiplier - (value if leg.ratio > 0 else -value)
        for leg, total, value in zip(order.legs, totals, made.values_cents, strict=True)
    )
    return out[0]._replace(residue_cents=residue), *out[1:]
