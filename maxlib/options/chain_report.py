"""What the quality gate saw in an option chain: masks for callers, sentences for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from maxlib.options.forward import Forward, Mask

EXAMPLES: Final = 3
"""How many places a check shows; the count is always of all."""

MEANING: Final = {
    "no_bid": "rows without a bid",
    "no_ask": "rows without an ask",
    "no_quote": "rows with neither bid nor ask",
    "not_positive": "rows with a bid, ask or strike that is 0, negative or infinite",
    "crossed": "rows with the bid above the ask",
    "locked": "rows with the bid at the ask",
    "stale": "quotes older than the bound when they were known",
    "duplicate": "rows that repeat the series and moment of another",
    "non_convex": "rows whose bid pays for a butterfly: two strikes around it are offered for less",
    "vertical": "rows whose bid pays for a vertical: more than its width, or for one that costs nothing",
    "parity": "rows whose call and put, one bought and one sold, break the parity of the other strikes",
    "iv_of_nothing": "rows whose source gives an implied volatility under 0.1 %",
    "spot_off": "rows whose spot is not what the quotes imply by parity",
}
"""The checks, in the order in which they are shown."""


@dataclass(frozen=True)
class ChainCheck:
    """One thing the gate counts: a key of `MEANING`, how many rows, the first few of them in words."""

    name: str
    count: int
    examples: tuple[str, ...]


class SpotCheck(NamedTuple):
    """Spot against the forward of the nearest expiry that has one; None = not known."""

    spot: float | None
    forward: Forward | None
    expiry: str


@dataclass(frozen=True)
class ChainReport:
    """Everything the gate counted in one chain.

    Attributes
    ----------
    name, root, origin : of the chain
    rows, series, moments, expiries : how many
    first, last : New York time of the first and the last row
    checks : one per key of `MEANING`, zero counts included
    masks : name of the check -> bool[n], the rows it struck, in the chain's order
    spot : the first moment's spot and parity forward
    unknown_forwards : moments and expiries whose forward cannot be known, of `forwards`
    forwards : moments and expiries
    ages_unknown : rows whose source does not say when they were quoted
    notes : of the chain
    """

    name: str
    root: str
    origin: str
    rows: int
    series: int
    moments: int
    expiries: int
    first: str
    last: str
    checks: tuple[ChainCheck, ...]
    masks: dict[str, Mask] = field(repr=False, compare=False)
    spot: SpotCheck
    unknown_forwards: int
    forwards: int
    ages_unknown: int
    notes: tuple[str, ...]

    def count(self, name: str) -> int:
        """How many rows the check called `name` struck."""
        return next(check.count for check in self.checks if check.name == name)

    def clean(self, *names: str) -> Mask:
        """bool[n]: the rows struck by none of the checks named; by none at all if none is named."""
        struck = np.zeros(self.rows, np.bool_)
        for name in names or MEANING:
            struck |= self.masks[name]
        return ~struck

    def as_dict(self) -> dict[str, Any]:
        """The report as plain lists, dicts, numbers and text, ready for JSON."""
        forward = self.spot.forward
        known = forward is not None and forward.value is not None
        return {
            **{key: getattr(self, key) for key in _PLAIN},
            "notes": list(self.notes),
            "checks": [asdict(check) | {"examples": list(check.examples)} for check in self.checks],
            "spot": self.spot.spot,
            "forward": forward._asdict() if forward is not None and known else None,
        }

    def lines(self) -> list[str]:
        """The report in sentences; what did not occur is left out."""
        size = f"{self.series:,} series, {self.expiries} expiries, {self.moments:,} moments"
        lines = [
            f"{self.name}: {self.rows:,} rows of {self.root} options ({self.origin}), {size}.",
            f"From {self.first} to {self.last} New York time.",
            *(f"Source: {note}." for note in self.notes),
        ]
        lines += _spot_lines(self.spot)
        if self.unknown_forwards:
            lines.append(
                f"No parity forward for {self.unknown_forwards:,} of {self.forwards:,} moments and expiries."
            )
        if self.ages_unknown:
            lines.append(f"Age of the quote not said: {self.ages_unknown:,} rows.")
        for check in self.checks:
            if check.count:
                meaning = MEANING[check.name]
                more = check.count - len(check.examples)
                places = [*check.examples, *([f"{more:,} more"] if more else [])]
                lines.append(f"{meaning[0].upper()}{meaning[1:]}: {check.count:,} ({', '.join(places)}).")
        return lines


_PLAIN: Final = (
    "name", "root", "origin", "rows", "series", "moments", "expiries", "first", "last",
    "unknown_forwards", "forwards", "ages_unknown",
)  # fmt: skip


def _spot_lines(spot: SpotCheck) -> list[str]:
    forward = spot.forward
    if forward is None or forward.value is None:
        return []
    said = "no spot" if spot.spot is None else f"spot {spot.spot:,.2f}"
    how = f"{forward.strikes} strikes, expiry {spot.expiry}"
    return [f"First moment: {said}; parity forward {forward.value:,.2f} ± {forward.error:,.2f} ({how})."]
