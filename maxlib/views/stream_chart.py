"""A live plotly chart that is sent deltas, not figures.

Python holds the whole figure; a view that appears late, or fell behind, asks for it. All
changes between two `flush` calls travel as one message, and the browser draws all messages
that wait in one go. plotly.js is the copy inside the installed plotly package, sent once
per page; there is no request to anyone.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

WINDOW: Final = 500
"""Points a trace keeps: more candles cannot be told apart, and drawing time grows with them."""
_HERE: Final = files("maxlib.views")


@lru_cache(1)
def plotly_js() -> bytes:
    """plotly.js, gzipped."""
    spec = find_spec("plotly")  # found, not imported: importing plotly takes longer than all the rest
    assert spec is not None
    assert spec.origin is not None
    return gzip.compress((Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes(), 6)


class StreamChart(anywidget.AnyWidget):
    """A chart of plain data: `figure` has `data`, `layout` and `config` as plotly.js takes them.

    Nothing is sent before `flush`. Property names may be dotted: "marker.color".
    """

    _esm = _HERE.joinpath("stream_chart.js").read_text()
    _css = _HERE.joinpath("stream_chart.css").read_text()
    window = traitlets.Int(WINDOW).tag(sync=True)

    def __init__(self, figure: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.figure = figure
        self._clear()
        self.on_msg(self._asked)

    def _clear(self) -> None:
        self._append: list[tuple[int, dict[str, list[Any]]]] = []
        self._update: list[tuple[int, dict[str, Any]]] = []
        self._layout: dict[str, Any] = {}

    def append(self, trace: int, **columns: list[Any]) -> None:
        """Add points to a trace; `columns` are equally long lists. The oldest make room."""
        self.append_columns(trace, columns)

    def append_columns(self, trace: int, columns: dict[str, list[Any]]) -> None:
        """The same, for names that are no Python words."""
        for path, values in columns.items():
            inner, name = _holder(self.figure["data"][trace], path)
            inner[name] = [*inner.get(name, []), *values][-self.window :]
        self._append.append((trace, columns))

    def update(self, trace: int, values: dict[str, Any]) -> None:
        """Set properties of a trace."""
        _set(self.figure["data"][trace], values)
        self._update.append((trace, values))

    def relayout(self, values: dict[str, Any]) -> None:
        """Set properties of the layout."""
        _set(self.figure["layout"], values)
        self._layout.update(values)

    def flush(self) -> None:
        """Send everything since the last flush."""
        if self._append or self._update or self._layout:
            self.send({
                "type": "delta", "append": self._append, "update": self._update, "layout": self._layout,
            })  # fmt: skip
            self._clear()

    def reset(self, figure: dict[str, Any]) -> None:
        """Show another figure."""
        self.figure = figure
        self._clear()
        self.send({"type": "figure", "figure": figure})

    def _asked(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if message.get("type") == "library?":
            self.send({"type": "library"}, [plotly_js()])
        elif message.get("type") == "figure?":
            # The figure already holds what waits: a later flush must not add it again.
            self._clear()
            self.send({"type": "figure", "figure": self.figure})


def _holder(values: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *outer, name = path.split(".")
    for part in outer:
        values = values.setdefault(part, {})
    return values, name


def _set(target: dict[str, Any], values: dict[str, Any]) -> None:
    for path, value in values.items():
        inner, name = _holder(target, path)
        inner[name] = value
