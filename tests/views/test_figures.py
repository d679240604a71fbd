"""Figures without a screen: the right traces, at the right bars, with the stamp."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Leg
from maxlib.research.run import ScenarioRun
from maxlib.research.scenario import Claims
from maxlib.views import figures
from tests.views.handmade import bar_at, finished, trade

EVERY = [figures.overview, figures.busiest_day, figures.equity, figures.trade_pnl, figures.win_rate]
CLAIMS = Claims(source="somebody", win_rate=0.95)


@pytest.fixture(scope="module")
def done() -> ScenarioRun:
    return finished(claims=CLAIMS)


def named(figure: go.Figure, start: str) -> Any:
    found = [t for t in figure.data if (t.name or "").startswith(start)]
    assert len(found) == 1, [t.name for t in figure.data]
    return found[0]


def text_of(figure: go.Figure) -> str:
    return json.dumps(json.loads(figure.to_json()), ensure_ascii=False)


@pytest.mark.parametrize("draw", EVERY)
def test_what_is_simulated_is_stamped_in_title_and_picture(
    draw: Callable[[ScenarioRun], go.Figure], done: ScenarioRun
) -> None:
    figure = draw(done)
    assert "SIMULATED" in figure.layout.title.text
    assert [a.text for a in figure.layout.annotations if a.name == "stamp"] == ["SIMULATED"]


@pytest.mark.parametrize("draw", EVERY)
def test_real_bars_carry_no_stamp(draw: Callable[[ScenarioRun], go.Figure]) -> None:
    assert "SIMULATED" not in text_of(draw(finished(simulated=False, claims=CLAIMS)))


@pytest.mark.parametrize("draw", EVERY)
def test_a_run_without_trades_and_claims_is_drawn(draw: Callable[[ScenarioRun], go.Figure]) -> None:
    figure = draw(finished(trades=False))
    assert figure.layout.height >= 200


@pytest.mark.parametrize("draw", EVERY)
def test_each_axis_says_its_unit(draw: Callable[[ScenarioRun], go.Figure], done: ScenarioRun) -> None:
    layout = draw(done).to_plotly_json()["layout"]
    titles = {key: axis.get("title", {}).get("text") for key, axis in layout.items() if "axis" in key}
    unnamed = {key for key, text in titles.items() if not text}
    # The shared time axis is named below the lower panel; the win rate's rows are named one by one.
    assert unnamed <= {"xaxis"} if draw is figures.equity else unnamed <= {"yaxis"}, titles


def test_one_minute_candles_are_the_bars(done: ScenarioRun) -> None:
    bars = figures.regular(done.run.bars)
    view = figures.candles(bars, 1)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(view, name), bars[name])
    np.testing.assert_array_equal(view.end, bars["ts"])


def test_thirty_minute_candles_begin_at_the_open_and_keep_the_extremes(done: ScenarioRun) -> None:
    bars = figures.regular(done.run.bars)
    view = figures.candles(bars, 30)
    assert len(view.open) == 3 * 13
    assert view.minute[:3].tolist() == [570, 600, 630]
    second = bars[30:60]
    assert view.open[1] == second["open"][0]
    assert view.close[1] == second["close"][-1]
    assert view.high[1] == second["high"].max()
    assert view.low[1] == second["low"].min()
    assert view.end[1] == second["ts"][-1]


def test_a_slot_whose_first_minutes_are_missing_still_begins_where_the_slot_does(done: ScenarioRun) -> None:
    bars = figures.regular(done.run.bars)
    view = figures.candles(np.delete(bars, [30, 31]), 30)
    whole = figures.candles(bars, 30)
    np.testing.assert_array_equal(view.start, whole.start)


@pytest.mark.parametrize(
    ("minutes", "unit"), [(1, 1), (2_000, 1), (2_001, 5), (390 * 64, 15), (390 * 252, 30), (390 * 290, 30)]
)
def test_longer_views_take_coarser_candles(minutes: int, unit: int) -> None:
    assert figures.overview_unit(minutes) == unit


@pytest.mark.parametrize("sessions", [1, 5, 20, 64, 252, 290, 1_000, 2_500, 5_000])
def test_a_report_holds_at_most_five_thousand_candles(sessions: int) -> None:
    unit = figures.overview_unit(sessions * 390)
    assert sessions * -(-390 // unit) + 420 <= 5_500 if unit == 390 else sessions * 390 // unit + 420 <= 5_000


def test_signals_stand_on_the_bar_that_made_them_known(done: ScenarioRun) -> None:
    figure = figures.busiest_day(done)
    longs, shorts = named(figure, "call signal"), named(figure, "put signal")
    # The day's chart begins at 09:00 with a bar every minute.
    assert list(longs.x) == [60, 120]
    assert list(shorts.x) == [180]
    price = named(figure, "price")
    assert (longs.y < price.low[longs.x]).all()
    assert (shorts.y > price.high[shorts.x]).all()
    assert "known" in longs.hovertext[0]


def test_trades_run_from_entry_to_exit_coloured_by_what_they_made(done: ScenarioRun) -> None:
    figure = figures.busiest_day(done)
    profit, loss = named(figure, "profit"), named(figure, "loss")
    # Decided at the close of the 10:00 bar (x = 60) = the open of the next; out at the close of 10:30.
    assert profit.x[:2].tolist() == [60.5, 90.5]
    assert loss.x[:2].tolist() == [120.5, 140.5]
    first = done.run.trades[0]
    assert profit.y[:2].tolist() == [first.entry_spot, first.exit_spot]
    assert profit.line.color != loss.line.color
    for part in ("QQQ", "known", "tp1", "P&L +$150.00", "$2.60 fees"):
        assert part in profit.hovertext[0]
    assert "−$80.00" in loss.hovertext[0]


def test_the_overview_places_a_trade_inside_its_candle() -> None:
    figure = figures.overview(finished(days=8))
    assert "5-minute candles" in figure.layout.title.text
    # 10:01 on the second session: one fifth into the candle that begins at 10:00.
    assert named(figure, "profit").x[0] == pytest.approx(78 + 6 - 0.5 + 0.2)


def test_the_overview_shows_every_signal_and_trade(done: ScenarioRun) -> None:
    figure = figures.overview(done)
    assert len(named(figure, "call signal").x) + len(named(figure, "put signal").x) == done.run.signals
    assert named(figure, "profit").name == "profit (1)"
    assert named(figure, "loss").name == "loss (1)"


def test_over_months_trades_are_bare_lines_and_signals_wait_for_a_click() -> None:
    coarse, fine = figures.overview(finished(days=8)), figures.busiest_day(finished(days=8))
    for figure, mode, visible in ((coarse, "lines", "legendonly"), (fine, "lines+markers", True)):
        assert named(figure, "profit").mode == mode
        assert {named(figure, side).visible for side in ("call signal", "put signal")} == {visible}


def test_axes_of_money_say_dollars_and_no_thousandths(done: ScenarioRun) -> None:
    account = figures.equity(done).layout
    assert account.yaxis.tickformat == account.yaxis2.tickformat == "$,.0f"
    for values, ticks in (([], "$,.2f"), ([-1.0, 1.0], "$,.2f"), ([0, 5_000], "$,.0f"), ([0, 2e6], "$,.3~s")):
        assert figures.usd_ticks(values) == ticks


def test_an_account_without_trades_has_no_axis() -> None:
    figure = figures.equity(finished(trades=False))
    assert "No trades" in text_of(figure)
    assert figure.layout.yaxis.visible is False


def test_the_busiest_day_is_the_one_with_most_trades(done: ScenarioRun) -> None:
    assert "Friday, 3 January 2025" in figures.busiest_day(done).layout.title.text


def test_levels_appear_only_from_the_moment_the_strategy_knows_them(done: ScenarioRun) -> None:
    bars = done.run.bars
    first, last = bar_at(bars, 1, 540), bar_at(bars, 1, 600)
    london = figures.session_levels(done, first, last)["london_high"]
    assert np.isnan(london[:30]).all()  # before 09:30 the session is not over
    date = bars["day"][first]
    session = bars[(bars["day"] == date) & (bars["minute"] >= 180) & (bars["minute"] < 570)]
    assert (london[30:] == session["high"].max()).all()


def test_the_brick_line_ends_each_candle_at_the_level_known_then(done: ScenarioRun) -> None:
    figure = figures.busiest_day(done)
    bricks = named(figure, "last Renko brick")
    first = bar_at(done.run.bars, 1, 540)
    np.testing.assert_array_equal(bricks.y, done.run.out["level"][first : first + len(bricks.y)])


def test_equity_begins_with_the_start_and_drawdown_never_rises_above_zero(done: ScenarioRun) -> None:
    figure = figures.equity(done)
    assert named(figure, "account").y.tolist() == [25_000.0, 25_150.0, 25_070.0]
    assert named(figure, "drawdown").y.tolist() == [0.0, 0.0, -80.0]
    assert done.metrics.max_drawdown_usd == 80.0


def test_the_histogram_mixes_no_profit_with_loss() -> None:
    bins = figures._bins(np.array([-321.0, -0.01, 0.0, 0.01, 950.0]))
    assert bins is not None
    edges = np.arange(bins["start"], bins["end"] + 1e-9, bins["size"])
    assert edges[0] <= -321.0
    assert edges[-1] >= 950.0
    assert (np.abs(edges - 0.005) < 1e-9).any()


def test_the_win_rate_stands_with_its_interval_beside_the_claim(done: ScenarioRun) -> None:
    claimed, measured = figures.win_rate(done).data
    assert claimed.x[0] == 0.95
    assert measured.x[0] == 0.5
    assert measured.x[0] - measured.error_x.arrayminus[0] == pytest.approx(done.metrics.win_low)
    assert measured.x[0] + measured.error_x.array[0] == pytest.approx(done.metrics.win_high)
    assert measured.y[0] == "measured, n = 2"


def test_no_text_from_outside_reaches_a_figure_unescaped() -> None:
    evil = "<script>alert(1)</script>"
    done = finished(claims=Claims(source=evil, win_rate=0.5))
    bars = done.run.bars
    i = bar_at(bars, 1, 600)
    contract = done.run.trades[0].contract._replace(root=evil)
    done.run.trades[:] = [trade(bars, 1, i, i + 5, 100, legs=(Leg(contract, 1),), reason=evil)]
    for draw in EVERY:
        assert "<script" not in text_of(draw(done)).lower()


def test_a_fill_before_the_first_bar_of_the_view_is_clipped_to_its_edge(done: ScenarioRun) -> None:
    view = figures.candles(done.run.bars[:10], 1)
    early = np.array([view.start[0] - 5 * NS_PER_MINUTE])
    assert view.place(early).tolist() == [-0.5]
