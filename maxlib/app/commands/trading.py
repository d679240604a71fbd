"""Commands of the paper trader: run, supervise, check, report, end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maxlib.app.commands.common import Overrides, ScenarioName
from maxlib.app.commands.way import (
    After,
    BrokerName,
    Day,
    Delayed,
    QuotesName,
    Speed,
    VenueName,
    Way,
    dated,
)  # fmt: skip
from maxlib.core.errors import MaxTraderError

if TYPE_CHECKING:
    from maxlib.ops.events import Event

app = typer.Typer()


@app.command()
def paper(
    scenario: ScenarioName,
    venue: VenueName = "tape",
    delayed: Delayed = False,
    quotes: QuotesName = None,
    broker: BrokerName = "simulated",
    after: After = "",
    day: Day = "",
    speed: Speed = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Journal and state; default: var/paper/SCENARIO-DAY.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the API; 0 = a free one.")] = 0,
    stay: Annotated[bool, typer.Option("--stay/--exit", help="Serve on after the last bar.")] = True,
    overrides: Overrides = None,
) -> None:
    """Run the paper trader. Own simulated fills; a restart goes on where it stopped."""
    import asyncio

    from maxlib.app import brokers, venues
    from maxlib.app.paper import PaperTrader
    from maxlib.app.refusal import ending
    from maxlib.ops.address import ADDRESS
    from maxlib.research import scenario as scenario_file

    with ending(folder) as started:
        opened, filled_by = venues.venue(venue, delayed=delayed, quotes=quotes), brokers.broker(broker)
        chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides or []))
        trader = PaperTrader(
            chosen, folder, day=day, speed=speed, venue=opened, broker=filled_by, after=after
        )
        started.set()
        print(f"Paper trader: {trader.recovery_sentence}", flush=True)
        print(f"API and token: {trader.folder / ADDRESS}; Ctrl-C stops, a new start goes on.", flush=True)
        asyncio.run(trader.run(port, stay=stay))
        print(trader.closing_sentence, flush=True)


@app.command()
def supervise(
    scenario: ScenarioName,
    folder: Annotated[
        Path, typer.Option("--folder", help="Journal and state of the trader; {day} is New York's date.")
    ],
    venue: VenueName = "tape",
    delayed: Delayed = False,
    quotes: QuotesName = None,
    broker: BrokerName = "simulated",
    after: After = "",
    day: Day = "",
    speed: Speed = None,
    stay: Annotated[bool, typer.Option("--stay/--exit", help="Serve on after the last bar.")] = True,
    clear: Annotated[
        bool, typer.Option("--clear", help="Start although the last supervisor gave up.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Keep the paper trader running. Restarts it when it ends or hangs; Ctrl-C ends both."""
    from maxlib.app.alerts import notifier
    from maxlib.app.launch import itself
    from maxlib.ops.supervisor import supervise as keep

    folder = dated(folder)
    way = Way(venue, delayed, quotes, broker, after, day, speed, overrides)
    notices = notifier(folder / "supervisor-notices", way.label(way.checked(scenario)))
    told = [scenario, "--folder", str(folder), *way.words(), "--stay" if stay else "--exit"]

    def say(event: Event, text: str) -> None:
        print(f"{event}: {text}", flush=True)
        notices.send(event, text)

    outcome = keep(itself("paper", *told), folder, say, clear=clear)
    notices.close()
    print(outcome.sentence, flush=True)
    raise typer.Exit(outcome.code)


@app.command()
def doctor(
    scenario: Annotated[str | None, typer.Argument(help="A scenario whose bars shall pass the gate.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="A trader's journal and state; {day} as for supervise.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The one that the trader shall have.")
    ] = None,
    venue: VenueName = "tape",
    delayed: Delayed = False,
    quotes: QuotesName = None,
    broker: BrokerName = "simulated",
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Ask Massive and Alpaca, with your keys; of a named venue its bars and chain too.",
        ),
    ] = False,
    notify: Annotated[bool, typer.Option("--notify", help="Send a test notice to every service.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
    overrides: Overrides = None,
) -> None:
    """Check all that a trader needs. A line each: pass, fail or not used; exit code 1 if one fails."""
    import json

    from maxlib.app.doctor.examine import Vendors, examine
    from maxlib.app.doctor.line import table
    from maxlib.app.doctor.live import LivePath
    from maxlib.data.massive.config import MassiveConfig
    from maxlib.execution.alpaca.config import AlpacaConfig
    from maxlib.research.scenario import parse_overrides

    vendors = Vendors(MassiveConfig(), AlpacaConfig()) if online else None
    lines = examine(
        scenario, None if folder is None else dated(folder), port=port, vendors=vendors, notify=notify,
        path=LivePath(venue, delayed, quotes, broker), overrides=parse_overrides(overrides or []),
    )  # fmt: skip
    failed = any(line.state == "fail" for line in lines)
    if as_json:
        print(json.dumps({"passed": not failed, "checks": [line._asdict() for line in lines]}, indent=2))
    else:
        print(table(lines))
    raise typer.Exit(1 if failed else 0)


@app.command()
def end(
    folder: Annotated[Path, typer.Argument(help="A trader's folder, in which none runs.")],
    close: Annotated[
        float | None,
        typer.Option("--close", min=0.01, help="Official close of the underlying, if the end was not seen."),
    ] = None,
    unfilled: Annotated[
        bool,
        typer.Option("--unfilled", help="You looked at the broker: what nobody heard of again did not fill."),
    ] = False,
) -> None:
    """End a past day whose trader did not. What is open is settled at the close; nothing is sold."""
    from maxlib.app import ending

    print(ending.end(folder, close, unfilled=unfilled))


@app.command()
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of a paper trader, one a date; the newest is reported. {day} is New York's date."
        ),
    ],
) -> None:
    """Write a paper trader's daily report. Exit code 1 if it has drifted from its backtest."""
    from maxlib.app import daily, runner

    outcome = daily.write([dated(folder) for folder in folders])
    if outcome.verdict == "failed":
        raise MaxTraderError(outcome.message)
    print(outcome.message)
    print(f"Report: {outcome.report}")
    raise typer.Exit(runner.exit_code([outcome]))
