"""Where a paper trader's minutes come from: a tape, the fake vendor over a tape, or the vendor.

None of them falls back on another: what is not to be had is said.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from maxlib.app.fake_chain import ModelledChain
from maxlib.app.fake_source import FakeSource
from maxlib.app.feeds import DELAY_S, Feed, FeedConfig, StreamFeed, TapeFeed, Vendor
from maxlib.app.live_vix import close_before
from maxlib.core.errors import ConfigError, DataError
from maxlib.data.catalog import resolve
from maxlib.data.massive.config import MassiveConfig, key_from_environment
from maxlib.data.massive.fake import FakeConfig
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.quality import gate
from maxlib.data.tape import Tape
from maxlib.data.tape import load as load_tape
from maxlib.data.vix import read_vix
from maxlib.data.waiting import Clock, SystemClock
from maxlib.engine.backtest import Rows
from maxlib.engine.live import Venue, label_of
from maxlib.engine.machine import MachineConfig
from maxlib.engine.replay import session_days, span
from maxlib.engine.shell import VOLATILITY
from maxlib.engine.trader import Quotes
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york, session, to_ns
from maxlib.market.instruments import instrument
from maxlib.options.desk import Desk
from maxlib.options.volatility import REALISED, vix_level
from maxlib.research.run import level_of
from maxlib.research.scenario import Scenario

USUAL_SPEED: Final = 60.0
HISTORY_DAYS: Final = 45
"""Calendar days fetched before a live day: the strategy warms up, and the regimes need 21 sessions."""
AFTER_CLOSE: Final = 5
"""Minutes after the close for which a live day is watched on."""
DELAYED_URL: Final = "wss://delayed.massive.com"


class Market(NamedTuple):
    """A date, and where its minutes come from.

    name : of the venue; day : New York date; folder : the journal's
    identity : goes into the journal's first entry
    history : BAR[n] before the first minute, to warm the strategy up
    level : from a minute to the volatility that prices options; None = realised
    quotes : whether the minutes bring the chain's quotes, or a model makes them
    volatility : which VIX a live day uses, in words; "" = nothing was asked for it
    """

    name: str
    day: str
    folder: Path
    speed: float
    label: Venue
    identity: dict[str, Any]
    history: Rows | None
    level: Callable[[Rows], float | None]
    feed: Feed
    quotes: Quotes = "modelled"
    volatility: str = ""

    @property
    def simulated(self) -> bool:
        """It never traded."""
        return self.label == "SIMULATED"


class Open(Protocol):
    """Opens a venue's market for a scenario; None = by default."""

    def __call__(self, scenario: Scenario, folder: Path | None, day: str, speed: float | None) -> Market:
        """Open it.

        Raises
        ------
        ConfigError, DataError
            If there is no such date, or the venue cannot be had.
        """


class _Date(NamedTuple):
    """One date of a scenario's tape."""

    tape: Tape
    day: str
    first: int
    last: int
    speed: float
    folder: Path

    @property
    def bars(self) -> Rows:
        return self.tape.bars[self.first : self.last]

    def market(self, scenario: Scenario, name: str, feed: Feed, quotes: Quotes = "modelled") -> Market:
        label = label_of(self.tape.simulated)
        identity = {"label": label, "day": self.day, "venue": name, "data_sha256": self.tape.sha256}
        level_of(scenario, self.tape)  # a tape without the VIX it needs is refused now
        history, level = self.tape.bars[: self.first], _level(scenario, self.tape.vix)
        return Market(
            name, self.day, self.folder, self.speed, label, identity, history, level, feed, quotes
        )  # fmt: skip

    def chain(self, scenario: Scenario) -> ModelledChain:
        """What the fake vendor quotes: the desk's model, at the volatility in force."""
        machine, upto = scenario.machine, self.tape.bars[: self.last]
        level = level_of(scenario, self.tape)
        sigma = REALISED.run(upto, VOLATILITY)[1]["sigma"] if level is None else level
        desk = Desk(machine.desk, instrument(machine.symbol))
        return ModelledChain(desk, self.bars, sigma[self.first : self.last])


def tape(scenario: Scenario, folder: Path | None, day: str, speed: float | None) -> Market:
    """The scenario's own bars, handed straight to the trader."""
    date = _date(scenario, folder, day, speed, "")
    return date.market(scenario, "tape", TapeFeed(date.bars, date.speed))


