"""Against the original's own trade lists (spec §11): rows it published, bars it read."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.strategies.config import WaveConfig
from tests.contracts import tapes
from tests.contracts.systems import INDICATORS
from tests.strategies import published as p
from tests.twins.tape import tape


@pytest.fixture(scope="module")
def autumn(shared: Path) -> Any:
    return tapes.real(shared, tapes.AUTUMN)


@pytest.fixture(scope="module")
def system_rows(autumn: Any) -> list[p.Row]:
    """The compiled strategy with the published fixed bricks."""
    t = tape(autumn)
    brick = p.full_sample_brick(t.high, t.low, t.close, 4.0)
    strategy = WaveConfig(brick_usd=brick, use_ict_boost=False, target_mode="fixed_pct").build()
    params = strategy.params.copy()
    params["trend"]["fixed"] = p.trend_brick(t)
    out = strategy.system.run(autumn, params)[1]
    kinds = {1: "shallow", 2: "healthy"}
    return [
        p.Row(
            p.start(t, i), int(row["signal"]["side"]), float(row["signal_level"]), kinds[int(row["kind"])],
            int(row["label"]), float(row["signal"]["confidence"]),
        )
        for i, row in ((i, out[i]) for i in np.flatnonzero(out["signal"]["side"]).tolist())
    ]  # fmt: skip


def test_the_published_brick_is_the_full_sample_one(autumn: Any) -> None:
    t = tape(autumn)
    assert len(t) == 48_665
    assert round(p.full_sample_brick(t.high, t.low, t.close, 4.0), 4) == 0.6556


def test_the_rules_as_published_give_all_69_published_rows(autumn: Any, shared: Path) -> None:
    """The twins of waves, bricks and verdicts, with the original's bins, know every row and no other."""
    reference, found = p.reference(shared), p.published(tape(autumn))
    assert len(reference) == 69
    assert len(found) == 69
    assert [r.time for r, f in zip(reference, found, strict=True) if not p.same(r, f)] == []


def test_the_causal_system_with_published_bricks_differs_from_the_list_by_its_bins_only(
    autumn: Any, shared: Path, system_rows: list[p.Row], record_testsuite_property: Any
) -> None:
    """Bins are the one rule that differs; they touch the regime label and the 4 h proxy, nothing else."""
    reference = {r.time: r for r in p.reference(shared)}
    found = {r.time: r for r in system_rows}
    common = reference.keys() & found.keys()
    entries = [t for t in common if (found[t].side, found[t].kind) == (reference[t].side, reference[t].kind)]
    exact = [t for t in common if p.same(found[t], reference[t])]
    record_testsuite_property("rows equal in every column", len(exact))
    record_testsuite_property("rows equal in time, direction and retracement", len(entries))
    record_testsuite_property("published rows without a counterpart", len(reference.keys() - found.keys()))
    record_testsuite_property("rows the list does not have", len(found.keys() - reference.keys()))
    assert entries == list(common), "a shared entry never differs in direction or retracement"
    # The same list with our bins in the twin is the system's, row for row: nothing else differs.
    twin = with_causal_bins(autumn)
    assert [(r.time, r.side, r.kind, r.label) for r in twin] == [
        (r.time, r.side, r.kind, r.label) for r in system_rows
    ]
    assert all(abs(a.confidence - b.confidence) < 1e-12 for a, b in zip(twin, system_rows, strict=True))


def with_causal_bins(bars: Any) -> list[p.Row]:
    """The published rules and bricks on the causal bins: the contract's twin of the whole strategy."""
    from tests.contracts.specimens import SPECIMENS

    t = tape(bars)
    brick = p.full_sample_brick(t.high, t.low, t.close, 4.0)
    params = WaveConfig(brick_usd=brick, use_ict_boost=False, target_mode="fixed_pct").build().params.copy()
    params["trend"]["fixed"] = p.trend_brick(t)
    columns = SPECIMENS["wave_renko"].twin(t, params[0])
    return [
        p.Row(
            p.start(t, i), side, float("nan"), {1: "shallow", 2: "healthy"}[columns["kind"][i]],
            columns["label"][i], columns["signal.confidence"][i],
        )
        for i, side in enumerate(columns["signal.side"])
        if side
    ]  # fmt: skip


def test_the_signal_tells_the_level_of_its_own_brick(system_rows: list[p.Row], shared: Path) -> None:
    """Where both lists have a row, the level is the published spot, also when a bar made several bricks."""
    reference = {r.time: r for r in p.reference(shared)}
    wrong = [
        (r.time, r.level, reference[r.time].level)
        for r in system_rows
        if r.time in reference and abs(r.level - reference[r.time].level) > 1e-4
    ]
    assert wrong == []


def test_every_champion_target_of_2024_is_five_simple_atrs_of_its_sweep_bar(shared: Path) -> None:
    bars = tapes.real(shared, tapes.YEAR)
    atr = INDICATORS.run(bars, INDICATORS.params(length=14, span=9))[1]["atr"]
    at = {p.calendar.new_york(int(ts) - p.MINUTE).isoformat(): i for i, ts in enumerate(bars["ts"])}
    with (shared / "spec/reference/maxtrader_champion_2024_trades.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 587
    worst = max(abs(5 * atr[at[r["signal_time"]]] - float(r["target_distance"])) for r in rows)
    assert worst < 1e-6
    opens = [bars["open"][at[r["entry_time"]]] for r in rows]
    assert opens == [float(r["entry_price"]) for r in rows]
