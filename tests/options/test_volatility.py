"""Realised volatility by hand: known before the day begins."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from maxlib.market.bars import BAR
from maxlib.options.volatility import REALISED


def sessions(closes: list[float], half_day: int | None = None) -> Any:
    """One regular bar per day at its close, and one after hours at another price."""
    rows = np.zeros(2 * len(closes), BAR)
    for i, close in enumerate(closes):
        end = 780 if i == half_day else 960
        for row, minute, price, kind in (
            (rows[2 * i], end - 1, close, 3),
            (rows[2 * i + 1], end + 5, close + 50, 3),
        ):
            row["day"], row["minute"], row["close_minute"], row["close"] = i, minute, end, price
            row["session"] = kind if minute < 960 else 0
    return rows


def sigma(tape: Any, **values: Any) -> list[float]:
    made = {"returns": 20, "min_returns": 8, "floor": 0.0, "default": 0.2, **values}
    return REALISED.run(tape, REALISED.params(**made))[1]["sigma"].tolist()


CLOSES = [100.0, 102.0, 101.0, 104.0]


def by_hand(closes: list[float]) -> float:
    returns = [math.log(b / a) for a, b in itertools.pairwise(closes)]
    mean = sum(returns) / len(returns)
    return math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1)) * math.sqrt(252)


def test_three_returns_by_hand_are_used_from_the_first_bar_after_the_session() -> None:
    out = sigma(sessions(CLOSES), min_returns=3)
    assert out[:7] == [0.2] * 7, "the fourth close is not known at its own bar"
    assert out[7] == pytest.approx(by_hand(CLOSES), rel=1e-14)


def test_after_hours_prices_are_left_out_also_on_a_half_day() -> None:
    out = sigma(sessions(CLOSES, half_day=2), min_returns=3)
    assert out[7] == pytest.approx(by_hand(CLOSES), rel=1e-14)


def test_only_the_newest_returns_count() -> None:
    closes = [100.0, 300.0, 50.0, *CLOSES]
    assert sigma(sessions(closes), returns=3, min_returns=2)[-1] == pytest.approx(by_hand(CLOSES), rel=1e-12)


def test_the_floor_holds_in_a_calm_market_and_the_default_until_eight_returns() -> None:
    out = sigma(sessions([100.0] * 12), floor=0.10)
    assert out[: 2 * 9 - 1] == [0.2] * 17  # eight returns need nine closed sessions
    assert out[17:] == [0.10] * 7