def fake(
    scenario: Scenario,
    folder: Path | None,
    day: str,
    speed: float | None,
    *,
    quotes: Quotes = "modelled",
    faults: FakeConfig | None = None,
    config: FeedConfig | None = None,
    missed_minutes: int | None = None,
) -> Market:
    """The scenario's own bars, over the fake vendor on this machine: WebSocket, REST, gate and all.

    Parameters
    ----------
    quotes : "live" = the vendor serves the chain too, at the model's quotes, and the trader takes those
    faults : what the vendor does wrong
    missed_minutes : how far the market went on while no trader ran; None = as long as it took, at `speed`
    """
    date = _date(scenario, folder, day, speed, "-fake")
    bars, symbol = date.bars, scenario.machine.symbol
    found = [
        _written(date.folder)
    ]  # of this start: the trader is going to open the journal, which touches it

    def missed() -> int:
        if missed_minutes is not None:
            return missed_minutes * NS_PER_MINUTE
        away = time.time() - (found.pop() if found else _written(date.folder))
        return int(max(0.0, away) * date.speed * 1e9)

    live = quotes == "live"
    chain = date.chain(scenario) if live else None
    source = FakeSource(symbol, bars, date.speed, missed=missed, fake=faults, config=config, chain=chain)
    before = date.tape.bars[date.first - 1] if date.first else None
    feed = StreamFeed(
        symbol,
        source,
        since=int(bars["ts"][0]) - NS_PER_MINUTE,
        price=None if before is None else float(before["close"]),
        until=int(bars["ts"][-1]),
        quotes=live,
    )
    return date.market(scenario, "fake", feed, quotes)


def massive(
    scenario: Scenario,
    folder: Path | None,
    day: str,
    speed: float | None,
    *,
    delayed: bool = False,
    quotes: Quotes = "live",
    settings: MassiveConfig | None = None,
    clock: Clock | None = None,
    environment: Mapping[str, str] | None = None,
) -> Market:
    """Today's market, from Massive, with the key from the environment. Nothing takes its place if it fails.

    Parameters
    ----------
    delayed : the vendor's 15-minute delayed stream; everything made from it is labelled DELAYED
    quotes : "live" = the vendor's, of the same time as its minutes; "modelled" = it is not asked for any
    settings, clock, environment : as they are, unless a test has others
    """
    config = settings or (MassiveConfig(socket_url=DELAYED_URL) if delayed else MassiveConfig())
    now = clock or SystemClock()
    if speed is not None:
        raise ConfigError(f"--speed {speed:g}: a live market has its own; leave it out")
    check_guard(scenario.machine, "--venue massive")
    key = key_from_environment(environment)
    today = new_york(now.utc_ns() - (int(DELAY_S * 1e9) if config.delayed else 0)).date()
    hours = session(today)
    if day not in ("", str(today)):
        raise DataError(f"--day {day}: a live market has only {today}")
    if hours is None:
        raise DataError(f"--venue massive: the exchange is closed on {today}")
    until = to_ns(today, hours.close_minute + AFTER_CLOSE)
    if now.utc_ns() >= until:
        raise DataError(f"--venue massive: the session of {today} is over")
    kind: Venue = "SIMULATED" if config.simulated else "DELAYED" if config.delayed else "PAPER"
    where = folder or Path("var") / "paper" / f"{scenario.name}-{today}-massive"
    symbol = scenario.machine.symbol
    asked = scenario.volatility == "vix" and scenario.data.vix is None  # no file of closes: the vendor's
    level = _level(scenario, None if asked else _vix_of(scenario))
    identity: dict[str, Any] = {"label": kind, "day": str(today), "venue": "massive"}
    first, history = first_entry(where), None
    price: float | None = None
    if first is None:
        client = MassiveRest(config, key, clock=now)
        try:
            raw = client.minute_bars(symbol, today - dt.timedelta(days=HISTORY_DAYS), today)
            vix = close_before(client, today) if asked else None
        finally:
            client.close()
        history = gate(raw, allow_incomplete=True)[0]
        since, price = int(history["ts"][-1]), float(history["close"][-1])
    else:
        since, vix = int(first.get("history_to", 0)), first.get("vix")
    identity["history_to"] = since
    if vix is not None:
        identity["vix"], points = vix, vix["close"]
        level = lambda _: None if points is None else points / 100.0  # noqa: E731
    vendor = Vendor(config, key, FeedConfig(), now)
    live = quotes == "live"
    feed = StreamFeed(symbol, vendor, since=since, price=price, until=until, quotes=live)
    volatility = "" if vix is None else vix["source"]
    return Market("massive", str(today), where, 1.0, kind, identity, history, level, feed, quotes, volatility)


