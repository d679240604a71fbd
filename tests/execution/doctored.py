"""Fills that a market could have given, fills that none could, and a plain twin that tells them apart.

A chain of options is a mixture of lognormals with one mean, so it has a smile and no arbitrage by
construction. `valid` fills packages on it by hand, without the code under test: each leg at what its
quote gives, and no better than its true value in whole cents. `asked` gives the same packages to the
fill models, whose refusals are counted: none may find free money there. Each doctoring then spoils one
thing of a valid fill; `faults` says in its own plain words what is wrong with the result: it looks
for free money by brute force over hedges on a grid of final prices, where the firewall compares
prices with bounds. A doctoring that did not spoil anything is thrown away.
"""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

from maxlib.execution.arbitrage import Moment
from maxlib.execution.fills import FillConfig, Filled, NotFilled, fill
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote

MS = 1_000_000
NOW = 1_731_600_000 * 1_000_000_000
EXPIRY = 20_041


class Case(NamedTuple):
    legs: tuple[Leg, ...]
    quantity: Any
    prices: tuple[Any, ...]
    quotes: tuple[Quote | None, ...]
    moment: Moment
    config: FillConfig


# --- a market without arbitrage


class Chain(NamedTuple):
    """True values in cents, and what is known of the underlying."""

    strikes: list[int]
    value: dict[Contract, float]
    moment: Moment
    modelled: bool


def lognormal_call(forward: float, strike: float, sd: float) -> float:
    d = math.log(forward / strike) / sd + sd / 2
    n = (0.5 * math.erfc(-d / math.sqrt(2)), 0.5 * math.erfc(-(d - sd) / math.sqrt(2)))
    return forward * n[0] - strike * n[1]


def chain(rng: Random) -> Chain:
    """Modelled (no carry), American with interest and a dividend, or European on its parity forward."""
    kind = rng.choice(("modelled", "american", "european"))
    spot = round(rng.uniform(100.0, 700.0), rng.choice((2, 4))) * 100
    step = rng.choice((50, 100, 100, 500))
    middle = round(spot / step)
    strikes = [k * step for k in range(middle - 12, middle + 13) if k > 0]
    discount = 1.0 if kind == "modelled" else 1.0 - rng.uniform(0.0, 0.002)
    dividend = rng.uniform(0.0, 100.0) if kind == "american" and rng.random() < 0.3 else 0.0
    forward = spot if kind == "european" else (spot - dividend) / discount
    sds = [math.exp(rng.uniform(math.log(0.001), math.log(0.06))) for _ in range(3)]
    weights = [rng.uniform(0.1, 1.0) for _ in sds]
    moves = [math.exp(rng.gauss(0.0, sd)) for sd in sds]
    mean = sum(w * m for w, m in zip(weights, moves, strict=True)) / sum(weights)
    value = {}
    for k in strikes:
        call = discount * sum(
            w / sum(weights) * lognormal_call(forward * m / mean, k, sd)
            for w, m, sd in zip(weights, moves, sds, strict=True)
        )
        put = call - discount * (forward - k)
        if kind == "american":
            call, put = max(call, spot - k), max(put, k - spot)
        value[Contract("QQQ", EXPIRY, "C", k)] = call
        value[Contract("QQQ", EXPIRY, "P", k)] = put
    carry = (1.0 - discount) * strikes[-1] + dividend
    slack = 0.0 if kind == "modelled" else rng.choice((0.0, 1.0, 5.0))
    seen = (spot + rng.uniform(-slack, slack)) / 100
    exercise = "european" if kind == "european" else "american"
    return Chain(strikes, value, Moment(NOW, seen, slack, carry, exercise), kind == "modelled")


