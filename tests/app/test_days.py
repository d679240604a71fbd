"""From day to day: the account, the kill switch, and days that were not ended, as a user meets them."""

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from maxlib.app.ending import end
from maxlib.app.paper import PaperTrader
from maxlib.core.errors import DataError
from maxlib.data.tape import load
from maxlib.engine.account import ended
from maxlib.engine.replay import session_days, span
from maxlib.journal.store import JournalFile, read
from maxlib.market.calendar import to_ns
from maxlib.ops.killswitch import KillSwitch
from maxlib.research import scenario
from tests.app.test_paper import SHORT, command, wait_for, written

CHOSEN = scenario.load("demo_normal", SHORT)
BARS = load(CHOSEN.data).bars
FIRST, SECOND = (str(day) for day in session_days(BARS)[-2:])


def traded(root: Path, day: str) -> PaperTrader:
    trader = PaperTrader(CHOSEN, root / f"demo-{day}", day=day, speed=0, after="last")
    asyncio.run(trader.run(stay=False))
    return trader


def carried(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(read(folder / "journal.sqlite")[0].body)["carried"]
    return found


def test_a_kill_switch_thrown_on_one_day_is_thrown_on_the_next(tmp_path: Path) -> None:
    KillSwitch(traded(tmp_path, FIRST).folder / "kill.json").throw("enough", "me")
    second = traded(tmp_path, SECOND)
    assert second.switch.thrown
    assert second.session.status(second.feed.clock).trades == ()
    found = second.switch.why()
    assert found is not None
    assert found.reason == "enough (me)"


@pytest.mark.parametrize("tables", [False, True])
def test_a_start_that_died_before_its_first_entry_still_goes_on_with_the_account(
    tables: bool, tmp_path: Path
) -> None:
    first = traded(tmp_path, FIRST)
    folder = tmp_path / f"demo-{SECOND}"
    folder.mkdir()
    if tables:
        JournalFile(folder / "journal.sqlite").close()
    else:
        (folder / "journal.sqlite").touch()
    second = PaperTrader(CHOSEN, folder, day=SECOND, speed=0, after="last")
    assert second.trader.shell.machine.ledger.start_cents == first.trader.shell.machine.ledger.cash_cents
    second.trader.close()


def test_a_day_killed_in_the_middle_is_ended_by_hand_and_the_next_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / f"demo-{FIRST}"
    process = subprocess.Popen(command(FIRST, folder, 6000), stdout=subprocess.DEVNULL)
    wait_for(lambda: written(folder) > 300)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(DataError, match="has not ended; run maxtrader end"):
        traded(tmp_path, SECOND)
    held = holding(folder)
    said = end(folder, 500.0 if held else None)
    assert said.startswith(f"{FIRST} is ended: ")
    assert ("It was cut" in said) == held
    assert "0 positions still open" in said
    assert end(folder).startswith(f"{FIRST} had ended: ")
    traded(tmp_path, SECOND)
    assert carried(tmp_path / f"demo-{SECOND}")["day"] == FIRST


def holding(folder: Path) -> bool:
    """Whether its journal ends with something open."""
    entries = [e.kind for e in read(folder / "journal.sqlite")]
    return entries.count("fill") > 2 * entries.count("closed")


def cut(folder: Path) -> PaperTrader:
    """A trader that died with its first position, one minute after it got it."""
    trader = PaperTrader(CHOSEN, folder, day=FIRST, speed=0)
    first, last = span(BARS, dt.date.fromisoformat(FIRST))
    for i in range(first, last):
        trader.trader.bar(BARS[i : i + 1])
        if any(p.held for p in trader.trader.shell.machine.positions.values()):
            break
    trader.trader._file.close()
    return trader


def test_a_day_that_died_with_a_position_is_settled_by_the_official_close_and_never_sold(
    tmp_path: Path,
) -> None:
    folder = tmp_path / f"demo-{FIRST}"
    (position,) = cut(folder).trader.shell.machine.positions.values()
    with pytest.raises(
        DataError, match=r"is open, and \d+ minutes of the session were not seen.*--close PRICE"
    ):
        end(folder)
    contract = position.legs[0].contract
    inside = contract.strike + (7.0 if contract.right == "C" else -7.0)
    said = end(folder, inside)
    assert "1 trades, 0 positions still open" in said
    assert said.endswith("minutes before its close.")
    (closed,) = [json.loads(e.body) for e in read(folder / "journal.sqlite") if e.kind == "closed"]
    assert closed["reason"] == "expiry"
    fills = [json.loads(e.body) for e in read(folder / "journal.sqlite") if e.kind == "fill"]
    assert fills[-1]["price_cents"] == 700
    assert carried(traded(tmp_path, SECOND).folder)["day"] == FIRST


def test_a_kill_that_is_reset_after_the_close_does_not_go_on_to_the_next_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAXTRADER_KILL_RESET_CODE", "a code that nobody guesses")
    first = PaperTrader(CHOSEN, tmp_path / f"demo-{FIRST}", day=FIRST, speed=0)
    assert first.ask("kill", "enough", "") is None

    async def served() -> None:
        running = asyncio.create_task(first.run())
        while first.session.phase != "STOPPED":
            await asyncio.sleep(0)
        assert first.ask("reset", "fine again", "a code that nobody guesses") is None
        first._stop.set()
        await running

    asyncio.run(served())
    found = ended(first.folder, SECOND, "SIMULATED")
    assert (found.killed, found.halted) == ("", True), "it is a person who resumes"


def test_a_close_that_is_not_needed_is_refused(tmp_path: Path) -> None:
    folder = traded(tmp_path, FIRST).folder
    with pytest.raises(DataError, match="--close 500: "):
        end(folder, 500.0)


def test_a_day_that_is_not_over_cannot_be_ended(tmp_path: Path) -> None:
    folder = tmp_path / f"demo-{FIRST}"
    cut(folder)
    over = to_ns(dt.date.fromisoformat(FIRST), 16 * 60)
    with pytest.raises(DataError, match=f"the session of {FIRST} is not over"):
        end(folder, 500.0, now=over - 1)
    assert "is ended" in end(folder, 500.0, now=over)


def test_there_is_nothing_to_end_where_nothing_began(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no day to end"):
        end(tmp_path)
