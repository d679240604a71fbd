"""Whole runs: leaping and stepping agree, a saved machine continues, the ledger always balances."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxlib.engine.backtest import Stepper, backtest, to_bar
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.shell import Shell
from maxlib.journal.chain import Journal
from maxlib.market import calendar
from maxlib.risk.sizing import RiskConfig
from maxlib.strategies.config import ChampionConfig, IctConfig, WaveConfig
from maxlib.strategies.signal import DISTANCE, FRACTION
from maxlib.strategies.strategy import Strategy
from tests.contracts import tapes
from tests.engine.scripted import DAY, HALF_DAY, NAN, both, config, strategy

STRATEGIES = {
    "champion": lambda: ChampionConfig().build(),
    "champion refiring": lambda: ChampionConfig(ict=IctConfig(mss="refiring"), target_atr=2.0).build(),
    "wave": lambda: WaveConfig(use_ict_boost=False, brick_k=2.0).build(),
    "wave dynamic": lambda: WaveConfig(target_mode="dynamic", use_ict_boost=False, brick_k=1.0).build(),
    "wave swing": lambda: WaveConfig(target_mode="swing_75", brick_usd=0.4, swing_min_rr=0.1).build(),
}


@pytest.mark.parametrize("positions", [1, 3])
@pytest.mark.parametrize("name", STRATEGIES)
def test_leaping_equals_stepping_on_real_days(name: str, positions: int, shared: Path) -> None:
    bars = tapes.autumn(shared)[-9000 if positions == 3 else -16000 :]
    settings_ = MachineConfig(risk=RiskConfig(max_positions=positions, risk_fraction=0.02))
    run = both(bars, STRATEGIES[name](), settings_)
    assert run.signals > 0


@lru_cache(4)
def random_market(seed: int) -> Any:
    """A full day, a half day and the morning of a third, with odd minutes missing and signals strewn in."""
    rng = np.random.default_rng(seed)
    minutes = [
        (HALF_DAY, np.arange(560, 800)),
        (DAY, np.sort(rng.choice(np.arange(560, 975), 330, replace=False))),
        (DAY.replace(day=3), np.arange(565, 640)),
    ]
    start = np.array([calendar.to_ns(date, int(m)) for date, chosen in minutes for m in chosen])
    n = len(start)
    step = rng.choice([0.1, 0.4, 1.5])
    close = np.round(500 + np.cumsum(rng.normal(0, step, n)), 2)
    open_ = np.concatenate([close[:1], close[:-1]]) + np.round(rng.normal(0, step / 4, n), 2)
    high = np.maximum(open_, close) + np.round(np.abs(rng.normal(0, step, n)), 2)
    low = np.minimum(open_, close) - np.round(np.abs(rng.normal(0, step, n)), 2)
    volume = rng.choice([0.0, 1.0, 2.0], n, p=[0.9, 0.05, 0.05])
    return calendar.stamp(start, open_, high, low, close, volume)


levels = st.one_of(st.just(NAN), st.floats(0.05, 4.0).map(lambda x: round(x, 2)))


@st.composite
def cases(draw: Any) -> tuple[Any, Strategy, MachineConfig]:
    basis = draw(st.sampled_from([DISTANCE, FRACTION]))
    unit = 1.0 if basis == DISTANCE else 1 / 500
    found = [draw(levels) * unit for _ in range(3)]
    fixed = draw(st.one_of(st.none(), st.integers(1, 10)))
    made = config(
        desk={
            "moneyness": draw(st.sampled_from(["atm", "itm1"])),
            "strike_step": draw(st.sampled_from([1, 5])),
            "half_spread_fraction": draw(st.sampled_from([0.0, 0.01, 0.3])),
        },
        risk={
            "account_usd": draw(st.sampled_from([500, 25_000])),
            "contracts": fixed,
            "max_positions": draw(st.integers(1, 3)),
            "last_entry_minutes": draw(st.sampled_from([1, 5, 60])),
            "fresh_patterns": draw(st.booleans()),
        },
        tp1_fraction=draw(st.sampled_from([0.1, 0.5, 1.0])),
        break_even=draw(st.booleans()),
        trail=draw(st.sampled_from([0.0, 0.0005, 0.005])),
        hold_minutes=draw(st.sampled_from([1, 3, 30, 390])),
        force_close_minutes=draw(st.sampled_from([1, 5, 30])),
    )
    return random_market(draw(st.integers(0, 3))), strategy(*found, basis=basis), made


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cases())
def test_leaping_equals_stepping_on_random_markets_signals_and_plans(case: Any) -> None:
    bars, scripted, made = case
    if len(bars):
        both(bars, scripted, made)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cases(), st.integers(1, 640))
def test_a_prefix_of_the_tape_gives_a_prefix_of_the_journal(case: Any, cut: int) -> None:
    bars, scripted, made = case
    whole = backtest(bars, scripted, made, "run", finish=False)
    part = backtest(bars[:cut], scripted, made, "run", finish=False)
    entries = whole.journal.entries[: len(part.journal.entries)]
    assert part.journal.entries == entries
    later = whole.journal.entries[len(entries) :]
    # What the part does not say yet happens after its last bar (an order may be decided at its very end).
    assert all(e.ts >= int(bars["ts"][min(cut, len(bars)) - 1]) for e in later)


def stepped(bars: Any, how: Strategy, made: MachineConfig, cut: int | None = None) -> tuple[str, list[Any]]:
    """Step through the tape; at `cut` everything is saved, thrown away and restored."""
    shell = Shell(Machine(made, "run"))
    stepper = Stepper(shell, how)
    for i in range(len(bars)):
        if i == cut:
            state, streams = shell.machine.snapshot(), stepper.snapshot()
            journal = Journal()
            journal.entries = list(shell.journal.entries)
            waiting = [repr(order) for order in shell.waiting]
            machine = Machine(made, "run")
            machine.restore(json.loads(state))
            assert machine.snapshot() == state
            shell = Shell(machine, journal)
            # The machine knows what it has asked for: exits were decided before entries.
            leaving = [order for p in machine.positions.values() for order in p.pending.values()]
            entries = [p.entry_order for p in machine.positions.values() if p.entry is None]
            shell.waiting = [*leaving, *entries]
            assert [repr(order) for order in shell.waiting] == waiting
            stepper = Stepper(shell, how)
            stepper.restore(streams)
        stepper.step(bars[i : i + 1])
    shell.finish(to_bar(bars[-1]), 0.2)
    return shell.machine.snapshot(), shell.journal.entries


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cases(), st.integers(1, 640))
def test_a_machine_saved_and_restored_half_way_writes_the_same_journal(case: Any, cut: int) -> None:
    bars, scripted, made = case
    assert stepped(bars, scripted, made) == stepped(bars, scripted, made, min(cut, len(bars) - 1))


def test_saving_at_any_bar_around_a_trade_changes_nothing() -> None:
    bars = random_market(1)[250:330]
    made, how = config(risk={"max_positions": 3, "contracts": 3}, hold_minutes=10), strategy(2.0, 0.5, 1.5)
    expected = stepped(bars, how, made)
    assert len(json.loads(expected[0])["trades"]) > 1
    for cut in range(1, len(bars)):
        assert stepped(bars, how, made, cut) == expected, cut


def test_saving_half_way_through_real_days_changes_nothing(shared: Path) -> None:
    bars = tapes.autumn(shared)[-5000:]
    how, made = STRATEGIES["champion refiring"](), MachineConfig()
    expected = stepped(bars, how, made)
    assert json.loads(expected[0])["trades"]
    assert stepped(bars, how, made, 2500) == expected


def test_equal_inputs_give_equal_journals_and_another_run_name_gives_other_order_ids() -> None:
    bars, how, made = random_market(0), strategy(2.0, 1.0), config()
    one, again, other = (backtest(bars, how, made, run) for run in ("a", "a", "b"))
    assert one.journal.head == again.journal.head
    assert one.journal.head != other.journal.head
    assert repr(one.trades) == repr(other.trades)


def test_a_strategy_need_not_write_every_field_for_both_ways_to_agree() -> None:
    """`formed_at` is set at the first signal only; the stream must not remember it at the second."""
    from maxlib.core.record import Record
    from maxlib.kernels.system import System
    from maxlib.market.bars import BarRecord
    from maxlib.strategies.signal import Signal

    class State(Record):
        n: int

    class Params(Record):
        at: int

    class Out(Record):
        signal: Signal

    def forgetful(s: State, p: Params, bar: BarRecord, out: Out) -> None:
        s.n += 1
        out.signal.side = 1 if bar.volume == 1.0 else 0
        if s.n == p.at:
            out.signal.formed_at = bar.ts

    system = System(State, Params, Out, forgetful)
    bars = random_market(0)[:60]
    bars["volume"] = 0.0
    bars["volume"][[20, 40]] = 1.0
    both(bars, Strategy("forgetful", system, system.params(at=21)), config(hold_minutes=5))
