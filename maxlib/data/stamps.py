"""Time stamps of a file: from whatever the vendor wrote to UTC ns at each bar's START.

Three things have to be found out: the instant a stamp means (text, epoch number or
Parquet timestamp), the zone of stamps without an offset, and the edge of the minute
that the vendor stamps. A zone that cannot be decided is asked for; an edge without
evidence is taken as the start (at worst a minute late), and the report says so.
"""

from __future__ import annotations

import re
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.data.columns import ints
from maxlib.market.bars import NS_PER_MINUTE, RTH_CLOSE, RTH_OPEN
from maxlib.market.calendar import FIRST, LAST, from_ordinal, new_york_minutes, ordinal, session

Stamps = NDArray[np.int64]
Floats = NDArray[np.float64]

_DIGITS: Final = re.compile(r"-?\d{8,}")
_OFFSET: Final = re.compile(r"\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$")
# Epoch units by size: seconds of 1990-2100 are 0.63e9 to 4.1e9, and so on by thousands.
_EPOCHS: Final = (
    ("seconds", 1_000_000_000),
    ("milliseconds", 1_000_000),
    ("microseconds", 1_000),
    ("nanoseconds", 1),
)
_EPOCH_FIRST: Final = 631_152_000
_EPOCH_LAST: Final = 4_102_444_800
_NS_PER_HOUR: Final = 60 * NS_PER_MINUTE
_CLEAR: Final = 0.6  # share of the trading that regular hours must hold under the right zone
_MARGIN: Final = 0.2  # and by how much it must beat the other zone
_AGREE: Final = 0.8  # share of the days that must say the same
_JUMP: Final = 3.0  # the first regular minute trades this many times the minute before


def parse(column: Any, name: str, header: str) -> tuple[Stamps, bool]:
    """Stamps in ns, and whether they are instants (True) or wall-clock times of an unknown zone.

    Parameters
    ----------
    column : pyarrow ChunkedArray
        Text, integers or timestamps.
    name, header : str
        File and column, for the error sentence.

    Raises
    ------
    DataError
        Names the first row that is not a time, or not of the same kind as the others.
    """
    import pyarrow as pa
    import pyarrow.types as kinds

    where = f"{name}: column {header!r}"
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise DataError(f"{where}, row {row}: there is no time stamp")
    kind = column.type
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        first = column[0].as_py() if len(column) else ""
        if not _DIGITS.fullmatch(first):
            return _parse_text(column, where, first)
        try:
            return _from_epoch(column.cast(pa.int64()), where)
        except pa.ArrowException:
            row, text = _first_bad(column, pa.int64())
            raise DataError(f"{where}, row {row}: {text!r} is not an epoch number like {first!r}") from None
    if kinds.is_integer(kind):
        return _from_epoch(column.cast(pa.int64()), where)
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        try:
            nanos = column.cast(pa.timestamp("ns", getattr(kind, "tz", None)))
        except pa.ArrowException:
            raise DataError(f"{where}: a time lies outside the years 1677 to 2262") from None
        return ints(nanos), getattr(kind, "tz", None) is not None
    raise DataError(f"{where}: holds {kind}, times were expected")


def _parse_text(column: Any, where: str, first: str) -> tuple[Stamps, bool]:
    import pyarrow as pa

    aware = _OFFSET.search(first) is not None
    kind = pa.timestamp("ns", "UTC" if aware else None)
    try:
        return ints(column.cast(kind)), aware
    except pa.ArrowException:
        row, text = _first_bad(column, kind)
    if _OFFSET.search(text) and not aware:
        raise DataError(
            f"{where}: mixed zones, row {row} ({text!r}) has an offset and row 1 ({first!r}) has none"
        )
    if aware and _parses(column.slice(row - 1, 1), pa.timestamp("ns")):
        raise DataError(
            f"{where}: mixed zones, row {row} ({text!r}) has no offset and row 1 ({first!r}) has one"
        )
    raise DataError(
        f"{where}, row {row}: {text!r} is not a time such as '2025-01-02 09:30:00' or an epoch number"
    )


