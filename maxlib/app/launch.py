"""Starting a supervised trader that outlives whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LOG: Final = "supervise.log"
"""In the trader's folder: what the supervisor and the trader say when a page started them."""


def itself(*words: str) -> list[str]:
    """`maxtrader` with these words, by the interpreter that runs now: what starts it may be in no PATH."""
    return [sys.executable, "-c", "from maxlib.app.cli import main; main()", *words]


class Launch:
    """`maxtrader supervise` on a folder, in a session of its own: neither page nor server ends it.

    Parameters
    ----------
    scenario : its name or file
    folder : of the trader
    options : further ones, as on the command line of `maxtrader supervise`
    """

    def __init__(self, scenario: str, folder: Path, options: Sequence[str] = ()) -> None:
        told = [scenario, "--folder", str(folder), *options]
        self._command = itself("supervise", *told)
        self._log = folder / LOG
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, clear: bool = False) -> None:
        """Start it; a second supervisor of one folder is refused by the first.

        `clear` starts it although the last supervisor gave up, as `maxtrader supervise --clear`.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                [*self._command, "--clear"] if clear else self._command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    @property
    def running(self) -> bool:
        """Whether what was started still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def failure(self) -> str:
        """The last line it wrote, if it ended with an error; else ""."""
        if self._process is None or self._process.poll() in (None, 0):
            return ""
        lines = self._log.read_text(errors="replace").splitlines()
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return said.removeprefix("maxtrader: ")
