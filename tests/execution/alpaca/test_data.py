"""Bars and option quotes: stamped at the right edge, with the feed that they came over."""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import DataError
from maxlib.data.quality import gate
from maxlib.execution.alpaca.config import AlpacaConfig
from maxlib.execution.alpaca.data import FEEDS, bars, chain
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract
from tests.execution.alpaca.bench import DAY, TEN, Bench, at, call, put


def test_bars_are_stamped_at_their_start_and_pass_the_gate() -> None:
    bench = Bench(now=at(16 * 60))
    raw = bars(bench.client, "QQQ", at(9 * 60 + 30), at(16 * 60))
    assert (raw.start[0], len(raw)) == (at(9 * 60 + 30), 390)
    clean, report = gate(raw)
    assert report.sessions == 1
    assert clean["ts"][0] == at(9 * 60 + 31)  # known at the END of the minute
    assert np.array_equal(clean["open"], 600.0 + np.arange(390))
    assert raw.name == "alpaca-iex-QQQ"
    assert "no good for VWAP" in raw.notes[0]


def test_bars_are_read_over_pages_and_without_the_minute_that_is_not_over() -> None:
    bench = Bench(now=TEN + 30 * 10**9)
    bench.api.page = 7
    raw = bars(bench.client, "QQQ", at(9 * 60 + 30), at(16 * 60))
    assert np.array_equal(raw.start, at(9 * 60 + 30) + NS_PER_MINUTE * np.arange(30))
    assert bench.api.calls.count(("GET", "/v2/stocks/bars")) == 5


def test_no_bars_is_empty_not_an_error() -> None:
    assert len(bars(Bench().client, "SPY", at(9 * 60 + 30), TEN)) == 0


def answer(bench: Bench, body: Any) -> Any:
    bench.api._routes["GET", "/v2/stocks/bars"] = lambda _: body
    return bars(bench.client, "QQQ", 0, TEN)


def test_bars_of_the_vendor(shared: Path) -> None:
    folder = shared / "data/real/open/fixtures/alpaca"
    body = json.loads((folder / "data_stock__get_bars.json").read_text())
    rows = body["bars"]["AAPL"]
    raw = answer(Bench(), {"bars": {"QQQ": rows}, "next_page_token": None})
    assert raw.close.tolist() == [row["c"] for row in rows]
    assert raw.start[0] == int(dt.datetime(2022, 2, 1, 5, tzinfo=dt.UTC).timestamp()) * 10**9


ONES = dict.fromkeys("ohlcv", 1)


@pytest.mark.parametrize(
    "row",
    [{"t": "2025-11-20T14:30:00Z"}, {"t": "x", **ONES}, ONES, 5],
)
def test_row_37_a_bar_without_its_fields_is_refused_by_row(row: Any) -> None:
    good = {"t": "2025-11-20T14:30:00Z", **ONES}
    with pytest.raises(DataError, match="bars of QQQ: row 2"):
        answer(Bench(), {"bars": {"QQQ": [good, row]}, "next_page_token": None})


@pytest.mark.parametrize("body", [[], {"bars": 5}, {"bars": {}, "next_page_token": 5}])
def test_a_page_of_another_shape_is_garbled(body: Any) -> None:
    with pytest.raises(VenueError, match="GARBLED"):
        answer(Bench(), body)


def test_pages_that_go_round_in_circles_end() -> None:
    with pytest.raises(VenueError, match="round in circles"):
        answer(Bench(), {"bars": {}, "next_page_token": "again"})


# --- chains


def with_feed(bench: Bench, feed: Any) -> Bench:
    bench.client.config = AlpacaConfig(**{**bench.client.config.model_dump(), "option_feed": feed})
    return bench


def test_chain_has_quotes_of_the_venue_and_what_it_does_not_say_stays_open() -> None:
    bench = with_feed(Bench(), "opra")
    bench.api.page = 10
    found = chain(bench.client, "QQQ", DAY, DAY, strikes=(60_000, 60_500))
    rows = found.chain.rows
    assert len(rows) == 12
    assert found.chain.origin == "vendor"
    row = rows[(rows["strike"] == 605) & (rows["right"] == 1)][0]
    assert (row["bid"], row["ask"], row["bid_size"], row["ts"], row["quoted_at"]) == (
        0.95,
        0.99,
        10,
        TEN,
        TEN,
    )
    assert row["expires_at"] == at(16 * 60)
    assert math.isnan(row["spot"])
    assert math.isnan(row["open_interest"])
    quote = found.quote(call(605))
    assert quote is not None
    assert (quote.bid_cents, quote.ask_cents, quote.ask_size, quote.modelled) == (95, 99, 10, False)
    assert found.quote(call(609)) is None
    assert found.quote(put(605)) != quote


def test_indicative_quotes_are_shown_and_never_filled_at() -> None:
    found = chain(Bench().client, "QQQ", DAY, DAY)
    assert len(found.chain.rows) == 42
    assert found.quote(call(605)) is None
    assert found.feed.delay_ns == 15 * NS_PER_MINUTE
    assert "INDICATIVE" in found.chain.notes[0]
    assert {name for name, feed in FEEDS.items() if not feed.real} == {"indicative"}


def test_row_33_no_bid_is_no_price_of_zero() -> None:
    bench = with_feed(Bench(), "opra")
    bench.market.now_quoted[call(605)] = (None, 1)
    found = chain(bench.client, "QQQ", DAY, DAY)
    quote = found.quote(call(605))
    assert quote is not None
    assert (quote.bid_cents, quote.ask_cents) == (None, 1)


def test_chain_of_the_vendor(shared: Path) -> None:
    folder = shared / "data/real/open/fixtures/alpaca"
    body = json.loads((folder / "data_option__get_option_chain.json").read_text())
    bench = with_feed(Bench(), "opra")
    bench.api._snapshots = lambda *_: body  # type: ignore[method-assign,assignment]
    found = chain(bench.client, "AAPL", DAY, DAY)
    (row,) = found.chain.rows
    # The one series of the file: quoted 0.32 × 73 to 0.35 × 119, last 0.34.
    assert [row[n] for n in ("bid", "bid_size", "ask", "ask_size", "last")] == [0.32, 73, 0.35, 119, 0.34]
    assert row["delta"] == pytest.approx(-0.069623526)
    assert row["iv"] == pytest.approx(0.4584478444)
    assert row["right"] == -1
    quote = found.quote(Contract("AAPL", int(row["expiry"]), "P", 15_500))
    assert quote is not None
    assert (quote.bid_cents, quote.ask_cents) == (32, 35)
