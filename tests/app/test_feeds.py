"""The paper trader over its feeds: the whole live path on loopback decides what a replay decides.

At speed 0 the fake's market stands until a minute was taken: no test waits for a while.
"""

import asyncio
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.app import venues
from maxlib.app.commands.way import Way
from maxlib.app.fake_source import MarketClock
from maxlib.app.feeds import Condition, FeedConfig, Gap, Minute, StreamFeed
from maxlib.app.paper import PaperTrader
from maxlib.core.errors import ConfigError, DataError
from maxlib.data.massive.config import MassiveConfig
from maxlib.data.massive.fake import FakeConfig, FakeMarket, FakeMassive, Plan, VirtualClock
from maxlib.data.resilience import BackoffConfig
from maxlib.data.tape import load
from maxlib.engine.backtest import to_bar
from maxlib.engine.replay import span
from maxlib.journal.chain import Entry
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york
from maxlib.ops.backends import Memory
from maxlib.research import scenario
from maxlib.risk.guard import GuardConfig
from tests.app.test_alerts import told as telling
from tests.app.test_paper import SHORT, busiest, command, decisions, wait_for, without_ids, written
from tests.chaos.kill_sweep import scratch

MINUTE = NS_PER_MINUTE
REAL = {"data.start": "2025-09-15", "data.end": "2025-10-31"}
HEALED = {
    "drop": 0.02, "duplicate": 0.02, "reorder": 0.02, "delay": 0.01, "garble": 0.01, "retype": 0.01,
    "nan": 0.01, "foreign": 0.01, "cross": 0.01, "disconnect": 0.003,
}  # fmt: skip
"""Everything that can go wrong on the stream and that REST makes whole: all but a spike that is believed."""


GUARDED = {"data.simulator.days": 22, "guard.safety.strategy_trades": 2}
"""A router of regimes that has seen its fourteen sessions, and a limit that bites."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: what is tested is not the disk."""
    with scratch() as made:
        yield made


@pytest.fixture(scope="module")
def simulated() -> tuple[scenario.Scenario, str, list[Any]]:
    return busiest("demo_normal", SHORT)


def over_fake(
    chosen: scenario.Scenario, day: str, folder: Path, faults: dict[str, Any] | None = None, **more: Any
) -> PaperTrader:
    """A trader over the fake, at speed 0; not yet run."""
    config = None if faults is None else FakeConfig(**faults)
    return PaperTrader(chosen, folder, day=day, speed=0, venue=partial(venues.fake, faults=config, **more))


def traded(*arguments: Any, **more: Any) -> tuple[PaperTrader, list[Entry]]:
    trader = over_fake(*arguments, **more)
    asyncio.run(trader.run(stay=False))
    return trader, read(trader.folder / "journal.sqlite")


def stream_of(trader: PaperTrader) -> Any:
    assert isinstance(trader.feed, StreamFeed)
    return trader.feed.stream


def bars_of(entries: list[Entry]) -> list[list[float]]:
    return [json.loads(e.body)["values"] for e in entries if e.kind == "bar"]


def tape_of(chosen: scenario.Scenario, day: str) -> Any:
    bars = load(chosen.data).bars
    first, last = span(bars, dt.date.fromisoformat(day))
    return bars[first:last]


def fed(entries: list[Entry]) -> list[dict[str, Any]]:
    return [json.loads(e.body) for e in entries if e.kind == "feed"]


# --- parity


def test_a_simulated_day_over_the_live_path_decides_what_its_replay_decides(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    trader, entries = traded(chosen, day, tmp_path)
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)], "every minute once"
    assert Counter(e.kind for e in entries).keys().isdisjoint({"feed", "gap"})
    assert stream_of(trader).counts["connections"] == 1
    assert trader.session.label == "SIMULATED"


def test_a_real_day_over_the_live_path_decides_what_its_replay_decides(shared: Path, tmp_path: Path) -> None:
    del shared
    chosen, day, replayed = busiest("baseline_2025", REAL)
    trader, entries = traded(chosen, day, tmp_path)
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)]
    assert trader.session.label == "REPLAY"


