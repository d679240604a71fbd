"""Trade days over a vendor that lies, loses and goes away, be killed in some; then look at what is left.

    python -m tests.chaos.faults --sessions 100 --seed 1

A session is the whole path of `maxtrader paper --venue fake`: gate, order, REST, journal, machine, API, in
a process of its own. Drawn for each are the day, faults of the stream and of REST with a share each,
outages, and kills: SIGKILL at the N-th function call, while the market goes on for some minutes. The market
stands until a minute was taken, so a session takes seconds.

Afterwards the journal must be whole and hold each minute of the day once, as it was, or say that it is
missing. It must decide what the backtest of that day decides: all day if every minute came in time, else up
to the first entry that the feed denied, the first minute that was known late, or the first one lost. Run
through again, with and without snapshots, it must give the same state; and at each fill the cash is right,
each short is covered, and no more is open than may be.

What is drawn follows from the seed. What a session meets does so but for what real sockets decide: who comes
first, REST or a new connection, and so where exactly a kill falls.

What this does not test: prices that are wrong by less than a tenth, and quotes; the fills are modelled. The
last line printed is JSON; the exit code is 1 if an invariant broke.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import logging
import math
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import maxlib.app.api  # noqa: F401 # the children inherit it
from maxlib.app import venues
from maxlib.app.feeds import StreamFeed
from maxlib.app.paper import PaperTrader
from maxlib.core.config import config_hash
from maxlib.core.errors import MaxTraderError
from maxlib.data.massive.fake import FakeConfig
from maxlib.data.sequence import regular_minutes
from maxlib.data.tape import load
from maxlib.engine.backtest import to_bar
from maxlib.engine.replay import ReplaySession, span
from maxlib.engine.trader import INPUTS, Trader
from maxlib.journal.chain import Entry, verify
from maxlib.journal.store import read
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.research import scenario
from maxlib.trading.ledger import Ledger
from maxlib.trading.orders import Fill
from tests.chaos.kill_sweep import Calls, scratch

STREAM = (
    "drop",
    "delay",
    "duplicate",
    "reorder",
    "garble",
    "retype",
    "nan",
    "foreign",
    "spike",
    "disconnect",
)
REST = ("429", "429 empty", "500", "503", "html", "truncated", "short", "reset")
"""Not those that never end an answer: they would make a session wait for its real deadline."""
FEED = ("FEED_DOWN", "STALE_FEED", "STALE_ENTRY", "BREAKER_ERRORS")
"""Codes by which an entry is denied, or dropped before it fills, for what happened to the feed."""
CALLS_A_MINUTE = 1_600
"""About what a trader calls for a minute of the tape; a kill is drawn from the calls of a day."""
LONGEST_S = 120
STALE_NS = 90_000_000_000
MANY = {
    "strategy.min_confidence": 0.0, "strategy.use_regime_filter": False, "strategy.min_run": 2,
    "strategy.brick_usd": 0.4, "exits.hold_minutes": 12,
}  # fmt: skip
"""Settings under which a day has some six trades: what does not trade cannot go wrong."""
GUARDED = {"data.simulator.days": 22, "guard.safety.position_fraction": 0.05, "guard.safety.premium_usd": 500}
MARKETS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("demo_normal", "2025-01-14", {"desk.structures": ["fly"]}),
    ("demo_normal", "2025-01-17", {"desk.structures": ["fly"]}),
    ("demo_crash", "2025-01-15", {"desk.structures": ["broken_wing"]}),
    ("demo_crash", "2025-01-14", {"desk.structures": ["vertical"]}),
    ("demo_calm", "2025-01-14", {}),
    ("demo_normal", "2025-01-31", GUARDED),
)


class Market(NamedTuple):
    """A day, and what its backtest decides."""

    chosen: scenario.Scenario
    day: str
    minutes: dict[int, list[float]]
    decided: list[Entry]


class Life(NamedTuple):
    """One process of a session: after how many calls it is killed, and how far the market goes on then."""

    calls: int | None
    missed: int


class Session(NamedTuple):
    """What was drawn."""

    number: int
    market: int
    faults: FakeConfig
    lives: tuple[Life, ...]


@cache
def market(number: int) -> Market:
    name, day, overrides = MARKETS[number]
    chosen = scenario.load(name, {"data.simulator.days": 12, **MANY, **overrides})
    bars = load(chosen.data).bars
    date = dt.date.fromisoformat(day)
    whole = ReplaySession(
        bars, chosen.strategy.build(), chosen.machine,
        day=date, label="SIMULATED", name=f"{config_hash(chosen)[:16]}-{day}",
    )  # fmt: skip
    whole.start()
    whole.advance(10_000)
    first, last = span(bars, date)
    minutes = {int(row["ts"]): list(to_bar(row)) for row in bars[first:last]}
    return Market(chosen, day, minutes, decisions(whole.journal))


def decisions(entries: Iterable[Entry]) -> list[Entry]:
    """What was decided, and what came of it; errors of the feed, which the guard counts, are none of it."""
    return [e for e in entries if e.kind not in INPUTS and e.kind not in ("start", "run") and not _error(e)]


def _error(entry: Entry) -> bool:
    if entry.kind != "guard":
        return False
    body = json.loads(entry.body)
    return body["what"] == "error" or body["details"].get("code") == "BREAKER_ERRORS"


# --- a session


def drawn(number: int, seed: int) -> Session:
    draw = np.random.default_rng((seed, number))
    chosen = int(draw.integers(len(MARKETS)))
    ends = list(market(chosen).minutes)

    def shares(names: tuple[str, ...], likely: float, most: float) -> dict[Any, float]:
        return {
            name: round(float(most * 10 ** draw.uniform(-1.5, 0)), 5)
            for name in names
            if draw.random() < likely
        }

    stream = shares(STREAM, 0.5, 0.05)
    for rare in ("disconnect", "spike"):
        if rare in stream:
            stream[rare] /= 10
    rest = shares(REST, 0.4, float(draw.choice([0.05, 0.05, 0.5]))) if draw.random() < 0.6 else {}
    outages = []
    for _ in range(int(draw.choice([0, 0, 1, 2]))):
        start = int(draw.choice(ends)) - int(draw.integers(2)) * NS_PER_MINUTE // 2
        outages.append((start, start + int(draw.integers(1, 40)) * NS_PER_MINUTE))
    kills = int(draw.choice([0, 0, 0, 1, 2]))
    most = CALLS_A_MINUTE * len(ends)
    lives = [
        Life(int(draw.integers(1, most)), int(draw.choice([0, 0, 1, draw.integers(1, 30)])))
        for _ in range(kills)
    ]
    faults = FakeConfig(
        stream_faults=stream, rest_faults=rest, outages=tuple(outages), seed=int(draw.integers(2**31))
    )
    return Session(number, chosen, faults, (*lives, Life(None, 0)))


def trader(session: Session, folder: Path, life: int) -> PaperTrader:
    chosen, day, *_ = market(session.market)
    faults = session.faults.model_copy(update={"seed": session.faults.seed + life})
    missed = session.lives[life - 1].missed if life else 0
    how = partial(venues.fake, faults=faults, missed_minutes=missed)
    return PaperTrader(chosen, folder, day=day, speed=0, venue=how)


def lived(session: Session, folder: Path, life: int) -> int | None:
    """One process; its exit code, None = it was killed as was drawn."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            logging.disable(logging.CRITICAL)
            signal.alarm(LONGEST_S)
            sys.setprofile(Calls(kill) if (kill := session.lives[life].calls) else None)
            one = trader(session, folder, life)
            asyncio.run(one.run(stay=False))
            sys.setprofile(None)
            (folder / "met.json").write_text(json.dumps(met(one)))
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    return os.waitstatus_to_exitcode(status)


