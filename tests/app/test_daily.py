"""`maxtrader report`: read from journals alone, against a backtest that has not seen those days."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from maxlib.app import daily as job
from maxlib.app.cli import main
from maxlib.app.paper import PaperTrader
from maxlib.app.runner import Outcome, exit_code
from maxlib.core.errors import DataError, InvariantError
from maxlib.data.tape import load
from maxlib.engine.backtest import backtest
from maxlib.journal.chain import Journal
from maxlib.journal.store import JournalFile, check
from maxlib.market.calendar import new_york
from maxlib.research import daily, paper_days, scenario
from maxlib.views import daily_tables

SHORT = {"data.simulator.days": 14}
SCENARIO = scenario.load("demo_normal", SHORT)
TAPE = load(SCENARIO.data)
dates = np.array([str(new_york(int(ts) - 60 * 10**9).date()) for ts in TAPE.bars["ts"]])
DAYS = sorted(set(dates.tolist()))
LAST = DAYS[-3:]


def traded(folder: Path, day: str, of: scenario.Scenario = SCENARIO) -> PaperTrader:
    trader = PaperTrader(of, folder, day=day, speed=0)
    asyncio.run(trader.run(stay=False))
    return trader


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[PaperTrader]]:
    root = tmp_path_factory.mktemp("paper")
    folders = [root / day for day in LAST]
    return folders, [traded(folder, day) for folder, day in zip(folders, LAST, strict=True)]


@pytest.fixture
def copies(made: tuple[list[Path], list[PaperTrader]], tmp_path: Path) -> list[Path]:
    """Folders that a test may write to."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in made[0]]


# --- what was done


def test_trades_read_from_the_journal_are_those_that_the_trader_made(
    made: tuple[list[Path], list[PaperTrader]],
) -> None:
    assert sum(len(t.trader.shell.machine.trades) for t in made[1]) > 0
    for folder, trader in zip(*made, strict=True):
        day, machine = paper_days.read_day(folder), trader.trader.shell.machine
        assert [
            (t.number, t.side, t.contract, t.quantity, t.entry_at, t.exit_at, t.entry_spot, t.exit_spot,
             t.entry_cents, t.fee_cents, t.pnl_cents, t.reason)
            for t in day.trades
        ] == [
            (t.number, t.side, t.name, t.quantity, t.entry_at, t.exit_at, t.entry_spot, t.exit_spot,
             t.entry_price_cents, t.fee_cents, t.pnl_cents, t.reason)
            for t in machine.trades
        ]  # fmt: skip
        for mine, theirs in zip(day.trades, machine.trades, strict=True):
            assert mine.exit_cents == pytest.approx(theirs.exit_price_cents)
            assert mine.slippage_cents == pytest.approx(theirs.slippage_cents)
        assert dict(daily.denials(day)) == machine.denials
        assert len(day.signals) == machine.signals
        assert (day.label, day.finished, day.open) == ("SIMULATED", True, 0)
        assert day.scenario == SCENARIO


def test_packages_and_partial_exits_are_read_as_they_were_traded(tmp_path: Path) -> None:
    desk = {"desk.structures": ["long", "vertical", "fly"], "desk.min_reward_risk": 0.2}
    chosen = scenario.load("demo_crash", {"data.simulator.days": 30, **desk})
    seen = 0
    for day in sorted({str(new_york(int(t)).date()) for t in load(chosen.data).bars["ts"][::400]})[-5:]:
        trader = traded(tmp_path / day, day, chosen)
        mine, theirs = paper_days.read_day(tmp_path / day).trades, trader.trader.shell.machine.trades
        assert [(t.contract, t.pnl_cents, t.entry_cents) for t in mine] == [
            (t.name, t.pnl_cents, t.entry_price_cents) for t in theirs
        ]
        for one, other in zip(mine, theirs, strict=True):
            assert (one.exit_cents, one.slippage_cents) == pytest.approx(
                (other.exit_price_cents, other.slippage_cents)
            )
        seen += sum(len(t.legs) > 1 for t in theirs)
    assert seen > 0


def test_a_bought_put_is_called_a_put_and_nobody_is_short(
    made: tuple[list[Path], list[PaperTrader]],
) -> None:
    shown = "".join(daily_tables.trades(paper_days.read_day(folder).trades) for folder in made[0])
    rights = [t.contract.right for p in made[1] for t in p.trader.shell.machine.trades]
    assert (shown.count(">calls<"), shown.count(">puts<")) == (rights.count("C"), rights.count("P"))
    assert rights
    assert ">short<" not in shown


