"""HTML of a daily report: stamp, drift, the day's trades, why not traded, events, provenance.

In the words and pieces of `tables`. Every text that came from outside goes through `esc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maxlib.core.config import config_hash
from maxlib.market.calendar import from_ordinal, new_york
from maxlib.research.daily import Daily, denials, title
from maxlib.research.drift import BOUND, MIN_SESSIONS, MIN_TRADES, Compared, Drift
from maxlib.research.paper_days import Denied, PaperDay, PaperTrade
from maxlib.research.provenance import code_version
from maxlib.risk.codes import MEANING
from maxlib.views.tables import DENIALS, _list, _table, box, esc, money, share, tone

LABELS: Final = {
    "SIMULATED": "bars of the embedded market simulator. Nothing here ever traded.",
    "REPLAY": "recorded bars of a past date. Nothing here was traded that day.",
    "PAPER": "that day's market, paper money. No order reached an exchange.",
    "DELAYED": "that day's market, told 15 minutes late, paper money. No order reached an exchange.",
}
BROKERS: Final = {
    "simulated": "Fills are our own, at modelled or live quotes.",
    "dry-run": "Orders go nowhere, so there are no fills.",
    "fake": "Fills come from a fake broker on this machine.",
    "alpaca": "Fills come from the broker's simulation.",
}
VERDICTS: Final[dict[Drift, tuple[str, str]]] = {
    "within": ("within ±10 %", "good"),
    "drift": ("drift", "bad"),
    "not_enough": ("not enough", "warn"),
}
"""Verdict -> words and colour class."""


def stamp(report: Daily) -> str:
    """The label, in words."""
    text = LABELS.get(report.today.label, "see the paper trader's page for what this label means.")
    text = f"{text} {BROKERS.get(report.today.broker, '')}"
    kind = "simulated" if report.simulated else "real"
    return f'<p class="banner {kind}"><b>{esc(report.today.label)}</b> {esc(text)}</p>'


def head(report: Daily) -> str:
    """Stamp and title."""
    today, expected = report.today, report.expected
    rests = (
        f"{expected.trades:,} trades in {len(expected.signals):,} sessions, "
        f"{from_ordinal(expected.first)} to {from_ordinal(expected.last)}"
        if len(expected.signals)
        else "no session"
    )
    days = f"{len(report.days)} days of paper trading, the last" if len(report.days) > 1 else "one day"
    return (
        f'<header class="mt">{stamp(report)}<h1>Daily report: {esc(title(report))}</h1>'
        f'<p class="about">{esc(today.scenario.title)}. Actual: {days} on this date. '
        f"Expected: a backtest over the days before, which rests on {esc(rests)}.</p></header>"
    )


def verdict(report: Daily) -> str:
    """The drift verdict, and each figure: actual, expected, the interval of the difference, the bound."""
    words, colour = VERDICTS[report.verdict]
    more = (
        f"Within or drift is said only where the whole 95 % interval says it, and never below {MIN_TRADES} "
        f"trades or {MIN_SESSIONS} sessions."
    )
    rows = [_compared(figure) for figure in report.figures]
    header = ("", "actual", "expected", "difference, 95 % interval", f"bound ±{BOUND:.0%}", "verdict", "why")
    return (
        f'{box(words, colour, report.sentence, more)}<div class="mt">{_table(header, rows, "drift")}'
        '<p class="small">P&amp;L, after fees, and slippage are of one unit of a position: sizes follow the '
        "account, which a backtest has grown or shrunk on the way. Slippage is what a unit cost against the "
        "middle of the modelled quotes, in and out.</p></div>"
    )


def _value(figure: Compared, value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    if figure.unit == "share":
        return f"{'+' if sign and value > 0 else ''}{share(value)}"
    if figure.unit == "usd":
        return money(value, sign=sign)
    return f"{value:{'+' if sign else ''},.1f}".replace("-", "−")


def _compared(figure: Compared) -> str:
    words, colour = ("not judged", "plain") if figure.verdict is None else VERDICTS[figure.verdict]
    between = "–"
    if figure.low is not None and figure.high is not None:
        between = f"{_value(figure, figure.low, sign=True)} to {_value(figure, figure.high, sign=True)}"
    needed = ""
    if figure.needed is not None and figure.verdict == "not_enough":
        needed = f" About {figure.needed:,} {figure.of} would tell."
    cells = [
        f"{_value(figure, value)} <span class=small>n = {n:,}</span>"
        for value, n in ((figure.actual, figure.actual_n), (figure.expected, figure.expected_n))
    ]
    return (
        f"<tr><th scope=row>{esc(figure.name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f"<td>{esc(between)}</td><td>{esc(_value(figure, figure.bound))}</td>"
        f'<td class="word {colour}">{esc(words)}</td><td class=why>{esc(figure.why)}.{esc(needed)}</td></tr>'
    )


def tiles(report: Daily) -> str:
    """The day in figures."""
    today = report.today
    won = sum(t.pnl_cents > 0 for t in today.trades)
    pnl = today.pnl_cents / 100
    fees = sum(t.fee_cents for t in today.trades) / 100
    slipped = sum(t.slippage_cents for t in today.trades) / 100
    account = today.scenario.risk.account_usd
    cells = [
        ("Trades", f"{len(today.trades):,}", f"{won:,} won", ""),
        ("P&L", money(pnl, sign=True), f"{share(pnl / account)} of {money(account)}", tone(pnl)),
        ("Fees", money(fees), "in the P&L", ""),
        ("Slippage", money(slipped), "against the middle, in the P&L", ""),
        ("Signals", f"{len(today.signals):,}", f"{len(today.denied):,} denied", ""),
        ("Bars", f"{len(today.bars):,}", f"the day is {_complete(today, 'over')}", ""),
    ]
    shown = "".join(
        f'<div><span class="small">{esc(name)}</span><b class="{colour}">{esc(value)}</b>'
        f'<span class="small">{esc(note)}</span></div>'
        for name, value, note, colour in cells
    )
    return f'<div class="mt"><div class="tiles">{shown}</div></div>'


def trades(rows: Sequence[PaperTrade]) -> str:
    """The day's closed trades."""
    if not rows:
        return '<div class="mt"><p>No trade was closed.</p></div>'
    header = (
        "#",
        "side",
        "entry",
        "exit",
        "contract",
        "qty",
        "paid",
        "got",
        "slippage",
        "fees",
        "P&L",
        "exit by",
    )
    return f'<div class="mt">{_table(header, map(_trade, rows), "paper")}{_small(_TRADES)}</div>'


