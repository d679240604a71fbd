"""The courier: carries orders to a broker's account and the broker's word back to the trader.

Orders go out one at a time, in a thread, under the account's lease; without it they wait. The broker
is heard over its stream, and asked for a whole picture after each connect and as long as an order is in
the air. Whatever it says is journaled before it counts (`maxlib.engine.brokerage`). An order that nobody
answered for is asked about by its id and never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import requests
from pydantic import Field

from maxlib.app.tenure import Tenure
from maxlib.core.config import Config
from maxlib.data.resilience import BackoffConfig, delay_s
from maxlib.engine.brokerage import BrokerShell
from maxlib.execution.alpaca.books import Correction, QueryNeeded
from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.orders import LIVE, Tracked, unaffordable
from maxlib.execution.alpaca.reasons import Complaint, VenueError
from maxlib.execution.alpaca.reconcile import Answer, Refused, answered, hear, reconcile
from maxlib.execution.alpaca.rest import Alpaca
from maxlib.execution.alpaca.stream import TradeStream
from maxlib.execution.alpaca.wire import TradeUpdate
from maxlib.risk.sizing import Denial
from maxlib.trading.orders import Order

_NS: Final = 1_000_000_000


class CourierConfig(Config):
    """How patient it is.

    Attributes
    ----------
    patience_s : an order that did not end so long after it was sent is canceled, market seconds
    poll_s : as long as an order is in the air, or the stream is down, the broker is asked so often, seconds
    lease_s : term of the lease, seconds
    entry_age_s : an entry that was decided longer ago is not sent any more, market seconds
    """

    patience_s: float = Field(default=30.0, ge=1.0, le=600.0)
    poll_s: float = Field(default=5.0, gt=0.0, le=60.0)
    lease_s: float = Field(default=30.0, ge=3.0, le=600.0)
    entry_age_s: float = Field(default=90.0, ge=1.0, le=600.0)


class Desk(Protocol):
    """Who journals what the courier hears (`PaperTrader`)."""

    def look(self) -> None:
        """Look at the kill switch; one that is thrown halts."""

    def sending(self, order_id: str) -> None:
        """An order goes out."""

    def heard(self, said: Correction) -> None:
        """A correction of the books."""

    def connection(self, denial: Denial | None, why: str) -> None:
        """The broker can be heard (None), or not."""

    def leased(self, token: int) -> None:
        """The lease was granted."""

    def complained(self, what: str) -> None:
        """The broker failed to answer; an error for the breaker."""


class Courier:
    """One account at Alpaca, for one trader.

    Parameters
    ----------
    shell : the trader's; its outbox is emptied here
    desk : journals what is heard
    lease_folder : where the account's lease lies; None = two traders are kept apart by nothing
    clock : the market's, UTC ns
    monotonic : this machine's, seconds; how often the broker is asked stands on it
    since : UTC ns from which on orders of the account are looked at
    session : for tests, which answer without a socket
    """

    def __init__(
        self,
        shell: BrokerShell,
        desk: Desk,
        config: AlpacaConfig,
        keys: Keys,
        *,
        clock: Callable[[], int],
        since: int,
        lease_folder: Path | None,
        courier: CourierConfig | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        session: requests.Session | None = None,
    ) -> None:
        self.config = courier or CourierConfig()
        self.ready = asyncio.Event()
        """The broker was heard once: books and account were compared."""
        self._shell, self._desk, self._clock, self._since = shell, desk, clock, since
        self._monotonic = monotonic
        self._alpaca = config
        self._client = Alpaca(config, keys, clock=clock, session=session)
        self._stream = TradeStream(config, keys, self._hear, self.reconcile)
        self._backoff, self._rng = BackoffConfig(), random.Random()
        self._wake = asyncio.Event()
        self._one = asyncio.Lock()
        """Questions and deeds one after the other: no order goes out while a picture is taken."""
        self._cancel_at: dict[str, float] = {}
        """When a cancel that was taken on is asked for again, by order."""
        self._look_at = 0.0
        """The broker is asked for a whole picture no earlier; monotonic seconds."""
        self._down_since: int | None = clock()
        self._doubts = self._settled_doubts = self._lease_doubt = 0
        self._tenure: Tenure | None = None
        if lease_folder is not None:
            self._tenure = Tenure(
                lease_folder, self.config.lease_s, self._one, lambda: shell.fence, self._leased
            )

    @property
    def sure(self) -> bool:
        """Books and account were compared, and nothing has made that doubtful since."""
        return self.ready.is_set() and self._settled_doubts == self._doubts

    def doubt(self) -> None:
        """What is known of the account may be old, as after a sleep of the machine: compare again."""
        self._doubts += 1
        self._look_at = 0.0
        self.wake()

    # --- life

    async def run(self) -> None:
        """Sign in, stay connected and keep orders moving, until cancelled.

        Raises
        ------
        VenueError
            If the keys are refused, or another session holds the stream.
        ConfigError
            If another trader holds the account's lease, or took it when ours had run out.
        """
        await self._sign_in()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stream.run())
                tasks.create_task(self._work())
                if self._tenure is not None:
                    tasks.create_task(self._tenure.keep(self._desk.complained))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _sign_in(self) -> None:
        """Ask who the account is, for as long as it takes, and take its lease."""
        failures = 0
        while True:
            try:
                account = await asyncio.to_thread(self._client.account)
                break
            except VenueError as error:
                if not error.complaint.retryable:
                    raise
                self.tell_connection()
                failures += 1
                await asyncio.sleep(delay_s(self._backoff, failures, self._rng))
        if self._tenure is None:
            return
        while (refused := await self._tenure.take(f"alpaca-{account.number}")) is not None:
            self._desk.complained(refused.sentence)
            failures += 1
            await asyncio.sleep(delay_s(self._backoff, failures, self._rng))

    def close(self) -> None:
        """Give the lease back."""
        if self._tenure is not None:
            self._tenure.close()

    def _leased(self, token: int) -> None:
        """Somebody else may have had the account before: nothing goes out until it was compared."""
        self._desk.leased(token)
        self.doubt()
        self._lease_doubt = self._doubts

    async def _may_send(self) -> bool:
        """The lease is held, and the account was compared since it was taken."""
        if self._tenure is None:
            return True
        if not await self._tenure.held():
            return False
        if self._settled_doubts < self._lease_doubt:
            await self._look()
        return self._settled_doubts >= self._lease_doubt

    async def _wait_for_lease(self) -> None:
        if not await self._may_send():
            await self._pause()

    # --- orders

    def wake(self) -> None:
        """Something may be to be sent."""
        self._wake.set()

    async def turn(self) -> None:
        """Send what waits, take back what may not go on; each `poll_s`, ask for what is in the air.

        And at once after one was sent; however often it is called. A picture is five calls, and the broker
        allows 200 a minute.
        """
        await self._flush()
        await self._cancel(self._unwanted())
        # A stream that is down is connected again, and then they are compared anyway.
        doubtful = self._stream.connected and self._settled_doubts != self._doubts
        if (self._in_the_air() or doubtful) and self._monotonic() >= self._look_at:
            await self._look()

    async def settled(self) -> None:
        """Take turns, each with a picture, until nothing waits; for a market that stands still meanwhile."""
        while True:
            self._look_at = 0.0
            await self.turn()
            if not self._shell.outbox:
                return
            await self._wait_for_lease()

    async def end(self, seconds: float) -> bool:
        """Cancel what is in the air and wait for its end, for a while. False = some of it has not ended."""
        try:
            async with asyncio.timeout(seconds):
                while self._shell.outbox or self._in_the_air():
                    await self._flush()
                    await self._ended(self._in_the_air)
                    await self._wait_for_lease()
        except TimeoutError:
            return False
        return True

    async def withdraw(self, seconds: float) -> bool:
        """Take back entries in the air, since nobody will watch them. False = some may still fill."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended(lambda: [t for t in self._in_the_air() if t.order.purpose == "open"])
        except TimeoutError:
            return False
        return True

    async def _ended(self, which: Callable[[], list[Tracked]]) -> None:
        while found := which():
            await self._cancel(found)
            await self._look()
            if which():
                await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(min(1.0, self.config.poll_s))

    async def _work(self) -> None:
        while True:
            # Not wait_for: before Python 3.12 it can swallow a cancel that comes with its timeout.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.poll_s):
                    await self._wake.wait()
            self._wake.clear()
            self.tell_connection()
            await self.turn()

    def _in_the_air(self) -> list[Tracked]:
        waiting = {tracked.order.id for tracked in self._shell.outbox}
        return [t for t in self._shell.books.orders.values() if t.state in LIVE and t.order.id not in waiting]

    def _unwanted(self) -> list[Tracked]:
        """What takes too long; while halted every entry; and an exit for more than is held."""
        late = self._clock() - int(self.config.patience_s * _NS)
        halted = self._shell.machine.halted
        return [
            t
            for t in self._in_the_air()
            if t.sent_at <= late or (halted and t.order.purpose == "open") or self._shell.surplus(t)
        ]

    async def _flush(self) -> None:
        """Send what is to be sent, oldest first, each once. Without the lease it waits; it is not refused."""
        while self._shell.outbox and await self._may_send():
            async with self._one:
                if not self._shell.outbox or self._settled_doubts < self._lease_doubt:
                    continue  # while it waited for its turn
                order = self._shell.outbox[0].order
                # Once more at the last moment: the account takes its time to answer.
                answer: Answer | None = (
                    self._barred(order) or await self._refusal(order) or self._barred(order)
                )
                if answer is None:
                    self._desk.sending(order.id)
                    answer = await asyncio.to_thread(self._send, self._shell.books.orders[order.id])
                self._take(answered(self._shell.books.orders[order.id], answer))
                self._look_at = 0.0
            if isinstance(answer, Refused) and answer.complaint.reconcile:
                await self._look()

    def _barred(self, order: Order) -> Refused | None:
        """Looked at just before the order goes out: what was let through may be barred by now.

        Nobody enters on a decision of the past either, as after a restart. Who leaves does so late.
        """
        if order.purpose != "open":
            return None
        self._desk.look()
        denial = self._shell.machine.recalled(order, self._clock(), self.config.entry_age_s)
        if denial is None:
            return None
        told = f"{denial.code}: limit {denial.limit:g}, actual {denial.actual:g}"
        return Refused(Complaint("INVALID", message=told))

    async def _refusal(self, order: Order) -> Refused | None:
        """Why the account cannot carry an entry; buying power that nobody told is none."""
        if order.purpose != "open":
            return None
        need = self._shell.machine.positions[order.trade].asked_cents
        try:
            account = await asyncio.to_thread(self._client.account)
        except VenueError as error:
            return Refused(error.complaint)
        denied = unaffordable(account, need, account.known_at, 0)
        if denied is None:
            return None
        told = f"{denied.code}: limit {denied.limit} cents, actual {denied.actual}"
        return Refused(Complaint("BUYING_POWER", message=told))

    def _send(self, sent: Tracked) -> Answer:
        """In a thread: look at the lease once more, and send while it is held."""
        with contextlib.nullcontext() if self._tenure is None else self._tenure.sending() as fenced:
            if fenced is not None:
                return Refused(Complaint("FORBIDDEN", message=fenced.sentence))
            return self._client.submit(sent.order, sent.limit_cents)

    async def _cancel(self, unwanted: Iterable[Tracked]) -> None:
        """Ask for cancels. The venue may take one on and refuse it later: then it is asked for again."""
        for tracked in unwanted:
            name, now = tracked.order.id, self._monotonic()
            if tracked.broker_id and tracked.state != "CANCELING" and now >= self._cancel_at.get(name, now):
                async with self._one:
                    complaint = await asyncio.to_thread(self._client.cancel, tracked.broker_id)
                if complaint is None or complaint.reason == "NOT_CANCELABLE":
                    self._cancel_at[name] = now + self.config.poll_s

    # --- answers

    async def _hear(self, update: TradeUpdate) -> None:
        self._take(hear(self._shell.books, update))

    async def _look(self) -> None:
        """Compare, if the broker answers; the next turn tries again."""
        try:
            await self.reconcile()
        except VenueError as error:
            self._desk.complained(str(error))

    async def reconcile(self) -> None:
        """Compare the books with the whole account."""
        async with self._one:
            self._look_at, doubts = self._monotonic() + self.config.poll_s, self._doubts
            unsent = {tracked.order.id for tracked in self._shell.outbox}
            ours = [t for name, t in self._shell.books.orders.items() if name not in unsent]
            picture = await asyncio.to_thread(self._client.picture, ours, self._since)
            self._take(reconcile(self._shell.books, picture, lost_after_ns=self._alpaca.lost_after_ns))
        self.ready.set()
        self._settled_doubts = doubts

    def _take(self, found: Iterable[Correction]) -> None:
        for said in found:
            if not isinstance(said, QueryNeeded):  # a picture is taken as long as something is in the air
                self._desk.heard(said)

    def tell_connection(self) -> None:
        """Say it if the stream went down, or is back."""
        now = self._clock()
        if self._stream.connected:
            self._down_since = None
            if self._shell.down is not None:
                self._desk.connection(None, "the broker is heard again")
            return
        self._down_since = now if self._down_since is None else self._down_since
        if self._shell.down is None:
            seconds = round(max(0, now - self._down_since) / _NS, 3)
            self._desk.connection(Denial("BROKER_DOWN", 0.0, seconds), "the broker's stream is down")
