"""What the guard and the market do is told: to people by notice, to viewers over the stream."""

import asyncio
import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.alerts import Alerts
from maxlib.app.api import Events
from maxlib.app.at_broker import AtBroker
from maxlib.app.feeds import Condition
from maxlib.app.occasions import LATE_NS, Occasions
from maxlib.app.paper import PaperTrader
from maxlib.app.telling import Telling
from maxlib.core.errors import InvariantError
from maxlib.engine.live import LiveSession
from maxlib.engine.trader import Trader
from maxlib.journal.chain import Entry
from maxlib.journal.store import read
from maxlib.ops.backends import Memory
from maxlib.ops.notify import Notifier
from maxlib.ops.text import Masker
from maxlib.research import scenario
from maxlib.risk.breakers import BreakersConfig
from maxlib.risk.guard import GuardConfig
from maxlib.risk.limits import LimitsConfig
from maxlib.risk.safety import SafetyConfig
from maxlib.risk.sizing import Denial
from tests.app.test_paper import SHORT, traded
from tests.engine.scripted import LONG, Market, config, strategy
from tests.engine.test_brokerage import Day
from tests.engine.test_guard_inputs import well

SIGNALS = ("10:00", "10:10", "10:20", "10:30", "10:40")


@dataclasses.dataclass
class Desk:
    """A guarded trader on a quiet morning, where each trade loses its costs, and who hears of it."""

    folder: Path
    guard: GuardConfig

    def __post_init__(self) -> None:
        market = Market().flat("09:25", "11:00", 500.0)
        for at in SIGNALS:
            market.signal(at, LONG)
        self.bars, self.taken = market.bars, 0
        self.memory = Memory()
        self.start()

    def start(self) -> None:
        made = config(hold_minutes=3).model_copy(update={"guard": self.guard, "strategy": "champion"})
        trader = Trader(self.folder, strategy(), made, run="g", identity={}, simulated=True)
        self.session = LiveSession(trader, label="SIMULATED", strategy="scripted")
        self.notices = Notifier([self.memory], self.folder, "SIMULATED", masker=Masker())
        self.events = Events()
        clock = lambda: trader.last_bar.ts + 7_000_000_000 if trader.last_bar else 0  # noqa: E731
        self.telling = Telling(self.session, self.events, Alerts(self.notices, self.session, clock), clock)

    def restart(self) -> None:
        self.close()
        self.start()

    def run(self, count: int) -> list[dict[str, Any]]:
        """Take so many bars; what viewers heard."""
        with self.events.listen() as queue:
            for i in range(self.taken, self.taken + count):
                before = len(self.session.marks())
                self.session.bar(self.bars[i : i + 1])
                self.telling.marks(before)
            self.taken += count
            return [queue.get_nowait() for _ in range(queue.qsize())]

    def close(self) -> None:
        self.notices.close()
        self.session.trader.close()

    def told(self, event: str) -> list[tuple[str, int]]:
        self.notices.close()
        return [(body, p) for title, body, p in self.memory.sent if title == f"[SIMULATED] {event}"]


def wide(**changes: Any) -> SafetyConfig:
    return SafetyConfig(position_fraction=0.05, exposure_fraction=0.1, premium_usd=1_000, **changes)


def test_a_breaker_is_told_to_people_and_to_viewers(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GuardConfig(regimes=None, safety=wide(breakers=BreakersConfig(losses=2))))
    heard = desk.run(len(desk.bars))
    assert [(e["guard"]["what"], e["guard"]["details"]["code"]) for e in heard if e["event"] == "guard"] == [
        ("breaker_set", "BREAKER_LOSSES")
    ]
    [(text, priority)] = desk.told("Breaker")
    assert text.startswith("no entries: breaker BREAKER_LOSSES is set: 2 reaches 2")
    assert priority == 1
    desk.close()


