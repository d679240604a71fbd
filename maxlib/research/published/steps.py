"""A rung of a waterfall from a claim to the honest figure."""

from typing import NamedTuple


class Step(NamedTuple):
    """What an accounting says after one more cause has been put right.

    name : short, as in a table
    cause : what was put right, in a sentence
    trades : count
    win_rate : share of trades with a P&L above zero, 0..1; NaN without trades
    pnl_usd : total
    """

    name: str
    cause: str
    trades: int
    win_rate: float
    pnl_usd: float
