"""Replay: the same journal as the backtest, views that tell the truth, commands that mean what they say."""

import datetime as dt
from functools import lru_cache

import numpy as np
import pytest

from maxlib.core.errors import DataError, InvariantError
from maxlib.data import DataConfig, SimulatorConfig, load
from maxlib.engine.backtest import Stepper, backtest
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.replay import ReplaySession, session_days, span
from maxlib.engine.session_views import BarView, MarkView, SessionView
from maxlib.engine.shell import Shell
from maxlib.journal.chain import Journal, verify
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import from_ordinal, to_ns
from maxlib.strategies.config import ChampionConfig, WaveConfig

CONFIG = MachineConfig()
STRATEGIES = {"champion": ChampionConfig(), "wave_renko": WaveConfig()}


def stamped():
    return Journal({"simulated": True})


@lru_cache
def tape(market="normal", seed=7):
    return load(
        DataConfig(source="simulator", simulator=SimulatorConfig(market=market, seed=seed, days=40))
    ).bars


def make(day, *, market="normal", seed=7, kind="champion", bars=None, config=CONFIG, name="run"):
    bars = tape(market, seed) if bars is None else bars
    strategy = STRATEGIES[kind].build()
    return ReplaySession(bars, strategy, config, day=day, label="SIMULATED", name=name)


@lru_cache
def trade_days(market="normal", seed=7, kind="champion"):
    run = backtest(
        tape(market, seed), STRATEGIES[kind].build(), CONFIG, "run", journal=Journal({"simulated": True})
    )
    return sorted({from_ordinal(t.contract.expiry) for t in run.trades})


def start_of(bars, day):
    return int(bars["ts"][span(bars, day)[0]]) - NS_PER_MINUTE


def end_of(bars, day):
    return int(bars["ts"][span(bars, day)[1] - 1])


# --- parity


@pytest.mark.parametrize("kind", STRATEGIES)
@pytest.mark.parametrize(("market", "seed"), [("normal", 7), ("crash", 7), ("calm", 3), ("normal", 11)])
def test_the_first_day_with_a_signal_gives_the_backtests_entries_byte_for_byte(kind, market, seed):
    bars = tape(market, seed)
    run = backtest(bars, STRATEGIES[kind].build(), CONFIG, "run", journal=stamped())
    first = run.journal.entries[0].ts
    day = next(day for day in session_days(bars) if first <= end_of(bars, day))
    expected = [e for e in run.journal.entries if e.ts <= end_of(bars, day)]
    session = make(day, market=market, seed=seed, kind=kind)
    session.start()
    session.advance(10_000)
    assert list(session.journal) == expected
    assert any(e.kind == "fill" for e in expected)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_any_day_equals_stepping_through_all_bars_before_it(kind):
    bars = tape("crash", 7)
    days = trade_days("crash", 7, kind)
    strategy = STRATEGIES[kind].build()
    stepper = Stepper(Shell(Machine(CONFIG, "aside")), strategy)
    begin = 0
    for day in days[5:20:5]:
        first, last = span(bars, day)
        for i in range(begin, first):
            stepper.step(bars[i : i + 1])
        stepper.shell = Shell(Machine(CONFIG, "run"), stamped())
        for i in range(first, last):
            stepper.step(bars[i : i + 1])
        begin = last
        session = make(day, market="crash", kind=kind)
        session.start()
        session.advance(10_000)
        assert session.state == "FINISHED"
        assert list(session.journal) == stepper.shell.journal.entries


def test_a_tape_that_ends_at_noon_gives_the_backtest_of_that_tape():
    day = trade_days()[0]
    whole = tape()
    first, last = span(whole, day)
    for cut in range(first + 300, last, 37):
        bars = whole[:cut]
        run = backtest(
            bars, STRATEGIES["champion"].build(), CONFIG, "run", journal=Journal({"simulated": True})
        )
        session = make(day, bars=bars)
        session.start()
        session.advance(10_000)
        assert list(session.journal) == run.journal.entries
        assert session.view().equity_cents == run.cash_cents


def test_what_was_seen_at_a_bar_does_not_change_when_the_tape_goes_on():
    day = trade_days("crash")[1]
    whole = tape("crash")
    first, last = span(whole, day)
    long = make(day, bars=whole)
    long.start()
    for n in range(1, last - first, 60):
        long.advance(n - long.view().bars)
        short = make(day, bars=whole[: first + n + 1])  # one more, so that it has not finished
        short.start()
        short.advance(n)
        hide = {"bars_total": 0}
        assert long.view().model_copy(update=hide) == short.view().model_copy(update=hide)


