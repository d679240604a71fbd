"""What of a guard's limits is used, and what stands against entries: for a page or an API.

It reads a guard's public state and changes nothing. The numbers are the guard's own: a day's loss is what
its next validation compares with the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from maxlib.core.config import Config
from maxlib.engine.events import Trade
from maxlib.engine.machine import Machine
from maxlib.regimes.router import RegimeConfig, Verdict
from maxlib.risk.breakers import CODES
from maxlib.risk.guard import Guard
from maxlib.risk.money import part

What = Literal["day", "week", "month", "peak", "positions", "entries"]
MONEY: Final = ("day", "week", "month", "peak")


class LimitView(Config):
    """A limit that is enforced, the strictest of its kind, and what of it is used.

    Losses of the day, week and month and the fall from the peak are cents, open positions and the
    day's entries are counts. From `used` = `limit` on nobody enters.
    """

    what: What
    used: int
    limit: int


class BreakerView(Config):
    """A breaker that stands, until when (UTC ns), and what reached which threshold."""

    code: str
    until: int
    actual: float
    limit: float


class BookView(Config):
    """A book's day: closed trades, wins, P&L in cents after fees, and positions open or on their way."""

    book: str
    trades: int
    wins: int
    pnl_cents: int
    positions: int


class GuardView(Config):
    """A guard at a moment.

    Attributes
    ----------
    regime : the market's state, "" = there is no router
    why : the reading that put it there
    boundary : the threshold of that reading's measure that is nearest; None = the reading is not known
    away : how far above (negative: below) that threshold it is, in the measure's unit
    unit : "points" of the VIX or its proxy, or "%" of the daily ATR
    limits : in the order of `What`
    breakers : that stand now
    safe_mode : why positions may only be closed: failed health checks, a hold; none = it is off
    books : where there are two
    """

    regime: str
    why: str
    boundary: float | None
    away: float | None
    unit: str
    limits: tuple[LimitView, ...]
    breakers: tuple[BreakerView, ...]
    safe_mode: tuple[str, ...]
    books: tuple[BookView, ...]


def guard_view(machine: Machine, now: int) -> GuardView | None:
    """The guard of a machine at `now`, UTC ns; None = it has none, or nothing was asked of it yet."""
    guard = machine.guard
    if guard is None:
        return None
    regimes, verdict = guard.config.regimes, guard.route.verdict
    boundary = None if regimes is None else nearest(regimes, verdict)
    failed = guard.safety.health.failed
    return GuardView(
        regime="" if regimes is None else guard.route.regime,
        why="" if regimes is None else verdict.why,
        boundary=boundary,
        away=None if boundary is None else verdict.actual - boundary,
        unit="%" if verdict.measure == "atr_percent" else "points",
        limits=_limits(guard, len(machine.positions)),
        breakers=tuple(
            BreakerView(code=code, until=trip.until, actual=trip.actual, limit=trip.limit)
            for code, trip in zip(CODES, guard.safety.breakers.trips, strict=True)
            if trip is not None and now < trip.until
        ),
        safe_mode=(*failed, *([guard.safety.hold] if guard.safety.hold else [])),
        books=_books(machine),
    )


def nearest(config: RegimeConfig, verdict: Verdict) -> float | None:
    """The threshold nearest to a verdict's reading; None if nothing was read."""
    if not verdict.actual:
        return None
    four = config.states == "four"
    if verdict.measure == "atr_percent":
        edges = (config.atr_calm, config.atr_low) if four else (config.atr_low,)
    else:
        low = (config.vix_calm,) if four else ()
        edges = (*low, config.vix_low, config.vix_high)
    return min(edges, key=lambda edge: abs(verdict.actual - edge))


def _limits(guard: Guard, positions: int) -> tuple[LimitView, ...]:
    limits, safety, account, rule = guard.config.limits, guard.config.safety, guard.account, guard.rule
    of_day, of_week, of_month = account.of_day, account.of_week, account.of_month
    most = [safety.max_positions, limits.max_positions, *([rule.max_positions] if rule else [])]
    entries = [safety.trades_a_day, *([rule.trades_a_day] if rule else [])]
    dollars = 100 * min(safety.daily_loss_usd, limits.daily_loss_usd)
    fall = min(100 * limits.total_loss_usd, part(account.peak, limits.hard_drawdown))
    found: tuple[tuple[What, int, int], ...] = (
        ("day", account.loss(of_day), min(part(account.balance - of_day, safety.daily_loss), dollars)),
        ("week", account.loss(of_week), part(account.balance - of_week, limits.weekly_loss)),
        ("month", account.loss(of_month), part(account.balance - of_month, limits.monthly_loss)),
        ("peak", account.drawdown, fall),
        ("positions", positions, min(most)),
        ("entries", guard.safety.trades, min(entries)),
    )
    return tuple(LimitView(what=what, used=used, limit=limit) for what, used, limit in found)


def _books(machine: Machine) -> tuple[BookView, ...]:
    books = machine.config.books
    return tuple(_book(machine, book) for book in books) if len(books) > 1 else ()


def _book(machine: Machine, book: str) -> BookView:
    trades: Sequence[Trade] = [trade for trade in machine.trades if trade.book == book]
    return BookView(
        book=book,
        trades=len(trades),
        wins=sum(trade.pnl_cents > 0 for trade in trades),
        pnl_cents=sum(trade.pnl_cents for trade in trades),
        positions=sum(position.book == book for position in machine.positions.values()),
    )
