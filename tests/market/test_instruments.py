import pytest

from maxlib.core.errors import ConfigError
from maxlib.market.instruments import instrument


def test_qqq_ticks_in_cents_with_hundred_shares_a_contract() -> None:
    qqq = instrument("QQQ")
    assert (qqq.tick_cents, qqq.option_tick_cents, qqq.multiplier, qqq.calendar) == (1, 1, 100, "XNYS")


def test_unknown_instrument_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'TSLA' is not known; known are QQQ, SPY"):
        instrument("TSLA")
