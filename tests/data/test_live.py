"""The gate of the live tape: no impossible or unbelieved tick gets through, and good ones all do."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.errors import InvariantError
from maxlib.data.inbox import Inbox
from maxlib.data.live import (
    FeedState,
    GateConfig,
    LiveBar,
    LiveGate,
    LiveQuote,
    LiveTrade,
    LiveValue,
    Splice,
    SpliceConfig,
)
from maxlib.market.bars import NS_PER_MINUTE
from tests.data.massive.helpers import BARS, OPEN

NOW = OPEN + 400 * NS_PER_MINUTE


def bar(i: int, **changes: Any) -> LiveBar:
    row = BARS[i : i + 1].copy()
    for name, value in changes.items():
        row[name] = value
    return LiveBar("QQQ", row, "live", NOW, False)


def scaled(i: int, factor: float) -> LiveBar:
    return bar(i, **{name: BARS[name][i] * factor for name in ("open", "high", "low", "close")})


def gate() -> LiveGate:
    made = LiveGate(GateConfig())
    made.anchor("QQQ", 500.0)
    return made


def through(made: LiveGate, bars: list[LiveBar]) -> list[LiveBar]:
    return [out for each in bars if made.possible(each) for out in made.bar(each)]


def minutes(bars: list[LiveBar]) -> list[int]:
    return [int(each.row["ts"][0]) for each in bars]


def trade(ts: int, price: float, key: str = "", size: float = 1.0) -> LiveTrade:
    return LiveTrade("QQQ", ts, price, size, key or str(ts), NOW, False)


def quote(ts: int, bid: float, ask: float) -> LiveQuote:
    return LiveQuote("QQQ", ts, bid, ask, 1.0, 1.0, NOW, False)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_row_32_bar_with_an_impossible_price_is_quarantined(name: str, bad: float) -> None:
    made = gate()
    assert through(made, [bar(0, **{name: bad})]) == []
    assert dict(made.counts) == {"value": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"volume": -1.0}, "value"),
        ({"volume": math.nan}, "value"),
        ({"high": 400.0}, "range"),
        ({"low": 600.0}, "range"),
        ({"ts": OPEN + 1}, "off the minute"),
        ({"ts": NOW + NS_PER_MINUTE}, "future"),
    ],
)
def test_row_32_bar_that_cannot_be_is_quarantined_under_its_reason(changes: Any, reason: str) -> None:
    made = gate()
    assert through(made, [bar(0, **changes)]) == []
    assert dict(made.counts) == {reason: 1}


@given(st.lists(st.integers(0, 20), max_size=60))
def test_rows_29_30_whatever_the_order_and_repeats_the_tape_only_goes_forward(order: list[int]) -> None:
    made = gate()
    out = minutes(through(made, [bar(i) for i in order]))
    expected, newest = [], -1
    for i in order:
        if i > newest:
            expected.append(int(BARS["ts"][i]))
            newest = i
    assert out == expected
    assert made.counts.total() == len(order) - len(out)


def test_row_29_repeat_revision_and_latecomer_are_told_apart() -> None:
    made = gate()
    out = through(made, [bar(0), bar(1), bar(1), bar(1, volume=7.0), bar(0)])
    assert len(out) == 2
    assert dict(made.counts) == {"duplicate": 1, "revision": 1, "late": 1}


@given(
    spikes=st.sets(st.integers(1, 40), max_size=8).map(
        lambda found: {i for i in found if i - 1 not in found}  # two alike in a row confirm each other
    ),
    factor=st.sampled_from([100.0, 0.01, 1.5, 0.5]),
)
def test_row_34_lone_spikes_never_get_through_and_cost_nothing_else(spikes: set[int], factor: float) -> None:
    made = gate()
    out = through(made, [scaled(i, factor) if i in spikes else bar(i) for i in range(42)])
    assert minutes(out) == [int(BARS["ts"][i]) for i in range(42) if i not in spikes]
    assert made.counts["spike"] == len(spikes)


def test_row_34_true_jump_is_confirmed_by_the_next_bar_and_known_only_then() -> None:
    made = gate()
    late = scaled(2, 1.3)._replace(received_at=NOW + 5)
    assert made.bar(bar(0)) != ()
    assert made.bar(scaled(1, 1.3)) == ()
    first, second = made.bar(late)
    assert minutes([first, second]) == BARS["ts"][1:3].tolist()
    assert (first.received_at, second.received_at) == (NOW + 5, NOW + 5)
    assert made.bar(scaled(3, 1.3)) != ()
    assert dict(made.counts) == {"held": 1, "confirmed": 1}


def test_row_34_first_price_without_an_anchor_waits_for_a_second() -> None:
    made = LiveGate(GateConfig())
    assert made.bar(scaled(0, 100.0)) == ()
    assert made.bar(bar(1)) == ()
    assert minutes(list(made.bar(bar(2)))) == BARS["ts"][1:3].tolist()


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([500.0, 500.1, 5.0, 0.0, math.nan, math.inf]))))
def test_rows_29_32_34_trades_once_in_order_and_believable(ticks: list[tuple[int, float]]) -> None:
    made = gate()
    # Two wrong prices in a row would confirm each other, as they should: put a good one between.
    story = []
    for i, (t, price) in enumerate(ticks):
        story += [trade(OPEN + t, price), trade(OPEN + t, 500.0, f"good {i}")]
    out = [got for each in story for got in made.trade(each)]
    assert all(got.price > 400 for got in out)
    assert [got.ts for got in out] == sorted(got.ts for got in out)
    assert len({got.key for got in out}) == len(out)


def test_row_34_trade_that_leaps_needs_two_more_to_be_believed() -> None:
    made = gate()
    assert made.trade(trade(OPEN, 700.0)) == ()
    assert made.trade(trade(OPEN + 1, 701.0)) == ()
    assert [t.price for t in made.trade(trade(OPEN + 2, 702.0))] == [700.0, 701.0, 702.0]
    assert [t.price for t in made.trade(trade(OPEN + 3, 703.0))] == [703.0]
    assert made.trade(trade(OPEN + 4, 5.0)) == made.trade(trade(OPEN + 5, 5.1)) == ()
    assert [t.price for t in made.trade(trade(OPEN + 6, 702.0))] == [702.0]
    assert dict(made.counts) == {"held": 4, "confirmed": 2, "spike": 2}


def test_row_29_trade_is_known_by_its_key_not_by_its_price() -> None:
    made = gate()
    assert len(made.trade(trade(OPEN, 500.0, "1"))) == 1
    assert made.trade(trade(OPEN, 500.0, "1")) == ()
    assert len(made.trade(trade(OPEN, 500.0, "2"))) == 1


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True)
        ),
        max_size=30,
    )
)
def test_rows_32_33_quotes_that_get_through_are_positive_and_not_crossed(
    sides: list[tuple[float, float]],
) -> None:
    made = gate()
    for i, (bid, ask) in enumerate(sides):
        for got in made.quote(quote(OPEN + i, bid, ask)):
            known = [side for side in (got.bid, got.ask) if not math.isnan(side)]
            assert known
            assert all(0 < side < math.inf for side in known)
            assert len(known) == 1 or got.bid < got.ask


def test_row_33_crossed_and_locked_quotes_are_no_mark() -> None:
    made = gate()
    made.quote(quote(OPEN, 499.9, 500.1))
    assert made.quote(quote(OPEN + 1, 500.2, 500.1)) == ()
    assert made.quote(quote(OPEN + 2, 500.1, 500.1)) == ()
    assert (made.counts["crossed"], made.counts["locked"]) == (1, 1)
    assert len(made.quote(quote(OPEN + 3, 500.0, 500.1))) == 1


def test_quote_of_one_side_passes_as_such() -> None:
    made = gate()
    (got,) = made.quote(quote(OPEN, math.nan, 0.05))
    assert math.isnan(got.bid)
    assert made.quote(quote(OPEN, math.nan, math.nan)) == ()


def test_index_value_that_leaps_is_held_and_an_older_one_dropped() -> None:
    made = LiveGate(GateConfig())
    made.anchor("I:VIX", 16.0)
    values = [(1, 16.5), (2, 1650.0), (3, 16.6), (2, 16.4), (4, 30.0), (5, 31.0)]
    out = [v for t, x in values for v in made.value(LiveValue("I:VIX", OPEN + t, x, NOW, False))]
    assert [v.value for v in out] == [16.5, 16.6, 30.0, 31.0]
    assert dict(made.counts) == {"held": 2, "spike": 1, "late": 1, "confirmed": 1}


# --- splice ---------------------------------------------------------------------------------------


@given(
    switch=st.integers(10, 200),
    offset=st.floats(0.001, 0.3) | st.floats(-0.3, -0.001),
    noise=st.floats(0, 2e-4),
)
def test_row_50_failover_to_a_source_with_offset_prices_makes_no_phantom_move(
    switch: int, offset: float, noise: float
) -> None:
    splice, out = Splice(SpliceConfig()), []
    shifted, other = BARS.copy(), BARS.copy()
    shifted["close"] *= 1 + offset
    other["close"] *= 1 + noise
    assert splice.judge("first", BARS[:0]).agrees
    for i in range(switch):
        assert splice.bar("first", BARS[i : i + 1])
        out.append(BARS["close"][i])
    verdict = splice.judge("offset", shifted[:switch])
    assert not verdict.agrees
    assert verdict.distance == pytest.approx(abs(offset))
    assert not any(splice.bar("offset", shifted[i : i + 1]) for i in range(switch, switch + 20))
    assert splice.judge("second", other[: switch + 20]).agrees
    for i in range(switch + 20, switch + 60):
        assert splice.bar("second", other[i : i + 1])
        out.append(other["close"][i])
    true = np.abs(np.diff(BARS["close"]) / BARS["close"][:-1]).max()
    assert np.abs(np.diff(np.log(out))).max() < 20 * true + 1e-3  # twenty minutes pass at the switch


def test_row_50_source_without_enough_common_minutes_is_not_believed() -> None:
    splice = Splice(SpliceConfig(minutes=5))
    splice.judge("first", BARS[:0])
    for i in range(20):
        splice.bar("first", BARS[i : i + 1])
    assert splice.judge("second", BARS[16:30])[::2] == (4, False)
    empty = splice.judge("second", BARS[30:40])
    assert (empty.minutes, math.isnan(empty.distance), empty.agrees) == (0, True, False)
    assert splice.judge("second", BARS[15:30])[::2] == (5, True)
    assert not splice.bar("first", BARS[20:21])  # the one that was left has to agree anew


# --- inbox ----------------------------------------------------------------------------------------


def test_row_48_flood_is_bounded_quotes_are_coalesced_and_bars_all_kept() -> None:
    inbox, kept = Inbox(100), []
    for i in range(5000):
        inbox.put(quote(OPEN + i, 1.0, 2.0)._replace(symbol=f"S{i % 7}"))
        inbox.put(trade(OPEN + i, 500.0))
        if i % 100 == 0:
            kept.append(bar(i // 100))
            inbox.put(kept[-1])
        assert len(inbox) <= 100
    out = []
    while (event := inbox.pop()) is not None:
        out.append(event)
    assert [e for e in out if isinstance(e, LiveBar)] == kept
    newest = {e.symbol: e.ts for e in out if isinstance(e, LiveQuote)}
    assert newest == {f"S{i % 7}": OPEN + i for i in range(4993, 5000)}
    trades = [e.ts for e in out if isinstance(e, LiveTrade)]
    assert trades == list(range(OPEN + 5000 - len(trades), OPEN + 5000))  # the newest, in order
    assert inbox.counts["coalesced"] + inbox.counts["dropped"] + len(out) == 5000 + 5000 + 50


@given(st.lists(st.sampled_from("btqs"), max_size=80))
def test_row_48_order_of_arrival_is_kept(kinds: list[str]) -> None:
    inbox, put = Inbox(1000), []
    for i, kind in enumerate(kinds):
        events = {
            "b": bar(i),
            "t": trade(OPEN + i, 500.0),
            "q": quote(OPEN + i, 1.0, 2.0)._replace(symbol=f"S{i}"),
            "s": FeedState("up", str(i), NOW),
        }
        put.append(events[kind])
        inbox.put(put[-1])
    assert [inbox.pop() for _ in put] == put
    assert inbox.pop() is None


def test_inbox_that_nobody_reads_is_a_broken_promise() -> None:
    inbox = Inbox(16)
    for i in range(16):
        inbox.put(bar(i))
    with pytest.raises(InvariantError, match="16 bars and states are unread"):
        inbox.put(bar(16))
