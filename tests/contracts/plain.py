"""Every system under NUMBA_DISABLE_JIT=1, saved: `python -m tests.contracts.plain OUT SHARED`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.contracts import tapes


def pieces(shared: Path) -> dict[str, Any]:
    """The Friday before a clock change, the Monday after it, a half day; and a walk of many short days."""
    year = tapes.real(shared, tapes.YEAR)
    days = [tapes.between(year, d, d) for d in ("2024-11-01", "2024-11-04", "2024-11-29")]
    return {
        "three real days": np.concatenate([d[(d["minute"] >= 500) & (d["minute"] < 700)] for d in days]),
        "walk": tapes.walk(5, days=23, per_day=40),
    }


def main(file: str, shared: str) -> None:
    from tests.contracts.specimens import SPECIMENS

    found = {}
    for kind, bars in pieces(Path(shared)).items():
        for name, specimen in SPECIMENS.items():
            state, out = specimen.system.run(bars, specimen.rows[:1])
            found[f"{name}|{kind}|out"], found[f"{name}|{kind}|state"] = out, state
    np.savez(file, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
