"""Three breakers: a pause after many losses, many errors, or a deep fall of equity.

They are looked at after each loss (losses, drawdown) and each error (errors,
drawdown). Every one whose condition holds is set, or set anew if it was active, so
that a loss more can never end a pause earlier. A denial names the first that is
active, in this order. They reset at the first validation at or after their end,
never by a restart. A window is half open: what is exactly as old as the window is
long lies outside it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.risk.codes import GuardCode
from maxlib.risk.money import percent, reaches
from maxlib.risk.sizing import Denial

KEPT_LOSSES: Final = 10
KEPT_ERRORS: Final = 20
CODES: Final[tuple[GuardCode, ...]] = ("BREAKER_LOSSES", "BREAKER_ERRORS", "BREAKER_DRAWDOWN")


class BreakersConfig(Config):
    """Thresholds and pauses, in minutes.

    The older documents' 3 losses in 30 minutes and 3 % from the peak are stricter, and may be chosen.
    """

    losses: int = Field(default=5, ge=1, le=KEPT_LOSSES)
    losses_within: int = Field(default=60, ge=1, le=1440)
    losses_pause: int = Field(default=60, ge=1, le=1440)
    errors: int = Field(default=5, ge=1, le=KEPT_ERRORS)
    errors_within: int = Field(default=10, ge=1, le=1440)
    errors_pause: int = Field(default=30, ge=1, le=1440)
    drawdown: float = Field(default=0.08, gt=0.0, le=1.0)
    drawdown_pause: int = Field(default=120, ge=1, le=1440)


class Trip(NamedTuple):
    """A breaker that is set: from when to when (UTC ns), the threshold and what reached it."""

    at: int
    until: int
    limit: float
    actual: float


class Breakers(NamedTuple):
    """The newest losses (UTC ns, cents) and errors (UTC ns), and the breakers by the order of `CODES`."""

    losses: tuple[tuple[int, int], ...] = ()
    errors: tuple[int, ...] = ()
    trips: tuple[Trip | None, Trip | None, Trip | None] = (None, None, None)


def lost(
    config: BreakersConfig, state: Breakers, ts: int, loss_cents: int, *, equity: int, peak: int
) -> Breakers:
    """After a trade was closed with a loss (above 0, in cents); equity and its peak as they are then."""
    losses = (*state.losses, (ts, loss_cents))[-KEPT_LOSSES:]
    first, second, third = state.trips
    count = sum(ts - at < config.losses_within * NS_PER_MINUTE for at, _ in losses)
    if count >= config.losses:
        first = _trip(first, ts, config.losses_pause, config.losses, count)
    third = _fallen(config, third, ts, equity, peak)
    return Breakers(losses, state.errors, (first, second, third))


def erred(config: BreakersConfig, state: Breakers, ts: int, *, equity: int, peak: int) -> Breakers:
    """After an error of the system."""
    errors = (*state.errors, ts)[-KEPT_ERRORS:]
    first, second, third = state.trips
    count = sum(ts - at < config.errors_within * NS_PER_MINUTE for at in errors)
    if count >= config.errors:
        second = _trip(second, ts, config.errors_pause, config.errors, count)
    third = _fallen(config, third, ts, equity, peak)
    return Breakers(state.losses, errors, (first, second, third))


def _fallen(config: BreakersConfig, trip: Trip | None, ts: int, equity: int, peak: int) -> Trip | None:
    fall = peak - equity
    if not reaches(fall, peak, config.drawdown):
        return trip
    return _trip(trip, ts, config.drawdown_pause, 100 * config.drawdown, percent(fall, peak))


def _trip(old: Trip | None, ts: int, pause: int, limit: float, actual: float) -> Trip:
    until = ts + pause * NS_PER_MINUTE
    return Trip(ts, until, limit, actual) if old is None or until > old.until else old


def expired(state: Breakers, ts: int) -> Breakers:
    """Without the breakers whose end is at or before `ts`."""
    first, second, third = (trip if trip is not None and ts < trip.until else None for trip in state.trips)
    return state if (first, second, third) == state.trips else state._replace(trips=(first, second, third))


def active(state: Breakers, ts: int) -> Denial | None:
    """The denial of the first breaker that is active at `ts`: minutes of its pause, and how many are over."""
    for code, trip in zip(CODES, state.trips, strict=True):
        if trip is not None and ts < trip.until:
            minutes = (trip.until - trip.at) / NS_PER_MINUTE
            return Denial(code, minutes, (ts - trip.at) / NS_PER_MINUTE)
    return None


def breakers_in(row: list[Any]) -> Breakers:
    """The state from the list that JSON makes of it."""
    losses, errors, trips = row
    first, second, third = (trip if trip is None else Trip(*trip) for trip in trips)
    return Breakers(tuple((at, cents) for at, cents in losses), tuple(errors), (first, second, third))
