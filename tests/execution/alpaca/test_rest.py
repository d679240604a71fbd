"""Our client: one question, one answer; an order is sent once, and its fate is asked for."""

import contextlib
import itertools
import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from maxlib.execution.alpaca.config import AlpacaConfig, Keys
from maxlib.execution.alpaca.fake import FakeServer
from maxlib.execution.alpaca.fake_api import FakeApi, order_json
from maxlib.execution.alpaca.fake_faults import Fault
from maxlib.execution.alpaca.fake_venue import FakeVenue
from maxlib.execution.alpaca.reasons import Complaint, Reason, VenueError, complaint
from maxlib.execution.alpaca.reconcile import Accepted, Refused, Unanswered
from maxlib.execution.alpaca.rest import LARGEST_ANSWER, Alpaca
from maxlib.trading.orders import reverse
from tests.execution.alpaca.bench import FLY, LONG, SECOND, TEN, VERTICAL, Bench, HandMarket, at, order

POST = ("POST", "/v2/orders")

# --- submit


def test_order_is_accepted_filled_and_found_by_our_id() -> None:
    bench = Bench()
    answer = bench.client.submit(order(FLY, 3, "ours"), 10)
    assert isinstance(answer, Accepted)
    assert (answer.order.client_id, answer.order.status) == ("ours", "new")
    found = bench.client.find("ours")
    assert found is not None
    assert (found.status, found.filled, [str(leg.price) for leg in found.legs]) == (
        "filled", 3, ["1.04", "0.95", "0.94"],
    )  # fmt: skip
    assert bench.client.positions() == {leg.contract.name: 3 * leg.ratio for leg in FLY}
    assert bench.client.account().cash == 100_000 - 24


@pytest.mark.parametrize(
    ("fault", "reason", "there"),
    [
        ("ack_lost", "DISCONNECTED", True),
        ("cut", "DISCONNECTED", True),
        ("hang", "TIMEOUT", False),
        ("hang_after", "TIMEOUT", True),
        ("late_arrival", "TIMEOUT", False),
        ("server_error", "VENUE_DOWN", False),
        ("server_error_after", "VENUE_DOWN", True),
        ("html", "GARBLED", False),
    ],
)
def test_rows_51_and_57_an_unanswered_order_is_sent_once_and_asked_for(
    fault: Fault, reason: Reason, there: bool
) -> None:
    bench = Bench()
    bench.faults.ask(fault)
    answer = bench.client.submit(order(VERTICAL, 2, "ours"))
    assert isinstance(answer, Unanswered)
    assert answer.complaint.reason == reason
    assert bench.api.calls.count(POST) == 1
    assert (bench.client.find("ours") is not None) is there


def test_row_57_order_that_arrives_after_the_query_is_found_by_the_next() -> None:
    bench = Bench()
    bench.faults.ask("late_arrival")
    bench.client.submit(order(VERTICAL, 2, "ours"))
    assert bench.client.find("ours") is None
    bench.wait(1)
    found = bench.client.find("ours")
    assert found is not None
    assert found.status == "filled"


def test_package_that_is_found_without_its_legs_is_asked_for_again_with_them() -> None:
    bench = Bench()
    bench.client.submit(order(FLY, 1, "ours"))
    legless = {**order_json(next(iter(bench.venue.orders.values()))), "legs": None}
    bench.api._routes["GET", "/v2/orders:by_client_order_id"] = lambda _: legless
    found = bench.client.find("ours")
    assert found is not None
    assert [leg.filled for leg in found.legs] == [1, 2, 1]


def test_duplicate_id_says_that_an_order_is_there_so_it_is_asked_for() -> None:
    bench = Bench()
    bench.client.submit(order(LONG, 1, "ours"))
    answer = bench.client.submit(order(LONG, 1, "ours"))
    assert isinstance(answer, Unanswered)
    assert answer.complaint.reason == "DUPLICATE_ID"
    assert bench.venue.held == {LONG[0].contract: 1}


@pytest.mark.parametrize(
    ("legs", "quantity", "now", "reason", "reconcile"),
    [
        (reverse(LONG), 1, TEN, "UNCOVERED", True),
        (LONG, 5000, TEN, "BUYING_POWER", False),
        (VERTICAL, 1, at(9 * 60), "MARKET_CLOSED", False),
        (tuple(leg._replace(ratio=2 * leg.ratio) for leg in VERTICAL), 1, TEN, "INVALID", False),
    ],
)
def test_refusals_have_reasons(
    legs: tuple[()], quantity: int, now: int, reason: Reason, reconcile: bool
) -> None:
    answer = Bench(now=now).client.submit(order(legs, quantity))
    assert isinstance(answer, Refused)
    assert (answer.complaint.reason, answer.complaint.reconcile) == (reason, reconcile)


def test_rate_limit_refuses_before_the_order_exists_and_says_until_when() -> None:
    bench = Bench()
    bench.faults.ask("rate_limited")
    answer = bench.client.submit(order(LONG))
    assert isinstance(answer, Refused)
    assert (answer.complaint.reason, answer.complaint.reset_at) == ("RATE_LIMITED", TEN + 60 * SECOND)
    assert bench.client.calls_left == 0
    assert bench.venue.orders == {}


