"""The pages in docs/ say what the code does: examples run, tables agree, links and commands exist."""

import ast
import json
import re
import shlex
import typing
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from maxlib.app.cli import app
from maxlib.data.report import MEANING
from maxlib.execution.fills import Refusal
from maxlib.options.structures import KINDS
from maxlib.research import run, scenario
from maxlib.research.verdict import Verdict
from maxlib.risk.codes import MEANING as GUARD_MEANING
from maxlib.risk.sizing import DenialCode, RecallCode, RiskConfig
from maxlib.trading.orders import Purpose
from tests.docs import pages
from tests.risk.test_sizing import review

ROOT = pages.ROOT
every_page = pytest.mark.parametrize("name", pages.names())


@pytest.fixture(scope="module")
def demo() -> Any:
    return run.run_scenario(scenario.load("demo_crash", {"data.simulator.days": 30}))


def packages(reward_risk: float) -> Any:
    """The same market, traded in every structure that pays enough for its risk."""
    desk = {"desk.structures": list(KINDS), "desk.min_reward_risk": reward_risk}
    return run.run_scenario(scenario.load("demo_crash", {"data.simulator.days": 30, **desk}), lab=False)


def table(page: str, name: str) -> list[list[str]]:
    return pages.tables(pages.read(page))[name]


def codes(page: str, name: str) -> set[str]:
    """First cells of a table, without their back quotes."""
    return {row[0].strip("`") for row in table(page, name)}


# --- examples


@pytest.mark.parametrize("name", [n for n in pages.names() if pages.blocks(pages.read(n))])
def test_examples_run_and_print_what_the_page_shows(name: str, request: pytest.FixtureRequest) -> None:
    text = pages.read(name)
    found = pages.blocks(text)
    if any(block.real for block in found):
        request.getfixturevalue("shared")
    for block, printed in zip(found, pages.execute(text), strict=True):
        assert printed == (block.prints or ""), f"{name}: run `python -m tests.docs.pages`"


@every_page
def test_every_python_block_is_run(name: str) -> None:
    text = pages.read(name)
    assert text.count("```python\n") == len(pages.blocks(text))


# --- links, files, names, commands


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@every_page
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", pages.read(name)):
        page, _, anchor = target.partition("#")
        path = pages.DOCS / (page or name)
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def test_the_index_names_every_page_once() -> None:
    linked = re.findall(r"^- \[(.+?)\]", pages.read("index.md"), re.MULTILINE)
    assert sorted(linked) == [n for n in pages.names() if n != "index.md"]


@every_page
def test_files_named_in_a_page_exist(name: str) -> None:
    named = re.findall(r"`((?:maxlib|tests|configs|notebooks|scripts|dashboards)/[^`\s]*)`", pages.read(name))
    missing = sorted({path for path in named if not (ROOT / path).exists()})
    assert missing == []