def test_the_daily_loss_limit_is_told_once_a_day_also_over_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GuardConfig(regimes=None, safety=wide(), limits=LimitsConfig(daily_loss_usd=1)))
    desk.run(60)
    desk.restart()
    desk.run(len(desk.bars) - 60)
    denied = [json.loads(e.body)["code"] for e in read(tmp_path / "journal.sqlite") if e.kind == "denied"]
    assert denied == ["DAILY_LOSS_USD"] * 4
    [(text, priority)] = desk.told("Daily loss limit")
    assert "limit 1, actual " in text
    assert priority == 1
    desk.close()


def test_the_open_is_told_once_with_the_first_regular_minute(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GuardConfig(regimes=None))
    desk.run(5)  # 09:25 to 09:29
    assert desk.told("Market open") == []
    desk.restart()
    desk.run(10)
    desk.restart()
    desk.run(10)
    [(text, priority)] = desk.told("Market open")
    assert "underlying 500.00, 09:31 New York" in text
    assert priority == 0
    desk.close()


def test_safe_mode_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GuardConfig(regimes=None, safety=wide()))
    desk.run(20)
    for n, cpu in enumerate((95.0, 20.0, 20.0, 20.0)):
        last = desk.session.trader.last_bar
        assert last is not None
        desk.session.vitals(well(last.ts + n * 60_000_000_000, cpu_percent=cpu))
        desk.telling.news()
    assert [text.splitlines()[0] for text, _ in desk.told("Health")] == [
        "no entries: safe mode is on: resources",
        "safe mode is off",
    ]
    desk.close()


def test_an_exit_says_what_it_earned_and_how_old_the_data_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GuardConfig(regimes=None, safety=wide()))
    desk.run(len(desk.bars))
    trades = desk.session.trader.shell.machine.trades
    exits = desk.told("Exit")
    assert len(exits) == len(trades) == len(SIGNALS)
    for (text, _), trade in zip(exits, trades, strict=True):
        money = f"{abs(trade.pnl_cents) / 100:,.2f}"
        premium = trade.exit_price_cents * trade.quantity
        assert trade.pnl_cents < 0
        assert f"; P&L -${money} of the trade, after fees" in text
        assert f"{trade.quantity} × {trade.name} at {trade.exit_price_cents / 100:.2f} (time)" in text
        assert f"premium ${premium:,.2f}, underlying 500.00" in text
        assert "data 7 s old" in text
    desk.close()


def test_a_transition_of_the_market_is_told_and_so_is_every_age(tmp_path: Path) -> None:
    memory, notices = Memory(), tmp_path / "notices"
    notices.mkdir()
    told = Notifier([memory], notices, "SIMULATED", masker=Masker())
    chosen = scenario.load("demo_normal", {"guard.book": "conservative"})
    trader = PaperTrader(chosen, tmp_path / "trader", day="2025-04-04", speed=0, told=told)
    asyncio.run(trader.run(stay=False))
    regimes = [body for title, body, _ in memory.sent if title == "[SIMULATED] Regime"]
    assert len(regimes) == 1
    assert regimes[0].startswith("UNKNOWN to ")
    late = [body for title, body, _ in memory.sent if title != "[SIMULATED] Startup"]
    assert all("data age unknown" not in body for body in late)


def entry(ts: int, kind: str, **body: Any) -> Entry:
    return Entry(0, ts, kind, json.dumps(body), "")


def lifted(filled_after: int, contract: str = "QQQ C600") -> list[str]:
    """Two bought, one sold at the first target `filled_after` ns later; what is told, and its event."""
    opened = {"trade": 1, "contract": "QQQ C600", "quantity": 2}
    sold = {"trade": 1, "contract": contract, "quantity": 1}
    occasions = Occasions(100).of([
        entry(0, "signal", spot=600.0),
        entry(0, "order", order="a", purpose="open", **opened),
        entry(0, "fill", order="a", price_cents=200, fee_cents=130, spot=600.0, **opened),
        entry(9, "order", order="b", purpose="tp1", **sold),
        entry(9, "rejected", order="b", purpose="tp1", code="NO_QUOTE", trade=1),
        entry(9 + 60, "order", order="c", purpose="tp1", **sold),
        entry(9 + filled_after, "fill", order="c", price_cents=250, fee_cents=65, spot=601.0, **sold),
    ])  # fmt: skip
    assert occasions[-1].event in ("exit", "recovery exit")
    return [occasions[-1].event, occasions[-1].text]


