"""The `maxtrader` command.

Exit codes: 0 it ran, and every verdict holds; 1 it ran, and a verdict or an audit
does not hold; 2 it could not run (one sentence on standard error says why).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import maxlib
from maxlib.core.errors import ConfigError, DataError, MaxTraderError

if TYPE_CHECKING:
    from maxlib.app.runner import Outcome
    from maxlib.data import fetch as fetching
    from maxlib.ops.events import Event
    from maxlib.research.scenario import Scenario

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A paper-trading lab for intraday options. Exit codes: 0 holds, 1 does not hold, 2 could not run.",
)
data_app = typer.Typer(no_args_is_help=True, help="Fetch, import and check bars.")
app.add_typer(data_app, name="data")

ScenarioName = Annotated[str, typer.Argument(help="A name in configs/scenarios, or a path to a .yaml file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="KEY=VALUE", help="Override a field, as in risk.risk_fraction=0.02."),
]
Incomplete = Annotated[bool, typer.Option("--allow-incomplete", help="Let cut sessions through.")]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1; default: a free one.")
]
BarsFile = Annotated[str, typer.Argument(help="A CSV or Parquet file of one-minute bars.")]
Day = Annotated[str, typer.Option("--day", help="New York date, as 2025-01-31; default: the last.")]
Speed = Annotated[float, typer.Option("--speed", help="Times market speed; 0 = as fast as it goes.")]
PaperSpeed = Annotated[
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
Out = Annotated[Path, typer.Option("--out", help="Folder for reports.")]
AccountingName = Annotated[
    str, typer.Option("--accounting", help="honest, published, or published_itm (the champion's).")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]

DEMOS = ("demo_normal", "demo_crash", "demo_calm")


def _console(*, stderr: bool = False) -> Console:
    """A console that never cuts a line: in a pipe or a log there is no width to keep to."""
    plain = Console(stderr=stderr, highlight=False, soft_wrap=True)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, soft_wrap=True, width=200)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")] = False,
) -> None:
    if version:
        print(f"maxtrader {maxlib.__version__}")
        raise typer.Exit
    del verbose  # `main` reads it: it must work for errors raised anywhere


@app.command()
def scenarios() -> None:
    """List the scenarios."""
    from maxlib.research import scenario as scenario_file

    table = Table("scenario", "title", "bars", box=None, pad_edge=False)
    for name in scenario_file.names():
        one = scenario_file.load(name)
        table.add_row(name, one.title, one.data.path or f"{one.data.source} (SIMULATED)")
    _console().print(table)


@app.command()
def backtest(
    scenario: ScenarioName,
    json_file: JsonFile = None,
    overrides: Overrides = None,
    trades: Annotated[Path | None, typer.Option("--trades", help="Write the trades as CSV.")] = None,
    journal: Annotated[Path | None, typer.Option("--journal", help="Write a new SQLite journal.")] = None,
    accounting: AccountingName = "honest",
) -> None:
    """Run one scenario. Exit code 1 if its claims do not hold, or its accounting is refused."""
    from maxlib.research import run
    from maxlib.research import scenario as scenario_file

    chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides or []))
    if accounting != "honest":
        _published(chosen, accounting, json_file, trades, journal)
        return
    _writable(json_file, trades, journal)
    done = run.run_scenario(chosen)
    result = run.result(done)
    if json_file is not None:
        run.write_json(json_file, result)
    if trades is not None:
        run.write_trades(trades, done)
    if journal is not None:
        run.write_journal(journal, done)
    _console().print("\n".join(run.sentences(done)))
    raise typer.Exit(1 if done.verdict in ("does_not_hold", "refused") else 0)


def _published(
    chosen: Scenario, accounting: str, json_file: Path | None, trades: Path | None, journal: Path | None
) -> None:
    """The claim's own arithmetic, said to be that: what coin flips make by it comes first."""
    from maxlib.research import autopsy, run
    from maxlib.research import placebo as placebos
    from maxlib.research.trials import record

    if journal is not None:
        raise ConfigError(f"--journal: the {accounting} accounting keeps none; only honest runs do")
    _writable(json_file, trades)
    book = autopsy.published(accounting, chosen)
    fed = placebos.placebo(book)
    result = autopsy.result(chosen, book, fed)
    figures = {name: result["figures"][name] for name in ("trades", "win_rate", "pnl_usd")}
    record("published", chosen, book, **figures)
    if json_file is not None:
        run.write_json(json_file, result)
    if trades is not None:
        autopsy.write_trades(trades, book)
    _console().print(f"{autopsy.stamp(chosen)}{fed.sentence()}\n{autopsy.sentence(result)}", markup=False)


