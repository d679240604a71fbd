"""Massive's REST interface: every call within budget, deadline and size, every answer typed.

Blocking, over requests; an event loop calls it in a thread. One object may serve several threads.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import numpy as np

from maxlib.data.faults import ILLNESS, Fault, SourceError, excerpt, fault_of_status, reset_after_s
from maxlib.data.massive import records
from maxlib.data.massive.config import VENDOR_HOSTS, MassiveConfig, is_loopback
from maxlib.data.massive.transport import Answer, Transport
from maxlib.data.raw import VALUES, Raw
from maxlib.data.resilience import Breaker, Budget, delay_s
from maxlib.data.waiting import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import SecretStr

    from maxlib.market.quotes import Origin

T = TypeVar("T")
_AGG_LIMIT: Final = "50000"
_CHAIN_LIMIT: Final = "250"
_CONTRACT_LIMIT: Final = "1000"


class Health(NamedTuple):
    """The source as its client sees it.

    well : calls would be made
    breaker : "closed", "open" or "probing"
    key_refused : a 401 came; nothing is asked until `allow_again`
    refused_paths : what a 403 closed
    calls, failures : HTTP exchanges, and those that ended in a fault
    """

    well: bool
    breaker: str
    key_refused: bool
    refused_paths: int
    calls: int
    failures: int


class MassiveRest:
    """The vendor's REST interface.

    Parameters
    ----------
    config : MassiveConfig
    key : SecretStr
        `config.key_from_environment()`.
    clock : Clock
        `utc_ns` is the market's time: under a replay it has to be the replay's.
    seed : int
        Of the jitter.

    Every method raises `SourceError` when there is no answer; what the vendor says *about* its data (an
    index that the plan lacks) is a returned value.
    """

    name = "massive"

    def __init__(
        self, config: MassiveConfig, key: SecretStr, *, clock: Clock | None = None, seed: int = 0
    ) -> None:
        self.config = config
        self._key = key
        self._clock: Clock = clock or SystemClock()
        self._transport = Transport(
            key,
            connect_s=config.connect_s,
            deadline_s=config.deadline_s,
            max_bytes=config.max_bytes,
            direct=is_loopback(config.rest_url),
        )
        self._budget = Budget(config.budget)
        self._breaker = Breaker(config.breaker)
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._key_refused: SourceError | None = None
        self._refused: dict[str, SourceError] = {}
        self._calls = self._failures = 0

    @property
    def simulated(self) -> bool:
        """What comes from here was never the vendor's word."""
        return self.config.simulated

    @property
    def origin(self) -> Origin:
        """How quotes from here are labelled."""
        return "simulated" if self.simulated else "vendor"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def health(self) -> Health:
        """The state of budget, breaker and refusals."""
        with self._lock:
            waits = self._breaker.wait_s(self._clock.now_s()) > 0
            return Health(
                self._key_refused is None and not waits,
                self._breaker.state,
                self._key_refused is not None,
                len(self._refused),
                self._calls,
                self._failures,
            )

    def allow_again(self) -> None:
        """Ask again where the vendor answered 401 or 403: somebody changed the key or the plan."""
        with self._lock:
            self._key_refused = None
            self._refused.clear()

    # --- what can be asked ------------------------------------------------------------------------

    def minute_bars(self, symbol: str, first: dt.date, last: dt.date) -> Raw:
        """Complete one-minute bars from New York date `first` to `last`, 04:00-20:00, in time order.

        `Raw.start` is the vendor's own stamp, in ns. The minute in progress is left out. Minutes without
        a trade have no bar; whether the plan clipped the span is for the caller to see.
        """
        return self._bars(symbol, str(first), str(last))

    def minutes_between(self, symbol: str, start: int, end: int) -> Raw:
        """Complete one-minute bars that begin in [start, end), UTC ns: what a live gap needs."""
        raw = self._bars(symbol, str(start // records.MS), str((end - 1) // records.MS))
        return raw.take((raw.start >= start) & (raw.start < end))

    def _bars(self, symbol: str, first: str, last: str) -> Raw:
        path = f"/v2/aggs/ticker/{quote(symbol, safe=':')}/range/1/minute/{first}/{last}"
        adjusted = "true" if self.config.adjusted else "false"
        rows = self._listing(path, {"adjusted": adjusted, "sort": "asc", "limit": _AGG_LIMIT})
        raw, unusable = records.minute_bars(rows, f"{self.name} {symbol} {first} to {last}")
        if unusable:
            what = f"has {unusable} of {len(rows)} bars without a stamp in ms between 1990 and 2100"
            raise self._garbled(path, what)
        raw = records.complete(raw, self._clock.utc_ns(), self.config.settle_s)
        return _without_page_overlap(raw)

    def chain(
        self,
        underlying: str,
        expiry: dt.date,
        *,
        last_expiry: dt.date | None = None,
        strikes: tuple[float, float] | None = None,
    ) -> records.ChainSnapshot:
        """All pages of the chain snapshot, filtered by expiry and strike band.

        Parameters
        ----------
        underlying : a stock's ticker, or an index with its prefix ("I:SPX")
        expiry, last_expiry : the first and last expiry wanted; one only when `last_expiry` is None
        strikes : lowest and highest strike, dollars
        """
        path = f"/v3/snapshot/options/{quote(underlying, safe=':')}"
        params = {"limit": _CHAIN_LIMIT, "order": "asc", "sort": "ticker"}
        if last_expiry is None:
            params["expiration_date"] = str(expiry)
        else:
            params |= {"expiration_date.gte": str(expiry), "expiration_date.lte": str(last_expiry)}
        if strikes is not None:
            params |= {"strike_price.gte": f"{strikes[0]:.10g}", "strike_price.lte": f"{strikes[1]:.10g}"}
        rows = self._listing(path, params)
        root = underlying.removeprefix("I:")
        return records.chain_of(rows, root, self._clock.utc_ns(), origin=self.origin, name=self.name)

    def contracts(
        self, underlying: str, expiry: dt.date, *, as_of: dt.date | None = None, expired: bool = False
    ) -> list[records.Listed]:
        """Standard contracts of one expiry; index underlyings without their prefix here."""
        params = {
            "underlying_ticker": underlying.removeprefix("I:"),
            "expiration_date": str(expiry),
            "expired": "true" if expired else "false",
            "limit": _CONTRACT_LIMIT,
            **({"as_of": str(as_of)} if as_of else {}),
        }
        return records.listed_of(self._listing("/v3/reference/options/contracts", params))[0]

    def indices(self, symbols: Sequence[str]) -> dict[str, records.IndexValue | records.IndexRefused]:
        """Value or refusal of each index ("I:VIX"). A 403 for all of them is a refusal of each."""
        try:
            body = self._json(
                "/v3/snapshot/indices", {"ticker.any_of": ",".join(symbols), "limit": _CHAIN_LIMIT}
            )
        except SourceError as error:
            if error.fault is not Fault.ENTITLEMENT:
                raise
            return {s: records.IndexRefused(s, "NOT_ENTITLED", str(error)) for s in symbols}
        return records.indices_of(self._results(body, "/v3/snapshot/indices"), symbols)

    def last_trade(self, symbol: str) -> records.LastTrade:
        """The last trade of a stock or a contract ("O:...")."""
        return self._one(f"/v2/last/trade/{quote(symbol, safe=':')}", records.last_trade_of)

    def last_quote(self, symbol: str) -> records.LastQuote:
        """The last NBBO of a stock."""
        return self._one(f"/v2/last/nbbo/{quote(symbol, safe=':')}", records.last_quote_of)

    def market_status(self) -> records.MarketStatus:
        """Whether the market is open, by the vendor."""
        path = "/v1/marketstatus/now"
        return self._known(records.status_of(self._json(path, {})), path)

    def holidays(self) -> list[records.Holiday]:
        """The coming closed and short days, a row per exchange; the body is a bare array."""
        path = "/v1/marketstatus/upcoming"
        body = self._json(path, {})
        if not isinstance(body, list):
            raise self._garbled(path, "is no array")
        return records.holidays_of(body)

    # --- how it is asked --------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return f"{self.config.rest_url}{path}"

    def _garbled(self, path: str, what: str) -> SourceError:
        return SourceError(f"{self._url(path)}: the answer {what}", Fault.GARBLED)

    def _known(self, found: T | None, path: str) -> T:
        if found is None:
            raise self._garbled(path, "lacks what it should hold")
        return found

    def _one(self, path: str, read: Callable[[Any], T | None]) -> T:
        body = self._json(path, {})
        return self._known(read(body.get("results")) if isinstance(body, dict) else None, path)

    def _results(self, body: Any, path: str) -> list[Any]:
        results = body.get("results", []) if isinstance(body, dict) else None
        if not isinstance(results, list):
            raise self._garbled(path, "has no list of results")
        return results

    def _listing(self, path: str, params: dict[str, str]) -> list[Any]:
        """The results of all pages."""
        return [row for page in self._pages(path, params) for row in page]

    def _pages(self, path: str, params: dict[str, str]) -> Iterator[list[Any]]:
        seen = set()
        for _ in range(self.config.max_pages):
            body = self._json(path, params)
            yield self._results(body, path)
            following = body.get("next_url")
            if not following:
                return
            if following in seen:
                raise self._garbled(path, "names a next page that was read already")
            seen.add(following)
            path, params = self._next(path, following)
        raise self._garbled(path, f"has more than {self.config.max_pages} pages")

    def _next(self, path: str, url: Any) -> tuple[str, dict[str, str]]:
        """The next page, asked of our own base: a foreign host never sees the key.

        The cursor is opaque and goes alone; a key that slipped into the URL is not passed on.
        """
        try:
            parts = urlsplit(url)
            host, scheme = parts.netloc.lower(), parts.scheme
        except (TypeError, ValueError, AttributeError):
            raise self._garbled(path, "names a next page that is no URL") from None
        base = urlsplit(self.config.rest_url)
        ours = (scheme, host) == (base.scheme, base.netloc.lower())
        if not ours and not (scheme == "https" and host in VENDOR_HOSTS):
            raise SourceError(
                f"{self._url(path)}: the next page is at {excerpt(host)!r}, which is none of "
                f"{', '.join((base.netloc, *VENDOR_HOSTS))}; it was not asked",
                Fault.REQUEST,
            )
        if not parts.path.startswith("/v"):
            raise self._garbled(path, f"names the next page {excerpt(parts.path)!r}")
        return parts.path, {k: v for k, v in parse_qsl(parts.query) if k.lower() != "apikey"}

    def _json(self, path: str, params: dict[str, str]) -> Any:
        """A parsed answer of status 200, after as many tries as the config and the fault allow."""
        failures, waited = 0, 0.0
        while True:
            waited += self._admission(path, max(0.0, self.config.patience_s - waited))
            try:
                body = self._parsed(self._transport.get(self._url(path), params), path, params)
            except SourceError as error:
                failures += 1
                pause = self._after(error, path, failures)
                if pause is None or waited + pause > self.config.patience_s:
                    raise
                waited += pause
                self._clock.sleep(pause)
            else:
                with self._lock:
                    self._breaker.succeeded()
                return body

    def _admission(self, path: str, patience_s: float) -> float:
        """Wait for the budget; returns how long. Nothing is asked that was refused for good."""
        with self._lock:
            refused = self._key_refused or self._refused.get(path)
            if refused is not None:
                raise SourceError(f"{refused} (refused before, not asked again)", refused.fault)
            now = self._clock.now_s()
            ready = self._budget.wait_s(now)
            if ready > patience_s:
                raise SourceError(
                    f"{self._url(path)}: the call budget of {self.config.budget.calls} in "
                    f"{self.config.budget.per_s:g} s is spent for {ready:.3g} s more",
                    Fault.LIMIT,
                    retry_after_s=ready,
                )
            closed = self._breaker.wait_s(now)
            if not self._breaker.admit(now):
                raise SourceError(
                    f"{self._url(path)}: not asked, the breaker is open for {closed:.3g} s more",
                    Fault.BREAKER,
                    retry_after_s=closed,
                )
            waits = self._budget.reserve(now, ready) or 0.0
            self._calls += 1
        if waits:
            self._clock.sleep(waits)
        return waits

    def _after(self, error: SourceError, path: str, failures: int) -> float | None:
        """Note a failed exchange; seconds until the next try, None = there is none."""
        with self._lock:
            now = self._clock.now_s()
            self._failures += 1
            if error.fault in ILLNESS:
                self._breaker.failed(now)
            else:  # it answered: what it said is not the source's health
                self._breaker.succeeded()
            if error.fault is Fault.KEY:
                self._key_refused = error
            elif error.fault is Fault.ENTITLEMENT:
                self._refused[path] = error
            pause = delay_s(self.config.backoff, failures, self._rng)
            if error.fault is Fault.LIMIT:
                pause = max(pause, error.retry_after_s or 0.0)
                self._budget.exhaust(now, pause)
        return pause if error.retryable and failures < self.config.tries else None

    def _parsed(self, answer: Answer, path: str, params: dict[str, str]) -> Any:
        fault = fault_of_status(answer.status)
        body = _decoded(answer.body)
        if fault is not None:
            said = _said(body) or answer.body[:400].decode("utf-8", "replace")
            query = f"?{urlencode(params)}" if params and fault is Fault.REQUEST else ""
            raise SourceError(
                f"{self._url(path)}{query}: {answer.status} "
                f"{excerpt(said, self._key.get_secret_value()) or 'without a word'}",
                fault,
                status=answer.status,
                retry_after_s=reset_after_s(answer.headers, self._clock.utc_ns() / 1e9),
            )
        if body is _NOT_JSON:
            start = excerpt(answer.body[:80].decode("utf-8", "replace"), self._key.get_secret_value())
            raise self._garbled(path, f"is no JSON ({len(answer.body):,} bytes beginning {start!r})")
        if isinstance(body, dict) and body.get("status") in ("ERROR", "NOT_AUTHORIZED", "NOT_FOUND"):
            # Seen with 200 as well; the status in the body is the finer word then.
            denied = body["status"] == "NOT_AUTHORIZED"
            text = f"{self._url(path)}: 200, but {body['status']} {excerpt(_said(body))}"
            raise SourceError(text, Fault.ENTITLEMENT if denied else Fault.REQUEST, status=200)
        return body


_NOT_JSON: Final = object()


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _said(body: Any) -> str:
    """The vendor's own words: in `error` or in `message`."""
    if not isinstance(body, dict):
        return ""
    return str(body.get("error") or body.get("message") or body.get("status") or "")


def _without_page_overlap(raw: Raw) -> Raw:
    """Pages may overlap by a bar: repeats that agree fall out, and all is put into time order.

    Repeats that differ stay, for the gate to refuse.
    """
    if (np.diff(raw.start) > 0).all():
        return raw
    ordered = raw.take(np.argsort(raw.start, kind="stable"))
    repeat = np.zeros(len(raw), np.bool_)
    repeat[1:] = np.diff(ordered.start) == 0
    for name in VALUES:
        repeat[1:] &= np.diff(getattr(ordered, name)) == 0
    return ordered.take(~repeat)
