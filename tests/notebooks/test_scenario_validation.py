"""The validation notebook, cell by cell in this process: as a user would run it."""

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.display import HTML

from tests.notebooks import cells

CODE = cells.code("scenario_validation")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], Path]:
    path = tmp_path_factory.mktemp("notebook") / "result.json"
    names, shown = cells.execute(CODE, overrides={"data.simulator.days": 8}, result_path=str(path))
    return names, shown, path


def test_no_figure_stands_above_the_placebo(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    first, second = ran[1][:2]
    assert "verdict" not in str(first.data).split("</style>")[1]
    assert "coin flips" in str(second.data)


def test_the_placebo_comes_before_the_figures_and_the_band_after_them(
    ran: tuple[dict[str, Any], list[Any], Path],
) -> None:
    texts = [str(one.data) if isinstance(one, HTML) else str(one.layout.title.text) for one in ran[1]]
    fed, dots, verdict, figures, band = (
        next(i for i, text in enumerate(texts) if part in text)
        for part in (
            "by the honest accounting",
            "coin flips through the honest",
            "Claimed 95.0 % wins; measured",
            'class="tiles"',
            "45 worlds",
        )
    )
    assert fed < dots < verdict <= figures < band


def test_every_cell_shows_a_table_or_a_figure(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    shown = ran[1]
    assert sum(isinstance(one, go.Figure) for one in shown) == 7
    assert sum(isinstance(one, HTML) for one in shown) == len(shown) - 7


def test_a_run_without_trades_has_no_placebo_and_says_so() -> None:
    _, shown = cells.execute(CODE, overrides={"data.simulator.days": 2})
    html = " ".join(str(one.data) for one in shown if isinstance(one, HTML))
    assert "There were no trades to imitate" in html


def test_what_is_simulated_is_stamped_wherever_it_is_shown(
    ran: tuple[dict[str, Any], list[Any], Path],
) -> None:
    for one in ran[1]:
        if isinstance(one, go.Figure):
            assert "SIMULATED" in one.layout.title.text
    assert "<b>SIMULATED</b>" in str(ran[1][0].data)


def test_the_result_is_written_where_it_is_asked_for(ran: tuple[dict[str, Any], list[Any], Path]) -> None:
    names, _, path = ran
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(names["result"]))


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells.execute(CODE, overrides={"data.simulator.days": 8})
    assert list(tmp_path.iterdir()) == []


def test_nothing_worth_testing_is_inside() -> None:
    for text in CODE:
        assert len(text.splitlines()) <= 12
        assert not cells.logic(text)
