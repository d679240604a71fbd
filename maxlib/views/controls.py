"""What to replay and the buttons that do it. Traits in, callbacks out; no decision is made here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ipywidgets as widgets

from maxlib.engine.session_views import Command, State
from maxlib.market.calendar import session
from maxlib.views.host import MAX

SPEEDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, MAX)
BEGINS: Final = (("the open", "open"), ("pre-market", "premarket"))
_FIXED: Final = "Tape, strategy and day are fixed until Stop."
_BUTTONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("start", "Start", "Starts the replay in this tab"),
    ("pause", "Pause", "Halts at the last bar; an open position stays open"),
    ("stop", "Stop", "Ends the session and sells what is open at the bid"),
    ("reset", "Reset", "Sets up the same day anew, with a fresh account and journal"),
)


class Controls(widgets.VBox):
    """The control panel.

    Parameters
    ----------
    tapes, strategies : names to offer
    on_tape : the tape or its seed was changed
    on_session : strategy, day or beginning was changed
    on_speed : called with the new speed
    on_button : called with "start", "pause", "resume", "stop" or "reset"
    """

    def __init__(
        self,
        tapes: Sequence[str],
        strategies: Sequence[str],
        *,
        on_tape: Callable[[], None],
        on_session: Callable[[], None],
        on_speed: Callable[[float], None],
        on_button: Callable[[str], None],
    ) -> None:
        self.tape = widgets.Dropdown(options=list(tapes), description="Tape")
        self.seed = widgets.BoundedIntText(
            min=0,
            max=2**31 - 1,
            description="Seed",
            continuous_update=False,
            tooltip="of the simulated market",
        )
        self.strategy = widgets.Dropdown(options=list(strategies), description="Strategy")
        self.day = widgets.Dropdown(options=[], description="Day")
        self.begin = widgets.Dropdown(options=list(BEGINS), description="Begin at")
        self.speed = widgets.Dropdown(
            options=[("max" if s == MAX else f"{s:g}×", s) for s in SPEEDS], value=60.0, description="Speed"
        )
        self.buttons = {name: widgets.Button(description=text, tooltip=tip) for name, text, tip in _BUTTONS}
        self.note = widgets.HTML().add_class("mx-note")
        self._telling = True
        self._pausing: Command = "pause"
        fields = (self.tape, self.seed, self.strategy, self.day, self.begin, self.speed)
        rows = widgets.Box(list(self.buttons.values())).add_class("mx-buttons")
        super().__init__([widgets.HTML("<h3>Control</h3>"), *fields, rows, self.note])
        self.add_class("mx-panel").add_class("mx-control")
        for name, button in self.buttons.items():
            button.add_class(f"mx-{name}")
        for field, told in (
            (self.tape, on_tape), (self.seed, on_tape),
            (self.strategy, on_session), (self.day, on_session), (self.begin, on_session),
        ):  # fmt: skip
            field.observe(self._tell(told), "value")
        self.speed.observe(lambda change: on_speed(change["new"]), "value")
        self.buttons["pause"].on_click(lambda _: on_button(self._pausing))
        for name in ("start", "stop", "reset"):
            self.buttons[name].on_click(lambda _, name=name: on_button(name))

    def _tell(self, told: Callable[[], None]) -> Callable[[Any], None]:
        def change(_: Any) -> None:
            if self._telling:
                told()

        return change

    def offer_days(self, days: Sequence[dt.date], wanted: dt.date | None) -> None:
        """Offer the sessions of a tape, the last one chosen unless `wanted` is among them."""
        chosen = wanted if wanted in days else days[-1]
        self._telling = False  # one rebuild follows anyway
        try:
            self.day.options = [(_day(day), day) for day in days]
            self.day.value = chosen
        finally:
            self._telling = True

    def choose(self, **values: Any) -> None:
        """Set fields without telling anyone."""
        self._telling = False
        try:
            for name, value in values.items():
                getattr(self, name).value = value
        finally:
            self._telling = True

    def show(self, state: State | None, blocked: Mapping[Command, str], *, simulated: bool) -> None:
        """Enable what makes sense; `state` None = there is no session."""
        live = state in ("RUNNING", "PAUSED")
        for field in (self.tape, self.strategy, self.day, self.begin):
            field.disabled = live
        self.seed.disabled = live or not simulated
        self._pausing = "resume" if state == "PAUSED" else "pause"
        self.buttons["pause"].description = self._pausing.capitalize()
        reasons = {
            "start": blocked.get("start"),
            "pause": blocked.get(self._pausing),
            "stop": blocked.get("stop"),
            "reset": "stop the session first" if live else None,
        }
        if state is None:
            reasons = dict.fromkeys(self.buttons, "there is no session")
        for name, _, tip in _BUTTONS:
            reason = reasons[name]
            self.buttons[name].disabled = reason is not None
            self.buttons[name].tooltip = f"Not now: {reason}" if reason else tip
        self.note.value = self._sentence(state, blocked)

    def _sentence(self, state: State | None, blocked: Mapping[Command, str]) -> str:
        if state is None:
            return "No session: choose another tape or day."
        if state == "PAUSED" and "resume" in blocked:
            return f"No Resume: {blocked['resume']}."
        if state in ("RUNNING", "PAUSED"):
            return _FIXED
        if state == "IDLE":
            return "No Pause or Stop: nothing runs yet."
        return f"No Start: {blocked.get('start', '')}. Reset, or choose another day."


def _day(day: dt.date) -> str:
    hours = session(day)
    return f"{day:%a %d %b %Y}{', half day' if hours and hours.half_day else ''}"
