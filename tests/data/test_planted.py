"""Planted patterns against a slow checker, written from spec/maxtrader.md §1-2 and from nothing else."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import InvariantError
from maxlib.data.planted import Pattern, plant
from maxlib.data.simulator import Simulated, SimulatorConfig, simulate
from maxlib.market import calendar
from maxlib.market.bars import ASIA, LONDON, NEW_YORK

DISPLACEMENT = 1.5


class Checker:
    """Causal structures at a bar, from plain lists; direction -1 turns prices upside down."""

    def __init__(self, bars: Any, direction: int) -> None:
        s = direction
        self.open = [s * x for x in bars["open"].tolist()]
        self.close = [s * x for x in bars["close"].tolist()]
        high, low = bars["high"].tolist(), bars["low"].tolist()
        self.high = high if s > 0 else [-x for x in low]
        self.low = low if s > 0 else [-x for x in high]
        self.start = [calendar.new_york(int(ts) - 60 * 10**9) for ts in bars["ts"]]

    def level(self, i: int) -> tuple[float | None, float | None]:
        """Asia low and London low of bar i's trading day, None before their session is over."""
        minute = self.start[i].hour * 60 + self.start[i].minute
        asia, london = None, None
        j = i
        while j >= 0 and self._day(j) == self._day(i):
            m = self.start[j].hour * 60 + self.start[j].minute
            if m >= 18 * 60 or m < 3 * 60:
                asia = self.low[j] if asia is None else min(asia, self.low[j])
            elif m < 9 * 60 + 30:
                london = self.low[j] if london is None else min(london, self.low[j])
            j -= 1
        after = minute < 18 * 60
        return (asia if after and minute >= 180 else None, london if after and minute >= 570 else None)

    def _day(self, j: int) -> Any:
        t = self.start[j]
        return t.date().toordinal() + (t.hour >= 18)

    def sweep(self, i: int) -> float | None:
        for level in self.level(i):
            if level is not None:
                return level if self.low[i] < level < self.close[i] else None
        return None

    def displacement(self, i: int) -> bool:
        ranges = [
            max(self.high[j], self.close[j - 1]) - min(self.low[j], self.close[j - 1])
            for j in range(i - 13, i + 1)
        ]
        body = self.close[i] - self.open[i]
        return body > DISPLACEMENT * sum(ranges) / 14 and self.close[i] > self.high[i - 1]

    def shifts(self, first: int, last: int) -> dict[int, float]:
        """Bars of a bullish shift and the swing high each broke, state carried from `first`."""
        found: dict[int, float] = {}
        top = bottom = None
        state = 0
        for i in range(first, last + 1):
            k = i - 2  # confirmed by bar i
            around = [k - 2, k - 1, k + 1, k + 2]
            if k - 2 >= 0 and all(self.high[k] > self.high[j] for j in around):
                top = self.high[k]
            if k - 2 >= 0 and all(self.low[k] < self.low[j] for j in around):
                bottom = self.low[k]
            if top is not None and self.close[i] > top and state != 1:
                found[i], state = top, 1
            elif bottom is not None and self.close[i] < bottom and state != -1:
                state = -1
        return found


def check(made: Simulated) -> None:
    """Every planted pattern holds, and each confluence completes exactly when the truth says."""
    ups, downs = Checker(made.bars, 1), Checker(made.bars, -1)
    shifts = {1: ups.shifts(0, len(made.bars) - 1), -1: downs.shifts(0, len(made.bars) - 1)}
    groups: dict[int, dict[str, Pattern]] = defaultdict(dict)
    for p in made.truth:
        assert p.kind not in groups[p.confluence]
        groups[p.confluence][p.kind] = p
        assert p.formed_at == p.known_at == made.bars["ts"][p.index]
        assert made.bars["session"][p.index] == NEW_YORK
    for number, group in groups.items():
        sweep, move, shift = group["sweep"], group["displacement"], group["mss"]
        s = sweep.direction
        checker = ups if s > 0 else downs
        assert s == move.direction == shift.direction == (1 if number % 2 == 0 else -1)
        assert sweep.index < move.index <= shift.index <= sweep.index + 5
        assert checker.sweep(sweep.index) == s * sweep.level
        assert checker.displacement(move.index)
        assert checker.high[move.index - 1] == s * move.level
        assert shifts[s].get(shift.index) == s * shift.level
        window = range(sweep.index, shift.index)
        assert not [i for i in window if i in shifts[s]], "the shift comes no earlier"
        assert not [i for i in range(sweep.index, move.index) if checker.displacement(i)]
        others = [i for i in range(sweep.index - 5, shift.index + 1) if i != sweep.index and checker.sweep(i)]
        assert not others, "no other sweep of that level competes for the confirming bar"


