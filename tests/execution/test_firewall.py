"""The fill firewall: each rule's sentence at a price worked out by hand, and a million fills."""

import csv
import datetime as dt
import math
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, get_args

import pytest

from maxlib.core.errors import InvariantError
from maxlib.execution.arbitrage import Moment, Rule
from maxlib.execution.fills import FillConfig, NotFilled, fill
from maxlib.execution.firewall import guard
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote
from maxlib.research.published.champion_config import QQQ_ONLY
from maxlib.research.published.itm import ItmAccounting
from tests.contracts import tapes
from tests.execution import doctored

# --- each rule by hand: spot 600.00; "+1 C590 @1000" is a call at 590 bought for 1000 c a share

NOW = 10**18
CROSS = FillConfig()
CARRY = {"carry_cents": 20.0}
EUROPEAN = {**CARRY, "exercise": "european"}
VAGUE = {"slack_cents": 15.0, "carry_cents": 5.0}


def option(right: str, strike: int, expiry: int = 20_406) -> Contract:
    return Contract("QQQ", expiry, right, strike * 100)


def package(words: str) -> tuple[tuple[Leg, ...], tuple[int, ...], tuple[Quote, ...]]:
    """Legs, prices, and quotes that show just these prices. C605+ expires a day later."""
    rows = re.findall(r"([+-]\d) (.)(\d+)(\+?) @(\d+)", words)
    legs = tuple(Leg(option(r, int(k), 20_406 + len(later)), int(ratio)) for ratio, r, k, later, _ in rows)
    prices = tuple(int(price) for *_, price in rows)
    shown = zip(legs, prices, strict=True)
    return legs, prices, tuple(Quote(leg.contract, NOW, p, p, None, None, False) for leg, p in shown)


def stopped(words: str, moment: dict[str, Any]) -> str | None:
    """The sentence that the fill is stopped with, its contracts shortened; None = it passes."""
    legs, prices, quotes = package(words)
    try:
        guard(legs, 1, prices, quotes, Moment(NOW, **{"spot": 600.0, **moment}), config=CROSS)
    except InvariantError as error:
        return re.sub(r"QQQ251114(.)00(\d{3})000", r"\1\2", str(error))
    return None


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("+1 C590 @1000", {}),  # at intrinsic value
        ("+1 C590 @1000", {"spot": 600.009}),  # which is rounded down
        ("+1 P610 @1000", {}),
        ("+1 C590 @990", {"slack_cents": 10.0}),
        ("+1 C590 @980", EUROPEAN),
        ("-1 C590 @1", {}),  # a bid below intrinsic value hurts only us
        ("-1 C590 @60000", {}),  # a call is worth a share at most
        ("-1 P610 @61000", {}),  # a put its strike
        ("+1 C600 @80 -1 C605 @80", {}),  # a vertical for nothing
        ("-1 C600 @500 +1 C605 @5", {}),  # 600 / 605 of the width, 495.868 c, is the most it can be worth
        ("+1 C600 @800 -1 C605 @50", {}),  # bought for more than its width: a bad trade, but a real one
        ("+1 C600 @300 -2 C605 @160 +1 C610 @20", {}),  # a fly for nothing
        ("+1 C605 @200 -1 P605 @700", {}),  # parity: 600 - 605
        ("+1 C605 @180 -1 P605 @700", VAGUE),
        ("+1 C595 @700 -1 P595 @200 -1 C605 @200 +1 P605 @700", {}),  # a box of width 10 for 10
        ("+1 C600 @80 -1 C605+ @300", {}),  # two expiries do not bind each other
    ],
)
def test_a_price_at_its_bound_passes(words: str, moment: Any) -> None:
    assert stopped(words, moment) is None


