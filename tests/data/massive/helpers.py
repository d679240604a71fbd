"""A small market for the fake vendor, and clients of ours that talk to it."""

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import SecretStr

from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.fake import FakeConfig, FakeMarket, FakeMassive, VirtualClock
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.resilience import BackoffConfig, BreakerConfig, BudgetConfig
from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.quotes import QUOTE, Chain

KEY = "fake-key"
DAY = dt.date(2025, 1, 2)
NEXT_DAY = dt.date(2025, 1, 3)
OPEN = calendar.to_ns(DAY, 9 * 60 + 30)
CLOSE = calendar.to_ns(DAY, 16 * 60)
MINUTE = NS_PER_MINUTE
EXPIRIES = (dt.date(2025, 1, 3), dt.date(2025, 1, 10))
STRIKES = (498.0, 499.0, 500.0, 501.0, 502.5)


def tape(starts: Iterable[int], base: float = 500.0) -> np.ndarray[Any, np.dtype[np.void]]:
    """Bars of a quiet walk around `base`, a few cents a minute, never the same twice."""
    start = np.array(list(starts), np.int64)
    i = np.arange(len(start))
    open_ = np.round(base + 0.3 * np.sin(i / 7) + i % 3 / 100, 2)
    close = np.round(base + 0.3 * np.sin((i + 1) / 7) + (i + 1) % 3 / 100, 2)
    high, low = np.maximum(open_, close) + 0.04, np.minimum(open_, close) - 0.05
    return calendar.stamp(start, open_, high, low, close, 1000.0 + i)


def session(date: dt.date, first: int = 9 * 60 + 30, count: int = 390) -> list[int]:
    return [calendar.to_ns(date, first) + k * MINUTE for k in range(count)]


BARS = tape([*session(DAY), *session(NEXT_DAY)])


def chain(now: int) -> Chain:
    """Twenty contracts; the lowest put has no bid, the highest call no volatility, one never traded."""
    rows = []
    for expiry in EXPIRIES:
        for strike in STRIKES:
            for right in (1, -1):
                row = np.zeros(1, QUOTE)[0]
                row["ts"] = row["quoted_at"] = now
                row["strike"], row["right"] = strike, right
                row["expiry"] = calendar.ordinal(expiry)
                mid = max(0.4, right * (500.0 - strike)) + 1.0 + (now // MINUTE % 10) / 100
                row["bid"], row["ask"] = round(mid - 0.02, 2), round(mid + 0.02, 2)
                row["bid_size"], row["ask_size"] = 40, 33
                row["last"], row["volume"], row["open_interest"] = round(mid, 2), 12, 5120
                row["iv"], row["delta"], row["gamma"] = 0.19, 0.51 * right, 0.06
                row["theta"], row["vega"] = -1.9, 0.05
                if strike == STRIKES[0] and right < 0:
                    row["bid"] = row["last"] = math.nan
                if strike == STRIKES[-1] and right > 0:
                    row["iv"] = row["delta"] = row["gamma"] = row["theta"] = row["vega"] = math.nan
                rows.append(row)
    return Chain("QQQ", np.array(rows, QUOTE), "simulated", "by hand")


def market(bars: Any = BARS) -> FakeMarket:
    vix = (bars["ts"][::5].astype(np.int64), np.round(16 + np.arange(len(bars["ts"][::5])) % 9 / 10, 2))
    return FakeMarket({"QQQ": bars}, {"QQQ": chain}, {"I:VIX": vix, "I:NDX": vix})


def fake(now: int = CLOSE, bars: Any = BARS, **config: Any) -> FakeMassive:
    return FakeMassive(market(bars), VirtualClock(now), FakeConfig(**config))


def config(server: FakeMassive, **options: Any) -> MassiveConfig:
    """Large budgets and quick answers, unless a test asks for others."""
    usual: dict[str, Any] = {
        "budget": BudgetConfig(calls=10_000, per_s=1.0),
        "backoff": BackoffConfig(first_s=1.0, cap_s=8.0, jitter=0.5),
        "breaker": BreakerConfig(failures=50),
        "patience_s": 1000.0,
        "ping_every_s": 3600.0,
        "handshake_s": 3600.0,
        "fill_s": 3600.0,
        "settle_s": 0.0,
    }
    urls = {"rest_url": server.rest_url, "socket_url": server.socket_url}
    return MassiveConfig(**{**usual, **urls, **options})


def client(server: FakeMassive, *, key: str = KEY, **options: Any) -> MassiveRest:
    return MassiveRest(config(server, **options), SecretStr(key), clock=server.clock)
