"""The parity forward: by hand, against a plain twin, and on the real chains."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from maxlib.data.chains import load_chain
from maxlib.market.quotes import Chain
from maxlib.options.forward import (
    EUROPEAN,
    NS_PER_YEAR,
    ForwardConfig,
    arrange,
    forward,
    forwards,
    medians,
    years_left,
)
from tests.options import chain_helpers as made


def test_forward_of_exact_quotes_is_the_one_they_were_made_with() -> None:
    found = forward(made.chain(forward=600.25, half=0.03))
    assert found.value == pytest.approx(600.25, abs=1e-3)
    # Half of two spreads of 0.06, and the rate until the close: nothing.
    assert found.error == pytest.approx(0.06, abs=1e-3)
    assert found.strikes == 9
    assert found.reason is None


def test_fewer_than_half_wrong_strikes_cannot_move_it_beyond_its_error() -> None:
    chain = made.chain()
    for strike in (598, 600, 602, 604):  # four of the nine that vote
        made.shift(chain.rows, strike, 1, 5.0)
    found = forward(chain)
    assert found.value is not None
    assert abs(found.value - 600.25) <= 0.061
    assert found.low <= 600.25 <= found.high


def test_quotes_of_different_moments_widen_the_error_to_their_disagreement() -> None:
    chain = made.chain(strikes=range(592, 609, 2), half=0.01)
    for i, strike in enumerate(range(592, 609, 2)):
        made.shift(chain.rows, strike, 1, 0.1 * i)  # F + 0, 0.1 ... 0.8: median 0.4, deviations' median 0.2
    found = forward(chain)
    assert found.value == pytest.approx(600.65, abs=1e-3)
    assert found.error == pytest.approx(0.2, abs=1e-3)


def test_a_known_rate_discounts_the_difference() -> None:
    # One strike, K = 100, C = 12, P = 4 and a year at 5 %: F = 100 + 8 e^0.05.
    chain = made.chain(strikes=[100.0], forward=100.0, root="SPX", expires_at=made.NOON + NS_PER_YEAR)
    chain.rows["bid"], chain.rows["ask"] = [3.5, 11.5], [4.5, 12.5]
    found = forward(chain, ForwardConfig(rate_low=0.05, rate_high=0.05))
    assert found.value == pytest.approx(100 + 8 * math.exp(0.05), abs=1e-12)
    assert found.error == pytest.approx(1.0 * math.exp(0.05), abs=1e-12)  # half of (1 + 1), carried forward
    assert (found.low, found.high) == (found.value - found.error, found.value + found.error)


def test_an_unknown_rate_is_part_of_the_error() -> None:
    chain = made.chain(strikes=[100.0], forward=100.0, root="SPX", expires_at=made.NOON + NS_PER_YEAR)
    chain.rows["bid"], chain.rows["ask"] = [4.0 - 1e-9, 12.0 - 1e-9], [4.0 + 1e-9, 12.0 + 1e-9]
    found = forward(chain, ForwardConfig(rate_low=0.0, rate_high=0.08))
    assert found.low == pytest.approx(100 + 8, abs=1e-6)
    assert found.high == pytest.approx(100 + 8 * math.exp(0.08), abs=1e-6)


def test_american_options_only_bound_it() -> None:
    # S - K <= C - P <= S - K D (no dividend): with S = 100, K = 100, r = 5 %, one year, the forward
    # 100 e^0.05 = 105.127 may go with any C - P from 0 to 100 (1 - e^-0.05) = 4.877.
    truth, config = 100 * math.exp(0.05), ForwardConfig(rate_low=0.05, rate_high=0.05, dividend_high=0.0)
    for difference in (0.0, 2.5, 4.877):
        chain = made.chain(strikes=[100.0], forward=100.0, expires_at=made.NOON + NS_PER_YEAR)
        chain.rows["bid"] = [9.999, 9.999 + difference]
        chain.rows["ask"] = [10.001, 10.001 + difference]
        found = forward(chain, config)
        assert found.low <= truth <= found.high, difference
    assert "QQQ" not in EUROPEAN


@pytest.mark.parametrize("spoiled", ["locked", "crossed", "no bid", "no ask", "repeated"])
def test_quotes_without_two_sides_do_not_vote(spoiled: str) -> None:
    chain = made.chain(strikes=[600.0, 602.0])
    i = made.shift(chain.rows, 600, 1, 1.0)
    if spoiled == "locked":
        chain.rows["ask"][i] = chain.rows["bid"][i]
    elif spoiled == "crossed":
        chain.rows["ask"][i] = chain.rows["bid"][i] - 0.01
    elif spoiled == "no bid":
        chain.rows["bid"][i] = np.nan
    elif spoiled == "no ask":
        chain.rows["ask"][i] = np.nan
    else:  # the right quote comes first: the repeat is left out, the strike still votes
        made.shift(chain.rows, 600, 1, -1.0)
        again = chain.rows[[i]].copy()
        again["bid"] += 1.0
        again["ask"] += 1.0
        chain = Chain("QQQ", np.concatenate([chain.rows, again]), "simulated", "by hand")
    found = forward(chain)
    assert found.strikes == (2 if spoiled == "repeated" else 1)
    assert found.value == pytest.approx(600.25, abs=1e-3)


def test_without_pairs_there_is_a_reason_instead_of_a_number() -> None:
    chain = made.chain(strikes=[600.0, 602.0])
    puts = Chain("QQQ", chain.rows[::2], "simulated", "puts")
    assert forward(puts)[0] is None
    assert forward(puts).reason == "no strike is there as call and as put"
    chain.rows["bid"][::2] = np.nan
    assert forward(chain).value is None
    assert forward(chain).reason == "of 2 strikes none has two-sided quotes of both call and put"


def test_two_moments_are_not_one_forward() -> None:
    with pytest.raises(ValueError, match="2 moments and expiries"):
        forward(tape(2))


def test_only_the_nearest_strikes_vote() -> None:
    chain = made.chain(strikes=range(500, 701, 10))
    for strike in range(640, 701, 10):
        made.shift(chain.rows, strike, 1, 9.0)
    assert forward(chain, ForwardConfig(strikes=5)).error == pytest.approx(0.06, abs=1e-3)


def test_an_expired_or_unsaid_expiry_has_no_time() -> None:
    left = years_left(np.array([10, 10, 0], np.int64), np.array([5, 0, NS_PER_YEAR], np.int64))
    assert left.tolist() == [0.0, 0.0, 1.0]


def test_medians_of_groups_are_those_of_the_statistics_module() -> None:
    values, group = np.array([3.0, 1.0, 2.0, 7.0, 5.0]), np.array([0, 0, 0, 2, 2])
    found = medians(values, group, 4)
    assert found[[0, 2]].tolist() == [2.0, 6.0]
    assert np.isnan(found[[1, 3]]).all()


def tape(moments: int, seed: int = 5) -> Chain:
    """Snapshots with noise, gaps and wrong sides, shuffled."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(moments):
        rows = made.chain(forward=600 + i, half=0.05, ts=made.NOON + i * 60_000_000_000).rows
        rows["bid"] += rng.normal(0, 0.03, len(rows))
        rows["bid"][rng.random(len(rows)) < 0.1] = np.nan
        rows["ask"][rng.random(len(rows)) < 0.1] = np.nan
        parts.append(rows)
    rows = np.concatenate(parts)
    return Chain("SPX", rows[rng.permutation(len(rows))], "simulated", "tape")


