"""The options lab's chart: a snapshot and a reading in, a plotly figure as plain data out.

Profit and loss are those of the whole position, in dollars, before commissions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from maxlib.core.record import Floats
from maxlib.options.payoff import Unpriced
from maxlib.views import theme
from maxlib.views.options_bench import Snapshot
from maxlib.views.options_reading import Reading, span

DENSITY, GAIN, LOSS, EXPIRY, NOW, POINT = range(6)
"""Places of the traces."""
_PAD: Final = 0.12
_NEAR: Final = 0.17
"""Labels nearer than this share of the axis would overlap."""
_DENSITY_POINTS: Final = 241


def figure(snap: Snapshot, reading: Reading, target: float, revision: int = 0) -> dict[str, Any]:
    """Payoff at expiry and now, breakevens, spot, forward and target, the density faint behind.

    `revision` must differ from that of the figure shown before: by it the browser sees that data changed.
    """
    low, high = span(snap, reading.structure)
    x, end, now = _profits(snap, reading)
    density_x, density_y = _density(snap, low, high)
    line = {"mode": "lines", "hoverinfo": "skip"}
    filled = {**line, "fill": "tozeroy", "line": {"width": 0}, "x": x}
    data: list[dict[str, Any]] = [
        {**line, "x": density_x, "y": density_y, "yaxis": "y2", "fill": "tozeroy", "name": "density",
         "line": {"width": 1, "color": f"{theme.VIOLET}55"}, "fillcolor": f"{theme.VIOLET}1c"},
        {**filled, "y": [max(0.0, v) for v in end], "fillcolor": f"{theme.UP}30", "name": "gain"},
        {**filled, "y": [min(0.0, v) for v in end], "fillcolor": f"{theme.DOWN}30", "name": "loss"},
        {"mode": "lines", "x": x, "y": end, "name": "at expiry", "line": {"color": theme.TEXT, "width": 2},
         "hovertemplate": "%{y:$,.2f}"},
        {"mode": "lines", "x": x, "y": now, "name": "at the sliders",
         "line": {"color": theme.BLUE, "width": 2.4}, "hovertemplate": "%{y:$,.2f}"},
        {"mode": "markers", "name": "here", "hoverinfo": "skip", **_point(snap, reading),
         "marker": {"size": 11, "color": theme.BLUE, "line": {"color": theme.TEXT, "width": 2}},
         "cliponaxis": False},
    ]  # fmt: skip
    for trace in data:
        trace["type"] = "scatter"
    layout: dict[str, Any] = {
        "template": theme.TEMPLATE, "showlegend": False, "hovermode": "x", "dragmode": "pan",
        "margin": {"l": 16, "r": 72, "t": 46, "b": 40}, "datarevision": 1000 * revision,
        "uirevision": f"{revision}",
        "xaxis": {"range": [low, high], "title": {"text": "underlying, dollars"}, "tickformat": ",.6~f",
                  "hoverformat": ",.2f", "zeroline": False, "showgrid": False},
        "yaxis": {"range": _heights(end, now), "side": "right", "tickformat": "$,.6~f", "zeroline": False,
                  "title": {"text": ""}, "nticks": 8, "showticklabels": bool(end)},
        "yaxis2": {"overlaying": "y", "range": [0, 2.4 * max(density_y, default=0) or 1], "visible": False,
                   "fixedrange": True},
        **marks(snap, reading, target),
    }  # fmt: skip
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "scrollZoom": False}}


def blank() -> dict[str, Any]:
    """A chart without anything to show."""
    hidden = {"visible": False, "fixedrange": True}
    return {
        "data": [],
        "layout": {"template": theme.TEMPLATE, "xaxis": hidden, "yaxis": hidden},
        "config": {},
    }


def moved(snap: Snapshot, reading: Reading) -> dict[int, dict[str, Any]]:
    """What a slider changes: trace -> properties. The marks change as well."""
    return {NOW: {"y": _profits(snap, reading)[2]}, POINT: _point(snap, reading)}


def marks(snap: Snapshot, reading: Reading, target: float) -> dict[str, Any]:
    """Lines and labels: zero, spot and forward, the sliders' underlying, target, breakevens."""
    low, high = span(snap, reading.structure)
    width = high - low
    here = snap.here + reading.scenario.shift
    shapes = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "layer": "below",
         "line": {"color": theme.MUTED, "width": 1}}
    ]  # fmt: skip
    known: list[tuple[float, str]] = [] if snap.spot is None else [(snap.spot, f"spot {snap.spot:,.2f}")]
    if snap.forward.value is not None:
        known.append((snap.forward.value, f"forward {snap.forward.value:,.2f}"))
    if len(known) == 2 and abs(known[0][0] - known[1][0]) < _NEAR * width:
        middle = (known[0][0] + known[1][0]) / 2
        labels = [_label(middle, f"{known[0][1]} · {known[1][1]}", theme.MUTED, 1)]
    else:
        labels = [_label(x, text, theme.MUTED, 1) for x, text in known]
    shapes += [_line(x, theme.MUTED, dash) for (x, _), dash in zip(known, ("dot", "dash"), strict=False)]
    shapes += [_line(target, theme.VIOLET, "dot"), _line(here, theme.BLUE, "solid", 1)]
    labels.append(_label(target, f"target {target:,.2f}", theme.VIOLET, 0))
    if abs(here - target) >= _NEAR * width:
        labels.append(_label(here, f"{here:,.2f}", theme.BLUE, 0))
    labels = [one for one in labels if low <= one["x"] <= high]
    ends = () if reading.outcome is None else reading.outcome.breakevens
    inside = [x for x in ends if low <= x <= high]
    labels += [_breakeven(x, inside) for x in inside]
    missing = _missing(reading)
    if missing:
        labels.append({"text": missing, "x": 0.5, "y": 0.6, "xref": "paper", "yref": "paper",
                       "bgcolor": theme.PANEL, "showarrow": False,
                       "font": {"color": theme.AMBER, "size": 13}})  # fmt: skip
    return {"shapes": shapes, "annotations": labels}


