"""The published structures: the spec's counts, and our own causal reader once they are put right."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.kernels.kernel import kernel
from maxlib.kernels.system import System
from maxlib.market.bars import BarRecord
from maxlib.research.published.champion_signals import Evidence, decide, read
from maxlib.signals.ict import CARRIED, DOWN, REFIRING, UP, Ict, IctParams, Structures, ict
from tests.contracts import tapes
from tests.research.published.champion_year import year


@kernel
def published_twin(s: Ict, p: IctParams, b: BarRecord, out: Structures) -> None:
    ict(s, p, b.day, b.minute, b.close_minute, b.session, b.open, b.high, b.low, b.close, out)


ICT = System(Ict, IctParams, Structures, published_twin)


def assert_as_our_reader(bars: Any, carried: bool) -> None:
    """The same sweeps, displacements and shifts on every bar as `maxlib.signals.ict`."""
    mode = CARRIED if carried else REFIRING
    ours = ICT.run(bars, ICT.params(atr_length=14, displacement=1.0, displacement_by=0, mss=mode))[1]
    theirs = read(bars, 1.0, causal=True, carried=carried)
    np.testing.assert_allclose(theirs.atr, ours["atr"], rtol=1e-12)
    for bit, seen in ((UP, theirs.up), (DOWN, theirs.down)):
        for name, flags in (
            ("sweep", seen.sweep),
            ("displacement", seen.displacement),
            ("mss", seen.shift),
        ):
            assert flags.any(), name
            np.testing.assert_array_equal(flags, ours[name] & bit != 0, err_msg=name)


@pytest.mark.parametrize("carried", [False, True])
def test_put_right_the_structures_are_those_of_our_own_reader_on_a_walk(carried: bool) -> None:
    assert_as_our_reader(tapes.walk(5, days=30, per_day=400), carried)


@pytest.mark.parametrize("carried", [False, True])
def test_put_right_the_structures_are_those_of_our_own_reader_on_2024(shared: Path, carried: bool) -> None:
    assert_as_our_reader(year(shared), carried)


def test_published_year_has_the_signals_and_shifts_the_spec_counts(shared: Path) -> None:
    bars = year(shared)
    assert len(bars) == 202_297
    published, carried = read(bars), read(bars, causal=True, carried=True)
    assert len(decide(published).at) == 1_173
    assert (published.up.shift.sum(), published.down.shift.sum()) == (16_076, 13_499)
    assert abs(carried.up.shift.sum() - 4_987) <= 1
    assert abs(carried.down.shift.sum() - 4_987) <= 1


def test_three_of_four_published_signals_are_not_confirmed_at_their_sweep(shared: Path) -> None:
    found = decide(read(year(shared)))
    assert np.mean(found.confirmed > found.swept) == pytest.approx(0.74, abs=0.005)


def test_month_without_extended_hours_has_no_levels_and_no_signals(shared: Path) -> None:
    june = year(shared, dt.date(2024, 6, 1), dt.date(2024, 6, 30))
    assert len(decide(read(june)).at) == 0


def plain_decisions(e: Evidence, confirmed: bool) -> list[tuple[int, int]]:
    """Spec §2 word by word, as a loop."""
    found = set()
    for side, seen in ((1, e.up), (-1, e.down)):
        for i in np.flatnonzero(seen.sweep).tolist():
            window = range(i, min(i + 6, len(e.atr)))
            joined = [[j for j in window if flags[j]] for flags in (seen.displacement, seen.shift)]
            if all(joined):
                found.add((max(j[0] for j in joined) if confirmed else i, side))
    return sorted(found, key=lambda d: (d[0], -d[1]))


@pytest.mark.parametrize("confirmed", [False, True])
def test_decisions_are_those_of_a_plain_loop(confirmed: bool) -> None:
    evidence = read(tapes.walk(8, days=30, per_day=400), 0.5)
    expected = plain_decisions(evidence, confirmed)
    found = decide(evidence, confirmed=confirmed)
    assert len(expected) > 50
    assert list(zip(found.at.tolist(), found.side.tolist(), strict=True)) == expected


def test_short_file_has_evidence_of_nothing() -> None:
    for n in (0, 1, 4, 13):
        found = decide(read(tapes.walk(1)[:n]))
        assert len(found.at) == 0
