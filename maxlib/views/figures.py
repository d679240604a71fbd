"""Figures of a finished run: bars, trades and metrics in, plotly figures out.

Every figure takes the whole `ScenarioRun`, so that none can be drawn without its
SIMULATED stamp. Times are New York. Candles stand on an axis of candle numbers
with times as labels: nights, weekends and the afternoons of half days take no room.
(Plotly's own range breaks were tried: where a holiday overlaps a weekend they draw
candles on top of each other.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from html import escape
from typing import Any, Final, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from maxlib.core.record import Floats, Ints
from maxlib.engine.events import Trade
from maxlib.market.bars import NEW_YORK, NS_PER_MINUTE, RTH_CLOSE, RTH_OPEN
from maxlib.market.calendar import from_ordinal, new_york, new_york_minutes
from maxlib.research.run import ScenarioRun
from maxlib.views import theme

Rows = NDArray[np.void]

CANDLES: Final = 2_000
"""Candles up to which the finest unit is taken; 30-minute candles may be twice as many."""
DAY_FROM: Final = RTH_OPEN - 30
"""First minute of the chart of one day."""
LEVELS: Final = {
    "day_high": "previous day's high", "day_low": "previous day's low",
    "asia_high": "Asia high", "asia_low": "Asia low",
    "london_high": "London high", "london_low": "London low",
}  # fmt: skip
_SIGNAL_PAD: Final = 0.02
_TICKS: Final = 10
_CENTS_BELOW: Final = 10.0
_THOUSANDS_FROM: Final = 100_000.0


class Candles(NamedTuple):
    """Aggregated bars; candle i stands at x = i and covers i - 0.5 to i + 0.5.

    start, end : int64[n], UTC ns; a candle is known at its end
    date : int64[n], New York date, days since 1970
    minute : int64[n], New York minute of the day at which the slot begins
    unit : minutes of a slot
    """

    start: Ints
    end: Ints
    date: Ints
    minute: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    unit: int

    def find(self, ts: Ints) -> NDArray[np.int64]:
        """Number of the candle that each moment falls into (its end included), else of the next one."""
        return np.minimum(np.searchsorted(self.end, ts, side="left"), len(self.end) - 1)

    def place(self, ts: Ints) -> Floats:
        """Position of each moment on the axis; moments between two candles stand at the later one's edge."""
        i = self.find(ts)
        share: Floats = np.clip((ts - self.start[i]) / (self.unit * NS_PER_MINUTE), 0.0, 1.0)
        return i - 0.5 + share


def candles(bars: Rows, unit: int) -> Candles:
    """`bars` in slots of `unit` minutes counted from 09:30, none across midnight.

    Parameters
    ----------
    bars : BAR[n], n > 0
    """
    local = new_york_minutes(bars["ts"] - NS_PER_MINUTE)
    slot = (local % 1440 - RTH_OPEN) // unit
    key = local // 1440 * 10_000 + slot
    first = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    last = np.append(first[1:], len(bars)) - 1
    minute = slot[first] * unit + RTH_OPEN
    # Where the slot begins, whether or not its first minutes have bars (a halt, a late print).
    start = bars["ts"][first] - NS_PER_MINUTE - (local[first] % 1440 - minute) * NS_PER_MINUTE
    return Candles(
        start, bars["ts"][last], local[first] // 1440, minute, bars["open"][first],
        np.maximum.reduceat(bars["high"], first), np.minimum.reduceat(bars["low"], first),
        bars["close"][last], unit,
    )  # fmt: skip


def overview_unit(minutes: int) -> int:
    """Minutes per candle for a view of so many one-minute bars."""
    for unit in (1, 5, 15):
        if minutes <= unit * CANDLES:
            return unit
    for unit in (30, 60, 120):
        if minutes <= unit * 2 * CANDLES:
            return unit
    return RTH_CLOSE - RTH_OPEN


def regular(bars: Rows) -> Rows:
    """The bars of regular hours; all bars if there are none."""
    inside = (bars["session"] == NEW_YORK) & (bars["minute"] < bars["close_minute"])
    return bars[inside] if inside.any() else bars


