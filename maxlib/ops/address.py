"""Where a trader's API is: a file in its folder, written by the trader, read by whoever attaches to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, ValidationError

from maxlib.core.config import Config

ADDRESS: Final = "api.json"
"""In the trader's folder, readable by its user only; left behind by a kill."""


class Address(Config):
    """Address, token and process number of one start of a trader.

    The address is on this machine: a token is never sent elsewhere, whatever the file says.
    """

    url: str = Field(pattern=r"^http://127\.0\.0\.1:\d{1,5}$")
    token: SecretStr
    pid: int

    @property
    def port(self) -> int:
        """Port on 127.0.0.1."""
        return int(self.url.rsplit(":", 1)[1])


def read_address(folder: Path) -> Address | None:
    """The address in a trader's folder; None if there is none that can be used."""
    try:
        return Address.model_validate_json((folder / ADDRESS).read_bytes())
    except (OSError, ValidationError):
        return None
