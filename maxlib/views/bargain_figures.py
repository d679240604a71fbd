"""Trades that nobody could have made, on the chart: options below their exercise value, free packages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from maxlib.core.record import Floats
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york
from maxlib.research.autopsy import Bargain
from maxlib.research.run import ScenarioRun
from maxlib.views import theme
from maxlib.views.figures import Candles, base, candles, clock, date, fade
from maxlib.views.honesty_figures import nothing
from maxlib.views.tables import money

Rows = NDArray[np.void]

_BEFORE: Final = 20
"""Bars shown before an entry."""
_AFTER: Final = 12
_OUTSIDE: Final = 30


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
    view = candles(bars[max(0, b.bar - _BEFORE) : b.left + 1 + _AFTER], 1)
    _price(figure, view)
    paid = b.strike + side * b.premium
    entry, left = view.place(np.array([b.at, int(bars["ts"][b.left])], np.int64))
    outside, inside = ("bottom", "top") if side > 0 else ("top", "bottom")
    _level(figure, b.strike, f"strike {b.strike:g}", theme.TEXT, outside)
    _level(figure, paid, f"strike {'+' if side > 0 else '−'} premium = {paid:.2f}", theme.BLUE, inside)
    figure.add_shape(
        type="rect", x0=entry - 0.8, x1=entry + 0.8, y0=paid, y1=b.spot, row=1, col=1,
        fillcolor=fade(theme.AMBER, 0.35), line={"width": 0},
    )  # fmt: skip
    gift = f"{money(b.intrinsic - b.premium)} a share<br>for nothing"
    _note(figure, float(entry), (paid + b.spot) / 2, gift, theme.AMBER, -90, 0)
    made = theme.UP if b.pnl_usd > 0 else theme.DOWN
    _point(figure, float(entry), b.spot, "circle", f"in at {b.spot:.2f}", made, -side)
    booked = f"out, booked {money(b.pnl_usd, sign=True)}"
    _point(figure, float(left), float(bars["close"][b.left]), "square", booked, made, -side)
    _room(figure, view, b.strike)
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


class Package(NamedTuple):
    """A published trade in several legs.

    at, window_end : UTC ns; spot : dollars; net_usd : paid, negative = received; pnl_usd : as booked
    legs : (contracts, "C" or "P", strike) each; kind : the structure's name
    """

    at: int
    window_end: int
    spot: float
    kind: str
    legs: tuple[tuple[int, str, float], ...]
    net_usd: float
    pnl_usd: float

    def leg_names(self) -> list[str]:
        """Each leg as "−2 C638"."""
        return [f"{n:+d} {right}{strike:g}".replace("-", "−") for n, right, strike in self.legs]

    def name(self) -> str:
        """Kind and legs, as a trader says them."""
        return f"{self.kind.replace('_', ' ')} {' '.join(self.leg_names())}"

    def at_expiry(self, spot: Floats) -> Floats:
        """Profit or loss at expiry, the price included, dollars."""
        signs = {"C": 1.0, "P": -1.0}
        each = [n * np.maximum(0.0, signs[right] * (spot - strike)) for n, right, strike in self.legs]
        value: Floats = 100.0 * np.sum(each, axis=0) - self.net_usd
        return value


_LEG: Final = re.compile(r"([+-]\d+)([CP])(\d+(?:\.\d+)?)@")


def packages(trades: Sequence[Mapping[str, Any]]) -> list[Package]:
    """Rows of a published wave list as packages, the cheapest first.

    Parameters
    ----------
    trades : as `WaveAccounting.trades` gives them
    """
    made = []
    for row in trades:
        legs = tuple((int(n), right, float(strike)) for n, right, strike in _LEG.findall(row["legs"]))
        at, end = (_ns(row[name]) for name in ("entry_time", "window_end"))
        made.append(Package(at, end, row["spot"], row["structure"], legs, row["net_premium"], row["pnl"]))
    return sorted(made, key=lambda p: p.net_usd)


def plain(found: Sequence[Bargain] | Sequence[Package]) -> list[dict[str, Any]]:
    """Examples as JSON values."""
    return [one._asdict() for one in found]


def _ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def package(done: ScenarioRun, bars: Rows, found: Sequence[Package]) -> go.Figure:
    """The first of `found` on the chart: its strikes, and what it makes at expiry wherever the price goes."""
    if not found:
        return nothing(done, "Packages taken for a credit", "No trades")
    p = found[0]
    paid = (
        f"taken for a credit of {money(-p.net_usd)}" if p.net_usd <= 0 else f"bought for {money(p.net_usd)}"
    )
    when = f"{new_york(p.at):%-d %b %Y %H:%M}"
    figure = _example(done, f"{when}: {p.name()} {paid}, booked {money(p.pnl_usd, sign=True)}")
    first, last = np.searchsorted(bars["ts"] - NS_PER_MINUTE, [p.at, p.window_end])
    view = candles(bars[max(0, first - _BEFORE) : last + 1], 1)
    _price(figure, view)
    for leg, (_, _, strike) in zip(p.leg_names(), p.legs, strict=True):
        _level(figure, strike, leg, theme.VIOLET, "bottom")
    entry = float(view.place(np.array([p.at], np.int64))[0])
    _point(figure, entry, p.spot, "circle", f"in at {p.spot:.2f}", theme.BLUE, 1)
    _room(figure, view, *(strike for _, _, strike in p.legs))
    _payoff(figure, p)
    return figure


def _payoff(figure: go.Figure, p: Package) -> None:
    """Profit and loss at expiry over the price, in the right panel."""
    knees = [p.spot, *(strike for _, _, strike in p.legs)]
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
    figure.add_hline(y=0, line={"color": theme.MUTED, "width": 1}, row=1, col=2)
    figure.add_vline(x=p.spot, line={"color": theme.MUTED, "width": 1, "dash": "dot"}, row=1, col=2)
    figure.update_yaxes(tickformat="$,.0f", title_text="P&L at expiry, $", row=1, col=2)
    figure.update_xaxes(title_text="price at expiry (dotted: at the entry)", nticks=5, row=1, col=2)


# --- parts


def _example(done: ScenarioRun, title: str) -> go.Figure:
    panels = make_subplots(1, 2, column_widths=[0.72, 0.28], horizontal_spacing=0.09)
    figure = base(done, title, 420, panels)
    return figure.update_layout(showlegend=False)


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
    figure.update_yaxes(title_text="price, $", tickformat=",.2f", row=1, col=1)


def _room(figure: go.Figure, view: Candles, *levels: float) -> None:
    """A price axis over candles and levels, with room for the words outside them."""
    low, high = min(view.low.min(), *levels), max(view.high.max(), *levels)
    pad = 0.14 * (high - low)
    figure.update_yaxes(range=[low - pad, high + pad], row=1, col=1)


def _level(figure: go.Figure, y: float, text: str, colour: str, side: str) -> None:
    figure.add_hline(
        y=y, line={"color": colour, "width": 1, "dash": "dot"}, annotation_text=text,
        annotation_position=f"{side} right", annotation_font={"color": colour, "size": 11}, row=1, col=1,
    )  # fmt: skip


def _point(figure: go.Figure, x: float, y: float, symbol: str, text: str, colour: str, below: int) -> None:
    """A mark on the chart and its words, below it (+1) or above (-1)."""
    figure.add_scatter(
        x=[x], y=[y], mode="markers", hoverinfo="skip", row=1, col=1,
        marker={"symbol": symbol, "size": 9, "color": colour},
    )  # fmt: skip
    _note(figure, x, y, text, theme.TEXT, -40 if symbol == "circle" else 40, _OUTSIDE * below)


def _note(figure: go.Figure, x: float, y: float, text: str, colour: str, ax: int, ay: int) -> None:
    figure.add_annotation(
        text=text, x=x, y=y, ax=ax, ay=ay, arrowcolor=colour, arrowwidth=1, arrowhead=0, row=1, col=1,
        font={"color": colour, "size": 12}, bgcolor=fade(theme.PANEL, 0.8),
    )  # fmt: skip