def twin(rows: Any, most: int) -> list[tuple[float, float, int]]:
    """Value, error and votes per moment with rates of 0, in plain Python."""
    answers = []
    for ts in sorted(set(rows["ts"].tolist())):
        quotes = {(float(r["strike"]), int(r["right"])): r for r in rows[rows["ts"] == ts]}
        votes = []
        for strike in sorted({k for k, _ in quotes}):
            call, put = quotes[strike, 1], quotes[strike, -1]
            if all(0 < q["bid"] < q["ask"] for q in (call, put)):
                gap = (call["bid"] + call["ask"] - put["bid"] - put["ask"]) / 2
                half = (call["ask"] - call["bid"] + put["ask"] - put["bid"]) / 2
                votes.append((abs(gap), strike + gap, half))
        votes = sorted(votes)[:most]
        value = float(np.median([v[1] for v in votes]))
        spread = float(np.median([v[2] for v in votes]))
        apart = float(np.median([abs(v[1] - value) for v in votes]))
        answers.append((value, max(spread, apart), len(votes)))
    return answers


def test_many_moments_at_once_agree_with_a_plain_loop() -> None:
    chain = tape(7)
    found = forwards(chain, ForwardConfig(strikes=4, rate_high=0.0, dividend_high=0.0))
    expected = twin(chain.rows, 4)
    assert_allclose(found.value, [e[0] for e in expected], rtol=1e-14)
    assert_allclose(found.error, [e[1] for e in expected], rtol=1e-12)
    assert found.strikes.tolist() == [e[2] for e in expected]
    assert (found.ts[found.group] == chain.rows["ts"]).all()


def test_the_order_of_rows_does_not_matter() -> None:
    chain = tape(3)
    mixed = Chain("SPX", chain.rows[::-1], "simulated", "tape")
    assert_allclose(forwards(mixed).value, forwards(chain).value, rtol=0)
    assert (arrange(mixed.rows).repeat == arrange(chain.rows).repeat).all()


README = [
    # file, expiry taken, forward that the README of the data states
    ("open/options/spy_chain_cboe_20250516", "2025-05-16", 594.04),
    ("unclear/options/spx_chain_cboe_20230914", "2023-09-15", 4510.3),
    ("unclear/options/ndx_chain_cboe_20220205", "2022-02-07", 14671),
    ("unclear/options/qqq_chain_yahoo_20260212", "2026-02-12", 610.9),
    ("unclear/options/spx_chain_cboe_20220712_intraday", "2022-07-12", 3856.7),
]


@pytest.mark.parametrize(("file", "expiry", "stated"), README)
def test_forwards_of_the_readme_lie_within_the_error(
    shared: Path, file: str, expiry: str, stated: float
) -> None:
    path = shared / f"data/real/{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in the shared folder")
    chain = load_chain(path)
    rows = chain.rows[chain.rows["expiry"] == np.datetime64(expiry, "D").astype(int)]
    for expires_at in np.unique(rows["expires_at"]):  # a third Friday has two, AM and PM
        found = forward(Chain(chain.root, rows[rows["expires_at"] == expires_at], "file", chain.name))
        assert found.value is not None
        assert abs(found.value - stated) <= found.error
        assert found.error <= 0.001 * stated
