"""No file of the repository names the machine it was written on, or a package index.

The words are worked out at run time, so that they don't stand here either.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def files() -> list[Path]:
    """Return tracked files, and new ones that git would not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git repository, so nothing tells which files are the project's")
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


def machine_paths() -> set[str]:
    """Return the folders that only this machine has."""
    folders = {ROOT.parent, Path.home()}
    # These are on every machine, so naming them gives nothing away.
    common = {Path("/"), Path("/home"), Path("/Users"), Path(tempfile.gettempdir()), Path("/tmp")}
    return {f"{folder}/" for folder in folders - common}


def index_hosts() -> set[str]:
    """Return the package index that pip goes to by default, and those this machine's settings name."""
    asked = subprocess.run(
        [
            Path(sys.base_prefix) / "bin" / "python3",
            "-c",
            "from pip._internal.models.index import PyPI as i; print(i.netloc, i.file_storage_domain)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    settings = " ".join(text for name, text in os.environ.items() if name.startswith(("PIP_", "UV_")))
    configured = re.findall(r"https?://(?:[^/@\s]+@)?([^/:\s]+)", settings)
    return {host for host in (*asked.stdout.split(), *configured) if host != "localhost"}


def found(words: set[str]) -> list[str]:
    """Return `file: word` for every word that stands in a file, not as the tail of a longer path."""
    patterns = [(word, re.compile(rb"(?<![\w.-])" + re.escape(word.encode()))) for word in sorted(words)]
    return [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files()
        for content in [path.read_bytes()]
        for word, pattern in patterns
        if pattern.search(content)
    ]


def test_no_file_names_a_folder_of_this_machine() -> None:
    assert found(machine_paths()) == []


def test_no_file_names_a_package_index() -> None:
    hosts = index_hosts()
    if not hosts:
        pytest.skip("this Python has no pip and no index settings, so the hosts are unknown")
    assert found(hosts) == []
