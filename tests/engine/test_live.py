"""The live session: what it shows after a restart, and what it refuses."""

import json
from pathlib import Path

from maxlib.engine.live import LiveSession
from tests.chaos.kill_sweep import day, trader


def session(folder: Path) -> LiveSession:
    return LiveSession(trader(folder), label="SIMULATED", strategy="scripted")


def test_a_restart_shows_the_whole_day_and_its_pnl_wherever_nothing_was_open(tmp_path: Path) -> None:
    bars = day()
    first = session(tmp_path)
    flat = []
    for i in range(90):
        first.bar(bars[i : i + 1])
        positions = first.status(int(bars["ts"][i])).positions
        flat.append(all(p.entry_at is None for p in positions))
    marks = first.marks()
    first.trader.close()
    second = session(tmp_path)
    for shown, before, was_flat in zip(second.bars, first.bars, flat, strict=True):
        assert shown == (before if was_flat else before.model_copy(update={"pnl_cents": None}))
    assert second.marks() == marks
    assert 0 < sum(flat) < 90, "some bars of either kind"
    assert len({b.pnl_cents for b in second.bars}) > 3, "several trades were closed"
    second.bar(bars[90:91])
    assert second.status(int(bars["ts"][90])).bars == 91
    assert second.bars[-1].pnl_cents is not None
    second.trader.close()


def test_the_age_of_the_newest_bar_counts_from_its_arrival_in_this_process(tmp_path: Path) -> None:
    one = session(tmp_path)
    assert one.status(0).taken_s is None
    one.bar(day()[:1])
    taken = one.status(0).taken_s
    assert taken is not None
    assert taken <= (one.status(0).taken_s or 0.0)
    one.trader.close()
    again = session(tmp_path)
    assert again.status(0).bars == 1
    assert again.status(0).taken_s is None
    again.trader.close()


def test_a_thrown_kill_switch_blocks_resume_with_its_reason(tmp_path: Path) -> None:
    one = session(tmp_path)
    one.killed = "kill switch: enough (a test)"
    assert one.ask("halt", 1) is None
    assert one.status(1).blocked["resume"] == "the kill switch is thrown; reset it first"
    assert one.status(1).killed == "kill switch: enough (a test)"
    one.killed = ""
    assert one.ask("resume", 2) is None
    one.trader.close()


BOUND = 40_000
"""Characters of a status without trades: it goes to every page twice a second."""


def test_what_is_long_in_the_journal_does_not_go_out_with_every_status(tmp_path: Path) -> None:
    one = session(tmp_path)
    memory, orders = ["A" * 100_000] * 3, [{"id": str(k)} for k in range(2_000)]
    one.trader.journal.append(0, "start", {"run": "r", "streams": memory})
    for i in range(19):
        one.trader.journal.append(i, "error", {"what": "x" * 10_000})
        one.trader.journal.append(i, "broker", {"orders": orders, "i": i})
    told = one.status(1)
    assert [row.kind for row in told.journal_tail[:3]] == ["start", "start", "error"]
    assert len(told.model_dump_json()) < BOUND
    bodies = [json.loads(row.body) for row in told.journal_tail]
    assert bodies[1] == {"run": "r", "streams": "300,010 characters", "simulated": True}
    assert bodies[2] == {"what": "x" * 500 + "…", "simulated": True}
    assert bodies[3]["i"] == 0
    assert bodies[3]["orders"].endswith(" characters")
    one.trader.close()


def test_the_first_entry_says_which_run_it_is_and_how_long_its_memory(tmp_path: Path) -> None:
    one = session(tmp_path)
    row = one.status(1).journal_tail[0]
    whole = json.loads(one.trader.journal.entries[0].body)
    shown = json.loads(row.body)
    assert row.hash == one.trader.journal.entries[0].hash
    assert shown.pop("streams").endswith(" characters")
    del whole["streams"]
    assert shown == whole
    one.trader.close()


def test_a_day_that_has_ended_says_so_also_after_a_restart(tmp_path: Path) -> None:
    one = session(tmp_path)
    one.bar(day()[:1])
    assert not one.status(0).finished
    one.trader.finish()
    assert one.ask("stop", 1) is None
    assert one.status(1).finished
    assert one.status(1).blocked["halt"] == "the session is over"
    one.trader.close()
    again = session(tmp_path)
    assert (again.status(1).phase, again.status(1).finished) == ("STOPPED", True)
    again.trader.close()
