"""Densities read off quotes: of a known distribution, of noisy quotes, and of real chains."""

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maxlib.data.chains import load_chain
from maxlib.market.quotes import QUOTE, Chain
from maxlib.options.chain_density import ChainDensity, NoDensity, chain_density
from maxlib.options.density import Density, Lognormal, expected, probability
from maxlib.options.pricing import bsm
from tests.options.packages import package

Floats = NDArray[np.float64]
STRIKES = np.arange(560.0, 641.0)
FLY = package((1, 600), (-2, 605), (1, 610))


def quoted(calls: Floats, puts: Floats, half: float = 0.01, strikes: Floats = STRIKES) -> Chain:
    """A chain around fair prices: `half` to both sides, out to the cent; no bid below one."""
    fair = np.concatenate((calls, puts))
    rows = np.zeros(len(fair), QUOTE)
    rows["strike"] = np.tile(strikes, 2)
    rows["right"] = np.repeat((1, -1), len(strikes))
    bid = np.floor(100 * (fair - half) + 1e-9) / 100
    rows["bid"] = np.where(bid > 0, bid, np.nan)
    rows["ask"] = np.ceil(100 * (fair + half) - 1e-9) / 100
    rows["spot"] = np.nan  # the forward comes from parity
    return Chain("SPX", rows, "modelled", "test")


def modelled(density: Density, half: float = 0.01) -> Chain:
    """Quotes around the prices that a known distribution gives."""
    calls, puts = (
        np.array([expected(density, package((1, float(k)), right=right)) for k in STRIKES]) for right in "CP"
    )
    return quoted(calls, puts, half)


def read(chain: Chain, discount: float = 1.0) -> ChainDensity:
    found = chain_density(chain, discount)
    assert isinstance(found, ChainDensity)
    return found


ONE_DAY = Lognormal(600.0, 0.18 / math.sqrt(252), 1.0)


@pytest.mark.parametrize("half", [0.005, 0.01, 0.03])
def test_quotes_around_a_lognormal_give_its_odds_back(half: float) -> None:
    """definitions.md: POP(601-609) 0.345752, fly 1.086420, vertical 1.789671."""
    found = read(modelled(ONE_DAY, half))
    assert found.inside >= 0.95
    assert found.density.mean == pytest.approx(600.0, abs=0.01)
    assert probability(found.density, [(601.0, 609.0)]) == pytest.approx(0.345752, abs=0.003)
    # A fly is four options, each known to a half-spread and the cent it was rounded to.
    assert expected(found.density, FLY) == pytest.approx(1.086420, abs=0.02)
    assert expected(found.density, package((1, 600), (-1, 605))) == pytest.approx(1.789671, abs=0.02)


class Mixture:
    """Half the time down four and half the time up four: two humps that one volatility cannot make."""

    parts = (Lognormal(596.0, 0.003, 1.0), Lognormal(604.0, 0.003, 1.0))
    mean, discount = 600.0, 1.0

    def below(self, level: float) -> tuple[float, float]:
        (m, n), (o, p) = (part.below(level) for part in self.parts)
        return (m + o) / 2, (n + p) / 2


def test_two_humps_are_seen_as_two() -> None:
    truth = Mixture()
    found = read(modelled(truth)).density
    for low, high in ((0, 594), (594, 598), (598, 602), (602, 606), (606, math.inf)):
        share = probability(truth, [(low, high)])
        # Each hump is a third as wide as the whole; smoothing lets 0.026 slip into the valley.
        assert probability(found, [(low, high)]) == pytest.approx(share, abs=0.03)
    # A bell through the same straddle would put 0.31 into the valley.
    straddle = expected(truth, package((1, 600))) + expected(truth, package((1, 600), right="P"))
    bell = Lognormal(600.0, straddle / 600 * math.sqrt(math.pi / 2), 1.0)
    assert probability(truth, [(598, 602)]) < 0.25 < 0.30 < probability(bell, [(598, 602)])


