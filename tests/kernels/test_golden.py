"""Checked numbers: textbook toys of definitions.md and sums done by hand."""

import math
from typing import Any

import numpy as np
import pytest

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.ranges import MAX_ATR
from maxlib.kernels.system import System
from maxlib.kernels.timeframe import Timeframe, timeframe
from maxlib.market.bars import BAR
from tests.contracts.systems import BRICKS, INDICATORS, STRUCTURES

NAN = math.nan


def bars(rows: list[tuple[float, float, float]], volume: list[float] | None = None, day: int = 1) -> Any:
    """Bars of (high, low, close)."""
    out = np.zeros(len(rows), BAR)
    out["high"], out["low"], out["close"] = np.array(rows, float).T
    out["open"], out["day"], out["minute"], out["close_minute"] = out["close"], day, 600, 960
    out["ts"] = np.arange(1, len(rows) + 1)
    out["volume"] = 1.0 if volume is None else volume
    return out


def indicator(name: str, tape: Any, length: int = 3, span: int = 3) -> list[float]:
    return INDICATORS.run(tape, INDICATORS.params(length=length, span=span))[1][name].tolist()


def nearly(expected: list[float]) -> Any:
    return pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_ema_of_1_to_5_with_length_3_is_2_3_4() -> None:
    tape = bars([(x, x, x) for x in (1, 2, 3, 4, 5)])
    assert indicator("ema", tape) == nearly([NAN, NAN, 2, 3, 4])


def test_ema_of_length_1_is_the_value_itself() -> None:
    tape = bars([(x, x, x) for x in (1, 5, 2)])
    assert indicator("ema", tape, span=1) == [1, 5, 2]


def test_wilder_atr_of_true_ranges_1_2_3_4_is_2_then_2_6667() -> None:
    # Closes at 10, so bar n ranges over TRₙ; bar 0's own range does not count.
    tape = bars([(10, 10, 10), (10.5, 9.5, 10), (11, 9, 10), (11.5, 8.5, 10), (12, 8, 10)])
    assert indicator("tr", tape) == [0, 1, 2, 3, 4]
    assert indicator("wilder", tape) == nearly([NAN, NAN, NAN, 2, 8 / 3])


def test_simple_atr_counts_the_first_bar_and_drops_the_oldest() -> None:
    tape = bars([(10, 10, 10), (10.5, 9.5, 10), (11, 9, 10), (11.5, 8.5, 10), (12, 8, 10)])
    assert indicator("atr", tape) == nearly([NAN, NAN, 1, 2, 3])


def test_true_range_takes_the_gap_to_the_previous_close() -> None:
    tape = bars([(11, 9, 10), (15, 14, 14.5), (9, 8, 8.5), (9, 8, 8.2)])
    assert indicator("tr", tape) == nearly([2, 5, 6.5, 1])


def test_adx_by_hand() -> None:
    # high, low, close; length 2.
    tape = bars([(10, 8, 9), (12, 9, 11), (13, 11, 12), (12, 9, 10), (14, 10, 13)])
    # bar      1        2       3        4
    # up       2        1      -1        2     (high - previous high)
    # down    -1       -2       2       -1     (previous low - low)
    # +DM      2        1       0        2
    # -DM      0        0       2        0
    # TR       3        2       3        4     (bar 2: 13-11 = 2, 13-11 = 2; bar 3: 12-9 = 3, |9-12| = 3)
    # sums: bar 2: TR 5, + 3, - 0; bar 3: TR 5-2.5+3 = 5.5, + 3-1.5 = 1.5, - 0+2 = 2;
    #       bar 4: TR 5.5-2.75+4 = 6.75, + 1.5-.75+2 = 2.75, - 2-1+0 = 1
    # DX: bar 2: 100·3/3 = 100; bar 3: 100·0.5/3.5; bar 4: 100·1.75/3.75
    # ADX: bar 3 = mean of the two; bar 4 = (ADX + DX)/2
    assert indicator("plus", tape, length=2) == nearly([NAN, NAN, 60, 100 * 1.5 / 5.5, 100 * 2.75 / 6.75])
    assert indicator("minus", tape, length=2) == nearly([NAN, NAN, 0, 100 * 2 / 5.5, 100 / 6.75])
    first = (100 + 100 / 7) / 2
    assert indicator("adx", tape, length=2) == nearly([NAN, NAN, NAN, first, (first + 700 / 15) / 2])