# --- views


def test_every_view_survives_json_and_its_money_adds_up():
    session = make(trade_days("crash")[2], market="crash")
    session.start()
    held = 0
    while session.advance():
        view = session.view()
        assert SessionView.model_validate_json(view.model_dump_json()) == view
        assert view.equity_cents == view.start_cents + view.realised_cents + view.unrealised_cents
        assert session.bars_since(view.bars - 1)[0].pnl_cents == view.equity_cents - view.start_cents
        held += bool(view.positions)
        for p in view.positions:
            if p.entry_cents is not None and p.bid_cents is not None:
                gain = (p.bid_cents - p.entry_cents) * 100 * p.open_quantity
                assert p.unrealised_cents == gain - CONFIG.desk.commission_cents * p.open_quantity
    assert held > 10
    view = session.view()
    assert view.unrealised_cents == 0
    assert view.realised_cents == sum(t.pnl_cents for t in view.trades)
    assert view.wins == sum(t.pnl_cents > 0 for t in view.trades)
    assert view.journal_head == verify(session.journal)
    assert [row.seq for row in view.journal_tail][-1] == view.journal_count


def test_deltas_put_together_are_the_whole():
    session = make(trade_days()[0])
    session.start()
    bars: list[BarView] = []
    marks: list[MarkView] = []
    while session.advance(17):
        bars += session.bars_since(len(bars))
        marks += session.marks_since(len(marks))
    assert bars == session.bars_since(0)
    assert marks == session.marks_since(0)
    assert len(bars) == session.view().bars == session.view().bars_total
    assert [m.ts for m in marks] == sorted(m.ts for m in marks)
    assert {"signal", "entry", "exit"} <= {m.kind for m in marks}
    for mark in marks:
        assert type(mark).model_validate_json(mark.model_dump_json()) == mark


def test_denials_and_their_marks_are_those_of_the_journal():
    for day in trade_days("crash"):
        session = make(day, market="crash")
        session.start()
        session.advance(10_000)
        denied = [e for e in session.journal if e.kind == "denied"]
        view = session.view()
        assert sum(d.count for d in view.denials) == len(denied)
        assert sum(m.kind == "denied" for m in session.marks_since(0)) == len(denied)
        assert view.signals == sum(m.kind in ("signal", "denied") for m in session.marks_since(0))


def test_levels_are_shown_from_the_bar_on_at_which_they_are_known():
    bars = tape()
    days = session_days(bars)
    day, before = days[20], days[19]
    session = make(day)
    session.start()

    def extremes(mask):
        return (
            (float(bars["high"][mask].max()), float(bars["low"][mask].min())) if mask.any() else (None, None)
        )

    of_day = bars["day"] == (day - dt.date(1970, 1, 1)).days
    regular = (bars["minute"] >= 570) & (bars["minute"] < bars["close_minute"])
    yesterday = regular & (bars["day"] == (before - dt.date(1970, 1, 1)).days)
    london = of_day & (bars["minute"] >= 180) & (bars["minute"] < 570)
    evening = of_day & (bars["minute"] >= 1080)
    opening, close = to_ns(day, 570), to_ns(day, 960)
    while session.advance():
        view = session.view()
        assert view.bar_at is not None
        if view.bar_at <= close:
            assert (view.levels.day_high, view.levels.day_low) == extremes(yesterday)
        begun = view.bar_at - NS_PER_MINUTE
        expected = extremes(london) if opening <= begun < to_ns(day, 1080) else (None, None)
        assert (view.levels.london_high, view.levels.london_low) == expected
        if begun < to_ns(day, 1080):
            assert (view.levels.asia_high, view.levels.asia_low) == extremes(evening)


def test_previous_close_is_the_last_regular_close_before_the_day():
    bars = tape()
    days = session_days(bars)
    session = make(days[3])
    before = bars[: span(bars, days[3])[0]]
    regular = before[(before["minute"] >= 570) & (before["minute"] < before["close_minute"])]
    assert session.view().previous_close == regular["close"][-1]
    assert make(days[0]).view().previous_close is None


# --- the clock


