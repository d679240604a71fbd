"""A structure read on a snapshot of a chain: price, odds, greeks, curves, bounds and rivals.

The library's answers, brought together for the options lab; plain values in, plain values out.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from maxlib.core.errors import InvariantError
from maxlib.core.record import Floats
from maxlib.execution.arbitrage import Moment, arbitrage, package_floor
from maxlib.execution.fills import FillConfig, Filled, NotFilled, fill
from maxlib.execution.firewall import guard
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.market.quotes import Quote
from maxlib.options.density import expected, probability
from maxlib.options.fly_decision import FlyDecision, FlyExitConfig, FlyNumbers, Tier, decide, dte_days
from maxlib.options.fly_exit import Unknown, recognise
from maxlib.options.payoff import Outcome, Premium, Unpriced, knees, outcome, premium, profit_intervals
from maxlib.options.pricing import Greeks
from maxlib.options.risk_profile import Curves, curves, net_greeks
from maxlib.options.selection import Selection, SelectionConfig, select
from maxlib.options.structures import Structure, candidates
from maxlib.options.unwind import unwind
from maxlib.trading.orders import reverse
from maxlib.views.options_bench import Snapshot, years

FILLS: Final = FillConfig()
"""The fill model of the firewall's verdict: asks paid, bids got, quotes at most two seconds old."""
TIERS: Final = FlyExitConfig()
"""The bounds of the tiers for which a fly is left."""
REACH: Final = 4.0
"""Deviations to each side of the underlying that the lab shows."""
_POINTS: Final = 161


class Scenario(NamedTuple):
    """Where the sliders stand: dollars the underlying moved, trading minutes left, factor on volatility."""

    shift: float
    minutes: float
    iv_scale: float


class Bound(NamedTuple):
    """What the firewall says of one leg, or of the whole package.

    price_cents : at the side of the quote that hurts, a share; net for the package. None = no price
    low, high : the least and the most that it can be worth without arbitrage, cents a share
    quote : of the leg; None for the package, and where there is none
    passes : whether it would be let pass
    why : the firewall's sentence if not; else a remark, or empty
    """

    name: str
    ratio: int
    price_cents: int | None
    low: float
    high: float
    quote: Quote | None
    passes: bool
    why: str


class ExitStep(NamedTuple):
    """One order of the way out.

    legs, units : the order
    cents : what one unit of it brings at the quotes, a share; below 0 it costs. None = no price
    kept : legs to be sold for which nobody bids; the rest of the order goes without them
    why : why it has no price
    """

    legs: tuple[Leg, ...]
    units: int
    cents: int | None
    kept: tuple[Leg, ...]
    why: Unpriced | None


class WayOut(NamedTuple):
    """The orders that leave the position, each sent when the one before it is filled.

    steps : of one round
    rounds : how often they are gone through
    cents : what they bring in all for one package, a share; None without a price
    """

    steps: tuple[ExitStep, ...]
    rounds: int
    cents: int | None


Measure = Literal["loss", "captured", "from body", "past wing", "profit", ""]


class TierBound(NamedTuple):
    """One bound of a tier, and where the sliders stand to it.

    A tier holds when its days and all its bounds are met; for the loss cut one bound is enough.

    days : from and to so many calendar days to expiry
    measure : "" = the days decide alone
    now, bound : cents a share of one fly, or shares. A bound of None cannot be met;
        without a `now` there is nothing to capture, which is less than any share
    above : whether it is met above the bound
    strict : whether being at it is not enough
    """

    tier: Tier
    days: tuple[int, float]
    measure: Measure
    now: float | None
    bound: float | None
    above: bool = True
    strict: bool = False

    @property
    def met(self) -> bool:
        """Whether the bound is met, whatever the days."""
        if not self.measure:
            return True
        if self.bound is None or self.now is None:
            return self.bound is not None and not self.above
        inside = self.now > self.bound if self.above else self.now < self.bound
        return inside or (self.now == self.bound and not self.strict)

    @property
    def to_go(self) -> float | None:
        """How far it is to the bound, 0 if it is met; None = it cannot be met, or there is none."""
        if self.met:
            return 0.0 if self.measure else None
        return None if self.bound is None or self.now is None else abs(self.bound - self.now)


class Tiers(NamedTuple):
    """The tiers of a fly at the sliders: what they decide, and each of their bounds, in order."""

    decision: FlyDecision
    bounds: tuple[TierBound, ...]


