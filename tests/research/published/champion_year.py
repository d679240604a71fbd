"""The bars of the published champion, and helpers of its tests."""

import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from maxlib.data import DataConfig, load
from maxlib.market import calendar

_FILE = "data/real/unclear/bars/qqq_1m_20240102_20250228.parquet"


@lru_cache(3)
def year(shared: Path, first: dt.date = dt.date(2024, 1, 1), last: dt.date = dt.date(2024, 12, 31)) -> Any:
    return load(DataConfig(source="file", path=str(shared / _FILE), start=first, end=last)).bars


def quiet_day(date: dt.date = dt.date(2024, 3, 5), minutes: int = 120, spot: float = 500.0) -> Any:
    """Bars from 09:30 that stand still: each opens and closes at `spot` and spans 10 cents (ATR 0.10)."""
    start = calendar.to_ns(date, 570) + np.arange(minutes) * 60_000_000_000
    price, span = np.full(minutes, spot), np.full(minutes, 0.05)
    return calendar.stamp(start, price, price + span, price - span, price, np.full(minutes, 100.0))


def figures(trades: Any) -> tuple[int, float, float]:
    """Trades, win rate in % and return in % of $25,000."""
    pnl = np.array([t.pnl_usd for t in trades])
    return len(pnl), float(100 * (pnl > 0).mean()), float(pnl.sum() / 250)
