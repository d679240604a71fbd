"""The machine: events in, commands out. No clock, disk, network or randomness.

Everything that trades — backtest, replay, paper — is this object with a shell
around it. The journal is written from its `Record` commands only, so the same
events give a byte-identical journal.
"""

from __future__ import annotations

import math
from itertools import starmap
from typing import Any, Final

from maxlib.core.canonical import canonical
from maxlib.core.config import Config, config_hash
from maxlib.core.errors import InvariantError
from maxlib.engine.events import (
    Bar,
    BarClosed,
    Checked,
    Command,
    EntryUndone,
    Erred,
    Event,
    OrderFilled,
    OrderRejected,
    PeakReset,
    Record,
    Settle,
    SignalSeen,
    Submit,
    TapeEnded,
    Trade,
    VolatilitySeen,
)  # fmt: skip
from maxlib.engine.leaving import fitting, free, without
from maxlib.engine.position import Position
from maxlib.engine.quoted import unquoted
from maxlib.engine.snapshot import numbers, position_in, position_out, trade_in
from maxlib.execution.exits import EXITS, EXPIRED, STOP, TIME, TP1, TP2
from maxlib.execution.fills import FillConfig, arrival
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract, Leg, package_name
from maxlib.market.instruments import instrument
from maxlib.options.desk import Desk, DeskConfig, Market, Offer
from maxlib.options.expiry import ending, worst_cents
from maxlib.options.live_desk import LiveDesk
from maxlib.options.unwind import unwind
from maxlib.risk.guard import Fitted, Guard, GuardConfig
from maxlib.risk.limits import BookName
from maxlib.risk.safety import Ask
from maxlib.risk.sizing import Allowed, Denial, RiskConfig, admit, size
from maxlib.strategies.signal import DISTANCE, FRACTION
from maxlib.trading.ledger import Ledger
from maxlib.trading.orders import Fill, Order, Purpose, order_id, reverse
from maxlib.trading.plan import ExitPlan

NS: Final = 1_000_000_000
ENTRY_SECONDS: Final = 90.0
"""An entry that was decided longer ago is not sent any more."""
FOR_GOOD: Final = frozenset({"NO_BID", "MARKET_CLOSED", "TAPE_ENDED"})
"""Refusals of an exit that no other quote heals; any other, at live quotes, the next minute may."""
ENDED: Final = frozenset({"REFUSED", "REJECTED", "CANCELED", "EXPIRED", "REPLACED", "LOST"})
"""Ends of an order at a real broker without a fill. An exit that ends so is asked for again."""
UNFILLED: Final = ("CANCELED", "EXPIRED", "REJECTED")
"""Those of an order that the broker had and nobody took: a package is then left leg by leg."""


class MachineConfig(Config):
    """What the machine needs besides the strategy's step.

    strategy : its kind, by which the guard's states let it trade
    guard : regimes, risk and safety manager; null = the review of `risk` alone
    """

    symbol: str = "QQQ"
    desk: DeskConfig = DeskConfig()
    fills: FillConfig = FillConfig()
    exits: ExitPlan = ExitPlan()
    risk: RiskConfig = RiskConfig()
    strategy: str = ""
    guard: GuardConfig | None = None

    @property
    def books(self) -> tuple[BookName, ...]:
        """Who acts on a signal, one after the other."""
        if self.guard is None:
            return ("conservative",)
        mine = self.guard.book
        other: BookName = "aggressive" if mine == "conservative" else "conservative"
        return (mine, other) if self.guard.both else (mine,)

    @property
    def routed(self) -> bool:
        """Whether a router of regimes wants readings of volatility."""
        return self.guard is not None and self.guard.regimes is not None


