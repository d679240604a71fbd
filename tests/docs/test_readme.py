"""The README's figures are those of the code, and nothing in it is a placeholder."""

import re

import pytest
from typer.main import get_command

from maxlib.app.cli import app
from maxlib.research import autopsy, scenario
from maxlib.research.placebo import placebo
from maxlib.research.run import run_scenario
from maxlib.research.trials import TrialLedger, trial_of

SCENARIOS = ("baseline_2025", "covid_2020", "lowvol_2024", "champion_2024")


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_table_shows_what_the_scenario_makes(name, readme, shared):
    m = run_scenario(scenario.load(name), lab=False).metrics
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
    assert f"{m.trades} trades, {m.win_rate:.1%} ({m.win_low:.1%} to {m.win_high:.1%})" in row
    assert row.endswith(f"| {m.pnl_usd:+,.2f} $ |")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_table_shows_the_claims_of_the_scenario(name, readme):
    claims = scenario.load(name).claims
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
    assert f"| {claims.trades} trades, {claims.win_rate:.1%} |" in row
    assert f"| {claims.pnl_usd:+,.2f} $ |" in row


def test_the_demo_shown_is_the_demo(readme):
    for name in ("demo_normal", "demo_crash", "demo_calm"):
        m = run_scenario(scenario.load(name), lab=False).metrics
        shown = re.search(rf"^{name}: Claimed .* measured ([\d.]+) % .*n = (\d+)\)", readme, re.MULTILINE)
        assert shown is not None
        assert (float(shown[1]), int(shown[2])) == (round(100 * m.win_rate, 1), m.trades)


def test_the_fitted_figure_shown_is_the_champions(readme, shared):
    def measured(volatility, spread, delay):
        world = {"desk.iv_scale": volatility, "desk.spread_scale": spread, "fills.latency_bars": delay}
        chosen = scenario.load("champion_2024", {"desk.model": "fitted", **world})
        return run_scenario(chosen, lab=False).metrics.pnl_usd

    words = " ".join(readme.split())
    assert f"`champion_2024` measures {measured(1.0, 1.0, 0):+,.2f} $" in words
    # The poorest and the richest cell of the band; which they are was read off a run of it.
    assert f"from {measured(1.3, 2.0, 2):,.0f} to {measured(0.7, 0.5, 0):,.0f} $" in words


def said(shown, whole):
    """A line of the page is what the command says, with the ends left out where it has `…`."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, whole) is not None


def after(command, readme, line=1):
    """The line below a command, or one further down."""
    lines = readme.splitlines()
    return lines[lines.index(f"$ maxtrader {command}") + line]


def test_the_published_figure_shown_is_what_the_command_says(readme, shared):
    chosen = scenario.load("baseline_2025")
    book = autopsy.published("published", chosen)
    command = "backtest baseline_2025 --accounting published"
    assert said(after(command, readme), placebo(book).sentence())
    assert said(after(command, readme, line=2), autopsy.sentence(autopsy.result(chosen, book)))


@pytest.mark.parametrize(
    ("name", "books"),
    [("baseline_2025", "published"), ("champion_2024", "published_itm"), ("champion_2024", "honest")],
)
def test_the_placebos_shown_are_what_the_command_says(name, books, readme, shared):
    chosen = scenario.load(name)
    done = run_scenario(chosen, lab=False).run if books == "honest" else None
    command = f"placebo {name}" + ("" if books == "honest" else f" --accounting {books}")
    assert said(after(command, readme), placebo(autopsy.accounting(books, chosen, done)).sentence())


def test_the_waterfall_shown_is_the_champions(readme, shared):
    for step in autopsy.waterfall(scenario.load("champion_2024")):
        row = (step.name, str(step.trades), f"{step.win_rate:.1%}", f"{step.pnl_usd:,.2f}", step.cause)
        assert re.search(r"^" + r" +".join(re.escape(cell) for cell in row) + "$", readme, re.MULTILINE), row


def test_the_deflation_shown_is_what_a_ledger_of_these_runs_says(readme, shared, tmp_path):
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    runs = (("lowvol_2024", {}), ("champion_2024", {}), ("champion_2024", {"desk.model": "fitted"}))
    for number, (name, changed) in enumerate(runs):
        trial = trial_of(run_scenario(scenario.load(name, changed), lab=False))
        ledger.append(trial, number)
    assert ledger.deflated(trial).sentence() in readme


def test_the_commands_listed_are_those_of_the_program(readme):
    for command in get_command(app).commands:
        assert re.search(rf"^  {command} +\S", readme, re.MULTILINE), command


def test_every_notebook_is_named(readme, root):
    for path in (root / "notebooks").glob("*.ipynb"):
        assert f"`{path.name}`" in readme, path.name


def test_nothing_is_a_placeholder_and_every_link_leads_somewhere(readme, root):
    assert not re.findall(r"^[A-Z]{4,}$", readme, re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", readme):
        assert (root / target).exists(), target