@pytest.mark.parametrize(
    ("words", "moment", "sentence"),
    [
        (
            "+1 C590 @999",
            {},
            "C590 bought at 999 c a share, below its intrinsic value of 1000 c at a spot of 600.00",
        ),
        (
            "+1 P610 @989",
            {"slack_cents": 10.0},
            "P610 bought at 989 c a share, below its intrinsic value of 990 c at a spot of 600.00 ± 10 c",
        ),
        ("+1 C590 @979", EUROPEAN, "below its intrinsic value of 980 c"),
        ("+1 C590 @999", CARRY, "below its intrinsic value of 1000 c"),  # American: exercise it
        (
            "-1 C590 @60001",
            {},
            "C590 sold at 60001 c a share, above its maximum, 60000 c, the underlying at a spot of 600.00",
        ),
        ("-1 P610 @61001", {}, "P610 sold at 61001 c a share, above its maximum, 61000 c, the strike"),
        (
            "+1 C600 @80 -1 C605 @81",
            {},
            "vertical C600 / C605 bought for -1 c, but none costs less than 0 c",
        ),
        (
            "+1 P600 @80 -1 P595 @81",
            {},
            "vertical P600 / P595 bought for -1 c, but none costs less than 0 c",
        ),
        (
            "-1 C600 @509 +1 C605 @8",
            {},
            "vertical C605 / C600 sold for 501 c, more than its width of 500 c",
        ),
        (
            "-1 P605 @509 +1 P600 @8",
            {},
            "vertical P600 / P605 sold for 501 c, more than its width of 500 c",
        ),
        (
            "+1 C600 @300 -2 C605 @161 +1 C610 @20",
            {},
            "fly C600 / C605 / C610 with its body sold at 161 c, above the line between its wings",
        ),
        # Wings of 6 and 3: the line at 606 is (3 × 300 + 6 × 30) / 9 = 120.
        ("+1 C600 @300 -3 C606 @121 +2 C609 @30", {}, "the line between its wings at 120 c"),
        # Wings of 5 and 7: a credit of 42 c could be fair, but the line is (7 × 300 + 5 × 60) / 12 = 200.
        ("+1 C600 @300 -2 C605 @201 +1 C612 @60", {}, "the line between its wings at 200 c"),
        (
            "+1 C605 @199 -1 P605 @700",
            {},
            "C605 bought and P605 sold for -501 c together, below put-call parity of -500 c at a spot",
        ),
        ("-1 C605 @201 +1 P605 @700", {}, "P605 bought and C605 sold for 499 c together"),
        ("+1 C605 @179 -1 P605 @700", VAGUE, "parity of -520 c at a spot of 600.00 ± 15 c"),
        # Guts pay the distance of their strikes at the least, 10 dollars.
        (
            "+1 C595 @500 +1 P605 @499",
            {"spot": 600.005},
            "package +1 C595 +1 P605 bought for 999 c, below the 1000 c that its payoff is worth",
        ),
        # A box of width 10 pays 10 whatever the spot is, so a vague spot excuses nothing.
        (
            "+1 C595 @699 -1 P595 @200 -1 C605 @200 +1 P605 @700",
            {"slack_cents": 50.0},
            "bought for 999 c, below the 1000 c",
        ),
        ("-1 C600 @500 +1 C605 @4", {}, "bought for -496 c, below the -495.868 c that its payoff is worth"),
        # A leg of another expiry hides nothing.
        ("+1 C600 @80 -1 C605 @81 +1 C600+ @900", {}, "vertical C600 / C605 bought for -1 c"),
    ],
)
def test_a_cent_past_the_bound_stops_the_run_with_a_sentence(words: str, moment: Any, sentence: str) -> None:
    assert sentence in (stopped(words, moment) or "")


def changed(quote: dict[str, Any], **fill_: Any) -> str | None:
    """A call bought at its ask of 205, or sold at its bid of 200, with something else about it."""
    ratio = fill_.get("ratio", 1)
    shown = Quote(option("C", 600), NOW, 200, 205, 10, 10, False)._replace(**quote)
    config = fill_.get("config", CROSS)
    price = fill_.get("price", 205 if ratio > 0 else 200)
    moment = Moment(**{"ts": NOW, "spot": 600.0, **fill_.get("moment", {})})
    try:
        guard(
            [Leg(option("C", 600), ratio)], fill_.get("quantity", 1), [price], [shown], moment, config=config
        )
    except InvariantError as error:
        return str(error).removeprefix("QQQ251114C00600000 ")
    return None


SECOND = 10**9
EXPIRY_DAY = 1_763_164_799 * SECOND  # 2025-11-14, the last second in UTC
YEAR_BEFORE = 1_731_600_000 * SECOND  # 2024-11-14
MID, THIRD = FillConfig(model="mid"), FillConfig(model="fraction", fraction=0.3)


