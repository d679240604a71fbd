"""The trial ledger: nothing is lost, nothing can be changed unseen, and N is the true number of trials."""

import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.journal.chain import GENESIS, link
from maxlib.journal.store import read
from maxlib.research import scenario, trials
from maxlib.research.deflation import Figures, Trial, Trials, count, deflate
from maxlib.research.run import run_scenario
from maxlib.research.trials import TrialLedger, days_of, default_path, trial_of

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_735_689_600_000_000_000  # 2025-01-01 00:00 UTC

GOOD = Figures(trades=81, wins=50, pnl_usd=1234.5, days=250, sharpe=0.1, skew=-0.5, kurtosis=4.0)
TRIAL = Trial(
    kind="backtest", scenario="one", config_hash="c" * 64, symbol="QQQ", data="qqq.csv", data_sha256="d" * 64,
    first="2024-01-02", last="2024-12-31", simulated=False, code_version="0.1.0+abc", seed=None, figures=GOOD,
)  # fmt: skip


def trial(sharpe: float | None = 0.1, **changes) -> Trial:
    """A trial with this daily Sharpe ratio, and so with figures of its own."""
    return replace(TRIAL, figures=replace(GOOD, sharpe=sharpe), **changes)


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "new" / "trials.sqlite")


def fill(ledger: TrialLedger, number: int) -> list[trials.Entry]:
    return [ledger.append(trial(i / 100), NOW + i) for i in range(number)]


def head_file(ledger: TrialLedger) -> Path:
    return ledger.path.with_name("trials.sqlite.head")


# --- appending


def test_what_was_appended_comes_back_in_order(ledger):
    assert (ledger.entries(), ledger.verify(), ledger.path.parent.exists()) == ([], [], False)
    written = fill(ledger, 3)
    assert [(e.number, e.at, e.trial) for e in written] == [
        (i + 1, NOW + i, trial(i / 100)) for i in range(3)
    ]
    assert TrialLedger(ledger.path).entries() == written
    assert ledger.verify() == []


def test_the_chain_is_that_of_the_journal(ledger):
    entry = ledger.append(TRIAL, NOW)
    (row,) = read(ledger.path)
    assert row == link(GENESIS, 1, NOW, "trial", row.body)
    assert (row.hash, row.seq) == (entry.hash, entry.number)
    for value in ('"config_hash":"cccc', '"data_sha256":"dddd', '"code_version":"0.1.0+abc"', '"seed":null'):
        assert value in row.body


APPENDER = """
import sys
from pathlib import Path
from dataclasses import replace
from maxlib.research.deflation import Figures, Trial
from maxlib.research.trials import TrialLedger
ledger, name, number = TrialLedger(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
figures = Figures(1, 1, 1.0, 20, 0.1, 0.0, 3.0)
for i in range(number):
    made = Trial("sweep", name, "c", "QQQ", "d", "s", "2024-01-02", "2024-01-03", False, "v", i, figures)
    print(ledger.append(made, i).number, flush=True)
"""


def appender(ledger: TrialLedger, name: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, str(ledger.path), name, str(number)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_processes_that_append_at_once_lose_nothing(ledger):
    processes = [appender(ledger, name, 25) for name in "abcd"]
    numbers = [int(line) for p in processes for line in p.communicate()[0].split()]
    assert [p.returncode for p in processes] == [0] * 4
    assert sorted(numbers) == list(range(1, 101))
    entries = ledger.entries()
    assert ledger.verify() == []
    for name in "abcd":
        assert [e.trial.seed for e in entries if e.trial.scenario == name] == list(range(25))


def test_a_killed_process_loses_nothing_that_it_was_told_is_safe(ledger):
    draw, safe = random.Random(3), 0
    for _ in range(4):
        process = appender(ledger, "killed", 100_000)
        assert process.stdout
        for _ in range(draw.randint(1, 30)):
            safe = int(process.stdout.readline())
        process.kill()
        safe = max([safe, *map(int, process.communicate()[0].split())])
        # at most the entry that was being written
        assert safe <= len(ledger.entries()) <= safe + 1
        assert ledger.verify() == []
    assert ledger.append(TRIAL, NOW).number in (safe + 1, safe + 2)
    assert ledger.verify() == []


def test_a_crash_before_the_head_is_noted_is_no_loss(ledger):
    fill(ledger, 2)
    before = head_file(ledger).read_bytes()
    fill(ledger, 1)
    head_file(ledger).write_bytes(before)
    assert ledger.verify() == []
    assert ledger.append(TRIAL, NOW).number == 4


def test_a_ledger_in_use_is_waited_for_but_not_forever(ledger, monkeypatch):
    fill(ledger, 1)
    monkeypatch.setattr(trials, "_WAIT_SECONDS", 0.02)
    with ledger._locked(), pytest.raises(DataError, match=r"trials\.sqlite was in use for"):
        TrialLedger(ledger.path).append(TRIAL, NOW)
    ledger.append(TRIAL, NOW)


def test_a_ledger_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "text.sqlite").write_text("no database\n" * 100)
    (tmp_path / "folder.sqlite").mkdir()
    for path in ("file/trials.sqlite", "text.sqlite", "folder.sqlite"):
        with pytest.raises(DataError) as caught:
            TrialLedger(tmp_path / path).append(TRIAL, NOW)
        assert path in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nan_cannot_enter_the_ledger(ledger):
    with pytest.raises(ValueError, match="JSON"):
        ledger.append(trial(float("nan")), NOW)
    assert ledger.entries() == []


