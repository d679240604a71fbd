"""The P&L in two colours: each line holds its side of zero, and they meet there."""

from maxlib.engine.session_views import BarView
from maxlib.views.pnl_line import PnlLine

BEGIN = 1_736_778_660_000_000_000
"""UTC ns; 09:31 in New York, on 13 January 2025."""
MINUTE = 60_000_000_000


def bars(*cents: int | None, since: int = 0) -> list[BarView]:
    flat = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 0.0}
    return [
        BarView(ts=BEGIN + (since + i) * MINUTE, pnl_cents=value, **flat) for i, value in enumerate(cents)
    ]


def points(x: list[str], y: list[float | None]) -> list[tuple[str, float | None]]:
    return [(at[11:], value) for at, value in zip(x, y, strict=True)]


def test_a_crossing_lies_where_the_straight_line_meets_zero_and_ends_both() -> None:
    made = PnlLine().split(bars(100, -300, 0))
    assert points(made.gain_x, made.gain_y) == [
        ("09:31:00", 1.0), ("09:31:15", 0.0), ("09:32:00", None), ("09:33:00", 0.0), ("09:33:00", 0.0)
    ]  # fmt: skip
    assert points(made.loss_x, made.loss_y) == [
        ("09:31:00", None), ("09:31:15", 0.0), ("09:32:00", -3.0), ("09:33:00", 0.0), ("09:33:00", None)
    ]  # fmt: skip


def test_zero_belongs_to_the_gains_and_a_loss_begins_at_it() -> None:
    made = PnlLine().split(bars(0, 0, -100))
    assert points(made.gain_x, made.gain_y)[:2] == [("09:31:00", 0.0), ("09:32:00", 0.0)]
    assert points(made.loss_x, made.loss_y) == [
        ("09:31:00", None), ("09:32:00", None), ("09:32:00", 0.0), ("09:33:00", -1.0)
    ]  # fmt: skip


def test_bars_that_come_one_by_one_make_the_same_lines() -> None:
    story = (0, 150, -50, None, -20, 30, 30, -1)
    whole = PnlLine().split(bars(*story))
    line = PnlLine()
    parts = [line.split(bars(value, since=i)) for i, value in enumerate(story)]
    for column, expected in zip(zip(*parts, strict=True), whole, strict=True):
        assert [point for part in column for point in part] == expected


def test_where_the_pnl_is_not_known_both_lines_are_interrupted() -> None:
    made = PnlLine().split(bars(100, None, -100))
    assert made.gain_y == [1.0, None, None]
    assert made.loss_y == [None, None, -1.0]
