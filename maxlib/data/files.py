"""The file provider: CSV (plain or gzip) and Parquet files of one-minute bars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from maxlib.core.canonical import sha256
from maxlib.core.errors import DataError
from maxlib.data import stamps
from maxlib.data.columns import Columns, read_columns
from maxlib.data.raw import Raw
from maxlib.market.bars import NS_PER_MINUTE


def shared_folders() -> tuple[Path, ...]:
    """Folders in which relative paths are looked up after the current directory.

    MAXTRADER_SHARED when it is set; else the folder `shared` beside the current
    directory and beside the project root.
    """
    setting = os.environ.get("MAXTRADER_SHARED")
    if setting:
        return (Path(setting).expanduser(),)
    project = Path(__file__).resolve().parents[2]
    return tuple(dict.fromkeys((Path.cwd().parent / "shared", project.parent / "shared")))


def find(path: str | Path) -> Path | None:
    """`path` as it stands (from the current directory), else below a shared folder, else None."""
    given = Path(path).expanduser()
    places = (given, *(folder / given for folder in shared_folders()))
    try:
        return next((place for place in places if place.exists()), None)
    except (OSError, ValueError) as error:  # a name too long, a NUL byte
        raise DataError(f"data.path {str(path)[:80]!r} is not a usable file name ({error})") from None


def read(path: Path, *, symbol: str | None = None, zone: str = "auto", stamped: str = "auto") -> Raw:
    """One-minute bars of a file, in file order, stamps brought to UTC ns at the bar's START.

    Parameters
    ----------
    path : Path
        An existing file. CSV with a header line, plain or gzip, or Parquet.
    symbol : str or None
        If the file has a symbol column, only this symbol's rows are taken; None accepts a
        file of one symbol.
    zone, stamped : str
        As in `DataConfig`; "auto" finds out and says how in `Raw.notes`.

    Returns
    -------
    Raw

    Raises
    ------
    DataError
        One sentence: the file, the place in it, the value and what was expected.
    """
    name = path.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    columns = read_columns(data, name)
    if not len(columns.ts):
        raise DataError(f"{name}: the file has a header but no bars (0 rows)")
    wall, aware = stamps.parse(columns.ts, name, columns.names["ts"])
    rows = _rows_of(columns, symbol, name)
    volume = columns.values["volume"]
    if rows is not None:
        wall, volume = wall[rows], volume[rows]
    stamps.check_spacing(wall, name)
    utc, how = _to_utc(wall, aware, volume, zone, name)
    stamps.check_years(utc, name)
    if stamped == "auto":
        stamped, edge = stamps.choose_edge(utc, volume, name)
    else:
        edge = f"bars are stamped at their {stamped.upper()}, as configured"
    start = utc - NS_PER_MINUTE if stamped == "end" else utc
    number = np.arange(1, len(columns.ts) + 1) if rows is None else rows + 1
    values: dict[str, Any] = {k: v if rows is None else v[rows] for k, v in columns.values.items()}
    return Raw(name, start, **values, row=number, notes=(how, edge), file_sha256=sha256(data))


def _to_utc(wall: Any, aware: bool, volume: Any, zone: str, name: str) -> tuple[Any, str]:
    if aware:
        ignored = "" if zone == "auto" else f"; data.zone {zone} was not needed"
        return wall, f"stamps are absolute (offset or epoch){ignored}"
    if zone == "auto":
        zone, how = stamps.choose_zone(wall, volume, name)
    else:
        how = f"stamps carry no zone; read as {zone}, as configured"
    return stamps.to_utc(wall, zone, name), how


def _rows_of(columns: Columns, symbol: str | None, name: str) -> Any:
    """Indices of the rows of `symbol`; None when all rows are its own."""
    if columns.symbol is None:
        return None
    found = [str(value) for value in columns.symbol.unique().to_pylist()]
    if len(found) == 1 and symbol in (None, found[0]):
        return None
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    column = columns.names["symbol"]
    if symbol is None:
        raise DataError(
            f"{name}: column {column!r} holds {len(found)} symbols ({shown}); name one in data.symbol"
        )
    if symbol not in found:
        raise DataError(f"{name}: column {column!r} holds {shown}, but data.symbol is {symbol}")
    return np.flatnonzero(np.array([str(value) == symbol for value in columns.symbol.to_pylist()]))