@pytest.mark.parametrize("market", ["normal", "crash", "calm"])
def test_every_planted_pattern_holds_and_completes_when_the_truth_says(market: Any) -> None:
    made = simulate(SimulatorConfig(market=market, seed=11, days=24, planted=24))
    assert len(made.truth) == 72
    check(made)


@pytest.mark.parametrize(("kind", "field"), [("sweep", "low"), ("displacement", "close"), ("mss", "close")])
def test_the_checker_notices_a_spoiled_pattern(kind: str, field: str) -> None:
    made = simulate(SimulatorConfig(seed=11, days=1, planted=1))
    pattern = next(p for p in made.truth if p.kind == kind)
    made.bars[field][pattern.index] = pattern.level  # strict inequalities: on the level is not beyond it
    with pytest.raises(AssertionError):
        check(made)


@pytest.mark.parametrize("seed", range(4))
def test_planted_patterns_hold_for_low_prices_where_a_cent_is_coarse(seed: int) -> None:
    check(simulate(SimulatorConfig(market="calm", seed=seed, days=6, start_price=40.0, planted=6)))


def test_half_days_and_clock_changes_can_carry_patterns() -> None:
    # 2024-11-03 ends daylight time; 2024-11-29 and 2024-12-24 are half days.
    first = calendar.from_ordinal(calendar.ordinal(calendar.FIRST)).replace(year=2024, month=11)
    made = simulate(SimulatorConfig(seed=3, first_date=first, days=38, planted=38))
    check(made)
    assert (made.bars["close_minute"][[p.index for p in made.truth]] == 13 * 60).sum() == 6


def test_both_asia_and_london_levels_are_swept() -> None:
    made = simulate(SimulatorConfig(seed=5, days=10, planted=10))
    by_session = {ASIA: 0, LONDON: 0}
    for p in made.truth:
        if p.kind == "sweep":
            today = made.bars[: p.index][made.bars["day"][: p.index] == made.bars["day"][p.index]]
            asia = today[today["session"] == ASIA]
            by_session[ASIA if len(asia) else LONDON] += 1
    assert min(by_session.values()) >= 2


def test_planting_leaves_stamps_closes_of_days_and_unplanted_days_alone() -> None:
    plain = simulate(SimulatorConfig(seed=9, days=8))
    made = simulate(SimulatorConfig(seed=9, days=8, planted=5))
    assert (plain.bars["ts"] == made.bars["ts"]).all()
    assert (plain.vix == made.vix).all()
    last = (made.bars["minute"] == made.bars["close_minute"] - 1).nonzero()[0]
    np.testing.assert_array_equal(plain.bars["close"][last], made.bars["close"][last])
    outside = (made.bars["session"] != NEW_YORK) | (made.bars["day"] > made.vix["day"][4])
    assert (plain.bars[outside] == made.bars[outside]).all()


def test_planted_prices_stay_continuous_and_valid() -> None:
    made = simulate(SimulatorConfig(market="crash", seed=2, days=20, planted=20))
    bars = made.bars
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    inside = (bars["session"][1:] == NEW_YORK) & (bars["session"][:-1] == NEW_YORK)
    seams = np.abs(bars["open"][1:] - bars["close"][:-1])[inside]
    assert seams.max() <= 0.05  # neighbouring prints differ by the bounce of two quotes and rounding


def test_patterns_of_a_longer_run_begin_with_those_of_a_shorter_one() -> None:
    short = simulate(SimulatorConfig(seed=4, days=3, planted=3))
    long = simulate(SimulatorConfig(seed=4, days=6, planted=6))
    assert long.truth[:9] == short.truth
    assert long.bars[: len(short.bars)].tobytes() == short.bars.tobytes()


def test_truth_is_in_time_order_and_shapes_vary() -> None:
    truth = simulate(SimulatorConfig(seed=6, days=40, planted=40)).truth
    assert all(x.known_at <= y.known_at for x, y in itertools.pairwise(truth))
    thirds = zip(truth[::3], truth[1::3], truth[2::3], strict=True)
    offsets = {(y.index - x.index, z.index - x.index) for x, y, z in thirds}
    assert len(offsets) == 9, "every spacing of sweep, displacement and shift occurs"


def test_more_patterns_than_sessions_are_refused() -> None:
    bars = simulate(SimulatorConfig(days=1)).bars
    with pytest.raises(InvariantError, match="2 patterns need as many sessions, got 1"):
        plant(bars, 2, 7)


def test_a_day_without_any_level_is_refused() -> None:
    bars = simulate(SimulatorConfig(days=1)).bars
    with pytest.raises(InvariantError, match="no level to sweep"):
        plant(bars[bars["session"] == NEW_YORK], 1, 7)
