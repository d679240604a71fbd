"""Planted patterns: the compiled detectors find every one at its bar; what else they find is stated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maxlib.data.simulator import Simulated, SimulatorConfig, simulate
from maxlib.signals.ict import DOWN, UP
from maxlib.strategies.config import ChampionConfig, IctConfig

MARKETS = ("normal", "crash", "calm")
SEEDS = (11, 12, 13, 14)


def detect(made: Simulated, **options: Any) -> Any:
    strategy = ChampionConfig(ict=IctConfig(displacement=1.2), min_target_usd=0.0, **options).build()
    return strategy.system.run(made.bars, strategy.params)[1]


def bit(direction: int) -> int:
    return UP if direction > 0 else DOWN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("market", MARKETS)
def test_every_planted_structure_is_found_at_its_known_at_bar(
    market: Any, seed: int, state_figure: Callable[[str], None]
) -> None:
    made = simulate(SimulatorConfig(market=market, seed=seed, days=20, planted=20))
    seen = detect(made)["seen"]
    ts = made.bars["ts"]
    planted = {kind: np.zeros(len(ts), np.int64) for kind in ("sweep", "displacement", "mss")}
    for p in made.truth:
        at = int(np.searchsorted(ts, p.known_at))
        assert ts[at] == p.known_at
        assert seen[p.kind][at] & bit(p.direction), (p.kind, p.confluence)
        planted[p.kind][at] |= bit(p.direction)
        if p.kind == "sweep":
            name = "sweep_up_level" if p.direction > 0 else "sweep_down_level"
            assert seen[name][at] == p.level
    others = {
        kind: sum(int(((seen[kind] & ~planted[kind]) & b > 0).sum()) for b in (UP, DOWN)) for kind in planted
    }
    counts = ", ".join(f"{others[k]} {k}" for k in planted)
    state_figure(f"planted, {market}, seed {seed}: all {len(made.truth)} found; besides them {counts}")


@pytest.mark.parametrize("market", MARKETS)
def test_every_planted_confluence_signals_at_its_last_structure(
    market: Any, state_figure: Callable[[str], None]
) -> None:
    signals = planted = 0
    for seed in SEEDS:
        made = simulate(SimulatorConfig(market=market, seed=seed, days=20, planted=20))
        signal = detect(made, entry_to="15:59")["signal"]
        groups: dict[int, list[Any]] = {}
        for p in made.truth:
            groups.setdefault(p.confluence, []).append(p)
        for group in groups.values():
            at = int(np.searchsorted(made.bars["ts"], max(p.known_at for p in group)))
            sweep = next(p for p in group if p.kind == "sweep")
            assert signal["side"][at] == sweep.direction
            assert signal["formed_at"][at] <= sweep.formed_at, "the oldest sweep that this bar confirms"
            assert made.bars["ts"][at] - signal["formed_at"][at] <= 5 * 60_000_000_000
        signals += int((signal["side"] != 0).sum())
        planted += len(groups)
    state_figure(
        f"planted, {market}: {planted} confluences, {signals} signals, {signals - planted} not planted"
    )


@pytest.mark.parametrize("kind", ["sweep", "displacement", "mss"])
def test_nothing_is_found_before_the_bar_that_completes_it(kind: str) -> None:
    made = simulate(SimulatorConfig(seed=21, days=6, planted=6))
    whole = detect(made)["seen"][kind]
    strategy = ChampionConfig(ict=IctConfig(displacement=1.2), min_target_usd=0.0).build()
    for p in made.truth:
        if p.kind == kind:
            before = strategy.system.run(made.bars[: p.index], strategy.params)[1]["seen"][kind]
            assert before.tolist() == whole[: p.index].tolist()


def test_half_days_and_a_clock_change_carry_planted_patterns() -> None:
    import datetime as dt

    made = simulate(SimulatorConfig(seed=3, first_date=dt.date(2024, 10, 28), days=24, planted=24))
    seen = detect(made)["seen"]
    assert all(seen[p.kind][p.index] & bit(p.direction) for p in made.truth)
    assert (made.bars["close_minute"][[p.index for p in made.truth]] == 780).any()
