"""The published bookkeeping of the champion: what it buys, when it sells, what it writes down.

One loop over decisions, one trade at a time. Every rule that makes the money
unreal has a switch (`Cause`), so the same loop tells the published figure, the
honest one and all between.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.market import calendar
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN
from maxlib.options.desk import DeskConfig
from maxlib.options.pricing import bsm, years
from maxlib.options.volatility import REALISED
from maxlib.research.published import model_b
from maxlib.research.published.champion_config import Cause, ChampionPublished

Rows = NDArray[np.void]

HOLD_BARS: Final = 60
MIN_TARGET_USD: Final = 0.15
RISK_FRACTION: Final = 0.05
MAX_CONTRACTS: Final = 10
STRIKE_STEP: Final = 5
SHARES: Final = 100
FLAT_BEFORE_CLOSE: Final = 5
LAST_ENTRY_BEFORE_CLOSE: Final = 30


class Trade(NamedTuple):
    """One line of the books. Dollars; option values per share.

    at, entered, left : bars of decision, entry and exit
    hit : the target was reached
    exit_value : what the books say a contract's share was worth at the exit
    balance : after the trade
    """

    at: int
    side: int
    entered: int
    spot: float
    strike: int
    distance: float
    target: float
    premium: float
    contracts: int
    left: int
    exit_spot: float
    hit: bool
    exit_value: float
    pnl_usd: float
    balance_usd: float


class Pricer:
    """Option values per share at a bar's open minute: the table, or Black-Scholes.

    The volatility is spec §12.1's: 20 daily returns through yesterday, at least 10 %, 20 % until
    there are 8. The clock is trading minutes to 16:00: all 390 before the open, one after the close.
    """

    def __init__(self, bars: Rows, causes: Collection[Cause], desk: DeskConfig) -> None:
        self._modelled = Cause.MODEL in causes
        self._mirrored = Cause.PUTS in causes
        self._clock = _minutes_of_day(bars) if Cause.CLOCK in causes else _minutes_of_file(bars)
        if self._modelled:
            params = REALISED.params(returns=20, min_returns=8, floor=0.10, default=0.20)
            self._sigma = REALISED.run(bars, params)[1]["sigma"] * desk.iv_scale
            self._left = np.minimum(model_b.DAY_MINUTES - _minutes_of_day(bars), model_b.DAY_MINUTES)

    def value(self, bar: int, spot: float, strike: float, side: int) -> float:
        """Value of a call (side +1) or put (-1) while `bar` trades, in dollars per share."""
        if self._modelled:
            t = years(float(self._left[bar]))
            return bsm("C" if side > 0 else "P", spot, strike, t, float(self._sigma[bar]))
        return model_b.premium(spot, strike, float(self._clock[bar]), side if self._mirrored else 1)


class Books:
    """The bookkeeper of one file of bars.

    Parameters
    ----------
    bars : BAR[n]
        One year, or whatever the study concatenated: the premium clock starts with it.
    atr : float64[n]
        ATR14 in dollars, of which the target is a multiple.
    causes : what is put right; empty = as published
    desk : strikes of the Black-Scholes prices, spread and commission; read only by causes
        MODEL and COSTS
    """

    def __init__(
        self,
        bars: Rows,
        atr: NDArray[np.float64],
        config: ChampionPublished,
        causes: Collection[Cause] = (),
        desk: DeskConfig | None = None,
    ) -> None:
        self._config = config
        self._causes = frozenset(causes)
        self._desk = desk or default_desk(config)
        self._prices = Pricer(bars, self._causes, self._desk)
        self._distance = config.target_atr * atr
        names = ("open", "high", "low", "close")
        self._open, self._high, self._low, self._close = (np.ascontiguousarray(bars[x]) for x in names)
        self._allowed, self._last = _session_bounds(bars, Cause.SESSIONS in self._causes)

    def book(self, at: NDArray[np.int64], side: NDArray[np.int8]) -> list[Trade]:
        """Trades of decisions in time order, one at a time.

        A decision is skipped if it is not later than the previous exit's bar, if no bar follows,
        if its target is nearer than $0.15, or if the sessions forbid its entry.
        """
        trades: list[Trade] = []
        busy, balance = -1, self._config.account_usd
        for i, direction in zip(at.tolist(), side.tolist(), strict=True):
            if i <= busy or i + 1 >= len(self._open) or not self._allowed[i + 1]:
                continue
            if not self._distance[i] >= MIN_TARGET_USD:  # NaN while the ATR warms up
                continue
            trade = self._trade(i, direction, balance)
            trades.append(trade)
            busy, balance = trade.left, trade.balance_usd
        return trades

    def _trade(self, at: int, side: int, balance: float) -> Trade:
        config, bar = self._config, at + 1
        spot, distance = float(self._open[bar]), float(self._distance[at])
        target = spot + side * distance
        strike = self._strike(spot, side)
        premium = self._prices.value(bar, spot, strike, side)
        contracts = self._contracts(premium, balance)
        left, hit = self._exit(bar, side, target)
        exit_spot = target if hit else float(self._close[left])
        if not hit or self._causes & {Cause.TARGET, Cause.MODEL}:
            value = self._prices.value(left, exit_spot, strike, side)
        elif config.hit_value == "distance":
            value = distance
        else:
            value = max(0.0, side * (target - strike))
        pnl = (value - premium) * SHARES * contracts
        if Cause.COSTS in self._causes:
            pnl -= (self._cost(premium) + self._cost(value)) * contracts
        return Trade(
            at, side, bar, spot, strike, distance, target, premium, contracts,
            left, exit_spot, hit, value, pnl, balance + pnl,
        )  # fmt: skip

    def _strike(self, spot: float, side: int) -> int:
        """On the $5 grid as published; on the desk's grid under Black-Scholes."""
        modelled = Cause.MODEL in self._causes
        step = self._desk.strike_step if modelled else STRIKE_STEP
        itm = self._desk.moneyness == "itm1" if modelled else self._config.moneyness == "itm"
        return round(spot / step) * step - (side * step if itm else 0)

    def _contracts(self, premium: float, balance: float) -> int:
        """Whole contracts of the budget, 1 to 10: at least one even if the account cannot pay it [H13]."""
        budget = self._config.risk_usd or RISK_FRACTION * balance
        each = premium * SHARES + (self._cost(premium) if Cause.COSTS in self._causes else 0.0)
        return max(1, min(MAX_CONTRACTS, int(budget // each)))

    def _cost(self, premium: float) -> float:
        """Half-spread and commission of one contract on one side, in dollars."""
        desk = self._desk
        half_cents = max(desk.half_spread_cents, desk.half_spread_fraction * premium * 100.0)
        return half_cents / 100.0 * SHARES + desk.commission_cents / 100.0

    def _exit(self, bar: int, side: int, target: float) -> tuple[int, bool]:
        """The first bar from the entry's on that reaches the target, else the last of the hold."""
        end = min(bar + HOLD_BARS, int(self._last[bar]))
        window = slice(bar, end + 1)
        reached = self._high[window] >= target if side > 0 else self._low[window] <= target
        first = int(reached.argmax())
        return (bar + first, True) if reached[first] else (end, False)


def default_desk(config: ChampionPublished) -> DeskConfig:
    """Strikes $1 apart at the money, $5 apart for the ITM study; spread and commission of spec §12.1."""
    return DeskConfig() if config.moneyness == "atm" else DeskConfig(moneyness="itm1", strike_step=5)


def _minutes_of_day(bars: Rows) -> NDArray[np.float64]:
    """Minutes since today's open at each bar's start; negative before it."""
    return bars["minute"].astype(np.float64) - RTH_OPEN


def _minutes_of_file(bars: Rows) -> NDArray[np.float64]:
    """Minutes since 09:30 of the file's first day at each bar's start [H7a]."""
    start = bars["ts"] - NS_PER_MINUTE
    first = calendar.to_ns(calendar.new_york(int(start[0])).date(), RTH_OPEN)
    since: NDArray[np.float64] = (start - first) / NS_PER_MINUTE
    return since


def _session_bounds(bars: Rows, limited: bool) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """For each bar: may a trade enter on it, and the last bar on which it must leave.

    Limited to the session: decision and entry on one date, entry from 09:30 to half an hour before
    the close, exit at the latest with the bar that starts five minutes before the close.
    """
    n = len(bars)
    if not limited:
        return np.ones(n, np.bool_), np.full(n, n - 1)
    local = calendar.new_york_minutes(bars["ts"] - NS_PER_MINUTE)
    date, minute, close = local // 1440, bars["minute"], bars["close_minute"].astype(np.int64)
    allowed = (minute >= RTH_OPEN) & (minute <= close - LAST_ENTRY_BEFORE_CLOSE)
    allowed[1:] &= date[1:] == date[:-1]
    last = np.searchsorted(local, date * 1440 + close - FLAT_BEFORE_CLOSE, side="right") - 1
    return allowed, last
