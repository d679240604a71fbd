"""The forward that the quotes themselves imply, by put-call parity.

The spot that comes with a chain is often of another moment (after hours, delayed, yesterday's).
Call and put of one strike and moment price the forward without it:

    F = K + (C - P) / D

exactly for European options; for American ones it lies within bounds (`reference/definitions.md`:
S - K <= C - P <= S - K·D without dividends).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.quotes import Chain

NS_PER_YEAR: Final = 365 * 86_400 * 1_000_000_000
EUROPEAN: Final = frozenset({"SPX", "NDX", "XSP", "XND", "RUT", "DJX", "VIX"})
"""Underlyings with European options; all others count as American, whose bounds are wider."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class ForwardConfig(Config):
    """How the forward is taken from the quotes.

    Attributes
    ----------
    strikes : how many strikes vote: those with the least |C - P|, hence nearest the forward
    rate_low, rate_high : continuous rate per year of 365 days; nobody tells it, so it is an interval
    dividend_high : yield per year, 0 to this (on a future: the rate); it widens the lower bound of
        American options
    """

    strikes: int = Field(default=9, ge=1)
    rate_low: float = Field(default=0.0, ge=0.0, le=1.0)
    rate_high: float = Field(default=0.08, ge=0.0, le=1.0)
    dividend_high: float = Field(default=0.08, ge=0.0, le=1.0)


STANDARD: Final = ForwardConfig()


class Forward(NamedTuple):
    """The forward of one expiry at one moment, in the units of the strikes.

    value : None = cannot be known, for `reason`
    error : half-width of what the quotes leave open: the median over the strikes of half the summed
        spreads, or the median deviation of the strikes from `value` if that is more (quotes of
        different moments contradict each other by more than their spreads)
    low, high : value -+ error, and for American options what early exercise leaves open
    strikes : how many voted
    """

    value: float | None
    error: float
    low: float
    high: float
    strikes: int
    reason: str | None


@dataclass(frozen=True)
class Forwards:
    """Forwards of a whole chain, one per moment and expiry ("group"), in that order.

    Attributes
    ----------
    ts, expires_at : int64[g], UTC ns
    value, error, low, high : float64[g], NaN = cannot be known
    strikes, listed : int64[g]; strikes that voted, and strikes with both a call and a put
    group : int64[n], the group of each row of the chain
    american : bool
    """

    ts: Ints
    expires_at: Ints
    value: Floats
    error: Floats
    low: Floats
    high: Floats
    strikes: Ints
    listed: Ints
    group: Ints
    american: bool

    def __len__(self) -> int:
        return len(self.ts)

    def at(self, index: int) -> Forward:
        """The forward of one group, with the reason if there is none."""
        i, nan = index, float("nan")
        if self.strikes[i]:
            value, error, low, high = (float(x[i]) for x in (self.value, self.error, self.low, self.high))
            return Forward(value, error, low, high, int(self.strikes[i]), None)
        if not self.listed[i]:
            return Forward(None, nan, nan, nan, 0, "no strike is there as call and as put")
        reason = f"of {self.listed[i]} strikes none has two-sided quotes of both call and put"
        return Forward(None, nan, nan, nan, 0, reason)


class Order(NamedTuple):
    """Rows of a chain in order of moment, expiry, strike and right (puts first).

    row : int64[n], where the sorted rows stand in the chain; equal ones keep their order
    group : int64[n], of each sorted row: its number of (ts, expires_at)
    first : int64[g], where each group begins
    repeat : bool[n], series and moment are those of the sorted row before
    """

    row: Ints
    group: Ints
    first: Ints
    repeat: Mask


def arrange(rows: NDArray[np.void]) -> Order:
    """Sort quotes once for everything that compares strikes."""
    keys = [rows[name].copy() for name in ("ts", "expires_at", "strike", "right")]
    row = np.lexsort(keys[::-1])
    ts, expires_at, strike, right = (key[row] for key in keys)
    new_group = np.ones(len(row), np.bool_)
    new_group[1:] = (ts[1:] != ts[:-1]) | (expires_at[1:] != expires_at[:-1])
    repeat = np.zeros(len(row), np.bool_)
    repeat[1:] = ~new_group[1:] & (strike[1:] == strike[:-1]) & (right[1:] == right[:-1])
    return Order(row, np.cumsum(new_group) - 1, np.flatnonzero(new_group), repeat)


class Pairs(NamedTuple):
    """Strikes with a usable call and put. All arrays have one entry per strike and group.

    group : int64; strike, bid and ask of the synthetic C - P (sold, bought) : float64;
    put, call : int64, their places among the sorted rows
    """

    group: Ints
    strike: Floats
    bid: Floats
    ask: Floats
    put: Ints
    call: Ints


