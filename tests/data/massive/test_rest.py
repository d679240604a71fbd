"""Our REST client against the fake: what it reads, and what it does when things go wrong."""

import datetime as dt
import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr, ValidationError

from maxlib.core.errors import ConfigError
from maxlib.data.faults import Fault, SourceError
from maxlib.data.massive import records
from maxlib.data.massive.config import MassiveConfig, key_from_environment
from maxlib.data.massive.fake import FakeMassive, Plan
from maxlib.data.massive.records import IndexRefused, IndexValue, Timeframe
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.massive.transport import Answer, Transport
from maxlib.data.quality import gate
from maxlib.data.resilience import BreakerConfig, BudgetConfig
from maxlib.market.contract import Contract
from tests.data.massive.helpers import (
    BARS,
    CLOSE,
    DAY,
    EXPIRIES,
    KEY,
    MINUTE,
    NEXT_DAY,
    OPEN,
    chain,
    client,
    config,
    fake,
)

LATE = int(BARS["ts"][-1])
TRADE = "/v2/last/trade/QQQ"


@pytest.fixture
def server() -> Iterator[FakeMassive]:
    with fake(LATE).background() as running:
        yield running


@pytest.fixture
def rest(server: FakeMassive) -> Iterator[MassiveRest]:
    with closing(client(server)) as running:
        yield running


def fault_of(error: pytest.ExceptionInfo[SourceError]) -> tuple[Fault, bool]:
    return error.value.fault, error.value.retryable


# --- what it reads --------------------------------------------------------------------------------


def test_minute_bars_are_the_tape_stamped_at_the_end(rest: MassiveRest) -> None:
    raw = rest.minute_bars("QQQ", DAY, NEXT_DAY)
    assert raw.start.tolist() == (BARS["ts"] - MINUTE).tolist()
    bars, report = gate(raw)
    assert bars.tobytes() == BARS.tobytes()
    assert report.repairs == ()


