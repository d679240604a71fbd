"""The paper trader's page in Chromium, served by Voila as `maxtrader dashboard` serves it."""

import contextlib
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import Page, expect

from maxlib.app.voila import VoilaServer, serve
from maxlib.core.errors import ConfigError
from maxlib.data import DataConfig, SimulatorConfig, load
from maxlib.engine.backtest import backtest
from maxlib.market.calendar import from_ordinal
from maxlib.views.dashboard import settings

READY = 90_000  # ms: the first page waits for a kernel, on a machine that may be busy
SIZES = ((1440, 900), (1920, 1080))


@pytest.fixture(scope="module")
def day() -> str:
    """A day with several trades, the first of them early."""
    tape = load(DataConfig(source="simulator", simulator=SimulatorConfig(market="crash")))
    run = backtest(tape.bars, *settings("champion", "QQQ", 25_000), "find")
    count = Counter(t.contract.expiry for t in run.trades)
    first = {t.contract.expiry: t.entry_at % 86_400_000_000_000 for t in reversed(run.trades)}
    return str(from_ordinal(min(first, key=lambda d: (count[d] < 2, first[d]))))


@pytest.fixture(scope="module")
def server(day, chromium):
    with serve(parameters={"market": "crash", "day": day, "speed": 600.0}) as running:
        yield running


@pytest.fixture
def opened(server, context):
    """Open pages; at the end, none may have logged an error or asked another host."""
    errors: list[str] = []
    hosts: set[str] = set()

    def watch(request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            hosts.add(str(urlsplit(request.url).hostname))

    def note(message) -> None:
        if message.type == "error":
            errors.append(message.text)

    context.on("request", watch)

    def open_page() -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": 1440, "height": 900})
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.url)
        page.locator(".mx-plot .main-svg").first.wait_for(timeout=READY)
        return page

    yield open_page
    assert errors == []
    assert hosts == {"127.0.0.1"}


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def state(page: Page, name: str, timeout: float = 30_000) -> None:
    expect(page.locator(".mx-state")).to_have_text(name, timeout=timeout)


def candles(page: Page) -> int:
    return page.evaluate("document.querySelector('.mx-plot').data?.[0].x.length ?? 0")


def grows(page: Page, beyond: int) -> None:
    page.wait_for_function("n => document.querySelector('.mx-plot').data?.[0].x.length > n", arg=beyond)


def speed(page: Page, name: str) -> None:
    page.get_by_label("Speed").select_option(name)


def boxes(page: Page) -> list[list[float]]:
    """Where the panels lie."""
    return page.evaluate(
        """[...document.querySelectorAll('.mx-panel, .mx-tile, .mx-header, .mx-badge, .mx-buttons button')]
           .map(e => e.getBoundingClientRect()).map(r => [r.x, r.y, r.width, r.height].map(Math.round))"""
    )


