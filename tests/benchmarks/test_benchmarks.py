"""The benchmarks run, on tiny tapes; their times are nobody's promise here."""

import json

import numpy as np
import pytest

from benchmarks import __main__, backtests, pricing, step, sweep
from benchmarks.ema_cross import EMA_CROSS
from benchmarks.figures import Figure, table
from benchmarks.tapes import bars


def plain_ema(length, values):
    """Seeded by the mean of the first `length` values; NaN before."""
    made = [float("nan")] * len(values)
    if len(values) >= length:
        made[length - 1] = sum(values[:length]) / length
    for i in range(length, len(values)):
        made[i] = made[i - 1] + (values[i] - made[i - 1]) * (2.0 / (length + 1.0))
    return made


def plain_cross(tape, fast, slow):
    """Entry and exit bars, entry and exit prices: each filled at the open after the cross."""
    closes = tape["close"].tolist()
    above = [f > s for f, s in zip(plain_ema(fast, closes), plain_ema(slow, closes), strict=True)]
    fills = []
    for i in range(1, len(tape)):
        if above[i - 1] != (len(fills) % 2 == 1):
            fills.append((i, float(tape["open"][i])))
    return fills


@pytest.mark.parametrize(("fast", "slow"), [(9, 21), (2, 5)])
def test_ema_cross_trades_as_its_plain_twin(fast, slow):
    tape = bars(1_500)
    _, out = EMA_CROSS.run(tape, EMA_CROSS.params(fast=fast, slow=slow))
    fills = plain_cross(tape, fast, slow)
    entries = np.flatnonzero(np.diff(out["trades"], prepend=0)).tolist()
    assert entries == [bar for bar, _ in fills[::2]]
    cash = sum(price if number % 2 else -price for number, (_, price) in enumerate(fills))
    held = float(tape["close"][-1]) if len(fills) % 2 else 0.0
    assert out["profit"][-1] == pytest.approx(cash + held, abs=1e-9)
    assert len(fills) > 20


@pytest.mark.parametrize(
    "figures",
    [
        lambda: backtests.figures(2_000, repeats=1),
        lambda: step.figures(2_000, live=200, rows=4, repeats=1),
        lambda: sweep.figures(2_000, rows=4, repeats=1, peer=False),
        lambda: pricing.figures(2_000, repeats=1, peer=False),
    ],
    ids=["backtests", "step", "sweep", "pricing"],
)
def test_figures_have_names_units_and_positive_values(figures):
    found = figures()
    assert len({f.name for f in found}) == len(found) > 1
    for f in found:
        assert f.name
        assert f.unit
        assert f.value is None or f.value > 0.0
        assert f.value is not None or f.note  # a missing figure says why
        json.dumps(f._asdict(), allow_nan=False)


def test_live_and_batch_leave_the_same_bytes():
    assert step.same(bars(2_000))


def test_goal_is_held_against_the_value():
    assert Figure("a", "s", 0.4, goal="< 0.5").met is True
    assert Figure("a", "×", 9.0, goal="≥ 10").met is False
    assert Figure("a", "s", None, goal="< 0.5", note="no").met is None
    assert Figure("a", "s", 0.4).met is None
    assert Figure("a", "s", 0.9, 0.4, "< 0.5").verdict == "by CPU"
    assert Figure("a", "s", 0.9, 0.8, "< 0.5").verdict == "NO"


def test_table_shows_a_missing_figure_as_a_dash_with_its_reason():
    assert "–" in table([Figure("a", "×", None, goal="≥ 10", note="not there")])
    assert "not there" in table([Figure("a", "×", None, goal="≥ 10", note="not there")])


def test_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["nothing"])
    assert "nothing is not a benchmark; known are backtests" in capsys.readouterr().err
