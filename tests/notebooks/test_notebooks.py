"""Every notebook: says what it is for, declares its parameters once, and is committed without outputs."""

import json
from pathlib import Path
from typing import Any

import papermill
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TYPES = {"str", "int", "float", "bool", "dict", "list"}

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@every
def test_it_opens_with_purpose_inputs_and_outputs(path: Path) -> None:
    top = cells(path)[0]
    assert top["cell_type"] == "markdown"
    assert source(top).startswith("# ")
    for part in ("**Purpose.**", "**Inputs.**", "**Outputs.**"):
        assert part in source(top)


@every
def test_it_has_exactly_one_cell_of_parameters(path: Path) -> None:
    tagged = [c for c in cells(path) if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0]["cell_type"] == "code"


@every
def test_each_parameter_has_a_type_and_help(path: Path) -> None:
    found = papermill.inspect_notebook(str(path))
    tagged = next(c for c in cells(path) if "parameters" in c["metadata"].get("tags", []))
    # papermill leaves out, with no more than a warning, a line that it cannot read.
    assert len(found) == len(source(tagged).splitlines())
    for name, parameter in found.items():
        assert parameter["inferred_type_name"].split("[")[0] in TYPES, name
        assert parameter["help"], name


@every
def test_it_holds_no_outputs(path: Path) -> None:
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@every
def test_it_runs_on_any_kernel_called_python3(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
