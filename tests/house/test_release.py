"""The version is one and the same everywhere."""

import re
import tomllib
from pathlib import Path

import maxlib

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_changelog_opens_with_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)
    assert headings[0] == VERSION


def test_the_package_tells_the_version() -> None:
    assert maxlib.__version__ == VERSION
