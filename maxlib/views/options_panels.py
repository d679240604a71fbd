"""The options lab's tables: a snapshot and a reading in, HTML out. All text from outside is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Final

from maxlib.market.calendar import new_york
from maxlib.market.contract import Leg
from maxlib.market.quotes import Chain
from maxlib.options.chain_density import NoDensity
from maxlib.options.chain_report import MEANING, ChainReport
from maxlib.options.payoff import Unpriced
from maxlib.options.selection import Rank
from maxlib.options.structures import Structure
from maxlib.views.options_bench import Snapshot
from maxlib.views.options_figures import position_profit, size, unpriced
from maxlib.views.options_reading import Bound, ExitStep, Reading, TierBound, Tiers

LAST_DAY: Final = 390.0
"""Minutes up to which time is told in minutes and theta by the hour; beyond, by the trading day."""
_NO_DENSITY: Final = {
    "NO_FORWARD": "no density: no strike has both a call and a put quoted",
    "TOO_FEW": "no density: too few quotes out of the money",
}


def number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number with a true minus.

    >>> number(-1234.5), number(0.001, sign=True), number(2, sign=True)
    ('−1,234.50', '0.00', '+2.00')
    """
    rounded = round(value, digits) + 0.0  # no minus before a zero
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}".replace("-", "−")


def dollars(value: float, *, sign: bool = False) -> str:
    """Dollars and cents.

    >>> dollars(-3.5), dollars(12, sign=True)
    ('−$3.50', '+$12.00')
    """
    text = number(abs(value))
    lead = "−" if round(value, 2) < 0 else "+" if sign and round(value, 2) > 0 else ""
    return f"{lead}${text}"


def time_left(minutes: float) -> str:
    """Trading time in words.

    >>> time_left(240), time_left(975)
    ('240 min', '2.5 days')
    """
    return f"{minutes:.0f} min" if minutes <= LAST_DAY else f"{minutes / LAST_DAY:.1f} days"


def label(built: Structure) -> str:
    """Ratios and strikes for people, with a true minus."""
    return built.label.replace("_", " ").replace(" -", " −")


# --- header


def header(snap: Snapshot | None, chain: Chain | None) -> str:
    """Brand, underlying, where the quotes come from, and the moment."""
    brand = "<b class='mx-brand'>OPTIONS LAB</b>"
    if snap is None or chain is None:
        return f"{brand}<span class='mx-badge mx-state mx-stopped'>NO CHAIN</span>"
    kind = "mx-label" if snap.modelled else "mx-state"
    return (
        f"{brand}<span class='mx-symbol'>{escape(chain.root)}</span>"
        f"<span class='mx-badge {kind}'>{chain.origin.upper()}</span>"
        f"<span class='mx-source'>{escape(chain.name)}</span>"
    )


def facts(snap: Snapshot | None) -> str:
    """The moment, the underlying and the time left."""
    if snap is None:
        return ""
    forward = snap.forward
    parity = "–" if forward.value is None else f"{forward.value:,.2f} ± {forward.error:,.2f}"
    return "".join(
        f"<div class='mx-fact'><label>{name}</label><b>{value}</b></div>"
        for name, value in (
            ("quotes of, New York", f"{new_york(snap.ts):%a %-d %b %Y, %H:%M}"),
            ("spot", "not said" if snap.spot is None else f"{snap.spot:,.2f}"),
            ("parity forward", parity),
            ("one deviation", f"{snap.deviation:,.2f}" if len(snap.smile.strikes) else "–"),
            ("trading time left", time_left(snap.minutes) if snap.minutes > 0 else "none"),
        )
    )


# --- figures


def figures(snap: Snapshot, reading: Reading) -> str:
    """What the structure costs, risks and promises, and what the sliders make of it."""
    title = f"<h3>At the quotes<small>{escape(label(reading.structure))}</small></h3>"
    return title + _costs(snap, reading) + _sliders(snap, reading)


