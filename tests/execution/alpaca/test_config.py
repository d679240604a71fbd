"""Only the paper account, only over its own host; keys that are never shown."""

import pytest
from pydantic import ValidationError

from maxlib.core.errors import ConfigError
from maxlib.execution.alpaca.config import AlpacaConfig, Keys

CANARY = "canary-4711-secret"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.alpaca.markets",  # real money
        "https://api.alpaca.markets:443/",
        "http://paper-api.alpaca.markets",  # in the clear
        "https://paper-api.alpaca.markets.example.com",
        "https://paper-api.alpaca.markets@example.com",
        "https://example.com#paper-api.alpaca.markets",
        "https://example.com/?paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets/v2",
        "https://paper-api.alpaca.markets:8443",
        "https://paper-api.alpaca.markets\\.example.com",
        "https://xpaper-api.alpaca.markets",
        "https://broker-api.alpaca.markets",
        "wss://paper-api.alpaca.markets",
        "https://[::1",
        "http://127.0.0.1:8700",  # a fake, but nobody said so
        "",
    ],
)
def test_every_host_but_the_paper_one_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="never real money"):
        AlpacaConfig(trading_url=url)


@pytest.mark.parametrize(
    "host", ["https://api.alpaca.markets", "https://paper-api.alpaca.markets", "http://10.0.0.1"]
)
def test_loopback_means_this_machine_and_nothing_else(host: str) -> None:
    with pytest.raises(ValidationError, match="is refused"):
        AlpacaConfig(trading_url=host, data_url="http://127.0.0.1:1", loopback=True)
    with pytest.raises(ValidationError, match="is refused"):
        AlpacaConfig(trading_url="http://127.0.0.1:1", data_url=host, loopback=True)


def test_defaults_are_paper() -> None:
    config = AlpacaConfig()
    assert config.trading_url == "https://paper-api.alpaca.markets"
    assert config.stream_url == "wss://paper-api.alpaca.markets/stream"
    assert AlpacaConfig(trading_url="https://PAPER-API.alpaca.markets:443/").stream_url.startswith("wss://")


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "localhost:1", "[::1]:99"])
def test_a_fake_on_this_machine_is_allowed_when_asked_for(host: str) -> None:
    config = AlpacaConfig(trading_url=f"http://{host}", data_url=f"http://{host}/", loopback=True)
    assert config.stream_url == f"ws://{host}/stream"


def test_keys_come_from_the_environment_and_do_not_show() -> None:
    keys = Keys.from_env({"APCA_API_KEY_ID": "PK1", "APCA_API_SECRET_KEY": CANARY})
    assert keys.secret.get_secret_value() == CANARY
    assert CANARY not in f"{keys!r} {keys} {keys.model_dump()} {keys.model_dump_json()}"


@pytest.mark.parametrize("secret", [None, "", "two\nlines", " blank", "käse"])
def test_keys_that_no_header_can_carry_are_refused_without_being_quoted(secret: str | None) -> None:
    env = {"APCA_API_KEY_ID": "PK1"} | ({} if secret is None else {"APCA_API_SECRET_KEY": secret})
    with pytest.raises(ConfigError, match="APCA_API_SECRET_KEY") as refused:
        Keys.from_env(env)
    assert not secret or secret not in str(refused.value)
