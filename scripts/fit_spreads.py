"""Fit the modelled option chain on the real files: variance of the session, smile, spreads.

    python scripts/fit_spreads.py

Needs the real data (MAXTRADER_SHARED, or `shared` beside the repository). Prints what the constants
in maxlib/options/surface.py and maxlib/options/spreads.py were taken from: quotes used per source,
errors in the sample and with the source left out, and the ranges that the quotes cover. About half
a minute. The numbers are explained in docs/modelled-chain.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from maxlib.data import DataConfig, load
from maxlib.data.chains import load_chain
from maxlib.data.files import find
from maxlib.market.bars import NEW_YORK
from maxlib.market.calendar import new_york
from maxlib.options.forward import forwards, usable
from maxlib.options.implied import implied_all
from maxlib.options.pricing import TRADING_MINUTES_PER_YEAR

Floats = NDArray[np.float64]
SESSION = 390

BARS = {  # the first is fitted, the others are out of sample
    "QQQ 2024-01..2025-02": "unclear/bars/qqq_1m_20240102_20250228",
    "QQQ 2025-08..11": "unclear/bars/qqq_1m_20250818_20251114",
    "QQQ 2020-02..05": "unclear/bars/qqq_1m_20200219_20200520",
}


@dataclass(frozen=True)
class Source:
    """Quotes of one file on the day of expiry, in regular hours."""

    name: str
    path: str
    tick: float  # dollars or points below 3


SOURCES = (
    Source("QQQ 2026-02-11", "unclear/options/qqq_chain_yahoo_20260211", 0.01),
    Source("QQQ 2026-02-12", "unclear/options/qqq_chain_yahoo_20260212", 0.01),
    Source("SPXW 2022-07-12", "unclear/options/spx_chain_cboe_20220712_intraday", 0.05),
    Source("SPXW 2021-01-04/06", "open/options/spxw_1m_quote_20210104_20210106", 0.05),
    Source("NQ 2025-06-27", "unclear/options/nq_options_barchart_MQ4M25_20250627_1406", 0.05),
    Source("GOOG 2015-12-24", "open/options/goog_1m_quote_20151224", 0.05),
)


# --- the variance of a session


def session_variance(path: str) -> tuple[float, float, int, Floats, Floats]:
    """Shares of the close-to-close variance, days, and the mean share of each minute with its error.

    The first share sums five-minute returns of the session, the second takes open to close.
    """
    config = DataConfig(
        source="file", path=f"data/real/{path}.parquet", symbol="QQQ", allow_incomplete=True, allow_jumps=True
    )
    bars = load(config).bars
    bars = bars[(bars["session"] == NEW_YORK) & (bars["close_minute"] == 960)]
    days = np.unique(bars["day"])
    grid = np.full((len(days), SESSION + 1), np.nan)
    row = np.searchsorted(days, bars["day"])
    grid[row, bars["minute"] - 570 + 1] = bars["close"]
    first = np.flatnonzero(np.append(True, np.diff(bars["day"]) != 0))
    grid[:, 0] = bars["open"][first]
    for column in range(1, SESSION + 1):  # a minute without a trade, or a halt, moves nothing
        empty = np.isnan(grid[:, column])
        grid[empty, column] = grid[empty, column - 1]
    price = np.log(grid)
    five = (np.diff(price[:, ::5], axis=1) ** 2).sum(1)[1:]
    close = np.diff(price[:, -1]) ** 2
    session = (price[1:, -1] - price[1:, 0]) ** 2
    minute = np.diff(price, axis=1) ** 2
    share = minute / minute.sum(1, keepdims=True)
    error = share.std(0) / np.sqrt(len(share))
    return five.sum() / close.sum(), session.sum() / close.sum(), len(days), share.mean(0), error


def remaining(shape: Floats, left: Floats) -> Floats:
    """As `surface.remaining`, for arrays. shape: opening share and minutes, closing share and minutes."""
    o, to, c, tc = shape
    end_o, end_c = np.exp(-SESSION / to), np.exp(-SESSION / tc)
    base = 1 - o * (1 - end_o) - c * (1 - end_c)
    opening = o * (np.exp(-(SESSION - left) / to) - end_o)
    return base * left / SESSION + opening + c * (1 - np.exp(-left / tc))


def report_session() -> tuple[Floats, float]:
    """Fit the course of the session on the first file; returns it and the session's share."""
    print("Session variance (share of close-to-close variance) and its course through the day")
    left = np.arange(SESSION, -1, -1.0)
    shape, first = np.array([0.2, 50.0, 0.02, 10.0]), 0.0
    for i, (name, path) in enumerate(BARS.items()):
        five, plain, days, share, _ = session_variance(path)
        actual = 1 - np.append(0, np.cumsum(share))
        if i == 0:
            shape = least_squares(lambda p, y=actual: remaining(p, left) - y, shape)
            (o, to, c, tc), first = shape, five
            print(f"  fitted: opening {o:.4f} in {to:.1f} minutes, closing {c:.4f} in {tc:.1f} minutes")
        worst = np.abs(remaining(shape, left) - actual).max()
        flat = np.abs(left / SESSION - actual).max()
        marks = " ".join(f"{actual[SESSION - m]:.3f}" for m in (330, 240, 120, 60, 30, 15))
        print(f"  {name}: {days} days, share {five:.3f} (open to close {plain:.3f})")
        print(f"    left at 330, 240, 120, 60, 30, 15 minutes: {marks}")
        print(f"    worst error of what is left {worst:.3f}, of a flat clock {flat:.3f}")
    return shape, first


