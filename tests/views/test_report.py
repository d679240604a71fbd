"""Tables and pages: outside text is escaped, and a page asks no one for anything."""

import base64
import gzip
import hashlib
import json
import re
from typing import Any

import nbformat
import pytest

from maxlib.market.contract import Leg
from maxlib.research.run import result
from maxlib.research.scenario import Claims
from maxlib.views import figures, report, tables
from tests.views.handmade import bar_at, finished, trade

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
CLAIMS = Claims(source="somebody", trades=2, win_rate=0.95, pnl_usd=70.0)


def made(**settings: Any) -> dict[str, Any]:
    return result(finished(**{"claims": CLAIMS, **settings}))


def evil_result() -> dict[str, Any]:
    values = made(claims=Claims(source=EVIL, win_rate=0.5))
    values.update(title=EVIL, scenario=EVIL, notes=[EVIL], denials={EVIL: 3}, code_version=f"0+{EVIL}")
    values["config"]["about"] = EVIL
    values["data"].update(name=EVIL, symbol=EVIL, source=EVIL, sha256=EVIL, file_sha256=EVIL)
    values["journal"]["head"] = EVIL
    values["config_hash"] = EVIL
    return values


@pytest.mark.parametrize(
    "draw",
    [tables.head, tables.verdict, tables.metrics, tables.denials, tables.notes, tables.provenance],
)
def test_tables_escape_text_from_outside(draw: Any) -> None:
    html = draw(evil_result())
    assert "<script" not in html
    assert "<img" not in html


def test_the_trade_table_escapes_contract_and_reason() -> None:
    bars = finished().run.bars
    i = bar_at(bars, 1, 600)
    one = trade(bars, 1, i, i + 5, 100, reason=EVIL)
    html = tables.trades([one._replace(legs=(Leg(one.contract._replace(root=EVIL), 1),))])
    assert "<script" not in html
    assert "<img" not in html


def test_the_index_escapes_text_from_outside() -> None:
    failed = {"scenario": EVIL, "verdict": "failed", "message": EVIL, "report": f'"{EVIL}'}
    html = report.index_page([{**evil_result(), "report": EVIL}, failed])
    assert "<script" not in html
    assert "<img" not in html


def test_the_sentence_tells_claim_measure_interval_and_verdict() -> None:
    assert tables.sentence(made()) == ("Claimed 95.0 % wins; measured 50.0 % (9.5–90.5 %, n = 2): outside.")


def test_without_a_claimed_win_rate_the_sentence_takes_the_first_claim() -> None:
    values = made(claims=Claims(source="s", pnl_usd=70.0))
    assert tables.sentence(values) == "Claimed P&L $70.00; measured $70.00: inside."


def test_without_claims_the_sentence_says_so() -> None:
    assert tables.sentence(made(claims=None)).startswith("Nothing was claimed; measured 50.0 %")
    assert tables.sentence(made(claims=None, trades=False)) == "Nothing was claimed; no trades were made."


def test_the_summary_names_the_figures_outside() -> None:
    assert tables.summary(made()) == (
        "The claims do not hold: 1 of 3 claimed figures is outside their bounds (Win rate)."
    )


def test_the_verdict_table_says_inside_and_outside_in_words() -> None:
    html = tables.verdict(made())
    assert html.count(">inside</td>") == 2
    assert html.count(">outside</td>") == 1
    assert "85.5 % to 100.0 %" in html  # a win rate has no bound above 100 %


def test_the_verdicts_box_stands_with_its_table_and_not_in_the_head() -> None:
    assert '<div class="verdict bad"><b>does not hold</b>' in tables.verdict(made())
    assert "measured 50.0 %" in tables.verdict(made())
    assert "Nothing was claimed" in tables.verdict(made(claims=None))
    head = tables.head(made())
    assert "verdict" not in head
    assert "50.0 %" not in head


def test_the_head_says_simulated_or_real() -> None:
    assert "<b>SIMULATED</b>" in tables.head(made())
    real = tables.head(made(simulated=False))
    assert "SIMULATED" not in real.replace("simulated", "")
    assert "<b>REAL BARS</b>" in real


def test_the_trade_table_holds_every_trade_with_its_times_and_money() -> None:
    html = tables.trades(finished().run.trades)
    assert html.count("<tr>") == 3
    for part in ("3 Jan 2025 10:01", "10:31", "QQQ250103C00600000", "+$150.00", "−$80.00", "tp1"):
        assert part in html


def test_refusals_add_up() -> None:
    html = tables.denials(made())
    assert "3 signals: 2 trades, 1 refused." in html
    assert "POSITION_LIMIT" in html


