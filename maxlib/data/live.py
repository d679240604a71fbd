"""What a live feed says, and the gate that each word passes before anything may act on it.

The gate repairs nothing. A tick that cannot be is dropped, one that is hard to believe is held until
the next one confirms it, and each is counted under its reason.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.bars import NS_PER_MINUTE

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

_SEEN: Final = 8192  # trades remembered to tell repeats


class LiveBar(NamedTuple):
    """A minute is complete.

    symbol : ticker
    row : BAR[1]; `ts` is the END of the minute
    origin : pushed by the feed, or fetched afterwards to fill a hole
    received_at : UTC ns; what was held or fetched is known only since then
    delayed : the feed is a delayed one
    """

    symbol: str
    row: NDArray[np.void]
    origin: Literal["live", "backfill"]
    received_at: int
    delayed: bool


class LiveTrade(NamedTuple):
    """A trade: `ts` is the venue's time in UTC ns, `key` tells repeats, `size` in shares or contracts."""

    symbol: str
    ts: int
    price: float
    size: float
    key: Hashable
    received_at: int
    delayed: bool


class LiveQuote(NamedTuple):
    """The best bid and ask at `ts` (UTC ns); NaN = nobody bids, nobody offers."""

    symbol: str
    ts: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    received_at: int
    delayed: bool


class LiveValue(NamedTuple):
    """The value of an index at `ts` (UTC ns), in points."""

    symbol: str
    ts: int
    value: float
    received_at: int
    delayed: bool


class Halted(NamedTuple):
    """Trading in `symbol` stopped (`on`) or resumed at `ts`, UTC ns."""

    symbol: str
    ts: int
    on: bool
    received_at: int


class FeedGap(NamedTuple):
    """Regular minutes in a row that are missing and could not be fetched.

    start, end : UTC ns; the first missing minute begins at `start`, the last ends at `end`
    """

    symbol: str
    start: int
    end: int
    minutes: int


class FeedState(NamedTuple):
    """The feed's connection. Only while it is "up" does silence mean that nothing happened.

    state : "denied" and "superseded" are final: a person has to look
    """

    state: Literal["up", "down", "denied", "superseded"]
    why: str
    at: int


Tick = LiveBar | LiveTrade | LiveQuote | LiveValue
Event = Tick | Halted | FeedGap | FeedState


class GateConfig(Config):
    """How far a tick may lie from the one before it and be believed at once.

    Attributes
    ----------
    bar_ratio, trade_ratio : float
        Bars and trades; 1.1 = a tenth up or down.
    value_ratio : float
        Index values: VIX can jump.
    quote_ratio : float
        Mids of quotes: options move by multiples.
    trade_confirmations : int
        So many trades in a row have to confirm one that leaps; of the rest, one does: trades are many,
        and bad prints come in pairs.
    future_s : float
        A stamp may lie so many seconds ahead of our clock.
    """

    bar_ratio: float = Field(default=1.1, gt=1)
    trade_ratio: float = Field(default=1.1, gt=1)
    value_ratio: float = Field(default=1.5, gt=1)
    quote_ratio: float = Field(default=4.0, gt=1)
    trade_confirmations: int = Field(default=2, ge=1)
    future_s: float = Field(default=5.0, ge=0)


T = TypeVar("T", LiveBar, LiveTrade, LiveQuote, LiveValue)


class _Hold(Generic[T]):
    """Holds a price that leaps, until the next ones say whether it was true."""

    def __init__(self, ratio: float, confirmations: int, counts: Counter[str]) -> None:
        self._ratio, self._confirmations, self._counts = ratio, confirmations, counts
        self._last: dict[str, float] = {}
        self._held: dict[str, tuple[float, list[T]]] = {}
        self.belied: list[T] = []

    def anchor(self, symbol: str, price: float) -> None:
        self._last[symbol] = price

    def offer(self, symbol: str, low: float, high: float, last: float, item: T) -> tuple[T, ...]:
        before = self._last.get(symbol)
        waiting = self._held.pop(symbol, None)
        price = waiting[0] if waiting else 0.0
        held: list[T] = waiting[1] if waiting else []
        believed = before is not None and self._near(before, low, high)
        agrees = not believed and bool(held) and self._near(price, low, high)
        self.belied = [] if agrees else held
        if self.belied:
            self._counts["spike"] += len(held)
        if believed:
            self._last[symbol] = last
            return (item,)
        group: list[T] = held if agrees else []
        group.append(item)
        if len(group) > self._confirmations:
            self._counts["confirmed"] += len(group) - 1
            self._last[symbol] = last
            return tuple(each._replace(received_at=item.received_at) for each in group)
        self._counts["held"] += 1
        self._held[symbol] = (last, group)
        return ()

    def _near(self, price: float, low: float, high: float) -> bool:
        return price / self._ratio <= low and high <= price * self._ratio


