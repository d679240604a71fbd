"""The safety manager: twelve validations before a trade, and the state they look at.

Pure: every function takes a state and a time (UTC ns) and returns a state or an
answer. Only entries are validated; an order that makes a position smaller is
never held up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.regimes.router import RegimeRule
from maxlib.risk.breakers import (
    CODES,
    Breakers,
    BreakersConfig,
    active,
    breakers_in,
    erred,
    expired,
    lost,
)
from maxlib.risk.health import CHECKS, Health, HealthConfig, Vitals, health_in, observed
from maxlib.risk.limits import BookName, RiskState
from maxlib.risk.money import part
from maxlib.risk.sizing import Denial

KEPT_EVENTS: Final = 1_000
NS: Final = 1_000_000_000
Severity = Literal["info", "warning", "critical"]


class SafetyConfig(Config):
    """Thresholds of the validations (spec §7), by their number.

    Attributes
    ----------
    daily_loss, daily_loss_usd : 4: today's loss must be below both, share of the balance the day began with
    max_positions : 5: open at once
    trades_a_day : 6: entries in a trading day
    strategy_trades : 7: entries of one strategy in a trading day
    spacing_seconds : 8: since the entry before
    position_fraction, premium_usd : 9: premium of one position, share of the balance and dollars
    exposure_fraction : 10: premium of all positions, share of the balance
    reward_risk : 11: warns below it
    approval_usd : 12: warns above this premium
    breakers, health : 3 and 2
    """

    daily_loss: float = Field(default=0.02, gt=0.0, le=1.0)
    daily_loss_usd: int = Field(default=2_000, ge=1)
    max_positions: int = Field(default=3, ge=1, le=50)
    trades_a_day: int = Field(default=10, ge=1, le=1000)
    strategy_trades: int = Field(default=5, ge=1, le=1000)
    spacing_seconds: int = Field(default=60, ge=0, le=86_400)
    position_fraction: float = Field(default=0.01, gt=0.0, le=1.0)
    premium_usd: int = Field(default=500, ge=1)
    exposure_fraction: float = Field(default=0.03, gt=0.0, le=1.0)
    reward_risk: float = Field(default=1.5, ge=0.0, le=100.0)
    approval_usd: int = Field(default=500, ge=1)
    breakers: BreakersConfig = BreakersConfig()
    health: HealthConfig = HealthConfig()


class SafetyEvent(NamedTuple):
    """Something worth a line: when (UTC ns), its kind, how bad, a sentence, and its figures for JSON."""

    ts: int
    kind: str
    severity: Severity
    message: str
    details: dict[str, Any]


class SafetyState(NamedTuple):
    """What the validations look at; `_asdict` of it is JSON, `safety_in` reads it back.

    day : trading day that the counts belong to
    trades, by_strategy : entries of that day, counted when they are sent, filled or not
    last_at, last_book : the newest entry, UTC ns (0 = none)
    hold : why a user holds entries back, "" = nobody does
    denials : counts by code, of that day
    events, ever : the newest 1,000, and how many there ever were
    """

    day: int
    trades: int = 0
    by_strategy: dict[str, int] = {}  # noqa: RUF012 - never changed in place
    last_at: int = 0
    last_book: str = ""
    breakers: Breakers = Breakers()
    health: Health = Health()
    hold: str = ""
    denials: dict[str, int] = {}  # noqa: RUF012
    events: tuple[SafetyEvent, ...] = ()
    ever: int = 0

    @property
    def safe_mode(self) -> bool:
        """Positions may only be closed: a health check has failed or a user holds entries back."""
        return bool(self.hold or self.health.failed)


class Ask(NamedTuple):
    """An entry that is asked for.

    ts : UTC ns; strategy : its kind; book : which of the two
    open_positions, book_positions : held, being opened, or of unknown outcome; in all and in this book,
        the one asked for not among them
    exposure_cents : premium of all of these
    killed : the kill switch, read at this very moment
    """

    ts: int
    strategy: str
    book: BookName
    open_positions: int
    book_positions: int
    exposure_cents: int
    killed: bool = False


def noted(
    state: SafetyState, ts: int, kind: str, severity: Severity, message: str, **details: Any
) -> SafetyState:
    """With one event more; the oldest beyond the last 1,000 is forgotten."""
    event = SafetyEvent(ts, kind, severity, message, details)
    kept = state.events[1 - KEPT_EVENTS :]
    return state._replace(events=(*kept, event), ever=state.ever + 1)


# --- what happens


def new_day(state: SafetyState, ts: int, day: int) -> SafetyState:
    """On a later trading day the day's counts begin anew; breakers, health and the hold stay."""
    if day <= state.day:
        return state
    said = {"trades": state.trades, "denials": state.denials}
    state = state._replace(day=day, trades=0, by_strategy={}, denials={})
    return noted(state, ts, "day", "info", "a new trading day: its counts begin at 0", **said)


