"""The stationary bootstrap against a slow twin, `arch`, and what an interval promises."""

import math

import numpy as np
import pytest

from maxlib.analytics.bootstrap import bootstrap, follow, optimal_block, resample


def ar1(seed: int, n: int, phi: float) -> np.ndarray:
    """An autoregressive series: each day keeps `phi` of the one before."""
    x = np.random.default_rng(seed).standard_normal(n)
    for i in range(1, n):
        x[i] += phi * x[i - 1]
    return x


# --- resampling


def plain(starts: np.ndarray, fresh: np.ndarray) -> list[list[int]]:
    """Politis & Romano 1994, section 2, a day at a time."""
    out = []
    for starts_of_draw, fresh_of_draw in zip(starts, fresh, strict=True):
        n, row = len(starts_of_draw), []
        for i in range(n):
            row.append(int(starts_of_draw[i]) if i == 0 or fresh_of_draw[i] else row[-1] + 1)
            if row[-1] == n:
                row[-1] = 0
        out.append(row)
    return out


@pytest.mark.parametrize("p", [0.0, 0.05, 0.5, 1.0])
def test_blocks_are_those_of_the_plain_twin(p):
    rng = np.random.default_rng(3)
    starts, fresh = rng.integers(0, 37, (50, 37)), rng.random((50, 37)) < p
    assert follow(starts, fresh).tolist() == plain(starts, fresh)


def test_the_last_day_is_followed_by_the_first():
    starts, fresh = np.array([[3, 0, 0, 1, 0]]), np.array([[False, False, False, True, False]])
    assert follow(starts, fresh).tolist() == [[3, 4, 0, 1, 2]]


def test_blocks_are_those_of_arch():
    # arch 8.0.0, arch.bootstrap._samplers_python.stationary_bootstrap_sample_python(starts[i], u[i], 0.25)
    rng = np.random.default_rng(11)
    starts, u = rng.integers(0, 12, (3, 12)), rng.random((3, 12))
    assert follow(starts, u < 0.25).tolist() == [
        [1, 2, 3, 5, 6, 7, 8, 9, 5, 6, 7, 11],
        [6, 7, 6, 7, 8, 11, 0, 7, 8, 4, 1, 6],
        [5, 6, 7, 8, 9, 1, 4, 5, 6, 7, 5, 6],
    ]


@pytest.mark.parametrize("block", [1.0, 4.0, 25.0])
def test_blocks_have_the_mean_length_asked_for_and_begin_anywhere(block):
    n, draws = 200, 1000
    at = resample(n, block, draws, np.random.default_rng(8))
    broken = at[:, 1:] != (at[:, :-1] + 1) % n
    p = (1 - 1 / n) / block  # one start in n carries on by chance
    assert broken.mean() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / broken.size) + 1e-12)
    # every day is drawn equally often: its count is a sum over blocks, so of variance about 2 x block
    share = np.bincount(at.ravel(), minlength=n) / draws
    assert np.abs(share - 1).max() < 5 * math.sqrt(2 * block / draws)


# --- length of a block


@pytest.mark.parametrize(
    ("seed", "n", "phi", "length"),
    [
        (1, 250, 0.0, 2.778534),
        (2, 250, 0.3, 1.663853),
        (3, 250, 0.6, 7.476706),
        (4, 250, 0.9, 17.840603),
        (5, 250, -0.5, 7.571230),
        (6, 1000, 0.6, 12.420052),
    ],
)
def test_block_length_is_that_of_arch(seed, n, phi, length):
    # arch 8.0.0, optimal_block_length(ar1(seed, n, phi))["stationary"]
    assert optimal_block(ar1(seed, n, phi)) == pytest.approx(length, abs=1e-6)


@pytest.mark.parametrize("days", [[1.0] * 50, [0.0] * 12, [1.0, 2.0, 3.0]])
def test_days_without_variation_or_number_stand_alone(days):
    assert optimal_block(np.array(days)) == 1.0


def test_days_that_undo_each_other_have_the_longest_block_allowed():
    # changes of white noise have no long-run variance; arch 8.0.0 gives the bound, min(3 sqrt n, n / 3), too
    assert optimal_block(np.diff(ar1(0, 101, 0.0))) == 30.0


# --- intervals


