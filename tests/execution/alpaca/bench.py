"""What the tests of Alpaca share: a market made by hand, a clock, and a client without sockets."""

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import requests
import urllib3
from numpy.typing import NDArray
from requests.adapters import BaseAdapter

from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.execution.alpaca.fake_api import FakeApi, Request
from maxlib.execution.alpaca.fake_faults import Faults
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.rest import Alpaca
from maxlib.market import calendar
from maxlib.market.bars import BAR, NS_PER_MINUTE
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote
from maxlib.trading.orders import Order, Purpose, reverse

DAY = dt.date(2025, 11, 20)
EXPIRY = calendar.ordinal(DAY)
SECOND = 1_000_000_000


def at(minute: int, second: int = 0, day: dt.date = DAY) -> int:
    """UTC ns of a New York wall-clock time."""
    return calendar.to_ns(day, minute) + second * SECOND


TEN = at(10 * 60)


def call(strike: int, expiry: int = EXPIRY) -> Contract:
    return Contract("QQQ", expiry, "C", strike * 100)


def put(strike: int, expiry: int = EXPIRY) -> Contract:
    return Contract("QQQ", expiry, "P", strike * 100)


class HandMarket:
    """QQQ at 600. A call at strike K is bid 100 × max(0, 600 - K) + 100 - K mod 50 cents, asked 4 above."""

    def __init__(self, size: int | None = 10) -> None:
        self.size = size
        self.now_quoted: dict[Contract, tuple[int | None, int | None]] = {}
        self.spot_usd = 600.0

    def contracts(self, root: str, ts: int) -> Sequence[Contract]:
        if root != "QQQ":
            return []
        days = (EXPIRY, EXPIRY + 1)
        return [
            Contract("QQQ", day, right, k * 100) for day in days for right in "CP" for k in range(590, 611)
        ]

    def quote(self, contract: Contract, ts: int) -> Quote | None:
        if contract not in self.contracts(contract.root, ts):
            return None
        inside = (60_000 - contract.strike_cents) * (1 if contract.right == "C" else -1)
        bid = max(0, inside) + 100 - contract.strike_cents // 100 % 50
        bid_ask = self.now_quoted.get(contract, (bid, bid + 4))
        return Quote(contract, ts, *bid_ask, self.size, self.size, False)

    def spot(self, root: str, ts: int) -> float | None:
        return self.spot_usd

    def bars(self, root: str, first: int, last: int) -> NDArray[np.void]:
        """A bar a minute of regular hours; its open counts the minutes."""
        if root != "QQQ":
            return np.zeros(0, BAR)
        minutes = range(9 * 60 + 30, 16 * 60)
        starts = np.array([at(m) for m in minutes if first <= at(m) <= last], np.int64)
        opens = 600.0 + (starts - at(9 * 60 + 30)) / NS_PER_MINUTE
        return calendar.stamp(
            starts, opens, opens + 0.5, opens - 0.5, opens + 0.25, np.full(len(starts), 1000.0)
        )


def order(legs: tuple[Leg, ...], quantity: int = 1, name: str = "one", purpose: Purpose = "open") -> Order:
    return Order(name, 1, legs, quantity, purpose, TEN)


FLY = (Leg(call(600), 1), Leg(call(605), -2), Leg(call(610), 1))
VERTICAL = (Leg(call(600), 1), Leg(call(605), -1))
LONG = (Leg(call(600), 1),)
FLAT_FLY = reverse(FLY)


class InProcess(BaseAdapter):
    """Carries requests to a FakeApi by function call; breaks them as a socket would."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__()
        self.api = api

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None,
        verify: Any = True, cert: Any = None, proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:  # fmt: skip
        parts = urlsplit(str(request.url))
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(str(request.method), parts.path, dict(parse_qsl(parts.query)), headers, body)
        answer = self.api.handle(asked)
        if answer == "hang":
            raise requests.ReadTimeout("nothing came")
        assert not isinstance(answer, str)
        raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body[: answer.sent]),
            {**answer.headers, "Content-Length": str(len(answer.body))},
            answer.status,
            preload_content=False,
            request_method=request.method,
        )
        response = requests.Response()
        response.status_code, response.raw, response.request = answer.status, raw, request
        response.headers.update(answer.headers)
        response.url = str(request.url)
        return response

    def close(self) -> None:
        pass


class Bench:
    """A venue, its API, and our client of it, all in one process and on one clock."""

    def __init__(
        self, *, now: int = TEN, faults: Faults | None = None, size: int | None = 10, **venue: Any
    ) -> None:
        self.market = HandMarket(size)
        self.venue = FakeVenue(self.market, now, faults=faults, **venue)
        self.api = FakeApi(self.venue)
        self.faults = self.venue.faults
        session = requests.Session()
        session.mount("http://", InProcess(self.api))
        config = AlpacaConfig(trading_url="http://127.0.0.1:1", data_url="http://127.0.0.1:1", loopback=True)
        self.client = Alpaca(config, FAKE_KEYS, clock=lambda: self.venue.now, session=session)

    def wait(self, seconds: float) -> None:
        self.venue.advance(self.venue.now + round(seconds * SECOND))
