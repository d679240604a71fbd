"""Three days with three journals are the account that three days in one journal are."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from maxlib.core.errors import ConfigError, DataError
from maxlib.data.tape import load
from maxlib.engine.account import Carried, ended, newest
from maxlib.engine.replay import session_days, span
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.books import Blocked
from maxlib.journal.store import read
from maxlib.ops.killswitch import KillSwitch
from maxlib.research import scenario
from maxlib.risk.guard import GuardConfig
from maxlib.risk.safety import SafetyConfig
from tests.engine.scripted import LONG, Market, config, strategy

CHOSEN = scenario.load("demo_normal", {"data.simulator.days": 12, "risk.risk_fraction": 0.05})
BARS = load(CHOSEN.data).bars
DAYS = session_days(BARS)[-3:]
LATER = "2030-01-01"
"""A day that may go on with any account."""
WIDE = SafetyConfig(position_fraction=0.05, exposure_fraction=0.1, premium_usd=1_000)
GUARDED = CHOSEN.machine.model_copy(update={"guard": GuardConfig(regimes=None, safety=WIDE)})


def trader(folder: Path, day: Any, label: str = "SIMULATED", **more: Any) -> Trader:
    first, _ = span(BARS, day)
    return Trader(
        folder, CHOSEN.strategy.build(), GUARDED, run="week", identity={"label": label, "day": str(day)},
        simulated=True, history=BARS[:first], **more,
    )  # fmt: skip


def feed(one: Trader, first: int, last: int) -> None:
    for i in range(first, last):
        one.bar(BARS[i : i + 1])


def closed(folder: Path) -> list[tuple[Any, ...]]:
    rows = [json.loads(e.body) for e in read(folder / "journal.sqlite") if e.kind == "closed"]
    return [(row["contract"], row["quantity"], row["pnl_cents"], row["equity_cents"]) for row in rows]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a day, the account handed on."""
    root = tmp_path_factory.mktemp("week")
    for day in DAYS:
        folder = root / f"mine-{day}"
        one = trader(folder, day, carried=newest(folder, str(day), "SIMULATED"))
        feed(one, *span(BARS, day))
        one.finish()
        one.close()
    return root


def test_days_handed_on_trade_and_earn_what_one_long_journal_does(week: Path, tmp_path: Path) -> None:
    one = trader(tmp_path, DAYS[0])
    feed(one, span(BARS, DAYS[0])[0], span(BARS, DAYS[-1])[1])
    guard = one.shell.machine.guard
    assert guard is not None
    handed = [row for day in DAYS for row in closed(week / f"mine-{day}")]
    assert handed == closed(tmp_path)
    assert len(handed) >= 3
    last = ended(week / f"mine-{DAYS[-1]}", LATER, "SIMULATED")
    assert last.cash_cents == one.shell.machine.ledger.cash_cents != 2_500_000
    assert last.guard is not None
    assert last.guard["account"] == list(guard.account), "peak, week and month are counted over the days"
    one.close()


def test_the_first_entry_names_the_journal_it_goes_on_from(week: Path) -> None:
    second = read(week / f"mine-{DAYS[1]}" / "journal.sqlite")[0]
    carried = json.loads(second.body)["carried"]
    assert carried["day"] == str(DAYS[0])
    assert carried["head"] == read(week / f"mine-{DAYS[0]}" / "journal.sqlite")[-1].hash
    assert json.loads(read(week / f"mine-{DAYS[0]}" / "journal.sqlite")[0].body)["carried"] is None


def test_a_restart_goes_on_with_what_the_first_start_carried(week: Path, tmp_path: Path) -> None:
    carried = ended(week / f"mine-{DAYS[0]}", LATER, "SIMULATED")
    one = trader(tmp_path, DAYS[1], carried=carried)
    first, _ = span(BARS, DAYS[1])
    feed(one, first, first + 100)
    state = one.state_hash
    one.close()
    again = trader(tmp_path, DAYS[1], carried=Carried("x", "SIMULATED", "", 1, None))
    assert again.state_hash == state
    assert again.shell.machine.ledger.start_cents == carried.cash_cents
    again.close()


def test_money_of_another_label_is_refused(week: Path) -> None:
    with pytest.raises(DataError, match="its account is of label SIMULATED, this day's of PAPER"):
        ended(week / f"mine-{DAYS[0]}", LATER, "PAPER")


def test_a_day_that_did_not_end_hands_nothing_on_until_it_has(tmp_path: Path) -> None:
    folder = tmp_path / f"mine-{DAYS[0]}"
    one = trader(folder, DAYS[0])
    feed(one, *span(BARS, DAYS[0]))
    one.close()
    with pytest.raises(DataError, match="has not ended; run maxtrader end"):
        newest(tmp_path / f"mine-{DAYS[1]}", str(DAYS[1]), "SIMULATED")
    again = trader(folder, DAYS[0])
    again.finish()
    again._file.close()  # killed while it served on
    assert ended(folder, LATER, "SIMULATED").day == str(DAYS[0])


