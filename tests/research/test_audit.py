"""The prefix audit finds nothing in what ships, and finds a peeker when there is one."""

import json
from typing import Annotated

import numpy as np
import pytest

from maxlib.core.errors import ConfigError
from maxlib.core.record import Floats, Record
from maxlib.data.tape import load as load_tape
from maxlib.engine.machine import MachineConfig
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.research import scenario
from maxlib.research.audit import audit
from maxlib.strategies.signal import Signal
from maxlib.strategies.strategy import Strategy


@pytest.fixture(scope="module")
def demo():
    one = scenario.load("demo_normal", {"data.simulator.days": 20})
    return one, load_tape(one.data).bars


def test_shipped_wave_strategy_rewrites_nothing(demo):
    one, bars = demo
    found = audit(bars, one.strategy.build(), one.machine, cuts=60)
    assert (found.cuts, found.rewritten) == (60, 0)
    assert found.journal_entries > 0


def test_shipped_champion_rewrites_nothing(demo):
    _, bars = demo
    one = scenario.load("champion_2024")
    found = audit(bars, one.strategy.build(), one.machine, cuts=60)
    assert (found.rewritten, found.journal_entries > 0) == (0, True)


class Nothing(Record):
    n: int


class Table(Record):
    future: Annotated[Floats, 4096]


class Out(Record):
    signal: Signal


@kernel
def peek(s, p, bar, out):
    """Buys when a column prepared from the whole tape says that the next close is higher."""
    out.signal.side = 1 if p.future[s.n % 4096] > bar.close else 0
    out.signal.basis = 1
    out.signal.tp1 = 0.001
    out.signal.stop = 0.001
    s.n += 1


class Peeker(System):
    """A system that looks at the tape it is given before it runs, as a vectorised study does."""

    def run(self, events, params, state=None):
        params = params.copy()
        params["future"][0, : len(events) - 1] = events["close"][1:][:4096]
        params["future"][0, len(events) - 1 :] = np.nan
        return super().run(events, params, state)


def test_a_precomputed_column_that_peeks_is_caught(demo):
    _, bars = demo
    bars = bars[:3000].copy()
    system = Peeker(Nothing, Table, Out, peek)
    strategy = Strategy("peeker", system, system.params(future=0.0))
    found = audit(bars, strategy, MachineConfig(), cuts=20)
    assert found.rewritten > 0
    assert "outputs" in found.examples[0]
    json.dumps(found.as_dict())


@pytest.mark.parametrize("cuts", [0, -1, 10**9])
def test_impossible_numbers_of_cuts_are_one_sentence(demo, cuts):
    one, bars = demo
    with pytest.raises(ConfigError, match=rf"--cuts {cuts}: should be from 1 to "):
        audit(bars, one.strategy.build(), one.machine, cuts)
