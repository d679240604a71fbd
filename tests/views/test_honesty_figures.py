"""The honesty lab on screen: the fall, the chance, the band and the impossible trades, as made by hand."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.research.autopsy import Bargain
from maxlib.research.band import DELAY, SPREAD, VOLATILITY, Band, Cell
from maxlib.research.placebo import Placebo
from maxlib.research.run import ScenarioRun, result
from maxlib.research.scenario import Claims
from maxlib.views import bargain_figures, honesty_figures, honesty_tables
from maxlib.views.packages import Package
from maxlib.views.standing import Change, Standing
from tests.views.handmade import bar_at, finished

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
ACCOUNT = 25_000.0

# Published 2024 figures of the champion and of its study in the money, rounded: the collapses to be seen.
CHAMPION = [
    ("published", "as claimed", 587, 0.670, 181_000.0),
    ("confirmation", "enter after the last confirmation", 571, 0.630, 132_000.0),
    ("clock", "premium clock from today's open", 458, 0.227, -21_000.0),
    ("costs", "half-spread and commission", 458, 0.454, -18_500.0),
]
STUDY = [("published", "as claimed", 587, 0.779, 1_813_000.0), ("costs", "costs", 458, 0.515, -4_000.0)]
WAVE = [("published", "as claimed", 69, 0.957, 3_208.0), ("costs", "costs", 50, 0.44, -750.0)]
DEEP = [
    ("published", "as claimed", 9, 0.9, 50_000.0),
    ("a", "a", 9, 0.1, -90_000.0),
    ("b", "b", 9, 0.5, 900.0),
]


def fed(*each: float, **changes: Any) -> Placebo:
    """A placebo of these seeds; refused as its docstring says: mean above `critical` standard errors."""
    pnl = np.array(each)
    t = float(pnl.mean() / (pnl.std(ddof=1) / math.sqrt(len(pnl))))
    made = Placebo(
        accounting="published", seeds=len(pnl), trades=581.0, win_rate=0.6, pnl_usd=float(pnl.mean()),
        pnl_low=min(each), pnl_high=max(each), each=each, t=t, critical=2.54, refused=t > 2.54,
        own_trades=587, own_win_rate=0.67, own_pnl_usd=181_398.21, own_rank=1.0,
    )  # fmt: skip
    return replace(made, **changes)


RICH = fed(80_551.0, 98_000.0, 122_671.0, 101_000.0)
POOR = fed(-7_380.0, 892.0, -4_000.0, -3_990.0, accounting="honest", own_pnl_usd=-3_817.75)


def pnl_of(volatility: float, spread: float, delay: int) -> float:
    """A world's P&L: only the cheapest two make money."""
    return 1_510.0 - 4_000.0 * (volatility - 0.7) - 900.0 * spread - 500.0 * delay


def drawn(**changes: Any) -> Band:
    cells = tuple(Cell(v, s, d, 50, 0.38, pnl_of(v, s, d)) for v in VOLATILITY for s in SPREAD for d in DELAY)
    pnl = [cell.pnl_usd for cell in cells]
    made = Band(cells, min(pnl), max(pnl), sum(x > 0 for x in pnl) / len(pnl), -6.52, 4.18)
    return replace(made, **changes)


def cheap(done: ScenarioRun, right: str = "C") -> tuple[Any, Bargain]:
    """An option $5 in the money for $0.57, bought at the open of 10:00 of the second day, held 30 bars."""
    bars = done.run.bars
    i = bar_at(bars, 1, 600)
    spot = float(bars["open"][i])
    strike = spot - 5.0 if right == "C" else spot + 5.0
    at = int(bars["ts"][i]) - NS_PER_MINUTE
    return bars, Bargain(at, spot, strike, right, 0.57, 5.0, 1_234.5, i, i + 30)


def fly(done: ScenarioRun, **changes: Any) -> Package:
    """The fly of 30 October 2025, entered at 10:00 of the second day and left with the bar of 11:59."""
    bars = done.run.bars
    at, end = (bar_at(bars, 1, m) for m in (600, 719))
    made = Package(
        at=int(bars["ts"][at]) - NS_PER_MINUTE, left=int(bars["ts"][end]), spot=631.73,
        left_spot=float(bars["close"][end]), kind="broken_wing_fly",
        legs=((1, "C", 633.0, 5.8704), (-2, "C", 638.0, 5.0110), (1, "C", 645.0, 4.0149)),
        net_usd=-13.66, model_usd=54.32, pnl_usd=13.66, rule=None, why=None,
    )  # fmt: skip
    return made._replace(**changes)


