"""`maxtrader doctor`: each line is brought to fail, and to pass; no value of a secret is ever printed."""

import asyncio
import datetime as dt
import fcntl
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from maxlib.app import runner
from maxlib.app.brokers import state_folder
from maxlib.app.cli import main
from maxlib.app.doctor import machine, outside
from maxlib.app.doctor.examine import Vendors, examine
from maxlib.app.doctor.folder import JOURNAL, TraderFolder
from maxlib.app.doctor.line import Found, Line, ask, table
from maxlib.app.doctor.live import LivePath, Served
from maxlib.app.paper import ADDRESS, PaperTrader
from maxlib.core.canonical import canonical
from maxlib.core.errors import MaxTraderError
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.fake import Plan
from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.execution.alpaca.fake import FakeServer
from maxlib.execution.alpaca.fake_api import FAKE_KEY, FAKE_SECRET, FakeApi
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.journal.store import JournalFile, read
from maxlib.market import calendar
from maxlib.ops.backends import Memory
from maxlib.ops.clock import Clock
from maxlib.ops.heartbeat import Heart
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.lease import Lease, acquire
from maxlib.ops.supervision import State
from maxlib.ops.supervisor import HEARTBEAT, STATE
from maxlib.ops.text import Masker
from maxlib.research import scenario
from tests.data.massive.helpers import BARS, KEY, NEXT_DAY, fake
from tests.docs import pages
from tests.execution.alpaca.bench import TEN, HandMarket
from tests.ops.fakes import NS, FakeClock

SHORT = {"data.simulator.days": 12}
CHECKS = [
    "Python", "packages", "disk", "durable write", "time service", "calendar", "scenario", "bars", "guard",
    "journal", "lock", "snapshots", "kill switch", "lease", "heartbeat", "supervisor", "port", "reset code",
    "secrets file", "Massive key", "Massive", "Massive bars", "Massive chain", "Alpaca keys", "Alpaca",
    "notices to", "test notice", "Chromium", "kernel", "clocks",
]  # fmt: skip


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a trader traded a day and ended in order."""
    folder = tmp_path_factory.mktemp("doctor") / "trader"
    trader = PaperTrader(scenario.load("demo_normal", SHORT), folder, speed=0)
    asyncio.run(trader.run(stay=False))
    return folder


@pytest.fixture
def folder(traded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(traded, tmp_path / "trader")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of traders that really run here are nothing to these tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that tests run on may have its temporary folder in memory; these tests are not about it."""
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/disk / ext4 rw 0 0\n")
    monkeypatch.setattr(machine, "MOUNTS", mounts)


def look(path: Path, check: str, clock: Clock | None = None) -> Line:
    """One line about a folder, after the journal was read as in the whole examination."""
    trader = TraderFolder(path, clock or Clock())
    if check == "snapshots":
        trader.journal()
    return ask(check, getattr(trader, check.replace(" ", "_")), Masker())


def elsewhere(module: str, deed: str, path: Path) -> None:
    """Do something in another process, which then ends."""
    code = f"import sys, pathlib; from {module} import *; path = pathlib.Path(sys.argv[1]); {deed}"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def failed(found: tuple[str, str] | Line, *words: str) -> None:
    state, text = found[-2:]
    assert state == "fail", text
    for word in words:
        assert word in text


# --- the whole


