"""Claimed against measured, figure by figure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from maxlib.analytics.metrics import Metrics
from maxlib.research.scenario import Claims

Verdict = Literal["holds", "does_not_hold", "no_claim", "refused"]
JUDGED = ("trades", "win_rate", "pnl_usd", "max_drawdown_usd")


class Judgement(NamedTuple):
    """One figure: the claim, its bounds, what was measured, and whether that is inside."""

    figure: str
    claimed: float
    low: float
    high: float
    measured: float | None
    inside: bool


def judge(claims: Claims | None, metrics: Metrics) -> tuple[Verdict, list[Judgement]]:
    """Every claimed figure against the measured one, within the claim's tolerance.

    A scenario holds only if all its claimed figures are inside.
    """
    if claims is None:
        return "no_claim", []
    rows = []
    for figure in JUDGED:
        claimed = getattr(claims, figure)
        if claimed is None:
            continue
        slack = abs(claimed) * claims.tolerance
        measured = getattr(metrics, figure)
        inside = measured is not None and claimed - slack <= measured <= claimed + slack
        rows.append(Judgement(figure, float(claimed), claimed - slack, claimed + slack, measured, inside))
    if not rows:
        return "no_claim", []
    return ("holds" if all(row.inside for row in rows) else "does_not_hold"), rows
