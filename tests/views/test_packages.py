"""Published packages beside a model's price, and the bounds that no model may break."""

import numpy as np
import pytest

from maxlib.market.bars import NS_PER_MINUTE
from maxlib.market.contract import Contract, Leg
from maxlib.research import autopsy
from maxlib.research import scenario as scenarios
from maxlib.research.run import run_scenario
from maxlib.views.packages import Package, broken, packages

DAY = 20_406


def legs(*each: tuple[int, str, float]) -> list[Leg]:
    return [Leg(Contract("QQQ", DAY, right, round(100 * strike)), ratio) for ratio, right, strike in each]


def test_a_balanced_fly_for_a_credit_breaks_convexity() -> None:
    found = broken(legs((1, "C", 633.0), (-2, "C", 638.0), (1, "C", 643.0)), [5.87, 5.01, 4.01], 631.73)
    assert found is not None
    assert found.rule == "BUTTERFLY_CONVEXITY"


def test_a_broken_wing_for_a_credit_is_possible() -> None:
    """The published fly of 30 October 2025: its far wing may lose, so a credit is no gift in itself."""
    assert (
        broken(legs((1, "C", 633.0), (-2, "C", 638.0), (1, "C", 645.0)), [5.8704, 5.011, 4.0149], 631.73)
        is None
    )


def test_an_option_below_exercise_value_breaks_its_bound() -> None:
    found = broken(legs((1, "P", 460.0)), [0.1629], 452.53)
    assert found is not None
    assert found.rule == "BELOW_INTRINSIC"


def test_what_a_rounding_could_explain_is_no_breach() -> None:
    # 4.995 for an intrinsic value of 5.00: a cent of rounding covers it.
    assert broken(legs((1, "C", 600.0)), [4.995], 605.0) is None
    assert broken(legs((1, "C", 600.0)), [4.985], 605.0) is not None


def test_a_package_at_expiry_pays_its_legs_and_keeps_its_credit() -> None:
    def made(net: float, *each: tuple[int, str, float, float]) -> Package:
        return Package(0, 0, 600.0, 600.0, "fly", each, net, 0.0, 0.0, None, None)

    calls = made(-13.66, (1, "C", 633.0, 5.0), (-2, "C", 638.0, 5.0), (1, "C", 645.0, 5.0))
    paid = calls.at_expiry(np.array([600.0, 638.0, 650.0]))
    assert paid.tolist() == pytest.approx([13.66, 513.66, -186.34])
    puts = made(7.6, (1, "P", 551.0, 3.0), (-2, "P", 555.0, 3.0), (1, "P", 559.0, 3.0))
    assert puts.at_expiry(np.array([500.0, 555.0, 570.0])).tolist() == pytest.approx([-7.6, 392.4, -7.6])
    assert puts.name() == "fly +1 P551 −2 P555 +1 P559"


def test_booked_trades_become_packages_with_the_widest_gap_first() -> None:
    settings = scenarios.load("demo_calm", {"data.simulator.days": 20})
    book = autopsy.published("published", settings)
    done = run_scenario(settings, lab=False)
    found = packages(done, book.bars, book.booked)
    rows = {(row["entry_time"], row["legs"]): row for row in book.trades()}
    assert len(found) == len(rows) > 2
    assert sum(p.net_usd for p in found) == pytest.approx(sum(row["net_premium"] for row in rows.values()))
    assert sum(p.pnl_usd for p in found) == pytest.approx(sum(row["pnl"] for row in rows.values()))
    gaps = [p.model_usd - p.net_usd for p in found]
    assert gaps == sorted(gaps, reverse=True)
    for p in found:
        # A package is its legs, at the model's price too: never below what its payoff is worth at the worst.
        assert p.net_usd == pytest.approx(100 * sum(n * paid for n, _, _, paid in p.legs))
        assert p.model_usd > -100 * sum(abs(n) * strike for n, _, strike, _ in p.legs)
        assert p.at < p.left <= p.at + 121 * NS_PER_MINUTE
        at = np.searchsorted(done.run.bars["ts"], p.left)
        assert p.left_spot == done.run.bars["close"][at]


def test_the_modelled_price_is_the_desks_at_the_minute_of_the_entry() -> None:
    """By the convention of spec §12.1, written out: Black-Scholes at the volatility in force."""
    from maxlib.options.pricing import bsm, years

    settings = scenarios.load("demo_calm", {"data.simulator.days": 20, "desk.model": "spec"})
    book = autopsy.published("published", settings)
    done = run_scenario(settings, lab=False)
    bars = done.run.bars
    for p in packages(done, book.bars, book.booked):
        i = int(np.searchsorted(bars["ts"], p.at + NS_PER_MINUTE))
        t, sigma = years(960 - int(bars["minute"][i])), float(done.run.sigma[i])
        legs_usd = [100 * n * bsm(right, p.spot, strike, t, sigma) for n, right, strike, _ in p.legs]
        assert p.model_usd == pytest.approx(sum(legs_usd))
