"""Commands that serve a page: the demo, the dashboard and the options lab."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from maxlib.app.commands.common import Out, Overrides, Port, validated
from maxlib.app.commands.way import After, BrokerName, Day, Delayed, QuotesName, Speed, VenueName, Way
from maxlib.core.errors import ConfigError

app = typer.Typer()

DEMOS = ("demo_normal", "demo_crash", "demo_calm")


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

    outcomes = validated(list(DEMOS), out, None, {})
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
    after: After = "",
    speed: Speed = None,
    overrides: Overrides = None,
) -> None:
    """Serve the paper trader's page. With --folder it shows a trader process, else a replay of its own."""
    from maxlib.app import voila

    way = Way(venue, delayed, quotes, broker, after, speed=speed, overrides=overrides)
    if folder is not None:
        way = way._replace(day=day)
    options = way.words()
    if folder is not None:
        if bars is not None:
            raise ConfigError(
                f"--bars {bars}: a trader has its own bars; leave out --folder to replay a file"
            )
        if scenario is not None:
            way.checked(scenario)
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


def _tape_of(path: str, symbol: str) -> dict[str, str]:
    """The page's parameters for a file of bars, which must pass the gate before a page is served."""
    from maxlib.core.config import parse
    from maxlib.data.catalog import resolve
    from maxlib.data.config import DataConfig
    from maxlib.data.tape import load as load_tape

    found = str(resolve(path).resolve())
    load_tape(parse(DataConfig, {"source": "file", "path": found, "symbol": symbol}, "--bars"))
    return {"source": "file", "path": found}


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


def _serve(name: str, notebook: Path, port: int | None, parameters: dict[str, Any]) -> None:
    from maxlib.app import voila

    with (
        voila.serve(notebook, port, parameters=parameters) as server,
        contextlib.suppress(KeyboardInterrupt),  # Ctrl-C is how it ends
    ):
        print(f"{name}: {server.url}", flush=True)
        print("Press Ctrl-C to stop.", flush=True)
        server.wait()
