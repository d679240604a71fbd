"""The account of a walk: the fake of Alpaca. It outlives every process; what reaches it is watched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from maxlib.app.fake_broker import DeskMarket
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.execution.alpaca.fake import update_json
from maxlib.execution.alpaca.fake_api import FakeApi, Request, Response
from maxlib.execution.alpaca.fake_faults import Faults
from maxlib.execution.alpaca.fake_venue import Denied, FakeOrder, FakeVenue
from maxlib.execution.alpaca.orders import request
from maxlib.market.contract import Contract, Leg
from maxlib.trading.orders import Order

STRANGER = "stranger"
SIGMA = 0.20
"""The volatility in force on a first day (`maxlib.engine.shell.VOLATILITY`)."""


class Account:
    """A venue, and its API as a process meets it.

    Attributes
    ----------
    before, after : called around each exchange; what they raise happens to the process
    posted : how often the venue was told of each order, by our id
    canceled : broker ids for which a cancel came
    """

    def __init__(self, config: MachineConfig, now: int, cash_cents: int) -> None:
        desk = Machine(config).desk
        self.market = DeskMarket(desk)
        self.market.sigma = SIGMA
        self.cash_cents = cash_cents
        self.venue = FakeVenue(self.market, now, cash_cents=cash_cents)
        self.api = FakeApi(self.venue)
        self.before: Callable[[Request], None] = lambda _: None
        self.after: Callable[[], None] = lambda: None
        self.posted, self.canceled = Counter[str](), set[str]()
        self.strangers = 0

    @property
    def faults(self) -> Faults:
        return self.venue.faults

    def calm(self) -> None:
        """No more faults; those that were asked for and did not happen are forgotten."""
        self.venue.faults = Faults()

    def handle(self, asked: Request) -> Response | str:
        """One exchange."""
        self.before(asked)
        if is_order(asked):
            self.posted[json.loads(asked.body)["client_order_id"]] += 1
        if asked.method == "DELETE":
            self.canceled.add(asked.path.rpartition("/")[2])
        answer = self.api.handle(asked)
        self.after()
        return answer

    def stranger(self) -> None:
        """Somebody else buys a call at this account."""
        assert self.market.bar is not None
        self.strangers += 1
        spot = self.market.bar.close
        strike = min(
            self.market.desk.listing(spot, self.market.bar.day).strikes, key=lambda k: abs(k - spot * 100)
        )
        legs = (Leg(Contract("QQQ", self.market.bar.day, "C", strike), 1),)
        made = Order(f"{STRANGER}-{self.strangers}", 1, legs, 1, "open", self.venue.now)
        body = request(made, None)
        assert isinstance(body, dict)
        assert not isinstance(self.venue.submit(body), Denied)

    def frame(self, number: int) -> str:
        """Event `number` of the stream, as it goes over the wire."""
        return json.dumps({"stream": "trade_updates", "data": update_json(self.venue.events[number])})

    # --- the truth

    def order(self, client_id: str) -> FakeOrder:
        found = self.venue.find(client_id)
        assert found is not None
        return found

    def units(self) -> Counter[str]:
        """Units that really filled, of our orders."""
        found = Counter[str]()
        for name, _, units, _ in self.venue.fills:
            if not name.startswith(STRANGER):
                found[name] += units
        return found

    def holding(self) -> tuple[int, dict[str, int]]:
        """Cash in cents and contracts by name, without a stranger's: recomputed fill by fill."""
        cash, held = self.cash_cents, Counter[str]()
        for name, _, units, prices in self.venue.fills:
            if not name.startswith(STRANGER):
                for leg, price in zip(self.order(name).legs, prices, strict=True):
                    held[leg.contract.name] += leg.ratio * units
                    cash -= leg.ratio * units * price * 100
        return cash, {contract: count for contract, count in held.items() if count}

    def quiet(self) -> bool:
        """No order may fill any more."""
        return not any(order.live() for order in self.venue.orders.values()) and not self.venue._delayed


def is_order(asked: Request) -> bool:
    return (asked.method, asked.path) == ("POST", "/v2/orders")


def opens(asked: Request) -> bool:
    """Whether the order in a request adds risk, by its own words."""
    body = json.loads(asked.body)
    return any(row["position_intent"].endswith("open") for row in body.get("legs") or [body])
