"""A claim's trades on the chart: options below their exercise value, packages below what a model asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york
from maxlib.research.autopsy import Bargain
from maxlib.research.run import ScenarioRun
from maxlib.views import theme
from maxlib.views.figures import Candles, base, candles, clock, date, fade
from maxlib.views.honesty_figures import nothing
from maxlib.views.packages import Package
from maxlib.views.tables import money

Rows = NDArray[np.void]

_BEFORE: Final = 20
"""Bars shown before an entry, at least; of a long trade a third of its bars, so that the words have room."""
_AFTER: Final = 12
_OUTSIDE: Final = 0.1
"""Room for words beyond the candles, as a share of the price axis."""


def bargain(done: ScenarioRun, bars: Rows, found: Sequence[Bargain]) -> go.Figure:
    """The first of `found` on the chart: strike, what was paid above it, and what exercise pays.

    Parameters
    ----------
    bars : BAR[n], those of the accounting that booked it
    found : as `autopsy.bargains` gives them
    """
    if not found:
        return nothing(done, "Options bought below intrinsic value", "No option was bought below it")
    b = found[0]
    side = 1 if b.right == "C" else -1
    kind = "call" if side > 0 else "put"
    title = (
        f"{new_york(b.at):%-d %b %Y %H:%M}: {kind} {b.strike:g} bought for {money(b.premium)} a share; "
        f"exercised at once it pays {money(b.intrinsic)}"
    )
    figure = _example(done, title)
    view = _around(bars, b.bar, b.left)
    _price(figure, view)
    paid = b.strike + side * b.premium
    entry, left = view.place(np.array([b.at, int(bars["ts"][b.left])], np.int64))
    outside, inside = ("bottom", "top") if side < 0 else ("top", "bottom")
    _level(figure, b.strike, f"strike {b.strike:g}", theme.TEXT, outside)
    sign = "+" if side > 0 else "−"
    _level(figure, paid, f"{sign} premium {paid:.2f}", theme.BLUE, inside)
    figure.add_shape(
        type="rect", x0=entry - 0.8, x1=entry + 0.8, y0=paid, y1=b.spot, row=1, col=1,
        fillcolor=fade(theme.AMBER, 0.35), line={"width": 0},
    )  # fmt: skip
    gift = f"{money(b.intrinsic - b.premium)} a share<br>for nothing"
    figure.add_annotation(
        text=gift, x=float(entry), y=(paid + b.spot) / 2, ax=-90, ay=0, row=1, col=1,
        arrowcolor=theme.AMBER, arrowwidth=1, arrowhead=0, font={"color": theme.AMBER, "size": 12},
        bgcolor=fade(theme.PANEL, 0.8),
    )  # fmt: skip
    made = theme.UP if b.pnl_usd > 0 else theme.DOWN
    words = _room(figure, view, -side, b.strike)  # in the money: a call's strike lies below
    _point(figure, (float(entry), b.spot), "circle", f"in at {b.spot:.2f}", theme.BLUE, words)
    booked = f"out, booked {money(b.pnl_usd, sign=True)}"
    _point(figure, (float(left), float(bars["close"][b.left])), "square", booked, made, words)
    figure.add_bar(
        x=["premium paid", "exercise pays"], y=[b.premium, b.intrinsic], width=0.6, hoverinfo="skip",
        text=[money(b.premium), money(b.intrinsic)], textposition="outside", cliponaxis=False,
        marker={"color": [theme.BLUE, theme.AMBER], "line": {"width": 0}}, row=1, col=2,
    )  # fmt: skip
    figure.update_yaxes(
        range=[0, 1.15 * b.intrinsic], tickformat="$,.2f", title_text="$ a share", row=1, col=2
    )
    figure.update_xaxes(showgrid=False, title_text="at the entry", row=1, col=2)
    return figure


def package(done: ScenarioRun, bars: Rows, found: Sequence[Package]) -> go.Figure:
    """The first of `found` on the chart: strikes, entry and exit, and what it makes at expiry."""
    if not found:
        return nothing(done, "Packages", "No trade: the claim's arithmetic booked none on these bars")
    p = found[0]
    paid = (
        f"taken for a credit of {money(-p.net_usd)}" if p.net_usd <= 0 else f"bought for {money(p.net_usd)}"
    )
    title = f"{new_york(p.at):%-d %b %Y %H:%M}: {p.name()} {paid}; {asking(done)} asks {money(p.model_usd)}"
    figure = _example(done, title)
    first, last = np.searchsorted(bars["ts"], [p.at + NS_PER_MINUTE, p.left])
    view = _around(bars, int(first), int(last))
    _price(figure, view)
    for leg, (_, _, strike, _) in zip(p.leg_names(), p.legs, strict=True):
        _level(figure, strike, leg, theme.VIOLET, "middle")
    entry, left = view.place(np.array([p.at, p.left], np.int64))
    words = _room(figure, view, 1 if p.legs[0][1] == "C" else -1, *(strike for _, _, strike, _ in p.legs))
    made = theme.UP if p.pnl_usd > 0 else theme.DOWN
    _point(figure, (float(entry), p.spot), "circle", f"in at {p.spot:.2f}", theme.BLUE, words)
    booked = f"out, booked {money(p.pnl_usd, sign=True)}"
    _point(figure, (float(left), p.left_spot), "square", booked, made, words)
    _payoff(figure, p)
    return figure


def asking(done: ScenarioRun) -> str:
    """The model of the scenario's desk, in words."""
    return "Black-Scholes (spec §12.1)" if done.scenario.desk.model == "spec" else "the modelled chain"


def plain(found: Sequence[Bargain] | Sequence[Package]) -> list[dict[str, Any]]:
    """Examples as JSON values."""
    return [one._asdict() for one in found]