class Machine:
    """Owns positions, ledger and counters; decides on orders.

    `run` names the run (a config hash): order ids are derived from it. `live` = the desk's quotes are a
    market's, which the shell brings; else they are modelled.
    """

    def __init__(self, config: MachineConfig, run: str = "", *, live: bool = False) -> None:
        self.config = config
        self.run = run or config_hash(config)
        self.instrument = instrument(config.symbol)
        self.desk: Desk = Desk(config.desk, self.instrument)
        if live:
            self.desk = LiveDesk(config.desk, self.instrument, config.fills.max_quote_age_ms)
        self.ledger = Ledger(config.risk.account_usd * 100, self.instrument.multiplier)
        self.positions: dict[int, Position] = {}
        self.trades: list[Trade] = []
        self.denials: dict[str, int] = {}
        self.signals = 0
        self.entered = 0
        self.last_exit = 0
        self.halted = False
        """No order that adds risk is sent; what is open is watched and left as planned."""
        self.late = False
        """The bar that is taken was known late: nobody could have traded at its prices, so exits wait for
        the next price there is."""
        self.killed = False
        """The kill switch is thrown: a halt that only its code ends."""
        self.feed: Denial | None = None
        """Why the feed lets nobody enter; None = it is well."""
        self.process: Denial | None = None
        """Why the process itself lets nobody enter, as a full disk; None = it is well."""
        self.patient = False
        """What has expired is settled only when no order of it is in the air: answers may come late."""
        self.broker: Denial | None = None
        """Why the broker lets nobody enter; None = it is well. Restored by the shell that talks to it."""
        self.guard: Guard | None = None
        """Made at the first event that it is asked about, since it begins with a trading day."""
        self._unguarded: dict[str, Any] | None = None
        """What a guard of earlier days had counted, kept while there is none."""

    @property
    def equity_cents(self) -> int:
        """Cash plus open positions at cost (closed-trade equity), in cents."""
        at_cost = sum(p.cost_cents for p in self.positions.values())
        return self.ledger.cash_cents + at_cost * self.instrument.multiplier

    def _marked_cents(self, market: Market) -> int:
        """Cash plus open positions, each at what it would bring now if that is less than its cost.

        What is lost counts at once, what is won when it is closed. Without a quote it stands at cost.
        """
        worth = sum(min(p.cost_cents, self._worth(p, market)) for p in self.positions.values())
        return self.ledger.cash_cents + worth * self.instrument.multiplier

    def _worth(self, position: Position, market: Market) -> int:
        """What is held would bring so much, cents a share: longs at the bid, shorts at the ask."""
        worth = 0
        for contract, count in position.held.items():
            quote = self.desk.mark(contract, market)
            price = None if quote is None else (quote.bid_cents or 0) if count > 0 else quote.ask_cents
            if price is None:
                return position.cost_cents
            worth += count * price
        return worth

    @property
    def free_cents(self) -> int:
        """Cash that no open position may still cost at expiry, beyond what was paid for it."""
        owed = sum(
            worst_cents(tuple(starmap(Leg, p.held.items()))) for p in self.positions.values() if p.held
        )
        return self.ledger.cash_cents + owed * self.instrument.multiplier

    def handle(self, event: Event) -> list[Command]:
        """Take one event, return what is to be done, in order."""
        commands = self._handle(event)
        return commands if self.guard is None else [*self._news(self.guard), *commands]

    def _handle(self, event: Event) -> list[Command]:
        if isinstance(event, BarClosed):
            return self._bar(event)
        if isinstance(event, SignalSeen):
            return self._signal(event)
        if isinstance(event, VolatilitySeen):
            return self._volatility(event)
        if isinstance(event, Checked | Erred | PeakReset):
            return self._told(event)
        if isinstance(event, OrderFilled):
            return self._filled(event)
        if isinstance(event, EntryUndone):
            return self._undone(event)
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
        said: list[Command] = [seen]
        offer: Offer | None = None
        market = self.desk.moment(
            Market(bar.ts, bar.close, bar.minutes_left, signal.sigma, bar.session_minutes)
        )
        for book in self.config.books:
            verdict: Allowed | Denial | None = self._admitted(signal, book, market)
            if verdict is None:
                if offer is None:
                    offer = self._offered(signal, market)
                    said += _selected(bar, offer)
                verdict = unquoted(self.desk, self.config.fills, offer.legs, market)
                verdict = verdict or self._sized(bar, offer, book)
            if isinstance(verdict, Denial):
                self.denials[verdict.code] = self.denials.get(verdict.code, 0) + 1
                said.append(Record(bar.ts, "denied", {**verdict._asdict(), **self._named(book)}))
            else:
                assert offer is not None
                said += self._enter(signal, offer, verdict.quantity, book)
        return said

    def _offered(self, signal: SignalSeen, market: Market) -> Offer:
        """What the desk would trade for a signal, quoted now."""
        bar, plan = signal.bar, self.config.exits
        target = levels(signal, plan, bar.close)[1]
        hold = min(plan.hold_minutes, bar.minutes_left - plan.force_close_minutes)
        return self.desk.offer(signal.side, market, bar.day, target, hold)

    def _enter(self, signal: SignalSeen, offer: Offer, units: int, book: BookName) -> list[Command]:
        ts = signal.bar.ts
        self.entered += 1
        number = self.entered
        order = Order(order_id(self.run, number, "open", ts), number, offer.legs, units, "open", ts)
        position = self.positions[number] = Position(number, signal, order)
        position.asked_cents = offer.cost_cents * units
        position.book = book
        if self.config.guard is not None:
            self._guarded(signal.bar).entered(ts, self.config.strategy, book)
        record = _order_record(order)
        return [record._replace(data={**record.data, **self._named(book)}), Submit(order)]

    def _named(self, book: BookName) -> dict[str, str]:
        """The book, where there are two."""
        return {"book": book} if len(self.config.books) > 1 else {}

    def _admitted(self, signal: SignalSeen, book: BookName, market: Market) -> Denial | None:
        """Whether an entry may be thought of, before anything is quoted: halt, feed, review, the guard."""
        bar = signal.bar
        barred = self._barred()
        if barred is not None:
            return barred
        denial = admit(
            self.config.risk,
            open_positions=len(self.positions),
            minutes_to_close=bar.minutes_left,
            force_close_minutes=self.config.exits.force_close_minutes,
            formed_at=signal.formed_at,
            last_exit=self.last_exit,
        )
        if denial is not None or self.config.guard is None:
            return denial
        guard = self._guarded(bar)
        guard.mark(bar.ts, bar.day, self._marked_cents(market))
        return guard.admit(self._ask(bar.ts, book))

    def _barred(self) -> Denial | None:
        if self.killed:
            return Denial("KILL_SWITCH", 0, 1)
        if self.halted:
            return Denial("HALTED", 0, 0)
        return self.process or self.feed or self.broker

    def recalled(self, order: Order, ts: int, most_s: float = ENTRY_SECONDS) -> Denial | None:
        """Why an order must not go out at `ts` (UTC ns) although it was decided; None = it may.

        Asked at the last moment: what let an entry pass may bar it by now, and nobody enters on a
        decision of the past, seconds above `most_s`. Who leaves always may, late too.
        """
        if order.purpose != "open":
            return None
        barred = self._barred()
        if barred is None and self.guard is not None:
            book = self.positions[order.trade].book
            barred = self.guard.recalled(self._ask(ts, book))
        age = (ts - order.ts) / NS
        return Denial("STALE_ENTRY", most_s, age) if barred is None and age > most_s else barred

    def _sized(self, bar: Bar, offer: Offer, book: BookName) -> Allowed | Denial:
        """How many units: the review's number, which the guard may make smaller."""
        if not offer.legs:
            return Denial("NO_STRUCTURE", self.config.desk.min_reward_risk, offer.best)
        found = size(
            self.config.risk,
            equity_cents=self.equity_cents,
            cash_cents=self.free_cents,
            cost_cents=offer.cost_cents,
        )
        if self.config.guard is None or isinstance(found, Denial):
            return found
        ratio = offer.best if math.isfinite(offer.best) else None  # nobody asked for a ratio
        ask = self._ask(bar.ts, book)
        fitted = self._guarded(bar).fit(ask, offer.cost_cents, found.quantity, ratio)
        return Allowed(fitted.quantity) if isinstance(fitted, Fitted) else fitted

    # --- the guard

    def _guarded(self, bar: Bar) -> Guard:
        if self.guard is None:
            assert self.config.guard is not None
            self.guard = Guard(self.config.guard, self.ledger.start_cents, bar.day)
        return self.guard

    def _ask(self, ts: int, book: BookName) -> Ask:
        """An entry of this moment."""
        mine = sum(position.book == book for position in self.positions.values())
        exposure = sum(
            p.asked_cents if p.entry is None else max(0, p.cost_cents * self.instrument.multiplier)
            for p in self.positions.values()
        )
        return Ask(ts, self.config.strategy, book, len(self.positions), mine, exposure, self.killed)

    def _volatility(self, event: VolatilitySeen) -> list[Command]:
        bar = event.bar
        change = self._guarded(bar).volatility(bar.ts, event.seen)
        commands: list[Command] = []
        if change is not None and change.close_all:
            for position in self.positions.values():
                if units := position.free_quantity:
                    commands += self._leave(position, bar.ts, "regime", units, None)
        return commands

    def _told(self, event: Checked | Erred | PeakReset) -> list[Command]:
        if self.config.guard is not None:
            guard = self._guarded(event.bar)
            if isinstance(event, Checked):
                guard.health(event.vitals)
            elif isinstance(event, Erred):
                guard.error(event.ts, event.what)
            else:
                guard.reset_peak(event.ts)
        return []

    def _news(self, guard: Guard) -> list[Command]:
        """What the guard noted; its denials are journaled as denials."""
        return [
            Record(news.ts, "guard", {
                "what": news.kind, "severity": news.severity, "message": news.message, "details": news.details
            })
            for news in guard.news()
            if news.kind != "denied"
        ]  # fmt: skip

    def _entered(self, position: Position, fill: Fill, units: int, bar: Bar) -> None:
        signal, plan = position.signal, self.config.exits
        position.entry = fill
        position.quantity = units
        position.closes_at = bar.ts + bar.minutes_left * NS_PER_MINUTE
        position.levels = levels(signal, plan, fill.spot)
        stop, tp1, tp2 = position.levels
        force = bar.minutes_left_at_open - plan.force_close_minutes
        hold = min(plan.hold_minutes, force)
        fraction_closes_all = _part(units, plan.tp1_fraction) == units
        params = EXITS.params(
            side=signal.side, day=bar.day, entry=fill.spot, stop=stop, tp1=tp1, tp2=tp2,
            all_at_tp1=fraction_closes_all, on_close=plan.on_close, break_even=plan.break_even,
            trail=plan.trail, deadline=bar.ts + (hold - 1) * NS_PER_MINUTE,  # from the start of the minute
        )  # fmt: skip
        position.watch = EXITS.stream(params)

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
            if not int(out["event"]) & EXPIRED:
                commands += self._next(position, event.bar.ts)  # what a broker did not do the first time
            if int(out["event"]):
                commands += self._exit(position, event.bar, out)
        return commands

    def _exit(self, position: Position, bar: Bar, out: Any) -> list[Command]:
        happened = int(out["event"])
        if happened & EXPIRED:
            if self.patient and position.pending:
                return []  # it may have been left before, and nobody has told us yet
            return self._settle(position, bar.ts, float(out["settle_price"]), "expiry", position.closes_at)
        commands: list[Command] = []
        steps: list[tuple[int, Purpose, float | None]] = [
            (TP1, "tp1", float(out["tp1_price"])),
            (STOP, "stop", float(out["stop_price"])),
            (TP2, "tp2", float(out["tp2_price"])),
            (TIME, "time", None),
        ]
        late = self.late or self.desk.live or arrival(self.config.fills, bar.ts) > bar.ts
        for bit, purpose, price in steps:
            if not happened & bit:
                continue
            left = position.free_quantity
            if left == 0:
                break
            part = _part(position.quantity, self.config.exits.tp1_fraction) if bit == TP1 else left
            # A level of the underlying is watched by us: with latency, the order arrives after it was seen,
            # and live quotes are those of the bar's end, not of the moment of the touch.
            commands += self._leave(position, bar.ts, purpose, min(part, left), None if late else price)
        return commands

    def _leave(
        self, position: Position, ts: int, purpose: Purpose, units: int, trigger: float | None
    ) -> list[Command]:
        """Orders that leave `units` of a position, each sent when the one before it is filled."""
        free = position.free()
        part = free if units >= position.free_quantity else _times(position.legs, units)
        for n, (legs, quantity) in enumerate(unwind(position.legs, part, purpose)):
            oid = order_id(self.run, position.number, f"{purpose}.{n}" if n else purpose, ts)
            position.queue.append(Order(oid, position.number, legs, quantity, purpose, ts, trigger))
        return self._next(position, ts)

    def _next(self, position: Position, ts: int) -> list[Command]:
        """Send what may be sent: orders one after the other, those that rest beside them."""
        commands: list[Command] = []
        while position.queue and not position.busy:
            order = position.queue.pop(0)
            if not (units := fitting(free(position, order), order)):
                continue  # it was left meanwhile, by an order that filled late
            # It is sent now, not when it was thought of.
            order = order._replace(quantity=units, ts=max(order.ts, ts))
            position.pending[order.id] = order
            commands += [_order_record(order), Submit(order)]
        return commands

    def _settle(self, position: Position, ts: int, spot: float, purpose: Purpose, at: int) -> list[Command]:
        """Everything still held goes at expiry's value: longs are exercised, shorts assigned."""
        position.pending.clear()
        position.queue.clear()
        order = self._whole(position, ts, purpose, None)
        ends = [
            {
                "contract": leg.contract.name,
                "held": -leg.ratio * order.quantity,
                **ending(leg.contract, -leg.ratio * order.quantity, spot)._asdict(),
            }
            for leg in order.legs
        ]
        position.pin = any(end["pin"] for end in ends)
        record = Record(ts, "expired", {"trade": position.number, "spot": spot, "legs": ends})
        return [record, _order_record(order), Settle(order, spot, at)]

    def _whole(self, position: Position, ts: int, purpose: Purpose, trigger: float | None) -> Order:
        """One order for all that is held."""
        units = position.open_quantity
        whole = position.held == {leg.contract: leg.ratio * units for leg in position.legs}
        legs, quantity = (position.legs, units) if whole else (tuple(starmap(Leg, position.held.items())), 1)
        oid = order_id(self.run, position.number, f"{purpose}.all", ts)
        return Order(oid, position.number, reverse(legs), quantity, purpose, ts, trigger)

    # --- answers of the broker

    def _filled(self, event: OrderFilled) -> list[Command]:
        fill, bar = event.fill, event.bar
        order = fill.order
        position = self.positions.get(order.trade)
        if position is None:
            raise InvariantError(f"fill of order {order.id} belongs to no open trade")
        parts = (fill, *event.more)
        records: list[Command] = [self._booked(position, part, bar) for part in parts]
        units = sum(part.quantity for part in parts)
        # A settlement counts from the close, but it is known, and written, with the bar that showed it.
        ts = bar.ts if order.purpose == "expiry" else fill.ts
        if order.purpose == "open":
            self._entered(position, fill, units, bar)
            self._mark(ts, bar, bar.day)
            return records
        # What expires belongs to its own day, also if the bar that shows it is the next morning's.
        self._mark(ts, bar, position.signal.bar.day if order.purpose == "expiry" else bar.day)
        position.pending.pop(order.id, None)
        if not position.held:
            return [*records, self._closed(position, fill, ts, bar)]
        if event.late:
            position.queue = without(position.queue, order, units)
        left = 0 if event.late else order.quantity - units
        if left > 0:  # what is left of it asks again at the next moment of the market, not at this one
            later = fill.ts if fill.ts == bar.ts else fill.ts + 1
            oid = order_id(self.run, position.number, f"{order.purpose}.left", later)
            position.queue.insert(0, order._replace(id=oid, quantity=left, ts=later, trigger=None))
        return [*records, *self._next(position, fill.ts), *self._leftover(position, order, ts)]

    def _undone(self, event: EntryUndone) -> list[Command]:
        """The position is smaller, and what the units cost is back; their commission is not."""
        fill, bar = event.fill, event.bar
        position = self.positions[fill.order.trade]
        records: list[Command] = []
        for part in (fill, *event.more):
            record = self._booked(position, part, bar)
            said = {"side": "sell", "contract": position.entry_order.name, "undone": True}
            if part.order.side == "buy":  # a package, whose price is that of what it was bought for
                said["price_cents"] = -part.price_cents
            records.append(record._replace(data={**record.data, **said}))
            position.quantity -= part.quantity
        self._mark(fill.ts, bar, bar.day)
        if position.held:
            return records
        if position.quantity:
            return [*records, self._closed(position, fill, fill.ts, bar)]
        del self.positions[position.number]  # it never was one
        return records

    def _booked(self, position: Position, fill: Fill, bar: Bar) -> Record:
        order = fill.order
        self.ledger.apply(fill)
        position.apply(fill)
        flow = self.ledger.flow(fill)
        position.fee_cents += fill.fee_cents
        position.proceeds_cents += flow
        if order.purpose == "open":
            position.paid_cents -= flow
        position.slippage_cents += fill.slippage_cents * self.instrument.multiplier * fill.quantity
        said = {
            "order": order.id, "trade": position.number, "side": order.side, "contract": order.name,
            "quantity": fill.quantity, "price_cents": fill.price_cents, "fee_cents": fill.fee_cents,
            "spot": fill.spot, "modelled": fill.modelled, "cash_cents": self.ledger.cash_cents,
            "slippage_cents": fill.slippage_cents,
        }  # fmt: skip
        if len(order.legs) > 1:
            said["prices_cents"] = fill.prices_cents
        if fill.residue_cents:
            said["residue_cents"] = fill.residue_cents
        return Record(bar.ts if order.purpose == "expiry" else fill.ts, "fill", said)

    def _leftover(self, position: Position, order: Order, ts: int) -> list[Command]:
        """At the end of the tape nobody waits for a bid: what has none is worth its intrinsic value."""
        if order.purpose != "tape_end" or position.queue or position.pending or not position.held:
            return []
        assert order.trigger is not None
        return self._settle(position, ts, order.trigger, "tape_end", ts)

    def _mark(self, ts: int, bar: Bar, day: int) -> None:
        """Equity at cost changes with fills only, so the guard looks at it then."""
        if self.config.guard is not None:
            self._guarded(bar).mark(ts, day, self.equity_cents)

    def _closed(self, position: Position, fill: Fill, ts: int, bar: Bar) -> Record:
        entry = position.entry
        assert entry is not None
        del self.positions[position.number]
        sold = position.proceeds_cents + position.paid_cents
        stop, tp1, tp2 = position.levels
        units = self.instrument.multiplier * position.quantity
        trade = Trade(
            number=position.number, side=position.signal.side, legs=position.legs,
            quantity=position.quantity, formed_at=position.signal.formed_at, known_at=position.signal.bar.ts,
            entry_at=entry.ts, exit_at=fill.ts, entry_spot=entry.spot, exit_spot=fill.spot,
            entry_price_cents=round(position.paid_cents / units),
            exit_price_cents=sold / units,
            fee_cents=position.fee_cents, pnl_cents=position.proceeds_cents - position.fee_cents,
            sigma=position.signal.sigma, stop=stop, tp1=tp1, tp2=tp2,
            confidence=position.signal.confidence, reason=fill.order.purpose, pin=position.pin,
            slippage_cents=position.slippage_cents, book=position.book,
        )  # fmt: skip
        self.trades.append(trade)
        self.last_exit = fill.ts
        if self.config.guard is not None:
            self._guarded(bar).closed(ts, trade.pnl_cents, self.equity_cents)
        return Record(ts, "closed", {
            "trade": trade.number, "contract": trade.name, "quantity": trade.quantity,
            "pnl_cents": trade.pnl_cents, "fee_cents": trade.fee_cents, "reason": trade.reason,
            "equity_cents": self.equity_cents, **self._named(position.book),
        })  # fmt: skip

    def _rejected(self, event: OrderRejected) -> list[Command]:
        order, ts = event.rejection.order, event.rejection.ts
        data = {
            "order": order.id, "trade": order.trade, "purpose": order.purpose, "code": event.rejection.code,
        }  # fmt: skip
        record = Record(ts, "rejected", data)
        position = self.positions.get(order.trade)
        if position is None:  # it was settled while the order was under way
            return [record]
        if position.entry is None:
            del self.positions[order.trade]
            return [record]
        position.pending.pop(order.id, None)
        code = event.rejection.code
        position.refusals += code == "REFUSED"
        apart = len(order.legs) > 1 and (
            code in ("NO_BID", *UNFILLED) or (code == "REFUSED" and position.refusals > 1)
        )
        again = self.desk.live and code not in FOR_GOOD
        if not apart and (again or code in ENDED):
            oid = order_id(self.run, position.number, f"{order.id}.again", ts)
            position.queue.insert(0, order._replace(id=oid, ts=ts, trigger=None))
            return [record]  # it is still to be left: asked again at the next bar, with what follows it
        if not apart and code != "NO_BID":
            position.queue.clear()  # what would follow may have needed this one, as a wing its body
            return [record]  # the watch goes on; at the latest, expiry settles it
        bought = tuple(leg for leg in order.legs if leg.ratio > 0)
        if bought:  # a short is bought back without its wing, which nobody takes: that takes risk away
            oid = order_id(self.run, position.number, f"{order.id}.cover", ts)
            position.queue.insert(0, order._replace(id=oid, legs=bought))
        if order.purpose != "tape_end":
            sold = tuple(leg for leg in order.legs if leg.ratio < 0)
            oid = order_id(self.run, position.number, f"{order.id}.rest", ts)
            position.queue.append(order._replace(id=oid, legs=sold, trigger=None, rest=True))
        return [record, *self._next(position, ts), *self._leftover(position, order, ts)]

    def _ended(self, event: TapeEnded) -> list[Command]:
        bar = event.bar
        commands: list[Command] = []
        over = bar.minutes_left <= 0  # that was the last regular minute: nothing can be sold any more
        for position in self.positions.values():
            if self.patient and (position.pending or not position.held):
                continue  # nobody has told what became of its order
            if over or event.close is not None:
                spot = self._close(position, bar) if event.close is None else event.close
                commands += self._settle(position, bar.ts, spot, "expiry", position.closes_at)
            else:
                position.queue.clear()  # what was to be asked for again is asked for now
                units = position.free_quantity
                commands += self._leave(position, bar.ts, "tape_end", units, bar.close)
        return commands

    @staticmethod
    def _close(position: Position, bar: Bar) -> float:
        """The session's close as its watch saw it; the last bar may be one after hours."""
        close = math.nan if position.watch is None else float(position.watch.state["regular_close"][0])
        return bar.close if math.isnan(close) else close

    # --- state

    def carry(self, cash_cents: int, guard: dict[str, Any] | None, *, halted: bool = False) -> None:
        """Begin with an account of an earlier day: its cash, what its guard counted, and a halt."""
        self.ledger.start_cents = self.ledger.cash_cents = cash_cents
        self.halted = halted
        self._guard_in(guard, cash_cents)

    def _guard_in(self, state: dict[str, Any] | None, start_cents: int) -> None:
        if state is not None and self.config.guard is not None:
            self.guard = Guard(self.config.guard, start_cents, 0)
            self.guard.restore(state)
        self._unguarded = state if self.config.guard is None else None

    def snapshot(self) -> str:
        """All state as canonical JSON; `restore` continues from it."""
        return canonical({
            "start_cents": self.ledger.start_cents,
            "cash_cents": self.ledger.cash_cents, "flow_cents": self.ledger.flow_cents,
            "fee_cents": self.ledger.fee_cents, "held": list(self.ledger.held.items()),
            "denials": self.denials, "signals": self.signals, "entered": self.entered,
            "last_exit": self.last_exit, "halted": self.halted, "killed": self.killed, "feed": self.feed,
            "process": self.process,
            "guard": self._unguarded if self.guard is None else self.guard.snapshot(),
            "trades": [numbers(t) for t in self.trades],
            "positions": [position_out(p) for p in self.positions.values()],
        })  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a parsed snapshot."""
        self.ledger.start_cents = state["start_cents"]
        self.ledger.cash_cents, self.ledger.flow_cents = state["cash_cents"], state["flow_cents"]
        self.ledger.fee_cents = state["fee_cents"]
        self.ledger.held = {Contract(*contract): count for contract, count in state["held"]}
        self.denials, self.signals, self.entered = dict(state["denials"]), state["signals"], state["entered"]
        self.last_exit, self.halted, self.killed = state["last_exit"], state["halted"], state["killed"]
        self.feed = None if state["feed"] is None else Denial(*state["feed"])
        self.process = None if state["process"] is None else Denial(*state["process"])
        self._guard_in(state["guard"], self.ledger.start_cents)
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
        _second(plan, tp2 if plan.tp2 is None else entry * (1 + side * plan.tp2)),
    )


def _second(plan: ExitPlan, tp2: float) -> float:
    return tp2 if plan.second_target else math.nan


def _part(quantity: int, fraction: float) -> int:
    """Contracts closed at the first target: at least one, rounded to the nearest, halves up."""
    return min(quantity, max(1, math.floor(quantity * fraction + 0.5)))


def _times(legs: tuple[Leg, ...], units: int) -> tuple[Leg, ...]:
    return tuple(Leg(leg.contract, leg.ratio * units) for leg in legs)


def _selected(bar: Bar, offer: Offer) -> list[Record]:
    if not offer.why:
        return []
    package = package_name(offer.legs) if offer.legs else None
    return [Record(bar.ts, "selected", {"package": package, "why": offer.why})]


def _order_record(order: Order) -> Record:
    return Record(order.ts, "order", {
        "order": order.id, "trade": order.trade, "side": order.side, "contract": order.name,
        "quantity": order.quantity, "purpose": order.purpose, "trigger": order.trigger,
    })  # fmt: skip
