"""ICT rules, confluence and waves on a handful of bars, each written out."""

import math
from typing import Any

import numpy as np
import pytest

from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import BAR
from maxlib.signals.confluence import Pending, confirm
from maxlib.signals.trend import allows
from tests.contracts.specimens import bits, read_structures
from tests.contracts.systems import BRICKS, STRUCTURES
from tests.twins import structures as twin
from tests.twins.renko import Brick, waves
from tests.twins.tape import tape

NAN = math.nan


def bars(rows: list[tuple[int, float, float, float, float]], day: int = 1) -> Any:
    """Bars of (minute of the day, open, high, low, close)."""
    out = np.zeros(len(rows), BAR)
    for row, (minute, *prices) in zip(out, rows, strict=True):
        row["minute"], row["day"], row["close_minute"] = minute, day, 960
        row["session"] = {"other": 0, "asia": 1, "london": 2, "ny": 3}[twin.session(minute)]
        row["open"], row["high"], row["low"], row["close"] = prices
    out["ts"] = np.arange(1, len(rows) + 1)
    return out


def read(tape_: Any, **options: Any) -> Any:
    values = {"atr_length": 1, "displacement": 0.5, "displacement_by": 0, "mss": 0, **options}
    return STRUCTURES.run(tape_, STRUCTURES.params(**values))[1]


LONDON = [(240, 100.0, 102.0, 98.0, 100.0), (569, 100.0, 101.0, 99.0, 100.0)]


@pytest.mark.parametrize(
    ("low", "close", "sweep"),
    [(97.9, 98.1, 1), (98.0, 98.5, 0), (97.9, 98.0, 0), (97.0, 97.5, 0), (98.5, 99.0, 0)],
)
def test_a_low_is_swept_when_the_bar_trades_below_and_closes_above_strictly(
    low: float, close: float, sweep: int
) -> None:
    out = read(bars([*LONDON, (570, 98.5, 99.0, low, close)]))
    assert out["seen"]["sweep"].tolist() == [0, 0, sweep]


def test_a_level_is_not_usable_before_its_session_is_over() -> None:
    out = read(bars([*LONDON, (300, 98.5, 99.0, 97.5, 98.5), (570, 98.5, 99.0, 97.4, 98.0)]))
    assert np.isnan(out["levels"]["london_low"][:3]).all()
    assert out["levels"]["london_low"][3] == 97.5
    assert out["seen"]["sweep"].tolist() == [0, 0, 0, 1]


def test_asia_is_usable_from_three_until_the_roll_at_eighteen() -> None:
    rows = [
        (1080, 100, 105, 95, 100),
        (179, 100, 106, 94, 100),
        (180, 100, 101, 99, 100),
        (1079, 100, 101, 99, 100),
    ]
    tape_ = np.concatenate([bars(rows), bars([(1080, 100, 101, 99, 100)], day=2)])
    assert read(tape_)["levels"]["asia_high"].tolist() == pytest.approx(
        [NAN, NAN, 106, 106, NAN], nan_ok=True
    )


def test_one_bar_can_sweep_both_sides() -> None:
    out = read(bars([*LONDON, (570, 100.0, 102.5, 97.5, 100.0)]))
    assert out["seen"]["sweep"][2] == 3
    assert (out["seen"]["sweep_up_level"][2], out["seen"]["sweep_down_level"][2]) == (98.0, 102.0)


def test_a_displacement_needs_body_and_a_close_beyond_the_previous_extreme() -> None:
    rows = [
        (600, 100, 101, 99, 100),
        (601, 100, 104, 100, 103),  # body 3 of true range 4, above 101
        (602, 103, 104.2, 102, 104),  # above no previous high: 104 is not beyond 104
        (603, 104, 104, 100, 100.5),  # body 3.5 of 4, below 102
        (604, 101.5, 102, 96, 100),  # body 1.5 of 6
    ]
    assert read(bars(rows))["seen"]["displacement"].tolist() == [0, 1, 0, 2, 0]


def test_displacement_by_percent_is_a_share_of_the_close() -> None:
    rows = [(600, 100, 100.2, 99.8, 100), (601, 100, 101.1, 100, 101.02), (602, 101.02, 102.2, 101, 102.0)]
    out = read(bars(rows), displacement=0.01, displacement_by=1)  # one per cent of 101.02 is 1.0102
    assert out["seen"]["displacement"].tolist() == [0, 1, 0]


