"""A market on a fresh machine: QQQ-like one-minute bars with a VIX coupled to them.

The model, in the order in which a day is made:

1. *Day scale.* `sigma = vol_per_vix * VIX(previous close) * lognormal(day_noise)`: nothing of
   today's VIX enters today's bars.
2. *Shape.* Minute returns of unit daily variance: a U-shaped curve times a volatility factor
   with a fast and a slow half-life times normal noise, now and then a jump. Post-market, the
   untraded night (Student t) and pre-market have their own shares of the day's variance.
3. *VIX.* `d log VIX = reversion * (log mean - log VIX) + beta * return + noise`.
4. *Bars.* Highs and lows are drawn from the extremes of a Brownian bridge between each
   minute's first and last price, so they contain both; quotes bounce; prices are cents.
   Outside regular hours a minute without a trade has no bar.

Every day owns a child of the seed: equal configs give equal bytes, and a longer
simulation begins with the shorter one. Parameters were fitted to QQQ minutes of 2020, 2024
and 2025; `notebooks/market_facts.ipynb` shows how well. Not modelled: scheduled news other
than 08:30 and 10:00, trading halts, dividends, sub-penny prints, weekend variance.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError
from maxlib.data.planted import Pattern, plant
from maxlib.market import bars as b
from maxlib.market import calendar

Floats = NDArray[np.float64]

VIX: Final = np.dtype([("day", "i4"), ("close", "f8")], align=True)
"""VIX close of one session, index points; `day` as in `BAR.day`, known after that close."""

FIRST_MINUTE: Final = 4 * 60
LAST_MINUTE: Final = 20 * 60
POST_MINUTES: Final = 4 * 60
"""Extended hours end four hours after regular hours do: 20:00, or 17:00 on a half day."""
_MINUTES: Final = LAST_MINUTE - FIRST_MINUTE
_PRE: Final = b.RTH_OPEN - FIRST_MINUTE
_REGULAR: Final = b.RTH_CLOSE - b.RTH_OPEN
_CHUNK: Final = 64  # days made at once: the arrays of one chunk stay in cache


class SimulatorConfig(Config):
    """What to simulate. Fields left None take the value of the chosen market."""

    market: Literal["normal", "crash", "calm"] = "normal"
    """normal: VIX 16-20; crash: February to May 2020; calm: VIX near 12."""
    seed: int = Field(7, ge=0)
    """Seed of every draw; equal configs give equal bytes."""
    first_date: dt.date = Field(dt.date(2025, 1, 2), strict=False)
    """First session is on or after this date (New York), 1999-2028."""
    days: int = Field(60, ge=1, le=2500)
    """Number of sessions."""
    start_price: float = Field(500.0, ge=5.0, le=100_000.0)
    """Price before the first overnight gap, dollars."""
    vix_start: float | None = Field(None, ge=5.0, le=150.0)
    """VIX before the first session, index points."""
    vix_mean: float | None = Field(None, ge=5.0, le=150.0)
    """Level to which VIX reverts, index points (crash: the level long after the crash)."""
    vix_reversion: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the log distance to the mean that is closed per session."""
    vix_beta: float | None = Field(None, ge=-20.0, le=0.0)
    """Change of log VIX per unit of the session's close-to-close log return."""
    planted: int = Field(0, ge=0)
    """Number of ICT confluences to plant, one per session from the first; at most `days`."""

    @model_validator(mode="after")
    def _one_pattern_per_session(self) -> Self:
        if self.planted > self.days:
            raise ValueError(f"planted={self.planted} exceeds days={self.days}: one pattern per session")
        return self


@dataclass(frozen=True)
class Simulated:
    """A simulated market; never to be mixed with real data.

    Attributes
    ----------
    bars : BAR[n]
        In time order, 04:00-20:00 New York; thin minutes are absent.
    vix : VIX[days]
        One close per session, in points.
    truth : tuple of Pattern
        The planted structures in time order, three per planted confluence.
    """

    bars: NDArray[np.void]
    vix: NDArray[np.void]
    truth: tuple[Pattern, ...]


class _Market(NamedTuple):
    vix_start: float
    vix_mean: float
    vix_reversion: float  # per session, in log VIX
    vix_beta: float  # log VIX per log return
    vix_noise: float  # sd of the part of d log VIX that the return does not explain
    vol_per_vix: float  # daily sd of returns ÷ (VIX / 100 / √252)
    day_noise: float  # sd of log day volatility around what VIX says
    post: float  # shares of close-to-close variance: after 16:00,
    night: float  # 20:00-04:00,
    pre: float  # 04:00-09:30; the rest is regular hours
    drift: float  # log return per session; the crash has its own schedule
    shares: float  # volume relative to the table at VIX 17


