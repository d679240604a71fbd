"""The chain's quotes over the live path: the fake vendor serves the model's, and the trader takes no others.

At speed 0 the fake's market stands until a minute was taken: no test waits for a while.
"""

import asyncio
import contextlib
import datetime as dt
import json
import math
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from maxlib.app import brokers, chain_feed, venues
from maxlib.app.chain_feed import ChainFeed
from maxlib.app.feeds import Minute, StreamFeed
from maxlib.app.paper import PaperTrader
from maxlib.core.errors import ConfigError, DataError
from maxlib.data.massive import records
from maxlib.data.massive.fake import FakeConfig, Plan
from maxlib.engine.events import Bar
from maxlib.journal.chain import Entry
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.calendar import new_york, ordinal, to_ns
from maxlib.options.live_desk import Snapshot, snapshot_in
from maxlib.research import scenario
from tests.app.test_feeds import REAL, Desk, guarded, tape_of
from tests.app.test_paper import SHORT, busiest, command, wait_for, written
from tests.chaos.kill_sweep import scratch

MINUTE = NS_PER_MINUTE


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: what is tested is not the disk."""
    with scratch() as made:
        yield made


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer strikes a minute: a day takes half as long."""
    monkeypatch.setattr(chain_feed, "BAND_USD", 6.0)


@pytest.fixture(scope="module")
def simulated() -> tuple[scenario.Scenario, str, list[Any]]:
    return busiest("demo_normal", SHORT)


def over_fake(
    chosen: scenario.Scenario, day: str, folder: Path, faults: dict[str, Any] | None = None, **more: Any
) -> PaperTrader:
    config = None if faults is None else FakeConfig(**faults)
    opened = partial(venues.fake, quotes="live", faults=config, **more)
    return PaperTrader(chosen, folder, day=day, speed=0, venue=opened)


def traded(*arguments: Any, **more: Any) -> tuple[PaperTrader, list[Entry]]:
    trader = over_fake(*arguments, **more)
    asyncio.run(trader.run(stay=False))
    return trader, read(trader.folder / "journal.sqlite")


def bodies(rows: list[Entry], *kinds: str) -> list[tuple[int, dict[str, Any]]]:
    return [(e.ts, json.loads(e.body)) for e in rows if e.kind in kinds]


def vendor_of(trader: PaperTrader) -> Any:
    assert isinstance(trader.feed, StreamFeed)
    return trader.feed.source.vendor  # type: ignore[attr-defined]


# --- parity


def stated(rows: list[Entry]) -> list[tuple[Any, ...]]:
    """What live and modelled days have in common: all but prices at a level, and what follows from them.

    An order at the next open fills at the quotes of the very same moment: the fake quotes the model's
    at the newest trade, which at a bar's end is the next open. A stop or target is sold at the end of
    the bar that touched it, at the quotes of then and not at the level's.
    """
    found: list[tuple[Any, ...]] = []
    purposes: dict[str, str] = {}
    for ts, kind, body in ((e.ts, e.kind, json.loads(e.body)) for e in rows):
        if kind == "order":
            purposes[body["order"]] = body["purpose"]
            found.append((ts, kind, body["purpose"], body["contract"], body["quantity"]))
        elif kind == "fill":
            level = purposes[body["order"]] in ("stop", "tp1", "tp2")
            price = None if level else (body["price_cents"], body["spot"])
            found.append((ts, kind, body["contract"], body["quantity"], body["fee_cents"], price))
        elif kind in ("signal", "denied"):
            found.append((ts, kind, tuple(sorted(body.items()))))
        elif kind == "closed":
            found.append((ts, kind, body["trade"], body["reason"]))
    return found