def test_the_ledger_lies_where_the_environment_says_or_by_the_catalog(monkeypatch, tmp_path):
    monkeypatch.setenv("MAXTRADER_TRIALS", str(tmp_path / "x.sqlite"))
    assert TrialLedger().path == default_path() == tmp_path / "x.sqlite"
    monkeypatch.delenv("MAXTRADER_TRIALS")
    assert default_path() == Path("var/trials.sqlite")


# --- finding what was done to it


def tampered(ledger: TrialLedger, *statements: str) -> list[str]:
    with sqlite3.connect(ledger.path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    return ledger.verify()


CHANGED = "entry {} does not follow from the one before it: one of them was changed"


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE journal SET body = replace(body, '0.02', '0.9') WHERE seq = 3"], [CHANGED.format(3)]),
        (["UPDATE journal SET ts = ts - 1 WHERE seq = 1"], [CHANGED.format(1)]),
        (["UPDATE journal SET kind = 'x' WHERE seq = 5"], [CHANGED.format(5)]),
        (["DELETE FROM journal WHERE seq = 3"], ["entry 3 is missing"]),
        (["DELETE FROM journal WHERE seq IN (1, 2)"], ["entries 1 to 2 are missing"]),
        (
            ["DELETE FROM journal WHERE seq = 3", "UPDATE journal SET seq = 3 WHERE seq = 4",
             "UPDATE journal SET seq = 4 WHERE seq = 5"],
            [CHANGED.format(3), CHANGED.format(4), "entry 5 is missing from the end"],
        ),
        (
            ["UPDATE journal SET seq = 9 WHERE seq = 2", "UPDATE journal SET seq = 2 WHERE seq = 3",
             "UPDATE journal SET seq = 3 WHERE seq = 9"],
            [CHANGED.format(2), CHANGED.format(3), CHANGED.format(4)],
        ),
        (["DELETE FROM journal WHERE seq = 5"], ["entry 5 is missing from the end"]),
        (["DELETE FROM journal WHERE seq > 2"], ["entries 3 to 5 are missing from the end"]),
        (["DELETE FROM journal"], ["entries 1 to 5 are missing from the end"]),
        (
            ["INSERT INTO journal SELECT 6, ts, kind, body, hash FROM journal WHERE seq = 5"],
            [CHANGED.format(6)],
        ),
    ],
)  # fmt: skip
def test_every_change_is_found_and_named(ledger, statements, found):
    fill(ledger, 5)
    assert ledger.verify() == []
    assert tampered(ledger, *statements) == found


@pytest.mark.parametrize("at", [2, 5])
def test_an_edit_with_a_new_hash_of_its_own_is_found(ledger, at):
    fill(ledger, 5)
    rows = read(ledger.path)
    body = rows[at - 1].body.replace("1234.5", "9999.5")
    new = link(rows[at - 2].hash, at, rows[at - 1].ts, "trial", body)
    found = tampered(ledger, f"UPDATE journal SET body = '{body}', hash = '{new.hash}' WHERE seq = {at}")
    last = "entry 5 is not the one that was written under that number"
    assert found == ([last] if at == 5 else [CHANGED.format(at + 1)])


def test_a_ledger_that_was_deleted_is_missed(ledger):
    fill(ledger, 2)
    ledger.path.unlink()
    assert ledger.verify() == ["entries 1 to 2 are missing from the end"]


@pytest.mark.parametrize("statement", ["DELETE FROM journal WHERE seq > 3", "DELETE FROM journal"])
def test_nothing_is_written_over_a_loss(ledger, statement):
    fill(ledger, 5)
    tampered(ledger, statement)
    with pytest.raises(
        DataError, match=r"missing from the end; restore it, or move it and trials\.sqlite\.head away"
    ):
        ledger.append(TRIAL, NOW)
    assert ledger.verify() != []


