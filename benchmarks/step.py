"""The realistic step in batch, in a sweep, and live through `Stream.push`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.figures import Figure, lasting, rate
from benchmarks.measure import Time, once, rounds
from benchmarks.realistic import DEFAULT, REALISTIC
from benchmarks.tapes import bars


def figures(count: int = 430_000, live: int = 100_000, rows: int = 100, repeats: int = 7) -> list[Figure]:
    tape = bars(count)
    params = REALISTIC.params(**DEFAULT)
    many = REALISTIC.params(**{**DEFAULT, "slow": np.arange(rows) + 20})
    events = _events(tape[:live])

    def push() -> Time:
        feed = REALISTIC.stream(params).push
        return once(lambda: [feed(event) for event in events])

    times = rounds(
        {
            "run": partial(once, partial(REALISTIC.run, tape, params)),
            "sweep": partial(once, partial(REALISTIC.sweep, tape, many)),
            "push": push,
        },
        repeats,
    )
    if not same(tape[:live]):
        raise RuntimeError("the realistic step differs between live and batch: no speed is worth that")
    book = REALISTIC.run(tape, params)[0]["book"][0]
    size = f"{REALISTIC.state.itemsize} bytes of state, {book['trades']} trades"
    return [
        rate(f"batch, {count} bars, System.run", count, times["run"], "≥ 20", size),
        lasting(
            f"sweep of {rows} rows", times["sweep"].each(rows * count), "ns/bar", "", "2 threads at most"
        ),
        lasting("live, Stream.push", times["push"].each(len(events)), "µs/bar", "≤ 1.5"),
    ]


def same(tape: Any) -> bool:
    """Whether live and batch leave the same state and outputs, byte for byte."""
    params = REALISTIC.params(**DEFAULT)
    stream = REALISTIC.stream(params)
    said = [stream.push(event).tobytes() for event in _events(tape)]
    last, out = REALISTIC.run(tape, params)
    return last.tobytes() == stream.snapshot() and out.tobytes() == b"".join(said)


def _events(tape: Any) -> list[Any]:
    """Bars as arrays of length one, which is how a live feed hands them over."""
    return [tape[i : i + 1] for i in range(len(tape))]
