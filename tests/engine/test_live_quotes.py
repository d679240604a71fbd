"""The trader at live quotes: snapshots of the chain are inputs, and nothing modelled takes their place."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from maxlib.core.errors import DataError, InvariantError
from maxlib.engine.backtest import backtest, to_bar
from maxlib.engine.machine import MachineConfig
from maxlib.engine.projection import Projection
from maxlib.engine.trader import Trader
from maxlib.execution.fills import Refusal
from maxlib.journal.chain import Entry, Journal
from maxlib.journal.store import JournalFile, read
from maxlib.market.contract import Contract
from maxlib.market.instruments import instrument
from maxlib.options.desk import Desk
from maxlib.options.desk import Market as Moment
from maxlib.options.live_desk import Row, Snapshot, snapshot_in
from maxlib.risk.sizing import QuoteCode
from maxlib.strategies.signal import DISTANCE
from tests.chaos.kill_sweep import RUN, day, settings
from tests.engine.scripted import LONG, Market, config, strategy

BARS = day()
HOW = {"stop": 1.5, "tp1": 1.2, "tp2": 2.4, "basis": DISTANCE}
LAG = 1_200_000_000
"""From a bar's end to the snapshot, ns."""
Spoil = Callable[[Snapshot], Snapshot | None]


def snapshot(bar: Any, made: MachineConfig, *, lag: int = LAG, age_ms: int = 300) -> Snapshot | None:
    """The chain that the model would quote at a bar's close, as if a market had said it."""
    b = to_bar(bar)
    if b.minutes_left <= 0:
        return None
    desk = Desk(made.desk, instrument(made.symbol))
    now = Moment(b.ts, b.close, b.minutes_left, 0.2, b.session_minutes)
    rows = []
    for strike in desk.listing(b.close, b.day).strikes:
        for right in "CP":
            quote = desk.quote(Contract("QQQ", b.day, right, strike), now)
            assert quote is not None
            rows.append(Row(right, strike, quote.bid_cents, quote.ask_cents, 50, 50, age_ms))
    return Snapshot(b.ts + lag, b.day, modelled=False, spot=b.close, rows=tuple(rows))


def start(folder: Path, made: MachineConfig, **how: Any) -> Trader:
    return Trader(folder, strategy(**how), made, run=RUN, identity={}, simulated=False, quotes="live")


def live(
    folder: Path, bars: Any, made: MachineConfig, spoil: dict[int, Spoil] | None = None, **how: Any
) -> Trader:
    """A day, each bar with its snapshot; `spoil` makes something else of the snapshot of bar i."""
    one = start(folder, made, **how)
    for i in range(len(bars)):
        if one.last_bar is None or int(bars["ts"][i]) > one.last_bar.ts:
            said = snapshot(bars[i], made)
            if said is not None and i in (spoil or {}):
                said = (spoil or {})[i](said)
            one.bar(bars[i : i + 1], None, said)
    return one


def entries(folder: Path) -> list[Entry]:
    return read(folder / "journal.sqlite")


def said(one: Trader, kind: str) -> list[tuple[int, dict[str, Any]]]:
    return [(e.ts, json.loads(e.body)) for e in one.journal.entries if e.kind == kind]


def quoted(one: Trader, at: int) -> Snapshot:
    """The newest snapshot at a moment, from the journal."""
    return snapshot_in(*[row for row in said(one, "quotes") if row[0] <= at][-1])


# --- at the quotes, and at no others