def met(one: PaperTrader) -> dict[str, int]:
    """Faults that were committed and what they came to, in the life that ended."""
    assert isinstance(one.feed, StreamFeed)
    stream, vendor = one.feed.stream, one.feed.source.vendor  # type: ignore[attr-defined]
    assert stream is not None
    found = Counter({f"fault: {name}": count for name, count in vendor.faults.items()})
    found["reconnected"] = stream.counts["connections"] - 1
    found["fills"], found["fills failed"] = stream.counts["fills"], stream.counts["fills failed"]
    return dict(found)


def tried(one: Session, root: Path) -> tuple[list[str], Counter[str]]:
    """Run a session and judge it: what broke, a sentence each, and its figures."""
    folder = root / str(one.number)
    counts: Counter[str] = Counter({"sessions": 1, "fault: outage": len(one.faults.outages)})
    away = list(one.faults.outages)
    code: int | None = None
    for life, (_, missed) in enumerate(one.lives):
        code = lived(one, folder, life)
        if code is not None:
            break
        counts["fault: kill"] += 1
        journal = folder / "journal.sqlite"
        last = [e.ts for e in (read(journal) if journal.exists() else []) if e.kind == "bar"]
        if missed and last:
            counts["fault: away"] += 1
            away.append((last[-1] + 1, last[-1] + missed * NS_PER_MINUTE))
    broke = [f"it ended with exit code {code}"] if code else []
    if not broke:
        counts.update(json.loads((folder / "met.json").read_text()))
        try:
            broke += judged(folder, market(one.market), away, counts)
        except MaxTraderError as error:
            broke.append(f"{type(error).__name__}: {error}")
    shutil.rmtree(folder, ignore_errors=True)
    return [f"session {one.number}: {text}" for text in broke], counts