def test_a_sound_folder_and_scenario_pass_with_the_same_lines_always(
    folder: Path, on_disk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = examine("demo_normal", folder, environment={})
    assert [line.check for line in lines] == CHECKS
    assert [line.check for line in lines if line.state == "fail"] == []
    states = {line.check: line.state for line in lines}
    passed = (
        "scenario",
        "bars",
        "journal",
        "lock",
        "snapshots",
        "kill switch",
        "heartbeat",
        "kernel",
        "clocks",
    )
    assert {states[name] for name in passed} == {"pass"}
    texts = {line.check: line.text for line in lines}
    count = len(read(folder / JOURNAL))
    assert texts["journal"].startswith(f"{count:,} entries, ")
    assert "SIMULATED" in texts["journal"]
    assert "SIMULATED" in texts["bars"]
    nothing = {line.check: line.state for line in examine(environment={})}
    assert list(nothing) == CHECKS
    assert {nothing[name] for name in ("scenario", "bars", "journal", "lock", "heartbeat")} == {"not used"}


def test_looking_changes_nothing_in_the_folder(folder: Path, on_disk: None) -> None:
    def picture() -> dict[str, tuple[bytes, int]]:
        return {
            str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
            for p in sorted(folder.rglob("*"))
            if p.is_file() and not p.name.endswith(("-shm", "-wal"))
        }

    before = picture()
    examine(None, folder, environment={})
    assert picture() == before


def call(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["doctor", *map(str, arguments)])
    out = capsys.readouterr()
    return int(left.value.code or 0), out.out, out.err


def test_exit_code_and_lines_are_aligned(folder: Path, on_disk: None, capsys: Any) -> None:
    code, out, _ = call(capsys, "--folder", folder)
    *rows, last = out.splitlines()
    assert code == 0
    assert len(rows) == len(CHECKS)
    texts = [row[len("not used  ") :] for row in rows]
    wide = max(map(len, CHECKS))
    assert [text[:wide].rstrip() for text in texts] == CHECKS
    assert {text[wide : wide + 2] for text in texts} == {"  "}
    assert all(text[wide + 2] != " " for text in texts)
    counts = [sum(row.startswith(state) for row in rows) for state in ("pass", "fail", "not used")]
    assert last == "{} pass, {} fail, {} not used".format(*counts)
    KillSwitch(folder / "kill.json").throw("enough", "a test")
    assert call(capsys, "--folder", folder)[0] == 1


def test_json_says_the_same(folder: Path, on_disk: None, capsys: Any) -> None:
    KillSwitch(folder / "kill.json").throw("enough", "a test")
    code, out, _ = call(capsys, "--folder", folder, "--json")
    told = json.loads(out)
    assert (code, told["passed"], [c["check"] for c in told["checks"]]) == (1, False, CHECKS)
    assert [c["check"] for c in told["checks"] if c["state"] == "fail"] == ["kill switch"]


def test_a_check_that_breaks_is_a_failure_of_its_own_line() -> None:
    def broken() -> Any:
        raise RuntimeError("half way")

    def refused() -> Any:
        raise MaxTraderError("a sentence")

    assert ask("one", broken, Masker()) == Line("one", "fail", "unexpected RuntimeError: half way")
    assert ask("two", refused, Masker()) == Line("two", "fail", "a sentence")
    assert ask("three", lambda: ("pass", "a\x1b[2J\nb"), Masker()).text == "a[2J b"
    assert table([Line("one", "pass", "x")]).endswith("1 pass, 0 fail, 0 not used")


def test_no_value_of_a_secret_is_in_any_line(folder: Path, tmp_path: Path) -> None:
    """Good, malformed and half-given secrets alike."""
    canary = "CANARY0123456789"
    for more in ("", " and a\tblank"):
        environment = {
            "MASSIVE_API_KEY": f"m{canary}{more}",
            "APCA_API_KEY_ID": f"PK{canary}{more}",
            "APCA_API_SECRET_KEY": f"s{canary}{more}",
            "MAXTRADER_KILL_RESET_CODE": f"c{canary}{more}",
            "MAXTRADER_NOTIFY_URLS": f"nothing://{canary} json://127.0.0.1/{canary}",
        }
        lines = examine(None, folder, environment=environment)
        assert canary not in repr(lines)
        states = {line.check: line.state for line in lines}
        assert (states["reset code"], states["notices to"]) == ("pass", "fail")
        assert states["Massive key"] == states["Alpaca keys"] == ("fail" if more else "pass")


def test_the_page_explains_every_line() -> None:
    rows = pages.tables(pages.read("paper-trader.md"))["doctor"]
    assert [name.strip() for row in rows for name in row[0].split(",")] == CHECKS


# --- machine


def test_an_old_python_fails() -> None:
    failed(machine.python((3, 10, 14)), "Python 3.10.14; 3.11 or newer is needed")


def test_packages_that_are_not_as_locked_fail_by_name(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==0.0.1 \\\n    --hash=sha256:00\nno-such-thing==1.0\n")
    failed(machine.packages(lock), "no-such-thing is missing; 1 more")
    lock.write_text("numpy==0.0.1 \\\n    --hash=sha256:00\n")
    failed(machine.packages(lock), f"numpy is {np.__version__}, the lock says 0.0.1")
    lock.write_text(
        f"NumPy=={np.__version__} ; python_full_version == '3.11.*'\nelsewhere==1 ; os_name == 'nt'\n"
    )
    assert machine.packages(lock) == ("pass", "2 packages, as in requirements.lock")
    assert machine.packages(tmp_path / "none")[0] == "not used"


def test_a_disk_without_room_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_FREE", 2**60)
    failed(machine.disk(tmp_path / "not" / "yet"), "GiB free at", "are needed")


def test_a_folder_where_nothing_can_be_kept_fails(tmp_path: Path, on_disk: None) -> None:
    line = ask("durable write", lambda: machine.durable(Path("/proc/self")), Masker())
    failed(line, "cannot be written")
    assert machine.durable(tmp_path)[0] == "pass"
    assert list(tmp_path.glob(".maxtrader*")) == []


def test_a_sync_that_fails_is_told(tmp_path: Path, on_disk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", full)
    line = ask("durable write", lambda: machine.durable(tmp_path), Masker())
    failed(line, "cannot be written: Input/output error")
    monkeypatch.undo()
    assert list(tmp_path.glob(".maxtrader*")) == []


def test_a_file_system_in_memory_keeps_nothing(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    deep = tmp_path / "a folder"
    deep.mkdir()
    quoted = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/disk / ext4 rw 0 0\nnone {quoted}/a\\040folder tmpfs rw 0 0\n")
    failed(machine.durable(deep, mounts), "is a tmpfs")
    assert machine.durable(tmp_path, mounts)[0] == "pass"


def test_a_wall_clock_that_was_set_fails(tmp_path: Path) -> None:
    clock = FakeClock()
    before = machine.reading(clock)
    clock.advance(3.0)
    assert machine.clocks(before, clock, None)[0] == "pass"
    clock.wall += 3600 * NS
    failed(machine.clocks(before, clock, None), "the wall clock moved +3600.0 s")
    clock.wall -= 7200 * NS
    failed(machine.clocks(before, clock, None), "the wall clock moved -3600.0 s")


def test_a_wall_clock_before_what_it_stamped_itself_fails(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / JOURNAL
    file.touch()
    os.utime(file, ns=(clock.wall + 60 * NS, clock.wall + 60 * NS))
    failed(machine.clocks(machine.reading(clock), clock, file), f"{JOURNAL} was written 60 s later")


def test_the_time_service_is_the_kernels_word_or_none() -> None:
    lost = machine.Discipline(synchronised=False, error_s=16.0)
    failed(machine.time_service(lost, live=True), "not synchronised, says the kernel")
    state, text = machine.time_service(lost, live=False)
    assert (state, "not synchronised, says the kernel" in text) == ("not used", True)
    assert machine.time_service("nobody home", live=True) == ("not used", "cannot be asked: nobody home")
    kept = machine.Discipline(synchronised=True, error_s=0.012)
    assert machine.time_service(kept, live=True)[1].endswith("error at most 12 ms")


def test_the_kernel_is_really_asked() -> None:
    """The bit and the bound, against what the kernel shows elsewhere, where it shows it."""
    said = machine.discipline()
    if isinstance(said, str):
        pytest.skip(said)
    told = shutil.which("adjtimex") or shutil.which("ntptime")
    if told is None:
        assert 0.0 <= said.error_s < 3600.0
        return
    shown = subprocess.run([told, "--print"], capture_output=True, text=True, check=False).stdout
    assert ("UNSYNC" not in shown) == said.synchronised


def test_a_day_beyond_the_calendar_fails() -> None:
    def at(date: dt.date) -> int:
        return calendar.to_ns(date, 600)

    failed(machine.calendar(at(calendar.LAST - dt.timedelta(days=3))), "the calendar ends on 2028-12-31")
    found = machine.calendar(at(dt.date(2025, 11, 27)))  # Thanksgiving
    assert found == ("pass", "today, 2025-11-27: no session; next 2025-11-28 09:30-13:00 (half day)")


def test_a_browser_that_does_not_start_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(
        machine.chromium({"MAXTRADER_CHROMIUM": str(tmp_path / "none")}), "does not run (FileNotFoundError)"
    )
    failed(machine.chromium({"MAXTRADER_CHROMIUM": str(shutil.which("false"))}), "--version ends with 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.chromium({})[0] == "not used"


def test_a_kernel_that_does_not_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.kernel()[0] == "pass"
    monkeypatch.setattr(runner.sys, "executable", str(shutil.which("false")))
    failed(machine.kernel(), "no kernel starts")


# --- scenario


def test_a_scenario_that_does_not_load_fails(tmp_path: Path) -> None:
    lines = {line.check: line for line in examine("nope", environment={})}
    failed(lines["scenario"], "'nope' does not exist")
    assert lines["bars"].state == "not used"


def test_bars_that_the_gate_refuses_fail(tmp_path: Path) -> None:
    bars = tmp_path / "cut.csv"
    bars.write_text("timestamp,open,high,low,close,volume\n2025-01-02T14:30:00Z,1,1,1,1,5\n")
    page = (Path(__file__).parents[2] / "configs/scenarios/baseline_2025.yaml").read_text()
    changed = page.replace("name: baseline_2025", "name: cut")
    changed = "\n".join(
        f"  path: {bars}" if line.strip().startswith("path:") else line for line in changed.splitlines()
    )
    (tmp_path / "cut.yaml").write_text(changed)
    lines = {line.check: line for line in examine(str(tmp_path / "cut.yaml"), environment={})}
    assert lines["scenario"].state == "pass"
    failed(lines["bars"], "session 2025-01-02 is incomplete")


# --- folder


def test_a_changed_journal_fails_with_the_entry(folder: Path) -> None:
    with apsw.Connection(str(folder / JOURNAL)) as db:
        db.execute("UPDATE journal SET body = replace(body, '1', '2') WHERE seq = 17")
    failed(look(folder, "journal"), "journal entry 17", "does not follow")


def test_a_journal_with_a_hole_fails(folder: Path) -> None:
    with apsw.Connection(str(folder / JOURNAL)) as db:
        db.execute("DELETE FROM journal WHERE seq = 5")
    failed(look(folder, "journal"), "journal entry 5")


def test_a_torn_page_fails(folder: Path) -> None:
    path = folder / JOURNAL
    JournalFile(path).close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = bytes(4096)
    path.write_bytes(bytes(data))
    line = look(folder, "journal")
    failed(line, JOURNAL)


def test_a_file_that_is_no_journal_and_a_quarantined_one_fail(folder: Path) -> None:
    (folder / f"{JOURNAL}.quarantine").write_text("a page was torn\n")
    failed(look(folder, "journal"), "is quarantined (a page was torn)")
    (folder / f"{JOURNAL}.quarantine").unlink()
    for end in ("", "-wal", "-shm"):
        (folder / f"{JOURNAL}{end}").unlink(missing_ok=True)
    (folder / JOURNAL).write_text("not a data base, but long enough to be looked at " * 100)
    failed(look(folder, "journal"), "is not a journal that can be read")


def test_a_lock_of_a_process_without_heartbeat_fails(folder: Path) -> None:
    file = JournalFile(folder / JOURNAL)
    try:
        (folder / HEARTBEAT).unlink()
        failed(look(folder, "lock"), f"process {os.getpid()} holds it, and shows no heartbeat")
        Heart(folder / HEARTBEAT).beat("trading")
        assert look(folder, "lock")[1:] == ("pass", f"process {os.getpid()} writes")
    finally:
        file.close()
    assert look(folder, "lock").text == "nobody writes"


def test_a_lock_file_that_a_kill_left_locks_nothing(folder: Path) -> None:
    (folder / f"{JOURNAL}.lock").write_text("99999999\n")
    assert look(folder, "lock").state == "pass"
    with (folder / f"{JOURNAL}.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # looking left no lock behind


def test_snapshots_that_a_start_would_pass_over_fail(folder: Path) -> None:
    newest = folder / "snapshots" / "state.json"
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    failed(look(folder, "snapshots"), "state.json", "state.json.1 would be used")
    found = json.loads(whole)
    newest.write_text(canonical({**found, "schema": 99}))
    failed(look(folder, "snapshots"), "checksum does not hold")
    newest.write_bytes(whole)
    assert look(folder, "snapshots").text == f"state.json, of journal entry {found['seq']:,}"
    (folder / JOURNAL).unlink()
    failed(look(folder, "snapshots"), "but the journal ends at 0", "whole journal would be run through")


def test_a_thrown_kill_switch_fails_with_its_reason(folder: Path) -> None:
    KillSwitch(folder / "kill.json").throw("a fat finger", "the user")
    failed(look(folder, "kill switch"), "thrown: a fat finger (by the user, ")
    (folder / "kill.json").write_text("unreadable")
    failed(look(folder, "kill switch"), "thrown:")


def lease_file(account: str) -> Path:
    """Where `maxlib.app.courier` keeps it."""
    return state_folder() / f"alpaca-{account}.json"


def test_a_lease_whose_holder_lives_but_let_it_run_out_fails(folder: Path) -> None:
    clock, path = FakeClock(), lease_file("PA1")
    lease = acquire(path, "alpaca-PA1", ttl_s=30.0, clock=clock)
    assert isinstance(lease, Lease)
    clock.advance(10.0)
    assert look(folder, "lease", clock).text.endswith(f"held by process {os.getpid()}, 20 s more")
    clock.advance(25.0)
    failed(look(folder, "lease", clock), "account alpaca-PA1, token 1", "let it run out 5 s ago")
    lease.release()
    path.write_text("{}")
    failed(look(folder, "lease"), "is not a lease")


def test_a_lease_given_back_or_left_by_the_dead_is_free(folder: Path) -> None:
    assert look(folder, "lease").state == "not used"
    lease = acquire(lease_file("PA1"), "alpaca-PA1")
    assert isinstance(lease, Lease)
    lease.release()
    assert look(folder, "lease")[1:] == ("pass", "account alpaca-PA1, token 1: given back")
    elsewhere("maxlib.ops.lease", "acquire(path, 'alpaca-PA2')", lease_file("PA2"))
    line = look(folder, "lease")
    assert line.state == "pass"
    assert line.text.startswith("account alpaca-PA1, token 1: given back; account alpaca-PA2, token 1: ")
    assert line.text.endswith("is gone; it is free")


def test_a_heartbeat_that_grew_old_fails(folder: Path) -> None:
    clock = FakeClock()
    Heart(folder / HEARTBEAT, clock=clock).beat("trading")
    clock.advance(39.0)
    assert look(folder, "heartbeat", clock).state == "pass"
    clock.advance(2.0)
    failed(look(folder, "heartbeat", clock), "was heard last 41 s ago; the limit is 40 s")


def test_a_heartbeat_of_a_trader_that_died_fails(folder: Path) -> None:
    elsewhere("maxlib.ops.heartbeat", "Heart(path).beat('trading')", folder / HEARTBEAT)
    failed(look(folder, "heartbeat"), "ended without a word", "a new start recovers")
    (folder / HEARTBEAT).write_text("half")
    failed(look(folder, "heartbeat"), "cannot be read")


def test_a_supervisor_that_gave_up_fails(folder: Path) -> None:
    assert look(folder, "supervisor").state == "not used"
    state = State(boot_id="b", phase="down", why="exit code 1")
    (folder / STATE).write_text(canonical(state.model_dump()))
    failed(look(folder, "supervisor"), "it gave up (exit code 1)", "--clear")
    (folder / STATE).write_text("half")
    failed(look(folder, "supervisor"), "cannot be read")


def test_a_port_that_is_taken_fails(tmp_path: Path) -> None:
    trader = TraderFolder(tmp_path, Clock())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed(trader.port(port), f"{port} cannot be had on 127.0.0.1")
    assert trader.port(port) == ("pass", f"{port} is free on 127.0.0.1")
    assert trader.port(None)[0] == "not used"


def test_an_address_where_nobody_answers_or_that_others_can_read_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    address = tmp_path / ADDRESS
    address.write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "token": "CANARY"}))
    address.chmod(0o600)
    line = look_port(tmp_path)
    failed(line, f"127.0.0.1:{port}, where nobody answers")
    address.chmod(0o644)
    failed(look_port(tmp_path), "can be read by others (mode 644)")
    address.chmod(0o600)
    address.write_text("half")
    failed(look_port(tmp_path), "cannot be read")


def look_port(path: Path) -> Line:
    return ask("port", lambda: TraderFolder(path, Clock()).port(None), Masker())


def test_a_running_trader_passes_while_it_runs(tmp_path: Path, on_disk: None) -> None:
    async def during() -> list[Line]:
        trader = PaperTrader(scenario.load("demo_normal", SHORT), tmp_path, speed=600)
        running = asyncio.create_task(trader.run(stay=False))
        while len(trader.session.bars) < 3 or not (tmp_path / ADDRESS).exists():
            await asyncio.sleep(0)
        try:
            return await asyncio.to_thread(examine, None, tmp_path, environment={})
        finally:
            trader.ask("stop", "", "")
            await running

    lines = {line.check: line for line in asyncio.run(during())}
    assert [line for line in lines.values() if line.state == "fail"] == []
    assert lines["lock"].text == f"process {os.getpid()} writes"
    assert lines["port"].text.endswith("answers 200")
    assert re.match(rf"process {os.getpid()}, trading, heard \d+ s ago", lines["heartbeat"].text)


# --- keys, vendors, notices


def test_keys_that_cannot_be_keys_or_are_half_there_fail() -> None:
    failed(ask("k", lambda: outside.massive_key({"MASSIVE_API_KEY": "two words"}), Masker()), "is no key")
    half = {"APCA_API_KEY_ID": "PKFAKE"}
    failed(ask("k", lambda: outside.alpaca_keys(half), Masker()), "APCA_API_SECRET_KEY is not set")
    assert outside.massive_key({"POLYGON_API_KEY": "x"}) == ("pass", "POLYGON_API_KEY is set")
    assert outside.massive_key({})[0] == outside.alpaca_keys({})[0] == "not used"


def test_a_short_reset_code_fails() -> None:
    failed(outside.reset_code({"MAXTRADER_KILL_RESET_CODE": "short"}), "shorter than 12 characters")
    assert outside.reset_code({})[0] == "not used"


def test_a_file_of_secrets_that_others_can_read_fails(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    assert outside.env_file(env)[0] == "not used"
    env.write_text("MASSIVE_API_KEY=CANARY\n")
    for mode in (0o644, 0o640, 0o602):
        env.chmod(mode)
        failed(outside.env_file(env), f"mode {mode:o}", "chmod 600 .env")
    env.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert outside.env_file(env) == ("pass", ".env is its owner's only (mode 600)")


@pytest.fixture
def venue() -> Iterator[tuple[FakeServer, FakeApi]]:
    api = FakeApi(FakeVenue(HandMarket(), TEN))
    with FakeServer(api) as running:
        yield running, api


ALPACA = {"APCA_API_KEY_ID": FAKE_KEY, "APCA_API_SECRET_KEY": FAKE_SECRET}


def test_alpaca_is_asked_only_when_it_may_be(venue: tuple[FakeServer, FakeApi]) -> None:
    server, api = venue
    assert outside.alpaca(ALPACA, None, TEN) == ("not used", "not asked; --online asks it")
    assert outside.alpaca({}, server.config(), TEN) == ("not used", "cannot be asked without keys")
    assert api.calls == []
    state, text = outside.alpaca(ALPACA, server.config(), TEN)
    assert (state, text) == (
        "pass", "paper account ACTIVE, equity 100,000.00 $, options level 3, market open",
    )  # fmt: skip


def test_alpaca_that_refuses_blocks_or_lives_in_another_time_fails(
    venue: tuple[FakeServer, FakeApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, api = venue
    wrong = {**ALPACA, "APCA_API_SECRET_KEY": "CANARY-not-the-secret"}
    line = ask("Alpaca", lambda: outside.alpaca(wrong, server.config(), TEN), Masker())
    failed(line, "account")
    assert "CANARY" not in line.text
    failed(outside.alpaca(ALPACA, server.config(), TEN + 3600 * NS), "our clock is +3600 s from the vendor's")
    account = api._account({})
    monkeypatch.setitem(api._routes, ("GET", "/v2/account"), lambda _: {**account, "trading_blocked": True})
    failed(outside.alpaca(ALPACA, server.config(), TEN), "it may not trade")


def test_massive_that_refuses_or_lives_in_another_time_fails() -> None:
    key = {"MASSIVE_API_KEY": KEY}
    with fake(TEN).background() as server:
        config = MassiveConfig(rest_url=server.rest_url)
        assert outside.massive(key, config, TEN) == ("pass", "the key is taken; the market is open")
        failed(outside.massive(key, config, TEN - 60 * NS), "our clock is -60 s from the vendor's")
        wrong = {"MASSIVE_API_KEY": "CANARY"}
        line = ask("Massive", lambda: outside.massive(wrong, config, TEN), Masker())
        failed(line, "401 Unknown API Key")
        assert "CANARY" not in line.text
        assert outside.massive({}, config, TEN)[0] == outside.massive(key, None, TEN)[0] == "not used"
    gone = ask("Massive", lambda: outside.massive(key, config, TEN), Masker())
    failed(gone, "cannot connect")


def test_online_asks_both_and_makes_the_time_service_count(
    venue: tuple[FakeServer, FakeApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = machine.Discipline(synchronised=False, error_s=16.0)
    monkeypatch.setattr(machine, "discipline", lambda: lost)
    clock = FakeClock()
    clock.wall = TEN
    with fake(TEN).background() as server:
        vendors = Vendors(MassiveConfig(rest_url=server.rest_url), venue[0].config())
        environment = {**ALPACA, "MASSIVE_API_KEY": KEY}
        lines = examine(vendors=vendors, environment=environment, clock=clock)
    states = {line.check: line.state for line in lines}
    assert (states["Massive"], states["Alpaca"], states["time service"]) == ("pass", "pass", "fail")


# --- a live path


def states(path: LivePath, *, environment: Any = None, **more: Any) -> dict[str, Line]:
    name = more.pop("scenario", "paper_qqq")
    return {line.check: line for line in examine(name, path=path, environment=environment or {}, **more)}


def test_a_live_path_wants_its_keys_and_a_guard() -> None:
    nothing = states(LivePath(), scenario="demo_normal")
    assert {nothing[name].state for name in ("Massive key", "Alpaca keys", "Massive bars")} == {"not used"}
    assert nothing["guard"].state == "pass"
    assert nothing["guard"].text.startswith("OFF: ")
    at_massive = states(LivePath("massive"), scenario="demo_normal")
    failed(at_massive["Massive key"], "MASSIVE_API_KEY", "--venue massive wants it")
    failed(at_massive["guard"], "--venue massive: the scenario's guard is off")
    assert at_massive["Alpaca keys"].state == "not used"
    at_alpaca = states(LivePath("massive", broker="alpaca"))
    failed(at_alpaca["Alpaca keys"], "APCA_API_KEY_ID", "--broker alpaca wants it")
    assert at_alpaca["guard"].text.startswith("on: ")
    turned_on = states(LivePath("massive"), scenario="demo_normal", overrides={"guard.book": "conservative"})
    assert turned_on["guard"].text.startswith("on: ")


def test_a_path_that_cannot_be_is_refused() -> None:
    with pytest.raises(MaxTraderError, match="--broker house: should be simulated, dry-run, fake, alpaca"):
        LivePath(broker="house").checked()
    with pytest.raises(MaxTraderError, match="--venue polygon: should be"):
        LivePath("polygon").checked()


def served(path: LivePath, plan: Plan | None = None, bars: Any = BARS) -> tuple[Found, Found]:
    """What is found of bars and chain at 10:30 of a day on which the fake's first contracts expire."""
    now = calendar.to_ns(NEXT_DAY, 10 * 60 + 30)
    with fake(now, bars, plan=plan or Plan()).background() as server:
        one = Served(path, {"MASSIVE_API_KEY": KEY}, MassiveConfig(rest_url=server.rest_url), now)
        return one.bars("QQQ"), one.chain("QQQ")


def test_a_page_of_bars_and_one_of_the_chain_are_fetched() -> None:
    bars, chain = served(LivePath("massive"))
    assert bars == ("pass", "451 minutes of QQQ, the newest of 2025-01-03 10:30 New York")
    assert chain[0] == "pass"
    assert chain[1].endswith("with quotes, real-time")


def test_a_delayed_plan_fails_unless_it_is_known() -> None:
    late = Plan(quotes="DELAYED", underlying="DELAYED")
    bars, chain = served(LivePath("massive"), late)
    failed(chain, "not real-time: nothing would be traded at them")
    failed(served(LivePath("massive"), bars=BARS[:400])[0], "they are delayed")
    assert served(LivePath("massive", delayed=True), bars=BARS[:400])[0][0] == "pass"
    bars, chain = served(LivePath("massive", delayed=True), late)
    assert (bars[0], chain[0]) == ("pass", "pass")
    assert served(LivePath("massive", quotes="modelled"), late)[1] == ("not used", "quotes are modelled")


def test_only_alpacas_paper_host_can_be_asked() -> None:
    assert Vendors(MassiveConfig(), AlpacaConfig()).alpaca.trading_url == "https://paper-api.alpaca.markets"


def test_addresses_that_no_service_knows_fail_by_their_place() -> None:
    bad = {"MAXTRADER_NOTIFY_URLS": "json://127.0.0.1:1/CANARY nothing://CANARY"}
    line = ask("notices to", lambda: outside.addresses(bad), Masker.from_environment(bad))
    failed(line, "MAXTRADER_NOTIFY_URLS, address 2")
    assert "CANARY" not in line.text
    assert outside.addresses({"MAXTRADER_NOTIFY_URLS": "json://127.0.0.1:1/"})[0] == "pass"


class Refusing(Memory):
    label = "refusing"

    def send(self, title: str, body: str, priority: int) -> bool:
        return False


def test_a_service_that_does_not_take_the_test_notice_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Memory()
    assert outside.send_test({}, "SIMULATED", [good]) == ("pass", "taken by memory")
    title, body, priority = good.sent[0]
    assert (title, priority) == ("[SIMULATED] Test", 0)
    assert body.startswith("a test by maxtrader doctor; nothing happened")
    monkeypatch.setattr(outside, "_SEND_S", 0.2)
    failed(outside.send_test({}, "SIMULATED", [good, Refusing()]), "not taken by refusing")
    with pytest.raises(MaxTraderError, match="there is nobody to send to"):
        outside.send_test({}, "SIMULATED")
