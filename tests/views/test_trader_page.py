"""The page of a trader process without a browser: looks, clicks, and the HTML that comes of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maxlib.ops.heartbeat import Heart
from maxlib.views.price_chart import CANDLES
from maxlib.views.remote import Remote
from maxlib.views.trader_page import TraderPage
from tests.views.fake_trader import BEGIN, MINUTE, FakeTrader, bar, guarded, held, hostile


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


def panel(app: TraderPage, name: str) -> str:
    return next(panel.value for panel in app.panels if f"mx-{name}" in panel._dom_classes)


def position(app: TraderPage) -> str:
    return panel(app, "position")


def everything(app: TraderPage) -> str:
    shown = (app.header, app.clock, app.tiles, *app.panels, app.strip, app.controls.facts)
    return "".join(panel.value for panel in (*shown, app.controls.note, app.banner))


def test_building_the_page_asks_nobody(app: TraderPage, fake: FakeTrader) -> None:
    assert fake.gets == []
    assert "CONNECTING" in app.header.value
    assert disabled(app) == set(app.controls.buttons) - {"kill"}, "a kill is always possible"


def test_a_look_shows_the_trader(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {"denials": [{"code": "POSITION_LIMIT", "count": 3, "limit": 1.0, "actual": 1.0}]}
    app.look()
    assert "SIMULATED" in app.header.value
    assert "TRADING" in app.header.value
    assert candles(app) == [f"2025-01-13 09:3{i}" for i in range(1, 6)]
    assert "already in a position" in everything(app)
    assert disabled(app) == {"start", "resume", "reset", "clear", "reset_peak"}
    assert app.wall.age == 1.0


@pytest.mark.parametrize(
    ("more", "badge", "said"),
    [
        ({"phase": "HALTED"}, "HALTED", "No new entries"),
        ({"phase": "HALTED", "killed": "kill switch: enough (API)"}, "KILLED", "Kill switch: enough (API)"),
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
    assert disabled(app) == {"stop", "halt", "resume", "reset", "clear", "reset_peak"}
    with FakeTrader(tmp_path, token="another") as again:
        again.bars = [*fake.bars, bar(5)]
        app.look()
    assert "TRADING" in app.header.value
    assert "mx-dim" not in app._dom_classes
    assert candles(app) == [*before, "2025-01-13 09:36"]


def test_down_it_says_what_is_held_unwatched_and_that_the_switch_is_thrown(
    tmp_path: Path, app: TraderPage
) -> None:
    with FakeTrader(tmp_path) as fake:
        fake.more = {"positions": [held(), held(strike=512.5, right="C", open_quantity=1)]}
        app.look()
        assert "unwatched" not in app.header.value
    app.look()
    assert "2 positions open and unwatched: 4 × 517 P, 1 × 512.50 C. Since " in app.header.value
    assert "mx-said mx-down'" in app.header.value
    assert "Kill switch" not in app.header.value
    app.controls.buttons["kill"].click()
    app.controls.sure.click()
    assert "C. Kill switch thrown. Since " in app.header.value
    assert "TRADER DOWN" in app.header.value


OVER = {"phase": "STOPPED", "finished": True, "realised_cents": 12_050}


def test_a_session_that_is_over_is_no_alarm(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = OVER
    app.look()
    assert ">SESSION OVER</span>" in app.header.value
    assert "No trade was made." in app.header.value
    assert "mx-stopped" not in app.header.value
    fake.more = {"phase": "STOPPED"}
    app.look()
    assert ">STOPPED</span>" in app.header.value
    assert "It was stopped" in app.header.value
    fake.more = {**OVER, "fault": "OSError: disk"}
    app.look()
    assert ">STOPPED</span>" in app.header.value
    fake.more = {**OVER, "killed": "kill switch: enough (page)"}
    app.look()
    assert ">KILLED</span>" in app.header.value, "it stands for the next day too"


@pytest.mark.parametrize(
    ("finished", "promise"),
    [(True, "a start shows the day again and trades nothing"), (False, "A start goes on from there")],
)
def test_start_promises_of_an_ended_day_what_it_can_do(
    tmp_path: Path, app: TraderPage, *, finished: bool, promise: str
) -> None:
    with FakeTrader(tmp_path) as fake:
        fake.more = {"phase": "STOPPED", "finished": finished}
        app.look()
    (tmp_path / "api.json").unlink()
    Heart(tmp_path / "heartbeat.json").stop()
    app.look()
    assert ">ENDED</span>" in app.header.value
    assert promise in app.header.value
    start = app.controls.buttons["start"]
    assert not start.disabled
    assert ("trades nothing" in start.tooltip) == finished


@pytest.mark.parametrize(
    ("minutes", "name"),
    [(-1, "Pre-market, 09:30"), (0, "Last, 09:31"), (389, "Last, 16:00"), (390, "After hours, 16:01")],
)
def test_the_last_price_says_of_which_hours_it_is(
    app: TraderPage, fake: FakeTrader, minutes: int, name: str
) -> None:
    fake.bars = [bar(minutes)]
    app.look()
    assert f"<label>{name}</label>" in app.tiles.value


def test_a_page_that_never_saw_the_trader_says_that_it_does_not_know_what_is_held(
    tmp_path: Path, app: TraderPage
) -> None:
    app.look()
    assert "What it holds" not in app.header.value, "there is no trader"
    Heart(tmp_path / "heartbeat.json").beat("trading")
    app.look()
    assert "TRADER DOWN" in app.header.value
    assert "What it holds is not known to this page. Since " in app.header.value
    assert "mx-said mx-down'" in app.header.value


def test_a_guard_that_is_off_is_said(app: TraderPage, fake: FakeTrader) -> None:
    app.look()
    assert "mx-amber'>guard off<" in panel(app, "guard")
    fake.more = {"guard": "not asked yet"}
    app.look()
    assert "off" not in panel(app, "guard")


def test_the_guard_shows_its_limits_and_what_stands(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {"guard": "NORMAL_VOL", "guarded": guarded()}
    app.look()
    shown = panel(app, "guard")
    for text in ("Normal vol", "VIX (proxy) 15.90, 2.90 above 13", "$120 of $500", "0 of 1", "3 of 10"):
        assert text in shown
    assert "width:24.0%" in shown, "of the day's limit"
    assert "Loss this month" in shown, "16 % of its limit, more than the week's 9.6 %"
    assert "Loss this week" not in shown
    assert "mx-down" not in shown
    until = BEGIN + 4 * MINUTE + 43 * MINUTE - MINUTE // 2
    breaker = {"code": "BREAKER_LOSSES", "until": until, "actual": 5.0, "limit": 5.0}
    fake.more["guarded"] = guarded(breakers=[breaker], safe_mode=["data_age"])
    app.look()
    assert "Breaker: losses</span><b>43 min left, until 10:17</b>" in panel(app, "guard")
    assert "Safe mode</span><b>data age</b>" in panel(app, "guard")
    fake.more["guarded"] = guarded(limits=[{"what": "day", "used": 50_000, "limit": 50_000}])
    app.look()
    assert "limit reached" in panel(app, "guard")
    assert "mx-use mx-down" in panel(app, "guard")


def test_the_market_that_closes_is_no_alarm(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {"guard": "SAFE_MODE", "guarded": guarded(safe_mode=["market_hours"])}
    app.look()
    assert "mx-down" not in panel(app, "guard")


def test_two_books_stand_over_the_trades(app: TraderPage, fake: FakeTrader) -> None:
    books = [
        {"book": "conservative", "trades": 3, "wins": 2, "pnl_cents": 12_050, "positions": 0},
        {"book": "aggressive", "trades": 1, "wins": 0, "pnl_cents": -900, "positions": 1},
    ]
    fake.more = {"guard": "NORMAL_VOL", "guarded": guarded(books=books)}
    app.look()
    assert "conservative <span class='mx-up'>+$120.50</span> (2 of 3 won)" in panel(app, "trades")
    assert "aggressive <span class='mx-down'>−$9.00</span> (0 of 1 won)" in panel(app, "trades")


def test_a_peak_is_reset_where_there_is_a_fall_from_it(app: TraderPage, fake: FakeTrader) -> None:
    button = app.controls.buttons["reset_peak"]
    none = "there is no guard that counts from a peak"
    fake.more = {"blocked": {"reset_peak": none}}
    app.look()
    assert (button.disabled, button.tooltip) == (True, f"Not now: {none}")
    level = guarded(limits=[{"what": "peak", "used": 0, "limit": 100_000}])
    fake.more = {"blocked": {}, "guard": "NORMAL_VOL", "guarded": level}
    app.look()
    assert (button.disabled, button.tooltip) == (True, "Not now: equity is at its peak")
    fake.more["guarded"] = guarded()
    app.look()
    assert not button.disabled
    fake.reason = "no"
    button.click()
    assert fake.asked[-1][0] == "/reset_peak"
    assert "Reset peak was refused: no." in app.controls.note.value


def test_the_profit_factor_stands_beside_the_win_rate(app: TraderPage, fake: FakeTrader) -> None:
    def sold(pnl_cents: int) -> dict[str, Any]:
        return {
            "number": 1, "side": 1, "contract": "c", "right": "C", "strike": 500.0, "quantity": 1,
            "entry_at": BEGIN, "exit_at": BEGIN, "entry_cents": 1, "exit_cents": 1.0, "fee_cents": 0,
            "pnl_cents": pnl_cents, "reason": "tp1",
        }  # fmt: skip

    fake.more = {"trades": [sold(30_000), sold(15_000), sold(-20_000), sold(0)], "wins": 2}
    app.look()
    assert ">50%<" in app.tiles.value
    assert ">PF 2.25<" in app.tiles.value
    fake.more = {"trades": [sold(30_000)], "wins": 1}
    app.look()
    assert ">PF –<" in app.tiles.value


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


def test_that_a_kill_could_not_be_taken_back_is_said_before_it(app: TraderPage, fake: FakeTrader) -> None:
    fake.more = {"no_reset": "no code is set"}
    app.look()
    buttons = app.controls.buttons
    assert (buttons["reset"].disabled, buttons["reset"].tooltip) == (True, "Not now: no code is set")
    assert not buttons["kill"].disabled
    assert buttons["kill"].tooltip == "Blocks entries for good: no code is set"
    assert "No Reset: no code is set." in app.controls.note.value
    fake.more = {"phase": "HALTED", "killed": "kill switch: x (page)", "no_reset": "no code is set"}
    app.look()
    assert buttons["reset"].disabled
    assert app.controls.code.disabled
