"""When to leave a fly: five tiers, looked at in order; the first that holds decides.

All amounts are cents per share of one fly, signed from the holder's side: what the fly is
worth is above 0 if closing it would pay, below 0 if closing it would cost; the entry is
above 0 for a debit paid, below 0 for a credit received. So profit is always value - entry.
Source: spec/maxtrader.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.core.errors import InvariantError
from maxlib.market.calendar import new_york, ordinal
from maxlib.market.contract import Contract
from maxlib.options.fly_exit import Fly

Tier = Literal["HOLD", "LOSS_CUT", "BASE_PROFIT", "GIVE_UP", "PIN", "EXPIRY_DAY"]


class FlyExitConfig(Config):
    """Bounds of the tiers; a bound that is just met counts, where it says "at".

    Attributes
    ----------
    loss_fraction : cut at a loss of this share of the risk
    rail_fraction : cut an unbalanced fly at this share of W beyond the wing on its losing side
    profit_captured, profit_min_dte : take the profit at this share captured, with at least so many days
    give_up_captured, give_up_distance, give_up_min_dte, give_up_max_dte : give up with less than this
        captured and more than this share of W between underlying and body, from and to so many days
    pin_distance, pin_multiple, pin_max_dte : take a pin at most this share of W from the body, at a profit
        of this multiple of the entry premium, with at most so many days
    """

    loss_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    rail_fraction: float = Field(default=0.1, ge=0.0, le=1.0)
    profit_captured: float = Field(default=0.6, gt=0.0, le=1.0)
    profit_min_dte: int = Field(default=2, ge=0)
    give_up_captured: float = Field(default=0.3, ge=0.0, le=1.0)
    give_up_distance: float = Field(default=0.75, ge=0.0)
    give_up_min_dte: int = Field(default=2, ge=0)
    give_up_max_dte: int = Field(default=3, ge=0)
    pin_distance: float = Field(default=0.3, ge=0.0)
    pin_multiple: float = Field(default=2.0, gt=0.0)
    pin_max_dte: int = Field(default=1, ge=0)


class FlyNumbers(NamedTuple):
    """What a decision was made on; cents per share of one fly.

    captured : share of the profit that can be had; None if none can
    distance : of the underlying from the body, as a share of W
    beyond : of the underlying past the wing on the losing side, as a share of W (below 0 = inside);
        None for a balanced fly, which has no such side
    """

    dte: int
    entry: float
    value: float
    pnl: float
    risk: float
    captured: float | None
    distance: float
    beyond: float | None


class FlyDecision(NamedTuple):
    """Leave the whole fly, unless the tier is HOLD; the reason is one sentence."""

    tier: Tier
    reason: str
    numbers: FlyNumbers


def dte_days(expiry: int, now: int) -> int:
    """Calendar days from the New York date of `now` (UTC ns) to `expiry` (days since 1970).

    0 on the expiry date, all day; 1 on the date before, even a minute before midnight.
    """
    return expiry - ordinal(new_york(now).date())


def net_cents(fly: Fly, prices: Mapping[Contract, float]) -> float:
    """What one fly is worth to its holder: bought legs count for, sold legs against it.

    Parameters
    ----------
    prices : cents per share of each leg; entry prices give the entry, today's give the value

    >>> from maxlib.options.fly_exit import recognise
    >>> from maxlib.market.contract import Leg
    >>> low, body, high = (Contract("QQQ", 20406, "C", k * 100) for k in (600, 605, 610))
    >>> net_cents(recognise([Leg(low, 1), Leg(body, -2), Leg(high, 1)]), {low: 700, body: 400, high: 210})
    110
    """
    return sum(leg.ratio * prices[leg.contract] for leg in fly.legs)


def decide(
    config: FlyExitConfig, fly: Fly, *, entry: float, value: float, spot_cents: float, now: int
) -> FlyDecision:
    """Look at the tiers in order.

    Parameters
    ----------
    entry : paid for one fly (above 0) or received for it (below 0), cents per share
    value : worth of one fly now, cents per share, signed as `net_cents` does
    spot_cents : price of the underlying in cents
    now : UTC ns; days to expiry are counted anew at every call

    Raises
    ------
    InvariantError
        If the fly expired before the date of `now`: nothing is left to be sold.
    """
    n = _numbers(fly, entry, value, spot_cents, now)
    if n.dte < 0:
        raise InvariantError(
            f"fly of {fly.body.name}: {n.dte} days to expiry, at least 0 are needed: it has expired"
        )
    tier, reason = _tier(config, fly, n)
    return FlyDecision(tier, reason, n)


def _tier(c: FlyExitConfig, fly: Fly, n: FlyNumbers) -> tuple[Tier, str]:
    if n.risk > 0 and n.pnl <= -c.loss_fraction * n.risk:
        return "LOSS_CUT", f"loss {-n.pnl:g} is at least {c.loss_fraction:.0%} of the risk {n.risk:g}"
    if n.beyond is not None and n.beyond >= c.rail_fraction:
        strike = "below the low" if fly.shape == "ubfly_put_side" else "above the high"
        return (
            "LOSS_CUT",
            f"underlying {n.beyond:.1%} of W {strike} strike, the rail is {c.rail_fraction:.0%}",
        )
    share = "nothing to capture" if n.captured is None else f"captured {n.captured:.1%}"
    if n.captured is not None and n.captured >= c.profit_captured and n.dte >= c.profit_min_dte:
        return "BASE_PROFIT", f"{share}, at least {c.profit_captured:.0%}, with {n.dte} days left"
    if (
        c.give_up_min_dte <= n.dte <= c.give_up_max_dte
        and (n.captured is None or n.captured < c.give_up_captured)
        and n.distance > c.give_up_distance
    ):
        return "GIVE_UP", f"{share}, {n.distance:.1%} of W from the body, with {n.dte} days left"
    wanted = c.pin_multiple * abs(n.entry)
    if n.dte <= c.pin_max_dte and n.distance <= c.pin_distance and n.pnl > 0 and n.pnl >= wanted:
        return "PIN", f"{n.distance:.1%} of W from the body, profit {n.pnl:g} is at least {wanted:g}"
    if n.dte == 0:
        return "EXPIRY_DAY", "expires today: no short is kept to be assigned"
    return "HOLD", f"no tier holds: profit {n.pnl:g}, {share}, {n.dte} days left"


def _numbers(fly: Fly, entry: float, value: float, spot: float, now: int) -> FlyNumbers:
    low, body, high = fly.low.strike_cents, fly.body.strike_cents, fly.high.strike_cents
    top, depth = _reach(fly)
    pnl = value - entry
    if entry < 0:
        risk, to_gain = depth + entry, -entry
    else:
        risk, to_gain = entry or depth, top - entry
    beyond = None
    if fly.shape == "ubfly_put_side":
        beyond = (low - spot) / (body - low)
    elif fly.shape == "ubfly_call_side":
        beyond = (spot - high) / (high - body)
    return FlyNumbers(
        dte=dte_days(fly.body.expiry, now),
        entry=entry,
        value=value,
        pnl=pnl,
        risk=risk,
        captured=pnl / to_gain if to_gain > 0 else None,
        distance=abs(spot - body) / (body - low if spot <= body else high - body),
        beyond=beyond,
    )


def _reach(fly: Fly) -> tuple[int, int]:
    """The most that one fly can be worth at expiry, and the most that it can cost.

    Both are W = body - low for the spec's flies, whose wings are equal. With unequal wings
    W is neither: a loss cut measured on it may lie beyond the largest loss and never come.
    Where nothing can be owed at expiry, W stands in for the cost.
    """
    low, _, high = fly.legs
    tail = sum(leg.ratio * leg.contract.strike_cents for leg in fly.legs)
    if fly.body.right == "C":
        top, owed = low.ratio * (fly.body.strike_cents - fly.low.strike_cents), tail
    else:
        top, owed = high.ratio * (fly.high.strike_cents - fly.body.strike_cents), -tail
    return top, owed if owed > 0 else fly.body.strike_cents - fly.low.strike_cents