_TRADES: Final = "Times are New York. Paid and got are dollars per share, got the average over partial exits."


def _small(text: str) -> str:
    return f'<p class="small">{esc(text)}</p>'


def _trade(t: PaperTrade) -> str:
    pnl = t.pnl_cents / 100
    cells = (
        f"{t.quantity:,}", f"{t.entry_cents / 100:,.2f}", f"{t.exit_cents / 100:,.2f}",
        f"{t.slippage_cents / 100:,.2f}", f"{t.fee_cents / 100:,.2f}",
    )  # fmt: skip
    return (
        f"<tr><td class=text>{t.number}</td><td class=text>{_side(t.side)}</td><td>{_clock(t.entry_at)}</td>"
        f"<td>{_clock(t.exit_at)}</td><td class=text>{esc(t.contract)}</td>"
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f'<td class="{tone(pnl)}">{money(pnl, sign=True)}</td>'
        f"<td class=text>{esc(t.reason.replace('_', ' '))}</td></tr>"
    )


def _clock(ts: int) -> str:
    return f"{new_york(ts):%H:%M}"


def _side(side: int) -> str:
    """What a signal of that side buys: a bought put is no short."""
    return "calls" if side > 0 else "puts"


def why_not(report: Daily) -> str:
    """Why not traded today: signals, refusals by code, then each."""
    today = report.today
    if not len(today.bars):
        return '<div class="mt"><p>No bar came, so nothing could be decided.</p></div>'
    if not today.signals:
        return '<div class="mt"><p>The strategy gave no signal. Nothing was refused.</p></div>'
    count, refused = len(today.signals), len(today.denied)
    said = f"{count:,} signals: {refused:,} denied, {count - refused:,} became orders."
    if not refused:
        return f'<div class="mt"><p>{esc(said)}</p></div>'
    rows = [
        f"<tr><th scope=row><code>{esc(code)}</code></th><td class=text>{esc(meaning(code))}</td>"
        f"<td>{times:,}</td></tr>"
        for code, times in denials(today)
    ]
    each = _table(("time", "side", "code", "limit", "actual"), map(_denied, today.denied), "denied")
    return (
        f'<div class="mt"><p>{esc(said)}</p>{_table(("code", "meaning", "signals"), rows, "words")}'
        f"<p></p>{each}</div>"
    )


