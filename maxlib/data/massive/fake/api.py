"""The vendor's REST answers, as functions of the virtual time. Pure; status and JSON body."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from maxlib.data.massive.fake import market as m
from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE, RTH_CLOSE
from maxlib.market.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from maxlib.data.massive.fake.config import Plan

_PRE_OPEN: Final = 4 * 60
_POST_CLOSE: Final = 20 * 60
_UPCOMING_DAYS: Final = 365
_SPANS: Final = {"minute": 1, "hour": 60}
_RANGE: Final = re.compile(r"(expiration_date|strike_price)(?:\.(gte|gt|lte|lt))?")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "": lambda a, b: bool(a == b),
    "gte": lambda a, b: bool(a >= b),
    "gt": lambda a, b: bool(a > b),
    "lte": lambda a, b: bool(a <= b),
    "lt": lambda a, b: bool(a < b),
}


class Reply(NamedTuple):
    """Status and body; the body goes out as JSON."""

    status: int
    body: Any


class _RefusalError(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


def _error(status: int, word: str, text: str) -> _RefusalError:
    name = "message" if status in (403, 404) else "error"
    return _RefusalError(Reply(status, {"status": word, "request_id": "fake", name: text}))


_NOT_ENTITLED: Final = "You are not entitled to this data. Please upgrade your plan."


class Api:
    """Answers GET requests about a market.

    Parameters
    ----------
    market : FakeMarket
    plan : Plan
    public : str
        What `next_url` begins with.
    """

    def __init__(self, market: m.FakeMarket, plan: Plan, public: str) -> None:
        self.market, self.plan, self.public = market, plan, public

    def reply(self, path: str, query: Mapping[str, str], now: int) -> Reply:
        """The answer to an authorised request at virtual time `now` (UTC ns)."""
        try:
            if any(path.startswith(start) for start in self.plan.denied_paths):
                raise _error(403, "NOT_AUTHORIZED", _NOT_ENTITLED)
            for pattern, answer in _ROUTES:
                found = pattern.fullmatch(path)
                if found is not None:
                    return Reply(200, answer(self, path, query, now, *found.groups()))
            raise _error(404, "NOT_FOUND", "Not found.")
        except _RefusalError as refusal:
            return refusal.reply

    # --- aggregates -------------------------------------------------------------------------------

    def _aggregates(self, path: str, query: Mapping[str, str], now: int, *parts: str) -> Any:
        ticker, multiplier, timespan, first, last = parts
        self._entitled(ticker)
        asked: Mapping[str, Any] = _cursor(query["cursor"]) if "cursor" in query else query
        limit, down = _limit(asked, 5000, 50_000), asked.get("sort") == "desc"
        bars = self.market.bars(ticker, now)
        start = bars["ts"] - NS_PER_MINUTE
        inside = np.flatnonzero((start >= _moment(first, 0)) & (start <= _moment(last, 1)))
        if down:
            inside = inside[::-1]
        offset = asked.get("o", 0)
        base = bars[np.sort(inside[offset : offset + limit])]
        groups = _windows(base, int(multiplier), timespan)
        body: dict[str, Any] = {
            "ticker": ticker,
            "queryCount": len(base),
            "resultsCount": len(groups),
            "adjusted": asked.get("adjusted", "true") == "true",
            "status": "OK",
            "request_id": "fake",
        }
        if groups:
            body["results"] = [_aggregate(ticker, group, timespan) for group in groups[:: -1 if down else 1]]
        if offset + limit < len(inside):
            body["next_url"] = self._next(path, {**asked, "limit": str(limit), "o": offset + limit})
        return body

    # --- options ----------------------------------------------------------------------------------

    def _chain(self, path: str, query: Mapping[str, str], now: int, underlying: str) -> Any:
        limit = _limit(query, 10, 250)
        rows = self._contracts(underlying, query, now)
        return self._page(path, query, limit, [self._snapshot(underlying, *row, now) for row in rows])

    def _one_contract(self, path: str, query: Mapping[str, str], now: int, underlying: str, name: str) -> Any:  # noqa: ARG002 -- one signature for all
        for contract, row in self._contracts(underlying, {}, now):
            if f"O:{contract.name}" == name:
                return {
                    "status": "OK",
                    "request_id": "fake",
                    "results": self._snapshot(underlying, contract, row, now),
                }
        raise _error(404, "NOT_FOUND", "Options contract not found.")

    def _listed(self, path: str, query: Mapping[str, str], now: int) -> Any:
        limit = _limit(query, 10, 1000)
        rows = [
            _reference(contract)
            for underlying in sorted(self.market.chains)
            if query.get("underlying_ticker", underlying) == underlying
            for contract, _ in self._contracts(underlying, query, now)
        ]
        return self._page(path, query, limit, rows)

    def _contracts(self, underlying: str, query: Mapping[str, str], now: int) -> list[tuple[Contract, Any]]:
        self._entitled(underlying)
        make = self.market.chains.get(underlying)
        if make is None:
            return []
        asked = _cursor(query["cursor"])["q"] if "cursor" in query else query
        late = m.DELAY if self.plan.quotes == "DELAYED" else 0
        chain = make(now - late)
        found = [(m.contract_of_row(chain.root, row), row) for row in chain.rows]
        kept = [pair for pair in found if _wanted(pair[0], asked)]
        return sorted(kept, key=lambda pair: pair[0].name)

    def _snapshot(self, underlying: str, contract: Contract, row: Any, now: int) -> dict[str, Any]:
        """A contract as the plan shows it; what the chain does not know is left out."""
        said: dict[str, Any] = {
            "details": {
                "ticker": f"O:{contract.name}",
                "contract_type": "call" if contract.right == "C" else "put",
                "exercise_style": "american",
                "expiration_date": m.expiry_of(contract),
                "strike_price": _plain(contract.strike),
                "shares_per_contract": 100,
            },
            "day": _known({"volume": row["volume"]}),
            **_known({"implied_volatility": row["iv"], "open_interest": row["open_interest"]}),
        }
        greeks = _known({name: row[name] for name in ("delta", "gamma", "theta", "vega")})
        if greeks:
            said["greeks"] = greeks
        if self.plan.quotes != "none":
            at = int(row["quoted_at"]) or int(row["ts"])
            names = ("bid", "ask", "bid_size", "ask_size")
            said["last_quote"] = {
                **dict.fromkeys(("bid", "ask"), 0),
                **_known({name: row[name] for name in names}),
                "last_updated": at,
                "timeframe": self.plan.quotes,
            }
        if self.plan.trades and not math.isnan(row["last"]):
            said["last_trade"] = {
                "price": float(row["last"]),
                "size": 1,
                "exchange": 316,
                "conditions": [209],
                "sip_timestamp": int(row["ts"]),
                "timeframe": "DELAYED" if self.plan.quotes == "DELAYED" else "REAL-TIME",
            }
        late = m.DELAY if self.plan.underlying == "DELAYED" else 0
        last = self.market.last_print(underlying, now - late)
        if self.plan.underlying != "none" and last is not None:
            said["underlying_asset"] = {
                "ticker": underlying,
                "price": last.price,
                "last_updated": last.ts,
                "timeframe": self.plan.underlying,
            }
        return said

    # --- the rest ---------------------------------------------------------------------------------

    def _indices(self, path: str, query: Mapping[str, str], now: int) -> Any:
        tickers = [t for t in query.get("ticker.any_of", "").split(",") if t] or sorted(self.market.values)
        if len(tickers) > 250:
            raise _error(400, "ERROR", "ticker.any_of takes at most 250 tickers")
        return self._page(path, query, _limit(query, 10, 250), [self._index(t, now) for t in tickers])

    def _index(self, ticker: str, now: int) -> dict[str, Any]:
        if ticker in self.plan.denied_tickers:
            text = "Not entitled to this ticker."
            return {"ticker": ticker, "error": "NOT_ENTITLED", "message": text}
        known = self.market.value(ticker, now)
        if known is None:
            return {"ticker": ticker, "error": "NOT_FOUND", "message": "Ticker not found."}
        midnight = calendar.to_ns(calendar.new_york(known[0]).date(), 0)
        before = self.market.value(ticker, midnight - 1)
        return {
            "ticker": ticker,
            "name": ticker.removeprefix("I:"),
            "type": "indices",
            "value": known[1],
            "market_status": _market_word(now),
            "timeframe": "REAL-TIME",
            "last_updated": known[0],
            "session": {
                "open": known[1],
                "high": known[1],
                "low": known[1],
                "close": known[1],
                **({"previous_close": before[1]} if before is not None else {}),
            },
        }

    def _last_trade(self, path: str, query: Mapping[str, str], now: int, ticker: str) -> Any:  # noqa: ARG002 -- one signature for all
        each = self._last(ticker, now)
        result = {"T": ticker, "p": each.price, "s": each.size, "t": each.ts, "y": each.ts, "q": each.number}
        result |= {"x": 4, "c": [0], "i": str(each.number), "z": 3}
        return {"status": "OK", "request_id": "fake", "results": result}

    def _last_quote(self, path: str, query: Mapping[str, str], now: int, ticker: str) -> Any:  # noqa: ARG002 -- one signature for all
        each = self._last(ticker, now)
        bid, ask = m.sides(each.price)
        result = {"T": ticker, "P": ask, "S": 2, "X": 7, "p": bid, "s": 3, "x": 4, "t": each.ts, "y": each.ts}
        return {"status": "OK", "request_id": "fake", "results": {**result, "q": each.number, "z": 3}}

    def _last(self, ticker: str, now: int) -> m.Print:
        self._entitled(ticker)
        each = self.market.last_print(ticker, now)
        if each is None:
            raise _error(404, "NOT_FOUND", "Ticker not found.")
        return each

    def _status(self, path: str, query: Mapping[str, str], now: int) -> Any:  # noqa: ARG002 -- one signature for all
        word = _market_word(now)
        local = calendar.new_york(now)
        minute = local.hour * 60 + local.minute
        extended = word == "extended-hours"
        return {
            "market": word,
            "earlyHours": extended and minute < RTH_CLOSE - 180,
            "afterHours": extended and minute >= RTH_CLOSE - 180,
            "serverTime": local.replace(microsecond=0).isoformat(),
            "exchanges": {"nyse": word, "nasdaq": word, "otc": word},
            "currencies": {"fx": "open", "crypto": "open"},
        }

    def _upcoming(self, path: str, query: Mapping[str, str], now: int) -> Any:  # noqa: ARG002 -- one signature for all
        today = calendar.new_york(now).date()
        rows = []
        for ahead in range(_UPCOMING_DAYS):
            date = today + dt.timedelta(days=ahead)
            if date > calendar.LAST or date.weekday() >= 5:
                continue
            session = calendar.session(date)
            if session is not None and not session.half_day:
                continue
            row = {
                "date": str(date),
                "name": "Holiday",
                "status": "closed" if session is None else "early-close",
            }
            if session is not None:
                row["open"] = _utc_text(calendar.to_ns(date, session.open_minute))
                row["close"] = _utc_text(calendar.to_ns(date, session.close_minute))
            rows += [{"exchange": exchange, **row} for exchange in ("NYSE", "NASDAQ")]
        return rows

    def _entitled(self, ticker: str) -> None:
        if ticker in self.plan.denied_tickers:
            raise _error(403, "NOT_AUTHORIZED", _NOT_ENTITLED)

    def _page(self, path: str, query: Mapping[str, str], limit: int, rows: Sequence[Any]) -> Any:
        offset, asked = 0, dict(query)
        if "cursor" in query:
            found = _cursor(query["cursor"])
            offset, asked, limit = found["o"], found["q"], found["n"]
        body: dict[str, Any] = {
            "status": "OK",
            "request_id": "fake",
            "results": rows[offset : offset + limit],
        }
        if offset + limit < len(rows):
            body["next_url"] = self._next(path, {"o": offset + limit, "q": asked, "n": limit})
        return body

    def _next(self, path: str, state: dict[str, Any]) -> str:
        cursor = base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")
        return f"{self.public}{path}?cursor={cursor}"


def _cursor(text: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        raise _error(400, "ERROR", "cursor is not valid") from None


def _limit(query: Mapping[str, str], usual: int, most: int) -> int:
    text = query.get("limit", str(usual))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _error(400, "ERROR", f"limit must be between 1 and {most}")
    return int(text)


def _moment(text: str, days: int) -> int:
    """UTC ns of a date in New York (its end when `days` is 1) or of a stamp in ms."""
    if text.isdigit():
        return int(text) * m.MS
    try:
        date = dt.date.fromisoformat(text) + dt.timedelta(days=days)
    except ValueError:
        raise _error(400, "ERROR", f"Could not parse the time parameter: {text!r}") from None
    return calendar.to_ns(date, 0) - days


def _windows(base: NDArray[np.void], multiplier: int, timespan: str) -> list[NDArray[np.void]]:
    """The base bars of each window that has any."""
    start = base["ts"] - NS_PER_MINUTE
    if timespan == "day":
        key = calendar.new_york_minutes(start) // 1440
    elif timespan in _SPANS:
        key = start // (NS_PER_MINUTE * _SPANS[timespan] * multiplier)
    else:
        raise _error(400, "ERROR", f"The fake does not know the timespan {timespan!r}.")
    if not len(base):
        return []
    groups: list[NDArray[np.void]] = np.split(base, np.flatnonzero(np.diff(key)) + 1)
    return groups


def _aggregate(ticker: str, group: NDArray[np.void], timespan: str) -> dict[str, Any]:
    start = int(group["ts"][0]) - NS_PER_MINUTE
    if timespan == "day":
        start = calendar.to_ns(calendar.new_york(start).date(), 0)
    found = {
        "t": start // m.MS,
        "o": float(group["open"][0]),
        "h": float(group["high"].max()),
        "l": float(group["low"].min()),
        "c": float(group["close"][-1]),
    }
    if not ticker.startswith("I:"):
        volume = group["volume"].sum()
        means = (group["high"] + group["low"] + group["close"]) / 3
        weight = float((means * group["volume"]).sum() / volume) if volume else float(means.mean())
        found |= {"v": _plain(float(volume)), "vw": round(weight, 4), "n": 4 * len(group)}
    return found


def _wanted(contract: Contract, query: Mapping[str, str]) -> bool:
    right = query.get("contract_type")
    if right is not None and right != ("call" if contract.right == "C" else "put"):
        return False
    for name, text in query.items():
        found = _RANGE.fullmatch(name)
        if found is None:
            continue
        date = found[1] == "expiration_date"
        value: Any = m.expiry_of(contract) if date else contract.strike
        if not _COMPARE[found[2] or ""](value, text if date else float(text)):
            return False
    return True


def _reference(contract: Contract) -> dict[str, Any]:
    return {
        "ticker": f"O:{contract.name}",
        "underlying_ticker": contract.root,
        "contract_type": "call" if contract.right == "C" else "put",
        "exercise_style": "american",
        "expiration_date": m.expiry_of(contract),
        "strike_price": _plain(contract.strike),
        "shares_per_contract": 100,
        "primary_exchange": "BATO",
        "cfi": "OCASPS",
    }


def _known(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def _market_word(now: int) -> str:
    local = calendar.new_york(now)
    minute = local.hour * 60 + local.minute
    session = calendar.session(local.date())
    if session is None or not _PRE_OPEN <= minute < _POST_CLOSE:
        return "closed"
    return "open" if session.open_minute <= minute < session.close_minute else "extended-hours"


def _utc_text(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


_TICKER: Final = r"([A-Z][A-Za-z0-9.:]*)"
_ROUTES: Final[list[tuple[re.Pattern[str], Callable[..., Any]]]] = [
    (re.compile(rf"/v2/aggs/ticker/{_TICKER}/range/([1-9]\d*)/([a-z]+)/([\d-]+)/([\d-]+)"), Api._aggregates),
    (re.compile(rf"/v3/snapshot/options/{_TICKER}"), Api._chain),
    (re.compile(rf"/v3/snapshot/options/{_TICKER}/(O:[A-Z0-9]+)"), Api._one_contract),
    (re.compile(r"/v3/reference/options/contracts"), Api._listed),
    (re.compile(r"/v3/snapshot/indices"), Api._indices),
    (re.compile(rf"/v2/last/trade/{_TICKER}"), Api._last_trade),
    (re.compile(rf"/v2/last/nbbo/{_TICKER}"), Api._last_quote),
    (re.compile(r"/v1/marketstatus/now"), Api._status),
    (re.compile(r"/v1/marketstatus/upcoming"), Api._upcoming),
]