def test_a_day_without_a_bar_left_the_account_as_it_was(week: Path, tmp_path: Path) -> None:
    shutil.copytree(week, tmp_path / "w")
    trader(tmp_path / "w" / f"mine-{DAYS[2]}x", DAYS[2]).close()
    (tmp_path / "w" / f"mine-{DAYS[2]}x").rename(tmp_path / "w" / "mine-2030-01-02")
    found = newest(tmp_path / "w" / "mine-2030-01-03", "2030-01-03", "SIMULATED")
    assert found is not None
    assert found.day == str(DAYS[2])


def idle(root: Path, day: str, carried: Carried | None, *names: Any) -> None:
    """A day on which commands came, but no bar."""
    one = Trader(
        root / f"mine-{day}", CHOSEN.strategy.build(), GUARDED, run="week", simulated=True, carried=carried,
        identity={"label": "SIMULATED", "day": day},
    )  # fmt: skip
    for n, name in enumerate(names):
        one.command(name, n)
    one.close()


def test_a_halt_or_a_kill_of_a_day_without_a_bar_goes_on_and_so_does_its_end(
    week: Path, tmp_path: Path
) -> None:
    root = tmp_path / "w"
    shutil.copytree(week, root)

    def found(day: str) -> Carried:
        made = newest(root / f"mine-{day}", day, "SIMULATED")
        assert made is not None
        return made

    idle(root, "2030-01-02", found("2030-01-02"), "halt")
    assert (found("2030-01-03").halted, found("2030-01-03").killed) == (True, "")
    idle(root, "2030-01-03", found("2030-01-03"), "kill")
    assert (found("2030-01-04").halted, found("2030-01-04").killed) == (True, "so its journal says")
    KillSwitch(root / "mine-2030-01-04" / "kill.json").throw("enough", "a test")
    idle(root, "2030-01-04", found("2030-01-04"))
    assert found("2030-01-05").killed == "enough (a test)"
    idle(root, "2030-01-05", found("2030-01-05"), "reset", "resume")
    assert (found("2030-01-06").halted, found("2030-01-06").killed) == (False, "")
    idle(root, "2030-01-06", None)  # begun anew: what it left out is not forgotten
    assert found("2030-01-07").cash_cents == found("2030-01-02").cash_cents


def test_an_account_goes_on_to_a_later_day_only(week: Path) -> None:
    for day in (DAYS[0], DAYS[1]):
        with pytest.raises(DataError, match=f"its day {DAYS[1]} should be before {day}"):
            ended(week / f"mine-{DAYS[1]}", str(day), "SIMULATED")
    assert ended(week / f"mine-{DAYS[1]}", str(DAYS[2]), "SIMULATED").day == str(DAYS[1])


def test_a_day_without_a_guard_keeps_what_the_guard_had_counted(week: Path, tmp_path: Path) -> None:
    carried = ended(week / f"mine-{DAYS[0]}", LATER, "SIMULATED")
    one = Trader(
        tmp_path, CHOSEN.strategy.build(), CHOSEN.machine, run="free", simulated=True, carried=carried,
        identity={"label": "SIMULATED", "day": str(DAYS[1])}, history=BARS[: span(BARS, DAYS[1])[0]],
    )  # fmt: skip
    feed(one, *span(BARS, DAYS[1]))
    one.finish()
    one.close()
    assert ended(tmp_path, LATER, "SIMULATED").guard == carried.guard is not None


def test_a_halt_and_what_nobody_looked_at_go_on(tmp_path: Path) -> None:
    one = trader(tmp_path, DAYS[0], fills="broker")
    first, _ = span(BARS, DAYS[0])
    feed(one, first, first + 5)
    assert one.last_bar is not None
    one.heard(Blocked("VANISHED", "gone"), one.last_bar.ts)
    one.finish()
    one.close()
    carried = ended(tmp_path, LATER, "SIMULATED")
    assert carried.halted
    second = trader(tmp_path / "next", DAYS[1], carried=carried)
    assert second.shell.machine.halted
    second.close()


def test_what_is_still_held_is_not_handed_on(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", LONG).bars
    how, identity = strategy(), {"label": "SIMULATED", "day": "2025-01-02"}
    one = Trader(
        tmp_path, how, config(hold_minutes=60), run="h", identity=identity, simulated=True, fills="broker"
    )
    for i in range(len(bars)):
        one.bar(bars[i : i + 1])
    one.finish()  # at a broker, what is open stays open
    assert len(one.shell.machine.positions) == 1
    one.close()
    with pytest.raises(DataError, match="contracts are still held at the end of 2025-01-02"):
        ended(tmp_path, LATER, "SIMULATED")


def test_last_is_the_newest_folder_that_differs_by_the_day_only(week: Path, tmp_path: Path) -> None:
    found = newest(week / f"mine-{DAYS[2]}", str(DAYS[2]), "SIMULATED")
    assert found is not None
    assert found.day == str(DAYS[1])
    assert newest(week / f"other-{DAYS[2]}", str(DAYS[2]), "SIMULATED") is None
    with pytest.raises(ConfigError, match="should have the day 2025-01-31 in its name"):
        newest(tmp_path / "mine", "2025-01-31", "SIMULATED")
