"""HTML of the honesty lab: claim and reproduction, placebo, waterfall, impossible trades, band.

In the words and pieces of `tables`. Every text that came from outside goes through `esc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from maxlib.market.calendar import new_york
from maxlib.research.autopsy import Bargain
from maxlib.research.band import Band
from maxlib.research.placebo import Placebo
from maxlib.views.bargain_figures import Package
from maxlib.views.honesty_figures import Step, signed_share
from maxlib.views.tables import FIGURES, Result, _table, banner, esc, figure, interval, money, share, tone

_EXAMPLES: Final = 12


def head(result: Result, published: Result) -> str:
    """Stamp, title, and what the claim's own arithmetic says, with its warning."""
    figures = published["figures"]
    words = (
        f"{figures['trades']:,} trades, {share(figures['win_rate'])} won, "
        f"P&L {money(figures['pnl_usd'], sign=True)} ({signed_share(figures['return_share'])} of the account)"
    )
    warnings = "".join(f"<p>{esc(note)}</p>" for note in published["notes"])
    return (
        f'<header class="mt">{banner(result["data"])}<h1>Claim autopsy: {esc(result["title"])}</h1>'
        f'<p class="about">{esc(result["config"].get("about", ""))}</p>'
        f'<div class="verdict bad"><b>{esc(_words(published["accounting"]))}</b>'
        f'<div><p class="lead">{esc(words)}</p>{warnings}</div></div></header>'
    )


def claim(result: Result, published: Result) -> str:
    """Each figure: as claimed, as the published arithmetic books it, and as the honest run measures it."""
    claims, honest, booked = result["claims"], result["figures"], published["figures"]
    # The scenario's claim is of its published accounting; a study beside it claimed other figures.
    own = published["accounting"] == "published"
    claimed = {name: c["claimed"] for name, c in claims["figures"].items()} if own else {}
    rows = []
    for name, words in FIGURES.items():
        apart = "–"
        if name in claimed and booked.get(name) is not None:
            apart = _apart(name, booked[name] - claimed[name])
        cells = (
            figure(name, claimed.get(name)), figure(name, booked.get(name)), apart,
            interval(honest) if name == "win_rate" else figure(name, honest[name]),
        )  # fmt: skip
        rows.append(
            f"<tr><th scope=row>{esc(words)}</th>{''.join(f'<td>{esc(cell)}</td>' for cell in cells)}</tr>"
        )
    header = (
        "",
        "claimed",
        f"{_words(published['accounting'])} accounting",
        "reproduced − claimed",
        "honest run",
    )
    if own and claims["source"]:
        source = f"Claim: {claims['source']}."
    else:
        source = "The scenario names no claim of this accounting."
    return f'<div class="mt">{_table(header, rows)}<p class="small">{esc(source)}</p></div>'


def _apart(name: str, difference: float) -> str:
    """A difference in the unit of its figure; nothing is smaller than what the figure shows."""
    if name == "trades":
        return f"{difference:+,.0f}".replace("-", "−") if difference else "0"
    if name == "win_rate":
        points = round(100 * difference, 1) + 0.0
        return f"{points:+.1f} points".replace("-", "−") if points else "0.0 points"
    return money(difference, sign=True)


def placebo(fed: Placebo | None) -> str:
    """The placebo's verdict, in red if it refuses the accounting."""
    if fed is None:
        return '<div class="mt"><p>No placebo: there were no trades to imitate.</p></div>'
    if not fed.refused:
        return f'<div class="mt"><p>{esc(fed.sentence())}</p></div>'
    lead = f"Coin flips profit by the {_words(fed.accounting)} accounting: no strategy can be judged by it."
    return (
        f'<div class="mt"><div class="verdict bad"><b>REFUSED</b><div><p class="lead">{esc(lead)}</p>'
        f"<p>{esc(fed.sentence())}</p></div></div></div>"
    )


def band(drawn: Band | None) -> str:
    """The band in words."""
    words = "No band was computed." if drawn is None else drawn.sentence()
    return f'<div class="mt"><p>{esc(words)}</p></div>'


def waterfall(steps: Sequence[Step], account_usd: float) -> str:
    """Each step with its cause, and what the cause changed."""
    rows: list[str] = []
    before: float | None = None
    for number, (name, cause, trades, win_rate, pnl) in enumerate(steps):
        change = None if before is None else pnl - before
        rows.append(
            f"<tr><th scope=row>{number} {esc(name)}</th><td class=text>{esc(cause)}</td>"
            f"<td>{trades:,}</td><td>{share(win_rate if trades else None)}</td>"
            f'<td class="{tone(change)}">{money(change, sign=True)}</td>'
            f'<td class="{tone(pnl)}">{money(pnl, sign=True)}</td>'
            f"<td>{signed_share(pnl / account_usd)}</td></tr>"
        )
        before = pnl
    header = ("step", "what is put right", "trades", "won", "change", "P&L", "of the account")
    return f'<div class="mt">{_table(header, rows, "words")}</div>'


def bargains(found: Sequence[Bargain], trades: int) -> str:
    """How many options were bought below intrinsic value, and the widest gaps."""
    count = f"{len(found):,} of {trades:,}"
    words = f"{count} options were bought for less than exercising them at once pays. The widest gaps:"
    header = ("entry", "option", "spot", "premium paid", "exercise pays", "for nothing, a share", "booked")
    rows = [
        f"<tr><th scope=row>{new_york(b.at):%-d %b %Y %H:%M}</th><td>{esc(b.right)}{b.strike:g}</td>"
        f"<td>{b.spot:,.2f}</td><td>{money(b.premium)}</td><td>{money(b.intrinsic)}</td>"
        f'<td>{money(b.intrinsic - b.premium)}</td><td class="{tone(b.pnl_usd)}">'
        f"{money(b.pnl_usd, sign=True)}</td></tr>"
        for b in found[:_EXAMPLES]
    ]
    return _examples(words, header, rows)


def packages(found: Sequence[Package]) -> str:
    """How many packages were taken for nothing or for a credit, and the cheapest."""
    free = sum(p.net_usd <= 0 for p in found)
    words = f"{free:,} of {len(found):,} packages were taken for nothing or for a credit. The cheapest:"
    header = ("entry", "package", "spot", "paid (− received)", "booked")
    rows = [
        f"<tr><th scope=row>{new_york(p.at):%-d %b %Y %H:%M}</th><td class=text>{esc(p.name())}</td>"
        f"<td>{p.spot:,.2f}</td><td>{money(p.net_usd)}</td>"
        f'<td class="{tone(p.pnl_usd)}">{money(p.pnl_usd, sign=True)}</td></tr>'
        for p in found[:_EXAMPLES]
    ]
    return _examples(words, header, rows, "words")


def _examples(words: str, header: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    table = _table(header, rows, kind)
    return f'<div class="mt"><p>{esc(words)}</p>{table}</div>'


def _words(name: str) -> str:
    return name.replace("_", " ")