def entered(state: SafetyState, ts: int, strategy: str, book: BookName) -> SafetyState:
    """An entry was sent. It counts whether it is filled or not, so that a storm of orders ends."""
    count = state.by_strategy.get(strategy, 0) + 1
    return state._replace(
        trades=state.trades + 1, by_strategy={**state.by_strategy, strategy: count},
        last_at=ts, last_book=book,
    )  # fmt: skip


def traded(
    config: SafetyConfig, state: SafetyState, ts: int, pnl_cents: int, account: RiskState
) -> SafetyState:
    """A trade was closed; `account` is the state after it. Nought is no loss."""
    if pnl_cents >= 0:
        return state
    after = lost(config.breakers, state.breakers, ts, -pnl_cents, equity=account.equity, peak=account.peak)
    return _broken(state, ts, after)


def failed(config: SafetyConfig, state: SafetyState, ts: int, what: str, account: RiskState) -> SafetyState:
    """An error of the system happened."""
    state = noted(state, ts, "error", "warning", what)
    after = erred(config.breakers, state.breakers, ts, equity=account.equity, peak=account.peak)
    return _broken(state, ts, after)


def _broken(state: SafetyState, ts: int, after: Breakers) -> SafetyState:
    before = state.breakers.trips
    state = state._replace(breakers=after)
    for code, old, new in zip(CODES, before, after.trips, strict=True):
        if new is not None and new != old:
            message = f"breaker {code} is set: {new.actual:g} reaches {new.limit:g}"
            state = noted(state, ts, "breaker_set", "critical", message, code=code, **new._asdict())
    return state


def without_expired(state: SafetyState, ts: int) -> SafetyState:
    """Before a validation: breakers whose pause is over are reset."""
    after = expired(state.breakers, ts)
    if after is state.breakers:
        return state
    before = state.breakers.trips
    state = state._replace(breakers=after)
    for code, old, new in zip(CODES, before, after.trips, strict=True):
        if old is not None and new is None:
            state = noted(state, ts, "breaker_reset", "info", f"breaker {code} is reset", code=code)
    return state


def checked(config: SafetyConfig, state: SafetyState, vitals: Vitals) -> SafetyState:
    """The periodic health checks were made."""
    before, was_safe = state.health, state.safe_mode
    state = state._replace(health=observed(config.health, before, vitals))
    for name, old, new in zip(CHECKS, before.checks, state.health.checks, strict=True):
        if old.failed == new.failed:
            continue
        # That the market closes is no fault: nobody is woken for it.
        severity: Severity = "warning" if new.failed and name != "market_hours" else "info"
        kind, word = ("health_failed", "failed") if new.failed else ("health_well", "is well again")
        said = {"check": name, "limit": new.limit, "actual": new.actual}
        state = noted(state, vitals.ts, kind, severity, f"health check {name} {word}", **said)
    return _mode(state, vitals.ts, was_safe)


def held(state: SafetyState, ts: int, why: str) -> SafetyState:
    """A user (or the program, of a broken promise) holds entries back until `released`; kept by a restart."""
    return _mode(state._replace(hold=why or "no reason given"), ts, state.safe_mode)


def released(state: SafetyState, ts: int) -> SafetyState:
    """The hold ends; failed health checks still keep safe mode on."""
    return _mode(state._replace(hold=""), ts, state.safe_mode)


def _mode(state: SafetyState, ts: int, before: bool) -> SafetyState:
    if state.safe_mode == before:
        return state
    if before:
        return noted(state, ts, "safe_mode_off", "info", "safe mode is off")
    causes = [*state.health.failed, *([state.hold] if state.hold else [])]
    severity: Severity = "info" if causes == ["market_hours"] else "critical"
    return noted(state, ts, "safe_mode_on", severity, f"safe mode is on: {', '.join(causes)}", causes=causes)


