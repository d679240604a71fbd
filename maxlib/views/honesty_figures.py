"""Figures of the honesty lab: how a claim falls to the honest figure, and what chance makes of it.

As in `figures`, every figure takes the `ScenarioRun`, so that none can be drawn without its
SIMULATED stamp. Amber is what was claimed, blue what was measured; green and red are money won
and lost. A sign never hangs on its colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from maxlib.core.record import Floats
from maxlib.research.band import DELAY, SPREAD, VOLATILITY, Band, Cell
from maxlib.research.placebo import LEVEL, Placebo
from maxlib.research.run import ScenarioRun
from maxlib.views import theme
from maxlib.views.figures import base, fade, say, usd_ticks
from maxlib.views.tables import money, share

Step = tuple[str, str, int, float, float]
"""A step of `autopsy.waterfall`: name, cause, trades, win rate, P&L in dollars."""

_ROW_PX: Final = 34
_LABELS_PX: Final = 150
_SMALL: Final = 0.15
"""Steps below this share of the highest one cannot be told from zero: they get a panel of their own."""
_DOTS: Final = 0.42
"""How far the dots of a row may stand from its middle, in rows."""


# --- waterfall


def waterfall(done: ScenarioRun, steps: Sequence[Step], account_usd: float, title: str) -> go.Figure:
    """What each cause took or gave, one a row, from the claim's P&L to what is left of its trades.

    Two panels with honest linear axes, if the end would be too small to be seen beside the claim:
    the whole range, and the neighbourhood of zero. Counts and win rates are in the table below.

    Parameters
    ----------
    steps : as `autopsy.waterfall` gives them, the claim first
    account_usd : before the first trade
    """
    if not any(trades for _, _, trades, _, _ in steps):
        return nothing(done, title, "No trade, so nothing to put right")
    level = np.array([step[4] for step in steps])
    near = _near_zero(level)
    names = [f"{number} {escape(name)}" for number, (name, *_) in enumerate(steps)] + ["left"]
    figure = make_subplots(
        1, 1 if near is None else 2, shared_yaxes=True, horizontal_spacing=0.06,
        column_widths=[1.0] if near is None else [0.58, 0.42],
    )  # fmt: skip
    base(done, title, 124 + _ROW_PX * len(names), figure)
    low, high = min(0.0, float(level.min())), max(0.0, float(level.max()))
    pad = 0.12 * (high - low) or 1.0
    hover = [f"{escape(name)}: {money(pnl)}" for name, _, _, _, pnl in steps] + [f"left: {money(level[-1])}"]
    whole = (low - pad, high + pad)
    _bars(figure, level, hover, whole, 1)
    if near is not None:
        _bars(figure, level, hover, near, 2)
    _bar_texts(figure, level, whole, near)
    if (near or whole)[0] <= -account_usd:
        _account_gone(figure, account_usd, 1 if near is None else 2)
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))), ticktext=names, side="left",
        showgrid=False, title_text="", tickfont={"size": 12, "color": theme.TEXT},
    )  # fmt: skip
    figure.update_xaxes(title_text="P&L, $" if near is None else "P&L, $: all of it", row=1, col=1)
    if near is not None:
        figure.update_xaxes(title_text="P&L, $: around zero (▸ goes on)", row=1, col=2)
    return figure.update_layout(
        showlegend=False, barmode="overlay", margin={"l": _LABELS_PX, "r": 40, "t": 72, "b": 52}
    )


def _bars(
    figure: go.Figure, level: Floats, hover: Sequence[str], span: tuple[float, float], column: int
) -> None:
    """Each bar from the P&L before to the P&L after; claim and end from zero. Marks where one leaves."""
    before = np.concatenate(([0.0], level[:-1], [0.0]))
    after = np.append(level, level[-1])
    rows = np.arange(len(after))
    figure.add_bar(
        x=after - before, base=before, y=rows, orientation="h", width=0.56, hovertext=hover, hoverinfo="text",
        marker={"color": _step_colours(after - before), "line": {"width": 0}}, row=1, col=column,
    )  # fmt: skip
    for y, x in enumerate(level):  # to the row below, where the next bar begins
        figure.add_scatter(
            x=[x, x], y=[y, y + 1], mode="lines", hoverinfo="skip", row=1, col=column,
            line={"color": theme.MUTED, "width": 1, "dash": "dot"},
        )  # fmt: skip
    for edge, symbol, beyond in (
        (span[0], "triangle-left", np.minimum(before, after) < span[0]),
        (span[1], "triangle-right", np.maximum(before, after) > span[1]),
    ):
        figure.add_scatter(
            x=np.full(int(beyond.sum()), edge), y=rows[beyond], mode="markers", name="goes on",
            marker={"symbol": symbol, "size": 9, "color": theme.MUTED}, cliponaxis=False, hoverinfo="skip",
            row=1, col=column,
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": theme.TEXT, "width": 1}, row=1, col=column)
    figure.update_xaxes(range=span, tickformat=usd_ticks(span), nticks=5, row=1, col=column)


def _near_zero(level: Floats) -> tuple[float, float] | None:
    """A range that shows the steps near zero, if there are some beside much larger ones."""
    small = level[np.abs(level) < _SMALL * np.abs(level).max()]
    if len(small) == 0 or abs(level[-1]) > abs(small).max():
        return None
    low, high = min(0.0, float(small.min())), max(0.0, float(small.max()))
    pad = 0.35 * (high - low) or 1.0
    return low - pad, high + pad


def _step_colours(change: Floats) -> list[str]:
    """Amber the claim, blue what is left, between them green and red by what a cause gave or took."""
    inner = [theme.UP if c > 0 else theme.DOWN for c in change[1:-1]]
    return [theme.AMBER, *inner, theme.BLUE]


def _account_gone(figure: go.Figure, account_usd: float, column: int) -> None:
    figure.add_vline(
        x=-account_usd, line={"color": theme.DOWN, "width": 1, "dash": "dash"}, row=1, col=column
    )
    figure.add_annotation(
        text="account gone", x=-account_usd, y=1.0, xref="x" if column == 1 else "x2", yref="paper",
        yanchor="bottom", showarrow=False, font={"size": 11, "color": theme.DOWN},
    )  # fmt: skip


def _bar_texts(
    figure: go.Figure, level: Floats, whole: tuple[float, float], near: tuple[float, float] | None
) -> None:
    """The change beside each bar, the P&L beside the first and the last: once, where it is seen best."""
    before, after = np.concatenate(([0.0], level[:-1], [0.0])), np.append(level, level[-1])
    for y, (start, end) in enumerate(zip(before.tolist(), after.tolist(), strict=True)):
        low, high = min(start, end), max(start, end)
        inside = near is not None and near[0] <= low and high <= near[1]
        span = near if near is not None and inside else whole
        # Beside the bar where there is more room, so that no text leaves the panel.
        right = span[1] - high >= low - span[0]
        figure.add_annotation(
            text=_dollars(end - start), x=high if right else low, y=y, xref="x2" if inside else "x", yref="y",
            xanchor="left" if right else "right", xshift=6 if right else -6, showarrow=False,
            font={"size": 12, "color": theme.TEXT}, bgcolor=fade(theme.PANEL, 0.8),
        )  # fmt: skip


def _dollars(value: float) -> str:
    """Whole dollars with their sign.

    >>> _dollars(181_398.21), _dollars(-49_298.64), _dollars(0.2)
    ('+$181,398', '−$49,299', '$0')
    """
    mark = "+" if value > 0 else "−"
    return f"{mark}${abs(value):,.0f}" if round(value) else "$0"


def signed_share(value: float) -> str:
    """A share with its sign, as per cent.

    >>> signed_share(7.2559), signed_share(-0.744), signed_share(0.0)
    ('+725.6 %', '−74.4 %', '0.0 %')
    """
    text = f"{100 * value:+,.1f} %"
    return text[1:] if float(text[1:-2].replace(",", "")) == 0.0 else text.replace("-", "−")


# --- placebo


def placebo_distribution(done: ScenarioRun, placebo: Placebo | None) -> go.Figure:
    """Each seed's P&L, their mean, and the strategy's own, against zero.

    The accounting is refused if the lower bound of the mean lies above zero.
    """
    if placebo is None or not placebo.own_trades:
        return nothing(done, "Placebo", "No placebo: there were no trades to imitate")
    word = f" · <b style='color:{theme.DOWN}'>REFUSED</b>" if placebo.refused else " · not refused"
    figure = base(
        done, f"Placebo: coin flips through the {placebo.accounting.replace('_', ' ')} accounting", 280
    )
    figure.layout.title.text += word
    rows = (
        f"the strategy's own {placebo.own_trades:,} trades",
        f"{placebo.seeds} seeds of {placebo.trades:,.0f} coin flips",
        f"their mean, with its {100 * (1 - LEVEL):g} % lower bound",
    )
    pnl = np.sort(np.array(placebo.each))
    error = placebo.pnl_usd / placebo.t if placebo.t else 0.0
    bound = placebo.pnl_usd - placebo.critical * error
    span = _around([*pnl, placebo.own_pnl_usd, bound])
    figure.add_scatter(
        x=pnl, y=1 + _spread(pnl, 0.013 * (span[1] - span[0])), mode="markers", cliponaxis=False,
        hovertext=[money(x, sign=True) for x in pnl], hoverinfo="text", name="seeds",
        marker={
            "size": 9, "color": [theme.UP if x > 0 else theme.DOWN for x in pnl],
            "symbol": ["circle" if x > 0 else "circle-open" for x in pnl], "line": {"width": 1.5},
        },
    )  # fmt: skip
    own = theme.BLUE if placebo.accounting == "honest" else theme.AMBER
    _marked(figure, "own", placebo.own_pnl_usd, 2, "diamond", own, "top center", "")
    figure.add_scatter(
        x=[bound, placebo.pnl_usd], y=[0, 0], mode="lines", hoverinfo="skip",
        line={"color": theme.TEXT, "width": 2.5},
    )  # fmt: skip
    # Each end has its figure on the outside: one label over the bar could be either's.
    _marked(figure, "mean", placebo.pnl_usd, 0, "circle", theme.TEXT, "middle right", "   mean ")
    _marked(figure, "bound", bound, 0, "line-ns-open", theme.TEXT, "middle left", "", "   ")
    figure.add_vline(x=0, line={"color": theme.TEXT, "width": 1})
    figure.update_xaxes(title_text="P&L of the whole period, $", tickformat=usd_ticks(span), range=span)
    figure.update_yaxes(
        side="left", tickvals=[2, 1, 0], ticktext=rows, range=[-0.6, 2.7], showgrid=False,
        tickfont={"size": 12, "color": theme.TEXT},
    )  # fmt: skip
    return figure.update_layout(showlegend=False, margin={"l": 240, "r": 40})


def _marked(
    figure: go.Figure, name: str, x: float, y: int, symbol: str, colour: str, place: str, before: str,
    after: str = "",
) -> None:  # fmt: skip
    """One figure as a mark with its amount beside it."""
    text = money(x, sign=True)
    figure.add_scatter(
        x=[x], y=[y], mode="markers+text", name=name, text=[f"{before}{text}{after}"], textposition=place,
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2}}, cliponaxis=False,
        hoverinfo="text", hovertext=text,
    )  # fmt: skip


def _spread(ordered: Floats, width: float) -> Floats:
    """Heights that keep neighbours apart: those nearer than `width` stand above each other."""
    place = np.zeros(len(ordered))
    stacked, left = 0, ordered[0]
    for i, x in enumerate(ordered[1:], start=1):
        stacked, left = (stacked + 1, left) if x - left < width else (0, x)
        place[i] = 0.16 * ((stacked + 1) // 2) * (-1) ** stacked
    tallest = np.abs(place).max()
    spread: Floats = place * min(1.0, _DOTS / tallest) if tallest else place
    return spread


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A range over all values and zero, with room for labels."""
    low, high = min(0.0, *values), max(0.0, *values)
    pad = 0.1 * (high - low) or 1.0
    return low - pad, high + pad


