"""What every test may ask for: the real data beside the repository, and a browser.

The tests use the user's own cache of compiled kernels (MAXTRADER_CACHE, or its default) and never
clear it: a warm cache saves the compile time on every run.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Without a screen, without root's sandbox (CI runs as root), and without calls home.
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browser tests last.

    Playwright keeps an event loop running in the process until the session ends; after it,
    `asyncio.run` in any other test of that process would fail. xdist keeps this order within a
    worker as long as it is told `--no-loadscope-reorder`; since it deals out whole files, a file with
    browser tests should hold no others that run an event loop.
    """

    def browses(item: pytest.Item) -> bool:
        return "playwright" in getattr(item, "fixturenames", ())

    last = {item.path for item in items if browses(item)}
    items.sort(key=lambda item: (item.path in last, browses(item)))


@pytest.fixture(scope="session", autouse=True)
def own_trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' runs out of the user's ledger of trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAXTRADER_TRIALS", str(tmp_path_factory.mktemp("trials") / "trials.sqlite"))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data: MAXTRADER_SHARED, or `shared` beside the repository."""
    named = os.environ.get("MAXTRADER_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    if named and not folder.is_dir():
        # A typing error must not quietly leave out the tests on real data.
        pytest.fail(f"MAXTRADER_SHARED={named} is not a folder")
    if not folder.is_dir():
        pytest.skip("no real data: there is no folder `shared` beside the repository; set MAXTRADER_SHARED")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the Chromium that scripts/setup.sh finds; on CI a missing one is a failure."""
    found = subprocess.run(
        [ROOT / "scripts/setup.sh", "--find-browser"], capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    missing = (
        "no Chromium: install chromium with the system's package manager or set MAXTRADER_CHROMIUM to one"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], chromium: Path) -> dict[str, Any]:
    """Let Playwright start the system's Chromium instead of a download of its own."""
    return {**browser_type_launch_args, "executable_path": str(chromium), "args": CHROMIUM_FLAGS}
