"""A trader at its broker: the connection, and what the courier hears on its way into the journal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from maxlib.app.brokers import Account, Connect
from maxlib.app.feeds import BEAT_SECONDS
from maxlib.app.telling import Telling
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.events import Bar
from maxlib.engine.live import LiveSession
from maxlib.execution.alpaca.books import Blocked, Correction, ExternalTagged, FillTakenBack, PositionAdopted
from maxlib.journal.errors import HaltEntriesError
from maxlib.ops.events import Event
from maxlib.risk.sizing import Denial

CONNECT_SECONDS: Final = 10.0
"""A start waits so long for the broker, and an end for its last orders; then it goes on and says so."""


class AtBroker:
    """One session at one account; `maxlib.app.courier.Desk`.

    Parameters
    ----------
    connect : makes the connection; anew after a journal that took nothing
    clock : the market's, UTC ns
    obey : looks at the kill switch
    since : UTC ns from which on orders of the account are looked at
    standing : the market stands still until each order has ended
    """

    def __init__(
        self,
        connect: Connect,
        session: LiveSession,
        telling: Telling,
        clock: Callable[[], int],
        obey: Callable[[], None],
        *,
        since: int,
        standing: bool,
    ) -> None:
        self._connect, self._session, self._telling = connect, session, telling
        self._clock, self._obey, self._since, self._standing = clock, obey, since, standing
        self._account: Account | None = None

    @contextlib.asynccontextmanager
    async def connected(self, alive: Callable[[], object]) -> AsyncIterator[None]:
        """A connection to the broker; its failure ends the trader. `alive` is called meanwhile."""
        alive()
        account = self._account = self._connect(self._session.trader, self, self._clock, self._since)
        self._carrying = carrying = asyncio.create_task(account.courier.run())
        waiting = asyncio.create_task(account.courier.ready.wait())
        try:
            until = time.monotonic() + CONNECT_SECONDS
            while not (carrying.done() or waiting.done()) and (left := until - time.monotonic()) > 0:
                alive()
                await asyncio.wait(
                    (carrying, waiting), timeout=min(left, BEAT_SECONDS), return_when=asyncio.FIRST_COMPLETED
                )
            account.courier.tell_connection()
            yield
            if not await account.courier.withdraw(CONNECT_SECONDS):
                self._telling.people(
                    Event.RECONCILE_MISMATCH, "an entry may still fill, and nobody watches it"
                )
        finally:
            waiting.cancel()
            carrying.cancel()
            await asyncio.gather(carrying, waiting, return_exceptions=True)
            account.close()

    @property
    def sure(self) -> bool:
        """The account was compared with the books, and nothing has made that doubtful since."""
        return self._account is None or self._account.courier.sure

    def doubt(self) -> None:
        """What is known of the account may be old."""
        if self._account is not None:
            self._account.courier.doubt()

    def wake(self) -> None:
        """Orders may be to be sent, or taken back."""
        if self._account is not None:
            self._account.courier.wake()

    def see(self, bar: Bar) -> None:
        """A broker that is a fake sees the market only by the trader's bars."""
        if self._account is not None and self._account.fake is not None:
            self._account.fake.see(bar, self._session.trader.sigma)

    async def carry(self) -> None:
        """Let orders go out. A market that stands still waits for what becomes of them."""
        if self._account is None:
            return
        if self._carrying.done():
            self._carrying.result()
        if self._standing:
            await self._account.courier.settled()
        else:
            self._account.courier.wake()

    async def end_orders(self) -> None:
        """Nothing may be left in the air when the day ends."""
        if self._account is not None and not await self._account.courier.end(CONNECT_SECONDS):
            self._telling.people(
                Event.RECONCILE_MISMATCH, "the day ends, and the broker has not ended every order"
            )

    # --- what the courier tells (maxlib.app.courier.Desk)

    def look(self) -> None:
        """Look at the kill switch, before an entry goes out."""
        self._obey()

    def sending(self, order_id: str) -> None:
        """An order goes out."""
        self._session.trader.sending(order_id, self._clock())

    def heard(self, said: Correction) -> None:
        """The broker told something."""
        before, blocks = len(self._session.marks()), self._blocks()
        try:
            self._session.heard(said, self._clock())
        except HaltEntriesError:
            raise
        except Exception:
            self._telling.people(Event.LOOP_ERROR, self._session.fault)
            raise
        self._telling.marks(before)
        told = [f"{block.code}: {block.what}" for block in sorted(self._blocks() - blocks)]
        if isinstance(said, FillTakenBack | PositionAdopted | ExternalTagged):
            told.append(" ".join(str(part) for part in said))
        for text in told:
            self._telling.people(Event.RECONCILE_MISMATCH, text)
        if told:
            self._telling.broker()

    def _blocks(self) -> frozenset[Blocked]:
        """What a person has to look at; some of it the shell finds by itself."""
        shell = self._session.trader.shell
        return shell.books.blocks if isinstance(shell, BrokerShell) else frozenset()

    def connection(self, denial: Denial | None, why: str) -> None:
        """The broker can be heard (None), or not."""
        self._session.trader.connection(denial, self._clock(), why)
        self._telling.broker()
        self._telling.people(Event.HEALTH, why, "broker down" if denial else "broker well")

    def leased(self, token: int) -> None:
        """The account's lease was granted."""
        self._session.trader.leased(token, self._clock())

    def complained(self, what: str) -> None:
        """The broker failed to answer."""
        self._session.error(what, self._clock())
        self._telling.news()
        self._telling.people(Event.SYSTEM_ERROR, what)
