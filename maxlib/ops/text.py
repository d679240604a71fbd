"""Texts that may leave the machine: without secrets, without tricks, and no longer than the service takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

MASK: Final = "***"
_SECRET_NAMES: Final = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|CODE|WEBHOOK|NOTIFY_URLS?)\w*$", re.IGNORECASE)
_WORDS: Final = {"webhooks", "localhost", "127.0.0.1"}
_SHORTEST: Final = 6  # a shorter value would blacken ordinary words
_PATTERNS: Final = (
    # A web address keeps scheme and host; user, path and query may be the key to it. Notification services
    # have schemes of their own, and keys for hosts.
    (re.compile(r"\b(?!https?:|wss?:)([a-z][a-z0-9+.-]*://)\S+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b((?:http|ws)s?://)(?:[^\s/@]*@)?([^\s/?#]*)[/?#]\S+", re.IGNORECASE), rf"\1\2/{MASK}"),
    (re.compile(r"\b((?:http|ws)s?://)[^\s/@]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (
        re.compile(r"((?:api[-_ ]?key|secret|token|password|passwd|authorization)\w*['\"]?\s*[=:]\s*)"
                   r"(?:bearer\s+|basic\s+)?['\"]?[^\s'\",;&]+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # Alpaca: key ids and paper account numbers.
    (re.compile(r"\b(?=\w*\d)(?:[PA]K[A-Z0-9]{16,30}|PA[A-Z0-9]{8,12})\b"), MASK),
)  # fmt: skip


class Masker:
    """Blackens known secrets and whatever looks like one.

    Parameters
    ----------
    secrets : values that must not be shown
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be part of another.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Masker:
        """Know the values of all variables whose names speak of keys, tokens, codes or addresses to notify.

        Of an address, its parts are secrets too: errors quote them alone.
        """
        secrets: set[str] = set()
        for name, value in environment.items():
            if _SECRET_NAMES.search(name):
                secrets.add(value)
                for word in value.split():
                    secrets |= {word, *(_parts(word) if "://" in word else ())}
        return cls(secrets)

    def __call__(self, text: str) -> str:
        """`text` without secrets.

        >>> Masker(["hunter22"])("login hunter22 at https://u:p@example.com/hook/1?token=2")
        'login *** at https://example.com/***'
        """
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _parts(address: str) -> set[str]:
    """What in an address may be a key: user, password, path; of the query only long values.

    The host too, where it is none: notification services have schemes of their own and keys for hosts.
    """
    split = urlsplit(address)
    front = split.netloc.rpartition("@")[0] if split.scheme in {"http", "https"} else split.netloc
    values = {value for _, value in parse_qsl(split.query) if len(value) >= 12}
    return {*re.split(r"[:/@]", f"{front}/{split.path}"), *values} - _WORDS


def plain(text: str) -> str:
    r"""`text` without control, format and unpaired surrogate characters; line breaks stay.

    They can hide or reorder what a reader sees, forge a line of a log, or make a service refuse all.

    >>> plain("fill\x1b[31m\u202e 2\r\n3\ud800")
    'fill[31m 2\n3'
    """
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})


def unpinged(text: str) -> str:
    """`text` in which no @name, <@id> or <!here> calls anybody: a break without width follows the sign."""
    return re.sub(r"(@(?=\w)|<(?=[@!#&]))", "\\1\u200b", text)


def no_markdown(text: str) -> str:
    r"""`text` whose Markdown signs a chat service shows instead of obeying.

    >>> no_markdown("QQQ_600 *now*")
    'QQQ\\_600 \\*now\\*'
    """
    return re.sub(r"([\\*_~`|>\[\]#])", r"\\\1", text)


def trim(text: str, limit: int) -> str:
    """The first `limit` code points, an ellipsis among them if there were more.

    >>> trim("abcdef", 4), trim("abcd", 4)
    ('abc…', 'abcd')
    """
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"[:limit]
