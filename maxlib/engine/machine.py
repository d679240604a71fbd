"""The machine: events in, commands out. No clock, disk, network or randomness.

Everything that trades — backtest, replay, paper — is this object with a shell
around it. The journal is written from its `Record` commands only, so the same
events give a byte-identical journal.
"""

from __future__ import annotations

import math
from typing import Any

from maxlib.core.canonical import canonical
from maxlib.core.config import Config, config_hash
from maxlib.core.errors import InvariantError
from maxlib.engine.events import (
    Bar,
    BarClosed,
    Command,
    Event,
    OrderFilled,
    OrderRejected,
    Record,
    Settle,
    SignalSeen,
    Submit,
    TapeEnded,
    Trade,
)  # fmt: skip
from maxlib.engine.position import Position
from maxlib.engine.snapshot import numbers, position_in, position_out, trade_in
from maxlib.execution.exits import EXITS, EXPIRED, STOP, TIME, TP1, TP2
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.instruments import instrument
from maxlib.options.desk import DeskConfig, Market, choose, modelled_quote
from maxlib.risk.sizing import Denial, RiskConfig, review
from maxlib.strategies.signal import DISTANCE, FRACTION
from maxlib.trading.ledger import Ledger
from maxlib.trading.orders import Fill, Order, Purpose, order_id
from maxlib.trading.plan import ExitPlan


class MachineConfig(Config):
    """What the machine needs besides the strategy."""

    symbol: str = "QQQ"
    desk: DeskConfig = DeskConfig()
    exits: ExitPlan = ExitPlan()
    risk: RiskConfig = RiskConfig()


