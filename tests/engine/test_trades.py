"""One trade at a time, on markets made by hand; each is run leaping and stepping."""

import math
from typing import Any

import pytest

from maxlib.core.errors import DataError
from maxlib.engine.backtest import backtest
from maxlib.strategies.signal import FRACTION, PRICE
from tests.engine.scripted import (
    DAY,
    HALF_DAY,
    LONG,
    SHORT,
    Market,
    at,
    bid_ask,
    both,
    config,
    said,
    strategy,
)

NEXT_DAY = DAY.replace(day=3)


def entered(price: float = 500.0, side: float = LONG) -> Market:
    """Flat from 09:30; a signal at 10:00, so that the entry is the open of the bar 10:01."""
    return Market().flat("09:30", "10:01", price).signal("10:00", side)


def test_a_trade_costs_and_pays_what_black_scholes_by_hand_says() -> None:
    market = entered().flat("10:02", "10:04", 500.0).bar("10:05", 500.0, 502.5, 499.9, 502.2)
    market.flat("10:06", "10:10", 502.2).bar("10:11", 502.0, 502.0, 499.5, 499.8).flat(
        "10:12", "10:20", 500.0
    )
    plan = config(tp1_fraction=0.5, break_even=True, trail=0.0, hold_minutes=120)
    run = both(market.bars, strategy(stop=3.0, tp1=2.0, tp2=9.0), plan)
    # Ask at 10:01 with 359 minutes left; one contract out at the first target, 502, at 10:06 (354
    # left); 500 is touched again at 10:12 (348 left), where the stop has moved to the entry.
    # The bar 10:05 itself touched 499.9 < 500: taken to have come back, so the other half leaves there.
    ask = bid_ask("C", 500.0, 500, 359)[1]
    first, second = bid_ask("C", 502.0, 500, 354)[0], bid_ask("C", 500.0, 500, 354)[0]
    pnl = 100 * (first + second - 2 * ask) - 4 * 65
    (trade,) = run.trades
    assert (trade.entry_price_cents, trade.pnl_cents, trade.fee_cents) == (ask, pnl, 260)
    assert trade.exit_price_cents == (first + second) / 2
    assert (trade.reason, trade.exit_spot, trade.quantity) == ("stop", 500.0, 2)
    assert trade.contract.name == "QQQ250102C00500000"
    assert (trade.known_at, trade.entry_at, trade.exit_at) == (at("10:01"), at("10:01"), at("10:06"))
    assert run.cash_cents == 2_500_000 + pnl


def test_a_put_trade_by_hand_with_the_break_even_stop_bars_later() -> None:
    market = entered(side=SHORT).bar("10:02", 499.9, 499.9, 497.5, 498.0).flat("10:03", "10:05", 498.5)
    market.bar("10:06", 499.0, 500.4, 499.0, 500.2).flat("10:07", "10:09", 500.2)
    run = both(market.bars, strategy(stop=3.0, tp1=2.0, tp2=9.0), config(trail=0.0))
    ask = bid_ask("P", 500.0, 500, 359)[1]
    first, second = bid_ask("P", 498.0, 500, 357)[0], bid_ask("P", 500.0, 500, 353)[0]
    (trade,) = run.trades
    assert trade.pnl_cents == 100 * (first + second - 2 * ask) - 260
    assert trade.contract.right == "P"
    assert (trade.side, trade.reason, trade.exit_at) == (-1, "stop", at("10:07"))


def test_the_fill_is_the_next_bars_open_not_the_signals_close() -> None:
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).bar("10:01", 501.5, 502, 501, 501.7)
    run = both(market.flat("10:02", "10:05", 501.7).bars, strategy(stop=1.0, tp1=9.0), config())
    (trade,) = run.trades
    assert trade.entry_spot == 501.5
    assert trade.contract.strike == 500, "the contract was chosen at the signal"
    assert (trade.stop, trade.tp1) == (500.5, 510.5)
    assert trade.entry_price_cents == bid_ask("C", 501.5, 500, 359)[1]