def test_a_guarded_day_over_the_live_path_decides_what_its_replay_decides_and_recovers(
    tmp_path: Path,
) -> None:
    """The router reads live minutes, and outlives a kill: from a snapshot as from the journal."""
    chosen, day, replayed = busiest("demo_normal", GUARDED)
    tape = tape_of(chosen, day)
    stopped_after(over_fake(chosen, day, tmp_path), int(tape["ts"][len(tape) // 2]))
    trader, entries = traded(chosen, day, tmp_path, missed_minutes=0)
    assert trader.trader.recovery.snapshot > 0
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))
    (regime,) = [json.loads(e.body) for e in entries if e.kind == "guard"]
    assert (regime["what"], regime["details"]["new"]) == ("regime", "NORMAL_VOL")
    assert [json.loads(e.body)["code"] for e in entries if e.kind == "denied"] == ["STRATEGY_TRADES"]
    for name in (tmp_path / "snapshots").iterdir():
        name.unlink()
    again = over_fake(chosen, day, tmp_path).trader
    assert (again.recovery.replayed, again.state_hash) == (len(entries), trader.trader.state_hash)
    again.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_28_to_46_a_day_of_stream_faults_is_made_whole_and_decides_the_same(
    seed: int, simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    trader, entries = traded(chosen, day, tmp_path, {"stream_faults": HEALED, "seed": seed})
    counts, gate = stream_of(trader).counts, stream_of(trader).gate.counts
    assert counts["lost"] > 5
    assert counts["fills"] > 20
    assert gate["duplicate"] + gate["late"] > 10
    assert counts["not JSON"] > 0
    assert counts["unsubscribed"] > 0
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)], "every minute once"
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))


def test_rows_39_to_45_faults_of_rest_are_retried_and_cost_no_minute(simulated: Any, tmp_path: Path) -> None:
    chosen, day, replayed = simulated
    rest = dict.fromkeys(("429", "500", "503", "html", "truncated", "short", "reset"), 0.03)
    faults = {"stream_faults": {"drop": 0.02}, "rest_faults": rest, "seed": 5}
    trader, entries = traded(chosen, day, tmp_path, faults)
    assert stream_of(trader).counts["fills"] > 10
    assert trader.feed.source.vendor.calls.total() > stream_of(trader).counts["fills"]  # type: ignore[attr-defined]
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)]
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))


def test_row_34_a_spike_that_the_next_minute_belies_is_a_marked_gap_and_never_a_price(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    trader, entries = traded(chosen, day, tmp_path, {"stream_faults": {"spike": 0.01}, "seed": 2})
    mine, true = bars_of(entries), [list(to_bar(row)) for row in tape_of(chosen, day)]
    spikes = stream_of(trader).gate.counts["spike"]
    assert spikes > 0
    assert len(mine) == len(true) - spikes
    assert all(row in true for row in mine)
    regular = [row for row in true if row not in mine and 570 <= row[7] < 960]
    told = [json.loads(e.body) for e in entries if e.kind == "gap"]
    assert [(gap["start"], gap["end"]) for gap in told] == [(row[0] - MINUTE, row[0]) for row in regular]
    assert trader.session.status(0).gaps == len(regular)


# --- stale, down


def first_entry(replayed: list[Any]) -> tuple[int, int]:
    """When the first entry was decided on, and when its trade was closed."""
    orders = [e.ts for e in replayed if e.kind == "order"]
    return orders[0], next(e.ts for e in replayed if e.kind == "closed")


def test_row_46_while_the_feed_is_down_nothing_enters_although_rest_brings_the_minutes(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    at, _ = first_entry(replayed)
    outage = (at - 3 * MINUTE, at + 2 * MINUTE)
    _, entries = traded(chosen, day, tmp_path, {"outages": (outage,)})
    denied = [(e.ts, json.loads(e.body)) for e in entries if e.kind == "denied"]
    assert denied[0][0] == at
    assert {k: denied[0][1][k] for k in ("code", "limit", "actual")} == {
        "code": "FEED_DOWN", "limit": 0.0, "actual": 180.0,
    }  # fmt: skip
    assert at not in [e.ts for e in entries if e.kind == "order"]
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)]
    assert [f["code"] for f in fed(entries)][-1] == "", "it is well again at the end"