def test_no_bar_is_shown_before_the_clock_has_reached_its_end():
    day = trade_days()[0]
    session = make(day)
    session.start()
    stamps = tape()["ts"][slice(*span(tape(), day))]
    for clock in range(int(stamps[0]) - NS_PER_MINUTE, int(stamps[40]), NS_PER_MINUTE // 4):
        session.advance_to(clock)
        view = session.view()
        assert view.bars == int((stamps <= clock).sum())
        assert view.clock == clock
        if view.bar_at is not None:
            assert view.age_s == (clock - view.bar_at) / 1e9


def test_data_age_grows_over_a_gap_in_the_tape():
    day = session_days(tape())[1]
    first, last = span(tape(), day)
    gap = np.concatenate([tape()[: first + 100], tape()[first + 130 : last]])
    session = make(day, bars=gap)
    session.start()
    session.advance(100)
    session.advance_to(session.clock + 20 * NS_PER_MINUTE)
    assert session.view().bars == 100
    assert session.view().age_s == 1200


# --- commands


def test_commands_out_of_turn_are_refused_with_a_reason_and_change_nothing():
    session = make(trade_days()[0])
    assert session.pause() == session.resume() == session.stop() == "the session has not started"
    assert session.advance(5) == 0
    assert session.start() is None
    assert session.start() == "the session is running"
    assert session.resume() == "the session is running"
    assert session.advance(5) == 5
    assert session.pause() is None
    assert session.pause() == "the session is paused"
    assert session.advance(5) == 0
    assert session.advance_to(2**62) == 0
    assert session.resume() is None
    assert session.stop() is None
    assert session.start() == session.stop() == "the session was stopped"
    assert session.advance(5) == 0
    assert session.view().bars == 5
    assert set(session.view().blocked) == {"start", "pause", "resume", "stop"}


def run_until_held(session):
    session.start()
    while not any(p.entry_cents is not None for p in session.view().positions):
        assert session.advance()


def test_stop_sells_at_the_last_bid_and_journals_it():
    session = make(trade_days()[0])
    run_until_held(session)
    session.advance(3)
    before = session.view()
    assert session.stop() is None
    after = session.view()
    assert after.positions == ()
    assert after.equity_cents == before.equity_cents
    assert after.realised_cents == before.realised_cents + before.unrealised_cents
    assert after.trades[-1].reason == "tape_end"
    assert after.trades[-1].exit_at == before.bar_at
    assert [e.kind for e in session.journal[before.journal_count :]] == ["order", "fill", "closed"]
    assert session.marks_since(before.marks)[0].kind == "exit"
    assert session.bars_since(before.bars - 1)[0].pnl_cents == after.equity_cents - after.start_cents
    verify(session.journal)


def test_stop_without_flattening_leaves_the_position_in_the_record():
    session = make(trade_days()[0])
    run_until_held(session)
    before = session.view()
    assert session.stop(flatten=False) is None
    assert session.view().positions == before.positions
    assert len(session.journal) == before.journal_count


def test_stop_takes_back_an_entry_that_waits_for_the_open():
    session = make(trade_days()[0])
    session.start()
    while not session.view().positions:
        assert session.advance()
    assert session.view().positions[0].entry_cents is None
    session.stop()
    view = session.view()
    assert view.positions == ()
    assert view.equity_cents == view.start_cents
    assert [d.code for d in view.denials] == ["TAPE_ENDED"]


def test_stop_before_the_first_bar_records_nothing():
    session = make(trade_days()[0])
    session.start()
    assert session.stop() is None
    assert session.journal == ()


def test_an_error_in_a_step_pauses_for_good_and_passes_on(monkeypatch):
    session = make(trade_days()[0])
    session.start()
    session.advance(5)

    def broken(*_):
        raise InvariantError("the books do not balance")

    monkeypatch.setattr(session._stepper, "step", broken)
    with pytest.raises(InvariantError):
        session.advance(5)
    view = session.view()
    assert view.state == "PAUSED"
    assert view.fault == "InvariantError: the books do not balance"
    assert session.resume() == "the session broke on an error and cannot go on"
    assert view.blocked["resume"] == session.refusal("resume")
    assert session.stop() is None


def test_a_date_without_bars_is_refused_with_the_tapes_span():
    with pytest.raises(DataError, match=r"no bars on 2025-01-04: it covers 2025-01-02 to "):
        make(dt.date(2025, 1, 4))