def example(done: ScenarioRun) -> go.Figure:
    bars, one = cheap(done)
    return bargain_figures.bargain(done, bars, [one])


def free_fly(done: ScenarioRun) -> go.Figure:
    return bargain_figures.package(done, done.run.bars, [fly(done)])


EVERY: list[Callable[[ScenarioRun], go.Figure]] = [
    lambda done: honesty_figures.waterfall(done, CHAMPION, ACCOUNT, "title"),
    lambda done: honesty_figures.placebo_distribution(done, RICH),
    lambda done: honesty_figures.placebo_distribution(done, None),
    lambda done: honesty_figures.band(done, drawn()),
    lambda done: honesty_figures.band(done, None),
    lambda done: bargain_figures.bargain(done, done.run.bars, []),
    lambda done: bargain_figures.package(done, done.run.bars, []),
    example,
    free_fly,
]


@pytest.fixture(scope="module")
def done() -> ScenarioRun:
    return finished()


def text_of(figure: go.Figure) -> str:
    return json.dumps(json.loads(figure.to_json()), ensure_ascii=False)


def notes_of(figure: go.Figure) -> list[str]:
    return [note.text for note in figure.layout.annotations if note.name != "stamp"]


def of_kind(figure: go.Figure, kind: str) -> list[Any]:
    return [trace for trace in figure.data if trace.type == kind]


def named(figure: go.Figure, name: str) -> Any:
    (found,) = (trace for trace in figure.data if trace.name == name)
    return found


@pytest.mark.parametrize("draw", EVERY)
def test_what_is_simulated_is_stamped_in_title_and_picture(
    draw: Callable[[ScenarioRun], go.Figure], done: ScenarioRun
) -> None:
    figure = draw(done)
    assert "SIMULATED" in figure.layout.title.text
    assert [a.text for a in figure.layout.annotations if a.name == "stamp"] == ["SIMULATED"]


@pytest.mark.parametrize("draw", EVERY)
def test_real_bars_carry_no_stamp(draw: Callable[[ScenarioRun], go.Figure]) -> None:
    assert "SIMULATED" not in text_of(draw(finished(simulated=False)))


# --- waterfall


def test_each_bar_runs_from_the_figure_before_to_the_figure_after(done: ScenarioRun) -> None:
    bars = of_kind(honesty_figures.waterfall(done, CHAMPION, ACCOUNT, "t"), "bar")[0]
    assert list(bars.base) == [0.0, 181_000.0, 132_000.0, -21_000.0, 0.0]
    ends = [base + x for base, x in zip(bars.base, bars.x, strict=True)]
    assert ends == [181_000.0, 132_000.0, -21_000.0, -18_500.0, -18_500.0]
    claim, _, fall, gain, left = bars.marker.color
    assert len({claim, fall, gain, left}) == 4


def test_each_bar_is_named_and_says_once_what_it_changed(done: ScenarioRun) -> None:
    figure = honesty_figures.waterfall(done, CHAMPION, ACCOUNT, "t")
    rows = ["0 published", "1 confirmation", "2 clock", "3 costs", "left"]
    assert list(figure.layout.yaxis.ticktext) == rows
    texts = {note.y: note.text for note in figure.layout.annotations if "$" in (note.text or "")}
    assert [texts[y] for y in range(5)] == ["+$181,000", "−$49,000", "−$153,000", "+$2,500", "−$18,500"]


@pytest.mark.parametrize("steps", [CHAMPION, STUDY])
def test_an_end_too_small_to_be_seen_has_a_panel_of_its_own(done: ScenarioRun, steps: Any) -> None:
    figure = honesty_figures.waterfall(done, steps, ACCOUNT, "t")
    (low, high), near = figure.layout.xaxis.range, figure.layout.xaxis2.range
    assert low < steps[-1][4] < 0 < steps[0][4] < high
    assert near[0] < steps[-1][4] < 0 < near[1] < steps[0][4]
    # Seen: the end takes at least a fifth of the panel.
    assert abs(steps[-1][4]) > 0.2 * (near[1] - near[0])