# --- quotes


@dataclass(frozen=True)
class Quotes:
    """Two-sided quotes of one source: dollars, minutes to the close; x: fraction in the money."""

    source: Source
    moment: NDArray[np.int64]
    minutes: Floats
    forward: Floats
    strike: Floats
    right: Floats
    mid: Floats
    half: Floats

    @property
    def x(self) -> Floats:
        """Share of the forward by which each is in the money."""
        return self.right * (self.forward - self.strike) / self.forward


def quotes(source: Source) -> Quotes:
    """The usable quotes of a file on their last day, with the parity forward of their moment."""
    chain = load_chain(f"data/real/{source.path}.parquet")
    found = forwards(chain)
    rows, forward = chain.rows, found.value[found.group]
    minutes = (rows["expires_at"] - rows["ts"]) / 6e10
    keep = usable(rows) & (minutes > 0) & (minutes <= SESSION) & np.isfinite(forward)
    bid, ask = rows["bid"][keep], rows["ask"][keep]
    return Quotes(
        source, rows["ts"][keep], minutes[keep], forward[keep], rows["strike"][keep],
        rows["right"][keep].astype(float), (bid + ask) / 2, (ask - bid) / 2,
    )  # fmt: skip


# --- the smile


@dataclass(frozen=True)
class Smile:
    """Out-of-the-money implied total volatilities, moment by moment."""

    source: Source
    group: NDArray[np.int64]  # number of the moment
    day: NDArray[np.object_]  # New York date
    minutes: Floats
    k: Floats  # log(strike / forward)
    total: Floats  # sigma * sqrt(t)


def smile_of(q: Quotes) -> Smile | None:
    """Quotes whose spread leaves the volatility known: half at most a fifth of the mid."""
    t = q.minutes / TRADING_MINUTES_PER_YEAR
    sigma, _ = implied_all(q.right, q.mid, q.forward, q.strike, t)
    keep = (q.x <= 0) & (q.half <= 0.2 * q.mid) & np.isfinite(sigma) & (q.minutes >= 5)
    if q.source.name.startswith("GOOG") or not keep.any():
        return None  # no moment has three quotes that narrow
    moments, group = np.unique(q.moment[keep], return_inverse=True)
    day = np.array([new_york(int(ts)).date() for ts in moments], object)[group]
    total = (sigma * np.sqrt(t))[keep]
    return Smile(q.source, group, day, q.minutes[keep], np.log(q.strike / q.forward)[keep], total)


