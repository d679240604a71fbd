"""The page of a trader process in Chromium: tabs come and go, the trader is killed and comes back."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from maxlib.app.voila import TRADER, serve
from maxlib.journal.store import read
from tests.app.test_paper import SHORT, address, busiest, command, wait_for, written
from tests.browser.test_paper_trader import READY, boxes, button, candles, check_layout
from tests.views.fake_trader import FakeTrader, hostile

SLOW = 1.0
"""Times market speed at which a trader that was started anew stands still for a minute."""
_STARTED: list[subprocess.Popen[bytes]] = []
PAYLOADS = (
    "<img src=x onerror=window.owned=1>",
    "<script>window.owned=1</script>",
    "<svg onload=window.owned=1>",
    "'\"><iframe srcdoc='<script>parent.owned=1</script>'>",
    "<a href='http://evil.example/x'>press</a>",
    "<b style=background:url(http://evil.example/x)>",
    "</style><script>alert(1)</script>",
    "javascript:alert(1)//&lt;img src=x onerror=alert(1)&gt;",
)
CODE = "a code that nobody guesses"


@pytest.fixture(scope="module")
def day() -> str:
    return busiest("demo_normal", SHORT)[1]


@pytest.fixture(scope="module")
def held_open(day: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trader that was killed with a position open."""
    folder = tmp_path_factory.mktemp("held_open")
    process = start(day, folder, 3000)
    wait_for(lambda: written(folder) and "fill" in kinds(folder))
    process.kill()
    process.wait()
    assert "closed" not in kinds(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A trader's folder; whatever runs on it is ended."""
    (tmp_path / "trader").mkdir()
    yield tmp_path / "trader"
    for child in _STARTED:
        child.kill()
        child.wait()
    _STARTED.clear()
    for process in processes(tmp_path / "trader", "supervise") + traders(tmp_path / "trader"):
        process.kill()
        process.wait(20)


@pytest.fixture
def opened(
    context: BrowserContext, folder: Path, day: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Page]]:
    """Open tabs of one server; at the end, none may have logged an error."""
    monkeypatch.setenv("MAXTRADER_KILL_RESET_CODE", CODE)
    errors: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error":
            errors.append(message.text)

    days = f"data.simulator.days={SHORT['data.simulator.days']}"
    options = ["--day", day, "--speed", "300", "-p", days]
    told = {"folder": str(folder), "scenario": "demo_normal", "options": options}
    with serve(TRADER, parameters=told) as server:

        def open_tab() -> Page:
            page = context.new_page()
            page.set_viewport_size({"width": 1440, "height": 900})
            page.on("console", note)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(server.url)
            page.locator(".mx-plot .main-svg").first.wait_for(timeout=READY)
            return page

        yield open_tab
        for page in context.pages:
            page.close()
    assert errors == []


