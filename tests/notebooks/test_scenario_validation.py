"""The validation notebook, cell by cell in this process: as a user would run it."""

import ast
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.display import HTML

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "scenario_validation.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def execute(**parameters: Any) -> tuple[dict[str, Any], list[Any]]:
    """Run all code cells; returns the names and what each cell shows."""
    names: dict[str, Any] = {}
    shown = []
    for number, text in enumerate(CODE):
        tree = ast.parse(text)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if last is not None:
            assert isinstance(last, ast.Expr)
            shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
        if number == 0:
            names.update(parameters)
    return names, shown


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], Path]:
    path = tmp_path_factory.mktemp("notebook") / "result.json"
    names, shown = execute(overrides={"data.simulator.days": 8}, result_path=str(path))
    return names, shown, path


def test_the_verdict_comes_first(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    first = ran[1][0]
    assert isinstance(first, HTML)
    assert "Claimed 95.0 % wins; measured" in str(first.data)


def test_every_cell_shows_a_table_or_a_figure(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    shown = ran[1]
    assert sum(isinstance(one, go.Figure) for one in shown) == 5
    assert sum(isinstance(one, HTML) for one in shown) == len(shown) - 5


def test_what_is_simulated_is_stamped_wherever_it_is_shown(
    ran: tuple[dict[str, Any], list[Any], Path],
) -> None:
    for one in ran[1]:
        if isinstance(one, go.Figure):
            assert "SIMULATED" in one.layout.title.text
    assert "<b>SIMULATED</b>" in str(ran[1][0].data)


def test_the_result_is_written_where_it_is_asked_for(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    names, _, path = ran
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(names["result"]))


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    execute(overrides={"data.simulator.days": 8})
    assert list(tmp_path.iterdir()) == []


def test_nothing_worth_testing_is_inside() -> None:
    logic = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.ListComp, ast.DictComp)
    for text in CODE:
        assert len(text.splitlines()) <= 12
        assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, logic)]
