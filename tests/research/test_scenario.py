"""Scenario files: what ships loads; what is wrong is refused in one sentence."""

import re

import pytest
import yaml

from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError
from maxlib.research import scenario

SHIPPED = scenario.names()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scenario_loads_and_builds_its_strategy(name):
    one = scenario.load(name)
    assert one.name == name
    assert len(one.strategy.build().params) == 1


def test_the_scenarios_of_the_mission_are_there():
    assert {
        "baseline_2025", "covid_2020", "lowvol_2024", "champion_2024",
        "demo_normal", "demo_crash", "demo_calm",
    } <= set(SHIPPED)  # fmt: skip


def test_only_demos_run_on_the_simulator():
    for name in SHIPPED:
        simulated = scenario.load(name).data.source == "simulator"
        assert simulated == name.startswith(("demo_", "paper_"))


def test_the_scenario_for_the_live_path_has_the_seeds_five_per_cent_behind_the_guard():
    one = scenario.load("paper_qqq")
    assert one.guard is not None
    assert one.guard.regimes is not None
    safety, normal = one.guard.safety, one.guard.regimes.normal
    shares = (safety.position_fraction, normal.risk_fraction, one.risk.risk_fraction)
    assert shares == (0.05, 0.05, 0.05)
    assert (safety.exposure_fraction, safety.premium_usd) == (0.10, 1_000)
    assert one.claims is None
    assert "simulated" in one.title
    other = scenario.load("demo_normal")
    assert (one.strategy, one.desk) == (other.strategy, other.desk)


@pytest.fixture
def good():
    return yaml.safe_load(scenario.find("demo_normal").read_text())


def write(folder, values, name="mine"):
    path = folder / f"{name}.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values | {"name": name}))
    return str(path)


def changed(values, key, value):
    inside = values
    *parents, last = key.split(".")
    for part in parents:
        inside = inside[part]
    inside[last] = value
    return values


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("risk.risk_fraction", 1.5, r"mine.yaml: risk.risk_fraction: .*less than or equal to 1 \(got 1.5\)"),
        (
            "risk.risk_fraction",
            float("nan"),
            r"mine.yaml: risk.risk_fraction: should be a finite number \(got nan\)",
        ),
        ("risk.account_usd", "much", r"mine.yaml: risk.account_usd: .*integer.* \(got 'much'\)"),
        ("desk.strike_step", 2, r"mine.yaml: desk.strike_step: should be 1 or 5 \(got 2\)"),
        ("strategy.kind", "martingale", r"mine.yaml: strategy: .*'martingale'.*'champion', 'wave_renko'"),
        (
            "strategy.brick_days",
            9,
            r"mine.yaml: strategy.brick_days: .*less than or equal to 5 \(got 9\)",
        ),
        (
            "strategy.window_from",
            "9:45",
            r"mine.yaml: strategy.window_from: .*pattern.* \(got '9:45'\)",
        ),
        ("risk.risk_fraction", True, r"mine.yaml: risk.risk_fraction: should be a valid number \(got True\)"),
        (
            "risk.max_contracts",
            True,
            r"mine.yaml: risk.max_contracts: should be a valid integer \(got True\)",
        ),
        ("risk.max_contracts", "3", r"mine.yaml: risk.max_contracts: should be a valid integer \(got '3'\)"),
        ("exits.trial", 1, r"mine.yaml: exits.trial is not a known field"),
        ("data.simulator.days", 0, r"mine.yaml: data.simulator.days: .*greater than or equal to 1 \(got 0\)"),
        ("data.source", "file", r"mine.yaml: data: source \"file\" needs a path"),
        ("claims.win_rate", 95.7, r"mine.yaml: claims.win_rate: .*less than or equal to 1 \(got 95.7\)"),
    ],
)
def test_a_wrong_field_is_one_sentence_with_file_field_value_and_bound(tmp_path, good, key, value, sentence):
    with pytest.raises(ConfigError) as caught:
        scenario.load(write(tmp_path, changed(good, key, value)))
    text = str(caught.value)
    assert re.search(sentence, text), text
    assert "\n" not in text


