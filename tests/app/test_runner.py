"""The notebook runner: nothing starts unless all is right, and nothing is left half-written."""

import datetime as dt
import json
import math
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

from maxlib.app import runner
from maxlib.app.runner import Outcome, check_parameters, exit_code, validate
from maxlib.core.errors import ConfigError, DataError
from maxlib.research import run
from maxlib.research import scenario as scenarios

SHORT = {"data.simulator.days": 8}
NAMES = ["demo_normal", "demo_crash"]
KEYS = {"scenario", "verdict", "figures", "claims", "data", "config_hash", "code_version", "seconds"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome], list[str]]:
    out = tmp_path_factory.mktemp("validate") / "deep" / "reports"
    seen: list[str] = []
    outcomes = validate(NAMES, out, overrides=SHORT, jobs=2, progress=lambda o: seen.append(o.name))
    return out, outcomes, seen


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def write_notebook(path: Path, *cells: str) -> Path:
    parameters = 'scenario: str = ""  # name\noverrides: dict = {}  # fields\nresult_path: str = ""  # file'
    made = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    made += [nbformat.v4.new_code_cell(text) for text in cells]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    book = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    path.write_text(nbformat.writes(book), encoding="utf-8")
    return path


def test_two_scenarios_side_by_side_leave_complete_folders(
    first: tuple[Path, list[Outcome], list[str]],
) -> None:
    out, outcomes, seen = first
    assert [o.name for o in outcomes] == NAMES
    assert sorted(seen) == sorted(NAMES)
    for outcome in outcomes:
        assert outcome.verdict in ("holds", "does_not_hold"), outcome.message
        assert outcome.seconds > 0
        assert outcome.report is not None
        assert sorted(p.name for p in outcome.report.parent.iterdir()) == [
            "notebook.ipynb", "report.html", "result.json",
        ]  # fmt: skip
    assert sorted(p.name for p in out.iterdir()) == ["demo_crash", "demo_normal", "index.html"]


@pytest.mark.parametrize("name", NAMES)
def test_the_result_has_its_keys_and_is_what_the_plain_run_gives(
    first: tuple[Path, list[Outcome], list[str]], name: str
) -> None:
    written = read(first[0] / name / "result.json")
    assert written.keys() >= KEYS
    figures = {"trades", "wins", "win_rate", "pnl_usd", "max_drawdown_usd"}
    assert written["figures"].keys() >= figures
    assert written["data"].keys() >= {"source", "simulated", "bars", "duplicates", "sha256"}
    plain = json.loads(json.dumps(run.result(run.run_scenario(scenarios.load(name, SHORT)))))
    for values in (written, plain):
        del values["seconds"], values["trial"]  # one run after the other, in a ledger that grows
    assert written == plain


def test_reports_and_index_are_stamped_and_linked(first: tuple[Path, list[Outcome], list[str]]) -> None:
    out = first[0]
    html = (out / "demo_normal" / "report.html").read_text(encoding="utf-8")
    assert "<b>SIMULATED</b>" in html
    assert "parameters" not in html.split('id="plotly"')[0].split("</style>")[-1]
    index = (out / "index.html").read_text(encoding="utf-8")
    for name in NAMES:
        assert f'href="{name}/report.html"' in index


def test_the_kept_notebook_names_no_draft(first: tuple[Path, list[Outcome], list[str]]) -> None:
    out = first[0]
    text = (out / "demo_normal" / "notebook.ipynb").read_text(encoding="utf-8")
    assert f".{NAMES[0]}." not in text
    assert str(out / "demo_normal" / "result.json") in text


