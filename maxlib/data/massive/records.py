"""The vendor's words in our terms: JSON objects into records, each with its own unit of time.

Pure. A field that is missing or of the wrong type is NaN (0 for times); an object that cannot be
told apart or contradicts itself is left out and counted.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from maxlib.data.chain_expiry import expires_at
from maxlib.data.raw import VALUES, Raw
from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract
from maxlib.market.quotes import QUOTE, Chain, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MS: Final = 1_000_000
NS: Final = 1
_FIRST: Final = int(dt.datetime(1990, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
_LAST: Final = int(dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
_TICKER: Final = re.compile(r"O:([A-Z]{1,6})(\d{6})([CP])(\d{8})")
_SHARES: Final = 100


def number(value: Any) -> float:
    """`value` as a float; NaN unless it is a finite JSON number. True is no 1 and "3" is no 3."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        return math.nan
    return found if math.isfinite(found) else math.nan  # 1e999 is JSON, and infinite


def price(value: Any) -> float:
    """A price: 0 says "none" and becomes NaN."""
    return number(value) or math.nan


def moment(value: Any, unit: int) -> int:
    """UTC ns of an epoch stamp in `unit` nanoseconds; 0 if it is none between 1990 and 2100.

    The bound tells units apart: a stamp read in the wrong one falls outside.

    >>> moment(1763649000000, MS), moment(1763649000000, NS)
    (1763649000000000000, 0)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if isinstance(value, float) and not value.is_integer():  # NaN and infinities included
        return 0
    ns = int(value) * unit
    return ns if _FIRST <= ns < _LAST else 0


def rfc3339(value: Any) -> int:
    """UTC ns of a stamp with an offset; 0 if it is none."""
    try:
        stamp = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return 0
    if stamp.tzinfo is None:
        return 0
    return int(stamp.timestamp()) * 1_000_000_000 + stamp.microsecond * 1000


def minute_bars(rows: Sequence[Any], label: str) -> tuple[Raw, int]:
    """One-minute aggregates as the gate takes them, and how many rows had no usable stamp.

    `t` is the minute's START in ms. Values that are missing or no numbers become NaN, which the gate
    refuses; indices have no volume, which becomes 0.
    """
    stamps = np.array([moment(_get(row, "t"), MS) for row in rows], np.int64)
    usable = np.flatnonzero(stamps)
    good = [rows[i] for i in usable.tolist()]
    columns: dict[str, Any] = {
        name: np.array([number(row.get(name[0], default)) for row in good], np.float64)
        for name, default in zip(VALUES, (None, None, None, None, 0), strict=True)
    }
    return Raw(label, stamps[usable], **columns, row=usable + 1), len(rows) - len(good)


def _get(row: Any, *keys: str) -> Any:
    for key in keys:
        row = row.get(key) if isinstance(row, dict) else None
    return row


class Timeframe(IntEnum):
    """How old an object of a snapshot is by the plan; each object has its own."""

    NONE = 0
    """Missing, or it does not say: never to be taken for real time."""
    REAL_TIME = 1
    DELAYED = 2


_TIMEFRAMES: Final = {"REAL-TIME": Timeframe.REAL_TIME, "DELAYED": Timeframe.DELAYED}


def timeframe(value: Any) -> Timeframe:
    """The vendor's word for it; anything unknown is NONE."""
    return _TIMEFRAMES.get(value, Timeframe.NONE) if isinstance(value, str) else Timeframe.NONE