MARKETS: Final = {
    "normal": _Market(
        vix_start=17.0, vix_mean=17.0, vix_reversion=0.07, vix_beta=-4.9, vix_noise=0.055, vol_per_vix=1.05,
        day_noise=0.28, post=0.06, night=0.22, pre=0.13, drift=0.0004, shares=1.0,
    ),
    "crash": _Market(
        vix_start=15.0, vix_mean=26.0, vix_reversion=0.35, vix_beta=-2.7, vix_noise=0.080, vol_per_vix=1.28,
        day_noise=0.26, post=0.06, night=0.40, pre=0.16, drift=0.0, shares=1.0,
    ),
    "calm": _Market(
        vix_start=12.3, vix_mean=12.3, vix_reversion=0.12, vix_beta=-5.5, vix_noise=0.050, vol_per_vix=1.00,
        day_noise=0.25, post=0.06, night=0.20, pre=0.12, drift=0.0006, shares=0.8,
    ),
}  # fmt: skip
"""Fitted: normal to 2024/25, crash to February-May 2020; calm to January-May 2024, with a lower VIX."""

# The crash: VIX is drawn to a peak for 18 sessions while prices fall, then both recover.
_FALL, _FALL_DRIFT = 18, -0.014
_RECOVERY, _RECOVERY_DRIFT = 45, 0.006
_PEAK, _HALF_LIFE = 80.0, 15.0


def _table(text: str) -> Floats:
    """Knots "minute value, minute value" as [2, n]."""
    return np.array([pair.split() for pair in text.split(",")], np.float64).T


# Mean |minute return| of a normal day, bp. Only the shape counts, since each part of the day is
# scaled to its share of variance. 08:30 and 10:00 carry news, 15:50 and 15:54 the imbalances.
_VOL_PRE = _table(
    "15 1.6, 45 1.2, 105 1, 179 1.15, 180 1.5, 239 1.3, 240 2.1, 269 2, 270 5, 272 2.4, 315 1.9, 329 1.9"
)
_VOL_RTH = _table(
    "0 8.5, 1 6.6, 5 5.6, 15 4.9, 29 4.3, 30 5.7, 31 4.7, 45 4.2, 75 3.5, 105 3, 150 2.7, 200 2.4, 345 2.4,"
    "375 2.6, 379 2.7, 380 5, 381 3.3, 383 2.9, 384 4.8, 385 4.3, 386 2.7, 388 2.7, 389 5"
)
_VOL_POST = _table("0 3, 15 2, 45 1.05, 75 .72, 120 .75, 239 .8")
# Median shares per minute, interpolated in logs; the last regular minute has the closing auction.
_SHARES_PRE = _table(
    "15 1800, 105 1250, 179 1600, 180 2300, 239 2100, 240 4300, 269 4600, 270 9000, 300 5800, 329 7000"
)
_SHARES_RTH = _table(
    "0 450e3, 1 230e3, 5 175e3, 15 145e3, 45 110e3, 90 82e3, 150 65e3, 210 55e3, 270 54e3, 330 63e3,"
    "360 82e3, 375 115e3, 380 180e3, 385 220e3, 388 300e3, 389 800e3"
)
_SHARES_POST = _table("0 9e4, 3 3e4, 15 1e4, 45 2900, 75 1200, 105 830, 135 1000, 239 900")
# Chance that a minute of median volume has a trade; QQQ trades in every regular minute.
_TRADED_PRE = _table("15 .90, 45 .81, 105 .76, 179 .81, 180 .95, 239 .93, 240 .985, 329 .999")
_TRADED_RTH = _table("0 1")
_TRADED_POST = _table("0 .999, 15 .99, 45 .94, 75 .77, 105 .66, 135 .76, 239 .73")


class _Curves(NamedTuple):
    """What a kind of day looks like, per minute from 04:00; stacked, one more axis in front."""

    vol: Floats  # [3, 960] pre, regular, post; a full day's part has a unit sum of squares
    shares: Floats  # [960] median shares
    traded: Floats  # [960] chance of a trade
    regular: NDArray[np.bool_]  # [960]


