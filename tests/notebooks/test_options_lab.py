"""The options lab's notebook, cell by cell in this process: as a user would run it."""

import ast
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.display import HTML

from maxlib.core.errors import DataError
from maxlib.views.options_lab import OptionsLab

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "options_lab.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
REAL = "spx_chain_cboe_20220712_intraday"


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
            assert set(parameters) <= set(names)
            names.update(parameters)
    return names, shown


def written(tmp_path: Path, **parameters: Any) -> tuple[list[Any], dict[str, Any]]:
    path = tmp_path / "result.json"
    _, shown = execute(result_path=str(path), **parameters)
    return shown, json.loads(path.read_text(encoding="utf-8"))


def test_on_the_modelled_chain_it_shows_the_lab_and_writes_the_result(tmp_path: Path) -> None:
    shown, result = written(tmp_path, kind="fly", strikes=[600, 603, 606], real_folder="")
    app, picture, tables = shown
    assert isinstance(app, OptionsLab)
    assert isinstance(tables, HTML)
    assert isinstance(picture, go.Figure)
    assert "MODELLED" in picture.layout.title.text
    assert result["structure"]["label"] == "fly +1 600C -2 603C +1 606C"
    assert result["chain"]["origin"] == "modelled"
    assert result["chain"]["modelled"] is True
    assert len(result["bounds"]) == 4
    assert result["figures"]["max_loss_cents"] == result["figures"]["debit_cents"]


def test_on_a_real_chain_by_name(tmp_path: Path, shared: Path) -> None:
    if not list((shared / "data" / "real").glob(f"*/options/{REAL}.parquet")):
        pytest.skip(f"the folder of real data lacks {REAL}")
    shown, result = written(tmp_path, chain=REAL, kind="vertical", real_folder=str(shared / "data" / "real"))
    assert result["chain"]["name"] == f"{REAL}.parquet"
    assert (result["chain"]["modelled"], result["chain"]["root"]) == (False, "SPX")
    assert result["chain"]["moment"] == "2022-07-12 11:55:00 New York"
    assert result["chain"]["spot"] == 3856.28
    # README of the data: parity says 3856.7
    assert result["chain"]["forward"] == pytest.approx(3856.7, abs=0.5)
    assert all(bound["passes"] for bound in result["bounds"])
    assert 0 < result["figures"]["pop"] < 1
    assert "FILE" in shown[1].layout.title.text


def test_a_chain_that_is_not_there_is_no_modelled_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        written(tmp_path, chain="file", path="no/such.parquet", real_folder="")
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_nothing_is_written_and_only_the_lab_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, shown = execute(real_folder="")
    assert shown[1:] == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_nothing_worth_testing_is_inside() -> None:
    logic = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.ListComp, ast.DictComp)
    for text in CODE[1:]:
        assert len(text.splitlines()) <= 12
        assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, logic)]
