"""Whether live quotes would fill an entry: asked before it is sized, with the code of what they lack."""

from __future__ import annotations

from maxlib.execution.arbitrage import Moment
from maxlib.execution.fills import FillConfig, NotFilled, fill
from maxlib.market.contract import Leg
from maxlib.options.desk import Desk, Market
from maxlib.options.live_desk import LiveDesk
from maxlib.risk.sizing import Denial


def unquoted(desk: Desk, config: FillConfig, legs: tuple[Leg, ...], market: Market) -> Denial | None:
    """Why one unit of `legs` would not fill now; None = it would, or quotes are modelled at the fill.

    Without legs: why there is nothing at all to choose from.
    """
    if not isinstance(desk, LiveDesk):
        return None
    blank = desk.blank(market)
    if blank is not None:
        return Denial(*blank)
    if not legs:
        return None
    quotes = [desk.quote(leg.contract, market) for leg in legs]
    moment = Moment(market.ts, market.spot, 100.0 * market.spot * desk.spot_slack)
    found = fill(config, legs, 1, quotes, moment)
    if isinstance(found, NotFilled):
        return Denial(found.code, found.limit or 0.0, found.actual or 0.0)
    return None
