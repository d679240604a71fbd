"""A strategy ready to run: a system, its parameter row, and a name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.kernels.system import System
from maxlib.strategies.signal import Signal


@dataclass(frozen=True)
class Strategy:
    """A named system whose output record has a field `signal` of type `Signal`.

    Raises
    ------
    ConfigError
        If the output record has no such field, or `params` is not one row.
    """

    name: str
    system: System
    params: NDArray[np.void]

    def __post_init__(self) -> None:
        out = self.system.out
        if "signal" not in (out.names or ()) or out["signal"] != Signal.dtype:
            raise ConfigError(f"strategy {self.name}: its output record needs a field `signal: Signal`")
        if len(self.params) != 1:
            raise ConfigError(
                f"strategy {self.name}: one row of parameters is needed, not {len(self.params)}"
            )
