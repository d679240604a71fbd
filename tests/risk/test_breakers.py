"""Three breakers at their boundaries: 4/5 losses, 59:59/60:00, 7.99/8.00 %."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical
from maxlib.risk.breakers import CODES, Breakers, BreakersConfig, active, breakers_in, erred, expired, lost
from maxlib.risk.sizing import Denial

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
T0 = 1_700_000_000 * SECOND
CONFIG = BreakersConfig()
CALM = {"equity": 2_500_000, "peak": 2_500_000}


def losses(*seconds: int, config: BreakersConfig = CONFIG) -> Breakers:
    state = Breakers()
    for second in seconds:
        state = lost(config, state, T0 + second * SECOND, 100, **CALM)
    return state


def errors(*seconds: int) -> Breakers:
    state = Breakers()
    for second in seconds:
        state = erred(CONFIG, state, T0 + second * SECOND, **CALM)
    return state


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (losses(0, 1, 2, 3), None),
        (losses(0, 1, 2, 3, 4), "BREAKER_LOSSES"),
        (losses(0, 1, 2, 3, 3599), "BREAKER_LOSSES"),  # the window's 59:59
        (losses(0, 1, 2, 3, 3600), None),  # 60:00: the first is an hour old, it no longer counts
        (errors(0, 1, 2, 3), None),
        (errors(0, 1, 2, 3, 4), "BREAKER_ERRORS"),
        (errors(0, 1, 2, 3, 599), "BREAKER_ERRORS"),
        (errors(0, 1, 2, 3, 600), None),
    ],
)
def test_the_fifth_within_the_window_sets_the_breaker(state: Breakers, code: str | None) -> None:
    assert [name for name, trip in zip(CODES, state.trips, strict=True) if trip] == ([code] if code else [])


@pytest.mark.parametrize(
    ("state", "minutes", "code"),
    [
        (losses(0, 0, 0, 0, 0), 60, "BREAKER_LOSSES"),
        (errors(0, 0, 0, 0, 0), 30, "BREAKER_ERRORS"),
        (lost(CONFIG, Breakers(), T0, 1, equity=920_000, peak=1_000_000), 120, "BREAKER_DRAWDOWN"),
    ],
)
def test_the_pause_blocks_to_its_last_nanosecond_and_resets_at_its_end(
    state: Breakers, minutes: int, code: str
) -> None:
    end = T0 + minutes * MINUTE
    assert active(state, T0) == Denial(code, minutes, 0.0)  # type: ignore[arg-type]
    last_second = active(state, end - SECOND)
    assert last_second is not None
    assert last_second.actual == pytest.approx(minutes - 1 / 60)
    assert active(state, end - 1) is not None
    assert expired(state, end - 1) == state
    assert active(state, end) is None
    assert expired(state, end).trips == (None, None, None)


@pytest.mark.parametrize("peak", [1_000_000, 2_500_000, 2_717_300, 700])
@pytest.mark.parametrize("what", ["loss", "error"])
def test_the_drawdown_breaker_is_set_at_8_00_and_not_at_7_99_per_cent(peak: int, what: str) -> None:
    for hundredths, found in ((799, None), (800, "BREAKER_DRAWDOWN")):
        equity = peak - peak * hundredths // 10_000  # peaks are multiples of 100: 8 % is a whole cent
        if what == "loss":
            state = lost(CONFIG, Breakers(), T0, 1, equity=equity, peak=peak)
        else:
            state = erred(CONFIG, Breakers(), T0, equity=equity, peak=peak)
        denial = active(state, T0)
        assert (denial.code if denial else None) == found
    one_cent_less = lost(CONFIG, Breakers(), T0, 1, equity=peak - peak * 8 // 100 + 1, peak=peak)
    assert active(one_cent_less, T0) is None


def test_the_first_in_the_specs_order_is_named_and_all_that_hold_are_set() -> None:
    state = losses(0, 1, 2, 3)
    state = lost(CONFIG, state, T0 + 4 * SECOND, 100, equity=900_000, peak=1_000_000)
    assert active(state, T0 + MINUTE).code == "BREAKER_LOSSES"  # type: ignore[union-attr]
    assert active(state, T0 + 61 * MINUTE).code == "BREAKER_DRAWDOWN"  # type: ignore[union-attr]
    assert active(state, T0 + 121 * MINUTE) is None


def test_an_error_does_not_prolong_the_pause_after_losses_but_a_loss_does() -> None:
    state = losses(0, 0, 0, 0, 0)
    at = T0 + 30 * MINUTE
    assert erred(CONFIG, state, at, **CALM).trips == state.trips
    longer = lost(CONFIG, state, at, 100, **CALM)
    assert active(longer, at + 59 * MINUTE) is not None
    assert active(longer, at + 60 * MINUTE) is None


def test_the_older_thresholds_may_be_chosen() -> None:
    older = BreakersConfig(losses=3, losses_within=30, drawdown=0.03)
    assert active(losses(0, 1, 1799, config=older), T0 + 1800 * SECOND) is not None
    assert active(losses(0, 1, 1800, config=older), T0 + 1800 * SECOND) is None


def test_the_newest_ten_losses_and_twenty_errors_are_kept() -> None:
    assert [at for at, _ in losses(*range(12)).losses] == [T0 + s * SECOND for s in range(2, 12)]
    assert len(errors(*range(25)).errors) == 20


moments = st.lists(st.integers(0, 4 * 3600), min_size=0, max_size=14).map(sorted)


@given(moments, st.integers(0, 4 * 3600), st.integers(0, 7 * 3600))
def test_one_loss_more_never_ends_a_pause_earlier(seconds: list[int], extra: int, later: int) -> None:
    probe = T0 + later * SECOND
    before = losses(*[s for s in seconds if s <= later])
    after = losses(*sorted(s for s in [*seconds, extra] if s <= later))
    if active(before, probe) is not None:
        assert active(after, probe) is not None


@given(moments, moments, st.integers(800_000, 1_000_000))
def test_a_state_written_and_read_is_the_same(lossy: list[int], faulty: list[int], equity: int) -> None:
    state = Breakers()
    for second in lossy:
        state = lost(CONFIG, state, T0 + second * SECOND, second + 1, equity=equity, peak=1_000_000)
    for second in faulty:
        state = erred(CONFIG, state, T0 + second * SECOND, equity=equity, peak=1_000_000)
    assert breakers_in(json.loads(canonical(list(state)))) == state
