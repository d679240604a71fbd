"""The command line: results in files, errors in one sentence, exit codes as documented."""

import json
import subprocess
import sys

import pytest

from maxlib.app.cli import main
from maxlib.app.commands import pages


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    out = capsys.readouterr()
    return left.value.code or 0, out.out, out.err


def test_backtest_writes_the_result_and_says_that_the_claims_do_not_hold(capsys, tmp_path):
    file = tmp_path / "r.json"
    code, out, _ = call(capsys, "backtest", "demo_calm", "--json", file)
    values = json.loads(file.read_text())
    assert (code, values["scenario"], values["verdict"]) == (1, "demo_calm", "does_not_hold")
    assert "SIMULATED" in out
    assert "Verdict: the claims do not hold." in out


def test_a_scenario_without_claims_exits_0(capsys):
    code, out, _ = call(capsys, "backtest", "demo_calm", "-p", "claims=null")
    assert (code, "Verdict: nothing was claimed." in out) == (0, True)


def test_audit_writes_cuts_and_rewritten(capsys, tmp_path):
    file = tmp_path / "a.json"
    code, out, _ = call(
        capsys, "audit", "demo_calm", "--cuts", 25, "--json", file, "-p", "data.simulator.days=10"
    )
    values = json.loads(file.read_text())
    assert (code, values["cuts"], values["rewritten"]) == (0, 25, 0)
    assert "25 cuts" in out


def test_scenarios_lists_those_that_ship(capsys):
    code, out, _ = call(capsys, "scenarios")
    assert code == 0
    assert "demo_normal" in out


def test_version(capsys):
    code, out, _ = call(capsys, "--version")
    assert (code, out.startswith("maxtrader ")) == (0, True)


HEAD = "timestamp,open,high,low,close,volume\n"
BROKEN = {
    "missing.csv": (None, "missing.csv"),
    "empty.csv": ("", "empty.csv"),
    "no_volume.csv": ("timestamp,open,high,low,close\n2025-01-02T14:30:00Z,1,1,1,1\n", "volume"),
    "text_price.csv": (HEAD + "2025-01-02T14:30:00Z,1,1,1,abc,5\n", "abc"),
    "nan_price.csv": (HEAD + "2025-01-02T14:30:00Z,1,1,1,nan,5\n", "row 1"),
    "high_below.csv": (HEAD + "2025-01-02T14:30:00Z,10,9,8,9.5,5\n", "row 1"),
    "bad_stamp.csv": (HEAD + "yesterday,1,1,1,1,5\n", "yesterday"),
    "negative.csv": (HEAD + "2025-01-02T14:30:00Z,1,1,1,1,-5\n", "-5"),
    "cut_session.csv": (HEAD + "2025-01-02T14:30:00Z,1,1,1,1,5\n", "2025-01-02"),
    "binary.parquet": ("\x00PAR1 not really", "binary.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence_and_exit_code_2(capsys, tmp_path, name):
    content, named = BROKEN[name]
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    result = tmp_path / "r.json"
    code, out, err = call(capsys, "backtest", "demo_normal", "-p", f"data.path={path}", "--json", result)
    assert (code, out) == (2, "")
    assert err.startswith("maxtrader: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert named in err
    assert not result.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["backtest", "nope"], "'nope'"),
        (["backtest", "demo_calm", "-p", "risk.max_positions=0"], "risk.max_positions"),
        (["backtest", "demo_calm", "-p", "strategy.target_mode=moon"], "'moon'"),
        (["backtest", "demo_calm", "-p", "unknown=1"], "unknown is not a known field"),
        (["backtest", "demo_calm", "-p", "risk.risk_fraction=.nan"], "finite"),
        (["audit", "demo_calm", "--cuts", "0"], "--cuts 0"),
        (["data", "check", "nowhere.csv"], "nowhere.csv"),
        (["dashboard", "--bars", "nowhere.csv"], "nowhere.csv"),
        (["dashboard", "demo_normal"], "demo_normal: should come with --folder"),
        (["dashboard", "--speed", "5"], "--speed: is of a SCENARIO"),
        (["dashboard", "--folder", "nowhere"], "--folder nowhere: no such folder"),
        (
            ["dashboard", "--folder", ".", "--day", "2025-01-31"],
            "--folder .: --day is of a SCENARIO, and none is named",
        ),
        (["dashboard", "demo_normal", "--folder", "nowhere", "--venue", "moon"], "--venue moon: should be"),
        (["dashboard", "--folder", ".", "--bars", "some.csv"], "--bars some.csv: a trader has its own bars"),
        (["dashboard", "nothing", "--folder", "nowhere"], "nothing"),
        (["dashboard", "demo_normal", "--folder", "nowhere", "--speed", "-1"], "--speed -1.0: should be"),
        (
            ["backtest", "demo_calm", "-p", "claims=null", "--journal", "/proc/nowhere/j.db"],
            "/proc/nowhere/j.db",
        ),
        (["backtest", "demo_calm", "--json", "/proc/nowhere/r.json"], "cannot be written"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(capsys, arguments, named):
    code, _, err = call(capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert named in err


def test_verbose_adds_the_traceback(capsys):
    code, _, err = call(capsys, "backtest", "nope", "--verbose")
    assert (code, "Traceback" in err) == (2, True)


def test_quality_gate_on_the_file_with_repeated_days(capsys, shared):
    code, out, _ = call(capsys, "data", "check", "data/real/unclear/bars/qqq_1m_20200219_20200520.parquet")
    assert code == 0
    assert "26,389" in out
    assert out.count("circuit breaker") == 4


def test_a_cut_session_is_refused_unless_allowed(capsys, shared):
    file = "data/real/unclear/bars/spy_1m_20250818_20251111.parquet"
    code, _, err = call(capsys, "data", "check", file, "--symbol", "SPY")
    assert (code, "2025-11-11 is incomplete" in err) == (2, True)
    assert call(capsys, "data", "check", file, "--symbol", "SPY", "--allow-incomplete")[0] == 0


def test_the_dashboard_passes_every_option_of_a_trader_on(monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(pages, "_attached", lambda folder, scenario, options: heard.append(options) or {})
    monkeypatch.setattr(pages, "_serve", lambda *_: None)
    told = [
        "--venue",
        "fake",
        "--quotes",
        "live",
        "--broker",
        "dry-run",
        "--after",
        "last",
        "--day",
        "2025-04-04",
    ]
    told += ["--speed", "5.0", "-p", "risk.max_contracts=3"]
    with pytest.raises(SystemExit) as left:
        main(["dashboard", "demo_normal", "--folder", str(tmp_path), *told])
    assert left.value.code in (0, None)
    assert heard == [told]


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "maxlib.app.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("maxtrader ")
