"""Settings of the published wave runs, and the causes that separate them from an honest figure."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

from pydantic import Field

from maxlib.core.config import Config


class WavePublished(Config):
    """A wave run as published (spec §11.1), or with some of its flaws put right.

    Attributes
    ----------
    target_mode : "fixed_pct" (1 %, 2 %, stop 0.7 %), "wave" (1 and 1.618 wave heights, no stop),
        "dynamic" (0.35 %, 0.5 %, stop 0.25 %), "swing_75" (of the 100 bars that the original
        read by mistake: it took the number of a brick for the number of a bar)
    hold_minutes : longest time in a trade
    scaling : half at the first target, the rest trails 0.5 % from the best close
    min_rr : least reward to risk of the chosen structure
    avoid_lunch_chop : no signal from 12:00 to 13:30
    require_sweep : a same-direction sweep on exactly that bar, of levels that leak [H1]
    use_volume_filter : volume at least 1.2 times its 20-bar mean
    keep_duplicates : keep bars that the file repeats [H12]
    distance_brick_usd : brick size that the distance test is given; None = the true one [H12]
    bricks : "full_sample" sizes them by all bars, later ones too [H4]; "earlier_days" does not peek
    entry : "brick" enters at the brick's level, at a bar already closed [H5]; "next_open" at the next bar
    overlap : let trades overlap
    exit_value : "intrinsic" forgets the time value that is left [H6b]; "model" prices as at the entry
    pricing : "model_a" or "black_scholes" [H6]
    costs : "none"; "modelled_entry", the original's own, which it never charged [H6c];
        "both_sides", half-spread and commission in and out
    account_usd : before the first trade
    """

    target_mode: Literal["fixed_pct", "wave", "dynamic", "swing_75"] = "fixed_pct"
    hold_minutes: int = Field(default=120, ge=1, le=390)
    scaling: bool = True
    min_rr: float = 1.2
    avoid_lunch_chop: bool = False
    require_sweep: bool = False
    use_volume_filter: bool = False
    keep_duplicates: bool = False
    distance_brick_usd: float | None = Field(default=None, gt=0.0)
    bricks: Literal["full_sample", "earlier_days"] = "full_sample"
    entry: Literal["brick", "next_open"] = "brick"
    overlap: bool = True
    exit_value: Literal["intrinsic", "model"] = "intrinsic"
    pricing: Literal["model_a", "black_scholes"] = "model_a"
    costs: Literal["none", "modelled_entry", "both_sides"] = "none"
    account_usd: float = Field(default=25_000.0, gt=0.0)


BASELINE: Final = WavePublished()
"""August to November 2025."""
REPEATED: Final = WavePublished(keep_duplicates=True, distance_brick_usd=0.66)
"""COVID and low volatility: every bar twice, and a brick that is not theirs in the distance test."""


class Cause(Enum):
    """One reason why the published figure is not real; each can be put right by itself.

    The value says what is put right.
    """

    DUPLICATES = "each bar once, the true brick in the distance test [H12]"
    BRICKS = "bricks sized by earlier days [H4]"
    ENTRY = "enter at the next bar's open [H5]"
    OVERLAP = "one position at a time"
    TIME_VALUE = "exits keep Model A's time value [H6b]"
    MODEL = "Black-Scholes at realised volatility in place of Model A [H6]"
    COSTS = "half-spread and commission on both sides"


WATERFALL: Final = tuple(Cause)
"""The order of spec §12.1."""

_REPAIRS: Final[dict[Cause, dict[str, object]]] = {
    Cause.DUPLICATES: {"keep_duplicates": False, "distance_brick_usd": None},
    Cause.BRICKS: {"bricks": "earlier_days"},
    Cause.ENTRY: {"entry": "next_open"},
    Cause.OVERLAP: {"overlap": False},
    Cause.TIME_VALUE: {"exit_value": "model"},
    Cause.MODEL: {"pricing": "black_scholes"},
    Cause.COSTS: {"costs": "both_sides"},
}


def repaired(config: WavePublished, causes: tuple[Cause, ...]) -> WavePublished:
    """`config` with the named causes put right."""
    changes = {field: value for cause in causes for field, value in _REPAIRS[cause].items()}
    return config.model_copy(update=changes)