def test_the_gap_of_definitions_md() -> None:
    # Highs 10, 12, 13; lows 9, 10, 11: zone 10-11, known at the third bar.
    rows = [(600, 9.5, 10, 9, 9.8), (601, 10.5, 12, 10, 11.5), (602, 12, 13, 11, 12.5)]
    seen = read(bars(rows))["seen"]
    assert seen["gap"].tolist() == [0, 0, 1]
    assert (seen["gap_low"][2], seen["gap_high"][2]) == (10, 11)


def test_the_order_block_is_the_newest_opposite_candle_of_nineteen() -> None:
    down, up = (100.2, 100.3, 99.9, 100.0), (100.0, 100.3, 99.9, 100.1)
    for distance, found in ((19, 1), (20, 0)):
        rows = [
            (600, *down),
            *((601 + i, *up) for i in range(distance - 1)),
            (640, 100.0, 102.0, 100.0, 101.9),
        ]
        seen = read(bars(rows))["seen"]
        assert seen["displacement"][-1] == 1
        assert seen["block"][-1] == found


SWING = [10.0, 11, 13, 12, 11]  # a swing high at 13, confirmed at the fifth bar


@pytest.mark.parametrize(("mode", "expected"), [(0, [1, 0, 0, 0]), (1, [1, 0, 1, 0])])
def test_shifts_fire_once_when_carried_and_every_second_bar_when_refiring(
    mode: int, expected: list[int]
) -> None:
    rows = [(600 + i, h - 1, h, h - 2, h - 1) for i, h in enumerate(SWING)]
    rows += [(605 + i, 13.5, 14, 13.2 - i / 100, 13.5) for i in range(4)]  # closes beyond 13
    assert read(bars(rows), mss=mode)["seen"]["mss"].tolist() == [0] * 5 + expected


def test_a_close_beyond_a_swing_that_is_not_confirmed_yet_is_no_shift() -> None:
    rows = [(600 + i, h - 1, h, h - 2, h - 1) for i, h in enumerate(SWING[:4])]
    rows.append((604, 13.5, 14, 13.2, 13.5))  # passes 13 at the bar that would have confirmed it
    assert read(bars(rows))["seen"]["mss"].tolist() == [0] * 5


# --- confluence


class Three(Record):
    sweep: bool
    displacement: bool
    mss: bool


class NoParams(Record):
    none: int


class Age(Record):
    age: int


class PendingState(Record):
    pending: Pending


@kernel
def confirming(s: PendingState, p: NoParams, event: Three, out: Age) -> None:
    out.age = confirm(s.pending, event.sweep, event.displacement, event.mss)


CONFIRM = System(PendingState, NoParams, Age, confirming)


def ages(text: str) -> list[int]:
    """One word per bar: letters of s(weep), d(isplacement), m(ss), or a dot."""
    events = np.array([("s" in w, "d" in w, "m" in w) for w in text.split()], Three.dtype)
    out = CONFIRM.run(events, CONFIRM.params(none=0))[1]["age"].tolist()
    columns = ([letter in w for w in text.split()] for letter in "sdm")
    assert out == twin.confluence(*columns), text
    return out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sdm", [0]),
        ("s d m", [-1, -1, 2]),
        ("s m d", [-1, -1, 2]),
        ("s . . . d m", [-1, -1, -1, -1, -1, 5]),
        ("s . . . . d m", [-1] * 7),  # the shift is six bars after the sweep
        ("d s m", [-1, -1, -1]),  # a displacement before the sweep does not count
        ("s dm dm", [-1, 1, -1]),  # a sweep is confirmed once
        ("s s dm", [-1, -1, 2]),  # two sweeps, one signal, the oldest named
        ("s d s m", [-1, -1, -1, 3]),  # the younger sweep still waits for a displacement
        ("s d s m d", [-1, -1, -1, 3, 2]),
        (". . .", [-1, -1, -1]),
    ],
)
def test_a_sweep_is_confirmed_by_the_last_of_the_three_within_five_bars(
    text: str, expected: list[int]
) -> None:
    assert ages(text) == expected


def test_confirmation_agrees_with_the_forward_looking_twin_on_random_marks() -> None:
    rng = np.random.default_rng(1)
    for density in (0.05, 0.2, 0.5):
        words = ["".join(c for c in "sdm" if rng.random() < density) or "." for _ in range(2000)]
        ages(" ".join(words))


