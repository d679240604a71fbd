"""`maxtrader data fetch` against the vendor's fake: months in the catalog, or a sentence and exit code 2."""

import datetime as dt
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maxlib.app.cli import main
from maxlib.app.paper import PaperTrader
from maxlib.core.errors import DataError
from maxlib.data import DataConfig, catalog, load
from maxlib.data.massive.fake import FakeMassive, Plan
from maxlib.research import scenario
from tests.data.massive.helpers import KEY, fake, session
from tests.data.test_fetch import days

FIRST, LAST = dt.date(2025, 1, 2), dt.date(2025, 3, 31)
QUARTER = days(FIRST, LAST)
SPAN = ("--from", str(FIRST), "--to", str(LAST))
SECRET = "a-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAXTRADER_CATALOG", str(tmp_path / "store"))
    monkeypatch.setenv("MAXTRADER_SHARED", str(tmp_path / "no shared folder"))
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def server() -> Iterator[FakeMassive]:
    with fake(int(QUARTER["ts"][-1]), QUARTER).background() as running:
        yield running


def call(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["data", "fetch", *map(str, arguments)])
    out = capsys.readouterr()
    return int(left.value.code or 0), out.out, out.err


def local(server: FakeMassive) -> tuple[str, ...]:
    return ("--url", server.rest_url, "--simulated", "--calls", "6000")


def test_months_arrive_with_progress_and_a_second_run_asks_nothing(capsys: Any, server: FakeMassive) -> None:
    code, out, err = call(capsys, "QQQ", *SPAN, *local(server))
    bars = f"{len(QUARTER):,}"
    assert (code, out) == (
        0,
        f"QQQ from {FIRST} to {LAST}: {bars} bars fetched, 0 of 3 months were in the catalog already.\n",
    )
    january = int((QUARTER["day"] < 20120).sum())
    assert f"2025-01-02 to 2025-01-31: fetched, {january:,} bars\n" in err
    assert "3/3" in err
    asked = sum(server.calls.values())
    code, out, _ = call(capsys, "QQQ", *SPAN, *local(server))
    assert (code, sum(server.calls.values())) == (0, asked)
    assert "0 bars fetched, 3 of 3 months were in the catalog already" in out


def test_what_came_from_this_machine_is_simulated_wherever_it_goes(
    capsys: Any, server: FakeMassive, tmp_path: Path
) -> None:
    assert call(capsys, "QQQ", *SPAN, *local(server))[0] == 0
    kept = load(DataConfig(source="catalog"))
    assert (kept.bars.tobytes(), kept.simulated) == (QUARTER.tobytes(), True)
    by_name = catalog.entries()[0].name
    assert load(DataConfig(source="file", path=by_name)).simulated
    chosen = scenario.load("baseline_2025", {"data": {"source": "catalog", "symbol": "QQQ"}, "claims": None})
    trader = PaperTrader(chosen, tmp_path / "paper", speed=0)
    assert trader.session.label == "SIMULATED"
    trader.trader.close()


def test_simulated_bars_and_real_ones_are_never_in_one_catalog(
    capsys: Any, server: FakeMassive, tmp_path: Path
) -> None:
    assert call(capsys, "QQQ", *SPAN, *local(server))[0] == 0
    real = tmp_path / "real.csv"
    rows = [f"{int(t)},500,501,499,500,1000" for t in session(dt.date(2025, 4, 1))]
    real.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    with pytest.raises(DataError, match=r"holds simulated bars of QQQ .* real ones belong into another"):
        catalog.import_bars(real, "QQQ", zone="UTC", stamped="start")
    code, _, err = call(capsys, "QQQ", *SPAN)
    assert (code, "holds simulated bars of QQQ" in err) == (2, True)


def test_nothing_is_taken_from_this_machine_unless_that_is_said(capsys: Any, server: FakeMassive) -> None:
    code, out, err = call(capsys, "QQQ", *SPAN, "--url", server.rest_url)
    assert (code, out, sum(server.calls.values())) == (2, "", 0)
    assert "is on this machine and simulated" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("qqq", *SPAN), "symbol 'qqq' is not a ticker"),
        (("QQQ", "--from", "yesterday", "--to", "2025-01-03"), "--from yesterday: should be a date"),
        (("QQQ", "--from", "2025-01-02", "--to", "2025-02-30"), "--to 2025-02-30: should be a date"),
        (("QQQ", *SPAN, "--url", "http://example.com"), "should begin with https://"),
        (("QQQ", *SPAN, "--url", "https://me:secret@example.com"), "should hold no user, key or query"),
        (("QQQ", *SPAN, "--simulated"), "--simulated: https://api.massive.com is not on this machine"),
    ],
)
def test_wrong_arguments_are_one_sentence(capsys: Any, arguments: Any, named: str) -> None:
    code, out, err = call(capsys, *arguments)
    sentence = err.strip().splitlines()[-1]
    assert (code, out, sentence.startswith("maxtrader: ")) == (2, "", True)
    assert named in sentence