def test_a_rebuilt_ledger_is_found_by_a_hash_that_was_quoted(ledger):
    quoted = fill(ledger, 5)[4].hash
    ledger.path.unlink()
    head_file(ledger).unlink()
    fill(ledger, 4)
    assert ledger.verify() == []  # the chain alone cannot know
    assert ledger.verify(quoted) == [f"no entry has the hash {quoted[:12]}…"]
    assert ledger.verify(ledger.entries()[1].hash) == []


UNSEEN = "the newest entry is {} and trials.sqlite.head names {}, so that a cut end could not be seen"


@pytest.mark.parametrize("left", [None, b"", b"\0" * 86, b"no head\n", "entry 1"])
def test_without_the_head_a_cut_end_would_not_be_seen_and_nothing_launders_it(ledger, left):
    fill(ledger, 1)
    first = head_file(ledger).read_bytes()
    fill(ledger, 4)
    tampered(ledger, "DELETE FROM journal WHERE seq > 3")
    head_file(ledger).unlink()
    if left is not None:
        head_file(ledger).write_bytes(first if left == "entry 1" else left)
    said = UNSEEN.format(3, "entry 1" if left == "entry 1" else "none")
    assert ledger.verify() == [said]
    with pytest.raises(DataError, match=f"{said}; restore it, or move it and"):
        ledger.append(TRIAL, NOW)
    assert (ledger.verify(), len(ledger.entries())) == ([said], 3)
    assert ledger.deflated(TRIAL).reason == f"the trial ledger cannot be relied on: {said}"


def test_a_crash_between_the_first_entry_and_its_note_is_no_loss(ledger):
    fill(ledger, 1)
    head_file(ledger).write_bytes(b"")
    assert ledger.verify() == []
    assert [e.number for e in fill(ledger, 2)] == [2, 3]
    assert ledger.verify() == []


def test_crash_after_crash_before_the_head_is_noted_is_no_loss(ledger, monkeypatch):
    """The note that is missing is made up for before the next entry, so it is never two behind."""
    fill(ledger, 2)

    class CrashError(Exception):
        pass

    noted = trials._Head.write

    def dies_at_the_new_entry(self, number, hash_):
        if number > len(before):
            raise CrashError
        noted(self, number, hash_)

    for _ in range(3):
        before = ledger.entries()
        with monkeypatch.context() as patch:
            patch.setattr(trials._Head, "write", dies_at_the_new_entry)
            with pytest.raises(CrashError):
                ledger.append(TRIAL, NOW)
        assert len(ledger.entries()) == len(before) + 1
        assert ledger.verify() == []
    assert ledger.append(TRIAL, NOW).number == 6


@pytest.mark.parametrize("entry", [1, 40, 99])
def test_nothing_is_written_over_a_missing_or_changed_entry(ledger, entry):
    """However far from the end it is: a journal looks at its last 64 only."""
    fill(ledger, 100)
    before = head_file(ledger).read_bytes()
    tampered(ledger, f"UPDATE journal SET body = replace(body, '1234.5', '9999.5') WHERE seq = {entry}")
    with pytest.raises(
        DataError, match=rf"trials\.sqlite: entry {entry} does not follow from the one before"
    ):
        ledger.append(TRIAL, NOW)
    tampered(ledger, f"DELETE FROM journal WHERE seq = {entry}")
    with pytest.raises(DataError, match=rf"trials\.sqlite: entry {entry} is missing; restore it"):
        ledger.append(TRIAL, NOW)
    assert (ledger.verify(), head_file(ledger).read_bytes()) == ([f"entry {entry} is missing"], before)


def test_entries_of_an_older_program_had_the_honest_accounting(ledger):
    fill(ledger, 2)
    (row, _) = read(ledger.path)
    old = row.body.replace(',"accounting":"honest"', "").replace('"accounting":"honest",', "")
    assert old != row.body
    tampered(ledger, f"UPDATE journal SET body = '{old}' WHERE seq = 1")
    assert [e.trial.accounting for e in ledger.entries()] == ["honest", "honest"]


def test_an_entry_of_another_kind_is_refused(ledger):
    fill(ledger, 1)
    tampered(ledger, "UPDATE journal SET body = '{}'")
    with pytest.raises(DataError, match="entry 1 is not that of a trial"):
        ledger.entries()


# --- the true number of trials


