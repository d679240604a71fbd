"""The base of every config: frozen, strict about names, silent about nothing."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from maxlib.core.canonical import canonical, sha256
from maxlib.core.errors import ConfigError


class Config(BaseModel):
    """A frozen record of settings; unknown names, wrong types, NaN and infinities are refused.

    Strict: `true` is no 1 and "3" is no 3. A whole number will do for a decimal one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


C = TypeVar("C", bound=Config)


def parse(kind: type[C], values: Any, where: str) -> C:
    """`values` as a `kind`, or a ConfigError of one sentence that names `where`.

    Parameters
    ----------
    where : str
        What the user would look for: a file name or a parameter.

    Raises
    ------
    ConfigError
        Names the first offending field, its value and the bound it broke.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {sentence(error, values)}") from None


def sentence(error: ValidationError, values: Any) -> str:
    """The first problem of a validation error as `field: problem (got value)`."""
    first = error.errors(include_url=False)[0]
    field = _path(first["loc"], values) or "the value"
    more = f"; {error.error_count() - 1} more" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{field} is not a known field{more}"
    if first["type"] == "missing":
        return f"{field} is missing{more}"
    got = repr(first["input"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{field}: {message} (got {got if len(got) <= 80 else got[:77] + '...'}){more}"


def _path(loc: tuple[int | str, ...], values: Any) -> str:
    """The field as the user wrote it: without the names of union members that pydantic adds."""
    parts = []
    for i, part in enumerate(loc):
        known = isinstance(values, dict) and part in values
        if not known and i < len(loc) - 1 and isinstance(part, str):
            continue
        parts.append(str(part))
        if known or (isinstance(values, list) and isinstance(part, int)):
            values = values[part]
    return ".".join(parts)


def config_hash(config: Config) -> str:
    """SHA-256 of the resolved config; equal settings give equal hashes."""
    return sha256(canonical(config.model_dump(mode="json")))
