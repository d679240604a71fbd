"""The hash chain in memory and on disk."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from maxlib.core.canonical import sha256
from maxlib.core.errors import DataError, InvariantError
from maxlib.journal.chain import GENESIS, Entry, Journal, verify
from maxlib.journal.store import JournalFile, read


def written(count: int = 5) -> Journal:
    journal = Journal()
    for i in range(count):
        journal.append(i * 10, "fill", {"price_cents": 100 + i, "name": "QQQ"})
    return journal


def test_an_entrys_hash_covers_the_one_before_it_and_all_its_fields() -> None:
    journal = Journal()
    assert journal.head == GENESIS == "0" * 64
    first = journal.append(7, "signal", {"b": 1, "a": 2.5})
    assert first == Entry(
        1, 7, "signal", '{"a":2.5,"b":1}', sha256(f'{GENESIS}|1|7|signal|{{"a":2.5,"b":1}}')
    )
    second = journal.append(8, "denied", {})
    assert second.hash == sha256(f"{first.hash}|2|8|denied|{{}}") == journal.head
    assert verify(journal.entries) == journal.head


def test_an_empty_journal_verifies_to_the_beginning() -> None:
    assert verify([]) == GENESIS


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize(
    "change",
    [
        {"seq": 9},
        {"ts": 11},
        {"kind": "order"},
        {"body": '{"name":"QQQ","price_cents":1}'},
        {"hash": "f" * 64},
    ],
)
def test_tampering_with_any_field_of_any_entry_is_found(at: int, change: dict[str, Any]) -> None:
    entries = written().entries
    entries[at] = entries[at]._replace(**change)
    with pytest.raises(InvariantError, match=f"journal entry {at + 1} "):
        verify(entries)


@pytest.mark.parametrize("at", range(4))
def test_a_missing_entry_is_found(at: int) -> None:
    entries = written().entries
    del entries[at]
    with pytest.raises(InvariantError):
        verify(entries)


def test_a_swap_a_repeat_and_a_stranger_are_found() -> None:
    entries = written().entries
    for bad in (
        [entries[1], entries[0], *entries[2:]],
        [entries[0], entries[0], *entries[1:]],
        [*entries, written(7).entries[6]],
    ):
        with pytest.raises(InvariantError):
            verify(bad)


def test_nan_cannot_enter_a_journal() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Journal().append(0, "fill", {"x": float("nan")})


def test_a_journal_comes_back_from_disk_entry_for_entry(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "new" / "journal.db")
    journal = written()
    file.extend(journal.entries)
    file.append(99, "closed", {"pnl_cents": -5})
    journal.append(99, "closed", {"pnl_cents": -5})
    assert file.head == journal.head
    file.close()
    assert read(tmp_path / "new" / "journal.db") == journal.entries


def test_reopening_continues_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for i in range(3):
        file = JournalFile(path)
        file.append(i, "signal", {"i": i})
        file.close()
    entries = read(path)
    assert [json.loads(e.body)["i"] for e in entries] == [0, 1, 2]
    assert verify(entries) == entries[-1].hash


def test_an_append_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    file = JournalFile(path)
    file.append(1, "signal", {})
    assert len(read(path)) == 1  # another reader, while the writer still has it open
    file.close()


def test_a_batch_is_one_transaction_and_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with JournalFile(path) as file:
        file.append(0, "signal", {})
        made = file.append_all((i, "fill", {"i": i}) for i in range(3))
        assert (file.seq, file.head) == (4, made[-1].hash)
        with pytest.raises(ValueError, match="JSON"):
            file.append_all([(1, "fill", {}), (2, "fill", {"x": float("nan")})])
        assert file.append_all([]) == []
        assert file.seq == len(read(path)) == 4
        assert file.append(9, "closed", {}).seq == 5
    entries = read(path)
    assert entries[1:4] == made
    assert verify(entries) == entries[-1].hash


def test_a_tail_can_be_read_by_the_writer_and_by_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    entries = written().entries
    with JournalFile(path) as file:
        file.extend(entries)
        for after in range(6):
            assert file.entries(after) == read(path, after) == entries[after:]
            assert file.hash_at(after) == (entries[after - 1].hash if after else GENESIS)
        assert file.verify() == file.head == entries[-1].hash
        with pytest.raises(InvariantError, match="has no entry 6; its newest is 5"):
            file.hash_at(6)
        file.append(99, "signal", {})  # to ask for what is not there breaks nothing


def test_a_chain_can_be_verified_from_the_middle(tmp_path: Path) -> None:
    entries = written().entries
    assert verify(entries[2:], 2, entries[1].hash) == entries[-1].hash
    with pytest.raises(InvariantError, match="journal entry 3 "):
        verify(entries[2:], 2, entries[0].hash)


def test_an_old_journal_of_any_length_opens_with_its_number_and_head(tmp_path: Path) -> None:
    for count in (0, 1, 63, 64, 65, 66, 200):  # the tail that is checked has 64
        path = tmp_path / f"{count}.db"
        with JournalFile(path) as file:
            file.extend(written(count).entries)
        with JournalFile(path) as file:
            assert (file.seq, file.head) == (count, written(count).head)


def test_a_journal_may_be_written_from_another_thread(tmp_path: Path) -> None:
    with JournalFile(tmp_path / "journal.db") as file, ThreadPoolExecutor(1) as pool:
        assert pool.submit(file.append, 1, "signal", {}).result().seq == 1
        assert file.append(2, "signal", {}).seq == 2


def test_tampering_on_disk_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    file = JournalFile(path)
    file.extend(written().entries)
    file.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE journal SET body = replace(body, '102', '999') WHERE seq = 3")
    db.close()
    with pytest.raises(InvariantError, match="journal entry 3 "):
        verify(read(path))


def test_extending_with_a_sequence_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    file = JournalFile(path)
    file.extend(written(3).entries)
    head = file.head
    with pytest.raises((sqlite3.IntegrityError, InvariantError, DataError)):
        file.extend([*written(5).entries[3:], *written(3).entries])
    file.append(50, "signal", {})  # the file can still be written to
    file.close()
    entries = read(path)
    assert len(entries) == 4
    assert entries[2].hash == head
    assert verify(entries)


def test_entries_that_do_not_follow_the_head_are_refused(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "journal.db")
    file.extend(written(3).entries)
    other = Journal()
    for i in range(4):
        other.append(i, "order", {})
    with pytest.raises((InvariantError, DataError)):
        file.extend(other.entries[3:])  # the next number, but another journal's hash
    file.close()


TEXT = b"this is not a database, but a long enough line of text to look like a file of some sort\n"


def torn(path: Path) -> bytes:
    file = JournalFile(path)
    file.extend(written(200).entries)
    file.close()
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["text", "torn header", "torn pages", "another schema", "a folder"])
def test_a_file_that_is_no_journal_is_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "journal.db"
    if kind == "text":
        path.write_bytes(TEXT * 20)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "another schema":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE journal (a, b)")
        db.close()
    else:
        whole = torn(path)
        path.write_bytes(whole[:50] if kind == "torn header" else whole[: len(whole) // 2 + 100])
    for use in (read, lambda p: JournalFile(p).append(1, "signal", {})):
        with pytest.raises(DataError) as caught:
            use(path)
        assert "journal.db" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"journal none\.db does not exist"):
        read(tmp_path / "none.db")
