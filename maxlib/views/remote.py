"""A trader in a process of its own, as a page knows it: looked at and asked over its API.

`look` and `ask` wait for the network and belong in a thread; `take` and what it leaves behind
belong to the page's loop. The trader may be killed and come back under another port and token at
any moment: the address is read anew for every request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from maxlib.core.config import Config
from maxlib.core.errors import DataError
from maxlib.engine.live import Status
from maxlib.engine.session_views import BarView, MarkView
from maxlib.ops.address import Address, read_address
from maxlib.ops.heartbeat import STOPPED, read_beat
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.supervisor import HEARTBEAT

Asked = Literal["halt", "resume", "stop", "kill", "reset", "clear", "reset_peak"]
Away = Literal["none", "ended", "down", "silent", "strange"]
"""Why a trader does not answer: none was ever here, it ended in order, it was killed, it hangs, or
what answers is no trader that this page understands."""
TIMEOUT: Final = 3.0
KILL_SWITCH: Final = "kill.json"
_BARS: Final = TypeAdapter(list[BarView])
_MARKS: Final = TypeAdapter(list[MarkView])


class Absent(Exception):  # noqa: N818 - a trader that is away is no error of the page
    """The trader did not answer."""

    def __init__(self, why: Away) -> None:
        super().__init__(why)
        self.why: Away = why


class _Answer(Config):
    done: bool
    reason: str


class Look(NamedTuple):
    """One look at the trader.

    Attributes
    ----------
    status : None if it is away
    away : why
    pid : of the process that answered, or of the last one that told its address; 0 = not known
    whole : the bars and marks are all there are, not only those since the last look
    """

    status: Status | None
    away: Away | None
    pid: int
    whole: bool = False
    bars: Sequence[BarView] = ()
    marks: Sequence[MarkView] = ()


class Remote:
    """The trader of a folder, whichever process it is now.

    Attributes
    ----------
    status : as it last answered; None = it never has
    away : why it does not answer now; None = it does
    since_ns : UTC ns of its last answer, or of its last heartbeat if it never answered here; None =
        it has left none
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: Status | None = None
        self.away: Away | None = None
        self.since_ns: int | None = None
        self.pid = 0
        self._bars: list[BarView] = []
        self._marks: list[MarkView] = []
        self._known: Address | None = None

    # --- the network: these wait, one of them at a time

    def look(self) -> Look:
        """Ask how it stands, and for what is new. Never raises for a trader that is away."""
        address = read_address(self.folder)
        pid = address.pid if address else 0
        try:
            if address is None:
                raise Absent(self._no_address())
            return self._answered(address)
        except Absent as absent:
            return Look(None, absent.why, pid)
        except ValidationError:
            return Look(None, "strange", pid)

    def _answered(self, address: Address) -> Look:
        whole = address != self._known
        bars, marks = (0, 0) if whole else (len(self._bars), len(self._marks))
        status = Status.model_validate_json(_request(address, "GET", "/status"))
        # Quiet minutes cost one request: the counts tell whether there is more to fetch.
        new_bars = new_marks = b"[]"
        if status.bars > bars:
            new_bars = _request(address, "GET", f"/bars?since={bars}")
        if status.marks > marks:
            new_marks = _request(address, "GET", f"/signals?since={marks}")
        found = (_BARS.validate_json(new_bars), _MARKS.validate_json(new_marks))
        self._known = address
        return Look(status, None, address.pid, whole, *found)

    def _no_address(self) -> Away:
        beat = read_beat(self.folder / HEARTBEAT)
        if beat is None:
            return "none"
        return "ended" if beat.phase == STOPPED else "down"

    def ask(self, name: Asked, why: str = "", code: str = "") -> str | None:
        """Send a request; returns the reason if it is refused. A kill works without the trader too."""
        address = read_address(self.folder)
        try:
            if address is None:
                raise Absent(self._no_address())
            body = {"why": why, "code": code}
            answer = _Answer.model_validate_json(_request(address, "POST", f"/{name}", body))
            return None if answer.done else answer.reason
        except (Absent, ValidationError) as error:
            why_not: Away = error.why if isinstance(error, Absent) else "strange"
            if name == "kill":
                return self._throw(why)
            return f"the trader does not answer ({why_not})"

    def _throw(self, why: str) -> str | None:
        """The switch is a file: a trader that hangs obeys at its next turn, one that is down at its start."""
        try:
            KillSwitch(self.folder / KILL_SWITCH).throw(why, "page")
        except DataError as error:
            return str(error)
        return None

    # --- the page's loop

    def take(self, look: Look) -> bool:
        """Make a look the present. True = it tells another story than was known: draw anew."""
        self.pid = look.pid or self.pid
        self.away = look.away
        if look.status is None:
            if self.since_ns is None:
                self.since_ns = _last_beat(self.folder)
            return False
        another = look.whole and not self._continues(look)
        if another:
            self._bars, self._marks = [], []
        begin = (len(self._bars), len(self._marks)) if look.whole else (0, 0)
        self._bars += look.bars[begin[0] :]
        self._marks += look.marks[begin[1] :]
        self.status, self.since_ns = look.status, time.time_ns()
        return another

    def _continues(self, look: Look) -> bool:
        """Whether a trader that came back goes on from what is known; P&L it may have forgotten."""
        bars, marks = look.bars[: len(self._bars)], look.marks[: len(self._marks)]
        same = len(bars) == len(self._bars) and all(
            a.model_copy(update={"pnl_cents": b.pnl_cents}) == b
            for a, b in zip(bars, self._bars, strict=True)
        )
        return same and list(marks) == self._marks

    @property
    def killed(self) -> bool:
        """Whether the kill switch is thrown, as the trader says or, if it is away, as its folder does."""
        if self.away is None and self.status is not None:
            return bool(self.status.killed)
        return (self.folder / KILL_SWITCH).exists()

    def bars_since(self, i: int) -> list[BarView]:
        """The bars from number `i` (from 0) on."""
        return self._bars[i:]

    def marks_since(self, i: int) -> list[MarkView]:
        """The marks from number `i` (from 0) on."""
        return self._marks[i:]


def _request(address: Address, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
    """The answer's body.

    Plain `http.client`: it knows no proxy and follows no redirect, so the token goes to one place.
    """
    headers = {"Authorization": f"Bearer {address.token.get_secret_value()}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = HTTPConnection("127.0.0.1", address.port, timeout=TIMEOUT)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
    except TimeoutError:
        raise Absent("silent") from None
    except (OSError, HTTPException):
        raise Absent("down") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise Absent("strange")
    return data


def _last_beat(folder: Path) -> int | None:
    try:
        return (folder / HEARTBEAT).stat().st_mtime_ns
    except OSError:
        return None
