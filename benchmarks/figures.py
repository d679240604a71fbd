"""Figures: what a benchmark returns, as a table and as JSON."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from benchmarks.measure import Time

_TESTS: Final = {"<": operator.lt, "≤": operator.le, "=": operator.eq, "≥": operator.ge}


class Figure(NamedTuple):
    """One measured number.

    value : by wall time where it is a time, a rate or a ratio; None = not measured, `note` says why
    cpu : the same by CPU time; None where it makes no sense
    goal : such as "< 0.5"
    """

    name: str
    unit: str
    value: float | None
    cpu: float | None = None
    goal: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value meets the goal; None without a goal or a value."""
        return self._meets(self.value)

    @property
    def met_by_cpu(self) -> bool | None:
        """The same for the CPU figure: what a machine without other work would show."""
        return self._meets(self.cpu)

    def _meets(self, value: float | None) -> bool | None:
        if not self.goal or value is None:
            return None
        sign, bound = self.goal.split()
        return bool(_TESTS[sign](value, float(bound)))

    @property
    def verdict(self) -> str:
        """One of "yes", "by CPU" (the wall clock was too slow, the program was not), "NO" or nothing."""
        if self.met is None:
            return ""
        return "yes" if self.met else "by CPU" if self.met_by_cpu else "NO"


def lasting(name: str, time: Time, unit: str = "s", goal: str = "", note: str = "") -> Figure:
    """A duration in "s", "ms", "µs" or "ns"; "µs/bar" and the like count by what stands before the slash."""
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}[unit.split("/")[0]]
    return Figure(name, unit, time.wall * scale, time.cpu * scale, goal, note)


def rate(name: str, bars: int, time: Time, goal: str = "", note: str = "") -> Figure:
    """Bars per second, in millions."""
    return Figure(name, "M bars/s", bars / time.wall / 1e6, bars / time.cpu / 1e6, goal, note)


def ratio(name: str, peer: Time, ours: Time, goal: str = "", note: str = "") -> Figure:
    """How many times longer the peer takes."""
    return Figure(name, "×", peer.wall / ours.wall, peer.cpu / ours.cpu, goal, note)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(figures: Iterable[Figure]) -> str:
    """Plain text, one line a figure."""
    head = ("figure", "wall", "CPU", "unit", "goal", "met", "note")
    rows = [head] + [
        (f.name, _number(f.value), _number(f.cpu), f.unit, f.goal, f.verdict, f.note) for f in figures
    ]
    width = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(width[0])]
        cells += [row[i].rjust(width[i]) for i in (1, 2)]
        cells += [row[i].ljust(width[i]) for i in (3, 4, 5)]
        lines.append("  ".join([*cells, row[6]]).rstrip())
    return "\n".join(lines)


def plain(figure: Figure) -> dict[str, Any]:
    """The figure for JSON."""
    return {**figure._asdict(), "met": figure.met, "met_by_cpu": figure.met_by_cpu}
