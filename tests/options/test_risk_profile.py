"""Risk profiles: sums over legs, differences of the value, and the checked fly of definitions.md."""

import numpy as np
import pytest

from maxlib.options.density import lognormal
from maxlib.options.payoff import Outcome
from maxlib.options.pricing import years
from maxlib.options.risk_profile import curves, net_greeks, risk_profile, value_now
from tests.options.packages import package, paid

FLY = package((1, 600), (-2, 605), (1, 610))
SIGMAS = (0.18, 0.17, 0.19)
T = years(390)


def test_a_package_is_worth_its_legs() -> None:
    one = value_now(FLY[:1], 600.0, T, SIGMAS[:1])
    body = value_now(FLY[1:2], 600.0, T, SIGMAS[1:2])
    wing = value_now(FLY[2:], 600.0, T, SIGMAS[2:])
    assert body < 0
    assert value_now(FLY, 600.0, T, SIGMAS) == pytest.approx(one + body + wing, abs=1e-12)
    assert round(value_now(FLY, 600.0, T, (0.18,) * 3), 6) == 1.086420  # definitions.md


def test_net_greeks_are_the_slopes_of_the_value() -> None:
    net = net_greeks(FLY, 601.0, T, SIGMAS, 0.04, 0.005)

    def value(spot: float = 601.0, t: float = T, up: float = 0.0) -> float:
        return value_now(FLY, spot, t, [sigma + up for sigma in SIGMAS], 0.04, 0.005)

    assert net.price == pytest.approx(value())
    assert net.delta == pytest.approx((value(601.01) - value(600.99)) / 0.02, rel=1e-5)
    assert net.gamma == pytest.approx((value(601.01) - 2 * value() + value(600.99)) / 1e-4, rel=1e-3)
    assert net.vega == pytest.approx((value(up=1e-5) - value(up=-1e-5)) / 2e-5, rel=1e-5)
    assert net.theta == pytest.approx(
        (value(t=T * (1 - 1e-5)) - value(t=T * (1 + 1e-5))) / (2e-5 * T), rel=1e-5
    )


def test_a_profile_holds_the_checked_numbers_of_definitions() -> None:
    density = lognormal(600.0, T, 0.18)
    profile = risk_profile(FLY, 100, net_greeks(FLY, 600.0, T, (0.18,) * 3), density)
    assert profile.outcome == Outcome(100, 400, (601.0, 609.0))
    assert round(profile.pop, 6) == 0.345752
    assert round(profile.ev, 6) == 0.086420
    # Priced off the same volatility, the expected value is the model's value less the debit.
    assert profile.ev == pytest.approx(profile.greeks.price - 1.00, abs=1e-12)


def test_a_discounted_density_discounts_the_expectation() -> None:
    rate = 0.04
    density = lognormal(600.0, 0.5, 0.18, rate)
    net = net_greeks(FLY, 600.0, 0.5, (0.18,) * 3, rate)
    assert risk_profile(FLY, 100, net, density).ev == pytest.approx(net.price - 1.00, abs=1e-9)


def test_curves_end_at_the_payoff_and_meet_it_when_time_is_out() -> None:
    spots = np.linspace(590.0, 620.0, 61)
    found = curves(FLY, 100, spots, T, SIGMAS)
    assert found.at_expiry.tolist() == [paid(FLY, round(100 * x)) / 100 - 1.0 for x in spots]
    assert found.now[20] == pytest.approx(value_now(FLY, 600.0, T, SIGMAS) - 1.0)
    late = curves(FLY, 100, spots, 0.0, SIGMAS)
    assert late.now == pytest.approx(late.at_expiry, abs=1e-9)
