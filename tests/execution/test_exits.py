"""The exit step against a trader's account of the plan, byte for byte, long and short."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlib.execution.exits import EXITS, EXPIRED, STOP, TIME, TP1, TP2
from maxlib.market.bars import BAR
from tests.twins.exits import Bar, Happened, Plan, exits

NAN = math.nan
DAY = 20_000


def rows(bars: list[Bar]) -> Any:
    out = np.zeros(len(bars), BAR)
    for row, bar in zip(out, bars, strict=True):
        row["ts"], row["open"], row["high"], row["low"], row["close"] = bar[:5]
        row["day"], row["minute"], row["close_minute"] = DAY, 600 if bar.regular else 960, 960
    return out


def params(plan: Plan) -> Any:
    return EXITS.params(
        side=1 if plan.long else -1, day=DAY, entry=plan.entry, stop=plan.stop, tp1=plan.tp1, tp2=plan.tp2,
        all_at_tp1=plan.all_at_tp1, on_close=plan.on_close, break_even=plan.break_even, trail=plan.trail,
        deadline=plan.deadline,
    )  # fmt: skip


def said(happened: Happened) -> tuple[int, list[float]]:
    prices = [happened.stop, happened.tp1, happened.tp2, happened.settle]
    event = sum(bit for bit, x in zip((STOP, TP1, TP2, EXPIRED), prices, strict=True) if not math.isnan(x))
    return event + TIME * happened.time, prices


def assert_equal_to_twin(bars: list[Bar], plan: Plan) -> None:
    expected = [said(h) for h in exits(bars, plan)]
    tape = rows(bars)
    out = EXITS.run(tape, params(plan))[1][: len(expected)]
    assert out["event"].tolist() == [event for event, _ in expected]
    for i, name in enumerate(("stop_price", "tp1_price", "tp2_price", "settle_price")):
        column = np.array([prices[i] for _, prices in expected])
        assert np.array_equal(out[name], column, equal_nan=True), name
    # Seeking, as leaping does, stops at the first bar of any event.
    stream = EXITS.stream(params(plan))
    first = next((i for i, (event, _) in enumerate(expected) if event), len(expected))
    assert stream.seek(tape, 0, len(expected)) == first


price = st.integers(9_700, 10_300).map(lambda cents: cents / 100)
maybe = st.one_of(st.just(NAN), price)


@st.composite
def markets(draw: Any) -> list[Bar]:
    bars = []
    for i in range(draw(st.integers(1, 30))):
        four = sorted(draw(st.lists(price, min_size=4, max_size=4)))
        middle = draw(st.permutations(four[1:3]))
        regular = draw(st.sampled_from([True] * 9 + [False]))
        bars.append(Bar((i + 1) * 60, middle[0], four[3], four[0], middle[1], regular))
    return bars


plans = st.builds(
    Plan, long=st.booleans(), entry=price, stop=maybe, tp1=maybe, tp2=maybe, all_at_tp1=st.booleans(),
    on_close=st.booleans(), break_even=st.booleans(), trail=st.sampled_from([0.0, 0.001, 0.005, 0.05]),
    deadline=st.integers(0, 2000),
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(markets(), plans)
def test_exit_step_equals_the_trader_on_random_markets(bars: list[Bar], plan: Plan) -> None:
    assert_equal_to_twin(bars, plan)


@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_exit_step_equals_the_trader_on_walks(seed: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    close = np.round(100 + np.cumsum(rng.normal(0, 0.1, 300)), 2)
    open_ = np.concatenate([[100.0], close[:-1]])
    high = np.round(np.maximum(open_, close) + np.abs(rng.normal(0, 0.05, 300)), 2)
    low = np.round(np.minimum(open_, close) - np.abs(rng.normal(0, 0.05, 300)), 2)
    bars = [
        Bar(60 * (i + 1), *map(float, four), True)
        for i, four in enumerate(zip(open_, high, low, close, strict=True))
    ]
    sign = 1 if long else -1
    for stop, tp1, tp2, trail in ((0.7, 0.4, 1.2, 0.002), (3.0, 0.2, NAN, 0.001), (NAN, 0.3, 9.0, 0.0)):
        plan = Plan(
            long,
            100.0,
            100 - sign * stop,
            100 + sign * tp1,
            100 + sign * tp2,
            False,
            False,
            True,
            trail,
            15_000,
        )
        assert_equal_to_twin(bars, plan)


LONG = Plan(True, 100.0, 99.0, 101.0, 103.0, False, False, True, 0.005, 10**9)


@pytest.mark.parametrize(
    ("name", "bars", "events"),
    [
        ("quiet", [(100, 100.5, 99.5, 100.2)], [0]),
        ("stop at equality", [(100, 100.5, 99.0, 100.2)], [STOP]),
        ("stop before target", [(100, 104.0, 98.0, 100.0)], [STOP]),
        ("first target at equality", [(100.5, 101.0, 100.1, 100.9)], [TP1]),
        ("both targets", [(100.5, 103.0, 100.1, 102.9)], [TP1 | TP2]),
        ("target and break-even", [(100.5, 101.5, 100.0, 101.2)], [TP1 | STOP]),
        ("second target later", [(100.5, 101.5, 100.1, 101.4), (101.4, 103.2, 101.2, 103.0)], [TP1, TP2]),
        ("second target alone does nothing", [(100.0, 100.9, 99.5, 100.0)], [0]),
    ],
)
def test_hand_made_bars(name: str, bars: list[tuple[float, ...]], events: list[int]) -> None:
    tape = rows([Bar(60 * (i + 1), *four, True) for i, four in enumerate(bars)])
    assert EXITS.run(tape, params(LONG))[1]["event"].tolist() == events


def test_the_trailing_stop_by_hand() -> None:
    bars = [(100.5, 101.5, 100.1, 101.4), (101.4, 102.4, 101.3, 102.4), (102.4, 102.4, 101.8, 101.9)]
    out = EXITS.run(rows([Bar(60 * i, *four, True) for i, four in enumerate(bars)]), params(LONG))[1]
    assert out["event"].tolist() == [TP1, 0, STOP]
    assert out["stop_price"][2] == pytest.approx(102.4 * 0.995)


def test_a_day_that_is_over_expires_at_the_last_regular_close() -> None:
    out = EXITS.run(
        rows([Bar(60, 100, 100.5, 99.5, 100.4, True), Bar(120, 105, 105, 105, 105, False)]), params(LONG)
    )
    assert out[1]["event"].tolist() == [0, EXPIRED]
    assert out[1]["settle_price"][1] == 100.4


def test_the_deadline_is_met_by_the_bar_that_ends_on_it() -> None:
    plan = LONG._replace(deadline=120)
    out = EXITS.run(rows([Bar(60 * (i + 1), 100, 100.1, 99.9, 100, True) for i in range(3)]), params(plan))[1]
    assert out["event"].tolist() == [0, TIME, TIME]