def test_cross_field_errors_name_both_values(tmp_path, good):
    good["strategy"] |= {"window_from": "15:00", "window_to": "10:00"}
    with pytest.raises(ConfigError, match=r"window_from 15:00 is after window_to 10:00"):
        scenario.load(write(tmp_path, good))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", r"mine.yaml: line 1: "),
        ("- 1\n- 2\n", r"mine.yaml: a scenario is a mapping of fields, not list"),
        ("", r"mine.yaml: a scenario is a mapping of fields, not NoneType"),
        ("!!python/object/apply:os.system ['true']", r"mine.yaml: line 1: "),
        ("\x00\x01", r"mine.yaml: cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_scenario_is_one_sentence(tmp_path, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        scenario.load(write(tmp_path, text))


def test_a_name_that_differs_from_the_file_is_refused(tmp_path, good):
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(good))
    with pytest.raises(ConfigError, match=r"other.yaml: name: should be 'other'"):
        scenario.load(str(path))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"scenario 'nope' does not exist; there are baseline_2025, "):
        scenario.load("nope")


def test_an_unquoted_time_of_day_is_read_as_one(tmp_path, good):
    # YAML 1.1 reads 16:00 as 960, to base 60
    overrides = scenario.parse_overrides(["strategy.window_from=10:00", "strategy.window_to=15:30"])
    one = scenario.load("demo_normal", overrides)
    assert (one.strategy.window_from, one.strategy.window_to) == ("10:00", "15:30")


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("data.start=2025-13-01", r"-p data.start=2025-13-01: data.start: .*date.*2025-13-01"),
        ("desk.strike_step.q.r=5", r"-p desk.strike_step.q.r: desk.strike_step is a value, not a group"),
        ("title.x=1", r"-p title.x: title is a value, not a group of fields"),
        ("strategy.window_from=25:00", r"strategy.window_from: "),
    ],
)
def test_an_override_that_cannot_be_is_one_sentence(pair, sentence):
    with pytest.raises(ConfigError, match=sentence):
        scenario.load("demo_normal", scenario.parse_overrides([pair]))


def test_a_file_with_an_impossible_date_is_one_sentence(tmp_path, good):
    text = (
        scenario.find("demo_normal").read_text().replace("first_date: 2025-01-02", "first_date: 2025-02-30")
    )
    with pytest.raises(ConfigError, match=r"demo_normal.yaml: cannot be read as YAML: day is out of range"):
        scenario.load(write(tmp_path, text, "demo_normal"))


def test_an_overridden_run_says_that_its_notes_are_of_the_scenario_as_shipped():
    notes = scenario.load("baseline_2025", {"risk.risk_fraction": 0.03}).notes
    assert notes[0].startswith("Overridden: -p risk.risk_fraction=0.03.")
    assert notes[1:] == scenario.load("baseline_2025").notes


def test_overrides_reach_any_field_and_change_the_hash():
    plain = scenario.load("demo_normal")
    other = scenario.load("demo_normal", {"risk.risk_fraction": 0.03, "strategy.ict.mss": "refiring"})
    assert (other.risk.risk_fraction, other.strategy.ict.mss) == (0.03, "refiring")
    assert config_hash(plain) != config_hash(other)
    assert config_hash(plain) == config_hash(scenario.load("demo_normal"))


def test_another_file_replaces_the_simulator():
    assert scenario.load("demo_normal", {"data.path": "mine.csv"}).data.source == "file"


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (["risk"], r"-p risk: should be key=value"),
        (["=1"], r"-p =1: should be key=value"),
        (["a.b=1", "a.b=2"], r"-p a.b: given twice"),
    ],
)
def test_an_override_that_is_no_pair_is_one_sentence(pairs, sentence):
    with pytest.raises(ConfigError, match=sentence):
        scenario.parse_overrides(pairs)


def test_override_values_are_read_as_yaml():
    assert scenario.parse_overrides(["a=1", "b=0.5", "c=true", "d=null", "e=x=y"]) == {
        "a": 1, "b": 0.5, "c": True, "d": None, "e": "x=y",
    }  # fmt: skip
