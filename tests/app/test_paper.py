"""`maxtrader paper`: a day of bars through the trader's process, its API, and kills in the middle of it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import typing
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from maxlib.app.api import Asked
from maxlib.app.launch import itself
from maxlib.app.paper import ADDRESS, PaperTrader
from maxlib.app.refusal import ending, refused
from maxlib.core.errors import ConfigError, DataError, InvariantError
from maxlib.data.tape import load
from maxlib.engine.replay import ReplaySession, session_days
from maxlib.engine.trader import INPUTS
from maxlib.execution.alpaca.reasons import Complaint, VenueError
from maxlib.journal.chain import Entry
from maxlib.journal.errors import HaltEntriesError, StopTradingError
from maxlib.journal.store import read
from maxlib.ops.heartbeat import STOPPED, read_beat
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.supervisor import HEARTBEAT, REFUSAL
from maxlib.research import scenario

SHORT = {"data.simulator.days": 12}


def decisions(entries: Any) -> list[tuple[int, str, str]]:
    return [
        (e.ts, e.kind, e.body) for e in entries if e.kind not in INPUTS and e.kind not in ("start", "run")
    ]


def busiest(name: str, overrides: dict[str, Any] | None = None) -> tuple[scenario.Scenario, str, list[Any]]:
    """The day of a scenario's tape with the most trades, and what a replay of it decides."""
    chosen = scenario.load(name, overrides)
    bars = load(chosen.data).bars
    best: tuple[int, str, list[Any]] = (-1, "", [])
    for day in session_days(bars)[-8:]:
        label = "SIMULATED" if name.startswith("demo") else "REPLAY"
        one = ReplaySession(bars, chosen.strategy.build(), chosen.machine, day=day, label=label, name="x")
        one.start()
        one.advance(10_000)
        trades = len(one.view().trades)
        if trades > best[0]:
            best = (trades, str(day), list(one.journal))
    assert best[0] > 0
    return chosen, best[1], best[2]


def traded(chosen: scenario.Scenario, day: str, folder: Path) -> PaperTrader:
    trader = PaperTrader(chosen, folder, day=day, speed=0)
    asyncio.run(trader.run(stay=False))
    return trader


def without_ids(rows: list[tuple[int, str, str]]) -> list[tuple[int, str, dict[str, Any]]]:
    """Order ids name the run, which differs; everything else must not."""
    return [
        (ts, kind, {k: v for k, v in json.loads(body).items() if k != "order"}) for ts, kind, body in rows
    ]


def test_a_simulated_day_decides_what_its_replay_decides(tmp_path: Path) -> None:
    chosen, day, replayed = busiest("demo_normal", SHORT)
    traded(chosen, day, tmp_path)
    mine = decisions(read(tmp_path / "journal.sqlite"))
    assert without_ids(mine) == without_ids(decisions(replayed))


def test_a_real_day_decides_what_its_replay_decides(shared: Path, tmp_path: Path) -> None:
    del shared
    chosen, day, replayed = busiest("baseline_2025", {"data.start": "2025-09-15", "data.end": "2025-10-31"})
    traded(chosen, day, tmp_path)
    mine = decisions(read(tmp_path / "journal.sqlite"))
    assert without_ids(mine) == without_ids(decisions(replayed))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Entry]]:
    chosen, day, _ = busiest("demo_normal", SHORT)
    folder = tmp_path_factory.mktemp("undisturbed")
    traded(chosen, day, folder)
    return day, read(folder / "journal.sqlite")


def command(day: str, folder: Path, speed: float) -> list[str]:
    days = f"data.simulator.days={SHORT['data.simulator.days']}"
    told = ["--day", day, "--speed", str(speed), "--folder", str(folder), "--exit"]
    return itself("paper", "demo_normal", "-p", days, *told)


