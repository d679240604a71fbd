"""The errors MaxTrader raises on purpose.

MaxTraderError
├── ConfigError      a scenario, parameter or option that cannot be used
├── DataError        a file or feed that cannot be used
│   └── QualityError bars that the quality gate refused
└── InvariantError   a broken promise of the program itself: the run stops

Each carries one sentence: what, where, the value, the bound. An *expected*
refusal (a denied order, an unpriced option) is a returned value, not an error.
"""

from __future__ import annotations


class MaxTraderError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(MaxTraderError):
    """A scenario, parameter or option cannot be used."""


class DataError(MaxTraderError):
    """A file or feed cannot be used."""


class QualityError(DataError):
    """The quality gate refused the bars."""


class InvariantError(MaxTraderError):
    """A promise of the program is broken; nothing may continue from here."""
