"""Kill a trader that trades at a broker, at many points of a scripted day; the account must be its books.

    python -m tests.chaos.broker_sweep --points 300 --seed 1

The broker is the fake of Alpaca. It lives in the parent process and outlives every kill; the child talks
to it over a pipe in place of a socket, through the real client and the real courier. Half of the
trials have a broker that misbehaves as well: lost answers, 429, 5xx, partial fills, late arrivals. After
each trial: every unit that the broker filled stands in the journal once, no order was sent twice, and
the ledger, with what is stray, holds what the account holds; without strays to the cent. The last line
printed is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import requests

from maxlib.app.courier import Courier, CourierConfig
from maxlib.app.fake_broker import DeskMarket
from maxlib.engine import trader as engine
from maxlib.engine.backtest import to_bar
from maxlib.engine.brokerage import BrokerShell
from maxlib.engine.events import Bar
from maxlib.engine.trader import Trader
from maxlib.execution.alpaca.books import Correction
from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.execution.alpaca.fake import FAKE_KEYS
from maxlib.execution.alpaca.fake_api import FakeApi, Request, Response
from maxlib.execution.alpaca.fake_faults import FaultRates, Faults
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.orders import LIVE
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.journal.store import read
from maxlib.options.desk import Desk
from maxlib.risk.sizing import Denial
from maxlib.strategies.signal import DISTANCE
from tests.chaos.kill_sweep import Calls, day, scratch, settings
from tests.engine.scripted import strategy
from tests.execution.alpaca.bench import InProcess

RUN = "broker"
engine.SNAPSHOT_BARS = 10
HERE = AlpacaConfig(trading_url="http://127.0.0.1:1", data_url="http://127.0.0.1:1", loopback=True)
PATIENT = CourierConfig(poll_s=0.001)
CASH = 2_500_000
MISBEHAVING = FaultRates(
    rate_limited=0.02, server_error=0.03, html=0.02, hang=0.02, server_error_after=0.05, hang_after=0.05,
    ack_lost=0.05, cut=0.02, late_arrival=0.05, partial=0.3, cancel_race=0.4,
)  # fmt: skip


class Pipe:
    """The child's end: a venue on the other side of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self.stream = end.makefile("rwb")
        self.lock = threading.Lock()

    def ask(self, *message: Any) -> Any:
        with self.lock:
            self.stream.write(json.dumps(message).encode() + b"\n")
            self.stream.flush()
            return json.loads(self.stream.readline())

    def handle(self, request: Request) -> Response | str:
        body = request.body.decode()
        headers = dict(request.headers)
        found = self.ask("handle", request.method, request.path, dict(request.params), headers, body)
        if found == "hang":
            return "hang"
        status, raw, answer_headers, sent = found
        return Response(status, raw.encode(), answer_headers, sent)


class Account:
    """The parent's end: the account, which outlives the child."""

    def __init__(self, seed: int | None) -> None:
        config = settings()
        self.market = DeskMarket(Desk(config.desk, engine.Machine(config).instrument))
        faults = Faults(MISBEHAVING, seed) if seed is not None else None
        self.venue = FakeVenue(self.market, int(day()["ts"][0]), cash_cents=CASH, faults=faults)
        self.api = FakeApi(self.venue)
        self.submits = Counter[str]()

    def serve(self, end: socket.socket) -> None:
        """Answer until the child is gone."""
        # A child that dies in the middle of a word resets the connection.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError), end.makefile("rwb") as stream:
            while (line := stream.readline()).endswith(b"\n"):
                stream.write(json.dumps(self.answer(*json.loads(line))).encode() + b"\n")
                stream.flush()

    def answer(self, what: str, *rest: Any) -> Any:
        if what == "see":
            bar, sigma = rest
            self.market.bar, self.market.sigma = Bar(*bar), sigma
            self.venue.advance(self.market.bar.ts)
            return None
        method, path, params, headers, body = rest
        if method == "POST" and path == "/v2/orders":
            self.submits[json.loads(body)["client_order_id"]] += 1
        found = self.api.handle(Request(method, path, params, headers, body.encode()))
        if isinstance(found, str):
            return found
        return found.status, found.body.decode(), dict(found.headers), found.sent


