"""Option quotes: one record for every source, and the quote that a fill is made at.

A `Chain` holds what a source said, blemishes included: nothing is repaired here.
NaN stands for "none reported", which is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.record import Int8, Int32, Record
from maxlib.market.contract import Contract


class QuoteRecord(Record):
    """One option series at one moment. Prices in dollars (index points for indices) a share."""

    ts: int  # UTC ns: when this row was known
    quoted_at: int  # UTC ns of the venue's quote; 0 = the source does not say
    spot_at: int  # UTC ns of the underlying's price; 0 = the source does not say
    expires_at: int  # UTC ns at which the series stops having time value; 0 = the source does not say
    spot: float
    strike: float
    bid: float  # NaN = no bid
    ask: float  # NaN = no ask
    bid_size: float  # contracts
    ask_size: float
    last: float
    volume: float
    open_interest: float
    iv: float  # the source's own, on the source's own clock; per root year
    delta: float
    gamma: float
    theta: float
    vega: float
    expiry: Int32  # days since 1970; 0 = the source does not say
    right: Int8  # +1 call, -1 put


QUOTE: Final = QuoteRecord.dtype

Origin = Literal["file", "vendor", "modelled", "simulated"]


@dataclass(frozen=True)
class Chain:
    """Quotes of one underlying, with their provenance.

    Attributes
    ----------
    root : underlying
    rows : QUOTE[n]; one snapshot, or a tape of quotes in order of `ts`
    origin : where the quotes come from; only "modelled" and "simulated" were never quoted by anybody
    name : file, vendor or model; never a path of this machine
    notes : what was assumed or found out about the source, a sentence each
    """

    root: str
    rows: NDArray[np.void] = field(repr=False)
    origin: Origin
    name: str
    notes: tuple[str, ...] = ()


class Quote(NamedTuple):
    """What a fill is made at: one contract's market, in cents a share.

    ts : UTC ns of the quote
    bid_cents, ask_cents : None = nobody bids, nobody offers
    bid_size, ask_size : contracts; None = not known
    modelled : nobody ever quoted it
    """

    contract: Contract
    ts: int
    bid_cents: int | None
    ask_cents: int | None
    bid_size: int | None
    ask_size: int | None
    modelled: bool
