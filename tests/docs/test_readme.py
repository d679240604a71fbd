"""The README's figures are those of the code, and nothing in it is a placeholder."""

import re

import pytest

from maxlib.research import scenario
from maxlib.research.run import run_scenario

SCENARIOS = ("baseline_2025", "covid_2020", "lowvol_2024", "champion_2024")


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_table_shows_what_the_scenario_makes(name, readme, shared):
    m = run_scenario(scenario.load(name)).metrics
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
        m = run_scenario(scenario.load(name)).metrics
        shown = re.search(rf"^{name}: Claimed .* measured ([\d.]+) % .*n = (\d+)\)", readme, re.MULTILINE)
        assert shown is not None
        assert (float(shown[1]), int(shown[2])) == (round(100 * m.win_rate, 1), m.trades)


def test_nothing_is_a_placeholder_and_every_link_leads_somewhere(readme, root):
    assert not re.findall(r"^[A-Z]{4,}$", readme, re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", readme):
        assert (root / target).exists(), target
