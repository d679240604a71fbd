"""The options lab without a browser: controls are set, figures, tables and messages read."""

import dataclasses
import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest

from maxlib.core.errors import ConfigError, DataError
from maxlib.market.calendar import ordinal, to_ns
from maxlib.market.contract import Leg
from maxlib.market.quotes import QUOTE, Chain
from maxlib.options.fly_decision import Tier
from maxlib.options.pricing import bsm
from maxlib.options.structures import RATIOS, Listing
from maxlib.options.unwind import unwind
from maxlib.views.options_bench import choose, trading_minutes
from maxlib.views.options_figures import DENSITY, EXPIRY, GAIN, LOSS, NOW, POINT
from maxlib.views.options_lab import OptionsLab
from maxlib.views.options_reading import Tiers, way_out
from maxlib.views.options_sources import sources

DAY = dt.date(2025, 1, 2)
OPEN, NOON, CLOSE = (to_ns(DAY, minute) for minute in (570, 720, 960))
NAN = float("nan")


def rows(ts: int = OPEN, spot: float = 600.0, sigma: float = 0.18, half: float = 0.01) -> Any:
    """Calls and puts from 570 to 630, quoted `half` around Black-Scholes on the trading clock."""
    strikes = range(570, 631)
    made = np.zeros(2 * len(strikes), QUOTE)
    for name in ("last", "volume", "open_interest", "iv", "delta", "gamma", "theta", "vega"):
        made[name] = NAN
    made["ts"], made["spot"], made["spot_at"] = ts, spot, ts
    made["expires_at"], made["expiry"] = CLOSE, ordinal(DAY)
    made["bid_size"] = made["ask_size"] = 10
    t = trading_minutes(ts, CLOSE) / (390 * 252)
    for i, strike in enumerate(strikes):
        for row, right, sign in ((made[2 * i], "P", -1), (made[2 * i + 1], "C", 1)):
            value = bsm(right, spot, strike, t, sigma)
            row["strike"], row["right"] = strike, sign
            row["bid"], row["ask"] = (value - half if value - half >= 0.01 else NAN), value + half
    return made


def chain(made: Any = None, **quotes: tuple[float, float]) -> Chain:
    """A chain by hand; `quotes` such as C600=(3.00, 3.10) replace bid and ask."""
    made = rows() if made is None else made
    for name, sides in quotes.items():
        here = (made["strike"] == float(name[1:])) & (made["right"] == (1 if name[0] == "C" else -1))
        made["bid"][here], made["ask"][here] = sides
    return Chain("QQQ", made, "simulated", "by hand", ("made by hand",))


def lab(
    shown: Chain | None = None, kind: str = "fly", strikes: Any = (600, 605, 610), **options: Any
) -> OptionsLab:
    """The lab on one chain, a fly 600/605/610 first."""
    made = OptionsLab({"x": shown or chain()}, chain="x", kind=kind, strikes=strikes, **options)
    assert made.banner.value == ""
    return made


# definitions.md, "Payoffs per share": kind, strikes, quotes that make its price; debit, loss, gain,
# breakevens
CHECKED = [
    ("long", (600,), {"C600": (2.10, 2.20)}, 220, 220, None, (602.20,)),
    ("vertical", (600, 605), {"C600": (3.00, 3.10), "C605": (0.90, 1.00)}, 220, 220, 280, (602.20,)),
    ("fly", (600, 605, 610), {"C600": (3.0, 3.1), "C605": (1.1, 1.2), "C610": (0.05, 0.1)},
     100, 100, 400, (601.0, 609.0)),
    ("unbalanced", (600, 606, 609), {"C600": (3.0, 3.1), "C606": (0.8, 0.9), "C609": (0.1, 0.15)},
     100, 100, 500, (601.0, 608.50)),
    ("unbalanced", (600, 605, 610), {"C600": (3.0, 3.1), "C605": (0.8, 0.9), "C610": (0.1, 0.15)},
     100, 600, 400, (601.0, 607.0)),
    ("broken_wing", (600, 605, 612), {"C600": (3.0, 3.1), "C605": (1.7, 1.8), "C612": (0.05, 0.1)},
     -20, 180, 520, (610.20,)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "strikes", "quotes", "debit", "loss", "gain", "breakevens"), CHECKED)
