"""Commands of the catalog: fetch, import, check and list."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from maxlib.app.commands.common import JsonFile, console, writable
from maxlib.core.errors import DataError

if TYPE_CHECKING:
    from maxlib.data import fetch as fetching

app = typer.Typer(no_args_is_help=True, help="Fetch, import and check bars.")

BarsFile = Annotated[str, typer.Argument(help="A CSV or Parquet file of one-minute bars.")]
Incomplete = Annotated[bool, typer.Option("--allow-incomplete", help="Let cut sessions through.")]


@app.command("check")
def check(
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
    console().print("\n".join(tape.quality.lines()), markup=False)


@app.command("chain")
def chain(
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
    console().print("\n".join(report.lines()), markup=False)


@app.command("fetch")
def fetch(
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
    writable(catalog.folder() / symbol / "bars")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console(stderr=True))
    bar = progress.add_task(f"{symbol} by month", total=None)
    with contextlib.ExitStack() as shown:

        def began(months: int) -> None:
            progress.update(bar, total=months)
            shown.enter_context(progress)

        def told(now: fetching.Progress) -> None:
            progress.update(bar, completed=now.done)
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
                began=began,
            )
        except KeyboardInterrupt:
            raise DataError(f"fetch {symbol}: interrupted; the same command goes on where it was") from None
    console().print(download.sentence(symbol, parts), markup=False)


@app.command("import")
def keep(
    path: BarsFile,
    symbol: Annotated[str, typer.Option("--symbol")] = "QQQ",
    allow_incomplete: Incomplete = False,
) -> None:
    """Keep a file's bars in the catalog. They pass the quality gate first."""
    from maxlib.data import catalog

    entry = catalog.import_bars(path, symbol, allow_incomplete=allow_incomplete)
    text = f"{entry.name}: {entry.bars:,} bars from {entry.first} to {entry.last} are in the catalog."
    console().print(text, markup=False)


@app.command("list")
def held() -> None:
    """List what the catalog holds."""
    from maxlib.data import catalog

    rows = catalog.entries()
    if not rows:
        print("The catalog is empty; fill it with: maxtrader data import FILE")
        return
    table = Table("symbol", "bars", "first", "last", "source", box=None, pad_edge=False)
    for entry in rows:
        table.add_row(entry.symbol, f"{entry.bars:,}", entry.first, entry.last, entry.name)
    console().print(table)
