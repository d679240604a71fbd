"""CSV and Parquet bytes into the columns of a bar file, under one set of names.

`pyarrow` is imported where it is used: a simulated run never pays for it.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from maxlib.core.errors import DataError
from maxlib.data.raw import VALUES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Names that vendors use, best first; compared in lower case, without <>, spaces as underscores.
ALIASES: Final = {
    "ts": (
        "ts",
        "timestamp",
        "datetime",
        "date_time",
        "window_start",
        "time",
        "date",
        "t",
        "__index_level_0__",
    ),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last"),
    "volume": ("volume", "v", "vol"),
    "symbol": ("symbol", "ticker", "contract"),
}
OPTIONAL: Final = ("symbol",)
_DELIMITERS: Final = ",;\t|"
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True)
class Columns:
    """The columns of one file, in file order.

    Attributes
    ----------
    names : dict
        Our name -> the name in the file.
    ts, symbol : pyarrow ChunkedArray
        Stamps as the file has them (text from CSV); symbol is None when there is none.
    values : dict of str to float64[n]
        open, high, low, close, volume; NaN where the file has nothing.
    """

    names: dict[str, str]
    ts: Any
    symbol: Any
    values: dict[str, NDArray[np.float64]]


def read_columns(data: bytes, name: str) -> Columns:
    """The bar columns of a CSV (plain or gzip) or Parquet file.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        Its name: ".parquet" files must be Parquet, all others are told by their content.

    Raises
    ------
    DataError
        If the file is empty, damaged, lacks a column or holds text where a number belongs.
    """
    if data[:2] == _GZIP:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name}: the gzip data is damaged or cut short ({error})") from None
    if not data.strip():
        raise DataError(f"{name}: the file is empty ({len(data)} bytes); bars were expected")
    if data[:4] == _PARQUET or name.endswith(".parquet"):
        return _read_parquet(data, name)
    return _read_csv(data, name)


def _plain(column: str) -> str:
    return column.strip().strip("<>").strip().lower().replace(" ", "_")


def _choose(found: list[str], name: str) -> dict[str, str]:
    """Our column names -> those of the file, or a refusal that shows both."""
    plain = [_plain(column) for column in found]
    chosen: dict[str, str] = {}
    for ours, aliases in ALIASES.items():
        match = next((alias for alias in aliases if alias in plain), None)
        if match is None:
            continue
        if plain.count(match) > 1:
            raise DataError(
                f"{name}: the column {match!r} is there {plain.count(match)} times; one is needed"
            )
        chosen[ours] = found[plain.index(match)]
    missing = [ours for ours in ALIASES if ours not in chosen and ours not in OPTIONAL]
    if missing:
        shown = ", ".join(repr(column[:20]) for column in found[:12]) + (", ..." if len(found) > 12 else "")
        wanted = ", ".join("ts (or timestamp, time, date)" if m == "ts" else m for m in missing)
        plural = "s" if len(missing) > 1 else ""
        raise DataError(f"{name}: missing column{plural} {wanted}; found {shown or 'no columns'}")
    return chosen


def floats(column: Any) -> NDArray[np.float64]:
    """A ChunkedArray of numbers as float64[n]; null becomes NaN."""
    import pyarrow as pa

    # Neither `to_numpy` nor `fill_null`: they import pandas, which takes longer than reading the file.
    array = column.cast(pa.float64()).combine_chunks()
    if not array.null_count:
        return np.asarray(np.from_dlpack(array), np.float64)
    there = np.from_dlpack(array.is_valid().cast(pa.int8()))
    values = np.frombuffer(array.buffers()[1], np.float64, len(array), array.offset * 8)
    return np.where(there, values, np.nan)


def ints(column: Any) -> NDArray[np.int64]:
    """A ChunkedArray without nulls (integers, timestamps) as int64[n]."""
    import pyarrow as pa

    return np.asarray(np.from_dlpack(column.cast(pa.int64()).combine_chunks()), np.int64)


def _read_parquet(data: bytes, name: str) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = _choose(list(file.schema_arrow.names), name)
        table = file.read(columns=list(names.values()))
        table = table.select(list(names.values())).rename_columns(list(names))
        symbol = table["symbol"].cast(pa.string()) if "symbol" in names else None
    except (pa.ArrowException, OSError, UnicodeError) as error:  # UnicodeError: damaged column names
        raise DataError(f"{name}: not a readable Parquet file ({_first_line(error)})") from None
    values = {}
    for value in VALUES:
        try:
            values[value] = floats(table[value])
        except pa.ArrowException:
            kind = table[value].type
            raise DataError(f"{name}: column {names[value]!r} holds {kind}, numbers were expected") from None
    return Columns(names, table["ts"], symbol, values)


def _header(data: bytes, name: str) -> tuple[list[str], str]:
    """The column names of the first line and the delimiter that parts them."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"{name}: line {line} is not text (UTF-8), so this is not a CSV file") from None
    text = data.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8-sig")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        return next(csv.reader([text], delimiter=delimiter), []), delimiter
    except csv.Error as error:
        raise DataError(f"{name}: line 1 is not a CSV header ({error})") from None


def _read_csv(data: bytes, name: str) -> Columns:
    import pyarrow as pa
    import pyarrow.csv as pc

    found, delimiter = _header(data, name)
    names = _choose(found, name)
    types = {column: pa.float64() if ours in VALUES else pa.string() for ours, column in names.items()}
    parse = pc.ParseOptions(delimiter=delimiter)
    convert = pc.ConvertOptions(column_types=types, include_columns=list(types))
    try:
        table = pc.read_csv(pa.BufferReader(data), parse_options=parse, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise DataError(_diagnose(data, name, names, delimiter) or f"{name}: {_first_line(error)}") from None
    table = table.select(list(names.values())).rename_columns(list(names))
    values = {value: floats(table[value]) for value in VALUES}
    return Columns(names, table["ts"], table["symbol"] if "symbol" in names else None, values)


def _diagnose(data: bytes, name: str, names: dict[str, str], delimiter: str) -> str | None:
    """A second, slow reading of a CSV that failed, to name the row and value at fault."""
    import pyarrow as pa
    import pyarrow.csv as pc

    torn: list[str] = []

    def note(row: Any) -> str:
        if not torn:
            counts = f"{row.actual_columns} fields, {row.expected_columns} were expected"
            torn.append(f"{name}: row {row.number - 1} has {counts}: {row.text[:60]!r}")
        return "skip"

    convert = pc.ConvertOptions(
        column_types={column: pa.string() for column in names.values()}, include_columns=list(names.values())
    )
    try:
        table = pc.read_csv(
            pa.BufferReader(data),
            read_options=pc.ReadOptions(use_threads=False),
            parse_options=pc.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
            convert_options=convert,
        )
    except (pa.ArrowException, OSError):
        return torn[0] if torn else None
    if torn:
        return torn[0]
    for ours in VALUES:
        for i, text in enumerate(table[names[ours]].to_pylist(), start=1):
            if not _is_number(text):
                return f"{name}: row {i}, column {names[ours]!r}: {text[:40]!r} is not a number"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() == ""
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
