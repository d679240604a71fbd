"""Health, errors and a user's reset reach the guard as inputs of the journal, and a restart repeats them."""

import json
import math
from pathlib import Path
from typing import Any

from maxlib.engine.trader import Trader
from maxlib.journal.store import read
from maxlib.risk.guard import GuardConfig
from maxlib.risk.health import Vitals
from maxlib.risk.limits import LimitsConfig
from maxlib.risk.safety import SafetyConfig
from tests.engine.scripted import LONG, Market, config, strategy

MINUTE = 60_000_000_000


class Guarded:
    """A trader with a guard on a quiet morning that signals at 10:00, 10:10, …, 11:00."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        market = Market().flat("09:30", "11:30", 500.0)
        for at in ("10:00", "10:10", "10:20", "10:30", "10:40", "10:50", "11:00"):
            market.signal(at, LONG)
        self.bars, self.folder, self.next = market.bars, folder, 0
        made = config(hold_minutes=3)
        wide = SafetyConfig(
            position_fraction=0.05, exposure_fraction=0.1, premium_usd=1_000, strategy_trades=9
        )
        guard = GuardConfig(regimes=None, safety=wide, **changes)
        self.config = made.model_copy(update={"guard": guard, "strategy": "champion"})
        self.start()

    def start(self) -> None:
        self.trader = Trader(self.folder, strategy(), self.config, run="g", identity={}, simulated=True)

    def restart(self) -> None:
        state = self.trader.state_hash
        self.trader.close()
        for snapshot in (self.folder / "snapshots").glob("*"):
            snapshot.unlink()  # the journal alone has to be enough
        self.start()
        assert self.trader.state_hash == state

    def until(self, minute: str) -> int:
        """Bars up to the one that ends then; returns its time."""
        last = int(minute[:2]) * 60 + int(minute[3:]) - (9 * 60 + 30)
        for i in range(self.next, last):
            self.trader.bar(self.bars[i : i + 1])
        self.next = last
        assert self.trader.last_bar is not None
        return self.trader.last_bar.ts

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(e.body) for e in read(self.folder / "journal.sqlite") if e.kind == kind]

    @property
    def codes(self) -> list[str]:
        return [body["code"] for body in self.bodies("denied")]


def well(ts: int, **changes: Any) -> Vitals:
    measured = {"data_age_seconds": 2.0, "cpu_percent": 20.0, "memory_percent": 40.0, "api_ok": True}
    return Vitals(ts, **{**measured, **changes})


def test_a_failed_check_refuses_entries_until_three_good_ones_and_a_restart_remembers(tmp_path: Path) -> None:
    day = Guarded(tmp_path)
    ts = day.until("09:59")
    day.trader.vitals(well(ts, cpu_percent=90.5))
    day.restart()
    day.until("10:05")
    assert day.codes == ["SAFE_MODE"]
    for n in range(3):
        day.trader.vitals(well(day.until(f"10:0{6 + n}")))
    day.restart()
    day.until("10:15")
    assert day.codes == ["SAFE_MODE"], "three good checks in a row have healed it"
    assert day.trader.shell.machine.entered == 1


def test_what_cannot_be_measured_is_a_failure_and_survives_the_journal(tmp_path: Path) -> None:
    day = Guarded(tmp_path)
    day.trader.vitals(well(day.until("09:59"), data_age_seconds=math.nan))
    assert [body["data_age_seconds"] for body in day.bodies("vitals")] == [None]
    day.restart()
    day.until("10:05")
    assert day.codes == ["SAFE_MODE"]


def test_five_errors_in_ten_minutes_pause_entries_for_thirty(tmp_path: Path) -> None:
    day = Guarded(tmp_path)
    ts = day.until("09:59")
    for second in range(5):
        day.trader.error("the broker does not answer", ts + second * 1_000_000_000)
    day.restart()
    day.until("10:25")
    assert day.codes == ["BREAKER_ERRORS"] * 3
    day.until("10:35")  # 10:30 is past 09:59:04 and thirty minutes
    assert day.codes == ["BREAKER_ERRORS"] * 3
    assert day.trader.shell.machine.entered == 1


def test_a_peak_that_a_user_resets_lets_trading_go_on(tmp_path: Path) -> None:
    # A round trip costs 65 cents twice, the spread and a little decay: more than 0.001 % of 25,000 $.
    day = Guarded(tmp_path, limits=LimitsConfig(soft_drawdown=0.00001, hard_drawdown=0.00001))
    ts = day.until("10:15")
    assert len(day.codes) == 1
    stopped = day.codes[0]
    day.trader.command("reset_peak", ts, "I have looked")
    day.restart()
    day.until("10:25")
    assert day.codes == [stopped], "10:20 was let through"
    assert [body["what"] for body in day.bodies("guard") if body["what"] == "peak_reset"] == ["peak_reset"]


def test_before_the_first_bar_there_is_nothing_to_guard(tmp_path: Path) -> None:
    day = Guarded(tmp_path)
    day.trader.vitals(well(1))
    day.trader.error("early", 1)
    assert [e.kind for e in read(tmp_path / "journal.sqlite")] == ["start"]
