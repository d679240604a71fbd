"""A disk that remembers what was asked of one folder: writes, syncs and changes of name, in order.

SQLite's files are seen through a VFS, Python's own through `os`. Both still reach the real disk, so the
program under test runs as it always does; what a power loss could have left is worked out afterwards
from the record (`tests.chaos.power_loss`). Assumed, as SQLite itself does: a sector of 512 bytes is
written whole or not at all, and a write never harms bytes outside of it. Not assumed: any order of
writes between two syncs, that a file's size is that of its data, or that a synced file has its name.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from unittest.mock import patch

import apsw


class Event(NamedTuple):
    """One request. `file` counts files as they were made, so that a name may be used again.

    make, unlink: `name`; rename: `name` to `to`; write: `data` at `at`; truncate: to `at`;
    sync; sync_folder; ack: `at` entries were said to be safe.
    """

    what: str
    file: int = -1
    name: str = ""
    at: int = 0
    data: bytes = b""
    to: str = ""


class Disk:
    """The record of one folder.

    `before` is called with each request and the file's name before it is met: what it raises, the
    program gets from its disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.log: list[Event] = []
        self.names: dict[str, int] = {}
        self.before: Callable[[str, str], None] = lambda what, name: None
        self._count = itertools.count()

    def file(self, name: str) -> int:
        """The number of a file, which is made if there is none of that name."""
        if name not in self.names:
            self.names[name] = next(self._count)
            self.log.append(Event("make", self.names[name], name))
        return self.names[name]

    def unlink(self, name: str) -> None:
        self.log.append(Event("unlink", self.names.pop(name), name))

    def rename(self, name: str, to: str) -> None:
        self.names[to] = self.names.pop(name)
        self.log.append(Event("rename", self.names[to], name, to=to))

    def content(self, name: str) -> None:
        """Record all that a file holds now, as if written in this moment."""
        file = self.file(name)
        self.log.append(Event("truncate", file))
        self.log.append(Event("write", file, data=(self.folder / name).read_bytes()))

    def add(self, what: str, file: int = -1, at: int = 0, data: bytes = b"") -> None:
        self.log.append(Event(what, file, at=at, data=data))


class DiskVFS(apsw.VFS):
    """SQLite's way to a `Disk`. Use as a context; `name` is what a connection asks for."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.name = f"disk-{id(disk)}"
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.disk.before("unlink", Path(filename).name)
        super().xDelete(filename, syncdir)
        self.disk.unlink(Path(filename).name)
        if syncdir:
            self.disk.add("sync_folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "a temporary file: the journal should need none"
        self._disk, self._name = disk, Path(path).name
        new = self._name not in disk.names
        super().__init__("", name, flags)
        self._file = disk.file(self._name)
        # The first sync of a log or a rollback journal that SQLite has made syncs the folder as well.
        logs = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
        self._sync_folder = new and bool(flags[0] & logs)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.before("write", self._name)
        super().xWrite(data, offset)
        self._disk.add("write", self._file, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.add("truncate", self._file, newsize)

    def xSync(self, flags: int) -> None:
        self._disk.before("sync", self._name)
        super().xSync(flags)
        self._disk.add("sync", self._file)
        if self._sync_folder:
            self._disk.add("sync_folder")
            self._sync_folder = False


def io_error(extended: int) -> apsw.Error:
    """What SQLite would raise for an extended result code."""
    error = apsw.exception_for(extended)
    error.result, error.extendedresult = extended & 0xFF, extended
    return error


@contextmanager
def watched(disk: Disk, *, lying: bool = False) -> Iterator[None]:
    """Record what Python's own `os.fsync`, `os.replace` and `os.unlink` do in the disk's folder.

    Parameters
    ----------
    lying : a file's sync returns without having synced anything, as if the program had left it out
    """
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def inside(path: str | os.PathLike[str]) -> bool:
        return Path(path).absolute().parent.resolve() == disk.folder

    def watched_fsync(handle: int) -> None:
        stat = os.fstat(handle)
        fsync(handle)
        if os.path.samestat(stat, disk.folder.stat()):
            disk.add("sync_folder")
        for path in disk.folder.iterdir():
            if os.path.samestat(stat, path.stat()):
                disk.content(path.name)
                if not lying:
                    disk.add("sync", disk.names[path.name])

    def watched_replace(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
        replace(path, to)
        if inside(path):
            name, new = Path(path).name, Path(to).name
            if name not in disk.names:  # renamed without ever having been synced
                disk.file(name)
                disk.add("write", disk.names[name], 0, Path(to).read_bytes())
            disk.rename(name, new)

    def watched_unlink(path: str | os.PathLike[str]) -> None:
        unlink(path)
        if inside(path) and Path(path).name in disk.names:
            disk.unlink(Path(path).name)

    with (
        patch("os.fsync", watched_fsync),
        patch("os.replace", watched_replace),
        patch("os.unlink", watched_unlink),
    ):
        yield
