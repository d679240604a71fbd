"""What several commands share: options, the console, and checks before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from maxlib.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from maxlib.app.runner import Outcome

ScenarioName = Annotated[str, typer.Argument(help="A name in configs/scenarios, or a path to a .yaml file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="KEY=VALUE", help="Override a field, as in risk.risk_fraction=0.02."),
]
Incomplete = Annotated[bool, typer.Option("--allow-incomplete", help="Let cut sessions through.")]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1; default: a free one.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for reports.")]
AccountingName = Annotated[
    str, typer.Option("--accounting", help="honest, published, or published_itm (the champion's).")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]


def console(*, stderr: bool = False) -> Console:
    """A console that never cuts a line: in a pipe or a log there is no width to keep to."""
    plain = Console(stderr=stderr, highlight=False, soft_wrap=True)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, soft_wrap=True, width=200)


def writable(*paths: Path | None) -> None:
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


def validated(
    names: list[str],
    out: Path,
    jobs: int | None,
    overrides: dict[str, Any],
    backend: str = "process",
    **notebook: Any,
) -> list[Outcome]:
    """Write the reports of scenarios, with a bar of progress and a table of verdicts."""
    from maxlib.app import runner

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
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
    console().print(table)
    console().print(f"All reports: {out / 'index.html'}", markup=False)
    return outcomes