@lru_cache(4)
def _curves(close_minute: int) -> _Curves:
    """The curves of a day that closes at `close_minute`; a short day squeezes the U."""
    minute = np.arange(FIRST_MINUTE, LAST_MINUTE)
    regular = (minute >= b.RTH_OPEN) & (minute < close_minute)
    post = (minute >= close_minute) & (minute < close_minute + POST_MINUTES)
    squeeze = (_REGULAR - 1) / (close_minute - b.RTH_OPEN - 1)
    parts = (
        (minute < b.RTH_OPEN, FIRST_MINUTE, 1.0, _PRE, _VOL_PRE, _SHARES_PRE, _TRADED_PRE),
        (regular, b.RTH_OPEN, squeeze, _REGULAR, _VOL_RTH, _SHARES_RTH, _TRADED_RTH),
        (post, close_minute, 1.0, POST_MINUTES, _VOL_POST, _SHARES_POST, _TRADED_POST),
    )
    vol, shares, traded = np.zeros((3, _MINUTES)), np.ones(_MINUTES), np.zeros(_MINUTES)
    for i, (where, begin, stretch, full, of_vol, of_shares, of_traded) in enumerate(parts):
        at = (minute[where] - begin) * stretch
        vol[i, where] = np.interp(at, *of_vol) / np.sqrt((np.interp(np.arange(full), *of_vol) ** 2).sum())
        shares[where] = np.exp(np.interp(at, of_shares[0], np.log(of_shares[1])))
        traded[where] = np.interp(at, *of_traded)
    return _Curves(vol, shares, traded, regular)


class _Draws(NamedTuple):
    day: Floats  # [d, 4] normal
    night: Floats  # [d] Student t of unit variance
    jump: Floats  # [d, 2] uniform
    normal: Floats  # [4, d, 960]: return, slow and fast volatility, volume
    uniform: Floats  # [5, d, 960]: high, low, traded, bounce of open and close


def _draw(seed: int, first: int, last: int) -> _Draws:
    """All randomness of days first..last-1: each day has its own child generator."""
    n, dof = last - first, 4.0
    day, night, jump = np.empty((n, 4)), np.empty(n), np.empty((n, 2))
    normal, uniform = np.empty((n, 4, _MINUTES)), np.empty((n, 5, _MINUTES))
    for i in range(n):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(first + i,))))
        rng.standard_normal(out=day[i])
        night[i] = rng.standard_t(dof) * np.sqrt((dof - 2) / dof)
        rng.random(out=jump[i])
        rng.standard_normal(out=normal[i])
        rng.random(out=uniform[i])
    return _Draws(day, night, jump, np.ascontiguousarray(normal.transpose(1, 0, 2)),
                  np.ascontiguousarray(uniform.transpose(1, 0, 2)))  # fmt: skip


def _ar1(noise: Floats, half_life: float) -> Floats:
    """Unit-variance AR(1) along the last axis, started in its stationary law."""
    rho = 0.5 ** (1 / half_life)
    x = np.ascontiguousarray(noise.T)  # minutes first, so that each step is one contiguous row
    x[1:] *= np.sqrt(1 - rho * rho)
    for m in range(1, len(x)):
        x[m] += rho * x[m - 1]
    return np.ascontiguousarray(x.T)


# Volatility within a day: sd and half-life in minutes of the two factors of log volatility.
_SLOW, _SLOW_LIFE = 0.24, 45.0
_FAST, _FAST_LIFE = 0.22, 3.0
_JUMP_CHANCE, _JUMP_SIZE = 0.2, 5.0  # per session; sd in units of that minute's own
# Log volume: day noise, exponent of VIX, loading on log volatility and on |z|, minute noise.
_SHARES_DAY, _SHARES_VIX, _SHARES_VOL, _SHARES_MOVE, _SHARES_NOISE = 0.30, 0.45, 1.2, 0.25, 0.45
_THIN_NOISE = 2.2  # minute noise of volume outside regular hours, relative to regular
_TRADED_SHARES = 0.3  # exponent of a minute's volume in its expected number of trades
_BOUNCE, _THIN_BOUNCE = 0.012, 0.03  # a print lies up to this far from the mid, dollars
_RANGE, _THIN_RANGE = 0.92, 0.72  # few prints do not reach the extremes of a continuous path


class _Shape(NamedTuple):
    """Days before they have a scale: returns in units of sigma, volume of an average day."""

    step: Floats  # [d, 960]
    sd: Floats  # [d, 960] conditional standard deviation of `step`
    night: Floats  # [d]
    shares: Floats  # [d, 960]
    crowd: Floats  # [d] noise of the day's volume, median 1
    day: Floats  # [d] noise of the day's volatility, mean square 1