# --- pages

TITLE = "A <b> & C"


def notebook(*outputs: Any, **metadata: Any) -> Any:
    cell = nbformat.v4.new_code_cell("secret_code = 1", outputs=list(outputs), metadata=metadata)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## Heading"), cell])


def shown(data: dict[str, Any]) -> Any:
    return nbformat.v4.new_output("display_data", data=data)


def plot(figure: Any) -> Any:
    return shown({"application/vnd.plotly.v1+json": json.loads(figure.to_json())})


@pytest.fixture(scope="module")
def html_page() -> str:
    done = finished(claims=CLAIMS)
    draw = (figures.win_rate, figures.overview)
    return report.page(notebook(*[plot(f(done)) for f in draw]), TITLE)


def test_a_page_hides_code_and_keeps_prose_and_outputs() -> None:
    stdout = nbformat.v4.new_output("stream", name="stdout", text="a < b")
    stderr = nbformat.v4.new_output("stream", name="stderr", text="compiling")
    html = report.page(notebook(shown({"text/html": "<i>table</i>"}), stdout, stderr), "t")
    assert "<h2>Heading</h2>" in html
    assert "<i>table</i>" in html
    assert "a &lt; b" in html
    assert "compiling" not in html
    assert "secret_code" not in html


def test_cells_for_the_notebook_only_stay_out() -> None:
    html = report.page(notebook(shown({"text/html": "for users"}), tags=["notebook-only"]), "t")
    assert "for users" not in html


def test_a_page_loads_nothing_from_anywhere(html_page: str) -> None:
    body = re.sub(r'<script type="text/plain".*?</script>', "", html_page, flags=re.DOTALL)
    assert not re.findall(r"""\b(?:src|href|action|poster)\s*=\s*["']?(?!data:)[^"'>\s]""", body)
    assert "http" not in body.replace("http-equiv", "")
    for word in ("url(", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert word not in body


def test_a_page_holds_plotly_once_and_packed(html_page: str) -> None:
    packed = re.findall(r'<script type="text/plain" id="plotly">([^<]*)</script>', html_page)
    assert len(packed) == 1
    assert gzip.decompress(base64.b64decode(packed[0])).decode() == report._plotly_js()
    assert len(html_page) < 3_000_000
    assert html_page.count('<div class="plot"') == 2


def test_a_page_without_figures_is_small() -> None:
    assert len(report.page(notebook(shown({"text/plain": "42"})), "t")) < 20_000


def test_only_the_two_scripts_of_ours_may_run(html_page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html_page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe-eval" not in policy[1]
    allowed = set(re.findall(r"'sha256-([^']*)'", policy[1]))
    inline = re.findall(r"<script>(.*?)</script>", html_page, flags=re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in inline}
    assert len(inline) == 1
    assert hashes < allowed
    assert len(allowed) == 2


def test_the_title_is_escaped(html_page: str) -> None:
    assert "<title>A &lt;b&gt; &amp; C</title>" in html_page


def test_no_figure_can_end_its_script_element() -> None:
    done = finished()
    figure = figures.win_rate(done).update_layout(title_text="</script><script>alert(1)</script>")
    html = report.page(notebook(plot(figure)), "t")
    assert "<script>alert" not in html


def test_equal_notebooks_make_equal_pages(html_page: str) -> None:
    done = finished(claims=CLAIMS)
    again = report.page(notebook(*[plot(f(done)) for f in (figures.win_rate, figures.overview)]), TITLE)
    assert again == html_page


# --- index


def test_the_index_tells_every_verdict_claim_and_reason() -> None:
    good = {**made(claims=Claims(source="s", trades=2)), "report": "a/report.html"}
    failed = {"scenario": "broken", "verdict": "failed", "message": "broken: the file is gone."}
    earlier = {**made(simulated=False), "report": "c/report.html", "earlier": True}
    html = report.index_page([good, failed, earlier])
    assert "1 held, 1 did not hold, 1 could not run." in html
    assert "broken: the file is gone." in html
    assert 'href="a/report.html"' in html
    assert "50.0 % (9.5–90.5 %, n = 2)" in html
    assert "claimed 95.0 %" in html
    assert html.count("SIMULATED</span>") == 1
    assert html.count("REAL</span>") == 1
    assert "from an earlier run" in html


def test_the_index_has_no_script_and_loads_nothing() -> None:
    html = report.index_page([{**made(), "report": "a/report.html"}])
    assert "<script" not in html
    assert "script-src 'none'" in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,", "a/report.html"]


def test_an_index_of_nothing_says_so() -> None:
    assert "none." in report.index_page([])
