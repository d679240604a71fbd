"""From scenario to result: the figures add up, and what was claimed is judged."""

import json

import numpy as np
import pytest

from maxlib.analytics.metrics import measure
from maxlib.core.errors import DataError
from maxlib.data.tape import load as load_tape
from maxlib.journal.chain import verify
from maxlib.journal.store import read
from maxlib.research import scenario
from maxlib.research.run import result, run_scenario, trade_rows, write_journal, write_json, write_trades
from maxlib.research.scenario import Claims
from maxlib.research.verdict import judge

REAL = {"baseline_2025": (50, 65), "covid_2020": (39, 39), "lowvol_2024": (40, 47)}
"""Trades and signals of spec §12.1, steps 4 and 3."""


@pytest.fixture(scope="module")
def demo():
    return run_scenario(scenario.load("demo_normal"))


def test_result_has_what_the_command_line_promises(demo):
    values = json.loads(json.dumps(result(demo), allow_nan=False))
    assert {
        "scenario", "verdict", "figures", "claims", "data", "config_hash", "code_version", "seconds",
    } <= values.keys()  # fmt: skip
    assert {"trades", "wins", "win_rate", "pnl_usd", "max_drawdown_usd"} <= values["figures"].keys()
    assert {"source", "simulated", "bars", "duplicates", "sha256"} <= values["data"].keys()
    assert values["data"]["simulated"] is True


def test_money_adds_up_from_fills_to_figures(demo):
    cash = demo.scenario.risk.account_usd * 100
    for entry in demo.run.journal.entries:
        if entry.kind == "fill":
            fill = json.loads(entry.body)
            gross = fill["price_cents"] * fill["quantity"] * 100
            cash += (gross if fill["side"] == "sell" else -gross) - fill["fee_cents"]
    assert cash == demo.run.cash_cents
    assert round(demo.metrics.pnl_usd * 100) == cash - demo.scenario.risk.account_usd * 100


def test_every_signal_is_either_denied_or_becomes_an_order(demo):
    kinds = [e.kind for e in demo.run.journal.entries]
    opened = sum('"purpose":"open"' in e.body for e in demo.run.journal.entries if e.kind == "order")
    assert kinds.count("signal") == demo.run.signals == kinds.count("denied") + opened
    assert kinds.count("denied") == sum(demo.run.denials.values())


def test_the_same_scenario_twice_gives_the_same_journal(demo):
    again = run_scenario(scenario.load("demo_normal"))
    assert again.run.journal.head == demo.run.journal.head != "0" * 64
    volatile = {"seconds": 0, "trial": None}  # the ledger has one entry more
    assert {**result(again), **volatile} == {**result(demo), **volatile}
    numbers = [result(done)["trial"]["number"] for done in (demo, again)]
    assert numbers[0] < numbers[1]
    assert result(again)["trial"]["n"] == result(demo)["trial"]["n"], "the same run again is no new trial"


def test_another_seed_gives_another_journal(demo):
    other = run_scenario(scenario.load("demo_normal", {"data.simulator.seed": 8}))
    assert other.run.journal.head != demo.run.journal.head


@pytest.mark.parametrize("name", REAL)
def test_wave_counts_are_near_the_specs_waterfall(name, shared):
    done = run_scenario(scenario.load(name))
    trades, signals = REAL[name]
    assert done.run.signals == pytest.approx(signals, rel=0.08)
    assert len(done.run.trades) == pytest.approx(trades, rel=0.08)


def test_champion_is_near_step_8_of_the_waterfall(shared):
    # 458 trades, 45.4 % wins, -74.2 % of 25,000, -5.8 % of the premium per trade
    m = run_scenario(scenario.load("champion_2024")).metrics
    assert m.trades == pytest.approx(458, rel=0.03)
    assert m.win_rate == pytest.approx(0.454, abs=0.02)
    assert m.return_share == pytest.approx(-0.742, abs=0.03)
    assert m.premium_return == pytest.approx(-0.058, abs=0.005)


def test_champion_with_carried_structure_is_near_its_reference(shared):
    # 265 trades, -8.5 % of the premium per trade
    m = run_scenario(scenario.load("champion_2024_carried")).metrics
    assert m.trades == pytest.approx(265, rel=0.03)
    assert m.premium_return == pytest.approx(-0.085, abs=0.005)


