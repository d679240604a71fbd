"""Careless traders: one fault each, planted into the trader's own code, for a walk to find."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from maxlib.app.courier import Courier
from maxlib.app.paper import PaperTrader
from maxlib.data import live
from maxlib.engine import machine
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.machine import Machine
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.orders import Tracked
from maxlib.market.contract import Leg
from maxlib.ops.killswitch import KillSwitch

Patch = pytest.MonkeyPatch


def sends_before_it_writes(patch: Patch) -> None:
    patch.setattr(Trader, "sending", lambda self, order_id, ts: self.shell.sending(order_id, ts))


def sends_again_what_nobody_answered_for(patch: Patch) -> None:
    def outbox(self: BrokerShell) -> list[Tracked]:
        return [t for t in self.books.orders.values() if t.state in ("INTENT", "UNKNOWN")]

    patch.setattr(BrokerShell, "outbox", property(outbox))


def books_a_fill_twice(patch: Patch) -> None:
    real = BrokerShell._fills
    patch.setattr(BrokerShell, "_fills", lambda self, *of: real(self, *of) * 2)


def loses_the_last_cent(patch: Patch) -> None:
    real = BrokerShell._fills

    def fills(self: BrokerShell, *of: Any) -> list[Any]:
        return [
            f._replace(prices_cents=(f.prices_cents[0] + 1, *f.prices_cents[1:])) for f in real(self, *of)
        ]

    patch.setattr(BrokerShell, "_fills", fills)


def enters_while_halted(patch: Patch) -> None:
    real = Machine._admitted

    def admitted(self: Machine, *of: Any) -> Any:
        halted, self.halted = self.halted, False
        try:
            return real(self, *of)
        finally:
            self.halted = halted

    patch.setattr(Machine, "_admitted", admitted)
    patch.setattr(Courier, "_barred", lambda self, order: None)


def does_not_look_at_the_switch(patch: Patch) -> None:
    patch.setattr(PaperTrader, "_obey", lambda self: None)


def keeps_exits_back_while_halted(patch: Patch) -> None:
    real = BrokerShell.outbox.fget  # type: ignore[attr-defined]
    patch.setattr(BrokerShell, "outbox", property(lambda self: [] if self.machine.halted else real(self)))


def sends_without_the_lease(patch: Patch) -> None:
    async def may_send(self: Courier) -> bool:
        return True

    patch.setattr(Courier, "_may_send", may_send)
    patch.setattr(Courier, "_send", lambda self, sent: self._client.submit(sent.order, sent.limit_cents))


def counts_no_open_trades(patch: Patch) -> None:
    real = machine.admit

    def admit(config: Any, *, open_positions: int, **of: Any) -> Any:
        return real(config, open_positions=0, **of)

    patch.setattr(machine, "admit", admit)


def forgets_what_it_was_told(patch: Patch) -> None:
    real = BrokerShell.restore

    def restore(self: BrokerShell, state: dict[str, Any]) -> None:
        real(self, {**state, "told": []})

    patch.setattr(BrokerShell, "restore", restore)


def starts_without_a_halt(patch: Patch) -> None:
    real = PaperTrader.__init__

    def begin(self: PaperTrader, *args: Any, **named: Any) -> None:
        real(self, *args, **named)
        self.trader.shell.machine.halted = False

    patch.setattr(PaperTrader, "__init__", begin)


def resets_with_any_code(patch: Patch) -> None:
    patch.setattr(KillSwitch, "_check", lambda self, code: None)


def believes_every_leap(patch: Patch) -> None:
    patch.setattr(live._Hold, "offer", lambda self, *of: of[-1:])


def leaves_a_fly_by_its_wings_first(patch: Patch) -> None:
    """The account refuses that; here it does not."""

    def unwind(legs: Any, held: tuple[Leg, ...], reason: str) -> list[Any]:
        wings_first = sorted(held, key=lambda leg: -leg.ratio)
        return [((Leg(leg.contract, -leg.ratio // abs(leg.ratio)),), abs(leg.ratio)) for leg in wings_first]

    patch.setattr(machine, "unwind", unwind)
    patch.setattr(FakeVenue, "_covered", lambda self, order: True)


def draws_lots(patch: Patch) -> None:
    real = Trader.connection

    def connection(self: Trader, denial: Any, ts: int, why: str = "") -> None:
        real(self, denial, ts, why if self.journal.next_recorded else uuid.uuid4().hex)

    patch.setattr(Trader, "connection", connection)


PLANTS: dict[Callable[[Patch], None], int] = {
    sends_before_it_writes: 4,
    sends_again_what_nobody_answered_for: 4,
    books_a_fill_twice: 3,
    loses_the_last_cent: 1,
    enters_while_halted: 5,
    does_not_look_at_the_switch: 10,
    keeps_exits_back_while_halted: 5,
    sends_without_the_lease: 5,
    counts_no_open_trades: 6,
    forgets_what_it_was_told: 2,
    starts_without_a_halt: 10,
    resets_with_any_code: 10,
    believes_every_leap: 11,
    leaves_a_fly_by_its_wings_first: 9,
    draws_lots: 12,
}
"""Each with the number of the invariant that it breaks."""