def overview(done: ScenarioRun) -> go.Figure:
    """The whole period: regular hours in candles, bricks, signals and trades."""
    bars = regular(done.run.bars)
    view = candles(bars, overview_unit(len(bars)))
    size = "1-minute" if view.unit == 1 else "daily" if view.unit == 390 else f"{view.unit}-minute"
    span = f"{date(view.date[0])} to {date(view.date[-1])}"
    figure = base(done, f"{done.tape.symbol}, {size} candles of regular hours, {span}", 560)
    figure.update_layout(margin={"t": 68})  # room for the legend
    _draw(figure, done, view, done.run.bars)
    first = np.flatnonzero(np.diff(view.date, prepend=view.date[0] - 1))
    shown = first[:: max(1, -(-len(first) // _TICKS))]
    years = [from_ordinal(view.date[i]).year for i in shown]
    texts = [
        f"{date(view.date[i], year=False)}<br>{year if k == 0 or years[k - 1] != year else ''}"
        for k, (i, year) in enumerate(zip(shown, years, strict=True))
    ]
    return _price_axes(figure, view, shown, texts)


def busiest_day(done: ScenarioRun) -> go.Figure:
    """One-minute candles of the day with the most trades (the last day, if there were none)."""
    bars = done.run.bars
    local = new_york_minutes(np.array([t.entry_at for t in done.run.trades], np.int64)) // 1440
    dates, counts = np.unique(local, return_counts=True)
    return day(done, int(dates[counts.argmax()]) if len(dates) else int(bars["day"][-1]))


def day(done: ScenarioRun, date: int) -> go.Figure:
    """One-minute candles of one date: bricks, session levels, signals and trades.

    Parameters
    ----------
    date : days since 1970, as in `BAR.day`
    """
    bars = done.run.bars
    on_day = (bars["day"] == date) & (bars["minute"] >= DAY_FROM) & (bars["minute"] < RTH_CLOSE)
    if not on_day.any():
        on_day = bars["day"] == date
    indices = np.flatnonzero(on_day)
    first, last = int(indices[0]), int(indices[-1]) + 1
    view = candles(bars[first:last], 1)
    figure = base(done, f"{done.tape.symbol}, 1-minute candles of {from_ordinal(date):%A, %-d %B %Y}", 600)
    figure.update_layout(margin={"t": 92})  # room for two rows of legend
    low, high = float(view.low.min()), float(view.high.max())
    room = 0.3 * max(high - low, 0.01)
    for name, values in session_levels(done, first, last).items():
        known = values[np.isfinite(values)]
        if len(known) == 0:
            continue
        # A level far away would press the day flat: it is named, with the side it lies on.
        beyond = " ↑" if known[-1] > high + room else " ↓" if known[-1] < low - room else ""
        figure.add_scatter(
            x=np.arange(len(values)), y=values, mode="lines", name=f"{LEVELS[name]} {known[-1]:.2f}{beyond}",
            line={"width": 1, "dash": "dot", "color": _level_colour(name)}, hoverinfo="name",
        )  # fmt: skip
    figure.update_yaxes(range=[low - room, high + room])
    _draw(figure, done, view, bars[first:last], first)
    ticks = np.flatnonzero(view.minute % 30 == 0)
    return _price_axes(figure, view, ticks, [clock(view.minute[i]) for i in ticks])


def session_levels(done: ScenarioRun, first: int, last: int) -> dict[str, Floats]:
    """The session levels that the strategy itself could use at bars `first` to `last` - 1.

    Read from the state of the strategy, fed bar by bar, so that the chart can't know
    a level before the strategy does. NaN = not known yet. Empty if it keeps none.
    """
    strategy = done.scenario.strategy.build()
    if "ict" not in (strategy.system.state.names or ()):
        return {}
    bars = done.run.bars
    state, _ = strategy.system.run(bars[:first], strategy.params)
    stream = strategy.system.stream(strategy.params)
    stream.restore(state.tobytes())
    known = stream.state["ict"]["levels"]
    rows = []
    for i in range(first, last):
        stream.push(bars[i : i + 1])
        rows.append([float(known[name][0]) for name in LEVELS])
    return dict(zip(LEVELS, np.array(rows).T, strict=True))


def equity(done: ScenarioRun) -> go.Figure:
    """The account at the close of each trade, the start included, and its fall from the peak."""
    trades = done.run.trades
    title = "Account after each closed trade, and its drawdown from the peak"
    if not trades:
        figure = base(done, title, 200)
        say(figure, "No trades")
        return figure.update_xaxes(visible=False).update_yaxes(visible=False)
    pnl = np.array([t.pnl_cents for t in trades], np.int64)
    account = (done.run.start_cents + np.concatenate(([0], np.cumsum(pnl)))) / 100
    fall = account - np.maximum.accumulate(account)
    times = _datetimes(np.array([int(done.run.bars["ts"][0]), *(t.exit_at for t in trades)], np.int64))
    figure = base(done, title, 440, make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.06,
                                                   row_heights=[0.66, 0.34]))  # fmt: skip
    text = ["start", *(f"trade {t.number}, {_money(t.pnl_cents / 100, sign=True)}" for t in trades)]
    figure.add_scatter(
        x=times, y=account, mode="lines", name="account", text=text, row=1, col=1,
        line={"color": theme.BLUE, "width": 1.8, "shape": "hv"},
        hovertemplate="%{x|%-d %b %Y %H:%M}<br>%{text}<br>account $%{y:,.2f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(
        y=float(account[0]), line={"color": theme.MUTED, "width": 1, "dash": "dot"}, row=1, col=1
    )
    figure.add_scatter(
        x=times, y=fall, mode="lines", name="drawdown", fill="tozeroy", row=2, col=1,
        line={"color": theme.DOWN, "width": 1.2, "shape": "hv"}, fillcolor=fade(theme.DOWN, 0.25),
        hovertemplate="%{x|%-d %b %Y %H:%M}<br>drawdown $%{y:,.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title_text="account, $", tickformat=usd_ticks(account), row=1, col=1)
    figure.update_yaxes(title_text="drawdown, $", tickformat=usd_ticks(fall), row=2, col=1)
    figure.update_xaxes(title_text="New York time of the exit", row=2, col=1)
    return figure.update_layout(showlegend=False)


def trade_pnl(done: ScenarioRun) -> go.Figure:
    """P&L of each trade in closing order, and how the results are spread."""
    trades = done.run.trades
    pnl = np.array([t.pnl_cents / 100 for t in trades])
    colours = [theme.UP if p > 0 else theme.DOWN for p in pnl]
    panels = make_subplots(1, 2, column_widths=[0.68, 0.32], horizontal_spacing=0.09)
    figure = base(done, "P&L of each trade after fees, and its distribution", 340, panels)
    figure.add_bar(
        x=np.arange(1, len(trades) + 1), y=pnl, marker={"color": colours, "line": {"width": 0}}, name="trade",
        hovertext=[_tell(t) for t in trades], hoverinfo="text", row=1, col=1,
    )  # fmt: skip
    for name, part, colour in (("profit", pnl[pnl > 0], theme.UP), ("loss", pnl[pnl <= 0], theme.DOWN)):
        bins = _bins(pnl)
        figure.add_histogram(
            x=part, xbins=bins, autobinx=False, marker={"color": colour, "line": {"width": 0}}, name=name,
            hovertemplate="$%{x}: %{y} trades<extra></extra>", row=1, col=2,
        )  # fmt: skip
    figure.update_xaxes(title_text="trade, in closing order", row=1, col=1)
    figure.update_yaxes(title_text="P&L, $", tickformat=usd_ticks(pnl), row=1, col=1)
    figure.update_xaxes(title_text="P&L of a trade, $", tickformat=usd_ticks(pnl), row=1, col=2)
    figure.update_yaxes(title_text="trades", row=1, col=2)
    if not trades:
        say(figure, "No trades")
    return figure.update_layout(showlegend=False, barmode="stack", bargap=0.12)


def win_rate(done: ScenarioRun) -> go.Figure:
    """The claimed win rate as a point, the measured one with its 95 % Wilson interval."""
    m, claims = done.metrics, done.scenario.claims
    figure = base(done, "Win rate: claimed, and measured with its 95 % interval", 220)
    rows: list[str] = []
    if claims is not None and claims.win_rate is not None:
        rows.append("claimed")
        figure.add_scatter(
            x=[claims.win_rate], y=["claimed"], mode="markers+text", text=[_percent(claims.win_rate)],
            textposition="top center", marker={"symbol": "diamond", "size": 13, "color": theme.AMBER},
            hoverinfo="text", hovertext=escape(claims.source), cliponaxis=False,
        )  # fmt: skip
    rows.append(f"measured, n = {m.trades}")
    if m.win_rate is not None:
        figure.add_scatter(
            x=[m.win_rate], y=[rows[-1]], mode="markers+text", text=[_percent(m.win_rate)],
            textposition="top center", marker={"size": 13, "color": theme.BLUE}, cliponaxis=False,
            error_x={
                "type": "data", "symmetric": False, "array": [m.win_high - m.win_rate],
                "arrayminus": [m.win_rate - m.win_low], "color": theme.BLUE, "thickness": 2.5, "width": 8,
            },
            hoverinfo="text",
            hovertext=f"{m.wins} of {m.trades} won: {_percent(m.win_low)} to {_percent(m.win_high)}",
        )  # fmt: skip
    else:
        say(figure, "No trades, so no win rate")
    figure.update_xaxes(range=[-0.01, 1.01], tickformat=".0%", dtick=0.1, title_text="share of trades won")
    figure.update_yaxes(
        side="left", categoryorder="array", categoryarray=rows[::-1], range=[-0.6, len(rows) - 0.3],
        showgrid=False, tickfont={"size": 13, "color": theme.TEXT},
    )  # fmt: skip
    return figure.update_layout(showlegend=False, margin={"l": 130, "r": 32})


# --- parts


def base(done: ScenarioRun, title: str, height: int, figure: go.Figure | None = None) -> go.Figure:
    """An empty figure with title, stamp and look."""
    figure = go.Figure() if figure is None else figure
    simulated = done.tape.simulated
    title = escape(title)
    stamped = f'<b style="color:{theme.AMBER}">SIMULATED</b> · {title}' if simulated else title
    figure.update_layout(
        template=theme.TEMPLATE,
        title={"text": stamped, "x": 0.0, "xref": "container", "xanchor": "left", "y": 1.0,
               "yref": "container", "yanchor": "top", "pad": {"t": 14, "l": 16}},
        height=height,
        hovermode="closest",
        margin={"l": 16, "r": 76, "t": 52, "b": 56},
        legend={"orientation": "h", "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(zeroline=False)
    figure.update_yaxes(zeroline=False, side="right")
    if simulated:
        figure.add_annotation(
            text="SIMULATED", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, textangle=-14,
            font={"size": 84, "color": theme.AMBER}, opacity=0.07, name="stamp",
        )  # fmt: skip
    return figure


def _draw(figure: go.Figure, done: ScenarioRun, view: Candles, bars: Rows, first: int = 0) -> None:
    """Candles, brick line, signals and trades of `bars`, which begin at bar `first` of the run."""
    x = np.arange(len(view.open))
    texts = [
        f"{date(d)}, {clock(m)}<br>open {o:.2f}, high {h:.2f}<br>low {l:.2f}, close {c:.2f}"
        for d, m, o, h, l, c in zip(
            view.date, view.minute, view.open, view.high, view.low, view.close, strict=True
        )
    ]
    # Grey candles: green and red are kept for money won and lost.
    figure.add_candlestick(
        x=x, open=view.open, high=view.high, low=view.low, close=view.close, name="price", hovertext=texts,
        hoverinfo="text", increasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.PANEL},
        decreasing={"line": {"color": theme.MUTED, "width": 1}, "fillcolor": theme.MUTED}, whiskerwidth=0,
    )  # fmt: skip
    out = done.run.out[first : first + len(bars)]
    if "level" in (out.dtype.names or ()):
        at_end = np.searchsorted(bars["ts"], view.end)
        figure.add_scatter(
            x=x, y=out["level"][at_end], mode="lines", hoverinfo="skip",
            line={"color": theme.VIOLET, "width": 1.4, "shape": "hv"},
            # Over months the line lies on top of the candles and hides them: there it waits for a click.
            name="last Renko brick" if view.unit == 1 else "last Renko brick (click to show)",
            visible=True if view.unit == 1 else "legendonly",
        )  # fmt: skip
    pad = _SIGNAL_PAD * float(view.high.max() - view.low.min())
    kinds = (1, "call signal", "triangle-up", theme.BLUE), (-1, "put signal", "triangle-down", theme.AMBER)
    for side, name, symbol, colour in kinds:
        hits = np.flatnonzero(out["signal"]["side"] == side)
        if len(hits) == 0:
            continue
        at = view.find(bars["ts"][hits])
        formed = out["signal"]["formed_at"][hits]
        figure.add_scatter(
            x=at, y=view.low[at] - pad if side > 0 else view.high[at] + pad, mode="markers", hoverinfo="text",
            # Over months signals lie on the trades that they became: there they wait for a click too.
            name=f"{name} ({len(hits)})" if view.unit == 1 else f"{name} ({len(hits)}, click to show)",
            visible=True if view.unit == 1 else "legendonly",
            marker={"symbol": symbol, "size": 8 if view.unit == 1 else 6, "color": colour},
            hovertext=[
                f"{name}<br>formed {_time(f)}<br>known {_time(k)}"
                for f, k in zip(formed, bars["ts"][hits], strict=True)
            ],
        )  # fmt: skip
    _trades(figure, done.run.trades, view)


def _trades(figure: go.Figure, trades: list[Trade], view: Candles) -> None:
    """A segment from entry to exit for each trade in view, by profit and loss."""
    first, last = int(view.start[0]), int(view.end[-1])
    seen = [t for t in trades if t.exit_at > first and t.entry_at < last]
    for name, won, colour in (("profit", True, theme.UP), ("loss", False, theme.DOWN)):
        part = [t for t in seen if (t.pnl_cents > 0) is won]
        if not part:
            continue
        x, y = np.full((len(part), 3), np.nan), np.full((len(part), 3), np.nan)
        x[:, 0] = view.place(np.array([t.entry_at for t in part], np.int64))
        x[:, 1] = view.place(np.array([t.exit_at for t in part], np.int64))
        y[:, :2] = [(t.entry_spot, t.exit_spot) for t in part]
        texts = [text for t in part for text in (_tell(t), _tell(t), "")]
        figure.add_scatter(
            x=x.ravel(), y=y.ravel(), name=f"{name} ({len(part)})", hovertext=texts, hoverinfo="text",
            # On a coarse chart a trade is a few pixels wide: its ends would hide it.
            mode="lines+markers" if view.unit == 1 else "lines",
            line={"color": colour, "width": 2 if view.unit == 1 else 3}, connectgaps=False,
            marker={"size": 7, "color": colour, "symbol": ["circle", "square", "circle"] * len(part)},
        )  # fmt: skip


def _price_axes(figure: go.Figure, view: Candles, ticks: Any, texts: list[str]) -> go.Figure:
    n = len(view.open)
    figure.update_xaxes(
        tickmode="array", tickvals=np.asarray(ticks), ticktext=texts, range=[-1, n],
        title_text="New York time", rangeslider={"visible": False},
    )  # fmt: skip
    return figure.update_yaxes(title_text="price, $", tickformat=",.2f")


def _tell(t: Trade) -> str:
    """A trade for a hover box."""
    side = "calls" if t.side > 0 else "puts"
    return (
        f"<b>#{t.number} {side}, {t.quantity} × {escape(t.name)}</b><br>"
        f"formed {_time(t.formed_at)}, known {_time(t.known_at)}<br>"
        f"in {_time(t.entry_at)} at {_money(t.entry_price_cents / 100)} ({t.entry_spot:.2f})<br>"
        f"out {_time(t.exit_at)} at {_money(t.exit_price_cents / 100)} ({t.exit_spot:.2f}), "
        f"{escape(t.reason.replace('_', ' '))}<br>"
        f"<b>P&L {_money(t.pnl_cents / 100, sign=True)}</b> after {_money(t.fee_cents / 100)} fees"
    )


def usd_ticks(values: Sequence[float] | Floats) -> str:
    """The format of an axis over these dollars: whole ones, or cents where all lies within ten dollars.

    Not d3's SI prefixes below a dollar: they would write half a dollar as $500m.
    """
    span = float(np.ptp(values)) if len(values) else 0.0
    return "$,.2f" if span < _CENTS_BELOW else "$,.0f" if span < _THOUSANDS_FROM else "$,.3~s"


def say(figure: go.Figure, text: str) -> None:
    """Words in the middle of a figure that has nothing to show."""
    figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False,
        font={"size": 14, "color": theme.MUTED},
    )  # fmt: skip


def _bins(pnl: Floats) -> dict[str, float] | None:
    """About 24 bins of a round width, with an edge at 0 so that no bin mixes profit and loss."""
    if len(pnl) == 0:
        return None
    rough = max(float(pnl.max() - pnl.min()) / 24, 1.0)
    power = 10 ** np.floor(np.log10(rough))
    width = float(power * next(step for step in (1, 2, 5, 10) if step * power >= rough))
    low, high = np.floor(pnl.min() / width) * width, (np.floor(pnl.max() / width) + 1) * width
    # A P&L of 0 is no profit: half a cent to the right, it falls into the bin on the left.
    return {"start": float(low) + 0.005, "end": float(high) + 0.005, "size": width}


def _datetimes(ts: Ints) -> NDArray[np.datetime64]:
    """New York wall time to the minute, as plotly draws it."""
    return new_york_minutes(ts).astype("datetime64[m]")


def _level_colour(name: str) -> str:
    return {"day": theme.MUTED, "asia": theme.AMBER, "london": theme.BLUE}[name.split("_")[0]]


def fade(colour: str, alpha: float) -> str:
    """A colour of the theme, see-through; `alpha` 1 = opaque."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def _money(value: float, *, sign: bool = False) -> str:
    mark = "−" if value < 0 else "+" if sign and value > 0 else ""
    return f"{mark}${abs(value):,.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def clock(minute: int) -> str:
    """A minute of the day as hh:mm."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def date(day: int, *, year: bool = True) -> str:
    """A day, as days since 1970, in words."""
    shown: dt.date = from_ordinal(day)
    return f"{shown:%-d %b %Y}" if year else f"{shown:%-d %b}"


def _time(ts: int) -> str:
    return f"{new_york(int(ts)):%-d %b %H:%M}"