def test_a_structure_has_the_checked_figures_of_definitions(
    kind: str, strikes: Any, quotes: Any, debit: int, loss: int, gain: int | None, breakevens: Any
) -> None:
    found = lab(chain(**quotes), kind, strikes).result()["figures"]
    assert found["debit_cents"] == debit
    assert (found["max_loss_cents"], found["max_gain_cents"]) == (loss, gain)
    assert found["breakevens"] == pytest.approx(breakevens, abs=1e-9)


def test_the_table_says_the_same_a_share_a_unit_and_for_the_position() -> None:
    shown = lab(chain(C600=(3.00, 3.10), C605=(0.90, 1.00)), "vertical", (600, 605), quantity=3)
    text = shown.panels["figures"].value
    for words in (">Debit<", ">2.20<", ">$220.00<", ">$660.00<", ">−2.20<", ">+$840.00<", ">602.20<"):
        assert words in text
    credit = lab(chain(C600=(3.0, 3.1), C605=(1.7, 1.8), C612=(0.05, 0.1)), "broken_wing", (600, 605, 612))
    assert ">Credit<" in credit.panels["figures"].value
    assert ">0.20<" in credit.panels["figures"].value


def test_odds_and_expected_value_come_from_the_chains_own_density() -> None:
    shown = lab()
    debit = shown.reading.price.debit_cents / 100
    # definitions.md: S 600, σ 18 %, one session: the fly is worth 1.086420.
    assert shown.reading.ev + debit == pytest.approx(1.086420, abs=0.01)
    deviation = 0.18 / math.sqrt(252)

    def below(level: float) -> float:
        return 0.5 * math.erfc(-(math.log(level / 600) / deviation + deviation / 2) / math.sqrt(2))

    assert below(609) - below(601) == pytest.approx(0.345752, abs=1e-6)  # as definitions.md has it
    assert shown.reading.pop == pytest.approx(below(610 - debit) - below(600 + debit), abs=0.01)


# --- sliders


def test_at_the_moment_of_the_quotes_the_value_is_the_models() -> None:
    shown = lab()
    assert shown.reading.value == pytest.approx(1.086420, abs=0.01)
    assert shown.reading.scenario == (0.0, 390.0, 1.0)


def test_without_time_the_value_is_the_payoff() -> None:
    shown = lab()
    shown.controls.left.value = 0
    for shift, value in ((0.0, 0.0), (5.0, 5.0), (2.5, 2.5), (7.5, 2.5)):
        shown.controls.shift.value = shift
        assert shown.reading.value == pytest.approx(value, abs=1e-6)  # the parity forward is 600 but for dust


def test_delta_and_vega_are_how_the_value_moves_with_their_sliders() -> None:
    shown = lab()
    delta, vega = shown.reading.greeks.delta, shown.reading.greeks.vega
    values = []
    for shift in (-0.25, 0.25):
        shown.controls.shift.value = shift
        values.append(shown.reading.value)
    assert (values[1] - values[0]) / 0.5 == pytest.approx(delta, abs=2e-3)
    shown.controls.shift.value, values = 0.0, []
    for scale in (0.95, 1.05):
        shown.controls.iv_scale.value = scale
        values.append(shown.reading.value)
    assert (values[1] - values[0]) / (0.1 * 0.18) == pytest.approx(vega, rel=0.02)


def test_sliders_leave_what_belongs_to_the_quotes() -> None:
    shown = lab()
    before = shown.result()
    for name, value in (("shift", 2.5), ("left", 30), ("iv_scale", 2.0)):
        shown.controls.fields()[name].value = value
    after = shown.result()
    assert after["sliders"] != before["sliders"]
    for part in ("figures", "bounds", "selection", "structure", "chain"):
        assert after[part] == before[part]


def test_reset_leads_back() -> None:
    shown = lab()
    before = shown.result()
    for name, value in (("shift", -4.0), ("left", 5), ("iv_scale", 0.5)):
        shown.controls.fields()[name].value = value
    shown.controls.reset.click()
    assert shown.result() == before


def test_time_beyond_a_session_is_told_in_days() -> None:
    made = rows()
    made["expires_at"], made["expiry"] = to_ns(dt.date(2025, 1, 6), 960), ordinal(dt.date(2025, 1, 6))
    shown = lab(chain(made))
    assert shown.controls.left.description == "Days"
    assert shown.controls.left.max == 3.0  # Thursday, Friday, Monday
    shown.controls.left.value = 1.5
    assert shown.reading.scenario.minutes == 585


