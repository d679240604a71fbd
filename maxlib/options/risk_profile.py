"""What a package risks: bounds, breakevens, greeks, odds, and its curves for a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.market.contract import Leg
from maxlib.options.density import Density, expected, probability
from maxlib.options.payoff import Outcome, knees, outcome, profit_intervals, value_at_expiry
from maxlib.options.pricing import Greeks, bsm, greeks

Floats = NDArray[np.float64]


class RiskProfile(NamedTuple):
    """A package opened at a price, before commissions.

    outcome : largest loss and gain, breakevens; cents and dollars a share
    greeks : of the whole package, a share; `price` is its model value now, in dollars
    pop : risk-neutral probability that more than the debit comes back at expiry
    ev : discounted expected payoff less the debit, dollars a share
    """

    debit_cents: int
    outcome: Outcome
    greeks: Greeks
    pop: float
    ev: float


class Curves(NamedTuple):
    """Profit or loss in dollars a share over the underlying: (n,) arrays.

    now : valued by the model with the time that is left; at_expiry : the payoff
    """

    spot: Floats
    now: Floats
    at_expiry: Floats


def net_greeks(
    legs: Sequence[Leg],
    spot: float,
    t: float,
    sigmas: Sequence[float],
    rate: float = 0.0,
    dividend: float = 0.0,
) -> Greeks:
    """Greeks of a package: each leg's by its own volatility, times its ratio.

    Parameters
    ----------
    spot : dollars; t : years; sigmas : one a leg, per root year on the clock of t
    """
    each = [
        (ratio, greeks(contract.right, spot, contract.strike, t, sigma, rate, dividend))
        for (contract, ratio), sigma in zip(legs, sigmas, strict=True)
    ]
    return Greeks(*(sum(ratio * of[i] for ratio, of in each) for i in range(len(Greeks._fields))))


def value_now(
    legs: Sequence[Leg],
    spot: float,
    t: float,
    sigmas: Sequence[float],
    rate: float = 0.0,
    dividend: float = 0.0,
) -> float:
    """Model value of a package in dollars a share; parameters as in `net_greeks`.

    With a later spot and time it is what a plan hopes for: `selection.select` takes it as `worth`.
    """
    return sum(
        ratio * bsm(contract.right, spot, contract.strike, t, sigma, rate, dividend)
        for (contract, ratio), sigma in zip(legs, sigmas, strict=True)
    )


def risk_profile(legs: Sequence[Leg], debit_cents: int, net: Greeks, density: Density) -> RiskProfile:
    """The whole picture of a package opened at `debit_cents` a share."""
    pop = probability(density, profit_intervals(knees(legs), debit_cents))
    ev = density.discount * expected(density, legs) - debit_cents / 100
    return RiskProfile(debit_cents, outcome(legs, debit_cents), net, pop, ev)


def curves(
    legs: Sequence[Leg],
    debit_cents: int,
    spots: Floats,
    t: float,
    sigmas: Sequence[float],
    rate: float = 0.0,
    dividend: float = 0.0,
) -> Curves:
    """Profit now and at expiry over prices of the underlying, each leg's volatility kept as it is."""
    debit = debit_cents / 100
    now = [value_now(legs, spot, t, sigmas, rate, dividend) - debit for spot in spots.tolist()]
    end = [value_at_expiry(legs, round(100 * spot)) / 100 - debit for spot in spots.tolist()]
    return Curves(spots, np.array(now), np.array(end))