class LiveGate:
    """The quality gate of the live tape, all symbols of one feed.

    Each method returns what may be acted on, in order: nothing, the tick, or held ticks and the one
    that confirmed them. The first word about a symbol is held too, unless `anchor` told a price before.

    Attributes
    ----------
    counts : Counter
        Reason -> ticks. "held" and "confirmed" are no losses; "spike" counts held ticks that the next
        one belied.
    """

    def __init__(self, config: GateConfig) -> None:
        self._config = config
        self.counts: Counter[str] = Counter()
        self._bars: _Hold[LiveBar] = _Hold(config.bar_ratio, 1, self.counts)
        self._trades: _Hold[LiveTrade] = _Hold(config.trade_ratio, config.trade_confirmations, self.counts)
        self._quotes: _Hold[LiveQuote] = _Hold(config.quote_ratio, 1, self.counts)
        self._values: _Hold[LiveValue] = _Hold(config.value_ratio, 1, self.counts)
        self._newest: dict[tuple[str, str], int] = {}
        self._last_row: dict[str, Any] = {}
        self._seen: OrderedDict[tuple[str, Hashable], None] = OrderedDict()

    def anchor(self, symbol: str, price: float) -> None:
        """A price of `symbol` that is known to be true, from history that passed its own gate."""
        self._bars.anchor(symbol, price)
        self._trades.anchor(symbol, price)
        self._quotes.anchor(symbol, price)
        self._values.anchor(symbol, price)

    def begin(self, symbol: str, ts: int) -> None:
        """The tape of `symbol` is known up to `ts`, UTC ns: a bar that ends then or earlier is late."""
        self._newest["bar", symbol] = ts

    def possible(self, bar: LiveBar) -> bool:
        """Can a minute look like this? Counts the reason if not; remembers nothing."""
        return self._admit(_bar_fault(bar.row[0]), bar.row[0]["ts"], bar.received_at)

    def bar(self, bar: LiveBar) -> tuple[LiveBar, ...]:
        """A possible bar, in its order: repeats, revisions and latecomers fall out, leaps are held."""
        row = bar.row[0]
        ts = int(row["ts"])
        newest = self._newest.get(("bar", bar.symbol))
        if newest is not None and ts <= newest:
            self._bars.belied = []
            same = ts == newest and bool(row == self._last_row.get(bar.symbol))
            self.counts["duplicate" if same else "revision" if ts == newest else "late"] += 1
            return ()
        self._newest["bar", bar.symbol] = ts
        self._last_row[bar.symbol] = row
        return self._bars.offer(bar.symbol, float(row["low"]), float(row["high"]), float(row["close"]), bar)

    @property
    def belied(self) -> tuple[LiveBar, ...]:
        """The held bar that the bar offered last belied: its minute is missing from the tape."""
        return tuple(self._bars.belied)

    def trade(self, trade: LiveTrade) -> tuple[LiveTrade, ...]:
        """A trade; known once by its key."""
        good = _is_price(trade.price) and 0 <= trade.size < math.inf
        if not self._admit(None if good else "value", trade.ts, trade.received_at):
            return ()
        if (trade.symbol, trade.key) in self._seen:
            self.counts["duplicate"] += 1
            return ()
        self._seen[trade.symbol, trade.key] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        if self._is_late("trade", trade.symbol, trade.ts):
            return ()
        return self._trades.offer(trade.symbol, trade.price, trade.price, trade.price, trade)

    def quote(self, quote: LiveQuote) -> tuple[LiveQuote, ...]:
        """A quote that can serve as a mark: crossed and locked markets cannot."""
        if not self._admit(_quote_fault(quote), quote.ts, quote.received_at):
            return ()
        if self._is_late("quote", quote.symbol, quote.ts):
            return ()
        if math.isnan(quote.bid) or math.isnan(quote.ask):
            return (quote,)  # one-sided: no mid to judge by, and no mark for anybody
        mid = (quote.bid + quote.ask) / 2
        return self._quotes.offer(quote.symbol, mid, mid, mid, quote)

    def value(self, value: LiveValue) -> tuple[LiveValue, ...]:
        """An index value."""
        good = _is_price(value.value)
        if not self._admit(None if good else "value", value.ts, value.received_at):
            return ()
        if self._is_late("value", value.symbol, value.ts):
            return ()
        return self._values.offer(value.symbol, value.value, value.value, value.value, value)

    def _admit(self, fault: str | None, ts: int, now_ns: int) -> bool:
        if fault is None and ts > now_ns + self._config.future_s * 1e9:
            fault = "future"
        if fault is not None:
            self.counts[fault] += 1
        return fault is None

    def _is_late(self, kind: str, symbol: str, ts: int) -> bool:
        late = ts < self._newest.get((kind, symbol), ts)
        if late:
            self.counts["late"] += 1
        else:
            self._newest[kind, symbol] = ts
        return late


