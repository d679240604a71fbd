"""Option chains from files: every source into one record, nothing repaired.

What a source does not say is NaN (0 for times), what had to be assumed stands in `Chain.notes`.
A price of 0 means "none" in all these sources and becomes NaN; every other number stays as it is,
an IV of 0 and a crossed market included. The gate, not the reader, judges them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.data.chain_expiry import expires_at, named_expiry
from maxlib.data.chain_files import read_table
from maxlib.data.columns import floats, ints
from maxlib.data.files import find
from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.quotes import QUOTE, Chain

Ints = NDArray[np.int64]

_UNDERLYING: Final = {"SPXW": "SPX", "NDXP": "NDX", "MQ": "NQ", "MC": "NQ"}
# Where the collectors of the Barchart files may have sat, east to west.
_ZONES: Final = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")


def load_chain(path: str | Path, *, expiry: dt.date | None = None, known_at: int | None = None) -> Chain:
    """The option chain in a file; the source is recognised by its columns.

    Known are LEAN's minute quotes, trades and open interest (equities, indices, options on futures),
    LEAN's daily chains, Cboe's download (CSV or tidied), Yahoo's chain and Barchart's (JSON or tidied).

    Parameters
    ----------
    path : str or Path
        As it stands, or below a shared folder.
    expiry : date, optional
        Of all rows, for a source that does not say (Barchart). Else it stays 0, unless the symbol
        settles it: MQ4M5 is the fourth Friday of June 2025.
    known_at : int, optional
        UTC ns at which the snapshot was taken, for sources that hold no time (Yahoo, Barchart).

    Returns
    -------
    Chain
        Rows in order of `ts`, which is when the row was known: the END of a minute of LEAN's, the
        time of a snapshot. `expires_at` is 16:00 New York (13:00 on half days), 09:30 for SPX, NDX
        and the quarterly options on index futures, which settle on opening prices.

    Raises
    ------
    DataError
        If the file is missing, damaged, in no known layout or says something impossible.
    """
    place = find(path)
    if place is None:
        raise DataError(f"{path}: there is no such file, neither here nor in a shared folder")
    table = _Table(read_table(place), place.name, expiry, known_at)
    layout = next((layout for layout in _LAYOUTS if layout.needs <= table.names), None)
    if layout is None or not len(table):
        shown = ", ".join(sorted(table.names)[:12]) or "none"
        raise DataError(
            f"{place.name}: no option chain in a known layout ({len(table)} rows; columns {shown}); known "
            f"are {', '.join(layout.name for layout in _LAYOUTS)}"
        )
    rows, root, notes = layout.read(table)
    _refuse_impossible(rows, place.name)
    if (rows["ts"][1:] < rows["ts"][:-1]).any():
        rows = rows[np.argsort(rows["ts"], kind="stable")]
        notes.append("the rows were put in order of time")
    return Chain(root, rows, "file", place.name, (f"read as {layout.name}", *notes))


def with_spot(chain: Chain, at: Ints, price: NDArray[np.float64]) -> Chain:
    """The chain with the underlying's price as it was last known at each row's time.

    Parameters
    ----------
    at : int64[m]
        UTC ns at which each price was known (a bar's END), increasing.
    price : float64[m]

    Rows before the first price keep a spot of NaN.
    """
    rows = chain.rows.copy()
    latest = np.searchsorted(at, rows["ts"], side="right") - 1
    there = latest >= 0
    rows["spot"] = np.where(there, price[latest], np.nan)
    rows["spot_at"] = np.where(there, at[latest], 0)
    return replace(chain, rows=rows)


class _Table:
    """Columns of a pyarrow table as arrays, and what the caller knows besides."""

    def __init__(self, table: Any, name: str, expiry: dt.date | None, known_at: int | None) -> None:
        self._table, self.name, self.expiry, self.known_at = table, name, expiry, known_at
        self.names = frozenset(table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def keep(self, mask: NDArray[np.bool_]) -> _Table:
        import pyarrow as pa

        return _Table(self._table.filter(pa.array(mask.tolist())), self.name, self.expiry, self.known_at)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """float64[n]; null, and a column that is not there, become NaN."""
        if name not in self.names:
            return np.full(len(self), np.nan)
        return np.array(floats(self._table[name]))

    def prices(self, name: str) -> NDArray[np.float64]:
        """Numbers in which 0 says "none"."""
        found = self.numbers(name)
        found[found == 0] = np.nan
        return found

    def times(self, name: str) -> Ints:
        """UTC ns[n]; 0 where there is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        stamps = self._table[name].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())
        return ints(pc.fill_null(stamps, 0)) if stamps.null_count else ints(stamps)

    def texts(self, name: str) -> tuple[list[str], Ints]:
        """The different texts of a column, and which of them each row has."""
        import pyarrow as pa

        column = self._table[name].combine_chunks().dictionary_encode()
        if column.null_count:
            raise DataError(f"{self.name}: column {name!r} has {column.null_count} rows without a value")
        return [str(text) for text in column.dictionary.to_pylist()], ints(pa.chunked_array([column.indices]))