def processes(folder: Path, name: str) -> list[psutil.Process]:
    """Living processes of `maxtrader NAME` on the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if name in words and str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def traders(folder: Path) -> list[psutil.Process]:
    return processes(folder, "paper")


def start(day: str, folder: Path, speed: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command(day, folder, speed)[:-1], stdout=subprocess.DEVNULL)
    _STARTED.append(process)
    return process


def kinds(folder: Path) -> list[str]:
    return [entry.kind for entry in read(folder / "journal.sqlite")]


def shows(page: Page, phase: str) -> None:
    expect(page.locator(".mx-phase")).to_have_text(phase, timeout=60_000)


def held(page: Page) -> Any:
    return page.locator(".mx-position dd")


def position(page: Page) -> list[str]:
    """Contract, quantity, entry: what a restart must not change."""
    return held(page).all_inner_texts()[:3]


def fact(page: Page, name: str) -> Any:
    return page.locator(f".mx-about dt:text-is('{name}') + dd")


def test_two_tabs_one_closed_the_trader_killed_and_started_again(
    opened: Callable[[], Page], day: str, held_open: Path, folder: Path, tmp_path: Path
) -> None:
    stays, closes = opened(), opened()
    for page in (stays, closes):
        shows(page, "NO TRADER")
        expect(page.locator(".mx-label")).to_have_text("NO DATA")
    shutil.copytree(held_open, folder, dirs_exist_ok=True)
    one = start(day, folder, 120)
    for page in (stays, closes):
        shows(page, "TRADING")
        expect(page.locator(".mx-label")).to_have_text("SIMULATED")
        held(page).first.wait_for()
    assert [p.pid for p in traders(folder)] == [one.pid]
    place = boxes(stays)

    closes.close(run_before_unload=True)
    before = candles(stays)
    stays.wait_for_function("n => document.querySelector('.mx-plot').data[0].x.length > n + 2", arg=before)
    assert [p.pid for p in traders(folder)] == [one.pid]
    shows(stays, "TRADING")

    one.send_signal(signal.SIGKILL)
    one.wait()
    journal = read(folder / "journal.sqlite")
    shows(stays, "TRADER DOWN")
    expect(stays.locator(".mx-said")).to_contain_text("Since ")
    expect(button(stays, "Halt")).to_be_disabled()
    expect(fact(stays, "Process")).to_have_text(str(one.pid))
    drawn, was = candles(stays), position(stays)
    assert len(was) == 3
    check_layout(stays, tmp_path, "down")
    assert traders(folder) == []

    two = start(day, folder, SLOW)
    shows(stays, "TRADING")
    expect(fact(stays, "Process")).to_have_text(str(two.pid))
    expect(fact(stays, "Recovered")).to_have_text(f"{len(journal):,} entries")
    assert [p.pid for p in traders(folder)] == [two.pid]
    assert candles(stays) >= drawn
    assert candles(stays) == stays.evaluate("new Set(document.querySelector('.mx-plot').data[0].x).size"), (
        "no bar twice"
    )
    assert position(stays) == was
    assert boxes(stays) == place, "nothing has jumped"
    after = read(folder / "journal.sqlite")
    assert after[: len(journal)] == journal
    late = opened()
    shows(late, "TRADING")
    assert (candles(late), position(late)) == (candles(stays), was), "a new tab shows the day too"
    check_layout(late, tmp_path, "trading")
    assert [p.pid for p in traders(folder)] == [two.pid]


def test_text_of_a_trader_runs_nothing_and_asks_no_other_host(
    opened: Callable[[], Page], context: BrowserContext, folder: Path
) -> None:
    hosts: set[str] = set()

    def note(request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")):
            hosts.add(str(urlsplit(request.url).hostname))

    context.on("request", note)
    ran: list[str] = []
    with FakeTrader(folder) as fake:
        hostile(fake, PAYLOADS[0])
        page = opened()
        page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
        for payload in PAYLOADS:
            hostile(fake, payload)
            expect(page.locator(".mx-symbol")).to_have_text(payload, timeout=30_000)
            expect(page.locator(".mx-whynot")).to_contain_text(payload)
            expect(page.locator(".mx-journal")).to_contain_text(payload)
            expect(page.locator(".mx-position")).to_contain_text(payload)
            expect(page.locator(".mx-trades")).to_contain_text(payload)
            assert page.evaluate("window.owned") is None
            assert page.locator(".mx-app :is(img, script, iframe, svg[onload], a)").count() == 0
    assert (ran, hosts) == ([], {"127.0.0.1"})


@pytest.mark.slow
def test_twenty_tabs_show_one_trader_and_nineteen_close(
    opened: Callable[[], Page], day: str, held_open: Path, folder: Path
) -> None:
    shutil.copytree(held_open, folder, dirs_exist_ok=True)
    one = start(day, folder, SLOW)
    tabs = [opened() for _ in range(20)]
    for page in tabs:
        shows(page, "TRADING")
        expect(fact(page, "Process")).to_have_text(str(one.pid))
    assert [p.pid for p in traders(folder)] == [one.pid]
    assert len({tuple(position(page)) for page in tabs}) == 1
    last, *others = tabs
    for page in others:
        page.close(run_before_unload=True)
    assert [p.pid for p in traders(folder)] == [one.pid]
    button(last, "Halt").click()
    shows(last, "HALTED")
    assert one.poll() is None


@pytest.mark.slow
def test_start_in_both_tabs_starts_one_trader_which_outlives_tabs_and_server(
    opened: Callable[[], Page], folder: Path
) -> None:
    first, second = opened(), opened()
    for page in (first, second):
        shows(page, "NO TRADER")
    for page in (first, second):
        button(page, "Start").click()
    for page in (first, second):
        shows(page, "TRADING")
    told = wait_for(lambda: address(folder))
    assert [p.pid for p in traders(folder)] == [told["pid"]]
    wait_for(lambda: len(processes(folder, "supervise")) == 1)  # the second one refuses and ends
    assert [p.pid for p in traders(folder)] == [told["pid"]]

    os.kill(told["pid"], signal.SIGKILL)
    second.close(run_before_unload=True)
    back = wait_for(lambda: (now := address(folder)) and now["pid"] != told["pid"] and now)
    expect(fact(first, "Process")).to_have_text(str(back["pid"]), timeout=60_000)
    shows(first, "TRADING")
    assert [p.pid for p in traders(folder)] == [back["pid"]]

    first.close(run_before_unload=True)
    third = opened()
    shows(third, "TRADING")
    assert [p.pid for p in traders(folder)] == [back["pid"]]
    button(third, "Stop").click()
    shows(third, "ENDED")
    _, alive = psutil.wait_procs(traders(folder) + processes(folder, "supervise"), timeout=30)
    assert alive == []


@pytest.mark.slow
def test_a_request_of_one_tab_is_seen_in_the_other(
    opened: Callable[[], Page], day: str, folder: Path, tmp_path: Path
) -> None:
    one = start(day, folder, 60)
    asks, sees = opened(), opened()
    for page in (asks, sees):
        shows(page, "TRADING")
    button(asks, "Halt").click()
    for page in (asks, sees):
        shows(page, "HALTED")
    button(sees, "Resume").click()
    for page in (asks, sees):
        shows(page, "TRADING")
    button(asks, "Kill switch").click()
    button(asks, "Cancel").click()
    assert not (folder / "kill.json").exists()
    button(asks, "Kill switch").click()
    button(asks, "Throw it").click()
    for page in (asks, sees):
        shows(page, "KILLED")
        expect(page.locator(".mx-said")).to_contain_text("asked for on the page")
        expect(button(page, "Resume")).to_be_disabled()
    assert (folder / "kill.json").exists()
    check_layout(asks, tmp_path, "killed")

    asks.get_by_placeholder("reset code").fill("a guess")
    button(asks, "Reset").click()
    expect(asks.locator(".mx-note")).to_contain_text("Reset was refused")
    asks.get_by_placeholder("reset code").fill(CODE)
    button(asks, "Reset").click()
    expect(button(sees, "Resume")).to_be_enabled()
    assert not (folder / "kill.json").exists()
    shows(sees, "HALTED")

    one.send_signal(signal.SIGSTOP)
    shows(sees, "NO ANSWER")
    one.send_signal(signal.SIGCONT)
    shows(sees, "HALTED")