def test_after_a_gap_in_the_tape_the_order_fills_at_the_next_bar_there_is() -> None:
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).flat("10:31", "10:40", 503.0)
    (trade,) = both(market.bars, strategy(), config()).trades
    assert (trade.known_at, trade.entry_at) == (at("10:01"), at("10:31"))
    assert trade.entry_price_cents == bid_ask("C", 503.0, 500, 960 - 631)[1]


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_stop_comes_before_target_when_one_bar_touches_both(side: float) -> None:
    market = entered(side=side).bar("10:02", 500.0, 505.0, 495.0, 500.0).flat("10:03", "10:05", 500.0)
    (trade,) = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=4.0), config()).trades
    sign = 1 if side == LONG else -1
    assert (trade.reason, trade.exit_spot) == ("stop", 500.0 - 2 * sign)
    assert trade.exit_at == at("10:03")


def test_the_entry_bar_itself_can_stop_the_trade() -> None:
    market = (
        Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).bar("10:01", 500.0, 500.0, 497.0, 499)
    )
    (trade,) = both(market.flat("10:02", "10:05", 499.0).bars, strategy(stop=2.0), config()).trades
    assert (trade.reason, trade.entry_at, trade.exit_at) == ("stop", at("10:01"), at("10:02"))


def test_an_open_beyond_the_stop_fills_at_the_open() -> None:
    market = entered().bar("10:02", 496.0, 497.0, 495.0, 496.5).flat("10:03", "10:05", 496.5)
    (trade,) = both(market.bars, strategy(stop=2.0), config()).trades
    assert (trade.reason, trade.exit_spot) == ("stop", 496.0)


def test_an_open_beyond_the_target_fills_at_the_open() -> None:
    market = entered().bar("10:02", 504.0, 504.5, 503.5, 504.2).flat("10:03", "10:05", 504.2)
    run = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=9.0), config())
    assert [o["purpose"] for o in said(run, "order")][:2] == ["open", "tp1"]
    assert said(run, "fill")[1]["spot"] == 504.0


def test_one_contract_leaves_whole_at_the_first_target() -> None:
    market = entered().bar("10:02", 500.5, 502.5, 500.5, 502.2).flat("10:03", "10:05", 502.2)
    plan = config(risk={"contracts": 1})
    (trade,) = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=4.0), plan).trades
    assert (trade.reason, trade.exit_spot, trade.quantity) == ("tp1", 502.0, 1)


def test_half_of_three_contracts_is_two_and_the_second_target_takes_the_last() -> None:
    market = entered().bar("10:02", 500.5, 502.5, 500.5, 502.2).bar("10:03", 502.2, 504.5, 502.0, 504.1)
    market.flat("10:04", "10:06", 504.0)
    run = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=4.0), config(risk={"contracts": 3}, trail=0.0))
    assert [(f["side"], f["quantity"], f["spot"]) for f in said(run, "fill")] == [
        ("buy", 3, 500.0),
        ("sell", 2, 502.0),
        ("sell", 1, 504.0),
    ]
    assert run.trades[0].reason == "tp2"


def test_one_bar_can_reach_both_targets() -> None:
    market = entered().bar("10:02", 500.5, 506.0, 500.5, 505.0).flat("10:03", "10:05", 505.0)
    run = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=4.0), config())
    assert [f["spot"] for f in said(run, "fill")] == [500.0, 502.0, 504.0]


def test_the_trail_follows_the_best_close_after_the_first_target() -> None:
    market = entered().bar("10:02", 500.5, 502.5, 500.5, 502.4).bar("10:03", 502.4, 506.0, 502.4, 505.0)
    market.bar("10:04", 505.0, 505.0, 502.0, 503.0).flat("10:05", "10:07", 503.0)
    (trade,) = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=20.0), config(trail=0.005)).trades
    assert (trade.reason, trade.exit_at) == ("stop", at("10:05"))
    assert trade.exit_spot == 505.0 - 0.005 * 505.0  # the best close, not the best high


def test_before_the_first_target_nothing_trails() -> None:
    market = entered().bar("10:02", 500.0, 501.9, 500.0, 501.9).bar("10:03", 501.0, 501.0, 498.5, 499.0)
    run = both(market.flat("10:04", "10:08", 499.0).bars, strategy(stop=2.0, tp1=2.0), config(trail=0.001))
    assert run.trades[0].reason == "tape_end"


