"""The tape: the bars of a run, where they came from, and what was found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from maxlib.core.canonical import sha256
from maxlib.data import catalog, files
from maxlib.data.quality import gate
from maxlib.data.raw import Raw, from_bars
from maxlib.data.simulator import Simulated, SimulatorConfig, simulate
from maxlib.data.vix import read_vix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from maxlib.data.config import DataConfig
    from maxlib.data.report import QualityReport

Source = Literal["file", "catalog", "simulator"]


@dataclass(frozen=True)
class Tape:
    """Bars that passed the quality gate, with their provenance.

    Attributes
    ----------
    bars : BAR[n]
        In time order; `ts` is each bar's END, UTC ns, the moment it is known. Dollars.
    symbol : str
    source : {"file", "catalog", "simulator"}
        "catalog" also for a file that was found by name among the imports.
    simulated : bool
        True = SIMULATED must stand on everything made from this tape.
    name : str
        File name or simulator label; never a path of this machine.
    quality : QualityReport
    sha256 : str
        Of the accepted bars' bytes: equal bars, equal hash, whatever the file looked like.
    file_sha256 : str or None
        Of the source file; None for simulated bars and for several merged imports.
    vix : array of (day, close) or None
        Daily VIX closes in points, `day` as in `BAR.day`; known after that day's close.
    truth : tuple or None
        Planted patterns of the simulator.
    """

    bars: NDArray[np.void] = field(repr=False)
    symbol: str
    source: Source
    simulated: bool
    name: str
    quality: QualityReport = field(repr=False)
    sha256: str
    file_sha256: str | None
    vix: NDArray[np.void] | None = field(default=None, repr=False)
    truth: tuple[Any, ...] | None = field(default=None, repr=False)


def load(config: DataConfig) -> Tape:
    """The tape that `config` asks for: the one door through which bars come in.

    Raises
    ------
    DataError
        If the source is missing or unusable, or the dates leave nothing.
    QualityError
        If the gate refuses the bars.
    ConfigError
        If the simulator cannot make what is asked for.

    Examples
    --------
    >>> from maxlib.data import DataConfig, SimulatorConfig
    >>> tape = load(DataConfig(source="simulator", simulator=SimulatorConfig(days=2)))
    >>> tape.simulated, tape.name, tape.quality.sessions
    (True, 'simulated normal market, seed 7', 2)
    """
    made: Simulated | None = None
    source: Source = config.source
    if config.source == "simulator":
        settings = config.simulator or SimulatorConfig()
        made = simulate(settings)
        raw = from_bars(made.bars, f"simulated {settings.market} market, seed {settings.seed}")
    elif config.source == "catalog":
        raw = catalog.read(config.symbol, config.start, config.end)
    else:
        raw, source = _from_path(config)
    bars, quality = gate(
        raw.between(config.start, config.end),
        allow_incomplete=config.allow_incomplete,
        allow_jumps=config.allow_jumps,
    )
    return Tape(
        bars=bars,
        symbol=config.symbol,
        source=source,
        simulated=made is not None or raw.simulated,
        name=raw.name,
        quality=quality,
        sha256=sha256(bars.tobytes()),
        file_sha256=raw.file_sha256,
        vix=_vix(config) if made is None else made.vix,
        truth=None if made is None else made.truth,
    )


def _vix(config: DataConfig) -> NDArray[np.void] | None:
    return None if config.vix is None else read_vix(catalog.resolve(config.vix))


def _from_path(config: DataConfig) -> tuple[Raw, Source]:
    assert config.path is not None  # DataConfig has seen to it
    path = catalog.resolve(config.path)
    entry = catalog.entry_of(path)
    if entry is None:
        return files.read(path, symbol=config.symbol, zone=config.zone, stamped=config.stamped), "file"
    return catalog.load_entry(entry), "catalog"
