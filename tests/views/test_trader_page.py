"""The page of a trader process without a browser: looks, clicks, and the HTML that comes of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlib.views.price_chart import CANDLES
from maxlib.views.remote import Remote
from maxlib.views.trader_page import TraderPage
from tests.views.fake_trader import BEGIN, MINUTE, FakeTrader, bar, held, hostile


class Starts:
    """A starter that only counts."""

    def __init__(self) -> None:
        self.count, self.running, self.failure = 0, False, ""

    def start(self, *, clear: bool = False) -> None:
        assert clear
        self.count += 1
        self.running = True


@pytest.fixture
def starter() -> Starts:
    return Starts()


@pytest.fixture
def app(tmp_path: Path, starter: Starts) -> TraderPage:
    return TraderPage(Remote(tmp_path), starter)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeTrader]:
    with FakeTrader(tmp_path) as running:
        yield running


def disabled(app: TraderPage) -> set[str]:
    return {name for name, button in app.controls.buttons.items() if button.disabled}


def candles(app: TraderPage) -> list[str]:
    found: list[str] = app.chart.widget.figure["data"][CANDLES]["x"]
    return found


def position(app: TraderPage) -> str:
    return next(panel.value for panel in app.panels if "mx-position" in panel._dom_classes)


def everything(app: TraderPage) -> str:
    shown = (app.header, app.clock, app.tiles, *app.panels, app.strip, app.controls.facts)
    return "".join(panel.value for panel in (*shown, app.controls.note, app.banner))


def test_building_the_page_asks_nobody(app: TraderPage, fake: FakeTrader) -> None:
    assert fake.gets == []
    assert "CONNECTING" in app.header.value
    assert disabled(app) == {"start", "stop", "halt", "resume", "reset", "clear"}, "a kill is always possible"


def test_a_look_shows_the_trader(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {"denials": [{"code": "POSITION_LIMIT", "count": 3, "limit": 1.0, "actual": 1.0}]}
    app.look()
    assert "SIMULATED" in app.header.value
    assert "TRADING" in app.header.value
    assert candles(app) == [f"2025-01-13 09:3{i}" for i in range(1, 6)]
    assert "already in a position" in everything(app)
    assert disabled(app) == {"start", "resume", "reset", "clear"}
    assert app.wall.age == 1.0


@pytest.mark.parametrize(
    ("more", "badge", "said"),
    [
        ({"phase": "HALTED"}, "HALTED", "No new entries"),
        ({"phase": "HALTED", "killed": "kill switch: enough (API)"}, "HALTED", "Kill switch: enough (API)"),
        ({"feed": "STALE_FEED: 95 s, at most 90 s"}, "TRADING", "Nobody enters: STALE_FEED: 95 s"),
        ({"broker": "BROKER_DOWN: 5 s, at most 0 s"}, "TRADING", "Nobody enters: BROKER_DOWN: 5 s"),
        ({"differences": ["POSITION: 1"]}, "TRADING", "The broker differs, nobody enters: POSITION: 1"),
        ({"label": "DELAYED"}, "TRADING", ">DELAYED</span>"),
        ({"phase": "STOPPED", "fault": "OSError: disk"}, "STOPPED", "An error stopped it: OSError: disk"),
    ],
)
def test_what_is_the_matter_is_said(
    app: TraderPage, fake: FakeTrader, more: dict[str, str], badge: str, said: str
) -> None:
    fake.more = more
    app.look()
    assert f">{badge}</span>" in app.header.value
    assert said in app.header.value


NO_QUOTES = {"quotes": "live", "unquoted": "the chain does not answer"}


@pytest.mark.parametrize(
    ("more", "badge", "title"),
    [
        ({}, "mx-said '", "quotes modelled"),
        ({"quotes": "live"}, "mx-said '", "quotes live"),
        (NO_QUOTES, "mx-said mx-amber'", "mx-amber' title='the chain does not answer'>no live quotes"),
        ({**NO_QUOTES, "positions": [held(None)]}, "mx-said mx-down'", "mx-down' title='the chain does not"),
        ({**NO_QUOTES, "phase": "STOPPED"}, "mx-said '", "no live quotes"),
    ],
)
def test_where_quotes_come_from_and_that_without_them_nothing_fills(
    app: TraderPage, fake: FakeTrader, more: dict[str, str], badge: str, title: str
) -> None:
    fake.more = more
    app.look()
    assert badge in app.header.value
    assert title in position(app)
    assert ("nothing can fill" in app.header.value) == ("unquoted" in more and "phase" not in more)
    assert ("exits neither" in app.header.value) == ("positions" in more)


def test_a_position_that_nothing_quotes_is_held_and_not_valued(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {**NO_QUOTES, "positions": [held(None)]}
    app.look()
    assert "2.00 at 09:31" in position(app), "it is held: no entry waits"
    assert "waits for" not in everything(app)
    assert "no quote to value it at" in app.tiles.value
    assert "what is open at its cost" in app.tiles.value
    fake.more = {"quotes": "live", "positions": [held(250)]}
    app.look()
    assert "+$200.00" in position(app)
    assert "no quote" not in everything(app)


def test_down_it_keeps_the_last_picture_dimmed_and_goes_on_when_it_is_back(
    tmp_path: Path, app: TraderPage
) -> None:
    with FakeTrader(tmp_path) as fake:
        app.look()
        before = candles(app)
        tiles = app.tiles.value
    app.look()
    assert "TRADER DOWN" in app.header.value
    assert "Since " in app.header.value
    assert "SIMULATED" in app.header.value
    assert "mx-dim" in app._dom_classes
    assert (candles(app), app.tiles.value) == (before, tiles)
    assert disabled(app) == {"stop", "halt", "resume", "reset", "clear"}
    with FakeTrader(tmp_path, token="another") as again:
        again.bars = [*fake.bars, bar(5)]
        app.look()
    assert "TRADING" in app.header.value
    assert "mx-dim" not in app._dom_classes
    assert candles(app) == [*before, "2025-01-13 09:36"]


def test_premarket_has_an_axis_of_its_own(app: TraderPage, fake: FakeTrader) -> None:
    fake.bars = [bar(i) for i in range(-90, -70)]
    app.look()
    assert len(candles(app)) == 20
    fake.bars += [bar(i) for i in range(-70, 1)]
    app.look()
    hour_before_open = BEGIN - 61 * MINUTE
    assert len(candles(app)) == sum(b["ts"] >= hour_before_open for b in fake.bars)


def test_start_is_pressed_once_and_says_what_became_of_it(app: TraderPage, starter: Starts) -> None:
    app.look()
    assert "NO TRADER" in app.header.value
    app.controls.buttons["start"].click()
    assert "STARTING" in app.header.value
    assert "start" in disabled(app)
    starter.running, starter.failure = False, "no such day"
    app.look()
    assert "NO TRADER" in app.header.value
    assert "no such day" in app.controls.note.value
    assert "start" not in disabled(app)
    assert starter.count == 1


def test_without_a_scenario_nothing_can_be_started(tmp_path: Path) -> None:
    app = TraderPage(Remote(tmp_path))
    app.look()
    assert app.controls.buttons["start"].disabled
    assert "given no scenario" in app.controls.note.value


def test_requests_go_out_and_a_refusal_is_shown(app: TraderPage, fake: FakeTrader) -> None:
    app.look()
    app.controls.buttons["halt"].click()
    assert fake.asked == [("/halt", {"why": "asked for on the page", "code": ""})]
    fake.reason = "not now"
    app.controls.buttons["stop"].click()
    assert "Stop was refused: not now." in app.controls.note.value


def test_the_kill_switch_asks_once_more_and_a_code_stays_nowhere(app: TraderPage, fake: FakeTrader) -> None:
    app.look()
    app.controls.buttons["kill"].click()
    app.controls.keep.click()
    app.controls.buttons["kill"].click()
    assert fake.asked == []
    app.controls.sure.click()
    assert [path for path, _ in fake.asked] == ["/kill"]
    fake.more = {"phase": "HALTED", "killed": "kill switch: x (API)"}
    app.look()
    app.controls.code.value = "the code"
    app.controls.buttons["reset"].click()
    assert fake.asked[-1] == ("/reset", {"why": "asked for on the page", "code": "the code"})
    assert app.controls.code.value == ""


HOSTILE = "<img src=x onerror=alert(1)>'\">&"


def test_text_from_outside_is_escaped(app: TraderPage, fake: FakeTrader) -> None:
    hostile(fake, HOSTILE)
    fake.reason = HOSTILE
    app.look()
    app.controls.buttons["kill"].click()
    app.controls.sure.click()
    shown = everything(app)
    assert shown.count("&lt;img") >= 12
    assert "<img" not in shown
    assert "<img" not in json.dumps(app.chart.widget.figure["data"])
