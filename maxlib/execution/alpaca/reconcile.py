"""What has to change in our books so that they agree with the broker's: pure, typed, idempotent.

`answered` takes the answer to a submit, `hear` one message of the trade stream, `reconcile` a whole
picture of the account. All give corrections (`books`), which are journaled and then applied. Applying them
and asking again gives nothing, so a crash between any two of them does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from maxlib.data.chain_expiry import expires_at
from maxlib.execution.alpaca.books import (
    Blocked,
    Correction,
    ExternalTagged,
    FillImported,
    FillTakenBack,
    Local,
    PositionAdopted,
    QueryNeeded,
    StateMoved,
    book,
)
from maxlib.execution.alpaca.orders import (
    LEGAL,
    LIVE,
    NOT_THERE,
    Execution,
    State,
    Tracked,
    filled_so_far,
    state_of,
)
from maxlib.execution.alpaca.reasons import Complaint
from maxlib.execution.alpaca.wire import BrokerOrder, TradeUpdate, contract
from maxlib.market.calendar import from_ordinal


class Accepted(NamedTuple):
    """The broker has the order."""

    order: BrokerOrder


class Refused(NamedTuple):
    """The broker does not have the order, and said why."""

    complaint: Complaint


class Unanswered(NamedTuple):
    """Nobody knows whether the broker has the order. Ask by its id; never send it again."""

    complaint: Complaint


Answer = Accepted | Refused | Unanswered


class Remote(NamedTuple):
    """The broker's side.

    missing : client order ids that it said it does not know
    stable : nothing changed while it was read, so orders and positions belong together
    taken_at : UTC ns of our clock just before the first question was asked
    """

    orders: tuple[BrokerOrder, ...]
    positions: Mapping[str, Decimal]
    missing: frozenset[str]
    stable: bool
    taken_at: int


def answered(tracked: Tracked, answer: Answer) -> tuple[Correction, ...]:
    """What the answer to the submit of an order changes."""
    if isinstance(answer, Accepted):
        return heard(tracked, answer.order)
    to: State = "REFUSED" if isinstance(answer, Refused) else "UNKNOWN"
    if to not in LEGAL[tracked.state]:
        return ()  # the stream was faster
    why = f"{answer.complaint.reason} {answer.complaint.message}".strip()
    return (StateMoved(tracked.order.id, tracked.state, to, "", (), 0, why),)


def hear(local: Local, update: TradeUpdate) -> tuple[Correction, ...]:
    """What one message of the trade stream changes. Fills of ours are told apart by what they add."""
    seen = update.order
    tracked = local.orders.get(seen.client_id)
    if tracked is not None:
        found = heard(tracked, seen, venue_id=update.execution_id, at=update.at)
        return local.news(found)
    if seen.id in local.external:
        return ()
    symbols = {leg.symbol for leg in seen.legs}
    for name, ours in sorted(local.orders.items()):
        # The acknowledgement, which names the legs, may come after the first event of a leg.
        unnamed = ours.state in ("INTENT", "UNKNOWN") and len(ours.order.legs) > 1
        of_it = symbols and symbols <= {leg.contract.name for leg in ours.order.legs}
        if seen.id in ours.leg_ids or (unnamed and of_it):
            return (QueryNeeded(name, "LEG_EVENT"),)
    return (_tag(seen),)


def heard(tracked: Tracked, seen: BrokerOrder, *, venue_id: str = "", at: int = 0) -> tuple[Correction, ...]:
    """What one message about one of our orders changes.

    Parameters
    ----------
    venue_id : the broker's execution id, if the message is a fill of the stream
    at : UTC ns of the event; 0 = the message's own `updated_at`
    """
    order = tracked.order
    so_far = filled_so_far(tracked, seen)
    if so_far is None:
        return (QueryNeeded(order.id, "UNEVEN_LEGS"),)
    units, values = so_far
    if units < tracked.filled or (units == tracked.filled and seen.updated_at < tracked.updated_at):
        if units < tracked.filled and seen.updated_at > tracked.updated_at:
            return tuple(_taken_back(tracked, seen, units, values))
        return ()  # overtaken by what is booked already
    return tuple(_taken_in(tracked, seen, units, values, venue_id, at or seen.updated_at))


def _taken_back(
    tracked: Tracked, seen: BrokerOrder, units: int, values: tuple[int, ...]
) -> Iterator[Correction]:
    name = tracked.order.id
    what = f"order {name}: {tracked.filled} units are booked, the broker now says {units}"
    yield Blocked("FILL_TAKEN_BACK", what)
    less = tuple(then - now for then, now in zip(tracked.values, values, strict=True))
    if min(less) >= 0:
        yield FillTakenBack(name, tracked.filled - units, less)
        fewer = tracked._replace(filled=units, values=values)
        yield from _taken_in(fewer, seen, units, values, "", seen.updated_at)


def _taken_in(
    tracked: Tracked, seen: BrokerOrder, units: int, values: tuple[int, ...], venue_id: str, at: int
) -> Iterator[Correction]:
    order, to = tracked.order, state_of(seen, tracked.order.quantity)
    if tracked.state in NOT_THERE and (to != "REJECTED" or units):
        yield Blocked("ARRIVED_LATE", f"order {order.id} counted as {tracked.state}, but the broker has it")
    if units > order.quantity:
        yield Blocked("OVERFILL", f"order {order.id}: the broker filled {units} units of {order.quantity}")
        values = tuple(value * order.quantity // units for value in values)
        units = order.quantity
    if units > tracked.filled:
        before = tracked.values or (0,) * len(values)
        gained = tuple(now - then for now, then in zip(values, before, strict=True))
        if min(gained) < 0:
            what = f"order {order.id}: {units - tracked.filled} more units, but a leg's money fell"
            yield Blocked("FILL_TAKEN_BACK", what)
            return
        name = f"{seen.id}:{tracked.filled}-{units}"
        made = Execution(name, order.id, at, tracked.filled, units - tracked.filled, gained, venue_id)
        yield FillImported(made, late=tracked.state not in LIVE)
    legal = to in LEGAL[tracked.state]
    leg_ids = tuple(leg.id for leg in seen.legs if leg.id)
    news = (seen.id, leg_ids or tracked.leg_ids) != (tracked.broker_id, tracked.leg_ids)
    if legal or news or seen.updated_at > tracked.updated_at:
        end = to if legal else tracked.state
        yield StateMoved(
            order.id, tracked.state, end, seen.id, leg_ids or tracked.leg_ids, seen.updated_at, seen.status
        )
        if end == "REPLACED" and legal:
            yield Blocked("REPLACED", f"order {order.id} was replaced by somebody else")


def reconcile(
    local: Local, remote: Remote, *, lost_after_ns: int, adopt: bool = True
) -> tuple[Correction, ...]:
    """Everything in which our books and the broker's differ.

    Parameters
    ----------
    lost_after_ns : an unanswered submit that the broker still does not know this long after the intent
        never arrived
    adopt : take over the broker's positions where they differ; else only block

    Returns
    -------
    tuple of Correction
        In the order in which they are to be applied; () = the books agree. A `Blocked` that is known, or
        was cleared, is not repeated (`Local.news`).
    """
    found: list[Correction] = []
    by_client = {seen.client_id: seen for seen in remote.orders}
    parts = {leg.id for seen in remote.orders for leg in seen.legs if leg.id}
    vague: set[str] = set()
    positions = dict(local.positions)
    for name, tracked in sorted(local.orders.items()):
        seen = by_client.get(name)
        if seen:
            answers = heard(tracked, seen)
            if remote.stable and any(isinstance(answer, QueryNeeded) for answer in answers):
                what = f"order {name}: its legs are not filled evenly, or without a price"
                answers += (Blocked("UNEVEN_LEGS", what),)
            if seen.updated_at < tracked.updated_at:
                answers += (QueryNeeded(name, "OVERTAKEN"),)  # by the stream, while the picture was taken
        else:
            answers = _silence(tracked, name, remote, lost_after_ns)
        for answer in answers:
            if isinstance(answer, FillImported):
                book(positions, tracked, answer.execution.units)
            if isinstance(answer, FillTakenBack):
                book(positions, tracked, -answer.units)
            if isinstance(answer, QueryNeeded):
                vague |= {leg.contract.name for leg in tracked.order.legs}
        found += answers
    for seen in remote.orders:
        if seen.client_id in local.orders or seen.id in local.external or seen.id in parts:
            continue
        found.append(_tag(seen))
    if not remote.stable:
        found.append(Blocked("UNSTABLE", "the account kept changing while it was read"))
    else:
        # What has expired is gone from here at once, and from the broker some time before the next day.
        gone = {name for name in {*positions, *remote.positions} if _expired(name, remote.taken_at)}
        found += _positions(positions, remote.positions, vague | gone, adopt=adopt)
    return local.news(found)


def _tag(seen: BrokerOrder) -> ExternalTagged:
    legs = ", ".join(f"{leg.ratio:+d} {leg.symbol}" for leg in seen.legs) or "unknown legs"
    return ExternalTagged(seen.id, seen.client_id, f"{seen.quantity} × {legs}, {seen.status}")


def _silence(tracked: Tracked, name: str, remote: Remote, lost_after_ns: int) -> tuple[Correction, ...]:
    """An order of ours that was not in the broker's lists."""
    if tracked.state not in LIVE:
        overtaken = tracked.filled > 0 and tracked.sent_at >= remote.taken_at
        return (QueryNeeded(name, "OVERTAKEN"),) if overtaken else ()
    if name not in remote.missing:
        return (QueryNeeded(name, "NOT_LISTED"),)
    if tracked.state not in ("INTENT", "UNKNOWN"):
        return (
            Blocked("VANISHED", f"order {name} was acknowledged, and now the broker does not know it"),
            QueryNeeded(name, "VANISHED"),
        )
    if remote.taken_at - tracked.sent_at < lost_after_ns:
        return (QueryNeeded(name, "NOT_THERE_YET"),)
    return (StateMoved(name, tracked.state, "LOST", "", (), 0, "the broker does not know it"),)


def _expired(symbol: str, now: int) -> bool:
    found = contract(symbol)
    return found is not None and expires_at(found.root, from_ordinal(found.expiry)) <= now


def _positions(
    ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal], vague: set[str], *, adopt: bool
) -> Iterator[Correction]:
    """Differences, without the symbols whose orders are not settled: their fills would count twice."""
    for symbol in sorted({*ours, *theirs} - vague):
        we, they = ours.get(symbol, Decimal(0)), theirs.get(symbol, Decimal(0))
        if we != they:
            if adopt:
                yield PositionAdopted(symbol, we, they)
            yield Blocked("POSITION_MISMATCH", f"{symbol}: we hold {we}, the broker says {they}")