def wait_for(condition: Any, seconds: float = 60.0) -> Any:
    """The first true answer; the process under test has this long to give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return pytest.fail("the trader did not get there in time")


def written(folder: Path) -> int:
    """Entries on disk now; the file may be on its way into being."""
    try:
        return len(read(folder / "journal.sqlite"))
    except DataError:
        return 0


def address(folder: Path) -> dict[str, Any] | None:
    path = folder / ADDRESS
    return json.loads(path.read_text()) if path.exists() else None


@pytest.mark.slow
def test_killed_twice_and_started_again_the_journal_is_the_undisturbed_one(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, whole = undisturbed
    for share in (0.3, 0.7):
        process = subprocess.Popen(command(day, tmp_path, 6000), stdout=subprocess.DEVNULL)
        wait_for(lambda: written(tmp_path) > share * len(whole))  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert written(tmp_path) < len(whole), "it was killed before its end"
    done = subprocess.run(command(day, tmp_path, 0), capture_output=True, text=True, check=True)
    assert "run through again" in done.stdout
    assert read(tmp_path / "journal.sqlite") == whole


def test_the_running_trader_answers_on_loopback_with_its_token_only(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, _ = undisturbed
    process = subprocess.Popen(command(day, tmp_path, 600)[:-1], stdout=subprocess.DEVNULL)
    try:
        told = wait_for(lambda: address(tmp_path))
        assert (tmp_path / ADDRESS).stat().st_mode & 0o077 == 0, "nobody else reads the token"
        mine = {"authorization": f"Bearer {told['token']}"}
        url = told["url"]

        def get(path: str, **more: Any) -> requests.Response:
            return requests.get(url + path, timeout=20, **more)

        def post(path: str, **more: Any) -> Any:
            return requests.post(url + path, timeout=20, headers=mine, **more).json()

        assert get("/health").status_code == 200
        assert get("/status").status_code == 401
        status = get("/status", headers=mine).json()
        assert (status["phase"], status["label"]) == ("TRADING", "SIMULATED")
        assert post("/halt", json={"why": "a test"}) == {"done": True, "reason": ""}
        status = get("/status", headers=mine).json()
        assert (status["phase"], list(status["blocked"])) == ("HALTED", ["halt", "clear", "reset_peak"])
        assert post("/halt") == {"done": False, "reason": "the trader is halted"}
        assert post("/stop")["done"]
        assert process.wait(timeout=30) == 0
        assert address(tmp_path) is None
    finally:
        process.kill()
        process.wait()
    kinds = [(e.kind, json.loads(e.body).get("why")) for e in read(tmp_path / "journal.sqlite")]
    assert ("command", "a test") in kinds


def test_a_running_trader_answers_no_page_and_nobody_without_its_token_on_any_route(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, _ = undisturbed
    process = subprocess.Popen(command(day, tmp_path, 600)[:-1], stdout=subprocess.DEVNULL)
    try:
        told = wait_for(lambda: address(tmp_path))
        mine = {"authorization": f"Bearer {told['token']}"}
        wait_for(lambda: requests.get(told["url"] + "/status", timeout=20, headers=mine).ok)
        paths = requests.get(told["url"] + "/openapi.json", timeout=20, headers=mine).json()["paths"]
        asks = typing.get_args(Asked)
        routes = [("GET", path) for path in paths if "{" not in path] + [("POST", f"/{ask}") for ask in asks]
        assert len(routes) >= 15
        for method, path in routes:
            bare = requests.request(method, told["url"] + path, timeout=20)
            assert bare.status_code == (200 if path == "/health" else 401), path
            for foreign in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
                found = requests.request(method, told["url"] + path, timeout=20, headers={**mine, **foreign})
                assert found.status_code == 403, (path, foreign)
        stream = told["url"].replace("http", "ws") + "/events"
        for more in ({}, {"Origin": "http://evil.example", **mine}):
            with pytest.raises(InvalidStatus), connect(stream, additional_headers=more):
                pass
        with connect(stream, additional_headers=mine) as socket:
            assert json.loads(socket.recv(timeout=20))["status"]["phase"] == "TRADING", (
                "nothing was carried out"
            )
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"day": "2025-01-01"}, "--day 2025-01-01: .* has no session then; it has "),
        ({"day": "tomorrow"}, "--day tomorrow: .* has no session then"),
        ({"speed": -1.0}, "--speed -1.0: should be from 0"),
        ({"speed": float("nan")}, "--speed nan: should be from 0"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    given: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    chosen = scenario.load("demo_normal", SHORT)
    with pytest.raises((ConfigError, DataError), match=sentence):
        PaperTrader(chosen, tmp_path / "none", **given)
    assert not (tmp_path / "none").exists()


def test_a_kill_survives_a_restart_and_only_its_code_resets_it(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path, monkeypatch: Any
) -> None:
    day, _ = undisturbed
    chosen = scenario.load("demo_normal", SHORT)
    one = PaperTrader(chosen, tmp_path, day=day, speed=0)
    assert one.ask("kill", "enough", "") is None
    assert one.session.phase == "HALTED"
    assert one.ask("resume", "", "") == "the kill switch is thrown; reset it first"
    one.trader.close()
    again = PaperTrader(chosen, tmp_path, day=day, speed=0)
    assert again.session.phase == "HALTED"
    monkeypatch.setenv("MAXTRADER_KILL_RESET_CODE", "a code that nobody guesses")
    assert again.ask("reset", "", "a guess") is not None
    assert again.ask("resume", "", "") == "the kill switch is thrown; reset it first"
    assert again.ask("reset", "", "a code that nobody guesses") is None
    assert again.session.phase == "HALTED", "a reset lets nobody trade by itself"
    assert again.ask("resume", "", "") is None
    assert again.session.phase == "TRADING"
    again.trader.close()


def test_a_kill_is_in_the_journal_also_when_halted_and_a_file_that_is_removed_is_thrown_again(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path, monkeypatch: Any
) -> None:
    chosen, code = scenario.load("demo_normal", SHORT), "a code that nobody guesses"
    monkeypatch.setenv("MAXTRADER_KILL_RESET_CODE", code)
    one = PaperTrader(chosen, tmp_path, day=undisturbed[0], speed=0)
    assert one.ask("halt", "lunch", "") is None
    assert one.ask("kill", "enough", "") is None
    one.trader.close()
    (tmp_path / "kill.json").unlink()
    again = PaperTrader(chosen, tmp_path, day=undisturbed[0], speed=0)
    assert again.switch.thrown
    assert again.session.killed == "kill switch: its file was removed, and no code was given (the journal)"
    assert again.ask("resume", "", "") == "the kill switch is thrown; reset it first"
    (tmp_path / "kill.json").unlink()
    assert again.ask("resume", "", "") == "the kill switch is thrown; reset it first"
    assert again.ask("reset", "mended", code) is None
    assert not again.switch.thrown
    assert again.ask("resume", "", "") is None
    again.trader.close()
    said = [json.loads(e.body) for e in read(tmp_path / "journal.sqlite") if e.kind == "command"]
    assert [row["name"] for row in said] == ["halt", "kill", "reset", "resume"]
    assert said[1]["why"] == "kill switch: enough (API)"


def test_the_peak_is_reset_only_once_there_is_one(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    chosen = scenario.load("demo_normal", {**SHORT, "guard.book": "conservative"})
    one = PaperTrader(chosen, tmp_path, day=undisturbed[0], speed=0)
    assert one.ask("reset_peak", "", "") == "no bar has come yet, and the guard begins with one"
    one.trader.close()


def test_a_trader_that_serves_on_after_its_day_does_not_look_like_one_that_ended(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    """A kill then is a failure for supervisor, doctor and page, which know an end by the last beat."""
    day, _ = undisturbed

    async def served() -> str:
        trader = PaperTrader(scenario.load("demo_normal", SHORT), tmp_path, day=day, speed=0)
        running = asyncio.create_task(trader.run())
        while trader.session.phase != "STOPPED":
            await asyncio.sleep(0)
        while (now := beat()) in ("recovering", "trading"):
            await asyncio.sleep(0.01)
        assert trader.ask("stop", "", "") is None
        await running
        return now

    def beat() -> str:
        found = read_beat(tmp_path / HEARTBEAT)
        assert found is not None
        return found.phase

    assert asyncio.run(served()) == "serving"
    assert beat() == STOPPED


def test_a_switch_thrown_by_another_process_halts_the_trader_at_its_next_turn(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, _ = undisturbed
    process = subprocess.Popen(command(day, tmp_path, 600)[:-1], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: written(tmp_path) > 20)
        KillSwitch(tmp_path / "kill.json").throw("from outside", "a test")
        halted = wait_for(lambda: [e for e in read(tmp_path / "journal.sqlite") if e.kind == "command"])
        assert "from outside" in halted[0].body
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0, "a polite end"


@pytest.mark.slow
def test_a_supervised_trader_comes_back_from_a_kill_and_loses_nothing(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, whole = undisturbed
    told = command(day, tmp_path, 3000)
    told[told.index("paper")] = "supervise"
    process = subprocess.Popen(told, stdout=subprocess.PIPE, text=True)
    try:
        first = wait_for(lambda: written(tmp_path) > 0.2 * len(whole) and address(tmp_path))
        os.kill(first["pid"], signal.SIGKILL)
        second = wait_for(lambda: (now := address(tmp_path)) and now["pid"] != first["pid"] and now)
        assert second["pid"] != first["pid"]
        assert process.wait(timeout=90) == 0
    finally:
        process.kill()
        said = process.communicate()[0]
    assert "restart" in said
    assert decisions(read(tmp_path / "journal.sqlite")) == decisions(whole)


def test_row_70_killed_while_halted_it_is_halted_when_it_is_back(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, _ = undisturbed

    def status() -> dict[str, Any]:
        told = wait_for(lambda: address(tmp_path))
        mine = {"authorization": f"Bearer {told['token']}"}
        found: dict[str, Any] = requests.get(told["url"] + "/status", timeout=20, headers=mine).json()
        return found

    for n in range(3):
        process = subprocess.Popen(command(day, tmp_path, 600)[:-1], stdout=subprocess.DEVNULL)
        try:
            told = wait_for(lambda: (now := address(tmp_path)) and now["pid"] == process.pid and now)  # noqa: B023
            mine = {"authorization": f"Bearer {told['token']}"}
            wait_for(lambda: requests.get(told["url"] + "/health", timeout=20).ok)  # noqa: B023
            if n == 0:
                asked = requests.post(told["url"] + "/halt", timeout=20, headers=mine, json={"why": "lunch"})
                assert asked.json()["done"]
            assert status()["phase"] == "HALTED"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    commands = [json.loads(e.body)["name"] for e in read(tmp_path / "journal.sqlite") if e.kind == "command"]
    assert commands == ["halt"]


def test_a_supervised_trader_that_refuses_is_not_started_again(
    undisturbed: tuple[str, list[Entry]], tmp_path: Path
) -> None:
    day, _ = undisturbed
    PaperTrader(scenario.load("demo_normal", SHORT), tmp_path, day=day, speed=60).trader.close()
    told = command(day, tmp_path, 120)
    told[told.index("paper")] = "supervise"
    told += ["-p", "risk.contracts=2"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout.count("the journal was begun with run") == 2, "an alert and the last words"
    assert done.stderr.count("maxtrader: the journal was begun with run") == 1, "it was tried once"


@pytest.mark.parametrize(
    ("error", "started", "expected"),
    [
        (ConfigError("--port 80"), True, True),
        (DataError("the journal was begun with"), False, True),
        (InvariantError("running it again gives"), False, True),
        (VenueError("account", Complaint("UNAUTHORIZED", 401)), True, True),
        (VenueError("trade stream", Complaint("CONNECTION_LIMIT", 406)), True, False),
        (HaltEntriesError("the disk is full"), False, False),
        (StopTradingError("a sync failed"), True, False),
        (InvariantError("cash"), True, False),
        (ZeroDivisionError(), False, False),
    ],
)
def test_a_refusal_is_what_every_new_start_would_meet(
    error: Exception, started: bool, expected: bool
) -> None:
    assert refused(error, started=started) is expected


def test_a_failure_is_told_in_a_sentence_and_may_be_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left, ending(tmp_path):
        raise StopTradingError("the disk fails")
    assert left.value.code == 1
    assert capsys.readouterr().err == "maxtrader: the disk fails; a new start goes on by recovery\n"
    assert not (tmp_path / REFUSAL).exists()


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        trader = PaperTrader(scenario.load("demo_normal", SHORT), tmp_path, speed=0)
        with pytest.raises(ConfigError, match=f"--port {port}: cannot be had on 127.0.0.1"):
            asyncio.run(trader.run(port))
    assert traded(scenario.load("demo_normal", SHORT), "", tmp_path).trader.finished, "nothing was lost"


def test_the_status_says_beforehand_whether_a_kill_could_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = scenario.load("demo_normal", SHORT)
    found = []
    for code in ("", "a code that nobody guesses"):
        monkeypatch.setenv("MAXTRADER_KILL_RESET_CODE", code)
        trader = PaperTrader(chosen, tmp_path / f"{len(code)}", speed=0)
        found.append(trader.session.status(0).no_reset)
        trader.trader.close()
    assert found == ["MAXTRADER_KILL_RESET_CODE holds no code of 12 characters or more", ""]
