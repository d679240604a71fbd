"""A notebook's code, run cell by cell in this process: as a user would run it."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_LOGIC = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.ListComp, ast.DictComp)


def code(name: str) -> list[str]:
    """The sources of a notebook's code cells."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def execute(cells: Sequence[str], **parameters: Any) -> tuple[dict[str, Any], list[Any]]:
    """Run all code cells; returns the names and what each cell shows."""
    names: dict[str, Any] = {}
    shown = []
    for number, text in enumerate(cells):
        tree = ast.parse(text)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if last is not None:
            assert isinstance(last, ast.Expr)
            shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
        if number == 0:
            names.update(parameters)
    return names, shown


def logic(text: str) -> list[ast.AST]:
    """What in a cell should be a tested function instead."""
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, _LOGIC)]
