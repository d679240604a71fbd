"""Readers of option chains: every real file loads, and says what the file says and no more."""

import csv
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlib.core.errors import DataError
from maxlib.data.chain_expiry import expires_at
from maxlib.data.chains import load_chain, with_spot
from maxlib.market.calendar import new_york, ordinal, to_ns
from maxlib.market.quotes import QUOTE, Chain

NAN = float("nan")


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * 10**9


def write(folder: Path, columns: dict[str, Any], name: str = "made.parquet") -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def lean(**changed: Any) -> dict[str, Any]:
    stamps = [dt.datetime(2021, 1, 4, 14, 30 + i, tzinfo=dt.UTC) for i in (1, 0)]
    return {
        "ts": pa.array(stamps, pa.timestamp("us", tz="UTC")),
        "root": ["SPXW", "SPXW"],
        "expiry": ["2021-01-04", "2021-01-06"],
        "right": ["C", "P"],
        "strike": [3700.0, 3800.0],
        "bid_open": [9.0, 9.0],
        "bid_close": [65.1, None],
        "bid_size": [48, 1],
        "ask_open": [9.0, 9.0],
        "ask_close": [69.2, 0.35],
        "ask_size": [15, 7],
        **changed,
    }


def yahoo(**changed: Any) -> dict[str, Any]:
    traded = [dt.datetime(2026, 2, 11, 16, 31, 1, tzinfo=dt.UTC), None]
    return {
        "date": ["2026-02-11"] * 2,
        "root": ["QQQ"] * 2,
        "underlying_last": [610.61] * 2,
        "expiry": ["2026-02-11"] * 2,
        "right": ["C", "P"],
        "strike": [610.0, 610.0],
        "bid": [0.0, 1.5],
        "ask": [0.01, 1.4],
        "last": [0.0, 1.45],
        "last_trade_ts": pa.array(traded, pa.timestamp("us", tz="UTC")),
        "volume": pa.array([None, 0.0], pa.float64()),
        "open_interest": pa.array([None, 12.0], pa.float64()),
        "iv": [0.0, 0.2],
        **changed,
    }


def barchart(series: str = "MQ4M5", captured: str = "2025-06-27 14:06:05", **changed: Any) -> dict[str, Any]:
    traded = [dt.datetime(2025, 6, 27, 18, 55, 29, tzinfo=dt.UTC), dt.datetime(2025, 6, 26, tzinfo=dt.UTC)]
    return {
        "captured_local": [captured] * 2,
        "option_symbol": [f"{series}|22500C", f"{series}|22500P"],
        "right": ["C", "P"],
        "strike": [22_500, 22_500],
        "bid": [120.0, 0.0],
        "ask": [125.0, 14.0],
        "last": [121.0, 0.0],
        "volume": pa.array([3.0, None], pa.float64()),
        "open_interest": pa.array([None, 5.0], pa.float64()),
        "last_trade_ts": pa.array(traded, pa.timestamp("us", tz="UTC")),
        **changed,
    }


def listed(rows: Any, *names: str) -> list[Any]:
    """Fields as lists, NaN as None so that they compare."""
    return [[None if x != x else x for x in rows[name].tolist()] for name in names]


# --- what becomes of the numbers


def test_lean_minutes_are_known_at_their_end_and_put_in_order(tmp_path: Path) -> None:
    chain = load_chain(write(tmp_path, lean()))
    rows = chain.rows
    assert rows.dtype == QUOTE
    assert (chain.root, chain.origin, chain.name) == ("SPX", "file", "made.parquet")
    assert rows["ts"].tolist() == [utc("2021-01-04 14:31"), utc("2021-01-04 14:32")]
    assert listed(rows, "strike", "right", "bid", "ask") == [
        [3800, 3700],
        [-1, 1],
        [None, 65.1],
        [0.35, 69.2],
    ]
    assert listed(rows, "bid_size", "ask_size") == [[1, 48], [7, 15]]
    assert rows["expires_at"].tolist() == [utc("2021-01-06 21:00"), utc("2021-01-04 21:00")]
    # Not in the file: NaN and 0, not a guess.
    assert listed(rows, "spot", "last", "iv", "volume")[0] == [None, None]
    assert rows["spot_at"].tolist() == rows["quoted_at"].tolist() == [0, 0]
    assert chain.notes[0] == "read as LEAN minute quotes"
    assert "the rows were put in order of time" in chain.notes


