"""Figures of a daily report. Each takes the whole `Daily`, so that none can be drawn without its stamp."""

from __future__ import annotations

from html import escape
from typing import Final

import numpy as np
import plotly.graph_objects as go

from maxlib.market.bars import RTH_CLOSE
from maxlib.market.calendar import new_york
from maxlib.research.daily import Daily
from maxlib.research.drift import BOUND, Compared
from maxlib.views import theme
from maxlib.views.figures import DAY_FROM, Candles, candles, clock, fade, say
from maxlib.views.tables import money

_COLOURS: Final = {"within": theme.UP, "drift": theme.DOWN, "not_enough": theme.AMBER, None: theme.MUTED}
_REACH: Final = (0.3, 3.0)
"""The drift axis shows at least, and at most, so much either way; an arrow goes on beyond it."""


def base(report: Daily, name: str, height: int) -> go.Figure:
    """An empty figure with title and stamp."""
    label = escape(report.today.label)
    figure = go.Figure()
    figure.update_layout(
        template=theme.TEMPLATE, height=height, hovermode="closest",
        title={"text": f'<b style="color:{theme.AMBER}">{label}</b> · {escape(name)}', "x": 0.0,
               "xref": "container", "xanchor": "left", "y": 1.0, "yref": "container", "yanchor": "top",
               "pad": {"t": 14, "l": 16}},
        margin={"l": 16, "r": 76, "t": 68, "b": 56},
        legend={"orientation": "h", "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    figure.add_annotation(
        text=label, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, textangle=-14,
        font={"size": 84, "color": theme.AMBER}, opacity=0.07, name="stamp",
    )  # fmt: skip
    figure.update_xaxes(zeroline=False)
    return figure.update_yaxes(zeroline=False, side="right")


def drift(report: Daily) -> go.Figure:
    """How far each figure is from the backtest's, in per cent of it, with its 95 % interval and the bound."""
    rows = [f for f in report.figures if f.low is not None and f.expected]
    name = "Actual against expected, with the 95 % interval of the difference"
    figure = base(report, name, 300 if rows else 150)
    if not rows:
        say(figure, "Too few trades and sessions for an interval")
        return figure.update_xaxes(visible=False).update_yaxes(visible=False)
    spans = [_relative(one) for one in rows]
    reach = min(_REACH[1], max(_REACH[0], *(abs(x) * 1.1 for span in spans for x in span)))
    names = [f.name for f in rows]
    figure.add_vrect(-BOUND, BOUND, fillcolor=fade(theme.UP, 0.13), line_width=0, layer="below")
    figure.add_vline(0.0, line={"color": theme.MUTED, "width": 1, "dash": "dot"})
    for one, name, (low, middle, high) in zip(rows, names, spans, strict=True):
        colour = _COLOURS[one.verdict]
        figure.add_scatter(
            x=np.clip([low, high], -reach, reach), y=[name, name], mode="lines+markers", hoverinfo="skip",
            line={"color": colour, "width": 3},
            marker={"size": 11, "color": colour, "symbol": [
                "triangle-left" if low < -reach else "line-ns",
                "triangle-right" if high > reach else "line-ns",
            ], "line": {"width": 2, "color": colour}},
        )  # fmt: skip
        if abs(middle) <= reach:
            figure.add_scatter(
                x=[middle], y=[name], mode="markers", marker={"size": 13, "color": colour}, hoverinfo="text",
                hovertext=f"{escape(name)}: {_percent(middle)} ({_percent(low)} to {_percent(high)})",
            )  # fmt: skip
    figure.update_xaxes(
        range=[-1.04 * reach, 1.04 * reach],
        tickformat="+.0%",
        title_text="difference, of the expected figure",
    )
    figure.update_yaxes(
        side="left", categoryorder="array", categoryarray=names[::-1], range=[-0.6, len(names) - 0.4],
        showgrid=False, tickfont={"size": 13, "color": theme.TEXT},
    )  # fmt: skip
    return figure.update_layout(showlegend=False, margin={"l": 150, "r": 32, "t": 52, "b": 52})


def _relative(one: Compared) -> tuple[float, float, float]:
    """Low end, difference and high end, of the expected figure's size."""
    assert one.low is not None
    assert one.high is not None
    assert one.actual is not None
    assert one.expected
    size = abs(one.expected)
    return one.low / size, (one.actual - one.expected) / size, one.high / size


def _percent(value: float) -> str:
    return f"{value:+.0%}".replace("-", "−")


def day(report: Daily) -> go.Figure:
    """The day in one-minute candles: signals taken and denied, trades by profit and loss."""
    today = report.today
    symbol = today.scenario.data.symbol
    figure = base(report, f"{symbol}, 1-minute candles of {today.date:%A, %-d %B %Y}", 560)
    regular = (today.bars["minute"] >= DAY_FROM) & (today.bars["minute"] < RTH_CLOSE)
    bars = today.bars[regular] if regular.any() else today.bars
    if not len(bars):
        say(figure, "No bar came")
        return figure.update_xaxes(visible=False).update_yaxes(visible=False)
    view = candles(bars, 1)
    figure.add_candlestick(
        x=np.arange(len(view.open)), open=view.open, high=view.high, low=view.low, close=view.close,
        name="price", whiskerwidth=0, hoverinfo="text",
        hovertext=[
            f"{clock(m)}<br>open {o:.2f}, high {h:.2f}<br>low {l:.2f}, close {c:.2f}"
            for m, o, h, l, c in zip(view.minute, view.open, view.high, view.low, view.close, strict=True)
        ],
        increasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.PANEL},
        decreasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.MUTED},
    )  # fmt: skip
    _signals(figure, report, view)
    _trades(figure, report, view)
    ticks = np.flatnonzero(view.minute % 30 == 0)
    figure.update_xaxes(
        tickmode="array", tickvals=ticks, ticktext=[clock(view.minute[i]) for i in ticks],
        range=[-1, len(view.open)], title_text="New York time", rangeslider={"visible": False},
    )  # fmt: skip
    return figure.update_yaxes(title_text="price, $", tickformat=",.2f")