# --- the chart


def sent(shown: OptionsLab, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(shown.chart, "send", lambda message, buffers=None: messages.append(message))
    return messages


def test_the_chart_shows_the_payoff_with_its_knees_and_crossings() -> None:
    shown = lab(chain(C600=(3.0, 3.1), C605=(1.1, 1.2), C610=(0.05, 0.1)), quantity=2)
    drawn = shown.chart.figure
    end = dict(zip(drawn["data"][EXPIRY]["x"], drawn["data"][EXPIRY]["y"], strict=True))
    assert (end[600.0], end[601.0], end[605.0], end[609.0], end[610.0]) == (-200, 0, 800, 0, -200)
    assert min(drawn["data"][GAIN]["y"]) == 0
    assert max(drawn["data"][LOSS]["y"]) == 0
    texts = [note["text"] for note in drawn["layout"]["annotations"]]
    assert {"601.00", "609.00"} < set(texts)
    assert "spot 600.00 · forward 600.00" in texts


def test_the_density_behind_has_the_whole_mass() -> None:
    trace = lab().chart.figure["data"][DENSITY]
    assert np.trapezoid(trace["y"], trace["x"]) == pytest.approx(1.0, abs=0.01)


def test_a_slider_sends_what_moved_and_no_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = lab()
    messages = sent(shown, monkeypatch)
    shown.controls.shift.value = 2.0
    (message,) = messages
    assert message["type"] == "delta"
    assert [trace for trace, _ in message["update"]] == [NOW, POINT]
    assert set(message["layout"]) == {"shapes", "annotations"}
    assert message["append"] == []
    json.dumps(message, allow_nan=False)


def test_another_structure_sends_a_new_figure_that_the_browser_sees_as_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = lab()
    messages = sent(shown, monkeypatch)
    shown.controls.kind.value = "vertical"
    shown.controls.kind.value = "long"
    assert [message["type"] for message in messages] == ["figure", "figure"]
    first, second = (message["figure"]["layout"]["datarevision"] for message in messages)
    assert first != second


# --- the firewall


def test_the_bounds_of_a_vertical_are_nothing_and_its_width() -> None:
    shown = lab(None, "vertical", (595, 605))
    low, high, package = shown.reading.bounds
    assert (low.low, low.high) == (500, 60_000)  # 595 C at 600: its intrinsic value, and the underlying
    assert (high.low, high.high) == (0, 60_000)
    assert package.low == 0
    assert package.high == pytest.approx(1000 * 600 / 605)  # the line from 0 at 0 to 10 dollars at 605
    assert package.price_cents == low.price_cents - high.price_cents
    assert all(bound.passes for bound in shown.reading.bounds)


def test_a_real_chain_is_bound_by_its_parity_forward_and_what_that_leaves_open() -> None:
    real = dataclasses.replace(chain(), origin="file")
    real.rows["spot"] = 594.0  # of another moment
    moment = lab(real).snapshot.moment
    assert moment.spot == pytest.approx(600.0, abs=0.02)
    assert moment.slack_cents == pytest.approx(2.0, abs=0.1)  # half of the summed spreads, a cent a side each
    assert moment.carry_cents > 0


def test_a_doctored_ask_is_refused_in_the_firewalls_own_sentence() -> None:
    shown = lab(chain(C595=(4.00, 4.50)), "vertical", (595, 605))
    leg, other, package = shown.reading.bounds
    assert not leg.passes
    assert other.passes
    assert not package.passes
    assert leg.why == (
        "QQQ250102C00595000 bought at 450 c a share, below its intrinsic value of 500 c at a spot of 600.00"
    )
    assert "below its intrinsic value of 500 c" in shown.panels["firewall"].value
    assert "refused" in shown.panels["firewall"].value


def test_a_doctored_fly_is_refused_although_each_leg_would_pass() -> None:
    # A body that is sold for more than the line between its wings.
    shown = lab(chain(C605=(1.60, 1.65)))
    *legs, package = shown.reading.bounds
    assert all(leg.passes for leg in legs)
    assert not package.passes
    assert "breaks butterfly convexity" in package.why


def test_more_than_is_displayed_fills_in_part() -> None:
    shown = lab(None, "long", (600,), quantity=20)
    (bound,) = shown.reading.bounds
    assert bound.passes
    assert "Only 10 of 20 would fill" in shown.panels["firewall"].value


def test_a_side_that_nobody_shows_has_no_price_and_no_fill() -> None:
    shown = lab(chain(C605=(NAN, 1.06)))
    assert shown.result()["figures"]["unpriced"] == "NO_BID QQQ250102C00605000"
    assert "nobody bids for 605 C" in shown.panels["figures"].value
    assert "nobody bids (bid None)" in shown.panels["firewall"].value
    assert not shown.reading.bounds[1].passes
    assert shown.chart.figure["data"][EXPIRY]["y"] == []


def test_a_quote_older_than_the_fill_model_allows_is_refused() -> None:
    made = rows()
    made["quoted_at"] = made["ts"] - 5_000_000_000
    assert "stale quote of 5000 ms" in lab(chain(made)).reading.bounds[0].why


# --- the way out


FLY = {"C600": (3.0, 3.1), "C605": (1.1, 1.2), "C610": (0.05, 0.1)}
UNBALANCED = {"C600": (3.0, 3.1), "C606": (0.8, 0.9), "C609": (0.1, 0.15)}


def orders(shown: OptionsLab) -> list[tuple[int, dict[float, int], int | None]]:
    """Units, ratio by strike, and cents a share that one unit brings."""
    return [
        (step.units, {leg.contract.strike: leg.ratio for leg in step.legs}, step.cents)
        for step in shown.reading.way_out.steps
    ]


def test_a_vertical_leaves_in_one_order_sold_at_the_bid_and_bought_at_the_ask() -> None:
    shown = lab(chain(C600=(3.00, 3.10), C605=(0.90, 1.00)), "vertical", (600, 605), quantity=3)
    assert orders(shown) == [(3, {600: -1, 605: 1}, 200)]  # 3.00 − 1.00
    assert shown.reading.way_out.cents == 200
    text = shown.panels["exit"].value
    assert "3 × −1 600 C +1 605 C" in text
    assert ">+$600.00<" in text
    assert "The tiers are for flies" in text
    assert shown.result()["tiers"]["tier"] is None


def test_a_fly_leaves_by_verticals_the_one_that_carries_risk_first() -> None:
    shown = lab(chain(**FLY), quantity=2)
    # 0.05 − 1.20, then 3.00 − 1.20; together 0.35 under the debit of 1.00, the fly's whole spread.
    assert orders(shown) == [(2, {605: 1, 610: -1}, -115), (2, {605: 1, 600: -1}, 180)]
    assert shown.reading.way_out.cents == 65
    assert ">−$230.00<" in shown.panels["exit"].value
    assert ">+$130.00<" in shown.panels["exit"].value


def test_an_unbalanced_fly_leaves_unit_by_unit() -> None:
    shown = lab(chain(**UNBALANCED), "unbalanced", (600, 606, 609), quantity=4)
    # 0.10 − 0.90 twice, then 3.00 − 0.90.
    assert orders(shown) == [(2, {606: 1, 609: -1}, -80), (1, {606: 1, 600: -1}, 210)]
    assert shown.reading.way_out.cents == 50
    assert shown.reading.way_out.rounds == 4
    assert "one order after the other, 4 rounds" in shown.panels["exit"].value


@pytest.mark.parametrize("kind", RATIOS)
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("quantity", [1, 3, 8])
def test_the_orders_shown_are_those_of_the_trader(kind: str, side: int, quantity: int) -> None:
    shown = lab(None, kind, (600, 600 + 5 * side, 600 + 10 * side)[: len(RATIOS[kind])], side=side)
    built = shown.reading.structure
    made = way_out(shown.snapshot, built, quantity)
    held = tuple(Leg(leg.contract, quantity * leg.ratio) for leg in built.legs)
    assert [(s.legs, s.units) for s in made.steps] * made.rounds == unwind(built.legs, held, "test")


def test_a_wing_without_a_bid_is_kept_and_its_body_bought_back_alone() -> None:
    shown = lab(chain(**FLY | {"C610": (NAN, 0.10)}))
    first, second = shown.result()["exit"]["orders"]
    assert (first["brings_cents"], first["kept"]) == (-120, ["QQQ250102C00610000"])
    assert (second["brings_cents"], second["kept"]) == (180, [])
    assert shown.reading.way_out.cents == 60
    text = shown.panels["exit"].value
    assert "+1 605 C <s>−1 610 C</s>" in text
    assert "Nobody bids for 610 C: kept, and 605 C bought back alone." in text
    alone = lab(chain(C600=(NAN, 0.10)), "long", (600,))
    assert alone.reading.way_out.cents == 0
    assert "Nobody bids for 600 C: kept." in alone.panels["exit"].value


def test_an_order_that_nobody_offers_a_leg_for_has_no_price() -> None:
    shown = lab(chain(**FLY | {"C605": (1.1, NAN)}))
    assert [cents for _, _, cents in orders(shown)] == [None, None]
    assert shown.reading.way_out.cents is None
    assert shown.result()["exit"]["orders"][0]["unpriced"] == "NO_ASK QQQ250102C00605000"
    assert "No price: nobody offers 605 C; orders after it wait." in shown.panels["exit"].value
    assert "Without a price to enter at" in shown.panels["exit"].value


# --- the tiers


MONDAY = dt.date(2025, 1, 6)


def tiered(quotes: Any, dte: int, **options: Any) -> OptionsLab:
    """The lab on a chain that expires `dte` days after its moment, a Monday's open, with no time left."""
    made = rows()
    expiry = MONDAY + dt.timedelta(days=dte)
    made["ts"] = made["spot_at"] = to_ns(MONDAY, 570)
    made["expires_at"], made["expiry"] = to_ns(expiry, 960), ordinal(expiry)
    shown = lab(chain(made, **quotes), **options)
    shown.controls.left.value = 0  # the value is the payoff, which a hand can count
    return shown


def at(shown: OptionsLab, spot: float) -> Tiers:
    shown.controls.shift.value = spot - shown.snapshot.here
    found = shown.reading.tiers
    assert isinstance(found, Tiers)
    return found


# The fly 600/605/610 for 1.00 is worth S − 600 up to 605. By the tables of test_fly_decision: it is cut
# at a value of 50, and has captured 60 % at 340; it pins at 300, at most 1.50 from 605.
TIERED = [
    (4, 600.50, "LOSS_CUT"), (4, 600.51, "HOLD"),
    (2, 603.40, "BASE_PROFIT"), (2, 603.39, "HOLD"), (1, 603.40, "HOLD"),
    (2, 601.24, "GIVE_UP"), (2, 601.25, "HOLD"), (4, 601.24, "HOLD"), (1, 601.24, "HOLD"),
    (2, 600.51, "GIVE_UP"), (2, 600.50, "LOSS_CUT"),
    (1, 603.50, "PIN"), (1, 603.49, "HOLD"), (1, 606.50, "PIN"), (0, 603.50, "PIN"),
    (0, 603.49, "EXPIRY_DAY"), (0, 600.51, "EXPIRY_DAY"), (0, 600.50, "LOSS_CUT"),
]  # fmt: skip


@pytest.mark.parametrize(("dte", "spot", "tier"), TIERED)
def test_a_fly_at_the_sliders_is_in_its_tier(dte: int, spot: float, tier: Tier) -> None:
    shown = tiered(FLY, dte)
    assert at(shown, spot).decision.tier == tier
    assert f"<b>{tier.replace('_', ' ')}</b>" in shown.panels["exit"].value
    assert shown.result()["tiers"]["tier"] == tier


def test_the_way_to_each_bound_is_told() -> None:
    shown = tiered(FLY, 2)
    found = at(shown, 602.0)  # worth 200: a gain of 100, a quarter of 400, and 60 % of W = 5 from the body
    told = {(b.tier, b.measure): (b.now, b.to_go) for b in found.bounds}
    assert told == {
        ("LOSS_CUT", "loss"): (-100, pytest.approx(150)),
        ("BASE_PROFIT", "captured"): (0.25, pytest.approx(0.35)),
        ("GIVE_UP", "captured"): (0.25, 0),
        ("GIVE_UP", "from body"): (pytest.approx(0.6), pytest.approx(0.15)),
        ("PIN", "from body"): (pytest.approx(0.6), pytest.approx(0.3)),
        ("PIN", "profit"): (100, pytest.approx(100)),
        ("EXPIRY_DAY", ""): (None, None),
    }
    text = shown.panels["exit"].value
    assert "no tier holds: profit 100, captured 25.0%, 2 days left" in text
    for words in (">−100 ¢<", ">≥ 50 ¢<", ">150 ¢<", ">35.0 %<", ">≥ 200 ¢<", "&gt; 75 %", ">2–3<"):
        assert words in text


def test_a_bound_that_must_be_passed_is_not_met_by_being_at_it() -> None:
    shown = tiered(FLY, 2)
    # 120 of 400 captured is 30 %, and 601.25 is 75 % of W from the body: both just not enough to give up.
    assert [b.met for b in at(shown, 602.20).bounds if b.tier == "GIVE_UP"] == [False, False]
    assert [b.met for b in at(shown, 602.19).bounds if b.tier == "GIVE_UP"] == [True, False]
    assert [b.met for b in at(shown, 601.25).bounds if b.tier == "GIVE_UP"] == [True, False]
    assert "&lt; 30 %" in shown.panels["exit"].value


def test_a_broken_wing_for_a_credit_is_cut_at_half_of_what_its_wing_can_lose() -> None:
    # 600/605/612 for 0.20 loses 1.80 at most: cut at a loss of 90, a value of −110, at 611.10.
    quotes = {"C600": (3.0, 3.1), "C605": (1.7, 1.8), "C612": (0.05, 0.1)}
    shown = tiered(quotes, 4, kind="broken_wing", strikes=(600, 605, 612))
    assert at(shown, 611.10).decision.tier == "LOSS_CUT"
    assert "loss 90 is at least 50% of the risk 180" in shown.panels["exit"].value
    assert at(shown, 611.09).decision.tier == "HOLD"
    # 60 % of the credit of 20 is kept while it is worth −8: at 610.08.
    assert at(shown, 610.08).decision.tier == "BASE_PROFIT"
    assert at(shown, 610.09).decision.tier == "HOLD"


def test_an_unbalanced_fly_has_a_rail_beyond_its_losing_wing() -> None:
    shown = tiered(UNBALANCED, 4, kind="unbalanced", strikes=(600, 606, 609))
    rail = at(shown, 609.30).bounds[1]  # its own W is 3: 10 % of it beyond 609
    assert (rail.tier, rail.measure, rail.met) == ("LOSS_CUT", "past wing", True)
    assert "past wing" in shown.panels["exit"].value
    rail = at(shown, 607.50).bounds[1]
    assert rail.now == pytest.approx(-0.5)
    assert rail.to_go == pytest.approx(0.6)
    assert len(at(tiered(FLY, 4), 609.30).bounds) == len(shown.reading.tiers.bounds) - 1


def test_a_tier_holds_when_its_days_and_bounds_are_met_and_the_first_of_them_decides() -> None:
    seen = set()
    for quotes, strikes in ((FLY, (600, 605, 610)), (UNBALANCED, (600, 606, 609))):
        kind = "fly" if quotes is FLY else "unbalanced"
        for dte in (0, 1, 2, 4):
            shown = tiered(quotes, dte, kind=kind, strikes=strikes)
            for spot in np.arange(596.0, 614.0, 0.25):
                found = at(shown, float(spot))
                assert found.decision.tier == decided(found, dte)
                seen.add(found.decision.tier)
    assert seen == {"HOLD", "LOSS_CUT", "BASE_PROFIT", "GIVE_UP", "PIN", "EXPIRY_DAY"}


def decided(found: Tiers, dte: int) -> str:
    for tier in ("LOSS_CUT", "BASE_PROFIT", "GIVE_UP", "PIN", "EXPIRY_DAY"):
        own = [b for b in found.bounds if b.tier == tier]
        enough = any if tier == "LOSS_CUT" else all
        if own[0].days[0] <= dte <= own[0].days[1] and enough(b.met for b in own):
            return tier
    return "HOLD"


def test_the_tiers_follow_the_sliders_and_the_orders_stay() -> None:
    shown = lab(chain(**FLY))
    before = shown.result()
    for name, value in (("shift", 2.5), ("left", 30), ("iv_scale", 2.0)):
        last = shown.result()["tiers"]
        shown.controls.fields()[name].value = value
        made = shown.result()
        assert made["tiers"] != last
        assert made["exit"] == before["exit"]
        profit = 100 * shown.reading.value - 100
        assert made["tiers"]["numbers"]["pnl"] == pytest.approx(profit, abs=0.051)  # to a tenth of a cent


def test_an_expired_fly_has_no_tier() -> None:
    shown = lab(chain(rows_after_expiry()))
    assert "It expired before the day of the quotes." in shown.panels["exit"].value


def rows_after_expiry() -> Any:
    made = rows()
    made["ts"] = made["spot_at"] = to_ns(dt.date(2025, 1, 3), 570)
    return made


# --- the controls


def labels(field: Any) -> list[str]:
    return [text for text, _ in field.options]


def test_strikes_are_the_listed_ones_beyond_each_other() -> None:
    shown = lab(None, "vertical", (600, 605))
    first, second, third = shown.controls.strikes
    assert labels(first) == [str(k) for k in range(570, 630)]  # one must be left beyond
    assert labels(second) == [str(k) for k in range(601, 631)]
    assert third.disabled
    assert third.tooltip == "a vertical has 2 strikes"
    first.value = 61_000
    assert labels(second)[0] == "611"
    assert shown.reading.structure.label == "vertical +1 610C -1 611C"


def test_a_flys_far_wing_follows_and_bodies_without_one_are_not_offered() -> None:
    shown = lab()
    low, body, wing = shown.controls.strikes
    assert wing.disabled
    assert "as far as" in wing.tooltip
    body.value = 60_700
    assert shown.reading.structure.label == "fly +1 600C -2 607C +1 614C"
    assert labels(body)[-1] == "615"
    low.value = 60_600
    assert shown.reading.structure.label == "fly +1 606C -2 607C +1 608C"


def test_bearish_structures_are_puts_downwards() -> None:
    shown = lab(None, "vertical", ())
    shown.controls.side.value = -1
    assert shown.controls.target.value == 593.0  # a deviation, 6.80, below 600, on steps of 0.50
    assert shown.reading.structure.label == "vertical +1 600P -1 593P"
    assert labels(shown.controls.strikes[1])[0] == "599"


def test_strikes_as_near_as_the_kind_allows() -> None:
    listing = Listing("QQQ", 1, (59_500, 60_000, 60_500, 61_500))
    assert choose(listing, 1, "vertical", (60_200, 61_200)).chosen == (60_000, 61_500)
    assert choose(listing, -1, "vertical", (60_500, 60_000)).chosen == (60_500, 60_000)
    assert choose(listing, 1, "fly", (59_500, 60_500, 61_500)).chosen == (59_500, 60_500, 61_500)
    assert choose(listing, 1, "fly", (60_000, 60_500, 61_000)) is None  # 61_000 is not listed
    assert choose(listing._replace(strikes=(60_000,)), 1, "vertical", (60_000, 60_500)) is None


def test_a_chain_of_one_moment_and_expiry_says_so() -> None:
    controls = lab().controls
    assert controls.moment.disabled
    assert controls.expiry.disabled
    assert "Fixed: the chain is of one moment." in controls.note.value
    assert not controls.left.disabled
    assert not controls.iv_scale.disabled


def test_after_the_close_time_and_volatility_cannot_be_moved() -> None:
    made = rows()
    made["ts"] = CLOSE + 60_000_000_000
    shown = lab(chain(made), "vertical", (600, 605))
    assert shown.controls.left.disabled
    assert shown.controls.left.tooltip == "no trading is left before it settles"
    assert shown.controls.iv_scale.disabled
    shown.controls.shift.value = 5.0
    assert shown.reading.value == pytest.approx(5.0, abs=0.02)  # the payoff


def test_a_tape_can_be_gone_through_moment_by_moment() -> None:
    both = chain(np.concatenate([rows(OPEN), rows(NOON, 603.0)]))
    shown = lab(both)
    assert not shown.controls.moment.disabled
    assert labels(shown.controls.moment) == ["09:30", "12:00"]
    shown.controls.moment.value = NOON
    assert shown.snapshot.minutes == 240
    assert shown.snapshot.here == pytest.approx(603.0, abs=0.01)
    assert shown.controls.left.max == 240


def test_the_winner_is_taken_with_a_click() -> None:
    shown = lab(None, "long", (600,), target=606.0)
    chosen = shown.reading.selection.chosen
    assert chosen is not None
    assert not shown.controls.take.disabled
    shown.controls.take.click()
    assert shown.reading.structure == chosen
    assert shown.controls.take.disabled
    assert shown.controls.take.tooltip == "the winner is built already"


def test_the_target_chooses_the_rivals_and_all_are_told_why_they_lost() -> None:
    shown = lab(target=606.0)
    text = shown.panels["selection"].value
    assert text.count("class='mx-why'") == 5
    before = shown.reading.selection
    shown.controls.target.value = 601.0
    assert shown.reading.selection != before
    assert "not beyond the strike to buy" in shown.panels["selection"].value
    assert shown.reading.structure.label == "fly +1 600C -2 605C +1 610C"  # built strikes stay


def test_a_target_without_such_a_structure_says_so_and_shows_the_nearest() -> None:
    shown = lab(None, "fly", (), target=600.5)
    assert "For the target there is no fly" in shown.controls.note.value
    assert shown.reading.structure.label == "fly +1 600C -2 601C +1 602C"


# --- chains


def test_what_nobody_quoted_says_so_and_a_file_names_itself() -> None:
    modelled = OptionsLab(sources(real_folder=""))
    assert ">MODELLED<" in modelled.header.value
    assert modelled.result()["chain"]["modelled"] is True
    assert "nobody quoted this" in modelled.panels["quality"].value
    real = lab(dataclasses.replace(chain(), origin="file", name="<b>q.parquet"))
    assert ">FILE<" in real.header.value
    assert "&lt;b&gt;q.parquet" in real.header.value
    assert "MODELLED" not in real.header.value


def test_a_chain_that_cannot_be_read_is_told_and_none_takes_its_place() -> None:
    shown = OptionsLab(sources(path="no/such.parquet", real_folder=""), chain="file")
    assert "there is no such file" in shown.banner.value
    assert shown.snapshot is None
    assert "NO CHAIN" in shown.header.value
    assert shown.controls.kind.disabled
    assert not shown.controls.chain.disabled
    with pytest.raises(DataError, match="there is no such file"):
        shown.result()
    shown.controls.chain.value = "modelled"
    assert shown.banner.value == ""
    assert shown.reading is not None
    assert not shown.controls.kind.disabled


def test_a_name_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ConfigError, match="chain 'spy' is not known; known are modelled"):
        OptionsLab(sources(real_folder=""), chain="spy")
    with pytest.raises(ConfigError, match="kind 'condor' is not known"):
        OptionsLab(sources(real_folder=""), kind="condor")
    with pytest.raises(ConfigError, match="'2025-01-01' is no session"):
        sources(day="2025-01-01")