def _row(name: str, cells: Iterable[str], note: str = "", kind: str = "") -> str:
    made = "".join(f"<td class='n {kind}'>{cell}</td>" for cell in cells)
    return f"<tr><td title='{escape(note, quote=True)}'>{name}</td>{made}</tr>"


def _three(snap: Snapshot, reading: Reading, share: float | None, *, sign: bool = False) -> list[str]:
    """Dollars a share, a unit and the position; a dash for None."""
    if share is None:
        return ["–"] * 3
    return [
        number(share, sign=sign),
        dollars(share * snap.multiplier, sign=sign),
        dollars(share * size(snap, reading), sign=sign),
    ]


def _costs(snap: Snapshot, reading: Reading) -> str:
    price, ends = reading.price, reading.outcome
    head = _head("", "a share", "a unit", f"× {reading.quantity}")
    if isinstance(price, Unpriced) or ends is None:
        assert isinstance(price, Unpriced)
        return f"<table>{head}<tbody></tbody></table><p class='mx-empty'>No price: {unpriced(price)}.</p>"
    gain = "unbounded" if ends.max_gain_cents is None else None
    loss = "unbounded" if ends.max_loss_cents is None else None
    wide = ", ".join(f"{x:,.2f}" for x in ends.breakevens) or "none"
    no_odds = _NO_DENSITY[snap.density.code] if isinstance(snap.density, NoDensity) else ""
    rows = [
        _row("Debit" if price.debit_cents >= 0 else "Credit",
             _three(snap, reading, abs(price.debit_cents) / 100), "asks of legs bought, bids of legs sold"),
        _row("Max loss", [loss] * 3 if loss else _three(snap, reading, -(ends.max_loss_cents or 0) / 100),
             "at expiry, before commissions", "mx-down"),
        _row("Max gain", [gain] * 3 if gain else
             _three(snap, reading, (ends.max_gain_cents or 0) / 100, sign=True),
             "at expiry, before commissions", "mx-up"),
        _row("Spread", _three(snap, reading, price.spread_cents / 100), "crossing every quote in and out"),
        _row("EV", _three(snap, reading, reading.ev, sign=True),
             no_odds or "by the chain's own density, held to expiry, before commissions", _tone(reading.ev)),
        _wide("POP", no_odds or f"{100 * (reading.pop or 0.0):.1f} % <small>by the chain's density</small>"),
        _wide("Breakeven", wide),
    ]  # fmt: skip
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _wide(name: str, text: str) -> str:
    return f"<tr><td>{name}</td><td class='n' colspan=3>{text}</td></tr>"


def _sliders(snap: Snapshot, reading: Reading) -> str:
    moved, left = snap.here + reading.scenario.shift, time_left(reading.scenario.minutes)
    where = f"{moved:,.2f}, {left}, IV ×{reading.scenario.iv_scale:.2f}"
    title = f"<h3 class='mx-next'>At the sliders<small>{where}</small></h3>"
    head = _head("", "a share", "a unit", f"× {reading.quantity}")
    net = reading.greeks
    if net is None or reading.value is None:
        return f"{title}<p class='mx-empty'>No quote determines a volatility.</p>"
    profit = position_profit(snap, reading)
    share = None if profit is None else profit / size(snap, reading)
    last_day = snap.minutes <= LAST_DAY
    by = 252 * (6.5 if last_day else 1.0)
    greeks = (
        ("Delta", "$ per $1", net.delta, 3),
        ("Gamma", "Δ per $1", net.gamma, 4),
        ("Theta", "$ an hour" if last_day else "$ a day", net.theta / by, 3),
        ("Vega", "$ a point of IV", net.vega / 100, 3),
    )
    rows = [
        _row("Value", _three(snap, reading, reading.value), "by the model, each leg at its own volatility"),
        _row("P&amp;L", _three(snap, reading, share, sign=True), "value less the debit", _tone(share)),
    ]
    for name, unit, value, digits in greeks:
        cells = [
            number(value * shares, digits if shares == 1 else 2, sign=True)
            for shares in (1, snap.multiplier, size(snap, reading))
        ]
        rows.append(_row(f"{name} <small>{unit}</small>", cells))
    return f"{title}<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _head(first: str, *rest: str) -> str:
    cells = "".join(f"<th class='n'>{text}</th>" for text in rest)
    return f"<thead><tr><th>{escape(first)}</th>{cells}</tr></thead>"


