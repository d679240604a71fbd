"""MaxTrader: a paper-trading lab for intraday option traders.

A strategy is written once, as a pure state machine; the same machine runs in a notebook, a report,
a replay and the live paper trader.
"""

from importlib.metadata import version

# Read from the installed package, so that the number is written once, in pyproject.toml.
__version__ = version("maxtrader")