def test_adx_of_a_flat_market_is_zero_not_nan() -> None:
    tape = bars([(10, 10, 10)] * 8)
    assert indicator("adx", tape, length=2) == nearly([NAN] * 3 + [0] * 5)


def test_vwap_and_its_sigma_by_hand() -> None:
    tape = bars([(10, 10, 10), (13, 13, 13), (9, 9, 9), (20, 20, 20)], volume=[2, 1, 0, 1])
    tape["day"][3] = 2
    # (2·10 + 13)/3 = 11; σ² = (2·1 + 4)/3 = 2; no volume carries; a new day starts afresh.
    assert indicator("vwap", tape) == nearly([10, 11, 11, 20])
    assert indicator("sigma", tape) == pytest.approx([0, math.sqrt(2), math.sqrt(2), 0])


def test_vwap_is_nan_until_the_first_volume() -> None:
    tape = bars([(10, 10, 10), (13, 13, 13)], volume=[0, 1])
    assert indicator("vwap", tape) == nearly([NAN, 13])


def test_the_longest_atr_window_fits_its_ring() -> None:
    rng = np.random.default_rng(2)
    tape = bars([(x + 1, x, x) for x in rng.integers(90, 110, 200).tolist()])
    out = indicator("atr", tape, length=MAX_ATR)
    tr = indicator("tr", tape)
    assert out[150] == pytest.approx(sum(tr[151 - MAX_ATR : 151]) / MAX_ATR)


# --- Renko


def bricks(closes: list[float], reversal: int, size: float = 1.0) -> tuple[list[int], list[float]]:
    params = BRICKS.params(k=1.0, days=1, fixed=size, reversal=reversal, accept_every=1)
    out = BRICKS.run(bars([(c, c, c) for c in closes]), params)[1]
    return out["net"].tolist(), out["level"].tolist()


def test_two_brick_toy_100_103_101_5_100_9() -> None:
    # definitions.md: 3 up; none (101.5 > 101); 1 down, 102 → 101, since the last brick is 102-103.
    net, level = bricks([100, 103, 101.5, 100.9], reversal=2)
    assert net == [0, 3, 0, -1]
    assert level == [100, 103, 103, 101]


def test_one_brick_toy_reverses_after_one() -> None:
    net, level = bricks([100, 103, 101.5, 100.9], reversal=1)
    assert net == [0, 3, -1, -1]
    assert level == [100, 103, 102, 101]


@pytest.mark.parametrize(("close", "net"), [(101.0, 1), (100.999, 0), (99.0, -1), (99.001, 0)])
def test_a_brick_is_complete_at_equality(close: float, net: int) -> None:
    assert bricks([100, close], reversal=1)[0] == [0, net]


def test_several_bricks_share_a_bar_and_the_level_is_carried() -> None:
    assert bricks([100, 105.5, 105.9, 106.0], reversal=1)[1] == [100, 105, 105, 106]


def test_two_brick_reversal_up_mirrors_the_toy() -> None:
    assert bricks([100, 97, 98.5, 99.1], reversal=2) == ([0, -3, 0, 1], [100, 97, 97, 99])


@pytest.mark.parametrize("size", [0.0, -1.0, NAN, math.inf])
def test_no_bricks_of_an_impossible_size(size: float) -> None:
    params = BRICKS.params(k=1.0, days=1, fixed=0.0, reversal=1, accept_every=1)
    if size > 0:
        params["fixed"] = size
    out = BRICKS.run(bars([(c, c, c) for c in (100, 120, 80)]), params)[1]
    assert out["net"].tolist() == [0, 0, 0]


def test_the_brick_after_a_size_change_reverses_from_the_far_edge_of_the_last_one() -> None:
    """Two bricks up of 2 (100 → 104); then size 1: down from 102, the last brick's own bottom, not 103."""
    from tests.twins.renko import two_brick

    made = two_brick([100, 104, 101.9, 101.0], [2.0, 2.0, 1.0, 1.0])
    assert [(b.level, b.direction) for b in made] == [(102, 1), (104, 1), (101, -1)]


