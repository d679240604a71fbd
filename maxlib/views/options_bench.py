"""What the options lab works on: one moment and one expiry of a chain, and a structure read there.

No widget and no figure: plain values in, plain values out. Prices, odds and bounds are the
library's; here they are only brought together.

The underlying of all prices and curves is the parity forward that the quotes of that moment imply
(the source's spot where there is none): a spot that comes with a chain is often of another moment.
Interest until expiry is left out. Volatilities are implied from the mids of options out of the
money, on the trading clock, and kept per strike; between strikes they are interpolated, beyond the
last quoted one they stay level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError, InvariantError
from maxlib.execution.arbitrage import Moment, _payoff, arbitrage
from maxlib.execution.fills import FillConfig, Filled, NotFilled, fill
from maxlib.execution.firewall import guard
from maxlib.market.calendar import LAST, new_york, sessions, to_ns
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.market.quotes import Chain, Quote
from maxlib.options.chain_density import ChainDensity, NoDensity, chain_density
from maxlib.options.density import Density, expected, probability
from maxlib.options.forward import EUROPEAN, STANDARD, Forward, forward, years_left
from maxlib.options.implied import Reason, implied
from maxlib.options.payoff import Outcome, Premium, Unpriced, knees, outcome, premium, profit_intervals
from maxlib.options.pricing import TRADING_MINUTES_PER_YEAR, Greeks
from maxlib.options.risk_profile import Curves, curves, net_greeks
from maxlib.options.selection import Selection, SelectionConfig, select
from maxlib.options.structures import Kind, Listing, Structure, candidates
from maxlib.trading.orders import reverse

Floats = NDArray[np.float64]

NS_PER_MINUTE: Final = 60_000_000_000
FILLS: Final = FillConfig()
"""The fill model of the firewall's verdict: asks paid, bids got, quotes at most two seconds old."""
REACH: Final = 4.0
"""Deviations to each side of the underlying that the lab shows."""
_MULTIPLIER: Final = {"ES": 50, "NQ": 20}  # of options on futures; shares and indices have 100
_DUST: Final = 1e-6
_POINTS: Final = 161


class Expiry(NamedTuple):
    """An expiry of a chain: the moment it settles (UTC ns) and its date (days since 1970)."""

    expires_at: int
    day: int


class Smile(NamedTuple):
    """Volatilities per root trading year, by strike in dollars, ascending; empty = none is known."""

    strikes: Floats
    sigmas: Floats

    def at(self, strike: float) -> float:
        """The volatility of a strike: interpolated, and level beyond the ends."""
        return float(np.interp(strike, self.strikes, self.sigmas))


@dataclass(frozen=True)
class Snapshot:
    """One moment and one expiry of a chain.

    Attributes
    ----------
    chain : the rows of that moment and expiry
    ts : UTC ns
    expiry : Expiry
    minutes : of regular trading until the expiry, 0 if it has passed
    spot : as the source says, dollars; None = it does not
    forward : by parity
    here : dollars; the underlying that everything is priced from
    quotes : contract -> quote in cents, bids rounded down and asks up
    strikes : "C" and "P" -> listed strikes in cents, ascending
    smile : implied volatilities
    density : of the underlying at expiry, or why there is none
    moment : what the firewall knows of the underlying
    multiplier : shares a contract
    """

    chain: Chain
    ts: int
    expiry: Expiry
    minutes: float
    spot: float | None
    forward: Forward
    here: float
    quotes: dict[Contract, Quote]
    strikes: dict[str, tuple[int, ...]]
    smile: Smile
    density: ChainDensity | NoDensity
    moment: Moment
    multiplier: int

    @property
    def modelled(self) -> bool:
        """Whether nobody ever quoted it."""
        return self.chain.origin in ("modelled", "simulated")

    @property
    def deviation(self) -> float:
        """One standard deviation of the underlying until expiry, dollars; a fiftieth of it if not known."""
        if len(self.smile.strikes) and self.minutes > 0:
            return self.here * self.smile.at(self.here) * math.sqrt(years(self.minutes))
        return 0.02 * self.here

    @property
    def odds(self) -> Density | None:
        """The density alone."""
        return self.density.density if isinstance(self.density, ChainDensity) else None

    def listing(self, side: int) -> Listing:
        """The strikes of calls (+1) or puts (-1)."""
        return Listing(self.chain.root, self.expiry.day, self.strikes["C" if side > 0 else "P"])

    def sigmas(self, legs: tuple[Leg, ...], scale: float = 1.0) -> tuple[float, ...] | None:
        """Volatility of each leg times `scale`; None = no quote determines any."""
        if not len(self.smile.strikes):
            return None
        return tuple(scale * self.smile.at(leg.contract.strike) for leg in legs)