def day_and_its_quotes(found: tuple[PaperTrader, list[Entry]], chosen: Any, day: str) -> None:
    """Every regular minute brought quotes, one call each, and every fill was at them."""
    trader, rows = found
    regular = [int(b["ts"]) for b in tape_of(chosen, day) if 570 <= b["minute"] + 1 < 960]
    taken = bodies(rows, "quotes")
    assert [ts for ts, _ in taken] == regular
    assert [b["why"] for _, b in taken] == [""] * len(regular)
    assert vendor_of(trader).calls["/v3/snapshot/options/QQQ"] == len(regular)
    known = {ts: snapshot_in(ts, body) for ts, body in taken}
    fills = bodies(rows, "fill")
    assert len(fills) >= 2
    for ts, body in fills:
        quotes = {(r.right, r.strike_cents): r for r in known[ts].rows}
        row = quotes[body["contract"][9], int(body["contract"][10:]) // 10]
        assert body["price_cents"] == (row.ask_cents if body["side"] == "buy" else row.bid_cents)
        assert body["spot"] == known[ts].spot


def test_a_simulated_day_at_live_quotes_decides_what_the_modelled_day_decides(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    found = traded(chosen, day, tmp_path)
    assert stated(found[1]) == stated(replayed)
    day_and_its_quotes(found, chosen, day)
    first = json.loads(found[1][0].body)
    assert (first["quotes"], first["venue"], first["label"]) == ("live", "fake", "SIMULATED")
    assert {b["modelled"] for _, b in bodies(found[1], "quotes", "fill")} == {True}, "nobody ever quoted it"


def test_a_real_day_at_live_quotes_decides_what_the_modelled_day_decides(
    shared: Path, tmp_path: Path
) -> None:
    del shared
    chosen, day, replayed = busiest("baseline_2025", REAL)
    found = traded(chosen, day, tmp_path)
    assert stated(found[1]) == stated(replayed)
    day_and_its_quotes(found, chosen, day)
    assert "stop" in {body["purpose"] for _, body in bodies(found[1], "order")}


def test_without_the_switch_the_fake_is_not_asked_for_quotes(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    trader = PaperTrader(chosen, tmp_path, day=day, speed=0, venue=venues.venue("fake"))
    assert isinstance(trader.feed, StreamFeed)
    assert trader.feed.chain is None
    assert (trader.trader.quotes, trader.settings["quotes"]) == ("modelled", "modelled")
    trader.trader.close()


# --- kills


@pytest.mark.slow
def test_killed_twice_and_started_again_it_leaves_the_journal_of_an_undisturbed_day(
    simulated: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chosen, day, _ = simulated
    del chosen
    whole, folder = (tmp_path_factory.mktemp(name) for name in ("whole", "killed"))
    told = ["--venue", "fake", "--quotes", "live"]
    started = {where: [*command(day, where, 0), *told] for where in (whole, folder)}
    for words in started.values():
        words[2] = f"from maxlib.app import chain_feed; chain_feed.BAND_USD = 6.0; {words[2]}"
    undisturbed = subprocess.Popen(started[whole], stdout=subprocess.DEVNULL)
    for entries in (500, 900):
        process = subprocess.Popen(started[folder], stdout=subprocess.DEVNULL)
        wait_for(lambda: written(folder) > entries)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(started[folder], capture_output=True, text=True, check=True)
    assert undisturbed.wait(timeout=120) == 0
    entries_of = [read(where / "journal.sqlite") for where in (folder, whole)]
    assert len(entries_of[0]) > 1200
    assert entries_of[0] == entries_of[1]


# --- faults


def run_with(trader: PaperTrader, at: dict[int, Any], until: int) -> list[Entry]:
    """A day up to a bar; something is done to the vendor after the bars that end at given moments."""

    async def some() -> None:
        async with contextlib.aclosing(trader.feed.words(trader.trader.last_bar)) as words:
            async for word in words:
                trader._take(word)
                if isinstance(word, Minute):
                    ts = int(word.row["ts"][0])
                    at.get(ts, lambda _: None)(vendor_of(trader))
                    if ts >= until:
                        return

    asyncio.run(some())
    trader.trader.close()
    trader.alerts.close()
    return read(trader.folder / "journal.sqlite")


def first_trade(replayed: list[Any]) -> tuple[int, int]:
    """When it was decided on, and when it was left."""
    orders = [e.ts for e in replayed if e.kind == "order"]
    return orders[0], orders[1]


@pytest.mark.parametrize("fault", ["500", "429", "reset"])
def test_an_entry_whose_chain_the_vendor_does_not_give_is_denied_as_no_quote(
    fault: str, simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    at, _ = first_trade(replayed)
    trader = over_fake(chosen, day, tmp_path)
    rows = run_with(trader, {at - MINUTE: lambda vendor: vendor.script.extend([fault] * 4)}, at + MINUTE)
    (denied,) = [b for ts, b in bodies(rows, "denied") if ts == at]
    assert [denied[k] for k in ("code", "limit", "actual")] == ["NO_QUOTE", 0, 0]
    (why,) = [b["why"] for _, b in bodies(rows, "quotes") if b["why"]]
    assert why.startswith("/v3/snapshot/options/QQQ: ")
    assert at not in [ts for ts, _ in bodies(rows, "order")]
    *_, now, after = bodies(rows, "quotes")
    assert (now[0], now[1]["rows"], after[1]["why"]) == (at, [], ""), "the next minute is asked for again"


def test_an_exit_whose_chain_the_vendor_does_not_give_is_asked_again_and_the_position_kept(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    _, out = first_trade(replayed)
    gone = {out + k * MINUTE: lambda vendor: vendor.script.extend(["429"] * 4) for k in (-1, 0, 1)}
    trader = over_fake(chosen, day, tmp_path)
    rows = run_with(trader, gone, out + 4 * MINUTE)
    assert [(ts, b["code"]) for ts, b in bodies(rows, "rejected")] == [
        (out + k * MINUTE, "NO_QUOTE") for k in (0, 1, 2)
    ]
    (left,) = [ts for ts, b in bodies(rows, "closed") if b["trade"] == 1]
    assert left == out + 3 * MINUTE


Spoil = Callable[[Any], Any]


def set_to(**values: float) -> Spoil:
    """The calls' rows with other values."""

    def spoilt(rows: Any) -> Any:
        for name, value in values.items():
            rows[name][rows["right"] > 0] = value
        return rows

    return spoilt


def old(rows: Any) -> Any:
    rows["quoted_at"] -= 2_001_000_000
    return rows


SPOILT: list[tuple[str, Spoil]] = [
    ("NO_QUOTE", lambda rows: rows[:0]),
    ("STALE", old),
    ("NO_ASK", set_to(ask=math.nan)),
    ("CROSSED_MARKET", set_to(bid=9.0, ask=0.5)),
]


@pytest.mark.parametrize(("code", "spoil"), SPOILT)
def test_row_33_what_the_chain_says_wrongly_fills_nothing_in_and_out(
    code: str, spoil: Spoil, simulated: Any, tmp_path: Path
) -> None:
    """One minute at the entry, two at the exit: denied, and asked again until the chain is well."""
    chosen, day, replayed = simulated
    at, out = first_trade(replayed)

    def run(folder: Path, minutes: set[int], until: int) -> list[Entry]:
        trader = over_fake(chosen, day, folder)
        chains = trader.feed.source._chains  # type: ignore[attr-defined]
        honest = chains["QQQ"]
        chains["QQQ"] = lambda ns: (
            replace(honest(ns), rows=spoil(honest(ns).rows)) if ns in minutes else honest(ns)
        )
        return run_with(trader, {}, until)

    denied = [(ts, b["code"]) for ts, b in bodies(run(tmp_path / "in", {at}, at), "denied")]
    assert denied == [(at, code)]
    rows = run(tmp_path / "out", {out, out + MINUTE}, out + 2 * MINUTE)
    assert [(ts, b["code"]) for ts, b in bodies(rows, "rejected")] == [(out, code), (out + MINUTE, code)]
    assert [ts for ts, b in bodies(rows, "closed") if b["trade"] == 1] == [out + 2 * MINUTE]


def test_faults_of_rest_that_pass_are_retried_within_the_minute_and_change_nothing(
    simulated: Any, tmp_path: Path
) -> None:
    chosen, day, replayed = simulated
    rest = dict.fromkeys(("429", "500", "503", "html", "truncated", "short", "reset"), 0.01)
    trader, rows = traded(chosen, day, tmp_path, {"rest_faults": rest, "seed": 5})
    assert vendor_of(trader).calls["/v3/snapshot/options/QQQ"] > 400
    assert [b["why"] for _, b in bodies(rows, "quotes") if b["why"]] == []
    assert stated(rows) == stated(replayed)


PLANS: list[tuple[Plan, str, float, str]] = [
    (Plan(quotes="DELAYED"), "STALE", 900_000, "the quotes are not of now"),
    (Plan(quotes="none"), "NO_QUOTE", 0, "the contracts have no quotes"),
    (Plan(denied_paths=frozenset({"/v3/snapshot"})), "NO_QUOTE", 0, "403 You are not entitled to this data"),
]


@pytest.mark.parametrize(("plan", "code", "actual", "why"), PLANS)
def test_a_plan_without_real_time_quotes_fills_nothing_and_says_so(
    plan: Plan, code: str, actual: float, why: str, simulated: Any, tmp_path: Path
) -> None:
    chosen, day, _ = simulated
    trader, rows = traded(chosen, day, tmp_path, {"plan": plan})
    denied = [b for _, b in bodies(rows, "denied")]
    assert {(b["code"], b["actual"]) for b in denied} == {(code, actual)}
    assert len(denied) == len(bodies(rows, "signal")) >= 2
    assert bodies(rows, "order", "fill") == []
    assert why in trader.session.status(0).unquoted
    if plan.denied_paths:
        assert vendor_of(trader).calls["/v3/snapshot/options/QQQ"] == 1, "a refusal is not asked for again"


# --- one call


def bar_at(ts: int, close: float = 600.0) -> Bar:
    local = new_york(ts)
    minute = local.hour * 60 + local.minute - 1
    return Bar(ts, close, close, close, close, 1.0, ordinal(local.date()), minute, 960, 2)


NOW = to_ns(dt.date(2025, 11, 20), 10 * 60)


class Rest:
    """Stands for `MassiveRest`: one chain, given at once or when it is let go."""

    def __init__(self, *rows: dict[str, Any], hold: bool = False) -> None:
        self.rows, self.asked = list(rows), []
        self.go = threading.Event()
        self.config = type("Config", (), {"rest_url": "https://api.massive.com"})()
        if not hold:
            self.go.set()

    def chain(self, symbol: str, expiry: Any, *, strikes: tuple[float, float]) -> records.ChainSnapshot:
        self.asked.append((symbol, str(expiry), strikes))
        self.go.wait(60)
        return records.chain_of(self.rows, symbol, 0, origin="vendor", name="massive")


def contract(
    strike: int = 600, frame: str | None = "REAL-TIME", ago_ms: int = 400, **quote: Any
) -> dict[str, Any]:
    at = NOW + 1_000_000_000 - ago_ms * 1_000_000
    return {
        "details": {
            "ticker": f"O:QQQ251120C{strike * 1000:08d}", "contract_type": "call",
            "expiration_date": "2025-11-20", "strike_price": strike, "shares_per_contract": 100,
        },
        "last_quote": {
            "bid": 2.39, "ask": 2.41, "bid_size": 40, "ask_size": 33, "last_updated": at, "timeframe": frame,
            **quote,
        },
        "underlying_asset": {"ticker": "QQQ", "price": 600.12, "last_updated": at, "timeframe": frame},
    }  # fmt: skip


def taken(rest: Rest, *, late_ns: int = 0, **how: Any) -> Snapshot:
    """What becomes of an answer, a second after the bar's end."""
    feed = ChainFeed("QQQ", lambda: NOW + 1_000_000_000 - late_ns, **how)
    found = asyncio.run(feed.after(bar_at(NOW - late_ns), rest))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_an_answer_becomes_rows_in_cents_with_ages_and_the_price_of_the_underlying() -> None:
    rest = Rest(contract(), contract(601, bid=0, ask=1.005, bid_size=None), contract(602, ask=0))
    found = taken(rest)
    assert rest.asked == [("QQQ", "2025-11-20", (594.0, 606.0))]
    assert (found.ts, found.modelled, found.spot, found.why) == (NOW + 10**9, False, 600.12, "")
    assert [tuple(row) for row in found.rows] == [
        ("C", 60_000, 239, 241, 40, 33, 400),
        ("C", 60_100, None, 101, None, 33, 400),
        ("C", 60_200, 239, None, 40, 33, 400),
    ]


def test_what_is_held_is_asked_for_however_far_it_is() -> None:
    rest = Rest(contract())
    feed = ChainFeed("QQQ", lambda: NOW)
    feed.held = lambda: [570.0, 612.5]
    asyncio.run(feed.after(bar_at(NOW), rest))  # type: ignore[arg-type]
    assert rest.asked[0][2] == (570.0, 612.5)


@pytest.mark.parametrize("frame", ["DELAYED", None, "SOON"])
def test_a_quote_that_does_not_say_it_is_real_time_is_15_minutes_old_at_least(frame: str | None) -> None:
    found = taken(Rest(contract(frame=frame), contract(601)))
    assert [row.age_ms for row in found.rows] == [900_000, 400]
    assert found.spot == 600.12, "the price beside a real-time quote"
    assert taken(Rest(contract(frame=frame))).why.startswith("the quotes are not of now")


def test_of_a_delayed_feed_quotes_are_as_old_as_its_own_clock_says_and_none_is_of_later() -> None:
    late = chain_feed.DELAY_NS
    delayed = contract(frame="DELAYED", ago_ms=900_000 + 700)
    found = taken(Rest(delayed, contract(601)), late_ns=late, delayed=True)
    assert [(row.strike_cents, row.age_ms) for row in found.rows] == [(60_000, 700)]
    assert found.why == ""
    ahead = taken(Rest(contract()), late_ns=late, delayed=True)
    assert (ahead.rows, ahead.spot) == ((), None)
    assert ahead.why.startswith("the quotes are of a later time than the minutes")


def test_a_clock_that_is_a_little_behind_the_vendors_makes_no_quote_unusable() -> None:
    found = taken(Rest(contract(ago_ms=-900), contract(601, ago_ms=-1_100)))
    assert [(row.strike_cents, row.age_ms) for row in found.rows] == [(60_000, 0)]


def test_an_answer_that_does_not_come_in_time_is_not_waited_for_and_not_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain_feed, "BOUND_S", 0.01)
    rest = Rest(contract(), hold=True)
    feed = ChainFeed("QQQ", lambda: NOW)

    async def three() -> list[Snapshot | None]:
        found = [await feed.after(bar_at(NOW), rest) for _ in range(2)]  # type: ignore[arg-type]
        monkeypatch.setattr(chain_feed, "BOUND_S", 60.0)
        rest.go.set()
        assert feed._call is not None
        await feed._call
        return [*found, await feed.after(bar_at(NOW), rest)]  # type: ignore[arg-type]

    first, second, third = asyncio.run(three())
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.rows, first.why) == ((), "no answer within 0.01 s")
    assert (second.rows, second.why) == ((), "the call of an earlier minute is still under way")
    assert len(third.rows) == 1
    assert len(rest.asked) == 2


@pytest.mark.parametrize("minutes", [-31, 359, 400])
def test_outside_regular_hours_nothing_is_asked(minutes: int) -> None:
    opened = NOW - 30 * MINUTE
    bar = bar_at(opened + (minutes + 31) * MINUTE) if minutes >= 0 else bar_at(opened - MINUTE)
    rest = Rest(contract())
    feed = ChainFeed("QQQ", lambda: bar.ts)
    assert asyncio.run(feed.after(bar, rest)) is None  # type: ignore[arg-type]
    assert rest.asked == []


def test_a_minute_that_is_not_the_newest_gets_no_quotes_of_now() -> None:
    rest = Rest(contract())
    feed = ChainFeed("QQQ", lambda: NOW + MINUTE)
    assert asyncio.run(feed.after(bar_at(NOW), rest)) is None  # type: ignore[arg-type]


# --- venues, brokers


def test_massive_brings_live_quotes_unless_it_is_told_otherwise(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    chosen = guarded(chosen)
    date = venues._date(chosen, None, day, 0, "")
    desk = Desk(chosen, day, 400)
    desk.server.market.chains["QQQ"] = date.chain(chosen)  # type: ignore[index]
    tape = tape_of(chosen, day)

    async def two(trader: PaperTrader) -> list[Snapshot | None]:
        found: list[Snapshot | None] = []
        async with contextlib.aclosing(trader.feed.words(trader.trader.last_bar)) as words:
            async for word in words:
                trader._take(word)
                if isinstance(word, Minute):
                    found.append(word.quotes)
                if len(found) == 2:
                    return found
                listening = desk.server.sockets.channels["stocks"] == {"AM.QQQ"}
                if listening and desk.clock.utc_ns() <= int(tape["ts"][400 + len(found)]):
                    desk.server.advance(int(tape["ts"][401 + len(found)]))
        return found

    with desk.server.background():
        trader = PaperTrader(chosen, tmp_path, venue=desk.venue())
        assert trader.trader.quotes == "live"
        found = asyncio.run(asyncio.wait_for(two(trader), 60))
        trader.trader.close()
        told = PaperTrader(chosen, tmp_path / "told", venue=partial(desk.venue(), quotes="modelled"))
        assert told.trader.quotes == "modelled"
        told.trader.close()
    assert all(each is not None and len(each.rows) >= 24 and not each.why for each in found)


def test_at_a_broker_an_entry_is_limited_by_the_live_ask(simulated: Any, tmp_path: Path) -> None:
    more = {**SHORT, "exits.force_close_minutes": 35, "risk.contracts": 3}
    chosen, day, _ = busiest("demo_normal", more)
    opened = partial(venues.fake, quotes="live")
    trader = PaperTrader(chosen, tmp_path, day=day, speed=0, venue=opened, broker=brokers.broker("fake"))
    asyncio.run(trader.run(stay=False))
    rows = read(tmp_path / "journal.sqlite")
    known = {ts: snapshot_in(ts, body) for ts, body in bodies(rows, "quotes")}
    asks = {ts: {(r.right, r.strike_cents): r.ask_cents for r in found.rows} for ts, found in known.items()}
    entries = [t for t in trader.trader.shell.books.orders.values() if t.order.purpose == "open"]  # type: ignore[union-attr]
    assert entries
    for tracked in entries:
        contract_ = tracked.order.contract
        assert tracked.limit_cents == asks[tracked.order.ts][contract_.right, contract_.strike_cents]
    fills = bodies(rows, "fill")
    assert len(fills) >= 2
    assert Counter(b["code"] for _, b in bodies(rows, "rejected")) == Counter()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("tape", "live"), "--quotes live: the venue tape has bars only; fake and massive have quotes"),
        (("fake", "best"), "--quotes best: should be modelled or live"),
    ],
)
def test_quotes_that_cannot_be_had_are_one_sentence(given: tuple[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        venues.venue(given[0], quotes=given[1])


def test_a_journal_of_modelled_quotes_is_not_continued_with_live_ones(simulated: Any, tmp_path: Path) -> None:
    chosen, day, _ = simulated
    PaperTrader(chosen, tmp_path, day=day, speed=0, venue=venues.venue("fake")).trader.close()
    with pytest.raises(DataError, match="begun with quotes 'modelled', not 'live'"):
        over_fake(chosen, day, tmp_path)
