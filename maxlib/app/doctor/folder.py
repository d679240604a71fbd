"""What a trader's folder says: journal, lock, snapshots, kill switch, lease, heartbeat, address.

Everything is read, nothing opened for writing: a trader may be running on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Final

import requests
from pydantic import ValidationError

from maxlib.app.brokers import state_folder
from maxlib.app.doctor.line import Found
from maxlib.app.paper import HOST
from maxlib.core.errors import DataError
from maxlib.journal.chain import GENESIS, Entry
from maxlib.journal.snapshots import Loaded, SnapshotStore
from maxlib.journal.store import check, read
from maxlib.market.calendar import new_york
from maxlib.ops.address import ADDRESS
from maxlib.ops.clock import Clock
from maxlib.ops.heartbeat import STOPPED, Beat, read_beat
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.lease import read_grant
from maxlib.ops.process import fate, me
from maxlib.ops.supervision import Policy, State
from maxlib.ops.supervisor import HEARTBEAT, STATE

JOURNAL: Final = "journal.sqlite"
_NS: Final = 1_000_000_000


class TraderFolder:
    """A trader's folder, looked at from outside. The checks are its methods."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._entries: list[Entry] = []

    def journal(self) -> Found:
        """Is the whole file sound: pages, chain, order?"""
        file = self.path / JOURNAL
        if not file.exists():
            return "not used", f"{self.path} has none yet"
        self._entries = check(file)
        size = sum(p.stat().st_size for p in (file, file.with_name(f"{JOURNAL}-wal")) if p.exists())
        if not self._entries:
            return "pass", f"empty, {size / 1e6:.1f} MB"
        first, last = json.loads(self._entries[0].body), self._entries[-1]
        when = f" at {new_york(last.ts):%Y-%m-%d %H:%M} New York" if last.ts else ""
        return "pass", (
            f"{len(self._entries):,} entries, {size / 1e6:.1f} MB, chain and pages hold, "
            f"head {last.hash[:12]}; {first.get('label', 'no label')}; last is {last.kind}{when}"
        )

    def lock(self) -> Found:
        """Who may write, and does it live?"""
        path = self.path / f"{JOURNAL}.lock"
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return "pass", "nobody writes"
        try:
            # Shared and only for an instant: a trader that starts just now waits for two seconds.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "?"
            beat = self._beat()
            if beat is None or beat.who.pid != int(holder if holder.isdigit() else -1):
                return "fail", f"process {holder} holds it, and shows no heartbeat here"
            return "pass", f"process {holder} writes"
        finally:
            os.close(handle)
        return "pass", "left behind by a trader that was killed; it locks nothing"

    def snapshots(self) -> Found:
        """Is the newest one usable, as a start would see it?"""
        folder = self.path / "snapshots"
        if not any(folder.glob("state.json*")):
            return "not used", "none yet; a start runs through the whole journal"
        found = self._load(folder)
        if found.problems and (self.path / JOURNAL).exists():
            # A trader that runs may have written both since the journal was read: look once more.
            self._entries += read(self.path / JOURNAL, len(self._entries))
            found = self._load(folder)
        if found.problems:
            then = (
                f"{found.source} would be used" if found.source else "the whole journal would be run through"
            )
            return "fail", f"{found.problems[0]}; {then}"
        return "pass", f"{found.source}, of journal entry {found.seq:,}"

    def _load(self, folder: Path) -> Loaded:
        hashes = {entry.seq: entry.hash for entry in self._entries}
        return SnapshotStore(folder).load(len(self._entries), lambda seq: hashes.get(seq, GENESIS))

    def kill_switch(self) -> Found:
        """Is it open?"""
        if not self.path.is_dir():
            return "not used", f"{self.path} does not exist yet"
        thrown = KillSwitch(self.path / "kill.json").why()
        if thrown is None:
            return "pass", "not thrown"
        when = f", {new_york(thrown.wall_ns):%Y-%m-%d %H:%M} New York" if thrown.wall_ns else ""
        return "fail", f"thrown: {thrown.reason} (by {thrown.by}{when})"

    def lease(self) -> Found:
        """Is each account's free, or held by one that lives and renews?"""
        folder = state_folder()
        found = [self._lease(path) for path in sorted(folder.glob("alpaca-*.json"))]
        if not found:
            return "not used", f"there is none in {folder}"
        bad = any(state == "fail" for state, _ in found)
        return "fail" if bad else "pass", "; ".join(text for _, text in found)

    def _lease(self, path: Path) -> Found:
        try:
            grant = read_grant(path)
        except DataError as error:
            return "fail", str(error)
        if grant is None:
            return "pass", f"{path} is gone"
        name = f"account {grant.account}, token {grant.token}"
        if grant.released:
            return "pass", f"{name}: given back"
        what = fate(grant.who, me(self._clock))
        if what == "dead":
            return "pass", f"{name}: its holder, process {grant.who.pid}, is gone; it is free"
        now, until = self._clock.wall_ns(), grant.expires_wall_ns
        if grant.who.boot_id == self._clock.boot_id():
            now, until = self._clock.boot_ns(), grant.expires_boot_ns
        left = (until - now) / _NS
        place = "" if what == "alive" else f" on {grant.who.host}"
        if left <= 0:
            return (
                "fail",
                f"{name}: process {grant.who.pid}{place} lives, but let it run out {-left:.0f} s ago",
            )
        return "pass", f"{name}: held by process {grant.who.pid}{place}, {left:.0f} s more"

    def heartbeat(self) -> Found:
        """Did the newest one come in time, or the trader end in order?"""
        if not (self.path / HEARTBEAT).exists():
            return "not used", "none yet"
        beat = self._beat()
        if beat is None:
            return "fail", f"{HEARTBEAT} cannot be read"
        age, limit = beat.age_s(self._clock), Policy().stale_s
        if beat.phase == STOPPED:
            return "pass", f"process {beat.who.pid} ended in order"
        old = "before this boot of the machine" if age == float("inf") else f"{age:.0f} s ago"
        if fate(beat.who, me(self._clock)) == "dead":
            return (
                "fail",
                f"process {beat.who.pid} ended without a word, last heard {old}; a new start recovers",
            )
        if age > limit:
            return "fail", f"process {beat.who.pid} was heard last {old}; the limit is {limit:.0f} s"
        return "pass", f"process {beat.who.pid}, {beat.phase}, heard {old}; the limit is {limit:.0f} s"

    def supervisor(self) -> Found:
        """Would a supervisor start the trader, or has it given up?"""
        file = self.path / STATE
        if not file.exists():
            return "not used", "none was here"
        try:
            state = State.model_validate_json(file.read_bytes())
        except ValidationError:
            return "fail", f"{STATE} cannot be read"
        if state.phase == "down":
            return "fail", f"it gave up ({state.why}); maxtrader supervise --clear begins anew"
        return "pass", f"{state.phase}, {state.restarts} restarts"

    def port(self, wanted: int | None) -> Found:
        """Does the trader that runs answer, or else can its port be had?"""
        file = self.path / ADDRESS
        if file.exists():
            return self._answers(file)
        if wanted is None:
            return "not used", "none was asked for: a free one will be taken"
        try:
            socket.create_server((HOST, wanted)).close()
        except OSError as error:
            return "fail", f"{wanted} cannot be had on {HOST} ({error.strerror})"
        return "pass", f"{wanted} is free on {HOST}"

    def _answers(self, file: Path) -> Found:
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            return "fail", f"{ADDRESS} holds the token and can be read by others (mode {mode:o})"
        try:
            told = json.loads(file.read_bytes())
            url = f"http://{HOST}:{int(str(told['url']).rpartition(':')[2])}"
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{file} cannot be read") from None
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy between us and this machine
                status = session.get(f"{url}/health", timeout=5).status_code
        except requests.RequestException as error:
            return (
                "fail",
                f"{ADDRESS} names {url}, where nobody answers ({type(error).__name__}); a new start mends it",
            )
        return ("pass" if status == 200 else "fail"), f"the trader's API at {url} answers {status}"

    def _beat(self) -> Beat | None:
        return read_beat(self.path / HEARTBEAT)
