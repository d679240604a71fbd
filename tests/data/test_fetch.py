"""Filling the catalog from the fake vendor: by months, resumable after a kill, nothing half-written."""

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.data import DataConfig, catalog, load
from maxlib.data.catalog import CatalogEntry
from maxlib.data.faults import Fault, SourceError
from maxlib.data.fetch import Part, Progress, fetch
from maxlib.data.massive.fake import FakeMassive, Plan
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.raw import Raw, from_bars
from maxlib.market import calendar
from tests.data.massive.helpers import client, fake, session, tape

JAN, MAR = dt.date(2025, 1, 2), dt.date(2025, 3, 31)
TODAY = dt.date(2025, 4, 15)


def days(first: dt.date, last: dt.date) -> np.ndarray[Any, np.dtype[np.void]]:
    return tape([t for s in calendar.sessions(first, last) for t in session(s.date, count=s.minutes)])


QUARTER = days(JAN, MAR)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAXTRADER_CATALOG", str(tmp_path / "store"))
    monkeypatch.setenv("MAXTRADER_SHARED", str(tmp_path / "no shared folder"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def server() -> Iterator[FakeMassive]:
    with fake(int(QUARTER["ts"][-1]), QUARTER).background() as running:
        yield running


@pytest.fixture
def rest(server: FakeMassive) -> Iterator[MassiveRest]:
    with closing(client(server, tries=1)) as running:
        yield running


def get(provider: Any, first: dt.date = JAN, last: dt.date = MAR, **options: Any) -> list[Part]:
    return fetch("QQQ", first, last, provider, today=TODAY, allow_simulated=True, **options)


def asked(server: FakeMassive) -> int:
    return sum(server.calls.values())


class Given:
    """A source by hand: these bars, or a fault for a month."""

    name = "hand"
    simulated = False

    def __init__(self, bars: Any = QUARTER, faults: dict[int, Fault] | None = None) -> None:
        self.bars, self.faults, self.asked = bars, faults or {}, []

    def minute_bars(self, symbol: str, first: dt.date, last: dt.date) -> Raw:
        self.asked.append((first, last))
        if first.month in self.faults:
            raise SourceError(f"no {first}", self.faults[first.month])
        begin, end = calendar.to_ns(first, 0), calendar.to_ns(last + dt.timedelta(days=1), 0)
        return from_bars(self.bars[(self.bars["ts"] > begin) & (self.bars["ts"] <= end)], "by hand")


def test_months_arrive_one_by_one_with_progress_and_are_the_tape(
    server: FakeMassive, rest: MassiveRest
) -> None:
    told: list[Progress] = []
    parts = get(rest, progress=told.append)
    assert [(p.first, p.last, p.outcome) for p in parts] == [
        (dt.date(2025, 1, 2), dt.date(2025, 1, 31), "fetched"),
        (dt.date(2025, 2, 1), dt.date(2025, 2, 28), "fetched"),
        (dt.date(2025, 3, 1), dt.date(2025, 3, 31), "fetched"),
    ]
    assert sum(p.bars for p in parts) == len(QUARTER)
    assert [(t.done, t.total, t.part) for t in told] == [(i + 1, 3, p) for i, p in enumerate(parts)]
    assert load(DataConfig(source="catalog")).bars.tobytes() == QUARTER.tobytes()


def test_simulated_source_is_refused_and_when_allowed_named_so(rest: MassiveRest) -> None:
    with pytest.raises(DataError, match="is on this machine and simulated"):
        fetch("QQQ", JAN, MAR, rest, today=TODAY)
    get(rest, JAN, dt.date(2025, 1, 10))
    assert [e.name for e in catalog.entries()] == ["SIMULATED-massive-QQQ-2025-01-02-to-2025-01-10.parquet"]


def test_second_fetch_asks_nothing_and_a_longer_one_only_the_rest(
    server: FakeMassive, rest: MassiveRest
) -> None:
    get(rest, JAN, dt.date(2025, 2, 14))
    before = asked(server)
    assert [p.outcome for p in get(rest, JAN, dt.date(2025, 2, 14))] == ["kept", "kept"]
    assert asked(server) == before
    parts = get(rest)
    assert [p.outcome for p in parts] == ["kept", "fetched", "fetched"]
    assert asked(server) == before + 2
    assert server.urls[-2].startswith("/v2/aggs/ticker/QQQ/range/1/minute/2025-02-15/2025-02-28?")
    assert load(DataConfig(source="catalog")).bars.tobytes() == QUARTER.tobytes()


def test_source_that_stops_answering_keeps_the_months_there_are(
    server: FakeMassive, rest: MassiveRest
) -> None:
    server.script.extend([None, "500"])
    with pytest.raises(SourceError, match="500"):
        get(rest)
    assert [e.bars for e in catalog.entries("QQQ")] == [int((QUARTER["day"] < 20120).sum())]
    assert [p.outcome for p in get(rest)] == ["kept", "fetched", "fetched"]


def test_kill_at_any_moment_leaves_whole_months_and_the_next_run_finishes(store: Path, root: Path) -> None:
    """A process dies by SIGKILL before its second rename; the one after it, right after its first."""
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tests.data.test_fetch as t
real = Path.replace
def dying(self, target, _count=[0]):
    _count[0] += 1
    if (sys.argv[2], _count[0]) == ("before", 2):
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(self, target)
    if sys.argv[2] == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result
Path.replace = dying
t.fetch("QQQ", t.JAN, t.MAR, t.Given(), today=t.TODAY)
"""
    for moment, kept in (("before", 1), ("after", 2)):
        died = subprocess.run(
            [sys.executable, "-c", code, str(root), moment],
            env={**os.environ, "TMPDIR": str(store.parent)},
            capture_output=True,
            check=False,
        )
        assert died.returncode == -9, died.stderr.decode()
        assert len(catalog.entries("QQQ")) == kept
    source = Given()
    assert [p.outcome for p in get(source)] == ["kept", "kept", "fetched"]
    assert len(source.asked) == 1
    assert load(DataConfig(source="catalog")).bars.tobytes() == QUARTER.tobytes()


def test_silently_clipped_span_is_seen_named_by_what_came_and_asked_again_later() -> None:
    clipped = QUARTER[QUARTER["day"] >= calendar.ordinal(dt.date(2025, 1, 21))]
    source = Given(clipped)
    part = get(source, JAN, dt.date(2025, 1, 31))[0]
    assert (part.outcome, part.why) == ("clipped", "hand gave nothing before 2025-01-21")
    assert catalog.entries()[0].name == "hand-QQQ-2025-01-21-to-2025-01-31.parquet"
    get(source, JAN, dt.date(2025, 1, 31))
    assert len(source.asked) == 2


def test_row_40_months_beyond_the_plan_are_told_and_the_later_ones_fetched() -> None:
    parts = get(Given(faults={1: Fault.ENTITLEMENT}))
    assert [(p.outcome, p.why) for p in parts[:2]] == [("not entitled", "no 2025-01-02"), ("fetched", "")]
    with pytest.raises(SourceError):
        get(Given(faults={1: Fault.KEY}))


def test_month_without_bars_is_empty_and_writes_nothing(store: Path) -> None:
    part = get(Given(QUARTER[:0]), JAN, dt.date(2025, 1, 31))[0]
    assert (part.outcome, part.why) == ("empty", "hand gave no bars for 20 sessions")
    assert not list(store.glob("*/*"))


def test_month_that_the_gate_refuses_is_told_and_the_others_fetched() -> None:
    cut = QUARTER[(QUARTER["day"] != 20110) | (QUARTER["minute"] < 14 * 60)]
    parts = get(Given(cut))
    assert [p.outcome for p in parts] == ["refused", "fetched", "fetched"]
    assert "session 2025-01-22 is incomplete" in parts[0].why
    assert get(Given(cut), allow_incomplete=True)[0].outcome == "fetched"


def test_month_that_contradicts_an_earlier_import_is_refused() -> None:
    get(Given(), JAN, dt.date(2025, 1, 10))
    other = Given(QUARTER.copy())
    other.name = "other"
    other.bars["close"] = other.bars["open"]
    part = get(other, JAN, dt.date(2025, 1, 10))[0]
    assert part.outcome == "refused"
    assert "imported before" in part.why
    assert len(catalog.entries()) == 1


def test_today_is_left_out_because_it_is_not_over() -> None:
    source = Given()
    get(source, dt.date(2025, 3, 28), dt.date(2030, 1, 1))
    assert source.asked[-1][1] == dt.date(2025, 4, 14)
    with pytest.raises(
        DataError, match="there is nothing to fetch between 1999-01-01 and yesterday, 2025-04-14"
    ):
        get(source, TODAY, TODAY)
    with pytest.raises(DataError, match="there is nothing to fetch"):
        get(source, dt.date(1998, 12, 31), TODAY)


def test_months_of_weekends_only_are_not_asked() -> None:
    source = Given()
    assert get(source, dt.date(2025, 3, 1), dt.date(2025, 3, 2))[0].outcome == "kept"
    assert source.asked == []


def test_plan_that_forbids_the_ticker_is_told(store: Path) -> None:
    forbidden = fake(int(QUARTER["ts"][-1]), QUARTER, plan=Plan(denied_tickers=frozenset({"QQQ"})))
    with forbidden.background() as server, closing(client(server)) as rest:
        assert {p.outcome for p in get(rest)} == {"not entitled"}
    assert not store.exists()


def test_catalog_may_be_another_one() -> None:
    class Elsewhere:
        def __init__(self) -> None:
            self.names: list[str] = []

        def entries(self, symbol: str | None = None) -> list[CatalogEntry]:
            return []

        def import_bars(self, path: str | Path, symbol: str, **_: Any) -> CatalogEntry:
            self.names.append(Path(path).name)
            raise DataError("full")

    other = Elsewhere()
    parts = get(Given(), JAN, dt.date(2025, 1, 31), catalog=other)
    assert (parts[0].outcome, parts[0].why) == ("refused", "full")
    assert other.names == ["hand-QQQ-2025-01-02-to-2025-01-31.parquet"]
