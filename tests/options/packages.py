"""Packages for tests, and what a slow twin says of them: every cent looked at, nothing derived."""

from collections.abc import Sequence

from maxlib.market.contract import Contract, Leg

EXPIRY = 20_406  # 2025-11-14


def contract(strike: float, right: str = "C") -> Contract:
    return Contract("QQQ", EXPIRY, right, round(100 * strike))


def package(*pairs: tuple[int, float], right: str = "C") -> tuple[Leg, ...]:
    """Legs from (ratio, strike in dollars)."""
    return tuple(Leg(contract(strike, right), ratio) for ratio, strike in pairs)


def paid(legs: Sequence[Leg], spot: int) -> int:
    """What the legs pay at `spot` cents, leg by leg."""
    total = 0
    for leg in legs:
        above = spot - leg.contract.strike_cents
        total += leg.ratio * max(0, above if leg.contract.right == "C" else -above)
    return total
