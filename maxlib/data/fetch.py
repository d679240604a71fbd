"""Fill the catalog from a source, month by month, so that a kill loses at most a month's download.

A month is fetched whole, passes the gate, and enters the catalog by one atomic rename. What was asked
for stands in the import's name, so a later run knows what it need not ask again.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from maxlib.core.errors import DataError
from maxlib.data import catalog as _catalog
from maxlib.data.faults import Fault, SourceError
from maxlib.data.raw import VALUES, Raw
from maxlib.market.calendar import FIRST, LAST, new_york, sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAME: Final = re.compile(r"(?P<source>.+)-(?P<first>\d{4}-\d\d-\d\d)-to-(?P<last>\d{4}-\d\d-\d\d)\.parquet")


class Provider(Protocol):
    """A source of one-minute bars."""

    @property
    def name(self) -> str:
        """Stands in the names of its imports; lower-case letters."""

    @property
    def simulated(self) -> bool:
        """Its bars never traded."""

    def minute_bars(self, symbol: str, first: dt.date, last: dt.date) -> Raw:
        """Complete bars from New York date `first` to `last`, in time order; maybe none."""


class Catalog(Protocol):
    """Where bars are kept: the module `maxlib.data.catalog`, or something like it."""

    def entries(self, symbol: str | None = None) -> list[_catalog.CatalogEntry]:
        """All imports of a symbol."""

    def import_bars(
        self,
        path: str | Path,
        symbol: str,
        *,
        zone: str = "auto",
        stamped: str = "auto",
        allow_incomplete: bool = False,
    ) -> _catalog.CatalogEntry:
        """Pass a file through the gate and keep its bars, wholly or not at all."""


Outcome = Literal["fetched", "kept", "clipped", "empty", "not entitled", "refused"]


class Part(NamedTuple):
    """What became of one span of at most a month.

    first, last : New York dates asked for
    outcome : "kept" = was in the catalog already; "clipped" = the source gave only the later sessions;
        "empty" = it gave none; "not entitled" = the plan ends before; "refused" = by the gate, or
        because the catalog says otherwise
    bars : accepted now
    why : a sentence where something is not as asked
    """

    first: dt.date
    last: dt.date
    outcome: Outcome
    bars: int
    why: str = ""


class Progress(NamedTuple):
    """How far a fetch is: `part` is the one just finished, the `done`-th of `total`."""

    done: int
    total: int
    part: Part


def fetch(
    symbol: str,
    start: dt.date,
    end: dt.date,
    provider: Provider,
    catalog: Catalog = _catalog,
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    today: dt.date | None = None,
    allow_incomplete: bool = False,
    allow_simulated: bool = False,
    began: Callable[[int], object] = lambda _: None,
) -> list[Part]:
    """Bring the bars of New York dates `start` to `end` into the catalog.

    Call it again after a kill, or later with a later `end`: what is in the catalog is not asked again.

    Parameters
    ----------
    today : date, optional
        New York date that is not over yet; it and what follows are left out. None = now.
    allow_incomplete : bool
        Import months with incomplete sessions too; else they are "refused", with the gate's sentence.
    allow_simulated : bool
        Take bars from a source that is not a market, under a name that begins with SIMULATED.
    began : callable
        Called with the number of months when nothing is refused any more.

    Returns
    -------
    list of Part
        In order of time, one per month.

    Raises
    ------
    SourceError
        If the source stopped answering (limit, network, key). What was imported stays; call again.
    DataError
        If the span is none, or the source is simulated and that was not allowed.
    """
    if provider.simulated and not allow_simulated:
        raise DataError(
            f"source {provider.name!r} is on this machine and simulated; its bars do not belong among real "
            "ones (to keep them in a catalog of their own, allow it)"
        )
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1e9)
    unfinished = today or new_york(now).date()
    last = min(end, unfinished - dt.timedelta(days=1), LAST)
    if start > last or start < FIRST:
        raise DataError(
            f"fetch {symbol}: from {start} to {end} there is nothing to fetch between {FIRST} and yesterday, "
            f"{unfinished - dt.timedelta(days=1)}"
        )
    source = f"{_catalog.SIMULATED if provider.simulated else ''}{provider.name}-{symbol.replace('.', '_')}"
    spans = list(_months(start, last))
    began(len(spans))
    parts: list[Part] = []
    for first, final in spans:
        part = _part(symbol, first, final, provider, catalog, source, allow_incomplete)
        parts.append(part)
        progress(Progress(len(parts), len(spans), part))
    return parts


def _months(first: dt.date, last: dt.date) -> Iterator[tuple[dt.date, dt.date]]:
    while first <= last:
        following = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        yield first, min(last, following - dt.timedelta(days=1))
        first = following


def _part(
    symbol: str,
    first: dt.date,
    last: dt.date,
    provider: Provider,
    catalog: Catalog,
    source: str,
    allow_incomplete: bool,
) -> Part:
    begin = _not_yet(first, last, catalog.entries(symbol), source)
    if begin is None:
        return Part(first, last, "kept", 0)
    try:
        raw = provider.minute_bars(symbol, begin, last)
    except SourceError as error:
        if error.fault is Fault.ENTITLEMENT:
            return Part(first, last, "not entitled", 0, str(error))
        raise
    days = sessions(begin, last)
    if not len(raw):
        why = f"{provider.name} gave no bars for {len(days)} sessions" if days else "no session"
        return Part(first, last, "empty", 0, why)
    given = new_york(int(raw.start.min())).date()
    outcome: Outcome = "fetched"
    why = ""
    if days and given > days[0].date:
        # Plans clip silently. The name promises only what came, so the rest is asked again one day.
        outcome, why = "clipped", f"{provider.name} gave nothing before {given}"
        begin = given
    try:
        entry = _import(raw, f"{source}-{begin}-to-{last}.parquet", symbol, catalog, allow_incomplete)
    except DataError as error:
        return Part(first, last, "refused", 0, str(error))
    return Part(first, last, outcome, entry.bars, why)


def _not_yet(
    first: dt.date, last: dt.date, entries: list[_catalog.CatalogEntry], source: str
) -> dt.date | None:
    """The first date of the span that no earlier fetch from this source covers; None if there is none."""
    spans = []
    for entry in entries:
        found = _NAME.fullmatch(entry.name)
        if found is not None and found["source"] == source:
            spans.append((dt.date.fromisoformat(found["first"]), dt.date.fromisoformat(found["last"])))
    for begin, end in sorted(spans):
        if begin <= first <= end:
            first = end + dt.timedelta(days=1)
    return first if first <= last and sessions(first, last) else None


def _import(
    raw: Raw, name: str, symbol: str, catalog: Catalog, allow_incomplete: bool
) -> _catalog.CatalogEntry:
    """By way of a file, because that is what the catalog takes, and hashes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {value: getattr(raw, value) for value in VALUES}
    table = pa.table({"ts": pa.array(raw.start, pa.timestamp("ns", "UTC")), **columns})
    file = io.BytesIO()
    pq.write_table(table, file)
    with tempfile.TemporaryDirectory(prefix="maxtrader-fetch-") as folder:
        path = Path(folder) / name
        path.write_bytes(file.getvalue())
        return catalog.import_bars(
            path, symbol, zone="UTC", stamped="start", allow_incomplete=allow_incomplete
        )
