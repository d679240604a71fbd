"""Requests to Alpaca: one question, one answer. Nothing here repeats itself; a caller may, with questions.

A submit is sent once. If no answer comes, or one that does not say what became of the order, it is
`Unanswered`, and only `find` tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import quote

import requests
import urllib3
from requests.auth import AuthBase

from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.orders import LIVE, Tracked, request
from maxlib.execution.alpaca.reasons import Complaint, VenueError, complaint
from maxlib.execution.alpaca.reconcile import Accepted, Answer, Refused, Remote, Unanswered
from maxlib.trading.orders import Order

LARGEST_ANSWER: Final = 16 * 2**20
"""Bytes: 10,000 bars are about 1.5 MB."""
MOST_ORDERS: Final = 500
"""Orders a page at most; more than this at one instant cannot be paged."""
_NS: Final = 1_000_000_000

T = TypeVar("T")


class _Signed(AuthBase):
    """Puts the keys on a request, and only there: a session that is shown or logged does not hold them."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        prepared.headers["APCA-API-KEY-ID"] = self._keys.key.get_secret_value()
        prepared.headers["APCA-API-SECRET-KEY"] = self._keys.secret.get_secret_value()
        return prepared


class Alpaca:
    """The paper account over REST. Blocking; one instance belongs to one thread at a time.

    Parameters
    ----------
    clock : UTC ns now
    monotonic : seconds of a clock that only goes forward, for the time limit of a whole answer
    session : for tests, which answer in the same process
    """

    def __init__(
        self,
        config: AlpacaConfig,
        keys: Keys,
        *,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        session: requests.Session | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.calls_left: int | None = None
        """Calls left in the current minute, as of the last answer."""
        self._monotonic = monotonic
        self._session = session or requests.Session()
        if config.loopback:
            self._session.trust_env = False  # no proxy between us and this machine
        self._auth = _Signed(keys)

    # --- questions

    def account(self) -> wire.Account:
        """Cash, equity, buying power. Old buying power is a wrong one: see `Account.known_at`."""
        now = self.clock()
        return self._parsed("account", lambda found: wire.account(found, now), self.get("/v2/account"))

    def exchange_clock(self) -> wire.Clock:
        """The exchange's clock."""
        return self._parsed("clock", wire.clock, self.get("/v2/clock"))

    def positions(self) -> dict[str, Decimal]:
        """Symbol to quantity, shorts below 0. Legs are separate: the broker knows no packages."""
        return self._parsed("positions", wire.positions, self.get("/v2/positions"))

    def find(self, order_id: str) -> wire.BrokerOrder | None:
        """The order with our id; None = the broker does not know it (yet)."""
        try:
            found = self.get("/v2/orders:by_client_order_id", {"client_order_id": order_id, "nested": "true"})
        except VenueError as error:
            # A 404 without Alpaca's own code may come from anything in between, and proves nothing.
            if error.complaint.reason == "NOT_FOUND" and error.complaint.code:
                return None
            raise
        order = self._parsed("order", wire.order, found)
        if order.nested and not order.legs:  # this question is not described as giving legs; the next one is
            path = f"/v2/orders/{quote(order.id, safe='')}"
            order = self._parsed("order", wire.order, self.get(path, {"nested": "true"}))
        return order

    def orders(self, status: str = "open", since: int = 0) -> list[wire.BrokerOrder]:
        """Orders submitted after `since` (UTC ns), oldest first, legs below their package.

        status : open, closed or all
        """
        known: dict[str, wire.BrokerOrder] = {}
        while True:
            params = {"status": status, "limit": str(MOST_ORDERS), "nested": "true", "direction": "asc"}
            if since:
                params["after"] = rfc3339(since)
            found = self.get("/v2/orders", params)
            page = self._parsed("orders", lambda rows: [wire.order(row) for row in wire.rows(rows)], found)
            fresh = [order for order in page if order.id not in known]
            known |= {order.id: order for order in fresh}
            if len(page) < MOST_ORDERS:
                return list(known.values())
            if not fresh:
                told = f"more than {MOST_ORDERS} orders of one instant"
                raise VenueError("orders", Complaint("GARBLED", message=told))
            since = max(order.submitted_at for order in page) - 1

    def picture(self, tracked: Iterable[Tracked], since: int, *, tries: int = 3) -> Remote:
        """Orders and positions that belong together: read again until nothing changes in between.

        Parameters
        ----------
        tracked : our orders; those that may still fill are asked for one by one if no list has them
        since : UTC ns from which on all orders are listed, ours or not
        """
        ours = [t.order.id for t in tracked if t.state in LIVE]
        taken_at = self.clock()
        before, positions, stable = self._orders_of(ours, since), self.positions(), False
        for _ in range(tries):
            after = self._orders_of(ours, since)
            if stable := after == before:
                break
            before, positions = after, self.positions()
        return Remote(before[0], positions, before[1], stable, taken_at)

    def _orders_of(
        self, ours: Iterable[str], since: int
    ) -> tuple[tuple[wire.BrokerOrder, ...], frozenset[str]]:
        listed = self.orders("all", since) + self.orders("open")
        known = {order.id: order for order in listed}
        there = {order.client_id for order in listed}
        missing = set()
        for name in ours:
            if name not in there:
                found = self.find(name)
                if found is None:
                    missing.add(name)
                else:
                    known[found.id] = found
        return tuple(known.values()), frozenset(missing)

    # --- deeds

    def submit(self, order: Order, limit_cents: int | None = None) -> Answer:
        """Send an order, once. Its intent has to be journaled before.

        Parameters
        ----------
        limit_cents : the most that is paid for a unit, a share, below 0 the least that has to come in;
            None = at the market, which Alpaca takes in market hours only
        """
        body = request(order, limit_cents)
        if isinstance(body, str):
            return Refused(Complaint("INVALID", message=body))
        try:
            status, raw, found = self._send("POST", self.config.trading_url, "/v2/orders", body=body)
            if found is None:
                return Accepted(wire.order(wire.decode(raw)))
        except VenueError as error:
            return Unanswered(error.complaint)
        except wire.WireError as error:
            return Unanswered(Complaint("GARBLED", status, message=str(error)))
        if status >= 500 or found.reason in ("DUPLICATE_ID", "TIMEOUT", "GARBLED"):
            return Unanswered(found)
        return Refused(found)

    def cancel(self, broker_id: str) -> Complaint | None:
        """Ask for a cancel. None = it was taken on, and the order may still fill before it counts.

        A cancel may be repeated: it can only find the order gone.
        """
        path = f"/v2/orders/{quote(broker_id, safe='')}"
        try:
            return self._send("DELETE", self.config.trading_url, path)[2]
        except VenueError as error:
            return error.complaint

    # --- wire

    def get(self, path: str, params: Mapping[str, str] | None = None, *, data: bool = False) -> Any:
        """The JSON answer to a question; `data` asks the market data host.

        Raises
        ------
        VenueError
            No answer, an error answer, or one that is no JSON.
        """
        _, raw, error = self._send(
            "GET", self.config.data_url if data else self.config.trading_url, path, params
        )
        if error is not None:
            raise VenueError(path, error)
        return self._parsed(path, wire.decode, raw)

    def _parsed(self, what: str, parse: Callable[[Any], T], found: Any) -> T:
        try:
            return parse(found)
        except wire.WireError as error:
            raise VenueError(what, Complaint("GARBLED", message=str(error))) from None

    def _send(
        self, method: str, host: str, path: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[int, bytes, Complaint | None]:
        started = self._monotonic()
        limits = (self.config.connect_s, self.config.read_s)
        try:
            with self._session.request(
                method, host.rstrip("/") + path, params=params, json=body, auth=self._auth, timeout=limits,
                allow_redirects=False, stream=True,
            ) as answer:  # fmt: skip
                raw = self._read(answer, path, started)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise VenueError(path, Complaint("TIMEOUT", message=f"no answer in {limits[1]:g} s")) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The class is enough: some of these texts quote the request.
            raise VenueError(path, Complaint("DISCONNECTED", message=type(error).__name__)) from None
        status, reset_at = answer.status_code, self._budget(answer.headers)
        if 200 <= status < 300:
            return status, raw, None
        if status < 400:
            raise VenueError(path, Complaint("GARBLED", status, message="a redirect, which is not followed"))
        return status, raw, complaint(status, raw, reset_at)

    def _read(self, answer: requests.Response, path: str, started: float) -> bytes:
        """The body, within limits of bytes and of time however slowly it drips in."""
        parts, size = [], 0
        while part := answer.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                raise VenueError(path, Complaint("GARBLED", message=f"more than {LARGEST_ANSWER} bytes"))
            if self._monotonic() - started > self.config.total_s:
                raise VenueError(
                    path, Complaint("TIMEOUT", message=f"not whole after {self.config.total_s:g} s")
                )
        return b"".join(parts)

    def _budget(self, headers: Mapping[str, str]) -> int:
        """Note the calls left; UTC ns at which the budget is renewed, 0 = not said."""
        left, reset = headers.get("X-RateLimit-Remaining", ""), headers.get("X-RateLimit-Reset", "")
        self.calls_left = int(left) if left.isdecimal() and len(left) < 9 else None
        return int(reset) * _NS if reset.isdecimal() and len(reset) < 12 else 0


def rfc3339(ts: int) -> str:
    """UTC ns as Alpaca writes and reads times.

    >>> rfc3339(1_763_650_800_000_000_001)
    '2025-11-20T15:00:00.000000001Z'
    """
    whole, part = divmod(ts, _NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:09d}Z"
