"""The chains that the options lab offers: the modelled one, a file of the user's, real ones by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from maxlib.core.errors import ConfigError, DataError
from maxlib.data.chains import load_chain
from maxlib.data.files import find
from maxlib.market.calendar import ordinal, session, to_ns
from maxlib.market.quotes import Chain
from maxlib.options.modelled import ModelConfig, modelled_chain

MODELLED: Final = "modelled"
FILE: Final = "file"
STRIKES: Final = 40
"""Modelled strikes to each side of the money."""

Source = Chain | Callable[[], Chain]


def sources(
    *,
    symbol: str = "QQQ",
    day: str = "2025-01-31",
    minutes_left: int = 240,
    spot: float = 600.0,
    level: float = 0.18,
    strike_step: int = 1,
    path: str = "",
    real_folder: str = "data/real",
) -> dict[str, Source]:
    """The chains on offer: the modelled one, a file of the user's, and real ones below a folder.

    Parameters
    ----------
    symbol, spot, level, strike_step : of the modelled chain: dollars, annual volatility, dollars
    day, minutes_left : its moment: a session, YYYY-MM-DD, and minutes before its close
    path : a chain file, offered as "file"; "" = none
    real_folder : its option files with quotes are offered by their names; nothing if it is not there

    Raises
    ------
    ConfigError
        If `day` is no session.
    """
    try:
        date = dt.date.fromisoformat(day)
        hours = session(date)
    except (ValueError, DataError):
        hours = None
    if hours is None:
        raise ConfigError(f"day {day!r} is no session; give one like 2025-01-31")
    middle = round(spot / strike_step)
    strikes = [strike_step * k for k in range(middle - STRIKES, middle + STRIKES + 1) if k > 0]
    ts = to_ns(hours.date, hours.close_minute - minutes_left)
    found: dict[str, Source] = {
        MODELLED: lambda: modelled_chain(
            ModelConfig(), symbol, ordinal(hours.date), ts, spot, minutes_left, level, strikes
        )
    }
    if path:
        found[FILE] = partial(load_chain, path)
    folder = find(real_folder) if real_folder else None
    for place in sorted((folder or Path("nowhere")).glob("*/options/*.parquet")):
        if any(word in place.stem for word in ("quote", "chain", "barchart")) and "eod" not in place.stem:
            found[place.stem] = partial(load_chain, place)
    return found
