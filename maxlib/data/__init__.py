"""Floor 2: bars from files, the catalog or the simulator, through one quality gate.

`load(DataConfig(...))` gives a `Tape`. Importing this package imports neither pandas nor
pyarrow nor a calendar library.
"""

from maxlib.data.catalog import CatalogEntry, entries, import_bars, resolve
from maxlib.data.config import DataConfig
from maxlib.data.quality import gate
from maxlib.data.raw import Raw
from maxlib.data.report import Check, Gap, QualityReport, Repair
from maxlib.data.simulator import SimulatorConfig
from maxlib.data.tape import Tape, load

__all__ = [
    "CatalogEntry",
    "Check",
    "DataConfig",
    "Gap",
    "QualityReport",
    "Raw",
    "Repair",
    "SimulatorConfig",
    "Tape",
    "entries",
    "gate",
    "import_bars",
    "load",
    "resolve",
]
