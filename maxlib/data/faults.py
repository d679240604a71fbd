"""What can go wrong when a source is asked, in the few classes that decide what to do next."""

from __future__ import annotations

import email.utils
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from maxlib.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN: Final = 200
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_EPOCH_S: Final = 1_000_000_000  # a reset header above this is a moment, below it a number of seconds


class Fault(StrEnum):
    """The kinds of failure.

    REQUEST : what was asked cannot be answered (400, 404, 422, a redirect)
    KEY : the key is unknown, wrong or missing (401)
    ENTITLEMENT : the plan does not include it (403)
    LIMIT : too many calls, the source's budget (429) or our own
    SERVER : the source is ill (5xx, 408, 413, 499)
    NETWORK : no connection, or one that broke, mid-body included
    DEADLINE : the answer did not end in time
    GARBLED : an answer that is not what it should be: HTML, half a JSON, fields missing
    OVERSIZE : an answer beyond the bound
    BREAKER : not asked, because the source's circuit breaker is open
    """

    REQUEST = "request"
    KEY = "key"
    ENTITLEMENT = "entitlement"
    LIMIT = "limit"
    SERVER = "server"
    NETWORK = "network"
    DEADLINE = "deadline"
    GARBLED = "garbled"
    OVERSIZE = "oversize"
    BREAKER = "breaker"


RETRYABLE: Final = frozenset({Fault.LIMIT, Fault.SERVER, Fault.NETWORK, Fault.DEADLINE, Fault.GARBLED})
"""Asking again may help. A full budget is retryable too, but only once it has refilled."""
ILLNESS: Final = frozenset({Fault.SERVER, Fault.NETWORK, Fault.DEADLINE, Fault.GARBLED, Fault.OVERSIZE})
"""Speaks against the source's health: what a circuit breaker counts."""
ALERTING: Final = frozenset({Fault.KEY, Fault.ENTITLEMENT})
"""Only a person can mend it: stop asking and say so."""


class SourceError(DataError):
    """A source could not be asked, or did not answer as it should.

    Attributes
    ----------
    fault : Fault
    status : int or None
        HTTP status, if there was one.
    retry_after_s : float or None
        Seconds after which the source (or our own budget) would be ready again.
    """

    def __init__(
        self, sentence: str, fault: Fault, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.fault = fault
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Asking again may help."""
        return self.fault in RETRYABLE

    @property
    def alerting(self) -> bool:
        """A person has to mend it."""
        return self.fault in ALERTING


def fault_of_status(status: int) -> Fault | None:
    """The fault that an HTTP status stands for; None for 200.

    Anything that is neither 200 nor known is the request's fault: a 204 or a redirect is no data.

    >>> fault_of_status(429).value, fault_of_status(503).value, fault_of_status(302).value
    ('limit', 'server', 'request')
    """
    if status == 200:
        return None
    known = {401: Fault.KEY, 403: Fault.ENTITLEMENT, 429: Fault.LIMIT}
    if status in known:
        return known[status]
    return Fault.SERVER if status >= 500 or status in (408, 413, 499) else Fault.REQUEST


def reset_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds until the source takes calls again, as its headers say; None if they do not.

    `Retry-After` in seconds or as an HTTP date, else `X-RateLimit-Reset` in seconds or as an epoch.

    Parameters
    ----------
    headers : mapping with names in any case that the mapping itself understands
    now_s : UTC seconds

    >>> reset_after_s({"Retry-After": "12"}, 0.0), reset_after_s({}, 0.0)
    (12.0, None)
    """
    text = headers.get("Retry-After") or headers.get("X-RateLimit-Reset") or ""
    try:
        value = float(text)
    except ValueError:
        moment = email.utils.parsedate_tz(text)
        if moment is None:
            return None
        value = float(email.utils.mktime_tz(moment))
    if not 0 <= value < 1e11:  # NaN included
        return None
    return max(0.0, value - now_s) if value >= _EPOCH_S else value


def excerpt(text: str, secret: str = "") -> str:
    r"""The beginning of foreign text, printable and without the secret, for a sentence.

    >>> excerpt("Unknown key abc\x1b[2J", "abc")
    'Unknown key *** [2J'
    """
    masked = text.replace(secret, "***") if secret else text
    clean = _UNPRINTABLE.sub(" ", masked).strip()
    return clean if len(clean) <= _SHOWN else clean[: _SHOWN - 3] + "..."
