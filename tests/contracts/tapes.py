"""Tapes for the contracts: real stretches, seeded walks, constant prices, NaN and infinities."""

import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maxlib.market import calendar

YEAR = "qqq_1m_20240102_20250228"
AUTUMN = "qqq_1m_20250818_20251114"


@lru_cache(4)
def _load(path: Path) -> Any:
    table = pq.read_table(path)
    start = pc.cast(table["ts"], "int64").to_numpy() * 1000
    names = ("open", "high", "low", "close", "volume")
    return calendar.stamp(start, *(table[name].to_numpy() for name in names))


def real(shared: Path, name: str) -> Any:
    """A real file as bars (vendor stamps are starts)."""
    return _load(shared / "data/real/unclear/bars" / f"{name}.parquet")


def between(bars: Any, first: str, last: str) -> Any:
    """Trading days `first` to `last`, both included."""
    a, z = (calendar.ordinal(dt.date.fromisoformat(x)) for x in (first, last))
    return bars[(bars["day"] >= a) & (bars["day"] <= z)].copy()


def autumn(shared: Path) -> Any:
    """25 October to 6 December 2024: a clock change (3 November), a holiday, a half day (29 November)."""
    return between(real(shared, YEAR), "2024-10-25", "2024-12-06")


def stamps(days: int, per_day: int, seed: int, first: dt.date = dt.date(2024, 10, 21)) -> Any:
    """Start stamps of `per_day` random minutes from 04:00 to 20:00 on each session."""
    rng = np.random.default_rng(seed)
    dates = [s.date for s in calendar.sessions(first, first + dt.timedelta(days=2 * days + 10))][:days]
    minutes = [np.sort(rng.choice(np.arange(240, 1200), per_day, replace=False)) for _ in dates]
    return np.array(
        [calendar.to_ns(d, int(m)) for d, chosen in zip(dates, minutes, strict=True) for m in chosen]
    )


def walk(seed: int, days: int = 24, per_day: int = 120, step: float = 0.25) -> Any:
    """A random walk in cents, with gaps in time and often equal highs and closes."""
    rng = np.random.default_rng(seed + 1000)
    start = stamps(days, per_day, seed)
    n = len(start)
    close = np.round(500 + np.cumsum(rng.normal(0, step, n)), 2)
    open_ = np.round(np.roll(close, 1) + rng.choice([0, 0, 0.05, -0.05], n), 2)
    open_[0] = close[0]
    wick = np.round(np.abs(rng.normal(0, step, (2, n))), 2)
    high, low = np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1]
    volume = rng.integers(0, 2000, n).astype(float)
    return calendar.stamp(start, open_, np.round(high, 2), np.round(low, 2), close, volume)


def constant(days: int = 24, per_day: int = 60) -> Any:
    start = stamps(days, per_day, 0)
    price = np.full(len(start), 500.0)
    return calendar.stamp(start, price, price, price, price, np.full(len(start), 100.0))


def spoiled(bad: tuple[float, ...], seed: int = 3, share: float = 0.004) -> Any:
    """A walk with some prices and volumes replaced by NaN or infinities."""
    bars = walk(seed, per_day=60)
    rng = np.random.default_rng(seed)
    for name in ("open", "high", "low", "close", "volume"):
        where = rng.random(len(bars)) < share
        bars[name][where] = rng.choice(bad, where.sum())
    return bars


NAN_ONLY = (float("nan"),)
INFINITIES = (float("inf"), float("-inf"), float("nan"))


def canonical_bytes(values: Any) -> bytes:
    """Bytes of a column with all NaNs made one: the hardware chooses their sign, not the program."""
    array = np.array(values)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array)
    return array.tobytes()


def flat(rows: Any, prefix: str = "") -> dict[str, Any]:
    """Every plain field of a record array by its dotted name; padding has no name."""
    found: dict[str, Any] = {}
    for name in rows.dtype.names:
        column = rows[name]
        if column.dtype.names:
            found |= flat(column, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = column
    return found


def assert_same(left: Any, right: Any, what: str = "") -> None:
    """Field by field the same bytes (NaN is NaN); names the first difference."""
    a, b = flat(left), flat(right)
    assert a.keys() == b.keys()
    for name, column in a.items():
        if canonical_bytes(column) != canonical_bytes(b[name]):
            assert_column(name, column, b[name], what)


def assert_column(name: str, column: Any, expected: Any, what: str = "") -> None:
    """The same bytes; None in a list of expected values says nothing about that bar."""
    said = [value is not None for value in expected] if isinstance(expected, list) else slice(None)
    if isinstance(expected, list):
        expected = [value for value in expected if value is not None]
    x, y = np.asarray(column)[said], np.asarray(expected).astype(np.asarray(column).dtype)
    if canonical_bytes(x) == canonical_bytes(y):
        return
    equal = (x == y) | ((x != x) & (y != y))
    different = np.flatnonzero(~equal.reshape(len(x), -1).all(axis=1))
    at = int(different[0]) if len(different) else -1
    raise AssertionError(
        f"{what} {name}: {len(different)} of {len(x)} differ, first at {at}: {x[at]!r} != {y[at]!r}"
    )
