"""What the machine must give: Python and its packages, a disk that keeps its word, clocks, a kernel."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final, NamedTuple

from maxlib.app.doctor.line import Found
from maxlib.core.files import write_atomic
from maxlib.market.calendar import LAST, Session, new_york, session, sessions
from maxlib.ops.clock import Clock

PROJECT: Final = Path(__file__).resolve().parents[3]
OLDEST_PYTHON: Final = (3, 11)
LEAST_FREE: Final = 2**30
"""Bytes: a day's journal and snapshots take some 10 MB, the pages' reports some more."""
MOUNTS: Final = Path("/proc/mounts")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)( ;)?", re.MULTILINE)
_DRIFT_S: Final = 0.5
_AHEAD: Final = dt.timedelta(days=10)
_KERNEL_S: Final = 60.0
_NS: Final = 1_000_000_000
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_UNSYNCHRONISED: Final = 0x40  # STA_UNSYNC of <sys/timex.h>


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Found:
    """Is it new enough?"""
    shown, wanted = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
    return ("pass" if version >= OLDEST_PYTHON else "fail"), f"Python {shown}; {wanted} or newer is needed"


def packages(lock: Path = PROJECT / "requirements.lock") -> Found:
    """Is what is installed what the lock names?

    A pin with a condition (of a Python or a system) may be missing; its version must agree all the same.
    """
    if not lock.is_file():
        return "not used", "there is no requirements.lock beside the program"
    pinned: dict[str, set[str]] = {}
    needed: set[str] = set()
    for name, version, condition in _PIN.findall(lock.read_text(encoding="utf-8")):
        pinned.setdefault(_canonical(name), set()).add(version)
        if not condition:
            needed.add(_canonical(name))
    there = {_canonical(d.metadata["Name"]): d.version for d in distributions()}
    wrong = [
        f"{name} is {there[name]}, the lock says {' or '.join(sorted(versions))}"
        if name in there
        else f"{name} is missing"
        for name, versions in sorted(pinned.items())
        if (name in there and there[name] not in versions) or (name in needed and name not in there)
    ]
    if wrong:
        more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return "fail", f"{wrong[0]}{more} (make setup installs the lock)"
    return "pass", f"{len(pinned)} packages, as in {lock.name}"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def existing(place: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    place = place.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def disk(place: Path) -> Found:
    """Is there room?"""
    room = shutil.disk_usage(existing(place)).free
    text = f"{room / 2**30:,.1f} GiB free at {place}; {LEAST_FREE / 2**30:g} are needed"
    return ("pass" if room >= LEAST_FREE else "fail"), text


def durable(place: Path, mounts: Path | None = None) -> Found:
    """Can a file be written, synced with its folder, renamed, and read back?

    A file system in memory does all that, and forgets it with the power.
    """
    here = existing(place)
    kind = _file_system(here, mounts or MOUNTS)
    if kind in _IN_MEMORY:
        return "fail", f"{here} is a {kind}, which lives in memory: a sync there keeps nothing"
    probe = here / f".maxtrader-doctor-{uuid.uuid4().hex[:8]}"
    began = time.perf_counter()
    try:
        write_atomic(probe, probe.name)
        same = probe.read_text(encoding="utf-8") == probe.name
    finally:
        probe.unlink(missing_ok=True)
    took = 1000 * (time.perf_counter() - began)
    if not same:
        return "fail", f"{here}: what was written did not come back"
    return "pass", f"written, synced and read back in {took:.1f} ms at {here}{f' ({kind})' if kind else ''}"


def _file_system(place: Path, mounts: Path) -> str:
    """Its kind, as Linux tells it; "" where nobody does."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    real = place.resolve()
    above = [(len(row[1]), row[2]) for row in rows if len(row) > 2 and real.is_relative_to(_unquoted(row[1]))]
    return max(above)[1] if above else ""


def _unquoted(text: str) -> str:
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)


# --- clocks


class Reading(NamedTuple):
    """The wall clock and one that cannot be set, read together."""

    wall_ns: int
    awake_ns: int


def reading(clock: Clock) -> Reading:
    """Both clocks now."""
    return Reading(clock.wall_ns(), clock.awake_ns())


