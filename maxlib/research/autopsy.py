"""The accountings of a scenario by name, and the way from its claim to the honest figure.

The only door to `research.published`: the import contract lets nobody else in.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import numpy as np

from maxlib.core.canonical import sha256
from maxlib.core.config import config_hash
from maxlib.core.errors import ConfigError
from maxlib.data.tape import load as load_tape
from maxlib.engine.backtest import Run
from maxlib.market.bars import NS_PER_MINUTE
from maxlib.research.accounting import Accounting, Rows
from maxlib.research.honest import HonestAccounting
from maxlib.research.placebo import Placebo
from maxlib.research.provenance import code_version
from maxlib.research.published import champion_config, wave_config
from maxlib.research.published.champion import ChampionAccounting
from maxlib.research.published.champion import write_trades as write_champion
from maxlib.research.published.champion_waterfall import champion_steps
from maxlib.research.published.itm import ItmAccounting
from maxlib.research.published.steps import Step
from maxlib.research.published.wave import WaveAccounting
from maxlib.research.published.wave import write_reference as write_wave
from maxlib.research.published.wave_bars import repeated_bars
from maxlib.research.published.wave_waterfall import wave_steps
from maxlib.research.scenario import Scenario

Name = Literal["honest", "published", "published_itm"]
NAMES: Final[tuple[Name, ...]] = ("honest", "published", "published_itm")
"""honest = the machine; published = as claimed; published_itm = the champion's in-the-money study."""

C = TypeVar("C", bound=Enum)


def accounting(name: str, scenario: Scenario, run: Run | None = None) -> Accounting:
    """The accounting of a scenario.

    Parameters
    ----------
    name : one of `NAMES`
    run : the scenario's own run, needed by "honest" and by nothing else

    Raises
    ------
    ConfigError
        If the scenario has no such accounting.
    """
    if name == "honest":
        if run is None:
            raise ConfigError("accounting honest: needs the scenario's run")
        return HonestAccounting(run, scenario.machine)
    return published(name, scenario)


def published(name: str, scenario: Scenario) -> ChampionAccounting | WaveAccounting:
    """The bookkeeping behind the claim."""
    wave = scenario.strategy.kind == "wave_renko"
    known = NAMES[1:2] if wave else NAMES[1:]
    if name not in known:
        raise ConfigError(
            f"accounting {name!r}: the claim of {scenario.name} was booked as {', '.join(known)}"
        )
    settings = scenario.published
    if wave:
        return WaveAccounting(_wave_bars(scenario), settings.wave)
    bars = load_tape(scenario.data).bars
    return ItmAccounting(bars) if name == "published_itm" else ChampionAccounting(bars, settings.champion)


def write_trades(path: Path, book: ChampionAccounting | WaveAccounting) -> None:
    """Write the published trades as CSV, in the columns of the claim's own list."""
    if isinstance(book, WaveAccounting):
        write_wave(path, book.trades())
    else:
        write_champion(path, book.trades())


def waterfall(
    scenario: Scenario,
    name: str = "published",
    causes: Sequence[str] | None = None,
    book: ChampionAccounting | WaveAccounting | None = None,
) -> list[Step]:
    """From the claim's arithmetic to its own trades at honest prices, one cause at a time.

    Parameters
    ----------
    name : "published" or "published_itm"
    causes : switches by name, in the order to be thrown; None = the scenario's own, or all
    book : `published` of that name, if it is there already

    Raises
    ------
    ConfigError
        If a cause has no such name, or comes twice.
    """
    book = book or published(name, scenario)
    chosen = scenario.published.causes if causes is None else causes
    if isinstance(book, WaveAccounting):
        order = _causes(wave_config.Cause, wave_config.WATERFALL, chosen)
        return wave_steps(book.config, book.bars, order)
    order_ = _causes(champion_config.Cause, champion_config.WATERFALL, chosen)
    return champion_steps(book.config, book.bars, order_)


def _causes(kind: type[C], every: tuple[C, ...], chosen: Sequence[str] | None) -> tuple[C, ...]:
    if chosen is None:
        return every
    known = {cause.name.lower(): cause for cause in kind}
    for name in chosen:
        if name not in known:
            raise ConfigError(f"cause {name!r} is not known; causes are {', '.join(known)}")
    return tuple(known[name] for name in chosen)


