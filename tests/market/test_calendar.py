import datetime as dt

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.market import calendar
from maxlib.market.bars import ASIA, BAR, LONDON, NEW_YORK, OTHER

MINUTE = 60_000_000_000


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def stamped(text: str) -> np.void:
    prices = (np.array([x]) for x in (500.0, 501.0, 499.0, 500.5, 1000.0))
    return calendar.stamp(np.array([ns(text)]), *prices)[0]


def test_every_date_of_thirty_years_agrees_with_exchange_calendars() -> None:
    import exchange_calendars

    first, last = calendar.FIRST.isoformat(), calendar.LAST.isoformat()
    library = exchange_calendars.get_calendar("XNYS", start=first, end=last)
    expected = {
        row.Index.date(): (row.open.to_pydatetime(), row.close.to_pydatetime())
        for row in library.schedule.itertuples()
    }
    days = (calendar.LAST - calendar.FIRST).days + 1
    for date in (calendar.FIRST + dt.timedelta(days=i) for i in range(days)):
        session = calendar.session(date)
        assert (session is not None) == (date in expected), date
        if session is not None:
            opening, close = expected[date]
            assert calendar.to_ns(date, session.open_minute) == int(opening.timestamp()) * 1_000_000_000, date
            assert calendar.to_ns(date, session.close_minute) == int(close.timestamp()) * 1_000_000_000, date


@pytest.mark.parametrize(
    ("date", "close"),
    [
        ("2001-09-11", None),  # the attacks: closed until the 17th
        ("2012-10-29", None),  # hurricane Sandy
        ("2018-12-05", None),  # mourning for President Bush
        ("2025-01-09", None),  # mourning for President Carter
        ("2025-07-04", None),
        ("2022-06-20", None),  # Juneteenth, observed on Monday
        ("2021-06-18", 960),  # no holiday yet: Juneteenth began in 2022
        ("2024-07-03", 780),
        ("2024-11-29", 780),
        ("2024-12-24", 780),
        ("2025-11-28", 780),
        ("2015-12-24", 780),
        ("2025-01-04", None),  # a Saturday
        ("2025-01-02", 960),
    ],
)
def test_known_dates(date: str, close: int | None) -> None:
    session = calendar.session(dt.date.fromisoformat(date))
    assert (session and session.close_minute) == close
    assert session is None or session.half_day == (close == 780)


def test_first_session_after_the_attacks_of_2001_opened_on_the_17th() -> None:
    found = calendar.sessions(dt.date(2001, 9, 10), dt.date(2001, 9, 18))
    assert [s.date.day for s in found] == [10, 17, 18]


@pytest.mark.parametrize(
    ("date", "utc"),
    [
        ("2020-03-06", "2020-03-06T14:30:00+00:00"),  # Friday before the clocks go forward
        ("2020-03-09", "2020-03-09T13:30:00+00:00"),  # Monday after
        ("2025-10-31", "2025-10-31T13:30:00+00:00"),  # Friday before they go back
        ("2025-11-03", "2025-11-03T14:30:00+00:00"),
    ],
)
def test_open_in_utc_moves_with_the_clock(date: str, utc: str) -> None:
    assert calendar.to_ns(dt.date.fromisoformat(date), 9 * 60 + 30) == ns(utc)


@pytest.mark.parametrize("start", ["2020-03-08T06:50:00+00:00", "2025-11-02T05:50:00+00:00"])
def test_wall_clock_minutes_through_the_hour_of_change(start: str) -> None:
    stamps = ns(start) + np.arange(20) * MINUTE
    minutes = calendar.new_york_minutes(stamps) % 1440
    # 01:59 is followed by 03:00 in March; in November 01:59 is followed by a second 01:00.
    after = 180 if "03-08" in start else 60
    assert minutes.tolist() == [*range(110, 120), *range(after, after + 10)]


def test_stamp_of_the_first_regular_minute_worked_by_hand() -> None:
    bar = stamped("2025-01-02T14:30:00+00:00")
    assert bar["ts"] == 1_735_828_260_000_000_000  # 2025-01-02 14:31:00 UTC, the bar's END
    assert bar["minute"] == 570
    assert bar["day"] == 20_090  # 55 years of 365 days, 14 leap days, and a day
    assert bar["close_minute"] == 960
    assert bar["session"] == NEW_YORK
    assert bar["high"] == 501.0


@pytest.mark.parametrize(
    ("start", "minute", "day", "session"),
    [
        ("2025-01-02T02:59:00-05:00", 179, "2025-01-02", ASIA),
        ("2025-01-02T03:00:00-05:00", 180, "2025-01-02", LONDON),
        ("2025-01-02T09:29:00-05:00", 569, "2025-01-02", LONDON),
        ("2025-01-02T15:59:00-05:00", 959, "2025-01-02", NEW_YORK),
        ("2025-01-02T16:00:00-05:00", 960, "2025-01-02", OTHER),
        ("2025-01-02T17:59:00-05:00", 1079, "2025-01-02", OTHER),
        ("2025-01-02T18:00:00-05:00", 1080, "2025-01-03", ASIA),
        ("2025-01-03T18:00:00-05:00", 1080, "2025-01-04", ASIA),  # Friday evening rolls to Saturday
        ("2025-07-01T23:59:00-04:00", 1439, "2025-07-02", ASIA),
    ],
)
def test_stamp_places_bars_in_sessions_and_trading_days(
    start: str, minute: int, day: str, session: int
) -> None:
    bar = stamped(start)
    assert (bar["minute"], bar["session"]) == (minute, session)
    assert np.datetime64(int(bar["day"]), "D") == np.datetime64(day)


def test_close_minute_is_that_of_the_bars_own_date() -> None:
    assert stamped("2024-12-24T10:00:00-05:00")["close_minute"] == 780
    assert stamped("2025-01-09T10:00:00-05:00")["close_minute"] == 0
    # The evening bar belongs to the next trading day, but its date closed at 13:00.
    assert stamped("2024-12-24T18:30:00-05:00")["close_minute"] == 780


@pytest.mark.parametrize("year", [1998, 2029])
def test_dates_outside_the_calendar_are_refused_with_its_bounds(year: int) -> None:
    with pytest.raises(DataError, match=rf"{year}-06-01 .* 1999-01-01 to 2028-12-31"):
        stamped(f"{year}-06-01T10:00:00-04:00")


def test_ordinals_count_from_1970_and_return() -> None:
    assert calendar.ordinal(dt.date(1970, 1, 2)) == 1
    assert calendar.from_ordinal(20_090) == dt.date(2025, 1, 2)


def test_bar_is_sixty_four_bytes() -> None:
    assert BAR.itemsize == 64