def quote(rng: Random, c: Chain, contract: Contract) -> Quote:
    """A market around the true value. Only modelled ones are rounded to the nearest cent."""
    value = c.value[contract]
    half = rng.choice((0.0, 1.0, max(1.0, 0.01 * value), rng.uniform(0.0, 20.0)))
    if c.modelled:
        bid, ask = max(0, round(value - half)), max(1, round(value + half))
        return Quote(contract, NOW, bid, ask, None, None, True)
    bid, ask = math.floor(value - half + 1e-9), max(1, math.ceil(value + half - 1e-9))
    sizes = (None, None) if rng.random() < 0.2 else (rng.randint(1, 300), rng.randint(1, 300))
    ts = NOW - rng.randint(0, 2_000 * MS)
    return Quote(contract, ts, bid if bid >= 1 else rng.choice((0, None)), ask, *sizes, False)


# --- packages


def structure(rng: Random, c: Chain) -> tuple[Leg, ...]:
    """A package of any kind, bought or sold."""
    kind = rng.choice(list(STRUCTURES))
    rights, steps, ratios = STRUCTURES[kind]
    right, way = rng.choice("CP"), rng.choice((1, 1, -1))
    reach = max(steps) * (scale := rng.randint(1, 2))
    wider = rng.randint(1, 3) if kind == "broken wing" else 0
    first = rng.randrange(len(c.strikes) - reach - wider)
    places = [first + s * scale for s in steps]
    places[-1] += wider
    if rng.random() < 0.5 and kind in ("broken wing", "1:-3:2"):
        ratios = ratios[::-1]  # the long wing on the other side
        places = [first + reach + wider - (p - first) for p in reversed(places)]
    own = {"x": right, "y": "P" if right == "C" else "C", "C": "C", "P": "P"}
    return tuple(
        Leg(Contract("QQQ", EXPIRY, own[r], c.strikes[p]), way * ratio)
        for r, p, ratio in zip(rights, places, ratios, strict=True)
    )


STRUCTURES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    # rights (x = either, y = the other), strikes in steps, ratios
    "single": ("x", (0,), (1,)),
    "single too": ("x", (0,), (1,)),
    "vertical": ("xx", (0, 1), (1, -1)),
    "fly": ("xxx", (0, 1, 2), (1, -2, 1)),
    "broken wing": ("xxx", (0, 1, 2), (1, -2, 1)),
    "1:-3:2": ("xxx", (0, 2, 3), (1, -3, 2)),
    "condor": ("xxxx", (0, 1, 2, 3), (1, -1, -1, 1)),
    "iron condor": ("PPCC", (0, 1, 2, 3), (1, -1, -1, 1)),
    "iron fly": ("PPCC", (0, 1, 1, 2), (1, -1, -1, 1)),
    "box": ("CPCP", (0, 0, 1, 1), (1, -1, -1, 1)),
    "synthetic": ("CP", (0, 0), (1, -1)),
    "straddle": ("CP", (0, 0), (1, 1)),
    "guts": ("CP", (0, 2), (1, 1)),
    "ratio": ("xx", (0, 1), (1, -2)),
}

CONFIGS = [
    FillConfig(),
    FillConfig(),
    FillConfig(partial=False),
    FillConfig(model="mid"),
    FillConfig(model="fraction", fraction=0.3),
]


def orders(rng: Random) -> Iterator[tuple[Chain, Case]]:
    """Packages to be filled, without prices, for ever. Each chain serves for a while."""
    while True:
        c = chain(rng)
        for _ in range(100):
            legs, config = structure(rng, c), rng.choice(CONFIGS)
            quotes = tuple(quote(rng, c, leg.contract) for leg in legs)
            yield c, Case(legs, rng.randint(1, 50), (), quotes, c.moment, config)


def valid(rng: Random) -> Iterator[Case]:
    """Fills that a market gives, made by hand, for ever."""
    for c, order in orders(rng):
        done = by_hand(c, order)
        if done is not None:
            yield done


