"""The session's chart: candles, volume and P&L over one time axis.

A candle stands at the END of its minute, the moment it is known; so a signal stands on
the candle that made it, and its entry, at the next open, beside it.
"""

from __future__ import annotations

import datetime as dt
import math
from html import escape
from typing import Any, Final, Protocol

from maxlib.engine.live import Status
from maxlib.engine.session_views import BarView, LevelsView, MarkView, PositionView, SessionView
from maxlib.market.bars import NS_PER_MINUTE, RTH_CLOSE, RTH_OPEN
from maxlib.market.calendar import new_york, session, to_ns
from maxlib.views import theme
from maxlib.views.pnl_line import PnlLine, traces
from maxlib.views.stream_chart import WINDOW, StreamChart

CANDLES, VOLUME, SIGNALS, ENTRIES, EXITS, PNL, GAIN, LOSS = range(8)
_BEFORE_OPEN: Final = 60
"""Minutes of pre-market that are shown before the open."""
_REACH: Final = 0.15
"""How far beyond the prices seen a level is drawn, in their range."""
_CLOSE: Final = 0.035
"""Lines nearer than this, in the range of prices seen, get their labels side by side."""
_LEVELS: Final = (
    ("asia_high", "Asia high", theme.VIOLET),
    ("asia_low", "Asia low", theme.VIOLET),
    ("london_high", "London high", theme.BLUE),
    ("london_low", "London low", theme.BLUE),
    ("day_high", "Prior day high", theme.MUTED),
    ("day_low", "Prior day low", theme.MUTED),
)


class Story(Protocol):
    """What happened, from a number on; a host of a session is one."""

    def bars_since(self, i: int) -> list[BarView]:
        """Bars from number `i` (from 0) on."""

    def marks_since(self, i: int) -> list[MarkView]:
        """Marks from number `i` (from 0) on."""


def stamp(ts: int) -> str:
    """New York wall time as plotly takes it."""
    return f"{new_york(ts):%Y-%m-%d %H:%M}"


def spans(day: dt.date, first: int) -> list[tuple[int, int]]:
    """Time ranges (UTC ns) that the axis shows, one after the other; none holds over WINDOW minutes.

    `first` is the market time at which the session begins. A fixed axis fills from left to
    right and never jumps; a day that begins in pre-market is too long for one and takes two.
    """
    begin, close = usual(day)
    if first >= begin:
        return [(begin, close)]
    return [(first, first + WINDOW * NS_PER_MINUTE), (close - WINDOW * NS_PER_MINUTE, close)]


def usual(day: dt.date) -> tuple[int, int]:
    """The usual time range (UTC ns): from an hour before the open to the close."""
    hours = session(day)
    opening, closing = (hours.open_minute, hours.close_minute) if hours else (RTH_OPEN, RTH_CLOSE)
    return to_ns(day, opening - _BEFORE_OPEN), to_ns(day, closing)


class PriceChart:
    """Keeps the chart in step with a host. Holds counters, no truth.

    Parameters
    ----------
    invitation : stands where the first bar will be
    """

    def __init__(self, invitation: str = "Each bar appears when it is known.<br>Press Start.") -> None:
        self._invitation = invitation
        self.widget = StreamChart(_figure("", (0, NS_PER_MINUTE), invitation))
        self._spans: list[tuple[int, int]] = []
        self._since = 0
        self._clear()

    def _clear(self) -> None:
        self._bars = self._marks = 0
        self._levels = LevelsView()
        self._low, self._high = math.inf, -math.inf
        self._last: float | None = None
        self._lines: Any = None
        self._pnl = PnlLine()
        self.far: list[tuple[float, str, str]] = []

    def show(self, day: dt.date, first: int, revision: str, *, since: int = 0) -> None:
        """Begin anew with another session of `day`; `first` is where it begins.

        What ended before `since` (UTC ns) is left out. A viewer's zoom stays as long as `revision` does.
        """
        self._spans, self._since = spans(day, first), since
        self._bars = self._marks = 0
        self._levels, self._last = LevelsView(), None
        self._lines, self._pnl = None, PnlLine()
        self._low, self._high = math.inf, -math.inf
        self.widget.reset(_figure(revision, self._spans[0], self._invitation))

    def update(self, host: Story, view: SessionView | Status) -> None:
        """Draw what has happened since the last call."""
        bars = host.bars_since(self._bars)
        self._bars += len(bars)
        if len(self._spans) > 1 and bars and bars[-1].ts > self._spans[0][1]:
            del self._spans[0]
            self.widget.relayout({"xaxis.range": [stamp(ts) for ts in self._spans[0]]})
        end = self._spans[-1][1]
        shown = [bar for bar in bars if self._since <= bar.ts <= end]
        if shown:
            if self._last is None:
                self.widget.relayout({"yaxis.showticklabels": True, "yaxis3.showticklabels": True})
            self._last = shown[-1].close
            self._low = min(self._low, *(bar.low for bar in shown))
            self._high = max(self._high, *(bar.high for bar in shown))
            _append(self.widget, shown)
            made = self._pnl.split(shown)
            self.widget.append(GAIN, x=made.gain_x, y=made.gain_y)
            self.widget.append(LOSS, x=made.loss_x, y=made.loss_y)
        marks = host.marks_since(self._marks)
        self._marks += len(marks)
        marked = [mark for mark in marks if self._since <= mark.ts <= end]
        if marked:
            _mark(self.widget, marked)
        if isinstance(view, SessionView) and view.bar_at is not None and view.bar_at <= end:
            self._levels = view.levels
        near, self.far = self._split()
        lines = _lines(near, view.positions, self._last, _CLOSE * (self._high - self._low))
        if self._last is not None and lines != self._lines:
            self._lines = lines
            self.widget.relayout(dict(zip(("shapes", "annotations"), lines, strict=True)))
        self.widget.flush()

    def _split(self) -> tuple[list[tuple[float, str, str]], list[tuple[float, str, str]]]:
        """Levels near the prices seen, and the others: a far line would squeeze the candles flat."""
        reach = _REACH * (self._high - self._low)
        near: list[tuple[float, str, str]] = []
        far: list[tuple[float, str, str]] = []
        for level in known(self._levels):
            inside = self._low - reach <= level[0] <= self._high + reach
            (near if inside else far).append(level)
        return near, far


