"""What a page may call its figures: the claim's, or the claim's arithmetic on these bars."""

from pathlib import Path

import pytest

from maxlib.research import scenario as scenarios
from maxlib.views.standing import DIFFERENCES, standing


@pytest.mark.parametrize(("name", "accounting"), sorted(DIFFERENCES))
def test_a_shipped_scenario_on_its_own_bars_says_what_was_published(name: str, accounting: str) -> None:
    stands = standing(scenarios.load(name), accounting, simulated=False)
    assert (stands.original, stands.changes, stands.shipped) == (True, (), True)
    assert stands.row == "as published"
    assert stands.differences == DIFFERENCES[name, accounting]


def test_on_simulated_bars_nothing_is_as_published() -> None:
    stands = standing(scenarios.load("demo_calm"), "published", simulated=True)
    assert stands.row == "the claim's arithmetic on these bars"
    assert (stands.differences, dict(stands.apart)) == ((), {})


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"published.wave.min_rr": 2.0}, "published.wave.min_rr"),
        ({"published.causes": ["costs"]}, "published.causes"),
        ({"data.start": "2025-09-01"}, "data.start"),
        ({"data.path": "data/another.parquet"}, "data.path"),
        ({"claims.trades": 69}, "claims.trades"),
    ],
)
def test_other_bars_switches_or_claims_are_listed_and_end_it(
    overrides: dict[str, object], field: str
) -> None:
    stands = standing(scenarios.load("baseline_2025", overrides), "published", simulated=False)
    assert [change.field for change in stands.changes] == [field]
    assert not stands.original
    assert stands.differences == ()


def test_a_change_names_both_values() -> None:
    stands = standing(
        scenarios.load("baseline_2025", {"published.wave.scaling": False}), "published", simulated=False
    )
    assert [tuple(change) for change in stands.changes] == [("published.wave.scaling", True, False)]


def test_the_same_file_in_another_folder_is_the_same() -> None:
    shipped = scenarios.load("baseline_2025").data.path
    assert shipped is not None
    moved = scenarios.load("baseline_2025", {"data.path": f"/elsewhere/{Path(shipped).name}"})
    assert standing(moved, "published", simulated=False).original


def test_the_machines_settings_do_not_touch_the_claim_but_its_comparison() -> None:
    stands = standing(
        scenarios.load("baseline_2025", {"risk.risk_fraction": 0.05}), "published", simulated=False
    )
    assert stands.original
    assert stands.changes == ()
    assert stands.differences == ()


def test_a_file_of_ones_own_has_nothing_published(tmp_path: Path) -> None:
    shipped = (scenarios.folders()[-1] / "baseline_2025.yaml").read_text(encoding="utf-8")
    own = tmp_path / "my_own.yaml"
    own.write_text(shipped.replace("name: baseline_2025", "name: my_own"), encoding="utf-8")
    assert not standing(scenarios.load(str(own)), "published", simulated=False).original


def test_a_file_of_ones_own_under_a_shipped_name_is_held_against_the_shipped_one(tmp_path: Path) -> None:
    shipped = (scenarios.folders()[-1] / "covid_2020.yaml").read_text(encoding="utf-8")
    own = tmp_path / "covid_2020.yaml"
    own.write_text(shipped.replace("distance_brick_usd: 0.66", "distance_brick_usd: 0.5"), encoding="utf-8")
    stands = standing(scenarios.load(str(own)), "published", simulated=False)
    assert [tuple(change) for change in stands.changes] == [("published.wave.distance_brick_usd", 0.66, 0.5)]
    assert not stands.original
