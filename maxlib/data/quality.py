"""The quality gate: the one passage from any source to the tape.

Every blemish is counted and shown. Two rules may repair, and are named in the report:

* `drop_exact_duplicates`: of bars that agree in stamp and all values, one is kept.
* `sort_by_time`: bars are put into time order.

Whatever else would change a number or bend time is refused: nothing is filled in,
clipped, rounded or guessed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError, QualityError
from maxlib.data.raw import PRICES, VALUES, Raw, when
from maxlib.data.report import EXAMPLES, MEANING, Check, Gap, QualityReport, Repair
from maxlib.market.bars import ASIA, DAY_ROLL, LONDON, NS_PER_MINUTE, RTH_CLOSE, RTH_OPEN
from maxlib.market.calendar import Session, from_ordinal, ordinal, sessions, stamp, to_ns
from maxlib.market.halts import HALTS, halted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORT_MINUTES: Final = 15
"""A session may lack this many minutes at either end before it counts as incomplete."""
JUMP: Final = 0.20
"""Relative distance from the close before, beyond which a bar is shown as suspicious."""

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


def gate(
    raw: Raw, *, allow_incomplete: bool = False, allow_jumps: bool = False
) -> tuple[NDArray[np.void], QualityReport]:
    """Clean bars and the report on them, or a refusal.

    Parameters
    ----------
    raw : Raw
        One-minute bars in any order, stamped at their START, UTC ns.
    allow_incomplete : bool
        Let sessions through that start late or stop before their close.
    allow_jumps : bool
        Let bars through that reach more than 20 % away from the close before them.

    Returns
    -------
    bars : BAR[n]
        Strictly increasing in `ts` (the bar's END); a function of the set of bars
        only, so neither file order nor repetition changes a byte of it.
    report : QualityReport

    Raises
    ------
    QualityError
        No bars; a stamp off the minute; a price or volume that cannot be; two different
        bars for one minute; a regular minute on a date when the exchange is closed; an
        incomplete session that is not allowed. Names the row, the value and the bound.
    """
    if not len(raw):
        raise QualityError(f"{raw.name}: holds no bars")
    _refuse_odd_stamps(raw)
    _refuse_bad_values(raw)
    ordered, backward, moved = _in_order(raw)
    clean, duplicates = _without_duplicates(ordered)
    try:
        bars = stamp(clean.start, *(getattr(clean, name) for name in VALUES))
    except DataError as error:
        raise QualityError(f"{raw.name}: {error}") from None
    date = bars["day"].astype(np.int64) - (bars["minute"] >= DAY_ROLL)
    minute = bars["minute"].astype(np.int64)
    closed_day = _closed_days(clean, bars["close_minute"] == 0, minute)
    grid = _Grid.of(date, minute)
    incomplete = _incomplete(grid)
    if incomplete and not allow_incomplete:
        more = f" ({len(incomplete)} such sessions in all)" if len(incomplete) > 1 else ""
        allow = "to use it nevertheless set data.allow_incomplete=true"
        raise QualityError(f"{raw.name}: {incomplete[0]}{more}; {allow}")
    jumps = _jumps(clean)
    if len(jumps) and not allow_jumps:
        more = f" ({len(jumps)} such bars in all)" if len(jumps) > 1 else ""
        raise QualityError(
            f"{raw.name}: price jump at {_jump_text(clean, int(jumps[0]))}{more}, beyond 20 %; "
            "to use it nevertheless set data.allow_jumps=true"
        )
    gaps = _gaps(grid)
    checks = {
        "exact_duplicates": _check(np.flatnonzero(duplicates), ordered.when),
        "backward_steps": _check(backward, lambda i: f"row {raw.row[i]} at {raw.when(i)}"),
        "closed_day_bars": _check(np.flatnonzero(closed_day), clean.when),
        "incomplete_sessions": _check(incomplete, str),
        "price_jumps": _check(jumps, lambda i: _jump_text(clean, i)),
        "zero_volume": _check(np.flatnonzero(clean.volume == 0), clean.when),
        "no_premarket": _check(_without(grid, date[bars["session"] == LONDON]), _date),
        "no_evening": _check(_without(grid, bars["day"][bars["session"] == ASIA]), _date),
        **_calendar_checks(grid, gaps),
    }
    rules = (("drop_exact_duplicates", int(duplicates.sum())), ("sort_by_time", moved))
    report = QualityReport(
        name=raw.name,
        rows=len(raw),
        bars=len(bars),
        first=clean.when(0),
        last=clean.when(len(clean) - 1),
        sessions=int((grid.regular > 0).sum()),
        checks=tuple(replace(checks[name], name=name) for name in MEANING),
        repairs=tuple(Repair(rule, rows) for rule, rows in rules if rows),
        gaps=tuple(gaps),
        notes=raw.notes,
    )
    return bars, report


def _calendar_checks(grid: _Grid, gaps: list[Gap]) -> dict[str, Check]:
    halts = [gap for gap in gaps if gap.cause]
    holes = [gap for gap in gaps if not gap.cause]
    missing = [grid.sessions[i] for i in np.flatnonzero(~grid.any_bar)]
    traded = [grid.sessions[i] for i in np.flatnonzero(grid.regular > 0)]
    in_holes = _check(holes, lambda gap: f"{gap.minutes} from {gap.date} {gap.time}")
    in_halts = _check(halts, lambda gap: f"{gap.minutes} on {gap.date}")
    return {
        "missing_sessions": _check(missing, _date),
        "half_days": _check([session for session in traded if session.half_day], _date),
        "missing_minutes": replace(in_holes, count=sum(gap.minutes for gap in holes)),
        "halt_minutes": replace(in_halts, count=sum(gap.minutes for gap in halts)),
    }


def _check(found: Sequence[Any] | Ints, show: Callable[[Any], str]) -> Check:
    """A check, yet without a name, that struck at each of `found`."""
    return Check(
        "", len(found), tuple(show(item) for item in found[:EXAMPLES]), max(len(found) - EXAMPLES, 0)
    )


def _date(session: Session) -> str:
    return str(session.date)


def _and_more(count: int) -> str:
    return f"; {count - 1} more like it" if count > 1 else ""


def _refuse_odd_stamps(raw: Raw) -> None:
    odd = raw.start % NS_PER_MINUTE != 0
    if odd.any():
        i = int(odd.argmax())
        raise QualityError(
            f"{raw.name}: row {raw.row[i]}, {raw.when(i)} New York time is not on a whole minute"
            f"{_and_more(int(odd.sum()))}"
        )


def _refuse_bad_values(raw: Raw) -> None:
    """Refuse the first row with a value that no trade can have produced."""
    body_top = np.maximum(raw.open, raw.close)
    body_bottom = np.minimum(raw.open, raw.close)
    # Written so that NaN fails: every comparison with NaN is false.
    rules = [
        (name, (getattr(raw, name) > 0) & (getattr(raw, name) < np.inf), "a price above 0") for name in PRICES
    ]
    rules += [
        ("volume", (raw.volume >= 0) & (raw.volume < np.inf), "a number of shares, 0 or more"),
        ("high", raw.high >= body_top, "at least max(open, close) = {top:.10g}"),
        ("low", raw.low <= body_bottom, "at most min(open, close) = {bottom:.10g}"),
    ]
    for name, good, bound in rules:
        if not good.all():
            i = int(good.argmin())
            bound = bound.format(top=body_top[i], bottom=body_bottom[i])
            raise QualityError(
                f"{raw.name}: row {raw.row[i]} ({raw.when(i)} New York time), {name} "
                f"{getattr(raw, name)[i]:.10g} is not {bound}{_and_more(int((~good).sum()))}"
            )


def _in_order(raw: Raw) -> tuple[Raw, Ints, int]:
    """The bars in time order, where time ran backwards, and how many rows had to move."""
    backward = np.flatnonzero(raw.start[1:] < raw.start[:-1]) + 1
    if not len(backward):
        return raw, backward, 0
    order = np.argsort(raw.start, kind="stable")
    return raw.take(order), backward, int((order != np.arange(len(order))).sum())


def _without_duplicates(raw: Raw) -> tuple[Raw, Mask]:
    """The bars without exact repeats, and which bars were repeats."""
    repeat = np.zeros(len(raw), np.bool_)
    repeat[1:] = raw.start[1:] == raw.start[:-1]
    if not repeat.any():
        return raw, repeat
    later = np.flatnonzero(repeat)
    for name in VALUES:
        column = getattr(raw, name)
        differs = column[later] != column[later - 1]
        if differs.any():
            i = int(later[differs.argmax()])
            raise QualityError(
                f"{raw.name}: rows {raw.row[i - 1]} and {raw.row[i]} both stand for {raw.when(i)} "
                f"New York time but differ: {name} {column[i - 1]:.10g} and {column[i]:.10g}"
                f"{_and_more(int(differs.sum()))}"
            )
    return raw.take(~repeat), repeat


def _closed_days(raw: Raw, closed: Mask, minute: Ints) -> Mask:
    """Bars on dates without a session; refused in regular hours, when nothing can have traded."""
    impossible = closed & (minute >= RTH_OPEN) & (minute < RTH_CLOSE)
    if impossible.any():
        i = int(impossible.argmax())
        raise QualityError(
            f"{raw.name}: row {raw.row[i]} is a bar of {raw.when(i)} New York time, when the exchange is "
            f"closed all day{_and_more(int(impossible.sum()))}"
        )
    return closed


class _Grid(NamedTuple):
    """Which regular minutes have a bar, session by session.

    `there[s, m]`: minute m after the open of session s has a bar; `expected` likewise: the
    calendar knows such a minute. `regular` counts the bars in regular hours, `any_bar` tells
    whether the date has any; `first_bar` and `last_bar` are minutes of the day (1440 and -1
    without bars).
    """

    sessions: list[Session]
    there: Mask
    expected: Mask
    regular: Ints
    any_bar: Mask
    last_bar: Ints
    first_bar: Ints

    @classmethod
    def of(cls, date: Ints, minute: Ints) -> _Grid:
        """Lay bars out by date (days since 1970) and New York minute."""
        found = sessions(from_ordinal(date[0]), from_ordinal(date[-1]))
        table = np.array([(ordinal(s.date), s.open_minute, s.close_minute) for s in found], np.int64).reshape(
            -1, 3
        )
        days, opens, closes = table.T
        # An index per calendar day keeps the look-up per bar a plain subtraction.
        span = int(date[-1] - date[0]) + 1
        index = np.full(span, -1, np.int64)
        index[days - date[0]] = np.arange(len(found))
        where = index[date - date[0]]
        on_session = where >= 0
        where, at = where[on_session], minute[on_session]
        width = int((closes - opens).max()) if len(found) else 0
        inside = (at >= opens[where]) & (at < closes[where])
        there = np.zeros((len(found), width), np.bool_)
        there[where[inside], at[inside] - opens[where[inside]]] = True
        last_bar, first_bar = np.full(len(found), -1), np.full(len(found), 1440)
        # Bars are in time order: the edges of each run of one session are its first and last bar.
        edge = np.flatnonzero(np.diff(where, prepend=-1))
        first_bar[where[edge]] = at[edge]
        last_bar[where[edge]] = at[np.append(edge[1:], len(where)) - 1] if len(edge) else 0
        expected = np.arange(width) < (closes - opens)[:, None]
        return cls(found, there, expected, there.sum(axis=1), last_bar >= 0, last_bar, first_bar)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _incomplete(grid: _Grid) -> list[str]:
    """A sentence for each session that starts late or stops well before its close."""
    found: list[str] = []
    has = grid.regular > 0
    if not grid.there.size:
        return found
    head = np.where(has, grid.there.argmax(axis=1), 0)
    width = grid.there.shape[1]
    length = grid.expected.sum(axis=1)
    tail = length - (width - grid.there[:, ::-1].argmax(axis=1))
    for i in np.flatnonzero(grid.any_bar):
        session = grid.sessions[i]
        close, opening = _clock(session.close_minute), _clock(session.open_minute)
        # A file cut at a row limit ends with a bar before the close and nothing after it.
        cut = (
            i == len(grid.sessions) - 1 and has[i] and tail[i] > 0 and grid.last_bar[i] < session.close_minute
        )
        if not has[i]:
            if i == 0 and grid.first_bar[i] >= session.close_minute:
                continue  # the source begins in the evening, which belongs to the next trading day
            found.append(
                f"session {session.date} is incomplete: no bar in regular hours ({opening}-{close}), "
                f"its last bar is {_clock(int(grid.last_bar[i]))}"
            )
        elif tail[i] > SHORT_MINUTES or cut:
            last = session.close_minute - 1 - int(tail[i])
            found.append(
                f"session {session.date} is incomplete: its last regular bar is {_clock(last)}, "
                f"{tail[i]} minutes short of the close at {close}"
            )
        elif head[i] > SHORT_MINUTES:
            first = session.open_minute + int(head[i])
            found.append(
                f"session {session.date} is incomplete: its first regular bar is {_clock(first)}, "
                f"{head[i]} minutes after the open at {opening}"
            )
    return found


def _gaps(grid: _Grid) -> list[Gap]:
    """Runs of missing regular minutes on dates that have bars, parted where their cause changes."""
    which, offset = np.nonzero(grid.expected & ~grid.there & grid.any_bar[:, None])
    if not len(which):
        return []
    opens = np.array([to_ns(s.date, s.open_minute) for s in grid.sessions])
    cause = halted(opens[which] + offset * NS_PER_MINUTE)
    new = (
        (np.diff(which, prepend=-1) != 0)
        | (np.diff(offset, prepend=-1) != 1)
        | (np.diff(cause, prepend=-2) != 0)
    )
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, len(which)))
    gaps = []
    for i, minutes in zip(starts, lengths, strict=True):
        session = grid.sessions[which[i]]
        name = HALTS[cause[i]].name if cause[i] >= 0 else None
        gaps.append(Gap(str(session.date), _clock(session.open_minute + int(offset[i])), int(minutes), name))
    return gaps


def _jumps(raw: Raw) -> Ints:
    """Bars whose high or low lies more than JUMP away from the close of the bar before."""
    before = raw.close[:-1]
    far = (raw.high[1:] > before * (1 + JUMP)) | (raw.low[1:] < before * (1 - JUMP))
    return np.flatnonzero(far) + 1


def _jump_text(raw: Raw, i: int) -> str:
    before = raw.close[i - 1]
    far = raw.high[i] if raw.high[i] > before * (1 + JUMP) else raw.low[i]
    return f"{when(int(raw.start[i]))} from {before:.10g} to {far:.10g}"


def _without(grid: _Grid, days: NDArray[Any]) -> list[Session]:
    """The sessions with regular bars whose date is not among `days`."""
    there = set(np.unique(days).tolist())
    return [s for s, n in zip(grid.sessions, grid.regular, strict=True) if n and ordinal(s.date) not in there]
