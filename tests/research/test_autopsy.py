"""The door to the published room: names, switches, files, and that nobody else has a key."""

import json
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.cli import main
from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError
from maxlib.data import load
from maxlib.research import autopsy, scenario
from maxlib.research.provenance import code_version
from maxlib.research.trials import TrialLedger

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


def test_what_coin_flips_make_stands_above_the_published_figures(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "figures.json"
    assert run("backtest", "demo_calm", "--accounting", "published", "--json", str(file)) == 0
    verdict, figures = capsys.readouterr().out.splitlines()
    values = json.loads(file.read_text())
    fed = values["placebo"]
    assert list(values).index("placebo") < list(values).index("figures")
    assert verdict.startswith(
        f"SIMULATED bars. Placebo, published accounting: 20 seeds of {fed['trades']:.0f} random trades"
    )
    assert ("REFUSED" in verdict) == fed["refused"]
    assert figures.startswith("demo_calm, published accounting: ")
    assert (fed["seeds"], fed["own_trades"]) == (20, values["figures"]["trades"])
    assert fed["own_pnl_usd"] == pytest.approx(values["figures"]["pnl_usd"])


def test_the_published_champion_is_shown_as_refused(shared: Path, capsys: Any) -> None:
    del shared
    assert run("backtest", "champion_2024", "--accounting", "published_itm") == 0
    verdict, figures = capsys.readouterr().out.splitlines()
    assert "REFUSED, coin flips profit beyond chance" in verdict
    assert figures.startswith("champion_2024, published_itm accounting: 587 trades")


COMMANDS = [
    (["backtest", "demo_calm", "--accounting", "published"], "published", "published"),
    (["placebo", "demo_calm", "--seeds", "5"], "placebo", "honest"),
    (["placebo", "demo_calm", "--accounting", "published"], "placebo", "published"),
    (["waterfall", "demo_calm", "--causes", "costs"], "waterfall", "published"),
]


@pytest.mark.parametrize(("arguments", "kind", "name"), COMMANDS)
def test_every_run_is_recorded_and_none_of_these_counts_as_a_trial(
    arguments: list[str], kind: str, name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("MAXTRADER_TRIALS", str(tmp_path / "trials.sqlite"))
    file, chosen = tmp_path / "values.json", scenario.load("demo_calm", {"data.simulator.days": 30})
    code = run(*arguments, "-p", "data.simulator.days=30", "--json", str(file))
    assert code in (0, 1)
    values, ledger = json.loads(file.read_text()), TrialLedger()
    (entry,) = ledger.entries()
    trial, tape = entry.trial, load(chosen.data)
    assert ledger.verify() == []
    assert (trial.kind, trial.accounting, trial.scenario) == (kind, name, "demo_calm")
    assert (trial.config_hash, trial.code_version) == (config_hash(chosen), code_version())
    assert (trial.data_sha256, trial.symbol, trial.simulated) == (tape.sha256, "QQQ", True)
    assert trial.figures.days == tape.quality.sessions == 30
    simulator = chosen.data.simulator
    assert simulator is not None
    assert trial.seed == (0 if kind == "placebo" else simulator.seed)
    said = values["steps"][-1] if kind == "waterfall" else values.get("figures", values)
    assert trial.figures.pnl_usd == said["pnl_usd"]
    assert trial.figures.trades == round(said["trades"])
    assert trial.figures.wins == round((said["win_rate"] or 0.0) * said["trades"])
    assert ledger.trials_of(tape.sha256).n == 0


def test_a_ledger_that_is_not_whole_stops_these_commands_too(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("MAXTRADER_TRIALS", str(tmp_path / "trials.sqlite"))
    for _ in range(2):
        run("waterfall", "demo_calm", "--causes", "costs")
    (tmp_path / "trials.sqlite.head").unlink()
    assert run("backtest", "demo_calm", "--accounting", "published") == 2
    assert "so that a cut end could not be seen" in capsys.readouterr().err


def test_the_bars_of_a_claim_with_repeated_rows_have_a_hash_of_their_own(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """The wave's claim on 2020 booked the days that its file has twice."""
    del shared
    monkeypatch.setenv("MAXTRADER_TRIALS", str(tmp_path / "trials.sqlite"))
    assert run("backtest", "covid_2020", "--accounting", "published") == 0
    (entry,) = TrialLedger().entries()
    assert entry.trial.data_sha256 != load(scenario.load("covid_2020").data).sha256
    assert (entry.trial.data, entry.trial.figures.trades) == ("qqq_1m_20200219_20200520.parquet", 32)
    assert (entry.trial.first, entry.trial.last, entry.trial.simulated) == ("2020-02-19", "2020-05-20", False)


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
    with pytest.raises(
        ConfigError, match=f"accounting '{name}': the claim of demo_calm was booked as published"
    ):
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


def test_every_file_of_the_lab_says_what_it_was_made_of(tmp_path: Path, capsys: Any) -> None:
    runs = {
        "placebo": ["placebo", "demo_calm", "--accounting", "published", "--seeds", "5"],
        "waterfall": ["waterfall", "demo_calm", "--causes", "costs"],
        "backtest": ["backtest", "demo_calm", "--accounting", "published"],
    }
    for name, arguments in runs.items():
        file = tmp_path / f"{name}.json"
        run(*arguments, "--json", str(file))
        said = json.loads(file.read_text())
        assert said["data"]["simulated"] is True, name
        assert len(said["data"]["sha256"]) == len(said["config_hash"]) == 64
        assert "SIMULATED" in capsys.readouterr().out, name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["waterfall", "demo_calm", "--causes", ""], "--causes: name at least one"),
        (["backtest", "demo_calm", "--json", "{0}/a", "--trades", "{0}/a"], "named for two outputs"),
        (["backtest", "demo_calm", "--json", "{0}"], "no file can be written there"),
        (
            ["placebo", "demo_calm", "-p", "data.simulator.days=1"],
            "demo_calm makes no trade by the honest accounting",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_computed(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: Any
) -> None:
    before = len(TrialLedger().entries())
    assert run(*(a.format(tmp_path) for a in arguments)) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert len(TrialLedger().entries()) == before
