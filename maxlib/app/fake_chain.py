"""The chain that the fake vendor serves: the desk's modelled quotes, as known at a moment. SIMULATED."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maxlib.data.massive.fake import FakeMarket
from maxlib.engine.backtest import Rows, to_bar
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN
from maxlib.market.contract import Contract
from maxlib.market.quotes import QUOTE, Chain
from maxlib.options.desk import Desk, Market

_UNSAID: Final = (
    "bid_size", "ask_size", "last", "volume", "open_interest", "iv", "delta", "gamma", "theta", "vega", "spot"
)  # fmt: skip


class ModelledChain:
    """Calls and puts of the day at the newest trade's price, in regular hours; else there are none.

    Parameters
    ----------
    bars : BAR[n] of the date
    sigma : float64[n], volatility in force at each of them
    """

    def __init__(self, desk: Desk, bars: Rows, sigma: NDArray[np.float64]) -> None:
        self._desk, self._bars, self._sigma = desk, bars, sigma
        self._trades = FakeMarket({desk.instrument.symbol: bars})

    def __call__(self, ns: int) -> Chain:
        """The chain at UTC ns; strikes as around every price of the day so far."""
        root = self._desk.instrument.symbol
        done = int(np.searchsorted(self._bars["ts"], ns, side="right"))
        last = self._trades.last_print(root, ns)
        rows: list[np.void] = []
        if done and last is not None:
            bar = to_bar(self._bars[done - 1])
            minutes = bar.minutes_left - (ns - bar.ts) / NS_PER_MINUTE
            if minutes > 0:
                now = Market(ns, last.price, minutes, float(self._sigma[done - 1]), bar.session_minutes)
                seen = self._bars[:done][self._bars["minute"][:done] >= RTH_OPEN]
                low, high = seen["low"].min(initial=last.price), seen["high"].max(initial=last.price)
                spots = {last.price, float(low), float(high)}
                listed = {k for spot in spots for k in self._desk.listing(spot, bar.day).strikes}
                rows = [
                    self._row(Contract(root, bar.day, right, strike), now)
                    for strike in sorted(listed)
                    for right in "CP"
                ]
        return Chain(root, np.array(rows, QUOTE), "simulated", "the desk's model")

    def _row(self, contract: Contract, now: Market) -> np.void:
        quote = self._desk.quote(contract, now)
        assert quote is not None  # it is modelled
        row: np.void = np.zeros(1, QUOTE)[0]
        row["ts"] = row["quoted_at"] = now.ts
        row["strike"], row["expiry"] = contract.strike, contract.expiry
        row["right"] = 1 if contract.right == "C" else -1
        row["bid"] = math.nan if quote.bid_cents is None else quote.bid_cents / 100
        row["ask"] = math.nan if quote.ask_cents is None else quote.ask_cents / 100
        for name in _UNSAID:
            row[name] = math.nan
        return row
