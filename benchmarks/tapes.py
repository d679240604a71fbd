"""Bars to measure on: the embedded simulator's, so that every machine has them."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maxlib.data.simulator import SimulatorConfig, simulate
from maxlib.market.bars import BAR

VAR: Final = Path(__file__).resolve().parent.parent / "var"
FOLDER: Final = VAR / "bench"
"""Where benchmarks keep what may be made again: bars, caches, the peer's environment."""


@lru_cache(4)
def bars(count: int) -> NDArray[np.void]:
    """BAR[count]: consecutive sessions with extended hours, seed 7, from 2 January 2024."""
    sessions = count // 800 + 1  # a session has about 860 bars
    made = simulate(SimulatorConfig(days=sessions, first_date=dt.date(2024, 1, 2))).bars
    return made[:count]


def saved(count: int) -> Path:
    """The same bars as an npy file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"bars-{count}.npy"
    np.save(path, bars(count))
    return path


def opened(path: Path) -> Any:
    """Bars of an npy file.

    The view matters: npy forgets that the record is aligned, and numba would
    compile every driver anew for the record that comes out of the file.
    """
    return np.load(path).view(BAR)
