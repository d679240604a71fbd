"""HTML of the honesty lab: placebo, claim and reproduction, waterfall, impossible trades, honest run, band.

In the words and pieces of `tables`. Every text that came from outside goes through `esc`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from maxlib.market.calendar import new_york, ordinal
from maxlib.market.contract import Contract, Leg
from maxlib.research.autopsy import Bargain
from maxlib.research.band import Band
from maxlib.research.placebo import Placebo
from maxlib.research.run import ScenarioRun
from maxlib.research.scenario import Scenario
from maxlib.views.bargain_figures import asking
from maxlib.views.honesty_figures import Step, signed_share
from maxlib.views.packages import Package, broken
from maxlib.views.standing import Standing
from maxlib.views.tables import FIGURES, Result, _table, banner, box, esc, figure, money, share, tone

_EXAMPLES: Final = 12
_STRUCTURES: Final = {
    "long": "long options", "vertical": "verticals", "fly": "flies", "broken_wing": "broken-wing flies",
    "unbalanced": "unbalanced flies",
}  # fmt: skip


def head(result: Result, standing: Standing) -> str:
    """Stamp, title, and what of bars, switches and claim is not as shipped. No figure yet."""
    told = "".join(
        f"<br>{esc(field)} = {esc(json.dumps(here))} (shipped: {esc(json.dumps(shipped))})"
        for field, shipped, here in standing.changes
    )
    words = "This page does not take apart what was published. Not as shipped:"
    changed = f'<p class="banner overridden"><b>OVERRIDDEN</b> {words}{told}</p>' if told else ""
    return (
        f'<header class="mt">{banner(result["data"])}{changed}<h1>Claim autopsy: {esc(result["title"])}</h1>'
        f'<p class="about">{esc(result["config"].get("about", ""))}</p></header>'
    )


# --- placebo and band


def placebo(fed: Placebo | None) -> str:
    """The placebo's verdict and the figures behind it."""
    if fed is None or not fed.own_trades:
        return box("no placebo", "plain", "There were no trades to imitate, so nothing can be judged.")
    name = _words(fed.accounting)
    mean, low, high = (money(x, sign=True) for x in (fed.pnl_usd, fed.pnl_low, fed.pnl_high))
    figures = (
        f"{fed.seeds} seeds of {fed.trades:,.0f} coin flips: {share(fed.win_rate)} won, "
        f"mean P&L {mean} ({low} to {high})."
    )
    bound = ""
    if fed.t is not None:
        above = "above" if fed.t > fed.critical else "not above"
        bound = f" t = {fed.t:.1f}".replace("-", "−") + f", {above} the bound of {fed.critical:.2f}."
    if fed.refused:
        lead = f"Coin flips profit by the {name} accounting: no strategy can be judged by it."
        return box("REFUSED", "bad", lead, figures + bound)
    lead = f"Coin flips do not profit by the {name} accounting: a strategy may be judged by it."
    return box("not refused", "good", lead, figures + bound)


def band(drawn: Band | None) -> str:
    """The band in words."""
    if drawn is None:
        return _paragraph("No band was computed.")
    if not any(cell.trades for cell in drawn.cells):
        return _paragraph("No band: there was no trade in any world.")
    low, high = money(drawn.low_usd, sign=True), money(drawn.high_usd, sign=True)
    text = (
        f"{len(drawn.cells)} worlds of volatility, spread and delay: P&L {low} to {high}, "
        f"{share(drawn.profitable)} of them profitable"
    )
    free = drawn.break_even_usd
    if free is None:
        return _paragraph(f"{text}.")
    if free <= 0:
        return _paragraph(f"{text}; loses {money(-free)} a contract even without costs.")
    paid = f"breaks even at {money(free)} a contract there and back, pays {money(drawn.paid_usd)}"
    return _paragraph(f"{text}; {paid}.")


# --- claim


def claim(result: Result, published: Result, standing: Standing, fed: Placebo) -> str:
    """What the claim's arithmetic books on these bars, figure by figure beside the claim."""
    return _booked(published, fed) + _claimed(result, published, standing)


def _booked(published: Result, fed: Placebo) -> str:
    figures, name = published["figures"], _words(published["accounting"])
    if not figures["trades"]:
        return box(name, "plain", "No trade: the claim's arithmetic books nothing on these bars.")
    lead = (
        f"{figures['trades']:,} trades, {share(figures['win_rate'])} won, "
        f"P&L {money(figures['pnl_usd'], sign=True)} ({signed_share(figures['return_share'])} of the account)"
    )
    if fed.refused:
        return box(name, "bad", lead, "Not to be believed: coin flips profit by the same arithmetic.")
    return box(name, "warn", lead, "The claim's own arithmetic. What is wrong with it is put right below.")