def test_the_gates_counts_are_those_of_the_moment_and_the_expiry() -> None:
    made = rows()
    made["bid"][:7] = NAN
    crossed = (made["strike"] == 600) & (made["right"] == 1)
    made["bid"][crossed] = 9.0
    shown = lab(chain(made), "long", (605,))
    counts = shown.result()["chain"]["quality"]
    assert counts["no_bid"] == int(np.isnan(made["bid"]).sum()) > 7
    assert counts["crossed"] == 1
    assert ">crossed<" in shown.panels["quality"].value.replace("</td>", "<").replace("\n", "")


def test_half_days_nights_and_weekends_hold_no_trading_minutes() -> None:
    thursday, friday = dt.date(2024, 11, 27), dt.date(2024, 11, 29)  # Thanksgiving between, then a half day
    assert trading_minutes(to_ns(thursday, 950), to_ns(friday, 780)) == 10 + 210
    assert trading_minutes(to_ns(friday, 780), to_ns(friday, 900)) == 0
    assert trading_minutes(to_ns(friday, 780), to_ns(dt.date(2024, 12, 2), 571)) == 1
    assert trading_minutes(to_ns(friday, 780), to_ns(thursday, 780)) == 0


# --- without a kernel


def test_the_static_picture_and_tables_are_stamped_and_whole() -> None:
    shown = OptionsLab(sources(real_folder=""))
    picture = shown.picture()
    assert "MODELLED" in picture.layout.title.text
    assert len(picture.data) == 6
    text = shown.summary()
    titles = ("At the quotes", "At the sliders", "Exit", "Firewall", "Selection", "Chain quality")
    for words in ("MODELLED", *titles):
        assert words in text


def test_the_result_is_plain_json() -> None:
    made = lab().result()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["structure"]["legs"][1] == {"contract": "QQQ250102C00605000", "ratio": -2}
    assert len(made["bounds"]) == 4
    assert math.isclose(made["sliders"]["underlying"], 600.0, abs_tol=0.02)
