"""Scenarios: one page of settings that says what to run and what was claimed of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field

from maxlib.core.config import Config, parse
from maxlib.core.errors import ConfigError
from maxlib.data.config import DataConfig
from maxlib.engine.machine import MachineConfig
from maxlib.execution.fills import FillConfig
from maxlib.options.desk import DeskConfig
from maxlib.research.published.config import PublishedConfig
from maxlib.risk.guard import GuardConfig
from maxlib.risk.sizing import RiskConfig
from maxlib.strategies.config import StrategyConfig
from maxlib.trading.plan import ExitPlan

TOLERANCE: Final = 0.10
"""The readiness report's bound: within ±10 % of the claim."""


class Claims(Config):
    """What somebody said this scenario makes. Figures left out are not judged.

    Attributes
    ----------
    source : where the claim stands
    trades, win_rate (share), pnl_usd, max_drawdown_usd : the claimed figures
    tolerance : relative distance that still counts as inside
    """

    source: str = Field(min_length=1)
    trades: int | None = Field(default=None, ge=0)
    win_rate: float | None = Field(default=None, ge=0.0, le=1.0)
    pnl_usd: float | None = None
    max_drawdown_usd: float | None = Field(default=None, ge=0.0)
    tolerance: float = Field(default=TOLERANCE, ge=0.0, le=1.0)


class Scenario(Config):
    """Data, strategy, desk, fills, exits, risk and claims of one run.

    Attributes
    ----------
    name : as in the file name
    title, about : for the report's head
    volatility : what options are priced from: "realised", the closes of the 20 sessions before, or
        "vix", the VIX close of the day before (`data.vix`, or the simulator's)
    guard : regimes, risk and safety manager; null = nothing but `risk` stands between signal and order
    published : how the claim was booked, for the autopsy; nothing that trades reads it
    notes : sentences for the report, such as why a figure differs from a reference
    """

    name: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    title: str = Field(min_length=1)
    about: str = ""
    data: DataConfig
    strategy: StrategyConfig
    volatility: Literal["realised", "vix"] = "realised"
    desk: DeskConfig = DeskConfig()
    fills: FillConfig = FillConfig()
    exits: ExitPlan = ExitPlan()
    risk: RiskConfig = RiskConfig()
    guard: GuardConfig | None = None
    published: PublishedConfig = PublishedConfig()
    claims: Claims | None = None
    notes: tuple[str, ...] = Field(default=(), strict=False)

    @property
    def machine(self) -> MachineConfig:
        """The machine's part of the settings."""
        return MachineConfig(
            symbol=self.data.symbol, desk=self.desk, fills=self.fills, exits=self.exits, risk=self.risk,
            strategy=self.strategy.kind, guard=self.guard,
        )  # fmt: skip


def folders() -> list[Path]:
    """Where scenarios are looked for: `configs/scenarios` here, then in the project itself."""
    here = Path.cwd() / "configs" / "scenarios"
    project = Path(__file__).resolve().parents[2] / "configs" / "scenarios"
    return [here] if here == project else [here, project]


def names() -> list[str]:
    """Names of all scenarios, sorted."""
    return sorted({path.stem for folder in folders() if folder.is_dir() for path in folder.glob("*.yaml")})


def find(name: str) -> Path:
    """The file of a scenario given by name, or by path when it ends in .yaml or .yml.

    Raises
    ------
    ConfigError
        If there is none; names those that exist.
    """
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        path = Path(name)
        if path.is_file():
            return path
        raise ConfigError(f"scenario file {name} does not exist")
    for folder in folders():
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    raise ConfigError(f"scenario {name!r} does not exist; there are {', '.join(names())}")


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario `name` (or a path) with dotted fields overridden.

    Raises
    ------
    ConfigError
        One sentence: the file or parameter, the field, the value and the bound.
    """
    path = find(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"{path.name}: line {line}: {error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: a date such as 2025-02-30
        raise ConfigError(f"{path.name}: cannot be read as YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name}: a scenario is a mapping of fields, not {type(values).__name__}")
    scenario = parse(Scenario, values, path.name)
    if scenario.name != path.stem:
        raise ConfigError(f"{path.name}: name: should be {path.stem!r}, as the file (got {scenario.name!r})")
    if not overrides:
        return scenario
    for key, value in overrides.items():
        _override(values, key, value)
    if "data.path" in overrides and "data.source" not in overrides:
        values["data"]["source"] = "file"  # another file under the scenario, whatever fed it before
        values["data"].pop("simulator", None)
    shown = "-p " + " -p ".join(f"{k}={v}" for k, v in overrides.items())
    note = f"Overridden: {shown}. Notes below this one describe the scenario as shipped."
    values["notes"] = [note, *scenario.notes] if "notes" not in overrides else values["notes"]
    return parse(Scenario, values, shown)


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`key=value` texts as a mapping; values are read as YAML (numbers, true, null, dates, lists).

    Raises
    ------
    ConfigError
        If a text is no `key=value`, or a key comes twice.
    """
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"-p {pair}: should be key=value, as in -p risk.risk_fraction=0.02")
        if key in overrides:
            raise ConfigError(f"-p {key}: given twice")
        try:
            overrides[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):  # such as a date that does not exist
            overrides[key] = text
    return overrides


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    inside: Any = values
    for depth, part in enumerate(parents, start=1):
        if inside.get(part) is None:
            inside[part] = {}
        inside = inside[part]
        if not isinstance(inside, dict):
            raise ConfigError(f"-p {key}: {'.'.join(parents[:depth])} is a value, not a group of fields")
    inside[last] = value