# --- band


def band(done: ScenarioRun, band: Band | None) -> go.Figure:
    """The P&L of all worlds: as one band, and as a map of volatility and spread for each delay."""
    if band is None or not any(cell.trades for cell in band.cells):
        return nothing(done, "Band", "No band was computed" if band is None else "No trade in any world")
    heads = [f"delay: {delay} more bar{'' if delay == 1 else 's'}" for delay in DELAY]
    figure = make_subplots(
        2, len(DELAY), specs=[[{"colspan": len(DELAY)}, *[None] * (len(DELAY) - 1)], [{}] * len(DELAY)],
        row_heights=[0.22, 0.78], vertical_spacing=0.25, horizontal_spacing=0.02,
        subplot_titles=["", *heads],
    )  # fmt: skip
    base(done, f"P&L over volatility × spread × delay{_bearable(band)}", 460, figure)
    _strip(figure, band)
    worst = max(abs(band.low_usd), abs(band.high_usd)) or 1.0
    for column, delay in enumerate(DELAY, start=1):
        _map(figure, [cell for cell in band.cells if cell.delay == delay], worst, column)
    figure.update_yaxes(
        title_text="× spread", ticktext=[f"{s:g}" for s in SPREAD], showticklabels=True, row=2, col=1
    )
    for note in figure.layout.annotations:
        if note.text in heads:
            note.update(font={"size": 12, "color": theme.MUTED})
    return figure.update_layout(showlegend=False, margin={"l": 64, "r": 24, "t": 52, "b": 56})


