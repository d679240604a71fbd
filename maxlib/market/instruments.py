"""What can be traded, in the units it trades in."""

from __future__ import annotations

from typing import Final

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError


class Instrument(Config):
    """An underlying and its listed options.

    Attributes
    ----------
    tick_cents : int
        Smallest price step of the underlying, in cents.
    option_tick_cents : int
        Smallest price step of its options. QQQ, SPY and IWM quote in cents at
        every price (penny programme).
    multiplier : int
        Shares per option contract.
    calendar : str
        Name of the session calendar.
    """

    symbol: str
    tick_cents: int = 1
    option_tick_cents: int = 1
    multiplier: int = 100
    calendar: str = "XNYS"


INSTRUMENTS: Final = {name: Instrument(symbol=name) for name in ("QQQ", "SPY", "IWM", "DIA")}


def instrument(symbol: str) -> Instrument:
    """The instrument called `symbol`.

    Raises
    ------
    ConfigError
        If there is no such instrument.
    """
    try:
        return INSTRUMENTS[symbol]
    except KeyError:
        known = ", ".join(INSTRUMENTS)
        raise ConfigError(f"instrument {symbol!r} is not known; known are {known}") from None
