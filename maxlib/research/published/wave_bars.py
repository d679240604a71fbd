"""Bars as the original read them: sorted by time, repeats kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError, DataError
from maxlib.data import DataConfig, files, resolve
from maxlib.data.raw import when
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import stamp

Rows = NDArray[np.void]


def repeated_bars(data: DataConfig) -> Rows:
    """The bars of a file without the quality gate: repeats stand next to each other.

    Raises
    ------
    ConfigError
        If the source is no file: only files repeat bars.
    DataError
        If the file cannot be read.
    """
    if data.source != "file" or data.path is None:
        raise ConfigError(f"data.source {data.source!r}: published bars with repeats need source 'file'")
    raw = files.read(resolve(data.path), symbol=data.symbol, zone=data.zone, stamped=data.stamped)
    raw = raw.between(data.start, data.end)
    raw = raw.take(np.argsort(raw.start, kind="stable"))
    return stamp(raw.start, raw.open, raw.high, raw.low, raw.close, raw.volume)


def once(bars: Rows) -> Rows:
    """Each minute once.

    Raises
    ------
    DataError
        If two bars of one minute differ: then nobody knows which one to keep.
    """
    again = np.flatnonzero(bars["ts"][1:] == bars["ts"][:-1]) + 1
    if len(again) == 0:
        return bars
    wrong = again[bars[again] != bars[again - 1]]
    if len(wrong):
        at = when(int(bars["ts"][wrong[0]]) - NS_PER_MINUTE)
        raise DataError(f"published bars: {len(wrong)} repeats differ from their first, first at {at}")
    return np.delete(bars, again)
