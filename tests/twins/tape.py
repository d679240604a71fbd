"""Bars as plain lists: what every twin reads."""

from typing import Any, NamedTuple

from maxlib.market.bars import BAR


class Tape(NamedTuple):
    """One list per bar field, in the order of the bar record."""

    ts: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    day: list[int]
    minute: list[int]
    close_minute: list[int]
    session: list[int]

    def __len__(self) -> int:
        return len(self.ts)


def tape(bars: Any) -> Tape:
    return Tape(*(bars[name].tolist() for name in BAR.names))


def starts_of(keys: list[Any]) -> list[int]:
    """Positions at which a run of equal keys begins, and the length of the list."""
    return [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]] + [len(keys)]
