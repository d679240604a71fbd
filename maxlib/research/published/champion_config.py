"""Settings of the published champion, and the causes that separate it from an honest figure."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

from pydantic import Field

from maxlib.core.config import Config


class ChampionPublished(Config):
    """The champion and its studies, as published (spec §5).

    Attributes
    ----------
    moneyness : "atm" buys the nearest strike on the $5 grid, "itm" the one $5 into the money
    hit_value : what a target exit pays per share: "distance" = the distance to the target,
        whatever the strike [H7b]; "intrinsic" = the ITM study's max(0, ±(target - strike))
    displacement : a body must exceed this many ATRs (1.0 champion, 1.2 QQQ-only study)
    target_atr : target distance in ATRs of the decision's bar
    risk_usd : fixed budget of a trade in dollars; None = 5 % of the balance, compounding
    account_usd : before the first trade
    """

    moneyness: Literal["atm", "itm"] = "atm"
    hit_value: Literal["distance", "intrinsic"] = "distance"
    displacement: float = Field(default=1.0, gt=0.0)
    target_atr: float = Field(default=5.0, gt=0.0)
    risk_usd: float | None = Field(default=None, gt=0.0)
    account_usd: float = Field(default=25_000.0, gt=0.0)


ITM_STUDY: Final = ChampionPublished(moneyness="itm", hit_value="intrinsic")
"""The 1-strike-ITM study: the champion's trades, $5 in the money, paid by intrinsic value."""
ATM_OF_ITM_STUDY: Final = ChampionPublished(hit_value="intrinsic")
"""What the ITM study compared itself with: at the money, but paid as the ITM study pays."""
QQQ_ONLY: Final = ChampionPublished(
    moneyness="itm", hit_value="intrinsic", displacement=1.2, risk_usd=1_250.0
)
"""The 22-month QQQ-only study."""


class Cause(Enum):
    """One reason why the published figure is not real; each can be put right by itself.

    The value says what is put right.
    """

    CONFIRMATION = "enter after the last of sweep, displacement and shift [H3]"
    LEVELS = "levels of completed sessions only, swings two bars later [H1, H2]"
    SESSIONS = "entries 09:30-15:30, flat at 15:55 of the same day [H8]"
    CLOCK = "premium clock from today's open, not from the first day of the file [H7a]"
    PUTS = "moneyness of puts mirrored [H7c]"
    TARGET = "target exits valued as every other exit [H7b]"
    MODEL = "Black-Scholes at realised volatility in place of the table [H7]"
    COSTS = "half-spread and commission on both sides"
    CARRIED = "structure carried to the opposite shift, which then fires once [H2]"


WATERFALL: Final = (
    Cause.CONFIRMATION,
    Cause.LEVELS,
    Cause.SESSIONS,
    Cause.CLOCK,
    Cause.PUTS,
    Cause.TARGET,
    Cause.MODEL,
    Cause.COSTS,
)
"""The order of spec §12.1. CARRIED is left out there: the table keeps the re-firing shift."""