class Reading(NamedTuple):
    """Everything the lab shows of a structure. All prices a share.

    price : at the side of the quote that hurts, or why there is none
    outcome : None without a price
    pop, ev : by the chain's density, held to expiry, before commissions; ev in dollars.
        None without a price or density
    value : model value at the sliders, dollars; None = no volatility is known
    greeks : at the sliders
    curves : profit at the sliders' time and volatility, and at expiry; None without price or volatility
    bounds : one a leg, in order, then the package
    selection : all kinds for the target
    way_out : the orders that leave it, at the quotes
    tiers : at the sliders; or a sentence why there are none
    """

    structure: Structure
    quantity: int
    scenario: Scenario
    price: Premium | Unpriced
    outcome: Outcome | None
    pop: float | None
    ev: float | None
    value: float | None
    greeks: Greeks | None
    curves: Curves | None
    bounds: tuple[Bound, ...]
    selection: Selection
    way_out: WayOut
    tiers: Tiers | str


def read(
    snap: Snapshot,
    structure: Structure,
    quantity: int,
    scenario: Scenario,
    target: float,
    config: SelectionConfig,
) -> Reading:
    """Price, odds, greeks, curves, bounds and rivals of a structure.

    Parameters
    ----------
    structure : of contracts that the snapshot lists
    quantity : packages
    target : where the underlying is meant to go, dollars; for the rivals
    """
    legs = structure.legs
    price = premium(legs, snap.quotes.get)
    sigmas = snap.sigmas(legs, scenario.iv_scale)
    t = years(scenario.minutes)
    net = None if sigmas is None else net_greeks(legs, snap.here + scenario.shift, t, sigmas)
    ends = pop = ev = drawn = None
    if isinstance(price, Premium):
        ends = outcome(legs, price.debit_cents)
        if snap.odds is not None:
            pop = probability(snap.odds, profit_intervals(knees(legs), price.debit_cents))
            ev = snap.odds.discount * expected(snap.odds, legs) - price.debit_cents / 100
        if sigmas is not None:
            drawn = curves(legs, price.debit_cents, _grid(snap, structure, ends), t, sigmas)
    rivals = select(
        candidates(snap.listing(structure.side), structure.side, snap.here, target),
        snap.quotes.get, target, config, density=snap.odds, multiplier=snap.multiplier,
    )  # fmt: skip
    return Reading(
        structure, quantity, scenario, price, ends, pop, ev, None if net is None else net.price, net, drawn,
        bounds(snap, structure, quantity), rivals, way_out(snap, structure, quantity),
        tiers(snap, structure, price, None if net is None else net.price, scenario),
    )  # fmt: skip


def span(snap: Snapshot, structure: Structure) -> tuple[float, float]:
    """The prices of the underlying to show: `REACH` deviations, and every strike. No slider moves it."""
    strikes = [leg.contract.strike for leg in structure.legs]
    reach = REACH * snap.deviation
    return min(snap.here - reach, *strikes), max(snap.here + reach, *strikes)


def _grid(snap: Snapshot, structure: Structure, ends: Outcome) -> Floats:
    """Even steps, and every place where the payoff has a knee or crosses zero."""
    low, high = span(snap, structure)
    places = [*(leg.contract.strike for leg in structure.legs), *ends.breakevens]
    inside = [x for x in places if low <= x <= high]
    return np.unique(np.concatenate((np.linspace(low, high, _POINTS), inside)))


# --- the firewall


def bounds(snap: Snapshot, structure: Structure, quantity: int) -> tuple[Bound, ...]:
    """The firewall on each leg by itself, and on the package."""
    found = [_bound(snap, (leg,), quantity) for leg in structure.legs]
    return (*found, _bound(snap, structure.legs, quantity)) if len(found) > 1 else tuple(found)


def _bound(snap: Snapshot, legs: tuple[Leg, ...], quantity: int) -> Bound:
    if len(legs) == 1:
        quantity, legs = quantity * abs(legs[0].ratio), (_one(legs[0]),)
        low, high = _leg_bounds(legs[0].contract, snap.moment)
    else:
        low, high = package_floor(legs, snap.moment), -package_floor(reverse(legs), snap.moment)
    quotes = [snap.quotes.get(leg.contract) for leg in legs]
    passes, prices, why = _verdict(legs, quantity, quotes, snap.moment)
    net = None if prices is None else sum(leg.ratio * p for leg, p in zip(legs, prices, strict=True))
    # A leg sold alone is named by its price, not by what selling it costs.
    if net is not None and len(legs) == 1:
        net = abs(net)
    ratio = legs[0].ratio * quantity if len(legs) == 1 else quantity
    quote = quotes[0] if len(legs) == 1 else None
    return Bound(package_name(legs), ratio, net, low, high, quote, passes, why)


def _one(leg: Leg) -> Leg:
    return Leg(leg.contract, 1 if leg.ratio > 0 else -1)


