"""pyproject.toml, requirements.lock and environment.yml say the same."""

import re
import runpy
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")

DECLARED = [
    Requirement(text)
    for text in (
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["test"],
        *PROJECT["build-system"]["requires"],
    )
]


def pins() -> dict[str, list[tuple[Version, Marker | None]]]:
    """Return the lock's pins; a package may have several, for different Pythons."""
    found: dict[str, list[tuple[Version, Marker | None]]] = {}
    for line in LOCK.splitlines():
        if line.startswith(("#", " ")):
            continue
        pin = PIN.match(line)
        assert pin, f"not a pin: {line!r}"
        marker = Marker(pin["marker"].strip()) if pin["marker"] else None
        found.setdefault(canonicalize_name(pin["name"]), []).append((Version(pin["version"]), marker))
    return found


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda r: r.name)
def test_every_declared_dependency_is_locked_at_a_version_it_allows(requirement: Requirement) -> None:
    locked = pins().get(canonicalize_name(requirement.name), [])
    assert locked, f"{requirement.name} is not in requirements.lock; run `make lock`"
    for pinned, _ in locked:
        assert requirement.specifier.contains(pinned), f"{requirement} is locked at {pinned}; run `make lock`"
    here = [marker for _, marker in locked if marker is None or marker.evaluate()]
    assert len(here) == 1, f"{requirement.name} has {len(here)} pins for this Python"


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda r: r.name)
def test_what_runs_now_is_what_pyproject_allows(requirement: Requirement) -> None:
    assert requirement.specifier.contains(version(requirement.name))


def test_every_locked_package_carries_a_hash() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK.partition("\n")[2])
    without = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert entries
    assert without == []


def test_the_lock_names_no_host_and_no_path() -> None:
    # Hosts come with a scheme or an option, paths with a slash; versions, markers and hashes have none.
    assert re.findall(r"^.*(?://|/|file:|--(?!hash=sha256:)\S+).*$", LOCK, flags=re.MULTILINE) == []


def test_environment_yml_is_what_the_script_writes() -> None:
    written = runpy.run_path(str(ROOT / "scripts/lock.py"))["environment"](PROJECT)
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == written, "run `make lock`"


def test_environment_yml_holds_every_run_time_dependency() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["project"]["name"]
    *conda, by_pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['project']['requires-python']}", "pip"]
    assert by_pip["pip"] == [*PROJECT["project"]["dependencies"], "-e ."]
