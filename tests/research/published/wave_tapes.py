"""The three published wave runs: bars, settings and lists."""

import csv
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maxlib.data import DataConfig
from maxlib.market import calendar
from maxlib.research.accounting import Entries
from maxlib.research.published.wave_bars import repeated_bars
from maxlib.research.published.wave_config import BASELINE, REPEATED, WavePublished
from maxlib.research.published.wave_signals import WINDOW


class Run(NamedTuple):
    name: str
    file: str
    list: str
    config: WavePublished


AUTUMN = Run("autumn", "qqq_1m_20250818_20251114", "baseline_aug_nov_2025", BASELINE)
COVID = Run("covid", "qqq_1m_20200219_20200520", "covid_feb_may_2020", REPEATED)
LOWVOL = Run("lowvol", "qqq_1m_20241202_20250228", "lowvol_dec2024_feb2025", REPEATED)
RUNS = (AUTUMN, COVID, LOWVOL)


def data(shared: Path, run: Run) -> DataConfig:
    return DataConfig(source="file", path=str(shared / f"data/real/unclear/bars/{run.file}.parquet"))


@lru_cache(3)
def tape(shared: Path, run: Run) -> Any:
    """The file's bars, repeats and all."""
    return repeated_bars(data(shared, run))


def list_path(shared: Path, run: Run) -> Path:
    return shared / f"spec/reference/maxtrader_{run.list}_trades.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def coin_flips(bars: Any, n: int, seed: int) -> Entries:
    """`n` decisions at random minutes of the window, each on a side of its own."""
    rng = np.random.default_rng(seed)
    inside = np.flatnonzero((bars["minute"] >= WINDOW[0]) & (bars["minute"] <= WINDOW[1]))
    return Entries(np.sort(rng.choice(inside, n, replace=False)), rng.choice([-1, 1], n).astype(np.int8))


def plain_day(closes: list[float], begin: int = 600) -> Any:
    """One bar a minute from `begin` on 5 March 2024, each opening at the close before it."""
    price = np.array(closes)
    opened = np.append(price[:1], price[:-1])
    start = calendar.to_ns(calendar.from_ordinal(19_787), begin) + np.arange(len(price)) * 60_000_000_000
    high, low = np.maximum(price, opened), np.minimum(price, opened)
    return calendar.stamp(start, opened, high, low, price, np.full(len(price), 100.0))
