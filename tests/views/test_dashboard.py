"""The live page without a browser: traits are set, buttons clicked, HTML and messages read."""

import asyncio
import datetime as dt
import json
import re
from importlib.resources import files

import nbformat
import pytest

from maxlib.core.errors import ConfigError
from maxlib.data import DataConfig, SimulatorConfig, load
from maxlib.engine.backtest import backtest
from maxlib.engine.replay import ReplaySession
from maxlib.engine.session_views import SessionView
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal, new_york, to_ns
from maxlib.views import theme
from maxlib.views.dashboard import PaperTrader, settings
from maxlib.views.host import MAX, MAX_BARS, KernelHost
from maxlib.views.price_chart import CANDLES, ENTRIES, EXITS, GAIN, LOSS, PNL, SIGNALS, VOLUME, spans
from maxlib.views.stream_chart import WINDOW, StreamChart, plotly_js
from maxlib.views.words import usd


@pytest.fixture(scope="module")
def day():
    """A session of the standard simulated market on which the champion trades."""
    tape = load(DataConfig(source="simulator", simulator=SimulatorConfig(days=20)))
    run = backtest(tape.bars, *settings("champion", "QQQ", 25_000), "find")
    return from_ordinal(run.trades[-1].contract.expiry)


@pytest.fixture
def app(day):
    return PaperTrader(days=20, day=str(day))


def click(app, name):
    app.controls.buttons[name].click()


def seen(app) -> SessionView:
    return app.host.view().session


def play(app, until):
    """Tick and paint, as the task in the kernel does, until `until(view)` holds."""
    while not until(seen(app)):
        assert seen(app).state == "RUNNING"
        app.host.tick()
        app.paint()


def play_to_the_end(app):
    app.controls.speed.value = MAX
    click(app, "start")
    play(app, lambda view: view.state == "FINISHED")


def disabled(app):
    return {name for name, button in app.controls.buttons.items() if button.disabled}


def sent(widget, monkeypatch):
    messages = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: messages.append((content, buffers)))
    return messages


# --- the page


def test_building_and_showing_the_page_starts_nothing(app):
    assert seen(app).state == "IDLE"
    assert seen(app).bars == 0
    assert app.host._task is None
    assert "IDLE" in app.header.value
    assert "SIMULATED" in app.header.value
    assert app.banner.value == ""


def test_buttons_that_do_not_apply_are_disabled_and_say_why(app):
    assert disabled(app) == {"pause", "stop"}
    assert app.controls.note.value == "No Pause or Stop: nothing runs yet."
    assert app.controls.buttons["stop"].tooltip == "Not now: the session has not started"
    click(app, "start")
    assert disabled(app) == {"start", "reset"}
    assert app.controls.day.disabled
    assert app.controls.seed.disabled
    assert not app.controls.speed.disabled
    click(app, "pause")
    assert seen(app).state == "PAUSED"
    assert app.controls.buttons["pause"].description == "Resume"
    assert disabled(app) == {"start", "reset"}
    click(app, "pause")
    assert seen(app).state == "RUNNING"
    click(app, "stop")
    assert seen(app).state == "STOPPED"
    assert disabled(app) == {"start", "pause", "stop"}
    assert not app.controls.day.disabled
    click(app, "reset")
    assert seen(app).state == "IDLE"
    assert seen(app).bars == 0


def test_a_whole_day_is_told_as_the_session_has_it(app):
    play_to_the_end(app)
    view = seen(app)
    assert app.banner.value == ""
    assert len(view.trades) >= 1
    assert usd(view.realised_cents) in app.tiles.value
    assert usd(view.equity_cents, sign=False) in app.tiles.value
    assert f"n = {len(view.trades)}" in app.tiles.value
    html = {panel._render.__name__: panel.value for panel in app.panels}
    assert html["trades"].count("<tr>") == len(view.trades) + 1
    assert view.journal_head[:10] in html["journal"]
    assert "Flat." in html["position"]