def _claimed(result: Result, published: Result, standing: Standing) -> str:
    claims, booked = result["claims"], published["figures"]
    # The scenario's claim is of its published accounting; a study beside it claimed other figures.
    own = published["accounting"] == "published"
    claimed = {name: c["claimed"] for name, c in claims["figures"].items()} if own else {}
    rows = []
    for name, words in FIGURES.items():
        apart, why = "–", ""
        if name in claimed and booked.get(name) is not None:
            apart, why = _apart(name, booked[name] - claimed[name]), standing.apart.get(name, "")
        cells = (figure(name, claimed.get(name)), figure(name, booked.get(name)), apart)
        rows.append(
            f"<tr><th scope=row>{esc(words)}</th>{''.join(f'<td>{esc(cell)}</td>' for cell in cells)}"
            f'<td class="why">{esc(why)}</td></tr>'
        )
    here = "reproduced" if standing.original else "here"
    header = ("", "claimed", f"{_words(published['accounting'])} accounting", f"{here} − claimed", "")
    if own and claims["source"]:
        source = f"Claim: {claims['source']}."
    else:
        source = "The scenario names no claim of this accounting."
    if not standing.original:
        source += " These are not the bars and switches of what was published."
    return f'<div class="mt">{_table(header, rows)}<p class="small">{esc(source)}</p></div>'


def _apart(name: str, difference: float) -> str:
    """A difference in the unit of its figure; nothing is smaller than what the figure shows."""
    if name == "trades":
        return f"{difference:+,.0f}".replace("-", "−") if difference else "0"
    if name == "win_rate":
        points = round(100 * difference, 1) + 0.0
        return f"{points:+.1f} points".replace("-", "−") if points else "0.0 points"
    return money(difference, sign=True)


def waterfall(steps: Sequence[Step], account_usd: float, standing: Standing) -> str:
    """Each step with its cause, and what the cause changed."""
    rows: list[str] = []
    before: float | None = None
    for number, (name, cause, trades, win_rate, pnl) in enumerate(steps):
        change = None if before is None else pnl - before
        rows.append(
            f"<tr><th scope=row>{number} {esc(name)}</th>"
            f"<td class=text>{esc(cause if number else standing.row)}</td>"
            f"<td>{trades:,}</td><td>{share(win_rate if trades else None)}</td>"
            f'<td class="{tone(change)}">{money(change, sign=True)}</td>'
            f'<td class="{tone(pnl)}">{money(pnl, sign=True)}</td>'
            f"<td>{signed_share(pnl / account_usd)}</td></tr>"
        )
        before = pnl
    header = ("step", "what is put right", "trades", "won", "change", "P&L", "of the account")
    return f'<div class="mt">{_table(header, rows, "words")}</div>'


# --- examples


def examples(done: ScenarioRun, found: Sequence[Bargain] | Sequence[Package], trades: int) -> str:
    """Head of the section on the accounting's own trades: what is wrong with their prices, and what is not.

    Parameters
    ----------
    found : what the accounting sold below exercise value, or all its packages
    trades : it made in all
    """
    impossible, modelled = "Trades that nobody could have made", "Trades at prices that the model made"
    if not trades:
        return _section(modelled, "No trade, so no example.")
    kept = [one for one in found if isinstance(one, Package)]
    if not kept:
        words = (
            f"{len(found):,} of this accounting's {trades:,} options were bought for less than exercising "
        )
        return _section(impossible if found else modelled, f"{words}them at once pays.{_order(found)}")
    net, asked = money(sum(p.net_usd for p in kept)), money(sum(p.model_usd for p in kept))
    sums = (
        f"All {trades:,} packages together were booked at {net}; {asking(done)} asks {asked} at the "
        f"middle of its quotes.{_order(found)}"
    )
    wrong, free = (sum(test) for test in ((p.rule is not None for p in kept), (p.net_usd <= 0 for p in kept)))
    if wrong:
        words = f"{wrong:,} of {trades:,} packages break a bound that holds under any model; each is named."
        return _section(impossible, f"{words} {sums}")
    credit = f": even the {free:,} taken for nothing or for a credit risk their far wing" if free else ""
    words = f"No package breaks a no-arbitrage bound, so none was impossible in itself{credit}."
    return _section(modelled, f"{words} But no market was asked. {sums}")


def study(found: Sequence[Bargain], trades: int) -> str:
    """Head of the section on the champion's study in the money, which is not the page's own accounting."""
    words = (
        "Not trades of this page: the in-the-money study (published_itm) books the same signals in options "
        f"$5 in the money. {len(found):,} of its {trades:,} options were bought for less than exercising "
        "them at once pays. The widest gap:"
    )
    return _section("The in-the-money study", words)


def _order(found: Sequence[object]) -> str:
    return " First the widest gap, then the one in the middle of the list." if found else ""


