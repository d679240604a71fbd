"""Snapshots: the machine's state at one entry of the journal, so that a start replays only the tail.

The journal is the truth. A snapshot that cannot be trusted is passed over, and what is lost by that
is only the time to replay.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from maxlib.core.canonical import canonical, sha256
from maxlib.journal.errors import HaltEntriesError, RefuseStartError, StopTradingError
from maxlib.journal.files import make_folder, sync_folder

_BACKUPS: Final = 3


class Loaded(NamedTuple):
    """What was found.

    `state` is None and `seq` 0 if no snapshot can be used: replay the whole journal. `source` is the
    name of the file it came from; `problems` says, a sentence each, why newer files were passed over.
    """

    state: dict[str, Any] | None
    seq: int
    source: str | None
    problems: list[str]


class SnapshotStore:
    """`state.json` in a folder, and the three before it as `state.json.1` to `.3`, newest first.

    Each file is JSON: `checksum`, the SHA-256 of the canonical JSON of the rest; `schema`; `seq` and
    `head`, number and hash of the newest journal entry that the state covers; `state`.

    Parameters
    ----------
    folder : made if missing
    schema : version of the state's layout; the program that changes the layout raises it
    """

    def __init__(self, folder: Path, schema: int = 1) -> None:
        self.path = folder / "state.json"
        self.schema = schema
        self._files = [self.path, *(folder / f"state.json.{n}" for n in range(1, _BACKUPS + 1))]

    def write(self, state: Mapping[str, Any], seq: int, head: str) -> None:
        """Write a snapshot; it is durable when this returns. At each moment one whole file is there.

        Parameters
        ----------
        state : JSON values; NaN is refused with a ValueError
        seq, head : number and hash of the newest journal entry in it; that entry must be durable

        Raises
        ------
        HaltEntriesError
            If it cannot be written, as on a full disk; the snapshots before it are still there.
        StopTradingError
            If the disk fails.
        """
        body = {"schema": self.schema, "seq": seq, "head": head, "state": dict(state)}
        content = canonical({**body, "checksum": sha256(canonical(body))}).encode()
        draft = self.path.with_name("state.json.tmp")
        try:
            make_folder(draft.parent)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._rotate()
            draft.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            # A draft whose sync failed is not written to again: its next sync might lie.
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            kind = StopTradingError if error.errno == errno.EIO else HaltEntriesError
            raise kind(f"snapshot {self.path} cannot be written: {error.strerror}") from None

    def load(self, journal_head_seq: int, hash_at: Callable[[int], str] | None = None) -> Loaded:
        """The newest snapshot that is whole and not newer than the journal.

        Parameters
        ----------
        journal_head_seq : number of the journal's newest entry, 0 if it is empty
        hash_at : the journal's hash at an entry, `JournalFile.hash_at`; with it, a snapshot of another
            journal is passed over

        Raises
        ------
        RefuseStartError
            If a whole snapshot has a newer schema: the journal may then hold what this program
            would misread.
        """
        problems: list[str] = []
        for path in self._files:
            try:
                found = _read(path)
                problem = self._unusable(path.name, found, journal_head_seq, hash_at)
            except FileNotFoundError:
                problem = "it is missing" if path == self.path and journal_head_seq else None
                found = None
            except OSError as error:
                problem = f"it cannot be read: {error.strerror}"
            except ValueError as error:
                problem = f"it is torn or was changed: {' '.join(str(error).split())}"
            if problem:
                problems.append(f"snapshot {path.name} is passed over: {problem}")
            elif found is not None:
                return Loaded(found["state"], found["seq"], path.name, problems)
        return Loaded(None, 0, None, problems)

    def _rotate(self) -> None:
        for newer, older in reversed(list(zip(self._files, self._files[1:], strict=False))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)

    def _unusable(
        self, name: str, found: dict[str, Any], newest: int, hash_at: Callable[[int], str] | None
    ) -> str | None:
        schema, seq = found.get("schema"), found.get("seq")
        if isinstance(schema, int) and schema > self.schema:
            raise RefuseStartError(
                f"snapshot {name} has schema {schema}, this program knows up to {self.schema}: "
                f"start the newer program"
            )
        if schema != self.schema:
            return f"its schema is {schema}, this program's is {self.schema}"
        if not isinstance(seq, int) or not isinstance(found.get("state"), dict):
            return "its fields are not those of a snapshot"
        if seq > newest:
            return f"it is of journal entry {seq}, but the journal ends at {newest}"
        if hash_at is not None and hash_at(seq) != found.get("head"):
            return f"entry {seq} of the journal is not the one it was made at"
        return None


def _read(path: Path) -> dict[str, Any]:
    """A snapshot whose checksum holds. Raises ValueError if there is none in the file."""
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    checksum = found.pop("checksum", None)
    if checksum != sha256(canonical(found)):
        raise ValueError("its checksum does not hold")
    return found