def test_the_same_run_again_is_one_trial_and_a_changed_result_is_another():
    runs = [
        trial(0.1),
        trial(0.1),
        trial(0.1, code_version="0.1.0+other"),  # other code, same result
        trial(0.1, config_hash="e" * 64, scenario="renamed"),  # other name, same result
        trial(0.2, code_version="0.1.0+new"),  # other code, other result
        trial(0.3, config_hash="f" * 64),
    ]
    n, variance = count(runs, runs[0])
    assert (n, variance) == (3, pytest.approx(0.01))  # of 0.1, 0.2, 0.3 with ddof 1


def test_a_run_counts_itself_whether_recorded_or_not():
    assert count([trial(0.2)], trial(0.4)) == (2, pytest.approx(0.02))
    assert count([trial(0.2), trial(0.4)], trial(0.4)) == (2, pytest.approx(0.02))


def test_n_counts_overlapping_data_of_the_symbol_and_the_variance_only_the_same_data():
    runs = [
        trial(0.1),
        trial(0.3),
        trial(0.9, data_sha256="a", first="2024-12-31", last="2025-06-30"),  # shares one date
        trial(0.8, data_sha256="b", first="2025-01-02", last="2025-06-30"),
        trial(0.7, data_sha256="c", symbol="SPY"),
    ]
    assert count(runs, runs[0]) == (3, pytest.approx(0.02))
    assert count(runs, runs[2]) == (4, None)
    assert count([*runs, trial(0.7, data_sha256="b", first="2025-01-02", last="2025-06-30")], runs[3]) == (
        3,
        pytest.approx(0.005),
    )


def test_simulated_and_diagnostic_runs_never_count_for_real_data():
    sim = {"simulated": True, "data_sha256": "5" * 64}
    runs = [
        trial(0.1),
        trial(0.5, kind="placebo"),
        trial(0.6, kind="waterfall"),
        trial(0.7, **sim),
        trial(0.9, **sim),
        trial(0.8, simulated=True),  # even if it bore the same hash
        trial(0.65, kind="published"),
    ]
    assert count(runs, runs[0]) == (1, None)
    # simulated tapes cover the same dates, but another seed is another tape
    assert count([*runs, trial(0.2, simulated=True, data_sha256="6" * 64)], runs[3]) == (
        2,
        pytest.approx(0.02),
    )


def test_a_run_without_a_trade_is_a_trial_but_has_no_part_in_the_variance():
    assert count([trial(0.1), trial(None)], trial(0.3)) == (3, pytest.approx(0.02))


def test_the_ledger_counts_by_data(ledger):
    for one in (
        trial(0.1, kind="placebo"),
        trial(0.1),
        trial(0.1),
        trial(0.3),
        trial(0.4, symbol="SPY", data_sha256="a"),
    ):
        ledger.append(one, NOW)
    assert ledger.trials_of("d" * 64) == (2, pytest.approx(0.02))
    assert ledger.trials_of("a") == (1, None)
    assert ledger.trials_of("unknown") == (0, None)


# --- deflation

PAPER = Figures(trades=9, wins=5, pnl_usd=1.0, days=1250, sharpe=2.5 / 250**0.5, skew=-3.0, kurtosis=10.0)


@pytest.mark.parametrize(("n", "dsr"), [(100, 0.900397), (46, 0.950502)])
def test_deflation_of_bailey_and_lopez_de_prado_2014(n, dsr):
    found = deflate(PAPER, Trials(n, 0.5 / 250))
    assert (found.dsr, found.n, found.reason) == (pytest.approx(dsr, abs=5e-7), n, None)
    if n == 100:
        assert found.sr0 == pytest.approx(0.113172, abs=5e-7)


def test_the_ledger_deflates_by_its_own_n_and_variance(ledger):
    # 46 trials with the paper's variance: its own run, and 45 about it that make up the sum of squares
    own, wanted = PAPER.sharpe, 0.5 / 250
    rest = np.random.default_rng(1).standard_normal(45)
    rest -= rest.mean()
    rest *= np.sqrt(wanted * 45 / np.sum(rest**2))
    tried = [replace(TRIAL, figures=replace(PAPER, sharpe=float(own + x))) for x in (*rest, 0.0)]
    for one in tried:
        ledger.append(one, NOW)
    found = ledger.deflated(tried[-1])
    assert (found.n, found.variance) == (46, pytest.approx(wanted))
    assert found.dsr == pytest.approx(0.950502, abs=5e-7)
    for one in tried[:3]:  # running them again makes no new trials
        ledger.append(one, NOW)
    assert ledger.deflated(tried[-1]) == found


