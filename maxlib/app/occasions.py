"""What a trader's journal says that its user is to hear of: which occasion, in which words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from maxlib.engine.events import Bar
from maxlib.journal.chain import Entry
from maxlib.market.bars import RTH_OPEN
from maxlib.market.calendar import new_york
from maxlib.ops.events import Event, dollars
from maxlib.risk.codes import MEANING

LATE_NS: Final = 90_000_000_000
"""An exit that is filled so long after it was decided is one of recovery: somebody was away meanwhile."""
_OF_THE_DAY: Final = ("DAILY_LOSS", "DAILY_LOSS_USD")
_LONGER: Final = ("WEEKLY_LOSS", "MONTHLY_LOSS", "TOTAL_LOSS", "HARD_DRAWDOWN")
_READ: Final = frozenset({"bar", "signal", "order", "fill", "closed", "denied", "guard"})


class Occasion(NamedTuple):
    """Something to tell; `key` is what makes two of one event alike (`maxlib.ops.notify`)."""

    event: Event
    text: str
    key: str = ""


class _Paid(NamedTuple):
    """What a position cost so far: its package, units, premium and fees in cents."""

    contract: str
    units: int = 0
    premium_cents: int = 0
    fee_cents: int = 0


class Occasions:
    """Reads a journal as it grows. No clock, and nothing is sent from here.

    Parameters
    ----------
    multiplier : shares of a contract
    """

    def __init__(self, multiplier: int) -> None:
        self._multiplier = multiplier
        self._day = self._opened = 0
        self._spot = 0.0
        self._orders: dict[str, str] = {}
        self._decided: dict[tuple[int, str], int] = {}
        self._paid: dict[int, _Paid] = {}
        self._refused: set[tuple[int, str]] = set()
        self._woken = False

    def of(self, entries: Iterable[Entry]) -> list[Occasion]:
        """What entries say; they follow those of earlier calls. A fill comes with what it closes."""
        found: list[Occasion] = []
        exits: dict[int, int] = {}
        for entry in entries:
            if entry.kind not in _READ:
                continue
            body = json.loads(entry.body)
            if entry.kind == "closed":
                last = exits.get(body["trade"])
                if last is not None:
                    pnl = f"; P&L {dollars(body['pnl_cents'], sign=True)} of the trade, after fees"
                    found[last] = found[last]._replace(text=found[last].text.partition(";")[0] + pnl)
            elif body.get("undone"):
                continue  # told as a difference from the broker
            elif entry.kind == "fill":
                if self._orders[body["order"]] != "open":
                    exits[body["trade"]] = len(found)
                found.append(self._fill(entry.ts, body))
            else:
                found += self._one(entry, body)
        return found

    def _one(self, entry: Entry, body: dict[str, Any]) -> list[Occasion]:
        if entry.kind == "bar":
            return self._bar(Bar(*body["values"]))
        if entry.kind == "signal":
            self._spot = body["spot"]
        elif entry.kind == "order":
            return self._order(entry.ts, body)
        elif entry.kind == "denied":
            return self._denied(body)
        elif entry.kind == "guard":
            return self._guard(body)
        return []

    def _bar(self, bar: Bar) -> list[Occasion]:
        self._day = bar.day
        if self._opened == bar.day or not RTH_OPEN <= bar.minute < bar.close_minute:
            return []
        self._opened = bar.day
        return [Occasion(Event.MARKET_OPEN, f"the first regular minute is in{_at(bar.close, bar.ts)}")]

    def _order(self, ts: int, body: dict[str, Any]) -> list[Occasion]:
        purpose = self._orders[body["order"]] = body["purpose"]
        # What was refused and asked for again counts from the first time.
        self._decided.setdefault((body["trade"], purpose), ts)
        if purpose != "open":
            return []
        return [Occasion(Event.SIGNAL, f"{body['quantity']} × {body['contract']}{_at(self._spot, ts)}")]

    def _fill(self, ts: int, body: dict[str, Any]) -> Occasion:
        purpose, units, trade = self._orders[body["order"]], body["quantity"], body["trade"]
        premium = body["price_cents"] * units * self._multiplier
        text = (
            f"{units} × {body['contract']} at {body['price_cents'] / 100:.2f} ({purpose}), "
            f"premium {dollars(premium)}{_at(body['spot'], ts)}"
        )
        if purpose == "open":
            paid = self._paid.get(trade, _Paid(body["contract"]))
            self._paid[trade] = _Paid(
                paid.contract,
                paid.units + units,
                paid.premium_cents + premium,
                paid.fee_cents + body["fee_cents"],
            )
            return Occasion(Event.ENTRY, text)
        late = ts - self._decided[trade, purpose] > LATE_NS
        event = Event.RECOVERY_EXIT if late else Event.EXIT
        return Occasion(event, text + self._part(self._paid[trade], body, premium))

    def _part(self, paid: _Paid, body: dict[str, Any], premium: int) -> str:
        """P&L of some of a position's units; a leg of a package says nothing of it."""
        if body["contract"] != paid.contract:
            return "; a leg of the package"
        cost = (paid.premium_cents + paid.fee_cents) * body["quantity"] / paid.units
        pnl = round(premium - body["fee_cents"] - cost)
        return f"; P&L {dollars(pnl, sign=True)} of this part, after fees, the rest is open"

    def _denied(self, body: dict[str, Any]) -> list[Occasion]:
        code = body["code"]
        if code not in (*_OF_THE_DAY, *_LONGER):
            return []
        what = "of the day" if code in _OF_THE_DAY else code
        if (self._day, what) in self._refused:
            return []
        self._refused.add((self._day, what))
        event = Event.DAILY_LOSS_LIMIT if code in _OF_THE_DAY else Event.BREAKER
        said = f"no entries: {MEANING[code]}; limit {body['limit']:g}, actual {body['actual']:g}"
        return [Occasion(event, said)]

    def _guard(self, body: dict[str, Any]) -> list[Occasion]:
        what, message = body["what"], body["message"]
        if what == "breaker_set":
            return [Occasion(Event.BREAKER, f"no entries: {message}")]
        if what == "regime":
            return [Occasion(Event.REGIME, message)]
        if what == "safe_mode_on" and body["severity"] != "info":  # that the market closes wakes nobody
            self._woken = True
            return [Occasion(Event.HEALTH, f"no entries: {message}", what)]
        if what == "safe_mode_off" and self._woken:
            self._woken = False
            return [Occasion(Event.HEALTH, message, what)]
        return []


def _at(spot: float, ts: int) -> str:
    return f", underlying {spot:,.2f}, {new_york(ts):%H:%M} New York"
