"""A journal that survives its process: written before anything acts, run through again after a restart.

Recovery is re-execution. The inputs (bars, commands) and everything that followed from
them stand in one chain. A restarted trader feeds itself the recorded inputs; each entry
that it makes must equal the recorded one, to the byte. Where the record ends, writing
goes on. So a kill at any moment loses nothing that was acknowledged, and a changed
program or configuration is found at the first entry that differs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maxlib.core.canonical import canonical
from maxlib.core.errors import InvariantError
from maxlib.journal.chain import Entry, Journal, link
from maxlib.journal.errors import HaltEntriesError, StopTradingError
from maxlib.journal.store import JournalFile


class DurableJournal(Journal):
    """A journal over a file.

    Parameters
    ----------
    file : open for writing
    recorded : all entries that the file holds
    position : how many of them are behind us; the rest is run through again
    stamp : goes into every entry
    """

    def __init__(
        self,
        file: JournalFile,
        recorded: Sequence[Entry],
        position: int = 0,
        stamp: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(stamp)
        self.entries = list(recorded[:position])
        self._recorded = recorded
        self._file = file
        self._pending: list[Entry] = []
        self.refused: HaltEntriesError | StopTradingError | None = None
        """Why nothing is taken any more. After HaltEntriesError, the file took no entry, a trader has to go
        back to what is durable (`Trader.recover`); after StopTradingError the process has to end."""

    @property
    def next_recorded(self) -> Entry | None:
        """The entry that the run must make next; None = the record is at its end."""
        n = len(self.entries)
        return self._recorded[n] if n < len(self._recorded) else None

    def append(self, ts: int, kind: str, data: dict[str, Any]) -> Entry:
        """Add an entry, or check that it is the recorded one.

        Raises
        ------
        InvariantError
            If the run does not repeat what was recorded.
        HaltEntriesError, StopTradingError
            If an earlier entry was refused, or an earlier input failed half-way.
        """
        if self.refused is not None:
            raise self.refused
        body = canonical({**self._stamp, **data})
        entry = link(self.head, len(self.entries) + 1, ts, kind, body)
        recorded = self.next_recorded
        if recorded is None:
            self._pending.append(entry)
        elif recorded != entry:
            raise InvariantError(
                f"journal entry {entry.seq} is {recorded.kind} {recorded.body[:80]}, but running it again "
                f"gives {kind} {body[:80]}: the program or its configuration has changed"
            )
        self.entries.append(entry)
        return entry

    def commit(self) -> None:
        """Make everything appended so far durable. Nothing that leaves the process goes before it.

        Raises
        ------
        HaltEntriesError
            If it cannot be written now; `refused` says so from then on.
        StopTradingError
            If the disk fails, or an earlier input failed half-way.
        """
        if self.refused is not None:
            raise self.refused
        if self._pending:
            try:
                self._file.extend(self._pending)
            except HaltEntriesError as error:
                self.refused = error
                del self.entries[-len(self._pending) :]
                raise
            self._pending = []

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Around an input and all that follows from it: it is recorded whole, or nothing is after it.

        A state that failed half-way is in no record, and what it did next could not be repeated: it
        would keep every later start from recovering.
        """
        behind = len(self.entries)
        try:
            yield
        except BaseException as error:
            if self.refused is None and len(self.entries) != behind:
                self._spoil(error)
            raise

    def _spoil(self, error: BaseException) -> None:
        at = self.entries[-1]
        self.refused = StopTradingError(
            f"journal entry {at.seq} ({at.kind}): what follows from it failed ({type(error).__name__}), so "
            "nothing more is recorded: start anew"
        )
        if self._pending:
            del self.entries[-len(self._pending) :]
            self._pending = []

    def answer(self, order: str) -> tuple[Entry, dict[str, Any]] | None:
        """The recorded answer to an order that is sent again; None = none was recorded."""
        entry = self.next_recorded
        if entry is None or entry.kind not in ("fill", "rejected"):
            return None
        body: dict[str, Any] = json.loads(entry.body)
        return (entry, body) if body["order"] == order else None
