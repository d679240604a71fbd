"""The chain's quotes that come with a minute: one call to the vendor, in a thread, within a bound.

Nothing takes the quotes' place. What cannot be had within the bound is an empty snapshot that says why.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from typing import Any, Final

from maxlib.core.errors import DataError
from maxlib.data.massive.records import ChainSnapshot, Timeframe
from maxlib.data.massive.rest import MassiveRest
from maxlib.engine.events import Bar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal
from maxlib.options.live_desk import Row, Snapshot

BOUND_S: Final = 3.0
"""A minute waits so long for its quotes, on the wall's clock; the event loop goes on meanwhile."""
BAND_USD: Final = 40.0
"""Strikes asked for to each side of the price, besides those held: 162 contracts of QQQ, one call."""
DELAY_NS: Final = 15 * NS_PER_MINUTE
SKEW_NS: Final = 1_000_000_000
"""The vendor's clock may be so far ahead of ours; a quote from later than that is of another time."""
_NS_PER_MS: Final = 1_000_000


class ChainFeed:
    """Asks for today's chain around the price.

    Parameters
    ----------
    clock : the market's time, UTC ns; of a delayed feed, that of what it tells now
    delayed : minutes come 15 minutes late, and so must the quotes
    lag_ns : what this machine takes for a call is at a speed so much market time; it is not the quotes' age
    """

    def __init__(
        self, symbol: str, clock: Callable[[], int], *, delayed: bool = False, lag_ns: int = 0
    ) -> None:
        self._symbol, self._clock = symbol, clock
        self._delayed, self._lag_ns = delayed, lag_ns
        self._call: asyncio.Task[ChainSnapshot] | None = None
        self.held: Callable[[], Collection[float]] = lambda: ()
        """Strikes that positions hold, dollars."""

    async def after(self, bar: Bar, rest: MassiveRest) -> Snapshot | None:
        """The quotes known when `bar` is taken; None = they are not wanted.

        They are not for a bar whose minute is not the newest, or after which the market is closed.
        """
        if bar.minutes_left <= 0 or self._clock() - bar.ts >= NS_PER_MINUTE:
            return None
        if self._call is not None and not self._call.done():
            return self._empty(bar, "the call of an earlier minute is still under way")
        strikes = [bar.close - BAND_USD, bar.close + BAND_USD, *self.held()]
        band = (min(strikes), max(strikes))
        asked = asyncio.to_thread(rest.chain, self._symbol, from_ordinal(bar.day), strikes=band)
        self._call = asyncio.create_task(asked)
        self._call.add_done_callback(_heard)
        await asyncio.wait({self._call}, timeout=BOUND_S)
        if not self._call.done():
            return self._empty(bar, f"no answer within {BOUND_S:g} s")
        try:
            found = self._call.result()
        except DataError as error:
            return self._empty(bar, str(error).replace(rest.config.rest_url, ""))
        return self._snapshot(found, bar)

    def _empty(self, bar: Bar, why: str) -> Snapshot:
        return Snapshot(self._clock(), bar.day, modelled=False, spot=None, rows=(), why=why)

    def _snapshot(self, found: ChainSnapshot, bar: Bar) -> Snapshot:
        chain, now = found.chain, self._clock()
        newest = int(chain.rows["quoted_at"].max(initial=0))
        at = max(now - self._lag_ns, min(now, newest))
        rows = [
            row
            for contract, quote, frame in zip(found.contracts, chain.rows, found.quote_frame, strict=True)
            if contract.expiry == bar.day
            and (row := self._row(contract.right, contract.strike_cents, quote, frame, at)) is not None
        ]
        fresh = any(row.age_ms * _NS_PER_MS < DELAY_NS for row in rows)
        why = "" if fresh else _why(found, len(rows), bar)
        modelled = chain.origin != "vendor"
        return Snapshot(at, bar.day, modelled, _spot(chain.rows, bar.ts, at), tuple(rows), why)

    def _row(self, right: str, strike_cents: int, quote: Any, frame: int, now: int) -> Row | None:
        """A contract as the trader takes it; None = it has no quote, or one of a later time than the minutes.

        What does not say that it is of now is at least 15 minutes old.
        """
        at = int(quote["quoted_at"])
        bid, ask = _cents(quote["bid"], math.floor), _cents(quote["ask"], math.ceil)
        if at > now + SKEW_NS or (not at and bid is None and ask is None):
            return None
        if not at or (frame != Timeframe.REAL_TIME and not self._delayed):
            at = min(at or now, now - DELAY_NS)
        return Row(
            right,
            strike_cents,
            bid,
            ask,
            _size(quote["bid_size"]),
            _size(quote["ask_size"]),
            max(0, (now - at) // _NS_PER_MS),
        )


def _why(found: ChainSnapshot, rows: int, bar: Bar) -> str:
    """Why nothing in an answer can be used."""
    if not found.contracts:
        return f"no contract of {from_ordinal(bar.day)} is listed near {bar.close:.2f}"
    if rows:
        return "the quotes are not of now: the plan may not include real-time ones"
    if (found.chain.rows["quoted_at"] > 0).any():
        return "the quotes are of a later time than the minutes: one of the plans is delayed"
    return "the contracts have no quotes: the plan may not include them"


def _spot(rows: Any, since: int, now: int) -> float | None:
    """The newest price of the underlying, if it is not from before the bar's end."""
    known = rows[(rows["spot_at"] >= since) & (rows["spot_at"] <= now + SKEW_NS) & (rows["spot"] > 0)]
    return float(known["spot"][known["spot_at"].argmax()]) if len(known) else None


def _cents(usd: float, rounded: Callable[[float], int]) -> int | None:
    """Whole cents, against whoever trades at it: a bid down, an ask up."""
    if not usd > 0:
        return None
    cents = 100.0 * float(usd)
    near = round(cents)
    return near if abs(cents - near) < 1e-6 else rounded(cents)


def _size(contracts: float) -> int | None:
    return None if math.isnan(contracts) else max(0, int(contracts))


def _heard(call: asyncio.Task[ChainSnapshot]) -> None:
    """Whoever asked may have gone on: a failure that comes later is nobody's."""
    if not call.cancelled():
        call.exception()
