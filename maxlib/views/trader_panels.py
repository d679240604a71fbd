"""What the page of a trader says beside the figures. Text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Final, NamedTuple

from maxlib.engine.live import Status
from maxlib.engine.session_views import PositionView
from maxlib.market.calendar import new_york
from maxlib.views import panels
from maxlib.views.remote import Away
from maxlib.views.trader_controls import Button
from maxlib.views.words import usd


class Scene(NamedTuple):
    """What the page knows now.

    Attributes
    ----------
    status : the trader's newest answer; old if it is away, None if there was none
    away : why it does not answer; None = it does
    looked : False before the first look
    since_ns : UTC ns of its last sign of life
    pid : its process, or the last one
    folder : of the trader
    starting : it was started from here and does not answer yet
    killed : the kill switch is thrown, as the trader says or, if it is away, as its folder does
    """

    status: Status | None
    away: Away | None
    looked: bool
    since_ns: int | None
    pid: int
    folder: str
    starting: bool
    killed: bool = False

    @property
    def state(self) -> str:
        """The badge's text."""
        if not self.looked:
            return "CONNECTING"
        if self.away is not None:
            return "STARTING" if self.starting else _AWAY[self.away]
        if self.status is None:
            return "CONNECTING"
        if self.status.killed and not self.status.fault:
            return "KILLED"
        over = self.status.phase == "STOPPED" and self.status.finished and not self.status.fault
        return "SESSION OVER" if over else self.status.phase


_AWAY: Final[dict[Away, str]] = {
    "none": "NO TRADER",
    "ended": "ENDED",
    "down": "TRADER DOWN",
    "silent": "NO ANSWER",
    "strange": "UNKNOWN",
}
_ROWS: Final = ("Strategy", "Account", "Orders", "Bars", "Recovered")
_ORDERS: Final = {"simulated": "simulated fills", "dry-run": "not sent", "broker": "to the broker"}
SHOWS_AGAIN: Final = "Its session is over: a start shows the day again and trades nothing."
_LOST: Final = (_AWAY["down"], _AWAY["silent"])
"""What nobody asked for."""


def header(scene: Scene) -> str:
    """Brand, symbol, where the prices come from, the state and, calmly, what is the matter."""
    status, state = scene.status, scene.state
    symbol, label = ("–", "NO DATA") if status is None else (escape(status.symbol), status.label)
    kind = state.lower().replace(" ", "-") if scene.away is None else "lost" if state in _LOST else "away"
    text, tone = sentence(scene)
    said = escape(text)
    return (
        f"<b class='mx-brand'>MAXTRADER</b><span class='mx-symbol'>{symbol}</span>"
        f"<span class='mx-badge mx-label'>{label}</span>"
        f"<span class='mx-badge mx-state mx-phase mx-{kind}'>{state}</span>"
        f"<span class='mx-said {tone}' title='{said}'>{said}</span>"
    )


def sentence(scene: Scene) -> tuple[str, str]:
    """What is the matter, if anything is, and the CSS class of how bad it is ("" = nobody need act)."""
    if not scene.looked:
        return "", ""
    if scene.away is not None:
        return _absence(scene, scene.away)
    status = scene.status
    assert status is not None
    if status.fault:
        return f"An error stopped it: {status.fault}", "mx-down"
    unquoted = status.quotes == "live" and status.unquoted and status.phase != "STOPPED"
    if unquoted and status.positions:
        return f"No quotes: nothing can fill, exits neither ({status.unquoted})", "mx-down"
    if status.killed:
        return status.killed[:1].upper() + status.killed[1:], "mx-down"
    if status.differences:
        return f"The broker differs, nobody enters: {'; '.join(status.differences)}", "mx-amber"
    if status.phase != "STOPPED" and (status.process or status.broker or status.feed):
        barred = " and ".join(filter(None, (status.process, status.broker, status.feed)))
        return f"Nobody enters: {barred}", "mx-amber"
    if unquoted:
        return f"No quotes: nothing can fill ({status.unquoted})", "mx-amber"
    return {
        "TRADING": "",
        "HALTED": "No new entries; open positions leave as planned.",
        "STOPPED": _over(status) if status.finished else "It was stopped and takes no more bars.",
    }[status.phase], ""


def _over(status: Status) -> str:
    """What the finished session came to."""
    count = len(status.trades)
    if not count:
        return "No trade was made."
    return f"{count} trade{'' if count == 1 else 's'}, {usd(status.realised_cents)} after fees."


