"""The P&L as two lines that meet at zero: what is above it in one colour, what is below in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from maxlib.engine.session_views import BarView
from maxlib.market.calendar import new_york

_SECOND: Final = 1_000_000_000


class Columns(NamedTuple):
    """Points of the two lines: New York times, and dollars, None where the line is interrupted."""

    gain_x: list[str]
    gain_y: list[float | None]
    loss_x: list[str]
    loss_y: list[float | None]


class PnlLine:
    """Splits a P&L that comes bar by bar; where it crosses zero between two, both lines get that point."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None

    def split(self, bars: Sequence[BarView]) -> Columns:
        """The points of these bars, which follow those given before."""
        made = Columns([], [], [], [])
        for bar in bars:
            value = None if bar.pnl_cents is None else bar.pnl_cents / 100
            if value is not None and self._before is not None:
                _cross(made, *self._before, bar.ts, value)
            at = stamp(bar.ts)
            _add(made.gain_x, made.gain_y, at, None if value is None or value < 0 else value)
            _add(made.loss_x, made.loss_y, at, None if value is None or value >= 0 else value)
            self._before = None if value is None else (bar.ts, value)
        return made


def _cross(made: Columns, since: int, old: float, ts: int, new: float) -> None:
    """End one line and begin the other at zero, on the straight line between the two points."""
    if (old < 0) == (new < 0):
        return
    at = stamp(since + round((ts - since) * old / (old - new)))
    _add(made.gain_x, made.gain_y, at, 0.0)
    _add(made.loss_x, made.loss_y, at, 0.0)


def _add(x: list[str], y: list[float | None], at: str, value: float | None) -> None:
    x.append(at)
    y.append(value)


def stamp(ts: int) -> str:
    """New York wall time to the second as plotly takes it."""
    return f"{new_york(ts // _SECOND * _SECOND):%Y-%m-%d %H:%M:%S}"


def traces(axis: str, gain: str, loss: str) -> list[dict[str, Any]]:
    """The two empty lines, each filled to zero in its colour."""
    return [
        {
            "type": "scatter", "mode": "lines", "x": [], "y": [], "yaxis": axis, "fill": "tozeroy",
            "line": {"color": colour, "width": 1.5}, "fillcolor": f"{colour}22", "hoverinfo": "skip",
        }
        for colour in (gain, loss)
    ]  # fmt: skip
