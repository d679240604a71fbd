"""The market that the fake vendor sees: a tape, chains and index values, as known at a moment.

Pure: everything is a function of the virtual time.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal
from maxlib.market.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from maxlib.market.quotes import Chain

MS: Final = 1_000_000
DELAY: Final = 15 * NS_PER_MINUTE
_HALF_SPREAD: Final = 0.01
# When, within its minute, a bar's four prices traded.
_AT: Final = (0, 20_000 * MS, 40_000 * MS, 59_900 * MS)


class Print(NamedTuple):
    """A trade of the fake tape."""

    ts: int
    price: float
    size: int
    number: int


class Push(NamedTuple):
    """A message due at `ts` on a channel of a cluster; the options' chain has the channel "Q.*"."""

    ts: int
    cluster: str
    channel: str
    message: dict[str, Any]


@dataclass(frozen=True)
class FakeMarket:
    """What happened, all of it; the fake tells of it only up to the virtual time.

    Attributes
    ----------
    tapes : ticker -> BAR[n]
        In order; tickers that begin with "I:" are indices. Four prints make each bar: the open, the
        extremes (the low first when it closed higher), the close.
    chains : underlying -> callable
        From UTC ns to the Chain known then.
    values : index -> (int64[n] UTC ns, float64[n])
        In order.
    """

    tapes: Mapping[str, NDArray[np.void]]
    chains: Mapping[str, Callable[[int], Chain]] = field(default_factory=dict)
    values: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)

    def bars(self, symbol: str, now: int) -> NDArray[np.void]:
        """Complete bars, and, as the vendor serves it, the minute in progress."""
        tape = self.tapes.get(symbol)
        if tape is None:
            return np.zeros(0, next(iter(self.tapes.values())).dtype)
        done = int(np.searchsorted(tape["ts"], now, side="right"))
        if done == len(tape) or tape["ts"][done] - NS_PER_MINUTE > now:
            return tape[:done]
        seen = [each for each in prints(tape[done], done) if each.ts <= now]
        part = tape[done : done + 1].copy()
        prices = [each.price for each in seen]
        part["high"], part["low"], part["close"] = max(prices), min(prices), prices[-1]
        part["volume"] = sum(each.size for each in seen)
        return np.concatenate([tape[:done], part])

    def last_print(self, symbol: str, now: int) -> Print | None:
        """The newest trade at `now`."""
        tape = self.tapes.get(symbol)
        if tape is None:
            return None
        at = int(np.searchsorted(tape["ts"] - NS_PER_MINUTE, now, side="right")) - 1
        if at < 0:
            return None
        return [each for each in prints(tape[at], at) if each.ts <= now][-1]

    def value(self, symbol: str, now: int) -> tuple[int, float] | None:
        """The newest value of an index: its time and the points."""
        if symbol not in self.values:
            return None
        ts, values = self.values[symbol]
        at = int(np.searchsorted(ts, now, side="right")) - 1
        return (int(ts[at]), float(values[at])) if at >= 0 else None

    def pushes(self, after: int) -> Iterator[Push]:
        """Everything that is pushed after a moment, in order of time."""
        feeds: list[Iterator[Push]] = [self._tape(symbol, after) for symbol in sorted(self.tapes)]
        feeds += [self._value(symbol, after) for symbol in sorted(self.values)]
        feeds += [self._chain(symbol, after) for symbol in sorted(self.chains)]
        return heapq.merge(*feeds, key=lambda push: push.ts)

    def _tape(self, symbol: str, after: int) -> Iterator[Push]:
        tape = self.tapes[symbol]
        index = symbol.startswith("I:")
        for i in range(int(np.searchsorted(tape["ts"], after, side="right")), len(tape)):
            if not index:
                for each in prints(tape[i], i):
                    if each.ts > after:
                        yield Push(each.ts, "stocks", f"T.{symbol}", trade_message(symbol, each))
                        yield Push(each.ts, "stocks", f"Q.{symbol}", quote_message(symbol, each))
            cluster = "indices" if index else "stocks"
            yield Push(int(tape[i]["ts"]), cluster, f"AM.{symbol}", minute_message(symbol, tape[i]))

    def _value(self, symbol: str, after: int) -> Iterator[Push]:
        ts, values = self.values[symbol]
        for i in range(int(np.searchsorted(ts, after, side="right")), len(ts)):
            message = {"ev": "V", "T": symbol, "val": float(values[i]), "t": int(ts[i]) // MS}
            yield Push(int(ts[i]), "indices", f"V.{symbol}", message)

    def _chain(self, underlying: str, after: int) -> Iterator[Push]:
        tape = self.tapes[underlying]
        for ts in tape["ts"][np.searchsorted(tape["ts"], after, side="right") :].tolist():
            yield Push(ts, "options", "Q.*", {"underlying": underlying})


def prints(bar: Any, number: int) -> list[Print]:
    """The four trades of a bar; `number` is the bar's place in the tape."""
    start = int(bar["ts"]) - NS_PER_MINUTE
    extremes = ("low", "high") if bar["close"] >= bar["open"] else ("high", "low")
    prices = [float(bar[name]) for name in ("open", *extremes, "close")]
    quarter, rest = divmod(int(bar["volume"]), 4)
    return [
        Print(start + _AT[i], price, quarter + (rest if i == 0 else 0), 4 * number + i)
        for i, price in enumerate(prices)
    ]


def minute_message(symbol: str, bar: Any) -> dict[str, Any]:
    """An `AM` message; an index has neither volume nor VWAP."""
    end = int(bar["ts"])
    message = {
        "ev": "AM",
        "sym": symbol,
        **{name[0]: float(bar[name]) for name in ("open", "high", "low", "close")},
        "s": (end - NS_PER_MINUTE) // MS,
        "e": end // MS,
    }
    if not symbol.startswith("I:"):
        mean = (float(bar["high"]) + float(bar["low"]) + float(bar["close"])) / 3
        volume = float(bar["volume"])
        message |= {"v": int(volume) if volume.is_integer() else volume, "vw": round(mean, 4), "z": 100}
    return message


def trade_message(symbol: str, each: Print) -> dict[str, Any]:
    """A `T` message."""
    return {
        "ev": "T",
        "sym": symbol,
        "p": each.price,
        "s": each.size,
        "c": [0],
        "t": each.ts // MS,
        "q": each.number,
        "x": 4,
        "z": 3,
        "i": str(each.number),
    }


def sides(price: float) -> tuple[float, float]:
    """A stock's bid and ask around its last trade, a cent each way."""
    return round(price - _HALF_SPREAD, 4), round(price + _HALF_SPREAD, 4)


def quote_message(symbol: str, each: Print) -> dict[str, Any]:
    """A `Q` message of a stock."""
    bid, ask = sides(each.price)
    sizes = {"bs": 3, "as": 2, "bx": 4, "ax": 7}
    return {"ev": "Q", "sym": symbol, "bp": bid, "ap": ask, **sizes, "t": each.ts // MS, "q": each.number}


def contract_of_row(root: str, row: Any) -> Contract:
    """The contract of a QUOTE row."""
    cents = round(float(row["strike"]) * 100)
    return Contract(root, int(row["expiry"]), "C" if row["right"] > 0 else "P", cents)


def option_quote_message(ticker: str, row: Any, ts: int) -> dict[str, Any]:
    """A `Q` message of an option; a side that nobody quotes is 0."""
    plain = {key: _zero(row[name]) for key, name in _OPTION_FIELDS.items()}
    return {"ev": "Q", "sym": ticker, **plain, "bx": 302, "ax": 302, "t": ts // MS, "q": ts // MS}


_OPTION_FIELDS: Final = {"bp": "bid", "ap": "ask", "bs": "bid_size", "as": "ask_size"}


def _zero(value: float) -> float:
    return 0 if math.isnan(value) else float(value)


def expiry_of(contract: Contract) -> str:
    """ISO date."""
    return str(from_ordinal(contract.expiry))
