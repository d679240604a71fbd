"""Volatility regimes: which state the market is in, and who may trade in it.

Pure values: a reading gives a verdict, a verdict that differs from the state in
force gives a transition. There is no hysteresis, because spec §4 has none; the
daily ATR and the proxy change once a session, only a live VIX moves within a day.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config

Regime = Literal[
    "UNKNOWN",
    "EXTREME_CALM_PAUSE",
    "ULTRA_LOW_VOL",
    "NORMAL_VOL",
    "HIGH_VOL",
    "PAUSE_LOW",
    "PAUSE_HIGH",
]
"""UNKNOWN until the readings decide; the two PAUSE states exist with `states: three` only."""


class RegimeRule(Config):
    """What a state lets through.

    Attributes
    ----------
    strategies : kinds that may open positions
    max_positions : open at once
    risk_fraction : share of the account that one position may cost
    trades_a_day : entries in a trading day
    """

    strategies: tuple[str, ...] = Field(default=(), strict=False)
    max_positions: int = Field(default=0, ge=0, le=50)
    risk_fraction: float = Field(default=0.0, ge=0.0, le=0.05)
    trades_a_day: int = Field(default=0, ge=0, le=1000)


NOTHING: Final = RegimeRule()
"""The rule of every pausing state, and of UNKNOWN: no strategy, no position."""


class RegimeConfig(Config):
    """Boundaries and rules.

    §4 and §7 of the spec give two numbers for the positions of a state (ULTRA_LOW 4 and 2,
    HIGH 2 and 1, NORMAL 3 and 3). There is one number here, the smaller. The champion has no
    state in the spec; it runs in NORMAL, where the readiness document trades.

    Attributes
    ----------
    states : "four" = the final router; "three" = the readiness document: pause above `vix_high`, pause
        below `vix_low` or `atr_low`, trade between. Its pauses open nothing, but let positions run
    vix_high, vix_low, vix_calm : points; 30 and 13 are NORMAL, 8 is ULTRA_LOW
    atr_low, atr_calm : daily ATR in per cent of the close; the value itself belongs to the upper state
    normal, high, ultra_low : what may trade in these states
    """

    states: Literal["four", "three"] = "four"
    vix_high: float = Field(default=30.0, gt=0.0, le=200.0)
    vix_low: float = Field(default=13.0, ge=0.0, le=200.0)
    vix_calm: float = Field(default=8.0, ge=0.0, le=200.0)
    atr_low: float = Field(default=0.5, ge=0.0, le=100.0)
    atr_calm: float = Field(default=0.05, ge=0.0, le=100.0)
    normal: RegimeRule = RegimeRule(
        strategies=("wave_renko", "champion"), max_positions=3, risk_fraction=0.02, trades_a_day=10
    )
    high: RegimeRule = RegimeRule(
        strategies=("sweep_reclaim",), max_positions=1, risk_fraction=0.0075, trades_a_day=3
    )
    ultra_low: RegimeRule = RegimeRule(
        strategies=("vwap_mean_reversion",), max_positions=2, risk_fraction=0.0125, trades_a_day=5
    )

    @model_validator(mode="after")
    def _in_order(self) -> RegimeConfig:
        if not self.vix_calm <= self.vix_low <= self.vix_high:
            raise ValueError(
                f"vix_calm {self.vix_calm:g}, vix_low {self.vix_low:g} and vix_high {self.vix_high:g} "
                "must not fall"
            )
        if self.atr_calm > self.atr_low:
            raise ValueError(f"atr_calm {self.atr_calm:g} is above atr_low {self.atr_low:g}")
        return self

    def rule(self, regime: Regime) -> RegimeRule:
        """What a state lets through; `NOTHING` for the states that pause."""
        if regime == "NORMAL_VOL":
            return self.normal
        if regime == "HIGH_VOL":
            return self.high
        return self.ultra_low if regime == "ULTRA_LOW_VOL" else NOTHING


class Volatility(NamedTuple):
    """A reading: `vix` in points and where it came from, daily ATR in per cent (None = not known yet)."""

    vix: float
    source: Literal["vix", "proxy"]
    atr_percent: float | None


def reading(out: Any, vix: float | None = None) -> Volatility:
    """The reading of an output row of `DAILY`, with the VIX if there is one.

    A VIX that is missing, not finite or not above 0 is replaced by the proxy, and the
    reading says so.

    Parameters
    ----------
    out : DailyOut
    vix : index value in points, known at this moment
    """
    atr = float(out["atr_percent"])
    known = atr if math.isfinite(atr) else None
    if vix is not None and 0.0 < vix < math.inf:
        return Volatility(vix, "vix", known)
    return Volatility(float(out["proxy"]), "proxy", known)


class Verdict(NamedTuple):
    """A state and the boundary that put the market there; `measure` is "vix", "proxy" or "atr_percent"."""

    regime: Regime
    measure: str
    limit: float
    actual: float
    why: str


def classify(config: RegimeConfig, seen: Volatility) -> Verdict:
    """The state of a reading: the first of HIGH, CALM, LOW, NORMAL that matches.

    Without an ATR only the VIX can decide; where it would not, the state is UNKNOWN.

    >>> classify(RegimeConfig(), Volatility(30.0, "vix", 1.2)).regime
    'NORMAL_VOL'
    >>> classify(RegimeConfig(), Volatility(12.9, "proxy", 1.2)).why
    'VIX (proxy) 12.9 is below 13'
    """
    four = config.states == "four"
    vix, atr = seen.vix, seen.atr_percent
    if atr is not None and not math.isfinite(atr):
        atr = None  # a NaN would fail every comparison and end in NORMAL
    if not math.isfinite(vix):
        return Verdict("UNKNOWN", seen.source, 0.0, 0.0, f"{_vix(seen)} is not known")
    if vix > config.vix_high:
        return _vix_verdict("HIGH_VOL" if four else "PAUSE_HIGH", "above", config.vix_high, seen)
    if four and vix < config.vix_calm:
        return _vix_verdict("EXTREME_CALM_PAUSE", "below", config.vix_calm, seen)
    if four and atr is not None and atr < config.atr_calm:
        return _atr_verdict("EXTREME_CALM_PAUSE", config.atr_calm, atr)
    low: Regime = "ULTRA_LOW_VOL" if four else "PAUSE_LOW"
    # With an unknown ATR a low VIX could still be EXTREME_CALM, which trades nothing.
    if vix < config.vix_low and not (four and atr is None):
        return _vix_verdict(low, "below", config.vix_low, seen)
    if atr is None:
        return Verdict("UNKNOWN", "atr_percent", config.atr_low, 0.0, "the daily ATR is not known yet")
    if atr < config.atr_low:
        return _atr_verdict(low, config.atr_low, atr)
    why = f"{_vix(seen)} {vix:g} lies in {config.vix_low:g} to {config.vix_high:g}, daily ATR {atr:g} %"
    return Verdict("NORMAL_VOL", seen.source, config.vix_high, vix, why)


def _vix(seen: Volatility) -> str:
    return "VIX" if seen.source == "vix" else "VIX (proxy)"


def _vix_verdict(regime: Regime, side: str, bound: float, seen: Volatility) -> Verdict:
    why = f"{_vix(seen)} {seen.vix:g} is {side} {bound:g}"
    return Verdict(regime, seen.source, bound, seen.vix, why)


def _atr_verdict(regime: Regime, bound: float, atr: float) -> Verdict:
    return Verdict(regime, "atr_percent", bound, atr, f"daily ATR {atr:g} % is below {bound:g} %")


class Route(NamedTuple):
    """The state in force: since when (UTC ns), and the newest verdict, which named it."""

    since: int
    verdict: Verdict

    @property
    def regime(self) -> Regime:
        """The state in force."""
        return self.verdict.regime


START: Final = Route(0, Verdict("UNKNOWN", "atr_percent", 0.0, 0.0, "nothing was read yet"))


class Transition(NamedTuple):
    """The market changed its state. `at` is UTC ns; `close_all` = every open position is to be closed."""

    old: Regime
    new: Regime
    why: str
    at: int
    vix: float | None
    source: str
    atr_percent: float | None
    close_all: bool


def route(config: RegimeConfig, state: Route, at: int, seen: Volatility) -> tuple[Route, Transition | None]:
    """Take a reading at `at` (UTC ns): the state in force after it, and the transition if there was one."""
    verdict = classify(config, seen)
    if verdict.regime == state.regime:
        return Route(state.since, verdict), None
    vix = seen.vix if math.isfinite(seen.vix) else None
    calm = verdict.regime == "EXTREME_CALM_PAUSE"
    change = Transition(
        state.regime, verdict.regime, verdict.why, at, vix, seen.source, seen.atr_percent, calm
    )
    return Route(at, verdict), change


def route_in(row: list[Any]) -> Route:
    """The route from the list that JSON makes of it."""
    since, verdict = row
    return Route(since, Verdict(*verdict))