class Scenario(NamedTuple):
    """Where the sliders stand: dollars the underlying moved, trading minutes left, factor on volatility."""

    shift: float
    minutes: float
    iv_scale: float


class Bound(NamedTuple):
    """What the firewall says of one leg, or of the whole package.

    price_cents : at the side of the quote that hurts, a share; net for the package. None = no price
    low, high : the least and the most that it can be worth without arbitrage, cents a share
    passes : whether it would be let pass
    why : the firewall's sentence if not; else a remark, or empty
    """

    name: str
    ratio: int
    price_cents: int | None
    low: float
    high: float
    passes: bool
    why: str


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


# --- a moment of a chain


def moments(chain: Chain) -> list[int]:
    """The moments of a chain, UTC ns, ascending."""
    return [int(ts) for ts in np.unique(chain.rows["ts"])]


def at(chain: Chain, ts: int) -> Chain:
    """The rows of one moment."""
    return replace(chain, rows=chain.rows[chain.rows["ts"] == ts])


def expiries(chain: Chain) -> list[Expiry]:
    """The expiries that a chain names and that the session calendar reaches, nearest first."""
    pairs = np.unique(chain.rows[["expires_at", "expiry"]])
    last = to_ns(LAST, 0)
    return [Expiry(int(at), int(day)) for at, day in pairs.tolist() if 0 < at < last and day > 0]


def years(minutes: float) -> float:
    """Trading minutes in trading years; 0 at expiry, where the payoff stands for the price."""
    return minutes / TRADING_MINUTES_PER_YEAR


def trading_minutes(ts: int, until: int) -> float:
    """Minutes of regular sessions from `ts` to `until`, UTC ns."""
    if until <= ts:
        return 0.0
    total = 0
    for day in sessions(new_york(ts).date(), new_york(until).date()):
        opening, close = to_ns(day.date, day.open_minute), to_ns(day.date, day.close_minute)
        total += max(0, min(close, until) - max(opening, ts))
    return total / NS_PER_MINUTE


def snapshot(chain: Chain, ts: int, expiry: Expiry) -> Snapshot:
    """One moment and one expiry of `chain`, made ready.

    Raises
    ------
    DataError
        If nothing tells a price of the underlying.
    """
    rows = chain.rows[(chain.rows["ts"] == ts) & (chain.rows["expires_at"] == expiry.expires_at)]
    part = replace(chain, rows=rows)
    known = forward(part)
    said = float(rows["spot"][0])
    spot = said if said > 0 else None
    here = known.value if known.value is not None and known.value > 0 else spot
    if here is None:
        raise DataError(
            f"{chain.name}: no price of the underlying at {new_york(ts):%Y-%m-%d %H:%M} New York time; the "
            f"source gives none, and {known.reason}"
        )
    quotes = _quotes(part, expiry.day)
    strikes = {
        right: tuple(sorted(c.strike_cents for c in quotes if c.right == right)) for right in ("C", "P")
    }
    minutes = trading_minutes(ts, expiry.expires_at)
    return Snapshot(
        part, ts, expiry, minutes, spot, known, here, quotes, strikes, _smile(part, here, minutes),
        chain_density(part), _moment(part, ts, expiry, known, here), _MULTIPLIER.get(chain.root, 100),
    )  # fmt: skip


def _quotes(chain: Chain, day: int) -> dict[Contract, Quote]:
    """Of rows that repeat a series the first counts; the gate counts the others."""
    rows = chain.rows
    modelled = chain.origin in ("modelled", "simulated")
    names = ("strike", "right", "bid", "ask", "bid_size", "ask_size", "ts", "quoted_at")
    found: dict[Contract, Quote] = {}
    for strike, right, bid, ask, bid_size, ask_size, ts, quoted_at in zip(
        *(rows[name].tolist() for name in names), strict=True
    ):
        contract = Contract(chain.root, day, "C" if right > 0 else "P", round(100 * strike))
        sizes = (int(size) if math.isfinite(size) else None for size in (bid_size, ask_size))
        sides = _cents(bid, math.floor, _DUST), _cents(ask, math.ceil, -_DUST)
        found.setdefault(contract, Quote(contract, quoted_at or ts, *sides, *sizes, modelled))
    return found