def _quotes(table: _Table) -> NDArray[np.void]:
    """Rows with what all layouts call alike; the rest is "not said"."""
    rows = np.zeros(len(table), QUOTE)
    for name in ("spot", "bid", "ask", "bid_size", "ask_size", "last"):
        rows[name] = np.nan
    rows["strike"] = table.numbers("strike")
    for name in ("volume", "open_interest", "iv", "delta", "gamma", "theta", "vega"):
        rows[name] = table.numbers(name)
    rights, which = table.texts("right")
    unknown = sorted(set(rights) - {"C", "P"})
    if unknown:
        raise DataError(f"{table.name}: column 'right' holds {unknown[0]!r}; C and P are known")
    rows["right"] = np.array([1 if right == "C" else -1 for right in rights], np.int8)[which]
    return rows


def _set_expiry(rows: NDArray[np.void], table: _Table) -> str:
    """Fill both expiries from the columns `root` and `expiry`; returns the underlying."""
    roots, which_root = table.texts("root")
    days, which_day = table.texts("expiry")
    try:
        dates = [dt.date.fromisoformat(day[:10]) for day in days]
    except ValueError:
        raise DataError(f"{table.name}: column 'expiry' holds a text that is no date") from None
    moments = np.array([[expires_at(root, date) for date in dates] for root in roots], np.int64)
    rows["expiry"] = np.array([calendar.ordinal(date) for date in dates], np.int32)[which_day]
    rows["expires_at"] = moments[which_root, which_day]
    return _one_underlying(roots, table.name)


def _one_underlying(roots: list[str], name: str) -> str:
    found = sorted({_UNDERLYING.get(root, root) for root in roots})
    if len(found) != 1:
        raise DataError(
            f"{name}: holds options of {len(found)} underlyings ({', '.join(found[:5])}); one is read"
        )
    return found[0]


def _refuse_impossible(rows: NDArray[np.void], name: str) -> None:
    bad = ~(np.isfinite(rows["strike"]) & (rows["strike"] > 0))
    if bad.any():
        i = int(bad.argmax())
        raise DataError(f"{name}: row {i + 1} has the strike {rows['strike'][i]:g}; a strike is above 0")


Read = tuple[NDArray[np.void], str, list[str]]


def _lean_minutes(table: _Table) -> Read:
    rows = _quotes(table)
    root = _set_expiry(rows, table)
    ended = 0 if table.names.isdisjoint({"bid_close", "close"}) else NS_PER_MINUTE
    rows["ts"] = table.times("ts") + ended
    rows["bid"], rows["ask"] = table.prices("bid_close"), table.prices("ask_close")
    rows["bid_size"], rows["ask_size"] = table.numbers("bid_size"), table.numbers("ask_size")
    rows["last"] = table.prices("close")
    notes = ["no underlying in the file"]
    if ended:
        notes.insert(0, "minute bars: prices are those at the END of the minute, when the row is known")
    return rows, root, notes


def _lean_daily(table: _Table) -> Read:
    """Options of the date's close, and one row for the underlying.

    The underlying's row is not always of that close (GOOG's of 2015-12-23 is the first minute of the
    24th), and open interest comes overnight: so a row counts as known a minute into the next session.
    """
    is_spot = table.numbers("is_underlying") > 0
    dates, which = table.texts("date")
    days = [dt.date.fromisoformat(date) for date in dates]
    closes = table.prices("close")
    options = table.keep(~is_spot)
    which_option = which[~is_spot]
    rows = _quotes(options)
    root = _set_expiry(rows, options)
    rows["iv"] = options.numbers("implied_volatility")
    rows["last"] = closes[~is_spot]
    spot = np.full(len(days), np.nan)
    spot[which[is_spot]] = closes[is_spot]
    rows["spot"] = spot[which_option]
    rows["quoted_at"] = np.array([expires_at(root, day) for day in days], np.int64)[which_option]
    nexts = [calendar.sessions(day + dt.timedelta(days=1), day + dt.timedelta(days=7))[0] for day in days]
    known = np.array([calendar.to_ns(s.date, s.open_minute + 1) for s in nexts], np.int64)
    rows["ts"] = known[which_option]
    notes = [
        "`last` is the day's closing mid; there are no bids and asks",
        "known a minute into the next session: the moment of the underlying's price is not said",
    ]
    return rows, root, notes


