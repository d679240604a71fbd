"""Faults for the fake venue: drawn by lot from a seed, or asked for by name."""

from __future__ import annotations

from collections import Counter, deque
from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError

Fault = Literal[
    # an answer, before anything was done
    "rate_limited",  # 429 with the reset header
    "server_error",  # 503
    "forbidden",  # 403 without a reason
    "html",  # 200 with a web page
    "hang",  # no answer, nothing done
    # an answer, after the request was carried out
    "server_error_after",  # 504
    "hang_after",  # no answer
    "ack_lost",  # the connection breaks before the body
    "cut",  # the connection breaks in the middle of the body
    # the life of an order
    "late_arrival",  # no answer; the order arrives at the next move of the clock
    "partial",  # only a part of what could fill does
    "cancel_race",  # a cancel was accepted, and the order fills first
    # the stream
    "duplicate_event",
    "drop_event",
    "swap_events",  # an event comes after the next one
    "disconnect",  # the stream breaks after the event
]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class FaultRates(Config):
    """How often each fault happens where it could: 0 never, 1 always."""

    rate_limited: Share = 0.0
    server_error: Share = 0.0
    forbidden: Share = 0.0
    html: Share = 0.0
    hang: Share = 0.0
    server_error_after: Share = 0.0
    hang_after: Share = 0.0
    ack_lost: Share = 0.0
    cut: Share = 0.0
    late_arrival: Share = 0.0
    partial: Share = 0.0
    cancel_race: Share = 0.0
    duplicate_event: Share = 0.0
    drop_event: Share = 0.0
    swap_events: Share = 0.0
    disconnect: Share = 0.0


class Faults:
    """Says, each time a fault could happen, whether it does; and counts them.

    Each kind has its own lots, so that one more question about one kind does not change the others.
    """

    def __init__(self, rates: FaultRates | None = None, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._rates = rates or FaultRates()
        self._lots = {name: Random(f"{seed} {name}") for name in get_args(Fault)}
        self._asked: dict[str, deque[bool]] = {name: deque() for name in get_args(Fault)}

    def ask(self, fault: Fault, *, after: int = 0, times: int = 1) -> None:
        """Let `fault` happen the next `times` times it could, after `after` times at which it does not.

        Raises
        ------
        ConfigError
            If there is no such fault.
        """
        if fault not in self._asked:
            raise ConfigError(f"fault {fault!r} is not known; known are {', '.join(self._asked)}")
        self._asked[fault].extend([False] * after + [True] * times)

    def hit(self, fault: Fault) -> bool:
        """Does it happen now?"""
        asked, rate = self._asked[fault], getattr(self._rates, fault)
        found = asked.popleft() if asked else rate > 0.0 and self._lots[fault].random() < rate
        self.counts[fault] += found
        return found