def _tone(value: float | None) -> str:
    return "" if value is None or round(value, 2) == 0 else "mx-up" if value > 0 else "mx-down"


# --- firewall


def firewall(snap: Snapshot, reading: Reading) -> str:
    """The bounds of each leg and of the package, and whether the fill would pass."""
    moment = snap.moment
    slack = f" ± {moment.slack_cents / 100:.2f}" if moment.slack_cents else ""
    title = f"<h3>Firewall<small>underlying {moment.spot:,.2f}{slack}, {moment.exercise}</small></h3>"
    head = _head("fill", "bid / ask", "price", "least", "most", "")
    rows = "".join(_bound(snap, bound, reading) for bound in reading.bounds)
    said = dict.fromkeys(bound.why for bound in reading.bounds if bound.why)
    words = "".join(f"<p class='mx-said'>{escape(sentence)}</p>" for sentence in said)
    return f"{title}<table>{head}<tbody>{rows}</tbody></table>{words}"


def _bound(snap: Snapshot, bound: Bound, reading: Reading) -> str:
    package = bound is reading.bounds[-1] and len(reading.bounds) > 1
    way = f"{bound.ratio:+d}".replace("-", "−")
    name = f"{bound.ratio} × package" if package else f"{way} {_contract(snap, bound.name)}"
    verdict = "<td class='mx-up'>passes</td>" if bound.passes else "<td class='mx-down'>refused</td>"
    price = "–" if bound.price_cents is None else number(bound.price_cents / 100)
    cells = (_market(bound), price, number(bound.low / 100), number(bound.high / 100))
    return (
        f"<tr><td title='{escape(bound.name, quote=True)}'>{escape(name)}</td>"
        + "".join(f"<td class='n'>{cell}</td>" for cell in cells)
        + f"{verdict}</tr>"
    )


def _market(bound: Bound) -> str:
    """The leg's quote; a dash for a side that nobody shows."""
    if bound.quote is None:
        return ""
    sides = (bound.quote.bid_cents, bound.quote.ask_cents)
    return " / ".join("–" if side is None else number(side / 100) for side in sides)


def _contract(snap: Snapshot, name: str) -> str:
    """The strike and right of an OCC name."""
    return f"{int(name[-8:]) / 1000:g} {name[-9]}" if name.startswith(snap.chain.root) else name


# --- exit


def leaving(snap: Snapshot, reading: Reading) -> str:
    """The orders that leave the position, and what the tiers of a fly say at the sliders.

    Nothing that a slider moves changes its height.
    """
    return _orders(snap, reading) + _tiers(reading)


def _orders(snap: Snapshot, reading: Reading) -> str:
    out = reading.way_out
    rounds = f", {out.rounds} rounds" if out.rounds > 1 else ""
    title = f"<h3>Exit<small>at the quotes, one order after the other{rounds}</small></h3>"
    rows = [_exit_order(snap, step, out.rounds) for step in out.steps]
    rows.append(_row("all of them", _brings(out.cents, size(snap, reading)), "a share of one unit"))
    words = [f"No price: {unpriced(step.why)}; orders after it wait." for step in out.steps if step.why]
    kept = [_leg(leg) for step in out.steps for leg in step.kept]
    bought = dict.fromkeys(_leg(leg) for step in out.steps if step.kept for leg in step.legs if leg.ratio > 0)
    if kept:
        alone = f", and {', '.join(bought)} bought back alone" if bought else ""
        words.append(f"Nobody bids for {', '.join(kept)}: kept{alone}.")
    said = "".join(f"<p class='mx-said'>{escape(sentence)}</p>" for sentence in dict.fromkeys(words))
    head = _head("order", "a share", "position")
    return f"{title}<table class='mx-out'>{head}<tbody>{''.join(rows)}</tbody></table>{said}"