def _signals(figure: go.Figure, report: Daily, view: Candles) -> None:
    """Filled where it became an order, hollow where it was denied."""
    denied = {one.ts: one.code for one in report.today.denied}
    pad = 0.02 * float(view.high.max() - view.low.min())
    for taken in (True, False):
        part = [(ts, side) for ts, side in report.today.signals if (ts not in denied) is taken]
        if not part:
            continue
        at = view.find(np.array([ts for ts, _ in part], np.int64))
        sides = np.array([side for _, side in part])
        figure.add_scatter(
            x=at, y=np.where(sides > 0, view.low[at] - pad, view.high[at] + pad), mode="markers",
            name=f"{'signal' if taken else 'signal, denied'} ({len(part)})", hoverinfo="text",
            marker={
                "size": 10, "color": theme.BLUE if taken else theme.AMBER, "line": {"width": 1.6},
                "symbol": [f"triangle-{'up' if s > 0 else 'down'}{'' if taken else '-open'}" for s in sides],
            },
            hovertext=[
                f"signal for {'calls' if s > 0 else 'puts'}, {new_york(ts):%H:%M}<br>"
                f"{escape(denied.get(ts, 'taken'))}"
                for ts, s in part
            ],
        )  # fmt: skip


def _trades(figure: go.Figure, report: Daily, view: Candles) -> None:
    for name, won, colour in (("profit", True, theme.UP), ("loss", False, theme.DOWN)):
        part = [t for t in report.today.trades if (t.pnl_cents > 0) is won]
        for n, t in enumerate(part):
            text = (
                f"<b>#{t.number}: {t.quantity} × {escape(t.contract)}</b><br>"
                f"in {new_york(t.entry_at):%H:%M} at {money(t.entry_cents / 100)}, "
                f"out {new_york(t.exit_at):%H:%M} at {money(t.exit_cents / 100)}<br>"
                f"<b>P&L {money(t.pnl_cents / 100, sign=True)}</b>"
            )
            figure.add_scatter(
                x=view.place(np.array([t.entry_at, t.exit_at], np.int64)), y=[t.entry_spot, t.exit_spot],
                mode="lines+markers", name=f"{name} ({len(part)})", legendgroup=name, showlegend=n == 0,
                line={"color": colour, "width": 2}, marker={"size": 8, "color": colour,
                                                            "symbol": ["circle", "square"]},
                hovertext=[text, text], hoverinfo="text",
            )  # fmt: skip
