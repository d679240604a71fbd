"""HTML of a result: verdict, trades, refusals, data quality, provenance.

Most take the `result` of `research.run.result` (the content of `result.json`), so a
report and an index built later from the file say the same words. Every text that came
from outside goes through `esc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

from maxlib.market.calendar import new_york
from maxlib.views import theme

if TYPE_CHECKING:  # an index page needs no kernels
    from maxlib.data.report import QualityReport
    from maxlib.engine.events import Trade

Result = Mapping[str, Any]

FIGURES: Final = {
    "trades": "Trades", "win_rate": "Win rate", "pnl_usd": "P&L", "max_drawdown_usd": "Largest drawdown",
}  # fmt: skip
VERDICTS: Final = {
    "holds": ("holds", "good"),
    "does_not_hold": ("does not hold", "bad"),
    "no_claim": ("no claim", "plain"),
    "refused": ("refused", "bad"),
    "failed": ("could not run", "warn"),
}
"""Verdict -> words and colour class."""
DENIALS: Final = {
    "POSITION_LIMIT": "as many positions were open as are allowed",
    "MARKET_CLOSED": "the regular session was over at the moment of the entry",
    "TOO_LATE": "too few minutes were left before the close",
    "UNAFFORDABLE": "one contract cost more than the budget of a position",
    "HALTED": "trading was halted",
    "KILL_SWITCH": "the kill switch was thrown",
    "FEED_DOWN": "the feed was not connected",
    "STALE_FEED": "the newest minute was too old when it was known",
    "JOURNAL_DOWN": "the journal could not be written, and the trader had not caught up yet",
    "CLOCK_JUMP": "the machine had slept or its clock was set, and the trader had not caught up yet",
    "NO_STRUCTURE": "no structure paid enough for its risk",
    "STALE_PATTERN": "the pattern had formed before the last exit",
}


def esc(value: object) -> str:
    """Text made safe for HTML, attributes included."""
    return escape(str(value), quote=True)


@lru_cache(1)
def css() -> str:
    """The style sheet of reports, with the colours of `theme` filled in."""
    text = files("maxlib.views").joinpath("report.css").read_text(encoding="utf-8")
    return Template(text).substitute(theme.COLOURS, sans=theme.SANS, mono=theme.MONO)


def style() -> str:
    """The style sheet as an element, for a notebook opened in JupyterLab."""
    return f"<style>{css()}</style>"


# --- words


def money(value: float | None, *, sign: bool = False) -> str:
    """Dollars and cents; a dash for None.

    >>> money(-3827.5), money(12, sign=True), money(None)
    ('−$3,827.50', '+$12.00', '–')
    """
    if value is None:
        return "–"
    mark = "−" if round(value, 2) < 0 else "+" if sign and round(value, 2) > 0 else ""
    return f"{mark}${abs(value):,.2f}"


def share(value: float | None) -> str:
    """A share as per cent with one decimal; a dash for None.

    >>> share(0.957)
    '95.7 %'
    """
    return "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")


def figure(name: str, value: float | None) -> str:
    """A judged figure in its own unit."""
    if value is None:
        return "–"
    if name == "win_rate":
        return share(value)
    return f"{value:,.10g}" if name == "trades" else money(value)


def interval(figures: Mapping[str, Any]) -> str:
    """The win rate with its interval and number of trades.

    >>> interval({"win_rate": 0.38, "win_low": 0.2586, "win_high": 0.5184, "trades": 50})
    '38.0 % (25.9–51.8 %, n = 50)'
    """
    if figures["win_rate"] is None:
        return "no win rate (n = 0)"
    low, high = 100 * figures["win_low"], 100 * figures["win_high"]
    return f"{share(figures['win_rate'])} ({low:.1f}–{high:.1f} %, n = {figures['trades']:,})"


def sentence(result: Result) -> str:
    """The outcome in one plain sentence: the win rate if it was claimed, else the first claimed figure."""
    figures, claims = result["figures"], result["claims"]["figures"]
    if not claims:
        if figures["trades"] == 0:
            return "Nothing was claimed; no trades were made."
        return f"Nothing was claimed; measured {interval(figures)} wins, P&L {money(figures['pnl_usd'])}."
    name = "win_rate" if "win_rate" in claims else next(iter(claims))
    claim = claims[name]
    where = "inside" if claim["inside"] else "outside"
    if name == "win_rate":
        return f"Claimed {share(claim['claimed'])} wins; measured {interval(figures)}: {where}."
    words = FIGURES[name][0].lower() + FIGURES[name][1:] if name != "pnl_usd" else FIGURES[name]
    claimed, measured = figure(name, claim["claimed"]), figure(name, claim["measured"])
    return f"Claimed {words} {claimed}; measured {measured}: {where}."


def summary(result: Result) -> str:
    """How many claimed figures are outside their bounds, in one sentence."""
    claims = result["claims"]["figures"]
    outside = [FIGURES[name] for name, claim in claims.items() if not claim["inside"]]
    if not claims:
        return "Nothing was claimed of this scenario, so there is nothing to hold."
    if not outside:
        return f"The claims hold: all {len(claims)} claimed figures are inside their bounds."
    return (
        f"The claims do not hold: {len(outside)} of {len(claims)} claimed figures "
        f"{'is' if len(outside) == 1 else 'are'} outside their bounds ({', '.join(outside)})."
    )


# --- pieces of a report


def head(result: Result) -> str:
    """Stamp and title. No figure: the placebo comes before the first one."""
    about = result["config"].get("about", "")
    return (
        f'<header class="mt">{banner(result["data"])}<h1>{esc(result["title"])}</h1>'
        f'<p class="about">{esc(about)}</p></header>'
    )


def box(words: str, colour: str, lead: str, *more: str) -> str:
    """A verdict: one word, what it says in a sentence, and what stands behind it."""
    texts = "".join(f"<p>{esc(text)}</p>" for text in more)
    return (
        f'<div class="mt"><div class="verdict {colour}"><b>{esc(words)}</b>'
        f'<div><p class="lead">{esc(lead)}</p>{texts}</div></div></div>'
    )


def banner(data: Mapping[str, Any]) -> str:
    """SIMULATED or REAL BARS, and what that means for the figures."""
    bars = f"{data['bars']:,} one-minute bars of {data['symbol']}, {data['name']}"
    if data["simulated"]:
        text = "made by the embedded market simulator. Nothing here ever traded."
        return f'<p class="banner simulated"><b>SIMULATED</b> {esc(bars)}: {text}</p>'
    text = "option prices are modelled, because no quotes of those days are at hand."
    return f'<p class="banner real"><b>REAL BARS</b> {esc(bars)}; {text}</p>'


def verdict(result: Result) -> str:
    """The verdict, then each claimed figure: claim, bounds, measured, and inside or outside in words."""
    figures, claims = result["figures"], result["claims"]
    words, colour = VERDICTS[result["verdict"]]
    told = box(words, colour, sentence(result), summary(result))
    if not claims["figures"]:
        return told
    rows = []
    for name, claim in claims["figures"].items():
        measured = interval(figures) if name == "win_rate" else figure(name, claim["measured"])
        low, high = claim["low"], claim["high"]
        if name == "win_rate":
            low, high = max(low, 0.0), min(high, 1.0)
        where = ("inside", "good") if claim["inside"] else ("outside", "bad")
        rows.append(
            f"<tr><th scope=row>{esc(FIGURES[name])}</th><td>{esc(figure(name, claim['claimed']))}</td>"
            f"<td>{esc(figure(name, low))} to {esc(figure(name, high))}</td><td>{esc(measured)}</td>"
            f'<td class="word {where[1]}">{where[0]}</td></tr>'
        )
    header = ("", "claimed", "bounds", "measured", "verdict")
    source = f'<p class="small">Claim: {esc(claims["source"])}.</p>'
    return f'{told}<div class="mt">{_table(header, rows)}{source}</div>'


def metrics(result: Result) -> str:
    """The other figures of the run as a row of tiles."""
    m = result["figures"]
    factor = m["profit_factor"]
    tiles = [
        ("Trades", f"{m['trades']:,}", f"of {result['signals']:,} signals"),
        ("P&L", money(m["pnl_usd"], sign=True), f"{share(m['return_share'])} of the account"),
        ("Average trade", money(m["average_usd"], sign=True), f"{share(m['premium_return'])} of its premium"),
        ("Average win", money(m["average_win_usd"], sign=True), f"{m['wins']:,} wins"),
        ("Average loss", money(m["average_loss_usd"]), f"{m['trades'] - m['wins']:,} losses"),
        ("Profit factor", "–" if factor is None else f"{factor:.2f}", "wins / losses, in $"),
        ("Drawdown", money(m["max_drawdown_usd"]), f"{share(m['max_drawdown_share'])} of the peak"),
        ("Fees", money(m["fees_usd"]), "in the P&L"),
    ]
    cells = "".join(
        f'<div><span class="small">{esc(name)}</span><b class="{_tone(name, m)}">{esc(value)}</b>'
        f'<span class="small">{esc(note)}</span></div>'
        for name, value, note in tiles
    )
    return f'<div class="mt"><div class="tiles">{cells}</div></div>'


def _tone(name: str, m: Mapping[str, Any]) -> str:
    key = {"P&L": "pnl_usd", "Average trade": "average_usd"}.get(name)
    return tone(m[key]) if key else ""


def tone(value: float | None) -> str:
    """The colour class of an amount of money won or lost."""
    return "" if not value else "good" if value > 0 else "bad"


def trades(rows: Sequence[Trade]) -> str:
    """All trades in closing order; many scroll inside a box under a fixed header."""
    if not rows:
        return '<div class="mt"><p>No trades were made.</p></div>'
    header = (
        "#", "side", "formed", "known", "entry", "exit", "contract", "qty", "QQQ in", "QQQ out",
        "paid", "got", "fees", "P&L", "exit by",
    )  # fmt: skip
    symbol = rows[0].contract.root
    table = _table([h.replace("QQQ", symbol) for h in header], map(_trade, rows), "long trades")
    return (
        f'<div class="mt">{table}<p class="small">Times are New York. <i>Formed</i> is the bar the pattern '
        "hangs on, <i>known</i> the moment of the decision; no entry is earlier. Prices of the option are "
        "dollars per share; the exit price is the average over partial exits.</p></div>"
    )


def _trade(t: Trade) -> str:
    """One row. The date stands once, before the entry's times of the same day."""
    side = "calls" if t.side > 0 else "puts"
    known = new_york(t.known_at)

    def moment(ts: int) -> str:
        at = new_york(ts)
        return f"{at:%H:%M}" if at.date() == known.date() else f"{at:%-d %b %H:%M}"

    cells = [
        f"{t.quantity}", f"{t.entry_spot:,.2f}", f"{t.exit_spot:,.2f}",
        f"{t.entry_price_cents / 100:,.2f}", f"{t.exit_price_cents / 100:,.2f}", f"{t.fee_cents / 100:,.2f}",
    ]  # fmt: skip
    pnl = t.pnl_cents / 100
    return (
        f"<tr><td>{t.number}</td><td class=text>{side}</td><td>{moment(t.formed_at)}</td>"
        f"<td>{known:%-d %b %Y %H:%M}</td><td>{moment(t.entry_at)}</td><td>{moment(t.exit_at)}</td>"
        f"<td class=text>{esc(t.name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f'<td class="{tone(pnl)}">{money(pnl, sign=True)}</td>'
        f"<td class=text>{esc(t.reason.replace('_', ' '))}{', pin risk' if t.pin else ''}</td></tr>"
    )


