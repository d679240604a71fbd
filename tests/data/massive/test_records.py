"""The vendor's JSON into our records: units, missing parts, contradictions; and its own examples."""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.data.massive import records
from maxlib.data.massive.records import MS, NS, IndexRefused, IndexValue, Timeframe
from maxlib.market.contract import Contract

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NOW = 1_763_649_002_000_000_000
ROW: dict[str, Any] = {  # the example of the reference page, with numbers of its own
    "details": {
        "ticker": "O:QQQ251120C00600000",
        "contract_type": "call",
        "exercise_style": "american",
        "expiration_date": "2025-11-20",
        "strike_price": 600,
        "shares_per_contract": 100,
    },
    "day": {"volume": 9100},
    "last_quote": {
        "bid": 2.39,
        "bid_size": 40,
        "ask": 2.41,
        "ask_size": 33,
        "last_updated": 1763649001000000000,
        "timeframe": "REAL-TIME",
    },
    "last_trade": {"price": 2.4, "size": 2, "sip_timestamp": 1763649000500000000, "timeframe": "REAL-TIME"},
    "greeks": {"delta": 0.51, "gamma": 0.06, "theta": -1.9, "vega": 0.05},
    "implied_volatility": 0.19,
    "open_interest": 5120,
    "underlying_asset": {
        "ticker": "QQQ",
        "price": 600.12,
        "last_updated": 1763649000900000000,
        "timeframe": "REAL-TIME",
    },
}


def with_change(path: str, value: Any = None) -> dict[str, Any]:
    """ROW with one thing replaced, or taken out."""
    row = json.loads(json.dumps(ROW))
    *above, last = path.split(".")
    place = row
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return row


def chain_of(*rows: Any) -> records.ChainSnapshot:
    return records.chain_of(rows, "QQQ", NOW, origin="vendor", name="massive")


def fixture(shared: Path, name: str) -> Any:
    folder = shared / "data/real/open/fixtures/polygon"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} fixtures in the shared data")
    return json.loads((folder / f"{name}.json").read_text())


def test_row_of_the_chain_becomes_a_quote() -> None:
    found = chain_of(ROW)
    row = found.chain.rows[0]
    assert found.contracts == (Contract("QQQ", 20412, "C", 60000),)
    assert (row["ts"], row["quoted_at"], row["spot_at"]) == (NOW, 1763649001000000000, 1763649000900000000)
    assert (row["bid"], row["ask"], row["bid_size"], row["ask_size"]) == (2.39, 2.41, 40, 33)
    assert (row["spot"], row["strike"], row["last"], row["volume"]) == (600.12, 600.0, 2.4, 9100)
    assert (row["iv"], row["delta"], row["theta"], row["open_interest"]) == (0.19, 0.51, -1.9, 5120)
    assert (row["expiry"], row["right"]) == (20412, 1)
    assert row["expires_at"] == 1_763_672_400_000_000_000  # 2025-11-20 16:00 New York
    assert not found.delayed


@pytest.mark.parametrize(
    ("path", "nan"),
    [
        ("last_quote", ("bid", "ask", "bid_size", "ask_size", "spot")),
        ("last_quote.bid", ("bid",)),
        ("last_trade", ("last",)),
        ("greeks", ("delta", "gamma", "theta", "vega")),
        ("greeks.vega", ("vega",)),
        ("implied_volatility", ("iv",)),
        ("open_interest", ("open_interest",)),
        ("underlying_asset", ("spot",)),
        ("day", ("volume",)),
    ],
)
def test_missing_objects_and_fields_are_nan_and_nothing_else_changes(path: str, nan: tuple[str, ...]) -> None:
    whole, less = chain_of(ROW).chain.rows[0], chain_of(with_change(path)).chain.rows[0]
    for name in ("bid", "ask", "bid_size", "last", "spot", "volume", "iv", "delta", "vega", "open_interest"):
        assert math.isnan(less[name]) if name in nan else less[name] == whole[name], name


def test_zero_bid_is_no_bid_and_text_is_no_number() -> None:
    rows = chain_of(with_change("last_quote.bid", 0)).chain.rows
    assert math.isnan(rows[0]["bid"])
    assert rows[0]["ask"] == 2.41
    assert math.isnan(chain_of(with_change("last_quote.ask", "2.41")).chain.rows[0]["ask"])
    assert math.isnan(chain_of(with_change("last_quote.ask", True)).chain.rows[0]["ask"])