def test_a_key_is_taken_from_the_environment_only_and_shown_nowhere(
    capsys: Any, server: FakeMassive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY")
    code, _, err = call(capsys, "QQQ", *SPAN, *local(server))
    assert (code, "no key for Massive: set MASSIVE_API_KEY" in err) == (2, True)
    monkeypatch.setenv("MASSIVE_API_KEY", SECRET)
    code, out, err = call(capsys, "QQQ", *SPAN, *local(server), "--verbose")
    assert (code, "401 Unknown API Key" in err) == (2, True)
    assert SECRET not in out + err + "".join(server.urls)


def test_months_that_the_plan_lacks_are_a_failure_that_names_the_first(capsys: Any) -> None:
    plan = Plan(denied_tickers=frozenset({"QQQ"}))
    with fake(int(QUARTER["ts"][-1]), QUARTER, plan=plan).background() as server:
        code, out, err = call(capsys, "QQQ", *SPAN, *local(server))
    assert (code, out) == (2, "")
    assert "3 of 3 months are not there as asked for; 2025-01-02 to 2025-01-31: not entitled" in err


def test_a_month_that_the_gate_refuses_is_a_failure_and_the_others_stay(capsys: Any) -> None:
    cut = QUARTER[(QUARTER["day"] != 20110) | (QUARTER["minute"] < 14 * 60)]
    with fake(int(cut["ts"][-1]), cut).background() as server:
        code, _, err = call(capsys, "QQQ", *SPAN, *local(server))
        assert (code, "session 2025-01-22 is incomplete" in err) == (2, True)
        assert len(catalog.entries()) == 2
        assert call(capsys, "QQQ", *SPAN, *local(server), "--allow-incomplete")[0] == 0


def test_an_empty_answer_is_no_success(capsys: Any, server: FakeMassive) -> None:
    later = ("--from", "2025-04-01", "--to", "2025-04-30")
    code, _, err = call(capsys, "QQQ", *later, *local(server))
    assert (code, "empty (massive gave no bars for 21 sessions)" in err) == (2, True)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_it_keeps_whole_months_and_the_next_run_finishes(
    capsys: Any, server: FakeMassive, store: Path, ending: signal.Signals
) -> None:
    server.script.extend([None, "stall"])
    code = "from maxlib.app.cli import main; main()"
    told = ["data", "fetch", "QQQ", *SPAN, *local(server)]
    process = subprocess.Popen([sys.executable, "-c", code, *told], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while sum(server.calls.values()) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(ending)
    err = process.communicate(timeout=60)[1]
    assert len(list(store.glob("QQQ/*.parquet"))) == 1
    if ending == signal.SIGINT:
        assert process.returncode == 2
        assert err.endswith("maxtrader: fetch QQQ: interrupted; the same command goes on where it was\n")
    code_, out, _ = call(capsys, "QQQ", *SPAN, *local(server))
    assert (code_, "1 of 3 months were in the catalog already" in out) == (0, True)
    assert load(DataConfig(source="catalog")).bars.tobytes() == QUARTER.tobytes()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(
    capsys: Any, server: FakeMassive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAXTRADER_CATALOG", str(tmp_path / "file"))
    code, _, err = call(capsys, "QQQ", *SPAN, *local(server))
    assert (code, "no file can be written there" in err) == (2, True)
    assert not server.calls


def test_what_is_refused_draws_no_bar_and_a_local_url_names_the_option(
    capsys: Any, server: FakeMassive
) -> None:
    code, _, err = call(capsys, "QQQ", *SPAN, "--url", server.rest_url)
    assert code == 2
    [said] = err.splitlines()
    assert said.startswith(f"maxtrader: --url {server.rest_url}: is on this machine")
    assert "--simulated keeps them" in said
    code, _, err = call(capsys, "QQQ", "--from", "2099-01-01", "--to", "2099-02-01", *local(server))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "by month" not in err
