"""The live page: one app object that a notebook builds and shows.

It sends a host command words and draws the views that come back; it owns no trade, price
or journal. Nothing starts before Start is clicked: Voila may run the notebook long before
anyone looks.
"""

from __future__ import annotations

import datetime as dt
import logging
from html import escape
from typing import Any, Final

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError, MaxTraderError
from maxlib.data import DataConfig, SimulatorConfig, Tape, load
from maxlib.engine.machine import MachineConfig
from maxlib.engine.replay import ReplaySession, session_days
from maxlib.engine.session_views import Label, SessionView
from maxlib.market.calendar import session, to_ns
from maxlib.market.instruments import instrument
from maxlib.research import scenario
from maxlib.risk.sizing import RiskConfig
from maxlib.strategies.strategy import Strategy
from maxlib.views import panels
from maxlib.views.clock import WallClock
from maxlib.views.controls import SPEEDS, Controls
from maxlib.views.host import KernelHost
from maxlib.views.page import Page
from maxlib.views.price_chart import PriceChart

LOG: Final = logging.getLogger(__name__)
STRATEGIES: Final = {"champion": "champion_2024_carried", "wave_renko": "demo_normal"}
"""Strategies on offer, and the scenario that each takes its thresholds, desk, exits and risk from."""
MARKETS: Final = {f"simulated, {name}": name for name in ("normal", "crash", "calm")}


def settings(name: str, symbol: str, account_usd: int) -> tuple[Strategy, MachineConfig]:
    """Strategy and machine of a name in `STRATEGIES`, on this symbol and starting cash (dollars)."""
    chosen = scenario.load(STRATEGIES[name])
    risk = chosen.risk.model_copy(update={"account_usd": account_usd})
    return chosen.strategy.build(), chosen.machine.model_copy(update={"symbol": symbol, "risk": risk})


