"""The digest of what a step reaches, and the parameter rows of a system."""

import importlib.util
import itertools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import ConfigError
from maxlib.core.record import Record
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System, digest

HEAD = "from maxlib.kernels.kernel import kernel\n"
COUNT = itertools.count()


class Sum(Record):
    total: float


class Scale(Record):
    scale: float


TAPE = np.array([(1.0,), (2.0,), (4.0,)], dtype=[("value", "f8")])

Writer = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Write the two modules, import them afresh, return the caller's step."""
    names = ("callee_cache_test", "caller_cache_test")

    def make(callee: str, caller: str) -> Any:
        for name, text in zip(names, (callee, caller), strict=True):
            path = tmp_path / f"{name}_{next(COUNT)}.py"
            path.write_text(HEAD + text)
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return sys.modules[names[1]].step

    yield make
    for name in names:
        sys.modules.pop(name, None)


CALLEE = "@kernel\ndef part(x):\n    return x + 1.0\n"
CALLER = """from callee_cache_test import part
FACTOR = 2.0
@kernel
def step(s, p, event, out):
    s.total += FACTOR * part(event.value)
    out.total = s.total
"""


def test_the_same_source_gives_the_same_digest(load: Any) -> None:
    assert digest(load(CALLEE, CALLER)) == digest(load(CALLEE, CALLER))


def test_comments_and_blank_lines_do_not_change_the_digest(load: Any) -> None:
    plain = digest(load(CALLEE, CALLER))
    assert digest(load("# why\n\n" + CALLEE, CALLER.replace("    out", "    # said\n    out"))) == plain


@pytest.mark.parametrize(
    ("callee", "caller"),
    [
        (CALLEE.replace("1.0", "3.0"), CALLER),
        (CALLEE.replace("x + 1.0", "x - 1.0"), CALLER),
        (CALLEE, CALLER.replace("FACTOR = 2.0", "FACTOR = 5.0")),
        (CALLEE, CALLER.replace("FACTOR *", "FACTOR /")),
    ],
    ids=["constant in a callee", "operator in a callee", "module constant", "operator in the step"],
)
def test_an_edit_anywhere_gives_another_digest_and_another_answer(
    load: Any, callee: str, caller: str
) -> None:
    one, two = load(CALLEE, CALLER), load(callee, caller)
    assert digest(one) != digest(two)
    answers = []
    for step in (one, two):
        system = System(Sum, Scale, Sum, step)
        answers.append(system.run(TAPE, system.params(scale=1.0))[1]["total"].tolist())
    assert answers[0] == [4.0, 10.0, 20.0]
    assert answers[0] != answers[1]


def pair(load: Any, before: tuple[str, str], after: tuple[str, str]) -> tuple[str, str]:
    return digest(load(*before)), digest(load(*after))


def test_a_callee_of_a_callee_counts(load: Any) -> None:
    deep = "@kernel\ndef inner(x):\n    return x * 1.0\n@kernel\ndef part(x):\n    return inner(x)\n"
    one, two = pair(load, (deep, CALLER), (deep.replace("* 1.0", "* 7.0"), CALLER))
    assert one != two


def test_a_callee_reached_through_its_module_counts(load: Any) -> None:
    caller = CALLER.replace("from callee_cache_test import part", "import callee_cache_test as c").replace(
        "part(", "c.part("
    )
    one, two = pair(load, (CALLEE, caller), (CALLEE.replace("1.0", "3.0"), caller))
    assert one != two


def test_a_constant_read_through_its_module_counts(load: Any) -> None:
    callee = CALLEE + "FACTOR = 2.0\n"
    caller = "import callee_cache_test as c\n" + CALLER.replace("FACTOR * part(", "c.FACTOR * part(")
    one, two = pair(load, (callee, caller), (callee.replace("FACTOR = 2.0", "FACTOR = 9.0"), caller))
    assert one != two


def test_a_default_argument_counts(load: Any) -> None:
    callee = "@kernel\ndef part(x, more=1.0):\n    return x + more\n"
    one, two = pair(load, (callee, CALLER), (callee.replace("more=1.0", "more=4.0"), CALLER))
    assert one != two


def test_a_constant_array_counts(load: Any) -> None:
    callee = (
        "import numpy as np\nTABLE = np.array([1.0, 2.0])\n@kernel\ndef part(x):\n    return x + TABLE[0]\n"
    )
    one, two = pair(load, (callee, CALLER), (callee.replace("[1.0,", "[6.0,"), CALLER))
    assert one != two


def test_a_numpy_integer_constant_counts(load: Any) -> None:
    callee = "import numpy as np\nN = np.int64(3)\n@kernel\ndef part(x):\n    return x + N\n"
    one, two = pair(load, (callee, CALLER), (callee.replace("(3)", "(8)"), CALLER))
    assert one != two


def test_a_callee_inside_a_comprehension_counts(load: Any) -> None:
    callee = (
        "@kernel\ndef inner(x):\n    return x * 2.0\n"
        "@kernel\ndef part(x):\n    return [inner(x + i) for i in range(2)][1]\n"
    )
    one, two = pair(load, (callee, CALLER), (callee.replace("2.0", "5.0"), CALLER))
    assert one != two