def _shape(m: _Market, draws: _Draws, c: _Curves) -> _Shape:
    share = np.sqrt([m.pre, 1 - m.pre - m.night - m.post, m.post])
    base = c.vol[:, 0] * share[0] + c.vol[:, 1] * share[1] + c.vol[:, 2] * share[2]
    z, slow, fast, noise = draws.normal
    factor = _SLOW * _ar1(slow, _SLOW_LIFE) + _FAST * _ar1(fast, _FAST_LIFE)
    sd = base * np.exp(factor - (_SLOW**2 + _FAST**2))  # E[exp(2 factor)] = 1
    step = sd * z
    days = np.flatnonzero(draws.jump[:, 0] < _JUMP_CHANCE)
    minute = (draws.jump[days, 1] * c.regular[days].sum(axis=1)).astype(np.int64)
    at = _PRE + minute
    step[days, at] += base[days, at] * _JUMP_SIZE * draws.day[days, 3]

    spread = np.where(c.regular, 1.0, _THIN_NOISE)
    move = np.abs(z) - np.sqrt(2 / np.pi)
    log_shares = _SHARES_VOL * factor + spread * (_SHARES_MOVE * move + _SHARES_NOISE * noise)
    crowd = np.exp(_SHARES_DAY * draws.day[:, 1])
    day = np.exp(m.day_noise * draws.day[:, 2] - m.day_noise**2)
    return _Shape(step, sd, np.sqrt(m.night) * draws.night, c.shares * np.exp(log_shares), crowd, day)


def _mean_and_drift(name: str, m: _Market, day: int) -> tuple[float, float]:
    """Where log VIX is drawn to, and the log drift, `day` sessions after the start."""
    level, peak = np.log(m.vix_mean), np.log(_PEAK)
    if name != "crash":
        return level, m.drift
    if day < _FALL:
        begin = np.log(m.vix_start)
        return begin + (peak - begin) * (day + 1) / _FALL, _FALL_DRIFT
    fade = 0.5 ** ((day - _FALL) / _HALF_LIFE)
    return level + (peak - level) * fade, _RECOVERY_DRIFT if day < _FALL + _RECOVERY else 0.0


@dataclass
class _State:
    """What one session hands to the next."""

    log_price: float  # at the end of extended hours
    vix: float
    post: float = 0.0  # return since the close of regular hours


class _Scale(NamedTuple):
    sigma: Floats  # [d] daily standard deviation of log returns
    drift: Floats  # [d, 960] log drift per minute
    start: Floats  # [d] log price at 04:00
    vix: Floats  # [d + 1] closes, from the session before the first


def _scale(
    name: str, m: _Market, shape: _Shape, c: _Curves, draws: _Draws, first: int, state: _State
) -> _Scale:
    """The only recursion from day to day; moves `state`."""
    n = len(shape.night)
    sigma, start, drifts, vix = np.empty(n), np.empty(n), np.empty(n), np.empty(n + 1)
    vix[0] = state.vix
    cut = _PRE + c.regular.sum(axis=1)
    inside = np.arange(_MINUTES) < cut[:, None]
    before = np.where(inside, shape.step, 0.0).sum(axis=1)
    after = np.where(inside, 0.0, shape.step).sum(axis=1)
    for d in range(n):
        mean, drifts[d] = _mean_and_drift(name, m, first + d)
        sigma[d] = m.vol_per_vix * vix[d] / 100 / np.sqrt(252) * shape.day[d]
        start[d] = state.log_price + sigma[d] * shape.night[d]
        shock = state.post + sigma[d] * (shape.night[d] + before[d])
        pull = m.vix_reversion * (mean - np.log(vix[d]))
        log_vix = np.log(vix[d]) + pull + m.vix_beta * shock + m.vix_noise * draws.day[d, 0]
        # Kept between what VIX has never left: its lowest close was 9.14, its highest 82.69.
        vix[d + 1] = np.round(np.clip(np.exp(log_vix), 8.5, 150.0), 2)
        state.post = sigma[d] * after[d]
        state.log_price = start[d] + sigma[d] * before[d] + drifts[d] + state.post
    state.vix = float(vix[-1])
    return _Scale(sigma, np.where(inside, (drifts / cut)[:, None], 0.0), start, vix)


