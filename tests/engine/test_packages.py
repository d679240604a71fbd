"""Packages of several legs through the machine: each trade by hand, each run leaping and stepping."""

import math
from typing import Any

import pytest

from maxlib.engine.backtest import Run, Stepper, backtest
from maxlib.engine.machine import Machine, MachineConfig
from maxlib.engine.shell import Shell
from maxlib.execution.fills import FillConfig
from maxlib.options.desk import Desk
from maxlib.strategies.signal import DISTANCE
from maxlib.trading.ledger import Ledger
from tests.engine.scripted import DAY, LONG, SHORT, Market, at, bid_ask, both, bsm, config, said, strategy


def run_of(kind: str, market: Market, **exits: Any) -> Run:
    settings = config(desk={"structures": (kind,)}, risk={"contracts": 2}, **exits)
    return both(market.bars, strategy(stop=3.0, tp1=5.0, tp2=10.0, basis=DISTANCE), settings)


def entered(side: float = LONG, price: float = 500.0) -> Market:
    return Market().flat("09:30", "10:01", price).signal("10:00", side)


def test_a_vertical_is_bought_ask_minus_bid_and_sold_bid_minus_ask() -> None:
    market = entered().flat("10:02", "10:30", 500.0)
    run = run_of("vertical", market, hold_minutes=10)
    (trade,) = run.trades
    assert [(leg.contract.name, leg.ratio) for leg in trade.legs] == [
        ("QQQ250102C00500000", 1),
        ("QQQ250102C00505000", -1),
    ]
    near, far = bid_ask("C", 500, 500, 359), bid_ask("C", 500, 505, 359)
    out_near, out_far = bid_ask("C", 500, 500, 349), bid_ask("C", 500, 505, 349)
    assert trade.entry_price_cents == near[1] - far[0]
    pnl = 2 * 100 * ((out_near[0] - out_far[1]) - (near[1] - far[0])) - 2 * 2 * 2 * 65
    assert (trade.pnl_cents, trade.fee_cents, trade.reason) == (pnl, 520, "time")
    assert len(said(run, "order")) == 2, "a vertical leaves in one order"


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_fly_leaves_by_verticals_at_one_moment_and_never_whole(side: float) -> None:
    sign, right = (1, "C") if side == LONG else (-1, "P")
    market = entered(side).flat("10:02", "10:30", 500.0)
    run = run_of("fly", market, hold_minutes=10)
    (trade,) = run.trades
    strikes = [500 + sign * away for away in (1, 5, 9)]
    assert [(leg.contract.strike, leg.ratio) for leg in trade.legs] == list(
        zip(strikes, (1, -2, 1), strict=True)
    )
    fills = said(run, "fill")
    assert len(fills) == 3, "in as one package, out as two verticals"
    assert all(len(f["contract"].split()) == 3 for f in fills[1:]), "two legs each"
    assert {f["spot"] for f in fills} == {500.0}
    times = [e.ts for e in run.journal.entries if e.kind == "fill"]
    assert times == [at("10:01"), at("10:11"), at("10:11")]
    before = [bid_ask(right, 500, k, 359) for k in strikes]
    after = [bid_ask(right, 500, k, 349) for k in strikes]
    paid = before[0][1] - 2 * before[1][0] + before[2][1]
    got = after[0][0] - 2 * after[1][1] + after[2][0]
    assert trade.entry_price_cents == paid
    assert trade.pnl_cents == 2 * 100 * (got - paid) - 2 * 2 * 4 * 65


def test_half_of_a_fly_leaves_at_the_first_target() -> None:
    market = entered().bar("10:02", 500.0, 505.2, 500.0, 505.0).flat("10:03", "10:30", 505.0)
    run = run_of("fly", market, hold_minutes=10, break_even=False, trail=0.0)
    purposes = [(o["purpose"], o["quantity"]) for o in said(run, "order")]
    assert purposes == [("open", 2), ("tp1", 1), ("tp1", 1), ("time", 1), ("time", 1)]
    assert run.trades[0].quantity == 2


RATIOS = {"vertical": (1, -1), "fly": (1, -2, 1), "broken_wing": (1, -2, 1), "unbalanced": (1, -3, 2)}
AWAY = {"vertical": (0, 6), "fly": (1, 6, 11), "broken_wing": (1, 6, 13), "unbalanced": (1, 6, 8)}