@app.command()
def placebo(
    scenario: ScenarioName,
    accounting: AccountingName = "honest",
    seeds: Annotated[int, typer.Option("--seeds", help="Sets of random trades.")] = 20,
    json_file: JsonFile = None,
    overrides: Overrides = None,
) -> None:
    """Feed an accounting coin flips. Exit code 1 if it makes them rich: it is refused."""
    from maxlib.research import autopsy, run
    from maxlib.research import placebo as placebos
    from maxlib.research import scenario as scenario_file
    from maxlib.research.trials import record

    chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides or []))
    done = run.run_scenario(chosen, lab=False).run if accounting == "honest" else None
    fed_one = autopsy.accounting(accounting, chosen, done)
    if len(fed_one.entries().at) == 0:
        raise DataError(
            f"{chosen.name} makes no trade by the {accounting} accounting: no placebo can be drawn"
        )
    fed = placebos.placebo(fed_one, seeds)
    record("placebo", chosen, fed_one, trades=fed.trades, win_rate=fed.win_rate, pnl_usd=fed.pnl_usd, seed=0)
    if json_file is not None:
        made_of = autopsy.provenance(chosen, fed_one.bars)
        run.write_json(json_file, {"scenario": chosen.name, **fed.as_dict(), **made_of})
    _console().print(autopsy.stamp(chosen) + fed.sentence(), markup=False)
    raise typer.Exit(1 if fed.refused else 0)