def _exit_order(snap: Snapshot, step: ExitStep, rounds: int) -> str:
    """The order; struck through what nobody bids for."""
    legs = " ".join(
        f"<s>{_signed(leg)}</s>" if leg in step.kept else escape(_signed(leg)) for leg in step.legs
    )
    cells = _brings(step.cents, step.units * rounds * snap.multiplier)
    return _row(f"{step.units} × {legs}", cells, "bought at the ask, sold at the bid")


def _brings(cents: int | None, shares: int) -> list[str]:
    if cents is None:
        return ["–", "–"]
    return [number(cents / 100, sign=True), dollars(cents / 100 * shares, sign=True)]


def _leg(leg: Leg) -> str:
    return f"{leg.contract.strike:g} {leg.contract.right}"


def _signed(leg: Leg) -> str:
    return f"{leg.ratio:+d} {_leg(leg)}".replace("-", "−")


def _tiers(reading: Reading) -> str:
    found = reading.tiers
    if isinstance(found, str):
        return f"<h3 class='mx-next'>Tiers</h3>{empty(found)}"
    made, days = found.decision, found.decision.numbers.dte
    left = f"{days} day{'s'[: days != 1]} at the quotes' moment"
    title = f"<h3 class='mx-next'>Tiers<small>at the sliders; {left}</small></h3>"
    reason = escape(made.reason.replace(" -", " −"))
    said = f"<p class='mx-reason'><b>{made.tier.replace('_', ' ')}</b>: {reason}</p>"
    head = (
        "<thead><tr><th>tier</th><th>days</th><th>measure</th><th class='n'>now</th>"
        "<th class='n'>bound</th><th class='n'>to go</th></tr></thead>"
    )
    rows = "".join(_tier_bound(found, i) for i in range(len(found.bounds)))
    return f"{title}{said}<table class='mx-tiers'>{head}<tbody>{rows}</tbody></table>"


_PLACES: Final = {"LOSS_CUT": 1, "BASE_PROFIT": 2, "GIVE_UP": 3, "PIN": 4, "EXPIRY_DAY": 5}


