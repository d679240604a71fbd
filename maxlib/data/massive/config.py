"""Where Massive (formerly Polygon) is, what the plan allows, and the key."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError
from maxlib.data.live import GateConfig
from maxlib.data.resilience import BackoffConfig, BreakerConfig, BudgetConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_NAMES: Final = ("MASSIVE_API_KEY", "POLYGON_API_KEY")
VENDOR_HOSTS: Final = ("api.massive.com", "api.polygon.io")
"""Hosts that `next_url` may name, whichever of them was asked."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}")


class MassiveConfig(Config):
    """How to reach the vendor.

    Attributes
    ----------
    rest_url : str
        Base of the REST calls; `https://api.polygon.io` is the old name.
    socket_url : str
        Base of the WebSocket, without the cluster: `wss://socket.massive.com` is real time,
        `wss://delayed.massive.com` 15 minutes late.
    budget : BudgetConfig
        The free plan's 5 calls a minute; paid plans are asked to stay below 100 a second.
    backoff, breaker
        For failed calls and lost connections.
    connect_s, deadline_s : float
        A connection, and one whole answer from the first byte sent to the last received.
    tries : int
        Calls made before a retryable fault is given up.
    patience_s : float
        Longest wait, in all, for budget, resets and backoff within one call. A live trader wants few
        seconds, a download many.
    max_bytes : int
        Largest answer, uncompressed.
    max_pages : int
        Pages of one listing.
    adjusted : bool
        Bars adjusted for splits (never for dividends).
    settle_s : float
        A bar counts as complete so long after its end, so that a slightly fast clock takes no part of one.
    handshake_s, ping_every_s, ping_timeout_s : float
        WebSocket: each answer during log-in; pings, and how long an answer to one may take.
    fill_s : float
        A hole in the live minutes is given up, and marked, after so many seconds.
    queue : int
        Ticks kept for a slow reader.
    takeovers : int
        How often in a row a connection that another one displaced is taken back.
    takeover_wait_s : float
        Before each of them.
    gate : GateConfig
    """

    rest_url: str = "https://api.massive.com"
    socket_url: str = "wss://socket.massive.com"
    budget: BudgetConfig = BudgetConfig()
    backoff: BackoffConfig = BackoffConfig()
    breaker: BreakerConfig = BreakerConfig()
    connect_s: float = Field(default=5.0, gt=0)
    deadline_s: float = Field(default=20.0, gt=0)
    tries: int = Field(default=4, ge=1)
    patience_s: float = Field(default=10.0, ge=0)
    max_bytes: int = Field(default=32_000_000, ge=1)
    max_pages: int = Field(default=200, ge=1)
    adjusted: bool = True
    settle_s: float = Field(default=2.0, ge=0)
    handshake_s: float = Field(default=10.0, gt=0)
    ping_every_s: float = Field(default=15.0, gt=0)
    ping_timeout_s: float = Field(default=10.0, gt=0)
    fill_s: float = Field(default=15.0, gt=0)
    queue: int = Field(default=10_000, ge=16)
    takeovers: int = Field(default=2, ge=0)
    takeover_wait_s: float = Field(default=60.0, ge=0)
    gate: GateConfig = GateConfig()

    @field_validator("rest_url")
    @classmethod
    def _rest(cls, url: str) -> str:
        return _base(url, "https", "http")

    @field_validator("socket_url")
    @classmethod
    def _socket(cls, url: str) -> str:
        return _base(url, "wss", "ws")

    @property
    def simulated(self) -> bool:
        """The REST base is this machine: whatever comes from there was never the vendor's word."""
        return is_loopback(self.rest_url)

    @property
    def delayed(self) -> bool:
        """The WebSocket is the 15-minute delayed one, by its host's name."""
        return (urlsplit(self.socket_url).hostname or "").startswith("delayed")


def is_loopback(url: str) -> bool:
    """Does this URL lead to the machine itself?

    >>> is_loopback("http://127.0.0.1:8000"), is_loopback("https://api.massive.com")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _base(url: str, safe: str, plain: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"should be a URL like {safe}://host") from None
    if parts.scheme not in (safe, plain) or not parts.hostname:
        raise ValueError(f"should be a URL like {safe}://host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("should hold no user, key or query: the key comes from the environment")
    if parts.scheme == plain and not is_loopback(url):
        raise ValueError(f"should begin with {safe}:// (unencrypted only to this machine)")
    return url.rstrip("/")


def key_from_environment(environment: Mapping[str, str] | None = None) -> SecretStr:
    """The API key, from MASSIVE_API_KEY, else POLYGON_API_KEY.

    Raises
    ------
    ConfigError
        If neither is set, or it cannot be a key. The key itself is in no message.
    """
    variables = os.environ if environment is None else environment
    for name in KEY_NAMES:
        key = variables.get(name, "").strip()
        if key:
            if not _KEY.fullmatch(key):
                raise ConfigError(f"{name} is no key: {len(key)} characters, some of them not printable")
            return SecretStr(key)
    raise ConfigError(f"no key for Massive: set {KEY_NAMES[0]} (or {KEY_NAMES[1]}) in the environment")