def test_every_fill_is_at_the_quote_of_the_bar_that_decided_it_ask_in_bid_out(tmp_path: Path) -> None:
    one = live(tmp_path, BARS, settings(), **HOW)
    fills = said(one, "fill")
    assert len(fills) >= 8
    decided = {body["order"]: (ts, body) for ts, body in said(one, "order")}
    for ts, body in fills:
        found = quoted(one, ts)
        assert ts == found.ts, "at the moment of the snapshot, not at the next open"
        assert ts - decided[body["order"]][0] in (0, LAG), "which is that of the bar it was decided on"
        assert decided[body["order"]][1]["trigger"] is None
        assert body["modelled"] is False
        assert body["spot"] == found.spot
        price = {(row.right, row.strike_cents): (row.bid_cents, row.ask_cents) for row in found.rows}
        if " " not in body["contract"]:
            contract = body["contract"]
            bid, ask = price[contract[9], int(contract[10:]) // 10]
            assert body["price_cents"] == (ask if body["side"] == "buy" else bid)
    assert {body["purpose"] for _, body in said(one, "order")} == {"open", "stop", "time"}
    one.close()


def test_a_day_takes_the_signals_denials_and_entries_of_the_modelled_day(tmp_path: Path) -> None:
    """Prices of this tape open where they closed, so the snapshot of a bar is the modelled open of the next.

    What differs is stated: exits wait for the end of the bar that touched, and have its quotes.
    """
    made = settings()
    run = backtest(BARS, strategy(**HOW), made, RUN, journal=Journal({"simulated": False}))
    one = live(tmp_path, BARS, made, **HOW)

    def of(rows: list[tuple[int, dict[str, Any]]], *names: str) -> list[tuple[Any, ...]]:
        return [tuple(body[name] for name in names) for _, body in rows]

    def theirs(kind: str) -> list[tuple[int, dict[str, Any]]]:
        return [(e.ts, json.loads(e.body)) for e in run.journal.entries if e.kind == kind]

    assert said(one, "signal") == theirs("signal")
    assert of(said(one, "denied"), "code") == of(theirs("denied"), "code")
    mine, modelled = (
        [b for _, b in rows if b["purpose"] == "open"] for rows in (said(one, "order"), theirs("order"))
    )
    assert mine == modelled
    entry = {body["order"] for body in mine}
    at = ("order", "contract", "quantity", "price_cents", "fee_cents", "spot")
    in_mine, in_theirs = (
        of([row for row in rows if row[1]["order"] in entry], *at)
        for rows in (said(one, "fill"), theirs("fill"))
    )
    assert in_mine == in_theirs
    assert len(in_mine) >= 3
    one.close()


def test_the_model_is_never_asked_for_a_quote(tmp_path: Path, monkeypatch: Any) -> None:
    made = settings()
    known = [snapshot(bar, made) for bar in BARS]
    monkeypatch.setattr(Desk, "quote_and_mid", lambda *_: pytest.fail("a modelled quote was asked for"))
    one = start(tmp_path, made, **HOW)
    for i in range(len(BARS)):
        one.bar(BARS[i : i + 1], None, known[i])
        Projection(one.shell).account(one.last_bar, one.sigma)
    assert len(one.shell.machine.trades) >= 3
    one.close()


def test_an_open_position_is_marked_at_its_bid_and_keeps_the_last_one_when_there_is_none(
    tmp_path: Path,
) -> None:
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 2}, hold_minutes=60)
    one = live(tmp_path, bars[:15], made)
    (position,) = one.shell.machine.positions.values()
    (leg,) = position.legs
    found = quoted(one, int(bars["ts"][14]) + LAG)
    (bid,) = [
        r.bid_cents
        for r in found.rows
        if (r.right, r.strike_cents) == (leg.contract.right, leg.contract.strike_cents)
    ]
    assert bid is not None
    shown = Projection(one.shell).account(one.last_bar, one.sigma)["positions"][0]
    paid = position.entry.price_cents  # type: ignore[union-attr]
    assert (shown.bid_cents, shown.unrealised_cents) == (bid, 200 * (bid - paid) - 130)
    one.bar(bars[15:16], None, Snapshot(int(bars["ts"][15]), int(bars["day"][15]), False, None, (), "503"))
    again = Projection(one.shell).account(one.last_bar, one.sigma)["positions"][0]
    assert again.bid_cents == bid
    one.close()


def test_row_33_a_crossed_or_locked_quote_is_no_mark_and_fills_nothing(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 1}, hold_minutes=5)
    crossed = changed("C", bid_cents=900, ask_cents=100)
    one = live(tmp_path, bars[:15], made, {13: changed("C", bid_cents=900, ask_cents=900), 14: crossed})
    before = quoted(one, int(bars["ts"][12]) + LAG)
    (leg,) = one.shell.machine.positions[1].legs
    (bid,) = [
        r.bid_cents for r in before.rows if (r.right, r.strike_cents) == ("C", leg.contract.strike_cents)
    ]
    assert Projection(one.shell).account(one.last_bar, one.sigma)["positions"][0].bid_cents == bid
    one.bar(bars[15:16], None, crossed(snapshot(bars[15], made)))
    assert [body["code"] for _, body in said(one, "rejected")] == ["CROSSED_MARKET"]
    assert one.shell.machine.positions[1].open_quantity == 1
    one.close()


# --- refusals


def changed(only: str, **values: Any) -> Spoil:
    """Every row of a right with other values."""
    return lambda s: s._replace(rows=tuple(r._replace(**values) if r.right in only else r for r in s.rows))


def without(right: str, strike_cents: int) -> Spoil:
    gone = (right, strike_cents)
    return lambda s: s._replace(rows=tuple(r for r in s.rows if (r.right, r.strike_cents) != gone))


def failed(s: Snapshot) -> Snapshot:
    return s._replace(rows=(), spot=None, why="503")


