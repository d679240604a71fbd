"""Limits and second thoughts for a source: budget, backoff, breaker, staleness, failover.

Pure state: every method is told the time, in seconds of any clock that only goes forward. Nothing
here sleeps, asks or logs; locking is the caller's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

_LAST_DOUBLING: Final = 60  # beyond it every delay is at its cap, and a float could overflow


class BudgetConfig(Config):
    """A call budget.

    Attributes
    ----------
    calls : int
        Tokens in the bucket: calls that may be made at once after a rest.
    per_s : float
        Seconds after which a spent token comes back.
    """

    calls: int = Field(default=5, ge=1)
    per_s: float = Field(default=60.0, gt=0)


class Budget:
    """A token bucket in which each token comes back `per_s` seconds after it was spent.

    So no window of `per_s` seconds, wherever it begins, sees more than `calls` calls. A bucket that
    refills steadily would let nearly twice as many through in its first minute.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self._config = config
        self._spent: deque[float] = deque(maxlen=config.calls)
        self._closed_until = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call could be made."""
        full = len(self._spent) == self._config.calls
        back = self._spent[0] + self._config.per_s if full else now_s
        return max(0.0, back - now_s, self._closed_until - now_s)

    def reserve(self, now_s: float, patience_s: float) -> float | None:
        """Seconds to wait before the call that is hereby reserved.

        None = more than `patience_s`, and nothing is reserved.
        """
        wait = self.wait_s(now_s)
        if wait > patience_s:
            return None
        self._spent.append(now_s + wait)
        return wait

    def exhaust(self, now_s: float, reset_s: float) -> None:
        """The source says that the budget is spent and comes back in `reset_s` seconds."""
        self._closed_until = max(self._closed_until, now_s + reset_s)


class BackoffConfig(Config):
    """Exponential backoff with jitter.

    Attributes
    ----------
    first_s, cap_s : float
        Shortest and longest delay before jitter.
    factor : float
        From one delay to the next.
    jitter : float
        Share of a delay that is drawn by lot: 0.5 = anywhere from half the delay to all of it.
    """

    first_s: float = Field(default=0.5, gt=0)
    cap_s: float = Field(default=60.0, gt=0)
    factor: float = Field(default=2.0, ge=1)
    jitter: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> BackoffConfig:
        if self.cap_s < self.first_s:
            raise ValueError(f"cap_s {self.cap_s:g} is below first_s {self.first_s:g}")
        return self


def delay_s(config: BackoffConfig, failures: int, rng: random.Random) -> float:
    """Seconds to wait after that many failures in a row (from 1).

    >>> import random
    >>> plain = BackoffConfig(jitter=0.0)
    >>> [delay_s(plain, n, random.Random(1)) for n in (1, 2, 3, 99)]
    [0.5, 1.0, 2.0, 60.0]
    """
    full = min(config.cap_s, config.first_s * config.factor ** min(failures - 1, _LAST_DOUBLING))
    return full * (1.0 - config.jitter * rng.random())


class BreakerConfig(Config):
    """A circuit breaker.

    Attributes
    ----------
    failures : int
        So many failures within `window_s` seconds open it.
    window_s : float
    open_s, cap_s : float
        It stays open so long, twice as long after each failed probe, at most `cap_s`.
    """

    failures: int = Field(default=5, ge=1)
    window_s: float = Field(default=60.0, gt=0)
    open_s: float = Field(default=30.0, gt=0)
    cap_s: float = Field(default=600.0, gt=0)


BreakerState = Literal["closed", "open", "probing"]


class Breaker:
    """Stops asking a source that keeps failing; lets one call through to see whether it is well again."""

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._failures: deque[float] = deque(maxlen=config.failures)
        self._open_s = config.open_s
        self._until = 0.0
        self.state: BreakerState = "closed"

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call may be tried; 0 = now. While a probe is out there is nothing to wait for."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self._until - now_s)

    def admit(self, now_s: float) -> bool:
        """May this call be made? An admitted call must end in `succeeded` or `failed`."""
        if self.state == "closed":
            return True
        if now_s < self._until:
            return False
        # A probe that never reports back (its thread died) must not shut the source for ever.
        self.state = "probing"
        self._until = now_s + self._open_s
        return True

    def succeeded(self) -> None:
        """The source answered as it should: past failures are forgotten."""
        self.state = "closed"
        self._failures.clear()
        self._open_s = self._config.open_s

    def failed(self, now_s: float) -> bool:
        """The source failed; True if that opened the breaker."""
        if self.state == "probing":
            self._open_s = min(self._open_s * 2, self._config.cap_s)
            return self._open(now_s)
        self._failures.append(now_s)
        if self.state == "open" or len(self._failures) < self._config.failures:
            return False
        return now_s - self._failures[0] <= self._config.window_s and self._open(now_s)

    def _open(self, now_s: float) -> bool:
        self.state = "open"
        self._until = now_s + self._open_s
        return True


class Staleness:
    """How old what we know is, key by key: silence since the last word, plus how late that word was.

    A feed that is 15 minutes late is 15 minutes stale however lively it is. A key that never spoke is
    infinitely old.
    """

    def __init__(self, limits_s: Mapping[str, float]) -> None:
        self._limits = dict(limits_s)
        self._known: dict[str, tuple[float, float]] = {}

    def heard(self, key: str, now_s: float, late_s: float = 0.0) -> None:
        """A word for `key` came, `late_s` seconds after what it tells of."""
        self._known[key] = (now_s, max(0.0, late_s))

    def age_s(self, key: str, now_s: float) -> float:
        """Seconds since the moment that the last word of `key` tells of."""
        if key not in self._known:
            return float("inf")
        received, late = self._known[key]
        return now_s - received + late

    def stale(self, now_s: float) -> tuple[StaleKey, ...]:
        """The keys whose age is above their limit, in the order of the limits."""
        ages = ((key, self.age_s(key, now_s), limit) for key, limit in self._limits.items())
        return tuple(StaleKey(*found) for found in ages if found[1] > found[2])


class StaleKey(NamedTuple):
    """A key that is too old: the denial's limit and actual value."""

    key: str
    age_s: float
    limit_s: float


