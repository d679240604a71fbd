"""What a trader on a live path needs: keys, the guard, bars and the option chain of its own market."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Final, NamedTuple, get_args

from maxlib.app import venues
from maxlib.app.brokers import BrokerName
from maxlib.app.doctor import outside
from maxlib.app.doctor.line import Found
from maxlib.core.errors import ConfigError
from maxlib.data.massive.config import MassiveConfig, key_from_environment
from maxlib.data.massive.records import Timeframe
from maxlib.data.massive.rest import MassiveRest
from maxlib.market.bars import NS_PER_MINUTE, RTH_OPEN
from maxlib.market.calendar import new_york, session, sessions, to_ns
from maxlib.research.scenario import Scenario

DAYS: Final = 7
"""Calendar days of bars asked for: there is a session among them, and they fit on a page."""
LATE_MINUTES: Final = 14
"""Newest bar of a session from which on it counts as the 15-minute delayed one."""
BAND_USD: Final = 3.0
"""Strikes asked for to each side of the newest price: a page of the chain is enough to see what it is."""


class LivePath(NamedTuple):
    """The options that the trader shall be started with.

    Raises
    ------
    ConfigError
        By `checked`: there is no such venue or broker, or it has no such quotes.
    """

    venue: str = "tape"
    delayed: bool = False
    quotes: str | None = None
    broker: str = "simulated"

    def checked(self) -> LivePath:
        """Itself, if there are such."""
        venues.venue(self.venue, delayed=self.delayed, quotes=self.quotes)
        if self.broker not in get_args(BrokerName):
            raise ConfigError(f"--broker {self.broker}: should be {', '.join(get_args(BrokerName))}")
        return self

    @property
    def live(self) -> str:
        """The option that makes it a live path, "" = it is none."""
        if self.venue == "massive":
            return "--venue massive"
        return "--broker alpaca" if self.broker == "alpaca" else ""

    def guard(self, scenario: Scenario | None) -> Found:
        """Does anything but the review of `risk` stand before an order?"""
        if scenario is None:
            return "not used", "there is no scenario"
        if scenario.guard is not None:
            return "pass", "on: regimes, validations, breakers, health checks and limits are asked"
        if self.live:
            venues.check_guard(scenario.machine, self.live)
        return "pass", "OFF: only `risk` is asked before an entry; a live path refuses this scenario"

    def massive_key(self, environment: Mapping[str, str]) -> Found:
        """Is it there, if the venue wants it?"""
        return _wanted(outside.massive_key(environment), "--venue massive", self.venue == "massive")

    def alpaca_keys(self, environment: Mapping[str, str]) -> Found:
        """Are they there, if the broker wants them?"""
        return _wanted(outside.alpaca_keys(environment), "--broker alpaca", self.broker == "alpaca")


class Served:
    """What Massive serves for a path; each method asks once.

    Parameters
    ----------
    config : None = nobody may be asked
    """

    def __init__(
        self, path: LivePath, environment: Mapping[str, str], config: MassiveConfig | None, now_ns: int
    ) -> None:
        self._path, self._environment, self._now = path, environment, now_ns
        self._config = None if config is None else config.model_copy(update={"tries": 1})
        self._price = 0.0

    def bars(self, symbol: str) -> Found:
        """A page of minutes: are there any, and are they of now while the market is open?"""
        source = self._source()
        if not isinstance(source, MassiveRest):
            return source
        today = new_york(self._now).date()
        with closing(source):
            raw = source.minute_bars(symbol, today.fromordinal(today.toordinal() - DAYS), today)
        if not len(raw.start):
            return "fail", f"{symbol} has no minutes since {DAYS} days: the plan may not include them"
        newest = int(raw.start.max())
        self._price = float(raw.close[raw.start.argmax()])
        age = (self._now - newest) / NS_PER_MINUTE - 1
        hours = session(today)
        opened = hours is not None and (
            to_ns(today, RTH_OPEN + LATE_MINUTES + 2) <= self._now < to_ns(today, hours.close_minute)
        )
        text = f"{len(raw.start):,} minutes of {symbol}, the newest of {new_york(newest):%Y-%m-%d %H:%M}"
        if opened and age > LATE_MINUTES and not self._path.delayed:
            return "fail", f"{text}, {age:.0f} minutes ago: they are delayed; --delayed says that you know"
        return "pass", f"{text} New York"

    def chain(self, symbol: str) -> Found:
        """A page of the next expiry's chain: are there quotes, and does the vendor call them real-time?"""
        if self._path.venue == "massive" and self._path.quotes == "modelled":
            return "not used", "quotes are modelled"
        source = self._source()
        if not isinstance(source, MassiveRest):
            return source
        if not self._price:
            return "fail", "not asked: no price of the underlying is known"
        today = new_york(self._now).date()
        coming = sessions(today, today.fromordinal(today.toordinal() + DAYS))
        day = next(one.date for one in coming if self._now < to_ns(one.date, one.close_minute))
        band = (self._price - BAND_USD, self._price + BAND_USD)
        with closing(source):
            found = source.chain(symbol, day, strikes=band)
        listed = len(found.contracts)
        quoted = [int(frame) for frame, row in zip(found.quote_frame, found.chain.rows, strict=True)
                  if row["quoted_at"]]  # fmt: skip
        text = f"{listed} contracts of {symbol} for {day} near {self._price:.2f}, {len(quoted)} with quotes"
        if not listed or not quoted:
            return "fail", f"{text}: the plan may not include them"
        late = sum(frame != Timeframe.REAL_TIME for frame in quoted)
        if late and not self._path.delayed:
            return "fail", f"{text}, {late} of them not real-time: nothing would be traded at them"
        return "pass", f"{text}, {'delayed' if late else 'real-time'}"

    def _source(self) -> MassiveRest | Found:
        if self._path.venue != "massive":
            return "not used", "no --venue massive was named"
        if self._config is None:
            return "not used", "not asked; --online asks for them"
        return MassiveRest(self._config, key_from_environment(self._environment))


def _wanted(found: Found, by: str, wanted: bool) -> Found:
    """What is not there is a failure where it is wanted."""
    state, text = found
    return ("fail", f"{text}: {by} wants it") if wanted and state == "not used" else found
