"""Batch = stream = twin, byte for byte; what is saved continues; what is known never changes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contracts import tapes
from tests.contracts.specimens import SPECIMENS, Specimen, expected

TAPES = ("real", "walk 1", "walk 2", "constant", "nan", "infinite")
MADE = {
    "walk 1": lambda: tapes.walk(1),
    "walk 2": lambda: tapes.walk(2, step=0.02),
    "constant": tapes.constant,
    "nan": lambda: tapes.spoiled(tapes.NAN_ONLY),
    "infinite": lambda: tapes.spoiled(tapes.INFINITIES, seed=4),
}
every_specimen = pytest.mark.parametrize("name", SPECIMENS)
every_tape = pytest.mark.parametrize("kind", TAPES)


@pytest.fixture(scope="session")
def tape_of(shared: Path) -> Any:
    known: dict[str, Any] = {}

    def make(kind: str) -> Any:
        if kind not in known:
            known[kind] = tapes.autumn(shared) if kind == "real" else MADE[kind]()
        return known[kind]

    return make


def run(specimen: Specimen, bars: Any, row: int = 0) -> tuple[Any, Any]:
    return specimen.system.run(bars, specimen.rows[row : row + 1])


def push(stream: Any, bars: Any) -> Any:
    """What a live trader would have seen: one bar at a time, each output copied."""
    out = np.zeros(len(bars), stream.last.dtype)
    for i in range(len(bars)):
        out[i : i + 1] = stream.push(bars[i : i + 1])
    return out


@every_tape
@every_specimen
def test_batch_equals_the_twin(name: str, kind: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of(kind)
    with np.errstate(all="ignore"):
        for row in range(len(specimen.rows)):
            out = tapes.flat(run(specimen, bars, row)[1])
            for field, column in expected(specimen, bars, row).items():
                if field not in specimen.close_to:
                    tapes.assert_column(field, out[field], column, f"{name} row {row} on {kind}:")
                elif kind != "infinite":  # a sum and an update treat inf - inf differently
                    np.testing.assert_allclose(out[field], column, rtol=1e-9, atol=1e-6, err_msg=field)


@every_tape
@every_specimen
def test_stream_equals_batch(name: str, kind: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of(kind)[-2500:]
    state, out = run(specimen, bars)
    stream = specimen.system.stream(specimen.rows[:1])
    pushed = push(stream, bars)
    tapes.assert_same(out, pushed, f"{name} on {kind}:")
    tapes.assert_same(state, stream.state, f"{name} state on {kind}:")
    if kind in ("real", "walk 1", "walk 2", "constant"):  # without spoiled NaNs even the raw bytes agree
        assert stream.snapshot() == state.tobytes()


@every_specimen
def test_saving_and_restoring_half_way_changes_nothing(name: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of("real")[-1500:]
    row = specimen.rows[:1]
    state, out = run(specimen, bars)
    half = len(bars) // 2
    first = specimen.system.stream(row)
    push(first, bars[:half])
    second = specimen.system.stream(row)
    second.restore(first.snapshot())
    rest = push(second, bars[half:])
    tapes.assert_same(out[half:], rest, f"{name}:")
    assert second.snapshot() == state.tobytes()


@every_specimen
def test_a_batch_continues_another_without_touching_its_state(name: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of("real")
    row = specimen.rows[:1]
    state, out = run(specimen, bars)
    half = len(bars) // 2
    middle, _ = specimen.system.run(bars[:half], row)
    kept = middle.tobytes()
    last, rest = specimen.system.run(bars[half:], row, middle)
    assert middle.tobytes() == kept
    assert last.tobytes() == state.tobytes()
    assert rest.tobytes() == out[half:].tobytes()


@every_specimen
def test_every_row_of_a_sweep_equals_its_run(name: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of("real")
    states, outs = specimen.system.sweep(bars, specimen.rows, jobs=2)
    for row in range(len(specimen.rows)):
        state, out = run(specimen, bars, row)
        assert states[row : row + 1].tobytes() == state.tobytes()
        tapes.assert_same(outs[row : row + 1], out[-1:], f"{name} row {row}:")


@every_specimen
@pytest.mark.parametrize("kind", ["real", "walk 1", "nan"])
def test_no_prefix_changes_an_earlier_output(name: str, kind: str, tape_of: Any) -> None:
    specimen, bars = SPECIMENS[name], tape_of(kind)[:6000]
    _, out = run(specimen, bars)
    rng = np.random.default_rng(11)
    for k in (1, 2, len(bars) - 1, *rng.integers(3, len(bars), 50)):
        tapes.assert_same(run(specimen, bars[:k])[1], out[:k], f"{name} cut at {k}:")


@pytest.fixture(scope="session")
def uncompiled(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Any:
    """Outputs of all systems as plain Python, without numba's compiler, from a process of its own."""
    file = tmp_path_factory.mktemp("plain") / "out.npz"
    done = subprocess.run(
        [sys.executable, "-m", "tests.contracts.plain", str(file), str(shared)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(file)


@pytest.mark.parametrize("kind", ["three real days", "walk"])
@every_specimen
def test_running_uncompiled_gives_the_same_bytes(name: str, kind: str, shared: Path, uncompiled: Any) -> None:
    from tests.contracts.plain import pieces

    specimen, bars = SPECIMENS[name], pieces(shared)[kind]
    state, out = run(specimen, bars)
    tapes.assert_same(out, uncompiled[f"{name}|{kind}|out"], f"{name}:")
    tapes.assert_same(state, uncompiled[f"{name}|{kind}|state"], f"{name} state:")
