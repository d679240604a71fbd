"""Model B, the original's "step table" for option premiums: champion and ITM study.

Not a pricing model: a table of six numbers by moneyness, scaled with the spot and
with the minutes since the open. Kept as published (spec §5), with its flaws:
the moneyness is the call's for puts as well [H7c], the steps give no loss on small
moves, and nothing keeps a premium above its intrinsic value.
"""

from __future__ import annotations

from typing import Final

DAY_MINUTES: Final = 390
_OUT: Final = 0.2
_STEPS: Final = ((0.005, 2.5), (-0.005, 2.0), (-0.01, 1.2), (-0.02, 0.6))


def premium(spot: float, strike: float, minutes: float, side: int = 1) -> float:
    """Premium per share in dollars, at least 0.05.

    Parameters
    ----------
    spot, strike : dollars
    minutes : since the open. The original counted from 09:30 of the first day of its FILE, so
        from the second day on nothing decays any more [H7a]; negative before the open.
    side : +1 measures the moneyness as a call does, -1 as a put does. The original always said +1.

    Source: spec §5. At the open, at the money, with the spot at 500, the table says 2.00:

    >>> premium(500.0, 500.0, 0.0), premium(500.0, 500.0, 390.0), round(premium(500.0, 490.0, 0.0), 2)
    (2.0, 0.6, 5.0)
    """
    left = max(0.0, (DAY_MINUTES - minutes) / DAY_MINUTES)
    return max(_base(side * (spot - strike) / spot) * (0.3 + 0.7 * left) * spot / 500.0, 0.05)


def _base(moneyness: float) -> float:
    if moneyness >= 0.01:
        return 3.0 + 100.0 * moneyness
    for bound, value in _STEPS:
        if moneyness >= bound:
            return value
    return _OUT
