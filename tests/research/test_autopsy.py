"""The door to the published room: names, switches, files, and that nobody else has a key."""

import json
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.cli import main
from maxlib.core.errors import ConfigError
from maxlib.research import autopsy, scenario

LISTS = {
    "baseline_2025": "maxtrader_baseline_aug_nov_2025",
    "covid_2020": "maxtrader_covid_feb_may_2020",
    "lowvol_2024": "maxtrader_lowvol_dec2024_feb2025",
    "champion_2024": "maxtrader_champion_2024",
}
CLAIMED = {
    "baseline_2025": (69, 3208.18),
    "covid_2020": (32, 689.61),
    "lowvol_2024": (24, 500.77),
    "champion_2024": (587, 181398.21),
}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


@pytest.mark.parametrize("name", LISTS)
def test_the_command_writes_the_claims_own_list_byte_for_byte(
    name: str, shared: Path, tmp_path: Path
) -> None:
    trades, figures = tmp_path / "trades.csv", tmp_path / "figures.json"
    code = run("backtest", name, "--accounting", "published", "--trades", str(trades), "--json", str(figures))
    assert code == 0
    assert trades.read_bytes() == (shared / f"spec/reference/{LISTS[name]}_trades.csv").read_bytes()
    said = json.loads(figures.read_text())["figures"]
    assert (said["trades"], round(said["pnl_usd"], 2)) == CLAIMED[name]


def test_the_placebo_command_refuses_the_published_accounting_with_exit_code_1(
    shared: Path, tmp_path: Path
) -> None:
    del shared
    file = tmp_path / "placebo.json"
    code = run("placebo", "baseline_2025", "--accounting", "published", "--seeds", "5", "--json", str(file))
    assert code == 1
    said = json.loads(file.read_text())
    assert said["refused"]
    assert len(said["each"]) == said["seeds"] == 5


def test_the_waterfall_command_writes_its_steps(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "steps.json"
    assert run("waterfall", "demo_calm", "--causes", "model,costs", "--json", str(file)) == 0
    steps = json.loads(file.read_text())["steps"]
    assert [s["name"] for s in steps] == ["published", "model", "costs"]
    assert set(steps[0]) == {"name", "cause", "trades", "win_rate", "pnl_usd"}
    assert "half-spread and commission" in capsys.readouterr().out


def test_a_scenario_can_name_its_own_switches() -> None:
    chosen = scenario.load("demo_calm", {"published.causes": ["costs"]})
    assert [s.name for s in autopsy.waterfall(chosen)] == ["published", "costs"]


@pytest.mark.parametrize(
    ("causes", "sentence"),
    [
        (["gravity"], "cause 'gravity' is not known; causes are duplicates, bricks, entry, overlap"),
        (["costs", "costs"], "cause costs is named twice"),
    ],
)
def test_a_wrong_switch_is_one_sentence(causes: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        autopsy.waterfall(scenario.load("demo_calm"), causes=causes)


@pytest.mark.parametrize("name", ["honest", "published_itm", "generous"])
def test_an_accounting_that_a_scenario_lacks_is_one_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match=f"accounting '{name}': demo_calm has honest, published"):
        autopsy.published(name, scenario.load("demo_calm"))


def test_a_published_run_keeps_no_journal(tmp_path: Path, capsys: Any) -> None:
    journal = tmp_path / "journal.sqlite"
    assert run("backtest", "demo_calm", "--accounting", "published", "--journal", str(journal)) == 2
    assert "--journal: the published accounting keeps none" in capsys.readouterr().err
    assert not journal.exists()


def test_every_itm_trade_was_bought_below_what_exercise_pays(shared: Path) -> None:
    del shared
    book = autopsy.published("published_itm", scenario.load("champion_2024"))
    found = autopsy.bargains(book)
    assert len(found) == len(book.booked) == 587
    assert all(b.premium < b.intrinsic for b in found)
    gaps = [b.intrinsic - b.premium for b in found]
    assert gaps == sorted(gaps, reverse=True)