TWO = "@kernel\ndef up(x):\n    return x {0} 1.0\n@kernel\ndef down(x):\n    return x {1} 1.0\n"
USES = """from callee_cache_test import up, down
@kernel
def step(s, p, event, out):
    out.total = up(event.value) + 10.0 * down(event.value)
"""


def test_two_callees_whose_bodies_are_swapped_count(load: Any) -> None:
    one, two = pair(load, (TWO.format("+", "-"), USES), (TWO.format("-", "+"), USES))
    assert one != two


def test_two_constants_of_one_name_whose_values_are_swapped_count(load: Any) -> None:
    callee = "K = {0}\n@kernel\ndef part(x):\n    return x + K\n"
    caller = "K = {0}\n" + CALLER.replace("FACTOR = 2.0\n", "").replace("FACTOR", "K")
    one, two = pair(load, (callee.format(2.0), caller.format(3.0)), (callee.format(3.0), caller.format(2.0)))
    assert one != two


def scaled(factor: float) -> System:
    """A step made in a function, closing over a constant."""

    @kernel
    def closed_over(s: Sum, p: Scale, event: Any, out: Sum) -> None:
        s.total += factor * p.scale * event.value
        out.total = s.total

    return System(Sum, Scale, Sum, closed_over)


def test_a_step_made_in_a_function_reads_the_constants_it_closes_over() -> None:
    for factor, total in ((1.0, 7.0), (3.0, 21.0), (1.0, 7.0)):
        system = scaled(factor)
        assert system.run(TAPE, system.params(scale=1.0))[1]["total"][-1] == total


def test_records_made_in_a_function_know_their_neighbours() -> None:
    class Inner(Record):
        x: float

    class Outer(Record):
        inner: Inner
        n: int

    assert Outer.dtype.names == ("inner", "n")
    assert Outer.dtype["inner"] == Inner.dtype


def test_a_plain_step_runs_uncompiled_says_so_and_gives_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def plain(s: Sum, p: Scale, event: Any, out: Sum) -> None:
        s.total += 3.0 * p.scale * event.value
        out.total = s.total

    with caplog.at_level(logging.INFO):
        system = System(Sum, Scale, Sum, plain)
    assert "plain is a plain Python step" in caplog.text
    rows = system.params(scale=np.array([1.0, 0.5]))
    assert system.run(TAPE, rows[:1])[1].tobytes() == scaled(3.0).run(TAPE, rows[:1])[1].tobytes()
    assert system.sweep(TAPE, rows)[1]["total"].tolist() == [21.0, 10.5]
    stream = system.stream(rows[:1])
    assert [float(stream.push(TAPE[i : i + 1])["total"]) for i in range(3)] == [3.0, 9.0, 21.0]


@pytest.mark.parametrize("name", ["mean", "size", "min", "data", "sum", "round", "shape", "view", "dtype_"])
def test_a_plain_step_may_name_a_field_like_an_attribute_of_numpy(name: str) -> None:
    state = type("State", (Record,), {"__annotations__": {name: float}})

    def plain(s: Any, p: Any, event: Any, out: Any) -> None:
        setattr(s, name, getattr(s, name) + event.value)
        out.total = getattr(s, name)

    system = System(state, Scale, Sum, plain)
    assert system.run(TAPE, system.params(scale=1.0))[1]["total"].tolist() == [1.0, 3.0, 7.0]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scale": 1.0, "speed": 2.0}, "closed_over: speed is not a parameter; parameters are scale"),
        ({}, "closed_over: scale is missing; parameters are scale"),
    ],
)
def test_unknown_and_missing_parameters_are_told_in_one_sentence(
    values: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        scaled(1.0).params(**values)
    assert str(caught.value) == sentence


def test_parameter_arrays_give_a_row_per_element_and_scalars_fill_them() -> None:
    class Both(Record):
        a: float
        b: int

    def step(s: Sum, p: Both, event: Any, out: Sum) -> None: ...

    rows = System(Sum, Both, Sum, step).params(a=np.array([1.0, 2.0, 3.0]), b=7)
    assert [row.item() for row in rows] == [(1.0, 7), (2.0, 7), (3.0, 7)]


def test_parameter_arrays_of_different_lengths_are_refused_in_one_sentence() -> None:
    class Both(Record):
        a: float
        b: int

    def step(s: Sum, p: Both, event: Any, out: Sum) -> None: ...

    with pytest.raises(ConfigError):
        System(Sum, Both, Sum, step).params(a=np.arange(3.0), b=np.arange(2))


def test_a_sweep_of_no_rows_is_empty() -> None:
    system = scaled(1.0)
    states, outs = system.sweep(TAPE, system.params(scale=np.array([1.0]))[:0])
    assert (len(states), len(outs)) == (0, 0)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_a_sweep_gives_the_same_rows_for_any_number_of_threads(jobs: int) -> None:
    system = scaled(2.0)
    rows = system.params(scale=np.linspace(0.0, 1.0, 37))
    expected = [system.run(TAPE, rows[i : i + 1])[1]["total"][-1] for i in range(37)]
    assert system.sweep(TAPE, rows, jobs=jobs)[1]["total"].tolist() == expected
