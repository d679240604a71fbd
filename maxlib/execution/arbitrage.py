"""What the prices of one fill may be at all: bounds that hold under any model.

A price that is too bad for us is allowed, it is only a bad trade. A price that is
too good is free money, and nobody gives that away. So every rule has one side:
what is bought is not too cheap, what is sold is not too dear.

One idea stands behind all of them. The fill's prices must leave room for one
curve of option values over strikes that no riskless trade can beat: at least
intrinsic value, falling for calls and rising for puts by at most the distance
of the strikes (vertical), convex (butterfly), calls and puts tied at each
strike (parity). The last rule looks at the package as a whole: its payoff is
hedged with shares in the best way, and the net price may not be below what then
remains in the worst case.

Source: Merton 1973, "Theory of rational option pricing"; Hull, "Properties of
stock options". The rules hold for American and European options, with any rate
and dividend as far as `Moment.carry_cents` covers them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from maxlib.market.contract import Contract, Leg

_DUST: Final = 1e-6
"""Cents. Dollars times 100 are not whole: 100 × 501.29 = 50129.00000000001."""

_FREE: Final = 10**12
"""Cents that no option is worth."""

Rule = Literal[
    "BELOW_INTRINSIC",
    "ABOVE_MAXIMUM",
    "VERTICAL_WIDTH",
    "BUTTERFLY_CONVEXITY",
    "PUT_CALL_PARITY",
    "PACKAGE_PAYOFF",
]


class Moment(NamedTuple):
    """The underlying at the time of a fill.

    ts : UTC ns
    spot : dollars; the price of the underlying that the quotes were made at. For
        European index options the forward that the chain itself implies is better
        than the cash index, which lags.
    slack_cents : the most by which `spot` may be off, cents a share; 0 when the
        quotes were modelled from it
    carry_cents : the most that interest and dividends until expiry are worth at
        any of the strikes, cents a share; 0 when neither was modelled
    exercise : an American option is worth at least what exercise pays now, a
        European one may be worth less by the carry
    """

    ts: int
    spot: float
    slack_cents: float = 0.0
    carry_cents: float = 0.0
    exercise: Literal["american", "european"] = "american"


class Breach(NamedTuple):
    """A price that cannot be.

    rule : the first rule broken
    leg : index of the leg that would have to give way; a bought one if there is one
    limit_cents, actual_cents : the bound and what was there instead, a share: of one leg
        its price, of a fly the price of its body, else the net price paid
    sentence : names contracts, price and bound
    """

    rule: Rule
    leg: int
    limit_cents: float
    actual_cents: float
    sentence: str


def arbitrage(legs: Sequence[Leg], prices_cents: Sequence[int], moment: Moment) -> Breach | None:
    """The first bound that the prices break; None = they could be real.

    Parameters
    ----------
    legs : one package of one underlying
    prices_cents : whole cents a share, one per leg

    Legs of different expiries or roots are bound only within their own.

    >>> call, higher = (Leg(Contract("QQQ", 20406, "C", k), r) for k, r in ((60000, 1), (60500, -1)))
    >>> arbitrage([call, higher], [210, 80], Moment(0, 600.0))
    >>> arbitrage([call, higher], [210, 230], Moment(0, 600.0)).sentence
    'vertical QQQ251114C00600000 / QQQ251114C00605000 bought for -20 c, but none costs less than 0 c'
    """
    for i, (leg, price) in enumerate(zip(legs, prices_cents, strict=True)):
        found = _single(i, leg, price, moment)
        if found is not None:
            return found
    if len(legs) == 1:
        return None
    for group in _together(legs):
        found = (
            _two_legs(group, legs, prices_cents, moment)
            or _convexity(group, legs, prices_cents)
            or _payoff(group, legs, prices_cents, moment)
        )
        if found is not None:
            return found
    return None


def package_floor(legs: Sequence[Leg], moment: Moment) -> float:
    """The least that a package of one expiry can cost, cents a share, below 0 a credit: the payoff's rule."""
    found = _payoff(range(len(legs)), legs, [-leg.ratio * _FREE for leg in legs], moment)
    assert found is not None  # no payoff is worth so little
    return found.limit_cents