def _cboe(table: _Table) -> Read:
    rows = _quotes(table)
    root = _set_expiry(rows, table)
    rows["ts"] = rows["spot_at"] = table.times("quote_ts")
    rows["spot"] = table.prices("underlying_last")
    _bid_ask_last(rows, table)
    notes = ["the time is that of the underlying's price; the quotes may be older, their age is not said"]
    return rows, root, notes


def _yahoo(table: _Table) -> Read:
    rows = _quotes(table)
    root = _set_expiry(rows, table)
    rows["ts"], notes = _taken(table)
    rows["spot"] = table.prices("underlying_last")
    _bid_ask_last(rows, table)
    return rows, root, [*notes, "the moment of the underlying's price is not said"]


def _barchart(table: _Table) -> Read:
    rows = _quotes(table)
    symbols, _ = table.texts("option_symbol")
    series = sorted({symbol.split("|")[0] for symbol in symbols})
    if len(series) != 1:
        raise DataError(f"{table.name}: holds {len(series)} series ({', '.join(series[:5])}); one is read")
    rows["ts"], notes = _taken(table)
    _bid_ask_last(rows, table)
    expiry = table.expiry
    if expiry is None:
        expiry = named_expiry(series[0], int(rows["ts"][0]))
        notes.append(
            f"{series[0]} names no expiry that is documented"
            if expiry is None
            else f"expiry {expiry}, from the name {series[0]}"
        )
    root = _one_underlying([re.split(r"\d", series[0])[0]], table.name)
    if expiry is not None:
        rows["expiry"], rows["expires_at"] = calendar.ordinal(expiry), expires_at(root, expiry)
    return rows, root, [*notes, "no underlying in the file"]


def _bid_ask_last(rows: NDArray[np.void], table: _Table) -> None:
    for name in ("bid", "ask", "last"):
        rows[name] = table.prices(name)


def _taken(table: _Table) -> tuple[int, list[str]]:
    """When a snapshot without a stamp was taken: as told, by the collector's clock, or not before."""
    if table.known_at is not None:
        return table.known_at, ["time as told by the caller"]
    newest = int(table.times("last_trade_ts").max())
    captured = table.texts("captured_local")[0][0] if "captured_local" in table.names else ""
    try:
        wall = dt.datetime.fromisoformat(captured)
    except ValueError:
        return newest, ["time is that of the newest trade: the snapshot is at least that late"]
    for zone in _ZONES:
        taken = int(wall.replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000
        if taken >= newest:
            said = f"collector's clock read as {zone}, the first that is not before the newest trade"
            return taken, [said]
    raise DataError(f"{table.name}: captured {captured} but holds later trades, whatever the zone")


class _Layout(NamedTuple):
    name: str
    needs: frozenset[str]
    read: Callable[[_Table], Read]


def _layout(name: str, needs: str, read: Callable[[_Table], Read]) -> _Layout:
    return _Layout(name, frozenset(needs.split()) | {"right", "strike"}, read)


_LAYOUTS: Final = (
    _layout("LEAN minute quotes", "ts root expiry bid_close ask_close", _lean_minutes),
    _layout("LEAN daily chain", "date root expiry close implied_volatility is_underlying", _lean_daily),
    _layout("LEAN minute trades", "ts root expiry close volume", _lean_minutes),
    _layout("LEAN open interest", "ts root expiry open_interest", _lean_minutes),
    _layout("Cboe chain", "quote_ts root expiry bid ask underlying_last", _cboe),
    _layout("Yahoo chain", "date root expiry bid ask underlying_last last_trade_ts", _yahoo),
    _layout("Barchart chain", "captured_local option_symbol bid ask last_trade_ts", _barchart),
)
