"""The catalog: bars that passed the gate once, kept as Parquet.

One file per import, `<catalog>/<SYMBOL>/<source stem>.<12 digits of its SHA-256>.parquet`,
with its provenance inside the file. So an import is one atomic rename, an earlier import is
never rewritten, and reading merges what overlaps. Two imports that disagree about a bar
cannot both be in the catalog: the second is refused. So is one of simulated bars beside
real ones of its symbol, or the other way round.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from maxlib.core.canonical import canonical
from maxlib.core.errors import DataError
from maxlib.core.files import write_atomic
from maxlib.data import files
from maxlib.data.quality import gate
from maxlib.data.raw import VALUES, Raw, from_bars, when
from maxlib.market.calendar import from_ordinal, new_york_minutes

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = b"maxtrader"
_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9.]{0,11}")
SIMULATED: Final = "SIMULATED-"
"""How the name of an import begins whose bars never traded."""


@dataclass(frozen=True)
class CatalogEntry:
    """One import.

    Attributes
    ----------
    symbol : str
    name : str
        Name of the source file, without folders.
    file_sha256 : str
        Of the source file's bytes.
    bars : int
        Bars accepted.
    first, last : str
        New York dates of the first and last bar.
    quality : mapping
        `QualityReport.as_dict()` of the import.
    imported_at : str
        UTC time of the import, ISO 8601; part of no hash.
    path : Path
        The Parquet file; its `ts` is each bar's START.
    """

    symbol: str
    name: str
    file_sha256: str
    bars: int
    first: str
    last: str
    quality: Mapping[str, Any]
    imported_at: str
    path: Path

    @property
    def simulated(self) -> bool:
        """Its bars never traded: SIMULATED must stand on everything made from them."""
        return self.name.startswith(SIMULATED)


def folder() -> Path:
    """Where the catalog lies: MAXTRADER_CATALOG, else `var/catalog` in the current directory."""
    return Path(os.environ.get("MAXTRADER_CATALOG") or Path("var") / "catalog").expanduser()


def entries(symbol: str | None = None) -> list[CatalogEntry]:
    """All imports (of one symbol), by symbol, first date and name.

    Raises
    ------
    DataError
        If a file in the catalog is not one of its own.
    """
    found = [_entry(path) for path in sorted(folder().glob(f"{symbol or '*'}/*.parquet"))]
    return sorted(found, key=lambda entry: (entry.symbol, entry.first, entry.path.name))


def _entry(path: Path) -> CatalogEntry:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        return CatalogEntry(path=path, **json.loads(metadata[_KEY]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a file of the catalog ({type(error).__name__}); move it away") from None


def resolve(path: str | Path) -> Path:
    """The file that `path` means.

    Looked up from the current directory, below the shared folders (`files.shared_folders`),
    then by file name among the imports. Simulated data never stands in for a missing file.

    Raises
    ------
    DataError
        If there is no such file, or several imports bear its name.
    """
    found = files.find(path)
    if found is not None:
        return found
    name = Path(path).name
    named = [entry for entry in entries() if entry.name == name]
    if len(named) == 1:
        return named[0].path
    if named:
        raise DataError(
            f"data.path {str(path)!r}: the catalog holds {len(named)} imports of that name; "
            f"name one of {', '.join(str(entry.path) for entry in named)}"
        )
    shared = " or ".join(str(place) for place in files.shared_folders())
    raise DataError(
        f"data.path {str(path)!r} was not found in the current directory, in {shared}, or in the catalog "
        f"{folder()}; set MAXTRADER_SHARED to the folder with the real bars, or import them with "
        "`maxtrader data import FILE`"
    )


def entry_of(path: Path) -> CatalogEntry | None:
    """The import that `path` holds, None if it lies outside the catalog."""
    return _entry(path) if path.resolve().parent.parent == folder().resolve() else None


def check_symbol(symbol: str) -> None:
    """Refuse what is no ticker, before anything is asked or written.

    Raises
    ------
    DataError
    """
    if not _SYMBOL.fullmatch(symbol):
        raise DataError(f"symbol {symbol!r} is not a ticker: capitals, digits and dots, 12 at most")


def refuse_mixture(symbol: str, simulated: bool) -> None:
    """Keep simulated bars of a symbol and real ones apart.

    Raises
    ------
    DataError
        If the catalog holds bars of this symbol that are of the other kind.
    """
    for earlier in entries(symbol):
        if earlier.simulated != simulated:
            new, old = ("simulated", "real") if simulated else ("real", "simulated")
            raise DataError(
                f"catalog {folder()} holds {old} bars of {symbol} ({earlier.name}); {new} ones belong into "
                "another: set MAXTRADER_CATALOG to its folder"
            )


def import_bars(
    path: str | Path,
    symbol: str,
    *,
    zone: str = "auto",
    stamped: str = "auto",
    allow_incomplete: bool = False,
) -> CatalogEntry:
    """Pass a file through the gate and keep its bars. Importing it again changes nothing.

    Parameters
    ----------
    path : str or Path
        From the current directory or below a shared folder.
    symbol : str
        Ticker in capitals; rows of other symbols are refused or left out (`files.read`).
    zone, stamped, allow_incomplete
        As in `DataConfig`.

    Raises
    ------
    DataError
        If the file is missing or refused, or contradicts an earlier import. Nothing is written then.
    """
    check_symbol(symbol)
    raw = files.read(resolve(path), symbol=symbol, zone=zone, stamped=stamped)
    bars, report = gate(raw, allow_incomplete=allow_incomplete)
    clean = from_bars(bars, raw.name)
    assert raw.file_sha256 is not None
    dates = new_york_minutes(clean.start[[0, -1]]) // 1440
    place = folder() / symbol / f"{Path(raw.name).name.split('.')[0]}.{raw.file_sha256[:12]}.parquet"
    entry = CatalogEntry(
        symbol=symbol,
        name=raw.name,
        file_sha256=raw.file_sha256,
        bars=len(bars),
        first=str(from_ordinal(dates[0])),
        last=str(from_ordinal(dates[1])),
        quality=report.as_dict(),
        imported_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        path=place,
    )
    refuse_mixture(symbol, entry.simulated)
    for earlier in entries(symbol):
        if earlier.path.name != place.name and earlier.first <= entry.last and earlier.last >= entry.first:
            _refuse_conflict(clean, load_entry(earlier))
    _write(clean, entry)
    return entry


def _refuse_conflict(new: Raw, old: Raw) -> None:
    both, mine, theirs = np.intersect1d(new.start, old.start, assume_unique=True, return_indices=True)
    for name in VALUES:
        here, there = getattr(new, name)[mine], getattr(old, name)[theirs]
        if (here != there).any():
            i = int((here != there).argmax())
            raise DataError(
                f"{new.name}: {name} of {when(int(both[i]))} New York time is {here[i]:.10g}, but "
                f"{there[i]:.10g} in {old.name}, imported before "
                f"({int((here != there).sum())} of {len(both)} common bars differ)"
            )


def _write(raw: Raw, entry: CatalogEntry) -> None:
    """New file beside the target, flushed to disk, renamed over it: whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "ts": pa.array(raw.start, pa.timestamp("ns", "UTC")),
        **{name: getattr(raw, name) for name in VALUES},
    }
    facts = {name: getattr(entry, name) for name in CatalogEntry.__dataclass_fields__ if name != "path"}
    table = pa.table(columns).replace_schema_metadata({_KEY: canonical(facts)})
    file = io.BytesIO()
    pq.write_table(table, file)
    write_atomic(entry.path, file.getvalue())