def test_an_open_position_is_shown_at_the_bid_with_its_exits(app):
    app.controls.speed.value = MAX
    click(app, "start")
    app.host.speed = 60.0  # the wall does not move in this test: bars come by hand
    while not any(p.bid_cents for p in seen(app).positions):
        app.host._session.advance()
    app.paint()
    view = seen(app)
    (held,) = view.positions
    html = next(panel.value for panel in app.panels if panel._render.__name__ == "position")
    for text in (
        f"{held.entry_cents / 100:.2f} at",
        f"{held.bid_cents / 100:.2f}",
        usd(held.unrealised_cents),
    ):
        assert text in html
    assert "quotes modelled" in html
    assert usd(view.unrealised_cents) in app.tiles.value
    assert len(app.chart.widget.figure["data"][ENTRIES]["x"]) == 1
    click(app, "stop")
    assert seen(app).positions == ()
    assert seen(app).equity_cents == view.equity_cents


def test_the_chart_holds_the_sessions_bars_and_marks(app, day):
    play_to_the_end(app)
    data = app.chart.widget.figure["data"]
    bars = app.host.bars_since(0)
    shown = [b for b in bars if b.ts <= to_ns(day, 960)][-WINDOW:]
    assert data[CANDLES]["x"] == [f"{new_york(b.ts):%Y-%m-%d %H:%M}" for b in shown]
    assert data[CANDLES]["close"] == [b.close for b in shown]
    assert data[VOLUME]["y"] == [b.volume for b in shown]
    assert data[PNL]["y"] == [b.pnl_cents / 100 for b in shown]
    pnl = data[PNL]["y"]
    assert [y for y in data[GAIN]["y"] if y] == [y for y in pnl if y > 0]
    assert [y for y in data[LOSS]["y"] if y] == [y for y in pnl if y < 0]
    assert any(y > 0 for y in pnl)
    assert any(y < 0 for y in pnl)
    marks = app.host.marks_since(0)
    for trace, kinds in ((SIGNALS, {"signal", "denied"}), (ENTRIES, {"entry"}), (EXITS, {"exit"})):
        assert data[trace]["y"] == [m.spot for m in marks if m.kind in kinds]
        assert len(data[trace]["marker"]["symbol"]) == len(data[trace]["y"])


def test_another_tape_strategy_or_day_sets_up_a_fresh_session(app):
    play_to_the_end(app)
    first = seen(app)
    app.controls.tape.value = "simulated, crash"
    assert seen(app).state == "IDLE"
    assert seen(app).day == first.day  # kept, as the new tape has it
    assert seen(app).name != first.name
    assert app.chart.widget.figure["data"][CANDLES]["x"] == []
    app.controls.seed.value = 8
    app.controls.strategy.value = "wave_renko"
    app.controls.day.value = app.controls.day.options[0][1]
    assert seen(app).strategy == "wave_renko"
    assert seen(app).day == app.controls.day.options[0][1]
    assert "seed 8" in app.strip.value


def test_pre_market_is_played_bar_by_bar_when_asked_for(app, day):
    app.controls.begin.value = "premarket"
    click(app, "start")
    assert seen(app).bars == 0
    click(app, "stop")
    app.controls.begin.value = "open"
    click(app, "start")
    assert new_york(seen(app).clock).hour == 9
    assert seen(app).bars > 100


def test_recorded_bars_are_called_a_replay_and_the_seed_does_not_apply(tmp_path):
    bars = load(DataConfig(source="simulator", simulator=SimulatorConfig(days=3))).bars
    rows = [
        f"{b['ts'] - NS_PER_MINUTE},{b['open']},{b['high']},{b['low']},{b['close']},{b['volume']}"
        for b in bars
    ]
    name = "<img src=x onerror=alert(1)>.csv"
    (tmp_path / name).write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    app = PaperTrader(source="file", path=str(tmp_path / name))
    assert app.banner.value == ""
    assert "REPLAY" in app.header.value
    assert "SIMULATED" not in app.header.value
    assert app.controls.seed.disabled
    assert "<img" not in app.strip.value
    assert "&lt;img" in app.strip.value
    app.controls.tape.value = "simulated, calm"
    assert "SIMULATED" in app.header.value
    assert not app.controls.seed.disabled


