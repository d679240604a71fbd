"""The supervised process: a descriptor that stays true when its number is given to another process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Sequence

from maxlib.ops.process import Identity, identity


class Child:
    """A process that this one started, or found running. Linux 5.3 or newer."""

    def __init__(self, who: Identity, descriptor: int, popen: subprocess.Popen[bytes] | None) -> None:
        self.who = who
        self.descriptor = descriptor
        self._popen = popen

    @classmethod
    def start(cls, command: Sequence[str]) -> Child | OSError:
        """Start `command`, or the reason why it can't be started.

        It leads a session of its own: Ctrl-C in the supervisor's terminal does not reach it, and a
        kill reaches all that it started.
        """
        try:
            popen = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the user's own command
        except OSError as error:
            return error
        descriptor = os.pidfd_open(popen.pid)
        who = identity(popen.pid)
        # It may have ended already; the number stays its own until it is reaped.
        who = who or Identity(pid=popen.pid, started=0, boot_id="", space="", host="")
        return cls(who, descriptor, popen)

    @classmethod
    def adopt(cls, who: Identity) -> Child | None:
        """Watch a process that runs already; None if it does not."""
        try:
            descriptor = os.pidfd_open(who.pid)
        except OSError:
            return None
        # Compared after the descriptor is had, which is the process's own for good.
        if identity(who.pid) != who or who.pid == os.getpid():
            os.close(descriptor)
            return None
        return cls(who, descriptor, None)

    def alive(self) -> bool:
        """Whether it still runs."""
        return not select.select([self.descriptor], [], [], 0)[0]

    def reap(self) -> int | None:
        """End what a dead child left behind, and return its exit code; None if it is not our child."""
        if self._popen is None:
            os.close(self.descriptor)
            return None
        # Before the wait: until then the group's number cannot be given to others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        os.close(self.descriptor)
        return self._popen.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its group, stopped or not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.who.pid) == self.who.pid and self.alive():
                os.killpg(self.who.pid, signal.SIGKILL)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)
