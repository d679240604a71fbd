import datetime as dt

import numpy as np
import pytest

from maxlib.market.calendar import to_ns
from maxlib.market.halts import HALTS, halted

MINUTE = 60_000_000_000


@pytest.mark.parametrize(
    # The minutes that the QQQ tape of March 2020 lacks (README of the real data).
    ("date", "first", "last"),
    [
        ("2020-03-09", "09:35", "09:48"),
        ("2020-03-12", "09:36", "09:49"),
        ("2020-03-16", "09:31", "09:44"),
        ("2020-03-18", "12:57", "13:10"),
    ],
)
def test_each_halt_swallows_the_fourteen_minutes_that_the_tape_lacks(
    date: str, first: str, last: str
) -> None:
    minute = int(first[:2]) * 60 + int(first[3:])
    end = int(last[:2]) * 60 + int(last[3:])
    start = to_ns(dt.date.fromisoformat(date), minute)
    around = start + np.arange(-1, 15) * MINUTE
    found = halted(around)
    assert end - minute == 13
    assert found[0] == -1
    assert found[-1] == -1
    inside = set(found[1:-1].tolist())
    assert len(inside) == 1
    assert HALTS[inside.pop()].date == dt.date.fromisoformat(date)


def test_each_halt_lasted_fifteen_minutes() -> None:
    for halt in HALTS:
        start = dt.datetime.combine(halt.date, halt.start)
        assert dt.datetime.combine(halt.date, halt.end) - start == dt.timedelta(minutes=15)


def test_name_gives_level_date_and_both_times() -> None:
    assert HALTS[0].name == "market-wide circuit breaker, level 1, 2020-03-09 09:34:13-09:49:13"


def test_no_stamps_no_halts() -> None:
    assert halted(np.array([], np.int64)).shape == (0,)
