"""The one palette: colours, fonts and the plotly template of every page and report.

`theme.css`, which lies beside this file, holds the rules for the live page; it is
filled in from these constants, so a colour is written down once.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Any, Final

BACKGROUND: Final = "#10141f"
PANEL: Final = "#151a27"
RAISED: Final = "#1b2131"
BORDER: Final = "#232a3a"
TEXT: Final = "#d6dbe7"
MUTED: Final = "#7f89a0"
UP: Final = "#1fbf8f"
DOWN: Final = "#ef5563"
AMBER: Final = "#f0b429"
BLUE: Final = "#4c8dff"
VIOLET: Final = "#a78bfa"
VOLUME: Final = "#2f3850"

# Fonts of the system only: a page asks no one for anything.
SANS: Final = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
MONO: Final = '"JetBrains Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'

COLOURS: Final[dict[str, str]] = {
    "background": BACKGROUND, "panel": PANEL, "raised": RAISED, "border": BORDER, "text": TEXT,
    "muted": MUTED, "up": UP, "down": DOWN, "amber": AMBER, "blue": BLUE, "violet": VIOLET,
}  # fmt: skip

_AXIS: Final[dict[str, Any]] = {
    "gridcolor": BORDER,
    "zerolinecolor": BORDER,
    "linecolor": BORDER,
    "tickcolor": BORDER,
    "tickfont": {"color": MUTED, "size": 11},
    "title": {"font": {"color": MUTED, "size": 11}, "standoff": 8},
    "automargin": False,
}

TEMPLATE: Final[dict[str, Any]] = {
    "layout": {
        "paper_bgcolor": PANEL,
        "plot_bgcolor": PANEL,
        "font": {"family": SANS, "size": 12, "color": TEXT},
        "title": {"font": {"size": 13, "color": TEXT}, "x": 0.0, "xanchor": "left"},
        "colorway": [BLUE, AMBER, UP, VIOLET, DOWN, MUTED],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"font": {"color": MUTED, "size": 11}, "bgcolor": "rgba(0,0,0,0)"},
        "hoverlabel": {
            "bgcolor": RAISED, "bordercolor": BORDER, "font": {"color": TEXT, "family": SANS, "size": 12},
        },
        "margin": {"l": 12, "r": 56, "t": 8, "b": 28},
    }
}  # fmt: skip
"""A plotly template as plain data: `go.Figure(layout={"template": TEMPLATE})`, or JSON for the browser."""


@lru_cache(1)
def css() -> str:
    """The style sheet of the live page, with the colours and fonts filled in."""
    text = files("maxlib.views").joinpath("theme.css").read_text()
    return Template(text).substitute(COLOURS, sans=SANS, mono=MONO)