@pytest.mark.parametrize("kind", list(RATIOS))
@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("move", [-12.0, 0.0, 3.25, 5.75])
def test_a_package_held_to_expiry_pays_the_textbooks_payoff(kind: str, side: float, move: float) -> None:
    """The tape ends at 15:50 and goes on the next day: the last close is where all legs settle."""
    sign, right = (1, "C") if side == LONG else (-1, "P")
    end = 500.0 + sign * move
    market = entered(side).flat("10:02", "10:02", end).flat("09:30", "09:35", end, DAY.replace(day=3))
    desk = {"structures": (kind,), "iv_scale": 1.0}
    settings = config(desk=desk, risk={"contracts": 2}, hold_minutes=390)
    run = both(market.bars, strategy(tp1=6.0, basis=DISTANCE), settings)
    (trade,) = run.trades
    strikes = [500 + sign * away for away in AWAY[kind]]
    assert [(leg.contract.strike, leg.ratio) for leg in trade.legs] == list(
        zip(strikes, RATIOS[kind], strict=True)
    )
    paid = sum(
        n * bid_ask(right, 500, k, 359)[0 if n < 0 else 1] for k, n in zip(strikes, RATIOS[kind], strict=True)
    )
    assert trade.entry_price_cents == paid
    worth = sum(n * max(0.0, sign * (end - k)) for k, n in zip(strikes, RATIOS[kind], strict=True))
    contracts = sum(map(abs, RATIOS[kind]))
    assert trade.reason == "expiry"
    assert trade.pnl_cents == 2 * 100 * (round(100 * worth) - paid) - 2 * contracts * 65
    (ends,) = said(run, "expired")
    inside = [n for k, n in zip(strikes, RATIOS[kind], strict=True) if sign * (end - k) >= 0.01]
    assert sum(leg["shares"] for leg in ends["legs"]) == sign * 2 * 100 * sum(inside)
    pinned = [leg["pin"] for leg in ends["legs"]]
    assert pinned == [n < 0 and abs(end - k) <= 0.5 for k, n in zip(strikes, RATIOS[kind], strict=True)]


def test_the_shorts_of_a_fly_are_bought_back_although_nobody_bids_for_its_wings() -> None:
    """The time limit comes at 10:06; the wings stay, and are worth nothing at the close."""
    market = entered().flat("10:02", "10:12", 480.0).flat("09:30", "09:35", 480.0, DAY.replace(day=3))
    settings = config(desk={"structures": ("fly",)}, risk={"contracts": 1}, hold_minutes=5)
    run = both(market.bars, strategy(tp1=5.0, basis=DISTANCE), settings)
    (trade,) = run.trades
    assert [r["code"] for r in said(run, "rejected")] == [
        "NO_BID",
        "NO_BID",
        "MARKET_CLOSED",
        "MARKET_CLOSED",
    ]
    ask = bid_ask("C", 480, 505, 354)[1]
    assert ask == 1
    fills = [(f["side"], f["contract"], f["price_cents"]) for f in said(run, "fill")[1:3]]
    assert fills == [("buy", "QQQ250102C00505000", ask)] * 2
    assert trade.reason == "expiry"
    assert trade.pnl_cents == -100 * trade.entry_price_cents - 4 * 65 - 2 * (100 * ask + 65)
    assert trade.exit_at == at("16:00")


def test_a_fly_with_one_dead_wing_leaves_by_its_body_and_the_live_one() -> None:
    """At the end of the tape nobody waits: two shorts bought back, one wing sold, one worth nothing."""
    market = entered().flat("10:02", "10:12", 490.0)
    settings = config(
        desk={"structures": ("fly",), "half_spread_cents": 2}, risk={"contracts": 1}, hold_minutes=390
    )
    run = both(market.bars, strategy(tp1=5.0, basis=DISTANCE), settings)
    (trade,) = run.trades
    low, body, high = (bid_ask_wide("C", 490, k, 960 - 613) for k in (501, 505, 509))
    assert high[0] == 0, "the far wing has no bid"
    assert low[0] > 0, "the near one has"
    got = low[0] - 2 * body[1]
    assert trade.pnl_cents == 100 * (got - trade.entry_price_cents) - (4 + 3) * 65
    assert trade.reason == "tape_end"


def bid_ask_wide(right: str, spot: float, strike: float, minutes: float) -> tuple[int, int]:
    mid = 100 * bsm(right, spot, strike, minutes)
    half = max(2.0, 0.01 * mid)
    return max(0, round(mid - half)), max(1, round(mid + half))


def test_two_packages_may_hold_one_contract_long_and_short() -> None:
    """The first fly's body is 505, the second's near wing; each leaves its own way."""
    market = Market().flat("09:30", "10:05", 500.0).signal("10:00", LONG)
    market.flat("10:06", "10:07", 504.0).signal("10:06", LONG).flat("10:08", "11:00", 504.0)
    settings = config(
        desk={"structures": ("fly",)}, risk={"contracts": 1, "max_positions": 2}, hold_minutes=15
    )
    run = both(market.bars, strategy(tp1=5.0, basis=DISTANCE), settings)
    first, second = run.trades
    assert first.legs[1].contract == second.legs[0].contract
    assert [t.reason for t in run.trades] == ["time", "time"]


