"""Files of option chains, as tables under one set of column names.

Parquet files pass as they are. The CSV that Cboe's site hands out (calls left, puts right) and the
JSON of Barchart's site are brought into the columns that the tidied files of the same sources have.
`pyarrow` is imported where it is used.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from maxlib.core.errors import DataError

_OCC: Final = re.compile(r"([A-Z]+)(\d{6})([CP])(\d{8})")
_EASTERN: Final = ZoneInfo("America/New_York")
_CBOE_HEADER: Final = "Expiration Date,Calls,"
_CBOE_COLUMNS: Final = {
    "last": "Last Sale",
    "bid": "Bid",
    "ask": "Ask",
    "volume": "Volume",
    "iv": "IV",
    "delta": "Delta",
    "gamma": "Gamma",
    "open_interest": "Open Interest",
}
_BARCHART_COLUMNS: Final = {
    "strike": "strike",
    "bid": "bidPrice",
    "ask": "askPrice",
    "last": "lastPrice",
    "volume": "volume",
    "open_interest": "openInterest",
}


def read_table(path: Path) -> Any:
    """The chain file at `path` as a pyarrow Table.

    Raises
    ------
    DataError
        If it cannot be read, is empty or damaged, or is no chain in a known form.
    """
    name = path.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name}: the gzip data is damaged or cut short ({error})") from None
    if not data.strip():
        raise DataError(f"{name}: the file is empty ({len(data)} bytes); an option chain was expected")
    if data[:4] == b"PAR1" or name.endswith(".parquet"):
        return _parquet(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{name}: is neither Parquet nor text (UTF-8), so it is no option chain") from None
    try:
        if text.lstrip()[:1] == "{":
            return _barchart(json.loads(text), name)
        if _CBOE_HEADER in text[:2000]:
            return _cboe(text)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{name}: the chain is damaged or cut short ({error})") from None
    raise DataError(
        f"{name}: is no option chain that is known here: Parquet, Cboe's CSV and Barchart's JSON are"
    )


def _parquet(data: bytes, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DataError(f"{name}: not a readable Parquet file ({str(error).splitlines()[0][:120]})") from None


def _cboe(text: str) -> Any:
    """Two title lines (underlying; time), a header, then a line per strike with the call left."""
    import pyarrow as pa

    title, header = text.split(_CBOE_HEADER, 1)
    spot = float(_found(r"Last:\s*([\d.,]+)", title).replace(",", ""))
    # "May 16, 2025 at 7:23 PM EDT": the clock is Eastern whatever the letters at the end.
    clock = _found(r"Date:\s*(\w+ \d+, \d+ at \d+:\d+ [AP]M)", title)
    moment = dt.datetime.strptime(clock, "%B %d, %Y at %I:%M %p").replace(tzinfo=_EASTERN)
    lines = list(csv.reader((_CBOE_HEADER + header).splitlines()))
    names, rows = lines[0], [line for line in lines[1:] if line]
    right_half = names.index("Puts")
    sides = (("Calls", range(right_half)), ("Puts", range(right_half, len(names))))
    columns: dict[str, list[Any]] = {key: [] for key in ("root", "expiry", "right", "strike", *_CBOE_COLUMNS)}
    for side, span in sides:
        place = {names[i]: i for i in span}
        for row in rows:
            occ = _OCC.fullmatch(row[place[side]])
            if occ is None:
                raise ValueError(f"{row[place[side]][:30]!r} is no option's name")
            root, day, right, strike = occ.groups()
            columns["root"].append(root)
            columns["expiry"].append(f"20{day[:2]}-{day[2:4]}-{day[4:]}")
            columns["right"].append(right)
            columns["strike"].append(int(strike) / 1000)
            for ours, theirs in _CBOE_COLUMNS.items():
                columns[ours].append(float(row[place[theirs]].replace(",", "")))
    count = len(columns["root"])
    stamp = pa.array([moment] * count, pa.timestamp("us", tz="UTC"))
    return pa.table({"quote_ts": stamp, "underlying_last": [spot] * count, **columns})


def _barchart(body: Any, name: str) -> Any:
    """`raw` holds the numbers; prices of 0 stand for "N/A", as they do in the tidied files."""
    import pyarrow as pa

    rows = [row["raw"] for side in ("Call", "Put") for row in body["data"][side]]
    if len(rows) != body["total"]:
        raise ValueError(f"it announces {body['total']} rows and holds {len(rows)}")
    named = re.search(r"_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)\b", name)
    captured = "{}-{}-{} {}:{}:{}".format(*named.groups()) if named else "not recorded"
    columns: dict[str, Any] = {
        ours: pa.array([row[theirs] for row in rows], pa.float64())
        for ours, theirs in _BARCHART_COLUMNS.items()
    }
    return pa.table(
        {
            "captured_local": [captured] * len(rows),
            "option_symbol": [row["symbol"] for row in rows],
            "right": [row["optionType"][0] for row in rows],
            "last_trade_ts": pa.array([row["tradeTime"] for row in rows], pa.timestamp("s", tz="UTC")),
            **columns,
        }
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"nothing like {pattern!r} before the header line")
    return match[1]