def meaning(code: str) -> str:
    """A denial in words; "" for a code that nobody explained."""
    return DENIALS.get(code) or {str(key): text for key, text in MEANING.items()}.get(code, "")


def _denied(one: Denied) -> str:
    numbers = "".join(f"<td>{x:,.6g}</td>" for x in (one.limit, one.actual))
    return (
        f"<tr><td class=text>{_clock(one.ts)}</td><td class=text>{_side(one.side)}</td>"
        f"<td class=text><code>{esc(one.code)}</code></td>{numbers}</tr>"
    )


def events(report: Daily) -> str:
    """Regimes, breakers, halts, commands and refused orders, as the journal tells them."""
    today = report.today
    lead = ""
    if today.scenario.guard is None:
        lead = "The scenario has no guard, so no regime was asked and none is logged."
    if not today.log:
        return f'<div class="mt"><p>{esc(lead)} Nothing else happened.</p></div>'
    rows = [
        f"<tr><td class=text>{_clock(one.ts)}</td><td class=text>{esc(one.kind)}</td>"
        f"<td class=why>{esc(one.text)}</td></tr>"
        for one in today.log
    ]
    return f'<div class="mt"><p>{esc(lead)}</p>{_table(("time", "kind", "what"), rows, "words events")}</div>'


def _complete(day: PaperDay, yes: str) -> str:
    if not day.finished:
        return "not over"
    return f"{yes}, {day.unseen:,} minutes unseen" if day.unseen else yes


def days(report: Daily) -> str:
    """Each day that the actual figures rest on."""
    rows = [
        f"<tr><th scope=row>{day.date}</th><td>{len(day.signals):,}</td><td>{len(day.denied):,}</td>"
        f"<td>{len(day.trades):,}</td><td>{sum(t.pnl_cents > 0 for t in day.trades):,}</td>"
        f'<td class="{tone(day.pnl_cents)}">{money(day.pnl_cents / 100, sign=True)}</td>'
        f"<td>{_complete(day, 'yes')}</td></tr>"
        for day in report.days
    ]
    header = ("date", "signals", "denied", "trades", "won", "P&L", "complete")
    return f'<div class="mt">{_table(header, rows)}</div>'


def notes(report: Daily) -> str:
    """What else must be known of the figures."""
    return _list(report.notes) if report.notes else '<div class="mt"><p>None.</p></div>'


def provenance(report: Daily) -> str:
    """Where every figure came from, with the hashes that prove it."""
    today, expected = report.today, report.expected
    rows = [
        ("Label", today.label),
        ("Journal", f"{today.entries:,} entries, head {today.head}; its chain and pages were checked"),
        ("Broker", today.broker),
        ("Fills", f"{today.modelled:,} of {today.fills:,} are modelled"),
        ("Trader's code", today.code_version),
        ("Bars of the trader", today.data_sha256 or "those of a vendor, as they came"),
        ("Bars of the backtest", f"{expected.name}, {expected.sha256}"),
        ("Settings", f"{config_hash(today.scenario)} (SHA-256 of the resolved scenario)"),
        ("Code of this report", code_version()),
    ]
    cells = [f"<tr><th scope=row>{esc(k)}</th><td class=text>{esc(v)}</td></tr>" for k, v in rows]
    return f'<div class="mt"><table class="facts"><tbody>{"".join(cells)}</tbody></table></div>'