def test_row_46_what_is_open_leaves_as_planned_while_the_feed_is_down(simulated: Any, tmp_path: Path) -> None:
    chosen, day, replayed = simulated
    at, closed = first_entry(replayed)
    outage = (at + 2 * MINUTE, closed + 2 * MINUTE)
    _, entries = traded(chosen, day, tmp_path, {"outages": (outage,)})
    upto = [row for row in decisions(entries) if row[0] <= closed and row[1] in ("order", "fill", "closed")]
    whole = [row for row in decisions(replayed) if row[0] <= closed and row[1] in ("order", "fill", "closed")]
    assert without_ids(upto) == without_ids(whole)
    assert "closed" in [kind for _, kind, _ in upto]


def test_row_31_minutes_missed_for_long_come_once_each_and_nobody_enters_on_them(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    at, _ = first_entry(replayed)
    before = {"stop_at": at - 2 * MINUTE}
    stopped_after(over_fake(chosen, day, tmp_path), **before)
    _, entries = traded(chosen, day, tmp_path, missed_minutes=10)
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)], "every minute once"
    denied = [json.loads(e.body) for e in entries if e.kind == "denied" and e.ts == at]
    assert [(d["code"], d["limit"], d["actual"]) for d in denied] == [("STALE_FEED", 90.0, 480.0)]


def stopped_after(trader: PaperTrader, stop_at: int) -> None:
    """Run until a bar, then let go of it as a kill would: nothing more is written."""

    async def some() -> None:
        async with contextlib.aclosing(trader.feed.words(trader.trader.last_bar)) as words:
            async for word in words:
                trader._take(word)
                if trader.trader.last_bar is not None and trader.trader.last_bar.ts >= stop_at:
                    return

    asyncio.run(some())
    trader.trader.close()
    trader.alerts.close()


@pytest.mark.parametrize("part", [0.3, 0.6])
def test_restarted_in_the_middle_the_minutes_missed_are_made_up_and_the_decisions_are_the_same(
    part: float, simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    tape = tape_of(chosen, day)
    stopped_after(over_fake(chosen, day, tmp_path), int(tape["ts"][int(part * len(tape))]))
    fresh = FeedConfig(stale_s=600.0)
    trader, entries = traded(chosen, day, tmp_path, missed_minutes=7, config=fresh)
    assert stream_of(trader).counts["fills"] == 1
    assert bars_of(entries) == [list(to_bar(row)) for row in tape]
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))


def test_a_day_of_outages_run_through_again_gives_the_same_journal(simulated: Any, tmp_path: Path) -> None:
    """What the feed said is an input: recovery repeats the denials without any feed."""
    chosen, day, replayed = simulated
    at, closed = first_entry(replayed)
    outages = ((at - MINUTE, at + MINUTE), (closed, closed + 30 * MINUTE))
    trader, entries = traded(chosen, day, tmp_path, {"outages": outages})
    assert len(fed(entries)) > 30
    state = trader.trader.state_hash
    for name in (tmp_path / "snapshots").iterdir():
        name.unlink()
    again = over_fake(chosen, day, tmp_path)
    assert again.trader.recovery.replayed == len(entries)
    assert again.trader.state_hash == state
    again.trader.close()
    assert read(tmp_path / "journal.sqlite") == entries


