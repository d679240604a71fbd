"""Alpaca's JSON as typed records. Strings and numbers alike become Decimal; nothing else is trusted.

Every function here raises only `WireError`, whatever it is fed.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from maxlib.market.calendar import ordinal
from maxlib.market.contract import Contract

_OCC: Final = re.compile(r"([A-Z]{1,6})(\d\d)(\d\d)(\d\d)([CP])(\d{8})", re.ASCII)
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LARGEST: Final = Decimal(10) ** 12


class WireError(ValueError):
    """A message is not what the vendor's description says."""


class BrokerLeg(NamedTuple):
    """One leg of an order as the broker has it; a single order is its own only leg.

    id : of the leg's own order; "" for a single order
    ratio : contracts a unit, above 0 bought, below 0 sold
    filled : contracts so far
    price : average of what is filled, dollars a share; None = nothing is
    """

    id: str
    symbol: str
    ratio: int
    filled: Decimal
    price: Decimal | None


class BrokerOrder(NamedTuple):
    """An order as the broker has it.

    quantity, filled : units of the package, or shares, perhaps fractional, of an order that is not ours
    legs : empty if the broker did not send them
    nested : a multi-leg order, which says little about money without its legs
    updated_at : UTC ns; of two messages about one order the later one counts
    """

    id: str
    client_id: str
    status: str
    quantity: Decimal
    filled: Decimal
    legs: tuple[BrokerLeg, ...]
    nested: bool
    submitted_at: int
    updated_at: int


class Account(NamedTuple):
    """The account at `known_at`, UTC ns. Money in dollars.

    number : names the account
    level : options trading level in force; 3 = spreads
    """

    status: str
    cash: Decimal
    equity: Decimal
    options_buying_power: Decimal
    level: int
    blocked: bool
    known_at: int
    number: str = ""


class Clock(NamedTuple):
    """The exchange's clock; UTC ns."""

    now: int
    is_open: bool
    next_open: int
    next_close: int


class TradeUpdate(NamedTuple):
    """One event of the trade stream.

    execution_id : "" for events that are not fills
    price, quantity : of this execution alone
    order : after this event, with everything filled so far
    """

    event: str
    execution_id: str
    at: int
    price: Decimal | None
    quantity: Decimal | None
    order: BrokerOrder


