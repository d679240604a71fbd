"""Bands: a modelled P&L over volatility × spread × delay, and the cost at which it breaks even.

Nobody knows what an option would have cost on a day without quotes. So a modelled
figure is never one number: the same decisions run again in every cell of a grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final, NamedTuple

from maxlib.engine.backtest import Run, play
from maxlib.engine.machine import MachineConfig
from maxlib.journal.chain import Silent

VOLATILITY: Final = (0.7, 0.85, 1.0, 1.15, 1.3)
"""Times the modelled volatility. 0.77 takes out the night's variance where that is 40 % of a day's."""
SPREAD: Final = (0.5, 1.0, 2.0)
"""Times the modelled half-spread."""
DELAY: Final = (0, 1, 2)
"""Bars that pass between a decision and its fill, besides the one that always does."""


class Cell(NamedTuple):
    """One world: its assumptions, and what the same signals came to in it."""

    volatility: float
    spread: float
    delay: int
    trades: int
    win_rate: float | None
    pnl_usd: float


@dataclass(frozen=True)
class Band:
    """P&L over all cells.

    Attributes
    ----------
    cells : every combination of `VOLATILITY`, `SPREAD` and `DELAY`
    low_usd, high_usd : the worst and the best cell; profitable : share of cells above zero
    break_even_usd : what a contract may cost, there and back, spread and commission together, before the
        trades of the central cell lose money: their P&L at the middle of the quotes without costs, per
        contract; negative = they lose even for free; None without trades
    paid_usd : what a contract did cost in the central cell
    """

    cells: tuple[Cell, ...]
    low_usd: float
    high_usd: float
    profitable: float
    break_even_usd: float | None
    paid_usd: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "cells": [cell._asdict() for cell in self.cells]}

    def sentence(self) -> str:
        """The band in words."""
        text = (
            f"Band over {len(self.cells)} cells of volatility, spread and delay: P&L {self.low_usd:,.0f} to "
            f"{self.high_usd:,.0f} $, {self.profitable:.0%} of cells profitable"
        )
        if self.break_even_usd is None:
            return text + "."
        if self.break_even_usd <= 0:
            return f"{text}; loses {-self.break_even_usd:,.2f} $ a contract even without costs."
        return (
            f"{text}; breaks even at {self.break_even_usd:,.2f} $ a contract there and back, "
            f"pays {self.paid_usd:,.2f} $."
        )


def band(run: Run, config: MachineConfig) -> Band:
    """The band of a run, from its own signals."""
    cells = []
    for volatility, spread, delay in product(VOLATILITY, SPREAD, DELAY):
        done = _world(run, config, volatility, spread, delay)
        pnl = [trade.pnl_cents for trade in done.trades]
        won = sum(p > 0 for p in pnl) / len(pnl) if pnl else None
        cells.append(Cell(volatility, spread, delay, len(pnl), won, sum(pnl) / 100))
    free, paid = _per_contract(run)
    totals = [cell.pnl_usd for cell in cells]
    return Band(tuple(cells), min(totals), max(totals), sum(x > 0 for x in totals) / len(totals), free, paid)


def _world(run: Run, config: MachineConfig, volatility: float, spread: float, delay: int) -> Run:
    desk, fills = config.desk, config.fills
    settings = config.model_copy(
        update={
            "desk": desk.model_copy(
                update={
                    "iv_scale": desk.iv_scale * volatility,
                    "spread_scale": desk.spread_scale * spread,
                }
            ),
            "fills": fills.model_copy(update={"latency_bars": fills.latency_bars + delay}),
        }
    )
    return play(run.bars, run.out, run.sigma, settings, "band", known=run.readings, journal=Silent())


def _per_contract(run: Run) -> tuple[float | None, float | None]:
    """P&L at the middle of the quotes without costs, and costs, both in dollars per contract bought.

    Of the very fills of the run: what each cost against its middle is known.
    """
    contracts = sum(t.quantity * sum(abs(leg.ratio) for leg in t.legs) for t in run.trades)
    if contracts == 0:
        return None, None
    costs = sum(t.fee_cents + t.slippage_cents for t in run.trades)
    net = sum(t.pnl_cents for t in run.trades)
    return (net + costs) / 100 / contracts, costs / 100 / contracts