def _leg_bounds(contract: Contract, moment: Moment) -> tuple[float, float]:
    """What the firewall demands at least when buying, and allows at most when selling."""
    low = arbitrage([Leg(contract, 1)], [-1], moment)
    high = arbitrage([Leg(contract, -1)], [10**12], moment)
    assert high is not None
    return (max(0.0, low.limit_cents) if low is not None else 0.0), high.limit_cents


def _verdict(
    legs: tuple[Leg, ...], quantity: int, quotes: list[Quote | None], moment: Moment
) -> tuple[bool, tuple[int, ...] | None, str]:
    """Whether a fill would pass, at which prices, and what the firewall says."""
    shown = tuple(_side(leg, quote) for leg, quote in zip(legs, quotes, strict=True))
    prices = None if None in shown else tuple(price for price in shown if price is not None)
    got = fill(FILLS, legs, quantity, quotes, moment)
    if isinstance(got, NotFilled):
        # The firewall judges finished fills: it is shown the one that the quotes seem to offer.
        seeming = tuple(price or 1 for price in shown)
        said = _said(legs, quantity, seeming, quotes, moment)
        return False, prices, said or f"{got.contract.name}: {got.code}"
    said = _said(legs, got.quantity, got.prices_cents, quotes, moment)
    if said is not None:
        return False, got.prices_cents, said
    return True, got.prices_cents, _remark(got, quantity, prices)


def _remark(got: Filled, quantity: int, shown: tuple[int, ...] | None) -> str:
    if got.quantity < quantity:
        return f"Only {got.quantity} of {quantity} would fill: no more is displayed."
    if got.prices_cents != shown:
        return "Modelled quotes are rounded: a leg is paid up by cents until the package could be real."
    return ""


def _said(
    legs: tuple[Leg, ...],
    quantity: int,
    prices: tuple[int, ...],
    quotes: list[Quote | None],
    moment: Moment,
) -> str | None:
    try:
        guard(legs, quantity, prices, quotes, moment, config=FILLS)
    except InvariantError as stopped:
        return str(stopped)
    return None


def _side(leg: Leg, quote: Quote | None) -> int | None:
    if quote is None:
        return None
    return quote.ask_cents if leg.ratio > 0 else quote.bid_cents


# --- the way out


def way_out(snap: Snapshot, structure: Structure, quantity: int) -> WayOut:
    """The orders that leave `quantity` packages, in sequence, at the quotes."""
    one, two = (unwind(structure.legs, _times(structure.legs, units), "lab") for units in (1, 2))
    # An unbalanced fly goes unit by unit, the same orders again and again; a long list says no more.
    rounds = quantity if two == one * 2 else 1
    orders = one if rounds > 1 else unwind(structure.legs, _times(structure.legs, quantity), "lab")
    steps = tuple(_step(snap, legs, units) for legs, units in orders)
    total = sum(step.units * (step.cents or 0) for step in steps) * rounds // quantity
    return WayOut(steps, rounds, None if any(step.why for step in steps) else total)


def _times(legs: tuple[Leg, ...], units: int) -> tuple[Leg, ...]:
    return tuple(Leg(leg.contract, leg.ratio * units) for leg in legs)


def _step(snap: Snapshot, legs: tuple[Leg, ...], units: int) -> ExitStep:
    price = premium(legs, snap.quotes.get)
    kept: tuple[Leg, ...] = ()
    if isinstance(price, Unpriced) and price.code == "NO_BID":
        kept = tuple(leg for leg in legs if leg.ratio < 0)
        price = premium([leg for leg in legs if leg.ratio > 0], snap.quotes.get)
    if isinstance(price, Unpriced):
        return ExitStep(legs, units, None, (), price)
    return ExitStep(legs, units, -price.debit_cents, kept, None)


def tiers(
    snap: Snapshot, structure: Structure, price: Premium | Unpriced, value: float | None, scenario: Scenario
) -> Tiers | str:
    """What the tiers say of a fly bought at `price` and worth `value` dollars a share at the sliders.

    The days are those of the chain's moment: the sliders' trading minutes do not count them down.
    """
    fly = recognise(structure.legs)
    if isinstance(fly, Unknown):
        return "The tiers are for flies, broken wings and unbalanced ones."
    if isinstance(price, Unpriced):
        return "Without a price to enter at there is no loss and no gain to measure."
    if value is None:
        return "No quote determines a volatility, and so none says what the fly is worth."
    if dte_days(fly.body.expiry, snap.ts) < 0:
        return "It expired before the day of the quotes."
    # The parity forward is off by dust, which must not decide at a bound.
    worth, spot = round(100 * value, 1), round(100 * (snap.here + scenario.shift), 2)
    made = decide(TIERS, fly, entry=price.debit_cents, value=worth, spot_cents=spot, now=snap.ts)
    return Tiers(made, tier_bounds(TIERS, made.numbers))