@pytest.mark.parametrize(
    ("quote", "underlying", "spot"),
    [
        ("REAL-TIME", "REAL-TIME", True),
        ("DELAYED", "DELAYED", True),
        ("REAL-TIME", "DELAYED", False),
        ("DELAYED", "REAL-TIME", False),
        ("UNHEARD-OF", "UNHEARD-OF", False),
    ],
)
def test_timeframes_are_kept_per_object_and_never_mixed(quote: str, underlying: str, spot: bool) -> None:
    row = with_change("last_quote.timeframe", quote)
    row["underlying_asset"]["timeframe"] = underlying
    found = chain_of(row)
    assert math.isfinite(found.chain.rows[0]["spot"]) == spot
    assert bool(found.chain.rows[0]["spot_at"]) == spot
    assert found.delayed == (quote != "REAL-TIME")
    assert len(found.real_time().rows) == (quote == "REAL-TIME")


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("details.ticker", "O:QQQ1251120C00600000", "no standard option ticker"),
        ("details.ticker", "QQQ", "no standard option ticker"),
        ("details.ticker", 7, "no standard option ticker"),
        ("details.ticker", "O:QQQ251320C00600000", "no standard option ticker"),
        ("details.shares_per_contract", 10, "adjusted contract"),
        ("details.strike_price", 601, "ticker and details differ"),
        ("details.contract_type", "put", "ticker and details differ"),
        ("details.expiration_date", "2025-11-21", "ticker and details differ"),
    ],
)
def test_contracts_that_are_not_standard_or_contradict_themselves_are_left_out_and_counted(
    path: str, value: Any, why: str
) -> None:
    found = chain_of(ROW, with_change(path, value))
    assert (len(found.contracts), dict(found.left_out)) == (1, {why: 1})
    assert f"1 objects left out: {why}" in found.chain.notes


def test_row_29_contract_that_comes_twice_counts_once() -> None:
    found = chain_of(ROW, with_change("last_quote.bid", 9.0))
    assert (len(found.contracts), found.left_out["repeated contract"]) == (1, 1)
    assert found.chain.rows[0]["bid"] == 2.39


@given(st.lists(JSON, max_size=6), st.dictionaries(st.sampled_from(sorted(ROW)), JSON))
def test_rows_37_38_chain_objects_of_any_shape_raise_nothing(
    rows: list[Any], changes: dict[str, Any]
) -> None:
    found = chain_of(*rows, {**ROW, **changes})
    assert len(found.contracts) + found.left_out.total() == len(rows) + 1


@given(JSON)
def test_rows_37_38_bodies_of_any_shape_raise_nothing(body: Any) -> None:
    records.status_of(body)
    records.holidays_of([body])
    records.last_trade_of(body)
    records.last_quote_of(body)
    records.listed_of([body])
    records.indices_of([body], ["I:VIX"])
    records.minute_bars([body], "x")


def test_bars_are_stamped_at_the_start_in_ms() -> None:
    row = {"t": 1763649000000, "o": 600.1, "h": 600.4, "l": 599.9, "c": 600.2, "v": 81234.5, "vw": 600.17}
    raw, unusable = records.minute_bars([row], "x")
    assert (raw.start.tolist(), unusable) == ([1763649000000000000], 0)
    assert [float(getattr(raw, n)[0]) for n in ("open", "high", "low", "close", "volume")] == [
        600.1, 600.4, 599.9, 600.2, 81234.5
    ]  # fmt: skip