def _cents(price: float, rounded: Callable[[float], int], dust: float) -> int | None:
    """A side of a quote in whole cents, rounded against whoever trades on it."""
    return rounded(100 * price + dust) if 0 < price < math.inf else None


def _smile(chain: Chain, here: float, minutes: float) -> Smile:
    rows = chain.rows
    call = rows["right"] > 0
    use = (call == (rows["strike"] >= here)) & (rows["bid"] > 0) & (rows["ask"] >= rows["bid"])
    t, known = years(minutes), {}
    for strike, right, mid in zip(
        rows["strike"][use].tolist(), call[use].tolist(), (0.5 * (rows["bid"] + rows["ask"]))[use].tolist(),
        strict=True,
    ):  # fmt: skip
        sigma, reason = implied("C" if right else "P", mid, here, strike, t)
        if reason is Reason.OK:
            known.setdefault(strike, sigma)
    strikes = sorted(known)
    return Smile(np.array(strikes), np.array([known[k] for k in strikes]))


def _moment(chain: Chain, ts: int, expiry: Expiry, known: Forward, here: float) -> Moment:
    """Modelled quotes were made from the spot; real ones at a price that only parity tells."""
    spot = float(chain.rows["spot"][0])
    if chain.origin in ("modelled", "simulated") and spot > 0:
        return Moment(ts, spot)
    left = float(years_left(np.array([ts]), np.array([expiry.expires_at]))[0])
    carry = 100 * float(chain.rows["strike"].max()) * (1 - math.exp(-STANDARD.rate_high * left))
    slack = 0.0 if known.value is None else 100 * known.error
    return Moment(ts, here, slack, carry, "european" if chain.root in EUROPEAN else "american")


# --- a structure read there


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
        bounds(snap, structure, quantity), rivals,
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
        low, high = _net_floor(legs, snap.moment), -_net_floor(reverse(legs), snap.moment)
    quotes = [snap.quotes.get(leg.contract) for leg in legs]
    passes, prices, why = _verdict(legs, quantity, quotes, snap.moment)
    net = None if prices is None else sum(leg.ratio * p for leg, p in zip(legs, prices, strict=True))
    # A leg sold alone is named by its price, not by what selling it costs.
    if net is not None and len(legs) == 1:
        net = abs(net)
    ratio = legs[0].ratio * quantity if len(legs) == 1 else quantity
    return Bound(package_name(legs), ratio, net, low, high, passes, why)


def _one(leg: Leg) -> Leg:
    return Leg(leg.contract, 1 if leg.ratio > 0 else -1)


def _leg_bounds(contract: Contract, moment: Moment) -> tuple[float, float]:
    """What the firewall demands at least when buying, and allows at most when selling."""
    low = arbitrage([Leg(contract, 1)], [-1], moment)
    high = arbitrage([Leg(contract, -1)], [10**12], moment)
    assert high is not None
    return (max(0.0, low.limit_cents) if low is not None else 0.0), high.limit_cents


def _net_floor(legs: tuple[Leg, ...], moment: Moment) -> float:
    """The least that a package can cost: the firewall's last rule, asked with a price below all bounds."""
    prices = [-leg.ratio * 10**12 for leg in legs]
    found = _payoff(range(len(legs)), legs, prices, moment)
    assert found is not None
    return found.limit_cents


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


# --- the artefact


def as_dict(snap: Snapshot, reading: Reading, target: float) -> dict[str, Any]:
    """A reading as plain JSON values: what was chosen, on which chain, and what came out."""
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
            "ev": reading.ev,
        },
        "sliders": {
            **reading.scenario._asdict(),
            "underlying": snap.here + reading.scenario.shift,
            "value": reading.value,
            "greeks": None if reading.greeks is None else reading.greeks._asdict(),
        },
        "bounds": [bound._asdict() for bound in reading.bounds],
        "selection": {"target": target, "ranked": [rank.sentence for rank in reading.selection.ranked]},
    }
