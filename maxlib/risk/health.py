"""Four health checks. One that fails puts the system in safe mode; it recovers by itself, not at once."""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.calendar import new_york, session

CheckName = Literal["market_hours", "data_age", "resources", "api"]
CHECKS: Final[tuple[CheckName, ...]] = ("market_hours", "data_age", "resources", "api")


class HealthConfig(Config):
    """Thresholds; a value at its threshold is well.

    Attributes
    ----------
    check_seconds : time between two checks
    stop_minutes : market hours end this long before the session's close (15:45; 12:45 on a half day)
    data_age_seconds : age of the newest market data
    cpu_percent, memory_percent : of the machine
    api_failures : failures in a row after which the API counts as failed; other checks fail at once
    recovery : good checks in a row after which a failed check is well again; market hours are at once
    """

    check_seconds: int = Field(default=60, ge=1, le=3600)
    stop_minutes: int = Field(default=15, ge=0, le=389)
    data_age_seconds: float = Field(default=300.0, gt=0.0)
    cpu_percent: float = Field(default=90.0, gt=0.0, le=100.0)
    memory_percent: float = Field(default=80.0, gt=0.0, le=100.0)
    api_failures: int = Field(default=3, ge=1, le=100)
    recovery: int = Field(default=3, ge=1, le=100)


class Vitals(NamedTuple):
    """What a monitor measured at `ts` (UTC ns); NaN = could not be measured, which is a failure."""

    ts: int
    data_age_seconds: float
    cpu_percent: float
    memory_percent: float
    api_ok: bool


class Check(NamedTuple):
    """One check: failures and successes in a row, whether it counts as failed, the newest figures.

    `actual` is None if it could not be measured.
    """

    bad: int = 0
    good: int = 0
    failed: bool = False
    limit: float = 0.0
    actual: float | None = None


class Health(NamedTuple):
    """When the checks were last made (UTC ns, 0 = never), and each one in the order of `CHECKS`."""

    at: int = 0
    checks: tuple[Check, ...] = (Check(),) * len(CHECKS)

    @property
    def failed(self) -> tuple[CheckName, ...]:
        """The checks that count as failed."""
        return tuple(name for name, check in zip(CHECKS, self.checks, strict=True) if check.failed)


def due(config: HealthConfig, state: Health, ts: int) -> bool:
    """Whether the next check is to be made at `ts`."""
    return ts - state.at >= config.check_seconds * 1_000_000_000


def market_seconds(ts: int, stop_minutes: int) -> tuple[float, float] | None:
    """Seconds since the open, and those at which entries end, on that New York date; None = no session.

    Raises
    ------
    DataError
        If the date lies outside the calendar.
    """
    local = new_york(ts)
    hours = session(local.date())
    if hours is None:
        return None
    now = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
    return now - hours.open_minute * 60, (hours.minutes - stop_minutes) * 60


def observed(config: HealthConfig, state: Health, vitals: Vitals) -> Health:
    """The state after a check."""
    hours = market_seconds(vitals.ts, config.stop_minutes)
    seconds, end = hours if hours is not None else (-1.0, 0.0)
    cpu = _figure(vitals.cpu_percent, config.cpu_percent)
    memory = _figure(vitals.memory_percent, config.memory_percent)
    figures = (
        (0.0 <= seconds <= end, float(end), seconds),
        _figure(vitals.data_age_seconds, config.data_age_seconds),
        memory if cpu[0] else cpu,
        (vitals.api_ok, 1.0, float(vitals.api_ok)),
    )
    wait = (1, 1, 1, config.api_failures)
    heal = (1, config.recovery, config.recovery, config.recovery)
    checks = map(_next, state.checks, figures, wait, heal)
    return Health(vitals.ts, tuple(checks))


def _figure(value: float, limit: float) -> tuple[bool, float, float | None]:
    return value <= limit, limit, value if math.isfinite(value) else None


def _next(old: Check, figure: tuple[bool, float, float | None], wait: int, heal: int) -> Check:
    well, limit, actual = figure
    bad, good = (0, old.good + 1) if well else (old.bad + 1, 0)
    failed = good < heal if old.failed else bad >= wait
    return Check(bad, good, failed, limit, actual)


def health_in(row: list[Any]) -> Health:
    """The state from the list that JSON makes of it."""
    at, checks = row
    return Health(at, tuple(Check(*check) for check in checks))
