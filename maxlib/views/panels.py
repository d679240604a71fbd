"""The panels of the live page: a view in, HTML out. All text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Final

import ipywidgets as widgets

from maxlib.analytics.metrics import wilson
from maxlib.engine.live import Status
from maxlib.engine.session_views import JournalRow, PositionView, SessionView, TradeView
from maxlib.market.calendar import new_york, session
from maxlib.views.journal_words import summary
from maxlib.views.words import hhmm, option, tone, usd

View = SessionView | Status
WHY_NOT: Final = {
    "POSITION_LIMIT": "already in a position",
    "MARKET_CLOSED": "outside regular hours",
    "TOO_LATE": "too close to the close",
    "STALE_PATTERN": "pattern older than the last exit, minutes",
    "UNAFFORDABLE": "one contract costs more than the budget",
    "INSUFFICIENT_CASH": "not enough cash at the fill",
    "TAPE_ENDED": "stopped before the entry was filled",
    "FEED_DOWN": "feed not connected, seconds",
    "STALE_FEED": "newest minute too old, seconds",
    "BROKER_DOWN": "broker not heard, seconds",
    "BROKER_DIFFERS": "account and books differ",
    "JOURNAL_DOWN": "journal could not be written, seconds",
    "CLOCK_JUMP": "machine slept or its clock was set, seconds",
    "NO_STRUCTURE": "no structure pays enough",
    "HALTED": "halted by a request",
    "KILL_SWITCH": "kill switch thrown",
    "DRY_RUN": "dry run: no order is sent",
    "REGIME_PAUSED": "market state lets nobody trade",
    "REGIME_STRATEGY": "not this strategy in this market state",
    "SAFE_MODE": "safe mode: health checks failed",
    "BREAKER_LOSSES": "breaker: losses, minutes",
    "BREAKER_ERRORS": "breaker: errors, minutes",
    "BREAKER_DRAWDOWN": "breaker: fall from the peak, minutes",
    "DAILY_LOSS": "loss of the day, dollars",
    "OPEN_POSITIONS": "positions open",
    "TRADES_TODAY": "entries of the day",
    "STRATEGY_TRADES": "entries of the strategy today",
    "TRADE_SPACING": "seconds since the entry before",
    "POSITION_SIZE": "premium too large, dollars",
    "EXPOSURE": "premium of all positions, dollars",
    "DAILY_LOSS_USD": "loss of the day, dollars",
    "WEEKLY_LOSS": "loss of the week, per cent",
    "MONTHLY_LOSS": "loss of the month, per cent",
    "TOTAL_LOSS": "below the peak, dollars",
    "HARD_DRAWDOWN": "below the peak, per cent",
    "MAX_POSITIONS": "positions open in all books",
    "BOOK_POSITIONS": "positions open in this book",
    "TRADE_RISK": "cost above the book's share, dollars",
    "SIZE_LIMIT": "cost above the absolute limit, dollars",
    "SOFT_DRAWDOWN": "half of it is less than a unit",
}
STALE_SECONDS: Final = 120
"""Market seconds without a bar after which the data age is shown as a warning."""


class Panel(widgets.HTML):
    """A part of the page that renders a view; `area` is its place in theme.css, `boxed` its frame."""

    def __init__(self, area: str, render: Callable[[Any], str], *, boxed: bool = True) -> None:
        super().__init__()
        self.add_class(f"mx-{area}")
        if boxed:
            self.add_class("mx-panel")
        self._render = render

    def show(self, view: object) -> None:
        """Render; nothing is sent if nothing changed."""
        self.value = self._render(view)


def _title(text: str, note: str = "") -> str:
    return f"<h3>{text}<small>{note}</small></h3>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def _empty(text: str) -> str:
    return f'<p class="mx-empty">{text}</p>'


# --- header and tiles


def header(view: SessionView) -> str:
    """Brand, symbol, where the prices come from, and the state."""
    return (
        f"<b class='mx-brand'>MAXTRADER</b><span class='mx-symbol'>{escape(view.symbol)}</span>"
        f"<span class='mx-badge mx-label'>{view.label}</span>"
        f"<span class='mx-badge mx-state mx-{view.state.lower()}'>{view.state}</span>"
    )


def clocks(view: SessionView) -> str:
    """Market time and the age of the newest bar by it."""
    age, kind = "–", ""
    if view.age_s is not None:
        age = f"{view.age_s:.0f} s" if view.age_s < STALE_SECONDS else f"{view.age_s / 60:.0f} min"
        kind = "mx-amber" if view.age_s >= STALE_SECONDS else ""
    return (
        f"<div class='mx-fact'><label>market time, New York</label>"
        f"<b>{new_york(view.clock):%a %-d %b %Y, %H:%M:%S}</b></div>"
        f"<div class='mx-fact'><label>data age</label><b class='{kind}'>{age}</b></div>"
    )


def tiles(view: View) -> str:
    """The seven numbers a trader looks at first."""
    return "".join(
        f"<div class='mx-tile'><label>{name}</label><b class='{kind}'>{value}</b><small>{note}</small></div>"
        for name, value, kind, note in (
            _last(view),
            _held(view),
            _unrealised(view),
            ("Realised", usd(view.realised_cents), tone(view.realised_cents),
             f"after {usd(view.fee_cents, sign=False)} fees"),
            ("Equity", usd(view.equity_cents, sign=False), "",
             "what is open at its cost" if _unpriced(view) else f"from {usd(view.start_cents, sign=False)}"),
            ("Trades", str(len(view.trades)), "", f"{view.signals} signal{'' if view.signals == 1 else 's'}"),
            _win_rate(view),
        )
    )  # fmt: skip


def _last(view: View) -> tuple[str, str, str, str]:
    if view.last is None or view.bar_at is None:
        return "Last", "–", "mx-muted", "no bar yet"
    name, last = f"{_hours(view.bar_at)}, {hhmm(view.bar_at)}", f"{view.last:.2f}"
    if view.previous_close is None:
        return name, last, "", "no prior close"
    change = view.last / view.previous_close - 1
    text = f"{change:+.2%}".replace("-", "−")
    return name, last, "", f"<span class='{tone(change)}'>{text}</span> on the prior close"


def _hours(bar_at: int) -> str:
    """What kind of price the newest one is: of regular hours, or of those before or after them."""
    local = new_york(bar_at)
    hours, minute = session(local.date()), local.hour * 60 + local.minute
    if hours is None or hours.open_minute < minute <= hours.close_minute:
        return "Last"
    return "Pre-market" if minute <= hours.open_minute else "After hours"


def _held(view: View) -> tuple[str, str, str, str]:
    if not view.positions:
        return "Position", "Flat", "mx-muted", "nothing open"
    first, *rest = view.positions
    more = f" +{len(rest)}" if rest else ""
    quantity = first.open_quantity or first.quantity
    note = _waits(view)
    if first.entry_cents is not None:
        bid = "no bid" if first.bid_cents is None else f"bid {first.bid_cents / 100:.2f}"
        note = f"{first.entry_cents / 100:.2f} → {bid}"
    return "Position", f"{quantity} × {option(first.right, first.strike)}{more}", "", note


def _unrealised(view: View) -> tuple[str, str, str, str]:
    if _unpriced(view):
        return "Unrealised", "–", "mx-amber", "no quote to value it at"
    cents = view.unrealised_cents
    return "Unrealised", usd(cents), tone(cents), "at the bid, after exit fees"


def _unpriced(view: View) -> bool:
    """Whether something is open that nothing quotes: its profit or loss is not known, and counts as 0."""
    return any(p.entry_cents is not None and p.bid_cents is None for p in view.positions)


def _waits(view: View) -> str:
    live = isinstance(view, Status) and (view.quotes == "live" or view.fills == "broker")
    return "waits for its fill" if live else "waits for the next open"


def _win_rate(view: View) -> tuple[str, str, str, str]:
    n = len(view.trades)
    if n == 0:
        return "Win rate", "–", "mx-muted", "n = 0"
    low, high = wilson(view.wins, n)
    lost = -sum(t.pnl_cents for t in view.trades if t.pnl_cents < 0)
    won = sum(t.pnl_cents for t in view.trades if t.pnl_cents > 0)
    factor = f"{won / lost:.2f}" if lost else "–"
    text = f"{view.wins / n:.0%}<span title='profit factor: what was won by what was lost'>PF {factor}</span>"
    return "Win rate", text, "mx-beside", f"n = {n}, 95%: {low:.0%} to {high:.0%}"


# --- panels


def position(view: View) -> str:
    """What is held, what it would bring now, and where it leaves."""
    title = _title("Position", quoted(view))
    if not view.positions:
        return title + _empty("Flat.")
    return title + "".join(_position(p, _waits(view)) for p in view.positions)


def quoted(view: View) -> str:
    """Where option quotes come from; or that there are none to trade at, in red if that holds a position."""
    if isinstance(view, SessionView) or view.quotes == "modelled":
        return "quotes modelled"
    if not view.unquoted:
        return "quotes live"
    kind = "mx-down" if view.positions else "mx-amber"
    return f"<span class='{kind}' title='{escape(view.unquoted)}'>no live quotes: nothing fills</span>"


def _position(p: PositionView, waits: str) -> str:
    package = " " in p.contract  # several legs: the name says them all
    held = p.contract if package else f"{p.contract[:-15]} {option(p.right, p.strike)}, {p.expiry:%-d %b}"
    rows: list[tuple[str, str, str]] = [
        ("Package" if package else "Contract", escape(held), ""),
        ("Quantity", f"{p.open_quantity} of {p.quantity}", ""),
        ("Entry", waits, "mx-amber"),
    ]
    if p.entry_cents is not None and p.entry_at is not None:
        rows[-1] = ("Entry", f"{p.entry_cents / 100:.2f} at {hhmm(p.entry_at)}", "")
        rows += (
            [
                ("Bid now", f"{p.bid_cents / 100:.2f}", ""),
                ("Unrealised", usd(p.unrealised_cents), tone(p.unrealised_cents)),
            ]
            if p.bid_cents is not None
            else [("Bid now", "no quote", "mx-amber"), ("Unrealised", "–", "")]
        )
        rows += [
            ("Stop", _price(p.stop), ""),
            ("Targets", f"{_price(p.tp1)} / {_price(p.tp2)}", ""),
        ]
    return "<dl>" + "".join(f"<dt>{k}</dt><dd class='{c}'>{v}</dd>" for k, v, c in rows) + "</dl>"


def _price(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def trades(view: View) -> str:
    """Closed trades, the newest on top."""
    title = _title("Trades", _books(view) or (str(len(view.trades)) if view.trades else ""))
    if not view.trades:
        return title + _empty("No trade closed yet.")
    head = ("Time", "Contract", "Qty", "In", "Out", "Why", "P&amp;L")
    return title + _table(head, (_trade(t) for t in reversed(view.trades)))


def _books(view: View) -> str:
    """Each book's day in a few words, where there are two."""
    guarded = None if isinstance(view, SessionView) else view.guarded
    return ", ".join(
        f"{escape(book.book)} <span class='{tone(book.pnl_cents)}'>{usd(book.pnl_cents)}</span>"
        f" ({book.wins} of {book.trades} won)"
        for book in (guarded.books if guarded else ())
    )


