"""Where notifications go: one back end per service, so that a dead one delays no other."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from maxlib.core.errors import ConfigError
from maxlib.ops.text import Masker, no_markdown, unpinged

URLS_VARIABLE: Final = "MAXTRADER_NOTIFY_URLS"
_LOG: Final = logging.getLogger(__name__)
# Pushover repeats an emergency every `interval` seconds until somebody acknowledges it or it expires.
_EMERGENCY: Final = {"interval": "60", "expire": "1800"}
_CHATTY: Final = ("apprise", "urllib3.connectionpool")


class Backend(Protocol):
    """A service that takes notifications. Its methods are called by one thread at a time.

    Attributes
    ----------
    label : its name in logs and files; tells no secret
    title_max, body_max : longest texts, in code points
    """

    label: str
    title_max: int
    body_max: int

    def escape(self, text: str) -> str:
        """`text` so that the service shows it as it stands."""

    def send(self, title: str, body: str, priority: int) -> bool:
        """Whether the service took it; priority from -1 to 2."""


class Memory:
    """Keeps what it is sent: for tests and for the dashboard's list."""

    label = "memory"

    def __init__(self, title_max: int = 250, body_max: int = 1024) -> None:
        self.title_max, self.body_max = title_max, body_max
        self.sent: list[tuple[str, str, int]] = []

    def escape(self, text: str) -> str:
        """The text itself."""
        return text

    def send(self, title: str, body: str, priority: int) -> bool:
        """Keep it."""
        self.sent.append((title, body, priority))
        return True


class Log:
    """Writes one line to the log, for a machine without a service."""

    label = "log"
    title_max = 250
    body_max = 4096

    def escape(self, text: str) -> str:
        """On one line: a line break in a text must not look like a second entry."""
        return text.replace("\n", " | ")

    def send(self, title: str, body: str, priority: int) -> bool:
        """Log it, as a warning from priority 1 on."""
        _LOG.log(logging.WARNING if priority >= 1 else logging.INFO, "%s: %s", title, self.escape(body))
        return True


class Apprise:
    """One service that apprise speaks to, given by its address.

    Apprise sets time-outs per socket call only, so a service that drips its answer can hold `send` for
    long; the caller gives it a thread of its own.

    Parameters
    ----------
    url : the address, which is a secret
    where : what to call it in an error: "MAXTRADER_NOTIFY_URLS, address 2"

    Raises
    ------
    ConfigError
        If apprise does not know the address; the sentence does not quote it.
    """

    def __init__(self, url: str, where: str, *, connect_s: float = 2.0, read_s: float = 3.0) -> None:
        apprise = _library()
        _hush(url)
        first = apprise.Apprise.instantiate(url)
        if first is None:
            raise ConfigError(f"{where}: apprise knows no service of that form; see its list of addresses")
        self._discord = str(first.service_name) == "Discord"
        self._pushover = str(first.service_name) == "Pushover"
        self._asked = dict(parse_qsl(urlsplit(url).query))
        # The canonical form has every setting in its query, also where the user wrote another form.
        self._url: str = first.url(privacy=False)
        self._times = {"cto": f"{connect_s:g}", "rto": f"{read_s:g}"}
        self._services: dict[int, Any] = {}
        self.label = f"{_word(first.service_name)}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        self.title_max = int(first.title_maxlen) or 80
        # Services without a title get it as the body's first line, and some count both as one.
        self.body_max = int(first.body_maxlen) - self.title_max - 8
        if self._pushover:
            self.body_max = int(first.body_maxlen)
        if self._discord:
            self.title_max, self.body_max = 100, 1800
        if not self._service(2):
            raise ConfigError(f"{where}: its settings cannot be used for an emergency")

    def escape(self, text: str) -> str:
        """Without pings; without Markdown where the service would obey it."""
        return unpinged(no_markdown(text) if self._discord else text)

    def send(self, title: str, body: str, priority: int) -> bool:
        """Hand it to apprise. Whatever apprise logs or raises on the way is free of the address."""
        apprise = _library()
        kinds = (apprise.NotifyType.INFO, apprise.NotifyType.WARNING, apprise.NotifyType.FAILURE)
        result = self._service(priority).notify(
            title=title, body=body, notify_type=kinds[max(priority, 0)], body_format=apprise.NotifyFormat.TEXT
        )
        return bool(result)

    def _service(self, priority: int) -> Any:
        """The service at one priority, which with Pushover belongs to the address, not the message."""
        apprise = _library()
        if priority not in self._services:
            asset = apprise.AppriseAsset(app_id="MaxTrader", secure_logging=True, interpret_emojis=False)
            service = apprise.Apprise(asset=asset)
            service.add(_with(self._url, self._settings(priority)))
            self._services[priority] = service
        return self._services[priority]

    def _settings(self, priority: int) -> dict[str, str]:
        # `retry` is apprise's own count of attempts (not Pushover's interval, as old examples have it);
        # attempts are the notifier's business.
        settings = {**self._times, "retry": "0"}
        if self._pushover:
            settings["priority"] = str(priority)
            # The canonical form leaves these out below an emergency, so they come from the user's own.
            settings |= {key: self._asked.get(key, value) for key, value in _EMERGENCY.items()}
        if self._discord:
            settings["format"] = "text"  # as Markdown, apprise would escape what is escaped already
        return settings


def from_environment(environment: Mapping[str, str]) -> list[Backend]:
    """A back end for each address in MAXTRADER_NOTIFY_URLS, parted by blanks; the log if there is none.

    Raises
    ------
    ConfigError
        Names the address that cannot be used by its place in the list.
    """
    urls = environment.get(URLS_VARIABLE, "").split()
    backends: list[Backend] = [
        Apprise(url, f"{URLS_VARIABLE}, address {number}") for number, url in enumerate(urls, start=1)
    ]
    return backends or [Log()]


@lru_cache(1)
def _library() -> Any:
    """Apprise, imported when it is needed: with all its services it takes half a second."""
    with warnings.catch_warnings():
        # One of its services imports a module that Python 3.13 drops; it is ready for that.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        apprise.Apprise.instantiate("json://localhost")  # imports every service
    return apprise


def _with(url: str, settings: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **settings}
    return urlunsplit(parts._replace(query=urlencode(query)))


def _word(name: Any) -> str:
    return re.sub(r"\W+", "-", str(name).lower()).strip("-")


class _Filter(logging.Filter):
    """Masks addresses in other libraries' log lines: at DEBUG they print them whole."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._masker(record.getMessage()), None
        return True


def _hush(url: str) -> None:
    masker = Masker.from_environment({URLS_VARIABLE: url})
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.addFilter(_Filter(masker))
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)
