"""500 rows of the EMA cross over 180,180 bars, against vectorbt on the same bars in the same run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.ema_cross import EMA_CROSS
from benchmarks.figures import Figure, lasting, ratio
from benchmarks.measure import Time, once, rounds
from benchmarks.peer import MissingError, Vectorbt
from benchmarks.tapes import bars, saved

_SHOWN = 3


def figures(count: int = 180_180, rows: int = 500, repeats: int = 3, *, peer: bool = True) -> list[Figure]:
    tape = bars(count)
    # 9/21 first, then fast 5..14 with slow 16..65.
    pairs = [(9, 21)] + [(f, s) for f in range(5, 15) for s in range(16, 66) if (f, s) != (9, 21)]
    fasts, slows = (list(some)[:rows] for some in zip(*pairs, strict=True))
    many = EMA_CROSS.params(fast=np.array(fasts), slow=np.array(slows))
    works: dict[str, Callable[[], Time]] = {
        "one": partial(once, partial(EMA_CROSS.run, tape, many[:1])),
        "sweep": partial(once, partial(EMA_CROSS.sweep, tape, many)),
    }
    try:
        if not peer:
            raise MissingError("vectorbt was not asked for")
        with Vectorbt(saved(count), fasts, slows) as other:
            works["vectorbt one"] = lambda: other.ask("profit", 1)[0]
            works["vectorbt sweep"] = lambda: other.ask("profit", rows)[0]
            times = rounds(works, repeats)
            said = _compared(other, EMA_CROSS.sweep(tape, many)[1], rows)
            name = f"vectorbt {other.version}"
    except MissingError as error:  # raised before any of its works is listed
        times, name, said = rounds(works, repeats), "vectorbt", str(error)
    found = [
        lasting(f"EMA 9/21, {count} bars, one run", times["one"], "ms"),
        lasting(f"EMA cross, {rows} rows", times["sweep"], "s", "", "2 threads at most"),
    ]
    if "vectorbt sweep" not in times:
        return [*found, Figure(f"EMA cross, {rows} rows: {name} ÷ ours", "×", None, goal="≥ 10", note=said)]
    one, many_rows = times["vectorbt one"], times["vectorbt sweep"]
    return [
        *found,
        lasting(f"EMA 9/21, one run, {name}", one, "ms"),
        lasting(f"EMA cross, {rows} rows, {name}", many_rows, "s", "", "profit only, one thread"),
        ratio(f"EMA 9/21, one run: {name} ÷ ours", one, times["one"]),
        ratio(f"EMA cross, {rows} rows: {name} ÷ ours", many_rows, times["sweep"], "≥ 10", said),
    ]


def _compared(other: Vectorbt, ours: Any, rows: int) -> str:
    """Trades and profit of the first rows, side by side, and where they part."""
    shown = min(_SHOWN, rows)
    profits, trades = other.ask("profit", shown)[1], other.ask("trades", shown)[1]
    pairs = [
        f"{row['trades']}/{count:.0f} trades, {row['profit']:.2f}/{profit:.2f} $"
        for row, profit, count in zip(ours[:shown], profits, trades, strict=True)
    ]
    return (
        f"rows 1-{shown}, ours/theirs: {'; '.join(pairs)}. Ours seeds an EMA with the mean of its first"
        " values, vectorbt with the first; else the same rule, open and size"
    )
