"""Exit plans as data."""

from __future__ import annotations

from pydantic import Field

from maxlib.core.config import Config


class ExitPlan(Config):
    """How a position is left. Price levels come from the signal; this says what they do.

    The default is the readiness report's rule: half at the first target, the
    stop to break-even, the rest trailed by 0.5 %, everything out at the second.

    Attributes
    ----------
    tp1_fraction : share of the contracts closed at the first target (at least one contract)
    break_even : move the stop to the entry price after the first target
    trail : after the first target the stop follows the best close at this fraction of it; 0 = off
    hold_minutes : time limit from the entry
    force_close_minutes : everything is closed this many minutes before the session's close
    """

    tp1_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    break_even: bool = True
    trail: float = Field(default=0.005, ge=0.0, lt=1.0)
    hold_minutes: int = Field(default=120, ge=1, le=390)
    force_close_minutes: int = Field(default=5, ge=1, le=389)