def clocks(before: Reading, clock: Clock, written: Path | None) -> Found:
    """Did the wall clock run as the other did while the checks ran, and is it past what it stamped?

    Parameters
    ----------
    before : read when the checks began
    written : a file that this machine wrote; None = there is none
    """
    now = reading(clock)
    passed = (now.awake_ns - before.awake_ns) / _NS
    drift = (now.wall_ns - before.wall_ns) / _NS - passed
    moment = dt.datetime.fromtimestamp(now.wall_ns / _NS, dt.UTC)
    if abs(drift) > _DRIFT_S:
        return "fail", f"the wall clock moved {drift:+.1f} s against the other within {passed:.1f} s"
    if written is not None and written.exists():
        early = written.stat().st_mtime - now.wall_ns / _NS
        if early > 1.0:
            return (
                "fail",
                f"it is {moment:%Y-%m-%d %H:%M:%S} UTC, but {written.name} was written {early:.0f} s later",
            )
    return (
        "pass",
        f"{moment:%Y-%m-%d %H:%M:%S} UTC; {drift * 1000:+.1f} ms against the other clock in {passed:.1f} s",
    )


class _Timex(ctypes.Structure):
    """`struct timex` of Linux, 64 bits; the kernel's own account of its clock."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )  # fmt: skip


class Discipline(NamedTuple):
    """What the kernel says: whether something keeps its clock right, and its bound of the error."""

    synchronised: bool
    error_s: float


def discipline() -> Discipline | str:
    """The kernel's word on its clock; a sentence if it cannot be asked."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        told = _Timex()
        code = library.adjtimex(ctypes.byref(told))
    except (OSError, AttributeError):
        return "this system has no adjtimex to ask"
    if code < 0:
        return f"the kernel does not answer ({os.strerror(ctypes.get_errno())})"
    return Discipline(not told.status & _UNSYNCHRONISED, told.maxerror / 1e6)


def time_service(said: Discipline | str, *, live: bool) -> Found:
    """Does somebody keep the clock right? Asked of the kernel, which alone knows."""
    if isinstance(said, str):
        return "not used", f"cannot be asked: {said}"
    if said.synchronised:
        return "pass", f"synchronised, says the kernel; error at most {1000 * said.error_s:,.0f} ms"
    text = "not synchronised, says the kernel"
    # A tape has a clock of its own. A live market has not.
    return ("fail", text) if live else ("not used", f"{text}; a tape does not need it, a live market does")


def calendar(now_ns: int) -> Found:
    """Does the calendar know today and the next session?"""
    today = new_york(now_ns).date()
    if today + _AHEAD > LAST:
        return "fail", f"today is {today}; the calendar ends on {LAST}: a newer version is needed"
    here = session(today)
    after = sessions(today + dt.timedelta(days=1), today + _AHEAD)[0]
    return (
        "pass",
        f"today, {today}: {_hours(here) if here else 'no session'}; next {after.date} {_hours(after)}",
    )


def _hours(one: Session) -> str:
    def text(minute: int) -> str:
        return f"{minute // 60:02d}:{minute % 60:02d}"

    half = " (half day)" if one.half_day else ""
    return f"{text(one.open_minute)}-{text(one.close_minute)}{half}"


# --- pages


def chromium(environment: Mapping[str, str]) -> Found:
    """Does the browser of the tests start?"""
    named = environment.get("MAXTRADER_CHROMIUM", "")
    path = named or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        return (
            "not used",
            "there is none; only the tests of the pages need one (MAXTRADER_CHROMIUM names another)",
        )
    try:
        told = subprocess.run(  # noqa: S603 - the user's own browser
            [path, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "fail", f"{path} does not run ({type(error).__name__})"
    if told.returncode != 0:
        return "fail", f"{path} --version ends with {told.returncode}"
    return "pass", told.stdout.strip().splitlines()[0]


def kernel() -> Found:
    """Does a kernel for reports and pages come up and answer?"""
    import asyncio

    from maxlib.app.runner import kernel_manager

    async def start(folder: Path) -> float:
        began = time.perf_counter()
        manager: Any = kernel_manager(folder, {})(kernel_name="python3")
        await manager.start_kernel()
        try:
            client = manager.client()
            client.start_channels()
            try:
                await client.wait_for_ready(timeout=_KERNEL_S)
            finally:
                client.stop_channels()
        finally:
            await manager.shutdown_kernel(now=True)
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory(prefix="maxtrader-") as short:
        try:
            took = asyncio.run(start(Path(short)))
        except (OSError, RuntimeError) as error:
            return "fail", f"no kernel starts: {str(error).splitlines()[0]}"
    return "pass", f"a kernel of {Path(sys.executable).name} answered after {took:.1f} s"
