"""Where a paper trader's orders go: to our own fills, nowhere, to Alpaca's paper account, or to a fake of it.

None of them takes another's place: what cannot be had is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from maxlib.app.courier import Courier, CourierConfig, Desk
from maxlib.app.fake_broker import FakeBroker
from maxlib.app.venues import check_guard
from maxlib.core.errors import ConfigError
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.live import Venue
from maxlib.engine.machine import MachineConfig
from maxlib.engine.trader import Fills, Trader
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.fake import FAKE_KEYS

LAST_MINUTES: Final = 35
"""Alpaca takes no order on an expiring QQQ contract in the last 30 minutes of a session. Five more are left
for an exit that it does not do the first time."""
BrokerName = Literal["simulated", "dry-run", "fake", "alpaca"]


class Account(NamedTuple):
    """A broker's account that a trader is connected to; `fake` is there if the broker is one."""

    courier: Courier
    fake: FakeBroker | None = None

    def close(self) -> None:
        """End the connection, and the fake."""
        self.courier.close()
        if self.fake is not None:
            self.fake.close()


Connect = Callable[[Trader, Desk, Callable[[], int], int], Account]
"""Connects a trader to an account: (trader, who journals, market's clock, UTC ns to look at orders from)."""


class Broker(NamedTuple):
    """What becomes of orders; `connect` is None where no broker is needed."""

    name: BrokerName
    fills: Fills
    connect: Connect | None = None

    def check(self, config: MachineConfig, *, label: Venue) -> None:
        """Refuse what would go wrong later.

        Raises
        ------
        ConfigError
            If the scenario or the market does not go with this broker.
        """
        if self.name == "alpaca" and label != "PAPER":
            raise ConfigError(
                f"--broker alpaca: a paper account trades at today's prices, not at {label} ones; "
                "use --venue massive without --delayed"
            )
        if self.name == "alpaca":
            check_guard(config, "--broker alpaca")
        if self.name == "fake" and label in ("PAPER", "DELAYED"):
            raise ConfigError("--broker fake: its quotes are modelled; a live market needs another broker")
        minutes = config.exits.force_close_minutes
        if self.fills == "broker" and minutes < LAST_MINUTES:
            raise ConfigError(
                f"exits.force_close_minutes {minutes}: should be at least {LAST_MINUTES} with a broker, "
                "which takes no order on an expiring contract in the last 30 minutes"
            )


SIMULATED: Final = Broker("simulated", "simulated")
"""Our own fills at the desk's quotes."""


def broker(name: str, environment: Mapping[str, str] | None = None) -> Broker:
    """The broker of a name; keys come from the environment.

    Raises
    ------
    ConfigError
        If there is none of this name, or its keys are not set.
    """
    if name == "simulated":
        return SIMULATED
    if name == "dry-run":
        return Broker("dry-run", "dry-run")
    if name == "fake":
        return Broker("fake", "broker", fake)
    if name == "alpaca":
        keys = Keys.from_env(os.environ if environment is None else environment)
        return Broker("alpaca", "broker", at(AlpacaConfig(), keys, state_folder()))
    raise ConfigError(f"--broker {name}: should be simulated, dry-run, fake or alpaca")


def fake(trader: Trader, desk: Desk, clock: Callable[[], int], since: int) -> Account:
    """A fake account on this machine, which dies with the process and is told what the journal knows."""
    shell = _shell(trader)
    machine = shell.machine
    made = FakeBroker(machine.desk, clock(), machine.ledger.start_cents, shell.books.orders.values())
    if trader.last_bar is not None:
        made.see(trader.last_bar, trader.sigma)
    config = CourierConfig(poll_s=1.0)
    courier = Courier(
        shell,
        desk,
        made.server.config(),
        FAKE_KEYS,
        clock=clock,
        since=since,
        lease_folder=None,
        courier=config,
    )
    return Account(courier, made)


def at(
    alpaca: AlpacaConfig, keys: Keys, lease_folder: Path | None, config: CourierConfig | None = None
) -> Connect:
    """Connects to an account at Alpaca, or to a fake of it that lives elsewhere."""

    def connect(trader: Trader, desk: Desk, clock: Callable[[], int], since: int) -> Account:
        made = Courier(
            _shell(trader), desk, alpaca, keys,
            clock=clock, since=since, lease_folder=lease_folder, courier=config,
        )  # fmt: skip
        return Account(made)

    return connect


def state_folder() -> Path:
    """Where leases lie: one place for all traders of this user, whatever their folders."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "maxtrader" / "leases"


def _shell(trader: Trader) -> BrokerShell:
    assert isinstance(trader.shell, BrokerShell)
    return trader.shell
