"""The account's lease as a courier holds it: renewed while it stands, taken anew when it has run out.

A renewal that fails is no end: the lease stands until its term is over. Nor is a term that is over, as
after a sleep of the machine: unless another process has the account by then, the lease is had again, under
a higher token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from maxlib.core.errors import ConfigError, DataError
from maxlib.ops import lease as leases


class Tenure:
    """One courier's lease.

    Parameters
    ----------
    folder : where leases lie
    term_s : of the lease, seconds
    one : held while it is taken, so that no order goes out meanwhile
    fence : the highest token in the journal
    granted : is told each token
    """

    def __init__(
        self,
        folder: Path,
        term_s: float,
        one: asyncio.Lock,
        fence: Callable[[], int],
        granted: Callable[[int], None],
    ) -> None:
        self._folder, self._term_s, self._one = folder, term_s, one
        self._fence, self._granted = fence, granted
        self._name = ""
        self._lease: leases.Lease | None = None

    async def take(self, name: str) -> leases.Refused | None:
        """Take the lease on account `name`; the answer says why it cannot be had now.

        Raises
        ------
        ConfigError
            If another process has it.
        """
        self._name = name
        async with self._one:
            return await self._acquire()

    async def held(self) -> bool:
        """Whether orders may go out. A lease that ran out is taken anew (ConfigError as in `take`)."""
        async with self._one:
            lease = self._lease
            if lease is None:
                return False
            if not await asyncio.to_thread(_fenced, lease):
                return True
            return lease.over and await self._acquire() is None

    async def keep(self, told: Callable[[str], None]) -> None:
        """Renew it, for ever, and take it anew (ConfigError as in `take`). What fails is told."""
        while True:
            await asyncio.sleep(self._term_s / 4)
            lease = self._lease
            assert lease is not None
            refused = await asyncio.to_thread(lease.renew)
            if lease.over:
                async with self._one:  # an order may have found that it is over, too
                    refused = None if self._lease is not lease else await self._acquire()
            if refused is not None:
                told(refused.sentence)

    def sending(self) -> AbstractContextManager[leases.Refused | None]:
        """Hold off other traders while an order goes out; yields why it must not."""
        assert self._lease is not None
        return self._lease.sending()

    def close(self) -> None:
        """Give it back."""
        if self._lease is not None:
            self._lease.release()

    async def _acquire(self) -> leases.Refused | None:
        self.close()
        path = self._folder / f"{self._name}.json"
        try:
            found = await asyncio.to_thread(
                leases.acquire, path, self._name, ttl_s=self._term_s, above=self._fence()
            )
        except DataError as error:
            return leases.Refused(str(error))
        if isinstance(found, leases.Refused):
            if found.elsewhere:
                raise ConfigError(found.sentence)
            return found
        self._lease = found
        self._granted(found.token)
        return None


def _fenced(lease: leases.Lease) -> bool:
    with lease.sending() as refused:
        return refused is not None
