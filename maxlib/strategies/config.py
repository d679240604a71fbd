"""Strategies as settings: every threshold of the spec, with its default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from maxlib.core.config import Config
from maxlib.kernels.ranges import MAX_ATR
from maxlib.kernels.renko import MAX_DAYS
from maxlib.signals.ict import BY_ATR, BY_PERCENT, CARRIED, REFIRING
from maxlib.strategies.champion import CHAMPION
from maxlib.strategies.strategy import Strategy
from maxlib.strategies.wave_renko import DYNAMIC, FIXED_PCT, SWING_75, WAVE, WAVE_RENKO


def _from_yaml(value: object) -> object:
    """YAML reads an unquoted 16:00 as a number to base 60, 960: the minutes of the day."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1440
    return f"{value // 60:02}:{value % 60:02}" if whole else value  # type: ignore[operator]


Minute = Annotated[str, BeforeValidator(_from_yaml), Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""A time of day in New York, "HH:MM"."""

_MODES = {"wave": WAVE, "fixed_pct": FIXED_PCT, "dynamic": DYNAMIC, "swing_75": SWING_75}


def minute(text: str) -> int:
    """Minutes since midnight of "HH:MM"."""
    return int(text[:2]) * 60 + int(text[3:])


class IctConfig(Config):
    """ICT structures.

    Attributes
    ----------
    atr_length : bars of the one-minute ATR, also of the one that sizes bricks
    displacement : body size beyond which a bar is a displacement
    displacement_by : "atr" = in ATRs, "percent" = in per cent of the close
    mss : "carried" keeps the structure state until the opposite shift;
        "refiring" is the original's quirk, about four and a half times as many shifts
    """

    atr_length: int = Field(default=14, ge=1, le=MAX_ATR)
    displacement: float = Field(default=1.0, gt=0.0, le=100.0)
    displacement_by: Literal["atr", "percent"] = "atr"
    mss: Literal["carried", "refiring"] = "carried"

    def row(self) -> tuple[int, float, int, int]:
        """The values in the order of `IctParams`."""
        percent = self.displacement_by == "percent"
        size = self.displacement / 100.0 if percent else self.displacement
        mss = CARRIED if self.mss == "carried" else REFIRING
        return self.atr_length, size, BY_PERCENT if percent else BY_ATR, mss


class ChampionConfig(Config):
    """The ICT confluence rule.

    Attributes
    ----------
    target_atr : target distance, in ATRs of the confirming bar
    min_target_usd : nearer targets are skipped
    entry_from, entry_to : New York times between which an entry may open
    """

    kind: Literal["champion"] = "champion"
    ict: IctConfig = IctConfig()
    target_atr: float = Field(default=5.0, gt=0.0, le=100.0)
    min_target_usd: float = Field(default=0.15, ge=0.0)
    entry_from: Minute = "09:30"
    entry_to: Minute = "15:30"

    @model_validator(mode="after")
    def _window(self) -> ChampionConfig:
        if self.entry_from > self.entry_to:
            raise ValueError(f"entry_from {self.entry_from} is after entry_to {self.entry_to}")
        return self

    def build(self) -> Strategy:
        """The strategy these settings describe."""
        params = CHAMPION.params(
            ict=self.ict.row(),
            target_atr=self.target_atr,
            min_target=self.min_target_usd,
            entry_from=minute(self.entry_from),
            entry_to=minute(self.entry_to),
        )
        return Strategy(self.kind, CHAMPION, params)


class WaveConfig(Config):
    """The wave-Renko rule.

    Attributes
    ----------
    brick_k : brick size in median ATRs of the previous `brick_days` trading days
    brick_usd : a fixed brick size in dollars instead; null = the rolling one
    reversal : bricks that make a reversal
    min_run : bricks that make a wave
    max_distance : farthest entry from the wave's end, in bricks
    min_confidence : of the daily/4 h confluence
    target_mode : "wave" (1 and 1.618 wave heights), "fixed_pct" (1 %, 2 %, stop 0.7 %),
        "dynamic" (0.35 %, 0.5 %, stop 0.25 %), "swing_75" (range of 100 bars, stop 0.7 %)
    window_from, window_to : New York start times of bars that may signal
    avoid_lunch_chop : no signal from 12:00 to 13:30
    use_ict_boost : blend the confidence with recent ICT structures (it can only lower it)
    use_regime_filter : longs need a bull or sideways label, shorts bear or sideways
    require_sweep : a same-direction sweep on exactly that bar
    use_volume_filter : volume at least `volume_ratio` times its 20-bar mean
    trend_k, trend_lookback, trend_threshold : brick size, bars and mean direction of the label
    swing_min_rr : least reward to risk in mode swing_75
    """

    kind: Literal["wave_renko"] = "wave_renko"
    ict: IctConfig = IctConfig()
    brick_k: float = Field(default=4.0, gt=0.0, le=1000.0)
    brick_days: int = Field(default=5, ge=1, le=MAX_DAYS)
    brick_usd: float | None = Field(default=None, gt=0.0)
    reversal: Literal[1, 2] = 1
    min_run: int = Field(default=3, ge=1, le=1000)
    max_distance: float = Field(default=1.5, ge=0.0, le=1000.0)
    min_confidence: float = Field(default=0.40, ge=0.0, le=1.0)
    target_mode: Literal["wave", "fixed_pct", "dynamic", "swing_75"] = "wave"
    window_from: Minute = "09:45"
    window_to: Minute = "15:45"
    avoid_lunch_chop: bool = False
    use_ict_boost: bool = True
    use_regime_filter: bool = True
    require_sweep: bool = False
    use_volume_filter: bool = False
    volume_ratio: float = Field(default=1.2, gt=0.0, le=100.0)
    trend_k: float = Field(default=1.0, gt=0.0, le=1000.0)
    trend_lookback: int = Field(default=20, ge=2, le=64)
    trend_threshold: float = Field(default=0.3, ge=0.0, le=1.0)
    swing_min_rr: float = Field(default=2.0, ge=0.0, le=100.0)

    @model_validator(mode="after")
    def _window(self) -> WaveConfig:
        if self.window_from > self.window_to:
            raise ValueError(f"window_from {self.window_from} is after window_to {self.window_to}")
        return self

    def build(self) -> Strategy:
        """The strategy these settings describe."""
        params = WAVE_RENKO.params(
            ict=self.ict.row(),
            trend=(self.trend_k, self.brick_days, 0.0, self.trend_lookback, self.trend_threshold),
            k=self.brick_k,
            brick_days=self.brick_days,
            brick_fixed=self.brick_usd or 0.0,
            reversal=self.reversal,
            min_run=self.min_run,
            max_distance=self.max_distance,
            min_confidence=self.min_confidence,
            mode=_MODES[self.target_mode],
            window_from=minute(self.window_from),
            window_to=minute(self.window_to),
            avoid_lunch=self.avoid_lunch_chop,
            use_ict=self.use_ict_boost,
            use_regime=self.use_regime_filter,
            require_sweep=self.require_sweep,
            use_volume=self.use_volume_filter,
            volume_ratio=self.volume_ratio,
            swing_min_rr=self.swing_min_rr,
        )
        return Strategy(self.kind, WAVE_RENKO, params)


StrategyConfig = Annotated[ChampionConfig | WaveConfig, Field(discriminator="kind")]