def by_hand(c: Chain, order: Case) -> Case | None:
    """The fill at the quotes, or None if they cannot be filled at.

    True values, rounded against us, leave no free money in any package: what is bought at its value or
    more and sold at its value or less cannot win for sure.
    """
    prices, quantity = [], order.quantity
    give = {"cross": 1.0, "mid": 0.0, "fraction": order.config.fraction}[order.config.model]
    for (contract, ratio), q in zip(order.legs, order.quotes, strict=True):
        bid = q.bid_cents if q.bid_cents and q.bid_cents > 0 else None
        if (bid is None and ratio < 0) or (bid is not None and bid > q.ask_cents):
            return None
        mid = q.ask_cents if bid is None else (bid + q.ask_cents) / 2
        if ratio > 0:
            dear = max(mid + give * (q.ask_cents - mid), c.value[contract])
            prices.append(max(1, math.ceil(dear - 1e-9)))
        else:
            cheap = min(mid - give * (mid - bid), c.value[contract])
            prices.append(math.floor(cheap + 1e-9))
        size = q.ask_size if ratio > 0 else q.bid_size
        if order.config.partial and size is not None:
            quantity = min(quantity, size // abs(ratio))
    if quantity < 1 or min(prices) < 1:
        return None
    return order._replace(quantity=quantity, prices=tuple(prices))


def asked(rng: Random) -> Iterator[Case | NotFilled]:
    """What the fill models make of such packages, for ever."""
    for _, order in orders(rng):
        done = fill(order.config, order.legs, order.quantity, order.quotes, order.moment)
        if isinstance(done, Filled):
            yield order._replace(quantity=done.quantity, prices=done.prices_cents)
        else:
            yield done


# --- the plain twin


def faults(case: Case) -> set[str]:
    """All that is wrong with a fill; the empty set for a valid one."""
    found = form(case)
    return found or quoted(case) | free_money(case)


def form(case: Case) -> set[str]:
    found = set()
    n = len(case.legs)
    if len(case.prices) != n or len(case.quotes) != n or None in case.quotes:
        found.add("missing leg")
    if not all(isinstance(p, int) and p > 0 for p in case.prices):
        found.add("price")
    if not isinstance(case.quantity, int) or case.quantity <= 0:
        found.add("quantity")
    if not (case.moment.spot > 0 and math.isfinite(case.moment.spot)):
        found.add("spot")
    # The clock by the slow way: the date in UTC.
    today = dt.datetime.fromtimestamp(case.moment.ts / 1e9, dt.UTC).date()
    days = [(dt.date(1970, 1, 1) + dt.timedelta(days=leg.contract.expiry) - today).days for leg in case.legs]
    if days and min(days) < 0:
        found.add("expired")
    if len({leg.contract for leg in case.legs}) < n:
        found.add("twice")
    if len({leg.contract.root for leg in case.legs}) > 1:
        found.add("roots")
    left = max(days, default=0) / 365
    if case.moment.slack_cents > case.moment.spot * (1 + 3 * left):
        found.add("slack")
    if case.moment.carry_cents > case.moment.spot * (5 + 25 * left):
        found.add("carry")
    return found


def quoted(case: Case) -> set[str]:
    found = set()
    give = {"cross": 1.0, "mid": 0.0, "fraction": case.config.fraction}[case.config.model]
    for leg, price, q in zip(case.legs, case.prices, case.quotes, strict=True):
        if q.contract != leg.contract:
            found.add("other contract")
        if q.ts > case.moment.ts:
            found.add("future")
        if case.moment.ts - q.ts > case.config.max_quote_age_ms * MS:
            found.add("stale")
        bids, asks = (q.bid_cents or 0) > 0, (q.ask_cents or 0) > 0
        if not asks:
            found.add("no ask")
            continue
        if bids and q.bid_cents > q.ask_cents:
            found.add("crossed")
        if leg.ratio < 0 and not bids:
            found.add("no bid")
            continue
        mid = (q.bid_cents + q.ask_cents) / 2 if bids else q.ask_cents
        far = q.ask_cents if leg.ratio > 0 else q.bid_cents
        gained = mid + give * (far - mid) - price
        if (gained if leg.ratio > 0 else -gained) > 1e-6:
            found.add("side")
        size = q.ask_size if leg.ratio > 0 else q.bid_size
        if case.config.partial and size is not None and case.quantity * abs(leg.ratio) > size:
            found.add("size")
    return found


def free_money(case: Case) -> set[str]:
    """Which parts of the package, taken at the fill's prices, win whatever happens."""
    found = set()
    american = case.moment.exercise == "american"
    slack, carry = case.moment.slack_cents, case.moment.carry_cents
    rows = list(zip(case.legs, case.prices, strict=True))
    for (contract, ratio), price in rows:
        part = [(contract, 1 if ratio > 0 else -1, price)]
        if ratio < 0 and worst(part, case, slack) > 1e-6:
            found.add("maximum")
        # Whole cents: the intrinsic value is rounded down.
        if ratio > 0 and worst(part, case, slack + (0.0 if american else carry)) > 1.0 - 1e-6:
            found.add("intrinsic")
    bought = [(c, p) for (c, r), p in rows if r > 0]
    sold = [(c, p) for (c, r), p in rows if r < 0]
    for (b, paid), (s, got) in itertools.product(bought, sold):
        part = [(b, 1, paid), (s, -1, got)]
        if b.right == s.right and worst(part, case, 0.0, hedges=[0.0]) > 1e-6:
            found.add("vertical")
        if (
            b.right != s.right
            and b.strike_cents == s.strike_cents
            and worst(part, case, slack + carry) > 1e-6
        ):
            found.add("parity")
    for (a, pa), (s, got), (b, pb) in itertools.product(bought, sold, bought):
        if a.right == s.right == b.right and a.strike_cents < s.strike_cents < b.strike_cents:
            up, down = b.strike_cents - s.strike_cents, s.strike_cents - a.strike_cents
            part = [(a, up, pa), (s, -up - down, got), (b, down, pb)]
            if worst(part, case, 0.0, hedges=[0.0]) / (up + down) > 1e-6:
                found.add("convexity")
    if len(rows) > 1:
        part = [(c, r, p) for (c, r), p in rows]
        lots = {right: sum(abs(r) for c, r, _ in part if c.right == right) for right in "CP"}
        carried = carry * (min(lots.values()) if american else sum(lots.values()))
        if worst(part, case, slack + carry) - carried > 1e-6:
            found.add("payoff")
    return found


def worst(
    part: list[tuple[Contract, int, int]], case: Case, off: float, hedges: Iterable[float] | None = None
) -> float:
    """The surest profit in cents: best number of shares against it, worst final price of a grid.

    The shares may have to be traded `off` cents away from the spot.
    """
    strikes = sorted({c.strike_cents for c, *_ in part})
    grid = [0, *strikes, 2 * strikes[-1]]
    pays = [
        sum(r * max(0, (x - c.strike_cents) * (1 if c.right == "C" else -1)) for c, r, _ in part)
        for x in grid
    ]
    tail = sum(r for c, r, _ in part if c.right == "C")  # slope of the payoff beyond the last strike
    paid = sum(r * p for _, r, p in part)
    spot = 100 * case.moment.spot
    if hedges is None:
        points = list(zip(grid, pays, strict=True))
        hedges = {0.0, tail, *((g - f) / (y - x) for (x, f), (y, g) in itertools.combinations(points, 2))}
    return max(
        (
            min(f - h * x for x, f in zip(grid, pays, strict=True)) + h * spot - abs(h) * off - paid
            for h in hedges
            if h <= tail  # else a rising market loses without end
        ),
        default=-math.inf,
    )


# --- doctorings: each takes a valid fill and spoils one thing, or finds nothing to spoil


def locked(case: Case, changes: dict[int, int]) -> Case | None:
    """The fill with other prices, at quotes that really show them."""
    if min(changes.values()) < 1:
        return None
    prices, quotes = list(case.prices), list(case.quotes)
    for i, price in changes.items():
        prices[i] = price
        quotes[i] = quotes[i]._replace(bid_cents=price, ask_cents=price)
    return case._replace(prices=tuple(prices), quotes=tuple(quotes))


def requote(case: Case, i: int, **changes: Any) -> Case:
    quotes = list(case.quotes)
    quotes[i] = quotes[i]._replace(**changes)
    return case._replace(quotes=tuple(quotes))


def any_leg(rng: Random, case: Case) -> int:
    return rng.randrange(len(case.legs))


def pairs(case: Case) -> Iterator[tuple[int, int]]:
    """Every bought leg with every sold one."""
    for i, j in itertools.permutations(range(len(case.legs)), 2):
        if case.legs[i].ratio > 0 > case.legs[j].ratio:
            yield i, j


def better_than_the_side(rng: Random, case: Case) -> Case:
    i = any_leg(rng, case)
    # A leg may have been paid up; go by what the quote allows.
    q, buy = case.quotes[i], case.legs[i].ratio > 0
    give = {"cross": 1.0, "mid": 0.0, "fraction": case.config.fraction}[case.config.model]
    bid = q.bid_cents or q.ask_cents
    mid, half = (bid + q.ask_cents) / 2, (q.ask_cents - bid) / 2
    price = math.ceil(mid + give * half - 1e-6) - 1 if buy else math.floor(mid - give * half + 1e-6) + 1
    prices = list(case.prices)
    prices[i] = price
    return case._replace(prices=tuple(prices))


def below_intrinsic(rng: Random, case: Case) -> Case | None:
    m, i = case.moment, any_leg(rng, case)
    contract, ratio = case.legs[i]
    inside = (100 * m.spot - contract.strike_cents) * (1 if contract.right == "C" else -1)
    least = math.floor(inside - m.slack_cents - (m.carry_cents if m.exercise == "european" else 0.0) + 1e-6)
    if ratio < 0 or least < 2:
        return None
    return locked(case, {i: rng.choice((least - 1, rng.randint(1, least - 1)))})


def above_its_maximum(rng: Random, case: Case) -> Case | None:
    i = any_leg(rng, case)
    contract, ratio = case.legs[i]
    most = (
        100 * case.moment.spot + case.moment.slack_cents if contract.right == "C" else contract.strike_cents
    )
    return locked(case, {i: math.floor(most + 1e-6) + rng.randint(1, 50)}) if ratio < 0 else None


def vertical_broken(rng: Random, case: Case, credit: bool) -> Case | None:
    for i, j in pairs(case):
        (b, _), (s, _) = case.legs[i], case.legs[j]
        width = (s.strike_cents - b.strike_cents) * (1 if b.right == "C" else -1)
        if b.right == s.right and (width > 0) == credit:
            return locked(case, {j: case.prices[i] + max(0, -width) + rng.choice((1, rng.randint(1, 40)))})
    return None


def vertical_bought_for_a_credit(rng: Random, case: Case) -> Case | None:
    return vertical_broken(rng, case, credit=True)


def vertical_sold_over_its_width(rng: Random, case: Case) -> Case | None:
    return vertical_broken(rng, case, credit=False)


def fly_too_cheap(rng: Random, case: Case) -> Case | None:
    """The body dearer than the line between its wings: a fly for a credit, wings weighted by distance."""
    for (i, j), (k, _) in itertools.product(pairs(case), pairs(case)):
        low, body, high = (case.legs[x].contract for x in (i, j, k))
        if low.right == body.right == high.right and low.strike_cents < body.strike_cents < high.strike_cents:
            up, down = high.strike_cents - body.strike_cents, body.strike_cents - low.strike_cents
            line = (up * case.prices[i] + down * case.prices[k]) / (up + down)
            return locked(case, {j: math.floor(line + 1e-6) + rng.choice((1, 2))})
    return None


def parity_broken(rng: Random, case: Case) -> Case | None:
    m = case.moment
    for i, j in pairs(case):
        (b, _), (s, _) = case.legs[i], case.legs[j]
        if b.right != s.right and b.strike_cents == s.strike_cents:
            forward = (100 * m.spot - b.strike_cents) * (1 if b.right == "C" else -1)
            dearest = case.prices[i] - forward + m.slack_cents + m.carry_cents
            return locked(case, {j: math.floor(dearest + 1e-6) + rng.randint(1, 10)})
    return None


def package_too_cheap(rng: Random, case: Case) -> Case | None:
    """All bought legs cheaper, until the hedged payoff pays more than the package costs."""
    if len(case.legs) == 1:
        return None
    prices = list(case.prices)
    bought = [i for i, leg in enumerate(case.legs) if leg.ratio > 0]
    for _ in range(12 if bought else 0):
        for i in bought:
            prices[i] = max(1, prices[i] - rng.randint(0, max(2, prices[i] // 3)))
        spoiled = locked(case, {i: prices[i] for i in bought})
        if spoiled and "payoff" in free_money(spoiled):
            return spoiled
    return None


def oversize(rng: Random, case: Case) -> Case | None:
    i = any_leg(rng, case)
    size = case.quantity * abs(case.legs[i].ratio) - 1
    key = "ask_size" if case.legs[i].ratio > 0 else "bid_size"
    return (
        requote(case, i, **{key: rng.choice((size, rng.randint(0, size)))}) if case.config.partial else None
    )


def stale(rng: Random, case: Case) -> Case:
    bound = case.config.max_quote_age_ms * MS
    return requote(case, any_leg(rng, case), ts=NOW - bound - rng.choice((1, MS, 10**12)))


def from_the_future(rng: Random, case: Case) -> Case:
    return requote(case, any_leg(rng, case), ts=NOW + rng.choice((1, MS, 60_000 * MS)))


def missing_leg(rng: Random, case: Case) -> Case:
    i = any_leg(rng, case)
    return case._replace(quotes=(*case.quotes[:i], None, *case.quotes[i + 1 :]))


def one_quote_too_few(rng: Random, case: Case) -> Case:
    return case._replace(quotes=case.quotes[:-1])


def one_price_too_few(rng: Random, case: Case) -> Case:
    return case._replace(prices=case.prices[:-1])


def quote_of_another_contract(rng: Random, case: Case) -> Case:
    i = any_leg(rng, case)
    c = case.legs[i].contract
    other = rng.choice((c._replace(strike_cents=c.strike_cents + 100), c._replace(expiry=c.expiry + 1)))
    return requote(case, i, contract=other)


def crossed(rng: Random, case: Case) -> Case:
    i = any_leg(rng, case)
    q = case.quotes[i]
    if case.legs[i].ratio > 0:
        return requote(case, i, bid_cents=q.ask_cents + rng.randint(1, 5))
    return requote(case, i, bid_cents=q.bid_cents + 1, ask_cents=max(1, q.bid_cents - rng.randint(0, 5)))


def nobody_bids(rng: Random, case: Case) -> Case | None:
    i = any_leg(rng, case)
    return requote(case, i, bid_cents=rng.choice((None, 0, -1))) if case.legs[i].ratio < 0 else None


def nobody_offers(rng: Random, case: Case) -> Case:
    return requote(case, any_leg(rng, case), ask_cents=rng.choice((None, 0, -3)))


def price_is_no_price(rng: Random, case: Case) -> Case:
    i = any_leg(rng, case)
    wrong = rng.choice((math.nan, math.inf, -1, 0, -case.prices[i], case.prices[i] + 0.5, None))
    return case._replace(prices=(*case.prices[:i], wrong, *case.prices[i + 1 :]))


def quantity_is_no_quantity(rng: Random, case: Case) -> Case:
    return case._replace(quantity=rng.choice((0, -case.quantity, 0.5, math.nan)))


def spot_is_no_price(rng: Random, case: Case) -> Case:
    return case._replace(moment=case.moment._replace(spot=rng.choice((math.nan, math.inf, 0.0, -1.0))))


def after_expiry(rng: Random, case: Case) -> Case:
    """A day or more too late, at quotes of that time."""
    late = case.moment.ts + rng.randint(1, 30) * 24 * 3_600_000 * MS
    quotes = tuple(q._replace(ts=late) for q in case.quotes)
    return case._replace(quotes=quotes, moment=case.moment._replace(ts=late))


def one_contract_twice(rng: Random, case: Case) -> Case:
    """A leg once more, at its own price, in the other direction or the same."""
    i = any_leg(rng, case)
    again = case.legs[i]._replace(ratio=rng.choice((-1, 1)))
    at = rng.randrange(len(case.legs) + 1)
    return case._replace(
        legs=(*case.legs[:at], again, *case.legs[at:]),
        prices=(*case.prices[:at], case.prices[i], *case.prices[at:]),
        quotes=(*case.quotes[:at], case.quotes[i], *case.quotes[at:]),
    )


def two_roots(rng: Random, case: Case) -> Case | None:
    if len(case.legs) == 1:
        return None
    i = any_leg(rng, case)
    other = case.legs[i].contract._replace(root="SPY")
    legs = (*case.legs[:i], case.legs[i]._replace(contract=other), *case.legs[i + 1 :])
    return requote(case._replace(legs=legs), i, contract=other)


def slack_without_measure(rng: Random, case: Case) -> Case:
    absurd = 100 * case.moment.spot * rng.uniform(0.0101, 1.0)
    return case._replace(moment=case.moment._replace(slack_cents=absurd))


def carry_without_measure(rng: Random, case: Case) -> Case:
    absurd = 100 * case.moment.spot * rng.uniform(0.0501, 1.0)
    return case._replace(moment=case.moment._replace(carry_cents=absurd))


class Doctoring(NamedTuple):
    """How to spoil a fill, the fault that the twin must see, and the words the firewall may stop it with."""

    spoil: Callable[[Random, Case], Case | None]
    fault: str
    words: tuple[str, ...]


BOUNDS = ("intrinsic value", "maximum", "vertical", "butterfly convexity", "put-call parity", "payoff")
DOCTORINGS = [
    Doctoring(better_than_the_side, "side", ("model allows",)),
    Doctoring(below_intrinsic, "intrinsic", ("intrinsic value",)),
    Doctoring(above_its_maximum, "maximum", ("maximum",)),
    Doctoring(vertical_bought_for_a_credit, "vertical", ("vertical", "maximum")),
    Doctoring(vertical_sold_over_its_width, "vertical", ("vertical", "maximum")),
    Doctoring(fly_too_cheap, "convexity", ("butterfly convexity", "vertical", "put-call parity")),
    Doctoring(parity_broken, "parity", ("put-call parity", "vertical")),
    Doctoring(package_too_cheap, "payoff", BOUNDS),
    Doctoring(oversize, "size", ("displayed size",)),
    Doctoring(stale, "stale", ("stale",)),
    Doctoring(from_the_future, "future", ("after the fill",)),
    Doctoring(missing_leg, "missing leg", ("missing leg",)),
    Doctoring(one_quote_too_few, "missing leg", ("missing leg",)),
    Doctoring(one_price_too_few, "missing leg", ("missing leg",)),
    Doctoring(quote_of_another_contract, "other contract", ("against the quote of",)),
    Doctoring(crossed, "crossed", ("crossed",)),
    Doctoring(nobody_bids, "no bid", ("nobody bids",)),
    Doctoring(nobody_offers, "no ask", ("nobody offers",)),
    Doctoring(price_is_no_price, "price", ("whole number of cents",)),
    Doctoring(quantity_is_no_quantity, "quantity", ("the quantity is",)),
    Doctoring(spot_is_no_price, "spot", ("nothing can be checked",)),
    Doctoring(after_expiry, "expired", ("after its expiry",)),
    Doctoring(one_contract_twice, "twice", ("twice in one package",)),
    Doctoring(two_roots, "roots", ("another underlying",)),
    Doctoring(slack_without_measure, "slack", ("a slack of",)),
    Doctoring(carry_without_measure, "carry", ("a carry of",)),
]


def spoilt(rng: Random, case: Case) -> tuple[str, Case, tuple[str, ...]] | None:
    """The fill with one thing spoilt; half of the time a bound if there is one to break."""
    order = rng.sample(DOCTORINGS, len(DOCTORINGS))
    if rng.random() < 0.5:
        order.sort(key=lambda doctoring: doctoring.words[0] not in BOUNDS)
    for spoil, fault, words in order:
        done = spoil(rng, case)
        if done is not None and fault in faults(done):
            return spoil.__name__, done, words
    return None
