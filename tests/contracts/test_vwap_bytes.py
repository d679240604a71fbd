"""VWAP and its deviation, byte for byte against West's update written out in plain Python.

The other twin of VWAP works in exact fractions and can only agree to rounding; this one does
the paper's arithmetic in the paper's order (D. H. D. West, CACM 22 (1979) 532-535).
"""

import math
from typing import Any

import numpy as np
import pytest

from maxlib.core.record import Record
from maxlib.kernels.averages import Vwap, vwap, vwap_sigma
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from tests.contracts import tapes


class Nothing(Record):
    unused: int


class Out(Record):
    mean: float
    sigma: float


@kernel
def both(s, p, bar, out):
    out.mean = vwap(s, bar.day, bar.high, bar.low, bar.close, bar.volume)
    out.sigma = vwap_sigma(s)


SYSTEM = System(Vwap, Nothing, Out, both)


def west(bars: Any) -> np.ndarray:
    rows = []
    day, total, mean, square = 0, 0.0, 0.0, 0.0
    for b in bars:
        if int(b["day"]) != day:
            day, total, mean, square = int(b["day"]), 0.0, 0.0, 0.0
        x, w = (float(b["high"]) + float(b["low"]) + float(b["close"])) / 3.0, float(b["volume"])
        if w > 0.0:
            total = total + w
            away = x - mean
            shift = away * (w / total)
            mean = mean + shift
            square = square + w * away * (away - shift)
        known = total > 0.0
        rows.append((mean, math.sqrt(max(square, 0.0) / total)) if known else (math.nan, math.nan))
    return np.array(rows)


def check(bars: Any) -> None:
    params = SYSTEM.params(unused=0)
    _, out = SYSTEM.run(bars, params)
    expected = west(bars)
    assert out["mean"].tobytes() == expected[:, 0].tobytes()
    assert out["sigma"].tobytes() == expected[:, 1].tobytes()
    stream = SYSTEM.stream(params)
    pushed = np.concatenate([stream.push(bars[i : i + 1]).copy().reshape(1) for i in range(len(bars))])
    assert pushed.tobytes() == out.tobytes()


@pytest.mark.parametrize("bars", [tapes.walk(5), tapes.constant()], ids=["walk", "constant"])
def test_vwap_is_wests_update_byte_for_byte_on_made_tapes(bars: Any) -> None:
    check(bars)


def test_vwap_is_wests_update_byte_for_byte_on_real_days(shared: Any) -> None:
    bars = tapes.real(shared, tapes.YEAR)
    check(bars[:3000])