def _absence(scene: Scene, away: Away) -> tuple[str, str]:
    if scene.starting:
        return "The trader starts; this takes some seconds.", ""
    since = "" if scene.since_ns is None else f"Since {new_york(scene.since_ns):%H:%M:%S}. "
    held = unwatched(scene)
    thrown = "Kill switch thrown. " if scene.killed else ""
    text = {
        "none": f"No trader has run in {scene.folder} yet.",
        "ended": f"{since}{_restart(scene.status)}",
        "down": f"{since}The page goes on by itself when it is back.",
        "silent": f"{since}It hangs or is busy.",
        "strange": "What answers at its address is no trader of this version.",
    }[away]
    return f"{held}{thrown}{text}", "mx-down" if held else "mx-amber" if thrown else ""


def _restart(status: Status | None) -> str:
    """What a start would do with a day that was ended in order."""
    if status is None:
        return "A start goes on from there, if its session is not over."
    return SHOWS_AGAIN if status.finished else "A start goes on from there."


def tips(scene: Scene) -> dict[Button, str]:
    """What a button does now, where that is not what it usually does."""
    status = scene.status
    if status is None:
        return {}
    if scene.away is not None:
        return {"start": SHOWS_AGAIN} if status.finished else {}
    return {"kill": f"Blocks entries for good: {status.no_reset}"} if status.no_reset else {}


def unwatched(scene: Scene) -> str:
    """What was held when the trader last answered, if nobody watches it now."""
    if scene.status is None:
        return "What it holds is not known to this page. " if scene.away in ("down", "silent") else ""
    positions = scene.status.positions if scene.away is not None else ()
    if not positions:
        return ""
    count = f"{len(positions)} position{'' if len(positions) == 1 else 's'} open and unwatched"
    return f"{count}: {', '.join(map(_held, positions))}. "


def _held(position: PositionView) -> str:
    quantity = position.open_quantity or position.quantity
    name = (
        position.contract
        if " " in position.contract  # several legs: the name says them all
        else f"{position.strike:.2f}".removesuffix(".00") + f" {position.right}"
    )
    return f"{quantity} × {name}" + (" (asked for)" if position.entry_cents is None else "")


def at_its_peak(status: Status | None) -> str | None:
    """Why a reset of the peak would change nothing; None = it would."""
    limits = status.guarded.limits if status is not None and status.guarded is not None else ()
    fallen = any(limit.used for limit in limits if limit.what == "peak")
    return None if fallen else "equity is at its peak"


def clock(scene: Scene) -> str:
    """Market time of the newest answer."""
    now = "–" if scene.status is None else f"{new_york(scene.status.now):%a %-d %b %Y, %H:%M:%S}"
    return f"<div class='mx-fact mx-wide'><label>market time, New York</label><b>{now}</b></div>"


def about(scene: Scene) -> str:
    """Which trader this is."""
    status = scene.status
    rows = [("Folder", scene.folder), ("Process", str(scene.pid) if scene.pid else "–")]
    if status is None:
        rows += [(name, "–") for name in _ROWS]
    else:
        recovered = f"{status.recovered:,} entries" if status.recovered else "–"
        account = f"{usd(status.start_cents, sign=False)} at the start"
        rows += [("Strategy", status.strategy), ("Account", account)]
        bars = f"{status.bars:,}" + (f", {status.gaps:,} missing" if status.gaps else "")
        rows += [("Orders", _ORDERS[status.fills]), ("Bars", bars), ("Recovered", recovered)]
    return "<dl>" + "".join(
        f"<dt>{name}</dt><dd title='{escape(text)}'>{escape(text)}</dd>" for name, text in rows
    ) + "</dl>"  # fmt: skip


def of(render: Callable[[Status], str], title: str) -> Callable[[Scene], str]:
    """A panel of a status as a panel of the page, which may have none yet."""

    def rendered(scene: Scene) -> str:
        if scene.status is None:
            return f"<h3>{title}</h3><p class='mx-empty'>Nothing is known yet.</p>"
        return render(scene.status)

    return rendered


def tiles(scene: Scene) -> str:
    """The seven numbers, or their places."""
    if scene.status is not None:
        return panels.tiles(scene.status)
    names = ("Last", "Position", "Unrealised", "Realised", "Equity", "Trades", "Win rate")
    return "".join(
        f"<div class='mx-tile'><label>{name}</label><b class='mx-muted'>–</b><small>&nbsp;</small></div>"
        for name in names
    )