def test_an_end_that_can_be_seen_has_not(done: ScenarioRun) -> None:
    figure = honesty_figures.waterfall(done, WAVE, ACCOUNT, "t")
    assert len(of_kind(figure, "bar")) == 1
    assert figure.layout.xaxis.range[0] < -750 < 3_208 < figure.layout.xaxis.range[1]


def test_a_bar_that_leaves_the_panel_is_marked_at_the_edge_where_it_leaves(done: ScenarioRun) -> None:
    figure = honesty_figures.waterfall(done, DEEP, ACCOUNT, "t")
    low, high = figure.layout.xaxis2.range
    left, right = (t for t in figure.data if t.name == "goes on" and t.xaxis == "x2")
    # Claim 0 to 50,000; then to -90,000; then to 900, which is left.
    assert (list(left.x), list(left.y)) == ([low] * 2, [1, 2])
    assert (list(right.x), list(right.y)) == ([high] * 2, [0, 1])
    assert all(len(t.x) == 0 for t in figure.data if t.name == "goes on" and t.xaxis == "x")


def test_the_loss_of_the_whole_account_is_drawn_where_it_is_in_sight(done: ScenarioRun) -> None:
    assert "account gone" in notes_of(honesty_figures.waterfall(done, CHAMPION, ACCOUNT, "t"))
    assert "account gone" not in notes_of(honesty_figures.waterfall(done, WAVE, ACCOUNT, "t"))


def test_without_a_trade_there_is_no_axis_but_a_sentence(done: ScenarioRun) -> None:
    steps = [("published", "as claimed", 0, float("nan"), 0.0), ("costs", "costs", 0, float("nan"), 0.0)]
    idle = Band(
        tuple(cell._replace(trades=0, pnl_usd=0.0) for cell in drawn().cells), 0.0, 0.0, 0.0, None, None
    )
    for figure, words in (
        (honesty_figures.waterfall(done, steps, ACCOUNT, "t"), "No trade, so nothing to put right"),
        (honesty_figures.band(done, idle), "No trade in any world"),
        (honesty_figures.placebo_distribution(done, replace(POOR, own_trades=0)), "No placebo"),
    ):
        assert any(words in note for note in notes_of(figure))
        assert figure.layout.xaxis.visible is False


def test_cents_are_not_written_as_thousandths(done: ScenarioRun) -> None:
    """d3's SI format would write half a dollar as $500m."""
    even = replace(POOR, each=(0.0,) * 4, pnl_usd=0.0, t=None, own_pnl_usd=0.0, refused=False)
    assert honesty_figures.placebo_distribution(done, even).layout.xaxis.tickformat == "$,.2f"
    steps = [("published", "as claimed", 1, 0.0, -0.4), ("costs", "costs", 1, 0.0, -0.5)]
    assert honesty_figures.waterfall(done, steps, ACCOUNT, "t").layout.xaxis.tickformat == "$,.2f"


# --- placebo


def test_each_seed_is_a_dot_and_a_loss_is_hollow(done: ScenarioRun) -> None:
    dots = named(honesty_figures.placebo_distribution(done, POOR), "seeds")
    assert list(dots.x) == [-7_380.0, -4_000.0, -3_990.0, 892.0]
    assert list(dots.marker.symbol) == ["circle-open"] * 3 + ["circle"]
    assert dots.y[1] != dots.y[2]  # $10 apart on an axis of thousands


def test_crowded_dots_stay_in_their_row(done: ScenarioRun) -> None:
    dots = named(honesty_figures.placebo_distribution(done, fed(*(x / 100 for x in range(200)))), "seeds")
    assert len(set(dots.y)) > 100
    assert 0.5 < min(dots.y) < max(dots.y) < 1.5


@pytest.mark.parametrize("one", [RICH, POOR])
def test_the_lower_bound_of_the_mean_lies_above_zero_if_and_only_if_refused(
    done: ScenarioRun, one: Placebo
) -> None:
    figure = honesty_figures.placebo_distribution(done, one)
    pnl = np.array(one.each)
    bound = pnl.mean() - 2.54 * pnl.std(ddof=1) / 2  # of four seeds
    assert named(figure, "bound").x[0] == pytest.approx(bound)
    assert named(figure, "mean").x[0] == pytest.approx(pnl.mean())
    assert bool(bound > 0) is one.refused
    assert ("REFUSED" in figure.layout.title.text) is one.refused


