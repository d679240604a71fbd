"""A start finds the newest snapshot that can be trusted, or knows that there is none.

The rows are those of the fault matrix; a test's name says which one it covers.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical, sha256
from maxlib.core.errors import DataError
from maxlib.journal.chain import Journal
from maxlib.journal.errors import HaltEntriesError, RefuseStartError, StopTradingError
from maxlib.journal.snapshots import Loaded, SnapshotStore
from maxlib.journal.store import JournalFile

HEAD = "e" * 64


def state(seq: int) -> dict[str, Any]:
    return {"cash_cents": 2_500_000 - seq, "name": "Größe", "held": [[0.1 * seq, None]]}


def stored(folder: Path, newest: int = 5) -> SnapshotStore:
    """A store with snapshots of entries 1 to `newest`."""
    store = SnapshotStore(folder)
    for seq in range(1, newest + 1):
        store.write(state(seq), seq, HEAD)
    return store


def forged(**changes: Any) -> str:
    """A snapshot file whose checksum holds, whatever is in it."""
    body = {"schema": 1, "seq": 9, "head": HEAD, "state": {}, **changes}
    return canonical({**body, "checksum": sha256(canonical(body))})


# --- writing


def test_the_newest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert stored(tmp_path / "new" / "deep").load(5) == Loaded(state(5), 5, "state.json", [])


def test_three_backups_rotate_newest_first(tmp_path: Path) -> None:
    stored(tmp_path, 6)
    found = {path.name: json.loads(path.read_bytes())["seq"] for path in tmp_path.iterdir()}
    assert found == {"state.json": 6, "state.json.1": 5, "state.json.2": 4, "state.json.3": 3}


def test_the_checksum_is_that_of_the_canonical_json_without_it(tmp_path: Path) -> None:
    stored(tmp_path, 1)
    written = json.loads((tmp_path / "state.json").read_bytes())
    checksum = written.pop("checksum")
    assert written == {"schema": 1, "seq": 1, "head": HEAD, "state": state(1)}
    assert checksum == sha256(
        f'{{"head":"{HEAD}","schema":1,"seq":1,'
        '"state":{"cash_cents":2499999,"held":[[0.1,null]],"name":"Größe"}}'
    )


def test_nan_cannot_enter_a_snapshot_and_leaves_the_old_one(tmp_path: Path) -> None:
    store = stored(tmp_path, 2)
    with pytest.raises(ValueError, match="JSON"):
        store.write({"x": float("nan")}, 3, HEAD)
    assert store.load(9).seq == 2


@pytest.mark.parametrize(("number", "kind"), [(28, HaltEntriesError), (5, StopTradingError)])
def test_a_disk_that_is_full_halts_and_one_that_fails_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    store = stored(tmp_path, 2)

    def fail(handle: int) -> None:
        raise OSError(number, "it fails")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(kind, match=r"snapshot .*state\.json cannot be written: it fails") as caught:
            store.write(state(3), 3, HEAD)
    assert "\n" not in str(caught.value)
    assert store.load(9).seq == 2
    assert not (tmp_path / "state.json.tmp").exists()


# --- the fault matrix


def test_row_5_torn_at_every_byte_gives_backup_1(tmp_path: Path) -> None:
    store = stored(tmp_path)
    whole = store.path.read_bytes()
    for size in range(len(whole)):
        store.path.write_bytes(whole[:size])
        found = store.load(5)
        assert (found.state, found.seq, found.source) == (state(4), 4, "state.json.1"), size
        assert len(found.problems) == 1
        assert "snapshot state.json is passed over: it is torn or was changed" in found.problems[0]
        assert "\n" not in found.problems[0]


def test_row_6_every_bit_flip_is_found_or_changes_nothing(tmp_path: Path) -> None:
    store = stored(tmp_path)
    whole = store.path.read_bytes()
    found_out = 0
    for at in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        store.path.write_bytes(flipped)
        found = store.load(5)
        if found.source == "state.json":  # the same number in other letters, as 1e5 and 1E5
            assert (found.state, found.seq) == (state(5), 5)
        else:
            assert (found.state, found.source) == (state(4), "state.json.1")
            found_out += 1
    assert found_out > 0.99 * len(whole) * 8


@given(noise=st.binary(max_size=300), at=st.integers(0, 300))
def test_row_6_noise_over_a_snapshot_never_gives_another_state(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    store = stored(tmp_path_factory.mktemp("noise"), 2)
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    found = store.load(2)
    assert (found.state, found.seq) in ((state(2), 2), (state(1), 1))


def test_row_7_a_missing_state_is_taken_from_backup_1_or_else_from_the_journal(tmp_path: Path) -> None:
    store = stored(tmp_path)
    store.path.unlink()
    missing = "snapshot state.json is passed over: it is missing"
    assert store.load(5) == Loaded(state(4), 4, "state.json.1", [missing])
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.load(5) == Loaded(None, 0, None, [missing])


def test_row_7_an_empty_journal_has_no_snapshot_and_that_is_no_problem(tmp_path: Path) -> None:
    assert SnapshotStore(tmp_path / "none").load(0) == Loaded(None, 0, None, [])


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_rows_8_and_9_bad_backups_too_give_the_next(tmp_path: Path, bad: int) -> None:
    store = stored(tmp_path)
    names = ["state.json", "state.json.1", "state.json.2", "state.json.3"]
    for name in names[:bad]:
        (tmp_path / name).write_bytes(b"\0" * 100)
    found = store.load(5)
    assert (found.state, found.seq, found.source) == (state(5 - bad), 5 - bad, names[bad])
    assert [problem.split()[1] for problem in found.problems] == names[:bad]


def test_row_10_all_bad_gives_none_with_a_reason_for_each(tmp_path: Path) -> None:
    store = stored(tmp_path)
    bad = [b"", b"[1]", b"\xff\xfe", b'{"seq":1}']
    for path, content in zip(sorted(tmp_path.iterdir()), bad, strict=True):
        path.write_bytes(content)
    found = store.load(5)
    assert found[:3] == (None, 0, None)
    assert len(found.problems) == 4


def test_row_11_state_and_journal_bad_leaves_nothing_to_start_from(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with JournalFile(path) as journal:
        journal.append_all((i, "fill", {"text": "x" * 500}) for i in range(50))
        stored(tmp_path)
    for name in ("state.json", "state.json.1", "state.json.2", "state.json.3"):
        (tmp_path / name).write_bytes(b"torn")
    path.write_bytes(path.read_bytes()[:5000])
    assert SnapshotStore(tmp_path).load(50).state is None
    with pytest.raises(RefuseStartError, match=r"journal\.db is not a journal that can be opened"):
        JournalFile(path)


def test_row_11_a_good_state_does_not_open_a_bad_journal(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "journal.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RefuseStartError):
        JournalFile(tmp_path / "journal.db")


def test_row_12_a_state_older_than_the_journal_leaves_the_tail_to_replay(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    with JournalFile(tmp_path / "journal.db") as journal:
        for i in range(1, 31):
            journal.append(i, "fill", {"cents": i})
            if i in (10, 20):
                store.write({"cents": sum(range(i + 1))}, journal.seq, journal.head)
        found = store.load(journal.seq, journal.hash_at)
        assert found == Loaded({"cents": 210}, 20, "state.json", [])
        assert found.state
        tail = journal.entries(after=found.seq)
    assert [entry.seq for entry in tail] == list(range(21, 31))
    assert found.state["cents"] + sum(json.loads(entry.body)["cents"] for entry in tail) == 30 * 31 // 2


def test_row_12_a_state_newer_than_the_journal_is_passed_over(tmp_path: Path) -> None:
    found = stored(tmp_path).load(3)
    assert (found.seq, found.source) == (3, "state.json.2")
    why = "snapshot state.json is passed over: it is of journal entry 5, but the journal ends at 3"
    assert found.problems[0] == why


def test_row_12_a_state_of_another_journal_is_passed_over(tmp_path: Path) -> None:
    ours, other = Journal(), Journal({"run": "other"})
    for i in range(4):
        ours.append(i, "fill", {})
        other.append(i, "fill", {})
    store = SnapshotStore(tmp_path)
    store.write(state(2), 2, ours.entries[1].hash)
    store.write(state(3), 3, other.entries[2].hash)
    found = store.load(4, lambda seq: ours.entries[seq - 1].hash)
    assert (found.seq, found.source) == (2, "state.json.1")
    assert "entry 3 of the journal is not the one it was made at" in found.problems[0]


def test_row_13_a_future_schema_is_refused_though_a_backup_is_good(tmp_path: Path) -> None:
    store = stored(tmp_path)
    store.path.write_text(forged(schema=2, state=[], more=1))
    with pytest.raises(RefuseStartError, match="has schema 2, this program knows up to 1"):
        store.load(9)
    assert issubclass(RefuseStartError, DataError)


def test_row_13_a_past_schema_is_passed_over(tmp_path: Path) -> None:
    stored(tmp_path)
    found = SnapshotStore(tmp_path, schema=2).load(5)
    assert found.state is None
    assert "its schema is 1, this program's is 2" in found.problems[0]


def test_row_14_a_leftover_draft_is_ignored_and_written_over(tmp_path: Path) -> None:
    store = stored(tmp_path)
    (tmp_path / "state.json.tmp").write_text(forged(seq=5))
    assert store.load(5) == Loaded(state(5), 5, "state.json", [])
    store.write(state(6), 6, HEAD)
    assert store.load(6) == Loaded(state(6), 6, "state.json", [])
    assert not (tmp_path / "state.json.tmp").exists()


@pytest.mark.parametrize("changes", [{"seq": "9"}, {"seq": None}, {"schema": None}, {"state": [1]}])
def test_fields_of_the_wrong_kind_are_passed_over_even_under_a_good_checksum(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    store = stored(tmp_path)
    store.path.write_text(forged(**changes))
    assert store.load(9).source == "state.json.1"