def test_the_rolling_size_is_k_medians_of_the_days_before_and_at_least_a_cent() -> None:
    # A close that never moves: each bar's true range is high - low.
    def day(number: int, spans: list[float]) -> Any:
        return bars([(100 + x / 2, 100 - x / 2, 100) for x in spans], day=number)

    spans = [[2.0] * 20, [4.0] * 20, [0.0] * 20, [8.0] * 5]
    tape = np.concatenate([day(i, s) for i, s in enumerate(spans, start=1)])
    out = BRICKS.run(tape, BRICKS.params(k=3.0, days=1, fixed=0.0, reversal=1, accept_every=1))[1]["size"]
    assert np.isnan(out[:20]).all()
    # Day 1 has seven ATR14s, all 2. Day 2: ATR after m bars is (2(14-m) + 4m)/14 up to 4: the 10th and
    # 11th of its 20 values are (2·4 + 4·10)/14 and (2·3 + 4·11)/14.
    assert out[20:40].tolist() == pytest.approx([6.0] * 20)
    assert out[40:60].tolist() == pytest.approx([3 * (48 / 14 + 50 / 14) / 2] * 20)
    # Day 3 falls from 4 to 0: values (4(14-m))/14 for m = 1…14, then 0 — the middle two are m = 10, 11.
    assert out[60:].tolist() == pytest.approx([3 * (16 / 14 + 12 / 14) / 2] * 5)
    quiet = np.concatenate([day(i, [0.0] * 20) for i in (1, 2)])
    out = BRICKS.run(quiet, BRICKS.params(k=3.0, days=1, fixed=0.0, reversal=1, accept_every=1))[1]["size"]
    assert out[20:].tolist() == [0.01] * 20


# --- swings and timeframes


def structures(rows: list[tuple[float, float, float]]) -> Any:
    params = STRUCTURES.params(atr_length=14, displacement=1.0, displacement_by=0, mss=0)
    return STRUCTURES.run(bars(rows), params)[1]


def test_a_swing_high_is_known_two_bars_after_it_and_not_before() -> None:
    out = structures([(x, 1, 1) for x in (10, 11, 13, 12, 11, 10)])
    assert out["swung"].tolist() == [0, 0, 0, 0, 1, 0]
    assert out["swing_high"].tolist() == nearly([NAN] * 4 + [13, 13])


@pytest.mark.parametrize("equal", [0, 1, 3, 4])
def test_a_swing_must_exceed_all_four_neighbours_strictly(equal: int) -> None:
    highs = [10.0, 11, 13, 12, 11]
    highs[equal] = 13.0
    assert structures([(x, 1, 1) for x in highs])["swung"].tolist() == [0] * 5


class BucketState(Record):
    frame: Timeframe


class BucketParams(Record):
    minutes: int


class BucketOut(Record):
    closed: bool
    n: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@kernel
def buckets(s: BucketState, p: BucketParams, bar: Any, out: BucketOut) -> None:
    out.closed = timeframe(
        s.frame, bar.minute // p.minutes, bar.open, bar.high, bar.low, bar.close, bar.volume
    )
    done = s.frame.done
    out.n = s.frame.n
    out.open, out.high, out.low, out.close, out.volume = (
        done.open,
        done.high,
        done.low,
        done.close,
        done.volume,
    )


BUCKETS = System(BucketState, BucketParams, BucketOut, buckets)


def test_a_period_is_complete_when_the_first_bar_of_a_later_one_arrives() -> None:
    tape = bars([(5, 3, 4), (7, 4, 6), (6, 1, 2), (9, 8, 8), (9, 9, 9)], volume=[1, 2, 3, 4, 5])
    tape["minute"] = [600, 601, 604, 605, 630]  # minutes 602 and 603 never trade
    out = BUCKETS.run(tape, BUCKETS.params(minutes=5))[1]
    assert out["closed"].tolist() == [False, False, False, True, True]
    assert out["n"].tolist() == [0, 0, 0, 1, 2]
    assert out[3].item()[2:] == (4, 7, 1, 2, 6)
    assert out[4].item()[2:] == (8, 9, 8, 8, 4)