# --- what was expected


def test_expected_is_a_bar_by_bar_backtest_of_the_days_before(
    made: tuple[list[Path], list[PaperTrader]],
) -> None:
    expected = daily.daily(made[0]).expected
    earlier = dates < LAST[0]
    slow = backtest(TAPE.bars[earlier], SCENARIO.strategy.build(), SCENARIO.machine, leap=False)
    assert len(slow.trades) > 5
    assert expected.pnl.tolist() == [t.pnl_cents / t.quantity / 100 for t in slow.trades]
    assert expected.won.tolist() == [t.pnl_cents > 0 for t in slow.trades]
    assert expected.slippage == pytest.approx([t.slippage_cents / t.quantity / 100 for t in slow.trades])
    assert expected.signals.sum() == slow.signals
    assert len(expected.signals) == len([day for day in DAYS if day < LAST[0]])


def test_expected_has_not_seen_the_day_nor_what_follows(
    made: tuple[list[Path], list[PaperTrader]],
) -> None:
    honest = daily.before(paper_days.read_day(made[0][1]), TAPE)
    bars = TAPE.bars.copy()
    later = dates >= LAST[1]
    assert 0 < later.sum() < len(bars)
    for name in ("open", "high", "low", "close"):
        bars[name][later] *= 1.3
    other = daily.before(paper_days.read_day(made[0][1]), replace(TAPE, bars=bars))
    assert honest.pnl.tolist() == other.pnl.tolist()
    assert honest.signals.tolist() == other.signals.tolist()


def test_several_days_add_up_and_the_newest_is_reported(
    made: tuple[list[Path], list[PaperTrader]],
) -> None:
    one, all_ = daily.daily(made[0][-1:]), daily.daily(made[0][::-1])
    assert [str(day.date) for day in all_.days] == LAST
    trades = [t for p in made[1] for t in p.trader.shell.machine.trades]
    rate, pnl, signals, slippage = all_.figures
    assert (rate.actual_n, signals.actual_n) == (len(trades), 3)
    assert pnl.actual == pytest.approx(np.mean([t.pnl_cents / t.quantity / 100 for t in trades]))
    assert signals.actual == pytest.approx(5 / 3 * sum(p.trader.shell.machine.signals for p in made[1]))
    assert slippage.verdict is None
    assert one.expected.trades >= all_.expected.trades
    assert one.verdict == all_.verdict == "not_enough"


def test_the_first_day_of_the_tape_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    traded(tmp_path, DAYS[0])
    report = daily.daily([tmp_path])
    assert (report.expected.trades, report.verdict) == (0, "not_enough")
    assert f"has no session before {DAYS[0]}: there is nothing to compare with." in report.notes[0]
    assert "no session" in daily_tables.head(report)


