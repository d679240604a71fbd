"""Daily VIX closes from a file."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.market.calendar import ordinal

VIX: Final = np.dtype([("day", "i4"), ("close", "f8")])
_FORMATS: Final = ("%Y-%m-%d", "%m/%d/%Y")


def read_vix(path: Path) -> NDArray[np.void]:
    """Daily closes in points, VIX[n] by day; `day` as in `BAR.day`.

    A CSV or Parquet file with columns date (2025-01-31 or 01/31/2025) and close, in any case.

    Raises
    ------
    DataError
        If the file, a column or a value cannot be used.
    """
    rows = _rows(path)
    found: dict[int, float] = {}
    for number, (date, close) in enumerate(rows, start=1):
        day, value = _day(path, number, date), _number(close)
        if value is None or not 0.0 < value < 1000.0:
            raise DataError(f"{path.name}: row {number}: close {close!r} should be a VIX above 0, in points")
        if found.get(day, value) != value:
            raise DataError(f"{path.name}: row {number}: {date} has two closes, {found[day]:g} and {value:g}")
        found[day] = value
    if not found:
        raise DataError(f"{path.name}: holds no VIX closes")
    return np.array(sorted(found.items()), VIX)


def _rows(path: Path) -> list[tuple[Any, Any]]:
    if not path.is_file():
        raise DataError(f"VIX file {path} does not exist")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        names = {name.lower(): name for name in table.column_names}
        columns = [table[names[n]].to_pylist() for n in ("date", "close") if n in names]
    else:
        with path.open(newline="", encoding="utf-8-sig") as file:
            read = list(csv.DictReader(file))
        names = {name.strip().lower(): name for name in (read[0] if read else ())}
        columns = [[row[names[n]] for row in read] for n in ("date", "close") if n in names]
    if len(columns) < 2:
        raise DataError(f"{path.name}: needs the columns date and close (got {', '.join(names) or 'none'})")
    return list(zip(*columns, strict=True))


def _day(path: Path, number: int, date: Any) -> int:
    if isinstance(date, dt.date):
        return ordinal(date)
    for form in _FORMATS:
        try:
            return ordinal(dt.datetime.strptime(str(date).strip(), form).replace(tzinfo=dt.UTC).date())
        except ValueError:
            continue
    raise DataError(f"{path.name}: row {number}: date {date!r} should be like 2025-01-31 or 01/31/2025")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
