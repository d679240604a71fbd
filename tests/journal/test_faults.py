"""The journal on a disk that is full, failing, locked, read-only or corrupt.

The rows are those of the fault matrix; a test's name says which one it covers. An error's kind is what
the trader does: `HaltEntriesError` halts entries, `StopTradingError` ends it, `RefuseStartError` keeps it
from starting.
"""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from maxlib.journal.chain import GENESIS, Journal, verify
from maxlib.journal.errors import HaltEntriesError, RefuseStartError, StopTradingError
from maxlib.journal.files import WriterLock
from maxlib.journal.store import JournalFile, read
from tests.chaos.power_loss import RecordedJournal
from tests.chaos.vfs import Disk, DiskVFS, io_error

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def fill(journal: JournalFile, count: int) -> None:
    for _ in range(count):
        journal.append(journal.seq, "fill", {"text": "x" * 500})


def python(script: str, *arguments: object, under: tuple[str, ...] = ()) -> list[str]:
    """Lines that a script printed; it imports what most of them need."""
    head = """
        import errno, os, resource, signal, sys, tempfile
        from pathlib import Path
        from maxlib.journal.errors import *
        from maxlib.journal.store import JournalFile, read
    """
    done = subprocess.run(
        [*under, sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout.splitlines()


class Faults:
    """A journal whose disk does as it is told, and counts what it was asked."""

    def __init__(self, path: Path, vfs: DiskVFS) -> None:
        self.errors: dict[tuple[str, str], apsw.Error] = {}
        self.asked: list[tuple[str, str]] = []
        vfs.disk.before = self._meet
        self.journal = RecordedJournal(path, vfs, "FULL")

    def _meet(self, what: str, name: str) -> None:
        self.asked.append((what, name))
        if (what, name) in self.errors:
            raise self.errors[what, name]


@pytest.fixture
def faults(path: Path) -> Iterator[Faults]:
    with DiskVFS(Disk(path.parent)) as vfs:
        found = Faults(path, vfs)
        yield found
        found.journal.close()


WAL_SYNC, FILE_SYNC = ("sync", "journal.db-wal"), ("sync", "journal.db")


# --- row 15: disk full


def test_row_15_a_full_disk_halts_entries_and_loses_nothing(path: Path) -> None:
    said = python(
        """
        journal = JournalFile(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        for turn in range(2):
            try:
                while True:
                    print(journal.append(1, "fill", {"text": "x" * 500}).seq)
            except HaltEntriesError as error:
                print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(journal.append(2, "fill", {}).seq)
        journal.close()
        """,
        path,
    )
    acked = [int(line) for line in said if line.isdecimal()]
    refused = [line for line in said if not line.isdecimal()]
    assert acked == list(range(1, len(acked) + 1))
    assert len(acked) > 5
    assert (
        refused
        == [f"journal journal.db cannot take entry {len(acked)}: there is no space for it (File too large)"]
        * 2
    )
    entries = read(path)
    assert [entry.seq for entry in entries] == acked
    assert verify(entries) == entries[-1].hash


@pytest.mark.parametrize("what", [("write", "journal.db-wal"), ("write", "journal.db")])
def test_row_15_a_full_disk_as_sqlite_tells_it(faults: Faults, path: Path, what: tuple[str, str]) -> None:
    journal = faults.journal
    fill(journal, 3)
    faults.errors[what] = apsw.FullError("database or disk is full")
    if what[1] == "journal.db":  # a checkpoint: the entry is safe in the log, and must not be denied
        fill(journal, 30)
        assert len(read(path)) == journal.seq == 33
        assert what in faults.asked
    else:
        with pytest.raises(HaltEntriesError, match=r"journal\.db cannot take entry 4: the disk is full"):
            fill(journal, 1)
        assert len(read(path)) == journal.seq == 3
    faults.errors.clear()
    fill(journal, 1)
    assert verify(read(path)) == journal.head


# --- row 16: read-only


@pytest.mark.parametrize("before", ["no journal", "a journal", "a journal in a folder to write to"])
def test_row_16_a_read_only_place_is_refused_at_start(before: str) -> None:
    said = python(
        """
        folder = Path(tempfile.mkdtemp())
        path = folder / "journal.db"
        if sys.argv[1] != "no journal":
            with JournalFile(path) as journal:
                journal.append(1, "fill", {})
            path.chmod(0o444)
        content = path.read_bytes() if path.exists() else None
        folder.chmod(0o777 if "to write to" in sys.argv[1] else 0o555)
        if pid := os.fork():
            os.waitpid(pid, 0)
            print(content == (path.read_bytes() if path.exists() else None))
            folder.chmod(0o755)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            sys.exit()
        if os.geteuid() == 0:  # root may write anywhere
            os.setuid(65534)
        try:
            JournalFile(path)
        except RefuseStartError as error:
            print(error, flush=True)
        os._exit(0)
        """,
        before,
    )
    assert said[-1] == "True"  # left as it was
    assert "journal.db cannot be written to: " in said[0]
    assert len(said) == 2


# --- row 17: fsync fails


@pytest.mark.parametrize("what", [WAL_SYNC, FILE_SYNC])
def test_row_17_a_failed_sync_stops_and_is_never_tried_again(
    faults: Faults, path: Path, what: tuple[str, str]
) -> None:
    journal = faults.journal
    fill(journal, 3)
    faults.errors[what] = io_error(apsw.SQLITE_IOERR_FSYNC)
    with pytest.raises(StopTradingError, match=r"journal\.db has failed at entry \d+ and is not used on"):
        fill(journal, 100)
    acked = journal.seq  # or one less: a checkpoint that fails comes after its entry
    assert what in faults.asked
    faults.errors.clear()  # the second sync would succeed, and prove nothing
    faults.asked.clear()
    for use in (lambda: fill(journal, 1), journal.verify, journal.entries, lambda: journal.append_all([])):
        with pytest.raises(StopTradingError):
            use()
    journal.close()
    assert not any(kind in ("sync", "unlink") for kind, _ in faults.asked)
    with JournalFile(path) as again:  # the next start finds all, and at most the one under way
        assert len(again.entries()) in (acked, acked + 1)
        assert acked >= 3
        assert again.verify() == again.head


def test_row_17_an_io_error_of_the_operating_system_stops(path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no strace that may trace")
    said = python(
        """
        journal = JournalFile(Path(sys.argv[1]))
        for _ in range(20):
            try:
                print(journal.append(1, "fill", {}).seq)
            except StopTradingError as error:
                print(error)
        """,
        path,
        under=(
            strace,
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:error=EIO:when=12",
        ),
    )
    acked = [int(line) for line in said if line.isdecimal()]
    assert 0 < len(acked) < 12
    sentence = f"journal journal.db has failed at entry {len(acked)} and is not used on: disk I/O error"
    assert said[len(acked) :] == [sentence] * (20 - len(acked))
    assert [entry.seq for entry in read(path)][: len(acked)] == acked


def test_row_17_a_start_writes_what_it_finds_in_the_log_once_more(path: Path) -> None:
    # After a failed sync, the operating system may show what the disk does not have, and call it clean.
    python(
        """
        journal = JournalFile(Path(sys.argv[1]))
        for _ in range(10):
            journal.append(1, "fill", {})
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert path.with_name("journal.db-wal").stat().st_size > 0
    with JournalFile(path):
        assert path.with_name("journal.db-wal").stat().st_size == 0
        alone = path.with_name("alone.db")
        alone.write_bytes(path.read_bytes())
        assert len(read(alone)) == 10


# --- row 18: locked


def test_row_18_a_lock_is_waited_for_within_bounds_and_then_halts_entries(path: Path) -> None:
    with JournalFile(path, wait_seconds=0.05) as journal:
        fill(journal, 2)
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HaltEntriesError, match=r"entry 3: another program has locked it for 0\.05 s"):
            fill(journal, 1)
        other.execute("ROLLBACK")
        other.close()
        fill(journal, 1)
        assert journal.seq == len(read(path)) == 3


def test_row_18_a_reader_that_stays_does_not_hold_up_the_writer(path: Path) -> None:
    with JournalFile(path, wait_seconds=0) as journal:
        journal._checkpoint_pages = 4
        fill(journal, 1)
        reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN; SELECT * FROM journal")
        fill(journal, 50)
        assert len(read(path)) == 51
        reader.close()


# --- row 19: corrupt


def test_row_19_a_broken_tail_is_refused_and_left_as_it_is(path: Path) -> None:
    with JournalFile(path) as journal:
        fill(journal, 100)
    python(
        """
        import sqlite3
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("UPDATE journal SET body = 'x' WHERE seq = 60")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    files = [path, path.with_name("journal.db-wal")]
    before = [file.read_bytes() for file in files]
    with pytest.raises(RefuseStartError, match=r"journal\.db .* entry 60 \(fill\) does not follow"):
        JournalFile(path)
    assert [file.read_bytes() for file in files] == before
    assert not path.with_name("journal.db.quarantine").exists()  # each start finds it by itself


@pytest.mark.parametrize(
    "change", ["UPDATE journal SET ts = 1 WHERE seq = 9", "DELETE FROM journal WHERE seq = 9"]
)
def test_row_19_what_the_tail_does_not_show_is_found_on_demand_and_quarantined(
    path: Path, change: str
) -> None:
    with JournalFile(path) as journal:
        fill(journal, 100)
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    with JournalFile(path) as journal:
        assert journal.seq == 100
        assert len(journal.entries(after=50)) == 50
        with pytest.raises(StopTradingError, match="entry 9 "):
            journal.verify()
        with pytest.raises(StopTradingError):
            fill(journal, 1)
    marker = path.with_name("journal.db.quarantine")
    with pytest.raises(
        RefuseStartError, match=r"quarantined \(journal entry 9 .*remove journal\.db\.quarantine"
    ):
        JournalFile(path)
    assert len(read(path)) in (99, 100)  # it may still be looked at
    marker.unlink()
    JournalFile(path).close()


def test_row_19_torn_pages_are_found_on_demand_and_quarantined(path: Path) -> None:
    with JournalFile(path) as journal:
        fill(journal, 300)
    content = bytearray(path.read_bytes())
    for page in range(4, 8):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(content)
    with JournalFile(path) as journal:
        with pytest.raises(StopTradingError) as caught:
            journal.verify()
        assert "\n" not in str(caught.value)
    with pytest.raises(RefuseStartError, match="is quarantined"):
        JournalFile(path)


def test_row_19_text_that_is_none_is_corruption(path: Path) -> None:
    with JournalFile(path) as journal:
        fill(journal, 3)
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"\x89" * 100))
    with pytest.raises(RefuseStartError, match="an entry is no text"):
        JournalFile(path)


def test_a_database_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(RefuseStartError, match="no such table: journal"):
        JournalFile(path)
    assert path.read_bytes() == before


# --- row 20: file descriptors


def test_row_20_an_open_journal_needs_no_new_descriptor_and_a_new_one_is_refused(path: Path) -> None:
    said = python(
        """
        path = Path(sys.argv[1])
        journal = JournalFile(path)
        journal.append(1, "fill", {})
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        spent = []
        try:
            while True:
                spent.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            print(error.errno == errno.EMFILE)
        journal._checkpoint_pages = 4
        for _ in range(20):
            journal.append(2, "fill", {})
        try:
            JournalFile(path.with_name("other.db"))
        except RefuseStartError as error:
            print(error)
        print(journal.seq)
        """,
        path,
    )
    assert (said[0], said[2]) == ("True", "21")
    assert said[1].endswith("other.db cannot be written to: Too many open files")
    assert len(read(path)) == 21


# --- one writer


def test_a_second_writer_is_refused_with_a_sentence(path: Path) -> None:
    with JournalFile(path) as journal:
        with pytest.raises(
            RefuseStartError, match=r"journal\.db is being written by process \d+: one writer"
        ):
            JournalFile(path, wait_seconds=0)
        link = path.with_name("link.db")
        link.symlink_to(path)
        with pytest.raises(RefuseStartError, match="one writer"):
            JournalFile(link, wait_seconds=0)
        said = python(
            """
            try:
                JournalFile(Path(sys.argv[1]), wait_seconds=0)
            except RefuseStartError as error:
                print(error)
            """,
            path,
        )
        assert said == [f"{path} is being written by process {os.getpid()}: one writer at a time"]
        fill(journal, 1)
    JournalFile(path, wait_seconds=0).close()
    assert not path.with_name("journal.db.lock").exists()


def test_a_killed_writer_locks_nobody_out_and_loses_nothing(path: Path) -> None:
    said = python(
        """
        journal = JournalFile(Path(sys.argv[1]))
        for _ in range(10):
            print(journal.append(1, "fill", {}).seq, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert len(said) == 10
    assert path.with_name("journal.db.lock").exists()
    with JournalFile(path, wait_seconds=0) as journal:
        assert journal.seq == 10


def test_a_writer_that_could_not_start_locks_nobody_out(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(RefuseStartError, match="not a database"):
            JournalFile(path, wait_seconds=0)
    path.unlink()
    JournalFile(path, wait_seconds=0)  # nobody closes it
    JournalFile(path, wait_seconds=0).close()


def test_a_lock_whose_file_was_unlinked_meanwhile_is_not_taken_for_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = path.with_name("journal.db.lock")
    real = fcntl.flock

    def leave_just_before(handle: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        name.unlink()  # as a holder does that releases it between our opening and our locking
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", leave_just_before)
    lock = WriterLock(path, 1)
    with pytest.raises(RefuseStartError):
        WriterLock(path, 0)
    lock.release()
    lock.release()  # does nothing
    assert not name.exists()


def test_a_writer_that_slipped_past_the_lock_cannot_fork_the_chain(path: Path) -> None:
    with JournalFile(path) as journal:
        fill(journal, 2)
        path.with_name("journal.db.lock").unlink()  # as a user might who thinks it stale
        with JournalFile(path) as other:
            fill(other, 1)
            with pytest.raises(StopTradingError, match="UNIQUE"):
                fill(journal, 1)
    assert verify(read(path)) != GENESIS
    assert len(read(path)) == 3


@pytest.mark.parametrize("way", ["moved", "replaced"])
def test_a_file_that_was_moved_away_stops_the_writer(path: Path, way: str) -> None:
    with JournalFile(path) as journal:
        fill(journal, 2)
        path.rename(path.with_name("elsewhere.db"))
        if way == "replaced":
            path.write_bytes(b"")
        with pytest.raises(StopTradingError, match=r"the file is gone|another file has been put"):
            fill(journal, 1)


# --- other programs


def test_a_file_that_the_standard_library_wrote_and_a_kill_left_open_continues(path: Path) -> None:
    journal = Journal()
    for i in range(5):
        journal.append(i, "signal", {"i": i})
    script = """
        import sqlite3
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, "
                   "body TEXT NOT NULL, hash TEXT NOT NULL) STRICT")
        rows = eval(sys.argv[2])
        db.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", rows)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    python(script, path, [tuple(entry) for entry in journal.entries])
    assert path.with_name("journal.db-wal").stat().st_size > 0
    with JournalFile(path) as file:
        assert file.entries() == journal.entries
        file.append(5, "signal", {"i": 5})
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM journal").fetchone() == (6,)
    db.close()


def test_readers_in_another_process_see_whole_chains_while_the_writer_writes(path: Path) -> None:
    script = """
        from maxlib.journal.chain import verify
        sizes = set()
        while not sizes or max(sizes) < 400:
            entries = read(Path(sys.argv[1]))
            verify(entries)
            sizes.add(len(entries))
        print(len(sizes), all(size % 4 == 0 for size in sizes))
    """
    with JournalFile(path) as journal:
        journal._checkpoint_pages = 8
        journal.append_all((0, "fill", {}) for _ in range(4))
        reader = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys\nfrom pathlib import Path\nfrom maxlib.journal.store import read\n"
                + textwrap.dedent(script),
                str(path),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        while journal.seq < 400 or reader.poll() is None:
            journal.append_all((journal.seq, "fill", {"text": "x" * 300}) for _ in range(4))
        said = reader.communicate()[0].split()
    assert reader.returncode == 0
    assert said[1] == "True"  # a batch is seen whole or not at all