class PaperTrader(Page):
    """The paper trader's page.

    Parameters
    ----------
    source : "simulator", "catalog" or "file": the tape shown first
    market, seed, days : of the simulated market
    symbol, path : of a real tape; `path` with source "file" only
    strategy : "champion" or "wave_renko"
    day : New York date "YYYY-MM-DD"; "" = the last session of the tape
    begin : "open" or "premarket"
    speed : market seconds per second, one of `SPEEDS`; 0 = as fast as the page can follow
    account_usd : starting cash, whole dollars

    Raises
    ------
    ConfigError
        If a parameter has no such value. A tape that cannot be loaded is told in a banner.
    """

    def __init__(
        self,
        *,
        source: str = "simulator",
        market: str = "normal",
        seed: int = 7,
        days: int = 60,
        symbol: str = "QQQ",
        path: str = "",
        strategy: str = "champion",
        day: str = "",
        begin: str = "open",
        speed: float = 60.0,
        account_usd: int = 25_000,
    ) -> None:
        _among("source", source, ("simulator", "catalog", "file"))
        _among("market", market, tuple(MARKETS.values()))
        _among("strategy", strategy, tuple(STRATEGIES))
        _among("begin", begin, ("open", "premarket"))
        _among("speed", float(speed), SPEEDS)
        instrument(symbol)
        self._wanted = _date(day)
        self._days = days
        self._symbol = symbol
        self._account = parse(RiskConfig, {"account_usd": account_usd}, "account_usd").account_usd
        self._real = None if source == "simulator" else _real(source, symbol, path)
        self._tape: Tape | None = None
        self.host: KernelHost | None = None

        names = [*([self._real[0]] if self._real else []), *MARKETS]
        self.controls = Controls(
            names,
            list(STRATEGIES),
            on_tape=self._guard(self._new_tape),
            on_session=self._guard(self._new_session),
            on_speed=self._guard(self._speed),
            on_button=self._guard(self._button),
        )
        self.header = panels.Panel("brandbar", panels.header, boxed=False)
        self.clocks = panels.Panel("clocks", panels.clocks, boxed=False)
        self.wall = WallClock()
        self.tiles = panels.Panel("tiles", panels.tiles, boxed=False)
        self.chart = PriceChart()
        self.panels = [
            panels.Panel(area, render)
            for area, render in (
                ("whynot", panels.why_not), ("position", panels.position),
                ("trades", panels.trades), ("journal", panels.journal),
            )
        ]  # fmt: skip
        super().__init__(
            header=[self.header, self.clocks, self.wall],
            tiles=self.tiles,
            controls=self.controls,
            chart=self.chart,
            panels=self.panels,
        )
        first = names[0] if self._real else next(name for name, m in MARKETS.items() if m == market)
        self.controls.choose(tape=first, seed=seed, strategy=strategy, begin=begin, speed=float(speed))
        self._guard(self._new_tape)()

    # --- what the controls do

    def _new_tape(self) -> None:
        """Load the chosen tape and set up a session on it."""
        self._tape, self.host = None, None
        self.controls.show(None, {}, simulated=self._simulated)
        self._tape = load(self._data())
        days = session_days(self._tape.bars)
        if not days:
            raise ConfigError(f"tape {self._tape.name}: it has no bars in regular hours")
        first = self.controls.day.value is None
        wanted = self._wanted if first else self.controls.day.value
        self.controls.offer_days(days, wanted)
        self._new_session()
        if first and wanted is not None and wanted not in days:
            self._say(f"{wanted} is no session of {self._tape.name}: this is {days[-1]}.")

    def _new_session(self) -> None:
        """Set up a fresh session, IDLE."""
        tape, day = self._tape, self.controls.day.value
        if tape is None:
            return
        self.host = None
        strategy, machine = settings(self.controls.strategy.value, self._symbol, self._account)
        label: Label = "SIMULATED" if tape.simulated else "REPLAY"
        name = f"{label.lower()} {strategy.name} {day} {tape.sha256[:12]}"
        made = ReplaySession(tape.bars, strategy, machine, day=day, label=label, name=name)
        opening = closing = None
        hours = session(day)
        if hours is not None and self.controls.begin.value == "open":
            # What lies outside regular hours is played at once: nothing can be traded there.
            opening, closing = to_ns(day, hours.open_minute), to_ns(day, hours.close_minute)
        self.host = KernelHost(
            made,
            begin=opening,
            end=closing,
            speed=self.controls.speed.value,
            on_paint=self.paint,
            on_error=self.fail,
        )
        self.banner.value = ""
        view = self.host.view().session
        first = view.clock if opening is None else max(view.clock, opening)
        self.chart.show(day, first, f"{view.name} {view.clock}")
        self.paint()

    def _speed(self, speed: float) -> None:
        if self.host is not None:
            self.host.speed = speed

    def _button(self, name: str) -> None:
        if name == "reset":
            self._new_session()
            return
        if self.host is None:
            return
        command = next(word for word in ("start", "pause", "resume", "stop") if word == name)
        refused = self.host.command(command)
        if refused is not None:
            self._say(f"{name.capitalize()} was refused: {refused}.")
        self.paint()

    # --- drawing

    def paint(self) -> None:
        """Draw the host's view; only what changed is sent."""
        if self.host is None:
            return
        seen = self.host.view()
        view = seen.session
        for panel in (self.header, self.clocks, self.tiles, *self.panels):
            panel.show(view)
        self.chart.update(self.host, view)
        self.strip.value = self._strip(view)
        self.wall.age = -1.0 if seen.wall_age_s is None else seen.wall_age_s
        self.controls.show(view.state, view.blocked, simulated=self._simulated)

    def _strip(self, view: SessionView) -> str:
        """The tape's name, and the levels that lie off the chart."""
        name = self._tape.name if self._tape else ""
        far = ", ".join(f"{text} {price:.2f}" for price, text, _ in self.chart.far)
        off = f"<span>Off the chart: {far}</span>" if far else ""
        return f"<span>{escape(name)}</span><span>{view.day:%A, %-d %B %Y}</span>{off}"

    def fail(self, error: BaseException) -> None:
        """Pause the session and tell what went wrong: nothing fails in silence."""
        LOG.error("the paper trader's page", exc_info=error)
        if self.host is not None:
            self.host.command("pause")
            self.paint()
        kind = "" if isinstance(error, MaxTraderError) else f"{type(error).__name__}: "
        self._say(f"{kind}{error}")

    # --- the tape

    @property
    def _simulated(self) -> bool:
        return self.controls.tape.value in MARKETS

    def _data(self) -> DataConfig:
        if self._real is not None and not self._simulated:
            return self._real[1]
        made = {
            "market": MARKETS[self.controls.tape.value],
            "seed": self.controls.seed.value,
            "days": self._days,
        }
        return DataConfig(source="simulator", simulator=parse(SimulatorConfig, made, "simulator"))


def _real(source: str, symbol: str, path: str) -> tuple[str, DataConfig]:
    values = {"source": source, "symbol": symbol, **({"path": path} if path else {})}
    return f"{symbol}, {path.rsplit('/', 1)[-1] or source}", parse(
        DataConfig, values, "the notebook's parameters"
    )


def _date(day: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(day) if day else None
    except ValueError:
        raise ConfigError(f"day {day!r} is not a date like 2025-01-31") from None


def _among(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} {value!r} is not known; known are {', '.join(map(str, known))}")