def _payoff(figure: go.Figure, p: Package) -> None:
    """Profit and loss at expiry over the price, in the right panel."""
    knees = [p.spot, *(strike for _, _, strike, _ in p.legs)]
    # Fine steps, so that green and red part where the line crosses zero.
    spot = np.union1d(np.linspace(0.99 * min(knees), 1.01 * max(knees), 400), knees)
    made = p.at_expiry(spot)
    for colour, part in ((theme.UP, np.maximum(made, 0.0)), (theme.DOWN, np.minimum(made, 0.0))):
        figure.add_scatter(
            x=spot, y=part, mode="lines", line={"width": 0}, fill="tozeroy", fillcolor=fade(colour, 0.3),
            hoverinfo="skip", row=1, col=2,
        )  # fmt: skip
    figure.add_scatter(
        x=spot, y=made, mode="lines", line={"color": theme.TEXT, "width": 1.6}, name="at expiry",
        hovertemplate="at %{x:.2f}: $%{y:,.2f}<extra></extra>", row=1, col=2,
    )  # fmt: skip
    figure.add_scatter(
        x=spot, y=made + p.net_usd - p.model_usd, mode="lines", name="at the modelled price", row=1, col=2,
        line={"color": theme.VIOLET, "width": 1.2, "dash": "dash"},
        hovertemplate="bought at the modelled price: $%{y:,.2f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": theme.MUTED, "width": 1}, row=1, col=2)
    figure.add_vline(x=p.spot, line={"color": theme.MUTED, "width": 1, "dash": "dot"}, row=1, col=2)
    figure.update_yaxes(tickformat="$,.0f", title_text="P&L at expiry, $", row=1, col=2)
    figure.update_xaxes(
        title_text="price at expiry · dashed: bought at the modelled price", nticks=5, row=1, col=2
    )


# --- parts


def _example(done: ScenarioRun, title: str) -> go.Figure:
    panels = make_subplots(1, 2, column_widths=[0.7, 0.3], horizontal_spacing=0.13)
    figure = base(done, title, 420, panels)
    return figure.update_layout(showlegend=False, margin={"l": 72})


def _around(bars: Rows, entered: int, left: int) -> Candles:
    before = max(_BEFORE, (left - entered) // 3)
    return candles(bars[max(0, entered - before) : left + 1 + _AFTER], 1)


def _price(figure: go.Figure, view: Candles) -> None:
    """Grey one-minute candles with their times, in the left panel."""
    texts = [
        f"{date(d)}, {clock(m)}<br>open {o:.2f}, high {h:.2f}<br>low {l:.2f}, close {c:.2f}"
        for d, m, o, h, l, c in zip(
            view.date, view.minute, view.open, view.high, view.low, view.close, strict=True
        )
    ]
    figure.add_candlestick(
        x=np.arange(len(view.open)), open=view.open, high=view.high, low=view.low, close=view.close,
        hovertext=texts, hoverinfo="text", whiskerwidth=0, row=1, col=1,
        increasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.PANEL},
        decreasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.MUTED},
    )  # fmt: skip
    step = next(step for step in (5, 10, 15, 30, 60, 390) if len(view.open) <= 9 * step or step == 390)
    ticks = np.flatnonzero(view.minute % step == 0)
    figure.update_xaxes(
        tickvals=ticks, ticktext=[clock(view.minute[i]) for i in ticks], range=[-1, len(view.open)],
        title_text="New York time", rangeslider={"visible": False}, row=1, col=1,
    )  # fmt: skip
    # On the left: the strikes' names stand on the right, where no candle is.
    figure.update_yaxes(title_text="price, $", tickformat=",.2f", side="left", row=1, col=1)


def _room(figure: go.Figure, view: Candles, side: int, *levels: float) -> float:
    """A price axis over candles and levels; returns the height for words, beyond the candles.

    Parameters
    ----------
    side : +1 if the levels lie above the candles, so that words go below; -1 the other way round
    """
    below, above = float(view.low.min()), float(view.high.max())
    low, high = min(below, *levels), max(above, *levels)
    gap = _OUTSIDE * (high - low)
    words = below - gap if side > 0 else above + gap
    figure.update_yaxes(range=[min(low, words) - gap, max(high, words) + gap], row=1, col=1)
    return words


def _level(figure: go.Figure, y: float, text: str, colour: str, anchor: str) -> None:
    """A line over the whole width, named beside the plot."""
    figure.add_hline(y=y, line={"color": colour, "width": 1, "dash": "dot"}, row=1, col=1)
    figure.add_annotation(
        text=text, x=1.0, y=y, xref="x domain", yref="y", xanchor="left", yanchor=anchor, xshift=4,
        showarrow=False, font={"color": colour, "size": 11},
    )  # fmt: skip


def _point(
    figure: go.Figure, at: tuple[float, float], symbol: str, text: str, colour: str, words: float
) -> None:
    """A mark and its text at the height `words`: an entry's to the left, an exit's to the right."""
    x, y = at
    figure.add_scatter(
        x=[x], y=[y], mode="markers", hoverinfo="skip", row=1, col=1,
        marker={"symbol": symbol, "size": 9, "color": colour},
    )  # fmt: skip
    enters = symbol == "circle"
    figure.add_annotation(
        text=text, x=x, y=y, ax=-12 if enters else 12, ay=words, ayref="y", row=1, col=1,
        xanchor="right" if enters else "left", arrowcolor=theme.MUTED, arrowwidth=1, arrowhead=0,
        font={"color": theme.TEXT, "size": 12}, bgcolor=fade(theme.PANEL, 0.8),
    )  # fmt: skip
