"""A hung trader comes back: a few kinds here, all of them in `python -m tests.chaos.hangs`."""

import pytest

from tests.chaos.hangs import HANGS, LAYERS, bound_s, main, run


def test_at_its_real_times_a_trader_is_back_within_a_minute() -> None:
    assert bound_s(1.0) == 60


def test_a_trader_in_a_c_loop_a_dead_await_or_stopped_is_started_anew() -> None:
    trials = run(["C loop", "await", "SIGSTOP"], ["watchdog"], scale=0.03, jobs=3)
    assert [t.fault for t in trials] == ["", "", ""]
    # Only the watchdog leaves a traceback, and it cannot fire in a stopped process.
    assert [t.ended_by for t in trials] == ["watchdog", "watchdog", "supervisor"]
    assert all(len(t.tokens) >= 2 for t in trials)


@pytest.mark.slow
def test_every_hang_ends_within_the_bound_under_either_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(HANGS) * len(LAYERS) == 16
    assert main(["--scale", "0.1"]) == 0, capsys.readouterr().out
