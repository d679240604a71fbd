"""The outside world: keys by name, vendors when they may be asked, services that notices go to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from maxlib.app.doctor.line import Found
from maxlib.core.errors import ConfigError
from maxlib.data.massive.config import KEY_NAMES, MassiveConfig, key_from_environment
from maxlib.data.massive.rest import MassiveRest
from maxlib.execution.alpaca.config import KEY_NAME, SECRET_NAME, AlpacaConfig, Keys
from maxlib.execution.alpaca.reasons import VenueError
from maxlib.execution.alpaca.rest import Alpaca
from maxlib.ops.backends import URLS_VARIABLE, Backend, Log, from_environment
from maxlib.ops.events import Event
from maxlib.ops.killswitch import CODE_VARIABLE, MIN_CODE
from maxlib.ops.notify import Environment, Notifier
from maxlib.ops.text import Masker

APART_S: Final = 5.0
"""Our clock and a vendor's, which tells whole seconds, may be so far apart."""
_SEND_S: Final = 20.0
_NS: Final = 1_000_000_000


def massive_key(environment: Mapping[str, str]) -> Found:
    """Present or not, by name."""
    there = [name for name in KEY_NAMES if environment.get(name, "").strip()]
    if not there:
        return "not used", f"{' and '.join(KEY_NAMES)} are not set"
    key_from_environment(environment)
    return "pass", f"{there[0]} is set"


def alpaca_keys(environment: Mapping[str, str]) -> Found:
    """Both, or none."""
    if not any(environment.get(name) for name in (KEY_NAME, SECRET_NAME)):
        return "not used", f"{KEY_NAME} and {SECRET_NAME} are not set"
    Keys.from_env(environment)
    return "pass", f"{KEY_NAME} and {SECRET_NAME} are set"


def reset_code(environment: Mapping[str, str]) -> Found:
    """Long enough to be taken?"""
    code = environment.get(CODE_VARIABLE, "")
    if not code:
        return "not used", f"{CODE_VARIABLE} is not set: once thrown, the kill switch cannot be reset"
    if len(code) < MIN_CODE:
        return "fail", f"{CODE_VARIABLE} is shorter than {MIN_CODE} characters: it resets nothing"
    return "pass", f"{CODE_VARIABLE} is set"


def env_file(path: Path) -> Found:
    """Is a file of secrets its owner's only?"""
    if not path.exists():
        return "not used", f"there is no {path.name} here"
    found = path.stat()
    mode = found.st_mode & 0o777
    if mode & 0o077:
        return "fail", f"{path.name} can be used by others (mode {mode:o}): chmod 600 {path.name}"
    if found.st_uid != os.geteuid():
        return "fail", f"{path.name} belongs to another user ({found.st_uid})"
    return "pass", f"{path.name} is its owner's only (mode {mode:o})"


def massive(environment: Mapping[str, str], config: MassiveConfig | None, now_ns: int) -> Found:
    """The vendor's word on the market, and its clock against ours; None = it may not be asked."""
    if config is None:
        return "not used", "not asked; --online asks it"
    if massive_key(environment)[0] == "not used":
        return "not used", "cannot be asked without a key"
    once = config.model_copy(update={"tries": 1})
    with closing(MassiveRest(once, key_from_environment(environment))) as source:
        told = source.market_status()
    return _apart(now_ns, told.server_at) or ("pass", f"the key is taken; the market is {told.market}")


def alpaca(environment: Mapping[str, str], config: AlpacaConfig | None, now_ns: int) -> Found:
    """The paper account's state, and the exchange's clock against ours; None = it may not be asked."""
    if config is None:
        return "not used", "not asked; --online asks it"
    if alpaca_keys(environment)[0] == "not used":
        return "not used", "cannot be asked without keys"
    venue = Alpaca(config, Keys.from_env(environment))
    try:
        account, clock = venue.account(), venue.exchange_clock()
    except VenueError as error:
        return "fail", str(error)
    apart = _apart(now_ns, clock.now)
    if apart is not None:
        return apart
    text = (
        f"paper account {account.status}, equity {account.equity:,.2f} $, options level {account.level}, "
        f"market {'open' if clock.is_open else 'closed'}"
    )
    if account.blocked or account.status != "ACTIVE":
        return "fail", f"{text}: it may not trade"
    return "pass", text


def _apart(now_ns: int, vendor_ns: int) -> Found | None:
    apart = (now_ns - vendor_ns) / _NS
    if vendor_ns and abs(apart) > APART_S:
        return "fail", f"our clock is {apart:+.0f} s from the vendor's; the bound is {APART_S:.0f} s"
    return None


def addresses(environment: Mapping[str, str]) -> Found:
    """Does each address name a service?"""
    count = len(environment.get(URLS_VARIABLE, "").split())
    if not count:
        return "not used", f"{URLS_VARIABLE} is not set: notices go to the log"
    labels = [backend.label for backend in from_environment(environment)]
    return "pass", f"{count} in {URLS_VARIABLE}: {', '.join(labels)}"


def send_test(
    environment: Mapping[str, str], label: Environment, backends: Sequence[Backend] | None = None
) -> Found:
    """Send a test to every service and wait for its answer."""
    services = from_environment(environment) if backends is None else list(backends)
    if all(isinstance(service, Log) for service in services):
        raise ConfigError(f"--notify: there is nobody to send to; {URLS_VARIABLE} is not set")
    with tempfile.TemporaryDirectory(prefix="maxtrader-doctor-") as folder:
        masker = Masker.from_environment(environment)
        notifier = Notifier(services, Path(folder), label, masker=masker)
        notifier.send(Event.TEST, "a test by maxtrader doctor; nothing happened")
        notifier.close(_SEND_S)
        sent = {name: counts.get("sent", 0) for name, counts in notifier.counts().items()}
    silent = [name for name, count in sent.items() if not count]
    if silent:
        return "fail", f"not taken by {', '.join(silent)} within {_SEND_S:.0f} s"
    return "pass", f"taken by {', '.join(sent)}"
