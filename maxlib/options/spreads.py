"""Modelled half-spreads of options on the day they expire.

Two parts, in basis points of the underlying's price, so that they move with it:

    near = NEAR_BP · (time value)^VALUE_POWER · late^NEAR_LATE
    deep = DEEP_BP · d² / (d² + DEPTH²)       · late^DEEP_LATE

with the time value in basis points (at least a tick), d how far the strike is in the money, and
late = 390 / minutes left. A market maker hedges the deep ones with the underlying, whose spread and
risk they carry; that part saturates. Never under half a tick.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import Field

from maxlib.core.config import Config

# scripts/fit_spreads.py, November 2026: 13,092 quotes of six files; the powers and the depth are common
# to all, NEAR_BP and DEEP_BP are those of QQQ (222 quotes of two mornings).
NEAR_BP: Final = 0.0298
VALUE_POWER: Final = 0.363
NEAR_LATE: Final = 0.139
DEEP_BP: Final = 3.479
DEPTH: Final = 0.01528
DEEP_LATE: Final = 0.053

_SESSION: Final = 390.0


class SpreadConfig(Config):
    """Half-spreads of the last day; lengths in basis points of the underlying's price.

    Attributes
    ----------
    near_bp : at a time value of one basis point and a full session left
    deep_bp : what a strike far in the money adds
    value_power, near_late, deep_late : exponents, see the module
    depth : share of the price in the money at which half of `deep_bp` is added
    scale : multiplies the half-spread (a band, not a knob to tune)
    tick_cents : of the option's quotes
    """

    near_bp: float = Field(default=NEAR_BP, gt=0.0)
    deep_bp: float = Field(default=DEEP_BP, ge=0.0)
    value_power: float = Field(default=VALUE_POWER, ge=0.0, le=2.0)
    near_late: float = Field(default=NEAR_LATE, ge=0.0, le=1.0)
    deep_late: float = Field(default=DEEP_LATE, ge=0.0, le=1.0)
    depth: float = Field(default=DEPTH, gt=0.0)
    scale: float = Field(default=1.0, gt=0.0, le=10.0)
    tick_cents: int = Field(default=1, ge=1)


def half_spread_cents(
    config: SpreadConfig, mid_cents: float, moneyness: float, minutes_left: float, spot: float
) -> float:
    """Half of the distance from bid to ask, in cents a share; at least half a tick.

    Parameters
    ----------
    mid_cents : premium, cents a share
    moneyness : share of the spot by which the option is in the money, below 0 out of it:
        (spot - strike) / spot for calls, (strike - spot) / spot for puts
    minutes_left : to the close; less than one counts as one, more than a session as one
    spot : dollars

    >>> quotes = ((30, -0.005), (190, 0.0), (720, 0.0115), (1830, 0.03))
    >>> [round(half_spread_cents(SpreadConfig(), mid, m, 300, 610), 2) for mid, m in quotes]
    [0.5, 0.66, 8.06, 17.18]
    """
    cents = 0.01 * spot  # of one basis point
    late = _SESSION / min(max(minutes_left, 1.0), _SESSION)
    deep = max(moneyness, 0.0)
    value = max(mid_cents / cents - 1e4 * deep, config.tick_cents / cents)
    near = config.near_bp * math.pow(value, config.value_power) * math.pow(late, config.near_late)
    square = deep * deep
    deeper = config.deep_bp * square / (square + config.depth**2) * math.pow(late, config.deep_late)
    return max(0.5 * config.tick_cents, config.scale * cents * (near + deeper))
