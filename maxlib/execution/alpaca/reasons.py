"""Alpaca's error answers as reasons that a program can act on."""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

from maxlib.core.errors import MaxTraderError

Reason = Literal[
    "UNAUTHORIZED",  # keys are wrong or dead: stop, alert
    "FORBIDDEN",  # a rule that is not one of those below
    "UNCOVERED",  # a short without cover, or too few longs to sell: reconcile before any retry
    "BUYING_POWER",
    "QUANTITY_HELD",  # contracts are tied up in another order: reconcile before any retry
    "NOT_FOUND",
    "DUPLICATE_ID",  # the client order id was used before, perhaps by a submit that went unanswered
    "RATIOS_NOT_PRIME",
    "MARKET_CLOSED",
    "NOT_CANCELABLE",
    "INVALID",
    "RATE_LIMITED",
    "CONNECTION_LIMIT",  # another session holds the stream: no duel, look at the lease
    "VENUE_DOWN",
    "TIMEOUT",
    "DISCONNECTED",
    "GARBLED",  # an answer that is no answer: HTML, torn JSON, a redirect, too many bytes
]

_WORDS: Final[dict[int, tuple[tuple[str, Reason], ...]]] = {
    40310000: (
        ("uncovered", "UNCOVERED"),
        ("buying power", "BUYING_POWER"),
        ("insufficient qty", "QUANTITY_HELD"),
    ),
    40010001: (("client_order_id must be unique", "DUPLICATE_ID"),),
    42210000: (
        ("relatively prime", "RATIOS_NOT_PRIME"),
        ("market hours", "MARKET_CLOSED"),
        ("is already in", "NOT_CANCELABLE"),
    ),
}
_STATUS: Final[dict[int, Reason]] = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    406: "CONNECTION_LIMIT",
    408: "TIMEOUT",
    429: "RATE_LIMITED",
}
_RECONCILE: Final = frozenset({"UNCOVERED", "QUANTITY_HELD", "DUPLICATE_ID"})
_RETRYABLE: Final = frozenset({"RATE_LIMITED", "VENUE_DOWN", "TIMEOUT", "DISCONNECTED", "GARBLED"})


class Complaint(NamedTuple):
    """An error answer.

    status : HTTP status; 0 = there was no answer
    code : Alpaca's own; 0 = none
    message : Alpaca's words or ours, at most 300 characters. Escape it before it is shown as HTML.
    reset_at : UTC ns at which the call budget is renewed; 0 = not said
    """

    reason: Reason
    status: int = 0
    code: int = 0
    message: str = ""
    reset_at: int = 0

    @property
    def reconcile(self) -> bool:
        """Our books may be behind the broker's: reconcile before anything is tried again."""
        return self.reason in _RECONCILE

    @property
    def retryable(self) -> bool:
        """The same question may be asked again later. Never said of an order that may have arrived."""
        return self.reason in _RETRYABLE


class VenueError(MaxTraderError):
    """Alpaca did not answer a question. `complaint.retryable` says whether to ask again."""

    def __init__(self, what: str, complaint: Complaint) -> None:
        self.complaint = complaint
        status = f", status {complaint.status}" if complaint.status else ""
        code = f", code {complaint.code}" if complaint.code else ""
        words = f": {complaint.message}" if complaint.message else ""
        super().__init__(f"Alpaca, {what}: {complaint.reason}{status}{code}{words}")


def complaint(status: int, body: bytes, reset_at: int = 0) -> Complaint:
    """The reason behind an error answer; a body that is no JSON tells nothing beyond its status.

    >>> complaint(422, b'{"code": 40010001, "message": "client_order_id must be unique"}').reason
    'DUPLICATE_ID'
    """
    code, message = 0, ""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        if isinstance(found.get("code"), int):
            code = found["code"]
        if isinstance(found.get("message"), str):
            message = found["message"][:300]
    reason: Reason = _STATUS.get(status, "VENUE_DOWN" if status >= 500 else "INVALID")
    if reason in ("FORBIDDEN", "INVALID"):
        reason = next((r for words, r in _WORDS.get(code, ()) if words in message.lower()), reason)
    return Complaint(reason, status, code, message, reset_at)
