"""Markets made by hand and a strategy that does what the tape says: volume 1 = long, 2 = short."""

import datetime as dt
import json
import math
import re
from collections import Counter
from typing import Any

import numpy as np

from maxlib.core.record import Record
from maxlib.engine.backtest import Run, backtest
from maxlib.engine.machine import MachineConfig
from maxlib.journal.chain import verify
from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market import calendar
from maxlib.market.bars import BarRecord
from maxlib.options.desk import DeskConfig
from maxlib.risk.sizing import RiskConfig
from maxlib.strategies.signal import DISTANCE, Signal
from maxlib.strategies.strategy import Strategy
from maxlib.trading.plan import ExitPlan

NAN = math.nan
DAY = dt.date(2025, 1, 2)
HALF_DAY = dt.date(2024, 11, 29)
MINUTE = 60_000_000_000
LONG, SHORT = 1.0, 2.0


class ScriptState(Record):
    n: int


class ScriptParams(Record):
    basis: int
    stop: float
    tp1: float
    tp2: float


class ScriptOut(Record):
    signal: Signal


@kernel
def scripted(s: ScriptState, p: ScriptParams, bar: BarRecord, out: ScriptOut) -> None:
    s.n += 1
    o = out.signal
    o.side = 0
    if bar.volume == 1.0:
        o.side = 1
    elif bar.volume == 2.0:
        o.side = -1
    o.basis = p.basis
    o.formed_at = bar.ts
    o.stop, o.tp1, o.tp2 = p.stop, p.tp1, p.tp2
    o.confidence = 1.0
    o.atr = 0.5


SCRIPTED = System(ScriptState, ScriptParams, ScriptOut, scripted)


def strategy(stop: float = NAN, tp1: float = NAN, tp2: float = NAN, basis: int = DISTANCE) -> Strategy:
    return Strategy("scripted", SCRIPTED, SCRIPTED.params(basis=basis, stop=stop, tp1=tp1, tp2=tp2))


