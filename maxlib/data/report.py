"""What the quality gate saw: a record for journals and sentences for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

EXAMPLES: Final = 3
"""How many places a check shows; the count is always of all."""


@dataclass(frozen=True)
class Check:
    """One thing the gate counts.

    Attributes
    ----------
    name : str
        A key of `MEANING`.
    count : int
        0 = looked for and not found.
    examples : tuple of str
        The first few places, New York time at the bar's START, or dates.
    more : int
        How many places there are besides.
    """

    name: str
    count: int
    examples: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Repair:
    """A named rule that changed the bars, and how many rows it touched."""

    rule: str
    rows: int


@dataclass(frozen=True)
class Gap:
    """Regular minutes in a row that have no bar.

    Attributes
    ----------
    date, time : str
        New York date and time (HH:MM) of the first missing minute.
    minutes : int
    cause : str or None
        The market-wide halt that explains all of them; None = unexplained.
    """

    date: str
    time: str
    minutes: int
    cause: str | None = None


MEANING: Final = {
    "exact_duplicates": "bars that repeat another one exactly",
    "backward_steps": "places where time runs backwards in the source",
    "closed_day_bars": "extended-hours bars on dates when the exchange is closed",
    "missing_sessions": "sessions between the first and the last date without a single bar",
    "incomplete_sessions": "sessions that start late or stop before their close",
    "missing_minutes": "regular minutes without a bar that no halt explains",
    "halt_minutes": "regular minutes without a bar inside a market-wide halt",
    "half_days": "half days",
    "price_jumps": "bars that reach more than 20 % away from the close before them",
    "zero_volume": "bars without volume",
    "no_premarket": "sessions without a bar from 03:00 to 09:30 (no London levels)",
    "no_evening": "sessions without a bar from 18:00 to 03:00 (no Asia levels)",
}
"""The checks, in the order in which they are shown. All but the duplicates, the order, the
incomplete sessions and the jumps are shown only: they refuse nothing and change nothing."""


@dataclass(frozen=True)
class QualityReport:
    """Everything the gate counted, repaired or let through, for one source.

    Attributes
    ----------
    name : str
        File name or label of the source.
    rows, bars : int
        Rows offered and bars accepted.
    first, last : str
        New York time at which the first and the last accepted bar begin.
    sessions : int
        Regular sessions with at least one bar in regular hours.
    checks : tuple of Check
        One per key of `MEANING`, zero counts included.
    repairs : tuple of Repair
        Rules that were applied; empty = the bars are as the source gave them.
    gaps : tuple of Gap
        All runs of missing regular minutes, halts included, in time order.
    notes : tuple of str
        What was found out about the source (zone, edge of the stamps, import).
    """

    name: str
    rows: int
    bars: int
    first: str
    last: str
    sessions: int
    checks: tuple[Check, ...]
    repairs: tuple[Repair, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]

    def check(self, name: str) -> Check:
        """The check called `name`; KeyError if there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def count(self, name: str) -> int:
        """How often the check called `name` struck."""
        return self.check(name).count

    @property
    def halts(self) -> tuple[Gap, ...]:
        """The gaps that a market-wide halt explains."""
        return tuple(gap for gap in self.gaps if gap.cause)

    @property
    def missing(self) -> dict[str, int]:
        """Date -> regular minutes missing on it that no halt explains."""
        days: dict[str, int] = {}
        for gap in self.gaps:
            if gap.cause is None:
                days[gap.date] = days.get(gap.date, 0) + gap.minutes
        return days

    def as_dict(self) -> dict[str, Any]:
        """The report as plain lists, dicts, numbers and text, ready for JSON."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def lines(self) -> list[str]:
        """The report in sentences; what did not occur is left out."""
        lines = [
            f"{self.name}: {self.bars:,} bars of {self.rows:,} rows, {self.sessions} sessions.",
            f"From {self.first} to {self.last} New York time.",
            *(f"Source: {note}." for note in self.notes),
            *(f"Repaired by rule {repair.rule}: {repair.rows:,} rows." for repair in self.repairs),
        ]
        for check in self.checks:
            if check.count:
                places = [*check.examples, *([f"{check.more:,} more"] if check.more else [])]
                shown = f" ({', '.join(places)})" if places else ""
                meaning = MEANING[check.name]
                lines.append(f"{meaning[0].upper()}{meaning[1:]}: {check.count:,}{shown}.")
        lines += [f"{gap.cause}: {gap.minutes} minutes without trade." for gap in self.halts]
        return lines


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