REFUSED: list[tuple[str, Spoil, float, float]] = [
    ("NO_QUOTE", failed, 0, 0),
    ("NO_QUOTE", without("C", 50_000), 0, 0),
    ("STALE", changed("CP", age_ms=2_001), 2_000, 2_001),
    ("STALE", changed("C", age_ms=60_000), 2_000, 60_000),
    ("NO_ASK", changed("C", ask_cents=None), 0, 0),
    ("CROSSED_MARKET", changed("C", bid_cents=900, ask_cents=100), 100, 900),
    ("NO_SIZE", changed("C", ask_size=0), 1, 0),
    ("BELOW_INTRINSIC", changed("C", bid_cents=1, ask_cents=2), 75, 2),
]  # fmt: skip


@pytest.mark.parametrize(("code", "spoil", "limit", "actual"), REFUSED)
def test_an_entry_without_a_usable_quote_is_denied_with_its_code_and_figures(
    code: str, spoil: Spoil, limit: float, actual: float, tmp_path: Path
) -> None:
    bars = Market().flat("09:30", "09:50", 500.0).signal("09:40", LONG).bars
    inside = {"moneyness": "itm1"} if code == "BELOW_INTRINSIC" else {}  # 499: 100 cents, less 25 of slack
    one = live(tmp_path, bars, config(desk=inside, risk={"contracts": 1}), {10: spoil})
    ((_, denied),) = said(one, "denied")
    assert [denied[k] for k in ("code", "limit", "actual")] == [code, limit, actual]
    assert said(one, "order") == []
    one.close()


def test_a_snapshot_that_did_not_come_leaves_the_one_before_which_is_stale(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "09:50", 500.0).signal("09:40", LONG).bars
    one = live(tmp_path, bars, config(risk={"contracts": 1}), {10: lambda _: None})
    ((_, denied),) = said(one, "denied")
    assert [denied[k] for k in ("code", "limit", "actual")] == ["STALE", 2_000, 60_000 - 1_200 + 300]
    one.close()


def test_a_choice_of_structures_passes_over_what_is_not_quoted_and_says_why(tmp_path: Path) -> None:
    made = settings()

    def no_wings(s: Snapshot) -> Snapshot:
        """The wing is old, so the fly cannot be priced; the long can."""
        spot = round(s.spot or 0) * 100
        old = [spot - 200, spot - 100, spot + 100, spot + 200]
        return s._replace(
            rows=tuple(r._replace(age_ms=5_000) if r.strike_cents in old else r for r in s.rows)
        )

    one = live(tmp_path, BARS[:12], made, {10: no_wings}, **HOW)
    (ts, chosen) = said(one, "selected")[0]
    assert ts == int(BARS["ts"][10])
    assert " " not in chosen["package"]
    assert chosen["why"]["fly"].startswith("fly: no quote at ") or "no quote at" in chosen["why"]["fly"]
    assert said(one, "fill")
    one.close()


def test_the_codes_of_live_quotes_are_those_of_the_fill_models() -> None:
    assert sorted(get_args(QuoteCode)) == sorted(c for part in get_args(Refusal) for c in get_args(part))


# --- exits


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("NO_QUOTE", failed),
        ("STALE", changed("C", age_ms=9_000)),
        ("STALE", lambda _: None),
        ("CROSSED_MARKET", changed("C", bid_cents=900, ask_cents=100)),
        ("NO_SIZE", changed("C", bid_size=0)),
        ("ABOVE_MAXIMUM", changed("C", bid_cents=60_000, ask_cents=60_001)),
    ],
)
def test_an_exit_without_a_usable_quote_is_asked_again_every_minute_until_it_is_filled(
    code: str, spoil: Spoil, tmp_path: Path
) -> None:
    bars = Market().flat("09:30", "10:10", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 2}, hold_minutes=5)
    one = live(tmp_path, bars, made, dict.fromkeys(range(15, 19), spoil))
    rejected = said(one, "rejected")
    assert [body["code"] for _, body in rejected] == [code] * 4
    orders = [(ts, body) for ts, body in said(one, "order") if body["purpose"] == "time"]
    assert [ts for ts, _ in orders] == [int(bars["ts"][i]) for i in range(15, 20)]
    assert len({body["order"] for _, body in orders}) == 5, "each is an order of its own"
    (trade,) = one.shell.machine.trades
    assert (trade.reason, trade.exit_at) == ("time", int(bars["ts"][19]) + LAG)
    assert one.shell.machine.positions == {}
    one.close()