def test_row_37_bars_with_retyped_removed_or_mis_stamped_fields_are_counted_or_nan() -> None:
    good = {"t": 1763649000000, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    rows = [good, {**good, "h": "1"}, {k: v for k, v in good.items() if k != "c"}, {**good, "t": 1763649000}]
    raw, unusable = records.minute_bars([*rows, {**good, "t": None}, "row", {**good, "new": []}], "x")
    assert (len(raw), unusable, raw.row.tolist()) == (4, 3, [1, 2, 3, 7])
    assert np.isnan(raw.high).tolist() == [False, True, False, False]
    assert np.isnan(raw.close).tolist() == [False, False, True, False]


def test_index_bars_have_no_volume_which_is_zero_not_unknown() -> None:
    raw, _ = records.minute_bars([{"t": 1763649000000, "o": 1, "h": 1, "l": 1, "c": 1}], "I:VIX")
    assert raw.volume.tolist() == [0.0]


@pytest.mark.parametrize(
    ("value", "unit", "ns"),
    [
        (1763649000000, MS, 1763649000000000000),
        (1763649000000.0, MS, 1763649000000000000),
        (1763649001000000001, NS, 1763649001000000001),
        (1763649000000, NS, 0),  # ms where ns are due
        (1763649001000000000, MS, 0),  # ns where ms are due
        (1763649000000.5, MS, 0),
        ("1763649000000", MS, 0),
        (True, MS, 0),
        (None, MS, 0),
        (float("inf"), MS, 0),
        (-5, MS, 0),
    ],
)
def test_stamps_in_the_wrong_unit_or_type_are_none(value: Any, unit: int, ns: int) -> None:
    assert records.moment(value, unit) == ns


def test_rfc3339_needs_an_offset() -> None:
    assert records.rfc3339("2022-04-28T16:48:08-04:00") == 1_651_178_888_000_000_000
    assert records.rfc3339("2022-11-25T18:00:00.250Z") == 1_669_399_200_250_000_000
    assert [records.rfc3339(bad) for bad in ("2022-04-28T16:48:08", "soon", None, 5)] == [0] * 4


def test_option_tickers_are_read_from_the_right() -> None:
    assert records.contract_of("O:F251219P00012500") == Contract("F", 20441, "P", 1250)
    assert records.contract_of("O:SPXW251120C05850000") == Contract("SPXW", 20412, "C", 585000)
    assert records.ticker_of(Contract("QQQ", 20412, "C", 60000)) == "O:QQQ251120C00600000"
    assert records.contract_of("O:QQQ251120C00600005") is None  # half a cent is no strike of ours
    assert records.contract_of("O:QQQ251120X00600000") is None


def test_index_without_a_usable_value_or_answer_is_a_refusal() -> None:
    rows = [{"ticker": "I:A", "value": 0}, {"ticker": "I:B", "value": "18"}, {"ticker": "I:C", "value": 18.2}]
    found = records.indices_of(rows, ["I:A", "I:B", "I:C", "I:D"])
    codes = {name: each.code for name, each in found.items() if isinstance(each, IndexRefused)}
    assert codes == {"I:A": "NO_VALUE", "I:B": "NO_VALUE", "I:D": "NO_ANSWER"}
    value = found["I:C"]
    assert isinstance(value, IndexValue)
    assert (value.value, value.at, value.timeframe) == (18.2, 0, Timeframe.NONE)


# --- the vendor's own examples --------------------------------------------------------------------


def test_vendor_example_of_a_chain(shared: Path) -> None:
    found = chain_of(*fixture(shared, "v3__snapshot__options__AAPL")["results"])
    body = fixture(shared, "v3__snapshot__options__AAPL")["results"][0]
    row = found.chain.rows[0]
    assert found.contracts[0].name == body["details"]["ticker"].removeprefix("O:")
    assert (row["bid"], row["ask"]) == (body["last_quote"]["bid"], body["last_quote"]["ask"])
    assert row["quoted_at"] == body["last_quote"]["last_updated"]
    assert row["spot"] == body["underlying_asset"]["price"]
    assert not found.delayed


def test_vendor_example_of_index_rows_with_errors(shared: Path) -> None:
    body = fixture(shared, "v3__snapshot__indices_ticker.any_of=SPX_2CAPx_2CAPy")
    found = records.indices_of(body["results"], ["SPX", "APx", "APy"])
    assert isinstance(found["SPX"], IndexValue)
    assert found["SPX"].value == body["results"][0]["value"]
    codes = [each.code for each in (found["APx"], found["APy"]) if isinstance(each, IndexRefused)]
    assert codes == ["NOT_FOUND", "NOT_ENTITLED"]


def test_vendor_examples_of_status_holidays_trade_quote_and_contracts(shared: Path) -> None:
    status = records.status_of(fixture(shared, "v1__marketstatus__now"))
    assert status is not None
    assert (status.market, status.after_hours, status.server_at) == (
        "extended-hours",
        True,
        1_651_178_888_000_000_000,
    )
    body = fixture(shared, "v1__marketstatus__upcoming")
    holidays = records.holidays_of(body)
    assert len(holidays) == len(body)
    early = [h for h in holidays if h.status == "early-close"]
    assert {(h.date, h.close_at) for h in early} == {(dt.date(2022, 11, 25), 1_669_399_200_000_000_000)}
    said = fixture(shared, "v2__last__trade__AAPL")["results"]
    trade = records.last_trade_of(said)
    assert trade == records.LastTrade("AAPL", said["t"], said["p"], said["s"])
    said = fixture(shared, "v2__last__nbbo__AAPL")["results"]
    quote = records.last_quote_of(said)
    assert quote == records.LastQuote("AAPL", said["t"], said["p"], said["P"], said["s"], said["S"])
    assert quote.bid < quote.ask
    rows = fixture(shared, "v3__reference__options__contracts")["results"]
    listed, left_out = records.listed_of(rows)
    assert [f"O:{each.contract.name}" for each in listed] == [row["ticker"] for row in rows]
    assert not left_out


def test_vendor_example_of_daily_bars_is_stamped_at_midnight_new_york(shared: Path) -> None:
    body = fixture(shared, "v2__aggs__ticker__AAPL__range__1__day__2005-04-01__2005-04-04")
    raw, unusable = records.minute_bars(body["results"], "AAPL")
    assert unusable == 0
    assert [raw.when(i)[-5:] for i in range(len(raw))] == ["00:00", "00:00"]