def _wave_bars(scenario: Scenario) -> Any:
    if scenario.published.wave.keep_duplicates:
        return repeated_bars(scenario.data)
    return load_tape(scenario.data).bars


class Bargain(NamedTuple):
    """A published trade that nobody could have made: an option bought below what exercise pays.

    at : UTC ns of the entry; spot, strike, premium, intrinsic : dollars a share; right : "C" or "P"
    bar, left : index of the bars of entry and exit
    """

    at: int
    spot: float
    strike: float
    right: str
    premium: float
    intrinsic: float
    pnl_usd: float
    bar: int
    left: int


def bargains(book: ChampionAccounting) -> list[Bargain]:
    """The trades whose premium is below the option's intrinsic value, the widest gap first."""
    found = []
    for t in book.booked:
        intrinsic = max(0.0, t.side * (t.spot - t.strike))
        if t.premium < intrinsic:
            at = int(book.bars["ts"][t.entered]) - NS_PER_MINUTE
            right = "C" if t.side > 0 else "P"
            found.append(
                Bargain(
                    at, t.spot, float(t.strike), right, t.premium, intrinsic, t.pnl_usd, t.entered, t.left
                )
            )
    return sorted(found, key=lambda b: b.premium - b.intrinsic)


def plain(step: Step) -> dict[str, Any]:
    """A step as JSON values; without trades there is no win rate."""
    values = step._asdict()
    return {**values, "win_rate": step.win_rate if step.trades else None}


def provenance(scenario: Scenario, bars: Rows) -> dict[str, Any]:
    """What a figure of the lab was made of: settings, bars and code. SIMULATED bars say so."""
    data = scenario.data
    return {
        "data": {
            "name": Path(data.path).name if data.path else data.source,
            "simulated": data.source == "simulator",
            "bars": len(bars),
            "sha256": sha256(bars.tobytes()),
        },
        "config": scenario.model_dump(mode="json"),
        "config_hash": config_hash(scenario),
        "code_version": code_version(),
    }


def stamp(scenario: Scenario) -> str:
    """What stands before a sentence about this scenario's bars."""
    return "SIMULATED bars. " if scenario.data.source == "simulator" else ""


def result(
    scenario: Scenario, book: ChampionAccounting | WaveAccounting, fed: Placebo | None = None
) -> dict[str, Any]:
    """What the claim's own arithmetic says, in the shape of a result, and that it is not to be believed.

    Parameters
    ----------
    fed : what the placebo made of that arithmetic; None = it was not asked
    """
    pnl = book.book(book.entries()).pnl_usd
    equity = pnl.cumsum()
    total = float(pnl.sum())
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "accounting": book.name,
        "placebo": None if fed is None else fed.as_dict(),
        "figures": {
            "trades": len(pnl),
            "wins": int((pnl > 0).sum()),
            "win_rate": float((pnl > 0).mean()) if len(pnl) else None,
            "pnl_usd": total,
            # As the claims count it: from the first closed trade on, not from the start.
            "max_drawdown_usd": float((np.maximum.accumulate(equity) - equity).max(initial=0.0)),
            "return_share": total / book.account_usd,
            "account_usd": book.account_usd,
        },
        "notes": [WARNING],
        **provenance(scenario, book.bars),
    }


WARNING: Final = (
    "As published: the claim's own arithmetic, at prices that nobody quoted. "
    "The placebo and the waterfall show what it is worth."
)


def sentence(result: dict[str, Any]) -> str:
    """The published figures, and the warning. What the placebo says belongs above it."""
    f = result["figures"]
    won = "no win rate" if f["win_rate"] is None else f"{f['win_rate']:.1%} won"
    return (
        f"{result['scenario']}, {result['accounting']} accounting: {f['trades']} trades, {won}, "
        f"P&L {f['pnl_usd']:,.2f} $ ({f['return_share']:+.2%} of {f['account_usd']:,.0f} $). {WARNING}"
    )