def test_stale_quotes_do_not_bend_the_density() -> None:
    """One quote in twelve is half a dollar to a dollar off, as when it is minutes old."""
    fresh = modelled(ONE_DAY)
    rows = fresh.rows.copy()
    rng = np.random.default_rng(7)
    stale = rng.random(len(rows)) < 1 / 12
    off = rng.uniform(0.5, 1.0, len(rows)) * rng.choice([-1, 1], len(rows))
    dear = stale & (rows["bid"] > 1.1)
    assert dear.sum() >= 5
    rows["bid"] += np.where(dear, off, 0.0)
    rows["ask"] += np.where(dear, off, 0.0)
    bent = read(replace(fresh, rows=rows)).density
    assert probability(bent, [(601.0, 609.0)]) == pytest.approx(0.345752, abs=0.01)
    assert expected(bent, FLY) == pytest.approx(1.086420, abs=0.03)


def test_it_says_beyond_which_strikes_it_extrapolates() -> None:
    near = replace(whole := modelled(ONE_DAY), rows=whole.rows[np.abs(whole.rows["strike"] - 600) <= 6])
    found = read(near)
    assert found.quoted == (594.0, 606.0)
    below, above = found.tails
    # 6 dollars are 0.88 of a deviation: 0.19 lie beyond on each side.
    assert below == pytest.approx(probability(ONE_DAY, [(0, 594)]), abs=0.03)
    assert above == pytest.approx(probability(ONE_DAY, [(606, math.inf)]), abs=0.03)
    # The whole list is bid for from 585 to 616 only.
    wide = read(whole)
    low, high = wide.quoted
    truth = probability(ONE_DAY, [(0, low)]), probability(ONE_DAY, [(high, math.inf)])
    assert wide.tails == pytest.approx(truth, abs=0.003)


def test_an_offer_that_nobody_bids_for_still_bounds_the_tail() -> None:
    chain = modelled(ONE_DAY)
    rows = chain.rows.copy()
    far = np.abs(rows["strike"] - 600) > 6
    unknown = read(replace(chain, rows=rows[~far])).density
    assert expected(unknown, package((1, 612))) > 0.05  # 0.11 in truth
    rows["bid"][far] = np.nan
    rows["ask"][far] = np.where(np.abs(rows["strike"][far] - 600) >= 12, 0.01, rows["ask"][far])
    bounded = read(replace(chain, rows=rows)).density
    assert expected(bounded, package((1, 612))) < 0.03


def test_a_discount_is_taken_out_of_the_prices() -> None:
    """Hull's index, 2 months, r 0.08, q 0.03: the undiscounted call is 51.832957·e^(rT)."""
    strikes = np.arange(700.0, 1301.0, 5.0)
    t, discount = 2 / 12, math.exp(-0.08 * 2 / 12)
    calls, puts = (
        np.array([bsm(right, 930, float(k), t, 0.20, 0.08, 0.03) for k in strikes]) for right in "CP"
    )
    found = read(quoted(calls, puts, strikes=strikes), discount).density
    assert found.discount == discount
    assert found.mean == pytest.approx(930 * math.exp(0.05 * t), abs=0.05)
    assert discount * expected(found, package((1, 900))) == pytest.approx(51.832957, abs=0.05)


@pytest.mark.parametrize(
    ("keep", "refusal"),
    [
        (lambda rows: rows["strike"] < 0, NoDensity("NO_FORWARD", 0)),
        (lambda rows: rows["right"] > 0, NoDensity("NO_FORWARD", 0)),
        (lambda rows: (rows["strike"] >= 598) & (rows["strike"] <= 640), NoDensity("TOO_FEW", 2)),
    ],
)
def test_too_little_is_refused(keep: object, refusal: NoDensity) -> None:
    chain = modelled(ONE_DAY)
    assert callable(keep)
    assert chain_density(replace(chain, rows=chain.rows[keep(chain.rows)])) == refusal


