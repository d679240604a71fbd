"""Which code made a figure."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import maxlib


@lru_cache(1)
def code_version() -> str:
    """Version and a digest of the library's sources: equal text, equal code.

    The digest sees edits that were never committed, which a commit id would not.
    """
    root = Path(maxlib.__file__).parent
    hasher = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode())
        hasher.update(path.read_bytes())
    return f"{maxlib.__version__}+{hasher.hexdigest()[:12]}"
