"""Where the bars of a run come from."""

from __future__ import annotations

import datetime as dt
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from maxlib.core.config import Config
from maxlib.data.simulator import SimulatorConfig

SYMBOL_PATTERN = r"^[A-Z][A-Z0-9.]{0,11}$"


class DataConfig(Config):
    """One source of one-minute bars, and the part of it to use.

    There is no default source: a run never falls back to simulated data by itself.

    Attributes
    ----------
    source : {"file", "simulator", "catalog"}
        A CSV or Parquet file, the embedded market simulator, or the Parquet
        catalog of imported bars.
    symbol : str
        Ticker in capitals. A file that names another symbol is refused.
    path : str or None
        The file (source "file" only): absolute, or relative to the current
        directory, or to the folder in MAXTRADER_SHARED, or the bare name of a
        file that was imported into the catalog.
    zone : str
        Zone of stamps written without an offset: "auto" (New York or UTC, whichever
        puts the trading into regular hours) or an IANA name such as "UTC". Stamps
        with an offset, and epoch numbers, need no zone.
    stamped : {"auto", "start", "end"}
        Which edge of its minute the file stamps a bar with.
    start, end : datetime.date or None
        First and last New York date to use, both included; None = as far as the
        bars go. Bars outside are dropped before the quality gate looks at them.
    allow_incomplete : bool
        Let sessions through that stop well before their close or start late.
        They are still counted and shown.
    allow_jumps : bool
        Let bars through that reach more than 20 % away from the close before them.
        They are still counted and shown.
    vix : str or None
        A file of daily VIX closes beside a file or the catalog; found as `path` is.
    simulator : SimulatorConfig or None
        The market to simulate (source "simulator" only); None = the standard one.
    """

    source: Literal["file", "simulator", "catalog"]
    symbol: str = Field(default="QQQ", pattern=SYMBOL_PATTERN)
    path: str | None = Field(default=None, min_length=1)
    zone: str = "auto"
    stamped: Literal["auto", "start", "end"] = "auto"
    start: dt.date | None = Field(default=None, strict=False)
    end: dt.date | None = Field(default=None, strict=False)
    allow_incomplete: bool = False
    allow_jumps: bool = False
    vix: str | None = Field(default=None, min_length=1)
    simulator: SimulatorConfig | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone != "auto":
            try:
                ZoneInfo(zone)
            except (OSError, ValueError, KeyError):  # which one depends on how wrong the name is
                raise ValueError('should be "auto" or an IANA zone such as "America/New_York"') from None
        return zone

    @model_validator(mode="after")
    def _fits_together(self) -> DataConfig:
        if self.source == "file" and self.path is None:
            raise ValueError('source "file" needs a path, but path is None')
        if self.source != "file" and self.path is not None:
            raise ValueError(f'path {self.path!r} needs source "file", but source is "{self.source}"')
        for field in ("zone", "stamped"):
            value = getattr(self, field)
            if self.source != "file" and value != "auto":
                raise ValueError(f'{field} "{value}" needs source "file", but source is "{self.source}"')
        if self.source == "simulator" and self.vix is not None:
            raise ValueError(
                f"vix {self.vix!r} needs bars from a file or the catalog: the simulator has its own"
            )
        if self.source != "simulator" and self.simulator is not None:
            market = f'simulator (market "{self.simulator.market}", seed {self.simulator.seed})'
            raise ValueError(f'{market} needs source "simulator", but source is "{self.source}"')
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self