def bargains(found: Sequence[Bargain], done: ScenarioRun) -> str:
    """The options bought furthest below exercise value, and the firewall's rule that each breaks."""
    header = (
        "entry", "option", "spot", "premium paid", "exercise pays", "for nothing, a share", "booked",
        "rule broken",
    )  # fmt: skip
    rows = [
        f"<tr><th scope=row>{new_york(b.at):%-d %b %Y %H:%M}</th><td>{esc(b.right)}{b.strike:g}</td>"
        f"<td>{b.spot:,.2f}</td><td>{money(b.premium)}</td><td>{money(b.intrinsic)}</td>"
        f'<td>{money(b.intrinsic - b.premium)}</td><td class="{tone(b.pnl_usd)}">'
        f"{money(b.pnl_usd, sign=True)}</td><td>{_rule(_breach(b, done.tape.symbol))}</td></tr>"
        for b in found[:_EXAMPLES]
    ]
    return _examples(len(found), header, rows)


def _breach(b: Bargain, symbol: str) -> str | None:
    contract = Contract(symbol, ordinal(new_york(b.at).date()), b.right, round(100 * b.strike))
    found = broken([Leg(contract, 1)], [b.premium], b.spot)
    return found.rule if found else None


def packages(found: Sequence[Package], done: ScenarioRun) -> str:
    """The packages with the widest gaps: booked price, the model's, and the bound broken."""
    header = ("entry", "package", "spot", "booked at (− received)", asking(done), "P&L booked", "rule broken")
    rows = [
        f"<tr><th scope=row>{new_york(p.at):%-d %b %Y %H:%M}</th><td class=text>{esc(p.name())}</td>"
        f"<td>{p.spot:,.2f}</td><td>{money(p.net_usd)}</td><td>{money(p.model_usd)}</td>"
        f'<td class="{tone(p.pnl_usd)}">{money(p.pnl_usd, sign=True)}</td>'
        f'<td title="{esc(p.why or "")}">{_rule(p.rule)}</td></tr>'
        for p in found[:_EXAMPLES]
    ]
    return _examples(len(found), header, rows, "words")


def _rule(rule: str | None) -> str:
    return "none" if rule is None else f"<code>{esc(rule)}</code>"


def _examples(count: int, header: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    words = f"The {len(rows)} widest gaps of {count:,}:" if count > len(rows) else "By the width of the gap:"
    return f'<div class="mt"><p>{esc(words)}</p>{_table(header, rows, kind)}</div>'


# --- the honest run


def another_run(settings: Scenario) -> str:
    """Why the machine's run does not end where the waterfall does, in one sentence."""
    desk, risk = settings.desk, settings.risk
    what = " or ".join(_STRUCTURES.get(kind, kind) for kind in desk.structures)
    if "long" in desk.structures:
        what += " at the money" if desk.moneyness == "atm" else " one strike in the money"
    return _paragraph(
        f"This is another run, not the waterfall's last row: the machine trades {what}, sized by the account "
        f"({share(risk.risk_fraction)} of it a position), at quotes in whole cents, and leaves by its own "
        "exits; the waterfall keeps the claim's own structures, sizes and exits."
    )


def side_by_side(steps: Sequence[Step], account_usd: float, result: Result) -> str:
    """The end of the waterfall beside the machine's own run."""
    _, _, trades, win_rate, pnl = steps[-1]
    own = result["figures"]
    rows = [
        ("Trades", f"{trades:,}", f"{own['trades']:,}"),
        ("Win rate", share(win_rate if trades else None), share(own["win_rate"])),
        ("P&L", money(pnl, sign=True), money(own["pnl_usd"], sign=True)),
        ("Of the account", signed_share(pnl / account_usd), signed_share(own["return_share"])),
    ]
    header = ("", f"the claim's own trades, after {len(steps) - 1} repairs", "the machine's own run")
    cells = [
        f"<tr><th scope=row>{esc(name)}</th><td>{esc(left)}</td><td>{esc(right)}</td></tr>"
        for name, left, right in rows
    ]
    return f'<div class="mt">{_table(header, cells)}</div>'


def differences(standing: Standing) -> str:
    """Where the page differs from the reference of spec §12.1; of a page without one, that it has none."""
    if not standing.differences:
        return _paragraph(
            "Nothing to compare: the reference is of the published bars and switches as shipped."
        )
    items = "".join(f"<li>{_coded(text)}</li>" for text in standing.differences)
    words = "Against the reference of spec §12.1, measured in November 2026:"
    return f'<div class="mt"><p>{esc(words)}</p><ul>{items}</ul></div>'


# --- parts


def _section(title: str, words: str) -> str:
    return f'<div class="mt"><h2>{esc(title)}</h2><p class="wide">{esc(words)}</p></div>'


def _paragraph(words: str) -> str:
    return f'<div class="mt"><p class="wide">{esc(words)}</p></div>'


def _coded(text: str) -> str:
    """Escaped, with `names` set as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", esc(" ".join(text.split())))


def _words(name: str) -> str:
    return name.replace("_", " ")