def _append(chart: StreamChart, bars: list[BarView]) -> None:
    x = [stamp(bar.ts) for bar in bars]
    chart.append(
        CANDLES,
        x=x,
        open=[bar.open for bar in bars],
        high=[bar.high for bar in bars],
        low=[bar.low for bar in bars],
        close=[bar.close for bar in bars],
    )
    chart.append(VOLUME, x=x, y=[bar.volume for bar in bars])
    chart.append(PNL, x=x, y=[None if bar.pnl_cents is None else bar.pnl_cents / 100 for bar in bars])


def _mark(chart: StreamChart, marks: list[MarkView]) -> None:
    for trace, kinds in ((SIGNALS, ("signal", "denied")), (ENTRIES, ("entry",)), (EXITS, ("exit",))):
        some = [mark for mark in marks if mark.kind in kinds]
        if some:
            chart.append_columns(
                trace,
                {
                    "x": [stamp(mark.ts) for mark in some],
                    "y": [mark.spot for mark in some],
                    "text": [f"{mark.kind}: {escape(mark.text)}" for mark in some],
                    "marker.symbol": [_symbol(mark) for mark in some],
                    "marker.color": [_colour(mark) for mark in some],
                    "marker.size": [_SIZES[mark.kind] for mark in some],
                },
            )


_SIZES: Final = {"signal": 19, "denied": 8, "entry": 12, "exit": 10}


def _symbol(mark: MarkView) -> str:
    if mark.kind == "exit":
        return "circle"
    if mark.kind == "denied":
        return "x-thin-open"
    shape = "triangle-up" if mark.side > 0 else "triangle-down"
    return shape if mark.kind == "entry" else f"{shape}-open"


def _colour(mark: MarkView) -> str:
    if mark.kind == "exit":
        return theme.UP if mark.good else theme.DOWN
    return {"signal": theme.AMBER, "denied": theme.MUTED}.get(mark.kind, theme.BLUE)


def known(levels: LevelsView) -> list[tuple[float, str, str]]:
    """The levels known now, each with its name and colour."""
    found = ((getattr(levels, name), text, colour) for name, text, colour in _LEVELS)
    return [(price, text, colour) for price, text, colour in found if price is not None]


