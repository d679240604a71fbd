"""Figures of stylised facts: arrays in, plotly figures out.

What is simulated says SIMULATED in its title or column head; colours mean the same in
every figure: grey is real, blue is simulated.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

Floats = NDArray[np.float64]

PAPER: Final = "#10141f"
TEXT: Final = "#d5dae6"
FAINT: Final = "#8a93a8"
GRID: Final = "#232a3b"
REAL: Final = "#aab2c5"
SIMULATED: Final = "#5b9cf0"
VIX_LINE: Final = "#d9a566"
# These fonts have digits of one width, so columns of numbers line up.
FONT: Final = "Inter, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
DIGITS: Final = "'JetBrains Mono', 'DejaVu Sans Mono', Consolas, monospace"


def _dress(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_layout(
        title={"text": title, "x": 0.0, "xref": "paper", "font": {"size": 16}},
        height=height,
        paper_bgcolor=PAPER,
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "color": TEXT, "size": 12},
        margin={"l": 64, "r": 24, "t": 92, "b": 48},
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.14, "yanchor": "bottom"},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#1a2031", "bordercolor": GRID},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_annotations(font={"size": 13, "color": FAINT})
    return figure


def panels(
    title: str,
    columns: Mapping[str, tuple[Floats | None, Floats]],
    *,
    x: Sequence[float],
    x_title: str,
    y_title: str,
    log_y: bool = False,
    ticks: tuple[Sequence[float], Sequence[str]] | None = None,
) -> go.Figure:
    """One panel per market, real and simulated as two lines over the same axes.

    Parameters
    ----------
    title : str
        SIMULATED is put in front of it.
    columns : mapping of str to (real, simulated)
        Panel title to two arrays as long as `x`; real may be None.
    ticks : (positions, labels), optional
        Of the x axis; plotly's own by default.
    """
    figure = make_subplots(
        1, len(columns), subplot_titles=list(columns), shared_yaxes=True, horizontal_spacing=0.03
    )
    for i, (real, simulated) in enumerate(columns.values(), start=1):
        for name, y, colour, width in (("real", real, REAL, 1.2), ("SIMULATED", simulated, SIMULATED, 1.6)):
            if y is not None:
                line = go.Scatter(
                    x=list(x), y=y, name=name, legendgroup=name, showlegend=i == 1, mode="lines",
                    line={"color": colour, "width": width}, hovertemplate="%{y:.3f}",
                )  # fmt: skip
                figure.add_trace(line, 1, i)
    figure.update_xaxes(title={"text": x_title, "font": {"color": FAINT}})
    figure.update_yaxes(type="log" if log_y else "linear")
    figure.update_yaxes(title={"text": y_title, "font": {"color": FAINT}}, col=1)
    if log_y:
        marks = [0.5, 1, 2, 4, 8]
        figure.update_yaxes(tickvals=marks, ticktext=[f"{m:g}" for m in marks])
    if ticks:
        figure.update_xaxes(tickvals=list(ticks[0]), ticktext=list(ticks[1]))
    return _dress(figure, f"SIMULATED · {title}", 400)


def session_curves(
    title: str, columns: Mapping[str, tuple[Floats | None, Floats]], y_title: str
) -> go.Figure:
    """Curves over the 390 minutes of a regular session, on a log scale."""
    marks = (0, 90, 180, 270, 360)
    labels = [f"{(570 + m) // 60:02d}:{(570 + m) % 60:02d}" for m in marks]
    ticks = (marks, labels)
    return panels(
        title, columns, x=range(390), x_title="New York time", y_title=y_title, log_y=True, ticks=ticks
    )  # fmt: skip


def paths(
    columns: Mapping[str, tuple[Sequence[dt.date], Floats, Floats]],
) -> go.Figure:
    """Daily close (top) and VIX (bottom) of simulated markets, one column each.

    Parameters
    ----------
    columns : mapping of str to (dates, closes, vix)
        Dollars and index points, one value per session.
    """
    figure = make_subplots(
        2, len(columns), subplot_titles=list(columns), shared_xaxes=True, row_heights=[0.6, 0.4],
        vertical_spacing=0.06, horizontal_spacing=0.06,
    )  # fmt: skip
    for i, (dates, closes, vix) in enumerate(columns.values(), start=1):
        for row, name, y, colour in ((1, "close, $", closes, SIMULATED), (2, "VIX", vix, VIX_LINE)):
            line = go.Scatter(
                x=list(dates), y=y, name=name, legendgroup=name, showlegend=i == 1, mode="lines",
                line={"color": colour, "width": 1.4}, hovertemplate="%{y:.2f}",
            )  # fmt: skip
            figure.add_trace(line, row, i)
    return _dress(figure, "SIMULATED · daily close and VIX of the three markets", 460)


def fact_table(title: str, rows: Sequence[tuple[str, float, float, float]], real_name: str) -> go.Figure:
    """A table of facts: name, real value, simulated value, ratio; a dash where there is none.

    Parameters
    ----------
    rows : sequence of (fact, real, simulated, ratio)
    real_name : str
        Head of the real column: which instrument and dates.
    """
    header: dict[str, Any] = {
        "values": ["fact", real_name, "SIMULATED", "ratio"],
        "align": ["left", "right", "right", "right"],
        "fill": {"color": "#1a2031"},
        "line": {"color": GRID},
        "font": {"color": FAINT, "size": 12},
        "height": 28,
    }
    columns = [
        [fact for fact, *_ in rows],
        [_number(real) for _, real, _, _ in rows],
        [_number(simulated) for _, _, simulated, _ in rows],
        [_number(ratio, 2) for _, _, _, ratio in rows],
    ]
    cells: dict[str, Any] = {
        "values": columns,
        "align": header["align"],
        "fill": {"color": PAPER},
        "line": {"color": GRID},
        "font": {"color": TEXT, "size": 12, "family": [FONT, DIGITS, DIGITS, DIGITS]},
        "height": 25,
    }
    figure = go.Figure(go.Table(header=header, cells=cells, columnwidth=[3, 2, 1.5, 1]))
    _dress(figure, f"SIMULATED · {title}", 96 + 28 + 25 * len(rows))
    return figure.update_layout(margin={"l": 16, "r": 16, "t": 56, "b": 16})


def _number(x: float, digits: int = 3) -> str:
    return "–" if math.isnan(x) else f"{x:,.{digits}f}"
