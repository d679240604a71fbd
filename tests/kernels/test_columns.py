"""Kernels over columns: broadcasting, layouts, threads, and the uncompiled twin."""

import sys
from typing import Any

import numpy as np
import pytest

from maxlib.kernels.columns import Columns, formula, twin
from maxlib.kernels.kernel import kernel


@formula
def half(x: float) -> float:
    return 0.5 * x


@kernel
def sum_and_share(a: float, b: float) -> tuple[float, float]:
    total = a + b
    return total, half(a) / total if total > 0.0 else 0.0


SHARES = Columns(sum_and_share, 2, 2)


def expected(a: Any, b: Any) -> Any:
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    with np.errstate(all="ignore"):
        return np.stack([a + b, np.where(a + b > 0.0, 0.5 * a / (a + b), 0.0)], axis=-1)


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1_000, 1_001, 2_500])
@pytest.mark.parametrize("jobs", [1, 3])
def test_columns_and_numbers_meet_at_every_length(count: int, jobs: int) -> None:
    column = np.arange(count, dtype=float)
    for a, b in ((column, 2.0), (3.0, column), (column, column[::-1]), (column, [7.0])):
        assert np.array_equal(SHARES(a, b, jobs=jobs), expected(a, b))


def test_shapes_broadcast_as_numpy_does() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4.0)[:, None, None]
    assert SHARES(a, b).shape == (4, 2, 3, 2)
    assert np.array_equal(SHARES(a, b), expected(a, b))
    assert SHARES(1.0, 2.0).shape == (2,)


def test_no_layout_compiles_a_second_time() -> None:
    column = np.arange(2_000.0)
    frozen = column.copy()
    frozen.flags.writeable = False
    SHARES(column, 1.0)
    for given in (frozen, column[::2], column.astype(np.int8), list(range(5)), np.float32(3)):
        SHARES(given, 1.0)
    assert len(SHARES._run.signatures) == 1


def test_a_twin_is_plain_python_all_the_way_down(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = (len(half.signatures), len(sum_and_share.signatures))
    plain = twin(sum_and_share)
    seen = []
    sys.setprofile(lambda frame, event, _: seen.append(frame.f_code.co_name) if event == "call" else None)
    try:
        result = plain(3.0, 1.0)
    finally:
        sys.setprofile(None)
    assert result == (4.0, 0.375)
    assert seen[:2] == ["sum_and_share", "half"]
    assert (len(half.signatures), len(sum_and_share.signatures)) == compiled