def _parses(column: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        column.cast(kind)
    except pa.ArrowException:
        return False
    return True


def _first_bad(column: Any, kind: Any) -> tuple[int, str]:
    """Row (from 1) and text of the first value that cannot be cast; found by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        if _parses(column.slice(low, middle - low), kind):
            low = middle
        else:
            high = middle
    return low + 1, str(column[low].as_py())[:40]


def _from_epoch(column: Any, where: str) -> tuple[Stamps, bool]:
    numbers = ints(column)
    if not len(numbers):
        return numbers, True
    middle = int(np.sort(numbers)[len(numbers) // 2])
    for unit, ns in _EPOCHS:
        per_second = 1_000_000_000 // ns
        if _EPOCH_FIRST * per_second <= middle < _EPOCH_LAST * per_second:
            outside = (numbers < _EPOCH_FIRST * per_second) | (numbers >= _EPOCH_LAST * per_second)
            if outside.any():
                row = int(outside.argmax())
                raise DataError(
                    f"{where}, row {row + 1}: {numbers[row]} is not an epoch time "
                    f"in {unit} between 1990 and 2100"
                )
            return numbers * ns, True
    raise DataError(f"{where}: {middle} is not an epoch time in s, ms, us or ns between 1990 and 2100")


def choose_zone(wall: Stamps, volume: Floats, name: str) -> tuple[str, str]:
    """The zone of naive stamps, and the sentence that says why.

    New York or UTC: the one under which regular hours (09:30-16:00 New York) hold
    most of the volume (of the bars, when no volume is given).

    Raises
    ------
    DataError
        If neither holds most of it clearly, or trading does not pick up at 09:30.
    """
    weight = np.where(np.isfinite(volume) & (volume > 0), volume, 0.0)
    if not weight.sum():
        weight = np.ones(len(wall))
    shares = {}
    for zone, minutes in (("America/New_York", wall // NS_PER_MINUTE), ("UTC", new_york_minutes(wall))):
        minute = minutes % 1440
        regular = (minute >= RTH_OPEN) & (minute < RTH_CLOSE)
        shares[zone] = float(weight[regular].sum() / weight.sum())
    best = max(shares, key=lambda zone: shares[zone])
    text = f"{shares['America/New_York']:.0%} of the trading falls into regular hours as New York time"
    text += f", {shares['UTC']:.0%} as UTC"
    if shares[best] < _CLEAR or shares[best] - min(shares.values()) < _MARGIN:
        raise DataError(
            f"{name}: stamps carry no zone and {text}; set data.zone (e.g. America/New_York or UTC)"
        )
    before, start, end = _opening(to_utc(wall, best, name), volume)
    days, open_days = int(before.sum()), int(((start | end) & before).sum())
    if open_days < _AGREE * days:  # another zone, or New York time without its summer clock
        raise DataError(
            f"{name}: stamps carry no zone and trading picks up at 09:30 as {best} time on only "
            f"{open_days} of {days} days; set data.zone (e.g. America/Chicago or EST)"
        )
    return best, f"stamps carry no zone; read as {best} because {text}"


def to_utc(wall: Stamps, zone: str, name: str) -> Stamps:
    """UTC ns of wall-clock ns in an IANA zone.

    Raises
    ------
    DataError
        If a stamp falls into an hour that the zone's clock change skips or repeats.
    """
    if zone == "UTC":
        return wall
    # Zones change on whole hours, so one look-up per hour serves all of its bars.
    hours, where = np.unique(wall // _NS_PER_HOUR, return_inverse=True)
    tz = ZoneInfo(zone)
    offsets = np.empty(len(hours), np.int64)
    for i, hour in enumerate(hours):
        local = (np.datetime64(0, "s") + np.timedelta64(int(hour) * 3600, "s")).item()
        offset, other = (local.replace(tzinfo=tz, fold=fold).utcoffset() for fold in (0, 1))
        if offset is None or offset != other:
            row = int((where == i).argmax()) + 1
            raise DataError(
                f"{name}: row {row}, {local:%Y-%m-%d %H}h falls into a clock change of {zone}, so it is not "
                "clear which hour is meant; export the file with UTC offsets"
            )
        offsets[i] = int(offset.total_seconds()) * 1_000_000_000
    utc: Stamps = wall - offsets[where]
    return utc


def _opening(utc: Stamps, volume: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Per New York date: traded before 09:30?  Volume jumps at the stamp 09:30?  At 09:31?"""
    local = new_york_minutes(utc)
    dates, day = np.unique(local // 1440, return_inverse=True)
    minute = local % 1440
    traded = np.zeros((3, len(dates)))
    for i, m in enumerate((RTH_OPEN - 1, RTH_OPEN, RTH_OPEN + 1)):
        here = minute == m
        traded[i, day[here]] = np.nan_to_num(volume[here], nan=0.0, posinf=0.0, neginf=0.0)
    before = np.zeros(len(dates), np.bool_)
    before[day[(minute < RTH_OPEN) & (minute >= RTH_OPEN - 30)]] = True
    after = np.zeros(len(dates), np.bool_)
    after[day[(minute > RTH_OPEN) & (minute < RTH_OPEN + 30)]] = True
    start = traded[1] > _JUMP * traded[0]
    end = ~start & (traded[2] > _JUMP * traded[1])
    return before & after, start, end


def choose_edge(utc: Stamps, volume: Floats, name: str) -> tuple[str, str]:
    """Which edge of its minute a bar is stamped with, "start" or "end", and why.

    Each day votes: by the minute at which volume jumps (09:30 is START, 09:31 is END), or,
    when nothing jumps, by a last stamp at the close (END) or one minute before it (START).

    Raises
    ------
    DataError
        If the days contradict each other: a minute's error is a minute's look-ahead.
    """
    _, start, end = _opening(utc, volume)
    local = new_york_minutes(utc)
    dates, day = np.unique(local // 1440, return_inverse=True)
    last = np.zeros(len(dates), np.int64)
    np.maximum.at(last, day, local % 1440)
    for i in np.flatnonzero(~start & ~end):
        hours = session(from_ordinal(dates[i]))
        if hours is not None:
            start[i] = last[i] == hours.close_minute - 1
            end[i] = last[i] == hours.close_minute
    votes = {"start": int(start.sum()), "end": int(end.sum())}
    total = sum(votes.values())
    if not total:
        return "start", "no day shows whether stamps are the bar's start or end; taken as START"
    best = max(votes, key=lambda edge: votes[edge])
    if votes[best] < _AGREE * total:
        raise DataError(
            f"{name}: on {votes['start']} days bars seem stamped at their start and on {votes['end']} "
            "at their end; set data.stamped to start or end"
        )
    return best, f"bars are stamped at their {best.upper()}, as {votes[best]} of {total} days show"


def check_spacing(stamps: Stamps, name: str) -> None:
    """Refuse files whose bars are not one minute long, going by the usual distance of stamps.

    Raises
    ------
    DataError
    """
    gaps = np.diff(np.sort(stamps))
    gaps = gaps[gaps > 0]
    if not len(gaps) or 2 * int((gaps == NS_PER_MINUTE).sum()) > len(gaps):
        return
    spacing, count = np.unique(gaps, return_counts=True)
    usual = int(spacing[count.argmax()])
    if usual != NS_PER_MINUTE:
        raise DataError(f"{name}: bars are mostly {_length(usual)} apart; one-minute bars are needed")


def check_years(utc: Stamps, name: str) -> None:
    """Refuse stamps outside the session calendar.

    Raises
    ------
    DataError
    """
    dates = new_york_minutes(utc) // 1440
    outside = (dates < ordinal(FIRST)) | (dates > ordinal(LAST))
    if outside.any():
        row = int(outside.argmax())
        date = np.datetime64(int(dates[row]), "D")
        raise DataError(f"{name}: row {row + 1} is of {date}; the session calendar covers {FIRST} to {LAST}")


def _length(ns: int) -> str:
    for unit, size in (("day", 1440 * NS_PER_MINUTE), ("hour", _NS_PER_HOUR), ("minute", NS_PER_MINUTE)):
        if ns >= size:
            return f"{ns / size:g} {unit}{'' if ns == size else 's'}"
    return f"{ns / 1e9:g} seconds"