def _lines(
    levels: list[tuple[float, str, str]],
    positions: tuple[PositionView, ...],
    last: float | None,
    close: float,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Horizontal lines and their labels: levels on the left, the position's on the right."""
    shapes: list[dict[str, Any]] = []
    labels = _titles()
    below, aside = -math.inf, 0
    for price, text, colour in sorted(levels):
        aside = aside + 1 if price - below < close else 0
        below = price
        shapes.append(_line(price, colour, "dot"))
        labels.append(_label(0, price, text, colour) | {"xanchor": "left", "xshift": 112 * aside})
    for position in positions:
        own = (
            (position.stop, "stop", theme.DOWN),
            (position.tp1, "target 1", theme.UP),
            (position.tp2, "target 2", theme.UP),
        )
        for at, text, colour in own:
            if at is not None:
                shapes.append(_line(at, colour, "dash"))
                labels.append(_label(1, at, text, colour) | {"xanchor": "right"})
    if last is not None:
        shapes.append(_line(last, theme.TEXT, "dot") | {"opacity": 0.35})
        labels.append({
            "xref": "paper", "yref": "y", "x": 1, "y": last, "xanchor": "left", "yanchor": "middle",
            "text": f"{last:.2f}", "showarrow": False, "font": {"size": 11, "color": theme.BACKGROUND},
            "bgcolor": theme.TEXT, "borderpad": 2, "xshift": 4,
        })  # fmt: skip
    return shapes, labels


def _label(x: int, price: float, text: str, colour: str) -> dict[str, Any]:
    return {
        "xref": "paper", "yref": "y", "x": x, "y": price, "yanchor": "bottom", "showarrow": False,
        "text": f"{text} {price:.2f}", "font": {"size": 10, "color": colour},
    }  # fmt: skip


def _line(price: float, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "line", "layer": "below", "xref": "paper", "yref": "y", "x0": 0, "x1": 1,
        "y0": price, "y1": price, "line": {"color": colour, "width": 1, "dash": dash}, "opacity": 0.7,
    }  # fmt: skip


def _titles() -> list[dict[str, Any]]:
    return [
        {
            "xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left", "yanchor": "bottom",
            "text": text, "showarrow": False, "font": {"size": 10, "color": theme.MUTED},
        }
        for text, y in (("VOLUME", 0.335), ("P&amp;L, $, open positions at the bid", 0.19))
    ]  # fmt: skip


def _invite(text: str) -> dict[str, Any]:
    return {
        "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.7, "showarrow": False,
        "text": text,
        "font": {"size": 13, "color": theme.MUTED},
    }  # fmt: skip


def _figure(revision: str, shown: tuple[int, int], invitation: str) -> dict[str, Any]:
    """An empty chart; `revision` changes when a viewer's zoom is no longer wanted, "" = no session yet."""

    def side(top: float, bottom: float, **more: Any) -> dict[str, Any]:
        return {"domain": [bottom, top], "side": "right", "nticks": 5, "fixedrange": True, **more}

    def points(y: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "scatter", "mode": "markers", "x": [], "y": [], "text": [], "yaxis": y,
            "hovertemplate": "%{text}<extra></extra>", **more,
        }  # fmt: skip

    outline = {"width": 1.5, "color": theme.BACKGROUND}
    return {
        "data": [
            {
                "type": "candlestick", "x": [], "open": [], "high": [], "low": [], "close": [], "yaxis": "y",
                "name": "", "whiskerwidth": 0,
                "increasing": {"line": {"color": theme.UP, "width": 1}, "fillcolor": theme.UP},
                "decreasing": {"line": {"color": theme.DOWN, "width": 1}, "fillcolor": theme.DOWN},
            },
            {
                "type": "bar", "x": [], "y": [], "yaxis": "y2", "marker": {"color": theme.VOLUME},
                "hovertemplate": "volume %{y:,.0f}<extra></extra>",
            },
            points("y", marker={"symbol": [], "color": [], "size": [], "opacity": 1, "line": {"width": 1.5}}),
            points("y", marker={"symbol": [], "color": [], "size": [], "opacity": 1, "line": outline}),
            points("y", marker={"symbol": [], "color": [], "size": [], "opacity": 1, "line": outline}),
            # What a pointer reads is this line; what is seen are the two that meet at zero.
            {
                "type": "scatter", "mode": "lines", "x": [], "y": [], "yaxis": "y3",
                "line": {"color": "rgba(0,0,0,0)", "width": 1.5},
                "hovertemplate": "P&L %{y:+$,.2f}<extra></extra>",
            },
            *traces("y3", theme.UP, theme.DOWN),
        ],
        "layout": {
            "template": theme.TEMPLATE,
            "autosize": True,
            "uirevision": revision,
            "showlegend": False,
            "hovermode": "x",
            "dragmode": "pan",
            "bargap": 0.3,
            "margin": {"l": 8, "r": 60, "t": 8, "b": 24},
            "xaxis": {
                "type": "date", "range": [stamp(ts) for ts in shown], "anchor": "y3", "tickformat": "%H:%M",
                "rangeslider": {"visible": False}, "showspikes": True, "spikemode": "across",
                "spikethickness": 1, "spikedash": "solid", "spikecolor": theme.BORDER, "spikesnap": "cursor",
                "hoverformat": "%H:%M", "showticklabels": revision != "",
            },
            "yaxis": side(1.0, 0.38, tickformat=".2f", showticklabels=False, nticks=9),
            "yaxis2": side(0.33, 0.24, showticklabels=False, showgrid=False, rangemode="tozero"),
            "yaxis3": side(
                0.18, 0.0, tickformat="$,.0f", showticklabels=False, zerolinecolor=theme.MUTED,
                autorangeoptions={"include": [-25, 25]},
            ),
            "shapes": [],
            "annotations": [*_titles(), _invite(invitation)],
        },
        "config": {"displayModeBar": False, "displaylogo": False, "responsive": False, "scrollZoom": False},
    }  # fmt: skip
