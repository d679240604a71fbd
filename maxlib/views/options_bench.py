"""What the options lab works on: one moment and one expiry of a chain, made ready.

No widget and no figure: plain values in, plain values out.

The underlying of all prices and curves is the parity forward that the quotes of that moment imply
(the source's spot where there is none): a spot that comes with a chain is often of another moment.
Interest until expiry is left out. Volatilities are implied from the mids of options out of the
money, on the trading clock, and kept per strike; between strikes they are interpolated, beyond the
last quoted one they stay level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from maxlib.core.errors import DataError
from maxlib.core.record import Floats
from maxlib.execution.arbitrage import Moment
from maxlib.market.calendar import LAST, new_york, sessions, to_ns
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Chain, Quote
from maxlib.options.chain_density import ChainDensity, NoDensity, chain_density
from maxlib.options.density import Density
from maxlib.options.forward import EUROPEAN, STANDARD, Forward, forward, years_left
from maxlib.options.implied import Reason, implied
from maxlib.options.pricing import TRADING_MINUTES_PER_YEAR
from maxlib.options.selection import Loss, Rank
from maxlib.options.structures import RATIOS, Kind, Listing, Structure, build

NS_PER_MINUTE: Final = 60_000_000_000
_MULTIPLIER: Final = {"ES": 50, "NQ": 20}  # of options on futures; shares and indices have 100
_DUST: Final = 1e-6


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
        """Volatility of each leg times `scale`; None = no quote determines any. 0 when no time is left."""
        if self.minutes <= 0:
            return (0.0,) * len(legs)
        if not len(self.smile.strikes):
            return None
        return tuple(scale * self.smile.at(leg.contract.strike) for leg in legs)


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
        quote = Quote(
            contract, quoted_at or ts, _cents(bid, math.floor, _DUST), _cents(ask, math.ceil, -_DUST),
            _size(bid_size), _size(ask_size), modelled,
        )  # fmt: skip
        found.setdefault(contract, quote)
    return found


def _cents(price: float, rounded: Callable[[float], int], dust: float) -> int | None:
    """A side of a quote in whole cents, rounded against whoever trades on it."""
    return rounded(100 * price + dust) if 0 < price < math.inf else None


def _size(contracts: float) -> int | None:
    return int(contracts) if math.isfinite(contracts) else None


def _smile(chain: Chain, here: float, minutes: float) -> Smile:
    rows = chain.rows
    call = rows["right"] > 0
    use = (call == (rows["strike"] >= here)) & (rows["bid"] > 0) & (rows["ask"] >= rows["bid"])
    t = years(minutes)
    known: dict[float, float] = {}
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


# --- strikes to choose from


class Choice(NamedTuple):
    """Per leg, the strikes that may be chosen and the one that is, in cents; inner leg first."""

    offered: tuple[tuple[int, ...], ...]
    chosen: tuple[int, ...]


def choose(listing: Listing, side: int, kind: Kind, wanted: Sequence[int]) -> Choice | None:
    """Listed strikes as near to those `wanted` as the kind allows; None = the list is too short.

    Each strike lies beyond the one before it, the trade's way. The far wing of a fly is where its
    inner wing and its body put it, so bodies without a listed wing are not offered. Of strikes
    equally near the further one is taken.
    """
    legs = len(RATIOS[kind])
    up = [side * k for k in listing.strikes][::side]
    listed = set(up)
    offered: list[tuple[int, ...]] = []
    chosen: list[int] = []
    for i in range(legs):
        if kind == "fly" and i == 2:
            options = [2 * chosen[1] - chosen[0]]
        else:
            options = [k for k in up[: len(up) - (legs - 1 - i)] if not chosen or k > chosen[-1]]
            if kind == "fly" and i == 1:
                options = [k for k in options if 2 * k - chosen[0] in listed]
        if not options:
            return None
        chosen.append(min(options, key=lambda k: (abs(k - side * wanted[i]), -k)))
        offered.append(tuple(side * k for k in options))
    return Choice(tuple(offered), tuple(side * k for k in chosen))


def placed(listing: Listing, side: int, kind: Kind, here: float, target: float) -> tuple[list[int], str]:
    """Strikes to begin with: the library's for the target, else those from the money on and why not."""
    built = build(kind, listing, side, here, target)
    if isinstance(built, Structure):
        return [leg.contract.strike_cents for leg in built.legs], ""
    first = min(listing.strikes, key=lambda k: abs(k - 100 * here), default=0)
    beyond = [k for k in listing.strikes if side * (k - first) >= 0][::side]
    wanted = (beyond + [first] * 3)[: len(RATIOS[kind])]
    return wanted, Rank(built, None, Loss(built.code, 0, built.strike_cents / 100)).sentence