@app.command()
def waterfall(
    scenario: ScenarioName,
    accounting: AccountingName = "published",
    causes: Annotated[
        str | None, typer.Option("--causes", help="Switches in order, as clock,costs; default: all.")
    ] = None,
    json_file: JsonFile = None,
    overrides: Overrides = None,
) -> None:
    """From a claim to the honest figure. One named cause at a time."""
    from maxlib.research import autopsy, run
    from maxlib.research import scenario as scenario_file
    from maxlib.research.trials import record

    chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides or []))
    named = None if causes is None else [name.strip() for name in causes.split(",") if name.strip()]
    if named == []:
        raise ConfigError("--causes: name at least one, as in clock,costs; without the option all are thrown")
    _writable(json_file)
    book = autopsy.published(accounting, chosen)
    steps = autopsy.waterfall(chosen, accounting, named, book)
    end = autopsy.plain(steps[-1])
    record("waterfall", chosen, book, **{name: end[name] for name in ("trades", "win_rate", "pnl_usd")})
    if json_file is not None:
        rows = [autopsy.plain(step) for step in steps]
        made_of = autopsy.provenance(chosen, book.bars)
        run.write_json(
            json_file, {"scenario": chosen.name, "accounting": accounting, "steps": rows, **made_of}
        )
    if autopsy.stamp(chosen):
        _console().print(autopsy.stamp(chosen))
    table = Table("step", "trades", "won", "P&L $", "what is put right", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for step in steps:
        won = "-" if step.trades == 0 else f"{step.win_rate:.1%}"
        table.add_row(step.name, str(step.trades), won, f"{step.pnl_usd:,.2f}", escape(step.cause))
    _console().print(table)


@app.command("autopsy")
def autopsy_report(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios; none = all with a claim.")] = None,
    out: Out = Path("var/autopsies"),
    accounting: AccountingName = "published",
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Scenarios at once; default: the cores.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Write claim autopsies. Placebo, waterfall and impossible trades of each claim, as HTML.

    Exit codes as for validate: they judge the honest figures, not the claim's.
    """
    from maxlib.app import runner
    from maxlib.research import scenario as scenario_file

    chosen = names or [name for name in scenario_file.names() if scenario_file.load(name).claims]
    changed = scenario_file.parse_overrides(overrides or [])
    more = {"accounting": accounting}
    outcomes = _validate(chosen, out, jobs, changed, notebook=runner.AUTOPSY, parameters=more)
    raise typer.Exit(runner.exit_code(outcomes))


@app.command()
def trials(
    verify: Annotated[bool, typer.Option("--verify", help="Only check the chain.")] = False,
    json_file: JsonFile = None,
) -> None:
    """List the runs ever tried here. Exit code 1 if the ledger was tampered with."""
    from maxlib.research import run
    from maxlib.research.trials import TrialLedger

    ledger = TrialLedger()
    problems = ledger.verify()
    rows = ledger.rows() if not problems else []
    if json_file is not None:
        run.write_json(json_file, {"problems": problems, "trials": rows})
    if not verify and rows:
        table = Table(
            "#",
            "at",
            "kind",
            "scenario",
            "data",
            "trades",
            "won",
            "P&L $",
            "Sharpe",
            box=None,
            pad_edge=False,
        )
        for column in table.columns[5:]:
            column.justify = "right"
        for row in rows:
            won = "-" if row["win_rate"] is None else f"{row['win_rate']:.1%}"
            ratio = "-" if row["sharpe_annual"] is None else f"{row['sharpe_annual']:.2f}"
            data = f"{row['data']}{' SIMULATED' if row['simulated'] else ''}"
            table.add_row(
                str(row["number"]), row["at"], row["kind"], row["scenario"], data, str(row["trades"]), won,
                f"{row['pnl_usd']:,.2f}", ratio,
            )  # fmt: skip
        _console().print(table)
    said = ledger.sentences()
    _console().print("\n".join(said[: 1 + len(problems)] if verify else said), markup=False)
    raise typer.Exit(1 if problems else 0)


@app.command()
def audit(
    scenario: ScenarioName,
    cuts: Annotated[int, typer.Option("--cuts", help="Points at which the tape is cut.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the points.")] = 0,
    json_file: JsonFile = None,
    overrides: Overrides = None,
) -> None:
    """Look for peeking. Cuts the tape at random points; exit code 1 if an earlier output was rewritten."""
    from maxlib.data.tape import load as load_tape
    from maxlib.research import audit as auditor
    from maxlib.research import run
    from maxlib.research import scenario as scenario_file

    chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides or []))
    tape = load_tape(chosen.data)
    level = run.level_of(chosen, tape)
    found = auditor.audit(tape.bars, chosen.strategy.build(), chosen.machine, cuts, seed, level)
    if json_file is not None:
        run.write_json(json_file, {"scenario": chosen.name, "seed": seed, **found.as_dict()})
    _console().print(
        f"{chosen.name}: {found.cuts} cuts, {found.signal_rows:,} outputs and {found.journal_entries:,} "
        f"journal entries compared, {found.rewritten} rewritten."
    )
    for example in found.examples:
        _console().print(f"  {example}")
    raise typer.Exit(1 if found.rewritten else 0)


@app.command()
def validate(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios; none = all there are.")] = None,
    out: Out = Path("var/reports"),
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Scenarios at once; default: the cores.")
    ] = None,
    overrides: Overrides = None,
    backend: Annotated[str, typer.Option("--backend", help="process, or dask (needs dask).")] = "process",
) -> None:
    """Write scenario reports. One notebook each: HTML, result.json, and an index page over all."""
    from maxlib.app import runner
    from maxlib.research import scenario as scenario_file

    chosen = names or scenario_file.names()
    outcomes = _validate(chosen, out, jobs, scenario_file.parse_overrides(overrides or []), backend)
    raise typer.Exit(runner.exit_code(outcomes))


@app.command()
def demo(
    dashboard_too: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Serve the dashboard afterwards.")
    ] = True,
    out: Out = Path("var/reports"),
    port: Port = None,
) -> None:
    """Reports on a simulated market, then the page. Needs no data and no keys."""
    from maxlib.app import runner

    outcomes = _validate(list(DEMOS), out, None, {})
    if runner.exit_code(outcomes) == 2:
        raise typer.Exit(2)
    if dashboard_too:
        dashboard(port=port)


@app.command()
def dashboard(
    scenario: Annotated[
        str | None, typer.Argument(help="Start its trader in --folder, if none runs there.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Show the trader of this folder.")] = None,
    port: Port = None,
    bars: Annotated[
        str | None, typer.Option("--bars", help="Replay this file of real bars; default: a simulated market.")
    ] = None,
    symbol: Annotated[str, typer.Option("--symbol", help="Of the file.")] = "QQQ",
    day: Day = "",
    venue: VenueName = "tape",
    delayed: Delayed = False,
    quotes: QuotesName = None,
    broker: BrokerName = "simulated",
    speed: PaperSpeed = None,
    overrides: Overrides = None,
) -> None:
    """Serve the paper trader's page. With --folder it shows a trader process, else a replay of its own."""
    from maxlib.app import voila

    options = ["--venue", venue] if venue != "tape" else []
    options += ["--delayed"] if delayed else []
    options += [] if quotes is None else ["--quotes", quotes]
    options += ["--broker", broker] if broker != "simulated" else []
    options += [] if speed is None else ["--speed", str(speed)]
    options += [word for pair in overrides or [] for word in ("-p", pair)]
    if folder is not None:
        if bars is not None:
            raise ConfigError(
                f"--bars {bars}: a trader has its own bars; leave out --folder to replay a file"
            )
        if scenario is not None:
            _tradable(scenario, overrides or [], venue, broker, speed, delayed=delayed, quotes=quotes)
        options += ["--day", day] if day else []
        _serve("Paper trader", voila.TRADER, port, _attached(folder, scenario, options))
        return
    if scenario is not None:
        raise ConfigError(f"{scenario}: should come with --folder, where its trader writes")
    if options:
        raise ConfigError(
            f"{options[0]}: is of a SCENARIO with --folder; a replay has its controls on the page"
        )
    parameters = {"symbol": symbol, "day": day, **(_tape_of(bars, symbol) if bars else {})}
    _serve("Paper trader", voila.PAPER_TRADER, port, parameters)


def _tradable(
    scenario: str,
    overrides: list[str],
    venue: str,
    broker: str,
    speed: float | None,
    *,
    delayed: bool = False,
    quotes: str | None = None,
) -> Scenario:
    """The scenario of a trader that is going to be started; what cannot be is told here, once."""
    from maxlib.app import brokers, venues
    from maxlib.research import scenario as scenario_file

    chosen = scenario_file.load(scenario, scenario_file.parse_overrides(overrides))
    venues.venue(venue, delayed=delayed, quotes=quotes)
    label = venues.label_of_venue(venue, chosen, delayed=delayed)
    brokers.broker(broker).check(chosen.machine, label=label)
    if speed is not None:
        venues.check_speed(speed)
    return chosen


def _attached(folder: Path, scenario: str | None, options: list[str]) -> dict[str, Any]:
    """The page's parameters for a trader process, which is started if it is named and none runs."""
    from maxlib.app.launch import Launch
    from maxlib.views.remote import Remote

    if scenario is not None:
        found = Remote(folder).look()
        if found.away in ("none", "ended", "down"):
            Launch(scenario, folder.resolve(), options).start()
            print(f"A trader of {scenario} starts in {folder} and outlives this command.", flush=True)
        else:
            print(f"The trader in {folder} runs, process {found.pid}.", flush=True)
    elif options:
        raise ConfigError(f"--folder {folder}: {options[0]} is of a SCENARIO, and none is named")
    elif not folder.is_dir():
        raise ConfigError(f"--folder {folder}: no such folder; name a SCENARIO to begin one there")
    return {"folder": str(folder.resolve()), "scenario": scenario or "", "options": options}


def _serve(name: str, notebook: Path, port: int | None, parameters: dict[str, Any]) -> None:
    from maxlib.app import voila

    with (
        voila.serve(notebook, port, parameters=parameters) as server,
        contextlib.suppress(KeyboardInterrupt),  # Ctrl-C is how it ends
    ):
        print(f"{name}: {server.url}", flush=True)
        print("Press Ctrl-C to stop.", flush=True)
        server.wait()


@app.command()
def paper(
    scenario: ScenarioName,
    venue: VenueName = "tape",
    delayed: Delayed = False,
    quotes: QuotesName = None,
    broker: BrokerName = "simulated",
    after: After = "",
    day: Day = "",
    speed: PaperSpeed = None,
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
    speed: PaperSpeed = None,
    stay: Annotated[bool, typer.Option("--stay/--exit", help="Serve on after the last bar.")] = True,
    clear: Annotated[
        bool, typer.Option("--clear", help="Start although the last supervisor gave up.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Keep the paper trader running. Restarts it when it ends or hangs; Ctrl-C ends both."""
    from maxlib.app import venues
    from maxlib.app.alerts import notifier
    from maxlib.ops.supervisor import supervise as keep

    folder = _dated(folder)
    chosen = _tradable(scenario, overrides or [], venue, broker, speed, delayed=delayed, quotes=quotes)
    notices = notifier(folder / "supervisor-notices", venues.label_of_venue(venue, chosen, delayed=delayed))
    told = [scenario, "--folder", str(folder), "--venue", venue, "--broker", broker, "--day", day]
    told += ["--after", after] if after else []
    told += ["--delayed"] if delayed else []
    told += [] if quotes is None else ["--quotes", quotes]
    told += [] if speed is None else ["--speed", str(speed)]
    told += ["--stay" if stay else "--exit"]
    for pair in overrides or []:
        told += ["-p", pair]
    command = [sys.executable, "-c", "from maxlib.app.cli import main; main()", "paper", *told]

    def say(event: Event, text: str) -> None:
        print(f"{event}: {text}", flush=True)
        notices.send(event, text)

    outcome = keep(command, folder, say, clear=clear)
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
    online: Annotated[bool, typer.Option("--online", help="Ask Massive and Alpaca, with your keys.")] = False,
    notify: Annotated[bool, typer.Option("--notify", help="Send a test notice to every service.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Check all that a trader needs. A line each: pass, fail or not used; exit code 1 if one fails."""
    import json

    from maxlib.app.doctor.examine import Vendors, examine
    from maxlib.app.doctor.line import table
    from maxlib.data.massive.config import MassiveConfig
    from maxlib.execution.alpaca.config import AlpacaConfig

    vendors = Vendors(MassiveConfig(), AlpacaConfig()) if online else None
    lines = examine(
        scenario, None if folder is None else _dated(folder), port=port, vendors=vendors, notify=notify
    )
    failed = any(line.state == "fail" for line in lines)
    if as_json:
        print(json.dumps({"passed": not failed, "checks": [line._asdict() for line in lines]}, indent=2))
    else:
        print(table(lines))
    raise typer.Exit(1 if failed else 0)


@app.command()
def end(folder: Annotated[Path, typer.Argument(help="A trader's folder, in which none runs.")]) -> None:
    """End a past day whose trader did not. Its account can then go on; nothing is sent."""
    from maxlib.app import ending

    print(ending.end(folder))


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

    outcome = daily.write([_dated(folder) for folder in folders])
    if outcome.verdict == "failed":
        raise MaxTraderError(outcome.message)
    print(outcome.message)
    print(f"Report: {outcome.report}")
    raise typer.Exit(runner.exit_code([outcome]))


def _dated(folder: Path) -> Path:
    """`folder` with New York's date for {day}: a systemd unit has no shell that would fill it in."""
    import time

    from maxlib.market.calendar import new_york

    return Path(str(folder).replace("{day}", str(new_york(time.time_ns()).date())))


@app.command()
def lab(
    port: Port = None,
    chain: Annotated[
        str | None, typer.Option("--chain", help="A file of option quotes; default: the modelled chain.")
    ] = None,
) -> None:
    """Serve the options lab. Build structures with sliders, on this machine only, until Ctrl-C."""
    from maxlib.app import voila
    from maxlib.data.catalog import resolve
    from maxlib.data.chains import load_chain

    parameters: dict[str, Any] = {}
    if chain is not None:
        found = resolve(chain).resolve()
        load_chain(found)  # a file that cannot be used is told here, not on the page
        parameters = {"chain": "file", "path": str(found)}
    _serve("Options lab", voila.OPTIONS_LAB, port, parameters)


@data_app.command("check")
def data_check(
    path: BarsFile,
    symbol: Annotated[str, typer.Option("--symbol")] = "QQQ",
    allow_incomplete: Incomplete = False,
    json_file: JsonFile = None,
) -> None:
    """Say what the quality gate finds in a file. Exit code 2 if it is refused."""
    from maxlib.core.config import parse
    from maxlib.data.config import DataConfig
    from maxlib.data.tape import load as load_tape
    from maxlib.research import run

    values = {"source": "file", "path": path, "symbol": symbol, "allow_incomplete": allow_incomplete}
    tape = load_tape(parse(DataConfig, values, "data check"))
    if json_file is not None:
        run.write_json(json_file, tape.quality.as_dict())
    _console().print("\n".join(tape.quality.lines()), markup=False)


@data_app.command("chain")
def data_chain(
    path: Annotated[str, typer.Argument(help="A file of option quotes: LEAN, Cboe, Yahoo or Barchart.")],
    json_file: JsonFile = None,
) -> None:
    """Say what the quality gate finds in a file of option quotes. Counted and shown, never repaired."""
    from maxlib.data.catalog import resolve
    from maxlib.data.chains import load_chain
    from maxlib.options.chain_gate import inspect
    from maxlib.research import run

    report = inspect(load_chain(resolve(path)))
    if json_file is not None:
        run.write_json(json_file, report.as_dict())
    _console().print("\n".join(report.lines()), markup=False)


@data_app.command("fetch")
def data_fetch(
    symbol: Annotated[str, typer.Argument(help="Ticker, as QQQ.")],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="First New York date, as 2025-01-31.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="Last one; yesterday at the latest.")],
    calls: Annotated[
        int, typer.Option("--calls", min=1, max=6000, help="Calls a minute that the plan allows.")
    ] = 5,
    allow_incomplete: Incomplete = False,
    url: Annotated[
        str | None, typer.Option("--url", help="Base of the interface; default: the vendor's.")
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Take bars from this machine, and say so in their name.")
    ] = False,
) -> None:
    """Download bars from Massive into the catalog. Run again, it goes on where it was."""
    from maxlib.app import download
    from maxlib.data import catalog

    start, end = download.date(first, "--from"), download.date(last, "--to")
    _writable(catalog.folder() / symbol / "bars")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True)) as progress:
        bar = progress.add_task(f"{symbol} by month", total=None)

        def told(now: fetching.Progress) -> None:
            progress.update(bar, total=now.total, completed=now.done)
            progress.console.print(download.line(now.part), markup=False)

        try:
            parts = download.download(
                symbol,
                start,
                end,
                url=url,
                simulated=simulated,
                calls_a_minute=calls,
                allow_incomplete=allow_incomplete,
                progress=told,
            )
        except KeyboardInterrupt:
            raise DataError(f"fetch {symbol}: interrupted; the same command goes on where it was") from None
    _console().print(download.sentence(symbol, parts), markup=False)


@data_app.command("import")
def data_import(
    path: BarsFile,
    symbol: Annotated[str, typer.Option("--symbol")] = "QQQ",
    allow_incomplete: Incomplete = False,
) -> None:
    """Keep a file's bars in the catalog. They pass the quality gate first."""
    from maxlib.data import catalog

    entry = catalog.import_bars(path, symbol, allow_incomplete=allow_incomplete)
    text = f"{entry.name}: {entry.bars:,} bars from {entry.first} to {entry.last} are in the catalog."
    _console().print(text, markup=False)


@data_app.command("list")
def data_list() -> None:
    """List what the catalog holds."""
    from maxlib.data import catalog

    rows = catalog.entries()
    if not rows:
        print("The catalog is empty; fill it with: maxtrader data import FILE")
        return
    table = Table("symbol", "bars", "first", "last", "source", box=None, pad_edge=False)
    for entry in rows:
        table.add_row(entry.symbol, f"{entry.bars:,}", entry.first, entry.last, entry.name)
    _console().print(table)


def _writable(*paths: Path | None) -> None:
    """Refuse places that cannot be written to, or are named twice, before anything is computed."""
    wanted = [path for path in paths if path is not None]
    for i, path in enumerate(wanted):
        if path in wanted[:i]:
            raise ConfigError(f"{path}: named for two outputs")
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise DataError(f"{path}: no file can be written there")


def _tape_of(path: str, symbol: str) -> dict[str, str]:
    """The page's parameters for a file of bars, which must pass the gate before a page is served."""
    from maxlib.core.config import parse
    from maxlib.data.catalog import resolve
    from maxlib.data.config import DataConfig
    from maxlib.data.tape import load as load_tape

    found = str(resolve(path).resolve())
    load_tape(parse(DataConfig, {"source": "file", "path": found, "symbol": symbol}, "--bars"))
    return {"source": "file", "path": found}


def _validate(
    names: list[str],
    out: Path,
    jobs: int | None,
    overrides: dict[str, Any],
    backend: str = "process",
    **notebook: Any,
) -> list[Outcome]:
    from maxlib.app import runner

    console = _console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True)) as progress:
        bar = progress.add_task(
            f"{len(names)} scenario report{'s' if len(names) != 1 else ''}", total=len(names)
        )

        def one_done(outcome: Outcome) -> None:
            progress.advance(bar)
            text = f"{outcome.name}: {outcome.message}"
            progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

        outcomes = runner.validate(
            names,
            out,
            overrides=overrides,
            jobs=jobs,
            backend=cast("runner.Backend", backend),
            progress=one_done,
            **notebook,
        )
    table = Table("scenario", "verdict", "seconds", "report", box=None, pad_edge=False)
    for outcome in outcomes:
        report = os.path.relpath(outcome.report) if outcome.report else "-"
        table.add_row(outcome.name, outcome.verdict.replace("_", " "), f"{outcome.seconds:.1f}", report)
    console.print(table)
    console.print(f"All reports: {out / 'index.html'}", markup=False)
    return outcomes


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every expected error is one sentence and exit code 2."""
    arguments = sys.argv[1:] if argv is None else argv
    verbose = "--verbose" in arguments
    arguments = [a for a in arguments if a != "--verbose"]
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr
    )
    for noisy in ("numba", "asyncio", "traitlets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app(args=arguments, prog_name="maxtrader")
    except MaxTraderError as error:
        if verbose:
            traceback.print_exc()
        print(f"maxtrader: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the edge: exit code 1 would mean a verdict
        if verbose:
            traceback.print_exc()
        kind = type(error).__name__
        print(f"maxtrader: unexpected {kind}: {error}; --verbose shows where", file=sys.stderr)
        sys.exit(2)