def size(snap: Snapshot, reading: Reading) -> int:
    """Shares that the position's figures stand for."""
    return snap.multiplier * reading.quantity


def _profits(snap: Snapshot, reading: Reading) -> tuple[list[float], list[float], list[float]]:
    drawn = reading.curves
    if drawn is None:
        return [], [], []
    shares = size(snap, reading)
    return drawn.spot.tolist(), _cents(shares * drawn.at_expiry), _cents(shares * drawn.now)


def _cents(dollars: Floats) -> list[float]:
    rounded: list[float] = (np.round(dollars, 2) + 0.0).tolist()  # + 0.0: no minus before a zero
    return rounded


def _point(snap: Snapshot, reading: Reading) -> dict[str, Any]:
    profit = position_profit(snap, reading)
    if profit is None:
        return {"x": [], "y": []}
    return {"x": [snap.here + reading.scenario.shift], "y": [round(profit, 2)]}


def position_profit(snap: Snapshot, reading: Reading) -> float | None:
    """Profit of the position at the sliders, dollars; None without a price or a volatility."""
    if reading.value is None or isinstance(reading.price, Unpriced):
        return None
    return size(snap, reading) * (reading.value - reading.price.debit_cents / 100)


def _heights(end: list[float], now: list[float]) -> list[float]:
    if not end:
        return [-1.0, 1.0]
    low, high = min(*end, *now, 0.0), max(*end, *now, 0.0)
    pad = _PAD * (high - low) or 1.0
    return [low - pad, high + pad]


def _density(snap: Snapshot, low: float, high: float) -> tuple[list[float], list[float]]:
    odds = snap.odds
    if odds is None:
        return [], []
    x = np.linspace(low, high, _DENSITY_POINTS)
    below = np.array([odds.below(level)[0] for level in x.tolist()])
    return (0.5 * (x[1:] + x[:-1])).tolist(), (np.diff(below) / np.diff(x)).tolist()


def _line(x: float, colour: str, dash: str, width: float = 1.2) -> dict[str, Any]:
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": colour, "width": width, "dash": dash}}  # fmt: skip


def _label(x: float, text: str, colour: str, row: int) -> dict[str, Any]:
    """A label above the plot, in the lower row (0) or the upper one (1)."""
    return {"text": text, "x": x, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 2 + 19 * row,
            "showarrow": False, "font": {"color": colour, "size": 11}}  # fmt: skip


def _breakeven(x: float, among: list[float]) -> dict[str, Any]:
    """Of several, the first leans left and the last right, so that near ones do not overlap."""
    ways = ("center",) if len(among) == 1 else ("right", *["center"] * (len(among) - 2), "left")
    return {"text": f"{x:,.2f}", "x": x, "xanchor": ways[among.index(x)], "y": 0, "yanchor": "bottom",
            "yshift": 4, "showarrow": True,
            "ax": 0, "ay": -14, "arrowhead": 6, "arrowsize": 1, "arrowwidth": 1, "arrowcolor": theme.TEXT,
            "font": {"color": theme.TEXT, "size": 11}, "bgcolor": f"{theme.PANEL}cc"}  # fmt: skip


def _missing(reading: Reading) -> str:
    if isinstance(reading.price, Unpriced):
        return f"No price: {unpriced(reading.price)}."
    if reading.curves is None:
        return "No quote determines a volatility: there is no curve before expiry."
    return ""


def unpriced(price: Unpriced) -> str:
    """Why a package has no price, in words."""
    leg = f"{price.contract.strike:g} {price.contract.right}"
    return {
        "NO_QUOTE": f"{leg} is not quoted", "NO_ASK": f"nobody offers {leg}",
        "NO_BID": f"nobody bids for {leg}, which would be sold", "CROSSED": f"the quote of {leg} is crossed",
    }[price.code]  # fmt: skip