def _prices(shape: _Shape, draws: _Draws, c: _Curves, scale: _Scale) -> tuple[Floats, ...]:
    """Open, high, low, close [d, 960] in whole cents, dollars."""
    path = np.cumsum(shape.step * scale.sigma[:, None] + scale.drift, axis=1) + scale.start[:, None]
    close = np.exp(path)
    open_ = np.concatenate([np.exp(scale.start)[:, None], close[:, :-1]], axis=1)
    sd = np.where(c.regular, _RANGE, _THIN_RANGE) * shape.sd * scale.sigma[:, None] * close
    up, down, _, first, last = draws.uniform
    middle, reach = (open_ + close) / 2, (open_ - close) ** 2
    # Extremes of a Brownian bridge: P(max > x) = exp(-2 (x - open)(x - close) / sd^2).
    high = middle + np.sqrt(reach - 2 * sd**2 * np.log1p(-up)) / 2
    low = middle - np.sqrt(reach - 2 * sd**2 * np.log1p(-down)) / 2
    bounce = np.where(c.regular, _BOUNCE, _THIN_BOUNCE)
    open_ += bounce * (2 * first - 1)
    close += bounce * (2 * last - 1)
    open_, high, low, close = (np.maximum(np.round(x * 100), 1.0) / 100 for x in (open_, high, low, close))
    return open_, np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close)), close


def _days(config: SimulatorConfig) -> list[calendar.Session]:
    if not calendar.FIRST <= config.first_date <= calendar.LAST:
        raise ConfigError(
            f"first_date={config.first_date} is outside the session calendar, "
            f"which covers {calendar.FIRST} to {calendar.LAST}"
        )
    span = dt.timedelta(days=config.days * 8 // 5 + 14)
    found = calendar.sessions(config.first_date, min(config.first_date + span, calendar.LAST))
    if len(found) < config.days:
        raise ConfigError(
            f"days={config.days} from first_date={config.first_date} runs past the session calendar, "
            f"which ends {calendar.LAST} after {len(found)} sessions"
        )
    return found[: config.days]


def _market(config: SimulatorConfig) -> _Market:
    """Parameters in force: the chosen market's, with the config's own in their place."""
    names = ("vix_start", "vix_mean", "vix_reversion", "vix_beta")
    own = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    return MARKETS[config.market]._replace(**own)


_Part = tuple[NDArray[np.void], Floats]


def _chunks(config: SimulatorConfig, days: list[calendar.Session]) -> Iterator[_Part]:
    """Bars and VIX closes of up to `_CHUNK` sessions at a time."""
    m = _market(config)
    state = _State(float(np.log(config.start_price)), m.vix_start)
    for first in range(0, len(days), _CHUNK):
        some = days[first : first + _CHUNK]
        c = _Curves(*(np.stack(part) for part in zip(*(_curves(s.close_minute) for s in some), strict=True)))
        draws = _draw(config.seed, first, first + len(some))
        shape = _shape(m, draws, c)
        scale = _scale(config.market, m, shape, c, draws, first, state)
        level = (m.shares * shape.crowd * (scale.vix[:-1] / 17.0) ** _SHARES_VIX)[:, None]
        # Trades arrive like a Poisson count that grows with volume: quiet days miss more minutes.
        missing = (1 - c.traded) ** (level * (shape.shares / c.shares) ** _TRADED_SHARES)
        there = draws.uniform[2] >= missing
        midnight = np.array([calendar.to_ns(s.date, FIRST_MINUTE) for s in some])
        start = midnight[:, None] + np.arange(_MINUTES) * b.NS_PER_MINUTE
        volume = np.maximum(np.round(shape.shares * level), 1.0)
        open_, high, low, close = (p[there] for p in _prices(shape, draws, c, scale))
        yield calendar.stamp(start[there], open_, high, low, close, volume[there]), scale.vix[1:]


def simulate(config: SimulatorConfig) -> Simulated:
    """Bars, VIX and planted truth of a market that never was.

    Parameters
    ----------
    config : SimulatorConfig

    Returns
    -------
    Simulated
        Prices in dollars and whole cents, volume in shares; `bars["ts"]` is each bar's END.

    Raises
    ------
    ConfigError
        If the sessions asked for leave the session calendar, 1999-2028.

    Examples
    --------
    >>> made = simulate(SimulatorConfig(days=3))
    >>> len(made.vix), bool((made.bars["high"] >= made.bars["low"]).all())
    (3, True)
    """
    days = _days(config)
    parts = list(_chunks(config, days))
    # Joined as bytes: joining records would leave their padding undefined, and equal bars unequal bytes.
    bars = np.concatenate([p[0].view(np.uint8) for p in parts]).view(b.BAR)
    vix = np.zeros(len(days), VIX)
    vix["day"] = [calendar.ordinal(s.date) for s in days]
    vix["close"] = np.concatenate([p[1] for p in parts])
    return Simulated(bars, vix, plant(bars, config.planted, config.seed))