def test_without_break_even_the_stop_stays_where_it_was() -> None:
    market = entered().bar("10:02", 500.5, 502.5, 500.5, 502.4).bar("10:03", 502.0, 502.0, 499.0, 499.5)
    market.bar("10:04", 499.5, 499.5, 497.0, 497.5).flat("10:05", "10:07", 497.5)
    plan = config(break_even=False, trail=0.0)
    (trade,) = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=20.0), plan).trades
    assert (trade.reason, trade.exit_at, trade.exit_spot) == ("stop", at("10:05"), 498.0)


def test_fraction_and_price_levels_come_from_the_fill_and_from_the_signal() -> None:
    market = entered(side=SHORT).flat("10:02", "10:05", 500.0)
    (trade,) = both(market.bars, strategy(0.007, 0.01, 0.02, FRACTION), config()).trades
    assert trade.stop == pytest.approx(503.5)
    assert trade.tp1 == pytest.approx(495.0)
    assert trade.tp2 == pytest.approx(490.0)
    (trade,) = both(market.bars, strategy(507.0, 493.0, 490.0, PRICE), config()).trades
    assert (trade.stop, trade.tp1, trade.tp2) == (507.0, 493.0, 490.0)


def test_the_time_limit_sells_at_the_open_after_it() -> None:
    market = entered().flat("10:02", "10:05", 500.0).bar("10:06", 501.0, 502.0, 500.0, 501.0)
    run = both(market.flat("10:07", "10:09", 501.0).bars, strategy(), config(hold_minutes=5))
    (trade,) = run.trades
    assert (trade.entry_at, trade.exit_at, trade.reason) == (at("10:01"), at("10:06"), "time")
    assert trade.exit_spot == 501.0
    bid = bid_ask("C", 501.0, 500, 960 - 606)[0]
    assert trade.exit_price_cents == bid


@pytest.mark.parametrize(
    ("date", "signal", "close", "forced"),
    [(DAY, "15:30", "15:59", "15:55"), (HALF_DAY, "12:30", "12:59", "12:55")],
)
def test_everything_is_closed_five_minutes_before_the_session_ends(
    date: Any, signal: str, close: str, forced: str
) -> None:
    market = Market().flat("09:30", close, 500.0, date).flat("16:00", "16:05", 500.0, date)
    run = both(market.signal(signal, LONG, date).bars, strategy(), config(hold_minutes=390))
    (trade,) = run.trades
    assert (trade.exit_at, trade.reason) == (at(forced, date), "time")
    assert said(run, "rejected") == []


@pytest.mark.parametrize("date", [DAY, HALF_DAY])
def test_when_bars_stop_before_the_close_the_option_settles_at_the_last_regular_price(date: Any) -> None:
    market = Market().flat("09:30", "11:01", 500.0, date).signal("11:00", LONG, date)
    market.bar("11:02", 500.0, 503.0, 500.0, 502.37, date).flat("17:00", "17:01", 510.0, date)
    run = both(market.bars, strategy(), config(hold_minutes=390))
    (trade,) = run.trades
    assert (trade.reason, trade.exit_spot, trade.exit_price_cents) == ("expiry", 502.37, 237)
    assert trade.fee_cents == 2 * 65, "no commission at settlement"


def test_a_day_that_ends_early_settles_when_the_next_day_arrives() -> None:
    market = entered().bar("10:02", 500.0, 500.0, 495.0, 496.0).flat("09:30", "09:35", 520.0, NEXT_DAY)
    run = both(market.bars, strategy(), config())
    (trade,) = run.trades
    assert (trade.reason, trade.exit_spot, trade.exit_price_cents) == ("expiry", 496.0, 0)
    assert trade.pnl_cents == -100 * 2 * bid_ask("C", 500.0, 500, 359)[1] - 130


def test_an_open_position_is_sold_at_the_last_bar_of_the_tape() -> None:
    market = entered().flat("10:02", "10:10", 501.0)
    (trade,) = both(market.bars, strategy(), config()).trades
    assert (trade.reason, trade.exit_at, trade.exit_spot) == ("tape_end", at("10:11"), 501.0)
    assert trade.exit_price_cents == bid_ask("C", 501.0, 500, 960 - 611)[0]