class Journaled:
    """What the courier hears goes into the trader."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader

    @property
    def now(self) -> int:
        return self.trader.last_bar.ts if self.trader.last_bar else 0

    def sending(self, order_id: str) -> None:
        self.trader.sending(order_id, self.now)

    def heard(self, said: Correction) -> None:
        self.trader.heard(said, self.now)

    def look(self) -> None:
        pass

    def connection(self, denial: Denial | None, why: str) -> None:
        raise AssertionError("there is no stream here")

    def leased(self, token: int) -> None:
        self.trader.leased(token, self.now)

    def complained(self, what: str) -> None:
        pass


def trader(folder: Path) -> Trader:
    how = strategy(stop=1.5, tp1=1.2, tp2=2.4, basis=DISTANCE)
    identity = {"label": "SIMULATED"}
    return Trader(folder, how, settings(), run=RUN, identity=identity, simulated=True, fills="broker")


class Careless(Journaled):
    """Writes down that an order goes out after it went: what the sweep has to find."""

    def sending(self, order_id: str) -> None:
        pass


async def live(folder: Path, bars: Any, pipe: Pipe, *, careless: bool = False) -> None:
    """Start, which is recovery and reconciliation; then the bars that were not journaled yet."""
    one = trader(folder)
    assert isinstance(one.shell, BrokerShell)
    session = requests.Session()
    session.mount("http://", InProcess(pipe))  # type: ignore[arg-type]
    journaled = Careless(one) if careless else Journaled(one)
    courier = Courier(
        one.shell, journaled, HERE, FAKE_KEYS, clock=lambda: journaled.now, since=0, lease_folder=None,
        courier=PATIENT, session=session,
    )  # fmt: skip
    while not careless:
        try:
            await courier.reconcile()
            break
        except VenueError:
            continue
    for i in range(len(bars)):
        if one.last_bar is not None and int(bars["ts"][i]) <= one.last_bar.ts:
            continue
        one.bar(bars[i : i + 1])
        pipe.ask("see", to_bar(bars[i]), one.sigma)
        await courier.settled()
    if not one.finished:
        await courier.end(5.0)
        one.finish()
    one.close()


def forked(folder: Path, bars: Any, account: Account, kill_at: int | None, *, careless: bool = False) -> bool:
    """Run in a child; True if it came to the end, False if it was killed."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ours.close()
            calls = Calls(kill_at)
            threading.setprofile(calls)
            sys.setprofile(calls)
            asyncio.run(live(folder, bars, Pipe(theirs), careless=careless))
            code = 0
        finally:
            sys.setprofile(None)
            os._exit(code)
    theirs.close()
    with ours:
        account.serve(ours)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, f"the trader failed in {folder}"
    return True


def counted(folder: Path, bars: Any) -> int:
    """Calls of an undisturbed day."""
    account = Account(None)
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=account.serve, args=(ours,))
    serving.start()
    calls = Calls(None)
    threading.setprofile(calls)
    sys.setprofile(calls)
    try:
        asyncio.run(live(folder, bars, Pipe(theirs)))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        theirs.shutdown(socket.SHUT_RDWR)
        theirs.close()
        serving.join()
        ours.close()
    return calls.count


def judged(folder: Path, account: Account) -> Counter[str]:
    """What is wrong after a trial, by kind; the reopened trader repeats its whole journal first."""
    wrong = Counter[str]()
    truth, booked = Counter[str](), Counter[str]()
    for name, _, units, _ in account.venue.fills:
        truth[name] += units
    stray: list[dict[str, Any]] = []
    for entry in read(folder / "journal.sqlite"):
        if entry.kind in ("fill", "stray"):
            body = json.loads(entry.body)
            booked[body["order"]] += body["units" if entry.kind == "stray" else "quantity"]
            stray += [body] if entry.kind == "stray" else []
    wrong["lost"] = sum((truth - booked).values())
    wrong["twice"] = sum((booked - truth).values())
    wrong["sent_again"] = sum(count - 1 for count in account.submits.values())
    one = trader(folder)
    assert isinstance(one.shell, BrokerShell)
    books, ledger = one.shell.books, one.shell.machine.ledger
    held = {contract.name: count for contract, count in account.venue.held.items()}
    wrong["books_differ"] = {name: int(n) for name, n in books.positions.items()} != held
    traded = Counter[str]({contract.name: count for contract, count in ledger.held.items()})
    for body in stray:
        for leg in books.orders[body["order"]].order.legs:
            traded[leg.contract.name] += leg.ratio * body["units"]
    wrong["ledger_differs"] = {name: count for name, count in traded.items() if count} != held
    if not stray:
        wrong["cash_differs"] = ledger.cash_cents + ledger.fee_cents != account.venue.cash_cents
    wrong["in_the_air"] = sum(t.state in LIVE for t in books.orders.values())
    wrong["stray"] = len(stray)
    one.close()
    return wrong


BROKEN = ("lost", "twice", "sent_again", "books_differ", "ledger_differs", "cash_differs", "in_the_air")


def sweep(points: int, seed: int, *, careless: bool = False) -> dict[str, Any]:
    """Figures of a sweep. A `careless` trader sends first and writes later, and does not ask at its start."""

    def run(folder: Path, account: Account, kill_at: int | None) -> bool:
        return forked(folder, bars, account, kill_at, careless=careless)

    bars, began = day(), time.perf_counter()
    rng = np.random.default_rng(seed)
    found, fills, sent, killed, again = Counter[str](), 0, 0, 0, 0
    with scratch() as root:
        counted(root / "warm", bars)  # compiles and imports, which the trials inherit
        calls = counted(root / "whole", bars)
        for trial, kill_at in enumerate(rng.integers(1, calls, size=points).tolist()):
            folder = root / str(trial)
            account = Account(None if trial % 2 else trial)
            while run(folder, account, kill_at):  # faults made this day a shorter one
                shutil.rmtree(folder)
                account, kill_at = Account(None if trial % 2 else trial), kill_at * 9 // 10
            killed += 1
            if trial % 3 == 0:
                again += not run(folder, account, int(rng.integers(1, calls // 3)))
            while not run(folder, account, None):
                pass
            found += judged(folder, account)
            fills += len(account.venue.fills)
            sent += len(account.submits)
            shutil.rmtree(folder)
    return {
        "points": points, "calls": calls, "killed": killed, "killed_again": again, "orders": sent,
        "fills": fills, **{name: found[name] for name in (*BROKEN, "stray")},
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    found = sweep(chosen.points, chosen.seed)
    print(json.dumps(found))
    return 1 if any(found[name] for name in BROKEN) else 0


if __name__ == "__main__":
    sys.exit(main())
