"""The `maxtrader` command.

Exit codes: 0 it ran, and every verdict holds; 1 it ran, and a verdict or an audit
does not hold; 2 it could not run (one sentence on standard error says why).
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Annotated

import typer

import maxlib
from maxlib.app.commands import data, pages, research, trading
from maxlib.core.errors import MaxTraderError
from maxlib.ops import backends

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A paper-trading lab for intraday options. Exit codes: 0 holds, 1 does not hold, 2 could not run.",
)
for commands in (research, pages, trading):
    app.add_typer(commands.app)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")] = False,
) -> None:
    if version:
        print(f"maxtrader {maxlib.__version__}")
        raise typer.Exit
    del verbose  # `main` reads it: it must work for errors raised anywhere


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
    # Without a service notices go to the log: all of them, also those that are no warnings.
    logging.getLogger(backends.__name__).setLevel(logging.INFO)
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


if __name__ == "__main__":
    main()
