"""What was let through may be barred by now: an entry is looked at once more before it goes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from maxlib.engine.trader import Trader
from maxlib.journal.store import read
from maxlib.risk.guard import GuardConfig
from maxlib.risk.health import Vitals
from maxlib.risk.safety import SafetyConfig
from maxlib.risk.sizing import Denial
from tests.engine.scripted import LONG, MINUTE, SHORT, Market, config, strategy

WIDE = SafetyConfig(position_fraction=1.0, exposure_fraction=1.0, premium_usd=100_000)


def trader(folder: Path, *, guard: Any = None, **more: Any) -> Trader:
    made = config(**more).model_copy(update={"guard": guard, "strategy": "scripted"})
    return Trader(folder, strategy(), made, run="look", identity={}, simulated=True)


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(e.body) for e in read(folder / "journal.sqlite") if e.kind == kind]


def flat(*, until: str = "10:00") -> Any:
    return Market().flat("09:30", until, 500.0).signal("09:40", LONG).bars


def play(one: Trader, bars: Any, first: int, last: int, **how: Any) -> None:
    for i in range(first, last):
        one.bar(bars[i : i + 1], **how)


def bar_entries(name: str, one: Trader, ts: int) -> None:
    match name:
        case "HALTED":
            one.command("halt", ts)
        case "KILL_SWITCH":
            one.command("kill", ts)
        case "FEED_DOWN":
            one.feed(Denial("FEED_DOWN", 0.0, 3.0), ts)
        case "JOURNAL_DOWN":
            one.process(Denial("JOURNAL_DOWN", 0.0, 3.0), ts)
        case "BREAKER_ERRORS":
            for n in range(10):
                one.error("the broker failed", ts + n)
        case "SAFE_MODE":
            one.vitals(Vitals(ts, 1.0, 99.9, 99.9, False))


BARS_IT = ["HALTED", "KILL_SWITCH", "FEED_DOWN", "JOURNAL_DOWN", "BREAKER_ERRORS", "SAFE_MODE"]


@pytest.mark.parametrize("code", BARS_IT)
def test_an_entry_that_waits_does_not_go_out_when_it_is_barred_by_then(code: str, tmp_path: Path) -> None:
    bars = flat()
    one = trader(tmp_path, guard=GuardConfig(regimes=None, safety=WIDE))
    play(one, bars, 0, 11)
    assert len(rows(tmp_path, "order")) == 1
    bar_entries(code, one, int(bars["ts"][10]))
    play(one, bars, 11, 20)
    assert [row["code"] for row in rows(tmp_path, "rejected")] == [code]
    assert not rows(tmp_path, "fill")
    assert not one.shell.machine.positions
    state = one.state_hash
    one.close()
    again = trader(tmp_path, guard=GuardConfig(regimes=None, safety=WIDE))
    assert again.state_hash == state
    again.close()


def test_nothing_bars_it_and_it_goes_out(tmp_path: Path) -> None:
    one = trader(tmp_path, guard=GuardConfig(regimes=None, safety=WIDE))
    play(one, flat(), 0, 20)
    assert len(rows(tmp_path, "fill")) == 1
    one.close()


def test_what_is_open_leaves_whatever_bars_entries(tmp_path: Path) -> None:
    bars = flat()
    one = trader(tmp_path, hold_minutes=5, guard=GuardConfig(regimes=None, safety=WIDE))
    play(one, bars, 0, 13)
    for code in BARS_IT:
        bar_entries(code, one, int(bars["ts"][12]))
    play(one, bars, 13, 20)
    assert [row["reason"] for row in rows(tmp_path, "closed")] == ["time"]
    one.close()


@pytest.mark.parametrize(("missing", "code"), [(1, None), (2, "STALE_ENTRY"), (100, "STALE_ENTRY")])
def test_nobody_enters_on_a_decision_of_the_past(missing: int, code: str | None, tmp_path: Path) -> None:
    """Decided at 09:41: the open at 09:42 is 60 s later, that at 09:43 is 120 s later."""
    bars = flat(until="12:00")
    one = trader(tmp_path)
    play(one, bars, 0, 11)
    play(one, bars, 11 + missing, 15 + missing)
    assert [row["code"] for row in rows(tmp_path, "rejected")] == ([] if code is None else [code])
    assert len(rows(tmp_path, "fill")) == (code is None)
    one.close()


def test_an_exit_of_a_minute_that_was_known_late_is_made_at_the_next_price_there_is(tmp_path: Path) -> None:
    """Stopped at 09:50 by a minute known too late; the first minute in time opens at 510 at 10:00."""
    market = Market().flat("09:30", "09:49", 500.0).signal("09:40", LONG)
    market.bar("09:50", 500.0, 500.0, 480.0, 480.0).flat("09:51", "09:59", 480.0).flat(
        "10:00", "10:10", 510.0
    )
    bars, plan = market.bars, {"stop": 0.02}
    prompt, late = tmp_path / "prompt", tmp_path / "late"
    one = trader(prompt, **plan)
    play(one, bars, 0, len(bars))
    [_, stopped] = rows(prompt, "fill")
    assert stopped["spot"] == pytest.approx(490.0)  # at the stop, within its minute
    one.close()
    two = trader(late, **plan)
    play(two, bars, 0, 20)
    play(two, bars, 20, 30, late=True)
    assert [row["purpose"] for row in rows(late, "order")] == ["open", "stop"], (
        "it was decided when it was known"
    )
    assert len(rows(late, "fill")) == 1
    play(two, bars, 30, len(bars))
    [_, left] = rows(late, "fill")
    assert left["spot"] == 510.0
    at = [e.ts for e in read(late / "journal.sqlite") if e.kind == "fill"][1]
    assert at == int(bars["ts"][30]) - MINUTE
    state = two.state_hash
    two.close()
    again = trader(late, **plan)
    assert again.state_hash == state
    again.close()


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_day_that_was_not_seen_to_its_end_is_settled_by_its_close_and_nothing_is_sold(
    side: float, tmp_path: Path
) -> None:
    """Worth at expiry: 9 dollars a share of the 499 call at 508, nothing of the 501 put."""
    bars = Market().flat("09:30", "10:00", 500.0).signal("09:40", side).bars
    one = trader(tmp_path, hold_minutes=300)
    play(one, bars, 0, len(bars))
    (position,) = one.shell.machine.positions.values()
    strike = position.legs[0].contract.strike
    assert one.unseen == 359, "seen to 10:01, of a session that closes at 16:00"
    one.finish(508.0)
    fills = rows(tmp_path, "fill")
    worth = max(0.0, 508.0 - strike) if side == LONG else max(0.0, strike - 508.0)
    assert fills[1]["price_cents"] == round(100 * worth)
    assert [row["reason"] for row in rows(tmp_path, "closed")] == ["expiry"]
    state = one.state_hash
    one.close()
    again = trader(tmp_path, hold_minutes=300)
    assert again.state_hash == state
    again.close()