def denied(
    state: SafetyState, ts: int, denial: Denial, strategy: str, *, warning: bool = False
) -> SafetyState:
    """A denial (or a warning, which is not counted), with its limit and what was there instead."""
    kind, severity = ("warned", "warning") if warning else ("denied", "info")
    said = {**denial._asdict(), "strategy": strategy}
    message = f"{strategy}: {denial.code}, limit {denial.limit:g}, actual {denial.actual:g}"
    if not warning:
        count = state.denials.get(denial.code, 0) + 1
        state = state._replace(denials={**state.denials, denial.code: count})
    return noted(state, ts, kind, severity, message, **said)  # type: ignore[arg-type]


# --- the validations


def entry_denial(
    config: SafetyConfig, state: SafetyState, ask: Ask, account: RiskState, rule: RegimeRule | None = None
) -> Denial | None:
    """Validations 1 to 8, before anything is quoted: the first that blocks, None if all pass.

    Parameters
    ----------
    rule : of the market's state, which may only be stricter; None = there is no router
    """
    return next(_entry_denials(config, state, ask, account, rule), None)


def standing_denial(config: SafetyConfig, state: SafetyState, ask: Ask, account: RiskState) -> Denial | None:
    """Validations 1 to 4, which hold for an entry that was admitted too, until it is sent."""
    return next(_standing(config, state, ask, account), None)


def _standing(config: SafetyConfig, state: SafetyState, ask: Ask, account: RiskState) -> Iterator[Denial]:
    if ask.killed:
        yield Denial("KILL_SWITCH", 0, 1)
    if state.safe_mode:
        yield Denial("SAFE_MODE", 0, len(state.health.failed) + bool(state.hold))
    breaker = active(state.breakers, ask.ts)
    if breaker is not None:
        yield breaker
    loss = account.loss(account.of_day)
    limit = min(part(account.balance - account.of_day, config.daily_loss), config.daily_loss_usd * 100)
    if loss >= limit:
        yield Denial("DAILY_LOSS", limit / 100, loss / 100)


def _entry_denials(
    config: SafetyConfig, state: SafetyState, ask: Ask, account: RiskState, rule: RegimeRule | None
) -> Iterator[Denial]:
    yield from _standing(config, state, ask, account)
    positions = min(config.max_positions, rule.max_positions if rule else config.max_positions)
    if ask.open_positions >= positions:
        yield Denial("OPEN_POSITIONS", positions, ask.open_positions)
    trades = min(config.trades_a_day, rule.trades_a_day if rule else config.trades_a_day)
    if state.trades >= trades:
        yield Denial("TRADES_TODAY", trades, state.trades)
    of_strategy = state.by_strategy.get(ask.strategy, 0)
    if of_strategy >= config.strategy_trades:
        yield Denial("STRATEGY_TRADES", config.strategy_trades, of_strategy)
    # Both books may act on one signal: the other book's entry of this very moment is no earlier trade.
    paired = ask.ts == state.last_at and ask.book != state.last_book
    if state.last_at and not paired and ask.ts - state.last_at < config.spacing_seconds * NS:
        yield Denial("TRADE_SPACING", config.spacing_seconds, (ask.ts - state.last_at) / NS)


def size_denial(config: SafetyConfig, ask: Ask, premium_cents: int, base: int) -> Denial | None:
    """Validations 9 and 10; `base` is the balance that shares are taken of, in cents."""
    most = position_cents(config, base)
    if premium_cents > most:
        return Denial("POSITION_SIZE", most / 100, premium_cents / 100)
    total = ask.exposure_cents + premium_cents
    limit = part(base, config.exposure_fraction)
    return Denial("EXPOSURE", limit / 100, total / 100) if total > limit else None


def position_cents(config: SafetyConfig, base: int) -> int:
    """Most premium that validation 9 lets one position cost."""
    return min(part(base, config.position_fraction), config.premium_usd * 100)


def warnings(config: SafetyConfig, premium_cents: int, reward_risk: float | None) -> tuple[Denial, ...]:
    """Validations 11 and 12, which only warn. A reward to risk of None (no target) is not judged."""
    found = []
    if reward_risk is not None and reward_risk < config.reward_risk:
        found.append(Denial("LOW_REWARD_RISK", config.reward_risk, reward_risk))
    if premium_cents > config.approval_usd * 100:
        found.append(Denial("MANUAL_APPROVAL", config.approval_usd, premium_cents / 100))
    return tuple(found)


def safety_in(values: dict[str, Any]) -> SafetyState:
    """The state from the object that JSON makes of it."""
    return SafetyState(**{
        **values,
        "breakers": breakers_in(values["breakers"]),
        "health": health_in(values["health"]),
        "events": tuple(SafetyEvent(*row) for row in values["events"]),
    })  # fmt: skip