def tier_bounds(c: FlyExitConfig, n: FlyNumbers) -> tuple[TierBound, ...]:
    """Each bound of the tiers, in the order in which they are looked at; `n` as a decision tells it."""
    always, late = (0, math.inf), (0, c.pin_max_dte)
    early, between = (c.profit_min_dte, math.inf), (c.give_up_min_dte, c.give_up_max_dte)
    cut = c.loss_fraction * n.risk if n.risk > 0 else None
    wanted = c.pin_multiple * abs(n.entry)
    rail = [TierBound("LOSS_CUT", always, "past wing", n.beyond, c.rail_fraction)]
    return (
        TierBound("LOSS_CUT", always, "loss", -n.pnl, cut),
        *(rail if n.beyond is not None else ()),
        TierBound("BASE_PROFIT", early, "captured", n.captured, c.profit_captured),
        TierBound("GIVE_UP", between, "captured", n.captured, c.give_up_captured, above=False, strict=True),
        TierBound("GIVE_UP", between, "from body", n.distance, c.give_up_distance, strict=True),
        TierBound("PIN", late, "from body", n.distance, c.pin_distance, above=False),
        TierBound("PIN", late, "profit", n.pnl, wanted, strict=wanted == 0),
        TierBound("EXPIRY_DAY", (0, 0), "", None, None),
    )


# --- the artefact


def as_dict(snap: Snapshot, reading: Reading, target: float) -> dict[str, Any]:
    """A reading as plain JSON values. Cents, `ev_usd` and greeks (dollars, years) are a share."""
    price, ends = reading.price, reading.outcome
    return {
        "structure": {
            "kind": reading.structure.kind,
            "side": "bullish" if reading.structure.side > 0 else "bearish",
            "label": reading.structure.label,
            "legs": [{"contract": leg.contract.name, "ratio": leg.ratio} for leg in reading.structure.legs],
            "quantity": reading.quantity,
            "multiplier": snap.multiplier,
        },
        "figures": {
            "debit_cents": price.debit_cents if isinstance(price, Premium) else None,
            "spread_cents": price.spread_cents if isinstance(price, Premium) else None,
            "unpriced": f"{price.code} {price.contract.name}" if isinstance(price, Unpriced) else None,
            "max_loss_cents": None if ends is None else ends.max_loss_cents,
            "max_gain_cents": None if ends is None else ends.max_gain_cents,
            "breakevens": None if ends is None else list(ends.breakevens),
            "pop": reading.pop,
            "ev_usd": reading.ev,
        },
        "sliders": {
            "underlying": snap.here + reading.scenario.shift,
            "minutes": reading.scenario.minutes,
            "iv_scale": reading.scenario.iv_scale,
            "greeks": None if reading.greeks is None else reading.greeks._asdict(),
        },
        "bounds": [_plain(bound) for bound in reading.bounds],
        "selection": {"target": target, "ranked": [rank.sentence for rank in reading.selection.ranked]},
        "exit": {
            "orders": [_order(step) for step in reading.way_out.steps],
            "rounds": reading.way_out.rounds,
            "brings_cents": reading.way_out.cents,
        },
        "tiers": _tiers(reading.tiers),
    }


def _order(step: ExitStep) -> dict[str, Any]:
    return {
        "legs": [{"contract": leg.contract.name, "ratio": leg.ratio} for leg in step.legs],
        "units": step.units,
        "brings_cents": step.cents,
        "kept": [leg.contract.name for leg in step.kept],
        "unpriced": f"{step.why.code} {step.why.contract.name}" if step.why else None,
    }


def _tiers(found: Tiers | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"tier": None, "reason": found, "numbers": None, "bounds": []}
    bounds = [
        {"tier": b.tier, "measure": b.measure, "now": b.now, "bound": b.bound, "to_go": b.to_go}
        for b in found.bounds
        if b.measure
    ]
    made = found.decision
    return {
        "tier": made.tier,
        "reason": made.reason,
        "numbers": made.numbers._asdict(),
        "bounds": bounds,
    }


def _plain(bound: Bound) -> dict[str, Any]:
    quote = bound.quote
    return {
        "name": bound.name,
        "ratio": bound.ratio,
        "bid_cents": None if quote is None else quote.bid_cents,
        "ask_cents": None if quote is None else quote.ask_cents,
        "price_cents": bound.price_cents,
        "least_cents": bound.low,
        "most_cents": bound.high,
        "passes": bound.passes,
        "why": bound.why,
    }
