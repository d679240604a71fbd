"""From day to day: the account, the kill switch, and days that were not ended, as a user meets them."""

import asyncio
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
from maxlib.engine.replay import session_days
from maxlib.journal.store import JournalFile, read
from maxlib.ops.killswitch import KillSwitch
from maxlib.research import scenario
from tests.app.test_paper import SHORT, command, wait_for, written

CHOSEN = scenario.load("demo_normal", SHORT)
FIRST, SECOND = (str(day) for day in session_days(load(CHOSEN.data).bars)[-2:])


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
    said = end(folder)
    assert said.startswith(f"{FIRST} is ended: ")
    assert said.endswith(" $.")
    assert "0 positions still open" in said
    assert end(folder).startswith(f"{FIRST} had ended: ")
    traded(tmp_path, SECOND)
    assert carried(tmp_path / f"demo-{SECOND}")["day"] == FIRST


def test_there_is_nothing_to_end_where_nothing_began(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no day to end"):
        end(tmp_path)
