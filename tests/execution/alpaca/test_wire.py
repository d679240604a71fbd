"""Alpaca's bodies as records: real ones, odd ones, and nonsense."""

import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.execution.alpaca import wire
from maxlib.execution.alpaca.reasons import complaint
from maxlib.market import calendar
from tests.execution.alpaca.bench import DAY

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def bodies(shared: Path) -> Path:
    return shared / "data/real/open/fixtures/alpaca"


def body(folder: Path, name: str) -> Any:
    return json.loads((folder / f"trading_{name}.json").read_text())


# --- bodies from the vendor's own test suite


def test_account_body_of_the_vendor(bodies: Path) -> None:
    found = wire.account(body(bodies, "account__get_account"), known_at=7)
    assert found == wire.Account(
        "ACTIVE", Decimal("-23140.2"), Decimal("103820.56"), Decimal("262113.632"), 1, False, 7, "010203ABCD"
    )


def test_positions_body_of_the_vendor(bodies: Path) -> None:
    assert wire.positions(body(bodies, "position__get_all_positions")) == {"AAPL": Decimal(5)}


@pytest.mark.parametrize("name", ["market_order", "limit_order", "get_order_by_id", "get_order_by_client_id",
    "replace_order", "order_position_intent", "order_position_intent__1"])  # fmt: skip
def test_order_bodies_of_the_vendor(bodies: Path, name: str) -> None:
    raw = body(bodies, f"order__{name}")
    found = wire.order(raw)
    assert (found.id, found.client_id, found.status) == (raw["id"], raw["client_order_id"], raw["status"])
    assert found.quantity == Decimal(str(raw["qty"]))
    assert found.legs[0].ratio == (1 if raw["side"] == "buy" else -1)


def test_order_list_of_the_vendor(bodies: Path) -> None:
    (found,) = [wire.order(row) for row in body(bodies, "order__get_orders")]
    # 2019-08-24T14:15:22Z
    assert (found.status, found.submitted_at) == ("new", 1_566_656_122_000_000_000)


# --- numbers, times, symbols


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-20T15:01:02Z", 1_763_650_862_000_000_000),
        ("2025-11-20T10:01:02-05:00", 1_763_650_862_000_000_000),
        ("2025-11-20T15:01:02.5Z", 1_763_650_862_500_000_000),
        ("2024-04-25T20:00:00.259610112Z", 1_714_075_200_259_610_112),
        ("1970-01-01T00:00:00.000000001Z", 1),
    ],
)
def test_times_are_exact_to_the_nanosecond(text: str, expected: int) -> None:
    assert wire.moment({"t": text}, "t") == expected


@pytest.mark.parametrize(
    "text", ["2025-11-20", "2025-11-20T15:01:02", "2025-13-20T15:01:02Z", "x", "٢025-11-20T15:01:02Z"]
)
def test_times_without_offset_or_sense_are_refused(text: str) -> None:
    with pytest.raises(wire.WireError):
        wire.moment({"t": text}, "t")


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-inf", "1e99", "1e-99999999", "0x10", True, [], "9" * 50, {}]
)
def test_no_number_is_no_number(value: Any) -> None:
    try:
        found = wire.number({"qty": value}, "qty")
    except wire.WireError:
        return
    assert value == "1e-99999999"  # tiny is a number
    assert found == Decimal("1e-99999999")


def test_symbols_of_options_and_of_other_things() -> None:
    found = wire.contract("QQQ251120C00600000")
    assert found is not None
    assert (found.expiry, found.strike, found.name) == (calendar.ordinal(DAY), 600.0, "QQQ251120C00600000")
    others = (
        "QQQ",
        "QQQ251320C00600000",
        "QQQ251120X00600000",
        "QQQ251120C0060000",
        "O:QQQ251120C00600000",
        "",
    )
    assert [wire.contract(other) for other in others] == [None] * len(others)


def test_short_positions_are_below_zero_whatever_sign_is_written() -> None:
    rows = [
        {"symbol": "A", "qty": "2", "side": "short"},
        {"symbol": "B", "qty": "-2", "side": "short"},
        {"symbol": "C", "qty": "2", "side": "long"},
    ]
    assert wire.positions(rows) == {"A": -2, "B": -2, "C": 2}


def test_frame_of_the_reference_is_read_from_text_and_from_bytes() -> None:
    frame = (
        '{"stream":"trade_updates","data":{"event":"partial_fill","execution_id":"u1","price":"1.05","qty":"1",'
        '"position_qty":"1","timestamp":"2025-11-20T15:01:02Z","order":{"id":"o1","client_order_id":"c1",'
        '"status":"partially_filled","qty":"2","filled_qty":"1","order_class":"mleg","legs":[]}}}'
    )
    found = wire.trade_update(frame)
    assert found == wire.trade_update(frame.encode())
    assert found is not None
    assert (found.event, found.execution_id, found.price) == ("partial_fill", "u1", Decimal("1.05"))
    assert (found.order.filled, found.order.legs, found.order.nested) == (1, (), True)
    assert found.order.updated_at == found.at == 1_763_650_862_000_000_000  # the order itself says nothing


@pytest.mark.parametrize("event", ["restated", "order_replace_rejected", "held", "some_day_new"])
def test_row_37_unknown_events_and_fields_are_tolerated(event: str) -> None:
    order = {"id": "o", "qty": "1", "side": "buy", "symbol": "X", "status": event, "new_field": {"a": 1}}
    found = wire.trade_update(
        json.dumps({"stream": "trade_updates", "data": {"event": event, "order": order}})
    )
    assert found is not None
    assert found.event == event


# --- nonsense


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_row_38_no_frame_raises_anything_but_a_wire_error(frame: str | bytes) -> None:
    with contextlib.suppress(wire.WireError):
        assert wire.trade_update(frame) is None


@given(JSON)
def test_row_37_no_json_raises_anything_but_a_wire_error(value: Any) -> None:
    for parse in (wire.order, wire.positions, wire.clock, lambda found: wire.account(found, 0)):
        with contextlib.suppress(wire.WireError):
            parse(value)
    complaint(500, json.dumps(value).encode())


ORDER = {
    "id": "o1", "client_order_id": "c1", "status": "filled", "qty": "2", "filled_qty": "1", "side": "buy",
    "symbol": "QQQ251120C00600000", "order_class": "mleg", "filled_avg_price": "1.05",
    "updated_at": "2025-11-20T15:01:02Z",
    "legs": [{"id": "l", "symbol": "X", "ratio_qty": "1", "side": "sell"}],
}  # fmt: skip


@given(st.sampled_from(sorted(ORDER)), JSON)
def test_row_37_a_field_of_another_type_is_a_wire_error(name: str, value: Any) -> None:
    for changed in (
        {**ORDER, name: value},
        {**ORDER, "symbol": "", name: value},
        {**ORDER, "legs": [{"id": value}]},
    ):
        with contextlib.suppress(wire.WireError):
            wire.trade_update(
                json.dumps({"stream": "trade_updates", "data": {"event": "fill", "order": changed}})
            )
