"""Alpaca's market data: bars on their way to the quality gate, option quotes with what they are good for."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

import numpy as np

from maxlib.core.errors import DataError
from maxlib.data.chain_expiry import expires_at
from maxlib.data.raw import VALUES, Raw
from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.reasons import Complaint, VenueError
from maxlib.execution.alpaca.rest import Alpaca, rfc3339
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal
from maxlib.market.contract import Contract
from maxlib.market.quotes import QUOTE, Chain, Quote

MOST_PAGES: Final = 10_000


class Feed(NamedTuple):
    """What a source of prices is worth.

    delay_ns : the least age at which this feed shows anything
    real : prices that somebody really quoted; only such are filled at
    """

    name: str
    delay_ns: int
    real: bool
    note: str


FEEDS: Final = {
    "iex": Feed("iex", 0, True, "IEX only, a few per cent of the volume: no good for VWAP or volume"),
    "sip": Feed("sip", 15 * NS_PER_MINUTE, True, "all exchanges; without a paid plan 15 minutes late"),
    "opra": Feed("opra", 0, True, "all option exchanges, in real time"),
    "indicative": Feed(
        "indicative", 15 * NS_PER_MINUTE, False,
        "INDICATIVE: modified quotes, trades 15 minutes late; nothing is filled at them",
    ),
}  # fmt: skip

Adjustment = Literal["raw", "split", "dividend", "spin-off", "all"]


@dataclass(frozen=True)
class OptionQuotes:
    """A snapshot of a chain, and the feed it came over."""

    chain: Chain
    feed: Feed

    def quote(self, contract: Contract) -> Quote | None:
        """The market that a fill may be made at; None = there is none, or the feed is not real."""
        if not self.feed.real:
            return None
        rows = self.chain.rows
        way = 1 if contract.right == "C" else -1
        found = np.flatnonzero(
            (rows["expiry"] == contract.expiry)
            & (rows["right"] == way)
            & (np.rint(100 * rows["strike"]) == contract.strike_cents)
        )
        if not len(found):
            return None
        row = rows[found[0]]
        return Quote(
            contract, int(row["quoted_at"]), _whole(100 * row["bid"]), _whole(100 * row["ask"]),
            _whole(row["bid_size"]), _whole(row["ask_size"]), modelled=False,
        )  # fmt: skip


def bars(client: Alpaca, symbol: str, start: int, end: int, *, adjustment: Adjustment = "raw") -> Raw:
    """One-minute bars that begin from `start` to `end` (UTC ns, both included), for the quality gate.

    Over the feed of the client's config. Prices are as traded unless `adjustment` says otherwise.

    Raises
    ------
    DataError
        If a bar is not what the vendor describes.
    VenueError
        If a page does not come.
    """
    feed = FEEDS[client.config.feed]
    params = {
        "symbols": symbol, "timeframe": "1Min", "start": rfc3339(start), "end": rfc3339(end),
        "limit": "10000", "adjustment": adjustment, "feed": feed.name, "sort": "asc",
    }  # fmt: skip
    found: list[tuple[float, ...]] = []
    starts: list[int] = []
    for page in _pages(client, "/v2/stocks/bars", params):
        for item in wire.rows(_of(page, "bars").get(symbol) or []):
            try:
                row = wire.mapping(item)
                start = wire.moment(row, "t")
                if not start:
                    raise wire.WireError("t: is missing")
                found.append(tuple(float(wire.needed(row, name)) for name in "ohlcv"))
                starts.append(start)
            except wire.WireError as error:
                raise DataError(f"Alpaca, bars of {symbol}: row {len(starts) + 1}: {error}") from None
    columns = np.array(found, np.float64).reshape(len(found), len(VALUES)).T
    values: dict[str, Any] = {name: column.copy() for name, column in zip(VALUES, columns, strict=True)}
    notes = (f"Alpaca feed {feed.name}: {feed.note}", f"prices with adjustment {adjustment!r}")
    return Raw(
        f"alpaca-{feed.name}-{symbol}", np.array(starts, np.int64), **values,
        row=np.arange(1, len(starts) + 1), notes=notes,
    )  # fmt: skip


def chain(
    client: Alpaca, root: str, first: dt.date, last: dt.date, *, strikes: tuple[int, int] | None = None
) -> OptionQuotes:
    """The option chain now, expiries `first` to `last`, over the option feed of the client's config.

    Rows are known at the time they were received (`ts`); `quoted_at` is the venue's time. Spot and open
    interest are not served here, and stay NaN.

    Parameters
    ----------
    strikes : lowest and highest strike in cents

    Raises
    ------
    VenueError
        If a page does not come or is not what the vendor describes.
    """
    feed = FEEDS[client.config.option_feed]
    params = {
        "feed": feed.name, "limit": "1000",
        "expiration_date_gte": first.isoformat(), "expiration_date_lte": last.isoformat(),
    }  # fmt: skip
    if strikes is not None:
        params["strike_price_gte"], params["strike_price_lte"] = (
            str(Decimal(cents) / 100) for cents in strikes
        )
    found: dict[Contract, Mapping[str, Any]] = {}
    for page in _pages(client, f"/v1beta1/options/snapshots/{quote(root, safe='')}", params):
        for symbol, snapshot in _of(page, "snapshots").items():
            contract = wire.contract(symbol)
            if contract is not None and snapshot is not None:  # adjusted contracts have other names
                found[contract] = snapshot
    rows = np.zeros(len(found), QUOTE)
    now = client.clock()
    for row, (contract, snapshot) in zip(rows, sorted(found.items()), strict=True):
        try:
            _fill_in(row, contract, wire.mapping(snapshot), now)
        except wire.WireError as error:
            raise VenueError(f"quote of {contract.name}", Complaint("GARBLED", message=str(error))) from None
    name = f"alpaca-{feed.name}"
    return OptionQuotes(Chain(root, rows, "vendor", name, (f"Alpaca feed {feed.name}: {feed.note}",)), feed)


def _fill_in(row: np.void, contract: Contract, snapshot: Mapping[str, Any], now: int) -> None:
    quoted, trade, greeks, day = (
        wire.mapping(snapshot.get(name) or {})
        for name in ("latestQuote", "latestTrade", "greeks", "dailyBar")
    )
    row["ts"], row["quoted_at"] = now, wire.moment(quoted, "t")
    row["expires_at"] = expires_at(contract.root, from_ordinal(contract.expiry))
    row["expiry"], row["right"] = contract.expiry, 1 if contract.right == "C" else -1
    row["strike"] = contract.strike
    for name, source, key in (
        ("bid_size", quoted, "bs"), ("ask_size", quoted, "as"), ("volume", day, "v"),
        ("iv", snapshot, "impliedVolatility"), *((greek, greeks, greek) for greek in _GREEKS),
    ):  # fmt: skip
        row[name] = _float(source, key)
    for name, source, key in (("bid", quoted, "bp"), ("ask", quoted, "ap"), ("last", trade, "p")):
        row[name] = _float(source, key) or math.nan  # a price of 0 says that there is none
    row["spot"] = row["open_interest"] = math.nan


_GREEKS: Final = ("delta", "gamma", "theta", "vega")


def _float(row: Mapping[str, Any], name: str) -> float:
    found = wire.number(row, name)
    return math.nan if found is None else float(found)


def _whole(value: float) -> int | None:
    return round(value) if math.isfinite(value) else None


def _pages(client: Alpaca, path: str, params: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Page after page, until the vendor names no further one."""
    token, known = "", set[str]()
    for _ in range(MOST_PAGES):
        found = client.get(path, {**params, **({"page_token": token} if token else {})}, data=True)
        try:
            page = wire.mapping(found)
            token = wire.text(page, "next_page_token")
        except wire.WireError as error:
            raise VenueError(path, Complaint("GARBLED", message=str(error))) from None
        yield page
        if not token:
            return
        if token in known:
            break
        known.add(token)
    raise VenueError(path, Complaint("GARBLED", message=f"pages go round in circles after {len(known)}"))


def _of(page: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    try:
        return wire.mapping(page.get(name) or {})
    except wire.WireError as error:
        raise VenueError(name, Complaint("GARBLED", message=str(error))) from None