def test_duplicates_reach_the_result(shared):
    assert result(run_scenario(scenario.load("covid_2020")))["data"]["duplicates"] == 26_389
    assert result(run_scenario(scenario.load("lowvol_2024")))["data"]["duplicates"] == 25_013


def test_other_bars_can_be_put_under_a_scenario(tmp_path):
    tape = load_tape(scenario.load("demo_calm").data)
    lines = ["ts,open,high,low,close,volume"]
    for bar in tape.bars[tape.bars["day"] < tape.bars["day"][0] + 12]:
        stamp = np.datetime64(int(bar["ts"]) - 60_000_000_000, "ns")
        lines.append(f"{stamp}Z,{bar['open']},{bar['high']},{bar['low']},{bar['close']},{bar['volume']}")
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(lines) + "\n")
    done = run_scenario(scenario.load("demo_calm", {"data.path": str(file)}))
    assert (done.tape.simulated, done.tape.source, len(done.tape.bars)) == (False, "file", len(lines) - 1)


def test_claims_inside_and_outside_the_tolerance():
    metrics = measure([1_000, 1_000, -500, 1_000], [0] * 4, [1_000] * 4, 100_000)  # 75 %, 25 $, drawdown 5 $
    verdict, rows = judge(Claims(source="x", trades=4, win_rate=0.8, pnl_usd=27.0), metrics)
    assert (verdict, [r.inside for r in rows]) == ("holds", [True, True, True])
    verdict, rows = judge(Claims(source="x", win_rate=0.95, pnl_usd=27.8), metrics)
    assert (verdict, [r.inside for r in rows]) == ("does_not_hold", [False, False])
    assert judge(Claims(source="x"), metrics) == ("no_claim", [])
    assert judge(None, metrics) == ("no_claim", [])


def test_a_negative_claim_has_its_bounds_the_right_way_round():
    metrics = measure([-1_000], [0], [1_000], 100_000)
    _, (row,) = judge(Claims(source="x", pnl_usd=-10.5), metrics)
    assert (row.low, row.high, row.inside) == (pytest.approx(-11.55), pytest.approx(-9.45), True)


def test_no_trades_never_meet_a_claimed_win_rate():
    verdict, _ = judge(Claims(source="x", win_rate=0.0), measure([], [], [], 100))
    assert verdict == "does_not_hold"


@pytest.mark.parametrize(
    ("name", "changed", "days"),
    [
        ("lowvol_2024", {}, "2024-12-02 to 2025-02-28"),
        ("champion_2024", {"data.end": "2024-03-22"}, "2024-01-02 to 2024-03-22"),
        ("lowvol_2024", {"desk.model": "spec"}, None),
        ("baseline_2025", {}, None),
    ],
)
def test_in_sample_prices_say_so(name, changed, days, shared):
    """The modelled chain's course of the day was fitted on QQQ, January 2024 to February 2025."""
    done = run_scenario(scenario.load(name, {"desk.model": "fitted", **changed}), lab=False)
    notes = [note for note in result(done)["notes"] if "in-sample" in note]
    if days is None:
        assert notes == []
    else:
        assert len(notes) == 1
        assert notes[0].startswith(f"Prices are in-sample from {days}: ")
        assert notes[0].endswith("fitted on QQQ from 2024-01-02 to 2025-02-28.")


def test_simulated_bars_of_those_dates_are_not_in_sample(demo):
    assert demo.tape.simulated
    assert demo.scenario.desk.model == "fitted"
    assert not [note for note in result(demo)["notes"] if "in-sample" in note]


def test_files_of_a_run_read_back(demo, tmp_path):
    write_json(tmp_path / "r.json", result(demo))
    assert json.loads((tmp_path / "r.json").read_text())["scenario"] == "demo_normal"
    write_trades(tmp_path / "t.csv", demo)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == len(demo.run.trades) + 1
    write_journal(tmp_path / "j.db", demo)
    assert verify(read(tmp_path / "j.db")) == demo.run.journal.head
    with pytest.raises(DataError, match=r"exists already"):
        write_journal(tmp_path / "j.db", demo)


def test_trade_times_are_in_order(demo):
    for t in demo.run.trades:
        assert t.formed_at <= t.known_at <= t.entry_at < t.exit_at
    for row in trade_rows(demo.run.trades):
        assert row["entry_at"][:10] == row["exit_at"][:10]
        assert "09:30" <= row["entry_at"][11:16] <= "15:54"
        assert row["exit_at"][11:16] <= ("16:01" if row["reason"] == "expiry" else "15:56")
