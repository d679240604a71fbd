"""Exit plans as data."""

from __future__ import annotations

from pydantic import Field, model_validator

from maxlib.core.config import Config


class ExitPlan(Config):
    """How a position is left. Levels come from the signal unless they are given here.

    The default is the readiness report's rule: half at the first target, the
    stop to break-even, the rest trailed by 0.5 %, everything out at the second.

    Attributes
    ----------
    stop, tp1, tp2 : distances from the entry price as fractions of it (0.007 = 0.7 %);
        null = the signal's own level, which may be none
    tp1_fraction : share of the contracts closed at the first target (at least one contract)
    second_target : leave with everything at the second target
    on_close : watch the levels on closes only, not on touches. With `break_even` and `second_target`
        off this is the rule that the original's code followed (spec §5), for comparison
    break_even : move the stop to the entry price after the first target
    trail : after the first target the stop follows the best close at this fraction of it; 0 = off
    hold_minutes : time limit from the entry
    force_close_minutes : everything is closed this many minutes before the session's close
    """

    stop: float | None = Field(default=None, gt=0.0, lt=1.0)
    tp1: float | None = Field(default=None, gt=0.0, lt=10.0)
    tp2: float | None = Field(default=None, gt=0.0, lt=10.0)
    tp1_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    second_target: bool = True
    on_close: bool = False
    break_even: bool = True
    trail: float = Field(default=0.005, ge=0.0, lt=1.0)
    hold_minutes: int = Field(default=120, ge=1, le=390)
    force_close_minutes: int = Field(default=5, ge=1, le=389)

    @model_validator(mode="after")
    def _targets_in_order(self) -> ExitPlan:
        if self.tp1 is not None and self.tp2 is not None and self.tp1 > self.tp2:
            raise ValueError(f"tp1 {self.tp1} is farther than tp2 {self.tp2}")
        return self
