"""How a trader's process ends when it cannot go on: refused, and its supervisor ends too, or failed."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maxlib.core.errors import ConfigError, MaxTraderError
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.journal.errors import HaltEntriesError, StopTradingError
from maxlib.ops.supervisor import REFUSAL

FAILED: Final = 1
"""Exit code of a trader that may do better when it is started again."""
_LOG: Final = logging.getLogger(__name__)


def refused(error: Exception, *, started: bool) -> bool:
    """Whether every new start would end so, until somebody changes something.

    Parameters
    ----------
    started : the trader had recovered; before that, all that is told in a sentence is of its input
    """
    if isinstance(error, VenueError):
        return error.complaint.reason == "UNAUTHORIZED"
    if isinstance(error, HaltEntriesError | StopTradingError):
        return False
    return isinstance(error, ConfigError) or (isinstance(error, MaxTraderError) and not started)


@contextlib.contextmanager
def ending(folder: Path | None) -> Iterator[threading.Event]:
    """Sort what ends a trader; yields what is to be set when it has started.

    A refusal is passed on, and its sentence left in the folder for the supervisor.

    Raises
    ------
    SystemExit
        With code 1 for a failure, told in a sentence.
    """
    started = threading.Event()
    try:
        yield started
    except Exception as error:
        if refused(error, started=started.is_set()):
            if folder is not None and folder.is_dir():
                with contextlib.suppress(OSError):
                    (folder / REFUSAL).write_text(f"{error}\n", encoding="utf-8")
            raise
        kind = "" if isinstance(error, MaxTraderError) else f"unexpected {type(error).__name__}: "
        _LOG.debug("", exc_info=error)
        sys.stderr.write(f"maxtrader: {kind}{error}; a new start goes on by recovery\n")
        sys.exit(FAILED)
