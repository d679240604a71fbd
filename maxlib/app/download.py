"""`maxtrader data fetch`: a vendor's bars into the catalog, and what to say of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError, DataError
from maxlib.data import catalog
from maxlib.data.fetch import Part, Progress, fetch
from maxlib.data.massive.config import MassiveConfig, key_from_environment
from maxlib.data.massive.rest import MassiveRest
from maxlib.data.resilience import BudgetConfig

PATIENCE_S: Final = 900.0
"""A download waits for budgets and resets for which a live trader has no time."""
_AS_ASKED: Final = frozenset({"fetched", "kept"})


def date(text: str, option: str) -> dt.date:
    """A date like 2025-01-31, or a ConfigError that names the option."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: should be a date like 2025-01-31") from None


def download(
    symbol: str,
    first: dt.date,
    last: dt.date,
    *,
    url: str | None = None,
    simulated: bool = False,
    calls_a_minute: int = 5,
    allow_incomplete: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    began: Callable[[int], object] = lambda _: None,
) -> list[Part]:
    """Bring a symbol's minute bars from Massive into the catalog; what is there is not asked again.

    Parameters
    ----------
    first, last : New York dates, both included
    url : base of the vendor's REST interface; None = the vendor's own
    simulated : the source is on this machine, and its bars shall be kept under a name that says so
    calls_a_minute : what the plan allows; 5 = the free one
    began : called with the number of months when nothing is refused any more

    Raises
    ------
    ConfigError, DataError
        Before anything is asked: no key in the environment, no such URL or symbol, a mixture of
        simulated and real bars.
    SourceError
        If the source stopped answering. What was imported stays.
    """
    values = {} if url is None else {"rest_url": url}
    settings = parse(MassiveConfig, values, "--url")
    paced = {"budget": BudgetConfig(calls=calls_a_minute), "patience_s": PATIENCE_S}
    settings = settings.model_copy(update=paced)
    if simulated and not settings.simulated:
        raise ConfigError(f"--simulated: {settings.rest_url} is not on this machine; leave it out")
    if settings.simulated and not simulated:
        raise ConfigError(
            f"--url {settings.rest_url}: is on this machine and simulated; its bars do not belong "
            "among real ones; --simulated keeps them under a name that says so"
        )
    catalog.check_symbol(symbol)
    catalog.refuse_mixture(symbol, settings.simulated)
    with closing(MassiveRest(settings, key_from_environment())) as source:
        return fetch(
            symbol,
            first,
            last,
            source,
            progress=progress,
            began=began,
            allow_incomplete=allow_incomplete,
            allow_simulated=simulated,
        )


def line(part: Part) -> str:
    """What became of a month, in a line."""
    bars = f", {part.bars:,} bars" if part.bars else ""
    return f"{part.first} to {part.last}: {part.outcome}{bars}{f' ({part.why})' if part.why else ''}"


def sentence(symbol: str, parts: Sequence[Part]) -> str:
    """The whole of it.

    Raises
    ------
    DataError
        If a month is not there as it was asked for: nobody shall take a part for the whole.
    """
    span = f"{symbol} from {parts[0].first} to {parts[-1].last}"
    wrong = [part for part in parts if part.outcome not in _AS_ASKED]
    if wrong:
        raise DataError(
            f"{span}: {len(wrong)} of {len(parts)} months are not there as asked for; {line(wrong[0])}"
        )
    kept = sum(part.outcome == "kept" for part in parts)
    bars = sum(part.bars for part in parts)
    return f"{span}: {bars:,} bars fetched, {kept} of {len(parts)} months were in the catalog already."