def _tier_bound(found: Tiers, i: int) -> str:
    bound = found.bounds[i]
    first, last = bound.days
    named = i == 0 or found.bounds[i - 1].tier != bound.tier
    name = f"{_PLACES[bound.tier]} {bound.tier.replace('_', ' ').lower()}" if named else ""
    in_days = first <= found.decision.numbers.dte <= last
    kind = "mx-decides" if bound.tier == found.decision.tier else "" if in_days else "mx-off"
    cells = (_measured(bound, bound.now), _limit(bound), _to_go(bound))
    return (
        f"<tr class='{kind}'><td>{name}</td><td>{_days(first, last)}</td><td>{bound.measure}</td>"
        + "".join(f"<td class='n'>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _days(first: int, last: float) -> str:
    if last == math.inf:
        return f"{first}+" if first else "any"
    return f"{first}–{last:g}" if last > first else f"{first}"


def _measured(bound: TierBound, value: float | None) -> str:
    """Cents a share, or a share in percent; beyond 100 without decimals."""
    if value is None:
        return "–" if bound.measure else ""
    cents = bound.measure in ("loss", "profit")
    amount = value if cents else 100 * value
    return f"{number(amount, 1 if abs(amount) < 100 else 0)} {'¢' if cents else '%'}"


def _limit(bound: TierBound) -> str:
    if bound.bound is None:
        return "–" if bound.measure else ""
    sign = (">" if bound.strict else "≥") if bound.above else ("<" if bound.strict else "≤")
    return f"{escape(sign)} {_measured(bound, bound.bound)}".replace(".0", "")


def _to_go(bound: TierBound) -> str:
    if not bound.measure:
        return ""
    return "<b>met</b>" if bound.met else _measured(bound, bound.to_go)


# --- selection


def selection(reading: Reading, target: float) -> str:
    """The candidates for the target, from best to worst, and why the others lost."""
    title = f"<h3>Selection<small>for {target:,.2f}, after costs, a unit</small></h3>"
    head = (
        "<thead><tr><th>candidate</th><th class='n'>R/R</th><th class='n'>EV</th>"
        "<th class='n'>risk</th></tr></thead>"
    )
    rows = "".join(_rank(rank) for rank in reading.selection.ranked)
    return f"{title}<table class='mx-ranks'>{head}<tbody>{rows}</tbody></table>"


def _rank(rank: Rank) -> str:
    known = rank.figures
    cells = ["–", "–", "–"]
    if known is not None:
        cells = [
            "–" if known.reward_risk is None else number(known.reward_risk),
            "–" if known.ev_cents is None else _short(known.ev_cents / 100, sign=True),
            "–" if known.risk_cents is None else _short(known.risk_cents / 100),
        ]
    made = isinstance(rank.candidate, Structure)
    name = rank.candidate.kind.replace("_", " ")
    if isinstance(rank.candidate, Structure):
        strikes = "/".join(f"{leg.contract.strike:g}" for leg in rank.candidate.legs)
        name += f" {strikes} {rank.candidate.legs[0].contract.right}"
    why = rank.sentence.split(": ", 1)[1]
    colour = "mx-up" if rank.loss is None else "mx-muted"
    return (
        f"<tr class='mx-{'won' if rank.loss is None else 'lost'}'><td>{escape(name)}</td>"
        + "".join(f"<td class='n'>{cell if made else ''}</td>" for cell in cells)
        + f"</tr><tr class='mx-why'><td colspan=4 class='{colour}'>{escape(why)}</td></tr>"
    )


def _short(usd: float, *, sign: bool = False) -> str:
    """Dollars for a narrow column: from 1,000 on without cents."""
    text = dollars(usd, sign=sign)
    return text.rsplit(".", 1)[0] if abs(usd) >= 1000 else text


# --- quality


def quality(snap: Snapshot, moment: Chain, report: ChainReport) -> str:
    """What the gate counted in the chain's rows of this `moment`: in this expiry, and in all."""
    inside = moment.rows["expires_at"] == snap.expiry.expires_at
    rows_of = f"{int(inside.sum()):,} of {report.rows:,} rows"
    title = f"<h3>Chain quality<small>{rows_of}</small></h3>"
    rows = []
    for check in report.checks:
        if check.count:
            here = int((report.masks[check.name] & inside).sum())
            meaning = escape(MEANING[check.name], quote=True)
            rows.append(
                f"<tr><td title='{meaning}'>{check.name.replace('_', ' ')}</td>"
                f"<td class='n'>{here:,}</td><td class='n'>{check.count:,}</td></tr>"
            )
    clean = int((report.clean() & inside).sum())
    rows.append(
        f"<tr><td>without blemish</td><td class='n'>{clean:,}</td>"
        f"<td class='n'>{int(report.clean().sum()):,}</td></tr>"
    )
    head = (
        "<thead><tr><th>struck by the gate</th><th class='n'>expiry</th><th class='n'>all</th></tr></thead>"
    )
    return f"{title}<table>{head}<tbody>{''.join(rows)}</tbody></table>{_notes(snap, report)}"


def _notes(snap: Snapshot, report: ChainReport) -> str:
    density = snap.density
    fitted = (
        _NO_DENSITY[density.code]
        if isinstance(density, NoDensity)
        else f"density fitted to {density.quotes} quotes, {100 * density.inside:.0f} % within bid and ask"
    )
    lines = [fitted, *report.notes]
    return "".join(f"<p class='mx-note'>{escape(line[0].upper() + line[1:])}.</p>" for line in lines)


def empty(text: str) -> str:
    """A panel without anything to show."""
    return f"<p class='mx-empty'>{escape(text)}</p>"


def alert(text: str) -> str:
    """What went wrong, for the banner."""
    return f"<div role='alert'>{escape(text)}</div>"