def test_row_40_dead_keys_are_told_apart_from_what_may_be_asked_again() -> None:
    bench = Bench()
    bench.client._auth._keys = Keys(key=SecretStr("x"), secret=SecretStr("y"))
    with pytest.raises(VenueError, match="UNAUTHORIZED, status 401, code 40110000") as refused:
        bench.client.account()
    assert not refused.value.complaint.retryable
    assert isinstance(bench.client.submit(order(LONG)), Refused)


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        (422, 42210000, "leg ratio quantities should be relatively prime: GCD[2 2] = 2", "RATIOS_NOT_PRIME"),
        (422, 42210000, "options market orders are only allowed during market hours", "MARKET_CLOSED"),
        (403, 40310000, "account not eligible to trade uncovered option contracts", "UNCOVERED"),
        (422, 40010001, "client_order_id must be unique", "DUPLICATE_ID"),
        (422, "x", 7, "INVALID"),
        (404, 40410000, "order not found", "NOT_FOUND"),
    ],
)
def test_codes_of_the_reference_have_reasons(
    status: int, code: object, message: object, reason: Reason
) -> None:
    assert complaint(status, json.dumps({"code": code, "message": message}).encode()).reason == reason


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, b"<html>forbidden</html>", "FORBIDDEN"),
        (429, b"", "RATE_LIMITED"),
        (500, b"[[[", "VENUE_DOWN"),
        (599, b"null", "VENUE_DOWN"),
        (418, b"", "INVALID"),
    ],
)
def test_answers_without_json_have_the_reason_of_their_status(
    status: int, body: bytes, reason: Reason
) -> None:
    assert complaint(status, body).reason == reason


# --- cancel


def test_cancel_is_taken_on_and_may_be_too_late() -> None:
    bench = Bench()
    answer = bench.client.submit(order(LONG, 1, "ours"), 50)
    assert isinstance(answer, Accepted)
    assert bench.client.cancel(answer.order.id) is None
    assert bench.client.cancel(answer.order.id) is None  # again: it is still on its way
    bench.wait(1)
    late = bench.client.cancel(answer.order.id)
    assert late is not None
    assert late.reason == "NOT_CANCELABLE"
    missing = bench.client.cancel("../account")
    assert missing is not None
    assert missing.reason == "NOT_FOUND"
    bench.faults.ask("hang")
    assert bench.client.cancel(answer.order.id) == Complaint("TIMEOUT", message="no answer in 10 s")


# --- lists


def test_orders_are_listed_over_pages_without_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlib.execution.alpaca.rest.MOST_ORDERS", 4)
    bench = Bench()
    names = [f"o{i}" for i in range(11)]
    for i, name in enumerate(names):
        bench.client.submit(order(LONG, 1, name), 50)
        bench.wait(i % 3 / 2)  # some at the same instant
    assert [found.client_id for found in bench.client.orders("all")] == names
    since = bench.client.orders("all")[5].submitted_at
    later = [found.client_id for found in bench.client.orders("all", since)]
    assert later == [found.client_id for found in bench.client.orders("all") if found.submitted_at > since]


def test_more_orders_of_one_instant_than_a_page_holds_are_an_error_not_a_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maxlib.execution.alpaca.rest.MOST_ORDERS", 4)
    bench = Bench()
    for i in range(6):
        bench.client.submit(order(LONG, 1, f"o{i}"), 50)
    with pytest.raises(VenueError, match="more than 4 orders of one instant"):
        bench.client.orders("all")


def test_picture_is_read_again_until_nothing_changes_in_between() -> None:
    bench = Bench()
    bench.client.submit(order(FLY, 12, "ours"))  # 5 of 12 at once
    positions = bench.client.positions

    def meanwhile() -> dict[str, object]:
        held = positions()
        bench.wait(1)  # fills more, after the positions were read
        return held  # type: ignore[return-value]

    bench.client.positions = meanwhile  # type: ignore[method-assign,assignment]
    picture = bench.client.picture([], 0, tries=5)
    (ours,) = picture.orders
    assert (picture.stable, ours.filled) == (True, 12)
    assert picture.positions[FLY[0].contract.name] == 12


def test_picture_that_never_holds_still_says_so() -> None:
    bench = Bench()
    bench.client.submit(order(FLY, 1000, "ours"))
    positions = bench.client.positions

    def meanwhile() -> dict[str, object]:
        bench.wait(1)
        return positions()  # type: ignore[return-value]

    bench.client.positions = meanwhile  # type: ignore[method-assign,assignment]
    assert not bench.client.picture([], 0).stable


# --- the wire