def check_layout(page: Page, shots: Path, name: str) -> None:
    """Nothing sticks out or is cut off, at both sizes; leaves a picture of each."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(
            "() => Math.abs(document.querySelector('.mx-plot').getBoundingClientRect().width"
            " - document.querySelector('.mx-plot .main-svg').getBoundingClientRect().width) < 2"
        )
        page.screenshot(path=shots / f"{name}_{width}.png")
        inside, outside = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert inside <= outside
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        cut = page.evaluate(
            """[...document.querySelectorAll('.mx-header, .mx-header b, .mx-tile b, .mx-centre, .mx-control')]
               .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
               .map(e => e.className || e.textContent)"""
        )
        assert cut == []
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})


def test_a_session_from_start_to_finish(opened, tmp_path):
    page = opened()
    expect(page.locator(".mx-label")).to_have_text("SIMULATED")
    state(page, "IDLE")
    assert candles(page) == 0
    expect(button(page, "Pause")).to_be_disabled()
    expect(button(page, "Stop")).to_be_disabled()
    before = boxes(page)
    check_layout(page, tmp_path, "idle")

    button(page, "Start").click()
    state(page, "RUNNING")
    grows(page, 0)
    grows(page, candles(page))
    grows(page, candles(page))
    page.wait_for_function("document.querySelector('.mx-plot').data[5].y.some(v => v !== 0)")
    page.locator(".mx-position dd.mx-up, .mx-position dd.mx-down").first.wait_for()
    pnl = page.locator(".mx-tile", has_text="Unrealised").locator("b")
    first = pnl.inner_text()
    expect(pnl).not_to_have_text(first)

    button(page, "Pause").click()
    state(page, "PAUSED")
    drawn = page.evaluate("document.querySelector('.mx-plot').data[0].x.length")
    market = page.locator(".mx-clocks b").first.inner_text()
    wall = page.locator(".mx-facts b").last.inner_text()
    for _ in range(2):  # two seconds by the page's own clock
        expect(page.locator(".mx-facts b").last).not_to_have_text(wall)
        wall = page.locator(".mx-facts b").last.inner_text()
    assert candles(page) == drawn
    assert page.locator(".mx-clocks b").first.inner_text() == market
    expect(page.locator(".mx-label")).to_have_text("SIMULATED")
    assert boxes(page) == before  # nothing has jumped
    check_layout(page, tmp_path, "paused")

    speed(page, "max")
    button(page, "Resume").click()
    grows(page, drawn)
    state(page, "FINISHED")
    expect(page.locator(".mx-trades tbody tr").first).to_be_visible()
    expect(page.locator(".mx-journal h3")).to_contain_text("entries, head")
    assert candles(page) > 380
    assert boxes(page) == before
    check_layout(page, tmp_path, "finished")


def test_stop_sells_what_is_open_and_reset_begins_anew(opened):
    page = opened()
    button(page, "Start").click()
    page.locator(".mx-position dd.mx-up, .mx-position dd.mx-down").first.wait_for()
    button(page, "Stop").click()
    state(page, "STOPPED")
    expect(page.locator(".mx-position")).to_contain_text("Flat.")
    expect(page.locator(".mx-trades tbody tr").first).to_contain_text("tape end")
    expect(page.locator(".mx-journal tbody tr").first).to_contain_text("closed")
    expect(button(page, "Start")).to_be_disabled()
    button(page, "Reset").click()
    state(page, "IDLE")
    expect(page.locator(".mx-trades")).to_contain_text("No trade closed yet.")
    page.wait_for_function("document.querySelector('.mx-plot').data[0].x.length === 0")


def test_a_second_tab_does_not_disturb_the_first(opened):
    first = opened()
    speed(first, "30×")
    button(first, "Start").click()
    state(first, "RUNNING")
    grows(first, 0)
    second = opened()
    state(second, "IDLE")
    grows(first, candles(first))
    button(second, "Start").click()
    state(second, "RUNNING")
    button(second, "Stop").click()
    state(second, "STOPPED")
    state(first, "RUNNING")
    second.close()
    grows(first, candles(first))
    button(first, "Stop").click()
    state(first, "STOPPED")


# --- the server


def kernels(server: VoilaServer) -> dict[str, psutil.Process]:
    """The server's living kernels by the command that started them."""
    found = {}
    for child in psutil.Process(server._process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            command = " ".join(child.cmdline())
            if "ipykernel_launcher" in command:
                found[command] = child
    return found


def get(
    server: VoilaServer, path: str = "", *, token: bool = True, host: str | None = None
) -> tuple[int, str]:
    address, query = server.url.split("?")
    joined = f"{'&' if '?' in path else '?'}{query}" if token else ""
    request = urllib.request.Request(address + path + joined, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.geturl() + answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_foreign_host_header_is_refused(server):
    status, _ = get(server, host="evil.example")
    assert status == 403


def test_template_theme_and_files_cannot_be_chosen_by_the_address(server):
    status, page = get(server, "?theme=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&template=nope")
    assert status == 200
    assert "<script>alert(1)" not in page
    assert get(server, "voila/files/paper_trader.ipynb")[0] == 403


def test_the_page_may_only_talk_to_its_own_server(server):
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?://", policy)


def test_closing_a_page_ends_its_kernel_and_no_other(opened, server):
    stays, closes = opened(), opened()
    ids = [json.loads(p.locator("#jupyter-config-data").text_content())["kernelId"] for p in (stays, closes)]
    first, second = (next(p for c, p in kernels(server).items() if i in c) for i in ids)
    closes.close(run_before_unload=True)
    gone, _ = psutil.wait_procs([second], timeout=30)
    assert gone
    assert first.is_running()
    button(stays, "Start").click()
    state(stays, "RUNNING")


def test_the_token_is_in_no_argument_and_no_kernels_environment(opened, server):
    opened()
    token = server.url.split("token=")[1]
    parent = psutil.Process(server._process.pid)
    assert len(kernels(server)) >= 1
    for process in (parent, *kernels(server).values()):
        assert token not in " ".join(process.cmdline())
        assert token not in "".join(process.environ().values())


def test_without_the_token_no_kernel_starts_and_the_end_takes_all_along(server):
    busy = int(urlsplit(server.url).port or 0)
    with serve(port=busy, preheat=False) as other:
        assert urlsplit(other.url).port != busy
        status, page = get(other, token=False)
        assert status == 200
        assert "/login" in page
        assert kernels(other) == {}
        assert get(other)[0] == 200
        family = [psutil.Process(other._process.pid), *kernels(other).values()]
        assert len(family) == 2
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_a_parameter_that_the_notebook_lacks_is_refused():
    with pytest.raises(
        ConfigError, match=r"paper_trader\.ipynb has no parameter 'sede'; it has source, market"
    ):
        serve(parameters={"sede": 1})
    with pytest.raises(ConfigError, match="does not exist"):
        serve("dashboards/nope.ipynb")