def test_an_exit_that_nobody_bids_for_rests_and_is_sold_at_the_first_bid(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:10", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 2}, hold_minutes=5)
    one = live(tmp_path, bars, made, {i: changed("C", bid_cents=None) for i in range(15, 19)})
    assert [body["code"] for _, body in said(one, "rejected")] == ["NO_BID"]
    (trade,) = one.shell.machine.trades
    assert (trade.reason, trade.exit_at) == ("time", int(bars["ts"][19]) + LAG)
    one.close()


def test_a_position_whose_quotes_never_come_back_is_settled_at_expiry(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "16:05", 501.0).signal("15:40", LONG).bars
    at = next(i for i in range(len(bars)) if bars["volume"][i])
    gone = dict.fromkeys(range(at + 1, len(bars)), failed)
    one = live(tmp_path, bars, config(risk={"contracts": 1}, hold_minutes=10), gone)
    (trade,) = one.shell.machine.trades
    assert trade.reason == "expiry"
    assert len(said(one, "rejected")) > 5
    one.close()


def test_a_displayed_size_smaller_than_the_order_fills_that_much_and_the_rest_a_minute_later(
    tmp_path: Path,
) -> None:
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 5}, hold_minutes=5)
    thin = {10: changed("C", ask_size=3), 15: changed("C", bid_size=2)}
    one = live(tmp_path, bars, made, thin)
    assert [(ts, b["side"], b["quantity"]) for ts, b in said(one, "fill")] == [
        (int(bars["ts"][10]) + LAG, "buy", 3),
        (int(bars["ts"][15]) + LAG, "sell", 2),
        (int(bars["ts"][16]) + LAG, "sell", 1),
    ]
    one.close()


def test_with_latency_an_order_waits_for_a_snapshot_after_its_arrival(tmp_path: Path) -> None:
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", LONG).bars
    made = config(risk={"contracts": 1}, hold_minutes=5)
    for lag_ms, minute in ((1_000, 10), (1_500, 11)):
        slow = made.model_copy(update={"fills": made.fills.model_copy(update={"latency_ms": lag_ms})})
        one = live(tmp_path / str(lag_ms), bars, slow)
        assert said(one, "fill")[0][0] == int(bars["ts"][minute]) + LAG
        one.close()


def test_a_fly_leaves_by_verticals_at_the_quotes_of_one_snapshot(tmp_path: Path) -> None:
    made = config(desk={"structures": ("fly",)}, risk={"contracts": 3}, hold_minutes=15)
    one = live(tmp_path, BARS, made, tp1=4.0, tp2=8.0, basis=DISTANCE)
    fly = next(t for t in one.shell.machine.trades if len(t.legs) == 3 and t.reason == "time")
    out = [(ts, b) for ts, b in said(one, "fill") if b["trade"] == fly.number][1:]
    assert len(out) == 2
    assert len({ts for ts, _ in out}) == 1
    assert all(len(b["prices_cents"]) == 2 for _, b in out)
    one.close()


# --- the journal


def test_a_restart_after_every_bar_changes_nothing(tmp_path: Path) -> None:
    """From snapshots of the state and from the journal alone, with quotes that failed in between."""
    made = settings()
    spoil: dict[int, Spoil] = {12: failed, 40: changed("CP", age_ms=9_000), 41: lambda _: None}
    whole = live(tmp_path / "whole", BARS, made, spoil, **HOW)
    hashes = whole.state_hash
    whole.close()
    for i in range(1, len(BARS) + 1):
        one = live(tmp_path / "parts", BARS[:i], made, spoil, **HOW)
        state = one.state_hash
        one.close()
        again = start(tmp_path / "parts", made, **HOW)
        assert again.state_hash == state
        again.close()
    assert entries(tmp_path / "parts") == entries(tmp_path / "whole")
    for name in (tmp_path / "parts" / "snapshots").iterdir():
        name.unlink()
    again = start(tmp_path / "parts", made, **HOW)
    assert (again.recovery.replayed, again.state_hash) == (len(entries(tmp_path / "whole")), hashes)
    again.close()


def test_a_snapshot_becomes_durable_together_with_its_bar(tmp_path: Path, monkeypatch: Any) -> None:
    """A kill between them would leave quotes that the next start asks for once more."""
    ends = []
    extend = JournalFile.extend

    def watched(file: JournalFile, more: Any) -> None:
        ends.append(more[-1].kind)
        extend(file, more)

    monkeypatch.setattr(JournalFile, "extend", watched)
    live(tmp_path, BARS[:30], settings(), **HOW).close()
    assert "quotes" not in ends
    assert [e.kind for e in entries(tmp_path)].count("quotes") == 30
    kinds = [e.kind for e in entries(tmp_path)]
    assert all(after == "bar" for kind, after in itertools.pairwise(kinds) if kind == "quotes")


def test_modelled_and_live_do_not_continue_each_other(tmp_path: Path) -> None:
    start(tmp_path / "live", settings()).close()
    with pytest.raises(DataError, match="begun with quotes 'live', not 'modelled'"):
        Trader(tmp_path / "live", strategy(), settings(), run=RUN, identity={}, simulated=False)
    one = Trader(tmp_path / "modelled", strategy(), settings(), run=RUN, identity={}, simulated=False)
    with pytest.raises(InvariantError, match="quotes are modelled"):
        one.bar(BARS[:1], None, snapshot(BARS[0], settings()))
    one.close()
