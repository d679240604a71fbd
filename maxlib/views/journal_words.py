"""One journal entry in a few words. Text from outside is not escaped here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from maxlib.market.calendar import new_york
from maxlib.views.words import option, usd

_OCC: Final = re.compile(r"[A-Z]+\d{6}([CP])(\d{8})")


def summary(kind: str, body: str) -> str:
    """The words; an entry of an unknown kind, or of another version, stands as it is."""
    try:
        return _WORDS[kind](json.loads(body))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return body


def _name(contract: str) -> str:
    """A contract as a trader says it, "526 C"; a package keeps its own name."""
    found = _OCC.fullmatch(contract)
    return option(found[1], int(found[2]) / 1000) if found else contract


def _command(data: dict[str, Any]) -> str:
    name = data["name"].replace("_", " ")
    return f"{name}: {data['why']}" if data["why"] else name


def _barred(data: dict[str, Any]) -> str:
    """Of feed, process or connection: well, or what for nobody enters."""
    why = f": {data['why']}" if data["why"] else ""
    if not data["code"]:
        return f"well again{why}"
    seconds = f" ({data['actual']:,.0f} s)" if data["actual"] else ""
    return f"no entries, {_low(data['code'])}{seconds}{why}"


def _low(code: str) -> str:
    return code.replace("_", " ").lower()


def _gap(data: dict[str, Any]) -> str:
    first, last = (f"{new_york(data[end]):%H:%M}" for end in ("start", "end"))
    return f"no minutes from {first} to {last}"


def _vitals(data: dict[str, Any]) -> str:
    age = data["data_age_seconds"]
    parts = (
        "age of the data " + ("not known" if age is None else f"{age:,.0f} s"),
        f"processor {data['cpu_percent']:.0f} %",
        f"memory {data['memory_percent']:.0f} %",
        "feed and broker well" if data["api_ok"] else "feed or broker away",
    )
    return ", ".join(parts)


def _broker(data: dict[str, Any]) -> str:
    what = data["what"]
    if what == "connection":
        return _barred(data)
    if what == "sent":
        return f"order {data['order']} goes out"
    if what == "lease":
        return f"the account's lease is held, token {data['token']}"
    return _BROKER[what](data["said"])


def _booked(said: list[Any]) -> str:
    """A `FillImported`: an execution at the broker."""
    (_, order, _, _, units, *_), late = said
    return f"order {order}: {units} units booked" + (", late" if late else "")


def _moved(said: list[Any]) -> str:
    """A `StateMoved`."""
    order, old, new, *_, why = said
    return f"order {order}: {_low(old)} → {_low(new)}" + (f", {why}" if why else "")


def _guard(data: dict[str, Any]) -> str:
    return str(data["message"])


def _selected(data: dict[str, Any]) -> str:
    return str(data["package"] or "no structure pays enough")


def _quotes(data: dict[str, Any]) -> str:
    rows = data["rows"]
    count = rows if isinstance(rows, int) else len(rows)
    if data["why"]:
        return f"none: {data['why']}"
    return f"{count:,} options" + (", modelled" if data["modelled"] else "")


_BROKER: Final[dict[str, Callable[[list[Any]], str]]] = {
    "FillImported": _booked,
    "StateMoved": _moved,
    "ExternalTagged": lambda said: f"an order that is not ours: {said[2]}",
    "PositionAdopted": lambda said: f"{said[0]}: the broker holds {said[2]}, our books said {said[1]}",
    "Blocked": lambda said: f"no entries until cleared, {_low(said[0])}: {said[1]}",
}
_WORDS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "start": lambda d: f"run {d['run']}",
    "bar": lambda d: f"close {d['values'][4]:.2f}",
    "quotes": _quotes,
    "command": _command,
    "feed": _barred,
    "process": _barred,
    "broker": _broker,
    "gap": _gap,
    "vitals": _vitals,
    "error": lambda d: str(d["what"]),
    "guard": _guard,
    "signal": lambda d: f"{'calls' if d['side'] > 0 else 'puts'} at {d['spot']:.2f}",
    "selected": _selected,
    "order": lambda d: f"{d['side']} {d['quantity']} × {_name(d['contract'])}, {d['purpose']}",
    "fill": lambda d: f"{d['side']} {d['quantity']} × {_name(d['contract'])} at {d['price_cents'] / 100:.2f}",
    "denied": lambda d: f"{d['code']}: {d['actual']:g}, limit {d['limit']:g}",
    "rejected": lambda d: f"{d['purpose']}: {d['code']}",
    "expired": lambda d: f"trade {d['trade']}, underlying at {d['spot']:.2f}",
    "stray": lambda d: f"trade {d['trade']}: {d['units']} units that no position waits for",
    "closed": lambda d: f"trade {d['trade']}, {d['reason']}, {usd(d['pnl_cents'])}",
}