# --- errors


def test_a_tape_that_cannot_be_loaded_is_told_in_a_banner_and_can_be_left(tmp_path):
    app = PaperTrader(source="file", path=str(tmp_path / "<b>none</b>.csv"))
    assert "was not found" in app.banner.value
    assert "<b>" not in app.banner.value
    assert disabled(app) == {"start", "pause", "stop", "reset"}
    assert app.controls.note.value == "No session: choose another tape or day."
    app.controls.tape.value = "simulated, normal"
    assert app.banner.value == ""
    assert disabled(app) == {"pause", "stop"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"market": "boom"}, "market 'boom' is not known; known are normal, crash, calm"),
        ({"strategy": "luck"}, "strategy 'luck' is not known; known are champion, wave_renko"),
        ({"day": "31.01.2025"}, "day '31.01.2025' is not a date like 2025-01-31"),
        ({"speed": 7}, "speed 7.0 is not known"),
        ({"symbol": "XXX"}, "instrument 'XXX' is not known"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(values, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        PaperTrader(days=2, **values)


def test_a_day_that_the_tape_does_not_have_is_told():
    app = PaperTrader(days=5, day="2025-01-04")
    assert (
        "2025-01-04 is no session of simulated normal market, seed 7: this is 2025-01-08." in app.banner.value
    )


def test_an_error_in_a_callback_shows_in_the_banner(app, monkeypatch):
    def broken(*_):
        raise RuntimeError("<script>alert(1)</script>")

    monkeypatch.setattr(app.chart, "show", broken)
    click(app, "reset")
    assert "RuntimeError: &lt;script&gt;" in app.banner.value


def test_an_error_in_the_driving_task_pauses_the_session_and_shows(app, monkeypatch):
    async def run():
        click(app, "start")

        def broken(_):
            raise RuntimeError("the feed broke")

        monkeypatch.setattr(app.host._session._stepper, "step", broken)
        app.host.speed = MAX
        await asyncio.wait([app.host._task])

    asyncio.run(run())
    assert "the feed broke" in app.banner.value
    assert seen(app).state == "PAUSED"
    assert app.controls.buttons["pause"].disabled
    assert app.controls.note.value == "No Resume: the session broke on an error and cannot go on."


def test_the_task_drives_the_session_to_its_end_and_ends(app):
    async def run():
        app.controls.speed.value = MAX
        click(app, "start")
        first = app.host._task
        click(app, "pause")
        click(app, "pause")
        assert app.host._task is first  # never two drivers
        await first

    asyncio.run(run())
    assert seen(app).state == "FINISHED"
    assert "FINISHED" in app.header.value


# --- the host


def test_the_replay_clock_is_wall_time_times_speed(day):
    bars = load(DataConfig(source="simulator", simulator=SimulatorConfig(days=20))).bars
    session = ReplaySession(
        bars, *settings("champion", "QQQ", 25_000), day=day, label="SIMULATED", name="clock"
    )
    now = [100.0]
    host = KernelHost(
        session, speed=60.0, on_paint=lambda: None, on_error=lambda _: None, wall=lambda: now[0]
    )
    begun = session.clock

    def passed(seconds):
        now[0] += seconds
        host.tick()
        return (host.view().session.clock - begun) / 1e9

    passed(50.0)
    assert session.clock == begun  # not started
    host.command("start")
    assert passed(2.0) == 120.0
    host.command("pause")
    assert passed(1000.0) == 120.0
    host.command("resume")
    assert passed(1.0) == 180.0  # the pause does not count
    host.speed = 1.0
    assert passed(0.5) == 180.5
    now[0] += 7.0
    assert host.view().wall_age_s is not None
    bars_before = session.view().bars
    host.speed = MAX
    host.tick()
    assert session.view().bars == bars_before + MAX_BARS


# --- the chart widget


def figure():
    return {"data": [{"x": [], "y": [], "marker": {}}], "layout": {}, "config": {}}


def test_changes_travel_once_and_only_when_flushed(monkeypatch):
    chart = StreamChart(figure())
    messages = sent(chart, monkeypatch)
    chart.append(0, x=[1, 2], y=[3, 4])
    chart.append_columns(0, {"marker.color": ["a", "b"]})
    chart.update(0, {"line.color": "red"})
    chart.relayout({"xaxis.range": [0, 1]})
    assert messages == []
    chart.flush()
    chart.flush()
    ((message, _),) = messages
    assert json.loads(json.dumps(message)) == {
        "type": "delta",
        "append": [[0, {"x": [1, 2], "y": [3, 4]}], [0, {"marker.color": ["a", "b"]}]],
        "update": [[0, {"line.color": "red"}]],
        "layout": {"xaxis.range": [0, 1]},
    }
    assert chart.figure["data"][0] == {
        "x": [1, 2], "y": [3, 4], "marker": {"color": ["a", "b"]}, "line": {"color": "red"},
    }  # fmt: skip


def test_a_late_view_gets_the_whole_and_nothing_twice(monkeypatch):
    chart = StreamChart(figure())
    messages = sent(chart, monkeypatch)
    chart.append(0, x=[1], y=[2])
    chart._asked(chart, {"type": "figure?"}, [])
    chart.flush()
    assert [m["type"] for m, _ in messages] == ["figure"]
    assert messages[0][0]["figure"]["data"][0]["x"] == [1]


def test_the_library_is_sent_when_asked_for_and_a_trace_keeps_its_window(monkeypatch):
    chart = StreamChart(figure(), window=3)
    messages = sent(chart, monkeypatch)
    chart._asked(chart, {"type": "library?"}, [])
    assert messages == [({"type": "library"}, [plotly_js()])]
    for i in range(10):
        chart.append(0, x=[i], y=[i])
    assert chart.figure["data"][0]["x"] == [7, 8, 9]


@pytest.mark.parametrize("day", [dt.date(2025, 3, 14), dt.date(2024, 11, 29)])
def test_no_time_axis_holds_more_minutes_than_the_window(day):
    for first in (to_ns(day, 240), to_ns(day, 570)):
        found = spans(day, first)
        assert all(0 < (b - a) // NS_PER_MINUTE <= WINDOW for a, b in found)
        assert found[0][0] <= first
        assert new_york(found[-1][1]).hour == (13 if day.month == 11 else 16)


# --- one look, and nobody else's server


def test_the_style_sheet_and_the_pages_frame_use_the_palette_only(root):
    known = {colour.lower() for colour in theme.COLOURS.values()}
    sheet = files("maxlib.views").joinpath("theme.css").read_text()
    assert re.findall(r"\$\{?(\w+)", sheet)
    page = (root / "dashboards/share/jupyter/voila/templates/maxtrader/index.html.j2").read_text()
    assert set(re.findall(r"#[0-9a-f]{6}\b", page)) <= known
    assert "$" not in theme.css()


def test_nothing_that_the_page_ships_names_another_host(root):
    own = [*(root / "maxlib/views").glob("*.js"), *(root / "maxlib/views").glob("*.css")]
    own += [
        p for p in (root / "dashboards").rglob("*") if p.is_file() and p.suffix in {".j2", ".json", ".ipynb"}
    ]
    for path in own:
        assert not re.search(r"https?://|//cdn", path.read_text()), path


def test_the_notebook_declares_the_pages_parameters_with_its_defaults(root):
    book = nbformat.read(root / "dashboards/paper_trader.ipynb", as_version=4)
    (cell,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    scope: dict[str, object] = {}
    exec(cell.source, scope)
    defaults = {name: scope[name] for name in scope["__annotations__"]}
    assert defaults == PaperTrader.__init__.__kwdefaults__
    assert all("#" in line for line in cell.source.splitlines())
