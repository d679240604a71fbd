"""MaxTrader: a paper-trading lab for intraday option traders.

A strategy is written once, as a pure state machine; the same machine runs in a notebook, a report,
a replay and the live paper trader.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`__version__`, read from the installed package: pyproject.toml is its only source.

    On demand, because importlib.metadata costs a tenth of a backtest to import.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("maxtrader")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