def test_several_moments_at_once_are_a_mistake_of_the_caller() -> None:
    chain = modelled(ONE_DAY)
    later = chain.rows.copy()
    later["ts"] = 1
    with pytest.raises(ValueError, match="2 moments"):
        chain_density(replace(chain, rows=np.concatenate((chain.rows, later))))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_any_quotes_give_a_density_or_a_refusal(seed: int) -> None:
    """Nonsense included: Piecewise checks sign, mass and mean, and no warning is raised."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 50))
    strikes = np.sort(rng.choice(np.arange(1.0, 200.0), n, replace=False))
    fair = rng.uniform(0, 20, (2, n)) if seed % 2 else np.array([[1.0], [-1.0]]) * (100 - strikes)
    chain = quoted(*np.maximum(fair, 0.02), half=10 ** rng.uniform(-3, 0), strikes=strikes)
    found = chain_density(chain)
    assert isinstance(found, ChainDensity | NoDensity)


# --- real chains

QQQ = "unclear/options/qqq_chain_yahoo_20260211.parquet"
SPX = "unclear/options/spx_chain_cboe_20220712_intraday.parquet"
SPY = "open/options/spy_chain_cboe_20250516.parquet"

# Least share of out-of-the-money options with a bid whose price lies inside the spread, and largest
# median error of their mids in dollars. SPX is one moment's snapshot. SPY's quotes of the close are a
# cent wide. QQQ's are of different moments: at-the-money parity alone differs by 40 cents.
REAL = [
    (SPX, dt.date(2022, 7, 12), 0.85, 0.030),
    (SPX, dt.date(2022, 7, 13), 0.90, 0.030),
    (SPX, dt.date(2022, 8, 31), 0.90, 0.10),
    (SPY, dt.date(2025, 5, 19), 0.60, 0.005),
    (SPY, dt.date(2025, 5, 23), 0.75, 0.005),
    (QQQ, dt.date(2026, 2, 11), 0.35, 0.010),
    (QQQ, dt.date(2026, 2, 13), 0.40, 0.010),
]


@pytest.fixture(scope="module")
def real(shared: Path) -> dict[str, Chain]:
    paths = {name: shared / "data/real" / name for name in (QQQ, SPX, SPY)}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        pytest.skip(f"no real chains: {missing[0]} is not there")
    return {name: load_chain(path) for name, path in paths.items()}


def expiring(chain: Chain, day: dt.date) -> Chain:
    return replace(chain, rows=chain.rows[chain.rows["expiry"] == (day - dt.date(1970, 1, 1)).days])


@pytest.mark.parametrize(("name", "day", "share", "error"), REAL)
def test_real_quotes_are_repriced_and_the_mean_is_their_forward(
    real: dict[str, Chain], name: str, day: dt.date, share: float, error: float
) -> None:
    chain = expiring(real[name], day)
    found = read(chain)
    density, rows = found.density, chain.rows
    # What density.py promises, looked at afresh: no height below 0, mass 1, mean = the forward.
    x = np.linspace(density.nodes[0], density.nodes[-1], 1_000_001)
    heights = np.interp(x, density.nodes, density.heights)
    assert density.heights.min() >= 0.0
    assert np.trapezoid(heights, x) == pytest.approx(1.0, abs=1e-6)
    assert np.trapezoid(heights * x, x) == pytest.approx(density.mean, rel=1e-6)

    bid, ask, strike = rows["bid"], rows["ask"], rows["strike"]
    live = (bid > 0) & (ask > bid) & ((rows["right"] > 0) == (strike >= density.mean))
    prices = np.array(
        [
            expected(density, package((1, float(k)), right="C" if right > 0 else "P"))
            for k, right in zip(strike[live], rows["right"][live], strict=True)
        ]
    )
    inside = (bid[live] <= prices) & (prices <= ask[live])
    assert inside.mean() >= share
    assert np.median(np.abs(prices - (bid + ask)[live] / 2)) <= error

    low, high = parity(chain, density.mean, 1 if name != QQQ else 9)
    slack = high - low if name != QQQ else 0.0
    assert low - slack <= density.mean <= high + slack


def parity(chain: Chain, near: float, count: int) -> tuple[float, float]:
    """Between what the forward can be bought and sold for at the `count` strikes nearest to `near`."""
    sides: dict[float, dict[int, tuple[float, float]]] = {}
    for row in chain.rows[(chain.rows["bid"] > 0) & (chain.rows["ask"] > 0)]:
        sides.setdefault(float(row["strike"]), {})[int(row["right"])] = float(row["bid"]), float(row["ask"])
    both = sorted((k for k, of in sides.items() if len(of) == 2), key=lambda k: abs(k - near))[:count]
    bids = [k + sides[k][1][0] - sides[k][-1][1] for k in both]
    asks = [k + sides[k][1][1] - sides[k][-1][0] for k in both]
    return min(bids), max(asks)


def test_a_chain_after_its_expiry_has_no_density(real: dict[str, Chain]) -> None:
    """SPY after the close of 2025-05-16: of that day's options only two out of the money are bid for."""
    found = chain_density(expiring(real[SPY], dt.date(2025, 5, 16)))
    assert isinstance(found, NoDensity)
    assert found.code == "TOO_FEW"