def _trade(t: TradeView) -> list[str]:
    return [
        _cell(f"{hhmm(t.entry_at)}–{hhmm(t.exit_at)}"),
        _cell(option(t.right, t.strike)),
        _cell(str(t.quantity), "n"),
        _cell(f"{t.entry_cents / 100:.2f}", "n"),
        _cell(f"{t.exit_cents / 100:.2f}", "n"),
        _cell(escape(t.reason).replace("_", " ")),
        _cell(usd(t.pnl_cents), f"n {tone(t.pnl_cents)}"),
    ]


def why_not(view: View) -> str:
    """Signals that became no trade, by reason."""
    total = sum(d.count for d in view.denials)
    title = _title("Why not traded", str(total) if total else "")
    if not view.denials:
        return title + _empty("No signal was refused.")
    rows = []
    for d in view.denials:
        numbers = (
            f" ({d.actual:g}, limit {d.limit:g})"
            if d.limit is not None and d.actual is not None and d.code != "HALTED"  # it has no numbers
            else ""
        )
        text = WHY_NOT.get(d.code, escape(d.code)) + numbers
        rows.append(
            [_cell(str(d.count), "n"), _cell(f"<span title='{escape(d.code)}'>{text}</span>", "wrap")]
        )
    return title + _table(("n", "Reason"), rows)


def journal(view: View) -> str:
    """The newest entries of the hash chain, the newest on top."""
    note = (
        f"{view.journal_count} entries, head {escape(view.journal_head[:10])}" if view.journal_count else ""
    )
    title = _title("Journal", note)
    if not view.journal_tail:
        return title + _empty("Nothing recorded yet.")
    head = ("#", "Time", "Entry", "")
    return title + _table(head, (_entry(row) for row in reversed(view.journal_tail)))


def _entry(row: JournalRow) -> list[str]:
    return [
        _cell(str(row.seq), "n mx-muted"),
        _cell(hhmm(row.ts)),
        _cell(escape(row.kind)),
        _cell(f"<span title='{escape(row.body)}'>{escape(summary(row.kind, row.body))}</span>", "cut"),
    ]
