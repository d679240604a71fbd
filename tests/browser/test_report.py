"""A report opened in Chromium: every chart is drawn, and not one request leaves the page."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page

from maxlib.research.run import result
from maxlib.research.scenario import Claims
from maxlib.views import figures, report, tables
from tests.views.handmade import finished

DRAWN = "document.documentElement.dataset.drawn === '{}'"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = finished(days=8, claims=Claims(source="somebody", win_rate=0.95))
    values = result(done)
    html = [tables.head(values), tables.verdict(values), tables.trades(done.run.trades)]
    draw = (figures.win_rate, figures.equity, figures.overview, figures.busiest_day, figures.trade_pnl)
    data: list[dict[str, Any]] = [{"text/html": text} for text in html]
    data += [{"application/vnd.plotly.v1+json": json.loads(f(done).to_json())} for f in draw]
    # What an unescaped text could try; the page's policy must stop it.
    data.append({"text/html": "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x'>"})
    outputs = [nbformat.v4.new_output("display_data", data=one) for one in data]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report.page(notebook, "A report"), encoding="utf-8")
    return file


def test_all_charts_are_drawn_without_a_request(path: Path, page: Page) -> None:
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN.format(5))
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    assert page.locator(".plot .main-svg").count() >= 5
    assert page.locator(".plot .candlesticklayer path, .plot .boxlayer path.box").count() > 400
    assert page.locator(".plot svg .annotation-text", has_text="SIMULATED").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.title() == "A report"  # the planted script did not run


def test_a_zoom_names_the_times_in_view(path: Path, page: Page) -> None:
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN.format(5))
    texts = "document.querySelectorAll('.plot')[2].layout.xaxis.ticktext"
    before = page.evaluate(texts)
    zoom = "range => Plotly.relayout(document.querySelectorAll('.plot')[2], {'xaxis.range': range})"
    page.evaluate(zoom, [78, 110])
    page.wait_for_function(f"{texts}[0].includes(':')")
    assert page.evaluate(texts)[0] == "09:30<br>3 Jan 2025"
    page.evaluate(zoom, [-1, 624])
    page.wait_for_function(f"!{texts}[0].includes(':')")
    assert page.evaluate(texts) == before


def test_the_trade_table_keeps_its_header_while_it_scrolls(path: Path, page: Page) -> None:
    page.goto(path.as_uri())
    assert (
        page.evaluate("getComputedStyle(document.querySelector('table.trades thead th')).position")
        == "sticky"
    )
