"""vectorbt as a process: made once in var/bench/vectorbt-venv, because it pins packages of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import Time
from benchmarks.tapes import FOLDER

_VENV = FOLDER / "vectorbt-venv"
_WORKER = Path(__file__).with_name("peer_vectorbt.py")


class MissingError(Exception):
    """vectorbt cannot be installed here; the sentence says why."""


def _python() -> Path:
    """The interpreter of vectorbt's environment, which is made at the first call."""
    python = _VENV / "bin" / "python"
    works: list[Any] = [python, "-c", "import importlib.metadata as m; m.version('vectorbt')"]
    if python.exists() and subprocess.run(works, capture_output=True, check=False).returncode == 0:
        return python
    print(f"installing vectorbt into {_VENV}, once", file=sys.stderr)
    shutil.rmtree(_VENV, ignore_errors=True)
    steps: list[list[Any]]
    if uv := shutil.which("uv"):
        steps = [
            [uv, "venv", "--quiet", "--no-python-downloads", "--python", sys.executable, _VENV],
            [uv, "pip", "install", "--quiet", "--python", python, "vectorbt"],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", _VENV],
            [python, "-m", "pip", "install", "--quiet", "vectorbt"],
        ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[:300] or "no message"
            raise MissingError(f"vectorbt could not be installed: {said}")
    return python


class Vectorbt:
    """The running worker. Use as a context manager."""

    def __init__(self, bars: Path, fasts: list[int], slows: list[int], chunk: int = 10) -> None:
        lengths = [",".join(map(str, some)) for some in (fasts, slows)]
        self._process = subprocess.Popen(
            [_python(), _WORKER, bars, *lengths, str(chunk)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.version: str = self._answer()["version"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"vectorbt's process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, what: str, rows: int) -> tuple[Time, list[float]]:
        """Sweep the first `rows` rows; "profit" or "trades" of each, and the time as the worker saw it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {rows}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return Time(answer["wall"], answer["cpu"]), answer["values"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