def test_a_position_still_open_when_the_tape_ends_at_the_close_is_settled() -> None:
    # The bars from 10:03 to 15:58 are missing, so nothing could be closed before expiry.
    market = entered().flat("10:02", "10:02", 500.0).bar("15:59", 502.0, 502.5, 502.0, 502.5)
    run = both(market.bars, strategy(), config())
    (trade,) = run.trades
    assert (trade.reason, trade.exit_price_cents) == ("expiry", 250)


def test_an_order_still_waiting_when_the_tape_ends_is_rejected() -> None:
    run = both(Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).bars, strategy(), config())
    assert run.trades == []
    assert [r["code"] for r in said(run, "rejected")] == ["TAPE_ENDED"]


def test_unfinished_tapes_leave_the_position_open() -> None:
    run = backtest(entered().flat("10:02", "10:05", 500.0).bars, strategy(), config(), finish=False)
    assert run.trades == []
    assert run.cash_cents < run.start_cents


@pytest.mark.parametrize(
    ("signal", "late"),
    [
        ("15:40", Market().flat("16:10", "16:12", 500.0)),
        ("15:40", Market().flat("09:30", "09:31", 500.0, NEXT_DAY)),
    ],
    ids=["after hours", "next day"],
)
def test_an_entry_whose_next_bar_is_not_in_its_session_is_rejected(signal: str, late: Market) -> None:
    market = Market().flat("09:30", signal, 500.0).signal(signal, LONG)
    market.rows += late.rows
    run = both(market.bars, strategy(), config())
    assert run.trades == []
    assert [r["code"] for r in said(run, "rejected")] == ["MARKET_CLOSED"]
    assert run.cash_cents == run.start_cents


def test_a_time_exit_that_finds_the_market_closed_is_rejected_and_the_option_settles() -> None:
    market = Market().flat("09:30", "15:54", 500.0).signal("15:30", LONG).flat("16:20", "16:21", 507.0)
    run = both(market.bars, strategy(), config(hold_minutes=390))
    assert [r["code"] for r in said(run, "rejected")] == ["MARKET_CLOSED"]
    (trade,) = run.trades
    assert (trade.reason, trade.exit_price_cents) == ("expiry", 0)


def test_an_option_without_a_bid_rests_and_settles_if_nobody_ever_bids() -> None:
    # The call struck at 500 has no bid with the underlying at 480; the time limit comes at 11:01.
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).flat("10:01", "10:01", 500.0)
    market.flat("10:02", "15:59", 480.0).flat("16:00", "16:05", 480.0)
    run = both(market.bars, strategy(), config(hold_minutes=60))
    assert [(r["purpose"], r["code"]) for r in said(run, "rejected")] == [
        ("time", "NO_BID"),
        ("time", "MARKET_CLOSED"),
    ]
    (trade,) = run.trades
    assert (trade.reason, trade.exit_price_cents) == ("expiry", 0)
    assert trade.exit_at == at("16:00"), "it counts from the close"


def test_an_option_without_a_bid_is_sold_when_somebody_bids_again() -> None:
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).flat("10:01", "10:01", 500.0)
    market.flat("10:02", "11:29", 480.0).flat("11:30", "11:40", 498.0)
    run = both(market.bars, strategy(), config(hold_minutes=60))
    (trade,) = run.trades
    assert (trade.reason, trade.exit_at, trade.exit_spot) == ("time", at("11:30"), 498.0)
    assert trade.exit_price_cents == bid_ask("C", 498.0, 500, 960 - 690)[0]


def test_an_option_without_a_bid_at_the_tapes_end_counts_its_intrinsic_value() -> None:
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).flat("10:01", "10:01", 500.0)
    market.flat("10:02", "10:10", 480.0)
    run = both(market.bars, strategy(), config(hold_minutes=60))
    assert [(r["purpose"], r["code"]) for r in said(run, "rejected")] == [("tape_end", "NO_BID")]
    (trade,) = run.trades
    assert (trade.reason, trade.exit_price_cents) == ("tape_end", 0)