def test_equity_at_cost_does_not_jump_while_a_fly_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-way through an exit, what is held counts at what was paid for just that."""
    seen = []
    apply = Ledger.apply

    def watched(self: Ledger, fill: Any) -> None:
        apply(self, fill)
        seen.append(fill)

    monkeypatch.setattr(Ledger, "apply", watched)
    market = entered().flat("10:02", "10:30", 500.0)
    settings = config(desk={"structures": ("fly",)}, risk={"contracts": 2}, hold_minutes=10)
    shell = Shell(Machine(settings, "test"))
    stepper = Stepper(shell, strategy(tp1=5.0, basis=DISTANCE))
    equity = []
    for i in range(len(market.bars)):
        stepper.step(market.bars[i : i + 1])
        equity.append(shell.machine.equity_cents)
    entry, first, second = seen
    paid = dict(zip((leg.contract for leg in entry.order.legs), entry.prices_cents, strict=True))

    def gain(f: Any) -> int:
        each = zip(f.order.legs, f.prices_cents, strict=True)
        return -100 * f.quantity * sum(leg.ratio * (p - paid[leg.contract]) for leg, p in each)

    fees = sum(f.fee_cents for f in seen)
    assert equity[-1] == shell.machine.ledger.start_cents + gain(first) + gain(second) - fees


@pytest.mark.parametrize("bars", [0, 1, 3])
def test_with_latency_each_vertical_waits_its_own_turn_and_nothing_is_backdated(bars: int) -> None:
    market = entered().flat("10:02", "10:40", 500.0)
    settings = config(desk={"structures": ("fly",)}, risk={"contracts": 2}, hold_minutes=10)
    late = settings.model_copy(update={"fills": FillConfig(latency_bars=bars)})
    how = strategy(tp1=5.0, basis=DISTANCE)
    run = backtest(market.bars, how, late, "test")
    times = [e.ts for e in run.journal.entries]
    assert times == sorted(times)
    fills = [e.ts for e in run.journal.entries if e.kind == "fill"]
    minutes = [(ts - at("10:01")) // 60_000_000_000 for ts in fills]
    assert minutes == [bars, 10 + 2 * bars, 10 + 3 * bars]
    for cut in range(30, len(market.bars), 3):
        part = backtest(market.bars[:cut], how, late, "test", finish=False).journal.entries
        assert part == run.journal.entries[: len(part)]


def test_the_best_reward_to_risk_is_chosen_and_the_journal_says_why_the_others_lost() -> None:
    market = entered().flat("10:02", "10:30", 500.0)
    settings = config(
        desk={"structures": ("long", "vertical", "fly"), "min_reward_risk": 0.1},
        risk={"contracts": 1},
        hold_minutes=390,
    )
    run = both(market.bars, strategy(tp1=5.0, basis=DISTANCE), settings)
    (chosen,) = said(run, "selected")
    # 359 minutes are left at 10:01; the plan leaves 5 minutes before the close at the latest.
    contracts = {"long": (500,), "vertical": (500, 505), "fly": (501, 505, 509)}
    ratios = {"long": (1,), "vertical": (1, -1), "fly": (1, -2, 1)}
    figures = {}
    for kind, strikes in contracts.items():
        quotes = [bid_ask("C", 500, k, 359) for k in strikes]
        paid = sum(n * q[1 if n > 0 else 0] for n, q in zip(ratios[kind], quotes, strict=True))
        spread = sum(abs(n) * (q[1] - q[0]) for n, q in zip(ratios[kind], quotes, strict=True))
        costs = 2 * sum(map(abs, ratios[kind])) * 65 + 100 * spread / 2
        worth = sum(n * bsm("C", 505, k, 5) for n, k in zip(ratios[kind], strikes, strict=True))
        reward = 100 * 100 * worth
        figures[kind] = (reward - 100 * paid - costs) / (100 * paid + costs)
    best = max(figures, key=lambda kind: figures[kind])
    assert run.trades[0].legs[0].contract.strike == contracts[best][0]
    assert set(chosen["why"]) == set(contracts) - {best}
    assert f"{figures[best]:.2f}" in chosen["why"]["long"]


def test_when_nothing_pays_for_its_risk_nothing_is_traded() -> None:
    market = entered().flat("10:02", "10:30", 500.0)
    settings = config(desk={"structures": ("vertical",), "min_reward_risk": 50.0})
    run = both(market.bars, strategy(tp1=5.0, basis=DISTANCE), settings)
    assert run.trades == []
    assert run.denials == {"NO_STRUCTURE": 1}
    (denied,) = said(run, "denied")
    assert denied["limit"] == 50.0
    assert 0 < denied["actual"] < 50


def test_latency_in_bars_moves_entry_and_exit_to_later_opens() -> None:
    market = entered().flat("10:02", "10:03", 501.0).flat("10:04", "10:30", 502.0)
    settings = config(risk={"contracts": 1}, hold_minutes=10)
    late = settings.model_copy(update={"fills": FillConfig(latency_bars=2)})
    (trade,) = both_late(market, late).trades
    assert (trade.entry_at, trade.entry_spot) == (at("10:03"), 501.0)
    assert trade.exit_at == at("10:15"), "10 minutes from the entry, and two bars more"


def test_latency_in_milliseconds_misses_the_open_it_was_decided_at() -> None:
    market = entered().flat("10:02", "10:30", 501.0)
    settings = config(risk={"contracts": 1}, hold_minutes=10)
    late = settings.model_copy(update={"fills": FillConfig(latency_ms=50)})
    (trade,) = both_late(market, late).trades
    assert (trade.entry_at, trade.entry_spot) == (at("10:02"), 501.0)


def test_with_latency_a_stop_fills_at_the_open_after_it_was_seen() -> None:
    market = entered().flat("10:02", "10:05", 500.0).bar("10:06", 499.0, 499.0, 495.0, 495.5)
    market.flat("10:07", "10:30", 494.0)
    settings = config(risk={"contracts": 1}, hold_minutes=60)
    late = settings.model_copy(update={"fills": FillConfig(latency_bars=1)})
    (trade,) = both_late(market, late, stop=3.0).trades
    assert (trade.reason, trade.exit_at, trade.exit_spot) == ("stop", at("10:08"), 494.0)


def both_late(market: Market, settings: MachineConfig, stop: float = math.nan) -> Run:
    """Leaping equals stepping with latency as well; `check` assumes the next open, so it is left out."""
    how = strategy(stop=stop, basis=DISTANCE)
    leapt = backtest(market.bars, how, settings, "test")
    stepped = backtest(market.bars, how, settings, "test", leap=False)
    assert leapt.journal.entries == stepped.journal.entries
    return leapt


def shown(monkeypatch: pytest.MonkeyPatch, bids: int, asks: int) -> None:
    """Let every modelled quote display these sizes."""
    quoted = Desk.quote_and_mid

    def sized(self: Desk, contract: Any, market: Any) -> Any:
        quote, mid = quoted(self, contract, market)
        return quote._replace(bid_size=bids, ask_size=asks), mid

    monkeypatch.setattr(Desk, "quote_and_mid", sized)


def stepped_and_leapt(market: Market, settings: MachineConfig, how: Any) -> Run:
    leapt = backtest(market.bars, how, settings, "test")
    stepped = backtest(market.bars, how, settings, "test", leap=False)
    assert leapt.journal.entries == stepped.journal.entries
    return leapt


def test_an_entry_takes_the_displayed_size_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, bids=9, asks=2)
    settings = config(risk={"contracts": 5}, hold_minutes=10)
    run = stepped_and_leapt(entered().flat("10:02", "10:30", 500.0), settings, strategy())
    (trade,) = run.trades
    assert trade.quantity == 2
    assert [f["quantity"] for f in said(run, "fill")] == [2, 2]


def test_an_exit_larger_than_the_displayed_size_goes_on_at_the_next_moments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown(monkeypatch, bids=2, asks=9)
    settings = config(risk={"contracts": 5}, hold_minutes=10)
    run = stepped_and_leapt(entered().flat("10:02", "10:30", 500.0), settings, strategy())
    fills = [(f["side"], f["quantity"]) for f in said(run, "fill")]
    assert fills == [("buy", 5), ("sell", 2), ("sell", 2), ("sell", 1)]
    times = [e.ts for e in run.journal.entries if e.kind == "fill"]
    assert times == [at("10:01"), at("10:11"), at("10:12"), at("10:13")]
    assert run.trades[0].quantity == 5


def test_a_fly_leaves_in_parts_with_every_short_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger stops the run if a short is ever without cover; here each vertical fills one by one."""
    shown(monkeypatch, bids=1, asks=9)
    desk = {"structures": ("fly",)}
    run = stepped_and_leapt(
        entered().flat("10:02", "10:30", 500.0),
        config(desk=desk, risk={"contracts": 3}, hold_minutes=10),
        strategy(tp1=5.0, basis=DISTANCE),
    )
    assert run.trades == [], "two are sold per fly, and one is bid for"
    monkeypatch.undo()
    shown(monkeypatch, bids=2, asks=9)
    run = stepped_and_leapt(
        entered().flat("10:02", "10:40", 500.0),
        config(desk=desk, risk={"contracts": 3}, hold_minutes=10),
        strategy(tp1=5.0, basis=DISTANCE),
    )
    (trade,) = run.trades
    assert trade.quantity == 1, "two of the body are bid for: one fly"
    assert [f["quantity"] for f in said(run, "fill")] == [1, 1, 1]
