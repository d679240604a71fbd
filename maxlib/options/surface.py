"""Modelled volatility of options on the day they expire, for history without quotes.

From a level (VIX / 100, or realised volatility of closes) to the volatility of one strike:

1. Only the regular session counts. Of a day's close-to-close variance it holds SESSION_SHARE; the
   night before is over, the night after comes too late.
2. The session's variance is spread as QQQ's is: a hump that fades after the open, a small one into
   the close, the rest even. `remaining` says how much is left.
3. The smile is that of SSVI (Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces", 2014),
   a function of the strike's distance in deviations, 1 at the money. Under their condition, which
   the config enforces, no butterfly or vertical of modelled mids can be had for a credit.

Nobody quoted any of it. The page docs/modelled-chain.md says how far it was from real quotes.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.options.pricing import TRADING_MINUTES_PER_YEAR

SESSION_MINUTES: Final = 390
TRADING_DAYS: Final = 252

# scripts/fit_spreads.py, November 2026: 288 sessions of QQQ, January 2024 to February 2025.
FITTED_FIRST: Final = "2024-01-02"
FITTED_LAST: Final = "2025-02-28"
"""The days on which the session's share and course were fitted, ISO: there modelled prices are in-sample."""
SESSION_SHARE: Final = 0.577
"""Variance of the regular session over that from close to close."""
OPEN_SHARE: Final = 0.361
OPEN_MINUTES: Final = 53.5
"""The opening hump: its share of the session's variance, and the minutes in which it falls to 1/e."""
CLOSE_SHARE: Final = 0.032
CLOSE_MINUTES: Final = 13.4
"""The same of the hump into the close."""

# scripts/fit_spreads.py, November 2026: 1,073 quotes of QQQ, SPXW and NQ options on their last day.
SKEW: Final = -0.366
WINGS: Final = 0.888


class SurfaceConfig(Config):
    """The term and smile of the last day.

    Attributes
    ----------
    level_scale : multiplies the level (a band, not a knob to tune)
    session_share : of the close-to-close variance
    open_share, open_minutes, close_share, close_minutes : humps of the session's variance
    skew, wings : rho and eta of SSVI; wings 0 = no smile
    """

    level_scale: float = Field(default=1.0, gt=0.0, le=10.0)
    session_share: float = Field(default=SESSION_SHARE, gt=0.0, le=1.0)
    open_share: float = Field(default=OPEN_SHARE, ge=0.0, le=0.5)
    open_minutes: float = Field(default=OPEN_MINUTES, ge=1.0, le=SESSION_MINUTES)
    close_share: float = Field(default=CLOSE_SHARE, ge=0.0, le=0.5)
    close_minutes: float = Field(default=CLOSE_MINUTES, ge=1.0, le=SESSION_MINUTES)
    skew: float = Field(default=SKEW, gt=-1.0, lt=1.0)
    wings: float = Field(default=WINGS, ge=0.0)

    @model_validator(mode="after")
    def _no_arbitrage(self) -> SurfaceConfig:
        bend = self.wings**2 * (1.0 + abs(self.skew))
        if bend > 4.0:
            raise ValueError(
                f"wings {self.wings:g} and skew {self.skew:g} give wings^2 (1 + |skew|) = {bend:.3g}; "
                "above 4 butterflies of modelled prices can have a negative value"
            )
        return self


def remaining(config: SurfaceConfig, minutes_left: float, session_minutes: float = SESSION_MINUTES) -> float:
    """Share of the session's variance that is still to come: 1 at the open, 0 at the close.

    Parameters
    ----------
    minutes_left : to the regular close, 0 to `session_minutes`
    session_minutes : 390, or 210 on a half day, whose course is taken as a full one run faster

    >>> [round(remaining(SurfaceConfig(), m), 3) for m in (390, 240, 60, 0)]
    [1.0, 0.427, 0.126, 0.0]
    """
    left = minutes_left * (SESSION_MINUTES / session_minutes)
    open_end = math.exp(-SESSION_MINUTES / config.open_minutes)
    close_end = math.exp(-SESSION_MINUTES / config.close_minutes)
    even = 1.0 - config.open_share * (1.0 - open_end) - config.close_share * (1.0 - close_end)
    opening = math.exp((left - SESSION_MINUTES) / config.open_minutes) - open_end
    closing = 1.0 - math.exp(-left / config.close_minutes)
    return even * left / SESSION_MINUTES + config.open_share * opening + config.close_share * closing


def total_variance(
    config: SurfaceConfig, level: float, minutes_left: float, session_minutes: float = SESSION_MINUTES
) -> float:
    """At-the-money variance of the log price from now to the close, not annualised.

    Parameters
    ----------
    level : close-to-close volatility per root year of 252 days: realised, or VIX / 100
    minutes_left, session_minutes : as for `remaining`; at least a minute is left, as in `pricing.years`

    A half day's session has the variance of its minutes: 210/390 of a full one's. That is assumed,
    not measured.
    """
    of_day = (level * config.level_scale) ** 2 / TRADING_DAYS
    session = config.session_share * of_day * (session_minutes / SESSION_MINUTES)
    return session * remaining(config, max(minutes_left, 1.0), session_minutes)


def smile(config: SurfaceConfig, z: float) -> float:
    """Volatility over that at the money, `z` deviations (ln(strike/forward) / total volatility) away.

    >>> [round(smile(SurfaceConfig(), z), 3) for z in (-3.0, -1.0, 0.0, 1.0, 3.0)]
    [1.604, 1.201, 1.0, 0.933, 1.119]
    """
    bent = config.wings * z
    root = math.sqrt((bent + config.skew) ** 2 + 1.0 - config.skew**2)
    return math.sqrt(0.5 * (1.0 + config.skew * bent + root))


def sigma(
    config: SurfaceConfig,
    level: float,
    strike: float,
    forward: float,
    minutes_left: float,
    session_minutes: float = SESSION_MINUTES,
) -> float:
    """Volatility of one strike on its last day, per root trading year.

    Priced over `pricing.years(minutes_left)`, the clock of 390 × 252 minutes, it gives the modelled
    total variance. It rises towards the close although the variance left falls: the clock is even and
    the session is not.

    Parameters
    ----------
    level : as for `total_variance`; known when it is: VIX of the moment, realised of yesterday's close
    strike, forward : dollars, above 0. The forward of the last day is the spot but for a dividend

    >>> [round(sigma(SurfaceConfig(), 0.18, 600, 600, minutes), 4) for minutes in (390, 195, 15)]
    [0.1367, 0.1135, 0.1479]
    """
    variance = total_variance(config, level, minutes_left, session_minutes)
    deviation = math.sqrt(variance)
    if deviation <= 0.0:
        return 0.0
    annual = deviation * math.sqrt(TRADING_MINUTES_PER_YEAR / max(minutes_left, 1.0))
    return annual * smile(config, math.log(strike / forward) / deviation)
