"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from maxlib.core.errors import DataError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` beside `path`, sync it, and move it into place.

    A reader sees the old file or the new one, never a part.

    Raises
    ------
    DataError
        If the place cannot be written to.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error.strerror}") from None