def _is_price(value: float) -> bool:
    return 0 < value < math.inf  # false for NaN


def _bar_fault(row: Any) -> str | None:
    open_, high, low, close = (float(row[name]) for name in ("open", "high", "low", "close"))
    if not all(map(_is_price, (open_, high, low, close))) or not 0 <= float(row["volume"]) < math.inf:
        return "value"
    if high < max(open_, close) or low > min(open_, close):
        return "range"
    return "off the minute" if int(row["ts"]) % NS_PER_MINUTE else None


def _quote_fault(quote: LiveQuote) -> str | None:
    sides = [side for side in (quote.bid, quote.ask) if not math.isnan(side)]
    if not sides or not all(map(_is_price, sides)):
        return "value"
    if len(sides) == 2 and quote.bid >= quote.ask:
        return "locked" if quote.bid == quote.ask else "crossed"
    return None


class SpliceConfig(Config):
    """When two sources tell the same story.

    Attributes
    ----------
    minutes : int
        So many common minutes are needed to say.
    tolerance : float
        Median relative distance of their closes, at most.
    remembered : int
        Minutes of the accepted tape that are kept to compare with.
    """

    minutes: int = Field(default=5, ge=1)
    tolerance: float = Field(default=5e-4, gt=0)
    remembered: int = Field(default=60, ge=1)


class Agreement(NamedTuple):
    """How a candidate's closes compare with the accepted tape.

    minutes : common minutes
    distance : median relative distance of the closes; NaN = nothing in common
    agrees : it may continue the tape
    """

    minutes: int
    distance: float
    agrees: bool


class Splice:
    """Lets only those sources continue a tape whose recent history agrees with it.

    A source that quotes another level (another venue's basis, other adjustments) would look like a move
    of the market at the moment of the switch. It is refused until its closes of the last minutes agree.
    """

    def __init__(self, config: SpliceConfig) -> None:
        self._config = config
        self._closes: OrderedDict[int, float] = OrderedDict()
        self._source: str | None = None

    def judge(self, source: str, history: NDArray[np.void]) -> Agreement:
        """Compare a candidate's last bars, BAR[n], with the tape; `source` continues it if they agree.

        The first source of all has nothing to agree with and is accepted.
        """
        pairs = [
            (self._closes[ts], close)
            for ts, close in zip(history["ts"].tolist(), history["close"].tolist(), strict=True)
            if ts in self._closes
        ]
        distance = float(np.median([abs(b / a - 1) for a, b in pairs])) if pairs else math.nan
        agrees = not self._closes or (
            len(pairs) >= self._config.minutes and distance <= self._config.tolerance
        )
        if agrees:
            self._source = source
        return Agreement(len(pairs), distance, agrees)

    def bar(self, source: str, row: NDArray[np.void]) -> bool:
        """May this bar, BAR[1], continue the tape? Only one of the source judged last to agree."""
        if source != self._source:
            return False
        self._closes[int(row["ts"][0])] = float(row["close"][0])
        if len(self._closes) > self._config.remembered:
            self._closes.popitem(last=False)
        return True