def test_a_notebook_that_raises_leaves_the_older_result_as_it_was(
    first: tuple[Path, list[Outcome], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAXTRADER_SHARED", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "reports {now}"
    shutil.copytree(first[0], out)
    before = {p: p.read_bytes() for p in out.glob("*/*")}
    notebook = write_notebook(
        tmp_path / "broken.ipynb",
        "import os, sys\n"
        "from pathlib import Path\n"
        "from maxlib.core.errors import QualityError\n"
        "Path(result_path).write_text('{}')\n"
        "env = [os.environ[name] for name in ('PLOTLY_RENDERER', 'MAXTRADER_SHARED')]\n"
        "facts = [sys.executable, os.getcwd(), *env]\n"
        "if scenario == 'demo_crash':\n"
        "    raise QualityError('facts: ' + ' '.join(facts))\n"
        "1 / 0",
    )
    outcomes = validate(NAMES, out, overrides=SHORT, notebook=notebook)
    normal, crash = outcomes
    assert exit_code(outcomes) == 2
    # An error of ours comes back as its own sentence; and it saw the right Python, folder and settings.
    facts = f"{sys.executable} {tmp_path} plotly_mimetype {tmp_path}"
    assert (crash.verdict, crash.message) == ("failed", f"facts: {facts}")
    assert crash.notebook is None
    # Any other error is one sentence with the notebook to look at.
    kept = out / "demo_normal.failed.ipynb"
    assert normal.message == (f"ZeroDivisionError: division by zero; the notebook up to there is {kept}")
    assert normal.notebook == kept
    assert "ZeroDivisionError" in kept.read_text(encoding="utf-8")
    assert {p: p.read_bytes() for p in out.glob("*/*")} == before
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []
    index = (out / "index.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError: division by zero" in index
    assert "The linked report is an earlier one." in index


class Pool:
    """Workers of which one is killed whenever it is given `doomed`; the rest of its pool dies with it."""

    def __init__(self, doomed: str, sizes: list[int]) -> None:
        self.doomed, self.sizes = doomed, sizes

    @contextmanager
    def __call__(self, backend: str, jobs: int) -> Iterator[Any]:
        self.sizes.append(jobs)
        self.broken = False
        yield self

    def submit(self, call: Any, job: runner.Job) -> Future[Outcome]:
        self.broken |= job.name == self.doomed
        future: Future[Outcome] = Future()
        if self.broken:
            job.draft.mkdir(exist_ok=True)
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(Outcome(job.name, "failed", f"{job.name}: ran", 0.0))
        return future


def test_a_killed_worker_costs_only_its_own_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(runner, "_workers", Pool("demo_crash", sizes))
    outcomes = validate(["demo_normal", "demo_crash", "demo_calm"], tmp_path, jobs=2)
    assert [o.message for o in outcomes] == [
        "demo_normal: ran",
        "its worker process was killed (out of memory?)",
        "demo_calm: ran",
    ]
    assert sizes == [2, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(runner, "_workers", refuse)
    return


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize(
    ("names", "overrides", "sentence"),
    [
        (["demo_normal"], {"risk.risk_fraction": 2}, "risk.risk_fraction"),
        (["demo_normal"], {"nonsense": 1}, "nonsense"),
        (["demo_normal"], {"risk.risk_fraction": math.nan}, "-p risk.risk_fraction: should be a finite"),
        (["demo_normal"], {"risk.risk_fraction": [1, math.inf]}, "finite number (got inf)"),
        (["demo_normal"], {"claims": object()}, "-p claims: should be numbers, text"),
        (["demo_normal", "no_such_one"], {}, "'no_such_one' does not exist"),
        (["demo_normal", "demo_normal"], {}, "demo_normal is given twice"),
        ([], {}, "no scenario to validate"),
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence_before_anything_starts(
    names: list[str], overrides: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    out = tmp_path / "reports"
    with pytest.raises(ConfigError) as refused:
        validate(names, out, overrides=overrides)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not out.exists()


@pytest.mark.usefixtures("no_kernel")
def test_jobs_backend_and_notebook_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jobs: should be at least 1"):
        validate(["demo_normal"], tmp_path / "o", jobs=0)
    with pytest.raises(ConfigError, match="backend: should be process or dask"):
        validate(["demo_normal"], tmp_path / "o", backend="ray")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="does not exist"):
        validate(["demo_normal"], tmp_path / "o", notebook=tmp_path / "none.ipynb")
    assert not (tmp_path / "o").exists()


@pytest.mark.usefixtures("no_kernel")
def test_a_place_that_cannot_be_written_to_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="reports cannot be written there"):
        validate(["demo_normal"], tmp_path / "file" / "out")


DECLARED = {"n": "int", "x": "float", "s": "str", "b": "bool", "d": "dict", "l": "list[int]", "u": "None"}


@pytest.mark.parametrize(
    "values",
    [
        {"n": 1}, {"x": 1.5}, {"x": 2}, {"s": "'; import os"}, {"b": True}, {"d": {"a": [1, None]}},
        {"l": [1, 2]}, {},
    ],
)  # fmt: skip
def test_parameters_of_the_declared_types_pass(values: dict[str, Any]) -> None:
    check_parameters(values, DECLARED, "nb")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n": 1.0}, "nb: n: should be int (got 1.0)"),
        ({"n": True}, "nb: n: should be int (got True)"),
        ({"x": math.nan}, "nb: x: should be a finite number (got nan)"),
        ({"x": "1"}, "nb: x: should be float (got '1')"),
        ({"d": {"a": {"b": math.inf}}}, "nb: d: should be a finite number (got inf)"),
        ({"d": {1: 2}}, "nb: d: should be numbers, text, lists or mappings of names (got {1: 2})"),
        ({"u": 1}, "nb: parameter u should be declared as one of"),
        ({"x=1; import os": 1}, "nb: x=1; import os is not a parameter; parameters are n, x"),
    ],
)
def test_papermill_would_pass_these_and_we_do_not(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_parameters(values, DECLARED, "nb")
    assert str(refused.value).startswith(sentence)


def test_dates_become_text_that_the_scenario_reads_back() -> None:
    assert runner._plain({"start": dt.date(2025, 1, 2)}, "p") == {"start": "2025-01-02"}


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["holds", "no_claim"], 0), (["holds", "does_not_hold"], 1),
        (["does_not_hold", "failed"], 2), (["failed"], 2),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_verdict(verdicts: list[Any], code: int) -> None:
    assert exit_code([Outcome("a", verdict, "", 0.0) for verdict in verdicts]) == code


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    for name in (runner.REPORT, runner.EXECUTED, runner.RESULT):
        (path / name).write_text(text)
    return path


def test_only_a_complete_folder_replaces_an_older_one(tmp_path: Path) -> None:
    place, draft = folder(tmp_path / "a", "old"), folder(tmp_path / ".a.draft", "new")
    (draft / runner.RESULT).unlink()
    with pytest.raises(DataError, match=r"left no result\.json"):
        runner._replace(draft, place)
    assert (place / runner.RESULT).read_text() == "old"
    (draft / runner.RESULT).write_text("new")
    runner._replace(draft, place)
    assert {p.read_text() for p in place.iterdir()} == {"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_run_killed_between_its_two_renames_is_undone(tmp_path: Path) -> None:
    folder(tmp_path / ".a.old", "old")
    runner._recover(tmp_path / "a")
    assert (tmp_path / "a" / runner.RESULT).read_text() == "old"
    folder(tmp_path / ".a.old", "older")
    runner._recover(tmp_path / "a")
    assert (tmp_path / "a" / runner.RESULT).read_text() == "old"
    assert not (tmp_path / ".a.old").exists()


def test_the_index_keeps_complete_results_of_earlier_runs(
    first: tuple[Path, list[Outcome], list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "reports"
    shutil.copytree(first[0], out)
    shutil.copytree(out / "demo_crash", out / ".demo_crash.draft")
    (out / "half").mkdir()
    (out / "half" / "result.json").write_text("{")
    runner.write_index(out, [Outcome("demo_normal", "failed", "No bars.", 0.0)])
    index = (out / "index.html").read_text(encoding="utf-8")
    assert "No bars. The linked report is an earlier one." in index
    assert index.count("from an earlier run") == 1
    assert "half" not in index
