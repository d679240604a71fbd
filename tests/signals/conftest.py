"""Lines for the end of the test report: figures that are stated, not asserted."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

LINES: list[str] = []


@pytest.fixture
def state_figure() -> Iterator[Callable[[str], None]]:
    """Add a line to the end of the report."""
    return LINES.append


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in LINES:
        terminalreporter.write_line(line)
