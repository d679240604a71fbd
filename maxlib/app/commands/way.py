"""How a trader is to be run: the options that `paper`, `supervise` and `dashboard` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from maxlib.engine.live import Venue
    from maxlib.research.scenario import Scenario

Day = Annotated[str, typer.Option("--day", help="New York date, as 2025-01-31; default: the last.")]
Speed = Annotated[
    float | None,
    typer.Option("--speed", help="Times market speed, 60 if not told; 0 = as fast as it goes."),
]
VenueName = Annotated[
    str,
    typer.Option(
        "--venue",
        help="tape: the scenario's own bars; fake: the same over a fake vendor on this machine; "
        "massive: today's market, with the key from the environment.",
    ),
]
BrokerName = Annotated[
    str,
    typer.Option(
        "--broker",
        help="simulated: own fills at the quotes of --quotes; dry-run: no order is sent; fake: a fake "
        "account on this machine; alpaca: your paper account, with keys from the environment.",
    ),
]
QuotesName = Annotated[
    str | None,
    typer.Option(
        "--quotes",
        help="Of options. modelled: the desk's; live: the venue's option chain, and no quote where it has "
        "none. Default: live for massive, else modelled.",
    ),
]
After = Annotated[
    str,
    typer.Option("--after", help="Folder of a day whose account goes on; last = the newest beside --folder."),
]
Delayed = Annotated[bool, typer.Option("--delayed", help="Of massive, the 15-minute delayed stream.")]


class Way(NamedTuple):
    """What the options of a command said; the defaults are those of `maxtrader paper`."""

    venue: str = "tape"
    delayed: bool = False
    quotes: str | None = None
    broker: str = "simulated"
    after: str = ""
    day: str = ""
    speed: float | None = None
    overrides: list[str] | None = None

    def words(self) -> list[str]:
        """The options that say it, for a command line."""
        said = [] if self.venue == "tape" else ["--venue", self.venue]
        said += ["--delayed"] if self.delayed else []
        said += [] if self.quotes is None else ["--quotes", self.quotes]
        said += [] if self.broker == "simulated" else ["--broker", self.broker]
        said += ["--after", self.after] if self.after else []
        said += ["--day", self.day] if self.day else []
        said += [] if self.speed is None else ["--speed", str(self.speed)]
        return said + [word for pair in self.overrides or [] for word in ("-p", pair)]

    def checked(self, scenario: str) -> Scenario:
        """The scenario of a trader that is going to be started; what cannot be is told here, once.

        Raises
        ------
        ConfigError
            If the scenario, its overrides, the venue or the broker cannot be, or not together.
        """
        from maxlib.app import brokers, venues
        from maxlib.research import scenario as scenario_file

        chosen = scenario_file.load(scenario, scenario_file.parse_overrides(self.overrides or []))
        venues.venue(self.venue, delayed=self.delayed, quotes=self.quotes)
        if self.venue == "massive":
            venues.check_guard(chosen.machine, "--venue massive")
        brokers.broker(self.broker).check(chosen.machine, label=self.label(chosen))
        if self.speed is not None:
            venues.check_speed(self.speed)
        return chosen

    def label(self, scenario: Scenario) -> Venue:
        """What its notices are stamped with, as SIMULATED."""
        from maxlib.app import venues

        return venues.label_of_venue(self.venue, scenario, delayed=self.delayed)


def dated(folder: Path) -> Path:
    """`folder` with New York's date for {day}: a systemd unit has no shell that would fill it in."""
    import time

    from maxlib.market.calendar import new_york

    return Path(str(folder).replace("{day}", str(new_york(time.time_ns()).date())))
