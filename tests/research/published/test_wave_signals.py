"""The fast published rules against their plain twin, and what they know in advance."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.market.bars import ASIA, LONDON
from maxlib.research.published.wave_config import BASELINE, WavePublished
from maxlib.research.published.wave_signals import WaveRules, WaveSignal, _swept
from tests.contracts import tapes
from tests.strategies import published as twin
from tests.twins.tape import tape

CAUSAL = WavePublished(bricks="earlier_days")


def assert_twin(bars: Any) -> int:
    """Every signal and no other; returns how many."""
    found, expected = WaveRules(bars, BASELINE).signals(), twin.published(tape(bars))
    t = tape(bars)
    mine = [
        twin.Row(twin.start(t, s.at), s.side, s.level, s.kind, s.label, s.confidence) for s in found
    ]  # fmt: skip
    assert len(mine) == len(expected)
    for a, b in zip(mine, expected, strict=True):
        assert (a.time, a.side, a.kind, a.label) == (b.time, b.side, b.kind, b.label)
        assert a.level == pytest.approx(b.level, abs=1e-9)
        assert a.confidence == pytest.approx(b.confidence, abs=1e-12)
    return len(mine)


def test_rules_equal_their_twin_on_the_real_autumn(shared: Path) -> None:
    assert assert_twin(tapes.real(shared, tapes.AUTUMN)) == 69


def test_rules_equal_their_twin_on_random_walks() -> None:
    """Across a change of the clock, with gaps and doubled bricks."""
    assert sum(assert_twin(tapes.walk(seed, per_day=300)) for seed in range(6)) >= 10


def test_rules_say_nothing_on_constant_prices_and_short_tapes() -> None:
    assert WaveRules(tapes.constant(), BASELINE).signals() == []
    assert WaveRules(tapes.walk(1)[:5], BASELINE).signals() == []
    assert WaveRules(tapes.walk(1)[:5], CAUSAL).signals() == []


def without_later(signals: list[WaveSignal], k: int) -> list[WaveSignal]:
    return [s for s in signals if s.at < k]


def test_bricks_of_earlier_days_never_rewrite_a_signal_and_hindsight_does() -> None:
    """The published rule changes its past when the tape grows: that is flaw H4, and the only leak here."""
    bars = tapes.walk(2, per_day=700, step=0.05)
    cuts = range(len(bars) // 2, len(bars), 499)
    whole = WaveRules(bars, CAUSAL).signals()
    assert len(whole) > 3
    assert all(WaveRules(bars[:k], CAUSAL).signals() == without_later(whole, k) for k in cuts)
    hindsight = WaveRules(bars, BASELINE).signals()
    assert any(WaveRules(bars[:k], BASELINE).signals() != without_later(hindsight, k) for k in cuts)


@pytest.mark.parametrize("side", [1, -1])
def test_sweeps_are_those_of_both_sessions_final_extremes(side: int) -> None:
    """Naive: the extremes of the day's Asia and London bars, each on its own, also for bars before them."""
    bars = tapes.walk(5, days=6, per_day=400)
    evening = tapes.walk(6, days=6, per_day=400)
    evening["session"][evening["minute"] < 600] = ASIA  # so that both sessions have bars
    for b in (bars, evening):
        expected = []
        for bar in b:
            hit = False
            for session in (ASIA, LONDON):
                there = b[(b["day"] == bar["day"]) & (b["session"] == session)]
                if len(there) == 0:
                    continue
                if side > 0:
                    level = there["low"].min()
                    hit |= bool(bar["low"] < level < bar["close"])
                else:
                    level = there["high"].max()
                    hit |= bool(bar["high"] > level > bar["close"])
            expected.append(hit)
        assert sum(expected) > 0
        assert np.array_equal(_swept(b, side), expected)
