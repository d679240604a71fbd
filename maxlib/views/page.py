"""What the pages share: an edge at which every error is shown, and where header, chart and panels lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from typing import Any

import ipywidgets as widgets

from maxlib.views import theme
from maxlib.views.price_chart import PriceChart


class Edge(widgets.VBox):
    """A page whose callbacks tell what went wrong: an error in one shows nowhere by itself."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tell what went wrong: nothing fails in silence."""

    def _guard(self, function: Callable[..., None]) -> Callable[..., None]:
        """`function` for a callback."""

        @wraps(function)
        def guarded(*args: Any) -> None:
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001 - the page's edge: whatever it is, it is shown
                self.fail(error)

        return guarded


class Page(Edge):
    """A page with one chart, laid out by `theme.css`.

    Parameters
    ----------
    header : brand and clocks, from left to right
    tiles, controls, panels : each knows its place by its class
    kind : a class of the page's own, for its places; "" = none

    Attributes
    ----------
    strip : the line above the chart
    banner : lies over the tiles; "" = nothing is wrong
    """

    def __init__(
        self,
        *,
        header: Sequence[widgets.Widget],
        tiles: widgets.Widget,
        controls: widgets.Widget,
        chart: PriceChart,
        panels: Sequence[widgets.Widget],
        kind: str = "",
    ) -> None:
        self.strip = widgets.HTML().add_class("mx-tape")
        self.banner = widgets.HTML().add_class("mx-banner")
        super().__init__([
            widgets.HTML(f"<style>{theme.css()}</style>").add_class("mx-style"),
            widgets.Box(list(header)).add_class("mx-header"),
            self.banner,
            tiles,
            controls,
            widgets.VBox([self.strip, chart.widget]).add_class("mx-panel").add_class("mx-centre"),
            *panels,
        ])  # fmt: skip
        self.add_class("mx-app")
        if kind:
            self.add_class(kind)

    def _say(self, text: str) -> None:
        self.banner.value = f"<div role='alert'>{escape(text)}</div>"