def _together(legs: Sequence[Leg]) -> list[list[int]]:
    """Indices of the legs that pay at one time."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, (contract, _) in enumerate(legs):
        groups.setdefault((contract.root, contract.expiry), []).append(i)
    return list(groups.values())


def _single(i: int, leg: Leg, price: int, moment: Moment) -> Breach | None:
    """A leg bought at intrinsic value or more, or sold at its maximum or less."""
    contract, ratio = leg
    spot, call = 100.0 * moment.spot, contract.right == "C"
    if ratio > 0:
        least = (spot - contract.strike_cents if call else contract.strike_cents - spot) - moment.slack_cents
        if moment.exercise == "european":
            least -= moment.carry_cents
        least = math.floor(least + _DUST)
        if price < least:
            return Breach("BELOW_INTRINSIC", i, least, price,
                f"{contract.name} bought at {price} c a share, below its intrinsic value of {least} c "
                f"at {_spot(moment)}")  # fmt: skip
        return None
    most = spot + moment.slack_cents if call else contract.strike_cents
    if price > most + _DUST:
        what = f"the underlying at {_spot(moment)}" if call else "the strike"
        return Breach("ABOVE_MAXIMUM", i, most, price,
            f"{contract.name} sold at {price} c a share, above its maximum, {most:g} c, {what}")  # fmt: skip
    return None


def _two_legs(
    group: Sequence[int], legs: Sequence[Leg], prices: Sequence[int], moment: Moment
) -> Breach | None:
    """Every bought leg against every sold one: verticals, and calls against puts of one strike."""
    for j in group:
        sold, ratio = legs[j]
        if ratio > 0:
            continue
        for i in group:
            bought, ratio = legs[i]
            if ratio < 0:
                continue
            if bought.right == sold.right:
                found = _vertical(i, j, bought, sold, prices)
            elif bought.strike_cents == sold.strike_cents:
                found = _parity(i, j, bought, sold, prices, moment)
            else:
                continue
            if found is not None:
                return found
    return None


def _vertical(i: int, j: int, bought: Contract, sold: Contract, prices: Sequence[int]) -> Breach | None:
    """A vertical bought for no less than 0, or sold for no more than its width."""
    width = sold.strike_cents - bought.strike_cents
    if bought.right == "P":
        width = -width
    least, net = min(width, 0), prices[i] - prices[j]
    if net >= least:
        return None
    pair = f"vertical {bought.name} / {sold.name}"
    words = (
        f"{pair} bought for {net} c, but none costs less than 0 c"
        if least == 0
        else f"{pair} sold for {-net} c, more than its width of {-least} c"
    )
    return Breach("VERTICAL_WIDTH", i, least, net, words)


def _parity(
    i: int, j: int, bought: Contract, sold: Contract, prices: Sequence[int], moment: Moment
) -> Breach | None:
    """Call less put of one strike is worth spot less strike, give or take slack and carry."""
    forward = 100.0 * moment.spot - bought.strike_cents
    if bought.right == "P":
        forward = -forward
    least = forward - moment.slack_cents - moment.carry_cents
    net = prices[i] - prices[j]
    if net >= least - _DUST:
        return None
    return Breach("PUT_CALL_PARITY", i, least, net,
        f"{bought.name} bought and {sold.name} sold for {net} c together, below put-call parity "
        f"of {least:g} c at {_spot(moment)}")  # fmt: skip


def _convexity(group: Sequence[int], legs: Sequence[Leg], prices: Sequence[int]) -> Breach | None:
    """A body sold for no more than the line between its bought wings, whatever their distances."""
    for j in group:
        (body, ratio), price = legs[j], prices[j]
        if ratio > 0:
            continue
        for i in group:
            low, ratio = legs[i]
            below = body.strike_cents - low.strike_cents
            if ratio < 0 or low.right != body.right or below <= 0:
                continue
            for k in group:
                high, ratio = legs[k]
                above = high.strike_cents - body.strike_cents
                if ratio < 0 or high.right != body.right or above <= 0:
                    continue
                line = (above * prices[i] + below * prices[k]) / (above + below)
                if price > line + _DUST:
                    fly = f"fly {low.name} / {body.name} / {high.name}"
                    return Breach("BUTTERFLY_CONVEXITY", i if above >= below else k, line, price,
                        f"{fly} with its body sold at {price} c, above the line between its wings "
                        f"at {line:g} c, breaks butterfly convexity")  # fmt: skip
    return None


def _payoff(
    group: Sequence[int], legs: Sequence[Leg], prices: Sequence[int], moment: Moment
) -> Breach | None:
    """The package's net price against the least that its payoff can be worth."""
    net = calls = puts = at_zero = tail = 0
    for i in group:
        (_, _, right, strike), ratio = legs[i]
        net += ratio * prices[i]
        if right == "C":
            tail += ratio
            calls += abs(ratio)
        else:
            at_zero += ratio * strike
            puts += abs(ratio)
    spot, off = 100.0 * moment.spot, moment.slack_cents + moment.carry_cents
    # One kind of American option needs no carry: its curve ends in the spot itself.
    lots = calls + puts if moment.exercise == "european" else min(calls, puts)
    carry = lots * moment.carry_cents
    if net + carry >= at_zero + tail * spot:  # the first of the bets below, without making the others
        return None
    knots = sorted({0, *(legs[i].contract.strike_cents for i in group)})
    values = [_value(group, legs, x) for x in knots]
    spots = (spot, spot - off, spot + off, *(x for x in knots if abs(x - spot) < off))
    least = min(_least(knots, values, tail, x) for x in spots) - carry
    if net >= least - _DUST:
        return None
    package = " ".join(f"{legs[i].ratio:+d} {legs[i].contract.name}" for i in group)
    gives_way = next((i for i in group if legs[i].ratio > 0), group[0])
    return Breach("PACKAGE_PAYOFF", gives_way, least, net,
        f"package {package} bought for {net} c, below the {least:g} c that its payoff is worth at the least "
        f"at {_spot(moment)}")  # fmt: skip


def _value(group: Sequence[int], legs: Sequence[Leg], x: int) -> int:
    """Payoff in cents a share if the underlying ends at `x` cents."""
    value = 0
    for i in group:
        (_, _, right, strike), ratio = legs[i]
        inside = x - strike if right == "C" else strike - x
        if inside > 0:
            value += ratio * inside
    return value


def _least(knots: Sequence[int], values: Sequence[int], tail: int, spot: float) -> float:
    """The payoff's lower convex envelope at the spot.

    A price below it is beaten by the package together with a number of shares. The
    payoff is straight between its knots and has slope `tail` beyond the last, so the
    worst market is a bet on two knots, or on one and the far end.
    """
    least = math.inf
    for a, at_a in zip(knots, values, strict=True):
        if a > spot:
            break
        least = min(least, at_a + tail * (spot - a))
        for b, at_b in zip(knots, values, strict=True):
            if b > spot:
                least = min(least, at_a + (at_b - at_a) * (spot - a) / (b - a))
    return least


def _spot(moment: Moment) -> str:
    slack = f" ± {moment.slack_cents:g} c" if moment.slack_cents else ""
    return f"a spot of {moment.spot:.2f}{slack}"