def contract(symbol: str) -> Contract | None:
    """The option that an OCC symbol names; None = it names something else.

    >>> contract("QQQ251114C00601000")
    Contract(root='QQQ', expiry=20406, right='C', strike_cents=60100)
    >>> contract("QQQ")
    """
    found = _OCC.fullmatch(symbol)
    if found is None or int(found[6]) % 10:
        return None
    try:
        date = dt.date(2000 + int(found[2]), int(found[3]), int(found[4]))
    except ValueError:
        return None
    return Contract(found[1], ordinal(date), found[5], int(found[6]) // 10)


def decode(data: str | bytes) -> Any:
    """JSON of a text or a binary frame."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise WireError(f"no JSON but {data[:40]!r}") from None


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise WireError(f"an object was expected, not {str(value)[:40]!r}")
    return value


def rows(value: Any) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise WireError(f"an array was expected, not {str(value)[:40]!r}")
    return value


def text(row: Mapping[str, Any], name: str) -> str:
    """A text; null and absence are ""."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 256:
        raise WireError(f"{name}: a text was expected, not {str(value)[:40]!r}")
    return value


def number(row: Mapping[str, Any], name: str) -> Decimal | None:
    """A finite number below a million million, written as text or number; None = null, absent or ""."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) <= 40:
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            found = Decimal("NaN")
        if found.is_finite() and abs(found) < _LARGEST:
            return found
    raise WireError(f"{name}: a number was expected, not {str(value)[:40]!r}")


def needed(row: Mapping[str, Any], name: str) -> Decimal:
    """A number that has to be there."""
    found = number(row, name)
    if found is None:
        raise WireError(f"{name}: is missing")
    return found


def moment(row: Mapping[str, Any], name: str) -> int:
    """An RFC 3339 time with offset as UTC ns; 0 = null or absent.

    >>> moment({"t": "2025-11-20T10:00:00.000000001-05:00"}, "t")
    1763650800000000001
    """
    value = text(row, name)
    if not value:
        return 0
    found = _STAMP.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        whole = dt.datetime.fromisoformat(found[1] + found[3]) - _EPOCH
    except (ValueError, OverflowError):
        raise WireError(f"{name}: a time with offset was expected, not {value[:40]!r}") from None
    return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


def order(value: Any) -> BrokerOrder:
    """An order of a REST answer or of a trade update."""
    row = mapping(value)
    found = text(row, "id")
    if not found:
        raise WireError("an order has no id")
    quantity = number(row, "qty") or Decimal(0)
    filled = number(row, "filled_qty") or Decimal(0)
    if quantity < 0 or filled < 0:
        raise WireError(f"order {found}: filled {filled} of {quantity}")
    nested = text(row, "order_class") == "mleg" and not text(row, "symbol")
    if nested:
        legs = tuple(_leg(leg, quantity) for leg in rows(row.get("legs") or []))
    else:
        legs = (BrokerLeg("", text(row, "symbol"), _side(row), filled, _price(row)),)
    return BrokerOrder(
        found, text(row, "client_order_id"), text(row, "status"), quantity, filled, legs, nested,
        moment(row, "submitted_at"), moment(row, "updated_at"),
    )  # fmt: skip


def account(value: Any, known_at: int) -> Account:
    """The answer to /v2/account."""
    row = mapping(value)
    power = number(row, "options_buying_power")
    return Account(
        status=text(row, "status"),
        cash=needed(row, "cash"),
        equity=needed(row, "equity"),
        options_buying_power=needed(row, "buying_power") if power is None else power,
        level=int(number(row, "options_trading_level") or 0),
        blocked=any(row.get(name) is True for name in ("account_blocked", "trading_blocked")),
        known_at=known_at,
        number=text(row, "account_number"),
    )


def clock(value: Any) -> Clock:
    """The answer to /v2/clock."""
    row = mapping(value)
    now, opens, closes = (moment(row, name) for name in ("timestamp", "next_open", "next_close"))
    if not (now and opens and closes and isinstance(row.get("is_open"), bool)):
        raise WireError("a clock without time, state, next open or next close")
    return Clock(now, row["is_open"], opens, closes)


def positions(value: Any) -> dict[str, Decimal]:
    """Symbol to quantity, shorts below 0, whatever sign the broker wrote."""
    held: dict[str, Decimal] = {}
    for item in rows(value):
        row = mapping(item)
        size = abs(needed(row, "qty"))
        side = text(row, "side")
        if side not in ("long", "short") or not text(row, "symbol"):
            raise WireError(f"a position of {text(row, 'symbol')!r} on side {side!r}")
        held[text(row, "symbol")] = size if side == "long" else -size
    return {symbol: size for symbol, size in held.items() if size}


def trade_update(frame: str | bytes) -> TradeUpdate | None:
    """An event of the trade stream; None = a frame of another stream."""
    message = mapping(decode(frame))
    if message.get("stream") != "trade_updates":
        return None
    row = mapping(message.get("data"))
    seen, at = order(row.get("order")), moment(row, "timestamp")
    return TradeUpdate(
        text(row, "event"), text(row, "execution_id"), at, number(row, "price"), number(row, "qty"),
        seen if seen.updated_at else seen._replace(updated_at=at),
    )  # fmt: skip


def _leg(value: Any, quantity: Decimal) -> BrokerLeg:
    row = mapping(value)
    ratio = number(row, "ratio_qty")
    if ratio is None and quantity:
        ratio = (number(row, "qty") or Decimal(0)) / quantity
    if not ratio or ratio != int(ratio) or ratio < 0:
        raise WireError(f"leg {text(row, 'symbol')!r} with ratio {ratio}")
    return BrokerLeg(
        text(row, "id"), text(row, "symbol"), int(ratio) * _side(row),
        number(row, "filled_qty") or Decimal(0), _price(row),
    )  # fmt: skip


def _side(row: Mapping[str, Any]) -> int:
    side = text(row, "side") or text(row, "position_intent").partition("_")[0]
    if side not in ("buy", "sell"):
        raise WireError(f"order {text(row, 'id')!r} on side {side!r}")
    return 1 if side == "buy" else -1


def _price(row: Mapping[str, Any]) -> Decimal | None:
    return number(row, "filled_avg_price")
