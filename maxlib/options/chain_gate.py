"""The quality gate of option chains: every blemish counted, shown, and marked for the caller.

Nothing is repaired or dropped here. A check marks rows; what to do with them is the caller's choice
(`ChainReport.clean`). Checks across strikes and rights only strike where someone could trade on it:
bids sold, asks bought, beyond a stated tolerance. They mark the row that could be SOLD too dear;
which of the quotes is wrong cannot be known.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maxlib.core.config import Config
from maxlib.market.calendar import from_ordinal, new_york
from maxlib.market.quotes import Chain
from maxlib.options.chain_report import EXAMPLES, MEANING, ChainCheck, ChainReport, SpotCheck
from maxlib.options.forward import (
    Floats,
    ForwardConfig,
    Forwards,
    Ints,
    Mask,
    Order,
    arrange,
    discounts,
    forwards,
    pair_up,
    years_left,
)


class GateConfig(Config):
    """Bounds of the gate.

    Attributes
    ----------
    max_age_seconds : a quote older than this when it was known is stale
    tolerance : dollars (points) that a combination must pay beyond the spreads to count
    least_iv : per root year; below, an implied volatility is taken for "none"
    spot_tolerance : share of the spot by which it may differ from the parity forward, or the forward's
        own error if that is more; rates and dividends until expiry (`forward`) come on top
    forward : how the forward is taken, and how wide rates and dividends may be
    """

    max_age_seconds: float = Field(default=60.0, gt=0.0)
    tolerance: float = Field(default=0.005, ge=0.0)
    least_iv: float = Field(default=0.001, ge=0.0)
    spot_tolerance: float = Field(default=0.0005, ge=0.0)
    forward: ForwardConfig = ForwardConfig()


STANDARD: Final = GateConfig()


def inspect(chain: Chain, config: GateConfig = STANDARD) -> ChainReport:
    """Count and mark the blemishes of a chain.

    Parameters
    ----------
    chain : Chain
        Any source; a snapshot or a tape. Only rows of one moment (`ts`) are compared with each other.
    config : GateConfig

    Returns
    -------
    ChainReport
        Crossed and non-positive rows and repeats take no part in the checks across strikes and rights.
    """
    rows = chain.rows
    order = arrange(rows)
    found = forwards(chain, config.forward, order)
    masks = _row_checks(rows, config)
    masks["duplicate"] = _back(order, order.repeat)
    sound = ~(masks["crossed"] | masks["not_positive"] | masks["duplicate"])[order.row]
    masks["non_convex"], masks["vertical"] = _strike_checks(rows, order, sound, config.tolerance)
    masks["parity"] = _parity(rows, order, sound, found, config)
    masks["spot_off"] = _spot_off(rows, found, config)
    moments = np.unique(rows["ts"])
    expiries = np.unique(rows["expires_at"])
    return ChainReport(
        name=chain.name,
        root=chain.root,
        origin=chain.origin,
        rows=len(rows),
        series=_series(rows),
        moments=len(moments),
        expiries=len(expiries),
        first=_clock(moments[0]) if len(moments) else "never",
        last=_clock(moments[-1]) if len(moments) else "never",
        checks=tuple(_check(name, masks[name], chain) for name in MEANING),
        masks=masks,
        spot=_first_spot(rows, found),
        unknown_forwards=int((found.strikes == 0).sum()),
        forwards=len(found),
        ages_unknown=int((rows["quoted_at"] == 0).sum()),
        notes=chain.notes,
    )


def _row_checks(rows: NDArray[np.void], config: GateConfig) -> dict[str, Mask]:
    bid, ask, iv = (rows[name].copy() for name in ("bid", "ask", "iv"))
    age = rows["ts"] - rows["quoted_at"]
    # A comparison with NaN is false: an empty side is neither crossed nor non-positive.
    return {
        "no_bid": np.isnan(bid),
        "no_ask": np.isnan(ask),
        "no_quote": np.isnan(bid) & np.isnan(ask),
        "not_positive": (bid <= 0) | (ask <= 0) | np.isinf(bid) | np.isinf(ask) | ~(rows["strike"] > 0),
        "crossed": bid > ask,
        "locked": bid == ask,
        "stale": (rows["quoted_at"] != 0) & (age > config.max_age_seconds * 1e9),
        "iv_of_nothing": iv < config.least_iv,
    }


def _strike_checks(rows: NDArray[np.void], order: Order, sound: Mask, tolerance: float) -> tuple[Mask, Mask]:
    """Executable butterflies and verticals for a credit, over ALL strikes of a moment and right.

    With the bid b of a strike and the asks a of those below and above, per dollar of distance:
    left = max (b - a_below) / distance, right = min (a_above - b) / distance. A butterfly (sell one
    here, buy the two around it in inverse proportion to their distances) brings a credit exactly if
    left > right for some pair, hence for the extremes. A call spread is worth 0 to its width: left <= 0
    and right >= -1; a put spread: left <= 1 and right >= 0. Holds for American options as well.
    """
    bid, ask, strike, right = (rows[name][order.row] for name in ("bid", "ask", "strike", "right"))
    bid = bid - tolerance
    any_side = sound & ~(np.isnan(bid) & np.isnan(ask))
    # Calls and puts of a group must not mix: sort the right in front of the strike.
    place = np.flatnonzero(any_side)
    place = place[np.lexsort((place, right[place], order.group[place]))]
    key = 2 * order.group[place] + (right[place] > 0)
    b, a, k = bid[place], ask[place], strike[place]
    left, rightward = _steepest(key, k, b, a)
    call = right[place] > 0
    convex_broken = left > rightward
    spread_broken = (left > np.where(call, 0.0, 1.0)) | (rightward < np.where(call, -1.0, 0.0))
    masks = []
    for broken in (convex_broken, spread_broken):
        mask = np.zeros(len(rows), np.bool_)
        mask[order.row[place[broken]]] = True
        masks.append(mask)
    return masks[0], masks[1]


def _steepest(key: Ints, strike: Floats, bid: Floats, ask: Floats) -> tuple[Floats, Floats]:
    """`left` and `right` of each bid against the asks of the same key: a pass per distance in rows."""
    left = np.full(len(key), -np.inf)
    right = np.full(len(key), np.inf)
    low = np.arange(len(key))
    for step in range(1, len(key)):
        low = low[low < len(key) - step]
        low = low[key[low + step] == key[low]]
        if not len(low):
            break
        high = low + step
        distance = strike[high] - strike[low]
        # fmax and fmin pass over NaN: an empty side offers nothing.
        left[high] = np.fmax(left[high], (bid[high] - ask[low]) / distance)
        right[low] = np.fmin(right[low], (ask[high] - bid[low]) / distance)
    return left, right


def _parity(rows: NDArray[np.void], order: Order, sound: Mask, found: Forwards, config: GateConfig) -> Mask:
    """Conversions and reversals against the forward of the other strikes: in effect boxes for a credit.

    C - P must lie between the least and the greatest D (F - K) that forward and rate allow; American
    options may be exercised, so the strike may count in full and the forward without its dividends.
    """
    pairs = pair_up(rows, order, sound)  # a missing side is NaN, and breaks nothing
    years = years_left(found.ts, found.expires_at)
    least, most = (d[pairs.group] for d in discounts(years, config.forward))
    above = (found.value + found.error)[pairs.group] - pairs.strike
    below = (found.value - found.error)[pairs.group] - pairs.strike
    slack = np.full(len(pairs.group), config.tolerance)
    if found.american:
        slack += pairs.strike * (1 - least)
        carried = 1 - np.exp(-config.forward.dividend_high * years[pairs.group])
        slack += found.value[pairs.group] * carried
    high = np.maximum(least * above, most * above) + slack
    low = np.minimum(least * below, most * below) - slack
    broken = (pairs.bid > high) | (pairs.ask < low)
    mask = np.zeros(len(rows), np.bool_)
    mask[order.row[pairs.put[broken]]] = True
    mask[order.row[pairs.call[broken]]] = True
    return mask


def _spot_off(rows: NDArray[np.void], found: Forwards, config: GateConfig) -> Mask:
    spot = rows["spot"]
    years = years_left(found.ts, found.expires_at)[found.group]
    growth = np.exp(config.forward.rate_high * years)
    shrink = np.exp(-config.forward.dividend_high * years)
    slack = np.maximum(spot * config.spot_tolerance, found.error[found.group])
    # An expired series trades on what the underlying does after its settlement: no forward of it.
    alive = (found.expires_at > found.ts) | (found.expires_at == 0)
    value = found.value[found.group]
    off = (value > spot * growth + slack) | (value < spot * shrink - slack)
    mask: Mask = off & alive[found.group]
    return mask


def _first_spot(rows: NDArray[np.void], found: Forwards) -> SpotCheck:
    known = np.flatnonzero(found.strikes > 0)
    if not len(known):
        return SpotCheck(None, None, "")
    alive = known[found.expires_at[known] > found.ts[known]]
    first = int((alive if len(alive) else known)[0])
    row = rows[int((found.group == first).argmax())]
    spot = float(row["spot"])
    expiry = str(from_ordinal(row["expiry"])) if row["expiry"] else "not said"
    return SpotCheck(None if np.isnan(spot) else spot, found.at(first), expiry)


def _back(order: Order, sorted_mask: Mask) -> Mask:
    mask = np.zeros(len(sorted_mask), np.bool_)
    mask[order.row] = sorted_mask
    return mask


def _series(rows: NDArray[np.void]) -> int:
    if not len(rows):
        return 0
    keys = [rows[name].copy() for name in ("expires_at", "strike", "right")]
    order = np.lexsort(keys)
    new = np.zeros(len(rows) - 1, np.bool_)
    for key in keys:
        new |= key[order][1:] != key[order][:-1]
    return int(new.sum()) + 1


def _check(name: str, mask: Mask, chain: Chain) -> ChainCheck:
    count = int(mask.sum())
    places = np.flatnonzero(mask)[:EXAMPLES] if count else ()
    return ChainCheck(name, count, tuple(_place(chain, int(i)) for i in places))


def _place(chain: Chain, i: int) -> str:
    row = chain.rows[i]
    expiry = from_ordinal(row["expiry"]) if row["expiry"] else "expiry not said"
    right = "C" if row["right"] > 0 else "P"
    bid, ask = ("none" if np.isnan(row[side]) else f"{row[side]:g}" for side in ("bid", "ask"))
    return f"row {i + 1}: {expiry} {row['strike']:g}{right} {bid}/{ask} at {_clock(row['ts'])}"


def _clock(ts: int) -> str:
    return f"{new_york(int(ts)):%Y-%m-%d %H:%M}"
