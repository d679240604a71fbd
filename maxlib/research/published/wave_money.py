"""Structures, exits and money of the published wave runs, each flaw a switch (spec §5, §10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.engine.shell import VOLATILITY
from maxlib.market.bars import NS_PER_MINUTE, RTH_CLOSE
from maxlib.options.desk import DeskConfig
from maxlib.options.pricing import bsm, years
from maxlib.options.volatility import REALISED
from maxlib.research.published import model_a
from maxlib.research.published.wave_config import WavePublished
from maxlib.research.published.wave_signals import Levels
from maxlib.research.published.wave_structures import NAMES, best, candidates

Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAST_MINUTE: Final = 15 * 60 + 55
"""No entry from here on, and no bar after it in a window."""
_TRAIL: Final = 0.005
_SHARES: Final = 100


class Entry(NamedTuple):
    """A decision with its price.

    at : index of the bar whose start is the time of the entry
    """

    at: int
    side: int
    spot: float
    levels: Levels


class WaveTrade(NamedTuple):
    """A trade. Money in dollars.

    number : position of its entry among those given
    legs : (contracts, strike, premium per share) each
    entry_cost_usd : |net premium| and modelled friction, what the original measured risk by
    half, exit : index of the bar at whose close the half (-1: none) and the rest were sold
    window_end : UTC ns, start of the last bar the trade may see; the original printed it as the exit
    """

    number: int
    at: int
    side: int
    spot: float
    levels: Levels
    structure: str
    legs: tuple[tuple[int, int, float], ...]
    net_usd: float
    entry_cost_usd: float
    pnl_usd: float
    half: int
    exit: int
    window_end: int


class WaveBooks:
    """Turns entries into trades on one tape."""

    def __init__(self, bars: Rows, config: WavePublished, desk: DeskConfig, sigma: Floats | None) -> None:
        self.bars = bars
        self.config = config
        self.desk = desk
        self._given = sigma
        self._start = bars["ts"] - NS_PER_MINUTE
        self._minute = bars["minute"].astype(np.int64)

    @cached_property
    def _sigma(self) -> Floats:
        sigma = REALISED.run(self.bars, VOLATILITY)[1]["sigma"] if self._given is None else self._given
        return np.asarray(sigma * self.desk.iv_scale, np.float64)

    def spot(self, decided: int, level: float) -> tuple[int, float]:
        """Bar and price of an entry decided at the close of bar `decided`: there, or at the next open.

        NaN when the day has no next bar.
        """
        if self.config.entry == "brick":
            return decided, level
        following = self.bars[decided + 1 : decided + 2]
        if len(following) == 0 or following["day"][0] != self.bars["day"][decided]:
            return decided, math.nan
        return decided + 1, float(following["open"][0])

    def book(self, entries: Sequence[Entry]) -> list[WaveTrade]:
        """The trades that these entries, in time order, become.

        Left out are entries from 15:55 on, those without a bar after them, those whose best structure
        pays less than `min_rr`, and, unless trades may overlap, those during another trade.
        """
        numbers = [i for i, e in enumerate(entries) if self._minute[e.at] < LAST_MINUTE and e.spot == e.spot]
        if not numbers:
            return []
        trades = self._value(numbers, [entries[i] for i in numbers])
        return trades if self.config.overlap else self._one_at_a_time(trades)

    def _one_at_a_time(self, trades: list[WaveTrade]) -> list[WaveTrade]:
        kept: list[WaveTrade] = []
        for trade in trades:
            if not kept or self._start[trade.at] >= self._start[kept[-1].exit]:
                kept.append(trade)
        return kept

    def _value(self, numbers: list[int], entries: list[Entry]) -> list[WaveTrade]:
        at = np.array([e.at for e in entries])
        side = np.array([e.side for e in entries], np.int64)
        spot = np.array([e.spot for e in entries])
        target = np.array([e.levels.tp1 for e in entries])
        legs = candidates(spot, target, side)
        wide = (slice(None), None, None)
        premium = self._premium(spot[wide], legs.strike, side[wide], at[wide])
        net = _SHARES * (legs.quantity * premium).sum(axis=2)
        cost = np.abs(net) + model_a.friction(legs.quantity, premium).sum(axis=2)
        payoff = legs.quantity * model_a.intrinsic(target[wide], legs.strike, side[wide])
        choice, ratio = best(_SHARES * payoff.sum(axis=2) - net, cost)
        trades = []
        for row, (number, entry, which) in enumerate(zip(numbers, entries, choice.tolist(), strict=True)):
            window = self._window(entry.at)
            if ratio[row] < self.config.min_rr or window.start == window.stop:
                continue
            place = row, which
            strikes, quantities, prices = legs.strike[place], legs.quantity[place], premium[place]
            half, last = leave(self.bars["close"][window], entry, scaling=self.config.scaling)
            exits = [window.start + i for i in (half, last) if i >= 0]
            worth = np.mean([self._worth(strikes, quantities, entry.side, i) for i in exits])
            pnl = worth - net[place] - self._entry_charge(quantities, prices, cost[place] - abs(net[place]))
            held = zip(quantities.tolist(), strikes.astype(int).tolist(), prices.tolist(), strict=True)
            trades.append(
                WaveTrade(
                    number, entry.at, entry.side, entry.spot, entry.levels, NAMES[which],
                    tuple(leg for leg in held if leg[0]), float(net[place]), float(cost[place]), float(pnl),
                    exits[0] if half >= 0 else -1, exits[-1], self._deadline(entry.at),
                )
            )  # fmt: skip
        return trades

    def _deadline(self, at: int) -> int:
        """Start of the last bar of a trade's window, UTC ns."""
        minutes = min(self.config.hold_minutes, LAST_MINUTE - int(self._minute[at]))
        return int(self._start[at]) + minutes * NS_PER_MINUTE

    def _window(self, at: int) -> slice:
        """Bars after the decision, up to the deadline."""
        opened = self.config.entry == "next_open"  # the entry bar itself comes after the decision then
        first = np.searchsorted(self._start, self._start[at], side="left" if opened else "right")
        last = np.searchsorted(self._start, self._deadline(at), side="right")
        return slice(int(first), int(last))

    def _premium(self, spot: Any, strike: Floats, side: Any, at: Any) -> Floats:
        """Price per share with the time left at the start of bar `at`; all arguments broadcast."""
        minute = self._minute[at]
        if self.config.pricing == "model_a":
            return model_a.quote(spot, strike, side, model_a.days_left(minute))
        price = _BSM(spot, strike, side, RTH_CLOSE - minute, self._sigma[at])
        return np.asarray(price, np.float64)

    def _worth(self, strike: Floats, quantity: Ints, side: int, at: int) -> float:
        """What the structure brings at the close of bar `at`, after the exit's costs."""
        spot = float(self.bars["close"][at])
        if self.config.exit_value == "intrinsic":
            price = model_a.intrinsic(spot, strike, side)
        else:
            price = self._premium(spot, strike, side, at)
        worth = _SHARES * float((quantity * price).sum())
        return worth - self._charge(quantity, price) if self.config.costs == "both_sides" else worth

    def _entry_charge(self, quantity: Ints, premium: Floats, modelled: float) -> float:
        if self.config.costs == "both_sides":
            return self._charge(quantity, premium)
        return modelled if self.config.costs == "modelled_entry" else 0.0

    def _charge(self, quantity: Ints, premium: Floats) -> float:
        """Half-spread and commission of trading each leg once, dollars."""
        desk = self.desk
        half = np.maximum(desk.half_spread_cents / 100, desk.half_spread_fraction * premium)
        return float((np.abs(quantity) * (desk.commission_cents / 100 + _SHARES * half)).sum())


def leave(closes: Floats, entry: Entry, *, scaling: bool) -> tuple[int, int]:
    """Which closes of a window sell the half (-1: none) and the rest.

    Stop before target. With scaling the first close beyond the target sells half; the rest then trails
    the best close by 0.5 % and knows no stop. What is left goes at the window's end. Not coded in the
    original: second target, break-even.
    """
    side, (first, _, stop) = entry.side, entry.levels
    price = side * closes  # up is good
    stopped, reached = _first(price <= side * stop), _first(price >= side * first)
    end = len(closes) - 1
    if min(stopped, reached) > end:
        return -1, end
    if stopped < reached or not scaling:
        return -1, min(stopped, reached)
    after = price[reached:]
    high = np.maximum.accumulate(after)
    return reached, min(end, reached + _first(after <= high - _TRAIL * np.abs(high)))


def _first(hit: NDArray[np.bool_]) -> int:
    """Index of the first True, or the length."""
    return int(hit.argmax()) if hit.any() else len(hit)


def _black_scholes(spot: float, strike: float, side: int, minutes: int, sigma: float) -> float:
    return bsm("C" if side > 0 else "P", spot, strike, years(minutes), sigma)


_BSM: Final = np.frompyfunc(_black_scholes, 5, 1)
