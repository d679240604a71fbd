"""Commands that judge: backtests, autopsies, audits and reports over scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from maxlib.app.commands.common import (
    AccountingName,
    JsonFile,
    Out,
    Overrides,
    ScenarioName,
    console,
    validated,
    writable,
)  # fmt: skip
from maxlib.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from maxlib.research.scenario import Scenario

app = typer.Typer()


@app.command()
def scenarios() -> None:
    """List the scenarios."""
    from maxlib.research import scenario as scenario_file

    table = Table("scenario", "title", "bars", box=None, pad_edge=False)
    for name in scenario_file.names():
        one = scenario_file.load(name)
        table.add_row(name, one.title, one.data.path or f"{one.data.source} (SIMULATED)")
    console().print(table)


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
    writable(json_file, trades, journal)
    done = run.run_scenario(chosen)
    result = run.result(done)
    if json_file is not None:
        run.write_json(json_file, result)
    if trades is not None:
        run.write_trades(trades, done)
    if journal is not None:
        run.write_journal(journal, done)
    console().print("\n".join(run.sentences(done)))
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
    writable(json_file, trades)
    book = autopsy.published(accounting, chosen)
    fed = placebos.placebo(book)
    result = autopsy.result(chosen, book, fed)
    figures = {name: result["figures"][name] for name in ("trades", "win_rate", "pnl_usd")}
    record("published", chosen, book, **figures)
    if json_file is not None:
        run.write_json(json_file, result)
    if trades is not None:
        autopsy.write_trades(trades, book)
    console().print(f"{autopsy.stamp(chosen)}{fed.sentence()}\n{autopsy.sentence(result)}", markup=False)


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
    console().print(autopsy.stamp(chosen) + fed.sentence(), markup=False)
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
    writable(json_file)
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
        console().print(autopsy.stamp(chosen))
    table = Table("step", "trades", "won", "P&L $", "what is put right", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for step in steps:
        won = "-" if step.trades == 0 else f"{step.win_rate:.1%}"
        table.add_row(step.name, str(step.trades), won, f"{step.pnl_usd:,.2f}", escape(step.cause))
    console().print(table)


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
    outcomes = validated(chosen, out, jobs, changed, notebook=runner.AUTOPSY, parameters=more)
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
        console().print(table)
    said = ledger.sentences()
    console().print("\n".join(said[: 1 + len(problems)] if verify else said), markup=False)
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
    console().print(
        f"{chosen.name}: {found.cuts} cuts, {found.signal_rows:,} outputs and {found.journal_entries:,} "
        f"journal entries compared, {found.rewritten} rewritten."
    )
    for example in found.examples:
        console().print(f"  {example}")
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
    outcomes = validated(chosen, out, jobs, scenario_file.parse_overrides(overrides or []), backend)
    raise typer.Exit(runner.exit_code(outcomes))
