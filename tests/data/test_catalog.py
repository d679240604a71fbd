import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.data import DataConfig, catalog, load
from tests.data.helpers import new_york, session_rows, write

DAY_2 = new_york("2025-01-03", "09:30", 390)
DAY_3 = new_york("2025-02-03", "09:30", 390)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAXTRADER_CATALOG", str(tmp_path / "store"))
    monkeypatch.setenv("MAXTRADER_SHARED", str(tmp_path / "no shared folder"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


def make(folder: Path, rows: list[list[Any]], name: str) -> str:
    write(folder, rows, name)
    return name


def test_import_keeps_bars_and_provenance(tmp_path: Path) -> None:
    name = make(tmp_path, [*session_rows(), session_rows()[3]], "january.csv")
    entry = catalog.import_bars(name, "QQQ")
    assert (entry.symbol, entry.name, entry.bars, entry.first, entry.last) == (
        "QQQ",
        "january.csv",
        390,
        "2025-01-02",
        "2025-01-02",
    )
    assert catalog.entries() == [entry]
    assert entry.quality["repairs"][0] == {"rule": "drop_exact_duplicates", "rows": 1}
    whole = load(DataConfig(source="file", path=name))
    kept = load(DataConfig(source="catalog"))
    assert (kept.source, kept.simulated, kept.name) == ("catalog", False, "january.csv")
    assert kept.sha256 == whole.sha256
    assert kept.file_sha256 == whole.file_sha256
    assert any("repaired then by drop_exact_duplicates on 1 rows" in note for note in kept.quality.notes)


def test_default_place_is_below_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAXTRADER_CATALOG")
    entry = catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), "QQQ")
    assert (tmp_path / entry.path).parent == tmp_path / "var" / "catalog" / "QQQ"


def test_second_import_extends_and_overlaps_without_losing_anything(tmp_path: Path) -> None:
    catalog.import_bars(make(tmp_path, [*session_rows(), *DAY_2], "a.csv"), "QQQ")
    catalog.import_bars(make(tmp_path, [*DAY_2, *DAY_3], "b.csv"), "QQQ")
    tape = load(DataConfig(source="catalog"))
    expected = load(
        DataConfig(source="file", path=make(tmp_path, [*session_rows(), *DAY_2, *DAY_3], "c.csv"))
    )
    assert tape.bars.tobytes() == expected.bars.tobytes()
    assert tape.name == "QQQ catalog"
    assert tape.file_sha256 is None
    assert tape.quality.count("exact_duplicates") == 0
    assert len(tape.quality.notes) == 2


def test_reading_a_span_takes_that_span(tmp_path: Path) -> None:
    catalog.import_bars(make(tmp_path, [*session_rows(), *DAY_2, *DAY_3], "a.csv"), "QQQ")
    raw = catalog.read("QQQ", dt.date(2025, 1, 3), dt.date(2025, 1, 31))
    assert len(raw) == 390
    assert raw.when(0) == "2025-01-03 09:30"
    with pytest.raises(DataError, match="no bars of QQQ from 2025-03-01 to the end; it holds QQQ"):
        catalog.read("QQQ", dt.date(2025, 3, 1))


def test_import_again_changes_nothing(tmp_path: Path) -> None:
    name = make(tmp_path, session_rows(), "a.csv")
    first = catalog.import_bars(name, "QQQ")
    bytes_before = catalog.load_entry(first).close.tobytes()
    second = catalog.import_bars(name, "QQQ")
    assert [entry.path for entry in catalog.entries()] == [first.path] == [second.path]
    assert catalog.load_entry(second).close.tobytes() == bytes_before


def test_conflicting_bars_are_refused_naming_both_and_nothing_is_written(tmp_path: Path) -> None:
    catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), "QQQ")
    other = session_rows()
    other[10][4] = 500.33
    name = make(tmp_path, [*other, *DAY_2], "b.csv")
    with pytest.raises(DataError) as caught:
        catalog.import_bars(name, "QQQ")
    assert str(caught.value) == (
        "b.csv: close of 2025-01-02 09:40 New York time is 500.33, but 500 in a.csv, imported before "
        "(1 of 390 common bars differ)"
    )
    assert [entry.name for entry in catalog.entries()] == ["a.csv"]


def test_symbols_are_kept_apart(tmp_path: Path) -> None:
    other = session_rows()
    other[10][4] = 500.33
    catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), "QQQ")
    catalog.import_bars(make(tmp_path, other, "b.csv"), "SPY")
    assert catalog.read("QQQ").close[10] == 500.0
    assert catalog.read("SPY").close[10] == 500.33


@pytest.mark.parametrize("symbol", ["../QQQ", "qqq", "", "Q/Q"])
def test_symbol_that_is_no_ticker_is_refused(symbol: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a ticker"):
        catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), symbol)


def test_imported_file_is_found_by_its_name_when_it_is_gone(tmp_path: Path) -> None:
    name = make(tmp_path, session_rows(), "a.csv")
    whole = load(DataConfig(source="file", path=name))
    catalog.import_bars(name, "QQQ")
    (tmp_path / name).unlink()
    tape = load(DataConfig(source="file", path="data/real/a.csv"))
    assert (tape.source, tape.name, tape.sha256, tape.file_sha256) == (
        "catalog",
        "a.csv",
        whole.sha256,
        whole.file_sha256,
    )


def test_two_imports_of_one_name_must_be_told_apart(tmp_path: Path) -> None:
    for rows in (session_rows(), DAY_2):
        catalog.import_bars(make(tmp_path, rows, "a.csv"), "QQQ")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match="the catalog holds 2 imports of that name"):
        catalog.resolve("a.csv")


def test_empty_catalog_says_how_to_fill_it() -> None:
    with pytest.raises(
        DataError, match="no bars of QQQ; it holds nothing; import bars with `maxtrader data import"
    ):
        load(DataConfig(source="catalog"))


def test_foreign_file_in_the_catalog_is_named(store: Path) -> None:
    (store / "QQQ").mkdir(parents=True)
    (store / "QQQ" / "x.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"x\.parquet: not a file of the catalog"):
        catalog.entries()


def test_write_that_fails_leaves_the_earlier_import_and_no_draft(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), "QQQ")
    before = sorted(store.rglob("*"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        catalog.import_bars(make(tmp_path, DAY_2, "b.csv"), "QQQ")
    assert sorted(store.rglob("*")) == before
    assert np.isfinite(catalog.read("QQQ").close).all()


def test_leftover_draft_of_a_killed_import_is_ignored(tmp_path: Path, store: Path) -> None:
    catalog.import_bars(make(tmp_path, session_rows(), "a.csv"), "QQQ")
    (store / "QQQ" / ".b.0123.parquet.77.tmp").write_bytes(b"PAR1 torn")
    assert [entry.name for entry in catalog.entries()] == ["a.csv"]