def test_an_exit_filled_long_after_it_was_decided_is_one_of_recovery() -> None:
    assert lifted(LATE_NS)[0] == "exit"
    assert lifted(LATE_NS + 1)[0] == "recovery exit", "it counts from the first time it was asked for"


def test_a_part_that_is_sold_says_what_it_earned_and_a_leg_of_a_package_nothing() -> None:
    # (2.50 - 2.00) x 100 less 0.65 for the sale and half of 1.30 for the entry
    assert "; P&L +$48.70 of this part" in lifted(1)[1]
    assert lifted(1, "QQQ C610")[1].endswith("; a leg of the package")


def test_a_journal_that_cannot_be_recovered_is_an_emergency(tmp_path: Path) -> None:
    chosen = scenario.load("demo_normal", SHORT)
    day = str(traded(chosen, "", tmp_path).settings["day"])
    with sqlite3.connect(tmp_path / "journal.sqlite") as file:
        tables = [name for (name,) in file.execute("select name from sqlite_master where type = 'table'")]
        file.execute(f"update {tables[0]} set body = '{{}}' where seq = 40")
    memory, notices = Memory(), tmp_path / "mine"
    notices.mkdir()
    told = Notifier([memory], notices, "SIMULATED", masker=Masker())
    with pytest.raises(InvariantError):
        PaperTrader(chosen, tmp_path, day=day, speed=0, told=told)
    [(title, body, priority)] = memory.sent
    assert (title, priority) == ("[SIMULATED] Recovery error", 2)
    assert "look at it" in body


def test_units_that_no_trade_waits_for_are_told_to_people_and_viewers(tmp_path: Path) -> None:
    """An entry fills after its cancel: the account holds contracts without a stop."""
    day = Day(tmp_path)
    day.until("09:41")
    (tracked,) = day.shell.outbox
    session = LiveSession(day.trader, label="PAPER", strategy="scripted")
    memory, events = Memory(), Events()
    notices = Notifier([memory], tmp_path / "n", "PAPER", masker=Masker())
    telling = Telling(session, events, Alerts(notices, session, lambda: day.now), lambda: day.now)
    never: Any = None
    at = AtBroker(never, session, telling, lambda: day.now, lambda: None, since=0, standing=False)
    at.sending(tracked.order.id)
    at.heard(day.moved(tracked, "WORKING"))
    at.heard(day.moved(tracked, "CANCELED"))
    with events.listen() as queue:
        at.heard(day.filled(tracked, 4, 40_000, late=True))
        seen = [queue.get_nowait()["event"] for _ in range(queue.qsize())]
    notices.close(5.0)
    (said,) = [body for title, body, _ in memory.sent if title.endswith("Reconcile mismatch")]
    assert said.startswith("STRAY_FILL: 4 × ")
    assert "broker" in seen


def test_that_the_feed_is_well_again_is_told_at_once(tmp_path: Path) -> None:
    """Both are told once a minute at most, each of its own kind."""
    memory = Memory()
    told = Notifier([memory], tmp_path / "notices", "SIMULATED", masker=Masker())
    trader = PaperTrader(scenario.load("demo_normal", SHORT), tmp_path / "t", speed=0, told=told)
    for denial in (Denial("FEED_DOWN", 0.0, 1.0), None, Denial("FEED_DOWN", 0.0, 2.0), None):
        trader._take(Condition(denial))
    trader.trader.close()
    told.close(5.0)
    said = [body.splitlines()[0] for title, body, _ in memory.sent if title.endswith("Health")]
    assert said == ["no entries: FEED_DOWN: 1 s, at most 0 s", "the feed is well again"]
