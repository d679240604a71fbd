"""The fake venue's REST interface as a function: a request in, an answer or a broken connection out.

Kept apart from sockets, so that a test may ask it in the same process, thousands of times a second.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.fake_faults import Faults
from maxlib.execution.alpaca.fake_venue import MULTIPLIER, Denied, FakeLeg, FakeOrder, FakeVenue, money
from maxlib.execution.alpaca.rest import rfc3339
from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract

FAKE_KEY: Final = "PKFAKE"
FAKE_SECRET: Final = "fake"  # noqa: S105 - opens nothing but this fake
CALLS: Final = 200
"""Calls a minute, as the headers say."""
_PAGE: Final = 100
_ASSETS: Final = uuid.UUID(int=0)

Params = Mapping[str, str]


class Request(NamedTuple):
    """What came in. Header names are lower case."""

    method: str
    path: str
    params: Params
    headers: Mapping[str, str]
    body: bytes = b""


class Response(NamedTuple):
    """What goes out. `sent` bytes of the body, then the connection breaks; None = all of it."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    sent: int | None = None


Broken = Literal["hang"]
"""The connection stays open and nothing ever comes."""


class FakeApi:
    """Alpaca's trading and market data REST interfaces over one venue.

    Attributes
    ----------
    calls : (method, path) of everything that was asked
    limit : calls a virtual minute before 429; None = no limit
    page : rows a page at most, even if more were asked for
    """

    def __init__(self, venue: FakeVenue, *, limit: int | None = None, page: int = 10_000) -> None:
        self.venue = venue
        self.calls: list[tuple[str, str]] = []
        self.limit = limit
        self.page = page
        self._window = (0, 0)
        venue.show = order_json
        self._routes: dict[tuple[str, str], Callable[[Params], Any]] = {
            ("GET", "/v2/account"): self._account,
            ("GET", "/v2/clock"): self._clock,
            ("GET", "/v2/calendar"): self._calendar,
            ("GET", "/v2/positions"): lambda _: [self._position(c) for c in sorted(venue.held)],
            ("GET", "/v2/orders"): self._orders,
            ("GET", "/v2/orders:by_client_order_id"): lambda p: self._found(
                venue.find(p.get("client_order_id", ""))
            ),
            ("DELETE", "/v2/orders"): self._cancel_all,
            ("GET", "/v2/options/contracts"): self._contracts,
            ("GET", "/v2/stocks/bars"): self._bars,
            ("GET", "/v1beta1/options/snapshots"): lambda p: self._snapshots(
                p, p.get("symbols", "").split(",")
            ),
            ("GET", "/v1beta1/options/quotes/latest"): self._latest,
        }

    @property
    def faults(self) -> Faults:
        """The venue's faults: those of the wire are drawn here."""
        return self.venue.faults

    def handle(self, request: Request) -> Response | Broken:
        """Answer one request, if the faults let it."""
        self.calls.append((request.method, request.path))
        now, faults = self.venue.now, self.faults
        minute, count = self._window
        self._window = (now // NS_PER_MINUTE, 1 + (count if minute == now // NS_PER_MINUTE else 0))
        headers = self._budget()
        keys = tuple(request.headers.get(name) for name in ("apca-api-key-id", "apca-api-secret-key"))
        if keys != (FAKE_KEY, FAKE_SECRET):
            return _error(Denied(401, 40110000, "request is not authorized"), headers)
        if faults.hit("rate_limited") or (self.limit is not None and self._window[1] > self.limit):
            return _error(
                Denied(429, 42910000, "rate limit exceeded"), headers | {"X-RateLimit-Remaining": "0"}
            )
        if faults.hit("server_error"):
            return Response(503, b"<html>service unavailable</html>", headers)
        if faults.hit("forbidden"):
            return _error(Denied(403, 40310000, "forbidden."), headers)
        if faults.hit("html"):
            return Response(200, b"<!doctype html><title>Maintenance</title>", headers)
        if faults.hit("hang"):
            return "hang"
        if (request.method, request.path) == ("POST", "/v2/orders") and faults.hit("late_arrival"):
            body = _json(request.body)
            self.venue.submit_later(body if isinstance(body, dict) else {})
            return "hang"
        status, found = self._route(request)
        body = b"" if status == 204 else json.dumps(found).encode()
        if faults.hit("server_error_after"):
            return Response(504, b"gateway timeout", headers)
        if faults.hit("hang_after"):
            return "hang"
        if faults.hit("ack_lost"):
            return Response(200, b" " * 10, headers, sent=0)
        if body and faults.hit("cut"):
            return Response(status, body, headers, sent=len(body) // 2)
        return Response(status, body, headers)

    def _budget(self) -> dict[str, str]:
        minute, count = self._window
        return {
            "X-RateLimit-Limit": str(CALLS),
            "X-RateLimit-Remaining": str(max(0, CALLS - count)),
            "X-RateLimit-Reset": str((minute + 1) * 60),
        }

    def _route(self, request: Request) -> tuple[int, Any]:
        method, path = request.method, request.path
        route = self._routes.get((method, path))
        if route is not None:
            found = route(request.params)
        elif (method, path) == ("POST", "/v2/orders"):
            found = self._submit(request.body)
        elif path.startswith("/v2/orders/"):
            found = self._one(method, path.removeprefix("/v2/orders/"))
        elif method == "GET" and path.startswith("/v2/positions/"):
            held = wire.contract(path.removeprefix("/v2/positions/"))
            known = held in self.venue.held
            found = (
                self._position(held) if held and known else Denied(404, 40410000, "position does not exist")
            )
        elif method == "GET" and path.startswith("/v1beta1/options/snapshots/"):
            root = path.removeprefix("/v1beta1/options/snapshots/")
            listed = self._filtered(root, request.params)
            found = self._snapshots(request.params, [contract.name for contract in listed])
        else:
            found = Denied(404, 40410000, f"endpoint not found: {method} {path}")
        if isinstance(found, Denied):
            return found.status, {"code": found.code, "message": found.message}
        return (204, None) if found is None else (207 if method == "DELETE" else 200, found)

    # --- trading

    def _submit(self, raw: bytes) -> Any:
        body = _json(raw)
        if not isinstance(body, dict):
            return Denied(400, 40010000, "request body format is invalid")
        before = len(self.venue.events)
        found = self.venue.submit(body)
        if isinstance(found, Denied):
            return found
        # The answer shows the order as it was taken on. What filled at once is told by the stream.
        first = next((e["order"] for e in self.venue.events[before:] if e["order"]["id"] == found.id), None)
        return first if first and first["status"] == "new" else order_json(found)

    def _one(self, method: str, order_id: str) -> Any:
        if method == "DELETE":
            return self.venue.cancel(order_id)
        return self._found(self.venue.orders.get(order_id) if method == "GET" else None)

    def _found(self, order: FakeOrder | None) -> Any:
        return order_json(order) if order else Denied(404, 40410000, "order not found")

    def _cancel_all(self, _: Params) -> Any:
        found = []
        for order in self.venue.orders.values():
            if order.live():
                self.venue.cancel(order.id)
                found.append({"id": order.id, "status": 200})
        return found

    def _orders(self, params: Params) -> Any:
        status, limit = params.get("status", "open"), int(params.get("limit", "50"))
        after, until = (wire.moment(params, name) for name in ("after", "until"))
        found = [
            order
            for order in self.venue.orders.values()
            if (status == "all" or order.live() == (status == "open"))
            and order.created > after
            and (not until or order.created < until)
        ]
        found.sort(key=lambda order: order.created, reverse=params.get("direction", "desc") == "desc")
        rows = [order_json(order) for order in found[:limit]]
        if params.get("nested", "false").lower() == "true":
            return rows
        return [row | {"legs": None} for row in rows] + [leg for row in rows for leg in row["legs"] or ()]

    def _account(self, _: Params) -> Any:
        venue = self.venue
        marks = [(n, self._mark(contract)) for contract, n in sorted(venue.held.items())]
        longs = sum(n * mark for n, mark in marks if n > 0) * MULTIPLIER
        shorts = sum(n * mark for n, mark in marks if n < 0) * MULTIPLIER
        power = money(venue.buying_power())
        return {
            "id": str(_asset("account")), "account_number": "PA0FAKE", "status": "ACTIVE", "currency": "USD",
            "cash": money(venue.cash_cents), "equity": money(venue.cash_cents + longs + shorts),
            "portfolio_value": money(venue.cash_cents + longs + shorts),
            "last_equity": money(venue.start_cents),
            "buying_power": power, "options_buying_power": power, "multiplier": "1",
            "options_approved_level": venue.level, "options_trading_level": venue.level,
            "long_market_value": money(longs), "short_market_value": money(shorts),
            "initial_margin": "0", "maintenance_margin": "0", "accrued_fees": "0",
            "trading_blocked": False, "account_blocked": False, "transfers_blocked": False,
            "trade_suspended_by_user": False, "shorting_enabled": False, "created_at": "2024-01-02T15:00:00Z",
        }  # fmt: skip

    def _position(self, contract: Contract) -> Any:
        count, cost = self.venue.held[contract], self.venue.cost_cents[contract]
        mark = self._mark(contract)
        value = mark * MULTIPLIER * count
        return {
            "asset_id": str(_asset(contract.name)), "symbol": contract.name, "exchange": "",
            "asset_class": "us_option", "asset_marginable": False,
            "qty": str(count), "qty_available": str(count),
            "side": "long" if count > 0 else "short", "avg_entry_price": _average(cost, count),
            "market_value": money(value), "cost_basis": money(cost), "current_price": money(mark),
            "unrealized_pl": money(value - cost), "unrealized_plpc": "0",
        }  # fmt: skip

    def _mark(self, contract: Contract) -> int:
        """Middle of the market in cents, rounded down; 0 = no market."""
        quote = self.venue.market.quote(contract, self.venue.now)
        return ((quote.bid_cents or 0) + (quote.ask_cents or 0)) // 2 if quote else 0

    def _clock(self, _: Params) -> Any:
        now = self.venue.now
        day = calendar.new_york(now).date()
        edges = [
            (calendar.to_ns(s.date, s.open_minute), calendar.to_ns(s.date, s.close_minute))
            for s in calendar.sessions(day, day + dt.timedelta(days=10))
        ]
        return {
            "timestamp": _eastern(now),
            "is_open": self.venue.is_open,
            "next_open": _eastern(min(start for start, _ in edges if start > now)),
            "next_close": _eastern(min(end for _, end in edges if end > now)),
        }

    def _calendar(self, params: Params) -> Any:
        today = calendar.new_york(self.venue.now).date()
        first, last = (params.get(name, today.isoformat())[:10] for name in ("start", "end"))
        found = calendar.sessions(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        return [
            {
                "date": s.date.isoformat(),
                "open": _clock_time(s.open_minute),
                "close": _clock_time(s.close_minute),
            }
            for s in found
        ]

    def _contracts(self, params: Params) -> Any:
        listed = [
            contract
            for root in params.get("underlying_symbols", "").split(",")
            for contract in self._filtered(root, params)
        ]
        page, token = self._page(listed, params)
        return {"option_contracts": [_contract_json(contract) for contract in page], "next_page_token": token}

    def _page(self, rows: list[Any], params: Params, most: int = 1000) -> tuple[list[Any], str | None]:
        """The rows from the page token on, and the next token."""
        first = int(params.get("page_token", "0"))
        last = first + min(int(params.get("limit", str(_PAGE))), most, self.page)
        return rows[first:last], str(last) if last < len(rows) else None

    # --- market data

    def _filtered(self, root: str, params: Params) -> list[Contract]:
        dates = {
            name: calendar.ordinal(dt.date.fromisoformat(params[name][:10]))
            for name in ("expiration_date", "expiration_date_gte", "expiration_date_lte")
            if name in params
        }
        low, high = (wire.number(params, f"strike_price_{edge}") for edge in ("gte", "lte"))
        kind = params.get("type")
        return [
            contract
            for contract in sorted(self.venue.market.contracts(root, self.venue.now))
            if dates.get("expiration_date", contract.expiry) == contract.expiry
            and dates.get("expiration_date_gte", 0) <= contract.expiry
            and contract.expiry <= dates.get("expiration_date_lte", math.inf)
            and (low is None or low * 100 <= contract.strike_cents)
            and (high is None or contract.strike_cents <= high * 100)
            and kind in (None, "call" if contract.right == "C" else "put")
        ]

    def _snapshots(self, params: Params, symbols: list[str]) -> Any:
        page, token = self._page(symbols, params)
        quotes = {symbol: self._quote(symbol) for symbol in page}
        return {
            "snapshots": {symbol: {"latestQuote": quote} for symbol, quote in quotes.items() if quote},
            "next_page_token": token,
        }

    def _latest(self, params: Params) -> Any:
        quotes = {symbol: self._quote(symbol) for symbol in params.get("symbols", "").split(",")}
        return {"quotes": {symbol: quote for symbol, quote in quotes.items() if quote}}

    def _quote(self, symbol: str) -> Any:
        contract = wire.contract(symbol)
        quote = self.venue.market.quote(contract, self.venue.now) if contract else None
        if quote is None:
            return None
        return {
            "t": rfc3339(quote.ts), "c": "A",
            "ap": (quote.ask_cents or 0) / 100, "as": quote.ask_size or 0, "ax": "N",
            "bp": (quote.bid_cents or 0) / 100, "bs": quote.bid_size or 0, "bx": "N",
        }  # fmt: skip

    def _bars(self, params: Params) -> Any:
        if params.get("timeframe") != "1Min":
            return Denied(400, 40010000, f"invalid timeframe {params.get('timeframe')}")
        first, last = wire.moment(params, "start"), wire.moment(params, "end") or self.venue.now
        last = min(last, self.venue.now - NS_PER_MINUTE)  # a bar is there when it is complete
        rows = [
            (symbol, bar)
            for symbol in sorted(set(params.get("symbols", "").split(",")))
            for bar in self.venue.market.bars(symbol, first, last)
        ]
        page, token = self._page(rows, params, most=10_000)
        found: dict[str, list[Any]] = {}
        for symbol, bar in page:
            found.setdefault(symbol, []).append({
                "t": rfc3339(int(bar["ts"]) - NS_PER_MINUTE), "n": 1, "vw": float(bar["close"]),
                **{name[0]: float(bar[name]) for name in ("open", "high", "low", "close", "volume")},
            })  # fmt: skip
        return {"bars": found, "next_page_token": token}


def order_json(order: FakeOrder) -> dict[str, Any]:
    """An order as the vendor writes it: numbers as texts, legs below their package."""
    kind = "market" if order.limit_cents is None else "limit"
    row = _order_row(order, order.id, order.client_id, str(order.quantity), str(order.filled)) | {
        "type": kind, "order_type": kind, "order_class": "mleg" if order.nested else "simple",
    }  # fmt: skip
    cost = sum(math.copysign(1, leg.ratio) * leg.value_cents for leg in order.legs)
    if order.nested:
        limit = order.limit_cents
        row |= {"symbol": "", "side": "", "asset_id": "", "asset_class": "", "position_intent": ""}
        row["limit_price"] = None if limit is None else money(limit)
        row["filled_avg_price"] = _average(int(cost), order.filled)
        row["legs"] = [_leg_json(order, leg) for leg in order.legs]
    else:
        leg = order.legs[0]
        row |= _of_leg(leg) | {"filled_avg_price": _average(leg.value_cents, order.filled)}
        row["limit_price"] = None if order.limit_cents is None else money(order.limit_cents * leg.ratio)
    return row


def _order_row(order: FakeOrder, name: str, client: str, quantity: str, filled: str) -> dict[str, Any]:
    stamps = ("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at")
    return {
        "id": name, "client_order_id": client, "status": order.status, "qty": quantity, "filled_qty": filled,
        "created_at": rfc3339(order.created), "submitted_at": rfc3339(order.created),
        "updated_at": rfc3339(order.updated), "time_in_force": order.tif, "extended_hours": False,
        "notional": None, "stop_price": None, "legs": None, "replaced_by": None, "replaces": None,
        **{stamp: rfc3339(order.stamps[stamp]) if stamp in order.stamps else None for stamp in stamps},
    }  # fmt: skip


def _of_leg(leg: FakeLeg) -> dict[str, Any]:
    return {
        "symbol": leg.contract.name, "asset_id": str(_asset(leg.contract.name)), "asset_class": "us_option",
        "side": "buy" if leg.ratio > 0 else "sell", "position_intent": leg.intent,
    }  # fmt: skip


def _leg_json(order: FakeOrder, leg: FakeLeg) -> dict[str, Any]:
    size = abs(leg.ratio)
    count, filled = size * order.quantity, size * order.filled
    row = _order_row(order, leg.id, f"leg-{leg.id}", str(count), str(filled)) | _of_leg(leg)
    return row | {
        "order_class": "mleg", "type": "", "order_type": "", "limit_price": None, "ratio_qty": str(size),
        "filled_avg_price": _average(leg.value_cents, filled),
    }  # fmt: skip


def _average(value_cents: int, count: int) -> str | None:
    """Dollars a share, to six decimals."""
    if not count:
        return None
    average = Decimal(value_cents) / (count * MULTIPLIER * 100)
    return f"{average.quantize(Decimal('0.000001')).normalize():f}"


def _contract_json(contract: Contract) -> dict[str, Any]:
    date = calendar.from_ordinal(contract.expiry).isoformat()
    kind = "call" if contract.right == "C" else "put"
    return {
        "id": str(_asset(contract.name)), "symbol": contract.name, "name": f"{contract.root} {date} {kind}",
        "status": "active", "tradable": True, "expiration_date": date, "root_symbol": contract.root,
        "underlying_symbol": contract.root, "underlying_asset_id": str(_asset(contract.root)), "type": kind,
        "style": "american", "strike_price": money(contract.strike_cents), "multiplier": "100", "size": "100",
    }  # fmt: skip


def _asset(name: str) -> uuid.UUID:
    return uuid.uuid5(_ASSETS, name)


def _error(denied: Denied, headers: Mapping[str, str]) -> Response:
    body = json.dumps({"code": denied.code, "message": denied.message}).encode()
    return Response(denied.status, body, headers)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _eastern(ts: int) -> str:
    return calendar.new_york(ts).isoformat()


def _clock_time(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
