"""Shares of money, exact: a boundary of 8 % lies at 8 %, not at the double next to it."""

from __future__ import annotations

from typing import Final

MILLION: Final = 1_000_000


def millionths(fraction: float) -> int:
    """A fraction of a config in whole millionths: 0.08 is 80,000, although no double is 0.08."""
    return round(fraction * MILLION)


def part(cents: int, fraction: float) -> int:
    """Whole cents of a fraction of `cents`, rounded down.

    >>> part(2_500_000, 0.02), part(99, 0.01)
    (50000, 0)
    """
    return cents * millionths(fraction) // MILLION


def reaches(loss: int, whole: int, fraction: float) -> bool:
    """Whether a loss is at least a fraction of the whole; of nothing (or less), any loss is.

    >>> reaches(200_000, 2_500_000, 0.08), reaches(199_999, 2_500_000, 0.08)
    (True, False)
    """
    return loss > 0 and loss * MILLION >= millionths(fraction) * whole


def percent(loss: int, whole: int) -> float:
    """A loss in per cent of the whole; 100 of nothing (or less)."""
    return 100.0 * loss / whole if whole > 0 else 100.0
