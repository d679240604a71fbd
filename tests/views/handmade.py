"""A finished run made by hand: simulated bars, two trades and three signals at chosen bars."""

from dataclasses import replace
from typing import Any

import numpy as np

from maxlib.data import DataConfig, SimulatorConfig, Tape
from maxlib.data import load as load_tape
from maxlib.engine.backtest import Run
from maxlib.engine.events import Trade
from maxlib.journal.chain import Journal
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract, Leg
from maxlib.research import scenario as scenarios
from maxlib.research.run import ScenarioRun, trade_metrics
from maxlib.research.scenario import Claims, Scenario
from maxlib.research.verdict import judge
from maxlib.strategies.wave_renko import WAVE_RENKO

START_CENTS = 2_500_000


def tape(days: int = 3) -> Tape:
    return load_tape(DataConfig(source="simulator", simulator=SimulatorConfig(days=days)))


def bar_at(bars: Any, day: int, minute: int) -> int:
    """Index of the bar that begins at that minute of the tape's n-th session."""
    date = np.unique(bars["day"])[day]
    return int(np.flatnonzero((bars["day"] == date) & (bars["minute"] == minute))[0])


def trade(bars: Any, number: int, known: int, left: int, pnl_cents: int, **changes: Any) -> Trade:
    """A trade decided at the close of bar `known` and left at the close of bar `left`."""
    made = Trade(
        number=number, side=1, quantity=2,
        legs=(Leg(Contract("QQQ", int(bars["day"][known]), "C", 60_000), 1),),
        formed_at=int(bars["ts"][known - 1]), known_at=int(bars["ts"][known]),
        entry_at=int(bars["ts"][known + 1]) - NS_PER_MINUTE, exit_at=int(bars["ts"][left]),
        entry_spot=float(bars["open"][known + 1]), exit_spot=float(bars["close"][left]),
        entry_price_cents=200, exit_price_cents=200 + pnl_cents / 200, fee_cents=260, pnl_cents=pnl_cents,
        sigma=0.2, stop=1.0, tp1=2.0, tp2=3.0, confidence=0.5, reason="tp1",
    )  # fmt: skip
    return made._replace(**changes)


def finished(
    *,
    days: int = 3,
    simulated: bool = True,
    trades: bool = True,
    claims: Claims | None = None,
    **scenario: Any,
) -> ScenarioRun:
    """Trades on the second session only: +150 $ from 10:00 to 10:30, -80 $ from 11:00 to 11:20."""
    of = replace(tape(days), simulated=simulated)
    bars = of.bars
    out = np.zeros(len(bars), WAVE_RENKO.out)
    out["level"] = bars["close"].round()
    signals = [bar_at(bars, 1, minute) for minute in (600, 660, 720)] if days > 1 else []
    for i, side in zip(signals, (1, 1, -1), strict=False):
        out["signal"]["side"][i], out["signal"]["formed_at"][i] = side, bars["ts"][i - 1]
    made = [
        trade(bars, 1, signals[0], signals[0] + 30, 15_000),
        trade(bars, 2, signals[1], signals[1] + 20, -8_000),
    ] if trades and signals else []  # fmt: skip
    settings: Scenario = scenarios.load("demo_normal").model_copy(update={"claims": claims, **scenario})
    run = Run(
        bars, out, np.full(len(bars), 0.2), made, Journal(), len(signals),
        {"POSITION_LIMIT": len(signals) - len(made)} if signals else {},
        START_CENTS, START_CENTS + sum(t.pnl_cents for t in made),
    )  # fmt: skip
    metrics = trade_metrics(made, settings)
    return ScenarioRun(settings, of, run, metrics, *judge(claims, metrics), 0.5)