def clock(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


class Market:
    """One-minute bars, flat at a price until told otherwise."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float, float, float, float]] = []

    def flat(self, first: str, last: str, price: float, date: dt.date = DAY) -> "Market":
        """Bars that start from `first` to `last`, both included."""
        for minute in range(clock(first), clock(last) + 1):
            self.bar_at(date, minute, price, price, price, price)
        return self

    def bar(
        self, at: str, open_: float, high: float, low: float, close: float, date: dt.date = DAY
    ) -> "Market":
        self.bar_at(date, clock(at), open_, high, low, close)
        return self

    def bar_at(self, date: dt.date, minute: int, *prices: float) -> None:
        self.rows.append((calendar.to_ns(date, minute), *prices, 0.0))

    def signal(self, at: str, side: float, date: dt.date = DAY) -> "Market":
        """Mark the bar that starts at `at`."""
        start = calendar.to_ns(date, clock(at))
        found = [i for i, row in enumerate(self.rows) if row[0] == start]
        self.rows[found[0]] = (*self.rows[found[0]][:5], side)
        return self

    @property
    def bars(self) -> Any:
        start, *prices = zip(*self.rows, strict=True)
        return calendar.stamp(np.array(start), *(np.array(p, float) for p in prices))


def config(*, desk: Any = None, risk: Any = None, **exits: Any) -> MachineConfig:
    return MachineConfig(
        desk=DeskConfig(**{"model": "spec", **(desk or {})}),  # prices that a hand can check
        risk=RiskConfig(**{"contracts": 2, **(risk or {})}),
        exits=ExitPlan(**exits),
    )


def both(bars: Any, strategy: Strategy, config: MachineConfig, run: str = "test") -> Run:
    """The backtest, leaping and stepping: one journal, one result; then every invariant of a run."""
    leapt = backtest(bars, strategy, config, run)
    stepped = backtest(bars, strategy, config, run, leap=False)
    assert leapt.journal.entries == stepped.journal.entries
    assert leapt.journal.head == stepped.journal.head
    same = ("trades", "signals", "denials", "start_cents", "cash_cents")
    for name in same:
        assert repr(getattr(leapt, name)) == repr(getattr(stepped, name)), name
    assert leapt.sigma.tobytes() == stepped.sigma.tobytes()
    assert leapt.out.tobytes() == stepped.out.tobytes()
    check(leapt, bars, config)
    return leapt


def at(text: str, date: dt.date = DAY) -> int:
    """UTC ns of a New York time."""
    return calendar.to_ns(date, clock(text))


def said(run: Run, kind: str) -> list[dict[str, Any]]:
    """Bodies of the journal's entries of one kind."""
    return [json.loads(e.body) for e in run.journal.entries if e.kind == kind]


def legs_of(body: dict[str, Any]) -> list[tuple[str, int]]:
    """Legs of an order or fill by contract name, +1 bought: read back from the package's words."""
    if " " not in body["contract"]:
        return [(body["contract"], 1 if body["side"] == "buy" else -1)]
    head, *legs = body["contract"].split()
    found = [re.fullmatch(r"([+-]\d+)([CP])([\d.]+)", leg) for leg in legs]
    return [(f"{head}{m[2]}{round(float(m[3]) * 1000):08d}", int(m[1])) for m in found if m]


def check(run: Run, bars: Any, config: MachineConfig) -> None:
    """What must hold after any run, recomputed from the journal alone."""
    assert verify(run.journal.entries) == run.journal.head
    cash, held, fees, orders, answered = run.start_cents, Counter(), Counter(), {}, set()
    flows: Counter[int] = Counter()
    pending_signal = 0
    times = [e.ts for e in run.journal.entries]
    assert times == sorted(times)
    for entry in run.journal.entries:
        body = json.loads(entry.body)
        if entry.kind == "signal":
            assert pending_signal == 0, "a signal is answered before the next one"
            pending_signal += len(config.books)  # by each book
        elif entry.kind == "denied":
            pending_signal -= 1
        elif entry.kind == "order":
            assert body["order"] not in orders, "order ids are unique"
            orders[body["order"]] = body
            pending_signal -= body["purpose"] == "open"
        elif entry.kind == "rejected":
            answered.add(body["order"])
        elif entry.kind == "fill":
            order = orders[body["order"]]
            assert body["order"] not in answered, "one answer per order"
            answered.add(body["order"])
            assert body["side"] == order["side"]
            assert body["contract"] == order["contract"]
            assert body["quantity"] == order["quantity"]
            assert body["modelled"] is True
            sign = -1 if body["side"] == "buy" else 1
            gross = sign * body["price_cents"] * 100 * body["quantity"]
            for name, ratio in legs_of(body):
                held[name] += ratio * body["quantity"]
            for right in "CP":
                assert sum(n for name, n in held.items() if name[9] == right) >= 0, "never short"
            cash += gross - body["fee_cents"]
            flows[body["trade"]] += gross - body["fee_cents"]
            fees[body["trade"]] += body["fee_cents"]
            assert body["cash_cents"] == cash
            assert cash >= 0
        elif entry.kind == "closed":
            assert body["pnl_cents"] == flows[body["trade"]]
            assert body["fee_cents"] == fees[body["trade"]]
    assert pending_signal == 0
    assert run.cash_cents == cash
    assert not +held, "nothing is left behind at the end of the tape"
    assert sum(t.pnl_cents for t in run.trades) == cash - run.start_cents
    assert run.signals == len(said(run, "signal"))
    assert sum(run.denials.values()) == len(said(run, "denied"))
    by_start = {int(bar["ts"]) - MINUTE: bar for bar in bars}
    by_end = {int(bar["ts"]): bar for bar in bars}
    ends = bars["ts"].tolist()
    for trade in run.trades:
        assert trade.formed_at <= trade.known_at <= trade.entry_at < trade.exit_at
        entry_bar = by_start[trade.entry_at]
        assert trade.entry_spot == entry_bar["open"], "filled at the next open"
        assert ends[ends.index(trade.known_at) + 1] == entry_bar["ts"]
        assert 570 <= entry_bar["minute"] < entry_bar["close_minute"]
        assert trade.contract.expiry == entry_bar["day"]
        if trade.reason in ("stop", "tp1", "tp2"):
            bar = by_end[trade.exit_at]
            assert bar["low"] <= trade.exit_spot <= bar["high"]
        elif trade.reason == "time":
            assert trade.exit_spot == by_start[trade.exit_at]["open"]
    spans = [(t.entry_at, t.exit_at) for t in run.trades]
    for start, _ in spans:
        assert sum(a <= start < z for a, z in spans) <= config.risk.max_positions


# --- Black-Scholes by hand, from the textbook, with math.erf


def bsm(right: str, spot: float, strike: float, minutes: float, sigma: float = 0.20) -> float:
    """Dollars per share at zero rates; `minutes` are trading minutes of a year of 390 × 252."""
    root = sigma * math.sqrt(minutes / (390 * 252))
    d1 = (math.log(spot / strike) + root * root / 2) / root
    call = spot * _phi(d1) - strike * _phi(d1 - root)
    return call if right == "C" else call - spot + strike


def _phi(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def bid_ask(right: str, spot: float, strike: float, minutes: float, sigma: float = 0.20) -> tuple[int, int]:
    """Cents: mid ∓ the larger of a cent and one per cent of it, to the cent."""
    mid = 100 * bsm(right, spot, strike, minutes, sigma)
    half = max(1.0, 0.01 * mid)
    return max(0, round(mid - half)), max(1, round(mid + half))
