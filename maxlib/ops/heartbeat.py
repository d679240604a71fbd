"""The heartbeat: a small file that the loop itself writes, so that a hung loop cannot seem alive.

It stands on the boot clock: setting the wall clock changes no age. A beat carries a progress count
besides its time, for the case that a timer beats on while the work it should tell of is stuck.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field, ValidationError

from maxlib.core.canonical import canonical
from maxlib.core.config import Config
from maxlib.ops.clock import Clock
from maxlib.ops.process import Identity, me

STOPPED: Final = "stopped"
_NS: Final = 1_000_000_000


class Beat(Config):
    """One heartbeat.

    Attributes
    ----------
    who : the process that wrote it
    boot_ns : when, on the boot clock of `who.boot_id`
    progress : turns of the loop so far
    phase : what the loop is about: "recovering", "running", ...; `STOPPED` is the last of an orderly end
    session : the trading session's state: "closed", "open", ...
    """

    who: Identity
    boot_ns: int = Field(ge=0)
    progress: int = Field(ge=0)
    phase: str = Field(max_length=80)
    session: str = Field(max_length=80)

    def age_s(self, clock: Clock) -> float:
        """Seconds since this beat; infinite if it was written before the machine started."""
        since = clock.boot_ns() - self.boot_ns
        # A beat from the future can only stem from another boot of a machine that does not name its boots.
        if self.who.boot_id != clock.boot_id() or since < 0:
            return float("inf")
        return since / _NS


class Gap(NamedTuple):
    """Time between two calls of `Heart.beat`, in seconds.

    `late_s` is all of it, on the boot clock; `suspended_s` the part in which the machine slept; `set_s` is by
    how much the wall clock was set meanwhile, back if negative. After any of them grew long the
    caller's picture of the market and the broker is stale.
    """

    late_s: float
    suspended_s: float
    set_s: float = 0.0


class Heart:
    """Writes the heartbeat of this process.

    Call `beat` from the work itself, once in each turn of the loop and at least every `every_s`
    seconds while it waits, never from a timer beside it.

    Parameters
    ----------
    path : the file; replaced as a whole, so that a reader never sees a part
    every_s : seconds between two writes; a new phase or session state is written at once
    """

    def __init__(self, path: Path, every_s: float = 5.0, clock: Clock | None = None) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._every_ns = int(every_s * _NS)
        self._clock = clock or Clock()
        self._who = me(self._clock)
        self._progress = 0
        self._written: tuple[int, str, str] | None = None
        self._last = (self._clock.boot_ns(), self._clock.awake_ns(), self._clock.wall_ns())
        self.trouble: str | None = None
        """Why the newest write failed; None if it did not."""

    def beat(self, phase: str, session: str = "") -> Gap:
        """Count one turn of the loop, and write the file if it is time.

        A file that cannot be written does not raise: the supervisor will see it grow old, and
        `trouble` says why.
        """
        boot, awake, wall = now = self._clock.boot_ns(), self._clock.awake_ns(), self._clock.wall_ns()
        late = boot - self._last[0]
        slept, moved = late - (awake - self._last[1]), (wall - self._last[2]) - late
        self._last = now
        self._progress += 1
        phase, session = phase[:80], session[:80]
        due = self._written is None or boot - self._written[0] >= self._every_ns
        if due or (self._written and self._written[1:] != (phase, session)):
            self._write(boot, phase, session)
        return Gap(late / _NS, max(slept, 0) / _NS, moved / _NS)

    def stop(self) -> None:
        """Write the last beat: this process ends because it was asked to."""
        self._progress += 1
        self._write(self._clock.boot_ns(), STOPPED, "")

    def _write(self, boot: int, phase: str, session: str) -> None:
        beat = Beat(who=self._who, boot_ns=boot, progress=self._progress, phase=phase, session=session)
        try:
            # No fsync: after a power loss the boot is another one, and the beat says nothing anyway.
            self._draft.write_text(canonical(beat.model_dump()))
            self._draft.replace(self._path)
        except OSError as error:
            self.trouble = f"{self._path} cannot be written: {error.strerror}"
        else:
            self.trouble = None
            self._written = boot, phase, session


def read_beat(path: Path) -> Beat | None:
    """The newest beat, or None if there is no readable one."""
    try:
        return Beat.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
