"""The desk at live quotes: the newest snapshot of the chain, or no quote at all.

Nothing modelled takes the place of a quote. What is still modelled is the worth of a package at a
later moment (reward to risk at the target), which nobody quotes.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

from maxlib.market.contract import Contract, Leg
from maxlib.market.instruments import Instrument
from maxlib.market.quotes import Quote
from maxlib.options.desk import Desk, DeskConfig, Market, Offer
from maxlib.options.structures import Listing, Unbuilt

SPOT_SLACK: Final = 0.0005
"""The underlying's price and the option's quote are not of one instant: a share of the price that it moves
in a few seconds, about half of what it moves in a minute."""
_NS_PER_MS: Final = 1_000_000


class Row(NamedTuple):
    """One contract of a snapshot. Cents a share, None = nobody; sizes in contracts, None = not said.

    age_ms : of the quote when the snapshot was complete
    """

    right: str
    strike_cents: int
    bid_cents: int | None
    ask_cents: int | None
    bid_size: int | None
    ask_size: int | None
    age_ms: int


class Snapshot(NamedTuple):
    """The chain of one expiry, as an input of the trader.

    ts : UTC ns at which it was complete
    expiry : days since 1970
    modelled : nobody ever quoted it: it comes from the fake vendor
    spot : the underlying's price then, dollars; None = the newest bar's close is all there is
    why : why it is empty, a sentence; "" = it is not
    """

    ts: int
    expiry: int
    modelled: bool
    spot: float | None
    rows: tuple[Row, ...]
    why: str = ""

    def body(self) -> dict[str, Any]:
        """As JSON values, without `ts`."""
        said = self._asdict()
        del said["ts"]
        return said


def snapshot_in(ts: int, body: dict[str, Any]) -> Snapshot:
    """The snapshot that `Snapshot.body` wrote."""
    rows = tuple(Row(*row) for row in body["rows"])
    return Snapshot(ts, body["expiry"], body["modelled"], body["spot"], rows, body["why"])


class LiveDesk(Desk):
    """A desk whose quotes are those of the newest snapshot.

    Parameters
    ----------
    max_quote_age_ms : no candidate is priced at an older quote
    """

    live = True
    spot_slack = SPOT_SLACK

    def __init__(self, config: DeskConfig, instrument: Instrument, max_quote_age_ms: int) -> None:
        super().__init__(config, instrument)
        self._max_age_ms = max_quote_age_ms
        self._ts = 0
        self._spot: float | None = None
        self._now: dict[Contract, Quote] = {}
        self._seen: dict[Contract, Quote] = {}

    # --- snapshots come in

    def take(self, snapshot: Snapshot) -> None:
        """A new snapshot takes the place of the one before, also if it is empty."""
        root, quotes = self.instrument.symbol, {}
        for right, strike, bid, ask, bid_size, ask_size, age_ms in snapshot.rows:
            contract = Contract(root, snapshot.expiry, right, strike)
            at = snapshot.ts - age_ms * _NS_PER_MS
            quotes[contract] = Quote(contract, at, bid, ask, bid_size, ask_size, snapshot.modelled)
        self._ts, self._spot, self._now = snapshot.ts, snapshot.spot, quotes
        self._seen = {**self._seen, **{c: q for c, q in quotes.items() if _in_order(q)}}

    def state(self) -> dict[str, Any]:
        """All it knows, as JSON values."""
        now, seen = list(self._now.values()), list(self._seen.values())
        return {"ts": self._ts, "spot": self._spot, "now": now, "seen": seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._ts, self._spot = state["ts"], state["spot"]
        self._now, self._seen = (
            {quote.contract: quote for quote in map(_quote_in, state[name])} for name in ("now", "seen")
        )

    # --- what it says

    def moment(self, market: Market) -> Market:
        """The moment of the snapshot, if it was taken after the bar; else the bar's end."""
        if self._ts < market.ts:
            return market
        return market._replace(ts=self._ts, spot=market.spot if self._spot is None else self._spot)

    def blank(self, market: Market) -> tuple[Literal["NO_QUOTE", "STALE"], float, float] | None:
        """Why nothing in the snapshot can be used: code, limit and actual; None = something can."""
        if not self._now:
            return "NO_QUOTE", 0, 0
        age_ms = (market.ts - max(quote.ts for quote in self._now.values())) / _NS_PER_MS
        return ("STALE", self._max_age_ms, age_ms) if age_ms > self._max_age_ms else None

    def quote_and_mid(self, contract: Contract, market: Market) -> tuple[Quote | None, float]:
        """The quote in the newest snapshot, however old, and its middle; without a bid, half the ask."""
        del market
        quote = self._now.get(contract)
        return quote, _middle(quote)

    def mark(self, contract: Contract, market: Market) -> Quote | None:
        """The newest quote that there was of it, crossed and locked ones aside; also an older one."""
        del market
        return self._seen.get(contract)

    def middle_cents(self, contract: Contract, market: Market) -> float | None:
        """The middle of the newest quote that there was of it, as for `mark`."""
        del market
        quote = self._seen.get(contract)
        return None if quote is None else _middle(quote)

    def listing(self, spot: float, expiry: int) -> Listing:
        """The strikes in the newest snapshot that are multiples of `strike_step`."""
        del spot
        step = self.config.strike_step * 100
        strikes = {c.strike_cents for c in self._now if c.expiry == expiry and c.strike_cents % step == 0}
        return Listing(self.instrument.symbol, expiry, tuple(sorted(strikes)))

    def _long(self, side: int, market: Market, expiry: int) -> Offer:
        """The listed strike nearest the price, or one step in the money; its quote may lack."""
        listing = self.listing(market.spot, expiry)
        found = self._build("long", listing, side, market.spot, market.spot)
        if isinstance(found, Unbuilt):
            return Offer((), 0, 0.0, {"long": "no strike is listed"})
        legs: tuple[Leg, ...] = found.legs
        quote = self.quote(legs[0].contract, market)
        ask = None if quote is None else quote.ask_cents
        return self._offer(legs, ask or 0, math.inf, {})

    def _usable(self, contract: Contract, market: Market) -> Quote | None:
        quote = self._now.get(contract)
        if quote is None or market.ts - quote.ts > self._max_age_ms * _NS_PER_MS:
            return None
        return quote


def _in_order(quote: Quote) -> bool:
    """The bid is below the ask, or one of them is missing."""
    return quote.bid_cents is None or quote.ask_cents is None or quote.bid_cents < quote.ask_cents


def _quote_in(row: list[Any]) -> Quote:
    contract, *fields = row
    return Quote(Contract(*contract), *fields)


def _middle(quote: Quote | None) -> float:
    if quote is None:
        return 0.0
    return ((quote.bid_cents or 0) + (quote.ask_cents or 0)) / 2