def test_the_own_figure_stands_beside_the_seeds_and_zero_is_in_sight(done: ScenarioRun) -> None:
    figure = honesty_figures.placebo_distribution(done, RICH)
    own = named(figure, "own")
    assert (own.x[0], own.text[0]) == (181_398.21, "+$181,398.21")
    low, high = figure.layout.xaxis.range
    assert low < 0 < 181_398.21 < high


def test_each_end_of_the_mean_has_its_figure_on_the_outside(done: ScenarioRun) -> None:
    figure = honesty_figures.placebo_distribution(done, POOR)
    mean, bound = named(figure, "mean"), named(figure, "bound")
    assert bound.x[0] < mean.x[0]
    assert (bound.textposition, mean.textposition) == ("middle left", "middle right")
    assert "−$3,619.50" in mean.text[0]
    assert figure.layout.xaxis.range[0] < bound.x[0]


def test_seeds_that_all_made_nothing_are_drawn(done: ScenarioRun) -> None:
    nothing = replace(POOR, each=(0.0,) * 4, pnl_usd=0.0, t=None, own_pnl_usd=0.0, refused=False)
    figure = honesty_figures.placebo_distribution(done, nothing)
    assert figure.layout.xaxis.range[0] < 0 < figure.layout.xaxis.range[1]


# --- band


def test_each_cell_stands_in_its_place_with_its_sign_in_words(done: ScenarioRun) -> None:
    maps = of_kind(honesty_figures.band(done, drawn()), "heatmap")
    assert len(maps) == len(DELAY)
    for delay, one in zip(DELAY, maps, strict=True):
        for s, spread in enumerate(SPREAD):
            for v, volatility in enumerate(VOLATILITY):
                expected = pnl_of(volatility, spread, delay)
                assert one.z[s][v] == expected
                assert one.text[s][v][0] == ("+" if expected > 0 else "−")
        assert one.zmin == -one.zmax  # no colour at zero