def test_a_zero_side_is_none_and_nothing_else_changes(tmp_path: Path) -> None:
    rows = load_chain(write(tmp_path, yahoo())).rows
    names = ("bid", "ask", "last", "volume", "open_interest", "iv", "spot")
    assert listed(rows, *names) == [
        [None, 1.5],
        [0.01, 1.4],  # crossed with its bid: left as it is
        [None, 1.45],
        [None, 0.0],  # no volume is not a volume of 0
        [None, 12.0],
        [0.0, 0.2],  # an IV of 0 is for the gate to judge
        [610.61, 610.61],
    ]
    assert rows["ts"].tolist() == [utc("2026-02-11 16:31:01")] * 2
    told = load_chain(write(tmp_path, yahoo()), known_at=utc("2026-02-11 16:47"))
    assert told.rows["ts"].tolist() == [utc("2026-02-11 16:47")] * 2
    assert "time as told by the caller" in told.notes


def test_a_fourth_friday_is_read_from_the_symbol_and_chicago_from_the_clock(tmp_path: Path) -> None:
    chain = load_chain(write(tmp_path, barchart()))
    assert chain.root == "NQ"
    assert chain.rows["ts"].tolist() == [utc("2025-06-27 19:06:05")] * 2
    assert chain.rows["expires_at"].tolist() == [utc("2025-06-27 20:00")] * 2
    assert listed(chain.rows, "bid", "volume", "open_interest") == [[120, None], [3, None], [None, 5]]


def test_an_undocumented_expiry_is_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, barchart("MC6M5"))
    chain = load_chain(path)
    assert chain.rows["expiry"].tolist() == chain.rows["expires_at"].tolist() == [0, 0]
    assert "MC6M5 names no expiry that is documented" in chain.notes
    told = load_chain(path, expiry=dt.date(2025, 6, 30)).rows
    assert told["expiry"].tolist() == [ordinal(dt.date(2025, 6, 30))] * 2
    assert told["expires_at"].tolist() == [utc("2025-06-30 20:00")] * 2


@pytest.mark.parametrize(
    ("root", "date", "moment"),
    [
        ("GOOG", "2015-12-24", "13:00"),  # half day
        ("SPXW", "2021-01-04", "16:00"),
        ("SPX", "2021-01-15", "09:30"),  # third Friday, opening prices
        ("NDXP", "2022-02-07", "16:00"),
        ("NDX", "2024-12-20", "09:30"),
        ("ES", "2020-03-20", "09:30"),  # quarterly
        ("ES", "2020-03-13", "16:00"),
        ("NQ", "2025-06-27", "16:00"),
        ("QQQ", "2031-06-20", "16:00"),  # beyond the calendar
    ],
)
def test_expiry_moments(root: str, date: str, moment: str) -> None:
    when = new_york(expires_at(root, dt.date.fromisoformat(date)))
    assert f"{when:%Y-%m-%d %H:%M}" == f"{date} {moment}"


def test_daily_chains_count_as_known_in_the_next_session(tmp_path: Path) -> None:
    columns = {
        "date": ["2015-12-24"] * 2,
        "root": ["GOOG"] * 2,
        "expiry": [None, "2015-12-31"],
        "strike": pa.array([None, 735.0], pa.float64()),
        "right": [None, "P"],
        "close": [748.4, 0.75],
        "volume": [106_129, 0],
        "open_interest": pa.array([None, 16.0], pa.float64()),
        "implied_volatility": pa.array([None, 0.25], pa.float64()),
        "delta": pa.array([None, -0.1], pa.float64()),
        "is_underlying": [True, False],
    }
    (row,) = load_chain(write(tmp_path, columns)).rows
    # Thursday's half day; Friday is Christmas; so Monday, 09:31 in New York.
    assert (row["ts"], row["quoted_at"]) == (utc("2015-12-28 14:31"), utc("2015-12-24 18:00"))
    assert (row["spot"], row["last"], row["iv"], row["delta"]) == (748.4, 0.75, 0.25, -0.1)
    assert np.isnan(row["bid"])
    assert np.isnan(row["ask"])


def test_the_spot_is_the_last_one_known_and_never_a_later_one(tmp_path: Path) -> None:
    chain = load_chain(write(tmp_path, lean()))
    first = utc("2021-01-04 14:32")
    seen = with_spot(chain, np.array([first, first + 1]), np.array([3700.0, 9999.0]))
    assert listed(seen.rows, "spot") == [[None, 3700.0]]
    assert seen.rows["spot_at"].tolist() == [0, first]
    assert np.isnan(chain.rows["spot"]).all()  # the chain given is left alone