# --- the verdict


def judged(folder: Path, true: Market, away: list[tuple[int, int]], counts: Counter[str]) -> list[str]:
    entries = read(folder / "journal.sqlite")
    verify(entries)
    bodies = [json.loads(e.body) for e in entries]
    counts["entries"] += len(entries)
    lost, broke = minutes(entries, bodies, true, counts)
    broke += orders(entries, bodies, true, away)
    broke += same(entries, true, lost, counts)
    return broke + again(folder, entries, true)


def minutes(
    entries: list[Entry], bodies: list[dict[str, Any]], true: Market, counts: Counter[str]
) -> tuple[list[int], list[str]]:
    """The minutes that never came, by their ends; and what is wrong with those that did."""
    taken = [body["values"] for e, body in zip(entries, bodies, strict=True) if e.kind == "bar"]
    times = [int(values[0]) for values in taken]
    broke = []
    if any(later <= before for before, later in pairwise(times)):
        broke.append("a minute came twice or after a later one")
    broke += [f"the minute ending {t} is not the vendor's" for t, v in zip(times, taken, strict=True)
              if true.minutes.get(t) != v]  # fmt: skip
    gaps = [(body["start"], body["end"]) for e, body in zip(entries, bodies, strict=True) if e.kind == "gap"]
    marked = {int(m) + NS_PER_MINUTE for start, end in gaps for m in regular_minutes(start, end)}
    missing = set(true.minutes) - set(times)
    regular = set(
        (regular_minutes(min(true.minutes) - NS_PER_MINUTE, max(true.minutes)) + NS_PER_MINUTE).tolist()
    )
    silent = sorted((missing & regular) - marked)
    broke += [f"the minute ending {t} is neither there nor marked" for t in silent]
    broke += [f"the minute ending {t} is marked missing and there" for t in sorted(marked & set(times))]
    counts["minutes"] += len(times)
    counts["minutes lost and marked"] += len(missing & regular)
    counts["minutes lost outside hours"] += len(missing - regular)
    return sorted(missing), broke


def orders(
    entries: list[Entry], bodies: list[dict[str, Any]], true: Market, away: list[tuple[int, int]]
) -> list[str]:
    """Each intent before its fill, each fill once, no entry while it is denied, one position.

    `away`: from when to when the feed or the trader was; whatever came of these minutes, came too late.
    """
    broke = []
    asked: dict[str, int] = {}
    opening: set[str] = set()
    filled: Counter[str] = Counter()
    open_trades: set[int] = set()
    denied = ""
    for e, body in zip(entries, bodies, strict=True):
        if e.kind == "feed":
            denied = body["code"]
        elif e.kind == "order":
            if body["order"] in asked:
                broke.append(f"order {body['order']} was sent twice")
            asked[body["order"]] = body["quantity"]
            if body["purpose"] == "open":
                opening.add(body["order"])
                open_trades.add(body["trade"])
                if denied:
                    broke.append(f"entry {e.seq} adds risk while {denied}")
                if any(start <= e.ts and e.ts + STALE_NS < end for start, end in away):
                    broke.append(f"entry {e.seq} adds risk on a minute that was too old")
                if len(open_trades) > true.chosen.machine.risk.max_positions:
                    broke.append(f"entry {e.seq} opens position {len(open_trades)}")
        elif e.kind == "fill":
            filled[body["order"]] += body["quantity"]
            if body["order"] in opening and denied:
                broke.append(f"entry {e.seq} fills what adds risk while {denied}")
            if filled[body["order"]] > asked.get(body["order"], 0):
                broke.append(f"entry {e.seq} fills more than was ordered")
        elif e.kind == "closed" or (e.kind == "rejected" and body["purpose"] == "open"):
            open_trades.discard(body["trade"])
    if open_trades:
        broke.append(f"trades {sorted(open_trades)} are open at the end")
    return broke


