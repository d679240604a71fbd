"""Daily ATR and the VIX's stand-in: batch = stream = a twin from the spec, and the figures by hand."""

import math
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.kernels.columns import twin
from maxlib.kernels.system import System
from maxlib.market.bars import BAR
from maxlib.regimes.daily import DAILY, DailyOut, DailyParams, DailyState, daily
from tests.contracts import tapes
from tests.twins import indicators
from tests.twins.tape import Tape, tape

NAN = math.nan
ROWS = DAILY.params(
    atr_length=np.array([14, 3]), returns=np.array([20, 4]), default=np.array([15.0, 15.0])
)  # fmt: skip
KINDS = ("real", "walk", "constant", "nan", "infinite")
MADE = {
    "walk": lambda: tapes.walk(8, days=60, per_day=40),
    "constant": lambda: tapes.constant(days=30, per_day=20),
    "nan": lambda: tapes.spoiled(tapes.NAN_ONLY),
    "infinite": lambda: tapes.spoiled(tapes.INFINITIES, seed=4),
}
every_tape = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def tape_of(request: pytest.FixtureRequest) -> Any:
    def make(kind: str) -> Any:
        if kind != "real":
            return MADE[kind]()
        shared: Path = request.getfixturevalue("shared")
        return tapes.autumn(shared)

    return make


def proxy(closes: list[float], returns: int) -> float:
    """Spec §4: 15.0 with fewer closes than returns + 1. Sums run from the newest return back."""
    if len(closes) < returns + 1:
        return 15.0
    newest_first = [b / a - 1.0 for a, b in pairwise(closes)][::-1][:returns]
    total = 0.0
    for r in newest_first:
        total += r
    square = 0.0
    for r in newest_first:
        square += (r - total / returns) ** 2 if math.isfinite(r) else NAN
    return math.sqrt(square / (returns - 1)) * math.sqrt(252.0) * 100.0


def expected(t: Tape, length: int, returns: int) -> dict[str, list[Any]]:
    """Whole sessions first, then the values at each bar: those of the sessions that ended before it."""
    inside: dict[int, list[int]] = {}
    for i, (day, minute, end) in enumerate(zip(t.day, t.minute, t.close_minute, strict=True)):
        if 570 <= minute < end:
            inside.setdefault(day, []).append(i)
    bars = [inside[day] for day in sorted(inside)]
    close = [t.close[b[-1]] for b in bars]
    atr = indicators.simple_atr(
        [max(t.high[i] for i in b) for b in bars], [min(t.low[i] for i in b) for b in bars], close, length
    )
    last = np.array([b[-1] for b in bars])
    done = [int(np.searchsorted(last, i, side="left")) for i in range(len(t))]
    percent = [NAN] + [100.0 * a / c for a, c in zip(atr, close, strict=True)]
    stand_in = [proxy(close[:n], returns) for n in range(len(bars) + 1)]
    return {
        "sessions": done,
        "atr_percent": [percent[n] for n in done],
        "proxy": [stand_in[n] for n in done],
        "event": [int(i > 0 and done[i] != done[i - 1]) for i in range(len(t))],
    }


@every_tape
def test_batch_equals_the_twin_byte_for_byte(kind: str, tape_of: Any) -> None:
    bars = tape_of(kind)
    with np.errstate(all="ignore"):
        for row in range(len(ROWS)):
            _, out = DAILY.run(bars, ROWS[row : row + 1])
            columns = expected(tape(bars), int(ROWS[row]["atr_length"]), int(ROWS[row]["returns"]))
            for field, column in columns.items():
                tapes.assert_column(field, out[field], column, f"row {row} on {kind}:")


def push(stream: Any, bars: Any) -> Any:
    out = np.zeros(len(bars), DAILY.out)
    for i in range(len(bars)):
        out[i : i + 1] = stream.push(bars[i : i + 1])
    return out


@every_tape
def test_stream_equals_batch_also_when_saved_and_restored_half_way(kind: str, tape_of: Any) -> None:
    bars = tape_of(kind)[-4000:]
    row = ROWS[1:]
    state, out = DAILY.run(bars, row)
    half = len(bars) // 2
    first, second = DAILY.stream(row), DAILY.stream(row)
    before = push(first, bars[:half])
    second.restore(first.snapshot())
    tapes.assert_same(out, np.concatenate([before, push(second, bars[half:])]), f"{kind}:")
    tapes.assert_same(state, second.state, f"state on {kind}:")


@pytest.mark.parametrize("kind", ["real", "walk", "nan"])
def test_no_prefix_changes_an_earlier_output(kind: str, tape_of: Any) -> None:
    bars = tape_of(kind)[:8000]
    _, out = DAILY.run(bars, ROWS[1:])
    for k in (1, 2, len(bars) - 1, *np.random.default_rng(11).integers(3, len(bars), 50)):
        tapes.assert_same(DAILY.run(bars[:k], ROWS[1:])[1], out[:k], f"cut at {k}:")


