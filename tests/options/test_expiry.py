"""Expiry: exercise from a cent in the money, shorts assigned, pins shown."""

import pytest

from maxlib.core.errors import InvariantError
from maxlib.market.contract import Contract, Leg
from maxlib.options.expiry import Ending, ending, value_cents, worst_cents

CALL = Contract("QQQ", 20_406, "C", 60_000)
PUT = CALL._replace(right="P")


@pytest.mark.parametrize(
    ("contract", "held", "spot", "expected"),
    [
        (CALL, 2, 601.00, Ending("exercised", 200, False)),
        (CALL, -2, 601.00, Ending("assigned", -200, False)),
        (PUT, 2, 599.00, Ending("exercised", -200, False)),
        (PUT, -1, 599.00, Ending("assigned", 100, False)),
        (CALL, 1, 600.01, Ending("exercised", 100, False)),
        (CALL, 1, 600.009, Ending("worthless", 0, False)),
        (CALL, -1, 600.00, Ending("worthless", 0, True)),
        (CALL, -1, 600.50, Ending("assigned", -100, True)),
        (CALL, -1, 599.49, Ending("worthless", 0, False)),
        (PUT, -3, 600.20, Ending("worthless", 0, True)),
    ],
)
def test_what_becomes_of_a_leg(contract: Contract, held: int, spot: float, expected: Ending) -> None:
    assert ending(contract, held, spot) == expected


@pytest.mark.parametrize(
    ("spot", "held", "owed"),
    [(601.0, 100, 100), (600.005, 0, 1), (600.0, 0, 0), (599.0, 0, 0), (600.29, 29, 29)],
)
def test_a_holder_gets_whole_cents_rounded_down_and_a_writer_owes_them_rounded_up(
    spot: float, held: int, owed: int
) -> None:
    assert (value_cents(CALL, spot), value_cents(CALL, spot, up=True)) == (held, owed)


def legs(*pairs: tuple[int, int], right: str = "C") -> tuple[Leg, ...]:
    return tuple(Leg(CALL._replace(strike_cents=strike * 100, right=right), n) for strike, n in pairs)


@pytest.mark.parametrize(
    ("package", "worst"),
    [
        (legs((600, 1)), 0),
        (legs((600, 1), (605, -1)), 0),
        (legs((600, 1), (605, -2), (610, 1)), 0),
        (legs((600, 1), (605, -2), (612, 1)), -200),  # w1 - w2
        (legs((600, 1), (606, -3), (609, 2)), 0),  # w1 = 2 w2
        (legs((600, 1), (605, -3), (610, 2)), -500),  # w1 - 2 w2
        (legs((600, 1), (595, -2), (588, 1), right="P"), -200),
    ],
)
def test_the_least_that_a_package_can_be_worth(package: tuple[Leg, ...], worst: int) -> None:
    assert worst_cents(package) == worst


def test_a_loss_without_bound_is_no_package() -> None:
    with pytest.raises(InvariantError, match="without bound"):
        worst_cents(legs((600, 1), (605, -2)))
