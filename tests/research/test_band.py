"""Bands: the centre is the run itself, and the break-even cost is that of a hand computation."""

from typing import Any

import pytest

from maxlib.engine.backtest import Run
from maxlib.engine.machine import MachineConfig
from maxlib.research.band import DELAY, SPREAD, VOLATILITY, band
from maxlib.strategies.signal import DISTANCE
from tests.engine.scripted import LONG, Market, both, bsm, config, strategy


def one_trade(**desk: Any) -> tuple[Run, MachineConfig]:
    """Bought at 10:01 with 359 minutes left, sold at 10:31 with 329; the price rises from 500 to 501."""
    market = Market().flat("09:30", "10:20", 500.0).flat("10:21", "10:40", 501.0).signal("10:00", LONG)
    settings = config(desk=desk, risk={"contracts": 2}, hold_minutes=30)
    return both(market.bars, strategy(basis=DISTANCE), settings), settings


def test_the_grid_is_whole_and_its_centre_is_the_run() -> None:
    run, settings = one_trade()
    found = band(run, settings)
    assert len(found.cells) == len(VOLATILITY) * len(SPREAD) * len(DELAY) >= 45
    assert len({cell[:3] for cell in found.cells}) == len(found.cells)
    centre = [cell for cell in found.cells if cell[:3] == (1.0, 1.0, 0)]
    assert [cell.pnl_usd for cell in centre] == [run.trades[0].pnl_cents / 100]
    assert found.low_usd == min(cell.pnl_usd for cell in found.cells)
    assert found.high_usd == max(cell.pnl_usd for cell in found.cells)


def test_wider_spreads_cost_more_in_every_world() -> None:
    run, settings = one_trade()
    by = {cell[:3]: cell.pnl_usd for cell in band(run, settings).cells}
    for volatility in VOLATILITY:
        for delay in DELAY:
            money = [by[volatility, spread, delay] for spread in SPREAD]
            assert money == sorted(money, reverse=True)
            assert money[0] > money[-1]


def test_a_delay_fills_at_later_opens() -> None:
    """After 20 bars of delay the whole move is missed; the grid's 2 bars cost two minutes of time value."""
    run, settings = one_trade()
    by = {cell[:3]: cell.pnl_usd for cell in band(run, settings).cells}
    later = by[1.0, 1.0, 2] - by[1.0, 1.0, 0]
    # Two contracts of an option that decays the same way, two minutes later both ways.
    held = bsm("C", 501, 500, 329) - bsm("C", 500, 500, 359)
    moved = bsm("C", 501, 500, 327) - bsm("C", 500, 500, 357)
    assert later == pytest.approx(200 * (moved - held), abs=2 * 3)


def test_the_break_even_cost_is_the_gain_at_mid_per_contract() -> None:
    run, settings = one_trade()
    found = band(run, settings)
    gain = 100 * (bsm("C", 501, 500, 329) - bsm("C", 500, 500, 359))
    # Bid and ask are whole cents, and so is a fill between them: two roundings on the way in, two out.
    assert found.break_even_usd == pytest.approx(gain, abs=2.01)
    assert found.paid_usd == pytest.approx(gain - run.trades[0].pnl_cents / 200, abs=2.01)
    assert "breaks even" in found.sentence()


def test_without_trades_there_is_no_break_even() -> None:
    market = Market().flat("09:30", "10:40", 500.0)
    settings = config()
    run = both(market.bars, strategy(), settings)
    found = band(run, settings)
    assert found.break_even_usd is None
    assert (found.low_usd, found.high_usd, found.profitable) == (0.0, 0.0, 0.0)