@pytest.mark.parametrize("kind", ["walk", "nan"])
def test_running_uncompiled_gives_the_same_bytes(kind: str, tape_of: Any) -> None:
    bars = tape_of(kind)
    plain = System(DailyState, DailyParams, DailyOut, twin(daily))
    with np.errstate(all="ignore"):
        state, out = plain.run(bars, ROWS[1:])
    compiled = DAILY.run(bars, ROWS[1:])
    tapes.assert_same(out, compiled[1])
    tapes.assert_same(state, compiled[0])


def test_a_sweep_gives_the_runs_last_outputs(tape_of: Any) -> None:
    bars = tape_of("walk")
    _, outs = DAILY.sweep(bars, ROWS, jobs=2)
    for row in range(len(ROWS)):
        tapes.assert_same(outs[row : row + 1], DAILY.run(bars, ROWS[row : row + 1])[1][-1:])


# --- by hand


def sessions(closes: list[float], spread: float = 1.0, half_day: int | None = None) -> Any:
    """Two regular bars a day, at the open and at the close, and one after hours far away."""
    rows = np.zeros(3 * len(closes), BAR)
    for i, close in enumerate(closes):
        end = 780 if i == half_day else 960
        for row, minute, price in zip(
            rows[3 * i :], (570, end - 1, end), (close, close, 900.0), strict=False
        ):
            row["day"], row["minute"], row["close_minute"] = i, minute, end
            row["high"], row["low"], row["close"] = price + spread, price - spread, price
            row["session"] = 3 if minute < 960 else 0
    return rows


def last(closes: list[float], **values: Any) -> Any:
    row = {"atr_length": 14, "returns": 20, "default": 15.0, **values}
    half_day = row.pop("half_day", None)
    return DAILY.run(sessions(closes, half_day=half_day), DAILY.params(**row))[1][-1]


def test_the_atr_is_the_mean_of_fourteen_true_ranges_over_the_last_close_in_per_cent() -> None:
    # Closes 100, 101, … 113, each day one dollar to both sides: the first range is 2, the others,
    # with their gap of a dollar up, max(2, 2, 0) = 2. The mean is 2, and 2 of 113 is 1.7699 %.
    out = last([100.0 + i for i in range(14)])
    assert out["atr_percent"] == pytest.approx(100 * 2 / 113, rel=1e-15)
    assert math.isnan(last([100.0 + i for i in range(13)])["atr_percent"])


def test_a_gap_counts_into_the_true_range() -> None:
    # 100, then 110: max(2, |111 - 100|, |109 - 100|) = 11; the mean of 2 and 11 is 6.5.
    assert last([100.0, 110.0], atr_length=2)["atr_percent"] == pytest.approx(100 * 6.5 / 110, rel=1e-15)


def test_after_hours_are_left_out_also_on_a_half_day() -> None:
    closes = [100.0, 103.0, 99.0, 104.0]
    whole = last(closes, atr_length=3, returns=3)
    assert last(closes, atr_length=3, returns=3, half_day=2) == whole
    # 99 after 103: max(2, 100 - 103, |98 - 103|) = 5; 103 after 100 gives 4; 104 after 99 gives 6.
    assert whole["atr_percent"] == pytest.approx(100 * 5.0 / 104, rel=1e-15)


def test_the_proxy_is_15_below_21_closes_and_the_deviation_of_20_returns_from_then_on() -> None:
    closes = [100.0 * 1.01 ** (i % 3) for i in range(22)]
    assert last(closes[:20])["proxy"] == 15.0
    for n in (21, 22):
        returns = [b / a - 1 for a, b in pairwise(closes[:n])][-20:]
        by_hand = statistics.stdev(returns) * math.sqrt(252) * 100
        assert last(closes[:n])["proxy"] == pytest.approx(by_hand, rel=1e-12)


def test_a_session_is_known_from_the_first_bar_after_it_not_at_its_last() -> None:
    bars = sessions([100.0, 101.0])
    params = DAILY.params(atr_length=1, returns=20, default=15.0)
    out = DAILY.run(bars, params)[1]
    assert out["event"].tolist() == [0, 0, 1, 0, 0, 1]
    assert out["sessions"].tolist() == [0, 0, 1, 1, 1, 2]
    assert np.isnan(out["atr_percent"]).tolist() == [True, True, False, False, False, False]
    morning = DAILY.run(bars[[0, 1, 3, 4]], params)[1]  # nothing traded after hours
    assert morning["event"].tolist() == [0, 0, 1, 0]
