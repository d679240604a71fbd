"""The prefix audit: cut the tape anywhere, and nothing that was said before may change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.engine.backtest import Run, backtest
from maxlib.engine.machine import MachineConfig
from maxlib.strategies.strategy import Strategy

Rows = NDArray[np.void]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    cuts : points at which the tape was cut
    signal_rows, journal_entries : outputs compared in all
    rewritten : outputs that a longer tape changed, added late or withdrew; must be 0
    examples : the first few, in words
    """

    cuts: int
    signal_rows: int
    journal_entries: int
    rewritten: int
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def audit(
    bars: Rows,
    strategy: Strategy,
    config: MachineConfig,
    cuts: int,
    seed: int = 0,
    level: NDArray[np.float64] | None = None,
) -> Audit:
    """Run the whole tape and `cuts` prefixes of it, and compare every output.

    Compared are the strategy's output of each bar (all fields, bit for bit), the
    volatility, and the journal: the journal of a prefix must be a prefix of the
    whole journal and hold everything that was known by then.

    Raises
    ------
    ConfigError
        If there are fewer bars than cuts need.
    """
    if cuts < 1 or cuts >= len(bars):
        raise ConfigError(f"--cuts {cuts}: should be from 1 to {len(bars) - 1}, the number of bars less one")
    whole = backtest(bars, strategy, config, "audit", finish=False, level=level)
    points = np.random.default_rng(seed).choice(np.arange(1, len(bars)), size=cuts, replace=False)
    rows = entries = rewritten = 0
    examples: list[str] = []
    for k in sorted(points.tolist()):
        known = None if level is None else level[:k]
        part = backtest(bars[:k], strategy, config, "audit", finish=False, level=known)
        wrong = _changed_rows(part, whole, k)
        late = _journal_differences(part, whole, k)
        rows += k
        entries += len(part.journal.entries)
        rewritten += len(wrong) + late
        if (len(wrong) or late) and len(examples) < 5:
            where = f", first at bar {wrong[0]}" if len(wrong) else ""
            examples.append(
                f"cut after bar {k}: {len(wrong)} outputs and {late} journal entries differ{where}"
            )
    return Audit(cuts, rows, entries, rewritten, examples)


def _changed_rows(part: Run, whole: Run, k: int) -> NDArray[np.int64]:
    """Indices of bars whose output differs in any bit."""
    a, b = _bytes(part.out), _bytes(whole.out[:k])
    differs = (a != b).any(axis=1) | (part.sigma.view("i8") != whole.sigma[:k].view("i8"))
    return np.flatnonzero(differs)


def _bytes(rows: Rows) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _journal_differences(part: Run, whole: Run, k: int) -> int:
    """Entries of the prefix's journal that the whole one does not start with, and the reverse."""
    mine, theirs = part.journal.entries, whole.journal.entries
    same = 0
    while same < min(len(mine), len(theirs)) and mine[same].hash == theirs[same].hash:
        same += 1
    cut = int(whole.bars["ts"][k - 1])
    # What the next bar's open does may carry the very stamp of the cut; anything older was due.
    due = sum(1 for entry in theirs[same:] if entry.ts < cut or (entry.ts == cut and entry.kind in _AT_CLOSE))
    return len(mine) - same + due


_AT_CLOSE = {"signal", "denied", "order"}