def load_entry(entry: CatalogEntry) -> Raw:
    """The bars of one import, under the name of its source."""
    raw = files.read(entry.path, zone="UTC", stamped="start")
    rules = " and ".join(f"{r['rule']} on {r['rows']:,} rows" for r in entry.quality["repairs"])
    notes = (f"imported from {entry.name}{f', repaired then by {rules}' if rules else ''}",)
    return replace(
        raw, name=entry.name, notes=notes, file_sha256=entry.file_sha256, simulated=entry.simulated
    )


def read(symbol: str, start: dt.date | None = None, end: dt.date | None = None) -> Raw:
    """All bars of a symbol from the New York dates `start` to `end`, imports merged, in time order.

    Raises
    ------
    DataError
        If the catalog has none.
    """
    wanted = [
        entry
        for entry in entries(symbol)
        if (end is None or entry.first <= str(end)) and (start is None or entry.last >= str(start))
    ]
    if not wanted:
        span = f" from {start or 'the start'} to {end or 'the end'}" if start or end else ""
        known = ", ".join(sorted({entry.symbol for entry in entries()})) or "nothing"
        raise DataError(
            f"catalog {folder()}: no bars of {symbol}{span}; it holds {known}; "
            "import bars with `maxtrader data import FILE`"
        )
    parts = [load_entry(entry) for entry in wanted]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("start", *VALUES)
    }
    # Imports agree where they overlap (refused otherwise), so any of the repeats will do.
    _, first = np.unique(columns["start"], return_index=True)
    whole = Raw(
        f"{symbol} catalog" if len(parts) > 1 else parts[0].name,
        **{name: column[first] for name, column in columns.items()},
        row=np.arange(1, len(first) + 1),
        notes=tuple(note for part in parts for note in part.notes),
        file_sha256=parts[0].file_sha256 if len(parts) == 1 else None,
        simulated=any(part.simulated for part in parts),
    )
    return whole.between(start, end)