class FailoverConfig(Config):
    """When to change sources.

    Attributes
    ----------
    leave_s : float
        The source in use is left when it has been ill for so long; 0 = at once.
    return_s : float
        A better source is gone back to when it has been well for so long, without a break.
    """

    leave_s: float = Field(default=0.0, ge=0)
    return_s: float = Field(default=120.0, ge=0)


class Switch(NamedTuple):
    """A change of source; `to` None = none is well, so there is no feed."""

    left: str | None
    to: str | None
    why: str


class Failover:
    """Which of several sources to use, by priority, slow to go back.

    Parameters
    ----------
    names : sequence of str
        Best first.
    """

    def __init__(self, names: Sequence[str], config: FailoverConfig) -> None:
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"failover: sources {list(names)} should be one or more different names")
        self._names = tuple(names)
        self._config = config
        self._well_since: dict[str, float | None] = dict.fromkeys(names)
        self._ill_since: dict[str, float | None] = dict.fromkeys(names)
        self.current: str | None = None

    def update(self, now_s: float, well: Iterable[str]) -> Switch | None:
        """Tell which sources are well now; returns the change of source this leads to."""
        healthy = set(well)
        for name in self._names:
            good, bad = self._well_since[name], self._ill_since[name]
            self._well_since[name] = (now_s if good is None else good) if name in healthy else None
            self._ill_since[name] = None if name in healthy else (now_s if bad is None else bad)
        first = next((name for name in self._names if name in healthy), None)
        if self.current is None:
            return None if first is None else self._switch(first, "the best that is well")
        ill = self._ill_since[self.current]
        if ill is not None:
            if now_s - ill < self._config.leave_s:
                return None
            return self._switch(first, f"{self.current} is ill")
        for name in self._names[: self._names.index(self.current)]:
            since = self._well_since[name]
            if since is not None and now_s - since >= self._config.return_s:
                return self._switch(name, f"{name} has been well for {self._config.return_s:g} s")
        return None

    def _switch(self, to: str | None, why: str) -> Switch:
        change = Switch(self.current, to, why)
        self.current = to
        return change