def _bearable(band: Band) -> str:
    if band.break_even_usd is None or band.paid_usd is None:
        return ""
    cost = f"costs {money(band.paid_usd)} a contract there and back"
    if band.break_even_usd <= 0:
        return f" · {cost}; loses {money(-band.break_even_usd)} even without"
    return f" · {cost}; breaks even at {money(band.break_even_usd)}"


def _strip(figure: go.Figure, band: Band) -> None:
    """All cells on one axis: the band, the cells in it, the central one and zero."""
    pnl = np.array([cell.pnl_usd for cell in band.cells])
    centre = [cell.pnl_usd for cell in band.cells if _central(cell)]
    figure.add_scatter(
        x=[band.low_usd, band.high_usd], y=[0, 0], mode="lines", hoverinfo="skip",
        line={"color": fade(theme.BLUE, 0.25), "width": 22}, row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=pnl, y=np.zeros(len(pnl)), mode="markers", hoverinfo="text",
        hovertext=[_tell(cell) for cell in band.cells], row=1, col=1,
        marker={"symbol": "line-ns-open", "size": 14, "color": theme.MUTED, "line": {"width": 1}},
    )  # fmt: skip
    figure.add_scatter(
        x=centre, y=[0] * len(centre), mode="markers", hoverinfo="skip", cliponaxis=False, row=1, col=1,
        marker={"symbol": "diamond", "size": 12, "color": theme.BLUE}, name="central world",
    )  # fmt: skip
    for x in centre:  # above the band, not over its marks
        figure.add_annotation(
            text=f"central world {money(x, sign=True)}", x=x, y=1.0, yanchor="bottom", showarrow=False,
            font={"size": 12, "color": theme.TEXT}, row=1, col=1,
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": theme.TEXT, "width": 1}, row=1, col=1)
    span = _around(pnl.tolist())
    figure.update_xaxes(range=span, tickformat=usd_ticks(span), title_text="P&L, $", row=1, col=1)
    figure.update_yaxes(range=[-1, 2.2], showticklabels=False, showgrid=False, title_text="", row=1, col=1)


def _map(figure: go.Figure, cells: Sequence[Cell], worst: float, column: int) -> None:
    """One delay: colour and signed figure of each cell; the central world has a frame."""
    where = {(cell.spread, cell.volatility): cell for cell in cells}
    grid = [[where[s, v] for v in VOLATILITY] for s in SPREAD]
    figure.add_heatmap(
        z=[[cell.pnl_usd for cell in row] for row in grid], zmin=-worst, zmax=worst, showscale=False,
        colorscale=[[0.0, fade(theme.DOWN, 0.7)], [0.5, theme.PANEL], [1.0, fade(theme.UP, 0.7)]],
        text=[[_short(cell.pnl_usd) for cell in row] for row in grid], texttemplate="%{text}", xgap=2, ygap=2,
        textfont={"size": 12, "color": theme.TEXT}, hoverinfo="text",
        hovertext=[[_tell(cell) for cell in row] for row in grid], row=2, col=column,
    )  # fmt: skip
    for row, line in enumerate(grid):
        for x, cell in enumerate(line):
            if _central(cell):
                figure.add_shape(
                    type="rect", x0=x - 0.48, x1=x + 0.48, y0=row - 0.47, y1=row + 0.47,
                    line={"color": theme.BLUE, "width": 2.5}, row=2, col=column,
                )  # fmt: skip
    figure.update_xaxes(
        tickvals=list(range(len(VOLATILITY))), ticktext=[f"{v:g}" for v in VOLATILITY], showgrid=False,
        title_text="× volatility", row=2, col=column,
    )  # fmt: skip
    figure.update_yaxes(
        side="left",
        tickvals=list(range(len(SPREAD))),
        showgrid=False,
        showticklabels=False,
        row=2,
        col=column,
    )


def _central(cell: Cell) -> bool:
    return (cell.volatility, cell.spread, cell.delay) == (1.0, 1.0, 0)


def _tell(cell: Cell) -> str:
    return (
        f"volatility × {cell.volatility:g}, spread × {cell.spread:g}, {cell.delay} more bars<br>"
        f"{cell.trades:,} trades, {share(cell.win_rate)} won<br><b>P&L {money(cell.pnl_usd, sign=True)}</b>"
    )


def _short(value: float) -> str:
    """A signed amount of at most seven characters.

    >>> [_short(x) for x in (-18_605.7, 950, 0.2, 1_813_157.9)]
    ['−18.6k', '+950', '0', '+1.81M']
    """
    size = abs(value)
    text = f"{size / 1e6:.2f}M" if size >= 1e6 else f"{size / 1e3:.1f}k" if size >= 1e4 else f"{size:,.0f}"
    return text if text == "0" else ("−" if value < 0 else "+") + text


# --- parts


def nothing(done: ScenarioRun, title: str, text: str) -> go.Figure:
    """A figure that says in words why it is empty."""
    figure = base(done, title, 200)
    say(figure, text)
    figure.update_xaxes(visible=False)
    return figure.update_yaxes(visible=False)
