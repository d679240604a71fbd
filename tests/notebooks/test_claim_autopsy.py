"""The autopsy notebook: on a simulated market, and on the real year against the published figures."""

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.display import HTML

from maxlib.core.errors import ConfigError
from tests.notebooks import cells

CODE = cells.code("claim_autopsy")
Ran = tuple[dict[str, Any], list[Any]]


def run(path: Path, **parameters: Any) -> Ran:
    """The written result, and what the cells show."""
    _, shown = cells.execute(CODE, **parameters, result_path=str(path))
    return json.loads(path.read_text(encoding="utf-8")), shown


def html(shown: list[Any]) -> str:
    return " ".join(str(one.data) for one in shown if isinstance(one, HTML))


def titles(shown: list[Any]) -> list[str]:
    return [str(one.layout.title.text) for one in shown if isinstance(one, go.Figure)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    path = tmp_path_factory.mktemp("autopsy") / "result.json"
    return run(path, scenario="demo_calm", seeds=5, overrides={"data.simulator.days": 20})


@pytest.fixture(scope="module")
def champion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    file = "data/real/unclear/bars/qqq_1m_20240102_20250228.parquet"
    path = tmp_path_factory.mktemp("autopsy") / "result.json"
    return run(path, scenario="champion_2024", seeds=5, overrides={"data.path": str(shared / file)})


def test_what_is_simulated_is_stamped_wherever_it_is_shown(demo: Ran) -> None:
    assert "<b>SIMULATED</b>" in str(demo[1][0].data)
    assert all("SIMULATED" in title for title in titles(demo[1]))


def test_every_cell_shows_a_table_or_a_figure(demo: Ran) -> None:
    shown = demo[1]
    assert len(titles(shown)) == 6
    # The champion's study has three cells of its own, which show nothing here.
    assert sum(one is None for one in shown) == 3
    assert sum(isinstance(one, HTML) for one in shown) == len(shown) - 6 - 3


def test_the_placebo_comes_before_the_waterfall_and_the_honest_placebo_before_the_verdict(demo: Ran) -> None:
    texts = [str(one.data) if isinstance(one, HTML) else str(one.layout.title.text) for one in demo[1] if one]
    order = [
        next(i for i, text in enumerate(texts) if part in text)
        for part in (
            "by the published accounting", "coin flips through the published", "here − claimed",
            "one cause put right after the other", "Trades at prices that the model made",
            "by the honest accounting", "coin flips through the honest", "own run</th>",
            'class="tiles"', "45 worlds",
        )
    ]  # fmt: skip
    assert order == sorted(order)
    assert "$" not in texts[0].split("</style>")[1]


def test_the_result_holds_the_honest_run_and_the_autopsy(demo: Ran) -> None:
    written = demo[0]
    assert {"figures", "verdict", "placebo", "band", "config_hash"} <= written.keys()
    parts = written["autopsy"]
    assert parts.keys() == {"published", "placebo", "waterfall", "examples", "study"}
    assert parts["study"] == []
    assert (parts["placebo"]["seeds"], parts["placebo"]["accounting"]) == (5, "published")
    names = ["published", "duplicates", "bricks", "entry", "overlap", "time_value", "model", "costs"]
    assert [step["name"] for step in parts["waterfall"]] == names
    assert parts["waterfall"][0]["trades"] == parts["published"]["figures"]["trades"]


def test_chosen_causes_are_put_right_in_the_order_given(tmp_path: Path) -> None:
    written, _ = run(
        tmp_path / "r.json", scenario="demo_calm", seeds=5, causes=["costs", "model"],
        overrides={"data.simulator.days": 8},
    )  # fmt: skip
    assert [step["name"] for step in written["autopsy"]["waterfall"]] == ["published", "costs", "model"]


def test_an_accounting_that_the_scenario_has_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="published_itm"):
        cells.execute(CODE, scenario="demo_calm", accounting="published_itm")


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells.execute(CODE, scenario="demo_calm", seeds=5, overrides={"data.simulator.days": 4})
    assert list(tmp_path.iterdir()) == []


def test_the_champions_claim_is_reproduced_to_the_cent(champion: Ran) -> None:
    """Spec §11.2: 587 trades, 67.0 %, 206,398.21 less the 25,000 of the start."""
    written, shown = champion
    figures = written["autopsy"]["published"]["figures"]
    assert (figures["trades"], round(figures["pnl_usd"], 2)) == (587, 181_398.21)
    assert round(100 * figures["win_rate"], 1) == 67.0
    assert html(shown).count("$181,398.21") >= 3  # box, claim, waterfall
    assert ">as published<" in html(shown)
    assert "−51.5 %" in html(shown)  # the known difference of this page


def test_the_champions_accounting_is_refused_and_its_way_ends_at_the_reference(champion: Ran) -> None:
    """Spec §12.1: 458 trades, 45.4 %, -74.2 %."""
    written, shown = champion
    assert written["autopsy"]["placebo"]["refused"] is True
    assert "<b>REFUSED</b>" in html(shown)
    last = written["autopsy"]["waterfall"][-1]
    assert (last["name"], last["trades"], round(100 * last["win_rate"], 1)) == ("costs", 458, 45.4)
    assert last["pnl_usd"] / 250 == pytest.approx(-74.2, abs=0.35)


def test_examples_are_of_the_pages_own_trades_and_the_study_is_said_to_be_another(champion: Ran) -> None:
    """Of the ITM study every option was bought below its exercise value (spec §10, H7)."""
    written, shown = champion
    own, study = written["autopsy"]["examples"], written["autopsy"]["study"]
    page = html(shown)
    assert f"{len(own)} of this accounting&#x27;s 587 options" in page
    assert 0 < len(own) < 587
    assert "Not trades of this page" in page
    assert "587 of its 587 options" in page
    assert len(study) == 587
    assert all(one["premium"] < one["intrinsic"] for one in [*own, *study])
    assert sum("exercised at once it pays" in title for title in titles(shown)) == 3


def test_of_the_study_the_study_is_the_page(shared: Path, tmp_path: Path) -> None:
    file = str(shared / "data/real/unclear/bars/qqq_1m_20240102_20250228.parquet")
    written, shown = run(
        tmp_path / "r.json", scenario="champion_2024", accounting="published_itm", seeds=5,
        causes=["costs"], overrides={"data.path": file},
    )  # fmt: skip
    assert "587 of this accounting&#x27;s 587 options" in html(shown)
    assert written["autopsy"]["study"] == []


def test_a_tape_without_a_trade_says_so(tmp_path: Path) -> None:
    _, shown = run(tmp_path / "r.json", scenario="demo_calm", seeds=5, overrides={"data.simulator.days": 1})
    page = html(shown)
    assert "No trade: the claim&#x27;s arithmetic books nothing" in page
    assert "No trade, so no example." in page
    assert "nobody could" not in page
    assert all(one.layout.xaxis.visible is False for one in shown if isinstance(one, go.Figure))


def test_overridden_switches_are_named_and_nothing_is_compared(tmp_path: Path) -> None:
    _, shown = run(
        tmp_path / "r.json", scenario="demo_calm", seeds=5,
        overrides={"data.simulator.days": 8, "published.wave.min_rr": 1.5},
    )  # fmt: skip
    page = html(shown)
    assert "published.wave.min_rr = 1.5 (shipped: 1.2)" in page
    assert "the claim&#x27;s arithmetic on these bars" in page
    assert ">as published<" not in page
    assert "Nothing to compare" in page


def test_nothing_worth_testing_is_inside() -> None:
    for text in CODE:
        assert len(text.splitlines()) <= 12
        assert not cells.logic(text)