def test_bands_are_those_of_arch():
    # arch 8.0.0, StationaryBootstrap(6.0, x, seed=np.random.default_rng(1)).apply(…, 200000), quantiles
    # 2.5 % and 97.5 %; two samplings of this size differ by some 0.3 % of a band
    x = 100 * ar1(3, 250, 0.6) + 20
    found = bootstrap(x, seed=2, draws=40_000, block_days=6.0)
    width = 11927.76 + 885.82
    assert found.total_usd.value == pytest.approx(x.sum())
    assert found.total_usd[1:] == (
        pytest.approx(-885.82, abs=0.02 * width),
        pytest.approx(11927.76, abs=0.02 * width),
    )
    assert found.mean_usd[1:] == (
        pytest.approx(-885.82 / 250, abs=1.1),
        pytest.approx(11927.76 / 250, abs=1.1),
    )
    assert found.sharpe[1:] == (pytest.approx(-0.03057, abs=0.008), pytest.approx(0.38627, abs=0.008))
    assert found.p_loss == pytest.approx(0.04697, abs=4 * math.sqrt(0.047 * 0.953 / 40_000))


def test_single_days_give_the_textbook_error_of_a_mean():
    x = np.random.default_rng(4).standard_normal(400) + 1.0
    found = bootstrap(x, draws=20_000, block_days=1.0)
    half = 1.959964 * x.std() / math.sqrt(400)
    assert found.mean_usd.low == pytest.approx(x.mean() - half, abs=0.05 * half)
    assert found.mean_usd.high == pytest.approx(x.mean() + half, abs=0.05 * half)


def test_one_endless_block_only_turns_the_tape():
    x = ar1(1, 60, 0.5)
    found = bootstrap(x, draws=200, block_days=1e12)
    assert found.total_usd.low == pytest.approx(found.total_usd.high) == pytest.approx(x.sum())


def coverage(phi: float, block: float | None, panels: int = 300, n: int = 200) -> float:
    """Share of panels whose 95 % interval of the mean holds the true mean, 0."""
    hits = 0
    for k in range(panels):
        x = ar1(1000 + k, n + 50, phi)[50:]
        band = bootstrap(x, seed=k, draws=400, block_days=block).mean_usd
        hits += band.low <= 0.0 <= band.high
    return hits / panels


def test_the_interval_covers_the_truth_when_days_are_independent():
    assert 0.91 <= coverage(0.0, None) <= 0.98


def test_blocks_keep_the_interval_honest_when_days_hang_together():
    # 200 days with autocorrelation 0.6: a mean's error is twice that of independent days, so that single days
    # cover 67 % (2 N(0.98) - 1); blocks come near 95 %, a little below in so short a series
    assert coverage(0.6, 1.0) == pytest.approx(0.673, abs=0.08)
    assert coverage(0.6, None) > 0.83


def test_the_same_seed_gives_the_same_bands_and_another_seed_others():
    x = ar1(9, 120, 0.2)
    assert bootstrap(x, seed=1) == bootstrap(x, seed=1)
    assert bootstrap(x, seed=1).total_usd != bootstrap(x, seed=2).total_usd


def test_too_few_days_are_refused_with_a_reason():
    found = bootstrap(np.arange(9.0))
    assert (found.total_usd, found.mean_usd, found.sharpe, found.p_loss) == (None, None, None, None)
    assert found.reason == "9 days of P&L are too few to resample; 10 are needed"


def test_idle_days_alone_have_bands_but_no_sharpe():
    found = bootstrap(np.zeros(30))
    assert (found.total_usd, found.sharpe, found.p_loss) == ((0.0, 0.0, 0.0), None, 1.0)


def test_draws_without_a_trade_do_not_spoil_the_sharpe():
    x = np.zeros(20)
    x[3], x[11] = 100.0, -40.0
    found = bootstrap(x, block_days=1.0)
    assert all(math.isfinite(v) for v in found.sharpe)
    # exactly: a winners and b losers among 20 days are multinomial, and a = b = 0 is left out
    ratio, chance = [], []
    for a in range(10):
        for b in range(10 - a):
            days = np.array([100.0] * a + [-40.0] * b + [0.0] * (20 - a - b))
            if a + b:
                ratio.append(days.mean() / days.std(ddof=1))
                chance.append(math.comb(20, a) * math.comb(20 - a, b) * 0.05 ** (a + b) * 0.9 ** (20 - a - b))
    order = np.argsort(ratio)
    below = np.cumsum(np.array(chance)[order]) / sum(chance)
    low, high = (np.array(ratio)[order][np.searchsorted(below, q)] for q in (0.025, 0.975))
    assert (found.sharpe.low, found.sharpe.high) == (pytest.approx(low), pytest.approx(high))


def test_plain_values_for_json():
    found = bootstrap(ar1(1, 30, 0.0), draws=50).as_dict()
    assert set(found["total_usd"]) == {"value", "low", "high"}
    assert (found["draws"], found["days"], found["reason"]) == (50, 30, None)