def denials(result: Result) -> str:
    """Why signals became no trades: refusals by code."""
    counts: Mapping[str, int] = result["denials"]
    signals, made = result["signals"], result["figures"]["trades"]
    refused = sum(counts.values())
    words = f"{signals:,} signals: {made:,} trades, {refused:,} refused"
    left = signals - made - refused
    words += f", {left:,} not filled." if left else "."
    rows = [
        f"<tr><th scope=row><code>{esc(code)}</code></th><td class=text>{esc(DENIALS.get(code, ''))}</td>"
        f"<td>{count:,}</td></tr>"
        for code, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    table = _table(("code", "meaning", "signals"), rows, "words") if rows else ""
    return f'<div class="mt"><p>{esc(words)}</p>{table}</div>'


def notes(result: Result) -> str:
    """The sentences that explain differences."""
    return _list(result["notes"])


def quality(report: QualityReport) -> str:
    """What the quality gate found, in its own sentences."""
    return _list(report.lines())


def _list(lines: Iterable[str]) -> str:
    return f'<div class="mt"><ul>{"".join(f"<li>{esc(line)}</li>" for line in lines)}</ul></div>'


def provenance(result: Result) -> str:
    """Where every figure came from, with the hashes that prove it."""
    data, journal = result["data"], result["journal"]
    kind = "SIMULATED" if data["simulated"] else "real bars, modelled option prices"
    rows = [
        ("Scenario", result["scenario"]),
        ("Bars", f"{data['name']} ({data['source']}), {data['symbol']}: {kind}"),
        ("Accepted", f"{data['bars']:,} bars; {data['duplicates']:,} exact duplicates dropped"),
        ("SHA-256 of the bars", data["sha256"]),
        ("SHA-256 of the file", data["file_sha256"] or "no file"),
        ("Settings", f"{result['config_hash']} (SHA-256 of the resolved scenario)"),
        ("Code", result["code_version"]),
        ("Journal", f"{journal['entries']:,} entries, head {journal['head']}"),
        ("Run time", f"{result['seconds']:.2f} s"),
    ]
    cells = [f"<tr><th scope=row>{esc(k)}</th><td class=text>{esc(v)}</td></tr>" for k, v in rows]
    return f'<div class="mt"><table class="facts"><tbody>{"".join(cells)}</tbody></table></div>'


def _table(header: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    """A table in a box that scrolls by itself: a wide table must not widen the page."""
    head_cells = "".join(f"<th scope=col>{esc(name)}</th>" for name in header)
    return (
        f'<div class="box"><table class="{esc(kind)}"><thead><tr>{head_cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