def test_other_bars_than_the_traders_and_other_code_are_said(
    made: tuple[list[Path], list[PaperTrader]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = load(scenario.load("demo_normal", {**SHORT, "data.simulator.seed": 9}).data)
    monkeypatch.setattr(daily, "load_tape", lambda config: shifted)
    monkeypatch.setattr(daily, "code_version", lambda: "another")
    notes = " ".join(daily.daily(made[0][:1]).notes)
    assert f"are not those that the trader had on {LAST[0]}" in notes
    assert "run by another, the trader by" in notes


def test_what_a_feed_and_a_broker_tell_is_told_once_in_words(copies: list[Path]) -> None:
    noon = 1_737_565_200 * 10**9  # 22 January 2025, 12:00 New York
    stale = {"code": "STALE_FEED", "limit": 90.0, "why": ""}
    gone = {"what": "connection", "code": "BROKER_DOWN", "limit": 0.0, "actual": 0.0, "why": "no <answer>"}
    more: list[Row] = [
        (noon, "feed", {**stale, "actual": 120.0}),
        (noon + 1, "feed", {**stale, "actual": 180.0}),
        (noon + 2, "feed", {"code": "", "limit": 0.0, "actual": 0.0, "why": ""}),
        (noon + 3, "gap", {"start": noon - 120 * 10**9, "end": noon}),
        (noon + 4, "broker", gone),
        (noon + 5, "broker", {"what": "sent", "order": "x"}),
        (noon + 6, "stray", {"order": "x", "trade": 3, "units": 2}),
    ]
    edit(copies[1], lambda rows: rows.extend(more))
    report = daily.daily(copies[1:2])
    assert [(one.kind, one.text) for one in report.today.log if one.kind != "command"] == [
        ("feed", "STALE_FEED, no entries"),
        ("feed", "well again"),
        ("gap", "no bar will come for 11:58 to 12:00"),
        ("broker", "BROKER_DOWN, no entries: no <answer>"),
        ("stray", "trade 3, units 2"),
    ]
    assert "no &lt;answer&gt;" in daily_tables.events(report)


def test_an_entry_that_a_broker_fills_in_parts_costs_their_average_and_its_slippage_is_judged(
    tmp_path: Path,
) -> None:
    def first(day: str) -> int:
        machine = traded(tmp_path / day, day).trader.shell.machine
        return machine.trades[0].quantity if machine.trades else 0

    folder = tmp_path / next(day for day in reversed(DAYS) if first(day) > 1)
    before = paper_days.read_day(folder).trades[0]

    def split(rows: list[Row]) -> None:
        at = next(i for i, row in enumerate(rows) if row[1] == "fill")
        ts, kind, body = rows[at]
        rest = {**body, "quantity": body["quantity"] - 1, "modelled": False, "slippage_cents": 2.0}
        dear = {**body, "quantity": 1, "price_cents": body["price_cents"] + 10, "slippage_cents": 12.0}
        rows[at : at + 1] = [(ts, kind, dear), (ts, kind, rest)]

    edit(folder, split)
    report = daily.daily([folder])
    after = report.today.trades[0]
    assert after.entry_cents == pytest.approx(before.entry_cents + 10 / before.quantity)
    assert (after.entry_at, after.pnl_cents) == (before.entry_at, before.pnl_cents)
    assert (report.today.fills - report.today.modelled, report.figures[3].verdict) == (1, "not_enough")


# --- what is refused


def refused(capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    with pytest.raises(SystemExit) as left:
        main(["report", *map(str, folders)])
    assert left.value.code == 2
    return capsys.readouterr().err


def test_folders_that_do_not_belong_together_are_refused_and_nothing_is_written(
    copies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    traded(other, LAST[0], scenario.load("demo_normal", {**SHORT, "risk.risk_fraction": 0.01}))
    assert "days of other settings" in refused(capsys, copies[1], other)
    assert "was named twice" in refused(capsys, copies[0], copies[0])
    assert "does not exist" in refused(capsys, tmp_path / "nowhere")
    assert not any((folder / "report").exists() for folder in copies)


Row = tuple[int, str, dict[str, Any]]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The journal anew with another first entry, its chain as it should be."""
    edit(folder, lambda rows: change(rows[0][2]))


def edit(folder: Path, change: Callable[[list[Row]], object]) -> None:
    """The journal anew with other entries, its chain as it should be."""
    rows = [(e.ts, e.kind, json.loads(e.body)) for e in check(folder / "journal.sqlite")]
    change(rows)
    for path in folder.glob("journal.sqlite*"):
        path.unlink()
    fresh = Journal()
    for ts, kind, body in rows:
        fresh.append(ts, kind, body)
    file = JournalFile(folder / "journal.sqlite")
    file.extend(fresh.entries)
    file.close()


def test_labels_do_not_mix(copies: list[Path]) -> None:
    rewrite(copies[1], lambda first: first.update(label="PAPER"))
    with pytest.raises(DataError, match="they do not mix"):
        paper_days.read_days(copies[:2])


def test_a_journal_that_does_not_name_its_scenario_is_refused(copies: list[Path]) -> None:
    rewrite(copies[0], lambda first: first.pop("scenario"))
    with pytest.raises(DataError, match="does not say of which scenario it is"):
        paper_days.read_day(copies[0])


def test_a_changed_entry_is_refused(copies: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with apsw.Connection(str(copies[0] / "journal.sqlite")) as db:
        db.execute("UPDATE journal SET body = replace(body, '0', '1') WHERE seq = 9")
    with pytest.raises(InvariantError):
        paper_days.read_day(copies[0])
    assert "entry 9" in refused(capsys, copies[0])


# --- the report


def test_the_command_leaves_a_whole_report_with_its_stamp_and_without_secrets(
    copies: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "CANARY-4f1c9b"
    for name in (
        "MASSIVE_API_KEY",
        "APCA_API_SECRET_KEY",
        "MAXTRADER_KILL_RESET_CODE",
        "MAXTRADER_NOTIFY_URLS",
    ):
        monkeypatch.setenv(name, canary)
    with pytest.raises(SystemExit) as left:
        main(["report", *map(str, copies)])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("Not enough to tell whether the paper trader does what the backtest did")
    place = copies[-1] / "report"
    assert sorted(p.name for p in place.iterdir()) == ["notebook.ipynb", "report.html", "result.json"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in place.iterdir()}
    assert all(canary not in text for text in (*texts.values(), out))
    page = texts["report.html"]
    assert '<p class="banner simulated"><b>SIMULATED</b>' in page
    assert page.count('<div class="plot"') == 2
    assert "not enough" in page
    values = json.loads(texts["result.json"])
    assert (values["verdict"], values["date"], values["label"]) == ("not_enough", LAST[-1], "SIMULATED")
    assert values == json.loads(json.dumps(daily.result(daily.daily(copies))))
    assert [day["date"] for day in values["days"]] == LAST
    assert not list(copies[-1].glob(".report*"))


def test_a_running_trader_may_be_reported_and_its_day_is_said_not_to_be_over(tmp_path: Path) -> None:
    trader = PaperTrader(SCENARIO, tmp_path, day=LAST[0], speed=0)
    bars = TAPE.bars[dates == LAST[0]][:400]
    for i in range(400):
        trader.session.bar(bars[i : i + 1])
    trader.session.ask("halt", int(bars["ts"][-1]), "<script>alert(1)</script>")
    report = daily.daily([tmp_path])
    assert not report.today.finished
    assert len(report.today.bars) == 400
    assert report.notes[0] == "The day is not over: this is what the journal holds so far."
    shown = daily_tables.events(report)
    assert "halt: &lt;script&gt;" in shown
    assert "<script>" not in shown
    trader.trader.close()


def test_a_day_that_was_ended_without_its_last_minutes_is_not_called_complete(tmp_path: Path) -> None:
    """Bars to 12:00 New York: of the 390 minutes of the session 240 were not seen."""
    trader = PaperTrader(SCENARIO, tmp_path, day=LAST[0], speed=0)
    bars = TAPE.bars[dates == LAST[0]]
    for i in range(int((bars["minute"] < 720).sum())):
        trader.trader.bar(bars[i : i + 1])
    trader.trader.finish()
    trader.trader.close()
    report = daily.daily([tmp_path])
    assert report.notes[0].startswith("240 regular minutes of the day were not seen: ")
    assert "the day is over, 240 minutes unseen" in daily_tables.tiles(report)
    assert "yes, 240 minutes unseen" in daily_tables.days(report)


def test_regimes_and_denials_of_the_guard_are_told_in_words(tmp_path: Path) -> None:
    guarded = scenario.load("demo_normal", {"guard.book": "conservative"})
    trader = traded(tmp_path, "2025-04-04", guarded)  # a day with signals, calmer than the strategy may trade
    report = daily.daily([tmp_path])
    guard = [one for one in report.today.log if one.kind == "guard"]
    assert guard
    assert guard[0].text.startswith("regime: ")
    assert "regime: " in daily_tables.events(report)
    assert trader.trader.shell.machine.denials
    shown = daily_tables.why_not(report)
    for code, count in trader.trader.shell.machine.denials.items():
        assert code in shown
        assert daily_tables.meaning(code)
        assert f"<td>{count:,}</td>" in shown


def test_a_day_without_signals_says_so(tmp_path: Path) -> None:
    trader = PaperTrader(SCENARIO, tmp_path, day=LAST[0], speed=0)
    bars = TAPE.bars[dates == LAST[0]]
    for i in range(5):
        trader.session.bar(bars[i : i + 1])
    trader.trader.close()
    assert "The strategy gave no signal." in daily_tables.why_not(daily.daily([tmp_path]))


def test_drift_is_exit_code_1_and_not_enough_is_not() -> None:
    def code(verdict: Any) -> int:
        return exit_code([Outcome("report", verdict, "", 0.0)])

    assert [code(v) for v in ("within", "not_enough", "drift", "failed")] == [0, 0, 1, 2]
    assert job.PLACE == "report"
