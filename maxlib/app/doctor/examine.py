"""All checks in their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from maxlib.app.doctor import machine, outside
from maxlib.app.doctor.folder import JOURNAL, TraderFolder
from maxlib.app.doctor.line import Found, Line, ask
from maxlib.app.doctor.live import LivePath, Served
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.tape import Tape
from maxlib.data.tape import load as load_tape
from maxlib.engine.live import label_of
from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.ops.clock import Clock
from maxlib.ops.notify import Environment
from maxlib.ops.text import Masker
from maxlib.research import scenario as scenarios


class Vendors(NamedTuple):
    """Who may be asked over the network."""

    massive: MassiveConfig
    alpaca: AlpacaConfig


class _Loaded:
    """The scenario and its bars, kept for the checks that follow."""

    def __init__(self, name: str | None, overrides: Mapping[str, Any] | None) -> None:
        self._name, self._overrides = name, overrides
        self.found: scenarios.Scenario | None = None
        self.tape: Tape | None = None

    def scenario(self) -> Found:
        if self._name is None:
            return "not used", "none was named"
        self.found = scenarios.load(self._name, self._overrides)
        return "pass", f"{self.found.name}: {self.found.title}"

    def bars(self) -> Found:
        if self.found is None:
            return "not used", "there is no scenario to load them for"
        self.tape = tape = load_tape(self.found.data)
        counted = f"{len(tape.bars):,} {'SIMULATED ' if tape.simulated else ''}bars"
        sessions = f"{tape.quality.sessions:,} sessions"
        return "pass", f"{tape.name}: {counted} in {sessions} passed the gate"

    @property
    def symbol(self) -> str:
        return "QQQ" if self.found is None else self.found.data.symbol

    @property
    def label(self) -> Environment:
        return "PAPER" if self.tape is None else label_of(self.tape.simulated)


def examine(
    scenario: str | None = None,
    folder: Path | None = None,
    *,
    port: int | None = None,
    vendors: Vendors | None = None,
    path: LivePath = LivePath(),  # noqa: B008 - it is frozen
    overrides: Mapping[str, Any] | None = None,
    notify: bool = False,
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
) -> list[Line]:
    """Check all that a trader needs, and change nothing.

    Parameters
    ----------
    scenario : name or file; None = those lines are not used
    folder : of a trader; None = those lines are not used, and the disk is that of the current directory
    port : the one that the trader shall have
    vendors : asked over the network; None = nobody is
    path : how the trader shall be started; what that needs must be there
    overrides : of the scenario's fields
    notify : send a test to every service

    Returns
    -------
    list of Line
        Always the same checks in the same order.
    """
    clock = clock or Clock()
    place, loaded = folder or Path(), _Loaded(scenario, overrides)
    trader = TraderFolder(place, clock)
    written = None if folder is None else folder / JOURNAL
    now, began = clock.wall_ns, machine.reading(clock)
    masker = Masker.from_environment(environment)

    def of_folder(check: Callable[[], Found]) -> Callable[[], Found]:
        return check if folder is not None else lambda: ("not used", "no --folder was named")

    def notice() -> Found:
        if not notify:
            return "not used", "none sent; --notify sends one"
        return outside.send_test(environment, loaded.label)

    served = Served(path.checked(), environment, vendors.massive if vendors else None, now())
    checks: dict[str, Callable[[], Found]] = {
        "Python": machine.python,
        "packages": machine.packages,
        "disk": lambda: machine.disk(place),
        "durable write": lambda: machine.durable(place),
        "time service": lambda: machine.time_service(machine.discipline(), live=vendors is not None),
        "calendar": lambda: machine.calendar(now()),
        "scenario": loaded.scenario,
        "bars": loaded.bars,
        "guard": lambda: path.guard(loaded.found),
        "journal": of_folder(trader.journal),
        "lock": of_folder(trader.lock),
        "snapshots": of_folder(trader.snapshots),
        "kill switch": of_folder(trader.kill_switch),
        "lease": trader.lease,
        "heartbeat": of_folder(trader.heartbeat),
        "supervisor": of_folder(trader.supervisor),
        "port": lambda: trader.port(port),
        "reset code": lambda: outside.reset_code(environment),
        "secrets file": lambda: outside.env_file(Path(".env")),
        "Massive key": lambda: path.massive_key(environment),
        "Massive": lambda: outside.massive(environment, vendors.massive if vendors else None, now()),
        "Massive bars": lambda: served.bars(loaded.symbol),
        "Massive chain": lambda: served.chain(loaded.symbol),
        "Alpaca keys": lambda: path.alpaca_keys(environment),
        "Alpaca": lambda: outside.alpaca(environment, vendors.alpaca if vendors else None, now()),
        "notices to": lambda: outside.addresses(environment),
        "test notice": notice,
        "Chromium": lambda: machine.chromium(environment),
        "kernel": machine.kernel,
        # Last: all that came before is the time over which the clocks are compared.
        "clocks": lambda: machine.clocks(began, clock, written),
    }
    return [ask(name, check, masker) for name, check in checks.items()]