@pytest.mark.parametrize(
    ("figures", "known", "reason"),
    [
        ({"days": 9}, Trials(5, 0.01), "9 days of P&L are too few, 10 are needed"),
        ({"sharpe": None, "skew": None, "kurtosis": None}, Trials(5, 0.01), "all days were alike"),
        (
            {},
            Trials(1, None),
            "there is only one trial on this data, and two are needed to see how trials differ",
        ),
        ({}, Trials(5, 0.0), "the trials on this data have one and the same Sharpe ratio"),
        (
            {"sharpe": 1.0, "skew": 3.0, "kurtosis": 3.0},
            Trials(5, 0.1),
            "no days have a skewness of 3 with a kurtosis of 3",
        ),
    ],
)
def test_where_it_cannot_be_known_there_is_a_reason(figures, known, reason):
    found = deflate(replace(GOOD, **figures), known)
    assert (found.dsr, found.sr0, found.reason) == (None, None, reason)
    assert found.sentence() == f"Deflated Sharpe ratio: not known, because {reason}."


def test_psr_needs_no_second_trial():
    # 0.1 x sqrt(249) / sqrt(1 + 0.05 + 0.0075) = 1.5345 standard errors
    assert deflate(GOOD, Trials(1, None)).psr == pytest.approx(0.9375, abs=5e-4)


def test_runs_that_differ_only_in_size_have_no_variance():
    assert count([trial(0.1)], trial(0.1 + 1e-16, config_hash="e")).variance in (None, 0.0)
    assert count([trial(0.1)], trial(0.1 + 1e-15, config_hash="e")) == (2, 0.0)


def test_a_broken_ledger_deflates_nothing(ledger):
    fill(ledger, 5)
    tampered(ledger, "DELETE FROM journal WHERE seq = 2")
    found = ledger.deflated(trial(0.04))
    assert (found.dsr, found.n) == (None, 0)
    assert found.reason == "the trial ledger cannot be relied on: entry 2 is missing"
    assert ledger.sentences()[1:] == ["  entry 2 is missing"]


def test_a_placebo_is_not_deflated(ledger):
    fill(ledger, 5)
    assert ledger.deflated(trial(0.04, kind="placebo")).reason == "a placebo run is no trial of a strategy"


# --- for the command line


def test_rows_have_the_figures_with_their_intervals(ledger):
    ledger.append(replace(TRIAL, figures=replace(GOOD, trades=263, wins=81)), NOW)
    ledger.append(trial(None, simulated=True, seed=7), NOW)
    first, second = ledger.rows()
    assert (first["number"], first["at"], first["scenario"]) == (1, "2025-01-01T00:00:00Z", "one")
    # Newcombe 1998: 81 of 263
    assert (first["win_low"], first["win_high"]) == (
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )
    assert first["sharpe_annual"] == pytest.approx(0.1 * 15.8745, abs=1e-4)
    assert (second["simulated"], second["seed"], second["sharpe_annual"], second["psr"]) == (
        True,
        7,
        None,
        None,
    )


def test_sentences_name_the_best_run_of_each_real_tape_and_leave_simulated_ones_out(ledger):
    assert ledger.sentences() == [f"No trial is recorded in {ledger.path}."]
    ledger.append(trial(0.1), NOW)
    ledger.append(trial(0.15, scenario="two"), NOW)
    ledger.append(trial(0.9, simulated=True, data="made up"), NOW)
    head, best, deflated = ledger.sentences()
    assert head.startswith("3 runs, 1 of them SIMULATED; the chain holds, its head is ")
    assert best == "qqq.csv, 2024-01-02 to 2024-12-31: best is two, N 2."
    assert deflated.startswith("  Deflated Sharpe ratio: 0.9")
    assert "Sharpe 2.38 a year, where the best of 2 worthless trials" in deflated


# --- a scenario's run


def test_a_scenario_run_becomes_a_trial_and_the_same_one_again_counts_once(ledger):
    done = run_scenario(scenario.load("demo_crash", {"data.simulator.days": 30}))
    again = run_scenario(scenario.load("demo_crash", {"data.simulator.days": 30}))
    other = run_scenario(scenario.load("demo_crash", {"data.simulator.days": 30, "risk.risk_fraction": 0.01}))
    days = days_of(done)
    assert len(days) == done.tape.quality.sessions == 30
    assert days.sum() == pytest.approx(done.metrics.pnl_usd)
    made = trial_of(done)
    assert (made.simulated, made.seed, made.figures.days) == (True, done.scenario.data.simulator.seed, 30)
    assert (made.figures.trades, made.figures.wins) == (done.metrics.trades, done.metrics.wins)
    for one in (made, trial_of(again), trial_of(other)):
        ledger.append(one, NOW)
    assert ledger.trials_of(made.data_sha256).n == 2
