"""What can go wrong with the record on disk, sorted by what the trader must do about it.

DataError
├── RefuseStartError  the record cannot be opened: do not start; nothing on the disk was changed
└── HaltEntriesError  this write was not made and all before it are safe: halt entries, try again later
InvariantError
└── StopTradingError  nobody can say what the disk holds: end the process and let recovery find out
"""

from __future__ import annotations

from maxlib.core.errors import DataError, InvariantError


class RefuseStartError(DataError):
    """The record cannot be opened: missing rights, another writer, corrupt, or of a newer program."""


class HaltEntriesError(DataError):
    """A write was not made, as on a full disk or a locked file; it may be tried again."""


class StopTradingError(InvariantError):
    """A write may or may not have been made; the object that raised it takes no further one."""
