"""The fill firewall: the one place that every simulated fill passes.

Two lines of defence stand one behind the other. `fills.fill` looks at quotes and
*refuses*: no quote, a stale one, an ask below intrinsic value. That happens in
every market, and it is recorded. `guard` looks at the finished fill and *raises*:
a price better than the fill model's, a leg without a quote, free money. No quote
gave such a fill, so the program itself is at fault, and a run that cheated may
not go on.

`guard` needs only the fill, the quotes and the moment it was made at. It asks
nothing of the broker, the desk or the pricing model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from maxlib.core.errors import InvariantError
from maxlib.execution.arbitrage import Moment, arbitrage
from maxlib.execution.fills import NS_PER_MS, FillConfig
from maxlib.market.calendar import from_ordinal
from maxlib.market.contract import Contract, Leg
from maxlib.market.quotes import Quote

_DUST: Final = 1e-9
_NS_PER_DAY: Final = 86_400 * 10**9

# Slack and carry loosen bounds, so one that is too wide would let anything pass. The widest that real
# chains gave lie under these: what put-call parity left open of the spot was 0.4 % within a month, 5 % of
# options of two and three years, 8 % of five; interest at 8 % on a chain's highest strike, 2.7 times the
# spot, is 21 % of the spot a year. A dividend of 5 % may come on any day.
SLACK_SHARE: Final = 0.01
SLACK_SHARE_YEAR: Final = 0.03
CARRY_SHARE: Final = 0.05
CARRY_SHARE_YEAR: Final = 0.25
"""The widest slack and carry that are believed, as shares of the spot: at once, and for each year left."""


def guard(
    legs: Sequence[Leg],
    quantity: int,
    prices_cents: Sequence[int],
    quotes: Sequence[Quote | None],
    moment: Moment,
    *,
    config: FillConfig,
) -> None:
    """Let a fill pass, or stop the run.

    Parameters
    ----------
    legs : one package, or one leg for a single option
    quantity : packages
    prices_cents : what each leg was filled at, cents a share
    quotes : what each leg was filled against, in the order of the legs
    moment : the underlying at the time of the fill; `moment.ts` is that time
    config : the fill model that claims to have made it

    Raises
    ------
    InvariantError
        One sentence that names the contract or package, the price and the bound.
    """
    sentence = (
        _shape(legs, quantity, prices_cents, quotes)
        or _moment(legs, moment)
        or _legs(legs, quantity, prices_cents, quotes, moment, config)
    )
    if sentence is None:
        found = arbitrage(legs, prices_cents, moment)
        if found is None:
            return
        sentence = found.sentence
    raise InvariantError(sentence)


def _legs(
    legs: Sequence[Leg],
    quantity: int,
    prices: Sequence[int],
    quotes: Sequence[Quote | None],
    moment: Moment,
    config: FillConfig,
) -> str | None:
    share = config.share
    for leg, price, quote in zip(legs, prices, quotes, strict=True):
        if quote is None:
            return f"{leg.contract.name} filled at {price} c without a quote: a missing leg is no fill"
        sentence = (
            _quoted(leg, price, quote)
            or _known(leg, quote, moment, config)
            or _side(leg, price, quote, share)
            or (_size(leg, quantity, quote) if config.partial else None)
        )
        if sentence is not None:
            return sentence
    return None


def _shape(
    legs: Sequence[Leg], quantity: int, prices: Sequence[int], quotes: Sequence[Quote | None]
) -> str | None:
    """A price and a quote for each leg; whole numbers everywhere."""
    n = len(legs)
    if n == 0 or len(prices) != n or len(quotes) != n:
        return f"a fill of {n} legs with {len(prices)} prices and {len(quotes)} quotes has a missing leg"
    if type(quantity) is not int or quantity < 1:
        return (
            f"{legs[0].contract.name} filled {quantity} times, but the quantity is a whole number from 1 on"
        )
    for (contract, ratio), price in zip(legs, prices, strict=True):
        if type(ratio) is not int or ratio == 0:
            return (
                f"{contract.name} filled with ratio {ratio}, but a leg is bought or sold in whole contracts"
            )
        if type(price) is not int or price < 1:
            return f"{contract.name} filled at {price} c, but a price is a whole number of cents from 1 on"
    return _package(legs) if n > 1 else None


def _package(legs: Sequence[Leg]) -> str | None:
    """Different contracts of one underlying: the rules of arbitrage see nothing across two."""
    first = legs[0].contract
    for i, (contract, _) in enumerate(legs):
        if contract.root != first.root:
            return f"{contract.name} filled in one package with {first.name}, which is of another underlying"
        if any(contract == other for other, _ in legs[:i]):
            return f"{contract.name} filled twice in one package, but a contract is one leg"
    return None


def _moment(legs: Sequence[Leg], moment: Moment) -> str | None:
    """A price of the underlying, or no bound can be known; and contracts that are still traded."""
    if not 0.0 < moment.spot < math.inf:
        return (
            f"{legs[0].contract.name} filled at a spot of {moment.spot}, against which nothing can be checked"
        )
    if not (0.0 <= moment.slack_cents < math.inf and 0.0 <= moment.carry_cents < math.inf):
        return (
            f"{legs[0].contract.name} filled with a slack of {moment.slack_cents} c and a carry of "
            f"{moment.carry_cents} c, but neither is below 0 or without limit"
        )
    # Trading ends at 16:15 in New York at the latest, which is the same day in UTC.
    today, last = moment.ts // _NS_PER_DAY, legs[0].contract.expiry
    for contract, _ in legs:
        last = max(last, contract.expiry)
        if today > contract.expiry:
            late = from_ordinal(today)
            return f"{contract.name} filled on {late}, after its expiry on {from_ordinal(contract.expiry)}"
    if moment.slack_cents or moment.carry_cents:
        return _loose(legs[0].contract, moment, (last - today) / 365.0)
    return None


def _loose(contract: Contract, moment: Moment, years: float) -> str | None:
    """Slack and carry that can be believed."""
    for name, cents, share in (
        ("slack", moment.slack_cents, SLACK_SHARE + SLACK_SHARE_YEAR * years),
        ("carry", moment.carry_cents, CARRY_SHARE + CARRY_SHARE_YEAR * years),
    ):
        most = share * 100.0 * moment.spot
        if cents > most:
            return (
                f"{contract.name} filled with a {name} of {cents:g} c, over the {most:g} c "
                f"({share:.1%} of the spot) that can be believed"
            )
    return None


def _quoted(leg: Leg, price: int, quote: Quote) -> str | None:
    """Somebody stands on the other side, and bid and ask are in order."""
    contract, ratio = leg
    bid, ask = quote.bid_cents, quote.ask_cents
    if quote.contract != contract:
        return f"{contract.name} filled at {price} c against the quote of {quote.contract.name}"
    if ask is None or not ask >= 1:
        return f"{contract.name} filled at {price} c where nobody offers (ask {ask})"
    if ratio < 0 and (bid is None or not bid >= 1):
        return f"{contract.name} sold at {price} c where nobody bids (bid {bid})"
    if bid is not None and not bid <= ask:
        return f"{contract.name} filled at {price} c in a crossed market: bid {bid} c over ask {ask} c"
    return None


def _known(leg: Leg, quote: Quote, moment: Moment, config: FillConfig) -> str | None:
    """A quote of the past, and not of the distant past."""
    age = moment.ts - quote.ts
    if age < 0:
        return f"{leg.contract.name} filled at a quote from {-age / NS_PER_MS:g} ms after the fill"
    if age > config.max_quote_age_ms * NS_PER_MS:
        return (
            f"{leg.contract.name} filled at a stale quote of {age / NS_PER_MS:g} ms, "
            f"over the bound of {config.max_quote_age_ms} ms"
        )
    return None


def _side(leg: Leg, price: int, quote: Quote, share: float) -> str | None:
    """No better than the fill model gives: with the default, the ask when buying and the bid when selling."""
    bid, ask = quote.bid_cents, quote.ask_cents
    assert ask is not None  # by `_quoted`
    kept = 0.5 * (1.0 - share) * (ask - bid) if bid is not None and bid >= 1 else 0.0
    if leg.ratio > 0:
        if price < ask - kept - _DUST:
            return (
                f"{leg.contract.name} bought at {price} c, below the {ask - kept:g} c that the model allows "
                f"at an ask of {ask} c"
            )
        return None
    assert bid is not None
    if price > bid + kept + _DUST:
        return (
            f"{leg.contract.name} sold at {price} c, above the {bid + kept:g} c that the model allows "
            f"at a bid of {bid} c"
        )
    return None


def _size(leg: Leg, quantity: int, quote: Quote) -> str | None:
    """No more than the displayed size, where it is known."""
    size = quote.ask_size if leg.ratio > 0 else quote.bid_size
    wanted = quantity * abs(leg.ratio)
    if size is not None and wanted > size:
        return f"{leg.contract.name} filled for {wanted} contracts, more than the displayed size of {size}"
    return None