def smile_square(shape: Floats, z: Floats) -> Floats:
    """SSVI: the square of `surface.smile`."""
    rho, eta = shape
    return 0.5 * (1 + rho * eta * z + np.sqrt((eta * z + rho) ** 2 + 1 - rho**2))


def levels(shape: Floats, s: Smile) -> Floats:
    """At-the-money total volatility of each moment, weighted towards the money."""
    count = int(s.group.max()) + 1
    level = np.array([s.total[s.group == g][np.abs(s.k[s.group == g]).argmin()] for g in range(count)])
    weight = np.exp(-0.5 * (s.k / level[s.group]) ** 2)
    for _ in range(25):
        z = s.k / level[s.group]
        gap = weight * (np.log(s.total) - 0.5 * np.log(smile_square(shape, z)))
        level = np.exp(np.bincount(s.group, gap) / np.bincount(s.group, weight))
    return level


def smile_errors(shape: Floats, s: Smile) -> Floats:
    """Log of quoted over modelled volatility, within five deviations."""
    level = levels(shape, s)[s.group]
    z = s.k / level
    error = np.log(s.total / level) - 0.5 * np.log(smile_square(shape, z))
    return error[np.abs(z) <= 5]


def fit_smile(smiles: list[Smile]) -> Floats:
    """One rho and eta for all; sources weigh the same."""

    def residuals(p: Floats) -> Floats:
        return np.concatenate([e / np.sqrt(len(e)) for s in smiles for e in [smile_errors(p, s)]])

    return least_squares(residuals, np.array([-0.2, 0.8]))


def report_smile(everything: list[Quotes], shape: Floats, share: float) -> None:
    """Smile, level and course of the quoted volatilities against the model's."""
    smiles = [s for s in map(smile_of, everything) if s is not None]
    best = fit_smile(smiles)
    bend = best[1] ** 2 * (1 + abs(best[0]))
    print(f"\nSmile: rho {best[0]:.3f}, eta {best[1]:.3f}; eta^2 (1 + |rho|) = {bend:.2f}, at most 4")
    for s in smiles:
        z = s.k / levels(best, s)[s.group]
        inside, flat = smile_errors(best, s), smile_errors(np.array([0.0, 1e-9]), s)
        out = smile_errors(fit_smile([other for other in smiles if other is not s]), s)
        rms = ", ".join(f"{np.sqrt(np.mean(e**2)):.3f}" for e in (inside, out, flat))
        moments = int(s.group.max()) + 1
        print(f"  {s.source.name}: {len(z)} quotes, {moments} moments, z {z.min():.1f} to {z.max():.1f}")
        print(f"    rms log error in the sample, left out, without smile: {rms}")
    foreign = fit_smile([s for s in smiles if not s.source.name.startswith("QQQ")])
    for s in smiles[:2]:
        error = np.sqrt(np.mean(smile_errors(foreign, s) ** 2))
        print(f"  {s.source.name} with a smile of no QQQ quotes: {error:.3f}")
    print("\nLevel: quoted at-the-money volatility over the model's, with VIX of the day before")
    vix = vix_closes()
    for s in smiles:
        level = levels(best, s)
        for day in np.unique(s.day):
            on = np.unique(s.group[s.day == day])
            minutes = np.array([s.minutes[s.group == g][0] for g in on])
            before = vix[max(d for d in vix if d < day)] / 100
            ratio = level[on] / (before * np.sqrt(share * remaining(shape, minutes) / 252))
            span = f"{minutes.max():.0f} to {minutes.min():.0f} minutes left"
            print(f"  {s.source.name} {day}: VIX {100 * before:.2f}, ratio {np.median(ratio):.2f} ({span})")
    print("\nCourse through the session: rms log error of the total volatility, its level removed")
    for q in everything:
        report_course(q, best, shape)