def test_a_price_that_jumps_beyond_the_cash_rejects_the_entry() -> None:
    market = Market().flat("09:30", "10:00", 500.0).signal("10:00", LONG).flat("10:01", "10:05", 560.0)
    run = both(market.bars, strategy(), config(risk={"account_usd": 1_000, "contracts": 2}))
    assert run.trades == []
    assert [r["code"] for r in said(run, "rejected")] == ["INSUFFICIENT_CASH"]


# --- denials: one scenario for each code


def test_signal_before_the_open_is_denied_market_closed() -> None:
    market = Market().flat("08:00", "10:00", 500.0).signal("08:30", LONG)
    run = both(market.bars, strategy(), config())
    assert run.denials == {"MARKET_CLOSED": 1}
    assert said(run, "denied") == [{"code": "MARKET_CLOSED", "limit": 0, "actual": 0}]


def test_signal_after_the_close_is_denied_market_closed() -> None:
    market = Market().flat("15:30", "16:30", 500.0).signal("16:05", LONG).signal("15:59", LONG)
    assert both(market.bars, strategy(), config()).denials == {"MARKET_CLOSED": 2}


def test_the_last_pre_market_bar_may_signal_for_the_open() -> None:
    market = Market().flat("09:00", "09:40", 500.0).signal("09:29", LONG)
    (trade,) = both(market.bars, strategy(), config()).trades
    assert trade.entry_at == at("09:30")
    assert trade.entry_price_cents == bid_ask("C", 500.0, 500, 390)[1]


@pytest.mark.parametrize(("date", "last", "late"), [(DAY, "15:53", "15:54"), (HALF_DAY, "12:53", "12:54")])
def test_no_entry_in_the_last_five_minutes(date: Any, last: str, late: str) -> None:
    market = Market().flat("09:30", "12:59" if date == HALF_DAY else "15:59", 500.0, date)
    market.signal(last, LONG, date).signal(late, LONG, date)
    run = both(market.bars, strategy(), config(risk={"max_positions": 2}))
    assert run.denials == {"TOO_LATE": 1}
    assert said(run, "denied") == [{"code": "TOO_LATE", "limit": 5, "actual": 5}]
    assert len(run.trades) == 1


def test_a_second_signal_is_denied_at_the_position_limit_and_taken_beyond_it() -> None:
    market = Market().flat("09:30", "11:00", 500.0).signal("10:00", LONG).signal("10:10", SHORT)
    one = both(market.bars, strategy(), config())
    assert said(one, "denied") == [{"code": "POSITION_LIMIT", "limit": 1, "actual": 1}]
    two = both(market.bars, strategy(), config(risk={"max_positions": 2}))
    assert two.denials == {}
    assert len(two.trades) == 2


def test_an_order_in_flight_counts_as_a_position() -> None:
    market = Market().flat("09:30", "11:00", 500.0).signal("10:00", LONG).signal("10:01", LONG)
    assert both(market.bars, strategy(), config()).denials == {"POSITION_LIMIT": 1}


def test_a_premium_beyond_the_budget_is_denied_unaffordable() -> None:
    market = Market().flat("09:30", "10:30", 500.0).signal("10:00", LONG)
    poor = config(risk={"account_usd": 1_000, "contracts": None, "risk_fraction": 0.05})
    run = both(market.bars, strategy(), poor)
    cost = 100 * bid_ask("C", 500.0, 500, 359)[1] + 65
    assert said(run, "denied") == [{"code": "UNAFFORDABLE", "limit": 50.0, "actual": cost / 100}]


