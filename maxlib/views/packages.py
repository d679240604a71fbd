"""Packages of a published wave list, each with what the scenario's desk asks and the bound it breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.record import Floats
from maxlib.execution.arbitrage import Breach, Moment, arbitrage
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN
from maxlib.market.contract import Contract, Leg
from maxlib.market.instruments import instrument
from maxlib.options.desk import Desk, Market
from maxlib.research.run import ScenarioRun

Rows = NDArray[np.void]

_SHARES: Final = 100
_DUST: Final = 1e-6


class Package(NamedTuple):
    """A published trade in several legs.

    at, left : UTC ns of entry and exit; spot, left_spot : dollars
    kind : the structure's name; legs : (contracts, "C" or "P", strike, booked premium a share) each
    net_usd : paid, negative = received; pnl_usd : both as booked
    model_usd : what the scenario's desk asks for it at the middle of its quotes
    rule, why : the bound that its premiums break, in a word and in a sentence; None = they could be real
    """

    at: int
    left: int
    spot: float
    left_spot: float
    kind: str
    legs: tuple[tuple[int, str, float, float], ...]
    net_usd: float
    model_usd: float
    pnl_usd: float
    rule: str | None
    why: str | None

    def leg_names(self) -> list[str]:
        """Each leg as "−2 C638"."""
        return [f"{n:+d} {right}{strike:g}".replace("-", "−") for n, right, strike, _ in self.legs]

    def name(self) -> str:
        """Kind and legs, as a trader says them."""
        return f"{self.kind.replace('_', ' ')} {' '.join(self.leg_names())}"

    def at_expiry(self, spot: Floats) -> Floats:
        """Profit or loss at expiry, the booked price included, dollars."""
        signs = {"C": 1.0, "P": -1.0}
        each = [n * np.maximum(0.0, signs[right] * (spot - strike)) for n, right, strike, _ in self.legs]
        value: Floats = _SHARES * np.sum(each, axis=0) - self.net_usd
        return value


def packages(done: ScenarioRun, bars: Rows, booked: Sequence[Any]) -> list[Package]:
    """The trades of a wave accounting: those that break a bound first, then the furthest below the model.

    Parameters
    ----------
    done : the scenario's own run: its desk, and the volatility in force at each bar
    bars : BAR[n], those of the accounting
    booked : as `WaveAccounting.booked`
    """
    symbol = done.tape.symbol
    desk = Desk(done.scenario.desk, instrument(symbol))
    made = []
    for trade in (own.trade for own in booked):
        bar, right = bars[trade.at], "C" if trade.side > 0 else "P"
        contracts = [
            Leg(Contract(symbol, int(bar["day"]), right, 100 * strike), n) for n, strike, _ in trade.legs
        ]
        market = _market(done, bar, trade.spot)
        # Cents a share are dollars a contract.
        asked = sum(leg.ratio * desk.mid_cents(leg.contract, market) for leg in contracts)
        legs = tuple((n, right, float(strike), premium) for n, strike, premium in trade.legs)
        found = broken(contracts, [premium for _, _, premium in trade.legs], trade.spot)
        made.append(
            Package(
                market.ts, int(bars["ts"][trade.exit]), trade.spot, float(bars["close"][trade.exit]),
                trade.structure, legs, trade.net_usd, asked, trade.pnl_usd,
                found.rule if found else None, found.sentence if found else None,
            )
        )  # fmt: skip
    return sorted(made, key=lambda p: (p.rule is None, p.net_usd - p.model_usd))


def broken(legs: Sequence[Leg], premiums: Sequence[float], spot: float) -> Breach | None:
    """The no-arbitrage bound that premiums in dollars a share break, if any.

    Rounded to cents against the finding: what is bought is taken to cost the cent above, what is sold
    to bring the cent below.
    """
    cents = [
        math.ceil(100 * premium - _DUST) if leg.ratio > 0 else math.floor(100 * premium + _DUST)
        for leg, premium in zip(legs, premiums, strict=True)
    ]
    return arbitrage(legs, cents, Moment(0, spot))


def _market(done: ScenarioRun, bar: Any, spot: float) -> Market:
    """The start of a bar as the desk sees it."""
    close, minute = int(bar["close_minute"]), int(bar["minute"])
    i = min(int(np.searchsorted(done.run.bars["ts"], bar["ts"])), len(done.run.bars) - 1)
    start = int(bar["ts"]) - NS_PER_MINUTE
    return Market(start, spot, max(0, close - minute), float(done.run.sigma[i]), close - RTH_OPEN)