class Machine:
    """Owns positions, ledger and counters; decides on orders.

    `run` names the run (a config hash): order ids are derived from it.
    """

    def __init__(self, config: MachineConfig, run: str = "") -> None:
        self.config = config
        self.run = run or config_hash(config)
        self.instrument = instrument(config.symbol)
        self.ledger = Ledger(config.risk.account_usd * 100, self.instrument.multiplier)
        self.positions: dict[int, Position] = {}
        self.trades: list[Trade] = []
        self.denials: dict[str, int] = {}
        self.signals = 0
        self.entered = 0
        self.last_exit = 0

    @property
    def equity_cents(self) -> int:
        """Cash plus open positions at cost (closed-trade equity), in cents."""
        at_cost = sum(
            p.entry.price_cents * self.instrument.multiplier * p.open_quantity
            for p in self.positions.values()
            if p.entry is not None
        )
        return self.ledger.cash_cents + at_cost

    def handle(self, event: Event) -> list[Command]:
        """Take one event, return what is to be done, in order."""
        if isinstance(event, BarClosed):
            return self._bar(event)
        if isinstance(event, SignalSeen):
            return self._signal(event)
        if isinstance(event, OrderFilled):
            return self._filled(event.fill, event.bar)
        if isinstance(event, OrderRejected):
            return self._rejected(event)
        return self._ended(event)

    # --- entries

    def _signal(self, signal: SignalSeen) -> list[Command]:
        bar = signal.bar
        self.signals += 1
        stop, tp1, tp2, confidence, atr = numbers(signal[4:9])
        seen = Record(bar.ts, "signal", {
            "side": signal.side, "formed_at": signal.formed_at, "known_at": bar.ts, "spot": bar.close,
            "basis": signal.basis, "stop": stop, "tp1": tp1, "tp2": tp2, "atr": atr, "confidence": confidence,
            "sigma": signal.sigma,
        })  # fmt: skip
        minutes = bar.minutes_left
        contract = choose(self.config.desk, self.instrument, signal.side, bar.close, bar.day)
        cost = 1
        if minutes > 0:
            market = Market(bar.ts, bar.close, minutes, signal.sigma)
            quote = modelled_quote(self.config.desk, self.instrument, contract, market)
            cost = quote.ask_cents * self.instrument.multiplier + self.config.desk.commission_cents
        verdict = review(
            self.config.risk,
            open_positions=len(self.positions),
            minutes_to_close=minutes,
            formed_at=signal.formed_at,
            last_exit=self.last_exit,
            equity_cents=self.equity_cents,
            cash_cents=self.ledger.cash_cents,
            cost_cents=cost,
        )
        if isinstance(verdict, Denial):
            self.denials[verdict.code] = self.denials.get(verdict.code, 0) + 1
            return [seen, Record(bar.ts, "denied", verdict._asdict())]
        self.entered += 1
        number = self.entered
        order = Order(
            order_id(self.run, number, "open", bar.ts),
            number,
            "buy",
            contract,
            verdict.quantity,
            "open",
            bar.ts,
        )
        self.positions[number] = Position(number, signal, order)
        return [seen, _order_record(order), Submit(order)]

    def _entered(self, position: Position, fill: Fill, bar: Bar) -> list[Command]:
        signal, plan = position.signal, self.config.exits
        position.entry = fill
        position.quantity = position.open_quantity = fill.quantity
        position.fee_cents = fill.fee_cents
        position.proceeds_cents = self.ledger.flow(fill)
        position.levels = levels(signal, plan, fill.spot)
        stop, tp1, tp2 = position.levels
        force = bar.minutes_left_at_open - plan.force_close_minutes
        hold = min(plan.hold_minutes, force)
        fraction_closes_all = _part(fill.quantity, plan.tp1_fraction) == fill.quantity
        params = EXITS.params(
            side=signal.side, day=bar.day, entry=fill.spot, stop=stop, tp1=tp1, tp2=tp2,
            all_at_tp1=fraction_closes_all, break_even=plan.break_even, trail=plan.trail,
            deadline=fill.ts + hold * NS_PER_MINUTE,
        )  # fmt: skip
        position.watch = EXITS.stream(params)
        return []

    # --- exits

    def _bar(self, event: BarClosed) -> list[Command]:
        commands: list[Command] = []
        for position in list(self.positions.values()):
            if position.watch is None:
                continue
            if event.exits is None:
                out = position.watch.push(event.rows)
            elif position.number in event.exits:
                out = event.exits[position.number]
            else:
                continue
            if int(out["event"]):
                commands += self._exit(position, event.bar, out)
        return commands

    def _exit(self, position: Position, bar: Bar, out: Any) -> list[Command]:
        happened = int(out["event"])
        if happened & EXPIRED:
            order = self._sell(position, bar.ts, "expiry", position.open_quantity)
            return [_order_record(order), Settle(order, float(out["settle_price"]))]
        commands: list[Command] = []
        left = position.open_quantity
        if position.leaving is not None:
            return commands  # the rest is already on its way out
        if position.stuck:
            happened &= ~(STOP | TIME)  # asking again every minute would not make a bid
        steps: list[tuple[int, Purpose, float]] = [
            (TP1, "tp1", float(out["tp1_price"])),
            (STOP, "stop", float(out["stop_price"])),
            (TP2, "tp2", float(out["tp2_price"])),
        ]
        for bit, purpose, price in steps:
            if not happened & bit or left == 0:
                continue
            part = _part(position.quantity, self.config.exits.tp1_fraction) if bit == TP1 else left
            order = self._sell(position, bar.ts, purpose, min(part, left), price)
            left -= order.quantity
            commands += [_order_record(order), Submit(order)]
        if happened & TIME and left > 0:
            position.leaving = self._sell(position, bar.ts, "time", left)
            commands += [_order_record(position.leaving), Submit(position.leaving)]
        return commands

    def _sell(
        self, position: Position, ts: int, purpose: Purpose, quantity: int, trigger: float | None = None
    ) -> Order:
        oid = order_id(self.run, position.number, purpose, ts)
        return Order(oid, position.number, "sell", position.contract, quantity, purpose, ts, trigger)

    def _filled(self, fill: Fill, bar: Bar) -> list[Command]:
        position = self.positions.get(fill.order.trade)
        if position is None:
            raise InvariantError(f"fill of order {fill.order.id} belongs to no open trade")
        self.ledger.apply(fill)
        record = Record(fill.ts, "fill", {
            "order": fill.order.id, "trade": position.number, "side": fill.order.side,
            "contract": fill.order.contract.name, "quantity": fill.quantity, "price_cents": fill.price_cents,
            "fee_cents": fill.fee_cents, "spot": fill.spot, "modelled": fill.modelled,
            "cash_cents": self.ledger.cash_cents,
        })  # fmt: skip
        if fill.order.side == "buy":
            return [record, *self._entered(position, fill, bar)]
        position.stuck = False
        position.open_quantity -= fill.quantity
        position.fee_cents += fill.fee_cents
        position.proceeds_cents += self.ledger.flow(fill)
        if position.open_quantity > 0:
            return [record]
        return [record, self._closed(position, fill)]

    def _closed(self, position: Position, fill: Fill) -> Record:
        entry = position.entry
        assert entry is not None
        del self.positions[position.number]
        bought = entry.price_cents * self.instrument.multiplier * position.quantity
        sold = position.proceeds_cents + bought
        stop, tp1, tp2 = position.levels
        trade = Trade(
            number=position.number, side=position.signal.side, contract=position.contract,
            quantity=position.quantity, formed_at=position.signal.formed_at, known_at=position.signal.bar.ts,
            entry_at=entry.ts, exit_at=fill.ts, entry_spot=entry.spot, exit_spot=fill.spot,
            entry_price_cents=entry.price_cents,
            exit_price_cents=sold / (self.instrument.multiplier * position.quantity),
            fee_cents=position.fee_cents, pnl_cents=position.proceeds_cents - position.fee_cents,
            sigma=position.signal.sigma, stop=stop, tp1=tp1, tp2=tp2,
            confidence=position.signal.confidence, reason=fill.order.purpose,
        )  # fmt: skip
        self.trades.append(trade)
        self.last_exit = fill.ts
        return Record(fill.ts, "closed", {
            "trade": trade.number, "contract": trade.contract.name, "quantity": trade.quantity,
            "pnl_cents": trade.pnl_cents, "fee_cents": trade.fee_cents, "reason": trade.reason,
            "equity_cents": self.equity_cents,
        })  # fmt: skip

    def _rejected(self, event: OrderRejected) -> list[Command]:
        order = event.rejection.order
        position = self.positions[order.trade]
        if position.entry is None:
            del self.positions[order.trade]
        else:
            position.leaving = None  # the watch goes on; at the latest, expiry settles it
            position.stuck = True
        data = {
            "order": order.id, "trade": order.trade, "purpose": order.purpose, "code": event.rejection.code,
        }  # fmt: skip
        commands: list[Command] = [Record(event.rejection.ts, "rejected", data)]
        if order.purpose == "tape_end":  # there is no later bar: what has no bid is worth its intrinsic value
            assert order.trigger is not None
            last = self._sell(position, order.ts, "expiry", position.open_quantity)
            commands += [_order_record(last), Settle(last, order.trigger)]
        return commands

    def _ended(self, event: TapeEnded) -> list[Command]:
        bar = event.bar
        commands: list[Command] = []
        for position in self.positions.values():
            left = position.open_quantity
            last: Command
            if bar.minutes_left > 0:
                order = self._sell(position, bar.ts, "tape_end", left, bar.close)
                last = Submit(order)
            else:  # that was the last regular minute: nothing can be sold any more
                order = self._sell(position, bar.ts, "expiry", left)
                last = Settle(order, bar.close)
            position.leaving = order
            commands += [_order_record(order), last]
        return commands

    # --- state

    def snapshot(self) -> str:
        """All state as canonical JSON; `restore` continues from it."""
        return canonical({
            "cash_cents": self.ledger.cash_cents, "flow_cents": self.ledger.flow_cents,
            "fee_cents": self.ledger.fee_cents, "held": self.ledger.held, "denials": self.denials,
            "signals": self.signals, "entered": self.entered, "last_exit": self.last_exit,
            "trades": [numbers(t._replace(contract=list(t.contract))) for t in self.trades],  # type: ignore[arg-type]
            "positions": [position_out(p) for p in self.positions.values()],
        })  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a parsed snapshot."""
        self.ledger.cash_cents, self.ledger.flow_cents = state["cash_cents"], state["flow_cents"]
        self.ledger.fee_cents, self.ledger.held = state["fee_cents"], dict(state["held"])
        self.denials, self.signals, self.entered = dict(state["denials"]), state["signals"], state["entered"]
        self.last_exit = state["last_exit"]
        self.trades = [trade_in(row) for row in state["trades"]]
        self.positions = {row["number"]: position_in(row) for row in state["positions"]}


def levels(signal: SignalSeen, plan: ExitPlan, entry: float) -> tuple[float, float, float]:
    """Stop, first and second target as prices of the underlying, from the entry price; NaN = none."""
    side = signal.side
    stop, tp1, tp2 = signal.stop, signal.tp1, signal.tp2
    if signal.basis == FRACTION:
        stop, tp1, tp2 = entry * (1 - side * stop), entry * (1 + side * tp1), entry * (1 + side * tp2)
    elif signal.basis == DISTANCE:
        stop, tp1, tp2 = entry - side * stop, entry + side * tp1, entry + side * tp2
    return (
        stop if plan.stop is None else entry * (1 - side * plan.stop),
        tp1 if plan.tp1 is None else entry * (1 + side * plan.tp1),
        tp2 if plan.tp2 is None else entry * (1 + side * plan.tp2),
    )


def _part(quantity: int, fraction: float) -> int:
    """Contracts closed at the first target: at least one, rounded to the nearest, halves up."""
    return min(quantity, max(1, math.floor(quantity * fraction + 0.5)))


def _order_record(order: Order) -> Record:
    return Record(order.ts, "order", {
        "order": order.id, "trade": order.trade, "side": order.side, "contract": order.contract.name,
        "quantity": order.quantity, "purpose": order.purpose, "trigger": order.trigger,
    })  # fmt: skip