def serve_once(answers: list[bytes]) -> tuple[str, list[bytes], threading.Thread]:
    """A raw server for one connection an answer; what it heard is kept."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def run() -> None:
        with listener:
            for answer in answers:
                line, _ = listener.accept()
                with line, contextlib.suppress(OSError):
                    heard.append(line.recv(65_536))
                    line.sendall(answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", heard, thread


def client_of(url: str, **options: object) -> Alpaca:
    config = AlpacaConfig(trading_url=url, data_url=url, loopback=True, read_s=30.0)
    keys = Keys(key=SecretStr("PKTEST"), secret=SecretStr("canary-4711"))
    return Alpaca(config, keys, **options)  # type: ignore[arg-type]


def http(body: bytes, status: str = "200 OK", length: int | None = None, more: str = "") -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{more}\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b'{"cash": "1", "equ', length=99), "DISCONNECTED"),  # row 45
        (http(b'{"cash": "1", "equ'), "GARBLED"),  # row 38
        (http(b"<html>welcome</html>"), "GARBLED"),  # row 39
        (http(b'{"cash": "NaN", "equity": "1", "buying_power": "1"}'), "GARBLED"),  # row 32
        (http(b"", "302 Found", more="Location: https://api.alpaca.markets/v2/account\r\n"), "GARBLED"),
        (http(b"\xff\xfe", more="Content-Encoding: gzip\r\n"), "DISCONNECTED"),
        (b"", "DISCONNECTED"),
        (b"SSH-2.0-OpenSSH\r\n", "DISCONNECTED"),
        (http(b"oops", "500 Internal Server Error"), "VENUE_DOWN"),
    ],
    ids=[
        "row_45_cut", "row_38_torn", "row_39_html", "row_32_nan", "redirect", "gzip", "nothing", "ssh",
        "row_43_500",
    ],
)  # fmt: skip
def test_broken_answers_are_errors_with_a_reason_and_are_not_repeated(answer: bytes, reason: Reason) -> None:
    url, heard, thread = serve_once([answer])
    with pytest.raises(VenueError) as broken:
        client_of(url).account()
    thread.join(10)
    assert (broken.value.complaint.reason, len(heard)) == (reason, 1)


def test_row_44_a_dripping_answer_ends_at_the_total_deadline() -> None:
    released = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with listener:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                line.recv(65_536)
                line.sendall(http(b"{", length=1000))
                released.wait(30)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    ticks = itertools.count(0, 15)  # every look at this clock finds 15 s gone: one byte is over 20 s
    client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", monotonic=lambda: next(ticks) * 2.0)
    try:
        with pytest.raises(VenueError, match="not whole after 20 s") as late:
            client.account()
    finally:
        released.set()
    thread.join(10)
    assert late.value.complaint.reason == "TIMEOUT"


def test_an_endless_answer_is_cut_off() -> None:
    url, _, thread = serve_once([http(b" " * (LARGEST_ANSWER + 100_000))])
    with pytest.raises(VenueError, match=f"more than {LARGEST_ANSWER} bytes"):
        client_of(url).account()
    thread.join(10)


def test_nobody_there_is_disconnected_and_an_order_unanswered() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        answer = client_of(url).submit(order(LONG))
    assert isinstance(answer, Unanswered)
    assert answer.complaint.reason == "DISCONNECTED"


def test_404_without_the_vendors_code_proves_nothing() -> None:
    url, _, thread = serve_once([http(b"<html>not found</html>", "404 Not Found")])
    with pytest.raises(VenueError, match="NOT_FOUND"):
        client_of(url).find("ours")
    thread.join(10)


def test_row_84_keys_go_into_the_headers_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url, heard, thread = serve_once([http(b"nonsense")])
    client = client_of(url)
    try:
        client.account()
    except VenueError:
        told = traceback.format_exc()
    thread.join(10)
    assert b"APCA-API-SECRET-KEY: canary-4711" in heard[0]
    assert "canary-4711" not in heard[0].split(b"\r\n")[0].decode()
    shown = f"{client!r} {vars(client)} {client._session.headers} {client.config!r}"
    assert "canary-4711" not in told + caplog.text + shown


# --- over a socket


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(FakeApi(FakeVenue(HandMarket(), TEN))) as running:
        yield running


def test_the_same_over_a_real_socket(server: FakeServer) -> None:
    from maxlib.execution.alpaca.fake import FAKE_KEYS

    client = Alpaca(server.config(), FAKE_KEYS, clock=lambda: TEN)
    assert client.exchange_clock().is_open
    assert isinstance(client.submit(order(FLY, 1, "socket")), Accepted)
    for fault in ("ack_lost", "cut"):
        server.api.faults.ask(fault)  # type: ignore[arg-type]
        answer = client.submit(order(LONG, 1, fault))
        assert isinstance(answer, Unanswered)
        found = client.find(fault)
        assert found is not None
        assert found.filled == 1


def test_row_57_time_out_over_a_real_socket(server: FakeServer) -> None:
    from maxlib.execution.alpaca.fake import FAKE_KEYS

    hasty = Alpaca(server.config(read_s=0.05), FAKE_KEYS)
    server.api.faults.ask("hang_after")
    answer = hasty.submit(order(LONG, 1, "slow"))
    assert isinstance(answer, Unanswered)
    assert answer.complaint.reason == "TIMEOUT"
    patient = Alpaca(server.config(), FAKE_KEYS)
    assert patient.find("slow") is not None
