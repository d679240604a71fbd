"""Fill models: what is paid, how much trades, why nothing trades, and when."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.execution.arbitrage import Moment
from maxlib.execution.fills import FillConfig, Filled, NotFilled, arrival, fill
from maxlib.execution.firewall import guard
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote
from tests.execution import doctored

NOW = 10**18
SECOND = 10**9
LOW, BODY, HIGH = (Contract("QQQ", 20_406, "C", strike) for strike in (60_000, 60_500, 61_000))
AT_600 = Moment(NOW, 600.0)
CROSS, MID = FillConfig(), FillConfig(model="mid")


def fraction(share: float) -> FillConfig:
    return FillConfig(model="fraction", fraction=share)


def quote(contract: Contract, bid: int | None, ask: int | None, **changes: Any) -> Quote:
    return Quote(contract, NOW, bid, ask, None, None, False)._replace(**changes)


def one(config: FillConfig, ratio: int, shown: Quote | None, quantity: int = 1, **moment: Any) -> Any:
    return fill(config, [Leg(LOW, ratio)], quantity, [shown], AT_600._replace(**moment))


# --- prices


@pytest.mark.parametrize(
    ("config", "bought", "sold"),
    [
        (CROSS, 205, 200),
        (MID, 203, 202),  # 202.5, rounded against us
        (fraction(0.0), 203, 202),
        (fraction(0.2), 203, 202),  # 202.5 + 0.5 and 202.5 - 0.5 are whole
        (fraction(0.3), 204, 201),  # 203.25 and 201.75
        (fraction(1.0), 205, 200),
    ],
)
def test_the_model_sets_the_price_between_middle_and_far_side(
    config: FillConfig, bought: int, sold: int
) -> None:
    assert one(config, 1, quote(LOW, 200, 205)) == Filled(1, (bought,))
    assert one(config, -1, quote(LOW, 200, 205)) == Filled(1, (sold,))


@pytest.mark.parametrize("config", [CROSS, MID, fraction(0.3)])
@pytest.mark.parametrize("bid", [None, 0])
def test_without_a_bid_there_is_no_middle_and_no_sale(config: FillConfig, bid: int | None) -> None:
    assert one(config, 1, quote(LOW, bid, 8)) == Filled(1, (8,))
    assert one(config, -1, quote(LOW, bid, 8)) == NotFilled("NO_BID", LOW)


def test_a_package_fills_each_leg_on_its_own_side() -> None:
    legs = [Leg(LOW, 1), Leg(BODY, -2), Leg(HIGH, 1)]
    quotes = [quote(LOW, 300, 306), quote(BODY, 100, 103), quote(HIGH, 20, 23)]
    assert fill(CROSS, legs, 3, quotes, AT_600) == Filled(3, (306, 100, 23))
    assert fill(MID, legs, 3, quotes, AT_600) == Filled(3, (303, 101, 22))
    closing = [Leg(contract, -ratio) for contract, ratio in legs]
    assert fill(CROSS, closing, 3, quotes, AT_600) == Filled(3, (300, 103, 20))


# --- refusals


@pytest.mark.parametrize("ratio", [1, -1])
@pytest.mark.parametrize(
    ("shown", "code", "limit", "actual"),
    [
        (None, "NO_QUOTE", None, None),
        (quote(LOW, 200, None), "NO_ASK", None, None),
        (quote(LOW, 200, 0), "NO_ASK", None, None),
        (quote(LOW, 206, 205), "CROSSED_MARKET", 205, 206),
        (quote(LOW, 200, 205, ts=NOW - 2 * SECOND - 1_000_000), "STALE", 2000, 2001.0),
        (quote(LOW, 200, 205, ask_size=0, bid_size=0), "NO_SIZE", 1, 0),
    ],
)
def test_a_quote_that_cannot_be_used_is_refused_with_its_numbers(
    ratio: int, shown: Quote | None, code: Any, limit: Any, actual: Any
) -> None:
    assert one(CROSS, ratio, shown) == NotFilled(code, LOW, limit, actual)


def test_a_quote_just_as_old_as_the_bound_will_do() -> None:
    old = quote(LOW, 200, 205, ts=NOW - 2 * SECOND)
    assert one(CROSS, 1, old) == Filled(1, (205,))
    assert isinstance(one(FillConfig(max_quote_age_ms=1999), 1, old), NotFilled)


def test_one_missing_leg_and_nothing_fills() -> None:
    legs = [Leg(LOW, 1), Leg(BODY, -1)]
    refused = fill(CROSS, legs, 1, [quote(LOW, 300, 306), None], AT_600)
    assert refused == NotFilled("MISSING_LEG", BODY)


@pytest.mark.parametrize("spot", [float("nan"), 0.0])
def test_without_a_price_of_the_underlying_nothing_fills(spot: float) -> None:
    assert one(CROSS, 1, quote(LOW, 200, 205), spot=spot) == NotFilled("NO_SPOT", LOW)


def test_an_ask_below_intrinsic_value_is_refused_unless_the_spot_may_be_off_that_far() -> None:
    # The call at 600 pays 205 c at a spot of 602.05.
    cheap = quote(LOW, 190, 200)
    assert one(CROSS, 1, cheap, spot=602.05) == NotFilled("BELOW_INTRINSIC", LOW, 205, 200)
    assert one(CROSS, 1, cheap, spot=602.05, slack_cents=5.0) == Filled(1, (200,))
    assert one(CROSS, -1, cheap, spot=602.05) == Filled(1, (190,))  # selling so low hurts only us


def test_real_quotes_that_give_a_vertical_away_are_refused() -> None:
    legs = [Leg(LOW, 1), Leg(BODY, -1)]
    refused = fill(CROSS, legs, 1, [quote(LOW, 90, 99), quote(BODY, 100, 103)], AT_600)
    assert refused == NotFilled("VERTICAL_WIDTH", LOW, 0, -1)


# --- rounding


def test_a_modelled_fly_that_rounding_makes_too_cheap_is_paid_up_by_cents() -> None:
    # True values of 10.4, 5.5 and 0.6 c lie on a line; rounded, they make a fly for 10 - 2 × 6 + 1 = -1 c.
    legs = [Leg(LOW, 1), Leg(BODY, -2), Leg(HIGH, 1)]
    modelled = [quote(c, p, p, modelled=True) for c, p in ((LOW, 10), (BODY, 6), (HIGH, 1))]
    done = fill(CROSS, legs, 1, modelled, AT_600)
    assert isinstance(done, Filled)
    assert done.prices_cents[1] == 6
    assert done.prices_cents[0] - 2 * 6 + done.prices_cents[2] == 0
    quoted = [q._replace(modelled=False) for q in modelled]
    assert fill(CROSS, legs, 1, quoted, AT_600) == NotFilled("BUTTERFLY_CONVEXITY", LOW, 5.5, 6)


def test_rounding_does_not_excuse_more_than_a_cent_for_each_contract() -> None:
    # Four contracts a fly: four cents are paid up, so a body of 12 (a fly for -4) fills, one of 13 does not.
    legs = [Leg(LOW, 1), Leg(BODY, -2), Leg(HIGH, 1)]
    for body, filled in ((12, True), (13, False)):
        shown = [quote(c, p, p, modelled=True) for c, p in ((LOW, 19), (BODY, body), (HIGH, 1))]
        assert isinstance(fill(CROSS, legs, 1, shown, AT_600), Filled) == filled


# --- size


@pytest.mark.parametrize(
    ("sizes", "quantity", "filled"),
    [
        ((None, None, None), 50, 50),  # not known: whole
        ((7, 100, 100), 5, 5),
        ((7, 100, 100), 50, 7),
        ((100, 9, 100), 50, 4),  # two bodies to a fly
        ((None, 3, None), 50, 1),
    ],
)
def test_a_package_fills_as_often_as_its_scarcest_leg(sizes: Any, quantity: int, filled: int) -> None:
    legs = [Leg(LOW, 1), Leg(BODY, -2), Leg(HIGH, 1)]
    # The other side's size is of no use.
    quotes = [
        quote(LOW, 300, 306, ask_size=sizes[0], bid_size=1),
        quote(BODY, 100, 103, bid_size=sizes[1], ask_size=1),
        quote(HIGH, 20, 23, ask_size=sizes[2], bid_size=1),
    ]
    assert fill(CROSS, legs, quantity, quotes, AT_600) == Filled(filled, (306, 100, 23))
    whole = FillConfig(partial=False)
    assert fill(whole, legs, quantity, quotes, AT_600) == Filled(quantity, (306, 100, 23))


def test_less_than_one_package_on_display_is_no_fill() -> None:
    legs = [Leg(LOW, 1), Leg(BODY, -2)]
    quotes = [quote(LOW, 300, 306, ask_size=5), quote(BODY, 100, 103, bid_size=1)]
    assert fill(CROSS, legs, 4, quotes, AT_600) == NotFilled("NO_SIZE", BODY, 2, 1)


# --- latency, banner, config


@pytest.mark.parametrize(
    ("config", "after_ns"),
    [
        (FillConfig(), 0),
        (FillConfig(latency_ms=250), 250_000_000),
        (FillConfig(latency_bars=1), 60 * SECOND),
        (FillConfig(latency_bars=2, latency_ms=1), 120 * SECOND + 1_000_000),
    ],
)
def test_an_order_arrives_after_its_latency(config: FillConfig, after_ns: int) -> None:
    assert arrival(config, NOW) == NOW + after_ns


@pytest.mark.parametrize(
    ("latency", "opens_at"),
    [({}, 0), ({"latency_ms": 1}, 1), ({"latency_bars": 1}, 1), ({"latency_bars": 2}, 3)],
)
def test_on_bars_it_fills_at_the_first_open_from_then_on(latency: Any, opens_at: int) -> None:
    # Opens 0, 1 and 3 minutes after the decision; the third minute of the tape has no bar.
    opens = [NOW + m * 60 * SECOND for m in (0, 1, 3)]
    first = next(ts for ts in opens if ts >= arrival(FillConfig(**latency), NOW))
    assert first == NOW + opens_at * 60 * SECOND


def test_only_fills_inside_the_spread_carry_a_banner() -> None:
    assert CROSS.banner is None
    assert fraction(1.0).banner is None
    assert MID.banner == (
        "OPTIMISTIC FILLS: orders fill in the middle of bid and ask, a price that no quote promised."
    )
    assert "fill 30 % of the half-spread away from the middle" in (fraction(0.3).banner or "")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "fraction"}, "fraction None does not go with model 'fraction'"),
        ({"fraction": 0.5}, "fraction 0.5 does not go with model 'cross'"),
        ({"model": "mid", "fraction": 0.0}, "fraction 0.0 does not go with model 'mid'"),
        ({"model": "fraction", "fraction": 1.5}, "fraction: "),
        ({"latency_ms": -1}, "latency_ms: "),
        ({"max_quote_age_ms": -1}, "max_quote_age_ms: "),
        ({"model": "best"}, "model: "),
    ],
)
def test_a_config_that_makes_no_sense_is_one_sentence(values: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match="fills: ") as error:
        parse(FillConfig, values, "execution.fills")
    assert sentence in str(error.value)


# --- real quotes


def test_real_quotes_are_filled_and_hardly_ever_refused_as_free_money(shared: Path) -> None:
    # Every 15th minute of a half day of GOOG, all 12 expiries: adjacent verticals, flies and synthetics.
    folder = shared / "data/real/open"
    shares = pd.read_parquet(folder / "bars/goog_1m_quote_20151224.parquet").set_index("ts")
    chain = pd.read_parquet(folder / "options/goog_1m_quote_20151224.parquet")
    chain = chain[chain.ts.isin(shares.index[::15])]
    found: Counter[str] = Counter()
    for (ts, expiry), rows in chain.groupby(["ts", "expiry"]):
        bid, ask = 100 * shares.loc[ts, "bid_close"], 100 * shares.loc[ts, "ask_close"]
        days = (pd.Timestamp(expiry) - pd.Timestamp("2015-12-24")).days + 1
        # The share's half-spread and 5 c for prices of one minute but not of one moment; 1.2 % a year.
        moment = Moment(NOW, (bid + ask) / 200, (ask - bid) / 2 + 5, 0.012 * bid * days / 365)
        for legs, quotes in neighbours(rows, expiry):
            done = fill(FillConfig(partial=False), legs, 1, quotes, moment)
            found["filled" if isinstance(done, Filled) else done.code] += 1
            if isinstance(done, Filled):
                guard(legs, 1, done.prices_cents, quotes, moment, config=CROSS)
    empty = found.pop("NO_BID") + found.pop("NO_ASK")
    assert empty > 1_000  # the empty sides that the data's README speaks of
    assert found.pop("filled") > 10_000
    assert sum(found.values()) <= 5, found


def neighbours(rows: pd.DataFrame, expiry: Any) -> Iterator[tuple[list[Leg], list[Quote]]]:
    def cents(dollars: float) -> int | None:
        return None if math.isnan(dollars) else round(100 * dollars)

    day = (pd.Timestamp(expiry) - pd.Timestamp(0)).days
    shown = {}
    for right, strike, bid, ask in zip(rows.right, rows.strike, rows.bid_close, rows.ask_close, strict=True):
        contract = Contract("GOOG", day, right, round(100 * strike))
        shown[right, contract.strike_cents] = quote(contract, cents(bid), cents(ask))
    for right, other in ("CP", "PC"):
        strikes = sorted(strike for own, strike in shown if own == right)
        for a, b, c in zip(strikes, strikes[1:], strikes[2:], strict=False):
            wanted = [[(right, a, 1), (right, b, -1)], [(right, a, -1), (right, b, 1)]]
            wanted += [[(right, a, 1), (right, b, -2), (right, c, 1)]] if c - b == b - a else []
            wanted += [[(right, a, 1), (other, a, -1)]] if (other, a) in shown else []
            for package in wanted:
                quotes = [shown[own, strike] for own, strike, _ in package]
                yield [Leg(q.contract, r) for q, (*_, r) in zip(quotes, package, strict=True)], quotes


# --- with the firewall behind it

FAULTS_OF_THE_PROGRAM = {
    "from_the_future", "quote_of_another_contract", "quantity_is_no_quantity", "after_expiry",
    "one_contract_twice", "two_roots", "slack_without_measure", "carry_without_measure",
}  # fmt: skip


def test_what_is_filled_at_any_quotes_passes_the_firewall() -> None:
    rng, filled, refused = Random(5), 0, 0
    for case in itertools.islice(doctored.valid(rng), 5_000):
        name, bad, _ = doctored.spoilt(rng, case)
        if name in FAULTS_OF_THE_PROGRAM or len(bad.quotes) < len(bad.legs):
            continue
        done = fill(bad.config, bad.legs, bad.quantity, bad.quotes, bad.moment)
        if isinstance(done, NotFilled):
            refused += 1
            continue
        filled += 1
        guard(bad.legs, done.quantity, done.prices_cents, bad.quotes, bad.moment, config=bad.config)
        assert doctored.faults(bad._replace(quantity=done.quantity, prices=done.prices_cents)) == set()
    assert filled > 500
    assert refused > 1_000