def report_course(q: Quotes, best: Floats, shape: Floats) -> None:
    """The fitted shape of the session against a day of quotes, which played no part in it."""
    t = q.minutes / TRADING_MINUTES_PER_YEAR
    sigma, _ = implied_all(q.right, q.mid, q.forward, q.strike, t)
    near = (q.x <= 0) & np.isfinite(sigma) & (q.minutes >= 5) & (q.x > -0.006)
    for day in np.unique(q.moment[near] // 86_400_000_000_000):
        on = near & (q.moment // 86_400_000_000_000 == day)
        if len(np.unique(q.moment[on])) < 30:
            continue
        total = (sigma * np.sqrt(t))[on]
        z = np.log(q.strike / q.forward)[on] / total
        money = total / np.sqrt(smile_square(best, z))
        half_day = q.minutes.max() < 300
        left = q.minutes[on] * (SESSION / 210 if half_day else 1.0)
        fitted = np.std(np.log(money) - 0.5 * np.log(remaining(shape, left)))
        flat = np.std(np.log(money) - 0.5 * np.log(left))
        date = np.datetime64(int(day), "D")
        print(f"  {q.source.name} on {date}: {fitted:.3f}, flat clock {flat:.3f}, {on.sum()} quotes")


def vix_closes() -> dict[dt.date, float]:
    """Date -> close of VIX."""
    place = find("data/real/open/vix/vix_daily_1990_2026.parquet")
    table = pq.read_table(place).to_pylist()
    return {dt.date.fromisoformat(str(row["date"])[:10]): row["close"] for row in table}


# --- spreads, in basis points of the forward


@dataclass(frozen=True)
class Spreads:
    """What the half-spread is explained with; see `maxlib.options.spreads`."""

    source: Source
    value: Floats  # time value, bp, at least a tick
    depth: Floats  # in the money, per cent
    late: Floats  # log(390 / minutes left)
    floor: Floats  # half a tick, bp
    y: Floats  # log of the half-spread, bp


def spreads_of(q: Quotes) -> Spreads:
    """The variables of the spread model."""
    bp = 1e4 / q.forward
    floor = 0.5 * q.source.tick * bp
    value = q.mid * bp - 1e4 * np.maximum(q.x, 0)
    late = np.log(SESSION / np.clip(q.minutes, 1, SESSION))
    depth = 100 * np.maximum(q.x, 0)
    return Spreads(q.source, np.maximum(value, 2 * floor), depth, late, floor, np.log(q.half * bp))


def model(shape: Floats, level: Floats, s: Spreads) -> Floats:
    """Log half-spread. shape: exponents of time value and lateness (near, deep), log of the depth."""
    b, near_late, deep_late, log_depth = shape
    near = np.exp(level[0] + b * np.log(s.value) + near_late * s.late)
    deep = np.exp(level[1] + deep_late * s.late) * s.depth**2 / (s.depth**2 + np.exp(2 * log_depth))
    return np.log(np.maximum(s.floor, near + deep))


def huber(error: Floats) -> Floats:
    """Signed root of Huber's loss: beyond 0.5 in the log, an error counts linearly."""
    size = np.abs(error)
    return np.sign(error) * np.sqrt(np.where(size < 0.5, size**2, size - 0.25))


def fit_spreads(sources: list[Spreads]) -> tuple[Floats, dict[str, Floats]]:
    """One shape for all, two levels for each; sources weigh the same, whatever their size."""

    def residuals(p: Floats) -> Floats:
        parts = []
        for i, s in enumerate(sources):
            error = s.y - model(p[:4], p[4 + 2 * i : 6 + 2 * i], s)
            parts.append(huber(error) / np.sqrt(len(error)))
        return np.concatenate(parts)

    start = [0.5, 0.0, 0.0, 0.0]
    for s in sources:
        start += [0.0, 3.0] if s.source.name.startswith("GOOG") else [-2.5, 1.0]
    p = least_squares(residuals, np.array(start))
    return p[:4], {s.source.name: p[4 + 2 * i : 6 + 2 * i] for i, s in enumerate(sources)}


def own_level(shape: Floats, s: Spreads) -> Floats:
    """Near and deep level (logs) of one source under a given shape."""
    return least_squares(lambda p: huber(s.y - model(shape, p, s)), np.array([-2.0, 1.5]))


def qqq_level(found: dict[str, Floats]) -> Floats:
    """Mean near and deep level (logs) of the QQQ sources."""
    return np.mean([level for name, level in found.items() if name.startswith("QQQ")], axis=0)


def typical(error: Floats) -> str:
    """Median error as a factor, and the mean of quoted over modelled."""
    return f"{np.exp(np.median(np.abs(error))) - 1:.0%} ({np.exp(np.mean(error)):.2f})"


def report_spreads(everything: list[Quotes]) -> None:
    """Fit the spreads, and fit them again without each source."""
    sources = [spreads_of(q) for q in everything]
    shape, found = fit_spreads(sources)
    near, deep = np.exp(qqq_level(found))
    print(f"\nSpreads: {sum(len(s.y) for s in sources)} quotes")
    print(f"  exponents: time value {shape[0]:.3f}, lateness {shape[1]:.3f} near, {shape[2]:.3f} deep")
    print(f"  depth {np.exp(shape[3]):.3f} %; QQQ: near {near:.4f} bp, deep {deep:.3f} bp")
    print("  typical error, in brackets the mean of quoted over modelled:")
    for s, q in zip(sources, everything, strict=True):
        their_shape, theirs = fit_spreads([other for other in sources if other is not s])
        near, deep = np.exp(found[s.source.name])
        inside = s.y - model(shape, found[s.source.name], s)
        own = s.y - model(their_shape, own_level(their_shape, s), s)
        blind = s.y - model(their_shape, qqq_level(theirs), s)
        print(f"  {s.source.name}: {len(s.y)} quotes; near {near:.4f} bp, deep {deep:.2f} bp")
        print(
            f"    in the sample {typical(inside)}; left out, own level {typical(own)}, "
            f"QQQ's level {typical(blind)}"
        )
        near = np.abs(q.x) < 0.005
        quoted, modelled = (np.median((np.exp(y) / s.floor)[near]) / 2 for y in (s.y, s.y - own))
        print(
            f"    within 0.5 % of the money: {near.sum()} quotes, median half-spread {quoted:.2f} ticks, "
            f"left out {modelled:.2f}; typical error {typical(own[near])}"
        )
        print(
            f"    covers {q.minutes.max():.0f} to {q.minutes.min():.0f} minutes left, moneyness "
            f"{100 * q.x.min():.1f} to {100 * q.x.max():.1f} %, mid {q.mid.min():.3f} to {q.mid.max():.2f}"
        )
    foreign, _ = fit_spreads([s for s in sources if not s.source.name.startswith("QQQ")])
    for s in sources[:2]:
        own = s.y - model(foreign, own_level(foreign, s), s)
        print(f"  {s.source.name} with a shape of no QQQ quotes and its own level: {typical(own)}")


# --- least squares


def least_squares(residuals: Callable[[Floats], Floats], start: Floats) -> Floats:
    """Levenberg and Marquardt with differences; small problems only."""
    p, damping = np.array(start, float), 1e-2
    r = residuals(p)
    for _ in range(200):
        steps = 1e-5 * np.maximum(1.0, np.abs(p))
        jacobian = np.column_stack(
            [(residuals(p + h * e) - r) / h for h, e in zip(steps, np.eye(len(p)), strict=True)]
        )
        square, slope = jacobian.T @ jacobian, jacobian.T @ r
        while damping < 1e9:
            step = -np.linalg.solve(square + damping * np.diag(np.diag(square) + 1e-9), slope)
            # Nothing here is meant to move by a factor of e in a step.
            tried = residuals(p + np.clip(step, -np.maximum(1.0, np.abs(p)), np.maximum(1.0, np.abs(p))))
            if tried @ tried < r @ r:
                break
            damping *= 4
        else:
            return p
        gain = r @ r - tried @ tried
        p = p + np.clip(step, -np.maximum(1.0, np.abs(p)), np.maximum(1.0, np.abs(p)))
        r, damping = tried, max(damping / 5, 1e-9)
        if gain < 1e-10 * (r @ r):
            return p
    return p


def main() -> None:
    """Print everything."""
    shape, share = report_session()
    everything = [quotes(source) for source in SOURCES]
    report_smile(everything, shape, share)
    report_spreads(everything)


if __name__ == "__main__":
    main()
