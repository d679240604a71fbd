"""Daily VIX closes: read from either layout, known from the next trading day on."""

from pathlib import Path

import numpy as np
import pytest

from maxlib.core.errors import ConfigError, DataError
from maxlib.data import DataConfig, load
from maxlib.data.vix import read_vix
from maxlib.market import calendar
from maxlib.options.volatility import vix_level
from maxlib.research import scenario
from maxlib.research.run import run_scenario


def write(folder: Path, text: str, name: str = "vix.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "DATE,OPEN,HIGH,LOW,CLOSE\n01/03/2025,17,18,16,16.13\n01/02/2025,17,20,17,17.93\n",
        "close,date\n17.93,2025-01-02\n16.13,2025-01-03\n16.13,2025-01-03\n",
    ],
)
def test_both_layouts_give_closes_by_day(text: str, tmp_path: Path) -> None:
    rows = read_vix(write(tmp_path, text))
    days = [calendar.from_ordinal(int(day)).isoformat() for day in rows["day"]]
    assert list(zip(days, rows["close"].tolist(), strict=True)) == [
        ("2025-01-02", 17.93),
        ("2025-01-03", 16.13),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("date,open\n2025-01-02,17\n", "vix.csv: needs the columns date and close (got date, open)"),
        ("", "vix.csv: needs the columns date and close (got none)"),
        ("date,close\n2025-13-02,17\n", "vix.csv: row 1: date '2025-13-02' should be like 2025-01-31"),
        ("date,close\n2025-01-02,-1\n", "vix.csv: row 1: close '-1' should be a VIX above 0"),
        ("date,close\n2025-01-02,nan\n", "vix.csv: row 1: close 'nan' should be a VIX above 0"),
        (
            "date,close\n2025-01-02,17\n2025-01-02,18\n",
            "vix.csv: row 2: 2025-01-02 has two closes, 17 and 18",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_vix(write(tmp_path, text))
    assert str(caught.value).startswith(sentence)


def test_the_real_file_has_the_closes_that_everybody_remembers(shared: Path) -> None:
    rows = read_vix(shared / "data/real/open/vix/vix_daily_1990_2026.parquet")
    by = {calendar.from_ordinal(int(day)).isoformat(): close for day, close in rows}
    known = {"2008-11-20": 80.86, "2018-02-05": 37.32, "2020-03-16": 82.69, "2024-08-05": 38.57}
    assert {day: by[day] for day in known} == known
    assert len(rows) == 9_235


def test_a_close_is_used_from_the_next_trading_day_on() -> None:
    """Thursday's close prices Friday from Thursday 18:00; Friday's prices Monday, over the weekend."""
    at = [
        (calendar.to_ns(day, minute), level)
        for day, minute, level in (
            (calendar.from_ordinal(20_090), 16 * 60 + 30, 0.17),  # Thursday 2 January, after the VIX close
            (calendar.from_ordinal(20_090), 18 * 60, 0.18),  # the evening belongs to Friday
            (calendar.from_ordinal(20_091), 10 * 60, 0.18),
            (calendar.from_ordinal(20_094), 10 * 60, 0.16),  # Monday 6 January
        )
    ]
    ones = np.ones(len(at))
    bars = calendar.stamp(np.array([ts for ts, _ in at]), ones, ones, ones, ones, ones)
    vix = np.array([(20_089, 17.0), (20_090, 18.0), (20_091, 16.0)], [("day", "i4"), ("close", "f8")])
    assert vix_level(bars, vix).tolist() == [level for _, level in at]


def test_a_bar_without_a_close_in_the_week_before_is_refused() -> None:
    bars = calendar.stamp(np.array([calendar.to_ns(calendar.from_ordinal(20_100), 600)]), *np.ones((5, 1)))
    vix = np.array([(20_089, 17.0)], [("day", "i4"), ("close", "f8")])
    with pytest.raises(DataError, match="no VIX close is known in the week before 2025-01-12"):
        vix_level(bars, vix)


def test_a_scenario_is_priced_from_vix_when_it_says_so() -> None:
    """The simulator brings its own VIX, from the first close on; the same trades cost something else."""
    first = run_scenario(scenario.load("demo_calm"), lab=False).tape.bars["day"][0]
    later = {"data.start": calendar.from_ordinal(int(first) + 7)}
    realised = run_scenario(scenario.load("demo_calm", later), lab=False)
    vix = run_scenario(scenario.load("demo_calm", {**later, "volatility": "vix"}), lab=False)
    assert vix.tape.vix is not None
    day = int(vix.tape.bars["day"][-1])
    before = vix.tape.vix[vix.tape.vix["day"] < day][-1]
    assert vix.run.sigma[-1] == before["close"] / 100
    assert vix.run.trades[0].known_at == realised.run.trades[0].known_at
    assert vix.run.trades[0].entry_price_cents != realised.run.trades[0].entry_price_cents


def test_asking_for_vix_without_one_is_refused_never_replaced(shared: Path) -> None:
    del shared
    with pytest.raises(DataError, match=r"volatility is vix, but .* comes without; give data.vix"):
        run_scenario(scenario.load("baseline_2025", {"volatility": "vix"}), lab=False)


def test_the_simulators_own_vix_cannot_be_replaced() -> None:
    with pytest.raises(ConfigError, match="the simulator has its own"):
        scenario.load("demo_calm", {"data.vix": "vix.csv"})


def test_a_tape_from_a_file_carries_the_vix_that_the_config_names(tmp_path: Path, shared: Path) -> None:
    vix = write(tmp_path, "date,close\n2025-08-15,15.09\n")
    bars = shared / "data/real/unclear/bars/qqq_1m_20250818_20251114.parquet"
    tape = load(DataConfig(source="file", path=str(bars), vix=str(vix)))
    assert tape.vix is not None
    assert tape.vix["close"].tolist() == [15.09]