VENUES: Final[dict[str, Open]] = {"tape": tape, "fake": fake, "massive": massive}


def venue(name: str, *, delayed: bool = False, quotes: str | None = None) -> Open:
    """The venue of a name.

    Parameters
    ----------
    quotes : "modelled" or "live"; None = the venue's own: live for massive, else modelled

    Raises
    ------
    ConfigError
        If there is none, or it cannot be delayed, or has no such quotes.
    """
    if quotes not in (None, *get_args(Quotes)):
        raise ConfigError(f"--quotes {quotes}: should be {' or '.join(get_args(Quotes))}")
    if quotes == "live" and name == "tape":
        raise ConfigError("--quotes live: the venue tape has bars only; fake and massive have quotes")
    if name not in VENUES:
        raise ConfigError(f"--venue {name}: should be {', '.join(VENUES)}")
    if delayed and name != "massive":
        raise ConfigError(f"--delayed: the venue {name} has no delayed stream; massive has")
    chosen: dict[str, Any] = {} if quotes is None or name == "tape" else {"quotes": quotes}
    if name == "massive":
        return partial(massive, delayed=delayed, **chosen)
    return partial(VENUES[name], **chosen) if chosen else VENUES[name]


def label_of_venue(name: str, scenario: Scenario, *, delayed: bool = False) -> Venue:
    """Where the minutes of a venue come from, before it is opened."""
    if name == "massive":
        return "DELAYED" if delayed else "PAPER"
    return label_of(load_tape(scenario.data).simulated)


def check_guard(config: MachineConfig, path: str) -> None:
    """Refuse a live path without a guard: nothing but the review of `risk` would stand before an order.

    Parameters
    ----------
    path : the option that makes it one

    Raises
    ------
    ConfigError
        If there is no guard.
    """
    if config.guard is None:
        raise ConfigError(
            f"{path}: the scenario's guard is off, and a live path wants one; "
            "take paper_qqq, or turn it on with -p guard.book=conservative"
        )


def check_speed(speed: float) -> float:
    """Times market speed; refused if it is none."""
    if not 0.0 <= speed <= 1e6:
        raise ConfigError(f"--speed {speed}: should be from 0 (as fast as possible) to 1000000")
    return speed


def first_entry(folder: Path) -> dict[str, Any] | None:
    """What a journal was begun with; None = it was not begun."""
    path = folder / "journal.sqlite"
    begun = path.exists() and path.stat().st_size > 0
    entries = read(path) if begun else []
    return json.loads(entries[0].body) if entries else None


def _written(folder: Path) -> float:
    """When the journal was written to last, seconds since 1970; what is not checkpointed is in the -wal."""
    files = [folder / f"journal.sqlite{end}" for end in ("", "-wal")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=time.time())


def _vix_of(scenario: Scenario) -> NDArray[np.void] | None:
    if scenario.volatility == "realised":
        return None
    if scenario.data.vix is None:
        raise DataError(f"{scenario.name}: volatility is vix, but there are no closes; give data.vix")
    return read_vix(resolve(scenario.data.vix))


def _date(scenario: Scenario, folder: Path | None, day: str, speed: float | None, suffix: str) -> _Date:
    chosen = USUAL_SPEED if speed is None else check_speed(speed)
    found = load_tape(scenario.data)
    days = {str(d): d for d in session_days(found.bars)}
    if not days or day not in ("", *days):
        raise DataError(f"--day {day}: {found.name} has no session then; it has {_range(list(days))}")
    name = day or max(days)
    first, last = span(found.bars, days[name])
    where = folder or Path("var") / "paper" / f"{scenario.name}-{name}{suffix}"
    return _Date(found, name, first, last, chosen, where)


def _level(scenario: Scenario, vix: NDArray[np.void] | None) -> Callable[[Rows], float | None]:
    if scenario.volatility == "realised" or vix is None:
        return lambda _: None
    return lambda row: float(vix_level(row, vix)[0])


def _range(days: list[str]) -> str:
    return f"{min(days)} to {max(days)}" if days else "none"
