"""Sessions on end in one process: a few here, thirty by `make verify` or `python -m tests.chaos.soak`."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from maxlib.engine.live import LiveSession
from tests.chaos.soak import grown, soak

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.mark.slow
def test_row_73_sessions_on_end_leave_neither_memory_nor_descriptors_nor_tasks(
    record_testsuite_property: Any,
) -> None:
    found = soak(3, 0.0, warm=1)
    record_testsuite_property("soak", str(found))
    assert found["hours"] > 30
    assert found["trades"] > 5
    assert grown(found) == []


@pytest.mark.slow
def test_row_73_thirty_sessions_on_end_leave_neither_memory_nor_descriptors_nor_tasks(
    record_testsuite_property: Any,
) -> None:
    found = soak(30, 0.0)
    record_testsuite_property("soak, long", str(found))
    assert found["sessions"] == 30
    assert found["trades"] > 50
    assert grown(found) == []


@pytest.mark.slow
def test_the_harness_sees_what_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 kB a minute, a descriptor an hour and a task each ten minutes that nobody gives back."""
    kept: list[Any] = []
    original = LiveSession.bar

    def keeping(self: LiveSession, *bar: Any, **how: Any) -> None:
        original(self, *bar, **how)
        kept.append(bytes(100_000))
        if len(kept) % 10 == 0:
            kept.append(asyncio.create_task(asyncio.sleep(1e6)))
        if len(kept) % 60 == 1:
            kept.append(Path("/dev/null").open())  # noqa: SIM115 # it is to be left open

    monkeypatch.setattr(LiveSession, "bar", keeping)
    try:
        found = grown(soak(3, 0.0, warm=1))
    finally:
        for one in kept[:]:
            getattr(one, "close", int)()
    grew = [sentence.split()[0] for sentence in found]
    assert grew == ["mb_an_hour", "mb_an_hour_within", "descriptors", "tasks:"]
