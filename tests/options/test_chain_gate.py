"""The gate of option chains: planted blemishes, a slow twin, and the counts of the real files."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maxlib.data.chains import load_chain, with_spot
from maxlib.market.quotes import QUOTE, Chain
from maxlib.options.chain_gate import GateConfig, inspect
from maxlib.options.chain_report import MEANING, ChainReport
from maxlib.options.forward import ForwardConfig, forwards
from tests.options import chain_helpers as made


def struck(chain: Chain, config: GateConfig | None = None) -> dict[str, list[int]]:
    """Check -> rows, of the checks that struck."""
    report = inspect(chain, config or GateConfig())
    assert [check.name for check in report.checks] == list(MEANING)
    for check in report.checks:
        assert check.count == report.masks[check.name].sum()
    return {name: np.flatnonzero(mask).tolist() for name, mask in report.masks.items() if mask.any()}


def test_a_clean_chain_has_no_blemish() -> None:
    assert struck(made.chain()) == {}


def test_one_blemish_of_each_kind_is_caught_and_nothing_else() -> None:
    chain = made.chain()
    rows = chain.rows
    call, put = made.row_of(rows, 610, 1), made.row_of(rows, 590, -1)

    def planted(**values: Any) -> dict[str, list[int]]:
        row = values.pop("row", call)
        changed = rows.copy()
        for name, value in values.items():
            changed[name][row] = value
        return struck(replace(chain, rows=changed))

    nan, age = np.nan, 61_000_000_000
    assert planted(bid=nan) == {"no_bid": [call]}
    assert planted(ask=nan, row=put) == {"no_ask": [put]}
    assert planted(bid=nan, ask=nan) == {"no_bid": [call], "no_ask": [call], "no_quote": [call]}
    assert planted(bid=0.0) == {"not_positive": [call]}
    assert planted(bid=-0.5) == {"not_positive": [call]}
    assert planted(ask=np.inf) == {"not_positive": [call]}
    assert planted(bid=1.0, ask=0.9) == {"crossed": [call]}
    assert planted(bid=0.3, ask=0.3) == {"locked": [call]}
    assert planted(quoted_at=made.NOON - age) == {"stale": [call]}
    assert planted(quoted_at=made.NOON - age + 2_000_000_000) == {}
    assert planted(quoted_at=0) == {}  # not said is not old
    assert planted(iv=0.0) == {"iv_of_nothing": [call]}
    assert planted(iv=0.0009, row=put) == {"iv_of_nothing": [put]}
    assert planted(iv=3.06) == {}
    # 0.05 % of 600 is 0.30.
    assert planted(spot=600.5) == {}
    assert planted(spot=600.6, row=put) == {"spot_off": [put]}
    assert planted(spot=599.9, row=put) == {"spot_off": [put]}


def test_a_repeated_row_is_caught_once_whatever_it_says() -> None:
    chain = made.chain()
    again = chain.rows[[4]].copy()
    again["bid"] += 0.5
    again["ask"] += 0.5
    doubled = replace(chain, rows=np.concatenate([chain.rows, again]))
    assert struck(doubled) == {"duplicate": [len(chain.rows)]}


def test_a_butterfly_for_a_credit_marks_its_body() -> None:
    # Call and put of 600 together, so that parity holds. The fly 598/600/602 is worth 0.4 (see below).
    chain = made.chain()
    value = made.call_value(600.25, 598) / 2 + made.call_value(600.25, 602) / 2 - made.call_value(600.25, 600)
    assert 0.2 < value < 0.4
    body = [made.shift(chain.rows, 600, right, value + 0.06 + 0.004) for right in (-1, 1)]
    assert struck(chain) == {}  # buys at the asks, sells at the bids: pays no more than the tolerance
    for right in (-1, 1):
        made.shift(chain.rows, 600, right, 0.002)
    assert struck(chain) == {"non_convex": body}


def test_a_broken_wing_butterfly_counts_though_all_equal_ones_cost_money() -> None:
    # The neighbours offer nothing: only the fly 596/600/608 shows that the bid of 600 is too high.
    chain = made.chain()
    rows = chain.rows
    for strike in (590, 592, 594, 598, 602, 604, 606, 610):
        rows["ask"][made.row_of(rows, strike, 1)] = np.nan
    cost = (2 * made.call_value(600.25, 596) + made.call_value(600.25, 608)) / 3
    lift = cost - made.call_value(600.25, 600) + 2 * 0.03
    body = made.shift(rows, 600, 1, lift + 0.006)
    assert struck(chain)["non_convex"] == [body]
    made.shift(rows, 600, 1, -0.002)
    assert "non_convex" not in struck(chain)


def test_verticals_for_a_credit_mark_what_is_sold() -> None:
    # At the last strike: no butterfly has its body there. Without its put there is no parity either.
    chain = made.chain()
    low = made.call_value(600.25, 608) - made.call_value(600.25, 610)
    call = made.shift(chain.rows, 610, 1, low + 0.06 + 0.006)
    lone = replace(chain, rows=np.delete(chain.rows, made.row_of(chain.rows, 610, -1)))
    assert struck(lone) == {"vertical": [call - 1]}
    # A put spread of 2 that can be sold for more than 2: bid 610 at 12.4, ask 608 at 10.39.
    chain = made.chain()
    put = made.row_of(chain.rows, 610, -1)
    chain.rows["bid"][put] = chain.rows["ask"][made.row_of(chain.rows, 608, -1)] + 2.006
    chain.rows["ask"][put] = chain.rows["bid"][put] + 0.06
    lone = replace(chain, rows=np.delete(chain.rows, put + 1))
    assert struck(lone) == {"vertical": [put]}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_parity_break_marks_call_and_put(sign: float) -> None:
    # Strikes so far apart that a shift of 0.14 bends neither calls nor puts; European, so no exercise.
    chain = made.chain(strikes=range(570, 631, 10), root="SPX")
    call = made.row_of(chain.rows, 600, 1)
    wide = made.shift(chain.rows, 600, 1, 0.11 * sign)  # 0.06 of spreads, 0.06 of error
    assert wide == call
    assert struck(chain) == {}
    made.shift(chain.rows, 600, 1, 0.03 * sign)
    assert struck(chain) == {"parity": [call - 1, call]}


def test_early_exercise_is_no_parity_break() -> None:
    # A deep put of an American option is worth its intrinsic value at once, a European's only at expiry.
    year = made.NOON + 365 * 86_400 * 1_000_000_000
    config = GateConfig(forward=ForwardConfig(rate_low=0.05, rate_high=0.05, dividend_high=0.0))
    broken = {}
    for root in ("QQQ", "SPX"):
        # European quotes at 5 %: C - P = D (F - K).
        chain = made.chain(strikes=range(500, 701, 20), half=0.01, root=root, expires_at=year)
        for side in ("bid", "ask"):
            chain.rows[side] *= np.exp(-0.05)
        assert "parity" not in struck(chain, config)
        put = made.row_of(chain.rows, 700, -1)
        chain.rows["bid"][put], chain.rows["ask"][put] = 129.0, 129.2  # 700 less the spot of 570.97
        broken[root] = "parity" in struck(chain, config)
    assert broken == {"QQQ": False, "SPX": True}


def test_moments_are_not_compared_with_each_other() -> None:
    early, late = made.chain(forward=600), made.chain(forward=620, ts=made.NOON + 60_000_000_000)
    late.rows["spot"] = 620
    both = Chain("QQQ", np.concatenate([early.rows, late.rows]), "simulated", "two")
    assert struck(both) == {}
    report = inspect(both)
    assert (report.moments, report.series, report.expiries, report.forwards) == (2, 22, 1, 2)


def test_masks_are_in_the_order_of_the_chain() -> None:
    rng = np.random.default_rng(3)
    chain = made.chain()
    i = made.row_of(chain.rows, 604, 1)
    chain.rows["bid"][i] = chain.rows["ask"][i] + 1
    order = rng.permutation(len(chain.rows))
    assert struck(replace(chain, rows=chain.rows[order])) == {"crossed": [int(np.flatnonzero(order == i)[0])]}


def test_clean_rows_pass_the_gate() -> None:
    chain = made.chain()
    chain.rows["bid"][3] = chain.rows["ask"][3] + 0.5
    chain.rows["bid"][8] = np.nan
    report = inspect(chain)
    assert np.flatnonzero(~report.clean("crossed")).tolist() == [3]
    assert np.flatnonzero(~report.clean()).tolist() == [3, 8]
    assert struck(replace(chain, rows=chain.rows[report.clean()])) == {}


def test_an_empty_chain_has_a_report() -> None:
    report = inspect(Chain("QQQ", np.zeros(0, QUOTE), "file", "empty.parquet"))
    assert (report.rows, report.series, report.moments) == (0, 0, 0)
    assert (
        report.lines()[0] == "empty.parquet: 0 rows of QQQ options (file), 0 series, 0 expiries, 0 moments."
    )


def test_the_report_speaks_in_sentences_and_in_json() -> None:
    chain = made.chain()
    i = made.row_of(chain.rows, 610, 1)
    chain.rows["bid"][i] = np.nan
    report = inspect(chain)
    lines = report.lines()
    assert lines[0] == "by hand: 22 rows of QQQ options (simulated), 22 series, 1 expiries, 1 moments."
    assert lines[1] == "From 2025-01-02 12:00 to 2025-01-02 12:00 New York time."
    expected = "First moment: spot 600.25; parity forward 600.25 ± 0.06 (9 strikes, expiry 2025-01-02)."
    assert lines[2] == expected
    ask = f"{chain.rows['ask'][i]:g}"
    where = f"row {i + 1}: 2025-01-02 610C none/{ask} at 2025-01-02 12:00"
    assert lines[3:] == [f"Rows without a bid: 1 ({where})."]
    body = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert body["checks"][0] == {"name": "no_bid", "count": 1, "examples": [where]}
    assert body["forward"]["strikes"] == 9


def test_many_places_are_counted_but_few_are_shown() -> None:
    chain = made.chain()
    chain.rows["bid"][:10] = np.nan
    check = inspect(chain).checks[0]
    assert (check.count, len(check.examples)) == (10, 3)
    assert "7 more" in "\n".join(inspect(chain).lines())


# --- the twin: every pair and triple of strikes, in plain Python


def twin(chain: Chain, config: GateConfig) -> dict[str, set[int]]:
    rows, tolerance = chain.rows, config.tolerance
    found: dict[str, set[int]] = {"non_convex": set(), "vertical": set(), "parity": set()}
    forward = forwards(chain, config.forward)
    sound = [i for i, r in enumerate(rows) if not (r["bid"] > r["ask"] or r["bid"] <= 0 or r["ask"] <= 0)]
    groups: dict[Any, list[int]] = {}
    for i in sorted(sound, key=lambda i: rows["strike"][i]):
        groups.setdefault((int(forward.group[i]), int(rows["right"][i])), []).append(i)
    for (_, right), members in groups.items():
        for i, k in combinations(members, 2):
            low, high = rows[i], rows[k]
            free, dear = ((k, high["bid"] - low["ask"]), (i, low["bid"] - high["ask"]))[:: int(right)]
            width = high["strike"] - low["strike"]
            if free[1] > tolerance:  # sold: the one that is worth no more
                found["vertical"].add(free[0])
            if dear[1] > width + tolerance:
                found["vertical"].add(dear[0])
        for i, j, k in combinations(members, 3):
            share = (rows["strike"][k] - rows["strike"][j]) / (rows["strike"][k] - rows["strike"][i])
            if rows["bid"][j] - share * rows["ask"][i] - (1 - share) * rows["ask"][k] > tolerance:
                found["non_convex"].add(j)
    for (group, right), members in groups.items():
        puts = {rows["strike"][i]: i for i in groups.get((group, -1), [])}
        for call in members if right > 0 else []:
            put = puts.get(rows["strike"][call])
            if put is None:
                continue
            gap = forward.value[group] - rows["strike"][call]
            if (
                rows["bid"][call] - rows["ask"][put] > gap + forward.error[group] + tolerance
                or rows["ask"][call] - rows["bid"][put] < gap - forward.error[group] - tolerance
            ):
                found["parity"] |= {call, put}
    return found


def noisy(seed: int, strikes: int, moments: int) -> Chain:
    """Snapshots in which most kinds of blemish occur, in no order."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(moments):
        spread = rng.choice([1, 2.5, 5], strikes).cumsum() + 600 - 1.4 * strikes
        rows = made.chain(strikes=spread.tolist(), ts=made.NOON + i * 10**9, half=0.05).rows
        wrong = rng.random(len(rows)) < 0.2
        shift = np.where(wrong, rng.normal(0, 0.6, len(rows)), 0)
        rows["bid"] += shift
        rows["ask"] += shift + np.where(rng.random(len(rows)) < 0.05, -0.2, 0)
        rows["bid"][rng.random(len(rows)) < 0.1] = np.nan
        rows["ask"][rng.random(len(rows)) < 0.1] = np.nan
        parts.append(rows)
    rows = np.concatenate(parts)
    return Chain("QQQ", rows[rng.permutation(len(rows))], "simulated", "noisy")