def test_row_31_a_feed_that_never_speaks_is_stale_90_seconds_after_the_open_and_the_day_is_a_gap(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    trader, entries = traded(chosen, day, tmp_path, {"plan": Plan(denied_tickers=frozenset({"QQQ"}))})
    assert bars_of(entries) == []
    (stale,) = [e for e in entries if e.kind == "feed"]
    assert new_york(stale.ts).strftime("%H:%M") == "09:32"
    body = json.loads(stale.body)
    assert (body["code"], body["limit"], body["actual"]) == ("STALE_FEED", 90.0, 120.0)
    (gap,) = [json.loads(e.body) for e in entries if e.kind == "gap"]
    assert (gap["end"] - gap["start"]) // MINUTE == trader.session.gaps == 390
    assert "STALE_FEED: 120 s, at most 90 s" in trader.session.status(0).feed


def test_row_40_a_refused_key_is_told_and_never_tried_again(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    memory, venue = Memory(), partial(venues.fake, faults=FakeConfig(keys=frozenset({"another"})))
    trader = PaperTrader(
        chosen, tmp_path, day=day, speed=0, venue=venue, told=telling(memory, tmp_path / "notices")
    )
    asyncio.run(trader.run(stay=False))
    entries = read(tmp_path / "journal.sqlite")
    assert trader.feed.source.vendor.sockets.auth_attempts == 1  # type: ignore[attr-defined]
    assert [f["code"] for f in fed(entries)] == ["FEED_DOWN"]
    assert fed(entries)[0]["why"] == "denied"
    assert bars_of(entries) == []
    assert any("no entries: FEED_DOWN" in body and "(denied)" in body for _, body, _ in memory.sent)


# --- kills


def fake_command(day: str, folder: Path) -> list[str]:
    told = command(day, folder, 0)
    return [*told, "--venue", "fake"]


@pytest.mark.slow
def test_killed_twice_over_the_live_path_and_started_again_it_decides_the_same(
    simulated: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chosen, day, replayed = simulated
    tmp_path = tmp_path_factory.mktemp("killed")  # on the disk, where a day takes longer
    whole = len(tape_of(chosen, day))
    for share in (0.2, 0.5):
        process = subprocess.Popen(fake_command(day, tmp_path), stdout=subprocess.DEVNULL)
        wait_for(lambda: written(tmp_path) > share * whole)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert written(tmp_path) < whole, "it was killed before its end"
    done = subprocess.run(fake_command(day, tmp_path), capture_output=True, text=True, check=True)
    assert "run through again" in done.stdout
    entries = read(tmp_path / "journal.sqlite")
    assert bars_of(entries) == [list(to_bar(row)) for row in tape_of(chosen, day)]
    assert without_ids(decisions(entries)) == without_ids(decisions(replayed))


def test_a_journal_of_one_venue_is_not_continued_by_another(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    over_fake(chosen, day, tmp_path).trader.close()
    with pytest.raises(DataError, match="begun with venue 'fake', not 'tape'"):
        PaperTrader(chosen, tmp_path, day=day, speed=0)


def test_at_a_speed_the_market_does_not_wait_for_a_trader_that_was_away(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    tape = tape_of(chosen, day)
    stopped_after(over_fake(chosen, day, tmp_path), int(tape["ts"][99]))
    file = tmp_path / "journal.sqlite"
    long_ago = file.stat().st_mtime - 60.0
    os.utime(file, (long_ago, long_ago))
    feed = venues.fake(chosen, tmp_path, day, 60.0).feed
    assert isinstance(feed, StreamFeed)

    async def began() -> int:
        async with feed.source.serve(to_bar(tape[99])):
            return feed.clock

    assert 60 * MINUTE <= asyncio.run(began()) - int(tape["ts"][99]) < 70 * MINUTE


# --- the vendor


def test_a_market_that_went_on_while_no_trader_ran_has_gone_on_by_the_time_of_the_last_write(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    venue = partial(venues.fake, missed_minutes=None)
    first = PaperTrader(chosen, tmp_path / "first", day=day, speed=60, venue=venue)
    first.session.bar(tape_of(chosen, day)[:1])
    killed = shutil.copytree(tmp_path / "first", tmp_path / "killed")  # as a kill leaves it
    first.trader.close()
    for age, file in ((900.0, "journal.sqlite"), (100.0, "journal.sqlite-wal")):
        os.utime(killed / file, (time.time() - age,) * 2)
    second = PaperTrader(chosen, killed, day=day, speed=60, venue=venue)
    assert isinstance(second.feed, StreamFeed)
    missed = second.feed.source._missed() / MINUTE  # type: ignore[attr-defined]
    second.trader.close()
    assert 100.0 <= missed < 160.0, "100 s at 60 times market speed, and what this start took"


class Desk:
    """A fake vendor in a thread of its own, and the trader's venue `massive` on it."""

    def __init__(self, chosen: scenario.Scenario, day: str, at: int, host: str = "127.0.0.1") -> None:
        bars = load(chosen.data).bars
        self.clock = VirtualClock(int(tape_of(chosen, day)["ts"][at]))
        self.server = FakeMassive(FakeMarket({"QQQ": bars}), self.clock)
        self.host = host

    def venue(self) -> Any:
        settings = MassiveConfig(
            rest_url=self.server.rest_url,
            socket_url=self.server.socket_url,
            backoff=BackoffConfig(first_s=0.01),
            settle_s=0.0,
        )
        key = {"MASSIVE_API_KEY": "fake-key"}
        return partial(venues.massive, settings=settings, clock=MarketClock(self.clock), environment=key)


def guarded(chosen: scenario.Scenario) -> scenario.Scenario:
    """With a guard, which a live path wants, and which says nothing on a day like these."""
    return chosen.model_copy(update={"guard": GuardConfig(regimes=None)})


def test_massive_is_warmed_over_rest_and_goes_on_over_its_stream(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    chosen = guarded(chosen)
    tape = tape_of(chosen, day)
    desk = Desk(chosen, day, 400)

    async def five(trader: PaperTrader) -> list[int]:
        found: list[int] = []
        async with contextlib.aclosing(trader.feed.words(trader.trader.last_bar)) as words:
            async for word in words:
                assert not isinstance(word, Gap)
                assert not isinstance(word, Condition) or word.denial is None
                trader._take(word)
                listening = desk.server.sockets.channels["stocks"] == {"AM.QQQ"}
                if isinstance(word, Minute):
                    found.append(int(word.row["ts"][0]))
                if len(found) == 5:
                    return found
                if listening and desk.clock.utc_ns() <= max(found, default=int(tape["ts"][400])):
                    desk.server.advance(int(tape["ts"][401 + len(found)]))
        return found

    with desk.server.background():
        trader = PaperTrader(chosen, tmp_path, venue=desk.venue())
        assert trader.session.label == "SIMULATED", "it lies on this machine"
        assert trader.settings["venue"] == "massive"
        found = asyncio.run(asyncio.wait_for(five(trader), 60))
        trader.trader.close()
        again = PaperTrader(chosen, tmp_path, venue=desk.venue())
        assert again.trader.last_bar is not None
        assert again.trader.last_bar.ts == found[-1]
        again.trader.close()
    assert found == tape["ts"][401:406].tolist(), "history ends where the stream begins"


@pytest.mark.parametrize("at", [400, 5])
def test_the_vix_of_a_live_day_is_the_close_before_and_a_restart_keeps_it(
    at: int, simulated: Any, tmp_path: Path
) -> None:
    """Row 400 is of the session, row 5 from before its first value: then the newest value is the close."""
    chosen, day, _ = simulated
    desk, tape = Desk(chosen, day, at), tape_of(chosen, day)
    ours = guarded(chosen).model_copy(update={"volatility": "vix"})
    stamps = np.array([tape["ts"][0] - 30 * 60 * MINUTE, tape["ts"][0] - 20 * 60 * MINUTE, tape["ts"][100]])
    desk.server.market.values["I:VIX"] = (stamps, np.array([18.5, 19.25, 30.0]))  # type: ignore[index]
    with desk.server.background():
        trader = PaperTrader(ours, tmp_path, venue=desk.venue())
        trader.session.bar(tape[at + 1 : at + 2], trader._level(tape[at + 1 : at + 2]))
        trader.trader.close()
        asked = desk.server.calls["/v3/snapshot/indices"]
        again = PaperTrader(ours, tmp_path, venue=desk.venue())
        again.trader.close()
        assert desk.server.calls["/v3/snapshot/indices"] == asked == 1
    for one in (trader, again):
        assert one._level(tape[:1]) == 0.1925
        assert "VIX close 19.25 of the session before, by Massive" in one.recovery_sentence
    [bar] = [json.loads(e.body) for e in read(tmp_path / "journal.sqlite") if e.kind == "bar"]
    assert bar["level"] == 0.1925


def test_a_plan_without_indices_gets_the_proxy_and_is_told_so(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    desk = Desk(chosen, day, 400)
    desk.server = FakeMassive(
        FakeMarket({"QQQ": load(chosen.data).bars}),
        desk.clock,
        FakeConfig(plan=Plan(denied_paths=frozenset({"/v3/snapshot/indices"}))),
    )
    ours = guarded(chosen).model_copy(update={"volatility": "vix"})
    with desk.server.background():
        trader = PaperTrader(ours, tmp_path, venue=desk.venue())
        trader.trader.close()
    assert trader._level(tape_of(chosen, day)[:1]) is None, "realised, as without volatility: vix"
    assert "a proxy of the VIX, from the closes of 20 sessions: Massive says NOT_ENTITLED" in (
        trader.recovery_sentence
    )
    assert trader.settings["vix"].startswith("a proxy of the VIX")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"speed": 60.0}, "--speed 60: a live market has its own"),
        ({"day": "2025-01-01"}, "--day 2025-01-01: a live market has only 2025-"),
        ({"environment": {}}, "no key for Massive: set MASSIVE_API_KEY"),
        ({"hours": 5 * 24 + 3}, "--venue massive: the exchange is closed on 2025-"),
        ({"hours": 13}, r"--venue massive: the session of 2025-.* is over"),
    ],
)
def test_what_a_live_market_cannot_do_is_one_sentence(
    given: dict[str, Any], sentence: str, simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    chosen = guarded(chosen)
    start = int(tape_of(chosen, day)["ts"][0])
    now = VirtualClock(start + given.pop("hours", 0) * 60 * MINUTE)
    environment = given.pop("environment", {"MASSIVE_API_KEY": "k"})
    given = {"day": "", "speed": None, **given}
    with pytest.raises((ConfigError, DataError), match=sentence):
        venues.massive(
            chosen, tmp_path / "none", given["day"], given["speed"],
            clock=MarketClock(now), environment=environment,
        )  # fmt: skip
    assert not (tmp_path / "none").exists()


def test_a_live_market_without_a_guard_is_refused_before_anybody_is_asked(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, _, _ = simulated
    said = r"--venue massive: the scenario's guard is off.*-p guard.book=conservative"
    with pytest.raises(ConfigError, match=said):
        venues.massive(chosen, tmp_path, "", None, environment={})
    with pytest.raises(ConfigError, match=said):
        Way("massive").checked("demo_normal")
    Way("massive").checked("paper_qqq")
    Way("massive", overrides=["guard.book=conservative"]).checked("demo_normal")


def test_delayed_is_said_and_only_massive_can_be() -> None:
    chosen = scenario.load("demo_normal", SHORT)
    assert venues.label_of_venue("massive", chosen, delayed=True) == "DELAYED"
    assert venues.label_of_venue("massive", chosen) == "PAPER"
    assert venues.label_of_venue("fake", chosen) == "SIMULATED"
    with pytest.raises(ConfigError, match="--delayed: the venue fake has no delayed stream"):
        venues.venue("fake", delayed=True)
    with pytest.raises(ConfigError, match="--venue polygon: should be tape, fake, massive"):
        venues.venue("polygon")