def contract_of(ticker: Any) -> Contract | None:
    """The contract that an option ticker names; None if it is no standard one.

    Parsed from the right: the last 15 characters have fixed places. Roots with digits are adjusted
    contracts, whose deliverable is something else.

    >>> contract_of("O:QQQ251120C00600000").name, contract_of("O:QQQ1251120C00600000")
    ('QQQ251120C00600000', None)
    """
    parts = _TICKER.fullmatch(ticker) if isinstance(ticker, str) else None
    if parts is None or int(parts[4]) % 10 or not int(parts[4]):
        return None
    try:
        expiry = dt.datetime.strptime(parts[2], "%y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None
    return Contract(parts[1], calendar.ordinal(expiry), parts[3], int(parts[4]) // 10)


def ticker_of(contract: Contract) -> str:
    """The vendor's name of a contract."""
    return f"O:{contract.name}"


@dataclass(frozen=True)
class ChainSnapshot:
    """One answer to "the chain, please", all pages of it.

    Attributes
    ----------
    chain : Chain
        In order of expiry, strike and right. `ts` is when the answer was complete, `quoted_at` the
        venue's own time. `spot` stands only in rows whose quote has the underlying's timeframe: a
        real-time quote over a delayed underlying would give a false IV. The vendor's own `iv` and
        greeks stay, on whatever clock the vendor made them.
    contracts : Contract per row
    quote_frame, trade_frame, spot_frame : Timeframe[n] as int8
    left_out : Counter
        Reason -> objects: adjusted contracts, contradictions, repeats.
    """

    chain: Chain
    contracts: tuple[Contract, ...] = field(repr=False)
    quote_frame: NDArray[np.int8] = field(repr=False)
    trade_frame: NDArray[np.int8] = field(repr=False)
    spot_frame: NDArray[np.int8] = field(repr=False)
    left_out: Counter[str]

    @property
    def delayed(self) -> bool:
        """Some quote is not a real-time one (delayed, missing, or silent about it)."""
        return bool((self.quote_frame != Timeframe.REAL_TIME).any())

    def real_time(self) -> Chain:
        """Only the rows with a real-time quote: all that a fill may be simulated at."""
        keep = self.quote_frame == Timeframe.REAL_TIME
        return Chain(
            self.chain.root, self.chain.rows[keep], self.chain.origin, self.chain.name, self.chain.notes
        )


def chain_of(rows: Iterable[Any], root: str, known_at: int, *, origin: Origin, name: str) -> ChainSnapshot:
    """The snapshot objects of a chain as quotes.

    Parameters
    ----------
    rows : JSON objects of `/v3/snapshot/options/{underlying}`
    root : underlying, without "I:"
    known_at : UTC ns at which the answer was complete

    Nested objects may be missing, by plan and by contract: their fields are NaN then. A bid or ask of
    0 is none. `open_interest` is the previous session's.
    """
    left_out: Counter[str] = Counter()
    found: dict[Contract, Any] = {}
    for row in rows:
        contract, why = _contract_of_row(row)
        if contract is not None and contract in found:
            contract, why = None, "repeated contract"
        if contract is None:
            left_out[why] += 1
        else:
            found[contract] = row
    contracts = tuple(sorted(found, key=lambda c: (c.expiry, c.strike_cents, c.right, c.root)))
    quotes = np.zeros(len(contracts), QUOTE)
    frames = np.zeros((3, len(contracts)), np.int8)
    for i, contract in enumerate(contracts):
        row = found[contract]
        parts = ("last_quote", "last_trade", "underlying_asset")
        frames[:, i] = [timeframe(_get(row, part, "timeframe")) for part in parts]
        _fill(quotes[i], contract, row, known_at)
        if frames[0, i] != frames[2, i] or frames[0, i] == Timeframe.NONE:
            quotes[i]["spot"], quotes[i]["spot_at"] = math.nan, 0
    notes = _notes(frames, left_out)
    return ChainSnapshot(
        Chain(root, quotes, origin, name, notes), contracts, frames[0], frames[1], frames[2], left_out
    )


def _contract_of_row(row: Any) -> tuple[Contract | None, str]:
    contract = contract_of(_get(row, "details", "ticker"))
    if contract is None:
        return None, "no standard option ticker"
    details = row["details"]
    if details.get("shares_per_contract", _SHARES) != _SHARES:
        return None, "adjusted contract"
    said = (details.get("contract_type"), details.get("expiration_date"), details.get("strike_price"))
    meant = (
        "call" if contract.right == "C" else "put",
        str(calendar.from_ordinal(contract.expiry)),
        contract.strike,
    )
    if any(word is not None and word != truth for word, truth in zip(said, meant, strict=True)):
        return None, "ticker and details differ"
    return contract, ""


def _fill(quote: Any, contract: Contract, row: Any, known_at: int) -> None:
    quote["ts"] = known_at
    quote["strike"] = contract.strike
    quote["expiry"] = contract.expiry
    quote["right"] = 1 if contract.right == "C" else -1
    quote["expires_at"] = expires_at(contract.root, calendar.from_ordinal(contract.expiry))
    quote["quoted_at"] = moment(_get(row, "last_quote", "last_updated"), NS)
    quote["spot_at"] = moment(_get(row, "underlying_asset", "last_updated"), NS)
    spot = price(_get(row, "underlying_asset", "price"))
    quote["spot"] = price(_get(row, "underlying_asset", "value")) if math.isnan(spot) else spot
    quote["bid"] = price(_get(row, "last_quote", "bid"))
    quote["ask"] = price(_get(row, "last_quote", "ask"))
    quote["bid_size"] = number(_get(row, "last_quote", "bid_size"))
    quote["ask_size"] = number(_get(row, "last_quote", "ask_size"))
    quote["last"] = price(_get(row, "last_trade", "price"))
    quote["volume"] = number(_get(row, "day", "volume"))
    quote["open_interest"] = number(_get(row, "open_interest"))
    quote["iv"] = number(_get(row, "implied_volatility"))
    for greek in ("delta", "gamma", "theta", "vega"):
        quote[greek] = number(_get(row, "greeks", greek))


def _notes(frames: NDArray[np.int8], left_out: Counter[str]) -> tuple[str, ...]:
    quote, _, spot = frames
    counted = (
        ((quote == Timeframe.DELAYED).sum(), "quotes are 15 minutes delayed"),
        ((quote == Timeframe.NONE).sum(), "contracts have no quote, or one that does not say how old it is"),
        (
            ((quote != Timeframe.NONE) & (quote != spot)).sum(),
            "quotes have another timeframe than the underlying, whose price is left out there",
        ),
    )
    notes = [f"{count} of {len(quote)} {text}" for count, text in counted if count]
    return (*notes, *(f"{count} objects left out: {why}" for why, count in sorted(left_out.items())))


class IndexValue(NamedTuple):
    """An index as it was last valued.

    value : points
    at : UTC ns of the value; 0 = it does not say
    timeframe : NONE = it does not say
    previous_close : points; NaN = not said
    """

    symbol: str
    value: float
    at: int
    timeframe: Timeframe
    previous_close: float


class IndexRefused(NamedTuple):
    """No value for an index: an expected answer, since indices are a plan of their own.

    What to use instead is the caller's decision and has to be shown with its name: a VIX made of
    20 daily returns (spec §4), or another source's delayed VIX. This room makes up nothing.

    code : the vendor's NOT_ENTITLED or NOT_FOUND, or our own NO_VALUE (a row without a usable value)
        and NO_ANSWER (the answer does not speak of this index)
    """

    symbol: str
    code: str
    message: str


def indices_of(rows: Iterable[Any], symbols: Sequence[str]) -> dict[str, IndexValue | IndexRefused]:
    """Symbol -> value or refusal, for every symbol that was asked for, in that order."""
    by_ticker = {_get(row, "ticker"): row for row in rows if isinstance(_get(row, "ticker"), str)}
    return {symbol: _index_of(symbol, by_ticker.get(symbol)) for symbol in symbols}


def _index_of(symbol: str, row: Any) -> IndexValue | IndexRefused:
    if row is None:
        return IndexRefused(symbol, "NO_ANSWER", "the answer does not speak of it")
    if "error" in row:
        return IndexRefused(symbol, str(row["error"])[:80], str(row.get("message", ""))[:200])
    value = number(row.get("value"))
    if not 0 < value < math.inf:
        return IndexRefused(symbol, "NO_VALUE", f"its value is {value:g}")
    at = moment(row.get("last_updated"), NS)
    previous = price(_get(row, "session", "previous_close"))
    return IndexValue(symbol, value, at, timeframe(row.get("timeframe")), previous)


class MarketStatus(NamedTuple):
    """Is the market open, by the vendor.

    market : "open", "closed" or "extended-hours"
    exchanges : exchange -> the same words
    server_at : UTC ns of the vendor's clock; 0 = not said
    """

    market: str
    early_hours: bool
    after_hours: bool
    exchanges: dict[str, str]
    server_at: int


def status_of(body: Any) -> MarketStatus | None:
    """The market's status; None if the body is something else."""
    market, exchanges = _get(body, "market"), _get(body, "exchanges") or {}
    if not isinstance(market, str) or not isinstance(exchanges, dict):
        return None
    return MarketStatus(
        market,
        _get(body, "earlyHours") is True,
        _get(body, "afterHours") is True,
        {str(name): str(state) for name, state in exchanges.items()},
        rfc3339(_get(body, "serverTime")),
    )


class Holiday(NamedTuple):
    """A date on which an exchange is closed or closes early; `open_at`, `close_at` UTC ns, 0 = closed."""

    exchange: str
    date: dt.date
    name: str
    status: Literal["closed", "early-close"]
    open_at: int
    close_at: int


def holidays_of(rows: Iterable[Any]) -> list[Holiday]:
    """The rows that make sense, in their order."""
    found = []
    for row in rows:
        try:
            date = dt.date.fromisoformat(_get(row, "date"))
        except (TypeError, ValueError):
            continue
        status = _get(row, "status")
        if status in ("closed", "early-close"):
            times = rfc3339(_get(row, "open")), rfc3339(_get(row, "close"))
            found.append(Holiday(str(_get(row, "exchange")), date, str(_get(row, "name")), status, *times))
    return found


class LastTrade(NamedTuple):
    """The last trade; `at` is the SIP's time in UTC ns, `size` in shares or contracts."""

    symbol: str
    at: int
    price: float
    size: float


class LastQuote(NamedTuple):
    """The last NBBO; `at` is the SIP's time in UTC ns. NaN = no bid, no ask."""

    symbol: str
    at: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


def last_trade_of(row: Any) -> LastTrade | None:
    """From `/v2/last/trade`; None without a symbol, a time or a price above 0."""
    symbol, at, value = _get(row, "T"), moment(_get(row, "t"), NS), number(_get(row, "p"))
    if not isinstance(symbol, str) or not at or not 0 < value < math.inf:
        return None
    return LastTrade(symbol, at, value, number(_get(row, "s")))


def last_quote_of(row: Any) -> LastQuote | None:
    """From `/v2/last/nbbo`, where capital letters are the ASK and small ones the bid."""
    symbol, at = _get(row, "T"), moment(_get(row, "t"), NS)
    if not isinstance(symbol, str) or not at:
        return None
    bid, ask = price(_get(row, "p")), price(_get(row, "P"))
    return LastQuote(symbol, at, bid, ask, number(_get(row, "s")), number(_get(row, "S")))


class Listed(NamedTuple):
    """A listed standard contract; `style` as the vendor words it."""

    contract: Contract
    style: str


def listed_of(rows: Iterable[Any]) -> tuple[list[Listed], Counter[str]]:
    """Standard contracts in the vendor's order, and reason -> rows left out (adjusted ones mostly)."""
    found, left_out = [], Counter[str]()
    for row in rows:
        contract = contract_of(_get(row, "ticker"))
        if contract is None:
            left_out["no standard option ticker"] += 1
        elif row.get("additional_underlyings") or row.get("shares_per_contract", _SHARES) != _SHARES:
            left_out["adjusted contract"] += 1
        else:
            found.append(Listed(contract, str(row.get("exercise_style"))))
    return found, left_out


def complete(raw: Raw, now_ns: int, settle_s: float) -> Raw:
    """The bars whose minute is over, `settle_s` seconds ago at least: the vendor serves unfinished ones."""
    return raw.take(raw.start + NS_PER_MINUTE + int(settle_s * 1e9) <= now_ns)