def test_size_is_the_share_of_equity_that_the_premium_may_cost() -> None:
    market = Market().flat("09:30", "10:30", 500.0).signal("10:00", LONG)
    rich = config(risk={"account_usd": 25_000, "contracts": None, "risk_fraction": 0.05})
    (trade,) = both(market.bars, strategy(), rich).trades
    cost = 100 * bid_ask("C", 500.0, 500, 359)[1] + 65
    assert trade.quantity == min(10, 125_000 // cost)


def test_a_pattern_older_than_the_last_exit_is_denied_stale_when_freshness_is_asked_for() -> None:
    # The scripted pattern forms on its own bar, 10:06-10:07; the first trade leaves at the 10:07 close too.
    market = entered().flat("10:02", "10:05", 500.0).bar("10:06", 500.0, 500.0, 490.0, 495.0)
    market.flat("10:07", "10:20", 495.0).signal("10:06", LONG).signal("10:10", LONG)
    for fresh, denials in ((False, {"POSITION_LIMIT": 1}), (True, {"STALE_PATTERN": 1})):
        run = both(market.bars, strategy(stop=5.0), config(risk={"fresh_patterns": fresh}))
        assert run.denials == denials
    assert said(run, "denied") == [{"code": "STALE_PATTERN", "limit": 0, "actual": 0}]
    assert len(run.trades) == 2


def test_levels_of_the_plan_replace_those_of_the_signal() -> None:
    market = entered(side=SHORT).flat("10:02", "10:05", 500.0)
    plan = config(stop=0.007, tp1=0.01)
    (trade,) = both(market.bars, strategy(stop=1.0, tp1=1.0, tp2=12.0), plan).trades
    assert trade.stop == pytest.approx(503.5)
    assert trade.tp1 == pytest.approx(495.0)
    assert trade.tp2 == 488.0


def test_an_empty_tape_is_refused_in_one_sentence() -> None:
    with pytest.raises(DataError, match="the tape is empty"):
        backtest(entered().bars[:0], strategy(), config())


@pytest.mark.parametrize("field", ["atr", "confidence"])
def test_a_strategy_that_leaves_nan_in_its_evidence_does_not_break_the_journal(field: str) -> None:
    from maxlib.core.record import Record
    from maxlib.kernels.system import System
    from maxlib.market.bars import BarRecord
    from maxlib.strategies.signal import Signal
    from maxlib.strategies.strategy import Strategy

    class State(Record):
        n: int

    class Params(Record):
        scale: float

    class Out(Record):
        signal: Signal

    def careless(s: State, p: Params, bar: BarRecord, out: Out) -> None:
        s.n += 1
        out.signal.side = 1 if s.n == 5 else 0
        out.signal.stop = out.signal.tp1 = out.signal.tp2 = math.nan
        out.signal[field] = math.nan

    system = System(State, Params, Out, careless)
    run = backtest(
        entered().flat("10:02", "10:05", 500.0).bars,
        Strategy("careless", system, system.params(scale=1.0)),
        config(),
    )
    assert len(run.trades) == 1


PUBLISHED = {"on_close": True, "break_even": False, "second_target": False}


def test_the_published_rule_leaves_on_closes_and_knows_no_second_target() -> None:
    """Spec §5: half at the first close beyond the target, the rest trailed from the best close."""
    market = entered().bar("10:02", 500.0, 503.0, 497.0, 501.5)  # touches both levels, closes between
    market.bar("10:03", 501.5, 502.9, 501.0, 502.6).bar("10:04", 502.6, 506.0, 502.6, 505.0)
    market.bar("10:05", 505.0, 505.0, 499.0, 502.5).bar("10:06", 502.5, 503.0, 501.0, 502.0)
    market.flat("10:07", "10:10", 502.0)
    run = both(market.bars, strategy(stop=2.0, tp1=2.0, tp2=4.0), config(trail=0.005, **PUBLISHED))
    fills = said(run, "fill")
    # 502.6 is the first close beyond 502; the best close 505 trails at 505 - 2.525 = 502.475, which the
    # close 502.5 stays above and the close 502.0 does not.
    assert [(f["side"], f["quantity"], f["spot"]) for f in fills] == [
        ("buy", 2, 500.0),
        ("sell", 1, 502.6),
        ("sell", 1, 502.0),
    ]
    assert run.trades[0].exit_at == at("10:07")


def test_the_published_stop_waits_for_a_close_and_fills_there() -> None:
    market = entered().bar("10:02", 500.0, 500.0, 497.0, 499.0).bar("10:03", 499.0, 499.0, 496.0, 496.5)
    market.flat("10:04", "10:06", 497.0)
    (trade,) = both(market.bars, strategy(stop=2.0, tp1=2.0), config(**PUBLISHED)).trades
    assert (trade.reason, trade.exit_at, trade.exit_spot) == ("stop", at("10:04"), 496.5)
