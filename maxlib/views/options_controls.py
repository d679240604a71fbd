"""The options lab's controls: traits in, one callback out. What cannot apply is disabled, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import ipywidgets as widgets

from maxlib.options.structures import KINDS, RATIOS, Kind

SIDES: Final = (("Bullish, calls", 1), ("Bearish, puts", -1))
_NAMES: Final[dict[Kind, str]] = {
    "long": "Long", "vertical": "Vertical", "fly": "Fly", "broken_wing": "Broken wing",
    "unbalanced": "Unbalanced 1:−3:2",
}  # fmt: skip
LEGS: Final = 3


class Controls(widgets.VBox):
    """What to build, and where to look at it from.

    Parameters
    ----------
    chains : names to offer
    on_change : called with the name of the control that the user moved
    on_button : called with "reset" or "take"
    """

    def __init__(
        self,
        chains: Sequence[str],
        *,
        on_change: Callable[[str], None],
        on_button: Callable[[str], None],
    ) -> None:
        self.chain = widgets.Dropdown(options=list(chains), description="Chain")
        self.moment = widgets.SelectionSlider(
            options=[("–", 0)], description="Moment", continuous_update=False
        )
        self.expiry = widgets.Dropdown(options=[], description="Expiry")
        self.side = widgets.Dropdown(options=list(SIDES), description="Side")
        self.kind = widgets.Dropdown(
            options=[(_NAMES[kind], kind) for kind in KINDS], description="Structure"
        )
        self.strikes = [widgets.Dropdown(options=[]) for _ in range(LEGS)]
        self.quantity = widgets.BoundedIntText(value=1, min=1, max=1000, description="Units")
        self.target = widgets.FloatSlider(description="Target", readout_format=",.2f", step=0.5)
        self.shift = widgets.FloatSlider(description="Spot", readout_format="+.2f", min=-1, max=1, step=0.05)
        self.left = widgets.FloatSlider(description="Minutes", readout_format=".0f", min=0, max=390, step=1)
        self.iv_scale = widgets.FloatSlider(
            description="IV ×", readout_format=".2f", min=0.25, max=3.0, step=0.05, value=1.0
        )
        self.take = widgets.Button(description="Take the winner")
        self.reset = widgets.Button(description="Reset sliders", tooltip="Back to the moment of the quotes")
        self.note = widgets.HTML().add_class("mx-note")
        self._telling = True
        super().__init__([
            widgets.HTML("<h3>Structure</h3>"),
            self.chain, self.moment, self.expiry, self.side, self.kind, *self.strikes, self.quantity,
            self.target,
            widgets.HTML("<h3>What if<small>change of spot, time left, volatility</small></h3>"),
            self.shift, self.left, self.iv_scale,
            widgets.Box([self.reset, self.take]).add_class("mx-buttons"),
            self.note,
        ])  # fmt: skip
        self.add_class("mx-panel").add_class("mx-control")
        for name, field in self.fields().items():
            field.observe(self._tell(on_change, name), "value")
        self.take.on_click(lambda _: on_button("take"))
        self.reset.on_click(lambda _: on_button("reset"))

    def fields(self) -> dict[str, Any]:
        """Every control that holds a value, by name; the strikes are strike0 to strike2."""
        named = {
            name: getattr(self, name)
            for name in (
                "chain", "moment", "expiry", "side", "kind", "quantity", "target",
                "shift", "left", "iv_scale",
            )
        }  # fmt: skip
        return named | {f"strike{i}": field for i, field in enumerate(self.strikes)}

    def _tell(self, told: Callable[[str], None], name: str) -> Callable[[Any], None]:
        def change(_: Any) -> None:
            if self._telling:
                told(name)

        return change

    # --- set by the program: nobody is told

    def choose(self, **values: Any) -> None:
        """Set values without telling anyone."""
        self._telling = False
        try:
            for name, value in values.items():
                self.fields()[name].value = value
        finally:
            self._telling = True

    def offer(self, name: str, options: Sequence[tuple[str, Any]], value: Any) -> None:
        """Offer these options, `value` chosen, without telling anyone."""
        field = self.fields()[name]
        self._telling = False
        try:
            if tuple(field.options) != tuple(options):
                field.options = list(options)
            field.value = value
        finally:
            self._telling = True

    def reach(self, name: str, low: float, high: float, step: float, value: float) -> None:
        """Set a slider's range and value without telling anyone."""
        field = self.fields()[name]
        self._telling = False
        try:
            # In one message: the browser pulls a value outside its range, or off its steps, back and
            # reports that as the user's doing.
            with field.hold_sync():
                field.min, field.max = min(low, field.min), max(high, field.max)
                field.value = value
                field.min, field.max, field.step = low, high, step
        finally:
            self._telling = True

    def disable(self, name: str, reason: str) -> None:
        """Disable a control if there is a reason to, else enable it. The reason is its tooltip."""
        field = self.fields()[name]
        field.disabled = bool(reason)
        field.tooltip = reason

    def label_strikes(self, kind: Kind) -> None:
        """Name each strike by what is done there."""
        ratios = RATIOS[kind]
        for i, field in enumerate(self.strikes):
            ratio = ratios[i] if i < len(ratios) else 0
            field.description = (
                f"{'Buy' if ratio > 0 else 'Sell'} {abs(ratio)}" if ratio else f"Strike {i + 1}"
            )
