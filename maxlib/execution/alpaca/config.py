"""Where Alpaca is, and with which keys. Real money cannot be configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from maxlib.core.config import Config
from maxlib.core.errors import ConfigError

PAPER_HOST: Final = "paper-api.alpaca.markets"
DATA_HOST: Final = "data.alpaca.markets"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
KEY_NAME: Final = "APCA_API_KEY_ID"
SECRET_NAME: Final = "APCA_API_SECRET_KEY"  # noqa: S105 - the variable's name, not its value


class AlpacaConfig(Config):
    """Hosts, feeds and time limits.

    Attributes
    ----------
    trading_url, data_url : exactly Alpaca's paper and data hosts over https, or, with
        `loopback`, a fake on this machine. Any other host is refused here, before any request.
    feed : of stock bars; "iex" is a few per cent of the volume, in real time; "sip" is all of it, and
        without a paid plan only what is 15 minutes old is served
    option_feed : "indicative" quotes are modified by the vendor and never filled at
    connect_s, read_s : time limits of one connect and one read, seconds
    total_s : time limit of a whole answer, however slowly its bytes drip in, seconds
    lost_after_s : an order whose submit went unanswered counts as never arrived when the broker still
        does not know it this long after it was sent, seconds
    """

    trading_url: str = f"https://{PAPER_HOST}"
    data_url: str = f"https://{DATA_HOST}"
    loopback: bool = False
    feed: Literal["iex", "sip"] = "iex"
    option_feed: Literal["indicative", "opra"] = "indicative"
    connect_s: float = Field(5.0, gt=0.0, le=60.0)
    read_s: float = Field(10.0, gt=0.0, le=60.0)
    total_s: float = Field(20.0, gt=0.0, le=120.0)
    lost_after_s: float = Field(60.0, ge=1.0, le=600.0)

    @model_validator(mode="after")
    def _only_paper(self) -> AlpacaConfig:
        for name, url, host in (
            ("trading_url", self.trading_url, PAPER_HOST),
            ("data_url", self.data_url, DATA_HOST),
        ):
            if not _allowed(url, host, loopback=self.loopback):
                wanted = (
                    "a loopback address such as http://127.0.0.1:8700" if self.loopback else f"https://{host}"
                )
                raise ValueError(f"{name} {url!r} is refused: only {wanted} is traded with, never real money")
        return self

    @property
    def stream_url(self) -> str:
        """Address of the trade stream."""
        return f"ws{self.trading_url.rstrip('/').removeprefix('http')}/stream"

    @property
    def lost_after_ns(self) -> int:
        """`lost_after_s` in nanoseconds."""
        return round(self.lost_after_s * 1e9)


def _allowed(url: str, host: str, *, loopback: bool) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    if not bare or "@" in parts.netloc or "\\" in url:
        return False
    if loopback:
        return parts.scheme == "http" and parts.hostname in LOOPBACK
    return parts.scheme == "https" and parts.hostname == host and port in (None, 443)


class Keys(Config):
    """A paper account's keys. They come from the environment and are never shown."""

    key: SecretStr
    secret: SecretStr

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Keys:
        """The keys in APCA_API_KEY_ID and APCA_API_SECRET_KEY.

        Raises
        ------
        ConfigError
            If one is missing, empty, or holds what no HTTP header can carry.
        """
        for name in (KEY_NAME, SECRET_NAME):
            value = env.get(name, "")
            if not value or not value.isascii() or not value.isprintable() or value != value.strip():
                problem = "has characters that no key has" if value else "is not set"
                raise ConfigError(f"environment variable {name} {problem}; Alpaca's paper account needs it")
        return cls(key=SecretStr(env[KEY_NAME]), secret=SecretStr(env[SECRET_NAME]))