def test_glossary_words_are_in_the_files_they_are_said_to_be_in() -> None:
    named = re.findall(r"`(maxlib/\S+\.py)` `(\w+)`", pages.read("glossary.md"))
    assert len(named) > 100
    wrong = [
        f"{path} {word}"
        for path, word in named
        if not re.search(rf"\b{word}\b", (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_glossary_has_each_word_once() -> None:
    words = re.findall(r"^\| ([^|]+) \|", pages.read("glossary.md"), re.MULTILINE)
    words = [w for w in words if w != "word"]
    assert sorted(words) == sorted(set(words))


def test_tests_named_as_proof_exist() -> None:
    rows = re.findall(r"^\|[^|]+\|([^|]+)\|$", pages.read("invariants.md"), re.MULTILINE)
    named = [(p, t) for row in rows for p, tests in PROOF.findall(row) for t in re.findall(r"`(\w+)`", tests)]
    assert len(named) > 15
    wrong = [
        f"{path} {test}"
        for path, test in named
        if not (ROOT / path).is_file() or f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert wrong == []


def test_the_fault_matrix_is_whole_and_its_proofs_exist() -> None:
    rows = table("fault-matrix.md", "fault matrix")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 90)]
    wrong = []
    for number, _, _, proof, state, missing in rows:
        named = [(p, t) for p, tests in PROOF.findall(proof) for t in re.findall(r"`(\w+)`", tests)]
        wrong += [
            f"{number} {path} {test}"
            for path, test in named
            if not (ROOT / path).is_file() or f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8")
        ]
        # Whoever says "in part" says what is missing; whoever says "proved" has nothing missing.
        if (state, bool(named), bool(missing)) not in FAULT_STATES:
            wrong.append(f"{number} {state}")
    assert wrong == []
    count = Counter(row[4] for row in rows)
    told = re.search(
        r"Of (\d+) faults (\d+) are proved,\s(\d+) in part and (\d+) open\.", pages.read("fault-matrix.md")
    )
    assert told
    assert [int(n) for n in told.groups()] == [len(rows), *(count[s] for s in ("proved", "in part", "open"))]


FAULT_STATES = {("proved", True, False), ("in part", True, True), ("open", False, False)}
PROOF = re.compile(r"`(tests/\S+\.py)`((?:,? `test_\w+`)*)")


def commands(text: str) -> list[list[str]]:
    """Every `maxtrader …` of a page, in code spans and shell blocks, as words."""
    spans = re.findall(r"`(maxtrader [^`]+)`", text, re.DOTALL)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(c)[1:] for c in [*spans, *lines] if c.startswith("maxtrader ")]


@every_page
def test_commands_exist_with_their_options(name: str) -> None:
    for words in commands(pages.read(name)):
        command: Any = get_command(app)
        rest = list(words)
        while rest and hasattr(command, "commands"):
            assert rest[0] in command.commands, f"maxtrader {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        unknown = [word for word in rest if word.startswith("-") and word not in known]
        assert unknown == [], f"maxtrader {' '.join(words)}"


def test_overrides_shown_are_accepted() -> None:
    pairs = [
        (words[1], [words[i + 1] for i, word in enumerate(words) if word == "-p"])
        for name in pages.names()
        for words in commands(pages.read(name))
        if "-p" in words
    ]
    assert pairs
    for which, overrides in pairs:
        scenario.load(which, scenario.parse_overrides(overrides))


# --- tables


CONFIGS = [name.split()[1] for name in pages.tables(pages.read("scenarios.md")) if name.startswith("fields ")]


@pytest.mark.parametrize("dotted", CONFIGS)
def test_scenario_fields_are_those_of_the_models(dotted: str) -> None:
    shown = table("scenarios.md", f"fields {dotted}")
    assert [tuple(row[:3]) for row in shown] == pages.field_rows(pages.config(dotted))
    assert all(len(row) == 4 and row[3] not in ("", "TODO") for row in shown)


def test_every_config_of_a_scenario_has_its_table() -> None:
    def inside(kind: Any) -> set[str]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            own = {f"{kind.__module__}.{kind.__name__}"}
            return own.union(*(inside(info.annotation) for info in kind.model_fields.values()))
        return set().union(*(inside(part) for part in typing.get_args(kind)))

    assert inside(scenario.Scenario) == set(CONFIGS)


def test_the_minimal_scenario_loads(tmp_path: Path) -> None:
    (yaml,) = re.findall(r"```yaml\n(.*?)```", pages.read("scenarios.md"), re.DOTALL)
    file = tmp_path / "my_run.yaml"
    file.write_text(yaml)
    assert scenario.load(str(file)).name == "my_run"


def test_result_fields_are_those_of_a_result(demo: Any) -> None:
    found = set()
    for key, value in run.result(demo).items():
        open_ended = key in ("denials", "config")
        found |= {f"{key}.{k}" for k in value} if isinstance(value, dict) and not open_ended else {key}
    assert codes("scenarios.md", "result") == found


def test_verdicts_are_those_of_the_code() -> None:
    assert codes("scenarios.md", "verdicts") == set(typing.get_args(Verdict))


REFUSED: dict[str, tuple[RiskConfig, dict[str, int]]] = {
    "MARKET_CLOSED": (RiskConfig(), {"minutes_to_close": -5}),
    "TOO_LATE": (RiskConfig(), {"minutes_to_close": 4}),
    "POSITION_LIMIT": (RiskConfig(), {"open_positions": 1}),
    "STALE_PATTERN": (RiskConfig(fresh_patterns=True), {"formed_at": 240 * 10**9, "last_exit": 600 * 10**9}),
    "UNAFFORDABLE": (RiskConfig(), {"equity_cents": 100_000, "cash_cents": 100_000}),
}


ELSEWHERE = (
    "`NO_STRUCTURE`", "`HALTED`", "`FEED_DOWN`", "`STALE_FEED`", "`BROKER_DOWN`", "`BROKER_DIFFERS`",
    "`JOURNAL_DOWN`", "`CLOCK_JUMP`",
)  # fmt: skip
"""They come from the desk, the user, the feed, the broker and the process itself."""


def test_denials_shown_are_those_of_the_review_with_their_numbers() -> None:
    rows = table("life-of-an-order.md", "denials")
    assert {row[0].strip("`") for row in rows} == set(typing.get_args(DenialCode))
    calm = {
        "open_positions": 0, "minutes_to_close": 300, "force_close_minutes": 5, "formed_at": 1,
        "last_exit": 0, "equity_cents": 2_500_000, "cash_cents": 2_500_000, "cost_cents": 20_065,
    }  # fmt: skip
    for row in rows:
        if row[0] in ELSEWHERE:
            continue
        config, changed = REFUSED[row[0].strip("`")]
        code, limit, actual = review(config, **{**calm, **changed})
        assert (code, f"limit {limit:.10g}, actual {actual:.10g}") == (row[0].strip("`"), row[-1])


def test_the_denial_without_a_structure_tells_the_best_there_was() -> None:
    denied = [json.loads(e.body) for e in packages(50.0).run.journal.entries if e.kind == "denied"]
    said = next(body for body in denied if body["code"] == "NO_STRUCTURE")
    assert said["limit"] == 50.0
    assert 0.0 < said["actual"] < 50.0


def source(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def rejected_in(path: str, place: int) -> set[str]:
    """Codes that a file gives to a Rejection by name."""
    calls = [n for n in ast.walk(source(path)) if isinstance(n, ast.Call)]
    given = [n.args[place] for n in calls if getattr(n.func, "id", "") == "Rejection"]
    return {code.value for code in given if isinstance(code, ast.Constant)}


def test_rejections_shown_are_those_of_broker_fills_and_shell() -> None:
    fills = {code for part in typing.get_args(Refusal) for code in typing.get_args(part)}
    named = rejected_in("maxlib/execution/broker.py", -1) | rejected_in("maxlib/engine/shell.py", 2)
    shown = [c for row in table("life-of-an-order.md", "rejections") for c in re.findall(r"`(\w+)`", row[0])]
    assert sorted(shown) == sorted(fills | named | set(typing.get_args(RecallCode)))


def test_journal_kinds_and_fields_are_those_of_the_machine(demo: Any) -> None:
    rows = {row[0].strip("`"): set(row[2].split()) for row in table("life-of-an-order.md", "journal")}
    kinds = {
        node.args[1].value
        for node in ast.walk(source("maxlib/engine/machine.py"))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Record"
    }
    assert set(rows) == kinds | {"run"}  # the opening entry is written by research/run.py
    seen: dict[str, set[str]] = {}
    for done in (demo, packages(0.5)):
        for entry in done.run.journal.entries:
            seen.setdefault(entry.kind, set()).update(set(json.loads(entry.body)) - {"simulated"})
    assert {kind: rows[kind] for kind in seen} == seen
    assert set(rows) - set(seen) <= {"rejected", "expired", "guard"}


def test_guard_codes_shown_are_those_of_the_code() -> None:
    shown = {row[0].strip("`"): row[1] for row in table("risk.md", "guard codes")}
    assert shown == GUARD_MEANING


def test_purposes_shown_are_those_of_the_code() -> None:
    exits = pages.read("life-of-an-order.md").split("## Exits")[1].split("##")[0]
    shown = re.findall(r"^\| `(\w+)` \|", exits, re.MULTILINE)
    assert {*shown, "open"} == set(typing.get_args(Purpose))


def test_checks_and_repairs_are_those_of_the_gate() -> None:
    assert {row[0].strip("`"): row[1] for row in table("data.md", "checks")} == MEANING
    gate = (ROOT / "maxlib/data/quality.py").read_text(encoding="utf-8")
    named = re.search(r"rules = \((.+)\)\n", gate)
    assert named
    assert codes("data.md", "repairs") == set(re.findall(r'"(\w+)"', named[1]))


def test_market_facts_shown_are_those_of_the_notebook(shared: Path) -> None:
    from maxlib.analytics import facts as fx
    from maxlib.data.simulator import SimulatorConfig, simulate

    made = simulate(SimulatorConfig(market="normal", seed=7, days=250))
    real = fx.reference("normal", str(shared / "data/real"))
    assert real
    rows = fx.compare(real, fx.facts(made.bars, made.vix))
    found = {row.fact: [f"{row.real:.2f}", f"{row.simulated:.2f}"] for row in rows}
    for fact, *numbers in table("data.md", "facts"):
        assert found[fact.replace("\\", "")] == numbers, fact
    assert fx.where_off(rows).startswith("16 of 21 facts lie within a factor of 1.25 ")
    assert "16 of 21 facts lie within a factor of 1.25." in pages.read("data.md")


def test_causes_shown_are_those_of_the_waterfalls() -> None:
    from maxlib.research.published import champion_config, wave_config

    shown = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in table("scenarios.md", "causes")}
    wave = [cause.name.lower() for cause in wave_config.WATERFALL]
    assert shown["wave_renko"] == wave
    assert set(wave) == {cause.name.lower() for cause in wave_config.Cause}
    champion = [cause.name.lower() for cause in champion_config.WATERFALL]
    assert shown["champion"] == [*champion, "carried"]
    assert set(shown["champion"]) == {cause.name.lower() for cause in champion_config.Cause}