def check_against_twin(seeds: range, strikes: int) -> None:
    config = GateConfig(forward=ForwardConfig(rate_high=0.0, dividend_high=0.0))
    total: dict[str, int] = {}
    for seed in seeds:
        chain = noisy(seed, strikes, 3)
        report = inspect(chain, config)
        for name, rows in twin(chain, config).items():
            assert np.flatnonzero(report.masks[name]).tolist() == sorted(rows), (seed, name)
            total[name] = total.get(name, 0) + len(rows)
    assert all(count > 20 for count in total.values()), total  # else nothing was compared


def test_every_pair_and_triple_agrees_with_the_twin() -> None:
    check_against_twin(range(6), 12)


@pytest.mark.slow
def test_more_chains_agree_with_the_twin() -> None:
    check_against_twin(range(100, 200), 25)


# --- the real files, against the README of the data

BLEMISHES = {
    "open/options/goog_1m_quote_20151224": {"no_bid": 67_766, "no_ask": 45_541, "crossed": 0, "locked": 2},
    "open/options/spxw_1m_quote_20210104_20210106": {"no_bid": 1, "crossed": 7, "locked": 136},
    "open/options/spx_1m_quote_20210104": {"no_bid": 403, "no_ask": 0, "crossed": 0},
    "open/options/es_fop_1m_quote_20200106_exp202003": {"no_bid": 9_472, "no_ask": 7_788, "crossed": 0},
    "open/options/spy_1m_quote_20230803": {"no_bid": 0, "no_ask": 0, "crossed": 0, "locked": 0},
    "open/options/spy_chain_cboe_20250516": {"iv_of_nothing": 829, "no_bid": 594, "crossed": 0},
    "unclear/options/spx_chain_cboe_20220712_intraday": {"iv_of_nothing": 651, "no_bid": 1_059},
    # The README counts one crossed row: a bid of 0.05 without an ask, which is 0 there.
    "unclear/options/spx_chain_cboe_20230914": {"iv_of_nothing": 1_447, "no_quote": 228, "crossed": 0},
    "unclear/options/ndx_chain_cboe_20220205": {"no_bid": 1_112, "no_quote": 4, "crossed": 0},
    "unclear/options/qqq_chain_yahoo_20260211": {"iv_of_nothing": 186, "crossed": 7, "no_quote": 95},
    "unclear/options/qqq_chain_yahoo_20260212": {"iv_of_nothing": 373, "crossed": 7, "no_quote": 95},
    "unclear/options/nq_options_barchart_MC6M25_20250602_noquotes": {"no_quote": 576},
    "open/options/goog_eod_chain_20151223_20151224": {"no_quote": 4_208, "stale": 4_208},
}
COHERENT = [name for name in BLEMISHES if "yahoo" not in name]