def test_pages_are_followed_until_there_is_none(
    server: FakeMassive, rest: MassiveRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maxlib.data.massive.rest._AGG_LIMIT", "100")
    raw = rest.minute_bars("QQQ", DAY, NEXT_DAY)
    assert len(raw) == 780
    assert server.calls[f"/v2/aggs/ticker/QQQ/range/1/minute/{DAY}/{NEXT_DAY}"] == 8


def test_minute_in_progress_is_left_out_until_it_has_settled(server: FakeMassive) -> None:
    with fake(OPEN + 2 * MINUTE + 20_000_000_000).background() as now:
        with closing(client(now)) as rest:
            assert len(rest.minute_bars("QQQ", DAY, DAY)) == 2
        with closing(client(now, settle_s=21.0)) as rest:
            assert len(rest.minute_bars("QQQ", DAY, DAY)) == 1


def test_minutes_between_takes_the_half_open_span(rest: MassiveRest) -> None:
    raw = rest.minutes_between("QQQ", OPEN + 3 * MINUTE, OPEN + 6 * MINUTE)
    assert ((raw.start - OPEN) // MINUTE).tolist() == [3, 4, 5]


def test_no_bars_are_no_error(rest: MassiveRest) -> None:
    assert len(rest.minute_bars("QQQ", dt.date(2025, 1, 4), dt.date(2025, 1, 5))) == 0


def test_chain_is_read_whole_and_labelled_simulated_because_it_comes_from_this_machine(
    rest: MassiveRest,
) -> None:
    found = rest.chain("QQQ", EXPIRIES[0], last_expiry=EXPIRIES[1])
    expected = chain(LATE).rows
    assert (found.chain.origin, found.chain.root, found.delayed) == ("simulated", "QQQ", False)
    by_contract = {(int(row["expiry"]), row["strike"], int(row["right"])): row for row in expected}
    assert len(found.chain.rows) == 20
    for row in found.chain.rows:
        mine = by_contract[int(row["expiry"]), row["strike"], int(row["right"])]
        for name in ("bid", "ask", "bid_size", "last", "iv", "delta", "theta", "open_interest", "volume"):
            assert row[name] == mine[name] or (math.isnan(row[name]) and math.isnan(mine[name])), name
        assert row["quoted_at"] == row["ts"] == LATE
        assert row["spot"] == BARS["close"][-1]
    assert found.contracts[0] == Contract("QQQ", int(expected["expiry"][0]), "C", 49800)
    np.testing.assert_array_equal(found.real_time().rows["ask"], found.chain.rows["ask"])


def test_chain_asks_for_the_expiry_and_the_band_only(server: FakeMassive, rest: MassiveRest) -> None:
    found = rest.chain("QQQ", EXPIRIES[1], strikes=(499.5, 501.0))
    assert sorted({c.strike for c in found.contracts}) == [500.0, 501.0]
    assert {c.expiry for c in found.contracts} == {20098}


def test_delayed_chain_says_so_and_its_quotes_serve_no_fill() -> None:
    plan = Plan(quotes="DELAYED", underlying="DELAYED")
    with fake(LATE, plan=plan).background() as server, closing(client(server)) as rest:
        found = rest.chain("QQQ", EXPIRIES[0])
    assert found.delayed
    assert len(found.real_time().rows) == 0
    assert set(found.chain.rows["quoted_at"].tolist()) == {LATE - 15 * MINUTE}
    assert np.isfinite(found.chain.rows["spot"]).all()  # both are of then
    assert "10 of 10 quotes are 15 minutes delayed" in found.chain.notes


def test_real_time_quote_is_never_mixed_with_a_delayed_underlying() -> None:
    with fake(LATE, plan=Plan(underlying="DELAYED")).background() as server, closing(client(server)) as rest:
        found = rest.chain("QQQ", EXPIRIES[0])
    assert np.isnan(found.chain.rows["spot"]).all()
    assert (found.chain.rows["spot_at"] == 0).all()
    assert set(found.quote_frame.tolist()) == {Timeframe.REAL_TIME}
    assert set(found.spot_frame.tolist()) == {Timeframe.DELAYED}
    assert any("another timeframe than the underlying" in note for note in found.chain.notes)


def test_plan_without_quotes_and_trades_gives_nan_not_zero() -> None:
    plan = Plan(quotes="none", trades=False)
    with fake(LATE, plan=plan).background() as server, closing(client(server)) as rest:
        rows = rest.chain("QQQ", EXPIRIES[0]).chain.rows
    for name in ("bid", "ask", "bid_size", "ask_size", "last", "spot"):
        assert np.isnan(rows[name]).all(), name
    assert (rows["quoted_at"] == 0).all()


def test_indices_give_values_and_refusals_in_the_order_asked() -> None:
    plan = Plan(denied_tickers=frozenset({"I:VIX"}))
    with fake(LATE, plan=plan).background() as server, closing(client(server)) as rest:
        found = rest.indices(["I:NDX", "I:VIX", "I:NOPE"])
    assert list(found) == ["I:NDX", "I:VIX", "I:NOPE"]
    value = found["I:NDX"]
    assert isinstance(value, IndexValue)
    expected = server.market.value("I:NDX", LATE)
    assert (value.at, value.value, value.timeframe) == (*expected, Timeframe.REAL_TIME)  # type: ignore[misc]
    assert found["I:VIX"] == IndexRefused("I:VIX", "NOT_ENTITLED", "Not entitled to this ticker.")
    assert found["I:NOPE"] == IndexRefused("I:NOPE", "NOT_FOUND", "Ticker not found.")


def test_row_40_indices_refused_as_a_whole_are_refused_each() -> None:
    plan = Plan(denied_paths=frozenset({"/v3/snapshot/indices"}))
    with fake(LATE, plan=plan).background() as server, closing(client(server)) as rest:
        found = rest.indices(["I:VIX"])["I:VIX"]
        assert isinstance(found, IndexRefused)
        assert found.code == "NOT_ENTITLED"
        rest.indices(["I:VIX"])
        assert server.calls["/v3/snapshot/indices"] == 1


def test_last_trade_quote_status_holidays_and_contracts(rest: MassiveRest) -> None:
    trade, quote = rest.last_trade("QQQ"), rest.last_quote("QQQ")
    assert trade == records.LastTrade("QQQ", LATE - 100_000_000, BARS["close"][-1], trade.size)
    assert quote.bid < trade.price < quote.ask
    status = rest.market_status()
    assert (status.market, status.after_hours, status.server_at) == ("extended-hours", True, LATE)
    holiday = rest.holidays()[0]
    assert (holiday.date, holiday.status, holiday.open_at) == (dt.date(2025, 1, 9), "closed", 0)
    listed = rest.contracts("QQQ", EXPIRIES[0])
    assert [each.contract.name for each in listed][:2] == ["QQQ250103C00498000", "QQQ250103C00499000"]
    assert len(listed) == 10


# --- what it does when things go wrong ------------------------------------------------------------


def test_row_39_html_with_200_is_rejected_and_asked_again(server: FakeMassive, rest: MassiveRest) -> None:
    server.script.append("html")
    assert rest.last_trade("QQQ").price == BARS["close"][-1]
    server.script.extend(["html"] * 4)
    with pytest.raises(SourceError, match=r"is no JSON \(50 bytes beginning '<html>") as error:
        rest.last_trade("QQQ")
    assert fault_of(error) == (Fault.GARBLED, True)
    assert server.calls[TRADE] == 6


def test_row_38_half_a_json_is_an_error_value_not_an_exception_of_the_parser(
    server: FakeMassive, rest: MassiveRest
) -> None:
    server.script.extend(["short"] * 4)
    with pytest.raises(SourceError) as error:
        rest.last_trade("QQQ")
    assert fault_of(error) == (Fault.GARBLED, True)


@pytest.mark.parametrize("fault", ["truncated", "reset"])
def test_row_45_body_that_breaks_off_is_discarded(server: FakeMassive, rest: MassiveRest, fault: Any) -> None:
    server.script.extend([fault, None])
    assert rest.last_trade("QQQ").price == BARS["close"][-1]
    server.script.extend([fault] * 4)
    with pytest.raises(SourceError) as error:
        rest.last_trade("QQQ")
    assert fault_of(error) == (Fault.NETWORK, True)


def test_row_40_401_stops_all_asking_until_somebody_says_so(server: FakeMassive) -> None:
    with closing(client(server, key="wrong")) as rest:
        with pytest.raises(SourceError, match="401 Unknown API Key") as error:
            rest.last_trade("QQQ")
        assert fault_of(error) == (Fault.KEY, False)
        assert error.value.alerting
        with pytest.raises(SourceError, match="refused before, not asked again"):
            rest.market_status()
        assert len(server.urls) == 1
        assert rest.health()[:3] == (False, "closed", True)
        rest.allow_again()
        with pytest.raises(SourceError):
            rest.market_status()
        assert len(server.urls) == 2


def test_row_40_403_stops_asking_for_that_path_only() -> None:
    plan = Plan(denied_paths=frozenset({"/v3/snapshot/options"}))
    with fake(LATE, plan=plan).background() as server, closing(client(server)) as rest:
        for _ in range(3):
            with pytest.raises(SourceError, match="403 You are not entitled") as error:
                rest.chain("QQQ", EXPIRIES[0])
            assert fault_of(error) == (Fault.ENTITLEMENT, False)
        assert server.calls["/v3/snapshot/options/QQQ"] == 1
        assert rest.last_trade("QQQ").symbol == "QQQ"


def test_row_41_404_and_400_are_not_retried(server: FakeMassive, rest: MassiveRest) -> None:
    with pytest.raises(SourceError, match="404 Ticker not found") as error:
        rest.last_trade("NONE")
    assert (fault_of(error), error.value.status) == ((Fault.REQUEST, False), 404)
    assert server.calls["/v2/last/trade/NONE"] == 1
    assert rest.health().breaker == "closed"


@pytest.mark.parametrize("fault", ["429", "429 empty"])
def test_row_42_429_waits_for_the_reset_header_before_anything_is_asked_again(fault: Any) -> None:
    with fake(LATE, retry_after_s=17).background() as server, closing(client(server)) as rest:
        server.script.append(fault)
        before = server.clock.now_s()
        rest.last_trade("QQQ")
        assert server.clock.now_s() - before == pytest.approx(17.0)


def test_row_42_429_beyond_our_patience_is_said_and_blocks_the_next_call_too() -> None:
    slow = fake(LATE, retry_after_s=300)
    with slow.background() as server, closing(client(server, patience_s=60.0)) as rest:
        server.script.append("429")
        with pytest.raises(SourceError, match="429 You've exceeded") as error:
            rest.last_trade("QQQ")
        assert (error.value.fault, error.value.retry_after_s) == (Fault.LIMIT, 300.0)
        with pytest.raises(SourceError, match="budget of 10000 in 1 s is spent for 300 s more"):
            rest.market_status()
        assert sum(server.calls.values()) == 1


def test_row_42_our_own_budget_is_kept_by_waiting(server: FakeMassive) -> None:
    with closing(client(server, budget=BudgetConfig(calls=5, per_s=60.0))) as rest:
        before = server.clock.now_s()
        for _ in range(11):
            rest.last_trade("QQQ")
        assert server.clock.now_s() - before == pytest.approx(120.0)


def test_row_43_5xx_is_retried_with_growing_jittered_pauses(server: FakeMassive, rest: MassiveRest) -> None:
    server.script.extend(["500", "503", "500"])
    before = server.clock.now_s()
    rest.last_trade("QQQ")
    assert 0.5 + 1 + 2 < server.clock.now_s() - before <= 1 + 2 + 4


def test_row_43_breaker_opens_after_failures_and_a_probe_closes_it(server: FakeMassive) -> None:
    with closing(client(server, tries=1, breaker=BreakerConfig(failures=3, open_s=30.0))) as rest:
        server.script.extend(["500", "html", "reset"])
        for fault in (Fault.SERVER, Fault.GARBLED, Fault.NETWORK):
            with pytest.raises(SourceError) as error:
                rest.last_trade("QQQ")
            assert error.value.fault is fault
        with pytest.raises(SourceError, match="not asked, the breaker is open for 30 s more") as error:
            rest.last_trade("QQQ")
        assert error.value.fault is Fault.BREAKER
        assert server.calls[TRADE] == 3
        assert rest.health().well is False
        server.clock.sleep(30.0)
        assert rest.last_trade("QQQ").symbol == "QQQ"
        assert rest.health()[:2] == (True, "closed")


@pytest.mark.parametrize("fault", ["stall", "drip", "drip headers"])
def test_row_44_slow_loris_ends_at_the_total_deadline(fault: Any) -> None:
    # None of these answers ever ends, so without a total deadline this test would not either.
    slow = fake(LATE, drip_s=0.01)
    with slow.background() as server, closing(client(server, tries=1, deadline_s=0.15)) as rest:
        server.script.append(fault)
        with pytest.raises(SourceError, match=r"no whole answer within 0\.15 s") as error:
            rest.last_trade("QQQ")
        assert fault_of(error) == (Fault.DEADLINE, True)
        assert rest.last_trade("QQQ").symbol == "QQQ"  # and the next exchange is whole


def test_answer_beyond_the_bound_is_cut_off_and_not_retried(server: FakeMassive) -> None:
    with closing(client(server, max_bytes=10_000)) as rest:
        with pytest.raises(SourceError, match="larger than 10,000 bytes") as error:
            rest.minute_bars("QQQ", DAY, NEXT_DAY)
        assert fault_of(error) == (Fault.OVERSIZE, False)
        assert sum(server.calls.values()) == 1


def test_nobody_listening_is_a_network_fault() -> None:
    server = fake(LATE)
    with server.background():
        pass
    with closing(client(server, tries=1, connect_s=1.0)) as rest, pytest.raises(SourceError) as error:
        rest.market_status()
    assert fault_of(error) == (Fault.NETWORK, True)


def test_next_page_on_a_foreign_host_is_not_asked_and_never_sees_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maxlib.data.massive.rest._CHAIN_LIMIT", "5")
    with fake(LATE).background() as thief:
        with fake(LATE, next_host=thief.rest_url).background() as server, closing(client(server)) as rest:
            with pytest.raises(SourceError, match=r"the next page is at '127\.0\.0\.1:") as error:
                rest.chain("QQQ", EXPIRIES[0])
            assert fault_of(error) == (Fault.REQUEST, False)
        assert thief.urls == []


def test_next_page_that_names_the_vendor_is_asked_of_our_own_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlib.data.massive.rest._CHAIN_LIMIT", "5")
    with fake(LATE, next_host="https://api.massive.com").background() as server:
        with closing(client(server)) as rest:
            assert len(rest.chain("QQQ", EXPIRIES[0]).contracts) == 10
        assert server.calls["/v3/snapshot/options/QQQ"] == 2


def test_endless_pages_come_to_an_end(server: FakeMassive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlib.data.massive.rest._CHAIN_LIMIT", "2")
    with closing(client(server, max_pages=3)) as rest, pytest.raises(SourceError, match="more than 3 pages"):
        rest.chain("QQQ", EXPIRIES[0])


def test_key_is_in_no_url_log_sentence_or_repr(
    server: FakeMassive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "canary-5f1c"
    sentences = []
    with closing(client(server, key=secret)) as rest:
        with pytest.raises(SourceError) as error:
            rest.last_trade("QQQ")
        sentences += [str(error.value), repr(vars(error.value)), repr(rest.config), repr(rest.health())]
    with closing(client(server)) as rest:
        rest.chain("QQQ", EXPIRIES[0])
        server.script.extend(["html"] * 4)
        with pytest.raises(SourceError) as error:
            rest.market_status()
        sentences.append(str(error.value))
    for word in (secret, KEY):
        assert not [text for text in (*sentences, *server.urls, caplog.text) if word in text]


def test_key_that_the_server_echoes_is_masked(rest: MassiveRest, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Answer(400, {}, json.dumps({"error": f"bad key {KEY}"}).encode())
    monkeypatch.setattr(Transport, "get", lambda *_: echo)
    with pytest.raises(SourceError, match=r"400 bad key \*\*\*$"):
        rest.market_status()


def test_key_of_netrc_and_proxy_of_the_environment_do_not_replace_ours(
    server: FakeMassive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with closing(client(server)) as rest:
        assert rest.last_trade("QQQ").symbol == "QQQ"


def test_threads_share_one_budget(server: FakeMassive) -> None:
    with closing(client(server, budget=BudgetConfig(calls=8, per_s=1e6), patience_s=0.0)) as rest:
        found: Counter[str] = Counter()

        def ask() -> None:
            for _ in range(4):
                try:
                    rest.last_trade("QQQ")
                    found["answered"] += 1
                except SourceError as error:
                    found[error.fault.value] += 1

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"answered": 8, "limit": 8}
    assert server.calls[TRADE] == 8


# --- settings -------------------------------------------------------------------------------------


def test_key_comes_from_the_environment_the_new_name_first() -> None:
    both = {"MASSIVE_API_KEY": " new ", "POLYGON_API_KEY": "old"}
    assert key_from_environment(both).get_secret_value() == "new"
    assert key_from_environment({"POLYGON_API_KEY": "old"}).get_secret_value() == "old"
    with pytest.raises(ConfigError, match="set MASSIVE_API_KEY"):
        key_from_environment({"MASSIVE_API_KEY": "  "})
    with pytest.raises(ConfigError, match="13 characters, some of them not printable") as error:
        key_from_environment({"MASSIVE_API_KEY": "abc\r\nX-Evil:1"})
    assert "Evil" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.massive.com",
        "ftp://api.massive.com",
        "https://user:pass@api.massive.com",
        "https://api.massive.com?apiKey=x",
        "https://",
        "https://api.massive.com:port",
    ],
)
def test_unsafe_base_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="should"):
        MassiveConfig(rest_url=url)


def test_both_names_of_the_vendor_will_do_and_only_this_machine_counts_as_simulated() -> None:
    old = MassiveConfig(rest_url="https://api.polygon.io/", socket_url="wss://delayed.polygon.io")
    assert (old.rest_url, old.simulated, old.delayed) == ("https://api.polygon.io", False, True)
    new = MassiveConfig()
    assert (new.simulated, new.delayed) == (False, False)
    assert MassiveRest(new, SecretStr("x")).origin == "vendor"
    assert config(fake_at("http://localhost:1")).simulated


def fake_at(url: str) -> FakeMassive:
    server = fake(CLOSE)
    server.rest_url, server.socket_url = url, "ws://localhost:2"
    return server
