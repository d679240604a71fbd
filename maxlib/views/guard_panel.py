"""The guard's panel: the market's state, what stands against entries, and what of each limit is used."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from maxlib.engine.guard_view import MONEY, BreakerView, GuardView, LimitView
from maxlib.engine.live import Status
from maxlib.views.words import hhmm

_NAMES: Final = {
    "day": "Loss today",
    "week": "Loss this week",
    "month": "Loss this month",
    "peak": "Below the peak",
    "positions": "Positions",
    "entries": "Entries today",
}
_NEAR: Final = 0.75
"""Share of a loss limit from which its bar warns."""
_BREAKERS: Final = {"BREAKER_LOSSES": "losses", "BREAKER_ERRORS": "errors", "BREAKER_DRAWDOWN": "drawdown"}
_NO_BREAKER: Final = "<div class='mx-row mx-muted'><span>Breakers</span><b>none stands</b></div>"


def guard(status: Status) -> str:
    """The panel."""
    view = status.guarded
    if view is None and not status.guard:
        return (
            "<h3>Guard<small class='mx-amber'>guard off</small></h3><p class='mx-empty'>No limits of loss, "
            "no breakers, no market states: only the scenario's own sizing stands before an order.</p>"
        )
    if view is None:
        return "<h3>Guard</h3><p class='mx-empty'>Asked at the first bar.</p>"
    return (
        f"<h3>Guard<small>{_standing(view)}</small></h3>"
        + "".join(_market(view))
        + "".join(_bar(limit) for limit in _shown(view.limits))
        + ("".join(_breaker(b, status.now) for b in view.breakers) or _NO_BREAKER)
        + _safe_mode(view)
    )


def _standing(view: GuardView) -> str:
    """One word for all of it."""
    if view.breakers:
        return "<span class='mx-down'>breaker</span>"
    if set(view.safe_mode) - {"market_hours"}:
        return "<span class='mx-down'>safe mode</span>"
    if any(limit.what in MONEY and limit.used >= limit.limit for limit in view.limits):
        return "<span class='mx-down'>limit reached</span>"
    return "on"


def _market(view: GuardView) -> Iterator[str]:
    if not view.regime:
        yield "<div class='mx-row mx-muted'><span>Market</span><b>no router</b></div>"
        return
    name = view.regime.replace("_", " ").capitalize()
    yield f"<div class='mx-row' title='{escape(view.why)}'><span>Market</span><b>{escape(name)}</b></div>"
    text = escape(view.why)
    if view.boundary is not None and view.away is not None:
        unit = "&nbsp;%" if view.unit == "%" else ""
        side = "above" if view.away >= 0 else "below"
        source = "ATR" if unit else "VIX (proxy)" if "proxy" in view.why else "VIX"
        reading = view.boundary + view.away
        text = f"{source} {reading:.2f}{unit}, {abs(view.away):.2f} {side} {view.boundary:g}"
    yield f"<div class='mx-row mx-muted'><span></span><i title='{escape(view.why)}'>{text}</i></div>"


def _shown(limits: tuple[LimitView, ...]) -> Iterator[LimitView]:
    """All; of week and month the one that is nearer to its limit."""
    longer = [limit for limit in limits if limit.what in ("week", "month")]
    nearer = max(longer, key=_share, default=None)
    return (limit for limit in limits if limit not in longer or limit is nearer)


def _share(limit: LimitView) -> float:
    return limit.used / limit.limit if limit.limit > 0 else float(limit.used > 0)


def _bar(limit: LimitView) -> str:
    money, share = limit.what in MONEY, min(1.0, _share(limit))
    kind = "" if not money or share < _NEAR else "mx-amber" if share < 1.0 else "mx-down"
    used, most = (_dollars(limit.used), _dollars(limit.limit)) if money else (limit.used, limit.limit)
    text = f"{used} of {most}" if limit.limit > 0 else "none allowed"
    return (
        f"<div class='mx-use {kind}'><span>{_NAMES[limit.what]}</span><b>{text}</b>"
        f"<i style='width:{share:.1%}'></i></div>"
    )


def _dollars(cents: int) -> str:
    return f"${cents / 100:,.0f}"


def _breaker(breaker: BreakerView, now: int) -> str:
    left = -((now - breaker.until) // 60_000_000_000)  # a minute that has begun counts
    name = _BREAKERS.get(breaker.code, breaker.code)
    told = f"{left} min left, until {hhmm(breaker.until)}"
    why = f"{breaker.actual:g} reached {breaker.limit:g}"
    return (
        f"<div class='mx-row mx-down' title='{escape(why)}'>"
        f"<span>Breaker: {escape(name)}</span><b>{told}</b></div>"
    )


def _safe_mode(view: GuardView) -> str:
    if not view.safe_mode:
        return "<div class='mx-row mx-muted'><span>Safe mode</span><b>off</b></div>"
    text = escape(", ".join(cause.replace("_", " ") for cause in view.safe_mode))
    # That the market closes is no fault.
    kind = "mx-muted" if view.safe_mode == ("market_hours",) else "mx-down"
    return f"<div class='mx-row {kind}' title='{text}'><span>Safe mode</span><b>{text}</b></div>"