def real(shared: Path, name: str) -> ChainReport:
    path = shared / f"data/real/{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in the shared folder")
    return inspect(load_chain(path))


@pytest.mark.parametrize("name", BLEMISHES)
def test_counts_of_the_readme(shared: Path, name: str) -> None:
    report = real(shared, name)
    assert {check: report.count(check) for check in BLEMISHES[name]} == BLEMISHES[name]
    assert report.count("duplicate") == 0


@pytest.mark.parametrize("name", COHERENT)
def test_exchange_quotes_of_one_moment_leave_no_arbitrage(shared: Path, name: str) -> None:
    # 463,000 rows: markets do not give money away for a minute, so a strike here would be our mistake.
    report = real(shared, name)
    assert {check: report.count(check) for check in ("non_convex", "vertical", "parity")} == {
        "non_convex": 0,
        "vertical": 0,
        "parity": 0,
    }


@pytest.mark.parametrize("day", ["20260211", "20260212"])
def test_yahoo_quotes_are_not_of_one_moment(shared: Path, day: str) -> None:
    report = real(shared, f"unclear/options/qqq_chain_yahoo_{day}")
    assert report.count("non_convex") > 1_000
    assert report.count("parity") > 50


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("open/options/spy_chain_cboe_20250516", True),
        ("unclear/options/spx_chain_cboe_20230914", True),
        ("unclear/options/ndx_chain_cboe_20220205", True),
        ("unclear/options/qqq_chain_yahoo_20260212", True),
        ("unclear/options/spx_chain_cboe_20220712_intraday", False),
    ],
)
def test_spots_of_another_moment_are_found(shared: Path, name: str, off: bool) -> None:
    assert (real(shared, name).count("spot_off") > 0) is off


def test_google_agrees_with_its_own_shares(shared: Path) -> None:
    folder = shared / "data/real/open"
    if not folder.exists():
        pytest.skip("data/real/open is not in the shared folder")
    bars = pytest.importorskip("pyarrow.parquet").read_table(folder / "bars/goog_1m_quote_20151224.parquet")
    at = np.array([int(t.timestamp()) for t in bars["ts"].to_pylist()], np.int64) * 10**9 + 60 * 10**9
    middle = (np.array(bars["bid_close"]) + np.array(bars["ask_close"])) / 2
    chain = with_spot(load_chain(folder / "options/goog_1m_quote_20151224.parquet"), at, middle)
    assert (chain.rows["spot_at"] <= chain.rows["ts"]).all()
    report = inspect(chain)
    assert report.count("spot_off") < 0.001 * report.rows