@pytest.mark.parametrize(
    ("quote", "fill_"),
    [
        ({}, {}),
        ({}, {"ratio": -1}),
        ({"ts": NOW - 2 * SECOND}, {}),
        ({}, {"quantity": 10}),
        ({"ask_size": 9}, {"quantity": 10, "config": FillConfig(partial=False)}),
        ({"ask_size": None}, {"quantity": 10_000}),
        ({}, {"price": 203, "config": MID}),  # the middle is 202.5
        ({}, {"price": 202, "ratio": -1, "config": MID}),
        ({}, {"price": 204, "config": THIRD}),  # 202.5 + 0.3 × 2.5 = 203.25
        ({"bid_cents": None}, {"config": MID}),
        ({"bid_cents": 205}, {}),  # locked
        ({}, {"price": 230}),  # dearer than the ask: our loss
        ({"ts": EXPIRY_DAY}, {"moment": {"ts": EXPIRY_DAY, "slack_cents": 600.0, "carry_cents": 3000.0}}),
        # A year before, more is left open: 1 % and 3 %, 5 % and 25 %.
        ({"ts": YEAR_BEFORE}, {"moment": {"ts": YEAR_BEFORE, "slack_cents": 2400.0, "carry_cents": 18000.0}}),
    ],
)
def test_a_fill_at_its_quote_passes(quote: Any, fill_: Any) -> None:
    assert changed(quote, **fill_) is None


@pytest.mark.parametrize(
    ("quote", "fill_", "sentence"),
    [
        ({}, {"price": 204}, "bought at 204 c, below the 205 c that the model allows at an ask of 205 c"),
        (
            {},
            {"price": 201, "ratio": -1},
            "sold at 201 c, above the 200 c that the model allows at a bid of 200 c",
        ),
        ({}, {"price": 202, "config": MID}, "bought at 202 c, below the 202.5 c that the model allows"),
        ({}, {"price": 203, "config": THIRD}, "bought at 203 c, below the 203.25 c"),
        ({}, {"price": 202, "ratio": -1, "config": THIRD}, "sold at 202 c, above the 201.75 c"),
        ({"bid_cents": 0}, {"price": 204, "config": MID}, "below the 205 c"),  # no bid, no middle
        ({"ask_cents": None}, {}, "filled at 205 c where nobody offers (ask None)"),
        ({"bid_cents": 0}, {"ratio": -1}, "sold at 200 c where nobody bids (bid 0)"),
        ({"bid_cents": 206}, {}, "filled at 205 c in a crossed market: bid 206 c over ask 205 c"),
        ({"ts": NOW - 2 * SECOND - 1}, {}, "filled at a stale quote of 2000 ms, over the bound of 2000 ms"),
        ({"ts": NOW + 5_000_000}, {}, "filled at a quote from 5 ms after the fill"),
        (
            {},
            {"quantity": 6, "ratio": 2},
            "filled for 12 contracts, more than the displayed size of 10",
        ),
        ({"bid_size": 4}, {"quantity": 5, "ratio": -1}, "more than the displayed size of 4"),
        ({"contract": option("C", 601)}, {}, "filled at 205 c against the quote of QQQ251114C00601000"),
        ({}, {"price": math.nan}, "filled at nan c, but a price is a whole number of cents from 1 on"),
        ({}, {"price": 205.0}, "filled at 205.0 c, but a price is a whole number of cents from 1 on"),
        ({}, {"price": 0}, "filled at 0 c, but"),
        ({}, {"quantity": 0}, "filled 0 times, but the quantity is a whole number from 1 on"),
        (
            {},
            {"ratio": 0, "price": 205},
            "filled with ratio 0, but a leg is bought or sold in whole contracts",
        ),
        ({}, {"moment": {"spot": math.nan}}, "filled at a spot of nan, against which nothing can be checked"),
        (
            {},
            {"moment": {"slack_cents": -1.0}},
            "filled with a slack of -1.0 c and a carry of 0.0 c, but neither is below 0 or without limit",
        ),
        ({}, {"moment": {"carry_cents": math.nan}}, "a carry of nan c"),
        # Expiry is 2025-11-14: midnight in UTC after it is too late, in New York it is 19:00.
        (
            {"ts": 1_763_164_800 * SECOND},
            {"moment": {"ts": 1_763_164_800 * SECOND}},
            "filled on 2025-11-15, after its expiry on 2025-11-14",
        ),
        (
            {"ts": EXPIRY_DAY},
            {"moment": {"ts": EXPIRY_DAY, "slack_cents": 601.0}},
            "filled with a slack of 601 c, over the 600 c (1.0% of the spot) that can be believed",
        ),
        (
            {"ts": EXPIRY_DAY},
            {"moment": {"ts": EXPIRY_DAY, "carry_cents": 3001.0}},
            "filled with a carry of 3001 c, over the 3000 c (5.0% of the spot) that can be believed",
        ),
    ],
)
def test_a_fill_that_its_quote_does_not_bear_out_is_stopped(quote: Any, fill_: Any, sentence: str) -> None:
    assert sentence in (changed(quote, **fill_) or "")


