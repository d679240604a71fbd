"""Figures of a list of trades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class Metrics:
    """What the trades came to. Money in dollars, after all costs.

    Attributes
    ----------
    win_rate : share of trades with a profit after costs; None without trades
    win_low, win_high : its 95 % Wilson interval
    max_drawdown_usd : largest fall of the account from its running peak, the
        start included, counted at the close of each trade; positive
    max_drawdown_share : the same as a share of that peak
    profit_factor : sum of wins / |sum of losses|; None without a loss
    fees_usd : commissions (already in the P&L)
    return_share : P&L as a share of the starting account
    premium_return : mean P&L of a trade as a share of the premium paid; None without trades
    """

    trades: int
    wins: int
    win_rate: float | None
    win_low: float
    win_high: float
    pnl_usd: float
    average_usd: float | None
    average_win_usd: float | None
    average_loss_usd: float | None
    max_drawdown_usd: float
    max_drawdown_share: float
    profit_factor: float | None
    fees_usd: float
    return_share: float
    premium_return: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)


def wilson(wins: int, trades: int) -> tuple[float, float]:
    """95 % Wilson score interval of a win rate; (0, 1) without trades.

    Source: Newcombe 1998. 81 of 263 gives 0.2553 to 0.3662.

    >>> tuple(round(x, 4) for x in wilson(81, 263))
    (0.2553, 0.3662)
    """
    if trades == 0:
        return 0.0, 1.0
    p, z2 = wins / trades, Z95 * Z95
    middle = p + z2 / (2 * trades)
    half = Z95 * math.sqrt(p * (1 - p) / trades + z2 / (4 * trades * trades))
    below = 1 + z2 / trades
    return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def measure(
    pnl_cents: Sequence[int], fee_cents: Sequence[int], cost_cents: Sequence[int], start: int
) -> Metrics:
    """Metrics of trades in closing order.

    Parameters
    ----------
    pnl_cents : profit or loss of each trade after fees, in cents
    fee_cents : fees of each trade
    cost_cents : premium paid for each trade
    start : account before the first trade, in cents
    """
    trades = len(pnl_cents)
    won = [p for p in pnl_cents if p > 0]
    lost = [p for p in pnl_cents if p <= 0]
    low, high = wilson(len(won), trades)
    equity = peak = start
    fall, share = 0, 0.0
    for pnl in pnl_cents:
        equity += pnl
        peak = max(peak, equity)
        fall = max(fall, peak - equity)
        share = max(share, (peak - equity) / peak)
    total = sum(pnl_cents)
    ratios = [p / c for p, c in zip(pnl_cents, cost_cents, strict=True)]
    return Metrics(
        trades=trades,
        wins=len(won),
        win_rate=len(won) / trades if trades else None,
        win_low=low,
        win_high=high,
        pnl_usd=total / 100,
        average_usd=total / trades / 100 if trades else None,
        average_win_usd=sum(won) / len(won) / 100 if won else None,
        average_loss_usd=sum(lost) / len(lost) / 100 if lost else None,
        max_drawdown_usd=fall / 100,
        max_drawdown_share=share,
        profit_factor=sum(won) / -sum(lost) if sum(lost) < 0 else None,
        fees_usd=sum(fee_cents) / 100,
        return_share=total / start,
        premium_return=sum(ratios) / trades if trades else None,
    )
