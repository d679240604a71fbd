"""The trader's buttons. Each says how far it reaches, or why it cannot be pressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Final, Literal

import ipywidgets as widgets

Button = Literal["start", "stop", "halt", "resume", "kill", "reset", "clear", "reset_peak"]
_BUTTONS: Final[tuple[tuple[Button, str, str], ...]] = (
    ("start", "Start", "Starts the trader, kept alive by a supervisor; both outlive this page"),
    (
        "stop",
        "Stop",
        "Ends the trader's process in order; an open position stays, a new start goes on with it",
    ),
    ("halt", "Halt", "No new entries; open positions leave as planned"),
    ("resume", "Resume", "Entries may pass again"),
    (
        "kill",
        "Kill switch",
        "Blocks entries until it is reset with a code, also after a restart; sells nothing",
    ),
    ("clear", "Clear", "You have looked at what differs from the broker; entries may pass again"),
    ("reset", "Reset", "Takes the kill switch back; the halt stays until Resume"),
    (
        "reset_peak",
        "Reset peak",
        "Falls from the peak count from today's equity: entries may pass again after a total loss",
    ),
)
NAMES: Final[dict[str, str]] = {name: text for name, text, _ in _BUTTONS}

_PLAIN: Final = (
    "the trader runs",
    "the trader is trading",
    "the trader is halted",
    "the session is over",
    "the kill switch is not thrown",
    "it is thrown",
    "nothing differs from the broker",
    "there is no guard that counts from a peak",
    "equity is at its peak",
)


class TraderControls(widgets.VBox):
    """The control panel of a trader in a process of its own.

    Parameters
    ----------
    on_button : called with the button's name and, for "reset", the code that was typed
    """

    def __init__(self, on_button: Callable[[Button, str], None]) -> None:
        self._on_button = on_button
        self.facts = widgets.HTML().add_class("mx-about")
        self.buttons = {name: widgets.Button(description=text, tooltip=tip) for name, text, tip in _BUTTONS}
        for name, button in self.buttons.items():
            button.add_class(f"mx-{name}")
        self.sure = widgets.Button(description="Throw it", tooltip="Blocks entries now").add_class("mx-sure")
        self.keep = widgets.Button(description="Cancel", tooltip="Nothing happens").add_class("mx-keep")
        self.code = widgets.Password(placeholder="reset code", description="")
        self.note = widgets.HTML().add_class("mx-note")
        order: tuple[Button, ...] = ("start", "stop", "halt", "resume", "kill", "clear")
        grid = widgets.Box([*(self.buttons[name] for name in order), self.sure, self.keep])
        peak = widgets.Box([self.buttons["reset_peak"]]).add_class("mx-buttons").add_class("mx-one")
        super().__init__([
            widgets.HTML("<h3>Trader</h3>"),
            self.facts,
            grid.add_class("mx-buttons"),
            widgets.Box([self.code, self.buttons["reset"]]).add_class("mx-buttons").add_class("mx-code"),
            peak,
            self.note,
        ])  # fmt: skip
        self.add_class("mx-panel").add_class("mx-control")
        for name in ("start", "stop", "halt", "resume", "clear", "reset_peak"):
            self.buttons[name].on_click(lambda _, name=name: on_button(name, ""))
        self.buttons["kill"].on_click(lambda _: self._confirm(asking=True))
        self.sure.on_click(lambda _: self._thrown())
        self.keep.on_click(lambda _: self._confirm(asking=False))
        self.buttons["reset"].on_click(lambda _: self._reset())
        self._confirm(asking=False)

    def _confirm(self, *, asking: bool) -> None:
        """Ask once more, in the place of the button itself: nothing moves."""
        for name in ("kill", "clear"):
            self.buttons[name].layout.display = "none" if asking else None
        for button in (self.sure, self.keep):
            button.layout.display = None if asking else "none"

    def _thrown(self) -> None:
        self._confirm(asking=False)
        self._on_button("kill", "")

    def _reset(self) -> None:
        code, self.code.value = self.code.value, ""  # it stays nowhere on the page
        self._on_button("reset", code)

    def show(
        self, reasons: Mapping[Button, str | None], said: str, tips: Mapping[Button, str] | None = None
    ) -> None:
        """Enable what the trader would do.

        Parameters
        ----------
        said : what became of the last request
        tips : what a button does now, where that is not what it usually does
        """
        for name, _, usual in _BUTTONS:
            reason, tip = reasons[name], (tips or {}).get(name, usual)
            self.buttons[name].disabled = reason is not None
            self.buttons[name].tooltip = f"Not now: {reason}" if reason else tip
        self.code.disabled = reasons["reset"] is not None
        if reasons["kill"] is not None:
            self._confirm(asking=False)
        lines = [f"<div class='mx-amber'>{escape(said)}</div>"] if said else []
        lines += [f"<div>{_names(names)}: {escape(why)}.</div>" for why, names in _grouped(reasons).items()]
        self.note.value = "".join(lines)


def _grouped(reasons: Mapping[Button, str | None]) -> dict[str, list[str]]:
    """Disabled buttons by reason.

    What the badge says already, or goes without saying, is left to the tooltip.
    """
    found: dict[str, list[str]] = {}
    for name, text, _ in _BUTTONS:
        reason = reasons[name]
        if reason is not None and reason not in _PLAIN:
            found.setdefault(reason, []).append(text)
    return found


def _names(names: list[str]) -> str:
    return f"No {', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else f"No {names[0]}"
