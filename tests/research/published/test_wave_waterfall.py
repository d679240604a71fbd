"""The waterfall of spec §12.1 for the three wave scenarios: counts within 2 %, P&L within 5 %."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import ConfigError
from maxlib.options.desk import DeskConfig
from maxlib.research.published.wave import WaveAccounting
from maxlib.research.published.wave_bars import once
from maxlib.research.published.wave_config import WATERFALL, Cause, repaired
from maxlib.research.published.wave_waterfall import wave_steps
from tests.research.published.wave_tapes import AUTUMN, COVID, LOWVOL, RUNS, Run, tape

SPEC = {
    "autumn": [
        (69, 95.7, 3208),
        (69, 95.7, 3208),
        (65, 90.8, 3445),
        (65, 93.8, 3858),
        (50, 96.0, 3574),
        (50, 90.0, 2616),
        (50, 46.0, -12),
        (50, 42.0, -723),
    ],
    "covid": [
        (32, 40.6, 690),
        (57, 22.8, 709),
        (39, 23.1, 320),
        (39, 23.1, 355),
        (39, 23.1, 355),
        (39, 23.1, 351),
        (38, 47.4, 11),
        (38, 13.2, -570),
    ],
    "lowvol": [
        (24, 25.0, 501),
        (43, 39.5, 1337),
        (47, 42.6, 2004),
        (47, 48.9, 2448),
        (40, 50.0, 2142),
        (40, 55.0, 1851),
        (40, 50.0, 69),
        (40, 42.5, -505),
    ],
}
NAMES = ["published", "duplicates", "bricks", "entry", "overlap", "time_value", "model", "costs"]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_step_lands_on_the_reference(shared: Path, run: Run) -> None:
    """Steps 0 to 5 agree with every digit the spec prints.

    From step 6 the spec's volatility is not told to the last detail: see the next test. Its step 6 is
    about nothing earned on some $3,000 of premium, so a share of it says little; $25 is the bound.
    """
    steps, spec = wave_steps(run.config, tape(shared, run)), SPEC[run.name]
    assert [s.name for s in steps] == NAMES
    assert [s.trades for s in steps] == [row[0] for row in spec]
    for step, (_, won, pnl) in list(zip(steps, spec, strict=True))[:6]:
        assert round(100 * step.win_rate, 1) == won, step.name
        assert step.pnl_usd == pytest.approx(pnl, abs=0.51), step.name
    assert steps[6].pnl_usd == pytest.approx(spec[6][2], abs=25)
    assert steps[7].pnl_usd == pytest.approx(spec[7][2], rel=0.05)
    for step, row in list(zip(steps, spec, strict=True))[6:]:  # two trades of fifty lie at nothing
        assert abs(100 * step.win_rate - row[1]) * step.trades / 100 < 2.01


def readings(bars: Any) -> list[Any]:
    """Volatility at each bar under twelve readings of "20-day realised, 20 % until 8 returns".

    Log or simple returns; about their mean (n-1 or n) or about zero; the eighth return or the eighth
    close as the first to count.
    """
    regular = (bars["minute"] >= 570) & (bars["minute"] < bars["close_minute"])
    days = np.unique(bars["day"][regular])
    day = np.searchsorted(days, bars["day"]).clip(max=len(days) - 1)
    close = np.array([bars["close"][regular & (bars["day"] == d)][-1] for d in days])
    made = []
    for log, about, least in itertools.product((True, False), ("n-1", "n", "zero"), (7, 8)):
        returns = np.diff(np.log(close)) if log else close[1:] / close[:-1] - 1
        sigma = np.full(len(days), 0.20)
        for d in range(len(days)):
            known = returns[max(0, d - 21) : max(0, d - 1)]
            if len(known) >= least:
                square = np.mean(known**2) if about == "zero" else np.var(known, ddof=int(about == "n-1"))
                sigma[d] = max(0.10, np.sqrt(252 * square))
        made.append(sigma[day])
    return made


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_gap_under_black_scholes_is_the_reading_of_the_volatility(
    shared: Path, run: Run, record_testsuite_property: Any
) -> None:
    """The spec's figures lie between those of the twelve readings of its words, in both steps."""
    bars = once(tape(shared, run))
    for step, causes in ((6, WATERFALL[:6]), (7, WATERFALL)):
        config = repaired(run.config, causes)
        totals = [
            sum(o.trade.pnl_usd for o in WaveAccounting(bars, config, sigma=sigma).booked)
            for sigma in readings(bars)
        ]
        record_testsuite_property(f"{run.name} step {step}", f"{min(totals):.1f} to {max(totals):.1f}")
        assert min(totals) - 0.5 <= SPEC[run.name][step][2] <= max(totals) + 0.5


def test_causes_go_in_any_order_and_by_themselves(shared: Path) -> None:
    bars = tape(shared, LOWVOL)
    chosen = (Cause.COSTS, Cause.TIME_VALUE)
    ordered = wave_steps(LOWVOL.config, bars, chosen)
    alone = wave_steps(LOWVOL.config, bars, chosen, alone=True)
    backwards = wave_steps(LOWVOL.config, bars, chosen[::-1])
    assert [s.name for s in ordered] == ["published", "costs", "time_value"]
    assert ordered[1] == alone[1]
    assert ordered[2] != alone[2]
    assert ordered[2][2:] == backwards[2][2:]
    assert alone[2] == backwards[1]


def test_a_cause_named_twice_is_refused(shared: Path) -> None:
    with pytest.raises(ConfigError, match="waterfall: cause costs is named twice"):
        wave_steps(AUTUMN.config, tape(shared, AUTUMN), (Cause.COSTS, Cause.COSTS))


def test_a_wider_spread_costs_more(shared: Path) -> None:
    """Step 7 falls by what the added cents come to: four contracts or more a trade, in and out."""
    bars = tape(shared, COVID)
    plain = wave_steps(COVID.config, bars)[-1]
    wide = wave_steps(COVID.config, bars, desk=DeskConfig(half_spread_cents=2))[-1]
    assert wide.trades == plain.trades
    assert plain.pnl_usd - wide.pnl_usd > 38 * 2
