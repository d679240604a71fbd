"""Small bar files made by hand for the tests of the data room."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from maxlib.data.raw import Raw

DAY = dt.date(2025, 1, 2)
"""A Thursday with a full session, in winter: New York is UTC-5."""
OPEN_UTC = dt.datetime(2025, 1, 2, 14, 30, tzinfo=dt.UTC)
"""09:30 New York on DAY."""
HEADER = "timestamp,open,high,low,close,volume"


def minutes(first: dt.datetime, count: int) -> list[dt.datetime]:
    return [first + dt.timedelta(minutes=i) for i in range(count)]


def wall(text: str) -> dt.datetime:
    """A wall-clock time without a zone, as naive files have it."""
    return dt.datetime.fromisoformat(text)


def session_rows(first: dt.datetime = OPEN_UTC, count: int = 390) -> list[list[Any]]:
    """Rows of a quiet session: price near 500, heavy volume in the first minute."""
    return [
        [stamp, 500 + i % 7 / 100, 500.5, 499.5, 500 + i % 5 / 100, 900_000 if i == 0 else 10_000]
        for i, stamp in enumerate(minutes(first, count))
    ]


def csv_text(rows: list[list[Any]], form: str = "%Y-%m-%dT%H:%M:%S+00:00", header: str = HEADER) -> str:
    lines = [header]
    for stamp, *values in rows:
        text = stamp.strftime(form) if isinstance(stamp, dt.datetime) else str(stamp)
        lines.append(",".join([text, *map(str, values)]))
    return "\n".join(lines) + "\n"


def write(folder: Path, rows: list[list[Any]], name: str = "made.csv", **options: Any) -> Path:
    path = folder / name
    path.write_text(csv_text(rows, **options))
    return path


def raw_of(rows: list[list[Any]], name: str = "made") -> Raw:
    """The rows as a source would hand them to the gate; stamps are aware datetimes."""
    start = np.array([int(row[0].timestamp() * 1e6) * 1000 for row in rows], np.int64)
    columns = [np.array([row[i] for row in rows], np.float64) for i in range(1, 6)]
    return Raw(name, start, *columns, np.arange(1, len(rows) + 1))


def new_york(date: str, clock: str, count: int) -> list[list[Any]]:
    """Rows of `count` minutes from a New York wall-clock time in winter (UTC-5)."""
    first = dt.datetime.fromisoformat(f"{date}T{clock}:00-05:00").astimezone(dt.UTC)
    return session_rows(first, count)
