"""The daily report's notebook, cell by cell in this process: as a user would run it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.display import HTML

from maxlib.app.paper import PaperTrader
from maxlib.research import scenario
from tests.notebooks import cells

CODE = cells.code("daily_report")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], Path]:
    folder = tmp_path_factory.mktemp("paper")
    chosen = scenario.load("demo_normal", {"data.simulator.days": 12})
    asyncio.run(PaperTrader(chosen, folder, speed=0).run(stay=False))
    path = folder / "result.json"
    names, shown = cells.execute(CODE, folders=[str(folder)], result_path=str(path))
    return names, shown, path


def test_what_it_is_made_of_is_stamped_wherever_it_is_shown(
    ran: tuple[dict[str, Any], list[Any], Path],
) -> None:
    figures = [one for one in ran[1] if isinstance(one, go.Figure)]
    assert len(figures) == 2
    assert all("SIMULATED" in one.layout.title.text for one in figures)
    assert "<b>SIMULATED</b>" in str(ran[1][0].data)


def test_the_verdict_comes_first_and_every_cell_shows_something(
    ran: tuple[dict[str, Any], list[Any], Path],
) -> None:
    shown = ran[1]
    assert all(isinstance(one, HTML | go.Figure) for one in shown)
    assert "not enough" in str(shown[1].data)
    assert "trades in" in str(shown[0].data)


def test_the_result_is_written_where_it_is_asked_for(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    assert json.loads(ran[2].read_text(encoding="utf-8"))["verdict"] == ran[0]["report"].verdict


def test_nothing_worth_testing_is_inside() -> None:
    for text in CODE:
        assert len(text.splitlines()) <= 12
        assert not cells.logic(text)