def usable(rows: NDArray[np.void]) -> Mask:
    """Rows with a two-sided market: 0 < bid < ask."""
    good: Mask = (rows["bid"] > 0) & (rows["bid"] < rows["ask"]) & (rows["ask"] < np.inf)
    return good


def pair_up(rows: NDArray[np.void], order: Order, good: Mask) -> Pairs:
    """Bring calls and puts together. `good` : bool[n] per SORTED row, the rows that may be used."""
    place = np.flatnonzero(good & ~order.repeat)
    at = order.row[place]
    strike, right = rows["strike"][at], rows["right"][at]
    group = order.group[place]
    both = (group[1:] == group[:-1]) & (strike[1:] == strike[:-1]) & (right[1:] > right[:-1])
    put = np.flatnonzero(both)
    call = put + 1
    bid, ask = rows["bid"][at], rows["ask"][at]
    return Pairs(group[put], strike[put], bid[call] - ask[put], ask[call] - bid[put], place[put], place[call])


def discounts(years: Floats, config: ForwardConfig) -> tuple[Floats, Floats]:
    """Least and greatest discount factor over `years`."""
    return np.exp(-config.rate_high * years), np.exp(-config.rate_low * years)


def years_left(ts: Ints, expires_at: Ints) -> Floats:
    """Calendar years from `ts` to `expires_at`; 0 once expired, and where the expiry is not said."""
    left: Floats = np.maximum(expires_at - ts, 0) / NS_PER_YEAR
    return np.where(expires_at > 0, left, 0.0)


def forwards(chain: Chain, config: ForwardConfig = STANDARD, order: Order | None = None) -> Forwards:
    """The parity forward of every moment and expiry in a chain.

    Parameters
    ----------
    chain : Chain
    config : ForwardConfig
    order : Order, optional
        `arrange(chain.rows)`, if it is there already.

    Returns
    -------
    Forwards
        Known at each group's `ts`: nothing but quotes of that very moment enters. The median over the
        strikes nearest the forward, so that fewer than half of them may be stale or wrong. Locked,
        crossed and one-sided quotes do not vote.
    """
    rows = chain.rows
    order = order or arrange(rows)
    american = chain.root not in EUROPEAN
    count = len(order.first)
    ts, expires_at = (rows[name][order.row[order.first]] for name in ("ts", "expires_at"))
    years = years_left(ts, expires_at)
    least, most = discounts(years, config)
    all_pairs = pair_up(rows, order, np.ones(len(rows), np.bool_))
    pairs = pair_up(rows, order, usable(rows)[order.row])
    gap = 0.5 * (pairs.bid + pairs.ask)
    near = _nearest(np.abs(gap), pairs.group, count, config.strikes)
    group, gap = pairs.group[near], gap[near]
    one = 0.5 * (1 / least + 1 / most)[group]  # 1 / D in the middle of what the rate may be
    implied = pairs.strike[near] + gap * one
    half = 0.5 * (pairs.ask - pairs.bid)[near] * one + np.abs(gap) * (1 / least[group] - one)
    value = medians(implied, group, count)
    error = np.maximum(medians(half, group, count), medians(np.abs(implied - value[group]), group, count))
    low, high = value - error, value + error
    if american:
        low = low * np.exp(-config.dividend_high * years)
        high = high + value * (1 / least - 1)
    of_row = np.empty(len(rows), np.int64)
    of_row[order.row] = order.group
    strikes, listed = (np.bincount(found, minlength=count) for found in (group, all_pairs.group))
    return Forwards(ts, expires_at, value, error, low, high, strikes, listed, of_row, american)


def forward(chain: Chain, config: ForwardConfig = STANDARD) -> Forward:
    """The parity forward of a chain of one moment and one expiry.

    Raises
    ------
    ValueError
        If the chain holds more than one of either.
    """
    found = forwards(chain, config)
    if len(found) != 1:
        raise ValueError(f"{chain.name}: {len(found)} moments and expiries; a single forward needs one")
    return found.at(0)


def medians(values: Floats, group: Ints, count: int) -> Floats:
    """The median of `values` in each of `count` groups; NaN for a group without any."""
    sizes = np.bincount(group, minlength=count)
    begin = np.cumsum(sizes) - sizes
    ordered = np.append(values[np.lexsort((values, group))], np.nan)
    there = sizes > 0
    low = np.where(there, begin + (sizes - 1) // 2, len(values))
    high = np.where(there, begin + sizes // 2, len(values))
    middle: Floats = 0.5 * (ordered[low] + ordered[high])
    return middle


def _nearest(distance: Floats, group: Ints, count: int, most: int) -> Ints:
    """Places of the `most` least distances in each group."""
    place = np.lexsort((distance, group))
    sizes = np.bincount(group, minlength=count)
    rank = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place[rank < most]
