"""What the fake vendor sells, and what it does wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from maxlib.core.config import Config

RestFault = Literal[
    "429", "429 empty", "500", "503", "html", "truncated", "short", "reset", "stall", "drip", "drip headers"
]
StreamFault = Literal[
    "drop",
    "delay",
    "duplicate",
    "reorder",
    "garble",
    "retype",
    "nan",
    "spike",
    "cross",
    "foreign",
    "disconnect",
]


class Plan(Config):
    """What the key is entitled to.

    Attributes
    ----------
    quotes, underlying : {"REAL-TIME", "DELAYED", "none"}
        Timeframe of option quotes and of the underlying's price in chains; "none" leaves the object
        out. What is delayed is 15 minutes old.
    trades : bool
        Chains hold `last_trade`.
    denied_tickers : set of str
        Asking for them is not allowed: a row's error in the indices snapshot, 403 elsewhere, an error
        status for a channel.
    denied_paths : set of str
        Beginnings of paths that answer 403, like "/v3/snapshot/options".
    """

    quotes: Literal["REAL-TIME", "DELAYED", "none"] = "REAL-TIME"
    underlying: Literal["REAL-TIME", "DELAYED", "none"] = "REAL-TIME"
    trades: bool = True
    denied_tickers: frozenset[str] = frozenset()
    denied_paths: frozenset[str] = frozenset()


class FakeConfig(Config):
    """The fake vendor.

    Attributes
    ----------
    keys : set of str
        API keys that are accepted; another is unknown (401), none is 400.
    plan : Plan
    next_host : str or None
        Scheme and host that `next_url` names; None = the fake's own.
    connections : int
        Per key and cluster; one more closes the oldest.
    rest_faults, stream_faults : fault -> probability
        Drawn for each REST call and each WebSocket message, from `seed`. A "spike" of 100 × never comes
        twice in a row on a channel.
    retry_after_s : int or None
        Sent with a 429.
    drip_s : float
        Seconds between two bytes of a dripping answer.
    delay_messages : int
        A delayed message comes so many messages later.
    outages : (start, end) in UTC ns
        From start up to end the WebSocket is cut, and whoever connects is cut again. REST answers.
    """

    keys: frozenset[str] = frozenset({"fake-key"})
    plan: Plan = Plan()
    next_host: str | None = None
    connections: int = Field(default=1, ge=1)
    rest_faults: dict[RestFault, float] = Field(default_factory=dict)
    stream_faults: dict[StreamFault, float] = Field(default_factory=dict)
    retry_after_s: int | None = Field(default=None, ge=0)
    drip_s: float = Field(default=0.02, gt=0)
    delay_messages: int = Field(default=5, ge=1)
    outages: tuple[tuple[int, int], ...] = ()
    seed: int = 0
