"""Vendor columns on their way to the quality gate."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from maxlib.core.errors import DataError
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york, to_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRICES: Final = ("open", "high", "low", "close")
VALUES: Final = (*PRICES, "volume")


@dataclass(frozen=True)
class Raw:
    """One-minute bars as a source gave them: in its order, with its blemishes.

    Attributes
    ----------
    name : str
        File name or label, without folders: it ends up in reports.
    start : int64[n]
        UTC ns at which each bar BEGINS, whatever the source stamped.
    open, high, low, close, volume : float64[n]
        Dollars and shares; NaN where the source had nothing.
    row : int64[n]
        Where a bar stood in the source: data rows count from 1, the header not counted.
    notes : tuple of str
        What was found out about the source on the way, one sentence each.
    file_sha256 : str or None
        Hex SHA-256 of the source file's bytes.
    simulated : bool
        They never traded, and were kept in a catalog under a name that says so.
    """

    name: str
    start: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    row: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    file_sha256: str | None = None
    simulated: bool = False

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: NDArray[Any] | slice) -> Raw:
        """The bars selected by a mask, an index array or a slice."""
        columns = {name: getattr(self, name)[which] for name in ("start", *VALUES, "row")}
        return replace(self, **columns)

    def when(self, i: int) -> str:
        """New York wall-clock time at which bar `i` begins, to the minute (or finer if it has to be)."""
        return when(int(self.start[i]))

    def between(self, first: dt.date | None, last: dt.date | None) -> Raw:
        """The bars that begin on the New York dates `first` to `last`, both included.

        Raises
        ------
        DataError
            If no bar is left.
        """
        if not len(self) or (first is None and last is None):
            return self
        keep = np.ones(len(self), np.bool_)
        if first is not None:
            keep &= self.start >= to_ns(first, 0)
        if last is not None:
            keep &= self.start < to_ns(last + dt.timedelta(days=1), 0)
        if not keep.any():
            begin, end = self.when(int(self.start.argmin())), self.when(int(self.start.argmax()))
            raise DataError(
                f"{self.name}: no bars from {first or 'its start'} to {last or 'its end'}; "
                f"the bars run from {begin} to {end} New York time"
            )
        return self if keep.all() else self.take(keep)


def from_bars(bars: NDArray[np.void], name: str, notes: tuple[str, ...] = ()) -> Raw:
    """`Raw` columns of a BAR array, so that any source can pass the same gate."""
    values: dict[str, Any] = {value: np.ascontiguousarray(bars[value]) for value in VALUES}
    rows = np.arange(1, len(bars) + 1)
    return Raw(name, bars["ts"] - NS_PER_MINUTE, **values, row=rows, notes=notes)


def when(start: int) -> str:
    """New York wall-clock text of a UTC ns stamp: minutes, or microseconds when it is not a whole minute."""
    form = "%Y-%m-%d %H:%M" if start % NS_PER_MINUTE == 0 else "%Y-%m-%d %H:%M:%S.%f"
    return new_york(start).strftime(form)