def same(entries: list[Entry], true: Market, lost: list[int], counts: Counter[str]) -> list[str]:
    """Whether it decided what the backtest decides, as far as it knew the same."""
    mine = decisions(entries)
    dropped = ("denied", "rejected")
    denials = [i for i, e in enumerate(mine) if e.kind in dropped and json.loads(e.body)["code"] in FEED]
    counts.update(f"denied: {json.loads(mine[i].body)['code']}" for i in denials)
    late = [e.seq for e in entries if e.kind == "bar" and "late" in json.loads(e.body)]
    counts["minutes known late"] += len(late)
    denials += [next((i for i, e in enumerate(mine) if e.seq > late[0]), len(mine))] if late else []
    denials.sort()
    cut = lost[0] - NS_PER_MINUTE if lost else math.inf  # the end of the last minute that both knew

    def known(rows: list[Entry]) -> list[tuple[int, str, str]]:
        return [(e.ts, e.kind, e.body) for e in rows if e.ts <= cut]

    def due(rows: list[Entry]) -> int:
        """A fill at the next minute's open has the stamp of the cut, but needs that minute."""
        return sum(e.ts < cut for e in rows)

    def signals(rows: list[Entry]) -> list[tuple[int, str, str]]:
        return [row for row in known(rows) if row[1] == "signal"]

    first = denials[0] if denials else len(mine)
    before = known(mine[:first])
    counts["days decided whole"] += not lost and not denials
    counts["days with every minute"] += not lost
    counts["decisions compared"] += len(before)
    broke = []
    if before != known(true.decided)[: len(before)]:
        broke.append("it decided otherwise than the backtest on the same minutes")
    elif (not denials or (first < len(mine) and mine[first].ts > cut)) and due(mine) != due(true.decided):
        broke.append("it did not decide all that the backtest decides")
    if signals(mine) != signals(true.decided):
        broke.append("its signals are not those of the backtest")
    counts["trades"] += sum(e.kind == "closed" for e in mine)
    return broke


def again(folder: Path, entries: list[Entry], true: Market) -> list[str]:
    """Recovery, from snapshots and from the journal alone; the money and shorts of every fill on the way."""
    broke: list[str] = []
    states = []
    for alone in (False, True):
        where = folder
        if alone:
            where = folder / "alone"
            where.mkdir()
            shutil.copy(folder / "journal.sqlite", where)
        body = json.loads(entries[0].body)
        identity = {k: v for k, v in body.items() if k not in ("run", "config_hash", "streams", "simulated")}
        with counted(broke) if alone else _nothing():
            found = Trader(
                where, true.chosen.strategy.build(), true.chosen.machine,
                run=body["run"], identity=identity, simulated=True,
            )  # fmt: skip
        states.append(found.state_hash)
        if found.recovery.entries != len(entries) or read(where / "journal.sqlite") != entries:
            broke.append("a recovery changed the journal")
        if not found.finished or found.shell.machine.ledger.held or found.shell.machine.positions:
            broke.append("something is held at the end")
        found.close()
    if states[0] != states[1]:
        broke.append("snapshots and journal recover to different states")
    return broke


@contextmanager
def counted(broke: list[str]) -> Iterator[None]:
    """Count each fill's money and contracts by hand, beside the ledger."""
    original = Ledger.apply
    held: Counter[Any] = Counter()
    cash: list[int] = []

    def apply(ledger: Ledger, fill: Fill) -> None:
        cash[:] = cash or [ledger.start_cents]
        original(ledger, fill)
        for leg, price in zip(fill.order.legs, fill.prices_cents, strict=True):
            held[leg.contract] += leg.ratio * fill.quantity
            cash[0] -= leg.ratio * fill.quantity * price * 100
        cash[0] -= fill.fee_cents
        if cash[0] != ledger.cash_cents:
            broke.append(f"cash is {ledger.cash_cents} cents after a fill, should be {cash[0]}")
        net = {r: sum(count for contract, count in held.items() if contract.right == r) for r in "CP"}
        broke.extend(f"{-n} {r} are short alone after fill {fill.order.id}" for r, n in net.items() if n < 0)

    Ledger.apply = apply  # type: ignore[method-assign]
    try:
        yield
    finally:
        Ledger.apply = original  # type: ignore[method-assign]


@contextmanager
def _nothing() -> Iterator[None]:
    yield


# --- all of them


def run(sessions: int, seed: int, first: int = 0) -> dict[str, Any]:
    """Figures of many sessions."""
    began = time.perf_counter()
    counts: Counter[str] = Counter()
    broke: list[str] = []
    with scratch() as root:
        for number in range(first, first + sessions):
            found, figures = tried(drawn(number, seed), root)
            broke += found
            counts += figures

    def of(group: str) -> dict[str, int]:
        return {name[len(group) :]: n for name, n in sorted(counts.items()) if name.startswith(group)}

    kinds = of("fault: ")
    return {
        "seed": seed,
        **{name.replace(" ", "_"): n for name, n in sorted(counts.items()) if ":" not in name},
        "denied": of("denied: "), "kinds": len(kinds), "faults": kinds, "broken": len(broke),
        "sentences": broke[:20], "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first; to run one again")
    chosen = parser.parse_args(arguments)
    found = run(chosen.sessions, chosen.seed, chosen.first)
    print(json.dumps(found))
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
