"""Hypothesis walks through the life of orders and fills; the twelve invariants hold at every step."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos import life_plants as plants
from tests.chaos.life_walk import OrderLife, walk

Plant = Callable[[pytest.MonkeyPatch], None]


QUICK = {
    plants.sends_before_it_writes, plants.books_a_fill_twice, plants.enters_while_halted,
    plants.keeps_exits_back_while_halted, plants.starts_without_a_halt, plants.believes_every_leap,
}  # fmt: skip


def judged(found: Counter[str], steps: int) -> None:
    """Enough was met for the invariants to mean something."""
    assert found["steps"] >= steps
    assert found["orders"] >= steps // 40
    assert found["fills"] >= steps // 50
    assert found["crashes"] >= steps // 50
    assert found["compared"] >= steps // 4, "the account with the ledger, when nothing was in the air"
    assert found["while barred"] >= steps // 500, "orders that leave while entries are barred"
    assert found["repeated"] >= 3


def test_all_invariants_hold_on_every_walk(record_testsuite_property: Any) -> None:
    found = walk(35, 40)
    record_testsuite_property("life of orders", dict(found))
    judged(found, 1_500)


@pytest.mark.slow
def test_all_invariants_hold_on_fifty_thousand_steps(record_testsuite_property: Any) -> None:
    found = walk(1_000, 50)
    record_testsuite_property("life of orders, long", dict(found))
    judged(found, 50_000)


def found_by(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=f"^{plants.PLANTS[plant]}:"):
        walk(100, 40)
    assert OrderLife.counts["steps"] < 4_000


@pytest.mark.parametrize("plant", [plant for plant in plants.PLANTS if plant in QUICK])
def test_the_walks_find_a_careless_trader(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by(plant, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("plant", [plant for plant in plants.PLANTS if plant not in QUICK])
def test_the_walks_find_every_careless_trader(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by(plant, monkeypatch)