def test_the_central_world_is_framed_and_shown_on_the_strip(done: ScenarioRun) -> None:
    figure = honesty_figures.band(done, drawn())
    (frame,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert ((frame.x0 + frame.x1) / 2, (frame.y0 + frame.y1) / 2) == (2, 1)
    centre = named(figure, "central world")
    assert any("central world" in note for note in notes_of(figure))
    assert centre.x[0] == pytest.approx(1_510 - 1_200 - 900)
    (strip,) = (t for t in of_kind(figure, "scatter") if t.mode == "lines")
    # Best: volatility 0.7, half the spread, no delay. Worst: 1.3, twice, two bars.
    assert list(strip.x) == pytest.approx([1_510 - 2_400 - 1_800 - 1_000, 1_510 - 450])


def test_the_title_says_what_a_contract_could_bear(done: ScenarioRun) -> None:
    def title(**changes: Any) -> str:
        return str(honesty_figures.band(done, drawn(**changes)).layout.title.text)

    assert "costs $4.18 a contract there and back; loses $6.52 even without" in title()
    assert "costs $4.18 a contract there and back; breaks even at $7.00" in title(break_even_usd=7.0)
    assert "$" not in title(break_even_usd=None, paid_usd=None)


# --- impossible trades


@pytest.mark.parametrize(("right", "side"), [("C", 1), ("P", -1)])
def test_what_comes_for_nothing_lies_between_strike_with_premium_and_spot(
    done: ScenarioRun, right: str, side: int
) -> None:
    bars, one = cheap(done, right)
    figure = bargain_figures.bargain(done, bars, [one])
    (gift,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (gift.y0, gift.y1) == pytest.approx((one.strike + side * 0.57, one.spot))
    assert abs(gift.y1 - gift.y0) == pytest.approx(4.43)
    assert "$4.43 a share<br>for nothing" in notes_of(figure)
    # Entered at the open of the bar at x = 20; left at the close of the bar 30 later.
    (entry,), (left,) = (t.x for t in of_kind(figure, "scatter") if t.mode == "markers")
    assert (entry, left) == (19.5, 50.5)
    assert (gift.x0 + gift.x1) / 2 == entry
    assert list(of_kind(figure, "bar")[0].y) == [0.57, 5.0]
    kind = "call" if right == "C" else "put"
    assert f"{kind} {one.strike:g} bought for $0.57 a share" in figure.layout.title.text


def test_the_candles_are_the_bars_around_the_trade(done: ScenarioRun) -> None:
    bars, one = cheap(done)
    (price,) = of_kind(bargain_figures.bargain(done, bars, [one]), "candlestick")
    window = bars[one.bar - 20 : one.left + 13]
    np.testing.assert_array_equal(price.open, window["open"])
    np.testing.assert_array_equal(price.close, window["close"])


def test_a_trade_at_the_edge_of_the_tape_is_drawn(done: ScenarioRun) -> None:
    bars, one = cheap(done)
    first = one._replace(bar=2, left=5, at=int(bars["ts"][2]) - NS_PER_MINUTE)
    last = one._replace(bar=len(bars) - 3, left=len(bars) - 1, at=int(bars["ts"][-3]) - NS_PER_MINUTE)
    for edge in (first, last):
        (price,) = of_kind(bargain_figures.bargain(done, bars, [edge]), "candlestick")
        assert len(price.open) > 4


def test_the_payoff_of_a_package_is_drawn_with_its_knees_and_at_the_modelled_price(done: ScenarioRun) -> None:
    figure = free_fly(done)
    line, dear = named(figure, "at expiry"), named(figure, "at the modelled price")
    at = dict(zip(line.x, line.y, strict=True))
    assert at[638.0] == pytest.approx(513.66)
    assert at[633.0] == pytest.approx(13.66)
    assert (line.y - dear.y) == pytest.approx(54.32 + 13.66)
    title = figure.layout.title.text
    assert "taken for a credit of $13.66; the modelled chain asks $54.32" in title
    assert {"+1 C633", "−2 C638", "+1 C645"} <= set(notes_of(figure))


@pytest.mark.parametrize("right", ["C", "P"])
def test_entry_and_exit_are_marked_with_words_beyond_the_candles(done: ScenarioRun, right: str) -> None:
    one = fly(done)
    one = one._replace(legs=tuple((n, right, strike, paid) for n, _, strike, paid in one.legs))
    figure = bargain_figures.package(done, done.run.bars, [one])
    # Left at the close of the bar 119 after its own; a third of them, 39, are shown before.
    marks = [(t.x[0], t.y[0]) for t in of_kind(figure, "scatter") if t.mode == "markers"]
    assert marks == [(38.5, 631.73), (158.5, one.left_spot)]
    (price,) = of_kind(figure, "candlestick")
    heights = [
        note.ay for note in figure.layout.annotations if (note.text or "").startswith(("in at", "out, "))
    ]
    assert len(heights) == 2
    assert all(y < min(price.low) if right == "C" else y > max(price.high) for y in heights)
    low, high = figure.layout.yaxis.range
    assert all(low < y < high for y in heights)


def test_strikes_are_named_beside_the_plot_where_no_candle_is(done: ScenarioRun) -> None:
    strikes = [note for note in free_fly(done).layout.annotations if (note.text or "")[1:3] in ("1 ", "2 ")]
    assert len(strikes) == 3
    assert all((note.x, note.xref, note.xanchor) == (1.0, "x domain", "left") for note in strikes)


# --- tables

SHIPPED = Standing("baseline_2025", "published", original=True, changes=(), shipped=True)
OTHER = Standing("demo_calm", "published", original=False, changes=(), shipped=True)


def published(**figures: Any) -> dict[str, Any]:
    made = {"trades": 69, "wins": 66, "win_rate": 0.9565, "pnl_usd": 3208.18, "return_share": 0.1283,
            "account_usd": ACCOUNT}  # fmt: skip
    return {"accounting": "published", "notes": ["nobody could"], "figures": {**made, **figures}}


def test_the_head_shows_no_figure_and_lists_what_is_overridden() -> None:
    claims = Claims(source="a report", trades=23, win_rate=0.957, pnl_usd=3208.01)
    values = result(finished(claims=claims))
    plain = honesty_tables.head(values, SHIPPED)
    assert "$" not in plain
    assert "%" not in plain
    assert "OVERRIDDEN" not in plain
    changed = SHIPPED._replace(changes=(Change("published.wave.scaling", True, False),), original=False)
    html = honesty_tables.head(values, changed)
    assert "OVERRIDDEN" in html
    assert "published.wave.scaling = false (shipped: true)" in html


def test_the_claim_stands_beside_its_reproduction_with_what_is_known_of_the_difference() -> None:
    claims = Claims(source="a report", trades=23, win_rate=0.957, pnl_usd=3208.01)
    html = honesty_tables.claim(result(finished(claims=claims)), published(), SHIPPED, RICH)
    assert "69 trades, 95.7 % won, P&amp;L +$3,208.18 (+12.8 % of the account)" in html
    assert "Not to be believed" in html
    trades, rate, pnl = html.split("<tr>")[2:5]
    for line, parts in (
        (trades, (">23<", ">69<", ">+46<", "printed trades per month")),
        (rate, (">95.7 %<", "0.0 points")),
        (pnl, ("$3,208.01", "$3,208.18", "+$0.17")),
    ):
        for part in parts:
            assert part in line
    assert "reproduced − claimed" in html
    assert "Claim: a report." in html


def test_on_other_bars_nothing_is_reproduced() -> None:
    claims = Claims(source="a report", trades=23)
    html = honesty_tables.claim(result(finished(claims=claims)), published(), OTHER, POOR)
    assert "here − claimed" in html
    assert "reproduced" not in html
    assert "not the bars and switches of what was published" in html


def test_a_study_is_not_held_against_the_claim_of_another_accounting() -> None:
    values = result(finished(claims=Claims(source="a report", pnl_usd=3208.01)))
    html = honesty_tables.claim(values, {**published(), "accounting": "published_itm"}, SHIPPED, RICH)
    assert "$3,208.01" not in html
    assert "names no claim of this accounting" in html


def test_a_published_run_without_trades_says_so_and_has_no_win_rate_to_compare() -> None:
    values = result(finished(claims=Claims(source="a report", win_rate=0.95)))
    html = honesty_tables.claim(values, published(trades=0, win_rate=None), SHIPPED, RICH)
    assert "No trade: the claim&#x27;s arithmetic books nothing" in html
    assert "won" not in html
    assert html.split("<tr>")[3].count("<td>–</td>") == 2


def test_every_placebo_has_a_box_and_only_a_refusal_is_red() -> None:
    refused, fair = honesty_tables.placebo(RICH), honesty_tables.placebo(POOR)
    assert 'class="verdict bad"><b>REFUSED</b>' in refused
    assert 'class="verdict good"><b>not refused</b>' in fair
    for none in (None, replace(POOR, own_trades=0)):
        assert 'class="verdict plain"><b>no placebo</b>' in honesty_tables.placebo(none)


def test_the_placebo_and_the_band_are_told_in_the_pages_own_numbers() -> None:
    html = honesty_tables.placebo(POOR)
    assert "4 seeds of 581 coin flips: 60.0 % won" in html
    assert "mean P&amp;L −$3,619.50 (−$7,380.00 to +$892.00)" in html
    assert "not above the bound of 2.54" in html
    told = honesty_tables.band(drawn())
    # Worst: volatility 1.3, spread twice, two bars. Best: 0.7, half, none.
    assert "45 worlds of volatility, spread and delay: P&amp;L −$3,690.00 to +$1,060.00" in told
    assert "loses $6.52 a contract even without costs" in told
    assert "breaks even at $7.00 a contract there and back, pays $4.18" in honesty_tables.band(
        drawn(break_even_usd=7.0)
    )
    assert "No band" in honesty_tables.band(None)


def test_the_waterfall_table_tells_what_each_cause_changed() -> None:
    html = honesty_tables.waterfall(CHAMPION, ACCOUNT, SHIPPED)
    lines = html.split("<tr>")[2:]
    assert ">–</td>" in lines[0]
    assert "as published" in lines[0]
    for part in ("2 clock", "−$153,000.00", "−$21,000.00", "−84.0 %", "22.7 %", ">458<"):
        assert part in lines[2]
    assert "+$2,500.00" in lines[3]
    assert "the claim&#x27;s arithmetic on these bars" in honesty_tables.waterfall(CHAMPION, ACCOUNT, OTHER)


def test_the_waterfalls_end_stands_beside_the_machines_own_run() -> None:
    done = finished()
    assert "long options at the money" in honesty_tables.another_run(done.scenario)
    html = honesty_tables.side_by_side(WAVE, ACCOUNT, result(done))
    for part in ("after 1 repairs", ">50<", "44.0 %", "−$750.00", "−3.0 %", ">2<", "+$70.00", "+0.3 %"):
        assert part in html


def test_options_below_exercise_value_are_counted_of_their_own_accounting(done: ScenarioRun) -> None:
    _, one = cheap(done)
    head = honesty_tables.examples(done, [one] * 20, 587)
    assert "Trades that nobody could have made" in head
    assert "20 of this accounting&#x27;s 587 options" in head
    table = honesty_tables.bargains([one] * 20, done)
    assert table.count("<tr>") == 13
    assert table.count("<code>BELOW_INTRINSIC</code>") == 12
    assert "Not trades of this page" in honesty_tables.study([one], 587)
    assert "0 of this accounting" in honesty_tables.examples(done, [], 587)


def test_packages_that_break_no_bound_are_not_called_impossible(done: ScenarioRun) -> None:
    dear = fly(done, net_usd=7.66, model_usd=30.0)
    head = honesty_tables.examples(done, [fly(done), dear], 2)
    assert "Trades at prices that the model made" in head
    assert "nobody could" not in head
    assert "even the 1 taken for nothing or for a credit" in head
    assert "All 2 packages together were booked at −$6.00; the modelled chain asks $84.32" in head
    table = honesty_tables.packages([fly(done), dear], done)
    assert ">−$13.66<" in table
    assert ">$54.32<" in table
    assert table.count(">none<") == 2


def test_packages_that_break_a_bound_are_named(done: ScenarioRun) -> None:
    free = fly(done, rule="BUTTERFLY_CONVEXITY", why="fly ... breaks butterfly convexity")
    head = honesty_tables.examples(done, [free, fly(done)], 2)
    assert "Trades that nobody could have made" in head
    assert "1 of 2 packages break a bound" in head
    assert "<code>BUTTERFLY_CONVEXITY</code>" in honesty_tables.packages([free], done)


def test_without_trades_there_is_no_example(done: ScenarioRun) -> None:
    assert "No trade, so no example." in honesty_tables.examples(done, [], 0)


def test_differences_are_those_of_this_page_alone() -> None:
    html = honesty_tables.differences(SHIPPED)
    assert "−$32 and −$750" in html
    assert "<code>model</code>" in html
    assert "−51.5 %" not in html
    for other in (OTHER, SHIPPED._replace(shipped=False)):
        assert "<li>" not in honesty_tables.differences(other)


def test_no_text_from_outside_reaches_page_or_figure_unescaped(done: ScenarioRun) -> None:
    steps = [(EVIL, EVIL, 1, 1.0, 1.0)]
    evil = {**result(finished(claims=Claims(source=EVIL, pnl_usd=1.0))), "title": EVIL}
    evil["config"]["about"] = EVIL
    warned = {**published(), "accounting": EVIL, "notes": [EVIL]}
    found = [fly(done, kind=EVIL, why=EVIL, rule=EVIL)]
    changed = OTHER._replace(changes=(Change(EVIL, EVIL, EVIL),))
    for text in (
        text_of(honesty_figures.waterfall(done, steps, ACCOUNT, EVIL)),
        text_of(honesty_figures.placebo_distribution(done, replace(RICH, accounting=EVIL))),
        text_of(bargain_figures.package(done, done.run.bars, found)),
        honesty_tables.waterfall(steps, ACCOUNT, SHIPPED),
        honesty_tables.packages(found, done),
        honesty_tables.placebo(replace(RICH, accounting=EVIL)),
        honesty_tables.head(evil, changed),
        honesty_tables.claim(evil, published(), SHIPPED, RICH),
        honesty_tables.claim(evil, warned, OTHER, RICH),
    ):
        assert "<script" not in text
        assert "<img" not in text