@pytest.mark.parametrize("words", ["+1 C600 @200 -1 C600 @200", "+1 C600 @200 -1 C605 @80 +1 C600 @200"])
def test_a_contract_is_one_leg_of_a_package(words: str) -> None:
    assert stopped(words, {}) == "C600 filled twice in one package, but a contract is one leg"


def test_a_package_has_one_underlying() -> None:
    legs, prices, quotes = package("+1 C600 @200 -1 C605 @80")
    other = legs[1].contract._replace(root="SPY")
    with pytest.raises(InvariantError, match="SPY251114C00605000 filled in one package with QQQ251114C00600"):
        guard((legs[0], Leg(other, -1)), 1, prices, (quotes[0], quotes[1]._replace(contract=other)),
              Moment(NOW, 600.0), config=CROSS)  # fmt: skip


@pytest.mark.parametrize("quantity", [0, -3, math.nan])
def test_less_than_one_package_is_a_fault_of_the_program(quantity: Any) -> None:
    legs, _, quotes = package("+1 C600 @200 -1 C605 @80")
    with pytest.raises(InvariantError, match=f"QQQ251114 .1C600 -1C605 asked for {quantity} times, but the"):
        fill(CROSS, legs, quantity, quotes, Moment(NOW, 600.0))


def test_a_missing_leg_is_no_fill() -> None:
    legs, prices, quotes = package("+1 C600 @200 -1 C605 @80")
    moment = Moment(NOW, 600.0)
    with pytest.raises(InvariantError, match="QQQ251114C00605000 filled at 80 c without a quote"):
        guard(legs, 1, prices, (quotes[0], None), moment, config=CROSS)
    with pytest.raises(InvariantError, match="2 legs with 2 prices and 1 quotes has a missing leg"):
        guard(legs, 1, prices, quotes[:1], moment, config=CROSS)
    with pytest.raises(InvariantError, match="0 legs"):
        guard([], 1, [], [], moment, config=CROSS)


# --- many fills, valid and doctored


def sweep(pairs: int, seed: int, record: Any) -> None:
    """`pairs` valid fills, and of each a doctored one. The twin has to agree on every one."""
    rng = Random(seed)
    doctorings: Counter[str] = Counter()
    false_stops, false_passes, wrong_words = [], [], []
    for case, _ in zip(doctored.valid(rng), range(pairs), strict=False):
        assert doctored.faults(case) == set(), case
        if sentence(case) is not None:
            false_stops.append((sentence(case), case))
        name, bad, words = doctored.spoilt(rng, case)
        doctorings[name] += 1
        said = sentence(bad)
        if said is None:
            false_passes.append((name, bad))
        elif not any(word in said for word in words):
            wrong_words.append((name, said))
    figures = {
        "valid fills": pairs,
        "valid fills stopped": len(false_stops),
        "doctored fills": doctorings.total(),
        "doctored fills passed": len(false_passes),
    }
    for what, count in (figures | dict(sorted(doctorings.items()))).items():
        record(f"firewall, {2 * pairs:,} fills: {what}", count)
        print(f"{what}: {count:,}")
    assert (false_stops[:3], false_passes[:3], wrong_words[:3]) == ([], [], [])
    # Every doctoring had its turn.
    assert min(doctorings[d.spoil.__name__] for d in doctored.DOCTORINGS) > pairs / 200


def refusals(orders: int, seed: int, record: Any) -> None:
    """What fill models refuse on chains without arbitrage; what they fill is valid to twin and firewall."""
    codes: Counter[str] = Counter()
    for done, _ in zip(doctored.asked(Random(seed)), range(orders), strict=False):
        codes[done.code if isinstance(done, NotFilled) else "filled"] += 1
        if not isinstance(done, NotFilled):
            assert (doctored.faults(done), sentence(done)) == (set(), None), done
    for code, count in sorted(codes.items()):
        record(f"firewall, {orders:,} orders: {code}", count)
        print(f"{code}: {count:,}")
    assert [code for code in get_args(Rule) if codes[code]] == []
    assert codes["filled"] > orders / 2
    assert codes["NO_BID"] > 0  # refusals are counted