# --- refusals


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (lean(right=["C", "X"]), "made.parquet: column 'right' holds 'X'; C and P are known"),
        (lean(strike=[3700.0, 0.0]), "row 2 has the strike 0; a strike is above 0"),
        (lean(strike=[3700.0, None]), "row 2 has the strike nan; a strike is above 0"),
        (lean(root=["SPXW", "NDXP"]), "holds options of 2 underlyings (NDX, SPX); one is read"),
        (lean(expiry=["2021-01-04", "soon"]), "column 'expiry' holds a text that is no date"),
        (lean(expiry=["2021-01-04", None]), "column 'expiry' has 1 rows without a value"),
        (barchart(captured="2025-06-27 02:00:00"), "captured 2025-06-27 02:00:00 but holds later trades"),
        ({"ts": [1], "close": [2.0]}, "no option chain in a known layout (1 rows; columns close, ts); known"),
        ({k: v[:0] for k, v in lean().items()}, "no option chain in a known layout (0 rows"),
    ],
)
def test_tables_that_cannot_be_a_chain_are_refused(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        load_chain(write(tmp_path, columns))
    assert sentence in str(caught.value)


CBOE = """
SPDR S&P 500 ETF Trust,Last: 589.25,Change:  3.74
"Date: May 16, 2025 at 7:23 PM EDT",Bid: 589.26,Ask: 589.35,Size: 2*4,"Volume: 75,744,434"
Expiration Date,Calls,Last Sale,Net,Bid,Ask,Volume,IV,Delta,Gamma,Open Interest,Strike,Puts,Last Sale,Net,\
Bid,Ask,Volume,IV,Delta,Gamma,Open Interest
Fri May 16 2025,SPY250516C00285000,305.38,1.085,307.99,310.06,2,0,1,0,124,285.00,\
SPY250516P00285500,0.01,0,0,0.01,0,0,0,0,4305
"""


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty (0 bytes); an option chain was expected"),
        (b"\x1f\x8bnot really", "the gzip data is damaged or cut short"),
        (b"PAR1 and nothing", "not a readable Parquet file"),
        (b"\xff\xfe\x00", "is neither Parquet nor text (UTF-8), so it is no option chain"),
        (b"a,b\n1,2\n", "is no option chain that is known here"),
        (b'{"data": {"Call": []', "the chain is damaged or cut short"),
        (b'{"total": 3, "data": {"Call": [], "Put": []}}', "it announces 3 rows and holds 0"),
        (CBOE.replace("SPY250516P", "SPY25P").encode(), "'SPY25P00285500' is no option's name"),
        (CBOE.replace("Last:", "").encode(), "nothing like"),
        (CBOE.rsplit(",", 12)[0].encode(), "the chain is damaged or cut short (list index out of range)"),
    ],
)
def test_files_that_hold_no_chain_are_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "chain.bin"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        load_chain(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("chain.bin: ")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.parquet: there is no such file"):
        load_chain("nowhere.parquet")


def test_cboe_csv_has_calls_left_and_puts_right(tmp_path: Path) -> None:
    path = tmp_path / "spy_quotedata.csv"
    path.write_text(CBOE)
    chain = load_chain(path)
    assert chain.root == "SPY"
    assert chain.rows["ts"].tolist() == chain.rows["spot_at"].tolist() == [utc("2025-05-16 23:23")] * 2
    assert listed(chain.rows, "spot", "strike", "right") == [[589.25] * 2, [285.0, 285.5], [1, -1]]
    assert listed(chain.rows, "bid", "ask", "open_interest") == [[307.99, None], [310.06, 0.01], [124, 4305]]


# --- the real files


def real(shared: Path, name: str) -> Path:
    path = shared / "data/real" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the shared folder")
    return path


def test_every_chain_of_the_slice_loads(shared: Path) -> None:
    folder = real(shared, "MANIFEST.csv").parent
    entries = {e["file"]: e for e in csv.DictReader((folder / "MANIFEST.csv").read_text().splitlines())}
    paths = [
        path
        for pattern in ("*/options/*.parquet", "*/options/raw/*", "*/fixtures/barchart/*", "barchart/*.gz")
        for path in sorted(folder.glob(pattern))
    ]
    assert len(paths) >= 9
    for path in paths:
        chain = load_chain(path)
        assert (np.diff(chain.rows["ts"]) >= 0).all()
        assert chain.rows["ts"][0] > 0
        assert len(chain.notes) >= 2
        stated = entries.get(str(path.relative_to(folder)), {}).get("rows")
        if stated:
            underlyings = {"goog_eod": 2, "spy_eod_": 4}.get(path.name[:8], 0)
            assert len(chain.rows) == int(float(stated)) - underlyings, path.name


@pytest.mark.parametrize(
    ("name", "bid", "ask"),
    [
        ("open/options/goog_1m_quote_20151224", "bid_close", "ask_close"),
        ("open/options/spy_chain_cboe_20250516", "bid", "ask"),
        ("unclear/options/qqq_chain_yahoo_20260211", "bid", "ask"),
        ("unclear/options/nq_options_barchart_MQ4M25_20250627_1406", "bid", "ask"),
    ],
)
def test_prices_are_those_of_the_file(shared: Path, name: str, bid: str, ask: str) -> None:
    path = real(shared, f"{name}.parquet")
    table, rows = pq.read_table(path), load_chain(path).rows
    for column, ours in ((bid, "bid"), (ask, "ask"), ("strike", "strike")):
        given = np.array([x or NAN for x in table[column].to_pylist()], np.float64)
        np.testing.assert_array_equal(rows[ours], given)
    sign = {"C": 1, "P": -1}
    assert rows["right"].tolist() == [sign[r] for r in table["right"].to_pylist()]


def test_null_is_not_zero_in_the_barchart_and_yahoo_files(shared: Path) -> None:
    def missing(name: str) -> tuple[int, int]:
        rows = load_chain(real(shared, f"unclear/options/{name}.parquet")).rows
        return int(np.isnan(rows["volume"]).sum()), int(np.isnan(rows["open_interest"]).sum())

    assert missing("nq_options_barchart_MC6M25_20250602_noquotes") == (277, 215)
    assert missing("nq_options_barchart_MQ4M25_20250627_1406") == (383, 232)
    assert missing("nq_options_barchart_MQ4M25_20250627_overnight") == (424, 232)
    assert missing("qqq_chain_yahoo_20260211") == (339, 1)
    assert missing("qqq_chain_yahoo_20260212") == (414, 0)


@pytest.mark.parametrize(
    ("tidy", "raw"),
    [
        ("open/options/spy_chain_cboe_20250516.parquet", "open/options/raw/spy_quotedata_20250516.csv.gz"),
        (
            "unclear/options/nq_options_barchart_MQ4M25_20250627_1406.parquet",
            "barchart/MQ4M25_20250627_140605.json.gz",
        ),
        (
            "unclear/options/nq_options_barchart_MC6M25_20250602_noquotes.parquet",
            "barchart/MC6M25_20250602_141553.json.gz",
        ),
    ],
)
def test_the_raw_file_reads_as_its_tidied_table(shared: Path, tidy: str, raw: str) -> None:
    def in_order(chain: Chain) -> Any:
        return chain.rows[np.lexsort((chain.rows["right"], chain.rows["strike"], chain.rows["expires_at"]))]

    one, other = in_order(load_chain(real(shared, tidy))), in_order(load_chain(real(shared, raw)))
    assert len(one) == len(other)
    for name in QUOTE.names or ():
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("file", "taken"),
    [  # the UTC times that the README of the Barchart files infers
        ("MC6M25_20250602_141553", "2025-06-02 21:15:53"),
        ("MC7M25_20250608_223218", "2025-06-09 05:32:18"),
        ("MC2M25_20250610_075810", "2025-06-10 14:58:10"),
        ("MC4M25_20250612_072059", "2025-06-12 14:20:59"),
        ("MC4M25_20250612_233909", "2025-06-13 06:39:09"),
        ("MQ4M25_20250627_140605", "2025-06-27 19:06:05"),
    ],
)
def test_collectors_clocks_are_put_right(shared: Path, file: str, taken: str) -> None:
    assert load_chain(real(shared, f"barchart/{file}.json.gz")).rows["ts"][0] == utc(taken)


def test_display_and_raw_numbers_of_barchart_agree_on_what_is_missing(shared: Path) -> None:
    path = real(shared, "barchart/MC4M25_20250612_072059.json.gz")
    shown = json.loads(gzip.decompress(path.read_bytes()))["data"]
    missing = sum(row["bidPrice"] == "N/A" for side in shown.values() for row in side)
    assert np.isnan(load_chain(path).rows["bid"]).sum() == missing == 35


def test_googles_daily_underlying_is_of_the_next_morning(shared: Path) -> None:
    # Why a daily chain counts as known only then: the row of the 23rd is the first minute of the 24th.
    bars = pq.read_table(real(shared, "open/bars/goog_1m_trade_20151224.parquet")).to_pylist()
    first = next(bar for bar in bars if bar["ts"] == dt.datetime(2015, 12, 24, 14, 30, tzinfo=dt.UTC))
    path = real(shared, "open/options/goog_eod_chain_20151223_20151224.parquet")
    rows = load_chain(path).rows
    assert rows["spot"][0] == first["close"]
    assert rows["ts"][0] == to_ns(dt.date(2015, 12, 24), 571)