def test_the_score_counts_a_structure_for_eleven_bars() -> None:
    row = np.zeros(
        1, [("atr_length", "i8"), ("displacement", "f8"), ("displacement_by", "i8"), ("mss", "i8")]
    )[0]
    row["atr_length"], row["displacement"] = 1, 0.5
    rows = [(600 + i, 100, 100.5, 99.5, 100.0) for i in range(3)] + [(603, 100, 102, 100, 101.8)]
    rows += [(604 + i, 101.8, 102, 101.5, 101.8) for i in range(12)]
    out = STRUCTURES.run(
        bars(rows), STRUCTURES.params(atr_length=1, displacement=0.5, displacement_by=0, mss=0)
    )[1]
    # A displacement at bar 3 (no opposite candle before it), a gap at bar 4; each counts for eleven bars.
    assert out["up_score"].tolist() == [0, 0, 0, 0.25, *[0.40] * 10, 0.15, 0]
    assert read_structures(tape(bars(rows)), row)["up_score"] == out["up_score"].tolist()


# --- waves


def brick_list(directions: str, size: float = 1.0) -> list[Brick]:
    level, out = 100.0, []
    for i, sign in enumerate(directions):
        level += size if sign == "+" else -size
        out.append(Brick(i, level, 1 if sign == "+" else -1, size))
    return out


def compiled_waves(directions: str, every: int = 1) -> list[tuple[int, str, float]]:
    """Feed closes that make exactly one brick a bar through the compiled machine."""
    made = brick_list(directions)
    closes = [100.0, *(b.level for b in made)]
    rows = [(600, c, c, c, c) for c in closes]
    params = BRICKS.params(k=1.0, days=1, fixed=1.0, reversal=1, accept_every=every)
    out = BRICKS.run(bars(rows), params)[1][1:]
    names = {1: "shallow", 2: "healthy"}
    return [(i, names[int(r["kind"])], float(r["retrace"])) for i, r in enumerate(out) if r["candidates"]]


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ("-+++-", [(4, "healthy", 1 / 3)]),  # three bricks: the first opposite one is a third
        ("-++++-", [(5, "shallow", 1 / 4)]),
        ("-+++--", [(4, "healthy", 1 / 3)]),  # one signal per wave
        ("-++-+", []),  # no wave of three
        ("+---+", [(4, "healthy", 1 / 3)]),
        ("-++++++-", [(7, "shallow", 1 / 6)]),
        ("++++-", [(4, "healthy", 1 / 3)]),  # at the data's start P1 is the run's own first brick
        ("+++-", []),  # and bricks before the fourth make no wave
    ],
)
def test_the_first_opposite_brick_of_a_wave_is_its_entry(directions: str, expected: list[Any]) -> None:
    assert compiled_waves(directions) == expected


def test_when_the_gates_fail_the_wave_lives_on_until_price_returns_to_its_end() -> None:
    # The gates pass at every sixth brick: not at the first opposite one (5th), but at P2 itself (6th).
    assert compiled_waves("-+++-+", every=6) == [(4, "healthy", 1 / 3), (5, "shallow", 0.0)]


def test_a_deep_retracement_and_a_new_extreme_end_the_wave() -> None:
    assert [c[0] for c in compiled_waves("-+++--++", every=100)] == [4]  # two thirds back: dropped
    assert [c[0] for c in compiled_waves("-+++-++-", every=100)] == [4, 5]  # beyond P2: dropped, run of two


def test_compiled_waves_equal_the_twin_on_random_bricks() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        directions = "".join(rng.choice(["+", "-"], 60, p=[0.6, 0.4]))
        found = waves(brick_list(directions), [True] * 60, lambda j, _: (j + 1) % 3 == 0)
        assert compiled_waves(directions, every=3) == [(c.brick, c.kind, c.retrace) for c in found]


@pytest.mark.parametrize(
    ("label", "side", "allowed"),
    [(0, 1, True), (0, -1, True), (1, 1, True), (1, -1, False), (-1, -1, True), (-1, 1, False)],
)
def test_longs_need_bull_or_sideways_and_shorts_bear_or_sideways(
    label: int, side: int, allowed: bool
) -> None:
    assert allows(label, side) is allowed


def test_directions_as_bits() -> None:
    assert bits([1, -1, 0]) == [1, 2, 0]