def sentence(case: doctored.Case) -> str | None:
    try:
        guard(case.legs, case.quantity, case.prices, case.quotes, case.moment, config=case.config)
    except InvariantError as error:
        return str(error)
    return None


def test_fifty_thousand_fills_no_valid_one_stopped_no_doctored_one_passed(
    record_testsuite_property: Any,
) -> None:
    sweep(25_000, 11, record_testsuite_property)


def test_nothing_is_refused_as_free_money_where_there_is_none(record_testsuite_property: Any) -> None:
    refusals(25_000, 13, record_testsuite_property)


@pytest.mark.slow
def test_nothing_is_refused_as_free_money_in_half_a_million_orders(record_testsuite_property: Any) -> None:
    refusals(500_000, 14, record_testsuite_property)


@pytest.mark.slow
def test_a_million_fills_no_valid_one_stopped_no_doctored_one_passed(record_testsuite_property: Any) -> None:
    sweep(500_000, 12, record_testsuite_property)


# --- the published in-the-money study


class Bought(NamedTuple):
    time: str
    contract: Contract
    spot: float
    premium: float
    intrinsic: float


def itm_study(shared: Path) -> list[Bought]:
    """The champion's trades of 2024 as the in-the-money study bought them (spec §5, Model B).

    The strike is one step of 5 dollars into the money; the clock stands at its end, so its factor is
    0.3; and puts take the moneyness of calls.
    """
    rows = []
    with (shared / "spec/reference/maxtrader_champion_2024_trades.csv").open() as file:
        for row in csv.DictReader(file):
            side, spot = 1 if row["direction"] == "long" else -1, float(row["entry_price"])
            strike = int(row["strike"]) - 5 * side
            m = (spot - strike) / spot
            steps = [(0.01, 3.0 + 100 * m), (0.005, 2.5), (-0.005, 2.0), (-0.01, 1.2), (-0.02, 0.6)]
            base = next((value for least, value in steps if m >= least), 0.2)
            day = dt.date.fromisoformat(row["entry_time"][:10]).toordinal() - dt.date(1970, 1, 1).toordinal()
            contract = Contract("QQQ", day, "C" if side > 0 else "P", strike * 100)
            premium = max(0.05, base * 0.3 * spot / 500)
            rows.append(Bought(row["entry_time"], contract, spot, premium, max(0.0, side * (spot - strike))))
    return rows


def qqq_only(shared: Path) -> list[Bought]:
    """The QQQ-only study's own trades, from the published room, on the 14 months that the slice has."""
    trades = ItmAccounting(tapes.real(shared, tapes.YEAR), QQQ_ONLY).booked
    return [
        Bought(
            str(t.entered),
            Contract("QQQ", 20_000, "C" if t.side > 0 else "P", round(100 * t.strike)),
            t.spot,
            t.premium,
            max(0.0, t.side * (t.spot - t.strike)),
        )
        for t in trades
    ]


@pytest.mark.parametrize(("study", "count"), [(itm_study, 587), (qqq_only, 567)])
def test_every_fill_of_the_published_itm_studies_is_stopped_as_below_intrinsic(
    shared: Path, record_testsuite_property: Any, study: Any, count: int
) -> None:
    bought = study(shared)
    by_guard = by_fill = 0
    for row in bought:
        price = math.ceil(100 * row.premium)  # rounded in its favour
        quote = Quote(row.contract, NOW, price, price, None, None, True)
        legs, moment = [Leg(row.contract, 1)], Moment(NOW, row.spot)
        with pytest.raises(InvariantError, match=f"{row.contract.name} bought at {price} c.*intrinsic value"):
            guard(legs, 1, [price], [quote], moment, config=CROSS)
        by_guard += 1
        refused = fill(CROSS, legs, 1, [quote], moment)
        by_fill += isinstance(refused, NotFilled) and refused.code == "BELOW_INTRINSIC"
    record_testsuite_property(f"{study.__name__}: fills stopped as below intrinsic", by_guard)
    assert (len(bought), by_guard, by_fill) == (count, count, count)
